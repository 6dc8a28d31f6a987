"""A program as one graph of values: what takes what, through the calls of subgraphs.

Vertices are the nodes, and the inputs and the ``return`` of every graph. A value leads from the vertex that defines it
to each that takes it; what a caller hands to a subgraph leads to that subgraph's input, and what a subgraph returns to
its caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

import msgspec

from graphlint.ir.model import Argument, Program
from graphlint.ops.table import OpTable
from graphlint.semantics.calls import called_graphs, convention, operand_names
from graphlint.semantics.sites import Scope, Site, walk

VertexKind = Literal["input", "node", "return"]
EdgeKind = Literal["value", "call", "return"]


class Vertex(msgspec.Struct, frozen=True, eq=False):
    """A node, or an input or the ``return`` of a graph."""

    number: int
    """Its ordinal in program order, callers before what they call."""
    kind: VertexKind
    scope: Scope
    argument: Argument | None = None
    """An input's argument."""
    site: Site | None = None
    """The node in its place."""

    @property
    def defines(self) -> list[str]:
        """Names of the values that it defines."""
        if self.site is not None:
            return self.site.node.results()
        if self.argument is None:
            return []
        return self.argument.names() or ([self.argument.as_custom_obj.name] if self.argument.as_custom_obj else [])

    @property
    def label(self) -> str:
        """What to call it: a node's or a value's name, ``return`` for the end of a graph."""
        if self.site is not None:
            return self.site.node.label
        return next(iter(self.defines), "constant") if self.kind == "input" else "return"


class Edge(msgspec.Struct, frozen=True):
    """A value on its way from one vertex to another, both by number."""

    source: int
    target: int
    value: str
    """Its name where it comes from."""
    kind: EdgeKind = "value"
    """``call`` into the input of a subgraph, ``return`` from a subgraph's end to its caller."""


