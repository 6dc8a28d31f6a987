"""Which memory each value of a program shows, and through which views.

Every graph input is the base of a storage, and so is every fresh result. A result that aliases an operand refers to the
operand's storage by way of one more view (:class:`Ref`). Values are named once (the graph is in single-assignment
form), so the answer does not depend on where in the program a value is looked at; what is *written* to a storage does.

A value may have several possible storages: ``cond`` returns what one of its branches returns, and some ops return their
operand only under conditions that the artifact does not settle. Such a reference is not *certain*.

Memory crosses a call both ways: an input of a called graph refers to what the caller hands in, and a result of the call
refers to what the graph returns, its views told in terms of the caller's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Final, Literal

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.ir.dtypes import category
from graphlint.ir.edit import flat
from graphlint.ir.model import Graph, Node, Program
from graphlint.ops.info import Alias, OpInfo, StepKind
from graphlint.ops.table import OpTable
from graphlint.semantics.conditional import shares_storage, shown_alike
from graphlint.semantics.dtypes import Dtypes
from graphlint.semantics.sites import Site, call_of, tensor_inputs
from graphlint.semantics.sizes import Sizes

StorageKind = Literal["intermediate", "user input", "buffer", "parameter", "constant", "unknown"]

LEFT_OUT: Final = "..."
"""In a list of views: some that are not told."""

_KINDS: Final[dict[str, StorageKind]] = {
    "parameter": "parameter",
    "buffer": "buffer",
    "tensor_constant": "constant",
    "token": "intermediate",
}
"""Of inputs that are not the user's, by the kinds of their specs."""
_HELD: Final = ("parameter", "buffer", "constant")
"""Kinds of inputs whose values the artifact holds."""

MOST_VIEWS: Final = 64
"""So many are told of a value."""

MOST_STORAGES: Final = 100
"""So many a value may show. Of a chain of ops that may or may not return what they are given, each adds one; programs
have two or three in a row.
"""


class Storage(msgspec.Struct, frozen=True, eq=False):
    """One piece of memory: a graph input, or what a node made."""

    kind: StorageKind
    value: str
    """The value that it is the base of, in the outermost graph that it is known in."""
    name: str | None
    """Qualified name of a buffer, parameter or constant; a user input's name."""
    serial: int
    """Storages are numbered as they come up, so that those born inside a subgraph can be told."""
    graph: Graph
    """The graph that it was born in or, for inputs, the root."""


class Step(msgspec.Struct, eq=False):
    """A node that takes views, of one operand."""

    graph: Graph
    node: Node
    op: OpInfo
    operand: str
    """The argument that is viewed."""
    told: bool
    """Whether it is told among the views of a value (:func:`_is_told`)."""


_NO_BITS: Final[frozenset[StepKind]] = frozenset()


