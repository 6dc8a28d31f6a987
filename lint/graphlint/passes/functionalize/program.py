"""A program without writes: its root graph walked, and its interface brought in line with what it writes.

What cannot be rewritten blocks its whole storage: all writes to it stay as they are, and so do all reads. The reasons
are what :func:`plan` returns, for the rules to show.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache, cached_property
from itertools import count, pairwise
from typing import Final

import msgspec

from graphlint.ir.document import Document
from graphlint.ir.edit import (
    Dialect,
    every_graph,
    mutated,
    mutation_of,
    named_by_calls,
    renamed_call,
    renamed_values,
    tensor,
    with_graph,
)
from graphlint.ir.model import Graph, InputSpec, OutputSpec, Program, Spec
from graphlint.ir.names import is_kept, kept_stem
from graphlint.ops.table import OpTable
from graphlint.passes.functionalize.custom import obstacle as custom_obstacle
from graphlint.passes.functionalize.frame import Blocked, Frame, Overgrown, blocking
from graphlint.passes.functionalize.metas import Meta, Obstacle
from graphlint.passes.functionalize.resizing import DEPENDENT, HELD, dependents, resizing_obstacle
from graphlint.passes.functionalize.views import View
from graphlint.semantics.analysis import Analysis, Write, live_reads
from graphlint.semantics.dtypes import UNSURE_DTYPE
from graphlint.semantics.memory import Ref, Step, Storage
from graphlint.semantics.sites import Scope, Site, call_of
from graphlint.semantics.sizes import Sizes

TOGETHER: Final = "it is written together with a tensor that cannot be: "
"""What is said of a write that stays because another one does; its reason follows."""
_WRITTEN_BACK: Final[dict[str, str]] = {"buffer": "a buffer", "user input": "an input"}
"""What is written back with ``copy_`` and may require gradients. Parameters are looked at on their own; what a constant
records is not so, for torch detaches constants on loading.
"""
_REQUIRES_GRADIENTS: Final = "stock torch cannot write {} back that requires gradients"
_PARAMETER_OUTPUTS: Final = (8, 14)
"""The schema from which on a parameter can have a mutation output (torch 2.9)."""
_MOST_ATTEMPTS: Final = 10
"""So often a plan is made, each time without what stood in the way before."""
_ROOM: Final = 20_000
"""So many nodes, or as many as the program has, may come to it: who writes through many views, and reads others in
between, takes all of them again each time.
"""
_OVERGROWN: Final = "the program would become many times as large without its writes"
_MOST_POSITIONS: Final = 1 << 21
"""Positions of elements that are told one by one, all together: programs have few tensors that are looked at so
closely, and a short record can have any number of elements.
"""
_OLDEST_MAJOR: Final = 5
"""The schema major of torch 2.3; earlier exports wrote functional graphs only."""


class Plan(msgspec.Struct, frozen=True, eq=False):
    """What functionalizing a program comes to."""

    assemble: Callable[[], Program]
    """Gives the program with everything functionalized that can be. A check asks for the rest only."""
    blocked: dict[int, str]
    """Writes that stay: the position of the node to the reason."""
    fixed: frozenset[int]
    """Positions of the nodes whose writes are gone."""
    inexact: frozenset[int] = frozenset()
    """Positions of those whose results may differ in the last bits."""


def plan(
    document: Document, analysis: Analysis, selected: frozenset[int] | None = None, *, exact: bool = False
) -> Plan:
    """Functionalize what can be; ``selected`` are the positions of the nodes whose writes may go (default: all). If
    ``exact``, what would round otherwise stays.
    """
    writes = list(analysis.writes)
    blocked = _obstacles(analysis, writes)
    for write in writes:
        for ref in write.refs:
            if ref.storage.graph is document.program.graph and ref.storage.value in document.overgrown:
                blocked.setdefault(ref.storage, _OVERGROWN)
    if selected is not None:
        for write in writes:
            if write.site.position not in selected:
                for ref in write.refs:
                    blocked.setdefault(ref.storage, "another write to the same tensor is not selected for fixing")
    for attempts in count():
        active = _active(writes, blocked)
        if attempts == _MOST_ATTEMPTS:
            blocked.update(dict.fromkeys(active, "too many related writes cannot be fixed"))
            active = set()
        if not active:
            assemble: Callable[[], Program] = lambda: document.program  # noqa: E731 - one of two
            inexact: set[int] = set()
            break
        try:
            rewriter = Rewriter(document.program, analysis, active, exact=exact)
            assemble, inexact = rewriter.run(), rewriter.inexact
            _keep_effects_alive(analysis, assemble, active)
            break
        except Blocked as reason:
            if active.isdisjoint(reason.reasons):
                raise AssertionError(f"blocked for a storage that is not written: {reason}") from reason
            if isinstance(reason, Overgrown):
                document.overgrown.update(storage.value for storage in reason.reasons)
            blocked = {**reason.reasons, **blocked}
    reasons: dict[int, str] = {}
    fixed: set[int] = set()
    for write in writes:
        reason_for = next((blocked[ref.storage] for ref in write.refs if ref.storage in blocked), None)
        if reason_for is not None:
            reasons.setdefault(write.site.position, reason_for)
        else:
            fixed.add(write.site.position)
    return Plan(assemble, reasons, frozenset(fixed - reasons.keys()), frozenset(inexact))


class Rewriter:
    """One attempt at a program, for a given set of storages."""

    def __init__(self, program: Program, analysis: Analysis, active: set[Storage], *, exact: bool) -> None:
        self.program = program
        self.exact = exact
        self.inexact: set[int] = set()
        """Positions of the nodes that round otherwise from now on."""
        # Not the analysis itself, which keeps what comes of this: a cycle would keep both alive longer than needed.
        self.ops = analysis.ops
        self.memory = analysis.memory
        self.sizes = Sizes(program)
        self.dialect = Dialect.of(program.graph)
        self.active = active
        self.written = {ref.storage for write in analysis.writes for ref in write.refs}
        """Storages that are written, whether they are rewritten or not."""
        targets = [(write, write.target.storage in active) for write in analysis.writes]
        going = {id(write.site.node) for write, goes in targets if goes}
        self.writes: dict[int, list[Write]] = {}
        """Those of the nodes that write to what is rewritten."""
        for write, _ in targets:
            if id(write.site.node) in going:
                self.writes.setdefault(id(write.site.node), []).append(write)
        scopes = [write.site.scope for write, goes in targets if goes]
        self.touched = {
            id(graph)
            for scope in {id(scope): scope for scope in scopes}.values()
            for graph in (scope.graph, *(caller.scope.graph for caller in scope.callers()))
        }
        """Graphs that are rewritten: those that write, and those that call them."""
        self.views: dict[Ref, View] = {}
        self.resized: dict[Ref, Meta] = {}
        """What ``out=`` made of tensors without elements."""
        self.recorded: dict[Ref, Meta] = {}
        """What is recorded of tensor objects, once somebody has asked."""
        self.dtypes = analysis.dtypes
        self._room = max(_ROOM, sum(len(graph.nodes) for graph in every_graph(program.graph)))
        self._grown: Counter[Storage] = Counter()
        self._told = 0
        """Positions of elements."""
        self._metas_of: dict[int, tuple[Meta, ...]] = {}
        self._metas: dict[tuple[int, str], Meta] = {}
        self._alike: dict[bytes, Meta] = {}
        """Metadata by content: most values of a program are like many others."""

    def meta(self, graph: Graph, name: str) -> Meta:
        """What is recorded of a value. Raises :class:`Obstacle` where that is too little."""
        meta = self._metas.get((id(graph), name))
        if meta is None:
            if name in self.dtypes.doubts(graph):
                raise Obstacle(UNSURE_DTYPE.format(name))
            raw = graph.meta(name)
            content = msgspec.json.encode(raw)
            meta = self._alike.get(content)
            if meta is None:
                if raw is None or not (meta := Meta(raw)).plain:
                    raise Obstacle(f"the artifact records too little of %{name}")
                self._alike[content] = meta
            self._metas[id(graph), name] = meta
        return meta

    def metas_of(self, step: Step) -> tuple[Meta, ...]:
        """What is recorded of all tensor results of a node that takes views."""
        metas = self._metas_of.get(id(step))
        if metas is None:
            names = [name for output in step.node.outputs for name in output.tensors() if name is not None]
            metas = self._metas_of[id(step)] = tuple(self.meta(step.graph, name) for name in names)
        return metas

    def grow(self, storage: Storage, nodes: int) -> None:
        """Note that so many more nodes are there because of a storage. Raises :class:`Overgrown` for the one with the
        most of them where they become too many.
        """
        self._grown[storage] += nodes
        self._room -= nodes
        if self._room < 0:
            ((most, _),) = self._grown.most_common(1)
            raise Overgrown([most], _OVERGROWN)

    def are_apart(self, metas: Sequence[Meta]) -> bool:
        """Whether tensors of one storage are known to have no element in common."""
        units = _units(metas)
        spans = [meta.span(unit) for meta, unit in zip(metas, units, strict=True)]
        known = sorted(span for span in spans if span is not None)
        if len(known) == len(metas) and all(one[1] < other[0] for one, other in pairwise(known)):
            return True
        before: set[int] = set()
        for meta, unit in zip(metas, units, strict=True):
            places = self._positions(meta, unit) if len(metas) > 1 else []
            if places is None or not before.isdisjoint(places):
                return False
            before.update(places)
        return True

    def intersect(self, one: Meta, other: Meta) -> bool:
        """Whether tensors of one storage are known to have an element in common."""
        units = _units((one, other))
        spans = one.span(units[0]), other.span(units[1])
        if spans[0] is None or spans[1] is None or spans[0][1] < spans[1][0] or spans[1][1] < spans[0][0]:
            return False
        mine, others = self._positions(one, units[0]), self._positions(other, units[1])
        return mine is not None and others is not None and not set(mine).isdisjoint(others)

    def _positions(self, meta: Meta, unit: int) -> list[int] | None:
        """Where a tensor's elements lie; None where that is not known, or where too many were told already."""
        found = meta.positions(unit) if self._told <= _MOST_POSITIONS else None
        self._told += len(found or ())
        return found

    @cached_property
    def seen_by_strides(self) -> set[Storage]:
        """Of the storages that are rewritten, those of which a view is taken that other strides do not admit, or make
        another one.
        """
        found: set[Storage] = set()
        for graph in every_graph(self.program.graph):
            shown = self.memory.showing(graph, self.active)
            for node in graph.nodes if shown else ():
                op = self.ops.lookup(node.target)
                if op is None or op.shares is not None or not any(step.depends_on_strides() for step in op.view):
                    continue
                names = [name for name in node.inputs[0].arg.tensors() if name in shown]
                found.update(ref.storage for name in names for ref in self.memory.refs(graph, str(name)))
        return found

    def run(self) -> Callable[[], Program]:
        """Work out what takes the place of each node. Raises Blocked; what is returned puts the program together."""
        graph = self.program.graph
        frame = Frame(self, Scope(graph))
        self._check_inputs(frame)
        frame.walk()
        signature = self.program.graph_module.signature
        input_specs, output_specs = list(signature.input_specs), list(signature.output_specs)
        outputs = frame.edit.outputs
        declared = {mutated(spec) for spec in output_specs}
        taken: dict[str, Ref] = {}
        new_specs: list[OutputSpec] = []
        place = next(
            (at for at, spec in enumerate(output_specs) if mutated(spec) is None and spec.token is None), len(outputs)
        )
        for index, argument in enumerate(graph.inputs):
            name = next(iter(argument.tensors()), None)
            ref = frame.given(name)
            if name is None or ref is None or frame.state(ref).version == 0 or ref.name != name:
                continue  # or in the memory of an input that is written back; with gradients, torch refuses both
            constant = input_specs[index].tensor_constant
            if constant is not None:
                buffer = Spec(arg=constant.arg, buffer_name=constant.tensor_constant_name, persistent=False)
                input_specs[index] = InputSpec(buffer=buffer)
            if mutated(mutation_of(input_specs[index], name, "")) in declared:
                continue  # the program writes it back itself, later than every write in the graph
            value = frame.written_back(ref, taken)
            taken[value] = ref
            new_specs.append(mutation_of(input_specs[index], name, value))
        outputs = [frame.handed_back(*pair, taken) for pair in zip(graph.outputs, outputs, strict=True)]
        output_specs[place:place] = new_specs
        outputs[place:place] = map(tensor, taken)
        frame.edit.outputs = outputs
        return cache(lambda: self._assembled(frame, input_specs, output_specs))

    def _check_inputs(self, frame: Frame) -> None:
        """Inputs in the same memory, such as tied weights: the first one stands for all."""
        blocked: dict[Storage, str] = {}
        for argument in self.program.graph.inputs:
            for name in argument.tensors():
                ref = frame.ref(name)
                if name is None or ref is None or ref.name == name:
                    continue
                with blocking(ref.storage):
                    meta = self.meta(self.program.graph, name)
                first = frame.state(ref).origin.meta
                if not meta.same_layout(first) or meta.offset != first.offset:
                    blocked.setdefault(ref.storage, f"%{name} shows its memory in another shape")
        if blocked:
            raise Blocked.all_of(blocked)

    def _assembled(self, frame: Frame, input_specs: list[InputSpec], output_specs: list[OutputSpec]) -> Program:
        module = self.program.graph_module
        calls = [renamed_call(entry, frame.gone) for entry in module.module_call_graph]
        changed = msgspec.structs.replace(module, module_call_graph=calls)
        graph = frame.finish(named_by_calls(msgspec.structs.replace(self.program, graph_module=changed)))
        graph, input_specs = self._without_stand_ins(graph, input_specs, frame)
        program = with_graph(self.program, graph, input_specs=input_specs, output_specs=output_specs, calls=calls)
        written = (spec.user_input_mutation for spec in output_specs)
        names = {str(one.user_input_name) for one in written if one is not None}
        lost = {name: frame.edit.claim(kept_stem(name)) for name in sorted(names) if not is_kept(name)}
        return renamed_values(program, lost) if lost else program

    def _without_stand_ins(self, graph: Graph, specs: list[InputSpec], frame: Frame) -> tuple[Graph, list[InputSpec]]:
        """Leave out constants in the memory of an input that is written back. Nobody reads them any more, and passes of
        torch (``run_decompositions``, what AOTInductor does) fail on a written input that aliases another one.
        """
        gone: set[str | None] = set()
        for spec, argument in zip(specs, graph.inputs, strict=True):
            name = next(iter(argument.tensors()), None)
            ref = frame.ref(name) if spec.tensor_constant is not None else None
            if ref is not None and frame.state(ref).version > 0 and ref.name != name:
                gone.add(name)
        if not gone:
            return graph, specs
        gone -= graph.used()
        pairs = zip(graph.inputs, specs, strict=True)
        kept = [(argument, spec) for argument, spec in pairs if gone.isdisjoint(argument.tensors())]
        values = {name: meta for name, meta in graph.tensor_values.items() if name not in gone}
        inputs = [argument for argument, _ in kept]
        return msgspec.structs.replace(graph, inputs=inputs, tensor_values=values), [spec for _, spec in kept]


