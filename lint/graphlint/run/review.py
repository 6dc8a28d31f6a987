"""Where findings belong in the repository, and which of them somebody has accepted.

The engine hands each program's findings to the :data:`Review` in its settings and gets them back
with place, fingerprint and suppression. A :class:`Reviewer` makes those reviews for one run, and knows at its end which
comments accepted nothing and which entries of a baseline no longer occur.
"""

# Importing pathlib costs every run. What reads source files is imported once there is a finding.

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import msgspec

from graphlint.artifact.urls import is_url
from graphlint.ir.model import Program
from graphlint.ir.source import model_lines
from graphlint.report.results import UNREADABLE, UNUSED_IGNORE, FileResult
from graphlint.rules.diagnostics import Diagnostic, Location, Suppression
from graphlint.rules.settings import Settings
from graphlint.run.resolution import Resolved, Resolver
from graphlint.run.selection import RuleInfo

if TYPE_CHECKING:
    from graphlint.run.fingerprints import Identity
    from graphlint.run.sources.ignores import Ignore
    from graphlint.run.sources.locating import Locator

UNUSED, BROAD, INVALID = UNUSED_IGNORE, "GL902", "GL903"


class _Seen(msgspec.Struct, frozen=True, eq=False):
    """A source file that a program of the run refers to."""

    locator: Locator
    enabled: set[str]
    """The rules that were on for any of these programs."""


class Notes(msgspec.Struct, frozen=True):
    """What a reviewer in another process found out about source files and baselines while it reviewed an artifact."""

    used: frozenset[tuple[str, Ignore, str]]
    """Source file, comment, and code that it accepted."""
    left: dict[str, frozenset[tuple[int, str]]]
    seen: dict[str, frozenset[str]]
    """Source files, and the rules that were on."""
    matched: dict[str, dict[Identity, int]]
    """What was found of a baseline."""


