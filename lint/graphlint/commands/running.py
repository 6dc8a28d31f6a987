"""Linting the artifacts of one run, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from graphlint.commands.console import EXIT_FAILURE, Console
from graphlint.diagnostics import Diagnostic, Fix
from graphlint.discovery import Candidate, reason
from graphlint.errors import GraphlintError
from graphlint.reporters.phrasing import count
from graphlint.results import Action, FileResult
from graphlint.settings import Settings

if TYPE_CHECKING:
    from graphlint.commands.progress import Progress

Process = Callable[[str, Settings, Action], FileResult]

NOT_FIXABLE = Fix("none", "the configuration excludes this rule from fixing ('fixable', 'unfixable')")


def lint(
    work: Sequence[tuple[Candidate, Settings]], action: Action, process: Process, console: Console
) -> Iterator[FileResult]:
    """A result per candidate, in their order. What cannot be processed is reported and does not stop the others."""
    bar = _bar(len(work), console)
    try:
        for index, (candidate, settings) in enumerate(work):
            if candidate.error:
                console.error(f"{candidate.path}: {candidate.error}")
                yield FileResult(path=candidate.path, error=candidate.error)
            else:
                yield _lint_one(candidate.path, settings, action, process, console)
            if bar is not None:
                bar.step(work[index + 1][0].path if index + 1 < len(work) else "")
    finally:
        if bar is not None:
            bar.clear()
            console.bar = None


def _bar(total: int, console: Console) -> Progress | None:
    if total < 2:
        return None
    from graphlint.commands import progress

    if progress.wanted(quiet=console.quiet, verbose=console.verbose):
        console.bar = progress.Progress(total)
    return console.bar


def _lint_one(path: str, settings: Settings, action: Action, process: Process, console: Console) -> FileResult:
    try:
        result = process(path, settings, action)
    except OSError as error:
        console.error(f"{path}: {reason(error)}")
        return FileResult(path=path, error=reason(error))
    except GraphlintError as error:
        console.error(f"{path}: {error}")
        return FileResult(path=path, error=str(error))
    except Exception as error:  # noqa: BLE001 - a bug met in one artifact must not hide what the others have
        console.internal_error(f" while linting {path}", error)
        return FileResult(path=path, error=f"internal error: {type(error).__name__}: {error}")
    if result.error:
        console.error(f"{path}: {result.error}")
    for note in result.notes:
        console.note(f"{path}: {note}")
    programs = f"{count(len(result.programs), 'program')} ({', '.join(result.programs)})" if result.programs else "-"
    aside = f", {len(result.suppressed)} suppressed" if result.suppressed else ""
    console.progress(f"{path}: linted {programs}: {count(len(result.diagnostics), 'finding')} left{aside}")
    for one in result.suppressed:
        console.progress(f"{path}: {_suppressed(one)}")
    return without_excluded_fixes(result, settings)


def _suppressed(diagnostic: Diagnostic) -> str:
    """A finding that is not reported, and why."""
    place, why = diagnostic.place, diagnostic.suppression
    at = f"{place.path}:{place.line}: " if place is not None else ""
    by = {"comment": "a comment", "per-file-ignores": "per-file-ignores", "baseline": "the baseline"}
    reason = "" if why is None else f" (suppressed by {by[why.by]}{f': {why.reason}' if why.reason else ''})"
    return f"{at}{diagnostic.code} {diagnostic.message}{reason}"


def without_excluded_fixes(result: FileResult, settings: Settings) -> FileResult:
    """``result`` with the diagnostics that configuration keeps from being fixed marked as not fixable."""
    if all(diagnostic.code in settings.fixable for diagnostic in result.diagnostics):
        return result
    return msgspec.structs.replace(
        result, diagnostics=tuple(_without_excluded_fix(diagnostic, settings) for diagnostic in result.diagnostics)
    )


def _without_excluded_fix(diagnostic: Diagnostic, settings: Settings) -> Diagnostic:
    if diagnostic.code in settings.fixable or not diagnostic.fixable:
        return diagnostic
    return msgspec.structs.replace(diagnostic, fix=NOT_FIXABLE)


def exit_status(
    results: Sequence[FileResult],
    action: Action,
    *,
    fix_only: bool = False,
    exit_zero: bool = False,
    exit_non_zero_on_fix: bool = True,
) -> int:
    """0, 1 or 2, as the documentation's table of exit statuses has it."""
    if any(result.error for result in results):
        return EXIT_FAILURE
    if exit_zero:
        return 0
    if any(result.unreadable for result in results):
        return 1
    if action == "diff":
        return int(any(result.fixed or result.diff for result in results))
    changed = exit_non_zero_on_fix and any(result.changed for result in results)
    left = not fix_only and any(result.diagnostics for result in results)
    return int(changed or left)
