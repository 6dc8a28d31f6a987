"""Where findings belong in the repository, and which of them somebody has accepted.

A :class:`Reviewer` marks the findings of a program with place, fingerprint and suppression: for a fix inside the
engine, which leaves alone what is accepted; for a check after it, so that results can be kept. From the results that it
is told it knows at the end of a run which comments accepted nothing, and which entries of a baseline no longer occur.
"""

# What reads source files is imported once there is a finding.

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from graphlint.artifact.errors import did_you_mean
from graphlint.artifact.source import is_url
from graphlint.report.results import FileResult
from graphlint.rules.base import Rule, no_fix
from graphlint.rules.diagnostics import Diagnostic, Location, Suppression
from graphlint.rules.files import UNREADABLE
from graphlint.rules.ignore_comments import BroadIgnore, InvalidIgnore, UnusedIgnore
from graphlint.rules.registry import RULES
from graphlint.rules.selection import codes_and_names
from graphlint.rules.settings import Acceptance, Settings
from graphlint.run.globs import matches

if TYPE_CHECKING:
    from graphlint.run.baseline import Baseline
    from graphlint.run.fingerprints import Identity
    from graphlint.run.sources.locating import Locator
    from graphlint.run.sources.sourcefile import Ignore


class _Seen(msgspec.Struct, frozen=True, eq=False):
    """A source file that a program of the run refers to."""

    locator: Locator
    enabled: set[str]
    """The rules that were on for any of these programs."""
    left: set[tuple[int, str]]
    """Lines and codes of the findings that neither the file's name nor a comment in it accepts."""
    used: set[tuple[Ignore, str]]
    """Comments, and codes of the findings that they accepted."""


