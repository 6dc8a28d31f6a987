"""From a program to a picture: which nodes are on it, and what is to be seen of each."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final, Literal

from graphlint.ir.text import print_type, program_lines
from graphlint.report.graphs.flow import Edge, Flow, Vertex
from graphlint.report.graphs.picture import Box, Picture, Sheet, Wire
from graphlint.report.graphs.reach import Reaches
from graphlint.semantics.sites import Scope, Site
from graphlint.semantics.view import ProgramView

MOST: Final = 40
"""How many vertices a picture of a neighbourhood has at most: more cannot be taken in."""
_MOST_LINES: Final = 8
_MOST_NAMED: Final = 5


class Scene:
    """What all pictures of one program have in common; it takes time linear in the size of the program."""

    def __init__(self, view: ProgramView, flow: Flow | None = None) -> None:
        """``flow`` is the program's, if there is one already."""
        self.view = view
        self.flow = flow if flow is not None else Flow(view.program, view.ops)
        self.reaches = Reaches(view, self.flow)
        lines = list(program_lines(view.program))
        self.nodes = {id(line.node): line for line in lines if line.node is not None}
        """The text form's line of each node, by the node's identity; below those of graphs, by theirs."""
        self.ends = {id(line.graph): line for line in lines if line.kind == "outputs"}
        self.inputs = {id(line.graph): line for line in lines if line.kind == "inputs"}

    def text(self, vertex: Vertex) -> str:
        """The vertex in text form: a node's line, an input's part of its graph's line, a graph's ``return``."""
        if vertex.site is not None:
            return self.nodes[id(vertex.site.node)].text.strip()
        if vertex.kind == "return":
            return self.ends[id(vertex.scope.graph)].text.strip()
        return self.inputs[id(vertex.scope.graph)].parts[vertex.number - self.flow.inputs(vertex.scope)[0].number]


def neighbourhood(view: ProgramView, site: Site, hops: int = 1, *, scene: Scene | None = None) -> Picture:
    """A node with what is ``hops`` before and after it and, where it writes, with everything that shows what it writes
    and that reads it afterwards; the nearest :data:`MOST` of all that.

    ``scene`` is the program's, for who draws several pictures of it.
    """
    scene = scene if scene is not None else Scene(view)
    return around(scene, [scene.flow.vertex(site)], hops)


def around(scene: Scene, centers: list[Vertex], hops: int) -> Picture:
    """Several vertices, inputs among them, with what is ``hops`` before and after them."""
    return _Drawing(scene, centers, [center.number for center in centers]).picture(hops)


def whole_program(scene: Scene) -> Picture:
    """All nodes of a program, with all that it writes."""
    return _Drawing(scene, [], scene.reaches.writers).whole()