class Flow:
    """The vertices of a program, and the edges between them."""

    def __init__(self, program: Program, ops: OpTable) -> None:
        self.vertices: list[Vertex] = []
        self.edges: list[Edge] = []
        self.incoming: dict[int, list[Edge]] = {}
        """Edges by the number of their target."""
        self.outgoing: dict[int, list[Edge]] = {}
        """Edges by the number of their source."""
        self._at: dict[int, Vertex] = {}
        self._inputs: dict[int, list[Vertex]] = {}
        self._ends: dict[int, Vertex] = {}
        self._spans: dict[int, range] = {}
        # Sites come callers first, and all of a subgraph before its caller's next node.
        sites: dict[int, list[Site]] = {}
        for site in walk(program, ops, lambda _: False):
            sites.setdefault(id(site.scope.graph), []).append(site)
        self._graph(Scope(program.graph), sites)

    def vertex(self, site: Site) -> Vertex:
        """The vertex of a node, whichever walk its site comes from."""
        return self._at[site.position]

    def callers(self, vertex: Vertex) -> Iterator[Vertex]:
        """The vertices of the nodes that call the vertex's graph, up to the root."""
        for site in vertex.scope.callers():
            yield self._at[site.position]

    def inputs(self, scope: Scope) -> list[Vertex]:
        """The input vertices of a graph."""
        return self._inputs[id(scope.graph)]

    def end(self, scope: Scope) -> Vertex:
        """The ``return`` of a graph."""
        return self._ends[id(scope.graph)]

    def span(self, scope: Scope) -> range:
        """The numbers of a graph's vertices, with those of the graphs that it calls."""
        return self._spans[id(scope.graph)]

    def named(self, name: str) -> list[Vertex]:
        """The vertices of that name: a node's name, a value that one defines, or an op that one runs."""
        wanted = name.lstrip("%$")
        return [
            vertex
            for vertex in self.vertices
            if (vertex.site is not None and name in (vertex.site.node.label, vertex.site.name))
            or wanted in vertex.defines
            or (vertex.site is not None and vertex.site.node.label == wanted)
        ]

    def names(self) -> set[str]:
        """Everything that :meth:`named` knows."""
        found: set[str] = set()
        for vertex in self.vertices:
            found.update(vertex.defines)
            if vertex.site is not None:
                found |= {vertex.site.node.label, vertex.site.name}
        return found

    def around(self, centers: Iterable[Vertex], hops: int) -> set[int]:
        """The numbers of the vertices within ``hops`` of the centers, up through what they are made of and down through
        what is made of them; with each vertex in a subgraph the nodes that call it.
        """
        found: set[int] = set()
        for edges, forward in ((self.incoming, False), (self.outgoing, True)):
            distance = {center.number: 0 for center in centers}
            ring = list(distance)
            for step in range(hops + 1):
                found |= distance.keys()
                ring = self._ring(ring, step, distance, edges, forward=forward) if step < hops else []
                if not ring:
                    break
        for number in list(found):
            found.update(caller.number for caller in self.callers(self.vertices[number]))
        return found

    def _ring(
        self, ring: list[int], step: int, distance: dict[int, int], edges: dict[int, list[Edge]], *, forward: bool
    ) -> list[int]:
        """What is one hop further. A subgraph's inputs and end are gone through without a hop of their own."""
        following: list[int] = []
        waiting = list(ring)
        while waiting:
            for edge in edges.get(waiting.pop(), ()):
                number = edge.target if forward else edge.source
                if number in distance:
                    continue
                distance[number] = step + 1
                following.append(number)
                if self._passes(self.vertices[number]):
                    waiting.append(number)
        return following

    @staticmethod
    def _passes(vertex: Vertex) -> bool:
        return vertex.kind != "node" and vertex.scope.caller is not None

    def _add(
        self, kind: VertexKind, scope: Scope, argument: Argument | None = None, site: Site | None = None
    ) -> Vertex:
        vertex = Vertex(len(self.vertices), kind, scope, argument, site)
        self.vertices.append(vertex)
        return vertex

    def _edge(self, source: int, target: int, value: str, kind: EdgeKind = "value") -> None:
        edge = Edge(source, target, value, kind)
        self.edges.append(edge)
        self.incoming.setdefault(target, []).append(edge)
        self.outgoing.setdefault(source, []).append(edge)

    def _graph(self, scope: Scope, sites: dict[int, list[Site]]) -> None:
        graph = scope.graph
        first = len(self.vertices)
        defined: dict[str, int] = {}
        inputs = [self._add("input", scope, argument) for argument in graph.inputs]
        self._inputs[id(graph)] = inputs
        for vertex in inputs:
            defined.update(dict.fromkeys(vertex.defines, vertex.number))
        for site in sites.get(id(graph), ()):
            vertex = self._add("node", scope, site=site)
            self._at[site.position] = vertex
            self._take((operand.arg for operand in site.node.inputs), vertex, defined)
            self._call(site, vertex, defined, sites)
            defined.update(dict.fromkeys(site.node.results(), vertex.number))
        end = self._add("return", scope)
        self._ends[id(graph)] = end
        self._spans[id(graph)] = range(first, end.number + 1)
        self._take(graph.outputs, end, defined)

    def _take(self, arguments: Iterable[Argument], vertex: Vertex, defined: dict[str, int]) -> None:
        names = (name for argument in arguments for name in argument.names())
        for name in dict.fromkeys(names):
            if name in defined:
                self._edge(defined[name], vertex.number, name)

    def _call(self, site: Site, vertex: Vertex, defined: dict[str, int], sites: dict[int, list[Site]]) -> None:
        node = site.node
        rule = convention(node)
        graphs = called_graphs(node, rule) if rule is not None else None
        handed = operand_names(node, rule) if rule is not None and graphs is not None else None
        called = {id(graph) for graph in graphs or ()}
        for sub in node.subgraphs():
            inner = Scope(sub.graph, (*site.scope.path, node.caller_label, sub.name), site)
            self._graph(inner, sites)
            known = handed if id(sub.graph) in called else None
            self._bind(self._inputs[id(sub.graph)], known, vertex, defined)
            self._edge(self._ends[id(sub.graph)].number, vertex.number, "", "return")

    def _bind(
        self, inputs: Sequence[Vertex], handed: list[str | None] | None, caller: Vertex, defined: dict[str, int]
    ) -> None:
        """What the caller hands over becomes the subgraph's inputs; all of it may, where that is not known."""
        for index, vertex in enumerate(inputs):
            if handed is None:
                for edge in self.incoming.get(caller.number, ()):
                    if edge.kind == "value":
                        self._edge(edge.source, vertex.number, edge.value, "call")
            elif index < len(handed) and (name := handed[index]) is not None and name in defined:
                self._edge(defined[name], vertex.number, name, "call")
