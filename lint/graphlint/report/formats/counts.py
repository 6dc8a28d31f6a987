"""``--statistics`` as a table: how often each rule was violated, the most frequent first.

::

    4	GL103	[*] buffer-mutation
    1	GL302	[ ] random-op
    3	GL101	[-] in-place-op

``[*]``: ``--fix`` takes all of them away, ``[-]``: some, ``[ ]``: none.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import COLORS, paint
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic, Severity


class RuleCount(msgspec.Struct, frozen=True):
    """How often one rule was violated."""

    code: str
    name: str
    severity: Severity
    count: int
    fixable_count: int


def rule_counts(results: Sequence[FileResult], options: ReportOptions) -> list[RuleCount]:
    """A row per rule that has findings: the most frequent first, then by code."""
    groups: dict[str, list[Diagnostic]] = {}
    for result in results:
        for diagnostic in result.diagnostics:
            groups.setdefault(diagnostic.code, []).append(diagnostic)
    rows = [
        RuleCount(
            code=code,
            name=diagnostics[0].rule,
            severity=diagnostics[0].severity,
            count=len(diagnostics),
            fixable_count=sum(options.applies(diagnostic) for diagnostic in diagnostics),
        )
        for code, diagnostics in groups.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.code))


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One line per rule."""
    rows = rule_counts(results, options)
    width = max((len(str(row.count)) for row in rows), default=0)
    lines = []
    for row in rows:
        mark = "*" if row.fixable_count == row.count else "-" if row.fixable_count else " "
        number = paint(f"{row.count:>{width}}", options, bold=True)
        code = paint(row.code, options, fg=COLORS[row.severity], bold=True)
        marker = paint(f"[{mark}]", options, fg="cyan")
        lines.append(f"{number}\t{code}\t{marker} {row.name}\n")
    return "".join(lines)
