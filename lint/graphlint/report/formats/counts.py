"""``--statistics``: how often each rule was violated, the most frequent first.

::

    4	GL103	[*] buffer-mutation
    1	GL302	[ ] random-op
    3	GL101	[-] in-place-op

``[*]``: ``--fix`` takes all of them away, ``[-]``: some, ``[ ]``: none. As JSON, a list of objects with the keys
``code``, ``name``, ``severity``, ``count``, ``fixable`` (whether ``--fix`` takes any away) and ``fixable_count``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphlint.report.formats.escaping import encode
from graphlint.report.formats.phrasing import COLORS, found_in, paint
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One line per rule."""
    rows = _rows(results, options)
    width = max((len(str(row["count"])) for row in rows), default=0)
    lines = []
    for row in rows:
        mark = "*" if row["fixable_count"] == row["count"] else "-" if row["fixable"] else " "
        number = paint(f"{row['count']:>{width}}", options, bold=True)
        code = paint(row["code"], options, fg=COLORS[row["severity"]], bold=True)
        lines.append(f"{number}\t{code}\t{paint(f'[{mark}]', options, fg='cyan')} {row['name']}\n")
    return "".join(lines)


def render_json(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The JSON text."""
    return encode(_rows(results, options))


def _rows(results: Sequence[FileResult], options: ReportOptions) -> list[dict[str, Any]]:
    groups: dict[str, list[Diagnostic]] = {}
    for diagnostic in found_in(results):
        groups.setdefault(diagnostic.code, []).append(diagnostic)
    rows = []
    for code, found in groups.items():
        fixable = sum(options.applies(diagnostic) for diagnostic in found)
        rows.append(
            {
                "code": code,
                "name": found[0].rule,
                "severity": found[0].severity,
                "count": len(found),
                "fixable": fixable > 0,
                "fixable_count": fixable,
            }
        )
    return sorted(rows, key=lambda row: (-row["count"], row["code"]))
