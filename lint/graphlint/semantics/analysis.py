"""What a program does: its nodes in order, what they write, and which memory that is."""

from collections import Counter
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Final

import msgspec

from graphlint.ir.document import Payloads
from graphlint.ir.edit import every_graph, mutated, mutation_of
from graphlint.ir.model import Graph, Node, Program
from graphlint.ops.info import OpInfo
from graphlint.ops.table import OpTable, check_twins
from graphlint.semantics.dtypes import Dtypes
from graphlint.semantics.memory import Memory, Ref, Storage, StorageKind
from graphlint.semantics.sites import Site, call_of, inlining_obstacle, tensor_inputs, walk

DRAW: Final = "a random op"
"""What ops that draw are counted as."""
_PRECEDENCE: tuple[StorageKind, ...] = ("parameter", "buffer", "constant", "user input", "unknown", "intermediate")


class Write(msgspec.Struct, frozen=True, eq=False, dict=True):
    """One tensor that a node writes, and where that ends up."""

    site: Site
    argument: str
    value: str
    refs: tuple[Ref, ...]

    @cached_property
    def target(self) -> Ref:
        """What to report: the only reference, or of several possible ones that to a storage which outlives the call."""
        if len(self.refs) == 1:  # most have one
            return self.refs[0]
        return min(self.refs, key=lambda ref: _PRECEDENCE.index(ref.storage.kind))

    @cached_property
    def made(self) -> Ref | None:
        """The tensor object that an in-place view changes, where the program made it: of what lies behind it, which may
        be the caller's, nothing is written. None for other writes.
        """
        ref = self.target
        if self.site.op is None or not self.site.op.in_place_view:
            return None
        # An input of a called graph is the caller's object.
        made = ref.made
        return made if made.step is not None else None

    @cached_property
    def kind(self) -> StorageKind:
        """Of what is written."""
        return self.target.storage.kind if self.made is None else "intermediate"

    @property
    def certain(self) -> bool:
        """Whether the write reaches that storage in every run."""
        return len(self.refs) == 1 and self.refs[0].certain

    @property
    def is_seen(self) -> bool:
        """Whether autograd sees it: it is made with gradients on, and to a tensor or its views, not to what is detached
        of it.
        """
        regions = (
            site.node for site in self.site.scope.callers() if site.op is not None and site.op.region == "gradients"
        )
        modes = (region.inputs[0].arg.as_bool for region in regions if region.inputs)
        if next(modes, True) is False:
            return False
        return not any(ref.step is not None and ref.step.op.detaches for ref in self.target.chain())


