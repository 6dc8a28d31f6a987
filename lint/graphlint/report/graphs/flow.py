"""A program as one graph of values: what takes what, through the calls of subgraphs.

Vertices are the nodes, and the inputs and the ``return`` of every graph. A value leads from the vertex that defines it
to each that takes it; what a caller hands to a subgraph leads to that subgraph's input, and what a subgraph returns to
its caller. Writes reach the values that show the written storage, and what reads it afterwards. Listings, JSON and
pictures are made from that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec

from graphlint.ir.model import Argument, Graph, Program
from graphlint.ops.table import OpTable
from graphlint.report.graphs.text import Line, defined, input_kinds, program_lines
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.view import ProgramView
from graphlint.semantics.analysis import Write
from graphlint.semantics.calls import call_of
from graphlint.semantics.memory import Ref, Storage
from graphlint.semantics.sites import Scope, Site, walk


class Vertex(msgspec.Struct, frozen=True, eq=False):
    """A node, or an input or the ``return`` of a graph."""

    number: int
    """Its ordinal in program order, callers before what they call."""
    scope: Scope
    argument: Argument | None = None
    """An input's argument."""
    site: Site | None = None
    """The node in its place."""

    @property
    def kind(self) -> Literal["input", "node", "return"]:
        """What it is."""
        return "node" if self.site is not None else "return" if self.argument is None else "input"

    @property
    def defines(self) -> list[str]:
        """Names of the values that it defines."""
        if self.site is not None:
            return self.site.node.results()
        if self.argument is None:
            return []
        return self.argument.names() or ([self.argument.as_custom_obj.name] if self.argument.as_custom_obj else [])

    @property
    def names(self) -> tuple[str, ...]:
        """A node's name and that of its op."""
        return () if self.site is None else (self.site.node.label, self.site.name)

    @property
    def label(self) -> str:
        """What to call it: a node's or a value's name, ``return`` for the end of a graph."""
        if self.site is not None:
            return self.site.node.label
        return next(iter(self.defines), "constant") if self.kind == "input" else "return"


class Edge(NamedTuple):
    """A value on its way from one vertex to another, both by number."""

    source: int
    target: int
    value: str
    """Its name where it comes from."""
    kind: Literal["value", "call", "return"] = "value"
    """``call`` into the input of a subgraph, ``return`` from a subgraph's end to its caller."""


class Ends(NamedTuple):
    """Where a graph begins and ends."""

    inputs: list[Vertex]
    end: Vertex
    """Its ``return``."""
    span: range
    """The numbers of its vertices, with those of the graphs that it calls."""