# ------------------------------------------------------------------------------------------------- obstacles


def _active(writes: list[Write], blocked: dict[Storage, str]) -> set[Storage]:
    """The storages to functionalize: written and not blocked, nor written together with a blocked one."""
    groups: dict[int, list[Storage]] = {}
    nodes: dict[Storage, list[int]] = {}
    for write in writes:
        for ref in write.refs:
            groups.setdefault(write.site.position, []).append(ref.storage)
            nodes.setdefault(ref.storage, []).append(write.site.position)
    pending = [storage for storage in nodes if storage in blocked]
    while pending:
        reason = blocked[storage] if (storage := pending.pop()) in blocked else ""
        for position in nodes[storage]:
            for other in groups[position]:
                if other not in blocked:
                    blocked[other] = TOGETHER + reason.removeprefix(TOGETHER)
                    pending.append(other)
    return {storage for storage in nodes if storage not in blocked}


def _obstacles(analysis: Analysis, writes: list[Write]) -> dict[Storage, str]:
    """What can be told without rewriting anything."""
    blocked: dict[Storage, str] = {}
    written = {ref.storage for write in writes for ref in write.refs}
    if _has_unknown_specs(analysis.program):
        blocked.update(dict.fromkeys(written, "the signature has an input or output of a kind that is not known"))
    for write in writes:
        reason = _write_obstacle(write, analysis)
        if reason is not None:
            for ref in write.refs:
                blocked.setdefault(ref.storage, reason)
    for storage in _unsized(analysis, writes):
        blocked.setdefault(storage, DEPENDENT)
    for storage in _leaves([write for write in writes if write.made is None], analysis.program):
        blocked.setdefault(storage, _REQUIRES_GRADIENTS.format(_WRITTEN_BACK[storage.kind]))
    for name, refs in analysis.memory.uncertain():
        for ref in refs:
            if ref.storage in written:
                blocked.setdefault(ref.storage, f"whether %{name} shares its memory is not known")
    for node, refs in analysis.memory.opaque_uses() if written else ():
        for ref in refs:
            if ref.storage in written:
                blocked.setdefault(ref.storage, f"whether {node.op} writes, keeps or returns it is not known")
    return blocked


