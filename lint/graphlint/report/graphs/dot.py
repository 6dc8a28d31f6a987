"""Drawing a picture as Graphviz text, for ``dot -Tsvg`` and the like. What is called stands in clusters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from graphlint.report.formats.escaping import printable
from graphlint.report.graphs.picture import Box, Picture, Sheet

_MARKS: Final = {
    "writes": 'style="filled,bold", fillcolor="#ffebe9", color="#cf222e"',
    "shows": 'style=filled, fillcolor="#fff1d6", color="#bc4c00"',
    "reads": 'style=filled, fillcolor="#e6f2ff", color="#0969da"',
    "focus": 'style=bold, color="#cf222e"',
}
_WIRES: Final = {
    "value": "",
    "storage": ' [color="#bc4c00", penwidth=2]',
    "order": ' [color="#0969da", style=dashed]',
}


def render_dot(picture: Picture, name: str = "program") -> str:
    """The ``digraph``, ending in a newline."""
    lines = [
        f"digraph {_quoted(name)} {{",
        f"  label={_quoted(picture.title)}; labelloc=t; compound=true;",
        '  node [shape=box, fontname="monospace"]; edge [arrowsize=0.7];',
        *_sheet(picture.sheet, "  "),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _sheet(sheet: Sheet, indent: str) -> Iterator[str]:
    for box in sheet.boxes:
        shape = "" if box.kind == "node" else "shape=oval, "
        text = "\\n".join(_escaped(line) for line in (box.heading, *box.lines, *_tags(box)))
        style = _MARKS.get(_mark(box), "")
        yield f'{indent}n{box.key} [{shape}label="{text}"{", " if style else ""}{style}];'
        for number, inner in enumerate(box.sheets):
            yield f"{indent}subgraph cluster_{box.key}_{number} {{"
            yield f"{indent}  label={_quoted(f'{inner.name} of {box.lines[0] if box.lines else box.heading}')};"
            yield from _sheet(inner, indent + "  ")
            yield f"{indent}}}"
            if inner.boxes:
                # The caller's result is what comes out of the graph that it calls.
                yield f"{indent}n{inner.boxes[-1].key} -> n{box.key} [ltail=cluster_{box.key}_{number}, style=dotted];"
    for wire in sheet.wires:
        yield f"{indent}n{wire.source} -> n{wire.target}{_WIRES[wire.kind]};"


def _mark(box: Box) -> str:
    if box.writes or box.again:
        return "writes"
    if box.shows:
        return "shows"
    if box.reads:
        return "reads"
    return "focus" if box.focus else ""


def _tags(box: Box) -> Iterator[str]:
    if box.writes:
        yield f"writes {box.writes}"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')
