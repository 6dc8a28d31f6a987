"""What ``graphlint restore`` says.

::

    model.pt2, node %dep_token1: aten._functional_assert_async.msg stays: aten.add.Tensor (node %y) reads the token …
    Restored 2 checks in model.pt2
    Restored 2 checks, 1 functional check is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import DEFAULT_PROGRAM, count, paint
from graphlint.report.formats.summary import render_rewritten
from graphlint.report.results import FileResult, RestoredCheck

NOTHING: Final = "No functional checks: nothing to restore."


def render(results: Sequence[FileResult], options: ReportOptions, *, exit_zero: bool = False) -> str:
    """What was restored, file by file, and the summary."""
    lines = [
        f"Restored {count(len(result.restored), 'check')} in {printable(result.path)}\n"
        for result in results
        if result.changed
    ]
    done = sum(len(result.restored) for result in results if result.changed)
    kept = sum(len(result.kept) for result in results)
    left = f"{count(kept, 'functional check')} {'is' if kept == 1 else 'are'} left" if kept else ""
    failed = any(result.error or result.unreadable for result in results)
    if done:
        lines.append(f"Restored {count(done, 'check')}{', ' if left else ''}{left}.\n")
    elif left:
        lines.append(f"Nothing was restored, {left}.\n")
    elif not failed:
        lines.append(paint(NOTHING, options, fg="green", bold=True) + "\n")
    return "".join(lines) + ("" if exit_zero else render_rewritten(results))


def render_kept(results: Sequence[FileResult], options: ReportOptions) -> str:
    """What stays functional, one line each."""
    return "".join(
        f"{paint(printable(result.path), options, bold=True)}{printable(_place(check))}: "
        f"{printable(f'{check.op} stays: {check.reason}')}\n"
        for result in results
        for check in result.kept
    )


def render_would(results: Sequence[FileResult]) -> str:
    """The summary of ``--diff``."""
    number = sum(len(result.restored) for result in results)
    if not number and not any(result.kept or result.error or result.unreadable for result in results):
        return f"{NOTHING}\n"
    return f"Would restore {count(number, 'check')}.\n"


def _place(check: RestoredCheck) -> str:
    program = f", program {check.program}" if check.program != DEFAULT_PROGRAM else ""
    graph = f", graph {' > '.join(check.subgraph)}" if check.subgraph else ""
    return f"{program}{graph}, node %{check.node}"