class Ref(msgspec.Struct, eq=False):
    """A reference to a storage: its base, or a view of what another reference shows.

    References form a tree for each storage. A tensor object is one of them: names of the same object (what an in-place
    op returns is its operand) have the same reference.
    """

    storage: Storage
    name: str
    """The value that shows it first."""
    graph: Graph
    """The graph that ``name`` belongs to."""
    parent: Ref | None = None
    """What it is a view of: of the same graph, or of the calling graph where ``name`` is an input."""
    step: Step | None = None
    """The view; None for the base of a storage, for an input, and for what a call hands out as it was handed in."""
    index: int = 0
    """Which of the step's results it is."""
    certain: bool = True
    """Whether the value shows that storage, in that way, in every run."""
    depth: int = 0
    """How many steps lead to it from :attr:`base`."""
    _base: Ref | None = None
    made_as: Ref | None = None
    """:attr:`made`, once somebody has asked."""
    _views: int = 0
    _first: tuple[str, ...] = ()
    known_bits: frozenset[StepKind] | msgspec.UnsetType | None = msgspec.UNSET
    """:attr:`bits`, once somebody has asked."""

    @property
    def is_base(self) -> bool:
        """Whether it is where its graph begins to know the storage."""
        return self._base is None

    @property
    def base(self) -> Ref:
        """Where its graph begins to know the storage."""
        return self if self._base is None else self._base

    @property
    def may_be_operand(self) -> bool:
        """Whether it may be the very object that it is a view of: some ops return what they are given where there is
        nothing to do (``atleast_2d`` of a matrix).
        """
        step = self.step
        if step is None or step.op.returns_self == "never":
            return False
        if step.op.role == "unbatch":  # it gives back what `vmap` was given where a function returns its rows
            around: Ref | None = self
            while around is not None and around.step is not None and around.step.op.role == "unbatch":
                around = around.parent
            shown = around.step.op.view if around is not None and around.step is not None else ()
            return any(one.kind == "batch" for one in shown)
        # Not the parent's name: a reference may have several, of tensors of several shapes (shared buffers).
        operand = step.node.input(step.operand)
        given = [] if operand is None else list(operand.tensors())
        place = self.index if len(given) > 1 else 0
        name = given[place] if place < len(given) else None
        own, other = self.graph.meta(self.name), step.graph.meta(name) if name is not None else None
        return own is None or other is None or own.shape == other.shape

    @property
    def made(self) -> Ref:
        """The reference that this tensor object had when it was made: before in-place views, calls, and ops that may
        return what they are given.
        """
        passed: list[Ref] = []
        ref = self
        while ref.made_as is None and ref.parent is not None:
            if ref.step is not None and not ref.step.op.in_place_view and not ref.may_be_operand:
                break
            passed.append(ref)
            ref = ref.parent
        made = ref.made_as or ref
        for one in passed:
            one.made_as = made
        return made

    @property
    def bits(self) -> frozenset[StepKind] | None:
        """The bits that tell how to read the elements (``conjugate``, ``negate``), where the storage has none set; None
        where views on the way are not known.
        """
        passed: list[Ref] = []
        ref: Ref | None = self
        while ref is not None and ref.known_bits is msgspec.UNSET:
            passed.append(ref)
            ref = ref.parent
        found = _NO_BITS if ref is None or ref.known_bits is msgspec.UNSET else ref.known_bits
        for one in reversed(passed):
            found = one.known_bits = _bits_after(one, found)
        return found

    def way(self) -> list[Ref]:
        """The references from the one after :attr:`base` to this one."""
        found: list[Ref] = []
        ref: Ref = self
        while ref._base is not None and ref.parent is not None:
            found.append(ref)
            ref = ref.parent
        found.reverse()
        return found

    def chain(self) -> Iterator[Ref]:
        """The references from this one up to the storage's base, through callers."""
        ref: Ref | None = self
        while ref is not None:
            yield ref
            ref = ref.parent

    @property
    def views(self) -> tuple[str, ...]:
        """The view ops on the way from the base to the value, outermost last; those in the middle of a long way are
        left out.
        """
        names: list[str] = []
        most = self._views if self._views <= MOST_VIEWS else MOST_VIEWS // 2
        for ref in self.chain():
            if len(names) == most:
                break
            if ref.step is not None and ref.step.told:
                names.append(ref.step.op.name)
        names.reverse()
        return tuple(names) if most == self._views else (*self._first, LEFT_OUT, *names)

    def viewed(self, name: str, graph: Graph, step: Step | None, index: int, *, certain: bool) -> Ref:
        """What is a view of this one."""
        told = step is not None and step.told
        first = self._first
        if told and step is not None and len(first) < MOST_VIEWS // 2 - 1:
            first = (*first, step.op.name)
        inside = graph is self.graph
        return Ref(
            self.storage,
            name,
            graph,
            self,
            step,
            index,
            self.certain and certain,
            self.depth + (step is not None) if inside else 0,
            self.base if inside else None,
            None,
            self._views + told,
            first,
        )


_Binding = dict[str, tuple[Ref, ...]]


