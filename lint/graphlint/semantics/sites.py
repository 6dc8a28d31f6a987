"""A program as one sequence of nodes, subgraphs included, each with its place and what its op does; and how a node
calls the graphs among its operands: which operand becomes which input (:class:`~graphlint.ops.info.Convention`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import msgspec

from graphlint.ir.edit import KEYWORD
from graphlint.ir.model import Argument, Graph, InputSpec, Node, Program, TensorMeta
from graphlint.ops.info import Convention, OpInfo
from graphlint.ops.table import OpTable, op_table


class Scope(msgspec.Struct, frozen=True, eq=False):
    """A graph and where it is called from."""

    graph: Graph
    path: tuple[str, ...] = ()
    """Caller and graph in turn, from the root: ``("cond", "true_graph_0")``."""
    caller: Site | None = None
    """The node whose operand the graph is; None for the root."""

    def callers(self) -> Iterator[Site]:
        """The calling nodes from here to the root."""
        scope = self
        while scope.caller is not None:
            yield scope.caller
            scope = scope.caller.scope


class Site(msgspec.Struct, frozen=True, eq=False):
    """A node in its place."""

    scope: Scope
    index: int
    """The node's index in its graph."""
    position: int
    """The node's ordinal in the whole program, subgraphs included, callers before what they call."""
    node: Node
    op: OpInfo | None
    """What the op does; None where nobody knows."""

    @property
    def name(self) -> str:
        """The op, as people write it."""
        return self.op.name if self.op is not None else self.node.op

    @property
    def wrapped(self) -> str | None:
        """The op that it runs while it takes an effect token and gives the next one; None for other nodes."""
        if self.op is None or self.op.kind != "token":
            return None
        return next((one.arg.as_operator for one in self.node.inputs if one.arg.as_operator is not None), None)

    @property
    def defines(self) -> frozenset[tuple[int, str]]:
        """Its results, which only the identity of their graph tells from values of that name in others."""
        return frozenset((id(self.scope.graph), name) for name in self.node.results())


def walk(program: Program, ops: OpTable, leave_out: Callable[[OpInfo], bool]) -> Iterator[Site]:
    """The nodes in program order, each caller followed by the nodes of its subgraphs; but for those of ops that
    ``leave_out`` says yes to, none of which may have subgraphs.
    """
    return _nodes(Scope(program.graph), ops, leave_out, 0)


def _nodes(scope: Scope, ops: OpTable, leave_out: Callable[[OpInfo], bool], start: int) -> Generator[Site, None, int]:
    """Those of a graph, the position of whose first node is ``start``; returns how many there are in all."""
    graph, first = scope.graph, start

    def is_wanted(target: str) -> bool:
        op = ops.lookup(target)
        return op is None or not leave_out(op)

    for index in graph.of_targets(is_wanted):
        node = graph.nodes[index]
        site = Site(scope, index, start + index, node, ops.of(node))
        yield site
        for sub in node.subgraphs():
            inner = Scope(sub.graph, (*scope.path, node.caller_label, sub.name), site)
            start += yield from _nodes(inner, ops, leave_out, start + index + 1)
    return len(graph.nodes) + start - first


class GraphCall(msgspec.Struct, frozen=True, eq=False):
    """A node that calls graphs, in a way that is known."""

    node: Node
    rule: Convention
    graphs: dict[int, Graph]
    """The called graphs by the positions of the operands that they are."""

    @property
    def places(self) -> list[int]:
        """Where the operands stand whose values the graphs take."""
        inputs = self.node.inputs
        first = len(inputs) if self.rule.rest is None else self.rule.rest
        positional = [place for place in range(first, len(inputs)) if inputs[place].arg_kind != KEYWORD]
        return [place for place in self.rule.lists if place < len(inputs)] + positional

    @property
    def operands(self) -> list[str | None]:
        """The caller's values that the graphs take, in the order of the graphs' inputs; None for a constant."""
        return [name for place in self.places for name in value_list(self.node.inputs[place].arg)]

    @property
    def carried(self) -> int:
        """How many of the operands come before those that a loop hands to each of its turns as they are."""
        return sum(len(value_list(self.node.inputs[place].arg)) for place in self.rule.lists[:1] or self.places)

    @property
    def returned(self) -> int | None:
        """How many results come before one more that is carried: those that a loop carries; None for all."""
        return self.carried if self.rule.repeats else None

    @property
    def returning(self) -> list[Graph]:
        """The graphs that give the node its results."""
        return [self.graphs[self.rule.graphs[index]] for index in self.rule.results_of]