class Analysis:
    """A program with what it does, each part worked out once, when it is first asked for."""

    def __init__(self, program: Program, ops: OpTable, payloads: Payloads | None = None) -> None:
        """``payloads`` tells what holds the values of which parameters, buffers and constants."""
        self.program = program
        self.ops = ops
        self._payloads = payloads
        self._reads: dict[int, set[str]] = {}

    @cached_property
    def sites(self) -> tuple[Site, ...]:
        """The nodes that could be of interest: all but those known to be purely functional."""
        return tuple(walk(self.program, self.ops, self._left_out))

    def _left_out(self, op: OpInfo) -> bool:
        """Whether nodes of an op are of no interest."""
        return op.first_order and not (_lasts(op) or op.in_eval is not None or op.kind is not None)

    @cached_property
    def memory(self) -> Memory:
        """Which memory each value shows."""
        held = self._payloads() if self._payloads is not None else {}
        return Memory(self.program, self.ops, self.dtypes, {name: one.memory for name, one in held.items()})

    @cached_property
    def dtypes(self) -> Dtypes:
        """The dtypes that values have when the program runs."""
        return Dtypes(self.program, self.ops)

    @cached_property
    def writes(self) -> tuple[Write, ...]:
        """Every write of every node, in program order."""
        return tuple(
            Write(site, argument, value, refs)
            for site in self.sites
            if site.op is not None and (site.op.writes or site.op.hidden_writes is not None)
            for argument, value, refs in self.memory.written(site)
        )

    @cached_property
    def written_inputs(self) -> dict[Storage, Site | None]:
        """The inputs that the program writes or may write, in its graphs or by its signature, each with the node that
        does so first, or that makes what is written back.
        """
        found: dict[Storage, Site | None] = {}
        for write in self.writes:
            for ref in write.refs if write.made is None else ():
                if ref.storage.kind not in ("intermediate", "unknown"):
                    found.setdefault(ref.storage, write.site)
        module, graph = self.program.graph_module, self.program.graph
        inputs = {mutated(mutation_of(spec, name, "")): name for _, name, spec in tensor_inputs(self.program)}
        back: dict[str, Storage] = {}
        for spec, output in zip(module.signature.output_specs, graph.outputs, strict=True):
            written, value = inputs.get(mutated(spec)), next(iter(output.tensors()), None)
            for ref in self.memory.refs(graph, written) if written is not None else ():
                if ref.storage not in found:
                    back[str(value)] = ref.storage
        makers = self._makers(back.keys())
        found.update((storage, makers.get(value)) for value, storage in back.items())
        return found

    def _makers(self, values: AbstractSet[str]) -> dict[str, Site]:
        """The nodes that make these values of the root graph."""
        graph = self.program.graph
        targets = {node.target for node in graph.nodes if not values.isdisjoint(node.results())} if values else set()
        sites = walk(self.program, self.ops, lambda op: op.first_order and op.target not in targets) if targets else ()
        return {name: one for one in sites if one.scope.graph is graph for name in one.node.results() if name in values}

    @cached_property
    def first_writes(self) -> tuple[tuple[Write, int], ...]:
        """The first write of each node to each kind of storage, and to how many storages of that kind it writes.

        Buffers, parameters, constants and user inputs are each a finding of their own, so they count as one.
        """
        groups: dict[tuple[int, object], list[Write]] = {}
        for write in self.writes:
            transient = write.kind in ("intermediate", "unknown")
            key = "transient" if transient else write.target.storage
            groups.setdefault((write.site.position, key), []).append(write)
        return tuple((group[0], len({id(write.target.storage) for write in group})) for group in groups.values())

    @cached_property
    def reshaping_writes(self) -> dict[Storage, list[Write]]:
        """The writes that may change the sizes or strides of a tensor, by storage."""
        found: dict[Storage, list[Write]] = {}
        for write in self.writes:
            op = write.site.op
            if op is not None and (op.in_place_view or op.out_variant):
                for ref in write.refs:
                    found.setdefault(ref.storage, []).append(write)
        return found

    def is_used(self, site: Site) -> bool:
        """Whether dead-code elimination leaves something that reads one of a node's results."""
        return not live_reads(site.scope.graph, self.ops, self._reads).isdisjoint(site.node.results())

    @cached_property
    def effects(self) -> Counter[str]:
        """How often each op occurs that writes, raises or has another effect, or is the twin of one that raises.

        Ops that draw random numbers are counted together: what takes a write's place draws as the original did.
        """
        counts: Counter[str] = Counter()
        for site in self.sites:
            op, target = site.op, site.wrapped or site.node.target
            if site.wrapped is not None or op is None or op.written(site.node) or has_effect(site):
                counts[target] += 1
            if op is not None and op.draws(site.node):
                counts[DRAW] += 1
        twins = frozenset(check_twins().values())  # plain functions, which are no sites
        for graph in every_graph(self.program.graph):
            counts.update({target: len(graph.by_target[target]) for target in graph.by_target.keys() & twins})
        return counts

    @cached_property
    def functional(self) -> bool:
        """Whether all effects are data flow (random draws aside, which have no other form)."""
        return not self.has_writes and not any(has_effect(site) for site in self.sites)

    @cached_property
    def has_writes(self) -> bool:
        """Whether a node writes by its schema, which torch's verifier goes by, whatever is recorded as what it writes:
        a number, or nothing.
        """
        return bool(self.writes) or any(site.op is not None and site.op.writes for site in self.sites)


def has_effect(site: Site) -> bool:
    """Whether a node has an effect other than its writes and draws."""
    return site.op is None or site.op.effect or site.op.returns_nothing


def live_reads(graph: Graph, ops: OpTable, known: dict[int, set[str]]) -> set[str]:
    """The values that are read once dead code is eliminated: by the graph's outputs, by nodes with an effect or a
    random draw of their own, and by nodes whose results are read. What is in a called graph keeps no call alive. A
    region reads what its graph reads: regions are inlined, by torch and by fixes. ``known`` holds the values of the
    graphs that were looked at, by their identity.
    """
    if id(graph) in known:
        return known[id(graph)]
    read = known[id(graph)] = {name for output in graph.outputs for name in output.names()}
    lasting = set(graph.of_targets(lambda target: _lasts(ops.lookup(target))))
    for index in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[index]
        if index in lasting or not read.isdisjoint(node.results()):
            read.update(_read_by(graph, node, ops, known))
    return read


def _read_by(caller: Graph, node: Node, ops: OpTable, known: dict[int, set[str]]) -> Iterable[str]:
    """The values that a node reads that is not dead."""
    subgraphs = node.subgraphs()
    call = call_of(node) if subgraphs else None
    op = ops.lookup(node.target) if call is not None else None
    if call is None or op is None or op.region is None or inlining_obstacle(caller, node) is not None:
        return node.reads()
    (graph,) = call.graphs.values()
    inside = live_reads(graph, ops, known)
    taken = [name for entry in graph.inputs for name in entry.names()]
    return [name for name, own in zip(call.operands, taken, strict=True) if name is not None and own in inside]


def _lasts(op: OpInfo | None) -> bool:
    """Whether dead-code elimination leaves an op's nodes that nobody reads."""
    return op is None or bool(
        op.effect or op.returns_nothing or op.writes or op.hidden_writes is not None or op.random.draws
    )
