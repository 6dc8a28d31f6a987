"""Walking one graph as an interpreter would: which value shows which tensor object, and what stands for each node."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import msgspec

from graphlint.analysis.aliasing import Storage
from graphlint.analysis.calls import CONVENTIONS, convention, operand_names
from graphlint.analysis.precision import UNSURE_DTYPE
from graphlint.analysis.sites import Scope, Site
from graphlint.analysis.view import Write
from graphlint.ops.info import OpInfo
from graphlint.passes.mutation.build import Builder, Obstacle
from graphlint.passes.mutation.values import Meta, Size, Value
from graphlint.passes.mutation.views import Step, invert, moved, replay
from graphlint.passes.mutation.writes import NORMALIZATIONS, RESHAPED, Call, Target, batch_norm, functional, restrided
from graphlint.program.arguments import Json, renamed, renamed_operands, tensor, tensor_names, value_names
from graphlint.program.document import GraphEdit
from graphlint.program.model import Argument, NamedArgument, Node

if TYPE_CHECKING:
    from graphlint.passes.mutation.rewriting import Rewriter


class Blocked(Exception):  # noqa: N818  # control flow: plan again without these storages
    """Something keeps storages from being functionalized that came up on the way."""

    def __init__(self, storages: Iterable[Storage], reason: str) -> None:
        super().__init__(reason)
        self.storages = set(storages)
        self.reason = reason


class _Store(msgspec.Struct, eq=False):
    """A storage while the graph is walked."""

    storage: Storage
    base: Value
    origin: Value
    version: int = 0
    source: Json = {}
    """Metadata of the node that wrote it last."""
    shown: dict[tuple[tuple[int, int], ...], Value] = {}
    """Views of the current base that exist already, by their steps."""


class _Object(msgspec.Struct, eq=False):
    """A tensor object of the original program: what one or more names (in-place ops return their operand) mean."""

    store: _Store
    steps: tuple[Step, ...]
    value: Value
    """The value that shows it, of the version below."""
    version: int

    @property
    def key(self) -> tuple[tuple[int, int], ...]:
        return _key(self.steps)

    @property
    def recorded(self) -> Meta:
        """What the artifact records of it."""
        return self.steps[-1].meta if self.steps else self.store.origin.meta


_DEEPEST: Final = 200
"""Views of one another that are taken again: each is kept by the way to it, so that chains take quadratic memory."""


def _key(steps: tuple[Step, ...]) -> tuple[tuple[int, int], ...]:
    return tuple([(id(step.node), step.index) for step in steps]) if steps else ()


class Frame:
    """One graph of the program while it is walked."""

    def __init__(self, rewriter: Rewriter, scope: Scope, raw: Json) -> None:
        self.rewriter = rewriter
        self.scope = scope
        self.doubts = rewriter.precision.doubts(scope.graph)
        self.graph = scope.graph
        self.raw = raw
        self.edit = GraphEdit(raw, scope.graph)
        self.builder = Builder(self.edit, rewriter.dialect, rewriter.ops, raw.get("sym_int_values", {}), rewriter.sizes)
        self.objects: dict[str, _Object] = {}
        self.gone: dict[str, str] = {}
        """Names that the rewrite does away with, and what stands for them."""
        self.visited: list[tuple[int, int]] = []
        """The nodes that were looked at, by their index in the graph, and where in ``edit.nodes`` what stands for each
        begins. The others, most of a graph's nodes, stay as they are and are not even parsed.
        """
        self.shown = rewriter.aliasing.showing(self.graph, rewriter.active)
        """The graph's values that may show a storage which is rewritten."""
        self._metas: dict[int, Meta] = {}
        """By identity of their JSON."""
        self.views: set[int] = set()
        """Indices into ``edit.nodes`` of views, which may go when nobody uses them."""

    # -- tracking

    def meta(self, name: str) -> Meta:
        """What is recorded of a value. Raises :class:`Obstacle` where that is too little."""
        if name in self.doubts:
            raise Obstacle(UNSURE_DTYPE.format(name))
        raw = self.raw["tensor_values"].get(name)
        meta = self._metas.get(id(raw))
        if meta is None:
            meta = None if raw is None else Meta(raw)
            if meta is None or not meta.plain:
                raise Obstacle(f"the artifact records too little of %{name}")
            self._metas[id(raw)] = meta
        return meta

    def placeholders(self) -> Iterable[tuple[str, Storage]]:
        """Tensor inputs that show an active storage, whole."""
        for argument in self.graph.inputs:
            for name in argument.tensors():
                if name is None:
                    continue
                aliases = self.rewriter.aliasing.aliases(self.scope, name)
                if len(aliases) == 1 and aliases[0].storage in self.rewriter.active:
                    yield name, aliases[0].storage

    def adopt_input(self, name: str, storage: Storage) -> _Object:
        """Track an input as the base of a storage (in a region: of what the region sees of it)."""
        known = next((one.store for one in self.objects.values() if one.store.storage is storage), None)
        if known is None:
            return self._adopt(name, storage)
        # Two inputs in the same memory, such as tied weights. From here on the first one stands for both.
        value = Value(name, self._known_meta(name, storage))
        if not value.meta.same_layout(known.origin.meta) or value.meta.offset != known.origin.meta.offset:
            raise Blocked([storage], f"%{name} shows its memory in another shape")
        self.objects[name] = _Object(known, (), known.base, known.version)
        return self.objects[name]

    def _known_meta(self, name: str, storage: Storage) -> Meta:
        try:
            return self.meta(name)
        except Obstacle as reason:
            raise Blocked([storage], str(reason)) from None

    def _adopt(self, name: str, storage: Storage) -> _Object:
        value = Value(name, self._known_meta(name, storage))
        tracked = _Object(_Store(storage, value, value), (), value, 0)
        tracked.store.shown[()] = value
        self.objects[name] = tracked
        return tracked

    def use(self, name: str, *, exact: bool) -> str:
        """The name to read for a value of the original program, taken again from its base where it was written.

        ``exact`` asks for the recorded strides too: views depend on them, and so do the strides of what other ops make.
        """
        tracked = self.objects.get(name)
        if tracked is None:
            return self.gone.get(name, name)
        current = tracked.version == tracked.store.version
        if not current or (exact and not tracked.value.meta.same_strides(tracked.recorded)):
            try:
                tracked.value = self._show(tracked.store, tracked.steps)
            except Obstacle as reason:
                raise Blocked([tracked.store.storage], str(reason)) from None
            tracked.version = tracked.store.version
        return tracked.value.name

    def _show(self, store: _Store, steps: tuple[Step, ...]) -> Value:
        """The value of a chain of views of the current base, taken again where it does not exist yet."""
        if len(steps) > _DEEPEST:
            raise Obstacle(f"it is reached through more than {_DEEPEST} views, one of the other")
        key = _key(steps)
        known = store.shown.get(key)
        if known is not None:
            return known
        if not steps:
            return store.base
        parent = self._show(store, steps[:-1])
        self.views.add(len(self.edit.nodes))
        values = replay(self.builder, steps[-1], parent, lambda name: self.use(name, exact=False))
        for index, value in enumerate(values):
            sibling = (*key[:-1], (id(steps[-1].node), index))
            store.shown[sibling] = value
        return store.shown[key]

    # -- walking

    def walk(self) -> None:
        """Rewrite what has to be."""
        for argument in self.graph.inputs:
            self.builder.define(argument.symbols())
        for index, node, takes in self._concerned():
            if not takes:
                self._adopt_results(node)
                self.builder.define(node.results())
                continue
            raw = self.raw["nodes"][index]
            self.builder.source = raw.get("metadata", {})
            self.visited.append((index, len(self.edit.nodes)))
            writes = self.rewriter.writes.get(id(node), [])
            if any(write.target.storage in self.rewriter.active for write in writes):
                self._write(node, raw, writes)
            elif node.subgraphs():
                self._call(node, raw, index)
            else:
                self._copy(node, raw)
            self.builder.define(node.results())
        self.visited.append((len(self.graph.nodes), len(self.edit.nodes)))

    def _concerned(self) -> Iterator[tuple[int, Node, bool]]:
        """The nodes that have to do with what is rewritten, each with its index: those that take a value in a storage
        which is rewritten, or call graphs (True); those that only make one, or compute a size (False).
        """
        shown = self.shown
        sized = bool(self.graph.sym_int_values)
        for index, node in enumerate(self.graph.nodes):
            # Most operands and results are one tensor or a number: a list for each would cost more than the rest.
            for operand in node.inputs:
                argument = operand.arg
                if argument.as_tensor is not None:
                    if argument.as_tensor.name in shown:
                        yield index, node, True
                        break
                elif argument.is_constant:
                    continue
                elif argument.as_graph is not None or not shown.isdisjoint(argument.tensors()):
                    yield index, node, True
                    break
            else:
                for output in node.outputs:
                    if output.as_tensor is not None:
                        if output.as_tensor.name in shown:
                            yield index, node, False
                            break
                    elif sized or not shown.isdisjoint(output.tensors()):
                        yield index, node, False
                        break

    def _renamed(self, node: Node, raw: Json, *, exact: bool) -> Json:
        """The node with its operands under their current names."""
        mapping: dict[str, str] = {}
        for operand in node.inputs:
            for name in operand.arg.tensors():
                if name is not None:
                    current = self.use(name, exact=exact)
                    if current != name:
                        mapping[name] = current
        return renamed_operands(raw, mapping)

    def _copy(self, node: Node, raw: Json) -> None:
        """A node that writes nothing, or whose writes stay."""
        op = self.rewriter.ops.lookup(node.target)
        edited = self._renamed(node, raw, exact=True)
        self.edit.nodes.append(edited)
        self._track_results(node, raw, op)

    def _adopt_results(self, node: Node) -> None:
        """The results of a node that takes nothing in a storage which is rewritten."""
        for output in node.outputs:
            for result in output.tensors():
                if result in self.shown:
                    aliases = self.rewriter.aliasing.aliases(self.scope, str(result))
                    if len(aliases) == 1 and aliases[0].storage in self.rewriter.active:
                        self._adopt(str(result), aliases[0].storage)

    def _track_results(self, node: Node, raw: Json, op: OpInfo | None) -> None:
        aliasing = self.rewriter.aliasing
        results = [name for output in node.outputs for name in output.tensors() if name is not None]
        if self.shown.isdisjoint(results):
            return
        for index, result in enumerate(results):
            aliases = aliasing.aliases(self.scope, result)
            if len(aliases) != 1 or aliases[0].storage not in self.rewriter.active:
                continue
            storage = aliases[0].storage
            viewed = self._viewed_operand(node, op, storage)
            if viewed is None:
                self._adopt(result, storage)
                continue
            operand, tracked = viewed
            try:
                metas = tuple(self.meta(name) for name in results)
                step = Step(node, raw, op.name if op is not None else "", operand, index, tracked.recorded, metas)
                value = Value(result, moved(step, step.meta, tracked.value.meta))
            except Obstacle as reason:
                raise Blocked([storage], str(reason)) from None
            steps = (*tracked.steps, step)
            if value.meta is not step.meta:
                self.edit.record(result, value.meta.raw)
            self.objects[result] = _Object(tracked.store, steps, value, tracked.store.version)
            tracked.store.shown[_key(steps)] = value
            self.views.add(len(self.edit.nodes) - 1)

    def _viewed_operand(self, node: Node, op: OpInfo | None, storage: Storage) -> tuple[str, _Object] | None:
        """The operand that a result is a view of: argument and object."""
        for rule in op.aliases if op is not None else ():
            argument = node.input(rule.argument)
            for name in argument.tensors() if argument is not None else ():
                tracked = self.objects.get(name) if name is not None else None
                if tracked is not None and tracked.store.storage is storage:
                    if argument is None or argument.as_tensor is None:
                        raise Blocked([storage], f"%{name} is viewed as one of a list of tensors")
                    return rule.argument, tracked
        return None

    # -- writes

    def _write(self, node: Node, raw: Json, writes: list[Write]) -> None:
        """A node whose writes become data flow."""
        op = writes[0].site.op
        storages = [write.target.storage for write in writes]
        if op is None:
            raise AssertionError("an unknown op was taken for a write that can be functionalized")
        try:
            _check_results(op, node)
            objects = [self._object(write) for write in writes]
            if op.in_place_view:
                self._view_in_place(node, raw, op, objects[0])
                return
            _check_apart(op, objects)
            call = self._call_of(node, raw, op, writes, objects)
            if op.name in NORMALIZATIONS:
                self._normalize(node, call, objects)
                return
            if op.out_variant:
                self._check_out(node, writes)
            values = functional(self.builder, call, self.rewriter.ops)
            results = self._results_of(node, op, writes)
            for tracked, value, names in zip(objects, values, results, strict=True):
                self._settle(tracked, value, names)
        except Obstacle as reason:
            raise Blocked(storages, str(reason)) from None

    def _object(self, write: Write) -> _Object:
        tracked = self.objects.get(write.value)
        if tracked is None:
            raise Obstacle(f"%{write.value} shows its memory in a way that cannot be followed")
        return tracked

    def _call_of(self, node: Node, raw: Json, op: OpInfo, writes: list[Write], objects: list[_Object]) -> Call:
        if not all(_is_union(operand["arg"]) for operand in raw["inputs"]):
            raise Obstacle(f"an argument of {op.name} is of no known kind")
        exact = op.draws(node)  # random numbers are drawn in the order of strides
        edited = self._renamed(node, raw, exact=exact)
        metas: dict[str, Meta] = {}
        mutable: set[str] = set()
        overlapping: set[str] = set()
        for operand in node.inputs:
            for index, name in enumerate(operand.arg.tensors()):
                if name is None:
                    continue
                tracked = self.objects.get(name)
                if self._reads_a_target(operand, index, tracked, writes, objects):
                    overlapping.add(self.use(name, exact=exact))
                current = self.use(name, exact=exact)
                metas[current] = tracked.value.meta if tracked is not None else self.meta(name)
                if not self._is_immutable(name, tracked):
                    mutable.add(current)
        targets = tuple(
            Target(write.argument, Value(self.use(write.value, exact=exact), tracked.value.meta))
            for write, tracked in zip(writes, objects, strict=True)
        )
        outside = frozenset(
            target.value.name
            for target, tracked in zip(targets, objects, strict=True)
            if tracked.store.storage.kind != "intermediate"
        )
        autocast = any(_enables_autocast(caller.node) for caller in self.scope.callers())
        return Call(
            op, edited, targets, metas, lambda name: name not in mutable, outside, frozenset(overlapping), autocast
        )

    def _reads_a_target(
        self, operand: NamedArgument, index: int, tracked: _Object | None, writes: list[Write], objects: list[_Object]
    ) -> bool:
        """Whether an operand that is no target shows elements of one. Raises :class:`Obstacle` where they are those of
        another element of a list, which may have been written before it is read, or some of a target's but not in its
        order, which torch refuses or leaves undefined.
        """
        if tracked is None or any(write.argument == operand.name for write in writes):
            return False
        shared = [place for place, one in enumerate(objects) if one.store is tracked.store]
        if len(objects) > 1 and operand.arg.as_tensors is not None and shared not in ([], [index]):
            raise Obstacle(f"{writes[0].site.name} reads a tensor of the list that it writes")
        for place in shared:
            mine, target = tracked.recorded, objects[place].recorded
            same = (mine.shape, mine.offset) == (target.shape, target.offset) and mine.same_strides(target)
            if not same and mine.intersects(target):
                raise Obstacle(f"{writes[0].site.name} reads memory that it writes")
        return bool(shared)

    def _is_immutable(self, name: str, tracked: _Object | None) -> bool:
        """Whether the memory behind a value is not written after this point, neither by what stays in place nor by
        the write-back of mutation outputs.
        """
        if tracked is not None:
            return tracked.store.version > 0 or tracked.store.storage.kind == "intermediate"
        aliases = self.rewriter.aliasing.aliases(self.scope, name)
        disturbed = self.rewriter.disturbed | self.rewriter.active
        return not any(alias.storage in disturbed for alias in aliases)

    def _check_out(self, node: Node, writes: list[Write]) -> None:
        """``out=`` resizes a tensor of another shape: its recorded shape before must be the result's."""
        results = [name for output in node.outputs for name in output.tensors() if name is not None]
        for write, result in zip(writes, results, strict=False):
            if self.meta(write.value).shape != self.meta(result).shape:
                raise Obstacle(RESHAPED)

    def _results_of(self, node: Node, op: OpInfo, writes: list[Write]) -> list[list[str]]:
        """For each write, the node's results that are the written tensor itself."""
        results = [[name for name in output.tensors() if name is not None] for output in node.outputs]
        if not results or op.schema is None:
            return [[] for _ in writes]
        found: list[list[str]] = []
        for write in writes:
            argument = op.schema.argument(write.argument)
            names = [
                name
                for position, returned in enumerate(op.schema.returns)
                if argument is not None and returned.alias is not None and returned.alias == argument.alias
                for name in (results[position] if position < len(results) else [])
            ]
            found.append(names)
        return found

    def _settle(self, tracked: _Object, value: Value, results: list[str]) -> None:
        """Make ``value`` what the object shows, and the base that which follows; ``results`` are its new names."""
        if len(value.meta.shape) != len(tracked.recorded.shape):
            raise Obstacle(f"the artifact contradicts itself on the shape of %{tracked.value.name}")
        if results:
            value = self._named(value, results[0])
        store, steps = tracked.store, tracked.steps
        parents = [self._show(store, steps[:depth]) for depth in range(len(steps))]
        shown = {_key(steps): value} if value.meta.same_strides(tracked.recorded) else {}
        base = value
        for depth in reversed(range(len(steps))):
            base = invert(self.builder, steps[depth], parents[depth], base)
            parent = steps[depth].parent
            if depth and base.meta.same_strides(parent):
                shown[_key(steps[:depth])] = base
        base = restrided(self.builder, base, store.base)
        store.base = base
        store.source = self.builder.source
        store.version += 1
        shown[()] = base
        store.shown = shown
        tracked.value = value if steps else base
        tracked.version = store.version
        for name in results:
            self.objects[name] = tracked
            if name != tracked.value.name:
                self.gone[name] = tracked.value.name

    def _named(self, value: Value, name: str) -> Value:
        """Give a value that this node made the name that its result had, so that the graph changes little."""
        return Value(name, value.meta) if self._rename(value.name, name) else value

    def _rename(self, name: str, new: str) -> bool:
        """Rename a result of the last nodes that were emitted; whether it is one."""
        for index in range(len(self.edit.nodes) - 1, -1, -1):
            node = self.edit.nodes[index]
            if node.get("metadata") is not self.builder.source or index < self.visited[-1][1]:
                return False
            if tensor(name) in node["outputs"]:
                outputs = [tensor(new) if output == tensor(name) else output for output in node["outputs"]]
                named = {**node, "outputs": outputs}
                if node.get("name") == name:
                    named["name"] = new
                self.edit.nodes[index] = named
                for later in range(index + 1, len(self.edit.nodes)):
                    self.edit.nodes[later] = renamed_operands(self.edit.nodes[later], {name: new})
                self.edit.rename(name, new)
                # What shows nothing that is rewritten is read by nodes that are not looked at, and must stay.
                if name in self.builder.disposable and new in self.shown:
                    self.builder.disposable.add(new)
                return True
        return False

    def _view_in_place(self, node: Node, raw: Json, op: OpInfo, tracked: _Object) -> None:
        """``t_`` and the like: the object becomes another view of the same storage."""
        if op.functional_twin is None:
            raise Obstacle(f"{op.name} has no out-of-place form")
        if len(node.results()) != 1:
            raise Obstacle(f"this file says that {op.name} has {len(node.results())} results")
        (result,) = node.results()
        current = self._renamed(node, raw, exact=True)
        edited = {**current, "target": f"torch.ops.{op.functional_twin}"}
        self.edit.nodes.append(edited)
        self.views.add(len(self.edit.nodes) - 1)
        step = Step(
            node,
            {**raw, "target": edited["target"]},
            op.functional_twin,
            "self",
            0,
            tracked.recorded,
            (self.meta(result),),
        )
        tracked.value = Value(result, moved(step, step.meta, tracked.value.meta))
        self.edit.record(result, tracked.value.meta.raw)
        tracked.steps = (*tracked.steps, step)
        tracked.version = tracked.store.version
        tracked.store.shown[tracked.key] = tracked.value
        self.objects[result] = tracked

    def _normalize(self, node: Node, call: Call, objects: list[_Object]) -> None:
        """Batch norm in training mode: its results, and the statistics as results of their own."""
        if call.autocast and "autocast" in call.op.tags:
            raise Obstacle(f"autocast may cast what {call.op.name} is given")
        names = [name for output in node.outputs for name in output.tensors() if name is not None]
        results, statistics = batch_norm(self.builder, call, [self.meta(name) for name in names])
        for name, value in zip(names, results, strict=True):
            self._rename(value.name, name)
        self._track_results(node, call.raw, None)
        for tracked, value in zip(objects, statistics, strict=True):
            self._settle(tracked, value, [])

    # -- subgraphs

    def _call(self, node: Node, raw: Json, index: int) -> None:
        """A node that calls graphs: rewrite those that hold writes; a region hands out what it wrote outside."""
        edited = self._renamed(node, raw, exact=True)
        site = Site(self.scope, index, -1, node, self.rewriter.ops.lookup(node.target))
        inputs = list(edited["inputs"])
        handed: list[tuple[str, Value]] = []
        returned: dict[int, tuple[str, tuple[Step, ...]]] = {}
        offsets: dict[int, Size] = {}
        rule = convention(node)
        operands = operand_names(node, rule) if rule is not None else []
        if rule is not None and rule.fresh_results:
            for position in rule.lists:
                inputs[position] = {**inputs[position], "arg": self._apart(inputs[position]["arg"], node, position)}
        for position, operand in enumerate(node.inputs):
            reference = operand.arg.as_graph
            if reference is None or id(reference.graph) not in self.rewriter.touched:
                continue
            raw_reference = raw["inputs"][position]["arg"]["as_graph"]
            scope = Scope(reference.graph, (*self.scope.path, node.label, reference.name), site)
            frame = Frame(self.rewriter, scope, raw_reference["graph"])
            outside = dict(zip((next(iter(a.tensors()), None) for a in reference.graph.inputs), operands, strict=False))
            given, aliased = frame.rewrite_subgraph(outside)
            handed += given
            returned.update(aliased)
            if len(rule.results_of if rule is not None else ()) == 1:
                offsets = frame.offsets()
            graph = frame.finish(raw_reference["graph"])
            argument = {**raw["inputs"][position]["arg"], "as_graph": {**raw_reference, "graph": graph}}
            inputs[position] = {**inputs[position], "arg": argument}
        edited = {**edited, "inputs": inputs}
        names: list[str] = []
        if handed:
            names = [self.edit.claim(value.name) for _, value in handed]
            edited.update(self.rewriter.dialect.returning_also(edited, names))
        self.edit.nodes.append(edited)
        for (outside_name, value), result in zip(handed, names, strict=True):
            meta = value.meta.with_(offset=value.meta.offset)
            self.edit.record(result, meta.raw)
            tracked = self.objects[outside_name]
            try:
                self._settle(tracked, Value(result, meta), [])
            except Obstacle as reason:
                raise Blocked([tracked.store.storage], str(reason)) from None
        self._track_call(node, returned)
        for index, name in enumerate(name for output in node.outputs for name in (output.tensors() or [None])):
            if name is not None and index in offsets:
                self._begins_at(name, offsets[index])

    def _begins_at(self, result: str, offset: Size) -> None:
        """Record where a region's result begins in its storage now."""
        try:
            recorded = self.meta(result)
        except Obstacle as reason:
            raise Blocked(self.rewriter.active, str(reason)) from None
        value = Value(result, recorded.with_(strides=recorded.strides, offset=offset))
        self.edit.record(result, value.meta.raw)
        tracked = self.objects.get(result)
        if tracked is not None:
            tracked.value = value

    def offsets(self) -> dict[int, Size]:
        """Where the outputs that were rewritten begin in their storage, by position."""
        names = [name for argument in self.graph.outputs for name in (argument.tensors() or [None])]
        tracked = {index: self.objects.get(name) for index, name in enumerate(names) if name is not None}
        return {index: one.value.meta.offset for index, one in tracked.items() if one is not None}

    def _track_call(self, node: Node, returned: Mapping[int, tuple[str, tuple[Step, ...]]]) -> None:
        """A call's results: views of what was handed in, or tensors of their own."""
        names = [name for output in node.outputs for name in (output.tensors() or [None])]
        for index, result in enumerate(names):
            aliases = self.rewriter.aliasing.aliases(self.scope, result) if result is not None else ()
            if result is None or len(aliases) != 1 or aliases[0].storage not in self.rewriter.active:
                continue
            storage = aliases[0].storage
            if index in returned:
                operand, steps = returned[index]
                seen = self.objects[operand]
                value = Value(result, self._known_meta(result, storage))
                self.objects[result] = _Object(seen.store, (*seen.steps, *steps), value, seen.store.version)
            elif any(known.store.storage is storage for known in self.objects.values()):
                raise Blocked([storage], f"{node.op} returns a view of it")
            else:
                self._adopt(result, storage)

    def _share_as_before(self) -> None:
        """What the graph hands out of memory born inside shares it, and begins in it, as it did: the caller may write
        to it, and take views.
        """
        returned = [self.objects[name] for one in self.graph.outputs for name in one.tensors() if name in self.objects]
        entries = {name for one in self.graph.inputs for name in one.tensors()}
        for tracked in returned:
            store = tracked.store
            together = sum(one.store is store for one in returned) > 1
            if store.version == 0 or store.origin.name in entries:
                continue
            if together and self._root(store.base.name) in entries:
                value = tensor(store.base.name)
                store.base = self.builder.emit("aten.clone.default", [value], store.base.meta.dense(), "clone")
                store.shown.clear()
            if together or tracked.value.meta.offset != tracked.recorded.offset:
                tracked.value = self._taken_anew(store, tracked.steps)
                tracked.version = store.version

    def return_own(self) -> None:
        """What the program returns stays apart from the inputs that it came to be, or to be a view of: the caller may
        write to it, and would write to what the caller or the module holds.
        """
        entries = {name for one in self.graph.inputs for name in one.tensors()}
        made = {name: node for node in self.edit.nodes for name in _results_of(node)}
        for name in (name for argument in self.graph.outputs for name in argument.tensors() if name in self.objects):
            tracked = self.objects[str(name)]
            store = tracked.store
            own = store.origin.name
            if store.version == 0 or self._root(self.use(str(name), exact=True), made) not in entries - {own}:
                continue
            if self._root(store.base.name, made) in entries - {own}:
                value = tensor(store.base.name)
                store.base = self.builder.emit("aten.clone.default", [value], store.base.meta.dense(), "clone")
                store.shown.clear()
            tracked.value = self._taken_anew(store, tracked.steps)

    def _taken_anew(self, store: _Store, steps: tuple[Step, ...]) -> Value:
        """A chain of views of the current base, in its memory, even where the value is at hand elsewhere."""
        value = store.base
        for step in steps:
            self.views.add(len(self.edit.nodes))
            try:
                value = replay(self.builder, step, value, lambda name: self.use(name, exact=False))[step.index]
            except Obstacle as reason:
                raise Blocked([store.storage], str(reason)) from None
        return value

    def _copied_out(self, output: Json, argument: Argument) -> Json:
        """An output that came to be an input as it is, or a view of one, copied: branches and loops may not return
        one, and what a region returns may be written by its caller.
        """
        original = next(iter(argument.tensors()), None)
        tracked = self.objects.get(original) if original is not None else None
        names = tensor_names(output)
        entries = {name for one in self.graph.inputs for name in one.tensors()}
        if tracked is None or tracked.store.origin.name in entries or self._root(names[0]) not in entries:
            return output
        clone = self.builder.emit("aten.clone.default", [tensor(names[0])], tracked.value.meta.dense(), "clone")
        tracked.value = clone
        return tensor(clone.name)

    def _apart(self, argument: Json, node: Node, position: int) -> Json:
        """The operands that a branch or loop takes, those copied that came to share memory with another one: torch
        takes no aliases there.
        """
        apart: dict[int, str] = {}
        names = tensor_names(argument)
        roots = [self._root(name) for name in names]
        before = [name for name in node.inputs[position].arg.tensors() if name is not None]
        for index, (name, original) in enumerate(zip(names, before, strict=False)):
            if name != original and roots.count(roots[index]) > 1:
                meta = self.objects[original].value.meta if original in self.objects else self.meta(original)
                clone = self.builder.emit("aten.clone.default", [tensor(name)], meta.dense(), "clone")
                apart[index] = roots[index] = clone.name
        if not apart:
            return argument
        return {"as_tensors": [{"name": apart.get(index, name)} for index, name in enumerate(names)]}

    def _root(self, name: str, made: Mapping[str, Json] | None = None) -> str:
        """The value whose memory a value shows, as far as the nodes that there are now tell; ``made`` are those by
        their results, if somebody has them.
        """
        while True:
            if made is not None:
                node = made.get(name)
            else:
                node = next((one for one in reversed(self.edit.nodes) if name in _results_of(one)), None)
            if node is None and name in self._definers:
                node = self.raw["nodes"][self._definers[name]]
            shown = self._shown_operand(node, name) if node is not None else None
            if shown is None:
                return name
            name = shown

    def _shown_operand(self, node: Json, name: str) -> str | None:
        """The operand whose memory a node's result may show: that of a view, or one that a region hands out again."""
        op = self.rewriter.ops.lookup(node["target"])
        viewed = {rule.argument for rule in op.aliases} if op is not None else set()
        for operand in node["inputs"]:
            if operand["name"] in viewed and operand["arg"].get("as_tensor"):
                return str(operand["arg"]["as_tensor"]["name"])
        rule = CONVENTIONS.get(node["target"].rpartition(".")[2])
        if rule is None or rule.rest is None:
            return None
        graph = node["inputs"][rule.graphs[0]]["arg"]["as_graph"]["graph"]
        inner = _flat(graph["outputs"])[_flat(node["outputs"]).index(name)]
        for one in reversed(graph["nodes"]):
            if inner in _results_of(one):
                inner = self._shown_operand(one, str(inner))
        entries = _flat(graph["inputs"])
        if inner is None or inner not in entries:
            return None
        return _flat([operand["arg"] for operand in node["inputs"][rule.rest :]])[entries.index(inner)]

    @cached_property
    def _definers(self) -> dict[str, int]:
        """The nodes that define the graph's values."""
        return {name: index for index, node in enumerate(self.graph.nodes) for name in node.results()}

    def rewrite_subgraph(
        self, outside: Mapping[str | None, str | None]
    ) -> tuple[list[tuple[str, Value]], dict[int, tuple[str, tuple[Step, ...]]]]:
        """Walk a subgraph. What it hands out: the caller's operand and the new value, for each that it wrote; and
        which of its outputs are views of the caller's operands.
        """
        entered: dict[str, _Object] = {}
        for entry, storage in list(self.placeholders()):
            if any(one.store.storage is storage for one in entered.values()):
                raise Blocked([storage], "a region sees its memory through several operands")
            entered[entry] = self.adopt_input(entry, storage)
        self.walk()
        self._share_as_before()
        outputs = [
            self.output(raw, argument) for raw, argument in zip(self.raw["outputs"], self.graph.outputs, strict=True)
        ]
        outputs = [self._copied_out(*pair) for pair in zip(outputs, self.graph.outputs, strict=True)]
        returned: dict[int, tuple[str, tuple[Step, ...]]] = {}
        names = [name for argument in self.graph.outputs for name in (argument.tensors() or [None])]
        for index, name in enumerate(names):
            tracked = self.objects.get(name) if name is not None else None
            entry_name = next((e for e, one in entered.items() if tracked and one.store is tracked.store), None)
            operand = outside.get(entry_name) if entry_name is not None else None
            if tracked is None or entry_name is None:
                continue
            if operand is None or not all(_relocatable(step) for step in tracked.steps):
                raise Blocked([tracked.store.storage], "a region returns a view of it that depends on its inside")
            returned[index] = (operand, tracked.steps)
        handed: list[tuple[str, Value]] = []
        for entry, one in entered.items():
            if one.store.version == 0:
                continue
            operand = outside.get(entry)
            if operand is None:
                raise Blocked([one.store.storage], "a region writes a tensor that it was not handed")
            handed.append((operand, one.store.base))
            outputs.append(tensor(one.store.base.name))
        self.edit.outputs = outputs
        return handed, returned

    # -- the end

    def written_back(self, store: _Store, taken: set[str]) -> str:
        """The value to write back, as torch can take it.

        torch tells mutation outputs apart by their names, so each has its own, which is that of a node. And
        ``torch.export.unflatten`` writes a value back where it is computed, not at the end: it must not exist while
        the old value is still read (as when two buffers swap what they hold).
        """
        value = store.base
        inputs = {name for argument in self.edit.inputs for name in tensor_names(argument)}
        if value.name not in taken | inputs and not self._read_after(store.origin.name, value.name):
            return value.name
        self.builder.source = store.source
        return self.builder.emit("aten.clone.default", [tensor(value.name)], value.meta.dense(), "clone").name

    def _read_after(self, entry: str, value: str) -> bool:
        """Whether a node after the one that computes ``value`` reads ``entry``, or a view of it."""
        shown = {entry}
        born = self._born(value)
        for place, node in enumerate(self.edit.nodes):  # what was not looked at reads neither
            if shown.intersection(name for operand in node["inputs"] for name in tensor_names(operand["arg"])):
                if place >= born:
                    return True
                op = self.rewriter.ops.lookup(node["target"])
                if op is None or op.aliases:
                    shown.update(_results_of(node))
        return False

    def _born(self, value: str) -> int:
        """From where in ``edit.nodes`` on the value is there."""
        for place, node in enumerate(self.edit.nodes):
            if value in _results_of(node):
                return place + 1
        index = self._definers.get(value, -1)
        return next(start for visited, start in self.visited if visited > index)

    def output(self, raw: Json, argument: Argument) -> Json:
        """An output of the graph under its current name."""
        mapping = {name: self.use(name, exact=True) for name in argument.tensors() if name is not None}
        return renamed(raw, mapping)

    def finish(self, whole: Json, referenced: Iterable[str] = ()) -> Json:
        """The edited graph, without views and the like that nobody uses any more; ``whole`` is all of its JSON,
        ``referenced`` are names that something besides the graph refers to.
        """
        used = {name for output in self.edit.outputs for name in value_names(output)}
        used.update(referenced)
        left: set[str] = set()
        dropped: set[int] = set()
        for index in range(len(self.edit.nodes) - 1, -1, -1):
            node = self.edit.nodes[index]
            defined = [name for output in node["outputs"] for name in value_names(output)]
            may_go = index in self.views or (defined and self.builder.disposable.issuperset(defined))
            if may_go and not used.intersection(defined):
                self.edit.forget(defined)
                for name in defined:
                    self.builder.new_symbols.pop(name, None)
                dropped.add(index)
                continue
            for operand in node["inputs"]:
                used.update(value_names(operand["arg"]))
            left.update(defined)
        self.edit.forget(self.gone.keys() - left)
        nodes: list[Json] = []
        following = 0
        for (index, start), (_, end) in pairwise([*self.visited, (0, len(self.edit.nodes))]):
            nodes += whole["nodes"][following:index]
            near = whole["nodes"][min(index, len(whole["nodes"]) - 1)]
            nodes += (_in_place_of(near, self.edit.nodes[place]) for place in range(start, end) if place not in dropped)
            following = index + 1
        self.edit.nodes = nodes
        changes: dict[str, Any] = {}
        if self.builder.new_symbols:
            changes["sym_int_values"] = {**self.raw.get("sym_int_values", {}), **self.builder.new_symbols}
        if len(self.edit.outputs) != len(self.raw["outputs"]):
            changes["is_single_tensor_return"] = False
        return self.edit.finish(whole, **changes)