class Memory:
    """What all values of a program refer to. Subgraphs are keyed by the identity of their graph object."""

    def __init__(
        self, program: Program, ops: OpTable, dtypes: Dtypes, payloads: Mapping[str, str] | None = None
    ) -> None:
        """``payloads`` maps qualified names of parameters, buffers and constants to the identity of what holds
        their values: inputs with the same payload are one storage.
        """
        self._ops = ops
        self._dtypes = dtypes
        self._sizes = Sizes(program)
        self._graphs: dict[int, _Binding] = {}
        self._count = 0
        self._told: dict[str, bool] = {}
        """Which view ops are told among the views of a value."""
        self._opaque: list[tuple[Node, Graph]] = []
        self._loops: set[int] = set()
        """Graphs of loops whose results are tensors of their own, and graphs in them."""
        self._in_loop = False
        self._moved: dict[Ref, Ref] = {}
        """Objects that an in-place view has made another view, so far."""
        binding: _Binding = {}
        shared: dict[str, Ref] = {}
        for _, name, spec in tensor_inputs(program):
            kind = _KINDS.get(spec.kind, "user input")
            qualified = (spec.target or name) if kind in _HELD else name
            payload = (payloads or {}).get(qualified) if kind in _HELD else None
            ref = shared.get(payload) if payload is not None else None
            if ref is None:
                ref = self._born(program.graph, kind, name, qualified)
            if payload is not None:
                shared[payload] = ref
            binding[name] = (ref,)
        self._analyze(program.graph, binding)

    def refs(self, graph: Graph, value: str) -> tuple[Ref, ...]:
        """What a tensor value of a graph may show; one for certain, or several."""
        binding = self._binding(graph)
        refs = binding.get(value)
        if refs is None:
            refs = binding[value] = (self._born(graph, "intermediate", value),)
        return refs

    def known(self, graph: Graph, value: str) -> Ref | None:
        """What a value may show first, as far as anybody has asked; None for a tensor of its own."""
        refs = self._binding(graph).get(value)
        return refs[0] if refs else None

    def written(self, site: Site) -> Iterator[tuple[str, str, tuple[Ref, ...]]]:
        """Argument name, value and what it refers to for each tensor that the node writes."""
        for name, argument in (site.op.written(site.node) if site.op is not None else {}).items():
            for value in argument.tensors():
                if value is not None:
                    yield name, value, self.refs(site.scope.graph, value)

    def showing(self, graph: Graph, storages: AbstractSet[Storage]) -> dict[str, Ref | None]:
        """The values of a graph that may show one of these storages, each with what it refers to; None for several."""
        return {
            name: refs[0] if len(refs) == 1 else None
            for name, refs in self._binding(graph).items()
            if refs[0].storage in storages or (len(refs) > 1 and any(ref.storage in storages for ref in refs))
        }

    def uncertain(self) -> Iterator[tuple[str, tuple[Ref, ...]]]:
        """Values that may or may not show some storage, of all graphs. In loops, those are left out that show it the
        first time and memory that the loop made afterwards: it may return neither.
        """
        for graph, binding in self._graphs.items():
            loops = graph in self._loops
            for name, refs in binding.items():
                if len(refs) > 1 or not (loops or refs[0].certain):
                    yield name, refs

    def opaque_uses(self) -> Iterator[tuple[Node, tuple[Ref, ...]]]:
        """Nodes of which nobody has said what they do, and what they take and return: any of those may be written,
        kept, or returned as another.
        """
        for node, graph in self._opaque:
            arguments = (*(operand.arg for operand in node.inputs), *node.outputs)
            names = (name for argument in arguments for name in argument.tensors() if name is not None)
            yield node, tuple(ref for name in names for ref in self.refs(graph, name))

    def ends_as_it_was(self, ref: Ref) -> bool:
        """Whether in-place views that a program takes of what it is given have led back to what that was."""
        last = moved_to(self._moved, ref)
        alike = shown_alike(ref.graph.meta(ref.name), last.graph.meta(last.name))
        return ref.is_base and last.graph is ref.graph and alike

    def _binding(self, graph: Graph) -> _Binding:
        """What is known of a graph's values. A value that is missing is a tensor of its own: most are, and few of them
        are ever asked for.
        """
        return self._graphs.setdefault(id(graph), {})

    def _now(self, graph: Graph, value: str) -> tuple[Ref, ...]:
        """What a value shows at this point of the analysis: an in-place view may have changed its object."""
        refs = self.refs(graph, value)
        return refs if not self._moved else tuple([moved_to(self._moved, ref) for ref in refs])

    def _born(
        self, graph: Graph, kind: StorageKind, value: str, name: str | None = None, *, certain: bool = True
    ) -> Ref:
        """The base of a new storage."""
        self._count += 1
        return Ref(Storage(kind, value, name, self._count, graph), value, graph, certain=certain)

    def _analyze(self, graph: Graph, binding: _Binding) -> None:
        self._graphs[id(graph)] = binding
        if self._in_loop:
            self._loops.add(id(graph))
        for name in graph.constants:
            binding.setdefault(name, (self._born(graph, "constant", name, name),))
        for index in graph.of_targets(lambda target: not _makes_its_own(self._ops.lookup(target))):
            node = graph.nodes[index]
            if node.subgraphs():
                self._call(graph, node, binding)
            else:
                self._op(graph, node, binding)

    def _op(self, graph: Graph, node: Node, binding: _Binding) -> None:
        op = self._ops.lookup(node.target)
        rules = op.aliases if op is not None else ()
        if op is None or not op.closed:
            self._opaque.append((node, graph))
        if op is None or not rules:
            return
        told = self._told.get(op.name)
        if told is None:
            told = self._told[op.name] = _is_told(op)
        steps = {rule.argument: Step(graph, node, op, rule.argument, told) for rule in rules}
        given = {argument: _given(node, argument) for argument in steps}
        number = 0
        for position, output in enumerate(node.outputs):
            results = output.tensors()
            for index, result in enumerate(results):
                number += 1
                if result is None:
                    continue
                found: list[Ref] = []
                uncertain = False
                for rule in rules:
                    if rule.result in (None, position):
                        place = (index, len(results), number - 1)
                        refs, decided = self._shared(rule, steps[rule.argument], given[rule.argument], result, place)
                        found += refs
                        uncertain |= not decided
                if not found or uncertain:
                    found.append(self._born(graph, "intermediate", result, certain=not found))
                if len(found) > MOST_STORAGES:
                    raise ProgramError(f"%{result} may show the memory of more than {MOST_STORAGES} values")
                binding[result] = tuple(found)

    def _shared(
        self, rule: Alias, step: Step, given: list[str], result: str, place: tuple[int, int, int]
    ) -> tuple[list[Ref], bool]:
        """What the result shows by one rule, and whether that is for certain.

        ``given`` are the tensors of the rule's argument. ``place`` is the result's index in its list, and the list's
        length (0 and 1 for a result of its own), and its index over all results.
        """
        graph, node, op = step.graph, step.node, step.op
        index, count, number = place
        names = given
        if count > 1 and len(names) == count:
            names = [names[index]]  # ops from a list to a list (broadcast_tensors, meshgrid) go one by one
        found: list[Ref] = []
        decided = len(names) <= 1
        for name in names:
            shares: bool | None = True
            if op.shares is not None:
                doubted = not self._dtypes.doubts(graph).isdisjoint((name, result))
                shares = shares_storage(
                    graph,
                    node,
                    op,
                    name,
                    result,
                    dtypes_known=not doubted,
                    may_be_one=self._sizes.may_be_one,
                    bits=partial(_bits, self._ops, self._now(graph, name)),
                )
            if shares is False:
                continue
            certain = shares is True and decided
            decided = decided and shares is True
            same = certain and (rule.argument in op.writes or op.returns_self == "shared")
            # An in-place view may make of its operand what that is already: `squeeze_` where no size is 1.
            unchanged = op.in_place_view and bool(op.view) and shown_alike(graph.meta(name), graph.meta(result))
            for ref in self._now(graph, name):
                if same and (not op.in_place_view or (unchanged and ref in self.refs(graph, name))):
                    found.append(ref)
                    continue
                viewed = ref.viewed(result, graph, step, number, certain=certain)
                if op.in_place_view and viewed.certain:
                    self._moved[ref] = viewed
                found.append(viewed)
        return found, decided

    def _call(self, graph: Graph, node: Node, binding: _Binding) -> None:
        call = call_of(node)
        if call is None:
            self._unknown_call(graph, node, binding)
            return
        handed = [() if name is None else self._now(graph, name) for name in call.operands]
        rule, returning = call.rule, call.returning
        outer = self._count
        around = self._in_loop
        self._in_loop = rule.fresh_results if rule.repeats else around and rule.exact
        # What a called graph is given each time it runs, all but what a loop carries, is the caller's own.
        fixed = range(call.carried if rule.repeats else 0, len(handed) if rule.exact else 0)
        for called in call.graphs.values():
            self._analyze(called, self._entries(called, handed, fixed))
        self._in_loop = around
        outputs = [flat(one.outputs) for one in returning]
        single = len(returning) == 1 and not rule.repeats
        results = flat(node.outputs)
        born: dict[Storage, Ref] = {}
        together: set[Storage] = set()
        for index, result in enumerate(results):
            if result is None:
                continue
            values = ((one, names[index]) for one, names in zip(returning, outputs, strict=True) if index < len(names))
            found = [ref for one, value in values if value is not None for ref in self._now(one, value)]
            inside = [ref.storage for ref in found if ref.storage.serial > outer]
            refs = [_handed_out(ref, result, graph, certain=single) for ref in found if ref.storage.serial <= outer]
            if inside or not refs:
                ref = next((born[one] for one in inside if one in born), None)
                if ref is None:
                    ref = self._born(graph, "intermediate", result, certain=not refs)
                else:
                    together.add(ref.storage)
                born.update(dict.fromkeys(inside, ref))
                refs.append(ref)
            binding[result] = tuple(refs)
        # Results that share memory born inside: what one shows of the other only the graph inside tells.
        for result in results if together else ():
            if result is not None:
                binding[result] = tuple(
                    msgspec.structs.replace(one, certain=False) if one.storage in together else one
                    for one in binding[result]
                )

    def _entries(self, graph: Graph, handed: Sequence[tuple[Ref, ...]], fixed: range) -> _Binding:
        """What the inputs of a called graph show, ``handed`` being what the caller's operands do; ``fixed`` are those
        that are the caller's own tensors each time it runs.
        """
        inputs: _Binding = {}
        known: dict[Ref, Ref] = {}
        for index, name in enumerate(flat(graph.inputs)):
            if name is None:
                continue
            refs: list[Ref] = []
            for ref in handed[index] if index < len(handed) else ():
                if ref not in known:
                    known[ref] = ref.viewed(name, graph, None, 0, certain=index in fixed)
                refs.append(known[ref])
            inputs[name] = tuple(refs) or (self._born(graph, "unknown", name, certain=False),)
        return inputs

    def _unknown_call(self, graph: Graph, node: Node, binding: _Binding) -> None:
        """An op that calls graphs in a way that is not known: anything may alias anything."""
        op = self._ops.lookup(node.target)
        if op is None or not op.closed:
            self._opaque.append((node, graph))
        around, self._in_loop = self._in_loop, False
        for sub in node.subgraphs():
            self._analyze(sub.graph, self._entries(sub.graph, (), range(0)))
        self._in_loop = around
        for result in node.results():
            binding[result] = (self._born(graph, "unknown", result, certain=False),)


