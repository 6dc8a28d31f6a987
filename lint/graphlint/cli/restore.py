"""``graphlint restore``: plain checks in the place of functional ones."""

import os
import sys
from typing import Any

from graphlint.cli import session
from graphlint.cli.commands import Argument, command
from graphlint.cli.console import Console
from graphlint.cli.options import UsageError
from graphlint.report.formats import summary
from graphlint.report.results import Action, ReportOptions
from graphlint.run import engine
from graphlint.run.discovery import discover
from graphlint.run.pool import Task


@command(Argument("paths", several=True))
def restore(console: Console, /, paths: tuple[str, ...], diff: bool, **options: Any) -> int:
    """Turn functional checks back into plain ones.

    Their dependency tokens go, and state that is among the inputs and outputs is kept by the program again: the inverse
    of what --fix does, also for artifacts that other tools made functional. PATHS are artifacts, or folders to search
    for *.pt2 files. The label of a program stays.

    \b
    graphlint restore model.pt2          write the artifact back with plain checks
    graphlint restore --diff artifacts/  show what would change in a folder
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
    if options["verify"] and diff:
        raise UsageError("--verify and --diff cannot be used together.")
    if not diff:
        session.refuse_to_write(paths, "restore")
    action: Action = "diff" if diff else "fix"
    resolver = session.resolver_for(options)
    tasks = [Task(one.path, resolver.settings_for(one.path), action, one.error) for one in discover(paths, resolver)]
    if not tasks:
        session.tell_nothing(paths, console)
    if not diff:
        session.prepare_writing(tasks, console)
    results = session.lint(tasks, console, process=session.verifying(engine.restore, options, console))
    report = ReportOptions(color=console.colors(sys.stdout), folder=os.getcwd())
    session.tell_unreadable(results, console)
    if diff:
        console.out(summary.render_diff(results, report))
        console.err(summary.render_kept(results, report))
        if not console.quiet:
            console.err(summary.render_would_restore(results))
    else:
        console.out(summary.render_kept(results, report))
        if not console.quiet:
            console.out(summary.render_restored(results, report, exit_zero=options["exit_zero"]))
    found = any(result.kept or result.restored or result.state for result in results)
    return session.exit_status(results, action, options) or int(found and not options["exit_zero"])
