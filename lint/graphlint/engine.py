"""One artifact from file to result: read, lint, fix, write back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from graphlint.archive.artifact import Artifact, ProgramEntry, open_artifact
from graphlint.diagnostics import Diagnostic
from graphlint.errors import ArtifactError, FixValidationError, LfsPointerError, VerificationError, WriteError
from graphlint.linting import lint_program, lint_view, target_notes, view_of
from graphlint.program.document import Document
from graphlint.results import Action, FileResult
from graphlint.settings import Settings

if TYPE_CHECKING:
    from graphlint.fixing import FixedProgram

Verifier = Callable[[str, str], None]
"""Given the paths of the original and of the fixed artifact, raises VerificationError unless they do the same."""


def process(path: str, settings: Settings, action: Action, verifier: Verifier | None = None) -> FileResult:
    """Lint one artifact and, depending on ``action``, fix it or show what a fix would change.

    ``verifier`` has the last word before the fixed artifact takes the place of the original.

    What is wrong with the artifact is part of the result, not raised: a file that cannot be read is a
    diagnostic (GL001, GL002), one that cannot be written is ``error``.
    """
    try:
        with open_artifact(path) as artifact:
            if action == "check":
                return _without_suppressed(_check(artifact, path, settings))
            return _without_suppressed(_fix(artifact, path, settings, action, verifier))
    except ArtifactError as error:
        return FileResult(path, diagnostics=_unreadable(error, path, settings))


def _without_suppressed(result: FileResult) -> FileResult:
    """The result with what nobody wants to hear of set aside."""
    suppressed = tuple(diagnostic for diagnostic in result.diagnostics if diagnostic.suppression is not None)
    if not suppressed:
        return result
    left = tuple(diagnostic for diagnostic in result.diagnostics if diagnostic.suppression is None)
    return _replace(result, diagnostics=left, suppressed=suppressed)


def _check(artifact: Artifact, path: str, settings: Settings) -> FileResult:
    diagnostics: list[Diagnostic] = []
    notes: list[str] = []
    for entry in artifact.programs:
        try:
            view = view_of(read_document(artifact, entry), settings)
            diagnostics += (found.diagnostic for found in lint_view(view, entry.name, path, settings))
            notes += target_notes(view, settings)
        except ArtifactError as error:
            diagnostics += _unreadable(error, path, settings, entry)
    return FileResult(path, tuple(diagnostics), programs=_names(artifact), notes=_notes(artifact, notes))


def _fix(artifact: Artifact, path: str, settings: Settings, action: Action, verifier: Verifier | None) -> FileResult:
    from graphlint.fixing import fix_program

    diagnostics: list[Diagnostic] = []
    notes: list[str] = []
    results: list[tuple[ProgramEntry, Document, FixedProgram]] = []
    try:
        for entry in artifact.programs:
            try:
                document = read_document(artifact, entry)
                result = fix_program(document, entry.name, path, settings)
            except ArtifactError as error:
                diagnostics += _unreadable(error, path, settings, entry)
                continue
            diagnostics += result.remaining
            notes += result.notes
            if result.fixed:
                results.append((entry, document, result))
        fixed = tuple(diagnostic for _, _, result in results for diagnostic in result.fixed)
        outcome = FileResult(
            path,
            tuple(diagnostics),
            fixed=fixed,
            programs=_names(artifact),
            notes=_notes(artifact, notes),
        )
        if not results:
            return outcome
        if action == "diff":
            return _replace(outcome, diff=_diff(path, results))
        _write_back(artifact, path, settings, results, verifier)
        return _replace(outcome, changed=True)
    except (WriteError, FixValidationError, VerificationError, ArtifactError) as error:
        what = (
            "a fix failed its own checks, which is a bug of graphlint" if isinstance(error, FixValidationError) else ""
        )
        message = f"{what}: {error}" if what else str(error)
        unfixed = _check(artifact, path, settings)
        return _replace(unfixed, error=message)


def _write_back(
    artifact: Artifact,
    path: str,
    settings: Settings,
    results: list[tuple[ProgramEntry, Document, FixedProgram]],
    verifier: Verifier | None,
) -> None:
    """Write the fixed artifact beside the old one, read and lint it again, verify it, then put it in the old one's
    place.
    """
    from graphlint.archive.constants import NewConstant, add_constants, without_gradients
    from graphlint.archive.rewrite import replace_file
    from graphlint.program.enums import FLOAT32

    changes: dict[str, bytes] = {}
    for entry, document, result in results:
        changes[entry.member] = result.document.to_bytes()
        buffers = _written_buffers(result.document) - _written_buffers(document)
        changes.update(without_gradients(artifact, entry, buffers, planned=changes))
        constants = [NewConstant(name, FLOAT32, (), bytes(4)) for name in result.new_buffers]
        if constants:
            changes.update(add_constants(artifact, entry, constants, planned=changes))
    with replace_file(path, artifact.container, changes) as pending:
        try:
            with open_artifact(pending.path) as written:
                _check_written(artifact, written, path, settings, results)
        except ArtifactError as error:
            raise FixValidationError(f"the written artifact cannot be read: {error}") from error
        if verifier is not None:
            verifier(path, pending.path)
        pending.commit()


def _written_buffers(document: Document) -> set[str]:
    """Qualified names of the buffers that the program writes back."""
    specs = document.program.graph_module.signature.output_specs or ()
    return {str(spec.buffer_mutation.buffer_name) for spec in specs if spec.buffer_mutation is not None}


def _check_written(
    artifact: Artifact,
    written: Artifact,
    path: str,
    settings: Settings,
    results: list[tuple[ProgramEntry, Document, FixedProgram]],
) -> None:
    """The written file holds the same programs, and those that were fixed lint as their fix said."""
    if _names(written) != _names(artifact):
        raise FixValidationError("the written artifact holds other programs than the original")
    expected = {entry.name: result.remaining for entry, _, result in results}
    for entry in written.programs:
        if entry.name not in expected:
            continue
        document = read_document(written, entry)
        found = tuple(one.diagnostic for one in lint_program(document, entry.name, path, settings))
        if found != expected[entry.name]:
            raise FixValidationError(f"program {entry.name!r} lints otherwise after it was written")


def _diff(path: str, results: list[tuple[ProgramEntry, Document, FixedProgram]]) -> str:
    """Unified diff of the graph text of all changed programs."""
    import difflib

    from graphlint.program.text import print_program

    lines: list[str] = []
    for entry, document, result in results:
        before = print_program(document.program).splitlines(keepends=True)
        after = print_program(result.document.program).splitlines(keepends=True)
        name = f"{path}:{entry.name}"
        lines += difflib.unified_diff(before, after, f"{name} (as it is)", f"{name} (fixed)")
    return "".join(lines)


def read_document(artifact: Artifact, entry: ProgramEntry) -> Document:
    """A program of an artifact. What shares memory is looked up when the aliases of a write are."""

    def held() -> Mapping[str, str]:
        from graphlint.archive.payloads import payloads

        return payloads(artifact, entry)

    return Document.from_bytes(artifact.read_program(entry), entry.member, held)


def _notes(artifact: Artifact, notes: list[str]) -> tuple[str, ...]:
    """The notes on the artifact and on all of its programs, each once."""
    return tuple(dict.fromkeys([artifact.note, *notes] if artifact.note else notes))


def _names(artifact: Artifact) -> tuple[str, ...]:
    return tuple(entry.name for entry in artifact.programs)


def _unreadable(
    error: ArtifactError, path: str, settings: Settings, entry: ProgramEntry | None = None
) -> tuple[Diagnostic, ...]:
    """The diagnostic for what cannot be read, unless its rule is switched off."""
    from graphlint.rules.base import no_fix
    from graphlint.rules.files import LfsPointer, UnreadableArtifact

    rule = LfsPointer if isinstance(error, LfsPointerError) else UnreadableArtifact
    if rule.code not in settings.enabled:
        return ()
    advice = "run `git lfs pull`" if rule is LfsPointer else "export and save the model again"
    return (
        Diagnostic(
            rule.code,
            rule.name,
            rule.severity,
            str(error),
            no_fix(advice),
            path=path,
            member=error.member,
            program=entry.name if entry is not None else None,
        ),
    )


def _replace(result: FileResult, **changes: object) -> FileResult:
    import msgspec

    return msgspec.structs.replace(result, **changes)
