"""What a run came to, in a few words: the heading of reports that have one."""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.report.formats.phrasing import count, tally
from graphlint.report.results import FileResult


def headline(results: Sequence[FileResult]) -> str:
    """``2 errors and 1 warning``, ``all checks passed``; after a fix ``1 warning left, 12 fixed``."""
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    fixed = sum(len(result.fixed) for result in results)
    failed = sum(bool(result.error) for result in results)
    parts = []
    if fixed:
        parts = [f"{tally(found)} left", f"{fixed} {fixed_word(results)}"]
    elif found:
        parts = [tally(found)]
    if failed:
        parts.append(f"{count(failed, 'path')} could not be processed")
    return ", ".join(parts) or "all checks passed"


def fixed_word(results: Sequence[FileResult]) -> str:
    """What is to be said of findings that a fix takes away: ``--diff`` writes nothing."""
    return "fixed" if any(result.changed for result in results) else "to be fixed"
