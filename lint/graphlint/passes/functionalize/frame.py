"""One graph of the program, walked as an interpreter would: what stands for each node now.

For each storage that is written there is a current base value; each reference to it is a chain of view steps from the
base (:mod:`graphlint.semantics.memory`). A write makes a new value for the written view (:mod:`.twins`), carries it
back through the inverses of the steps (:mod:`.views`), and makes the result the new base.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from graphlint.ir.dtypes import category
from graphlint.ir.edit import (
    GraphEdit,
    changed_node,
    flat,
    renamed,
    renamed_operands,
    tensor,
    tensors,
    with_graphs,
    with_operand,
)
from graphlint.ir.model import Argument, Graph, GraphRef, NamedArgument, Node
from graphlint.ir.strides import Size, elementwise_strides
from graphlint.ops.info import OpInfo, operand_of
from graphlint.passes.functionalize.build import Builder
from graphlint.passes.functionalize.custom import wrapped
from graphlint.passes.functionalize.metas import Meta, Obstacle, Value
from graphlint.passes.functionalize.resizing import RESHAPED
from graphlint.passes.functionalize.twins import Call, Target, beside, copied, copied_alike, functional, restrided
from graphlint.passes.functionalize.views import (
    EXPANDED,
    MOST_PIECES,
    SCATTERING,
    VIEWING,
    View,
    invert,
    is_cut,
    may_repeat,
    moved,
    piece,
    repeats,
    replay,
)
from graphlint.semantics.analysis import Write
from graphlint.semantics.memory import Ref, Step, Storage, moved_to
from graphlint.semantics.sites import GraphCall, Scope, Site, call_of

if TYPE_CHECKING:
    from graphlint.passes.functionalize.program import Rewriter

_DEEPEST: Final = 200
"""Views of one another that a write is carried back through: each takes a node, and each write takes them all again."""


class Blocked(Exception):  # noqa: N818  # control flow: plan again without these storages
    """Something keeps storages from being functionalized that came up on the way."""

    def __init__(self, storages: Iterable[Storage], reason: str) -> None:
        super().__init__(reason)
        self.reasons = dict.fromkeys(storages, reason)

    @classmethod
    def all_of(cls, reasons: Mapping[Storage, str]) -> Blocked:
        """Several storages, each for a reason of its own."""
        blocked = cls((), "; ".join(dict.fromkeys(reasons.values())))
        blocked.reasons = dict(reasons)
        return blocked


class Overgrown(Blocked):
    """The rewritten program becomes too large: nothing more is to be found out by going on."""


class blocking:  # noqa: N801  # read as a word: with blocking(storage)
    """An obstacle that is met keeps these storages from being functionalized."""

    __slots__ = ("storages",)

    def __init__(self, *storages: Storage) -> None:
        self.storages = storages

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, reason: BaseException | None, trace: object) -> None:
        if isinstance(reason, Obstacle):
            raise Blocked(self.storages, str(reason)) from None


class State(msgspec.Struct, eq=False):
    """A storage while its graph is walked."""

    origin: Value
    base: Value
    version: int = 0
    source: dict[str, str] = {}
    """Metadata of the node that wrote it last."""
    shown: dict[Ref, Value] = {}
    """Views of the current base that exist already, laid out as they were recorded."""
    lost: str = ""
    """Why no more is known of the current base than what is ``shown``: a write was made through a view without an
    inverse. It does not matter where nobody reads more of it.
    """

    def whole(self) -> Value:
        """The current base. Raises :class:`Obstacle` where it is not known."""
        if self.lost:
            raise Obstacle(self.lost)
        return self.base


class Frame:
    """One graph while it is walked."""

    def __init__(self, rewriter: Rewriter, scope: Scope, entries: Mapping[str, int] | None = None) -> None:
        self.rewriter = rewriter
        self.scope = scope
        self.graph = scope.graph
        self.entries = entries or {}
        """Inputs that the caller hands in from another place in their storage than was recorded, and from which."""
        self.edit = GraphEdit(scope.graph)
        self.builder = Builder(self.edit, rewriter.dialect, rewriter.sizes, rewriter.memory)
        self.shown = rewriter.memory.showing(scope.graph, rewriter.active)
        """The graph's values that may show a storage which is rewritten, and what those refer to that show no other."""
        self.gone: dict[str, str] = {}
        """Names that the rewrite does away with, and what stands for them."""
        self._values: dict[Ref, tuple[Value, int]] = {}
        """What shows a reference, and of which version of its storage."""
        self._states: dict[Ref, State] = {}
        """By the storage's base in this graph."""
        self._moved: dict[Ref, Ref] = {}
        """Objects that an in-place view has made another view."""
        self._visited: list[tuple[int, int]] = []
        """The nodes that were looked at, by their index in the graph, and where in ``edit.nodes`` what stands for each
        begins. The others, most of a graph's nodes, stay as they are.
        """
        self._counted = 0
        """By how many nodes the graph is known to have grown."""
        self._views: set[int] = set()
        """Indices into ``edit.nodes`` of views, which may go when nobody uses them."""

    # -- what values show

    def ref(self, name: str | None) -> Ref | None:
        """What a value refers to now, if that is in a storage which is rewritten."""
        ref = self.shown.get(name) if name is not None else None
        return ref if ref is None or not self._moved else moved_to(self._moved, ref)

    def given(self, name: str | None) -> Ref | None:
        """What the graph is given as a value, if that is in a storage which is rewritten."""
        ref = self.ref(name)
        return ref if ref is None else ref.base

    def _known(self, name: str | None) -> Ref:
        """What a value refers to now that is written, which obstacles keep certain."""
        ref = self.ref(name)
        if ref is None:
            raise AssertionError(f"%{name} is written, and what it refers to is not known")
        return ref

    def state(self, ref: Ref) -> State:
        """The state of a reference's storage."""
        base = ref.base
        state = self._states.get(base)
        if state is None:
            with blocking(ref.storage):
                meta = self.rewriter.meta(self.graph, base.name)
            if base.name in self.entries:
                meta = meta.with_(strides=meta.strides, offset=self.entries[base.name])
                self.edit.record(base.name, meta.raw)
            origin = Value(base.name, meta)
            state = self._states[base] = State(origin, origin, shown={base: origin})
        return state

    def recorded(self, ref: Ref) -> Meta:
        """What the artifact records of a tensor object; what ``out=`` made of it, once it has."""
        known = self.rewriter.recorded.get(ref)
        if known is not None:
            return known
        made = ref
        while made.step is None and not made.is_base and made.parent is not None:
            made = made.parent
        if made in self.rewriter.resized:
            meta = self.rewriter.resized[made]
        else:
            meta = self.rewriter.meta(made.graph, made.name) if made.step is None else self.view(made).meta
        self.rewriter.recorded[ref] = meta
        return meta

    def view(self, ref: Ref) -> View:
        """The last step to a reference, with what was recorded of it."""
        known = self.rewriter.views.get(ref)
        if known is not None:
            return known
        step, parent = ref.step, ref.parent
        if step is None or parent is None:
            raise AssertionError("it is no view")
        node, op = step.node, step.op
        if op.in_place_view:
            twin = self.rewriter.ops.twin_of(op)
            if twin is None:
                raise AssertionError("a view in place without another form is an obstacle")
            node, op = changed_node(node, target=twin.target), twin
        metas = self.rewriter.metas_of(step)
        view = View(node, op, step.operand, ref.index, self.recorded(parent), metas)
        self.rewriter.views[ref] = view
        return view

    def value(self, ref: Ref) -> Value:
        """The value that shows a reference, if not of the current version."""
        return self._shown(ref)[0]

    def _shown(self, ref: Ref) -> tuple[Value, int]:
        known = self._values.get(ref)
        if known is None:
            known = self._values[ref] = (self.state(ref).origin, 0 if ref.is_base else -1)
        return known

    def use(self, name: str, *, exact: bool) -> str:
        """The name to read for a value of the original program, taken again from its base where it was written.

        ``exact`` asks for the recorded strides too: views depend on them, and so do the strides of what other ops make.
        """
        ref = self.ref(name)
        return self.gone.get(name, name) if ref is None else self.current(ref, exact=exact).name

    def current(self, ref: Ref, *, exact: bool) -> Value:
        """The value that shows a reference now."""
        value, version = self._values.get(ref) or self._shown(ref)
        state = self._states.get(ref.base) or self.state(ref)
        if version == state.version and not exact:
            return value
        try:  # what is asked most, and `with blocking` takes its time
            if version != state.version or not value.meta.same_strides(self.recorded(ref)):
                value = self._show(ref)
                self._values[ref] = value, state.version
        except Obstacle as reason:
            raise Blocked([ref.storage], str(reason)) from None
        return value

    def _show(self, ref: Ref) -> Value:
        """The view of the current base, taken again where it does not exist yet."""
        self._check_depth(ref)
        self._check_growth(ref.storage)
        state = self.state(ref)
        pending: list[Ref] = []
        while ref not in state.shown and ref.parent is not None and not ref.is_base:
            pending.append(ref)
            ref = ref.parent
        value = state.shown[ref] if ref in state.shown else state.whole()
        for one in reversed(pending):
            value = self._taken(one, value, state)
        return value

    def _check_depth(self, ref: Ref) -> None:
        """Raises :class:`Obstacle` where a reference is reached through too many views."""
        if ref.depth > _DEEPEST:
            raise Obstacle(f"it is reached through more than {_DEEPEST} views, one of the other")

    def _check_growth(self, storage: Storage) -> None:
        """Note for the sake of which storage the graph has grown so far, and whether there is room for more."""
        grown = len(self.edit.nodes) - len(self._visited) - self._counted
        self._counted += grown
        self.rewriter.grow(storage, grown)

    def _taken(self, ref: Ref, parent: Value, state: State) -> Value:
        """The last view of a chain, taken again."""
        step = ref.step
        if step is None:
            state.shown[ref] = parent
            return parent
        self._views.add(len(self.edit.nodes))
        view = self.view(ref)
        if len(view.metas) > MOST_PIECES:
            state.shown[ref] = piece(self.builder, view, parent)
            return state.shown[ref]
        elsewhere = not _stands_alone(step) and step.graph is not self.graph
        values = replay(self.builder, view, parent, lambda name: self.use(name, exact=False), elsewhere=elsewhere)
        state.shown[ref] = values[ref.index]
        state.shown.update((one, values[one.index]) for one in self._siblings(ref))
        return values[ref.index]

    def _siblings(self, ref: Ref) -> Iterator[Ref]:
        """The other results of the node that takes a view, of the same tensor."""
        step = ref.step
        outputs = step.node.outputs if step is not None else []
        for name in flat(outputs) if len(outputs) > 1 or outputs[0].as_tensor is None else ():
            # The view may stand in another graph, where the same name is that of another piece.
            sibling = self.rewriter.memory.known(self.graph, name) if name is not None else None
            if sibling is not None and sibling.step is step and sibling.parent is ref.parent and sibling is not ref:
                yield sibling

    def _apart(self, way: Iterable[Ref]) -> list[Ref]:
        """The pieces that nodes on the way have cut, and that show nothing of what is at its end: these need not be
        taken again from a tensor that is made of all. Of an intermediate tensor, that is: others are written back, and
        what is read of the old one after that has to be a copy.
        """
        apart: list[Ref] = []
        for one in way:
            if one.storage.kind != "intermediate" or one.base.parent is not None:
                break
            if one.step is not None:
                view = self.view(one)
                if may_repeat(view):
                    break
                if len(view.metas) <= MOST_PIECES and is_cut(self.builder, view):
                    apart += self._siblings(one)
        return apart

    def _is_relocatable(self, ref: Ref) -> bool:
        """Whether a view can be taken outside the graph that it stands in."""
        step = ref.step
        return step is None or step.graph is ref.graph or _stands_alone(step) or self.view(ref).sized is not None

    def _taken_anew(self, ref: Ref) -> None:
        """Take a chain of views of the current base again, in its memory, even where the value is at hand elsewhere."""
        state = self.state(ref)
        with blocking(ref.storage):
            value = state.whole()
            for one in ref.way():
                value = self._taken(one, value, state)
        self._values[ref] = value, state.version

    # -- nodes

    def walk(self) -> None:
        """Rewrite what has to be, and what the graph returns."""
        for argument in self.graph.inputs:
            self.builder.define(argument.symbols())
        blocked: dict[Storage, str] = {}
        for index, node, takes in self._concerned():
            # A plan is made again without what is blocked. All that stands in the way is found out first, so that this
            # need not be done for each: what has to do with a blocked storage is passed over.
            if takes and not (blocked and self._shows(node, blocked)):
                try:
                    self._rewrite(node, index)
                except Overgrown:
                    raise
                except Blocked as reason:
                    blocked = {**reason.reasons, **blocked}
            self.builder.define(node.results())
        if blocked:
            raise Blocked.all_of(blocked)
        self._visited.append((len(self.graph.nodes), len(self.edit.nodes)))
        self._separate()
        self.edit.outputs = [self._output(argument) for argument in self.graph.outputs]

    def _rewrite(self, node: Node, index: int) -> None:
        """What takes the place of a node. Raises :class:`Blocked`."""
        self.builder.source = node.metadata
        self._visited.append((index, len(self.edit.nodes)))
        writes = self.rewriter.writes.get(id(node))
        if writes is not None:
            self._write(node, writes)
        elif node.subgraphs():
            self._call(node, index)
        else:
            self._keep(node)

    def _shows(self, node: Node, storages: Container[Storage]) -> bool:
        """Whether an operand is in one of these storages."""
        refs = (self.shown.get(name) for operand in node.inputs for name in operand.arg.tensors() if name is not None)
        return any(ref is not None and ref.storage in storages for ref in refs)

    def _concerned(self) -> Iterator[tuple[int, Node, bool]]:
        """The nodes that have to do with what is rewritten, each with its index: those that take a value in a storage
        which is rewritten, or call graphs (True); those that compute a size (False).
        """
        graph, survey = self.graph, self.graph.survey
        readers = survey.readers
        places = {place for name in self.shown for place in readers.get(name, ())}
        places.update(place for place, argument in survey.rare if argument.as_graph is not None)
        sized = [place for place in survey.several if place not in places] if graph.sym_int_values else []
        for place in sorted([*places, *sized]):
            yield place, graph.nodes[place], place in places

    def _current_names(self, node: Node, *, exact: bool) -> dict[str, str]:
        """The names to read for the node's operands."""
        names = [name for operand in node.inputs for name in operand.arg.tensors() if name is not None]
        return {name: self.use(name, exact=exact) for name in names}

    def _renamed(self, node: Node, *, exact: bool) -> Node:
        """The node with its operands under their current names."""
        return renamed_operands(node, self._current_names(node, exact=exact))

    def _keep(self, node: Node) -> None:
        """A node that writes nothing, or whose writes stay."""
        self.builder.append(self._renamed(node, exact=self._depends_on_strides(node)))
        self._note_views(node)

    def _depends_on_strides(self, node: Node) -> bool:
        """Whether a node may make something else, or lay it out otherwise, of its operands as they are at hand than of
        operands with the recorded strides. Elementwise arithmetic does not, where its result is laid out alike.
        """
        names = [name for operand in node.inputs for name in operand.arg.tensors() if name is not None]
        refs = {name: self.ref(name) for name in names}
        known = {name: (ref, self.current(ref, exact=False).meta) for name, ref in refs.items() if ref is not None}
        if all(meta.same_strides(self.recorded(ref)) for ref, meta in known.values()):
            return False
        op, results = self.rewriter.ops.lookup(node.target), node.results()
        if op is None or op.writes or op.layout != ("elementwise",) or len(results) != 1:
            return True
        if not (op.elementwise and op.same_bits):
            return True
        try:
            made = self.rewriter.meta(self.graph, results[0])
            given = [known[name][1] if name in known else self.rewriter.meta(self.graph, name) for name in names]
        except Obstacle:
            return True
        layouts = [(meta.shape, meta.strides) for meta in given]
        # Which of several symbolic strides is the greater is not known in all cases.
        symbolic = any(isinstance(number, str) for layout in layouts for numbers in layout for number in numbers)
        told = not symbolic or (len(set(layouts)) == 1 and given[0].is_dense)
        alike = told and made.same_strides(made.with_(strides=elementwise_strides(made.shape, layouts)))
        return not alike or category(made.dtype) == 3 or self.rewriter.dtypes.casts(self.graph)

    def _note_views(self, node: Node) -> None:
        """What the results of a node that was just appended show, where they are views."""
        names = [name for output in node.outputs for name in output.tensors()]
        if self.shown.keys().isdisjoint(names):
            return
        # Who reads what shows nothing that is rewritten is not looked at.
        disposable = all(name is None or name in self.shown for name in names)
        for name in names:
            ref = self.ref(name)
            if name is None or ref is None:
                continue
            if ref.name != name:  # the very object that it was given
                if disposable:
                    self._views.add(len(self.edit.nodes) - 1)
                continue
            if ref.step is None or ref.parent is None:
                continue
            state = self.state(ref)
            with blocking(ref.storage):
                view, parent = self.view(ref), self.value(ref.parent)
                value = Value(name, moved(view, view.meta, parent.meta))
            if value.meta is not view.meta:
                self.edit.record(name, value.meta.raw)
            self.builder.roots[name] = self.builder.root(parent.name)
            self._values[ref] = value, state.version
            state.shown[ref] = value
            if ref.step.op.kind is None and disposable:  # what opens a scope stays, whoever uses it
                self._views.add(len(self.edit.nodes) - 1)

    # -- writes

    def _write(self, node: Node, writes: list[Write]) -> None:
        """A node whose writes become data flow."""
        op = writes[0].site.op
        if op is None:
            raise AssertionError("an unknown op was taken for a write that can be functionalized")
        if any(output.symbols() for output in node.outputs):
            storages = [write.target.storage for write in writes]
            raise Blocked(storages, f"the artifact records that {op.name} returns a number")
        with blocking(*(write.target.storage for write in writes)):
            refs = [self._known(write.value) for write in writes]
            if op.in_place_view:
                if any(self.ref(name) is refs[0] for name in node.results()):  # it is such a view already
                    self.gone.update((name, self.current(refs[0], exact=True).name) for name in node.results())
                else:
                    self._view_in_place(node, op, refs[0])
                return
            self._check_apart(op, refs)
            resized = self._resized(node, op, refs) if op.out_variant and not op.is_custom else []
            if resized and op.substitute == "keep":  # nothing is left of what it was
                op = msgspec.structs.replace(op, substitute=None)
            call = self._call_of(node, op, writes, refs, resized)
            if op.is_custom or (op.schema is not None and any(one.alias is None for one in op.schema.returns)):
                self._write_beside(node, call, refs)
                return
            values = functional(self.builder, call)
            replaces = op.out_variant or op.substitute == "copy"
            keeps = not replaces and call.twin is not None and call.twin.layout_of(0) == "elementwise"
            for ref, value, target in zip(refs, values, call.targets, strict=True):
                names = [name for name in node.results() if self.ref(name) is ref]
                if value is target.value:  # nothing was written
                    self.gone.update((name, value.name) for name in names)
                    continue
                made = value
                if ref in self.rewriter.resized and ref not in resized and not keeps:
                    # It is laid out as the operands were that it was resized for, whatever is recorded of it.
                    given = [tensor(target.value.name), tensor(value.name)]
                    made = self.builder.emit("overwrite", given, self.recorded(ref))
                self._settle(ref, made, names, replaces=replaces and ref not in self.rewriter.resized)

    def _check_apart(self, op: OpInfo, refs: list[Ref]) -> None:
        """Each target must have memory of its own: the order of writes within one op is not ours to tell."""
        if len(refs) == 1 or len({ref.base for ref in refs}) == len(refs):
            return
        groups: dict[Ref, list[Meta]] = {}
        for ref in refs:
            groups.setdefault(ref.base, []).append(self.recorded(ref))
        if not all(map(self.rewriter.are_apart, groups.values())):
            raise Obstacle(f"{op.name} writes the same memory more than once")

    def _call_of(self, node: Node, op: OpInfo, writes: list[Write], refs: list[Ref], resized: list[Ref]) -> Call:
        if any(operand.arg.is_unknown for operand in node.inputs):
            raise Obstacle(f"an argument of {op.name} is of no known kind")
        # Random numbers are drawn in the order of strides, and elements added up; what a custom op makes of strides
        # nobody knows, and some ops know nothing of them.
        twin = self.rewriter.ops.twin_of(op)
        adds_up = twin is not None and not twin.elementwise and not twin.same_bits
        exact = op.is_custom or op.draws(node) or not op.strided_writes or adds_up
        named = self._current_names(node, exact=exact)
        edited = renamed_operands(node, named)
        metas: dict[str, Meta] = {}
        mutable: set[str] = set()
        overlapping: set[str] = set()
        written = {id(operand_of(node, write.argument)) for write in writes}
        places: dict[Ref, list[int]] = {}
        for place, target in enumerate(refs):
            places.setdefault(target.base, []).append(place)
        for operand in node.inputs:
            for index, name in enumerate(operand.arg.tensors()):
                if name is None:
                    continue
                ref = self.ref(name)
                current = named[name]
                if ref is not None and id(operand) not in written:
                    shared = places.get(ref.base, [])
                    if shared and self._reads_a_target(operand, index, ref, writes[0].site, refs, shared):
                        overlapping.add(current)
                metas[current] = self.rewriter.meta(self.graph, name) if ref is None else self.value(ref).meta
                if not self._is_immutable(name, ref):
                    mutable.add(current)
        targets = tuple(
            Target(write.argument, self.current(ref, exact=exact), self.recorded(ref), ref in resized, bool(ref.bits))
            for write, ref in zip(writes, refs, strict=True)
        )
        autocast = self.rewriter.dtypes.casts(self.graph)

        def rounds(reason: str) -> None:
            if self.rewriter.exact:
                raise Obstacle(reason)
            self.rewriter.inexact.update(write.site.position for write in writes)

        return Call(
            op, edited, targets, metas, lambda name: name not in mutable, rounds, twin, frozenset(overlapping), autocast
        )

    def _reads_a_target(
        self, operand: NamedArgument, index: int, ref: Ref, site: Site, refs: list[Ref], shared: list[int]
    ) -> bool:
        """Whether an operand that is no target shows elements of one; ``shared`` are the targets in its storage, by
        their place. Raises :class:`Obstacle` where they are those of another element of a list, which may have been
        written before it is read, or some of a target's but not in its order, which torch refuses or leaves undefined.
        """
        if len(refs) > 1 and operand.arg.as_tensors is not None and shared != [index]:
            raise Obstacle(f"{site.name} reads a tensor of the list that it writes")
        mine = self.recorded(ref)
        for place in shared:
            target = self.recorded(refs[place])
            laid_out = [(one.shape, one.offset, one.item_size) for one in (mine, target)]
            same = laid_out[0] == laid_out[1] and mine.same_strides(target)
            if not same and self.rewriter.intersect(mine, target):
                raise Obstacle(f"{site.name} reads memory that it writes")
        return True

    def _is_immutable(self, name: str, ref: Ref | None) -> bool:
        """Whether the memory behind a value is not written after this point, neither by what stays in place nor by
        the write-back of mutation outputs.
        """
        if ref is not None:
            return self.state(ref).version > 0 or ref.storage.kind == "intermediate"
        return all(one.storage not in self.rewriter.written for one in self.rewriter.memory.refs(self.graph, name))

    def _resized(self, node: Node, op: OpInfo, refs: list[Ref]) -> list[Ref]:
        """What ``out=`` resizes: tensors of another shape than the result that is recorded. One that the program made
        is from then on what the op makes of it, where no view that was taken of it before shows elements to what
        comes later. What is not is looked at before (:mod:`graphlint.passes.functionalize.resizing`).
        """
        results = [name for output in node.outputs for name in output.tensors() if name is not None]
        twin = self.rewriter.ops.twin_of(op)
        found: list[Ref] = []
        for ref, result in zip(refs, results, strict=False):
            before, after = self.recorded(ref), self.rewriter.meta(self.graph, result)
            if before.shape == after.shape:
                continue
            if not ref.is_base:
                raise Obstacle(RESHAPED)
            in_columns = twin is not None and "columns" in twin.layout  # some only where there were no elements
            if 0 not in before.shape and (ref.parent is not None or in_columns or self._seen_later(ref)):
                raise Obstacle(RESHAPED)
            state = self.state(ref)
            state.base = Value(self.value(ref).name, after)
            state.shown = {ref: state.base}
            self._values[ref] = state.base, state.version
            self.rewriter.resized[ref] = after
            self.rewriter.recorded.clear()
            found.append(ref)
        return found

    def _seen_later(self, ref: Ref) -> bool:
        """Whether a view of the memory of ``ref`` that was taken so far is read by what comes later."""
        memory, graph, place = self.rewriter.memory, self.graph, self._visited[-1][0]
        returned = {name for output in graph.outputs for name in output.tensors()}
        for name, shown in memory.showing(graph, {ref.storage}).items():
            if shown is ref or graph.makers.get(name, -1) > place:
                continue
            if name in returned or any(reader > place for reader in graph.survey.readers.get(name, ())):
                return True
        return False

    def _settle(self, ref: Ref, value: Value, results: list[str], *, replaces: bool = False) -> None:
        """Make ``value`` what the reference shows, and the base that which follows; ``results`` are its new names.

        ``replaces`` says that the value owes nothing to what was there, which keeps its strides: the value is laid out
        as its own operands are, and so as the caller's inputs may be.
        """
        recorded = self.recorded(ref)
        if len(value.meta.shape) != len(recorded.shape):
            raise Obstacle(f"the artifact contradicts itself on the shape of %{self.value(ref).name}")
        if self.recorded(ref.base).overlaps:  # as an input may be that the caller has expanded
            raise Obstacle(EXPANDED)
        if results:
            value = Value(results[0], value.meta) if self._rename(value.name, results[0]) else value
        state = self.state(ref)
        self._check_growth(ref.storage)
        too_deep = ref.depth > _DEEPEST
        way = [ref] if too_deep else ref.way()
        depends = replaces and (too_deep or self._depends_on_layout(ref, way))
        if depends and not ref.bits:
            value = restrided(self.builder, value, self._show(ref), always=True)
        # What takes a conjugate's or negative's place cannot be laid out like that, which torch copies first: the view
        # is taken again.
        shown = {ref: value} if value.meta.same_strides(recorded) and not (depends and ref.bits) else {}
        apart: list[Ref] = []
        start, base = len(self.edit.nodes), value
        try:
            self._check_depth(ref)
            apart = self._apart(way)
            views = [self.view(one) for one in way if one.step is not None]
            repeated = sum(map(repeats, views))
            for one in reversed(way):
                parent = self._show(one.parent) if one.parent is not None else state.base
                if one.step is not None:
                    view = self.view(one)
                    scatters = view.step is not None and view.step.kind in SCATTERING
                    if scatters and one.parent is not None and one.parent.bits:
                        # A conjugate or negative is copied first, and the copy has other strides.
                        parent = copied(self.builder, parent)
                    further = views[views.index(view) + 1 :] if repeats(view) else ()
                    base = invert(self.builder, view, parent, base, further)
                    repeated -= repeats(view)
                # Of what is shown more than once, one place was written, and the others are not yet.
                if one.parent is not None and not repeated and base.meta.same_strides(self.recorded(one.parent)):
                    shown[one.parent] = base
            base = restrided(self.builder, base, state.base)
            state.lost = ""
        except Obstacle as reason:
            if not way or ref.storage.kind != "intermediate" or ref.base.parent is not None or ref not in shown:
                raise
            state.lost = str(reason)
            self._views.update(range(start, len(self.edit.nodes)))
            base = value
        state.base = base
        state.source = self.builder.source
        for one in apart:
            value_of, version = self._shown(one)
            if version == state.version:
                self._values[one] = value_of, version + 1
            if one in state.shown:
                shown[one] = state.shown[one]
        state.version += 1
        if not state.lost:
            shown[ref.base] = base
        state.shown = shown
        current = value if way else base
        self._values[ref] = current, state.version
        self.gone.update((name, current.name) for name in results if name != current.name)

    def _depends_on_layout(self, ref: Ref, way: Sequence[Ref]) -> bool:
        """Whether something depends on the strides of what takes the place of a view's value: the way back to the base,
        or a view of the base that comes of it.
        """
        for one in reversed(way):
            step = self.view(one).step if one.step is not None else None
            if step is not None and step.kind in SCATTERING:
                return False
            if step is not None and step.kind in VIEWING:
                return True
        return ref.storage in self.rewriter.seen_by_strides

    def _rename(self, name: str, new: str) -> bool:
        """Give a value that was just emitted, and that nobody has read yet, the name that a node's result had, so that
        the graph changes little; whether it is such a value.
        """
        builder, nodes = self.builder, self.edit.nodes
        start = self._visited[-1][1]
        for index in range(len(nodes) - 1, start - 1, -1):
            node = nodes[index]
            if node.metadata is not builder.source:
                return False
            if not any(output.as_tensor is not None and output.as_tensor.name == name for output in node.outputs):
                continue
            outputs = [renamed(output, {name: new}) for output in node.outputs]
            named = new if node.name == name else node.name
            nodes[index] = msgspec.structs.replace(node, outputs=outputs, name=named)
            self.edit.rename(name, new)
            root = builder.roots.pop(name)
            builder.roots[new] = new if root == name else root
            builder.born[new] = builder.born.pop(name)
            # What shows nothing that is rewritten may be read by nodes that are not looked at, and must stay then.
            if name in builder.disposable and (new in self.shown or not self.graph.survey.readers.get(new)):
                builder.disposable.add(new)
            return True
        return False

    def _view_in_place(self, node: Node, op: OpInfo, ref: Ref) -> None:
        """``t_`` and the like: the object becomes another view of the same storage."""
        if len(node.results()) != 1:
            raise Obstacle(f"the artifact records that {op.name} has {len(node.results())} results")
        (result,) = node.results()
        before = self.ref(result)
        if before is None or before.parent is not ref or ref.base.parent is not None:
            raise Obstacle(f"{op.name} changes a tensor from outside its graph")
        self.builder.append(changed_node(self._renamed(node, exact=True), target=self.view(before).op.target))
        self._moved[ref] = before
        self._note_views(node)

    def _write_beside(self, node: Node, call: Call, refs: list[Ref]) -> None:
        """An op that returns other tensors than it writes: its results, and what it writes as results of their own."""
        names = [name for output in node.outputs for name in output.tensors() if name is not None]
        metas = [self.rewriter.meta(self.graph, name) for name in names]
        if call.op.is_custom:
            results, written = wrapped(self.builder, call, metas)
        else:
            results, written = beside(self.builder, call, metas)
        for name, value in zip(names, results, strict=True):
            self._rename(value.name, name)
        for ref, value in zip(refs, written, strict=True):
            self._settle(ref, value, [])

    # -- calls of graphs

    def _call(self, node: Node, index: int) -> None:
        """A node that calls graphs: those that hold writes are rewritten, and what they write of the caller's becomes
        one more result. A loop carries what it writes.
        """
        edited = self._renamed(node, exact=True)
        call = call_of(node)
        inputs = list(edited.inputs)
        if call is not None and call.rule.fresh_results:
            for position in call.rule.lists:
                inputs[position] = with_operand(inputs[position], self._unshared(inputs[position].arg, node, position))
        site = Site(self.scope, index, -1, node, self.rewriter.ops.lookup(node.target))
        shifted = self._shifted(call)
        frames = {
            position: self._walked(site, operand.arg.as_graph, shifted)
            for position, operand in enumerate(node.inputs)
            if operand.arg.as_graph is not None and (shifted or id(operand.arg.as_graph.graph) in self.rewriter.touched)
        }
        written = sorted({place for frame in frames.values() for place in frame.written_inputs()})
        handed: list[Value] = []
        if written and call is not None:
            handed = self._handed(call, site, frames, written)
        graphs = {position: frame.finish() for position, frame in frames.items()}
        offsets: dict[int, Size] = {}
        if call is not None and len(call.rule.results_of) == 1:
            returning = frames.get(call.rule.graphs[call.rule.results_of[0]])
            offsets = {} if returning is None else returning.offsets()
        if written and call is not None and call.rule.repeats:
            inputs, graphs = _carrying(call, inputs, graphs, written)
        edited = changed_node(edited, inputs=with_graphs(changed_node(edited, inputs=inputs), graphs))
        names = [self.edit.claim(value.name) for value in handed]
        if names:
            edited = changed_node(edited, **self.rewriter.dialect.returning_also(edited, names))
        self.builder.append(edited)
        operands = call.operands if call is not None and names else []
        for place, name, value in zip(written, names, handed, strict=bool(names)):
            meta = value.meta.with_(strides=value.meta.strides, offset=value.meta.offset)
            result = Value(name, meta)
            self.builder.note(result, None)
            ref = self._known(operands[place])
            with blocking(ref.storage):
                self._settle(ref, result, [])
        self._note_results(node, offsets)

    def _shifted(self, call: GraphCall | None) -> dict[int, int]:
        """The operands that begin elsewhere in their storage than was recorded, by their position among those that the
        graphs take, and where. What a loop hands to its later turns it has made itself.
        """
        found: dict[int, int] = {}
        for place, name in enumerate(call.operands if call is not None and not call.rule.repeats else ()):
            ref = self.ref(name)
            offset = self.value(ref).meta.offset if ref is not None else None
            if ref is not None and isinstance(offset, int) and offset != self.recorded(ref).offset:
                found[place] = offset
        return found

    def _walked(self, site: Site, reference: GraphRef, shifted: dict[int, int]) -> Frame:
        """The frame of a graph that a node calls, walked; ``shifted`` are the operands that begin elsewhere."""
        path = (*self.scope.path, site.node.caller_label, reference.name)
        entries = flat(reference.graph.inputs)
        offsets = {name: shifted[place] for place, name in enumerate(entries) if name and place in shifted}
        frame = Frame(self.rewriter, Scope(reference.graph, path, site), offsets)
        frame.walk()
        return frame

    def _handed(self, call: GraphCall, site: Site, frames: dict[int, Frame], written: list[int]) -> list[Value]:
        """Let each graph that gives results return what was written, whether it wrote it or not; ``frames`` gets those
        of the graphs that wrote nothing. The values.
        """
        given: list[list[Value]] = []
        node, rule, operands = call.node, call.rule, call.operands
        if rule.repeats and any(node.inputs[position].arg.as_tensors is None for position in rule.lists):
            refs = [ref for place in written if (ref := self.ref(operands[place]))]
            raise Blocked([ref.storage for ref in refs], "the loop carries other things than tensors")
        for number in rule.results_of:
            position = rule.graphs[number]
            reference = node.inputs[position].arg.as_graph
            if position not in frames and reference is not None:
                frames[position] = self._walked(site, reference, {})
            given.append(frames[position].hand_out(written))
        apart = [
            ref.storage
            for place, values in zip(written, zip(*given, strict=True), strict=True)
            if not all(value.meta.same_strides(values[0].meta) for value in values)
            and (ref := self.ref(operands[place])) is not None
        ]
        if apart:
            raise Blocked(apart, "branches lay it out in different ways")
        return given[0]

    def written_inputs(self) -> list[int]:
        """The inputs that the graph has written, by their position among the tensors."""
        entries = {place: ref for place, name in enumerate(flat(self.graph.inputs)) if (ref := self.ref(name))}
        found = {ref.base: place for place, ref in reversed(entries.items()) if self.state(ref).version > 0}
        bases: dict[Storage, Ref] = {}
        seen_twice = {
            ref.storage for ref in entries.values() if bases.setdefault(ref.storage, ref.base) is not ref.base
        }
        several = [base.storage for base in found if base.storage in seen_twice]
        if several:
            raise Blocked(several, "a region sees its memory through several operands")
        return sorted(found.values())

    def hand_out(self, places: list[int]) -> list[Value]:
        """Return the current values of these inputs too, in memory of their own."""
        names = flat(self.graph.inputs)
        if not self._visited[:-1] and self.graph.nodes:  # nobody has looked at a node here
            self.builder.source = self.graph.nodes[-1].metadata
        given = set(names)
        found: dict[str, Value] = {}
        for place in places:
            value = self.state(self._known(names[place])).base
            if self.builder.root(value.name) in given or value.name in found:
                value = copied_alike(self.builder, value)
            found[value.name] = value
        self.edit.outputs += map(tensor, found)
        return [*found.values()]

    def offsets(self) -> dict[int, Size]:
        """Where the outputs that are rewritten begin in their storage, by position."""
        refs = {index: self.ref(name) for index, name in enumerate(flat(self.graph.outputs))}
        return {index: self.value(ref).meta.offset for index, ref in refs.items() if ref is not None}

    def _note_results(self, node: Node, offsets: dict[int, Size]) -> None:
        """A call's results: views of what was handed in, or tensors of their own."""
        for index, name in enumerate(flat(node.outputs)):
            ref = self.ref(name)
            if name is None or ref is None:
                continue
            with blocking(ref.storage):
                if not all(self._is_relocatable(one) for one in ref.way()):
                    raise Obstacle("a region returns a view of it that depends on its inside")
                meta = self.rewriter.meta(self.graph, name)
            if index in offsets and offsets[index] != meta.offset:
                meta = meta.with_(strides=meta.strides, offset=offsets[index])
                self.edit.record(name, meta.raw)
            value = Value(name, meta)
            if ref.is_base:
                self._states[ref] = State(value, value, shown={ref: value})
                self._values[ref] = value, 0
            elif ref.name == name:
                self._values[ref] = value, self.state(ref).version
                self.builder.roots[name] = self.builder.root(self.state(ref).base.name)

    # -- what shares memory

    def _separate(self) -> None:
        """Copy what has come to share memory that it did not share before, and take again what no longer does.

        What the graph returns stays apart from the inputs that it came to be, or to be a view of: the caller may write
        to it. Where it is handed out to a calling graph, results that were views of one tensor, made inside, stay
        that, and begin in it where they did.
        """
        handed_out = self.scope.caller is not None
        entries = {name for name in flat(self.graph.inputs) if name is not None}
        groups: dict[Ref, list[Ref]] = {}
        for name in flat(self.graph.outputs):
            ref = self.ref(name)
            if ref is not None and self.state(ref).version > 0:
                groups.setdefault(ref.base, []).append(ref)
        for base, refs in groups.items():
            if handed_out and base.name in entries:
                continue
            values = [self.current(ref, exact=True) for ref in refs]
            together = handed_out and len(refs) > 1
            if not together and not any(self._is_of_another(value, base, entries) for value in values):
                shifted = any(
                    value.meta.offset != self.recorded(ref).offset for ref, value in zip(refs, values, strict=True)
                )
                if not (handed_out and shifted):
                    continue
            state = self.state(base)
            if self._is_of_another(state.base, base, entries):
                state.base = copied_alike(self.builder, state.base)
                state.shown = {base: state.base}
            for ref in refs:
                self._taken_anew(ref)

    def _is_of_another(self, value: Value, base: Ref, entries: Container[str]) -> bool:
        """Whether a value lives in the memory of another of these inputs than the base."""
        root = self.builder.root(value.name)
        return root != base.name and root in entries

    def _unshared(self, argument: Argument, node: Node, position: int) -> Argument:
        """The operands that a branch or loop takes, those copied that came to share memory with another one: torch
        takes no aliases there.
        """
        names = [name for name in argument.tensors() if name is not None]
        before = [name for name in node.inputs[position].arg.tensors() if name is not None]
        roots = [self.builder.root(name) for name in names]
        left = Counter(roots)
        changed = False
        for index, (name, original) in enumerate(zip(names, before, strict=False)):
            if name != original and left[roots[index]] > 1:
                ref = self.ref(original)
                meta = self.rewriter.meta(self.graph, original) if ref is None else self.value(ref).meta
                left[roots[index]] -= 1
                names[index] = copied_alike(self.builder, Value(name, meta)).name
                changed = True
        return tensors(names) if changed else argument

    # -- the end

    def written_back(self, ref: Ref, taken: Container[str]) -> str:
        """The value to write back to an input, as torch can take it.

        torch tells mutation outputs apart by their names, so each has its own, which is that of a node. And
        ``torch.export.unflatten`` writes a value back where it is computed, not at the end: it must not exist while
        the old value is still read (as when two buffers swap what they hold).
        """
        state = self.state(ref)
        value = state.base
        born = self._born(value.name)
        if value.name not in taken and born is not None and self.builder.last_read.get(ref.base.name, -1) < born:
            return value.name
        self.builder.source = state.source
        return copied(self.builder, value).name

    def _born(self, value: str) -> int | None:
        """From where in ``edit.nodes`` on the value is there; None for an input."""
        if value in self.builder.born:
            return self.builder.born[value] + 1
        index = self.graph.makers.get(value)
        if index is None:
            return None
        return self._visited[bisect_right(self._visited, (index, len(self.edit.nodes) + 1))][1]

    def _output(self, argument: Argument) -> Argument:
        """An output of the graph under its current name. A tensor that the graph is given, and that in-place views have
        led back to what it was, is that tensor.
        """
        names = [name for name in argument.tensors() if name is not None]
        refs = {name: self.ref(name) for name in names}
        whole = {name: ref.base for name, ref in refs.items() if ref is not None and self._is_given(ref)}
        return renamed(
            argument,
            {
                name: self.current(whole[name], exact=True).name if name in whole else self.use(name, exact=True)
                for name in names
            },
        )

    def _is_given(self, ref: Ref) -> bool:
        """Whether an object is one that the program is given, which in-place views have changed."""
        base = ref.base
        held = base.storage.kind != "intermediate" and base.parent is None
        return held and ref is not base and moved_to(self._moved, base) is ref

    def handed_back(self, argument: Argument, output: Argument, written: Mapping[str, Ref]) -> Argument:
        """An output of the program, apart from what is written back: torch returns the input or buffer itself where an
        output has the name of a value that is written to it.
        """
        name, value = (next(iter(one.tensors()), None) for one in (argument, output))
        held = written.get(value) if value is not None else None
        if name is None or value is None or held is None or self.ref(name) is moved_to(self._moved, held):
            return output
        self.builder.source = self.state(held).source
        return tensor(copied_alike(self.builder, Value(value, self.state(held).base.meta)).name)

    def finish(self, referenced: Iterable[str] = ()) -> Graph:
        """The edited graph, without views and the like that nobody uses any more; ``referenced`` are names that
        something besides the graph refers to.
        """
        used = {name for output in self.edit.outputs for name in output.names()}
        used.update(referenced)
        left: set[str] = set()
        dropped: set[int] = set()
        for index in range(len(self.edit.nodes) - 1, -1, -1):
            node = self.edit.nodes[index]
            defined = node.results()
            may_go = index in self._views or (defined and self.builder.disposable.issuperset(defined))
            if may_go and used.isdisjoint(defined):
                self.edit.forget(defined)
                for name in defined:
                    self.builder.new_symbols.pop(name, None)
                dropped.add(index)
                continue
            used.update(node.reads())
            left.update(defined)
        self.edit.forget(self.gone.keys() - left)
        nodes: list[Node] = []
        whole = self.graph.nodes
        following = 0
        for (index, start), (_, end) in pairwise([*self._visited, (0, len(self.edit.nodes))]):
            nodes += whole[following:index]
            near = whole[min(index, len(whole) - 1)] if whole else None
            nodes += (_in_place_of(near, self.edit.nodes[place]) for place in range(start, end) if place not in dropped)
            following = index + 1
        self.edit.nodes = nodes
        for name, recorded in self.builder.new_symbols.items():
            self.edit.record_other("sym_int_values", name, recorded)
        changes: dict[str, Any] = {}
        if len(self.edit.outputs) != len(self.graph.outputs):
            changes["is_single_tensor_return"] = False
        return self.edit.finish(**changes)