def _unsized(analysis: Analysis, writes: list[Write]) -> Iterator[Storage]:
    """What is written, and may be of other sizes than are recorded."""
    held = [(write, ref.storage) for write in writes for ref in write.refs if ref.storage.kind in HELD]
    storages = {storage for write, storage in held if resizing_obstacle(analysis, write) is not None}
    if storages:
        written = {ref.storage for write in writes for ref in write.refs}
        yield from written.intersection(dependents(analysis.memory, analysis.program.graph, storages))


def _leaves(writes: list[Write], program: Program) -> Iterator[Storage]:
    """The inputs and buffers that are written, but require gradients. Export records so of those that do, and also of
    those into which the model writes something that does. In place, autograd admits no write to the former, but for
    those that it does not see: with gradients off, or through ``detach``.
    """
    written = dict.fromkeys(ref.storage for write in writes for ref in write.refs)
    metas = {one: program.graph.meta(one.value) for one in written if one.kind in _WRITTEN_BACK}
    demanding = {one for one, meta in metas.items() if meta is not None and meta.requires_grad}
    if demanding:
        seen = {ref.storage for write in writes for ref in write.refs if ref.storage in demanding and write.is_seen}
        yield from demanding - seen


def _has_unknown_specs(program: Program) -> bool:
    signature = program.graph_module.signature
    specs = (*signature.input_specs, *signature.output_specs)
    return any(all(getattr(spec, kind) is None for kind in spec.__struct_fields__) for spec in specs)


