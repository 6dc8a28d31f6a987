"""The format ``grouped``: findings by artifact, then by line of the model's source. Artifacts with the same findings
share a paragraph.

::

    model.pt2:
      models.py:84:9: self.count.add_(1) (2 findings)
        GL103 [*] aten.add_.Tensor writes buffer 'count'
        GL201 [*] aten._assert_async.msg: runtime check may be removed by dead-code elimination
"""

from collections.abc import Sequence

from graphlint.report.formats import phrasing
from graphlint.report.formats.escaping import printable
from graphlint.report.results import FileResult, ReportOptions


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    alike: dict[str, list[str]] = {}
    for result in results:
        if result.diagnostics:
            alike.setdefault(_paragraph(result, options), []).append(printable(result.path))
    return "".join(f"{_heading(paths, options)}\n{paragraph}\n\n" for paragraph, paths in alike.items())


def _heading(paths: Sequence[str], options: ReportOptions) -> str:
    others = f" and {phrasing.count(len(paths) - 1, 'more artifact')}" if len(paths) > 1 else ""
    return f"{phrasing.paint(paths[0], options, bold=True, underline=True)}{others}:"


def _paragraph(result: FileResult, options: ReportOptions) -> str:
    lines: dict[tuple[str, int] | None, list[phrasing.Group]] = {}
    for group in phrasing.by_cause([result], options):
        place = group.first.place
        lines.setdefault(None if place is None else (place.path, place.line), []).append(group)
    text = []
    for groups in lines.values():
        place = groups[0].first.place
        if place is not None:
            source = f": {printable(place.text.strip())}" if place.text else ""
            total = sum(len(group.diagnostics) + len(group.following) for group in groups)
            several = f" ({total} findings)" if total > 1 else ""
            text.append(f"  {phrasing.painted_line(place, options)}{source}{several}")
        for group in groups:
            where = "" if place is not None else phrasing.place_in_artifact(group.first)
            more = ", ".join(filter(None, (group.several(), phrasing.following(group))))
            indent = "    " if place is not None else "  "
            said = phrasing.statement(group.first, options)
            text.append(f"{indent}{f'{where}: ' if where else ''}{said}{f' ({more})' if more else ''}")
    return "\n".join(text)
