"""Drawing a picture as SVG: one self-contained element that can stand in a page or in a file of its own.

Colours follow what the reader prefers, light or dark; nothing is told by colour alone. Widths of texts are estimated
for a monospace font, generously, and what is longer than a box may be is cut, with all of it in the tooltip. A page
that wants the picture to shrink with it gives ``.glp-picture`` a ``max-width`` and ``height: auto``; simple renderers
take such rules in the picture itself for its size.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final
from xml.sax.saxutils import escape

import msgspec

from graphlint.report.formats.escaping import printable
from graphlint.report.graphs.layers import Point, place
from graphlint.report.graphs.picture import Box, Picture, Sheet, Wire

_SIZE: Final = 12
_CHARACTER: Final = 7.4
"""Width of a character of that size: monospace fonts have 0.55 to 0.61 of it."""
_LINE: Final = 17
_PADDING: Final = 10
_LONGEST: Final = 64
"""Characters of a line in a box."""
_MARGIN: Final = 16
_HEADER: Final = 24
_LEGEND_GAP: Final = 22

_COLORS: Final = {
    # class: (fill, stroke) light, (fill, stroke) dark
    "box": (("#f6f8fa", "#8c959f"), ("#21262d", "#6e7681")),
    "shows": (("#fff1d6", "#bc4c00"), ("#3d2a10", "#f0883e")),
    "reads": (("#e6f2ff", "#0969da"), ("#10263f", "#58a6ff")),
    "focus": (("#ffebe9", "#cf222e"), ("#4a1619", "#ff7b72")),
    "frame": (("#ffffff", "#afb8c1"), ("#0d1117", "#484f58")),
    "paper": (("#ffffff", "none"), ("#0d1117", "none")),
}
_TEXTS: Final = {
    "text": ("#1f2328", "#e6edf3"),
    "quiet": ("#59636e", "#9198a1"),
    "tag-writes": ("#a40e26", "#ff9d96"),
    "tag-shows": ("#953800", "#f2a65a"),
    "tag-reads": ("#0550ae", "#79c0ff"),
}
_LINES: Final = {
    "value": ("#8c959f", "#6e7681"),
    "storage": ("#bc4c00", "#f0883e"),
    "order": ("#0969da", "#58a6ff"),
}
_P: Final = "glp-"
"""In front of all class names, since styles of an SVG in a page hold for all of the page."""


class _Drawn(msgspec.Struct):
    """A part of the picture with its size, drawn at the origin."""

    width: float
    height: float
    elements: list[str]


def render_svg(picture: Picture, key: str = "") -> str:
    """The ``<svg>`` element, ending in a newline. The same picture gives the same text.

    ``key`` tells its ids from those of the others in a page, in which a picture may stand several times; browsers draw
    no arrows whose definition is in a picture that is hidden. By default it is made from the picture.
    """
    key = key or _digest(picture)
    body = _sheet(picture.sheet, key)
    legend = _legend(picture)
    title = printable(picture.title)
    width = max(body.width, legend.width, 200) + 2 * _MARGIN
    height = body.height + legend.height + 2 * _MARGIN + (_LEGEND_GAP if legend.elements else 0)
    shift = (width - body.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{_P}picture" role="img"',
        f'  aria-labelledby="{_P}t{key} {_P}d{key}" viewBox="0 0 {_n(width)} {_n(height)}"',
        f'  width="{_n(width)}" height="{_n(height)}">',
        f'<title id="{_P}t{key}">{escape(title)}</title>',
        f'<desc id="{_P}d{key}">{escape(printable(picture.description))}</desc>',
        f"<style>{_style()}</style>",
        "<defs>",
        *_arrows(key),
        "</defs>",
        f'<rect class="{_P}paper" width="{_n(width)}" height="{_n(height)}"/>',
        *_moved(body, shift, _MARGIN),
        *_moved(legend, _MARGIN, body.height + _MARGIN + _LEGEND_GAP),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _sheet(sheet: Sheet, key: str) -> _Drawn:
    """The boxes and lines of a graph."""
    drawn = {box.key: _box(box, key) for box in sheet.boxes}
    joined: dict[tuple[int, int], list[Wire]] = {}
    for wire in sheet.wires:
        joined.setdefault((wire.source, wire.target), []).append(wire)
    ends = {box.key for box in sheet.boxes if box.kind == "return"}
    placed = place({number: (one.width, one.height) for number, one in drawn.items()}, list(joined), ends)
    elements = []
    for wires, points in zip(joined.values(), placed.lines, strict=True):
        elements.append(_line(wires, points, key))
    for box in sheet.boxes:
        x, y = placed.boxes[box.key]
        elements += _moved(drawn[box.key], x, y)
        elements += _stubs(box, drawn[box.key], x, y)
    return _Drawn(placed.width, placed.height, elements)


def _box(box: Box, key: str) -> _Drawn:
    inner = [(sheet.name, _sheet(sheet, key)) for sheet in box.sheets]
    texts: list[tuple[str, str]] = [("text heading", _cut(box.heading))]
    texts += [("quiet", _cut(line)) for line in box.lines]
    texts += [(f"tag-{kind}", _cut(text)) for kind, text in _tags(box)]
    width = max(_width(text) for _, text in texts) + 2 * _PADDING
    top = len(texts) * _LINE + 10.0
    height = top
    if inner:
        room = sum(one.width + 2 * _PADDING for _, one in inner) + _PADDING * (len(inner) + 1)
        width = max(width, room, *(_width(name) + 4 * _PADDING for name, _ in inner))
        height = top + _HEADER + max(one.height for _, one in inner) + 2 * _PADDING
    kind = next((name for name, is_so in _classes(box) if is_so), "box")
    classes = f"{_P}{kind} {_P}thick" if box.focus or box.writes else f"{_P}{kind}"
    round_ = 14 if box.kind != "node" else 4
    elements = [
        f"<g><title>{escape(printable(box.text))}</title>",
        f'<rect class="{classes}" width="{_n(width)}" height="{_n(height)}" rx="{round_}"/>',
    ]
    for index, (styles, text) in enumerate(texts):
        style = " ".join(_P + one for one in styles.split())
        elements.append(
            f'<text class="{style}" x="{_n(width / 2)}" y="{_n(_LINE * (index + 1))}">{escape(text)}</text>'
        )
    x = (width - sum(one.width + 3 * _PADDING for _, one in inner) + _PADDING) / 2
    for name, one in inner:
        frame = one.width + 2 * _PADDING
        elements.append(
            f'<rect class="{_P}frame" x="{_n(x)}" y="{_n(top)}" width="{_n(frame)}" '
            f'height="{_n(height - top - _PADDING)}" rx="4"/>'
        )
        elements.append(
            f'<text class="{_P}quiet" x="{_n(x + frame / 2)}" y="{_n(top + 16)}">{escape(_cut(name))}</text>'
        )
        elements += _moved(one, x + _PADDING, top + _HEADER)
        x += frame + _PADDING
    elements.append("</g>")
    return _Drawn(width, height, elements)


def _classes(box: Box) -> Iterator[tuple[str, bool]]:
    yield "focus", box.focus or bool(box.writes)
    yield "shows", box.shows
    yield "reads", box.reads


def _tags(box: Box) -> Iterator[tuple[str, str]]:
    """In words what the colours say."""
    if box.writes:
        yield "writes", f"writes {box.writes}"
    elif box.shows and box.kind == "input":
        yield "shows", "the written memory"
    elif box.shows:
        yield "shows", "shows the written memory"
    if box.again and not box.writes:
        yield "writes", "writes it again"
    elif box.reads and not box.writes:
        yield "reads", "returned after the write" if box.kind == "return" else "reads it after the write"


def _line(wires: list[Wire], points: tuple[Point, ...], key: str) -> str:
    """A line through the points: straight down the layers, curved between them."""
    kind = next((kind for kind in ("storage", "value", "order") if any(wire.kind == kind for wire in wires)), "value")
    (x, y), *rest = points
    path = [f"M{_n(x)} {_n(y)}"]
    for to_x, to_y in rest:
        if to_x == x:
            path.append(f"V{_n(to_y)}")
        else:
            middle = (y + to_y) / 2
            path.append(f"C{_n(x)} {_n(middle)} {_n(to_x)} {_n(middle)} {_n(to_x)} {_n(to_y)}")
        x, y = to_x, to_y
    names = ", ".join(f"%{wire.value}" for wire in wires if wire.value)
    what = printable(names) or "no value: the one writes memory that the other reads"
    return (
        f'<path class="{_P}{kind}" d="{"".join(path)}" marker-end="url(#{_P}{kind}{key})">'
        f"<title>{escape(what)}</title></path>"
    )


def _stubs(box: Box, drawn: _Drawn, x: float, y: float) -> list[str]:
    """Short ends of the lines that lead to what is not on the picture."""
    stubs = []
    if box.more_above:
        at = x + drawn.width - 14
        stubs.append(
            f'<path class="{_P}stub" d="M{_n(at)} {_n(y - 12)}V{_n(y)}">'
            f"<title>{_more(box.more_above, 'taken from')}</title></path>"
        )
    if box.more_below:
        at, bottom = x + drawn.width - 14, y + drawn.height
        stubs.append(
            f'<path class="{_P}stub" d="M{_n(at)} {_n(bottom)}V{_n(bottom + 12)}">'
            f"<title>{_more(box.more_below, 'used by')}</title></path>"
        )
    return stubs


def _more(number: int, how: str) -> str:
    return f"{how} {number} more that {'is' if number == 1 else 'are'} not on the picture"


def _legend(picture: Picture) -> _Drawn:
    """One line for each mark that is on the picture, and what is not on it."""
    boxes = list(_all(picture.sheet))
    wires = {wire.kind for sheet in _sheets(picture.sheet) for wire in sheet.wires}
    entries: list[tuple[str, str]] = []
    if any(box.shows for box in boxes):
        entries.append(("storage", "may show the written memory"))
    if "order" in wires:
        entries.append(("order", "no value: reads what was written before"))
    if any(box.more_above or box.more_below for box in boxes):
        entries.append(("stub", "leads to what is not on the picture"))
    if picture.left_out:
        nodes = "1 node is" if picture.left_out == 1 else f"{picture.left_out} nodes are"
        entries.append(("", f"{nodes} not on the picture"))
    elements = []
    for index, (kind, text) in enumerate(entries):
        y = index * _LINE + 12
        if kind:
            elements.append(f'<path class="{_P}{kind}" d="M0 {y - 4}H28"/>')
        elements.append(f'<text class="{_P}quiet {_P}left" x="{36 if kind else 0}" y="{y}">{escape(text)}</text>')
    width = max((_width(text) + 36 for _, text in entries), default=0.0)
    return _Drawn(width, len(entries) * _LINE, elements)


def _sheets(sheet: Sheet) -> Iterator[Sheet]:
    yield sheet
    for box in sheet.boxes:
        for inner in box.sheets:
            yield from _sheets(inner)


def _all(sheet: Sheet) -> Iterator[Box]:
    for one in _sheets(sheet):
        yield from one.boxes


def _moved(drawn: _Drawn, x: float, y: float) -> list[str]:
    if not drawn.elements:
        return []
    return [f'<g transform="translate({_n(x)} {_n(y)})">', *drawn.elements, "</g>"]


def _style() -> str:
    light = "".join(_rules(0))
    dark = "".join(_rules(1))
    return (
        f".{_P}picture text{{font:{_SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        "text-anchor:middle}"
        f".{_P}picture text.{_P}heading{{font-weight:600}}.{_P}picture text.{_P}left{{text-anchor:start}}"
        f".{_P}value,.{_P}storage,.{_P}order,.{_P}stub{{fill:none;stroke-width:1.4}}"
        f".{_P}storage{{stroke-width:2.4}}.{_P}order{{stroke-dasharray:6 4;stroke-width:2}}"
        f".{_P}stub{{stroke-dasharray:2 3}}.{_P}thick{{stroke-width:2.6}}"
        f"{light}@media (prefers-color-scheme:dark){{{dark}}}"
    )


def _rules(theme: int) -> Iterator[str]:
    for name, colors in _COLORS.items():
        fill, stroke = colors[theme]
        yield f".{_P}{name}{{fill:{fill};stroke:{stroke}}}"
    for name, texts in _TEXTS.items():
        yield f".{_P}picture text.{_P}{name}{{fill:{texts[theme]}}}"
    for name, lines in _LINES.items():
        yield f".{_P}{name}{{stroke:{lines[theme]}}}.{_P}head-{name}{{fill:{lines[theme]}}}"
    yield f".{_P}stub{{stroke:{_LINES['value'][theme]}}}"


def _arrows(key: str) -> Iterator[str]:
    for name in _LINES:
        yield (
            f'<marker id="{_P}{name}{key}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            f'markerUnits="userSpaceOnUse" orient="auto"><path class="{_P}head-{name}" d="M0 0L8 4L0 8z"/></marker>'
        )


def _cut(text: str) -> str:
    text = printable(text)
    if len(text) <= _LONGEST:
        return text
    keep = _LONGEST - 3
    return f"{text[: keep * 2 // 3]}...{text[-(keep - keep * 2 // 3) :]}"


def _width(text: str) -> float:
    return _CHARACTER * sum(2 if unicodedata.east_asian_width(one) in "WF" else 1 for one in text)


def _digest(picture: Picture) -> str:
    """What tells the picture's ids from those of the others in a page."""
    from hashlib import sha256

    return sha256(msgspec.json.encode(picture)).hexdigest()[:12]


def _n(number: float) -> str:
    return f"{round(number, 1):g}" if abs(number) < 1e5 else f"{number:.1f}"
