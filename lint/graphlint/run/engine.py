"""One artifact from file to result: read, lint, fix or restore, write back."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry, open_artifact
from graphlint.artifact.errors import (
    HALF_SAVED,
    ArtifactError,
    FixValidationError,
    LfsPointerError,
    ProgramError,
    VerificationError,
    WriteError,
)
from graphlint.artifact.patterns import pattern
from graphlint.ir.document import Document
from graphlint.ir.source import model_lines
from graphlint.ops.table import version_of
from graphlint.report.results import Action, FileResult, RestoredCheck
from graphlint.rules.base import Rule, no_fix
from graphlint.rules.checks import removed_checks
from graphlint.rules.code import find_member_code, find_program_code, find_unread_code
from graphlint.rules.completeness import faults
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.files import CodeInArtifact, LfsPointer, NoPrograms, StaleCompanion, UnreadableArtifact
from graphlint.rules.ignore_comments import UnusedIgnore
from graphlint.rules.linting import Review, lint_and_count, lint_view
from graphlint.rules.settings import Settings
from graphlint.rules.torch_versions import UnavailableOp, version_notes
from graphlint.rules.view import ProgramView, ops_for
from graphlint.semantics.contradictions import contradiction
from graphlint.semantics.versions import loads_in, misfits, spanned

if TYPE_CHECKING:
    from graphlint.artifact.payloads import Stored
    from graphlint.artifact.source import ByteSource
    from graphlint.rules.fixing import ChangedProgram
    from graphlint.run.provenance import Record
    from graphlint.run.state import Description
    from graphlint.run.writeback import Change

Kind = Literal["check", "fix", "restore"]
Verifier = Callable[[str, str, bool, bool], None]
"""Given the paths of the original and of the fixed artifact, whether they have to be alike to the last bit, and whether
checks were removed on purpose, raises VerificationError unless they do the same.
"""

_CLASS: Final = pattern(r'(?:looks up |calls |imports ")((?:\w+[.:])+_*[A-Z]\w*)"?', re.ASCII)
"""What GL003 says of a class, as names of classes are spelled."""
_RUNS: Final = "torch runs this when it loads the file: load it only if you trust where it comes from"


def process(
    path: str,
    settings: Settings,
    action: Action,
    verifier: Verifier | None = None,
    review: Review | None = None,
    source: ByteSource | None = None,
) -> FileResult:
    """Lint one artifact and, depending on ``action``, fix it or show what a fix would change.

    ``verifier`` has the last word before the fixed artifact takes the place of the original; ``review`` says which
    findings somebody has accepted; ``source`` gives the bytes of what is no file, for a check.

    What is wrong with the artifact is part of the result, not raised: a file that cannot be read is a
    diagnostic (GL001, GL002), one that cannot be written is ``error``.
    """
    kind: Kind = "check" if action == "check" else "fix"
    return _processed(path, settings, kind, action, verifier, review, source).without_suppressed()


def restore(path: str, settings: Settings, action: Action, verifier: Verifier | None = None) -> FileResult:
    """Make the functional checks of one artifact plain ones again or, for action ``diff``, show what that would change.

    What is wrong with the artifact is part of the result, as for :func:`process`; what an ordinary check would find in
    it is not.
    """
    return _processed(path, settings, "restore", action, verifier)


def _processed(
    path: str,
    settings: Settings,
    kind: Kind,
    action: Action,
    verifier: Verifier | None,
    review: Review | None = None,
    source: ByteSource | None = None,
) -> FileResult:
    try:
        with open_artifact(path, settings.limits, source) as artifact:
            run = _Run(artifact, path, settings, review)
            return run.checked() if kind == "check" else run.changed(kind, action, verifier)
    except ArtifactError as error:
        return FileResult(path, diagnostics=_unreadable(error, path, settings))


def read_document(artifact: Artifact, entry: ProgramEntry) -> Document:
    """A program of an artifact. What shares memory is looked up when the aliases of a write are."""

    @cache
    def held() -> Mapping[str, Stored]:
        from graphlint.artifact.payloads import payloads

        return payloads(artifact, entry)

    return Document.from_bytes(artifact.read_program(entry), entry.member, held, artifact.limits)


class _Run:
    """What is found in an artifact, and done to it, program by program."""

    def __init__(self, artifact: Artifact, path: str, settings: Settings, review: Review | None = None) -> None:
        self._artifact = artifact
        self._path = path
        self._settings = settings
        self._review = review
        self._found: defaultdict[str, list[Any]] = defaultdict(list)
        """What there is for the fields of the result."""
        self._loads_in: dict[str, tuple[str, ...]] = {}
        self._notes: list[str] = []
        self._idle = 0
        self._code: list[Diagnostic] = []
        self._changes: list[Change] | None = []
        """What to write; None where nothing is to be written."""
        self._diff: list[str] | None = [] if settings.illustrate else None
        """The diff of what changes; None where nobody asks for it."""
        self._record = self._read_record()

    def checked(self) -> FileResult:
        self._each(self._check)
        self._find_code()
        return self._result()

    def changed(self, kind: Literal["fix", "restore"], action: Action, verifier: Verifier | None) -> FileResult:
        """The result of a fix or of restoring; where it failed, what a check finds or what could not be read."""
        if action == "diff":
            self._diff, self._changes = [], None
        try:
            self._each(self._fix if kind == "fix" else self._restore)
            if kind == "fix":
                self._find_code()
            if self._changes:
                from graphlint.run.writeback import write_back

                fixed = self._found["fixed"]
                exact, unchecked = all(one.fix.exact for one in fixed), bool(removed_checks(fixed))
                verify = None if verifier is None else lambda made: verifier(self._path, made, exact, unchecked)
                stale = write_back(
                    self._artifact, self._path, self._settings, kind, self._changes, self._review, verify
                )
                self._tell_stale(stale, kind)
            diff, changed = "".join(self._diff or ()), bool(self._changes)
            return msgspec.structs.replace(self._result(), diff=diff, changed=changed)
        except (WriteError, FixValidationError, VerificationError, ArtifactError) as error:
            why = str(error)
            if isinstance(error, FixValidationError):
                what = "a fix" if kind == "fix" else "restoring"
                why = f"{what} failed its own checks, which is a bug of graphlint: {error}"
            if kind == "restore":
                return msgspec.structs.replace(self._result(), restored=(), state=(), kept=(), notes=(), error=why)
            result = _Run(self._artifact, self._path, self._settings, self._review).checked()
            return msgspec.structs.replace(result, error=why)

    def _tell_stale(self, stale: Sequence[tuple[str, str]], kind: Literal["fix", "restore"]) -> None:
        """Note what holds for the file as it was: as findings of a fix; what restores has no report of findings."""
        for what, advice in stale:
            about = _about_file(StaleCompanion, self._path, self._settings, what, advice)
            if kind == "restore":
                self._notes += (f"{one.message}: {advice}" for one in about)
            else:
                self._found["diagnostics"] += about
                self._found["brought"] += about

    def _each(self, work: Callable[[ProgramEntry, Document], None]) -> None:
        if self._artifact.note:
            self._found["diagnostics"] += self._without_programs()
        for entry in self._artifact.programs:
            try:
                document = read_document(self._artifact, entry)
                self._find_faults(entry, document)
                work(entry, document)
            except ArtifactError as error:
                self._found["diagnostics"] += _unreadable(error, self._path, self._settings, entry.name)
                if not error.refused and CodeInArtifact.code in self._settings.enabled:
                    what = find_unread_code(self._artifact, entry)
                    self._code += () if what is None else self._about_code(what, entry.member)

    def _find_faults(self, entry: ProgramEntry, document: Document) -> None:
        """What of an artifact is missing, or contradicts the program. Raises ProgramError where the program contradicts
        itself.
        """
        what = contradiction(document.program, ops_for(self._settings, version_of(document.program.torch_version)))
        if what is not None:
            raise ProgramError(what, member=entry.member)
        for error in faults(self._artifact, entry, document.program):
            self._found["diagnostics"] += _unreadable(error, self._path, self._settings, entry.name)

    def _check(self, entry: ProgramEntry, document: Document) -> None:
        self._note_lines(document)
        self._find_program_code(entry, document, document)
        view = ProgramView(document, self._settings)
        self._note_versions(entry, view)
        linted, idle = lint_and_count(view, entry.name, self._path, self._settings, self._review)
        self._idle += idle
        found = [one.diagnostic for one in linted]
        self._found["diagnostics"] += found
        self._illustrate(view, found)
        self._note_record(entry, document)

    def _fix(self, entry: ProgramEntry, document: Document) -> None:
        from graphlint.rules.fixing import fix_program

        self._note_lines(document)
        changed = document
        try:
            result = fix_program(document, entry.name, self._path, self._settings, self._review)
            changed = result.document
        finally:  # what is left, like all else that is reported: a fix may take code away
            self._find_program_code(entry, document, changed)
        after = ProgramView(changed, self._settings)
        self._note_versions(entry, after)
        self._found["before"] += result.before if self._review is not None else ()
        self._found["diagnostics"] += result.remaining
        self._found["fixed"] += result.fixed
        self._found["brought"] += result.brought
        self._found["gone"] += result.gone
        self._notes += result.notes
        self._idle += result.idle
        if self._settings.illustrate:
            from graphlint.report.graphs.svg import illustrate_fix

            self._illustrate(after, result.remaining)
            before = ProgramView(document, self._settings)
            self._found["illustrations"] += illustrate_fix(before, after, result.fixed)
        self._changed(entry, document, result, result.remaining)

    def _restore(self, entry: ProgramEntry, document: Document) -> None:
        from graphlint.rules.fixing import restore_program

        result = restore_program(document, entry.name, self._settings, self._state.of(entry.name))
        self._found["state"] += (piece.target for piece in result.state)
        self._found["restored"] += (RestoredCheck.of(check, entry.name) for check in result.restored)
        self._found["kept"] += (RestoredCheck.of(check, entry.name) for check in result.kept)
        self._notes += result.notes
        view = ProgramView(result.document, self._settings)
        changed = result.document is not document
        found = lint_view(view, entry.name, self._path, self._settings) if changed else ()
        self._changed(entry, document, result, [one.diagnostic for one in found])

    def _changed(
        self, entry: ProgramEntry, before: Document, made: ChangedProgram, remaining: Sequence[Diagnostic]
    ) -> None:
        """Note that the program is another one now, if it is."""
        if made.document is before:
            self._note_record(entry, before)
            return
        ops = ProgramView(made.document, self._settings).ops
        loads, loaded = (
            loads_in(one.program, misfits(one.program, ops), entry.layout) for one in (made.document, before)
        )
        lost = [version for version in loaded if version not in loads]
        if lost:
            self._notes.append(f"program {entry.name!r} does not load in torch {spanned(lost)} any more")
        if self._changes is not None:
            from graphlint.run.writeback import Change

            self._changes.append(Change.of(entry, before, made, remaining))
        if self._diff is not None:
            afterwards = "restored" if self._found["restored"] or self._found["state"] else "fixed"
            self._diff += _diff(f"{self._path}:{entry.name}", before, made.document, afterwards)

    def _result(self) -> FileResult:
        programs = tuple(entry.name for entry in self._artifact.programs)
        found: dict[str, Any] = {field: tuple(values) for field, values in self._found.items()}
        notes = tuple(dict.fromkeys(self._notes))
        return FileResult(self._path, programs=programs, loads_in=self._loads_in, notes=notes, idle=self._idle, **found)

    def _illustrate(self, view: ProgramView, diagnostics: Sequence[Diagnostic]) -> None:
        if self._settings.illustrate:
            from graphlint.report.graphs.svg import illustrate

            reported = [one for one in diagnostics if one.suppression is None]
            self._found["illustrations"] += illustrate(view, reported).values()

    def _note_versions(self, entry: ProgramEntry, view: ProgramView) -> None:
        """Note which versions of torch load a program, and what is to be said of those that are required."""
        self._loads_in[entry.name] = loads_in(view.program, view.misfits, entry.layout)
        if view.requires_torch is not None and UnavailableOp.code in self._settings.enabled:
            self._notes += version_notes(view, entry.layout)

    def _note_lines(self, document: Document) -> None:
        if UnusedIgnore.code in self._settings.enabled:
            self._found["frames"] += model_lines(document.program)

    def _read_record(self) -> Record | None:
        member = self._artifact.extra_member("graphlint.json")
        if member not in self._artifact.container.members:
            return None
        from graphlint.run import provenance

        record = None
        with contextlib.suppress(ArtifactError):
            record = provenance.read(self._artifact.container.read(member))
        if record is None:
            self._notes.append(provenance.FOREIGN)
        return record

    @cached_property
    def _state(self) -> Description:
        """What is described of state that became inputs and outputs."""
        from graphlint.run import state

        described = state.described(self._artifact)
        if described is None:
            self._notes.append(f"the extra file {state.NAME} is not understood: state stays among inputs and outputs")
        return described or state.Description()

    def _note_record(self, entry: ProgramEntry, document: Document) -> None:
        if self._record is not None:
            from graphlint.run import provenance

            self._notes += provenance.outdated(self._record, entry.name, document.to_bytes)

    def _find_code(self) -> None:
        """What torch would run as code when it loads the artifact: what is found in the programs, then in members."""
        if CodeInArtifact.code in self._settings.enabled:
            self._found["diagnostics"] += self._code
            for one in find_member_code(self._artifact, self._settings.allow_globals):
                self._found["diagnostics"] += self._about_code(one.what, one.member)

    def _find_program_code(self, entry: ProgramEntry, document: Document, changed: Document) -> None:
        """Note what code there is in a program, and still is once it is ``changed``."""
        allowed = self._settings.allow_globals
        what = find_program_code(document, allowed) if CodeInArtifact.code in self._settings.enabled else None
        if what is not None and (what := find_program_code(changed, allowed)) is not None:
            self._code += self._about_code(what, entry.member)

    def _about_code(self, what: str, member: str) -> tuple[Diagnostic, ...]:
        named = _CLASS.fullmatch(what)
        name = named[1].replace(":", ".") if named else ""
        allow = f', and if {name} does nothing but hold data, write allow-globals = ["{name}"]' if name else ""
        return _about_file(CodeInArtifact, self._path, self._settings, what, f"{_RUNS}{allow}", member)

    def _without_programs(self) -> tuple[Diagnostic, ...]:
        if not self._artifact.compiled:
            return _unreadable(ArtifactError(self._artifact.note, advice=HALF_SAVED), self._path, self._settings)
        number = sum(name.endswith((".so", ".dylib", ".dll", ".pyd")) for name in self._artifact.compiled)
        libraries = "library" if number == 1 else "libraries"
        native = f", and holds native code: {number} shared {libraries}" if number else ""
        message = f"nothing to lint: it is {self._artifact.note}{native}"
        advice = "lint the program that it was compiled from"
        return _about_file(NoPrograms, self._path, self._settings, message, advice)


def _diff(name: str, before: Document, after: Document, afterwards: str) -> list[str]:
    from graphlint.report.comparison.alignment import unified_diff
    from graphlint.report.formats.escaping import printable
    from graphlint.report.graphs.text import Line, program_lines

    def spelled(line: Line | str) -> str:
        # A line break in a name must not begin a line of the diff.
        return line if isinstance(line, str) else f"{printable(line.text)}\n"

    # What a fix leaves alone is the same node in both: nobody needs its text but beside a change.
    old, new = (list(program_lines(one.program)) for one in (before, after))
    nodes = {id(line.node): line for line in old if line.node is not None}
    right = [kept if (kept := nodes.get(id(line.node))) and line.is_same_line(kept) else spelled(line) for line in new]
    both = set(map(id, right))
    left = [line if id(line) in both else spelled(line) for line in old]
    name = printable(name)
    return list(unified_diff(left, right, f"{name} (as it is)", f"{name} ({afterwards})", spelled))


def _unreadable(
    error: ArtifactError, path: str, settings: Settings, program: str | None = None
) -> tuple[Diagnostic, ...]:
    """The diagnostic for what cannot be read, unless its rule is switched off."""
    rule = LfsPointer if isinstance(error, LfsPointerError) else UnreadableArtifact
    return _about_file(rule, path, settings, str(error), error.advice, error.member, program)


def _about_file(
    rule: type[Rule],
    path: str,
    settings: Settings,
    message: str,
    advice: str,
    member: str | None = None,
    program: str | None = None,
) -> tuple[Diagnostic, ...]:
    """The diagnostic for something about the file, unless its rule is switched off."""
    if rule.code not in settings.enabled:
        return ()
    severity, fix = settings.severities.get(rule.code, rule.severity), no_fix(advice)
    return (Diagnostic(rule.code, rule.name, severity, message, fix, path=path, member=member, program=program),)