def _write_obstacle(write: Write, analysis: Analysis) -> str | None:
    op, program = write.site.op, analysis.program
    if op is None:
        return f"what {write.site.name} computes is not known"
    if op.kind is not None:
        return f"{op.name} has effects beyond the write"
    if program.schema[0] < _OLDEST_MAJOR:
        return "torch 2.2 or earlier wrote this file, which is functional except for what it could not express"
    if op.is_custom and (reason := custom_obstacle(op, write.site.node, program.schema)) is not None:
        return reason
    if not write.certain:
        return "the written tensor cannot be determined from the artifact"
    if write.kind == "unknown":
        return "which tensor it writes is not known"
    if write.kind == "parameter":
        meta = program.graph.meta(write.target.storage.value)
        if meta is None or meta.requires_grad:
            return _REQUIRES_GRADIENTS.format("a parameter")
        if program.schema < _PARAMETER_OUTPUTS:
            return "files of torch before 2.9 have no mutation outputs for parameters"
    return resizing_obstacle(analysis, write) or _crossing(write)


def _crossing(write: Write) -> str | None:
    """Why a write to a tensor from outside its graph cannot be handed out, or None."""
    scope = write.site.scope
    while scope.graph is not write.target.storage.graph and scope.caller is not None:
        call = call_of(scope.caller.node)
        returns = call is not None and any(one is scope.graph for one in call.returning)
        if call is None or not call.rule.exact or not call.rule.carries or not returns:
            return f"it is written inside {scope.caller.node.caller_label}, which has no way to hand the change out"
        scope = scope.caller.scope
    return None


