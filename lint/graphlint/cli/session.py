"""A run over artifacts, as far as commands share it: from their options to settings, tasks, results, an exit status."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.source import is_url
from graphlint.cli.console import EXIT_FAILURE, Console, raise_on_termination
from graphlint.cli.options import UsageError
from graphlint.report.formats.phrasing import accepted_by, count, relative
from graphlint.report.results import Action, FileResult
from graphlint.rules.settings import COMMAND_LINE, INLINE, wrong
from graphlint.run.config import FailOn, configured
from graphlint.run.pool import Outcome, Process, Task, run
from graphlint.run.resolution import Resolver
from graphlint.run.review import Reviewer


def resolver_for(options: Mapping[str, Any]) -> Resolver:
    """What finds out the settings of each path. Raises ConfigError for what is wrong with the options."""
    if not options.get("verify") and (options.get("trust") or options.get("imports")):
        raise UsageError("--trust and --import go with --verify.")
    files = [value for value in options["config"] if os.path.isfile(value)]
    inline = [value for value in options["config"] if value not in files]
    for value in inline:
        if "=" not in value:
            raise wrong(INLINE, "", f"'{value}' is neither a configuration file nor TOML like 'unsafe-fixes = true'")
    if len(files) > 1:
        raise wrong(INLINE, "", f"expected one configuration file, found {len(files)}: {', '.join(files)}")
    given = {key: value for key, value in options.items() if value != ()}
    if given.get("baseline"):
        given["baseline"] = os.path.abspath(given["baseline"])
    if given.get("strip_checks"):
        if given.get("checks") not in (None, "strip"):
            raise UsageError(f"--strip-checks and --checks {given['checks']} cannot be used together.")
        if given.get("unsafe_fixes") is False:
            raise UsageError("--strip-checks and --no-unsafe-fixes cannot be used together: it is an unsafe fix.")
        given["checks"] = "strip"
    if given.get("lift_state") is not None:
        given["state"] = "io" if given["lift_state"] else "module"
    chosen = configured(given)
    if chosen.select == ():
        # An empty variable of a shell: a gate that checks nothing must not pass.
        raise wrong(COMMAND_LINE, "select", "expected the code or the name of a rule, or ALL, found nothing")
    if files and options["isolated"]:
        raise UsageError(f"--config {files[0]} and --isolated cannot be used together")
    return Resolver(chosen, inline, files[0] if files else None, isolated=options["isolated"])


def refuse_to_write(paths: Iterable[str], what: str) -> None:
    """Raises ConfigError where something remote were to be rewritten; ``what`` is what would do that."""
    for path in paths:
        if is_url(path):
            raise ConfigError(f"{what} cannot write to {path}: copy it first, or use --diff to see what would change")


def prepare_writing(tasks: Sequence[Task], console: Console) -> None:
    """Tidy up what killed runs left beside these artifacts, and see to it that this one leaves nothing."""
    from graphlint.artifact.rewrite import remove_leftovers

    raise_on_termination()
    folders = {os.path.dirname(os.path.realpath(one.path)): os.path.dirname(one.path) for one in tasks}
    for folder, given in folders.items():
        shown = given if os.path.realpath(given) == folder else folder  # an artifact may be a link to another folder
        for name in remove_leftovers(folder):
            console.note(f"removed {os.path.join(shown, name)} (left by a killed run)")


def tell_nothing(paths: Sequence[str], console: Console) -> None:
    """Say that the paths stand for no artifact."""
    where = ", ".join(f"'{path}'" for path in paths)
    console.warning(f"no .pt2 files in {where}, apart from files that are excluded or that git ignores")


def verifying(process: Callable[..., FileResult], options: Mapping[str, Any], console: Console) -> Process:
    """``process`` of the engine, with a verifier if one is asked for."""
    if not options["verify"]:
        return process
    from graphlint.runtime.loading import import_modules, require_torch

    require_torch()
    import_modules(options["imports"])
    from graphlint.runtime.verification import verifier

    return partial(process, verifier=verifier(trust=options["trust"], report=console.note))


def lint(
    tasks: Sequence[Task],
    console: Console,
    reviewer: Reviewer | None = None,
    *,
    jobs: int = 1,
    process: Process | None = None,
) -> list[FileResult]:
    """A result per task, in their order, by at most ``jobs`` processes. What cannot be processed is reported and does
    not stop the others. ``reviewer`` sees all results; ``process`` is the engine's own unless it is given.
    """
    bar = None
    if len(tasks) > 1:
        from graphlint.cli import progress

        if progress.wanted(quiet=console.quiet, verbose=console.verbose):
            bar = progress.Progress(len(tasks))
            console.clear = bar.clear
    results = []
    # Closed here and now, so that an interrupt finds no worker left.
    with closing(run(tasks, jobs, reviewer, process=process, forks=True)) as outcomes:
        try:
            for index, outcome in enumerate(outcomes, 1):
                _tell(outcome, console)
                results.append(outcome.result)
                if bar is not None:
                    bar.step(tasks[index].path if index < len(tasks) else "")
        finally:
            console.clear()
    return results


def _tell(outcome: Outcome, console: Console) -> None:
    """Say on stderr what there is to say of a result."""
    result = outcome.result
    if outcome.bug:
        console.internal_error(f" while linting {result.path}", outcome.bug, outcome.trace)
        return
    if result.error:
        console.error(f"{result.path}: {result.error}")
    if not outcome.done:
        return
    for note in result.notes:
        console.note(f"{result.path}: {note}")
    if result.unreadable and not result.programs:
        console.progress(f"{result.path}: not linted: it cannot be read")
        return
    if not console.verbose:
        return
    programs = f"{count(len(result.programs), 'program')} ({', '.join(result.programs)})" if result.programs else "-"
    aside = f", {len(result.suppressed)} accepted" if result.suppressed else ""
    console.progress(f"{result.path}: linted {programs}: {count(len(result.diagnostics), 'finding')} left{aside}")
    for one in result.suppressed:
        at = f"{one.place.path}:{one.place.line}: " if one.place is not None else ""
        reason = f" (accepted by {accepted_by(one.suppression)})" if one.suppression is not None else ""
        console.progress(f"{result.path}: {at}{one.code} {one.message}{reason}")


def tell_unreadable(results: Iterable[FileResult], console: Console, more: str = "") -> None:
    """Say what could not be read, where no report does."""
    for result in results:
        for one in result.unreadable:
            console.error(f"{result.path}: {one.code} {one.message}{more}")


def shown_path(path: str) -> str:
    """The absolute ``path`` as it is shown: relative where it is below the current folder."""
    return relative(path, os.getcwd())


def exit_status(
    results: Sequence[FileResult], action: Action, options: Mapping[str, Any], fail_on: FailOn | None = None
) -> int:
    """0, 1 or 2, as the documentation's table of exit statuses has it."""
    if any(result.error for result in results):
        return EXIT_FAILURE
    if options["exit_zero"]:
        return 0
    if any(result.unreadable for result in results):
        return 1
    if action == "diff":
        return int(any(result.fixed or result.diff for result in results))
    changed = options.get("exit_non_zero_on_fix", True) and any(result.changed for result in results)
    left = not options.get("fix_only") and any(one.errors if fail_on == "error" else one.failing for one in results)
    return int(changed or left)