def _enables_autocast(node: Node) -> bool:
    """Whether the node is an autocast region that casts: device, dtype, enabled, …"""
    return node.target.endswith(".wrap_with_autocast") and not (
        len(node.inputs) > 2 and node.inputs[2].arg.as_bool is False
    )


def _check_results(op: OpInfo, node: Node) -> None:
    if any(output.symbols() for output in node.outputs):
        raise Obstacle(f"this file says that {op.name} returns a number")


def _check_apart(op: OpInfo, objects: list[_Object]) -> None:
    """Each target must have memory of its own: the order of writes within one op is not ours to tell."""
    if len({id(tracked.store) for tracked in objects}) == len(objects):
        return
    written: dict[int, set[int]] = {}
    for tracked in objects:
        places, before = tracked.recorded.positions(), written.setdefault(id(tracked.store), set())
        if places is None or not before.isdisjoint(places):
            raise Obstacle(f"{op.name} writes the same memory more than once")
        before.update(places)


def _relocatable(step: Step) -> bool:
    """Whether the view can be taken outside the graph that it stands in: it depends on constants only."""
    return all(operand.name == step.operand or not operand.arg.names() for operand in step.node.inputs)


def _in_place_of(original: Json, node: Json) -> Json:
    """A node in the module that the one whose place it takes belongs to, wherever its metadata come from:
    ``torch.export.unflatten`` takes nodes of a module that stand apart for several of its calls.
    """
    stack = original.get("metadata", {}).get("nn_module_stack")
    metadata = node.get("metadata", {})
    if stack is None or metadata.get("nn_module_stack") == stack:
        return node
    return {**node, "metadata": {**metadata, "nn_module_stack": stack}}


def _is_union(argument: Json) -> bool:
    """Whether an argument has one key, as torch 2.3 and later write it, and says something."""
    return len(argument) == 1 and ("as_none" in argument or None not in argument.values())


def _flat(arguments: Iterable[Json]) -> list[str | None]:
    """One entry per argument: its tensor, or None where it holds none."""
    names: list[str | None] = []
    for argument in arguments:
        names += tensor_names(argument) or [None]
    return names


def _results_of(node: Json) -> list[str]:
    return [name for output in node["outputs"] for name in tensor_names(output)]
