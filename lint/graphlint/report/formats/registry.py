"""The report formats, each loaded only when it is asked for.

A format is a module with a function ``render(results, options) -> str``: results in, text out, nothing printed. The
text ends in a newline unless it is empty.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from graphlint.report.formats.options import ReportOptions
from graphlint.report.results import FileResult

Render = Callable[[Sequence[FileResult], ReportOptions], str]

FORMATS = {
    "full": "graphlint.report.formats.full",
    "concise": "graphlint.report.formats.concise",
    "grouped": "graphlint.report.formats.grouped",
    "json": "graphlint.report.formats.json_report",
    "json-lines": "graphlint.report.formats.json_lines",
    "sarif": "graphlint.report.formats.sarif",
    "github": "graphlint.report.formats.github",
    "gitlab": "graphlint.report.formats.gitlab",
    "junit": "graphlint.report.formats.junit",
    "markdown": "graphlint.report.formats.markdown",
    "html": "graphlint.report.formats.html.page",
}
"""What ``--output-format`` takes, and the module behind it."""

STATISTICS = {
    "full": "graphlint.report.formats.counts",
    "concise": "graphlint.report.formats.counts",
    "grouped": "graphlint.report.formats.counts",
    "json": "graphlint.report.formats.counts_json",
}
"""The same for ``--statistics``."""


def renderer(output_format: str, *, statistics: bool = False) -> Render:
    """The function that renders ``output_format``."""
    render: Render = importlib.import_module((STATISTICS if statistics else FORMATS)[output_format]).render
    return render
