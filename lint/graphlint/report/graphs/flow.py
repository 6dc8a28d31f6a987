"""A program as one graph of values: what takes what, through the calls of subgraphs.

Vertices are the nodes, and the inputs and the ``return`` of every graph. A value leads from the vertex that defines it
to each that takes it; what a caller hands to a subgraph leads to that subgraph's input, and what a subgraph returns to
its caller. Writes reach the values that show the written storage, and what reads it afterwards. Listings, JSON and
pictures are made from that.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from functools import cached_property
from typing import Any, Literal, NamedTuple

import msgspec

from graphlint.ir.model import Argument, Graph
from graphlint.report.graphs.text import Line, input_kinds, program_lines
from graphlint.rules.diagnostics import Diagnostic
from graphlint.semantics.analysis import Analysis, Write
from graphlint.semantics.memory import Storage
from graphlint.semantics.sites import Scope, Site, call_of, walk


class Vertex(msgspec.Struct, frozen=True, eq=False):
    """A node, or an input or the ``return`` of a graph."""

    number: int
    """Its ordinal in program order, callers before what they call."""
    kind: Literal["input", "node", "return"]
    scope: Scope
    line: Line
    """The line of the text form that it is, or that an input is a part of."""
    text: str
    """The vertex in text form."""
    label: str
    """What to call it: a node's or a value's name, ``return`` for the end of a graph."""
    defines: list[str]
    """Names of the values that it defines."""
    site: Site | None = None
    """The node in its place."""

    @property
    def names(self) -> tuple[str, ...]:
        """A node's name and that of its op."""
        return () if self.site is None else (self.label, self.site.name)


class Edge(NamedTuple):
    """A value on its way from one vertex to another, both by number."""

    source: int
    target: int
    value: str
    """Its name where it comes from."""
    kind: Literal["value", "call", "return", "storage", "order"] = "value"
    """``call`` into the input of a subgraph, ``return`` from a subgraph's end to its caller. In drawings ``storage``
    where the value may show the written storage, and ``order`` for no value, but the memory that the one writes and the
    other reads afterwards."""


class Reach(msgspec.Struct, frozen=True, eq=False):
    """What one node writes. Vertices are given by their numbers in the flow, in ascending order."""

    writer: int
    shown_by: tuple[int, ...]
    """What defines a value that may show the written storage."""
    values: frozenset[tuple[int, str]]
    """Those values: the vertex that defines it, and its name."""
    read_by: tuple[int, ...]
    """What reads the storage after the write: takes a value that shows it, and does more than to make a view of it.
    The ``return`` of the program is among them. Within a loop, what reads it in the next turn is not."""


