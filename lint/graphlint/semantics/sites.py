"""A program as one sequence of nodes, subgraphs included, each with its place and what its op does."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import msgspec

from graphlint.ir.model import Graph, Node, Program
from graphlint.ops.table import OpInfo, OpTable


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


def _nodes(
    scope: Scope,
    ops: OpTable,
    leave_out: Callable[[OpInfo], bool],
    start: int,
) -> Generator[Site, None, int]:
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