class Flow:
    """The vertices of a program, and the edges between them."""

    def __init__(self, program: Program, ops: OpTable) -> None:
        self.program = program
        self.vertices: list[Vertex] = []
        self.edges: list[Edge] = []
        self.incoming: defaultdict[int, list[Edge]] = defaultdict(list)
        """Edges by the number of their target."""
        self.outgoing: defaultdict[int, list[Edge]] = defaultdict(list)
        """Edges by the number of their source."""
        self._at: dict[int, Vertex] = {}
        self._ends: dict[int, Ends] = {}
        self._graph(Scope(program.graph), walk(program, ops, lambda _: False))

    @property
    def nodes(self) -> list[Vertex]:
        """The vertices of nodes."""
        return list(self._at.values())

    def vertex(self, position: int) -> Vertex:
        """The vertex of the node with that ordinal in the program."""
        return self._at[position]

    def callers(self, vertex: Vertex) -> Iterator[int]:
        """The vertices of the nodes that call the vertex's graph, up to the root."""
        return (self._at[site.position].number for site in vertex.scope.callers())

    def ends(self, graph: Graph) -> Ends:
        """Where a graph of the program begins and ends."""
        return self._ends[id(graph)]

    def named(self, name: str) -> list[Vertex]:
        """The vertices of that name: a node's name, a value that one defines, or an op that one runs."""
        value = name.lstrip("%$")
        return [one for one in self.vertices if value in one.defines or name in one.names or value in one.names[:1]]

    def names(self) -> set[str]:
        """Everything that :meth:`named` knows."""
        return {name for vertex in self.vertices for name in (*vertex.defines, *vertex.names)}

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

    @cached_property
    def _lines(self) -> dict[int, Line]:
        """The text form's line of each node, by the node's identity; of each graph the last, by the graph's."""
        return {id(line.node or line.graph): line for line in program_lines(self.program)}

    @cached_property
    def _kinds(self) -> list[str]:
        return input_kinds(self.program)

    def line(self, vertex: Vertex) -> Line:
        """The text form's line of a node, or of a graph's end."""
        return self._lines[id(vertex.site.node if vertex.site is not None else vertex.scope.graph)]

    def input_text(self, vertex: Vertex) -> tuple[str, str]:
        """An input with its type, and what it is (``buffer "cache"``; empty for what is handed in)."""
        parts = defined(vertex.scope.graph, vertex.argument) if vertex.argument is not None else ()
        return ": ".join(filter(None, parts)), self._kinds[vertex.number] if vertex.scope.caller is None else ""

    def text(self, vertex: Vertex) -> str:
        """The vertex in text form: a node's line, an input's part of its graph's line, a graph's ``return``."""
        if vertex.kind == "input":
            return " = ".join(filter(None, self.input_text(vertex)))
        return self.line(vertex).text.strip()

    def _add(self, scope: Scope, argument: Argument | None = None, site: Site | None = None) -> Vertex:
        self.vertices.append(Vertex(len(self.vertices), scope, argument, site))
        return self.vertices[-1]

    def _connect(self, edge: Edge) -> None:
        self.edges.append(edge)
        self.incoming[edge.target].append(edge)
        self.outgoing[edge.source].append(edge)

    def _graph(self, scope: Scope, sites: Iterator[Site]) -> None:
        """Add a graph, whose nodes are the next of ``sites``; those of the graphs that they call follow each."""
        inputs = [self._add(scope, argument) for argument in scope.graph.inputs]
        makers = {name: vertex.number for vertex in inputs for name in vertex.defines}
        first = len(self.vertices) - len(inputs)
        for node in scope.graph.nodes:
            site = next(sites)
            vertex = self._at[site.position] = self._add(scope, site=site)
            self._take((operand.arg for operand in node.inputs), vertex, makers)
            self._call(site, vertex, makers, sites)
            makers.update(dict.fromkeys(vertex.defines, vertex.number))
        end = self._add(scope)
        self._ends[id(scope.graph)] = Ends(inputs, end, range(first, end.number + 1))
        self._take(scope.graph.outputs, end, makers)

    def _take(self, arguments: Iterable[Argument], vertex: Vertex, makers: dict[str, int]) -> None:
        for name in dict.fromkeys(name for argument in arguments for name in argument.names()):
            if name in makers:
                self._connect(Edge(makers[name], vertex.number, name))

    def _call(self, site: Site, vertex: Vertex, makers: dict[str, int], sites: Iterator[Site]) -> None:
        """What the caller hands over becomes the subgraphs' inputs; all of it may, where that is not known."""
        call = call_of(site.node)
        called = set() if call is None else set(map(id, call.graphs.values()))
        names = [] if call is None else call.operands
        taken = [(edge.source, edge.value) for edge in self.incoming[vertex.number]]
        for scope in subscopes(site):
            self._graph(scope, sites)
            for index, inner in enumerate(self.ends(scope.graph).inputs):
                handed = taken
                if id(scope.graph) in called:
                    named = (name for name in names[index : index + 1] if name is not None)
                    handed = [(makers[name], name) for name in named if name in makers]
                for source, name in handed:
                    self._connect(Edge(source, inner.number, name, "call"))
            self._connect(Edge(self.ends(scope.graph).end.number, vertex.number, "", "return"))