def _given(node: Node, argument: str) -> list[str]:
    """The tensors that a node is given as an argument."""
    operand = node.input(argument)
    return [] if operand is None else [name for name in operand.tensors() if name is not None]


def _bits(ops: OpTable, refs: Sequence[Ref]) -> frozenset[StepKind] | None:
    """Which bits are set that tell how to read a value's elements; None where that is not known. Most new tensors have
    none, nor have copies by ops that may give what they are given, nor what an artifact holds. What a caller hands in
    may have some.
    """
    if len(refs) != 1 or not refs[0].certain or refs[0].storage.kind in ("user input", "unknown"):
        return None
    storage = refs[0].storage
    if storage.kind == "intermediate":
        made = storage.graph.makers.get(storage.value)
        op = ops.lookup(storage.graph.nodes[made].target) if made is not None else None
        if op is None or not (op.layout or op.shares) or op.sets_bits:
            return None
    return refs[0].bits


def _bits_after(ref: Ref, bits: frozenset[StepKind] | None) -> frozenset[StepKind] | None:
    """What the last view leaves set of ``bits``."""
    if bits is None or ref.step is None or ref.parent is None:
        return bits
    meta = ref.parent.graph.meta(ref.parent.name)
    if meta is None or not ref.step.op.view:
        return None
    for step in ref.step.op.view:
        if step.kind == "negate" or (step.kind == "imag" and "conjugate" in bits):
            bits ^= {"negate"}
        if step.kind in ("real", "imag"):
            bits -= {"conjugate"}
        elif step.kind == "conjugate" and category(meta.dtype) == 3:
            bits ^= {"conjugate"}
    return bits


def moved_to(moved: dict[Ref, Ref], ref: Ref) -> Ref:
    """What an object refers to after the in-place views in ``moved``, which then leads there at once."""
    passed: list[Ref] = []
    while ref in moved:
        passed.append(ref)
        ref = moved[ref]
    moved.update(dict.fromkeys(passed, ref))
    return ref


def _handed_out(ref: Ref, result: str, graph: Graph, *, certain: bool) -> Ref:
    """What a result of a call refers to, that is ``ref`` inside: the same views of what was handed in."""
    steps = ref.way()
    shown = ref.base.parent
    if shown is None:
        raise AssertionError("it is known outside")
    for one in steps:
        shown = shown.viewed(result, graph, one.step, one.index, certain=certain and ref.certain)
    return shown if steps else shown.viewed(result, graph, None, 0, certain=certain and ref.certain)


def _is_told(op: OpInfo) -> bool:
    """Whether a view op is told among the views of a value: those that show their operand as it is are not, unless
    that they share its memory is in doubt.
    """
    identity = bool(op.view) and all(step.kind == "identity" for step in op.view)
    return op.in_place_view or not identity or op.shares == "undecided"


def _makes_its_own(op: OpInfo | None) -> bool:
    return op is not None and op.first_order and not op.aliases
