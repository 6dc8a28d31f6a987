"""The format ``grouped``: findings by artifact, then by line of the model's source.

::

    model.pt2:
      models.py:84:9: self.count.add_(1) (2 findings)
        GL103 [*] aten.add_.Tensor writes buffer 'count'
        GL201 [*] aten._assert_async.msg returns nothing
"""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.grouping import Group, grouped
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import (
    code,
    linked_place,
    message,
    paint,
    place_in_artifact,
    severity,
    source_line,
)
from graphlint.report.results import FileResult

Place = tuple[str, int]


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """A paragraph per artifact that has findings."""
    return "".join(_paragraph(result, options) for result in results if result.diagnostics)


def _paragraph(result: FileResult, options: ReportOptions) -> str:
    lines: dict[Place | None, list[Group]] = {}
    for group in grouped(result.diagnostics):
        place = group.first.place
        lines.setdefault(None if place is None else (place.path, place.line), []).append(group)
    text = [f"{paint(printable(result.path), options, bold=True, underline=True)}:"]
    for line, groups in lines.items():
        if line is None:
            text += [f"  {_finding(group, options, place_in_artifact(group.first))}" for group in groups]
        else:
            text += _source_line(groups, options)
    return "\n".join(text) + "\n\n"


def _source_line(groups: list[Group], options: ReportOptions) -> list[str]:
    place = groups[0].first.place
    if place is None:
        return []
    source = f": {printable(place.text.strip())}" if place.text else ""
    total = sum(len(group.diagnostics) for group in groups)
    number = f" ({total} findings)" if total > 1 else ""
    at = linked_place(paint(source_line(place, options), options, bold=True), place, options)
    heading = f"  {at}{source}{number}"
    return [heading, *(f"    {_finding(group, options)}" for group in groups)]


def _finding(group: Group, options: ReportOptions, place: str = "") -> str:
    where = f"{place}: " if place else ""
    several = f" ({group.several()})" if len(group.diagnostics) > 1 else ""
    first = group.first
    return f"{where}{code(first, options)}{severity(first)} {message(first)}{several}"
