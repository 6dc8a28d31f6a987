"""Drawing as Graphviz text, for ``dot -Tsvg`` and the like. What is called stands in clusters."""

from collections.abc import Iterator, Sequence
from typing import Final

from graphlint.report.formats.escaping import printable
from graphlint.report.graphs.drawing import Drawing
from graphlint.report.graphs.flow import ShownProgram, Vertex
from graphlint.report.results import ReportOptions

_MARKS: Final = (
    'style="filled,bold", fillcolor="#ffebe9", color="#cf222e"',
    'style=filled, fillcolor="#fff1d6", color="#bc4c00"',
    'style=filled, fillcolor="#e6f2ff", color="#0969da"',
    'style=bold, color="#cf222e"',
)
"""Of what writes, shows and reads the memory, and of what was asked for."""
_WIRES: Final = {
    "value": "",
    "storage": ' [color="#bc4c00", penwidth=2]',
    "order": ' [color="#0969da", style=dashed]',
}


def render(path: str, programs: Sequence[ShownProgram], options: ReportOptions) -> str:
    """The graphs, one after the other."""
    return "".join(render_dot(Drawing(one.flow, one.centers, one.hops), one.name) for one in programs)


def render_dot(drawing: Drawing, name: str = "program") -> str:
    """The ``digraph``, ending in a newline."""
    lines = (
        f'digraph "{_escaped(name)}" {{',
        f'  label="{_escaped(drawing.title)}"; labelloc=t; compound=true;',
        '  node [shape=box, fontname="monospace"]; edge [arrowsize=0.7];',
        *_graph(drawing, drawing.graph, "  "),
        "}",
    )
    return "\n".join(lines) + "\n"


def _graph(drawing: Drawing, vertices: Sequence[Vertex], indent: str) -> Iterator[str]:
    for vertex in vertices:
        number = vertex.number
        heading, lines = drawing.heading(vertex), drawing.lines(vertex)
        writes = drawing.writes(number)
        text = "\\n".join(_escaped(line) for line in (heading, *lines, *([f"writes {writes}"] if writes else [])))
        shape = "" if vertex.kind == "node" else "shape=oval, "
        written = {number} if writes else drawing.again
        marks = zip(_MARKS, (written, drawing.shows, drawing.reads, drawing.focus), strict=True)
        style = next((f", {mark}" for mark, numbers in marks if number in numbers), "")
        yield f'{indent}n{number} [{shape}label="{text}"{style}];'
        for index, (name, inner) in enumerate(drawing.called(vertex)):
            cluster = f"cluster_{number}_{index}"
            yield f"{indent}subgraph {cluster} {{"
            yield f'{indent}  label="{_escaped(f"{name} of {lines[0] if lines else heading}")}";'
            yield from _graph(drawing, inner, indent + "  ")
            yield f"{indent}}}"
            if inner:
                # The caller's result is what comes out of the graph that it calls.
                yield f"{indent}n{inner[-1].number} -> n{number} [ltail={cluster}, style=dotted];"
    for wire in drawing.wires(vertices):
        yield f"{indent}n{wire.source} -> n{wire.target}{_WIRES[wire.kind]};"


def _escaped(text: str) -> str:
    return printable(text).replace("\\", "\\\\").replace('"', '\\"')
