"""``graphlint check``: find side effects, and with ``--fix`` take them away."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from graphlint.artifact.errors import ConfigError
from graphlint.cli import reports, session
from graphlint.cli.commands import ARTIFACTS, Argument, Completing, More, command
from graphlint.cli.console import Console
from graphlint.cli.options import UsageError
from graphlint.report.formats import summary
from graphlint.report.formats.escaping import printable
from graphlint.report.formats.registry import FORMATS, parse, settled
from graphlint.report.results import Action, ReportOptions
from graphlint.rules.settings import Settings
from graphlint.run.pool import Task, cores, tasks_for, with_caches
from graphlint.run.resolution import Resolved, Resolver
from graphlint.run.review import Reviewer


def _targets() -> str:
    from graphlint.rules.targets.model import all_targets

    default, *others, last = [target.name for target in all_targets()]
    names = f"{default} (default), {', '.join(others)} or {last}"
    return f"Consumers of the artifacts: {names}. `graphlint targets` lists them."


def _formats() -> str:
    default, *people, last = [name for name, one in FORMATS.items() if one.text]
    *others, least = [name for name, one in FORMATS.items() if not one.text]
    text = f"{default} (default), {', '.join(people)} or {last} for people; {', '.join(others)} or {least}"
    return f"Format of the report: {text}. Can be given several times, all but one with a file."


def _known_outputs(values: Sequence[str]) -> None:
    """Check what ``--output-format`` is given, each ``FORMAT`` or ``FORMAT=FILE``. Raises ConfigError."""
    for value in values:
        parse(value)


@command(
    Argument("paths", required=False, several=True, complete=ARTIFACTS),
    more={
        "--target": More(help=_targets),
        "--output-format --format": More(
            _formats, _known_outputs, Completing(lambda: ((name, None) for name in FORMATS))
        ),
    },
)
def check(console: Console, /, paths: tuple[str, ...], watch: bool, **options: Any) -> int:
    """Lint exported PyTorch programs.

    PATHS are artifacts, folders to search for *.pt2 files, patterns (**/*.pt2), or URLs of any of these
    (s3://bucket/model.pt2); the current folder if there are none.
    """
    fixing = options["fix"] or options["fix_only"]
    if options["verify"] and (options["diff"] or not fixing):
        raise UsageError("--verify goes with --fix.")
    if options["add_ignores"] and (fixing or options["diff"] or watch):
        raise UsageError("--add-ignores cannot be used with --fix, --fix-only, --diff or --watch.")
    if not watch:
        return _check(paths or (os.curdir,), options, console)
    if fixing or options["diff"]:
        raise UsageError("--watch only looks: it cannot be used with --fix, --fix-only or --diff.")
    from graphlint.cli.watch import watching

    named = [one for one in options["config"] if os.path.isfile(one)]
    folders = paths or (os.curdir,)
    return watching(folders, named, lambda: _check(folders, options, console), console)


def status_of(paths: Sequence[str], options: Mapping[str, Any]) -> int | None:
    """The exit status of a ``check`` without click, which takes a tenth of the time of a small one to load; None where
    click has to look at what variables say. Raises UsageError.
    """
    for option in check.options:
        more = check.more.get(" ".join(option.names))
        if more is not None and more.check is not None:
            try:
                more.check(options[option.parameter])
            except ConfigError as error:
                if os.environ.get(option.kind.get("env", "")):
                    return None
                raise option.wrong(str(error)) from None
    return check.run({check.arguments[0].name: tuple(paths), **options})


def _check(paths: Sequence[str], options: Mapping[str, Any], console: Console) -> int:
    """Run the check and return the exit status. Raises GraphlintError for what concerns the run as a whole."""
    action: Action = "diff" if options["diff"] else "fix" if options["fix"] or options["fix_only"] else "check"
    if action == "fix":
        session.refuse_to_write(paths, "--fix")
    resolver = session.resolver_for(options)
    outputs = resolver.run.outputs
    try:
        outputs = settled(outputs, options["output_file"], statistics=options["statistics"])
    except ConfigError as error:
        raise UsageError(str(error)) from None
    # All settings come before the first artifact is touched: a broken configuration must not stop a run half-way.
    reviewer = Reviewer()
    tasks = tasks_for(paths, resolver, action)
    if any(FORMATS[output.format].illustrated for output in outputs):
        tasks = [replace(task, settings=replace(task.settings, illustrate=True), reviewing=True) for task in tasks]
    for task in tasks:
        reviewer.baseline(task.settings.acceptance.baseline)
    if options["show_files"] or options["show_settings"]:
        return _show(tasks, resolver, console, files=options["show_files"])
    if not tasks:
        session.tell_nothing(paths, console)
    if action == "fix":
        session.prepare_writing(tasks, console)
    jobs = options["jobs"] or cores()
    process = None
    if options["verify"]:
        from graphlint.run.engine import process as engine

        process, jobs = session.verifying(engine, options, console), 1
    elif not options["no_cache"]:
        tasks = with_caches(tasks, lambda path: resolver.for_path(path).cache_dir)
    results = session.lint(tasks, console, reviewer, jobs=jobs, process=process)
    results += reviewer.source_results(resolver.settings_for, session.shown_path)
    if options["add_ignores"]:
        from graphlint.cli.baseline import accept_all

        return accept_all(results, console)
    folder = os.getcwd()
    stream = reports.stdout_of(outputs)
    summary_file = reports.summary_file() if resolver.run.said.step_summary else ""
    report = ReportOptions(
        color=console.colors(stream),
        hyperlinks=console.hyperlinks(stream),
        folder=folder,
        root=reports.report_root(folder) if summary_file or not all(one.is_text for one in outputs) else "",
        source_url=reports.source_address(),
        unsafe_paths=frozenset(task.path for task in tasks if task.settings.unsafe_fixes),
        targeted_paths=frozenset(
            task.path for task in tasks if task.settings.profile.chosen or task.settings.checks is not None
        ),
        hint_unsafe=resolver.run.said.unsafe_fixes is None,
        everything=console.verbose,
    )
    reports.write_reports(results, outputs, options, report, console)
    if summary_file:
        reports.append_summary(summary_file, results, report, console)
    if action == "diff":
        session.tell_unreadable(results, console)
        if not console.quiet:
            console.err(summary.render_would_fix(results, report))
    stale = reviewer.stale()
    if stale:
        from graphlint.cli.baseline import tell_stale

        tell_stale(stale, console)
    return session.exit_status(results, action, options, resolver.run.said.fail_on)


def _show(tasks: Sequence[Task], resolver: Resolver, console: Console, *, files: bool) -> int:
    """``--show-files`` and ``--show-settings``."""
    for task in tasks:
        if task.error:
            console.error(f"{task.path}: {task.error}")
    found = [task for task in tasks if not task.error]
    if files:
        console.out("".join(f"{printable(task.path)}\n" for task in found))
    elif found:
        console.out(_shown_settings(found[0].path, resolver.for_path(found[0].path), found[0].settings))
    else:
        console.out(_shown_settings(os.curdir, resolver.run, resolver.run.settings))
    return 2 if len(found) < len(tasks) else 0


def _shown_settings(path: str, resolved: Resolved, settings: Settings) -> str:
    """The settings for the artifact at ``path``, one ``key = value`` a line, close to the TOML that says the same."""
    from graphlint.report.templates import rendered
    from graphlint.rules.targets.model import beyond

    return rendered(
        "cli",
        "settings.toml",
        str,
        path=path,
        resolved=resolved,
        targets={name: beyond(one, resolved.targets) for name, one in resolved.targets.items()},
        settings=settings,
        accepted=settings.acceptance,
        outputs=[str(output) for output in resolved.outputs],
        limits=msgspec.to_builtins(settings.limits),
        fields=msgspec.structs.asdict,
        toml=_toml,
    )


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{printable(escaped)}"'
    return str(value).lower()