def _keep_effects_alive(analysis: Analysis, assemble: Callable[[], Program], active: set[Storage]) -> None:
    """Raises :class:`Blocked` where nobody uses any more what a call of a subgraph returns, although effects are left
    inside: dead-code elimination would take them away.
    """
    callers = {
        id(caller): caller
        for site in analysis.sites
        if site.scope.caller is not None and _stays(site, analysis, active)
        for caller in site.scope.callers()
    }
    calls = {
        (caller.scope.path, caller.node.results()[0]): caller
        for caller in callers.values()
        if caller.node.results() and analysis.is_used(caller)
    }
    blocked: dict[Storage, str] = {}
    for place in calls.keys() & set(_dead_calls(assemble().graph, analysis.ops, {}) if calls else ()):
        caller = calls[place]
        results = caller.node.results()
        shown = {ref.storage for name in results for ref in analysis.memory.refs(caller.scope.graph, name)}
        lost = f"the results of {caller.name} would be unused, and it contains an effect"
        blocked |= dict.fromkeys(shown & active, lost)
    if blocked:
        raise Blocked.all_of(blocked)


def _stays(site: Site, analysis: Analysis, active: set[Storage]) -> bool:
    """Whether the node is left with an effect."""
    op = site.op
    if op is None or op.effect or op.returns_nothing:
        return True
    return any(ref.storage not in active for _, _, refs in analysis.memory.written(site) for ref in refs)


def _units(metas: Sequence[Meta]) -> list[int]:
    """How much of their storage an element of each tensor takes, in a unit that they have in common: a view may have
    other dtypes than what it shows.
    """
    sizes = [meta.item_size for meta in metas]
    least = min(sizes, default=1)
    return [size // least for size in sizes]


def _dead_calls(
    graph: Graph, ops: OpTable, known: dict[int, set[str]], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], str]]:
    """The calls of subgraphs that dead-code elimination takes away: path of the graph and first result."""
    used = live_reads(graph, ops, known)
    for node in graph.nodes:
        subgraphs = node.subgraphs()
        results = node.results() if subgraphs else ()
        if results and used.isdisjoint(results):
            yield path, results[0]
        for sub in subgraphs:
            yield from _dead_calls(sub.graph, ops, known, (*path, node.caller_label, sub.name))
