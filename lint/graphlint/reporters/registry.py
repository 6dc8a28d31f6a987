"""The report formats, each loaded only when it is asked for.

A format is a module with a function ``render(results, options) -> str``: results in, text out, nothing printed. The
text ends in a newline unless it is empty.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from graphlint.reporters.options import ReportOptions
from graphlint.results import FileResult

Render = Callable[[Sequence[FileResult], ReportOptions], str]

FORMATS = {
    "full": "graphlint.reporters.full",
    "concise": "graphlint.reporters.concise",
    "grouped": "graphlint.reporters.grouped",
    "json": "graphlint.reporters.json_report",
    "json-lines": "graphlint.reporters.json_lines",
    "sarif": "graphlint.reporters.sarif",
    "github": "graphlint.reporters.github",
    "gitlab": "graphlint.reporters.gitlab",
    "junit": "graphlint.reporters.junit",
    "markdown": "graphlint.reporters.markdown",
    "html": "graphlint.reporters.html.page",
}
"""What ``--output-format`` takes, and the module behind it."""

STATISTICS = {
    "full": "graphlint.reporters.counts",
    "concise": "graphlint.reporters.counts",
    "grouped": "graphlint.reporters.counts",
    "json": "graphlint.reporters.counts_json",
}
"""The same for ``--statistics``."""


def renderer(output_format: str, *, statistics: bool = False) -> Render:
    """The function that renders ``output_format``."""
    render: Render = importlib.import_module((STATISTICS if statistics else FORMATS)[output_format]).render
    return render