class Reviewer:
    """Reviews the findings of one run. The same findings always give the same result."""

    def __init__(self) -> None:
        self._folder = os.getcwd()
        self._locator = cache(_locator_of)
        self._ignores_in = cache(_read_ignores)
        self._baselines: dict[str, Baseline] = {}
        self._seen: dict[str, _Seen] = {}

    def baseline(self, path: str) -> Baseline | None:
        """The baseline at ``path``; None where that is empty. Raises ConfigError."""
        if path and path not in self._baselines:
            from graphlint.run.baseline import Baseline

            self._baselines[path] = Baseline(path)
        return self._baselines.get(path)

    def review(self, result: FileResult, settings: Settings) -> FileResult:
        """The ``result`` of a check by these settings, what is accepted set aside."""
        found = [one for one in result.diagnostics if one.program is not None and one.code not in UNREADABLE]
        reviewed = dict(zip(map(id, found), self.accept(result.path, settings.acceptance, found), strict=True))
        diagnostics = tuple(reviewed.get(id(one), one) for one in result.diagnostics)
        return msgspec.structs.replace(result, diagnostics=diagnostics).without_suppressed()

    def accept(self, path: str, acceptance: Acceptance, diagnostics: Sequence[Diagnostic]) -> Sequence[Diagnostic]:
        """Findings in programs of the artifact at ``path``, with place, fingerprint and suppression."""
        if not diagnostics:
            return diagnostics
        from graphlint.run.fingerprints import fingerprints

        locator = self._locator(acceptance)
        placed = [_placed(one, locator) for one in diagnostics]
        name = path if is_url(path) else locator.repository.relative(os.path.join(self._folder, path))
        reviewed = [
            msgspec.structs.replace(one, fingerprint=fingerprint, suppression=self._suppression(one, acceptance))
            for one, fingerprint in zip(placed, fingerprints(placed, name), strict=True)
        ]
        baseline = self.baseline(acceptance.baseline)
        return reviewed if baseline is None else baseline.suppress(path, reviewed)

    def note(self, result: FileResult, settings: Settings) -> FileResult:
        """Remember what the reviewed ``result`` tells of source files and baselines. Only this needs its frames, and
        what was found before a fix: the result without them.
        """
        if result.frames:
            locator = self._locator(settings.acceptance)
            for file in {locator.find(frame) for frame in result.frames} - {None}:
                self._note(str(file), settings)
        for one in (*result.before, *result.diagnostics, *result.suppressed, *result.fixed):
            if one.location is None or not one.location.file:
                continue
            seen = self._note(one.location.file, settings)
            by = None if one.suppression is None else one.suppression.by
            ignore = self._ignore_for(one, settings.acceptance) if by == "comment" else None
            if ignore is not None:
                seen.used.add((ignore, one.code))
            elif by in (None, "baseline") and _has_line(one.location):
                seen.left.add((one.location.line, one.code))
        baseline = self.baseline(settings.acceptance.baseline)
        if baseline is not None and not (result.error or result.unreadable):
            baseline.meet(result, settings.enabled)
        return msgspec.structs.replace(result, frames=(), before=())

    def _note(self, file: str, settings: Settings) -> _Seen:
        if file not in self._seen:
            self._seen[file] = _Seen(self._locator(settings.acceptance), set(), set(), set())
        self._seen[file].enabled.update(settings.enabled)
        return self._seen[file]

    def _suppression(self, diagnostic: Diagnostic, acceptance: Acceptance) -> Suppression | None:
        """Whether the source file's name or a comment in it accepts the finding."""
        location = diagnostic.location
        if location is None:
            return None
        from graphlint.run.sources.repository import components

        # A file that is not at hand is known by its recorded path, as if it were below the configuration's folder.
        file = location.file or os.path.join(acceptance.root, *components(location.path))
        if any(diagnostic.code in codes and matches(pattern, file) for pattern, codes in acceptance.ignores):
            return Suppression("per-file-ignores")
        ignore = self._ignore_for(diagnostic, acceptance)
        return None if ignore is None else Suppression("comment", ignore.reason)

    def _ignore_for(self, diagnostic: Diagnostic, acceptance: Acceptance) -> Ignore | None:
        location = diagnostic.location
        if location is None or not _has_line(location):
            return None
        ignores = self._ignores_in(location.file, self._locator(acceptance))
        return next((ignore for ignore in ignores if ignore.accepts(diagnostic.code, location.line)), None)

    def stale(self) -> dict[str, Counter[Identity]]:
        """For each baseline of the run that holds such, the entries that no longer occur."""
        return {path: gone for path, baseline in self._baselines.items() if (gone := baseline.gone())}

    def source_results(self, settings_of: Callable[[str], Settings], shown: Callable[[str], str]) -> list[FileResult]:
        """What is wrong with the comments in the source files of this run, a result for each file that has such.

        ``settings_of`` gives the settings that hold for a source file, ``shown`` the path to show for it.
        """
        results = []
        for file, seen in sorted(self._seen.items()):
            path, found = shown(file), []
            settings = settings_of(file)
            for ignore in self._ignores_in(file, seen.locator):
                source = seen.locator.read(file)
                text = source.lines[ignore.line - 1].rstrip() if source is not None else ""
                name, columns = seen.locator.repository.relative(file), (ignore.column, ignore.end_column)
                location = Location(name, ignore.line, "", text, file, *columns, state="current")
                for rule, message, advice in self._faults(seen, ignore):
                    fix = no_fix(advice)
                    severity = settings.severities.get(rule.code, rule.severity)
                    found.append(Diagnostic(rule.code, rule.name, severity, message, fix, path=path, location=location))
            if reported := tuple(one for one in found if one.code in settings.enabled):
                results.append(FileResult(path, reported, is_source=True))
        return results

    def _faults(self, seen: _Seen, ignore: Ignore) -> Iterator[tuple[type[Rule], str, str]]:
        """Rule, message and advice for each fault of a comment."""
        if not ignore.closed:
            message = "the bracket of this comment is not closed, so it accepts nothing"
            yield InvalidIgnore, message, "write it as `# graphlint: ignore[GL103] reason`"
            return
        if not ignore.codes and not ignore.unknown:
            message = "this comment names no rule, so it accepts nothing"
            found = {code for line, code in seen.left if ignore.first <= line <= ignore.last}
            codes = ", ".join(sorted(found)) or "GL103"
            yield BroadIgnore, message, f"name the rules to accept: `# graphlint: ignore[{codes}] reason`"
        for name in ignore.unknown:
            hint = did_you_mean(name, codes_and_names())
            yield InvalidIgnore, f"no rule is called '{name}'{hint}", "`graphlint rule` lists the rules"
        unused = [code for code in ignore.codes if code in seen.enabled and (ignore, code) not in seen.used]
        if unused:
            message = f"nothing on this line for this comment to accept: {', '.join(unused)}"
            yield UnusedIgnore, message, "remove it, or lint the artifact that it is meant for in the same run"


def _locator_of(acceptance: Acceptance) -> Locator:
    from graphlint.run.sources.locating import Locator
    from graphlint.run.sources.repository import Repository

    return Locator(Repository(acceptance.root, acceptance.source_roots))


def _read_ignores(file: str, locator: Locator) -> tuple[Ignore, ...]:
    from graphlint.run.sources.sourcefile import find_ignores

    source = locator.read(file)
    names = {text: rule.code for rule in RULES for text in (rule.code, rule.name)}
    return find_ignores(source, names) if source is not None else ()


def _has_line(location: Location) -> bool:
    """Whether the file has the line; otherwise nobody knows which line would speak of it."""
    return location.state in ("current", "moved")


def _placed(diagnostic: Diagnostic, locator: Locator) -> Diagnostic:
    if diagnostic.source is None:
        return diagnostic
    # What the source calls in order to get to the op: its module, the op that its graph is an operand of.
    module = [part for part in (diagnostic.module_path or "").split(".") if not part.isdecimal()]
    callers = (*module[-1:], *(re.sub(r"_\d+$", "", caller) for caller in diagnostic.subgraph[::2]))
    return msgspec.structs.replace(diagnostic, location=locator.locate(diagnostic.source, diagnostic.op, callers))