def call_of(node: Node) -> GraphCall | None:
    """How a node calls graphs; None where it calls none, or where graphlint does not know the op's calling convention
    or the node is of another shape.
    """
    op = op_table().lookup(node.target)
    rule = op.calls if op is not None else None
    if rule is None or len(node.inputs) <= max((*rule.lists[:1], *rule.graphs), default=0):
        return None
    found = {place: node.inputs[place].arg.as_graph for place in rule.graphs}
    graphs = {place: reference.graph for place, reference in found.items() if reference is not None}
    return GraphCall(node, rule, graphs) if len(graphs) == len(found) else None


def inlining_obstacle(caller: Graph, node: Node) -> str | None:
    """Why the nodes of the graph that a region calls cannot stand in the region's place in ``caller``, or None."""
    call = call_of(node)
    if call is None or len(call.graphs) != 1 or call.rule.rest is None:
        return "it is recorded in a way that is not known"
    (graph,) = call.graphs.values()
    operands = node.inputs[call.rule.rest :]
    if any(operand.arg.as_tensor is None and operand.arg.as_sym_int is None for operand in operands):
        return "it takes operands that are no tensors"
    taken = sum(len(entry.names()) for entry in graph.inputs)
    if len(operands) != taken:
        return f"of {taken} operands it is given {len(operands)}"
    if len(node.results()) != len(graph.outputs) or any(len(output.names()) != 1 for output in graph.outputs):
        return "it returns constants"
    given = [name for operand in operands for name in operand.arg.tensors()]
    for name, own in zip(given, (name for entry in graph.inputs for name in entry.tensors()), strict=False):
        if name is not None and own is not None and _contradict(caller.meta(name), graph.meta(own)):
            return f"its graph records %{own} otherwise than it records %{name}, which it is given"
    return None


def _contradict(given: TensorMeta | None, taken: TensorMeta | None) -> bool:
    """Whether two records cannot be of one tensor: what an op makes of it would be judged by one, and then the other.
    Sizes may be symbolic in one of them.
    """
    if given is None or taken is None:
        return False
    if given.sizes == taken.sizes and given.strides == taken.strides:  # most are
        return given.dtype != taken.dtype
    numbers = zip((*given.shape, *given.stride), (*taken.shape, *taken.stride), strict=False)
    differ = any(isinstance(one, int) and isinstance(other, int) and one != other for one, other in numbers)
    return differ or given.dtype != taken.dtype or len(given.shape) != len(taken.shape)


def tensor_inputs(program: Program) -> list[tuple[int, str, InputSpec]]:
    """The inputs of a program that are tensors: the place of each, its value, and its spec."""
    pairs = zip(program.graph.inputs, program.graph_module.signature.input_specs, strict=True)
    held = ((place, next(iter(one.tensors()), None), spec) for place, (one, spec) in enumerate(pairs))
    return [(place, name, spec) for place, name, spec in held if name is not None]


def value_list(argument: Argument) -> list[str | None]:
    """One entry for each value that an operand stands for: a name, or None for a constant."""
    if argument.as_sym_ints is not None:
        return [ref.as_name for ref in argument.as_sym_ints]
    for constants in (argument.as_ints, argument.as_floats, argument.as_bools):
        if constants is not None:
            return [None] * len(constants)
    return argument.tensors() or list(argument.symbols()) or ([] if argument.as_tensors is not None else [None])
