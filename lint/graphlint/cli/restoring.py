"""What ``graphlint restore`` does with its options."""

from __future__ import annotations

import os
import sys

from graphlint.cli.checking import CheckOptions, prepare_writing, refuse_to_write, resolver_for, verifying
from graphlint.cli.console import Console
from graphlint.cli.running import exit_status, lint
from graphlint.report.formats import diff, restored
from graphlint.report.formats.options import ReportOptions
from graphlint.run.discovery import discover


def restore(options: CheckOptions, console: Console) -> int:
    """Restore the artifacts and return the exit status. Raises GraphlintError for what concerns the run as a whole."""
    from graphlint.run import engine

    refuse_to_write(options, "restore")
    resolver = resolver_for(options)
    work = [(one, resolver.settings_for(one.path)) for one in discover(options.paths, resolver)]
    if not work:
        console.warning("No .pt2 files found under the given path(s)")
    if options.action == "fix":
        prepare_writing([candidate for candidate, _ in work], console)
    results = list(lint(work, options.action, verifying(engine.restore, options, console), console))
    report = ReportOptions(color=console.colors(sys.stdout), folder=os.getcwd())
    for result in results:
        for diagnostic in result.unreadable:
            console.error(f"{result.path}: {diagnostic.code} {diagnostic.message}")
    if options.diff:
        console.out(diff.render(results, report))
        console.err(restored.render_kept(results, report))
        if not options.quiet:
            console.err(restored.render_would(results))
    else:
        console.out(restored.render_kept(results, report))
        if not options.quiet:
            console.out(restored.render(results, report, exit_zero=options.exit_zero))
    status = exit_status(results, options.action, exit_zero=options.exit_zero)
    found = any(result.kept or result.restored for result in results)
    return status or int(found and not options.exit_zero)
