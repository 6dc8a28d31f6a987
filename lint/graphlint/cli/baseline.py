"""``graphlint baseline``, and ``check --add-ignores``: accept the findings that are there now."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from graphlint.artifact.source import is_url
from graphlint.cli import session
from graphlint.cli.commands import Argument, command
from graphlint.cli.console import EXIT_FAILURE, Console, write_report
from graphlint.report.formats.phrasing import count
from graphlint.report.results import FileResult
from graphlint.rules.files import UNREADABLE
from graphlint.run.baseline import DEFAULT_NAME, artifact_name, load, render
from graphlint.run.fingerprints import Identity, identity
from graphlint.run.pool import tasks_for
from graphlint.run.review import Reviewer


@command(Argument("paths", required=False, several=True))
def baseline(console: Console, /, paths: tuple[str, ...], prune: bool, **options: Any) -> int:
    """Accept the current findings: write them to a baseline.

    The baseline is a JSON file to be committed. `graphlint check` does not report what its baseline holds, and `--fix`
    leaves it alone. Findings are recognized by rule, op, module and source line, so that the baseline outlives another
    export of the model. PATHS are as for `graphlint check`; what the baseline holds of other artifacts and other rules
    stays, unless the artifact is gone.
    """
    told = options["baseline"] or session.resolver_for(options).run.settings.acceptance.baseline
    path = os.path.abspath(told or DEFAULT_NAME)
    old = load(path) if prune or os.path.lexists(path) else Counter()
    # Linted as if there were no baseline; comments in the source accept what they accept.
    resolver = session.resolver_for({**options, "baseline": ""})
    paths = paths or (os.curdir,)
    tasks = tasks_for(paths, resolver, "check")
    if not tasks:
        session.tell_nothing(paths, console)
        return 0
    results = session.lint(tasks, console, Reviewer())
    session.tell_unreadable(results, console, "; its findings stay as they were")
    linted: dict[str, tuple[frozenset[str], Counter[Identity]]] = {}
    for result, task in zip(results, tasks, strict=True):
        if not result.error and not result.unreadable:
            name = artifact_name(result.path, path)
            found = Counter(identity(one, name) for one in result.diagnostics if one.code not in UNREADABLE)
            linted[name] = (task.settings.enabled, found)
    new = _merged(old, linted, os.path.dirname(path), prune=prune)
    _write(path, old, new, console, told=bool(told))
    return _status(results)


def accept_all(results: Sequence[FileResult], console: Console) -> int:
    """Write a comment for each line that has findings; the exit status. Raises WriteError."""
    from graphlint.run.sources.adding import add_ignores

    wanted: dict[str, dict[int, set[str]]] = {}
    elsewhere = 0
    for one in (one for result in results if not result.is_source for one in result.diagnostics):
        place = one.location
        if place is not None and place.file and place.state in ("current", "moved"):
            wanted.setdefault(place.file, {}).setdefault(place.line, set()).add(one.code)
        elif one.code not in UNREADABLE:
            elsewhere += 1
    added = {file: add_ignores(file, lines) for file, lines in sorted(wanted.items())}
    console.say(f"Added {count(sum(added.values()), 'comment')} in {count(len(added), 'file')}.")
    if elsewhere:
        console.note(f"{count(elsewhere, 'finding')} without a line in this repository: use `graphlint baseline`")
    session.tell_unreadable(results, console)
    return _status(results)


def _status(results: Sequence[FileResult]) -> int:
    """The exit status: what could be told of all artifacts is accepted."""
    failed = any(result.error for result in results)
    return EXIT_FAILURE if failed else int(any(result.unreadable for result in results))


def _merged(
    old: Mapping[Identity, int],
    linted: Mapping[str, tuple[frozenset[str], Counter[Identity]]],
    folder: str,
    *,
    prune: bool,
) -> Counter[Identity]:
    """The baseline after a run that ``linted`` some artifacts, by these rules with these findings; ``folder`` is the
    one that their names are relative to. With ``prune`` nothing is added.
    """
    new: Counter[Identity] = Counter()
    for one, number in old.items():
        enabled, found = linted.get(one.artifact, (frozenset(), Counter()))
        if one.code in enabled:
            new[one] = min(number, found[one])
        elif one.artifact in linted or is_url(one.artifact) or os.path.lexists(os.path.join(folder, one.artifact)):
            new[one] = number
    if not prune:
        for _, found in linted.values():
            new |= found
    return +new


def _write(path: str, old: Counter[Identity], new: Counter[Identity], console: Console, *, told: bool) -> None:
    added, removed = new - old, old - new
    name = session.shown_path(path)
    for sign, counts in (("+", added), ("-", removed)):
        for one in sorted(counts):
            console.progress(f"{sign}{counts[one]} {_described(one)}")
    is_new = not os.path.lexists(path)
    if new == old and not is_new:
        console.say(f"{name} is up to date: {count(new.total(), 'finding')}.")
        return
    write_report(path, render(new))
    changes = f" ({added.total()} added, {removed.total()} removed)" if not is_new else ""
    console.say(f"Wrote {count(new.total(), 'finding')} to {name}{changes}.")
    if is_new and not told:
        console.say(f'To use it: baseline = "{os.path.basename(path)}" in the configuration, or --baseline {name}.')


def tell_stale(stale: Mapping[str, Mapping[Identity, int]], console: Console) -> None:
    """Say which baselines hold what no longer occurs."""
    for baseline, identities in stale.items():
        number = sum(identities.values())
        verb = "occurs" if number == 1 else "occur"
        console.note(
            f"{session.shown_path(baseline)}: {count(number, 'finding')} in it no longer {verb}; "
            "`graphlint baseline --prune` removes what is gone"
        )
        for one in sorted(identities):
            console.progress(f"  {identities[one]} x {_described(one)}")


def _described(one: Identity) -> str:
    """A finding of a baseline on one line."""
    module = f" in {one.module}" if one.module else ""
    return f"{one.artifact}: {one.code} {one.op}{module}: {one.text}".rstrip(": ")