def _carrying(
    call: GraphCall, inputs: list[NamedArgument], graphs: dict[int, Graph], written: list[int]
) -> tuple[list[NamedArgument], dict[int, Graph]]:
    """A loop's operands and graphs with what it writes among what it carries."""
    lists = call.rule.lists
    carried, captured = (inputs[position] for position in lists[:2])
    count = len(carried.arg.as_tensors or ())
    held = captured.arg.as_tensors
    if carried.arg.as_tensors is None or held is None:
        raise AssertionError("what a loop writes is among tensors")
    places = {place - count: place for place in written}
    inputs = list(inputs)
    inputs[lists[0]] = with_operand(carried, tensors(carried.arg.names() + [held[place].name for place in places]))
    rest = [one.name for place, one in enumerate(held) if place not in places]
    inputs[lists[1]] = with_operand(captured, tensors(rest))

    def reordered(graph: Graph) -> Graph:
        entries = graph.inputs
        moved_in = [entries[place] for place in written]
        left = [one for place, one in enumerate(entries[count:]) if place not in places]
        return msgspec.structs.replace(graph, inputs=[*entries[:count], *moved_in, *left])

    changed = {
        position: reordered(graphs.get(position) or GraphEdit(graph).untouched())
        for position, graph in call.graphs.items()
    }
    return inputs, changed


def _stands_alone(step: Step) -> bool:
    """Whether a view depends on no other value than on the one that it shows."""
    return all(len(operand.arg.names()) <= (operand.name == step.operand) for operand in step.node.inputs)


def _in_place_of(original: Node | None, node: Node) -> Node:
    """A node in the module that the one whose place it takes belongs to, wherever its metadata come from:
    ``torch.export.unflatten`` takes nodes of a module that stand apart for several of its calls.
    """
    stack = original.metadata.get("nn_module_stack") if original is not None else None
    if stack is None or node.metadata.get("nn_module_stack") == stack:
        return node
    return msgspec.structs.replace(node, metadata={**node.metadata, "nn_module_stack": stack})
