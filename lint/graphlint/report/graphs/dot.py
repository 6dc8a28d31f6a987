"""Drawing as Graphviz text, for ``dot -Tsvg`` and the like. What is called stands in clusters."""

from collections.abc import Sequence

from graphlint.report.graphs.drawing import Drawing
from graphlint.report.graphs.flow import ShownProgram
from graphlint.report.results import ReportOptions
from graphlint.report.templates import rendered


def render(path: str, programs: Sequence[ShownProgram], options: ReportOptions) -> str:
    """The graphs, one after the other."""
    return "".join(render_dot(Drawing(one.flow, one.centers, one.hops), one.name) for one in programs)


def render_dot(drawing: Drawing, name: str = "program") -> str:
    """The ``digraph``, ending in a newline."""
    return rendered("report/graphs", "graph.dot", _escaped, drawing=drawing, name=name)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
