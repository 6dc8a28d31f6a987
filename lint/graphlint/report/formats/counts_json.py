"""``--statistics --output-format json``: a list of rules, the most frequent first.

Each is ``{"code", "name", "severity", "count", "fixable", "fixable_count"}``; ``fixable`` says whether ``--fix``
takes any of them away.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.report.formats.counts import rule_counts
from graphlint.report.formats.encoding import encode
from graphlint.report.formats.options import ReportOptions
from graphlint.report.results import FileResult


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The JSON text."""
    return encode(
        [
            {
                "code": row.code,
                "name": row.name,
                "severity": row.severity,
                "count": row.count,
                "fixable": row.fixable_count > 0,
                "fixable_count": row.fixable_count,
            }
            for row in rule_counts(results, options)
        ]
    )
