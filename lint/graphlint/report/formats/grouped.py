"""The format ``grouped``: findings by artifact, then by line of the model's source.

::

    model.pt2:
      models.py:84:9: self.count.add_(1) (2 findings)
        GL103 [*] aten.add_.Tensor writes buffer 'count'
        GL201 [*] aten._assert_async.msg returns nothing
"""

from collections.abc import Sequence

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.phrasing import Group, grouped, paint, painted_line, place_in_artifact, statement
from graphlint.report.results import FileResult, ReportOptions


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    return "".join(_paragraph(result, options) for result in results if result.diagnostics)


def _paragraph(result: FileResult, options: ReportOptions) -> str:
    lines: dict[tuple[str, int] | None, list[Group]] = {}
    for group in grouped(result.diagnostics):
        place = group.first.place
        lines.setdefault(None if place is None else (place.path, place.line), []).append(group)
    text = [f"{paint(printable(result.path), options, bold=True, underline=True)}:"]
    for groups in lines.values():
        place = groups[0].first.place
        if place is not None:
            source = f": {printable(place.text.strip())}" if place.text else ""
            total = sum(len(group.diagnostics) for group in groups)
            several = f" ({total} findings)" if total > 1 else ""
            text.append(f"  {painted_line(place, options)}{source}{several}")
        for group in groups:
            where = "" if place is not None else place_in_artifact(group.first)
            several = f" ({group.several()})" if len(group.diagnostics) > 1 else ""
            indent = "    " if place is not None else "  "
            text.append(f"{indent}{f'{where}: ' if where else ''}{statement(group.first, options)}{several}")
    return "\n".join(text) + "\n\n"
