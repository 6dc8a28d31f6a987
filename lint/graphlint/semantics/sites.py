"""A program as one sequence of nodes, subgraphs included, each with its place and what its op does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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
    def defines(self) -> frozenset[tuple[int, str]]:
        """Its results, which only the identity of their graph tells from values of that name in others."""
        return frozenset((id(self.scope.graph), name) for name in self.node.results())

    @property
    def used(self) -> bool:
        """Whether a later node or an output of its graph reads one of its results."""
        results = set(self.node.results())
        graph = self.scope.graph
        if any(name in results for output in graph.outputs for name in output.names()):
            return True
        later = graph.nodes[self.index + 1 :]
        return any(name in results for node in later for operand in node.inputs for name in operand.arg.names())


def walk(program: Program, ops: OpTable, leave_out: Callable[[OpInfo], bool]) -> Iterator[Site]:
    """The nodes in program order, each caller followed by the nodes of its subgraphs; but for those of ops that
    ``leave_out`` says yes to, none of which may have subgraphs.
    """
    known: dict[str, tuple[OpInfo | None, bool]] = {}
    position = -1

    def nodes(scope: Scope) -> Iterator[Site]:
        nonlocal position
        for index, node in enumerate(scope.graph.nodes):
            position += 1
            target = node.target
            if target not in known:
                found = ops.lookup(target)
                known[target] = found, found is not None and leave_out(found)
            op, left_out = known[target]
            if left_out:
                continue
            site = Site(scope, index, position, node, op)
            yield site
            for sub in node.subgraphs():
                yield from nodes(Scope(sub.graph, (*scope.path, node.caller_label, sub.name), site))

    return nodes(Scope(program.graph))
