"""What is on a picture of a program, and what is to be seen of each vertex: Graphviz text and SVG are made from it."""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from graphlint.report.formats.phrasing import enumerated
from graphlint.report.graphs.flow import Edge, Flow, Vertex, subscopes
from graphlint.report.graphs.text import print_type
from graphlint.rules.diagnostics import WrittenStorage
from graphlint.semantics.sites import Scope

MOST: Final = 40
"""How many vertices a picture of a neighbourhood has at most: more cannot be taken in."""
_MOST_LINES: Final = 8
_MOST_NAMED: Final = 5


class Drawing:
    """Some vertices of a program, each with what calls it; what is written, shows it and reads it."""

    def __init__(self, flow: Flow, centers: Sequence[Vertex] = (), hops: int = 0) -> None:
        """Of ``centers`` with what is ``hops`` before and after them and, where they write, with everything that shows
        what they write and that reads it afterwards; the nearest :data:`MOST` of all that. Without centers, of the
        whole program with all that it writes.
        """
        self.flow = flow
        self.focus = {center.number for center in centers}
        self._centers = centers
        self._shown = list(flow.reaches([center.number for center in centers] if centers else None))
        self._writers = {reach.writer for reach in self._shown}
        self._values = {value for reach in self._shown for value in reach.values}
        self.shows = {number for reach in self._shown for number in reach.shown_by}
        """What defines a value that may show the written storage."""
        self.reads = {number for reach in self._shown for number in reach.read_by}
        """What reads the written storage after the write; ``again`` is what writes it again."""
        self.again = {number for number in self.reads if flow.writes(number)}
        self.chosen = {vertex.number for vertex in flow.vertices}
        if centers:
            near = flow.around(centers, hops)
            self.chosen = self._nearest(near, near | self.shows | self.reads)
        self.left_out = sum(vertex.number not in self.chosen for vertex in flow.nodes)

    def _nearest(self, near: AbstractSet[int], candidates: Iterable[int]) -> set[int]:
        """Of the candidates as many as a picture has room for: the centers, what is around them, then what is not far
        in program order. What is chosen comes with what calls it.
        """

        def distance(number: int) -> tuple[bool, bool, int, int]:
            away = min(abs(number - center) for center in self.focus)
            return number not in self.focus, number not in near, away, number

        chosen: set[int] = set()
        for number in sorted(candidates, key=distance):
            added = {number, *self.flow.callers(self.flow.vertices[number])}
            if len(chosen | added) <= MOST or number in self.focus:
                chosen |= added
        return chosen

    @property
    def graph(self) -> list[Vertex]:
        """What is on the picture of the program's own graph."""
        return self._within(Scope(self.flow.view.program.graph))

    def _within(self, scope: Scope) -> list[Vertex]:
        found = (self.flow.vertices[number] for number in self.flow.span(scope.graph) if number in self.chosen)
        return [
            vertex
            for vertex in found
            if vertex.scope.graph is scope.graph and (vertex.kind != "return" or scope.graph.outputs)
        ]

    def called(self, vertex: Vertex) -> Iterator[tuple[str, list[Vertex]]]:
        """The graphs that a vertex calls, as far as they are on the picture: ``@true_graph_0`` and what is in it."""
        for scope in subscopes(vertex.site) if vertex.site is not None else ():
            if not self.chosen.isdisjoint(self.flow.span(scope.graph)):
                yield f"@{scope.path[-1]}", self._within(scope)

    def wires(self, vertices: Sequence[Vertex]) -> list[Edge]:
        """The lines between the vertices of one graph, from earlier to later ones."""
        here = {vertex.number for vertex in vertices}
        wires = sorted(
            edge._replace(kind="storage" if (edge.source, edge.value) in self._values else "value")
            for number in here
            for edge in self.flow.incoming[number]
            if edge.source in here
        )
        return sorted([*wires, *self._orders(here, wires)], key=lambda wire: wire[:3])

    def _orders(self, here: AbstractSet[int], wires: Sequence[Edge]) -> Iterator[Edge]:
        """From each write to what reads the storage afterwards without taking the write's result, whichever way;
        ``wires`` come in the order of their sources.
        """
        for reach in self._shown:
            writer = self._outer(reach.writer, here)
            taking = {writer}
            for wire in wires:
                if wire.source in taking:
                    taking.add(wire.target)
            readers = {self._outer(number, here) for number in reach.read_by} - taking
            yield from (Edge(writer, reader, "", "order") for reader in readers if reader > writer >= 0)

    def _outer(self, number: int, here: AbstractSet[int]) -> int:
        """The vertex or what of its callers is in that graph; -1 where nothing is."""
        return next((one for one in (number, *self.flow.callers(self.flow.vertices[number])) if one in here), -1)

    def heading(self, vertex: Vertex) -> str:
        """An op, what an input is, or ``return``."""
        if vertex.kind == "input":
            return self.flow.held(vertex) or "input"
        return vertex.site.name if vertex.site is not None else "return"

    def lines(self, vertex: Vertex) -> tuple[str, ...]:
        """The values that a vertex defines, or that a graph returns."""
        if vertex.kind == "input":
            return (vertex.text.removesuffix(f" = {self.flow.held(vertex)}"),)
        if vertex.site is not None:
            metas = [(name, vertex.scope.graph.meta(name)) for name in vertex.defines]
            typed = [f"${name}" if meta is None else f"%{name}: {print_type(meta)}" for name, meta in metas]
            return (", ".join(typed),) if typed else ()
        parts = vertex.line.parts
        few = len(parts) <= _MOST_LINES
        return parts if few else (*parts[: _MOST_LINES - 1], f"... {len(parts)} in all")

    def writes(self, number: int) -> str:
        """What a vertex writes (``buffer 'cache'``); empty where it writes nothing that the picture is about."""
        writes = self.flow.writes(number) if number in self._writers else ()
        return " and ".join(dict.fromkeys(WrittenStorage.of(write).describe() for write in writes))

    def more(self, number: int) -> tuple[int, int]:
        """How many of the values that a vertex takes come from what is not on the picture, and how often what it
        defines is taken there.
        """
        edges = (*self.flow.incoming[number], *self.flow.outgoing[number])
        outside = [edge for edge in edges if edge.kind == "value" and not self.chosen >= {edge.source, edge.target}]
        return sum(edge.target == number for edge in outside), sum(edge.source == number for edge in outside)

    @property
    def title(self) -> str:
        """What the picture shows, in one line."""
        named = ", ".join(_called(center) for center in self._centers[:_MOST_NAMED])
        return f"What is around {named}" if named else "The graph of the program"

    @property
    def description(self) -> str:
        """What there is to see, in words: for who cannot see it."""
        vertices = self.flow.vertices
        sentences = []
        for reach in self._shown[:_MOST_NAMED]:
            sentences.append(f"{_called(vertices[reach.writer])} writes {self.writes(reach.writer)}.")
            shown = [f"%{name}" for number, name in sorted(reach.values) if number in self.chosen]
            if shown:
                sentences.append(f"{_few(shown)} may show that memory.")
            read = [_called(vertices[number]) for number in reach.read_by if number in self.chosen]
            if read:
                sentences.append(f"After the write it is read by {_few(read)}.")
        if not self._shown:
            names = [_called(vertex) for vertex in self.flow.nodes if vertex.number in self.chosen]
            sentences.append(f"Nodes: {_few(names)}." if names else "There are no nodes.")
        if self.left_out:
            sentences.append(f"{self.left_out} of the program's nodes are not shown.")
        return " ".join(sentences)


def _called(vertex: Vertex) -> str:
    if vertex.site is not None:
        return f"%{vertex.site.node.label} ({vertex.site.name})"
    return "the return of the program" if vertex.kind == "return" else f"%{vertex.label}"


def _few(names: Sequence[str]) -> str:
    """``a, b and c``; the first few of many."""
    more = len(names) - _MOST_NAMED
    return enumerated([*names[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])])
