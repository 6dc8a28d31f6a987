"""``--diff``: what ``--fix`` would change, as unified diffs of the graphs' text."""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.report.formats.escaping import printable_lines
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import paint
from graphlint.report.results import FileResult

COLORS = {"+": "green", "-": "red", "@": "cyan"}


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The diffs, one after the other."""
    return "".join(_colored(printable_lines(result.diff.rstrip("\n")), options) for result in results if result.diff)


def _colored(diff: str, options: ReportOptions) -> str:
    return "".join(
        (paint(line, options, fg=COLORS[line[0]]) if line[:1] in COLORS else line) + "\n" for line in diff.split("\n")
    )
