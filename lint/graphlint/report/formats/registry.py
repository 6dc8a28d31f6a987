"""The report formats, each loaded only when it is asked for.

A format is a module of this package with a function ``render(results, options) -> str``, and its line in
:data:`FORMATS`. The function prints nothing; its text ends in a newline unless it is empty.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from graphlint.report.formats.options import ReportOptions
    from graphlint.report.results import FileResult

    Render = Callable[[Sequence[FileResult], ReportOptions], str]


class Format(NamedTuple):
    """Where a format is made, and what is special about it."""

    module: str
    text: bool = False
    """Whether it is for people at a terminal: such reports have a summary, and colours where there are some."""
    rooted: bool = True
    """Whether paths in it are relative to the root of the repository."""
    illustrated: bool = False
    """Whether it shows pictures of graphs, which have to be drawn first."""
    statistics: str = ""
    """The function of the module ``counts`` for ``--statistics``; empty where there is none."""


FORMATS: Final = {
    "full": Format("full", text=True, rooted=False, statistics="render"),
    "concise": Format("concise", text=True, rooted=False, statistics="render"),
    "grouped": Format("grouped", text=True, rooted=False, statistics="render"),
    "json": Format("json_report", rooted=False, statistics="render_json"),
    "json-lines": Format("json_lines", rooted=False),
    "sarif": Format("sarif"),
    "github": Format("github"),
    "gitlab": Format("gitlab"),
    "junit": Format("junit"),
    "markdown": Format("markdown"),
    "html": Format("html.page", illustrated=True),
}
"""What ``--output-format`` takes."""
STATISTICS: Final = tuple(name for name, one in FORMATS.items() if one.statistics)
"""The formats in which ``--statistics`` can be shown."""


def renderer(output_format: str, *, statistics: bool = False) -> Render:
    """The function that renders ``output_format``."""
    chosen = FORMATS[output_format]
    module, function = ("counts", chosen.statistics) if statistics else (chosen.module, "render")
    render: Render = getattr(importlib.import_module(f"graphlint.report.formats.{module}"), function)
    return render
