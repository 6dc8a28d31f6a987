"""Drawing as SVG: one self-contained element that can stand in a page or in a file of its own; pictures of what is
around findings, for reports that show them.

Colours follow what the reader prefers, light or dark; nothing is told by colour alone. Widths of texts are estimated
for a monospace font, generously, and what is longer than a box may be is cut, with all of it in the tooltip. A page
that wants the picture to shrink with it gives ``.glp-picture`` a ``max-width`` and ``height: auto``; simple renderers
take such rules in the picture itself for its size.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from html import escape
from typing import Final, NamedTuple

import msgspec
from markupsafe import Markup

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.phrasing import grouped
from graphlint.report.graphs.drawing import Drawing
from graphlint.report.graphs.flow import Edge, Flow, ShownProgram, Vertex
from graphlint.report.graphs.layers import Point, place
from graphlint.report.results import KEY, Illustration, Picture, ReportOptions
from graphlint.report.templates import rendered
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site

_CHARACTER: Final = 7.4
"""Width of a character of 12 pixels: monospace fonts have 0.55 to 0.61 of it."""
_LINE: Final = 17
_PADDING: Final = 10
_LONGEST: Final = 64
"""Characters of a line in a box."""
_MARGIN: Final = 16
_HEADER: Final = 24
_LEGEND_GAP: Final = 22
MOST: Final = 50
"""How many pictures of a program are drawn: a report with thousands of them opens in no browser."""
_MOST_SUCCESSORS: Final = 3
_escaped: Final = partial(escape, quote=False)


def render(path: str, programs: Sequence[ShownProgram], options: ReportOptions) -> str:
    """The picture of the only program."""
    [program] = programs
    return render_svg(Drawing(program.flow, program.centers, program.hops), program.findings())


def render_svg(drawing: Drawing, findings: Mapping[int, Sequence[Diagnostic]] = {}) -> str:
    """The ``<svg>`` element, ending in a newline. The same drawing gives the same text, others have other ids. Vertices
    are marked with the codes of their ``findings``, which are by number.
    """
    picture = draw(drawing, findings)
    return picture.svg(sha256(picture.drawing.encode()).hexdigest()[:12])


def draw(drawing: Drawing, findings: Mapping[int, Sequence[Diagnostic]] = {}) -> Picture:
    """The picture, to be put into a page."""
    svg = _Svg(drawing, findings)
    body, legend = svg.graph(drawing.graph), svg.legend()
    room = max((_width(text) + 36 for _, text in legend), default=0.0)
    parts = rendered(
        "report/graphs",
        "picture.svg",
        _escaped,
        drawing=drawing,
        body=body,
        legend=legend,
        width=max(body.width, room, 200) + 2 * _MARGIN,
        height=body.height + len(legend) * _LINE + 2 * _MARGIN + (_LEGEND_GAP if legend else 0),
        margin=_MARGIN,
        padding=_PADDING,
        header=_HEADER,
        line_height=_LINE,
        key=Markup(KEY),  # noqa: S704 - as the whole is
        n=_n,
    )
    return Picture(drawing.description, parts)


def illustrate(
    view: ProgramView, diagnostics: Iterable[Diagnostic], *, positioned: bool = True
) -> dict[Site, Illustration]:
    """A picture for the first finding of each group, each node once; ``diagnostics`` are those of the program. Nodes
    without a name may share a label: which of them is meant, the position tells, where it is that of this program
    (``positioned``); else there is no picture.
    """
    flow: Flow | None = None
    sites: defaultdict[tuple[tuple[str, ...], str | None], list[Site]] = defaultdict(list)
    for one in view.sites:
        sites[one.scope.path, one.node.label].append(one)
    made: dict[Site, Illustration] = {}
    for first in (group.first for group in grouped(diagnostics)):
        named = sites[first.subgraph, first.node]
        meant = [one for one in named if positioned and one.position == first.position] if len(named) > 1 else named
        site = meant[0] if meant else None
        if site is not None and site not in made and len(made) < MOST:
            flow = flow or Flow(view)
            picture = draw(Drawing(flow, [flow.vertex(site.position)], 1))
            made[site] = Illustration(
                first.program or "", first.subgraph, site.node.label, picture, position=first.position
            )
    return made


def illustrate_fix(before: ProgramView, after: ProgramView, fixed: Iterable[Diagnostic]) -> list[Illustration]:
    """The same for what was fixed, with what takes its place."""
    made = illustrate(before, fixed, positioned=False)  # a finding may be of what another fix has left
    if not made:
        return []
    flow = Flow(after)
    illustrations = []
    for one, centers in zip(made.values(), _successors(before, flow, made), strict=True):
        picture = draw(Drawing(flow, centers, 1)) if centers else None
        illustrations.append(msgspec.structs.replace(one, fixed=True, after=picture))
    return illustrations


def _successors(before: ProgramView, flow: Flow, sites: Iterable[Site]) -> Iterator[list[Vertex]]:
    """Which nodes of a fixed program stand for those of the original, a few at most: what defines the same values, or
    is new and from the same line of the source. None where a node was taken out.
    """
    old = {vertex.label for vertex in Flow(before).vertices}
    defining = {name: vertex for vertex in flow.nodes for name in vertex.defines}
    new: defaultdict[str, list[Vertex]] = defaultdict(list)
    for vertex in flow.nodes:
        if vertex.label not in old and vertex.site is not None:
            new[_trace(vertex.site)].append(vertex)
    for site in sites:
        found = [defining[name] for name in site.node.results() if name in defining]
        found += new[_trace(site)] if _trace(site) else []
        yield list({vertex.number: vertex for vertex in found}.values())[:_MOST_SUCCESSORS]


def _trace(site: Site) -> str:
    return site.node.metadata.get("stack_trace", "")


class _Box(NamedTuple):
    vertex: Vertex
    width: float
    height: float
    classes: str
    texts: list[tuple[str, str]]
    """Each with its class."""
    top: float
    """Where the graphs begin that it calls."""
    frames: list[tuple[str, "_Graph", float]]
    """Those graphs, each with its name and its place."""


class _Graph(NamedTuple):
    width: float
    height: float
    boxes: list[_Box]
    corners: dict[int, Point]
    lines: list[tuple[str, str, str]]
    """The kind of each, its path, and the values that take it."""


class _Svg:
    def __init__(self, drawing: Drawing, findings: Mapping[int, Sequence[Diagnostic]]) -> None:
        self._drawing = drawing
        self._findings = findings
        self._marks: set[str] = set()
        """What has to be explained."""

    def graph(self, vertices: Sequence[Vertex]) -> _Graph:
        """The boxes and lines of a graph."""
        boxes = [self._box(vertex) for vertex in vertices]
        joined: dict[tuple[int, int], list[Edge]] = {}
        for wire in self._drawing.wires(vertices):
            joined.setdefault((wire.source, wire.target), []).append(wire)
            self._marks |= {"order"} if wire.kind == "order" else set()
        ends = {vertex.number for vertex in vertices if vertex.kind == "return"}
        placed = place({one.vertex.number: (one.width, one.height) for one in boxes}, list(joined), ends)
        lines = [_line(wires, points) for wires, points in zip(joined.values(), placed.lines, strict=True)]
        return _Graph(placed.width, placed.height, boxes, placed.boxes, lines)

    def _box(self, vertex: Vertex) -> _Box:
        drawing, number = self._drawing, vertex.number
        inner = [(_cut(name), self.graph(vertices)) for name, vertices in drawing.called(vertex)]
        texts = [("glp-text glp-heading", _cut(drawing.heading(vertex)))]
        texts += [("glp-quiet", _cut(line)) for line in drawing.lines(vertex)]
        texts += [(f"glp-tag-{kind}", _cut(text)) for kind, text in self._tags(vertex)]
        width = max(_width(text) for _, text in texts) + 2 * _PADDING
        top = height = len(texts) * _LINE + 10.0
        if inner:
            room = sum(one.width + 2 * _PADDING for _, one in inner) + _PADDING * (len(inner) + 1)
            width = max(width, room, *(_width(name) + 4 * _PADDING for name, _ in inner))
            height = top + _HEADER + max(one.height for _, one in inner) + 2 * _PADDING
        frames = []
        x = (width - sum(one.width + 3 * _PADDING for _, one in inner) + _PADDING) / 2
        for name, one in inner:
            frames.append((name, one, x))
            x += one.width + 3 * _PADDING
        thick = number in drawing.focus or bool(drawing.writes(number))
        shows, reads = number in drawing.shows, number in drawing.reads
        self._marks |= {"storage"} if shows else set()
        self._marks |= {"stub"} if any(drawing.more(number)) else set()
        kind = "focus" if thick else "shows" if shows else "reads" if reads else "box"
        return _Box(vertex, width, height, f"glp-{kind}{' glp-thick' if thick else ''}", texts, top, frames)

    def _tags(self, vertex: Vertex) -> Iterator[tuple[str, str]]:
        """In words what the colours say."""
        number = vertex.number
        writes = self._drawing.writes(number)
        if number in self._findings:
            yield "writes", ", ".join(dict.fromkeys(one.code for one in self._findings[number]))
        if writes:
            yield "writes", f"writes {writes}"
        elif number in self._drawing.shows:
            yield "shows", "the written memory" if vertex.kind == "input" else "shows the written memory"
        if not writes and number in self._drawing.again:
            yield "writes", "writes it again"
        elif not writes and number in self._drawing.reads:
            yield "reads", "returned after the write" if vertex.kind == "return" else "reads it after the write"

    def legend(self) -> list[tuple[str, str]]:
        """One line for each mark that is on the picture, and what is not on it."""
        left_out = self._drawing.left_out
        entries = (
            ("storage", "may show the written memory"),
            ("order", "no value: reads what was written before"),
            ("stub", "leads to nodes that are not shown"),
            ("", f"{'1 node is' if left_out == 1 else f'{left_out} nodes are'} not shown"),
        )
        return [(kind, text) for kind, text in entries if (kind in self._marks if kind else left_out)]


def _line(wires: Sequence[Edge], points: Sequence[Point]) -> tuple[str, str, str]:
    """A line through the points: straight down the layers, curved between them."""
    kinds = {wire.kind for wire in wires}
    kind = next(kind for kind in ("storage", "value", "order") if kind in kinds)
    (x, y), *rest = points
    path = [f"M{_n(x)} {_n(y)}"]
    for to_x, to_y in rest:
        if to_x == x:
            path.append(f"V{_n(to_y)}")
        else:
            middle = (y + to_y) / 2
            path.append(f"C{_n(x)} {_n(middle)} {_n(to_x)} {_n(middle)} {_n(to_x)} {_n(to_y)}")
        x, y = to_x, to_y
    return kind, "".join(path), ", ".join(f"%{wire.value}" for wire in wires if wire.value)


def _cut(text: str) -> str:
    text = printable(text)
    if len(text) <= _LONGEST:
        return text
    keep = _LONGEST - 3
    return f"{text[: keep * 2 // 3]}...{text[-(keep - keep * 2 // 3) :]}"


def _width(text: str) -> float:
    return _CHARACTER * sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _n(number: float) -> str:
    return f"{round(number, 1):g}" if abs(number) < 1e5 else f"{number:.1f}"