def subscopes(site: Site) -> Iterator[Scope]:
    """The graphs that a node calls."""
    for sub in site.node.subgraphs():
        yield Scope(sub.graph, (*site.scope.path, site.node.caller_label, sub.name), site)


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


class Reaches:
    """The reach of every write of a program. The storages of all values are looked up once, in time linear in the size
    of the program.
    """

    def __init__(self, view: ProgramView, flow: Flow | None = None) -> None:
        """``flow`` is the program's, if there is one already."""
        self.flow = flow if flow is not None else Flow(view.program, view.ops)
        self._shown: defaultdict[Storage, list[tuple[int, str]]] = defaultdict(list)
        self._writes: dict[int, list[Write]] = {}
        for write in view.writes:
            self._writes.setdefault(self.flow.vertex(write.site.position).number, []).append(write)
        for vertex in self.flow.vertices if self._writes else ():
            for name in vertex.defines:
                for storage in _storages(view.memory.refs(vertex.scope.graph, name)):
                    self._shown[storage].append((vertex.number, name))

    @property
    def writers(self) -> list[int]:
        """The vertices that write."""
        return list(self._writes)

    def writes(self, writer: int) -> list[Write]:
        """The writes of a vertex; none, where it writes nothing."""
        return self._writes.get(writer, [])

    def extent(self, chosen: Container[int] | None = None) -> int:
        """How many values all the writes reach, or those of the ``chosen`` vertices: in a chain of writes to one
        storage the square of its length. To work the reaches out takes time with that.
        """
        writers = [writer for writer in self._writes if chosen is None or writer in chosen]
        return sum(len(self._shown[storage]) for writer in writers for storage in self._written(writer))

    def of(self, writer: int) -> Reach | None:
        """The reach of a vertex's writes; None where it writes nothing."""
        if writer not in self._writes:
            return None
        values = frozenset(value for storage in self._written(writer) for value in self._shown[storage])
        takers = (edge for number, name in values for edge in self.flow.outgoing[number] if edge.value == name)
        read_by = sorted({edge.target for edge in takers if self._reads(edge, writer, values)})
        return Reach(writer, tuple(sorted({number for number, _ in values})), values, tuple(read_by))

    def _written(self, writer: int) -> set[Storage]:
        return _storages(ref for write in self._writes[writer] for ref in write.refs)

    def _reads(self, edge: Edge, writer: int, values: frozenset[tuple[int, str]]) -> bool:
        vertex = self.flow.vertices[edge.target]
        if edge.kind != "value" or edge.target <= writer or _exclusive(self.flow.vertices[writer], vertex):
            return False
        if vertex.site is None:
            return vertex.scope.caller is None
        if vertex.site.node.subgraphs() and call_of(vertex.site.node) is not None:
            return False  # what is inside reads it
        views = vertex.defines
        only_shows = bool(views) and all((edge.target, name) in values for name in views)
        return not only_shows or edge.target in self._writes


def _storages(refs: Iterable[Ref]) -> set[Storage]:
    return {ref.storage for ref in refs}


def _exclusive(one: Vertex, other: Vertex) -> bool:
    """Whether the two lie in different branches of a ``cond``, so that only one of them runs."""
    branches = {site.position: path for site, path in _branches(one) if site.node.caller_label == "cond"}
    return any(branches.get(site.position, path) != path for site, path in _branches(other))


def _branches(vertex: Vertex) -> Iterable[tuple[Site, str]]:
    scope = vertex.scope
    while scope.caller is not None:
        yield scope.caller, scope.path[-1]
        scope = scope.caller.scope


class ShownProgram(msgspec.Struct, frozen=True, eq=False):
    """One program of an artifact as it is shown, with what is to be seen of it."""

    name: str
    view: ProgramView
    flow: Flow
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
