"""``--statistics``: how often each rule was violated, the most frequent first.

::

    4	GL103	[*] buffer-mutation
    1	GL302	[ ] random-op
    3	GL101	[-] in-place-op
    2	GL301	[!] print

``[*]``: ``--fix`` takes all of them away, ``[-]``: some, ``[!]``: some with one more option, ``[ ]``: none. As JSON,
a list of objects with the keys ``code``, ``name``, ``severity``, ``count``, ``fixable`` (whether ``--fix`` takes any
away) and ``fixable_count``.
"""

from collections.abc import Sequence
from typing import Any

from graphlint.report.formats.escaping import encode
from graphlint.report.formats.phrasing import COLORS, found_in, paint
from graphlint.report.results import FileResult, ReportOptions


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    rows = _rows(results, options)
    width = max((len(str(row["count"])) for row in rows), default=0)
    lacking = {one.code for one in found_in(results) if options.lacks(one)}
    lines = []
    for row in rows:
        unfixed = "!" if row["code"] in lacking else " "
        mark = "*" if row["fixable_count"] == row["count"] else "-" if row["fixable"] else unfixed
        number = paint(f"{row['count']:>{width}}", options, bold=True)
        code = paint(row["code"], options, fg=COLORS[row["severity"]], bold=True)
        lines.append(f"{number}\t{code}\t{paint(f'[{mark}]', options, fg='cyan')} {row['name']}\n")
    return "".join(lines)


def render_json(results: Sequence[FileResult], options: ReportOptions) -> str:
    return encode(_rows(results, options))


def _rows(results: Sequence[FileResult], options: ReportOptions) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for one in found_in(results):
        new = {"code": one.code, "name": one.rule, "severity": one.severity, "count": 0, "fixable": False}
        row = rows.setdefault(one.code, {**new, "fixable_count": 0})
        row["count"] += 1
        row["fixable_count"] += options.applies(one)
        row["fixable"] = row["fixable_count"] > 0
    return sorted(rows.values(), key=lambda row: (-row["count"], row["code"]))
