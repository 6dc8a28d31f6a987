"""Linting the artifacts of one run, and telling what becomes of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial

import msgspec

from graphlint.cli.console import EXIT_FAILURE, Console
from graphlint.report.formats.phrasing import count
from graphlint.report.results import Action, FileResult
from graphlint.rules.diagnostics import Diagnostic, Fix
from graphlint.rules.settings import Settings
from graphlint.run.batch import Outcome, Process, Task, attempt, failure, keyed, known_outcome, reviewed, run
from graphlint.run.discovery import Candidate
from graphlint.run.resolution import Resolved
from graphlint.run.review import Reviewer

NOT_FIXABLE = Fix("none", "the configuration excludes this rule from fixing ('fixable', 'unfixable')")


def lint(
    work: Sequence[tuple[Candidate, Settings]], action: Action, process: Process, console: Console
) -> Iterator[FileResult]:
    """A result per candidate, in their order. What cannot be processed is reported and does not stop the others."""
    results = (
        _told(failure(task, one.error) if one.error else attempt(task, process), console)
        for one, settings in work
        for task in [Task(one.path, settings, action)]
    )
    for result, (_, settings) in zip(_in_view(results, [one.path for one, _ in work], console), work, strict=True):
        yield without_excluded_fixes(result, settings)


def _in_view(results: Iterable[FileResult], paths: Sequence[str], console: Console) -> Iterator[FileResult]:
    """The results of these artifacts, with a progress bar where there is somebody to see it."""
    if len(paths) > 1:
        from graphlint.cli import progress

        if progress.wanted(quiet=console.quiet, verbose=console.verbose):
            console.bar = progress.Progress(len(paths))
    try:
        for index, result in enumerate(results, 1):
            yield result
            if console.bar is not None:
                console.bar.step(paths[index] if index < len(paths) else "")
    finally:
        if console.bar is not None:
            console.bar.clear()
            console.bar = None


def lint_many(
    work: Sequence[tuple[Candidate, Settings, Resolved]],
    action: Action,
    reviewer: Reviewer,
    console: Console,
    *,
    jobs: int,
    cached: bool,
) -> Iterator[FileResult]:
    """As :func:`lint`, by the engine, in at most ``jobs`` processes, and with what is ``cached`` from earlier runs.

    The settings are without review: ``reviewer`` comes here.
    """
    paths = [candidate.path for candidate, *_ in work]
    tasks = [
        # Pictures show what is reported, so a review has to come before them. They are not kept, being large.
        Task(path, settings, action, resolved if action != "check" or settings.illustrate else None)
        for path, (_, settings, resolved) in zip(paths, work, strict=True)
    ]
    if cached and not any(task.settings.illustrate for task in tasks):
        tasks = keyed(tasks, [resolved.cache_dir for _, _, resolved in work])
    known = [
        failure(task, candidate.error) if candidate.error else known_outcome(task)
        for (candidate, *_), task in zip(work, tasks, strict=True)
    ]
    # Closed here and now, so that an interrupt finds no worker left.
    with closing(run(tasks, known, jobs, partial(attempt, reviewer=reviewer))) as outcomes:
        results = (
            _told(reviewed(outcome, resolved, settings, reviewer), console)
            for outcome, (_, settings, resolved) in zip(outcomes, work, strict=True)
        )
        for result, (_, settings, _) in zip(_in_view(results, paths, console), work, strict=True):
            yield without_excluded_fixes(result, settings)


def _told(outcome: Outcome, console: Console) -> FileResult:
    """The result, after what there is to say of it on stderr."""
    result = outcome.result
    if outcome.bug:
        console.internal_error(f" while linting {result.path}", outcome.bug, outcome.trace)
        return result
    if result.error:
        console.error(f"{result.path}: {result.error}")
    if not outcome.done:
        return result
    for note in result.notes:
        console.note(f"{result.path}: {note}")
    if result.unreadable and not result.programs:
        console.progress(f"{result.path}: not linted, for it cannot be read")
        return result
    programs = f"{count(len(result.programs), 'program')} ({', '.join(result.programs)})" if result.programs else "-"
    aside = f", {len(result.suppressed)} suppressed" if result.suppressed else ""
    console.progress(f"{result.path}: linted {programs}: {count(len(result.diagnostics), 'finding')} left{aside}")
    for one in result.suppressed:
        console.progress(f"{result.path}: {_suppressed(one)}")
    return result


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