class Flow:
    """The vertices of a program, the edges between them, and the reach of its writes. The storages of all values are
    looked up once, in time linear in the size of the program, when a reach is first asked for.
    """

    def __init__(self, view: Analysis) -> None:
        self.view = view
        self.vertices: list[Vertex] = []
        self.incoming: defaultdict[int, list[Edge]] = defaultdict(list)
        """Edges by the number of their target."""
        self.outgoing: defaultdict[int, list[Edge]] = defaultdict(list)
        """Edges by the number of their source."""
        self.lines = list(program_lines(view.program))
        """The whole text form."""
        self._kinds = input_kinds(view.program)
        self._at: dict[int, Vertex] = {}
        self._spans: dict[int, range] = {}
        self._rest = (line for line in self.lines if line.kind in ("inputs", "node", "outputs"))
        self._sites = walk(view.program, view.ops, lambda _: False)
        self._graph(Scope(view.program.graph))

    @property
    def nodes(self) -> list[Vertex]:
        return list(self._at.values())

    def vertex(self, position: int) -> Vertex:
        """The vertex of the node with that ordinal in the program."""
        return self._at[position]

    def callers(self, vertex: Vertex) -> Iterator[int]:
        """The vertices of the nodes that call the vertex's graph, up to the root."""
        return (self._at[site.position].number for site in vertex.scope.callers())

    def span(self, graph: Graph) -> range:
        """The numbers of a graph's vertices and of those of graphs it calls: its inputs first, its ``return`` last."""
        return self._spans[id(graph)]

    def named(self, name: str) -> list[Vertex]:
        """The vertices of that name: a node's name, a value that one defines, or an op that one runs."""
        value = name.lstrip("%$")
        return [one for one in self.vertices if value in one.defines or name in one.names or value in one.names[:1]]

    def names(self) -> set[str]:
        """Everything that :meth:`named` knows."""
        return {name for vertex in self.vertices for name in (*vertex.defines, *vertex.names)}

    def held(self, vertex: Vertex) -> str:
        """What an input is (``buffer "cache"``); empty for what is handed in."""
        return self._kinds[vertex.number] if vertex.scope.caller is None else ""

    def around(self, centers: Iterable[Vertex], hops: int) -> set[int]:
        """The numbers of the vertices within ``hops`` of the centers, up through what they are made of and down through
        what is made of them; with each vertex in a subgraph the nodes that call it.
        """
        found = self._reached(centers, hops, forward=False) | self._reached(centers, hops, forward=True)
        return found | {caller for number in found for caller in self.callers(self.vertices[number])}

    def _reached(self, centers: Iterable[Vertex], hops: int, *, forward: bool) -> set[int]:
        """A subgraph's inputs and end are gone through without a hop of their own."""
        reached = {center.number for center in centers}
        ring = list(reached)
        for _ in range(hops):
            waiting, ring = ring, []
            while waiting:
                for edge in (self.outgoing if forward else self.incoming)[waiting.pop()]:
                    number = edge.target if forward else edge.source
                    if number not in reached:
                        reached.add(number)
                        vertex = self.vertices[number]
                        inside = vertex.kind != "node" and vertex.scope.caller is not None
                        (waiting if inside else ring).append(number)
            if not ring:
                break
        return reached

    def _graph(self, scope: Scope) -> None:
        """Add a graph, whose nodes and lines are the next; those of the graphs that they call follow each."""
        first, line = len(self.vertices), next(self._rest)
        for argument, text in zip(scope.graph.inputs, line.parts, strict=True):
            names = argument.names() or ([argument.as_custom_obj.name] if argument.as_custom_obj else [])
            self._add("input", scope, line, text, next(iter(names), "constant"), names)
        makers = {name: vertex.number for vertex in self.vertices[first:] for name in vertex.defines}
        for node in scope.graph.nodes:
            site, line = next(self._sites), next(self._rest)
            vertex = self._add("node", scope, line, line.text.strip(), node.label, node.results(), site)
            self._at[site.position] = vertex
            self._take((operand.arg for operand in node.inputs), vertex, makers)
            self._call(site, vertex, makers)
            makers.update(dict.fromkeys(vertex.defines, vertex.number))
        line = next(self._rest)
        end = self._add("return", scope, line, line.text.strip(), "return", [])
        self._spans[id(scope.graph)] = range(first, end.number + 1)
        self._take(scope.graph.outputs, end, makers)

    def _add(self, *facts: Any) -> Vertex:
        self.vertices.append(Vertex(len(self.vertices), *facts))
        return self.vertices[-1]

    def _connect(self, edge: Edge) -> None:
        self.incoming[edge.target].append(edge)
        self.outgoing[edge.source].append(edge)

    def _take(self, arguments: Iterable[Argument], vertex: Vertex, makers: dict[str, int]) -> None:
        for name in dict.fromkeys(name for argument in arguments for name in argument.names()):
            if name in makers:
                self._connect(Edge(makers[name], vertex.number, name))

    def _call(self, site: Site, vertex: Vertex, makers: dict[str, int]) -> None:
        """What the caller hands over becomes the subgraphs' inputs; all of it may, where that is not known."""
        call = call_of(site.node)
        called = set() if call is None else set(map(id, call.graphs.values()))
        operands = [] if call is None else call.operands
        taken = [(edge.source, edge.value) for edge in self.incoming[vertex.number]]
        for scope in subscopes(site):
            self._graph(scope)
            span = self.span(scope.graph)
            for index, inner in enumerate(span[: len(scope.graph.inputs)]):
                handed = taken
                if call is not None and id(scope.graph) in called:
                    handed = [(makers[name], name) for name in operands[index : index + 1] if name in makers]
                for source, name in handed:
                    self._connect(Edge(source, inner, name, "call"))
            self._connect(Edge(span[-1], vertex.number, "", "return"))

    @cached_property
    def _writes(self) -> dict[int, list[Write]]:
        writes: dict[int, list[Write]] = {}
        for write in self.view.writes:
            writes.setdefault(self._at[write.site.position].number, []).append(write)
        return writes

    @cached_property
    def _shown(self) -> defaultdict[Storage, list[tuple[int, str]]]:
        """The values that may show each storage, as far as there are writes."""
        shown: defaultdict[Storage, list[tuple[int, str]]] = defaultdict(list)
        for vertex in self.vertices if self._writes else ():
            for name in vertex.defines:
                for storage in {ref.storage for ref in self.view.memory.refs(vertex.scope.graph, name)}:
                    shown[storage].append((vertex.number, name))
        return shown

    def writes(self, writer: int) -> list[Write]:
        """The writes of a vertex; none, where it writes nothing."""
        return self._writes.get(writer, [])

    def extent(self, chosen: Container[int] | None = None) -> int:
        """How many values all the writes reach, or those of the ``chosen`` vertices: in a chain of writes to one
        storage the square of its length. To work the reaches out takes time with that.
        """
        writers = [writer for writer in self._writes if chosen is None or writer in chosen]
        return sum(len(self._shown[storage]) for writer in writers for storage in self._written(writer))

    def reaches(self, writers: Iterable[int] | None = None) -> Iterator[Reach]:
        """The reach of each vertex that writes, or of those of the ``writers`` that do."""
        for writer in self._writes if writers is None else writers:
            if writer in self._writes:
                values = frozenset(value for storage in self._written(writer) for value in self._shown[storage])
                takers = (edge for number, name in values for edge in self.outgoing[number] if edge.value == name)
                read_by = sorted({edge.target for edge in takers if self._reads(edge, writer, values)})
                yield Reach(writer, tuple(sorted({number for number, _ in values})), values, tuple(read_by))

    def _written(self, writer: int) -> set[Storage]:
        return {ref.storage for write in self._writes[writer] for ref in write.refs}

    def _reads(self, edge: Edge, writer: int, values: frozenset[tuple[int, str]]) -> bool:
        vertex = self.vertices[edge.target]
        if edge.kind != "value" or edge.target <= writer or _exclusive(self.vertices[writer], vertex):
            return False
        if vertex.site is None:
            return vertex.scope.caller is None
        if vertex.site.node.subgraphs() and call_of(vertex.site.node) is not None:
            return False  # what is inside reads it
        views = vertex.defines
        only_shows = bool(views) and all((edge.target, name) in values for name in views)
        return not only_shows or edge.target in self._writes


