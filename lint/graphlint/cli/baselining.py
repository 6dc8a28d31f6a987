"""What ``graphlint baseline`` does with its options."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping

import msgspec

from graphlint.artifact.urls import is_url
from graphlint.cli.checking import CheckOptions, resolver_for
from graphlint.cli.console import Console, write_report
from graphlint.cli.reviewing import described, reviewed_settings, shown_path
from graphlint.cli.running import exit_status, lint
from graphlint.report.formats.phrasing import count
from graphlint.report.results import UNREADABLE
from graphlint.run.baseline import DEFAULT_NAME, artifact_name, load, render
from graphlint.run.discovery import discover
from graphlint.run.engine import process
from graphlint.run.fingerprints import Identity, identity
from graphlint.run.review import Reviewer

# Importing pathlib costs every run.


class Linted(msgspec.Struct, frozen=True):
    """What a run found in one artifact."""

    found: Counter[Identity]
    enabled: frozenset[str]
    """Codes of the rules that were on."""


def write(options: CheckOptions, console: Console, *, prune: bool) -> int:
    """Lint, write the baseline and return the exit status. Raises GraphlintError for what concerns all of it."""
    from graphlint.rules.registry import RULES

    path = os.path.abspath(options.baseline or resolver_for(options).run.baseline or DEFAULT_NAME)
    old = load(path) if prune or os.path.lexists(path) else Counter()
    # Linted as if there were no baseline; comments in the source accept what they accept.
    resolver = resolver_for(msgspec.structs.replace(options, baseline=""))
    reviewer = Reviewer(RULES)
    candidates = list(discover(options.paths or (os.curdir,), resolver))
    work = [(candidate, reviewed_settings(candidate.path, resolver, reviewer)) for candidate in candidates]
    if not work:
        console.warning("No .pt2 files found under the given path(s)")
        return 0
    results = list(lint(work, "check", process, console))
    linted: dict[str, Linted] = {}
    for result, (_, settings) in zip(results, work, strict=True):
        for diagnostic in result.unreadable:
            console.error(f"{result.path}: {diagnostic.code} {diagnostic.message}; its findings stay as they were")
        if not result.error and not result.unreadable:
            name = artifact_name(result.path, path)
            found = Counter(identity(one, name) for one in result.diagnostics if one.code not in UNREADABLE)
            linted[name] = Linted(found, settings.enabled)
    new = merged(old, linted, os.path.dirname(path), prune=prune)
    _write(path, old, new, console, told=bool(options.baseline or resolver_for(options).run.baseline))
    return exit_status([msgspec.structs.replace(result, diagnostics=result.unreadable) for result in results], "check")


def merged(old: Mapping[Identity, int], linted: Mapping[str, Linted], folder: str, *, prune: bool) -> Counter[Identity]:
    """The baseline after a run that ``linted`` some artifacts; ``folder`` is the one that their names are relative
    to. With ``prune`` nothing is added.
    """
    new: Counter[Identity] = Counter()
    for one, number in old.items():
        run = linted.get(one.artifact)
        if run is not None and one.code in run.enabled:
            new[one] = min(number, run.found[one])
        elif run is not None or is_url(one.artifact) or os.path.lexists(os.path.join(folder, one.artifact)):
            new[one] = number
    if not prune:
        for run in linted.values():
            for one, number in run.found.items():
                new[one] = number
    return +new


def _write(path: str, old: Counter[Identity], new: Counter[Identity], console: Console, *, told: bool) -> None:
    added, removed = new - old, old - new
    name = shown_path(path)
    for sign, counts in (("+", added), ("-", removed)):
        for one in sorted(counts):
            console.progress(f"{sign}{counts[one]} {described(one)}")
    is_new = not os.path.lexists(path)
    if new == old and not is_new:
        console.say(f"{name} is up to date: {count(new.total(), 'finding')}.")
        return
    write_report(path, render(new))
    changes = f" ({added.total()} added, {removed.total()} removed)" if not is_new else ""
    console.say(f"Wrote {count(new.total(), 'finding')} to {name}{changes}.")
    if is_new and not told:
        console.say(f'To use it: baseline = "{os.path.basename(path)}" in the configuration, or --baseline {name}.')
