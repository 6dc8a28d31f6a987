"""What ``graphlint check`` does with its options."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.urls import is_url
from graphlint.cli import step_summary
from graphlint.cli.console import Console, When
from graphlint.cli.reporting import Wanted, report_root, source_address, stdout_of, write_reports
from graphlint.cli.reviewing import report_stale, shown_path
from graphlint.cli.running import exit_status, lint, lint_many
from graphlint.report.formats import summary
from graphlint.report.formats.escaping import printable
from graphlint.report.formats.options import ReportOptions
from graphlint.report.outputs import ILLUSTRATED, settled
from graphlint.report.results import Action, FileResult
from graphlint.rules.settings import Settings, TokenSink
from graphlint.run.batch import Process, cores
from graphlint.run.config import Configuration, FixTable
from graphlint.run.discovery import Candidate, discover
from graphlint.run.resolution import Resolver
from graphlint.run.review import Reviewer
from graphlint.run.selection import split_selectors

# Importing pathlib costs every run.


class CheckOptions(msgspec.Struct, frozen=True):
    """The command line of ``check``; None and empty mean that an option was not given."""

    paths: tuple[str, ...] = ()
    fix: bool = False
    unsafe_fixes: bool | None = None
    fix_only: bool = False
    diff: bool = False
    show_fixes: bool = False
    token_sink: TokenSink | None = None
    provenance: bool | None = None
    verify: bool = False
    trust: bool = False
    imports: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    extend_exclude: tuple[str, ...] = ()
    force_exclude: bool | None = None
    output_format: tuple[str, ...] = ()
    output_file: str | None = None
    step_summary: bool | None = None
    statistics: bool = False
    quiet: bool = False
    verbose: bool = False
    color: When = "auto"
    exit_zero: bool = False
    exit_non_zero_on_fix: bool = True
    config: tuple[str, ...] = ()
    isolated: bool = False
    baseline: str | None = None
    warn_unused_ignores: bool | None = None
    show_settings: bool = False
    show_files: bool = False
    jobs: int | None = None
    no_cache: bool = False
    cache_dir: str | None = None

    @property
    def action(self) -> Action:
        """What the engine is to do."""
        if self.diff:
            return "diff"
        return "fix" if self.fix or self.fix_only else "check"


def check(options: CheckOptions, console: Console) -> int:
    """Run the check and return the exit status. Raises GraphlintError for what concerns the run as a whole."""
    from graphlint.rules.registry import RULES

    refuse_to_write(options, "--fix")
    resolver = resolver_for(options)
    candidates = list(discover(options.paths or (os.curdir,), resolver))
    outputs = settled(resolver.run.outputs, options.output_file, statistics=options.statistics)
    summary_file = step_summary.summary_file() if resolver.run.step_summary else ""
    folder = os.getcwd()
    # All settings come before the first artifact is touched: a broken configuration must not stop a run half-way.
    reviewer = Reviewer(RULES)
    illustrate = any(output.format in ILLUSTRATED for output in outputs)
    work = [
        (candidate, msgspec.structs.replace(resolver.settings_for(candidate.path), illustrate=True))
        if illustrate
        else (candidate, resolver.settings_for(candidate.path))
        for candidate in candidates
    ]
    for candidate in candidates:
        reviewer.prepare(resolver.for_path(candidate.path))
    if options.show_files or options.show_settings:
        return _show(options, resolver, work, console)
    if not work:
        console.warning("No .pt2 files found under the given path(s)")

    if options.action == "fix":
        prepare_writing(candidates, console)
    results = list(_results(work, options, resolver, reviewer, console))
    results += reviewer.source_results(resolver.settings_for, shown_path)
    unsafe_paths = frozenset(candidate.path for candidate, settings in work if settings.unsafe_fixes)
    stream = stdout_of(outputs)
    report_options = ReportOptions(
        color=console.colors(stream),
        hyperlinks=console.hyperlinks(stream),
        folder=folder,
        root=report_root(outputs, folder, always=bool(summary_file)),
        source_url=source_address(),
        unsafe_paths=unsafe_paths,
        targeted_paths=frozenset(candidate.path for candidate, settings in work if settings.profile.chosen),
        hint_unsafe=resolver.run.hint_unsafe,
    )
    wanted = Wanted(
        outputs,
        diff=options.diff,
        fix_only=options.fix_only,
        show_fixes=options.show_fixes,
        statistics=options.statistics,
        quiet=options.quiet,
        mention_rewritten=options.exit_non_zero_on_fix and not options.exit_zero,
        file_option=options.output_file is not None,
    )
    write_reports(results, wanted, report_options, console)
    if summary_file:
        step_summary.append(summary_file, results, report_options, console)
    if options.diff:
        for result in results:
            for diagnostic in result.unreadable:
                console.error(f"{result.path}: {diagnostic.code} {diagnostic.message}")
    if options.diff and not options.quiet:
        console.err(summary.render_would_fix(results, report_options))
    report_stale(reviewer.stale(results, resolver), console)
    return exit_status(
        results,
        options.action,
        fix_only=options.fix_only,
        exit_zero=options.exit_zero,
        exit_non_zero_on_fix=options.exit_non_zero_on_fix,
    )


def prepare_writing(candidates: Sequence[Candidate], console: Console) -> None:
    """Tidy up what killed runs left beside these artifacts, and see to it that this one leaves nothing."""
    from graphlint.artifact.temporary import remove_leftovers
    from graphlint.cli.termination import raise_on_termination

    raise_on_termination()
    folders = {os.path.dirname(os.path.realpath(one.path)): os.path.dirname(one.path) for one in candidates}
    for folder, given in folders.items():
        shown = given if os.path.realpath(given) == folder else folder  # an artifact may be a link to another folder
        for name in remove_leftovers(folder):
            console.note(f"removed {os.path.join(shown, name)}: a run that was killed had left it")


def refuse_to_write(options: CheckOptions, what: str) -> None:
    """Raises ConfigError where something remote were to be rewritten; ``what`` is what would do that."""
    for path in options.paths:
        if options.action == "fix" and is_url(path):
            raise ConfigError(f"{what} cannot write to {path}: take a local copy, or see with --diff what would change")


def _results(
    work: Sequence[tuple[Candidate, Settings]],
    options: CheckOptions,
    resolver: Resolver,
    reviewer: Reviewer,
    console: Console,
) -> Iterator[FileResult]:
    if options.verify:
        from graphlint.run.engine import process

        reviewed = [
            (one, reviewer.settings_for(one.path, resolver.for_path(one.path), settings)) for one, settings in work
        ]
        return lint(reviewed, options.action, verifying(process, options, console), console)
    jobs = options.jobs or cores()
    resolved = [(one, settings, resolver.for_path(one.path)) for one, settings in work]
    return lint_many(resolved, options.action, reviewer, console, jobs=jobs, cached=not options.no_cache)


def verifying(process: Callable[..., FileResult], options: CheckOptions, console: Console) -> Process:
    """``process`` of the engine, with a verifier if one is asked for."""
    if not options.verify:
        return process
    from functools import partial

    from graphlint.runtime.loading import import_modules, require_torch

    require_torch()
    import_modules(options.imports)
    from graphlint.runtime.verification import verifier

    return partial(process, verifier=verifier(trust=options.trust, report=console.note))


def resolver_for(options: CheckOptions) -> Resolver:
    """What finds out the settings of each path. Raises ConfigError for what is wrong with the options."""
    from graphlint.rules.registry import RULES

    files = [value for value in options.config if os.path.isfile(value)]
    inline = [value for value in options.config if value not in files]
    for value in inline:
        if "=" not in value:
            raise ConfigError(f"--config '{value}' is neither a configuration file nor TOML like 'unsafe-fixes = true'")
    if len(files) > 1:
        raise ConfigError(f"--config takes one configuration file, not {len(files)}: {', '.join(files)}")
    if options.select and not split_selectors(options.select):
        # An empty variable of a shell: a gate that checks nothing must not pass.
        raise ConfigError("--select needs the code or the name of a rule, and is given none")
    if files and options.isolated:
        raise ConfigError(f"--config {files[0]} cannot be used with --isolated")
    return Resolver(
        RULES,
        Configuration(
            select=split_selectors(options.select) if options.select else None,
            ignore=split_selectors(options.ignore),
            extend_select=split_selectors(options.extend_select),
            exclude=split_selectors(options.exclude) if options.exclude else None,
            extend_exclude=split_selectors(options.extend_exclude),
            target=split_selectors(options.target) if options.target else None,
            force_exclude=options.force_exclude,
            unsafe_fixes=options.unsafe_fixes,
            cache_dir=options.cache_dir,
            output_format=options.output_format or None,
            step_summary=options.step_summary,
            baseline=None
            if options.baseline is None
            else os.path.abspath(options.baseline)
            if options.baseline
            else "",
            warn_unused_ignores=options.warn_unused_ignores,
            fix=FixTable(token_sink=options.token_sink, provenance=options.provenance),
        ),
        inline,
        files[0] if files else None,
        isolated=options.isolated,
    )


def _show(
    options: CheckOptions, resolver: Resolver, work: Sequence[tuple[Candidate, Settings]], console: Console
) -> int:
    """``--show-files`` and ``--show-settings``."""
    from graphlint.cli import settings_text

    for candidate, _ in work:
        if candidate.error:
            console.error(f"{candidate.path}: {candidate.error}")
    found = [(candidate.path, settings) for candidate, settings in work if not candidate.error]
    if options.show_files:
        console.out("".join(f"{printable(path)}\n" for path, _ in found))
    elif found:
        path, settings = found[0]
        console.out(settings_text.render(path, resolver.for_path(path), settings))
    else:
        console.out(settings_text.render(os.curdir, resolver.run, resolver.run.settings))
    return exit_status([FileResult(path=candidate.path, error=candidate.error) for candidate, _ in work], "check")