def subscopes(site: Site) -> Iterator[Scope]:
    """The graphs that a node calls."""
    for sub in site.node.subgraphs():
        yield Scope(sub.graph, (*site.scope.path, site.node.caller_label, sub.name), site)


def _exclusive(one: Vertex, other: Vertex) -> bool:
    """Whether the two lie in different branches of a ``cond``, so that only one of them runs."""
    known = {site.position: name for site, name in _branches(one) if site.node.caller_label == "cond"}
    return any(known.get(site.position, name) != name for site, name in _branches(other))


def _branches(vertex: Vertex) -> Iterable[tuple[Site, str]]:
    """The callers of the vertex's graph up to the root, each with the name of the graph that it calls."""
    return zip(vertex.scope.callers(), vertex.scope.path[::-2], strict=True)


class ShownProgram(msgspec.Struct, frozen=True, eq=False):
    """One program of an artifact as it is shown, with what is to be seen of it."""

    name: str
    flow: Flow
    loads_in: tuple[str, ...]
    """The versions of torch that load it, as far as is known."""
    diagnostics: tuple[Diagnostic, ...] = ()
    centers: tuple[Vertex, ...] = ()
    """What was asked for; empty for the whole program."""
    hops: int = 0

    def chosen(self) -> set[int] | None:
        """Numbers of the vertices around the centers; None for all."""
        return self.flow.around(self.centers, self.hops) if self.centers else None

    def findings(self) -> dict[int, list[Diagnostic]]:
        """The diagnostics by the number of their vertex; -1 holds those of the program as a whole."""
        found: dict[int, list[Diagnostic]] = {}
        for one in self.diagnostics:
            number = -1 if one.node is None else self.flow.vertex(one.position).number
            found.setdefault(number, []).append(one)
        return found