class Reviewer:
    """Reviews the findings of one run."""

    def __init__(self, rules: Sequence[RuleInfo]) -> None:
        """``rules`` are those that comments can name."""
        self._rules = rules
        self._locators: dict[tuple[str, tuple[str, ...]], Locator] = {}
        self._baselines: dict[str, Counter[Identity]] = {}
        self._matched: dict[str, Counter[Identity]] = {}
        self._ignores: dict[str, tuple[Ignore, ...]] = {}
        self._used: set[tuple[str, Ignore, str]] = set()
        self._left: dict[str, set[tuple[int, str]]] = {}
        """Lines and codes of the findings in a source file that neither its name nor a comment in it accepts."""
        self._seen: dict[str, _Seen] = {}

    def settings_for(self, path: str, resolved: Resolved, settings: Settings) -> Settings:
        """``settings``, which hold for the artifact at ``path``, with the review of its findings.

        Raises ConfigError for a baseline that cannot be read.
        """
        self.prepare(resolved)
        review = partial(self._review, path, resolved, settings)
        return msgspec.structs.replace(settings, review=review)

    def prepare(self, resolved: Resolved) -> None:
        """Read what reviews by these settings need. Raises ConfigError for a baseline that cannot be read."""
        if resolved.baseline:
            self._baseline(resolved.baseline)

    def review(self, result: FileResult, resolved: Resolved, settings: Settings) -> FileResult:
        """The ``result`` of a check whose settings had no review, as if they had had one."""
        if result.frames:
            locator = self._locator(resolved)
            for frame in result.frames:
                self._note(locator, locator.find(frame), settings)
        reviewed: list[Diagnostic] = []
        for (program, unreadable), group in groupby(
            result.diagnostics, lambda one: (one.program, one.code in UNREADABLE)
        ):
            found = list(group)
            reviewed += (
                found if unreadable or program is None else self._accepted(result.path, resolved, settings, found)
            )
        return msgspec.structs.replace(result, diagnostics=tuple(reviewed), frames=()).without_suppressed()

    def take_notes(self) -> Notes:
        """What there is to tell of the artifacts since the last time; it is forgotten here."""
        notes = Notes(
            frozenset(self._used),
            {file: frozenset(found) for file, found in self._left.items()},
            {file: frozenset(seen.enabled) for file, seen in self._seen.items()},
            {baseline: dict(found) for baseline, found in self._matched.items()},
        )
        for remembered in (self._used, self._left, self._seen, self._matched):
            remembered.clear()
        return notes

    def add_notes(self, notes: Notes, resolved: Resolved) -> None:
        """Take over what another reviewer noted on an artifact with these settings."""
        self._used |= notes.used
        for file, found in notes.left.items():
            self._left.setdefault(file, set()).update(found)
        for file, codes in notes.seen.items():
            self._seen.setdefault(file, _Seen(self._locator(resolved), set())).enabled.update(codes)
        for baseline, matched in notes.matched.items():
            self._matched[baseline] = self._matched.get(baseline, Counter()) | Counter(matched)

    def _review(
        self, path: str, resolved: Resolved, settings: Settings, program: Program, diagnostics: Sequence[Diagnostic]
    ) -> Sequence[Diagnostic]:
        if UNUSED in settings.enabled:
            locator = self._locator(resolved)
            for frame in model_lines(program):
                self._note(locator, locator.find(frame), settings)
        return self._accepted(path, resolved, settings, diagnostics) if diagnostics else diagnostics

    def _accepted(
        self, path: str, resolved: Resolved, settings: Settings, diagnostics: Sequence[Diagnostic]
    ) -> Sequence[Diagnostic]:
        """The findings of one program, with place, fingerprint and suppression."""
        from graphlint.run.fingerprints import fingerprints

        locator = self._locator(resolved)
        placed = [self._place(locator, one, settings) for one in diagnostics]
        name = path if is_url(path) else locator.repository.relative(os.path.abspath(path))
        prints = fingerprints(placed, name)
        suppressions: list[Suppression | None] = [self._suppression(one, resolved) for one in placed]
        if resolved.baseline:
            self._accept_by_baseline(path, resolved.baseline, placed, suppressions)
        return [
            msgspec.structs.replace(one, fingerprint=fingerprint, suppression=suppression)
            for one, fingerprint, suppression in zip(placed, prints, suppressions, strict=True)
        ]

    def _place(self, locator: Locator, diagnostic: Diagnostic, settings: Settings) -> Diagnostic:
        if diagnostic.source is None:
            return diagnostic
        location = locator.locate(diagnostic.source, diagnostic.op, _callers(diagnostic))
        self._note(locator, location.file or None, settings)
        return msgspec.structs.replace(diagnostic, location=location)

    def _suppression(self, diagnostic: Diagnostic, resolved: Resolved) -> Suppression | None:
        """Whether the source file's name or a comment in it accepts the finding."""
        location = diagnostic.location
        if location is None:
            return None
        for pattern, codes in resolved.per_file_ignores:
            if diagnostic.code in codes and pattern.matches(_file_or_name(location, resolved.root)):
                return Suppression("per-file-ignores")
        if location.state in ("changed", "absent"):
            return None  # nobody knows which line would speak of it
        for ignore in self._ignores_in(location.file, self._locator(resolved)):
            if ignore.accepts(diagnostic.code, location.line):
                self._used.add((location.file, ignore, diagnostic.code))
                return Suppression("comment", ignore.reason)
        self._left.setdefault(location.file, set()).add((location.line, diagnostic.code))
        return None

    def _accept_by_baseline(
        self, path: str, baseline: str, diagnostics: Sequence[Diagnostic], suppressions: list[Suppression | None]
    ) -> None:
        """As many findings of each identity as the baseline has, the first ones of the program."""
        from graphlint.run.baseline import artifact_name
        from graphlint.run.fingerprints import identity

        name = artifact_name(path, baseline)
        left = self._baseline(baseline).copy()
        found: Counter[Identity] = Counter()
        for index, diagnostic in enumerate(diagnostics):
            if suppressions[index] is None:
                one = identity(diagnostic, name)
                if left[one] > 0:
                    left[one] -= 1
                    found[one] += 1
                    suppressions[index] = Suppression("baseline")
        # A fix lints its program several times; the first time, all that the file has is there.
        self._matched[baseline] = self._matched.get(baseline, Counter()) | found

    def stale(self, results: Sequence[FileResult], resolver: Resolver) -> dict[str, Counter[Identity]]:
        """For each baseline, how many of its entries no longer occur in the artifacts that were linted, for rules
        that were on.
        """
        gone: dict[str, Counter[Identity]] = {}
        for result in results:
            if result.is_source or result.error or result.unreadable:
                continue
            resolved, settings = resolver.for_path(result.path), resolver.settings_for(result.path)
            if not resolved.baseline:
                continue
            from graphlint.run.baseline import artifact_name

            name = artifact_name(result.path, resolved.baseline)
            matched = self._matched.get(resolved.baseline, Counter())
            for one, number in self._baseline(resolved.baseline).items():
                if one.artifact == name and one.code in settings.enabled and number > matched[one]:
                    gone.setdefault(resolved.baseline, Counter())[one] = number - matched[one]
        return gone

    def source_results(self, settings_of: Callable[[str], Settings], shown: Callable[[str], str]) -> list[FileResult]:
        """What is wrong with the comments in the source files of this run, a result for each file that has such.

        ``settings_of`` gives the settings that hold for a source file, ``shown`` the path to show for it.
        """
        results = []
        for file, seen in sorted(self._seen.items()):
            ignores = self._ignores_in(file, seen.locator)
            if not ignores:
                continue
            settings = settings_of(file)
            found = [
                _finding(rule, message, advice, shown(file), _location(file, seen.locator, ignore))
                for ignore in ignores
                for code, message, advice in self._faults(file, seen, ignore)
                for rule in self._rules
                if rule.code == code and code in settings.enabled
            ]
            if found:
                results.append(FileResult(shown(file), tuple(found), is_source=True))
        return results

    def _faults(self, file: str, seen: _Seen, ignore: Ignore) -> Iterator[tuple[str, str, str]]:
        """Code, message and advice for each fault of a comment."""
        if not ignore.closed:
            message = "the bracket of this comment is not closed, so it accepts nothing"
            yield INVALID, message, "write it as `# graphlint: ignore[GL103] reason`"
            return
        if not ignore.codes and not ignore.unknown:
            message = "this comment names no rule, so it accepts nothing"
            found = {code for line, code in self._left.get(file, ()) if ignore.first <= line <= ignore.last}
            codes = ", ".join(sorted(found)) or "GL103"
            yield BROAD, message, f"name what it is to accept: `# graphlint: ignore[{codes}] reason`"
        for name in ignore.unknown:
            from graphlint.run.selection import did_you_mean

            hint = did_you_mean(name, [text for rule in self._rules for text in (rule.code, rule.name)])
            yield INVALID, f"no rule is called '{name}'{hint}", "`graphlint rule` lists the rules"
        unused = [code for code in ignore.codes if code in seen.enabled and (file, ignore, code) not in self._used]
        if unused:
            message = f"nothing on this line for this comment to accept: {', '.join(unused)}"
            yield UNUSED, message, "remove it, or lint the artifact that it is meant for in the same run"

    def _note(self, locator: Locator, file: str | None, settings: Settings) -> None:
        if file is not None:
            self._seen.setdefault(file, _Seen(locator, set())).enabled.update(settings.enabled)

    def _locator(self, resolved: Resolved) -> Locator:
        key = (resolved.root, resolved.source_roots)
        if key not in self._locators:
            from graphlint.run.sources.locating import Locator
            from graphlint.run.sources.repository import (
                FOLDERS_ELSEWHERE,
                FOLDERS_IN_REPOSITORY,
                Repository,
                root_of,
            )

            root, is_repository = root_of(resolved.root)
            limit = FOLDERS_IN_REPOSITORY if is_repository else FOLDERS_ELSEWHERE
            self._locators[key] = Locator(Repository(root, resolved.source_roots, limit=limit))
        return self._locators[key]

    def _baseline(self, path: str) -> Counter[Identity]:
        if path not in self._baselines:
            from graphlint.run.baseline import load

            self._baselines[path] = load(path)
        return self._baselines[path]

    def _ignores_in(self, file: str, locator: Locator) -> tuple[Ignore, ...]:
        if file not in self._ignores:
            from graphlint.run.sources.ignores import find_ignores

            source = locator.read(file)
            names = {text: rule.code for rule in self._rules for text in (rule.code, rule.name)}
            self._ignores[file] = find_ignores(source, names) if source is not None else ()
        return self._ignores[file]


def _file_or_name(location: Location, root: str) -> str:
    """The file; where it is not at hand, its recorded path as if it were below the configuration's folder."""
    if location.file:
        return location.file
    from graphlint.run.sources.repository import components

    return os.path.join(root, *components(location.path))


def _callers(diagnostic: Diagnostic) -> tuple[str, ...]:
    """What the source calls in order to get to the op: its module, the op that its graph is an operand of."""
    module = [part for part in (diagnostic.module_path or "").split(".") if not part.isdecimal()]
    return (*module[-1:], *(re.sub(r"_\d+$", "", caller) for caller in diagnostic.subgraph[::2]))


def _location(file: str, locator: Locator, ignore: Ignore) -> Location:
    source = locator.read(file)
    text = source.lines[ignore.line - 1].rstrip() if source is not None else ""
    return Location(
        locator.repository.relative(file),
        ignore.line,
        text=text,
        file=file,
        column=ignore.column,
        end_column=ignore.end_column,
        state="current",
    )


def _finding(rule: RuleInfo, message: str, advice: str, path: str, location: Location) -> Diagnostic:
    from graphlint.rules.base import no_fix

    return Diagnostic(rule.code, rule.name, "warning", message, no_fix(advice), path=path, location=location)
