"""One artifact from file to result: read, lint, fix, write back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from graphlint.artifact.artifact import Artifact, ProgramEntry, open_artifact
from graphlint.artifact.errors import (
    ArtifactError,
    FixValidationError,
    GraphlintError,
    LfsPointerError,
    VerificationError,
    WriteError,
)
from graphlint.artifact.source import ByteSource
from graphlint.ir.document import Document
from graphlint.ir.source import model_lines
from graphlint.report.results import UNUSED_IGNORE, Action, FileResult, Illustration, RestoredCheck
from graphlint.rules.diagnostics import Diagnostic, SourceFrame
from graphlint.rules.linting import Found, lint_program, lint_view, target_notes, view_of
from graphlint.rules.settings import Settings

if TYPE_CHECKING:
    from graphlint.rules.fixing import FixedProgram
    from graphlint.run.provenance import Record
    from graphlint.run.writeback import Change
    from graphlint.semantics.view import ProgramView

Verifier = Callable[[str, str], None]
"""Given the paths of the original and of the fixed artifact, raises VerificationError unless they do the same."""


def process(
    path: str,
    settings: Settings,
    action: Action,
    verifier: Verifier | None = None,
    source: ByteSource | None = None,
) -> FileResult:
    """Lint one artifact and, depending on ``action``, fix it or show what a fix would change.

    ``verifier`` has the last word before the fixed artifact takes the place of the original. ``source`` is where the
    artifact's bytes come from, if that is not simply the file (or URL) ``path``; it is closed in the end.

    What is wrong with the artifact is part of the result, not raised: a file that cannot be read is a
    diagnostic (GL001, GL002), one that cannot be written is ``error``.
    """
    try:
        with open_artifact(path, settings.limits, source) as artifact:
            if action == "check":
                return _check(artifact, path, settings).without_suppressed()
            return _fix(artifact, path, settings, action, verifier).without_suppressed()
    except ArtifactError as error:
        return FileResult(path, diagnostics=_unreadable(error, path, settings))


def restore(path: str, settings: Settings, action: Action, verifier: Verifier | None = None) -> FileResult:
    """Make the functional checks of one artifact plain ones again or, for action ``diff``, show what that would change.

    What is wrong with the artifact is part of the result, as for :func:`process`; what an ordinary check would find in
    it is not.
    """
    try:
        with open_artifact(path, settings.limits) as artifact:
            return _restore(artifact, path, settings, action, verifier)
    except ArtifactError as error:
        return FileResult(path, diagnostics=_unreadable(error, path, settings))


def _check(artifact: Artifact, path: str, settings: Settings) -> FileResult:
    diagnostics: list[Diagnostic] = []
    notes: list[str] = []
    illustrations: list[Illustration] = []
    frames: list[SourceFrame] = []
    code: list[Diagnostic] = []
    record = _record(artifact, notes)
    for entry in artifact.programs:
        try:
            document = read_document(artifact, entry)
            if settings.review is None and UNUSED_IGNORE in settings.enabled:
                frames += model_lines(document.program)
            code += _program_code(document, entry, path, settings)
            view = view_of(document, settings)
            found = lint_view(view, entry.name, path, settings)
            diagnostics += (one.diagnostic for one in found)
            if settings.illustrate:
                illustrations += _illustrated(view, found)
            notes += target_notes(view, settings)
            notes += _outdated(record, entry, document)
        except ArtifactError as error:
            diagnostics += _unreadable(error, path, settings, entry)
    diagnostics += code + _code(artifact, path, settings)
    return FileResult(
        path,
        tuple(diagnostics),
        programs=_names(artifact),
        notes=_notes(artifact, notes),
        illustrations=tuple(illustrations),
        frames=tuple(frames),
    )


def _illustrated(view: ProgramView, found: list[Found]) -> list[Illustration]:
    from graphlint.report.illustrating import illustrate

    return illustrate(view, [one.diagnostic for one in found if one.diagnostic.suppression is None])


def _illustrated_fix(document: Document, result: FixedProgram, settings: Settings) -> list[Illustration]:
    from graphlint.report.illustrating import illustrate, illustrate_fix

    after = view_of(result.document, settings)
    left = [one for one in result.remaining if one.suppression is None]
    return [*illustrate(after, left), *illustrate_fix(view_of(document, settings), after, result.fixed)]


def _fix(artifact: Artifact, path: str, settings: Settings, action: Action, verifier: Verifier | None) -> FileResult:
    from graphlint.rules.fixing import fix_program
    from graphlint.run.writeback import Change

    diagnostics: list[Diagnostic] = []
    fixed: list[Diagnostic] = []
    notes: list[str] = []
    changes: list[Change] = []
    illustrations: list[Illustration] = []
    code: list[Diagnostic] = []
    try:
        record = _record(artifact, notes)
        for entry in artifact.programs:
            try:
                changed = document = read_document(artifact, entry)
                try:
                    result = fix_program(document, entry.name, path, settings)
                    changed = result.document
                finally:  # what is left, like all else that is reported: a fix may take code away
                    code += _program_code(changed, entry, path, settings)
            except ArtifactError as error:
                diagnostics += _unreadable(error, path, settings, entry)
                continue
            diagnostics += result.remaining
            notes += result.notes
            if settings.illustrate:
                illustrations += _illustrated_fix(document, result, settings)
            if not result.fixed:
                notes += _outdated(record, entry, document)
                continue
            fixed += result.fixed
            rules = Counter(one.code for one in result.fixed)
            changes.append(
                Change(
                    entry,
                    document,
                    result.document,
                    rules,
                    result.remaining,
                    new_buffers=result.new_buffers,
                    old_buffers=result.old_buffers,
                )
            )
        diagnostics += code + _code(artifact, path, settings)
        outcome = FileResult(
            path,
            tuple(diagnostics),
            fixed=tuple(fixed),
            programs=_names(artifact),
            notes=_notes(artifact, notes),
            illustrations=tuple(illustrations),
        )
        verify = None if verifier is None else partial(verifier, path)
        return _changed(artifact, outcome, settings, action, "fix", changes, verify)
    except (WriteError, FixValidationError, VerificationError, ArtifactError) as error:
        return _replace(_check(artifact, path, settings), error=_failure("a fix", error))


def _restore(
    artifact: Artifact, path: str, settings: Settings, action: Action, verifier: Verifier | None
) -> FileResult:
    from graphlint.rules.restoring import restore_program
    from graphlint.run.writeback import Change

    diagnostics: list[Diagnostic] = []
    restored: list[RestoredCheck] = []
    kept: list[RestoredCheck] = []
    notes: list[str] = []
    changes: list[Change] = []
    try:
        record = _record(artifact, notes)
        for entry in artifact.programs:
            try:
                document = read_document(artifact, entry)
                result = restore_program(document, entry.name, settings)
            except ArtifactError as error:
                diagnostics += _unreadable(error, path, settings, entry)
                continue
            restored += (RestoredCheck.of(check, entry.name) for check in result.restored)
            kept += (RestoredCheck.of(check, entry.name) for check in result.kept)
            notes += result.notes
            if not result.restored:
                notes += _outdated(record, entry, document)
                continue
            remaining = tuple(one.diagnostic for one in lint_program(result.document, entry.name, path, settings))
            changes.append(
                Change(entry, document, result.document, result.rules, remaining, old_buffers=result.old_buffers)
            )
        outcome = FileResult(
            path,
            tuple(diagnostics),
            restored=tuple(restored),
            kept=tuple(kept),
            programs=_names(artifact),
            notes=_notes(artifact, notes),
        )
        verify = None if verifier is None else partial(verifier, path)
        return _changed(artifact, outcome, settings, action, "restore", changes, verify)
    except (WriteError, FixValidationError, VerificationError, ArtifactError) as error:
        return FileResult(path, tuple(diagnostics), programs=_names(artifact), error=_failure("restoring", error))


def _changed(
    artifact: Artifact,
    outcome: FileResult,
    settings: Settings,
    action: Action,
    kind: Literal["fix", "restore"],
    changes: list[Change],
    verify: Callable[[str], None] | None,
) -> FileResult:
    """The outcome once its changes are written, or shown."""
    from graphlint.run.writeback import write_back

    if not changes:
        return outcome
    if action == "diff":
        return _replace(outcome, diff=_diff(outcome.path, changes, "fixed" if kind == "fix" else "restored"))
    if settings.illustrate:
        outcome = _replace(outcome, diff=_diff(outcome.path, changes, "fixed" if kind == "fix" else "restored"))
    notes = write_back(artifact, outcome.path, settings, kind, changes, read_document, verify)
    return _replace(outcome, changed=True, notes=tuple(dict.fromkeys([*outcome.notes, *notes])))


def _failure(what: str, error: GraphlintError) -> str:
    if isinstance(error, FixValidationError):
        return f"{what} failed its own checks, which is a bug of graphlint: {error}"
    return str(error)


def _diff(path: str, changes: list[Change], afterwards: str) -> str:
    """Unified diff of the graph text of all changed programs."""
    from graphlint.ir.text import program_lines
    from graphlint.report.comparison.unified import unified_diff
    from graphlint.report.formats.escaping import printable

    lines: list[str] = []
    for change in changes:
        # A line break in a name must not begin a line of the diff.
        before, after = (
            [f"{printable(line.text)}\n" for line in program_lines(document.program)]
            for document in (change.before, change.after)
        )
        name = printable(f"{path}:{change.entry.name}")
        lines += unified_diff(before, after, f"{name} (as it is)", f"{name} ({afterwards})")
    return "".join(lines)


def _record(artifact: Artifact, notes: list[str]) -> Record | None:
    """What graphlint recorded in the artifact. A record that cannot be read adds to ``notes``."""
    member = artifact.extra_member("graphlint.json")
    if member not in artifact.container.members:
        return None
    from graphlint.run import provenance

    try:
        record = provenance.read(artifact.container.read(member))
    except ArtifactError:
        record = None
    if record is None:
        notes.append(provenance.FOREIGN)
    return record


def _outdated(record: Record | None, entry: ProgramEntry, document: Document) -> list[str]:
    if record is None:
        return []
    from graphlint.run import provenance

    note = provenance.outdated(record, entry.name, lambda: provenance.digest(document.to_bytes()))
    return [] if note is None else [note]


def read_document(artifact: Artifact, entry: ProgramEntry) -> Document:
    """A program of an artifact. What shares memory is looked up when the aliases of a write are."""

    def held() -> Mapping[str, str]:
        from graphlint.artifact.payloads import payloads

        return payloads(artifact, entry)

    return Document.from_bytes(artifact.read_program(entry), entry.member, held, artifact.limits)


def _notes(artifact: Artifact, notes: list[str]) -> tuple[str, ...]:
    """The notes on the artifact and on all of its programs, each once."""
    return tuple(dict.fromkeys([artifact.note, *notes] if artifact.note else notes))


def _names(artifact: Artifact) -> tuple[str, ...]:
    return tuple(entry.name for entry in artifact.programs)


def _code(artifact: Artifact, path: str, settings: Settings) -> list[Diagnostic]:
    """What torch would run as code when it loads the artifact, the programs aside: one diagnostic for each member and
    thing.
    """
    from graphlint.rules.code import find_member_code
    from graphlint.rules.files import CodeInArtifact

    if CodeInArtifact.code not in settings.enabled:
        return []
    return [_runs(path, found.member, found.what) for found in find_member_code(artifact)]


def _program_code(document: Document, entry: ProgramEntry, path: str, settings: Settings) -> list[Diagnostic]:
    """The same of one program."""
    from graphlint.rules.code import find_program_code
    from graphlint.rules.files import CodeInArtifact

    what = find_program_code(document) if CodeInArtifact.code in settings.enabled else None
    return [] if what is None else [_runs(path, entry.member, what)]


def _runs(path: str, member: str, what: str) -> Diagnostic:
    from graphlint.rules.base import no_fix
    from graphlint.rules.files import CodeInArtifact as Rule

    advice = no_fix("torch runs this when it loads the file: load it only if you trust where it comes from")
    return Diagnostic(Rule.code, Rule.name, Rule.severity, what, advice, path=path, member=member)


def _unreadable(
    error: ArtifactError, path: str, settings: Settings, entry: ProgramEntry | None = None
) -> tuple[Diagnostic, ...]:
    """The diagnostic for what cannot be read, unless its rule is switched off."""
    from graphlint.rules.base import no_fix
    from graphlint.rules.files import LfsPointer, UnreadableArtifact

    rule = LfsPointer if isinstance(error, LfsPointerError) else UnreadableArtifact
    if rule.code not in settings.enabled:
        return ()
    return (
        Diagnostic(
            rule.code,
            rule.name,
            rule.severity,
            str(error),
            no_fix(error.advice),
            path=path,
            member=error.member,
            program=entry.name if entry is not None else None,
        ),
    )


def _replace(result: FileResult, **changes: object) -> FileResult:
    import msgspec

    return msgspec.structs.replace(result, **changes)