class _Drawing:
    """One picture in the making."""

    def __init__(self, scene: Scene, centers: list[Vertex], writers: list[int]) -> None:
        self._scene = scene
        self._flow = scene.flow
        self._centers = centers
        self._shown = [reach for writer in writers if (reach := scene.reaches.of(writer)) is not None]
        self._writers = {reach.writer for reach in self._shown}
        self._shown_by = {number for reach in self._shown for number in reach.shown_by}
        self._values = {value for reach in self._shown for value in reach.values}
        self._read_by = {number for reach in self._shown for number in reach.read_by}

    def picture(self, hops: int) -> Picture:
        """The centers and what is around them."""
        near = self._flow.around(self._centers, hops)
        chosen = self._nearest(near, near | self._shown_by | self._read_by)
        return self._drawn(chosen)

    def whole(self) -> Picture:
        """Everything."""
        return self._drawn({vertex.number for vertex in self._flow.vertices})

    def _nearest(self, near: AbstractSet[int], candidates: Iterable[int]) -> set[int]:
        """Of the candidates as many as a picture has room for: the centers, what is around them, then what is not far
        in program order. What is chosen comes with what calls it.
        """
        middle = [center.number for center in self._centers]

        def distance(number: int) -> tuple[bool, bool, int, int]:
            away = min(abs(number - center) for center in middle)
            return number not in middle, number not in near, away, number

        chosen: set[int] = set()
        for number in sorted(candidates, key=distance):
            vertex = self._flow.vertices[number]
            added = {number, *(caller.number for caller in self._flow.callers(vertex))}
            if len(chosen | added) <= MOST or number in middle:
                chosen |= added
        return chosen

    def _drawn(self, chosen: AbstractSet[int]) -> Picture:
        nodes = [vertex for vertex in self._flow.vertices if vertex.site is not None]
        left_out = sum(vertex.number not in chosen for vertex in nodes)
        sheet = self._sheet("", Scope(self._scene.view.program.graph), chosen)
        return Picture(self._title(), self._description(chosen, left_out), sheet, left_out)

    def _sheet(self, name: str, scope: Scope, chosen: AbstractSet[int]) -> Sheet:
        vertices = [
            vertex
            for vertex in self._of(scope)
            if vertex.number in chosen and (vertex.kind != "return" or vertex.scope.graph.outputs)
        ]
        here = {vertex.number for vertex in vertices}
        boxes = tuple(self._box(vertex, chosen) for vertex in vertices)
        edges = [edge for number in here for edge in self._flow.incoming.get(number, ()) if edge.source in here]
        wires = [Wire(edge.source, edge.target, edge.value, self._wire_kind(edge)) for edge in edges]
        wires += self._orders(here, wires)
        return Sheet(name, boxes, tuple(sorted(wires, key=lambda wire: (wire.source, wire.target, wire.value))))

    def _of(self, scope: Scope) -> Iterable[Vertex]:
        """The vertices of one graph."""
        span = self._flow.span(scope)
        within = self._flow.vertices[span.start : span.stop]
        return (vertex for vertex in within if vertex.scope.graph is scope.graph)

    def _orders(self, here: AbstractSet[int], wires: list[Wire]) -> list[Wire]:
        """From each write to what reads the storage afterwards without taking the write's result, whichever way."""
        following: dict[int, list[int]] = {}
        for wire in wires:
            following.setdefault(wire.source, []).append(wire.target)
        found = []
        for reach in self._shown:
            writer = self._outer(reach.writer, here)
            if writer is None:
                continue
            reached = _reachable(writer, following)
            readers = {self._outer(number, here) for number in reach.read_by} - {None, writer}
            found += [
                Wire(writer, reader, "", "order")
                for reader in readers
                if reader is not None and reader > writer and reader not in reached
            ]
        return found

    def _outer(self, number: int, here: AbstractSet[int]) -> int | None:
        """The vertex or what of its callers is on this sheet."""
        vertex = self._flow.vertices[number]
        return next((one for one in (number, *(c.number for c in self._flow.callers(vertex))) if one in here), None)

    def _wire_kind(self, edge: Edge) -> Literal["value", "storage"]:
        return "storage" if (edge.source, edge.value) in self._values else "value"

    def _box(self, vertex: Vertex, chosen: AbstractSet[int]) -> Box:
        number = vertex.number
        heading, lines = self._described(vertex)
        sheets = []
        if vertex.site is not None:
            for sub in vertex.site.node.subgraphs():
                scope = Scope(sub.graph, (*vertex.scope.path, vertex.site.node.caller_label, sub.name), vertex.site)
                if any(inner in chosen for inner in self._flow.span(scope)):
                    sheets.append(self._sheet(f"@{sub.name}", scope, chosen))
        above = [edge for edge in self._flow.incoming.get(number, ()) if edge.kind == "value"]
        below = [edge for edge in self._flow.outgoing.get(number, ()) if edge.kind == "value"]
        return Box(
            key=number,
            kind=vertex.kind,
            heading=heading,
            lines=lines,
            text=self._scene.text(vertex),
            focus=vertex in self._centers,
            writes=self._written(vertex) if number in self._writers else "",
            shows=number in self._shown_by,
            reads=number in self._read_by,
            again=number in self._read_by and bool(self._scene.reaches.writes(number)),
            more_above=sum(edge.source not in chosen for edge in above),
            more_below=sum(edge.target not in chosen for edge in below),
            sheets=tuple(sheets),
        )

    def _described(self, vertex: Vertex) -> tuple[str, tuple[str, ...]]:
        """Heading and lines."""
        if vertex.site is not None:
            typed = [_typed(vertex, name) for name in vertex.site.node.results()]
            return vertex.site.name, (", ".join(typed),) if typed else ()
        if vertex.kind == "return":
            parts = self._scene.ends[id(vertex.scope.graph)].parts
            return "return", parts if len(parts) <= _MOST_LINES else (
                *parts[: _MOST_LINES - 1],
                f"... {len(parts)} in all",
            )
        typed_input, _, kind = self._scene.text(vertex).partition(" = ")
        return kind or "input", (typed_input,)

    def _written(self, vertex: Vertex) -> str:
        found = [write.storage().describe() for write in self._scene.reaches.writes(vertex.number)]
        return " and ".join(dict.fromkeys(found))

    def _title(self) -> str:
        if not self._centers:
            return "The graph of the program"
        return "What is around " + ", ".join(_called(center) for center in self._centers[:_MOST_NAMED])

    def _description(self, chosen: AbstractSet[int], left_out: int) -> str:
        vertices = self._flow.vertices
        sentences = []
        for reach in self._shown[:_MOST_NAMED]:
            writer = vertices[reach.writer]
            sentences.append(f"{_called(writer)} writes {self._written(writer)}.")
            shown = [f"%{name}" for number, name in sorted(reach.values) if number in chosen]
            if shown:
                sentences.append(f"{_enumerated(shown)} may show that memory.")
            read = [_called(vertices[number]) for number in reach.read_by if number in chosen]
            if read:
                sentences.append(f"After the write it is read by {_enumerated(read)}.")
        if not self._shown:
            names = [_called(vertices[number]) for number in sorted(chosen) if vertices[number].site is not None]
            sentences.append(f"Nodes: {_enumerated(names)}." if names else "There are no nodes.")
        if left_out:
            sentences.append(f"{left_out} of the program's nodes are not on the picture.")
        return " ".join(sentences)


def _reachable(start: int, following: dict[int, list[int]]) -> set[int]:
    reached: set[int] = set()
    waiting = [start]
    while waiting:
        for number in following.get(waiting.pop(), ()):
            if number not in reached:
                reached.add(number)
                waiting.append(number)
    return reached


def _typed(vertex: Vertex, name: str) -> str:
    meta = vertex.scope.graph.meta(name)
    return f"${name}" if meta is None else f"%{name}: {print_type(meta)}"


def _called(vertex: Vertex) -> str:
    if vertex.site is not None:
        return f"%{vertex.site.node.label} ({vertex.site.name})"
    return "the return of the program" if vertex.kind == "return" else f"%{vertex.label}"


def _enumerated(names: list[str]) -> str:
    """``a, b and c``; the first few of many."""
    shown = names[:_MOST_NAMED]
    if len(names) > len(shown):
        shown.append(f"{len(names) - len(shown)} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
