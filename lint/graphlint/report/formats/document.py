"""What the formats ``json`` and ``json-lines`` are made of, version 1. ``schema.json`` is made from these types.

The order of the fields is that of the keys. All keys are always there; what does not apply is null. Within one version,
keys are only ever added. The text is ASCII; other characters are escaped as JSON does. A byte of a path that is not
UTF-8 is shown as the four characters of an escape (a backslash, x, two digits).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from graphlint.report.formats.options import ReportOptions
from graphlint.report.results import FileResult, in_baseline
from graphlint.rules import diagnostics
from graphlint.rules.diagnostics import Diagnostic

VERSION: Final = 1

Severity = Literal["error", "warning", "note"]


def _says(text: str, **more: Any) -> msgspec.Meta:
    return msgspec.Meta(description=text, **more)


class Tool(msgspec.Struct, frozen=True):
    """What wrote the report."""

    name: Literal["graphlint"]
    version: str


class Fix(msgspec.Struct, frozen=True):
    """Whether the finding can be fixed."""

    applicability: Literal["safe", "unsafe", "none"]
    message: Annotated[str, _says("What the fix does, or why there is none.")]
    enabled: Annotated[bool, _says("Whether --fix, as it was configured, would apply it.")]


class Storage(msgspec.Struct, frozen=True):
    """The storage that the op writes to."""

    kind: Literal["intermediate", "user input", "buffer", "parameter", "constant", "unknown"]
    value: Annotated[str, _says("The graph value that is its base.")]
    name: Annotated[str | None, _says("Qualified name of a buffer, parameter or constant, or the input's name.")]
    views: Annotated[
        tuple[str, ...], _says("The view ops from the base to the written value; ... for those in the middle of many.")
    ]


class Frame(msgspec.Struct, frozen=True):
    """A line of the model's source as the artifact records it."""

    path: str
    line: int
    function: str
    text: str


class Place(msgspec.Struct, frozen=True):
    """Where the line is in the repository now."""

    path: Annotated[str, _says("With forward slashes, relative to the repository's root.")]
    line: Annotated[int, _says("From 1.")]
    column: Annotated[int | None, _says("In characters, from 1.")]
    end_column: Annotated[int | None, _says("The column after the last character.")]
    text: str
    state: Annotated[
        Literal["current", "moved", "changed", "absent"],
        _says(
            "current: where the export saw it; moved: on another line now; changed: the file has it no more; absent: "
            "there is no such file."
        ),
    ]


class Finding(msgspec.Struct, frozen=True):
    """A diagnostic."""

    code: Annotated[str, _says("The rule's code.", pattern="^GL[0-9]{3}$")]
    rule: Annotated[str, _says("The rule's name.")]
    severity: Severity
    message: str
    fix: Fix
    program: Annotated[str | None, _says("The program's name in the archive.")]
    subgraph: Annotated[tuple[str, ...], _says("From the program's graph to the nested one that the node is in.")]
    node: str | None
    op: str | None
    position: Annotated[int | None, _says("The node's ordinal in its program; null where there is no node.")]
    member: Annotated[str | None, _says("The archive member at fault.")]
    storage: Storage | None
    source: Annotated[Frame | None, _says("The innermost frame of the model's own code.")]
    location: Annotated[Place | None, _says("Where that line is in the repository.")]
    stack: Annotated[tuple[Frame, ...], _says("All recorded frames, outermost first.")]
    module_path: Annotated[str | None, _says("Qualified name of the module that the op belongs to.")]
    module_type: str | None
    fingerprint: Annotated[str | None, _says("The same for the same finding in another export of the model.")]


class Suppression(msgspec.Struct, frozen=True):
    """Why a finding is not reported."""

    by: Literal["comment", "per-file-ignores", "baseline"]
    reason: Annotated[str | None, _says("What the comment gives as a reason.")]


class SuppressedFinding(Finding, frozen=True):
    """A diagnostic that somebody has accepted."""

    suppression: Suppression | None


class File(msgspec.Struct, frozen=True):
    """An artifact, or a source file with comments that are wrong."""

    path: Annotated[str, _says("As named on the command line or found in a folder.")]
    kind: Annotated[Literal["artifact", "source"], _says("source: it is about comments in a source file.")]
    programs: Annotated[tuple[str, ...], _says("What was linted in it.")]
    changed: Annotated[bool, _says("Whether the file was rewritten.")]
    diagnostics: Annotated[tuple[Finding, ...], _says("What is left.")]
    suppressed: Annotated[
        tuple[SuppressedFinding, ...], _says("What a comment, per-file ignores or a baseline accepts.")
    ]
    fixed: Annotated[tuple[Finding, ...], _says("What was fixed, or would be with --diff.")]
    error: Annotated[str | None, _says("Why it could not be processed (exit status 2).")]
    notes: Annotated[
        tuple[str, ...], _says("Why there was nothing to lint; what becomes of the program at its targets.")
    ]


class Summary(msgspec.Struct, frozen=True):
    """Counts over all files."""

    files: Annotated[int, _says("Artifacts.")]
    changed: Annotated[int, _says("Artifacts that were rewritten.")]
    failed: Annotated[int, _says("Paths that could not be processed.")]
    findings: int
    errors: int
    warnings: int
    notes: int
    fixable: Annotated[int, _says("Of the findings: by --fix as it was configured.")]
    fixable_unsafe: Annotated[int, _says("Of the findings: only with --unsafe-fixes.")]
    fixed: int
    suppressed: Annotated[int, _says("By comments and per-file ignores.")]
    baseline: Annotated[int, _says("By the baseline.")]


class Report(msgspec.Struct, frozen=True):
    """The format ``json``."""

    version: Literal[1]
    tool: Tool
    files: tuple[File, ...]
    summary: Summary


class FileLine(msgspec.Struct, frozen=True):
    """A line of ``json-lines``: an artifact, in front of its findings."""

    type: Literal["file"]
    version: Literal[1]
    path: str
    kind: Literal["artifact", "source"]
    programs: tuple[str, ...]
    changed: bool
    error: str | None
    notes: tuple[str, ...]


class FindingLine(SuppressedFinding, frozen=True):
    """A line of ``json-lines``: a finding of the artifact at ``path``."""

    path: str
    type: Literal["finding"]
    version: Literal[1]
    status: Annotated[
        Literal["found", "suppressed", "fixed"],
        _says("found: it is left; suppressed: somebody has accepted it; fixed: it is gone, or would be with --diff."),
    ]


class SummaryLine(Summary, frozen=True):
    """The last line of ``json-lines``."""

    type: Literal["summary"]
    version: Literal[1]
    tool: Tool


def tool_of(options: ReportOptions) -> Tool:
    """What wrote the report."""
    return Tool("graphlint", options.version)


def file_of(result: FileResult, options: ReportOptions) -> File:
    """A result with all its findings."""
    return File(
        path=result.path,
        kind="source" if result.is_source else "artifact",
        programs=result.programs,
        changed=result.changed,
        diagnostics=tuple(Finding(**finding_of(one, options)) for one in result.diagnostics),
        suppressed=tuple(
            SuppressedFinding(**finding_of(one, options), suppression=suppression_of(one)) for one in result.suppressed
        ),
        fixed=tuple(Finding(**finding_of(one, options)) for one in result.fixed),
        error=result.error or None,
        notes=result.notes,
    )


def finding_of(diagnostic: Diagnostic, options: ReportOptions) -> dict[str, Any]:
    """The fields of :class:`Finding`."""
    storage = diagnostic.storage
    fix = diagnostic.fix
    return {
        "code": diagnostic.code,
        "rule": diagnostic.rule,
        "severity": diagnostic.severity,
        "message": diagnostic.message,
        "fix": Fix(fix.applicability, fix.message, options.applies(diagnostic)),
        "program": diagnostic.program,
        "subgraph": diagnostic.subgraph,
        "node": diagnostic.node,
        "op": diagnostic.op,
        "position": None if diagnostic.node is None else diagnostic.position,
        "member": diagnostic.member,
        "storage": storage and Storage(storage.kind, storage.value, storage.name, storage.views),
        "source": diagnostic.source and _frame(diagnostic.source),
        "location": diagnostic.location and _place(diagnostic.location),
        "stack": tuple(_frame(frame) for frame in diagnostic.stack),
        "module_path": diagnostic.module_path,
        "module_type": diagnostic.module_type,
        "fingerprint": diagnostic.fingerprint or None,
    }


def suppression_of(diagnostic: Diagnostic) -> Suppression | None:
    """Why it is not reported, if it is not."""
    why = diagnostic.suppression
    return Suppression(why.by, why.reason or None) if why is not None else None


def summary_of(results: Sequence[FileResult], options: ReportOptions) -> dict[str, int]:
    """The fields of :class:`Summary`."""
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    severities = [diagnostic.severity for diagnostic in found]
    unsafe = [diagnostic for diagnostic in found if diagnostic.fix.applicability == "unsafe"]
    return {
        "files": sum(not result.is_source for result in results),
        "changed": sum(result.changed for result in results),
        "failed": sum(bool(result.error) for result in results),
        "findings": len(found),
        "errors": severities.count("error"),
        "warnings": severities.count("warning"),
        "notes": severities.count("note"),
        "fixable": sum(options.applies(diagnostic) for diagnostic in found),
        "fixable_unsafe": sum(not options.applies(diagnostic) for diagnostic in unsafe),
        "fixed": sum(len(result.fixed) for result in results),
        "suppressed": sum(len(result.suppressed) for result in results) - in_baseline(results),
        "baseline": in_baseline(results),
    }


def _place(location: diagnostics.Location) -> Place:
    return Place(
        location.path,
        location.line,
        location.column or None,
        location.end_column or None,
        location.text,
        location.state,
    )


def _frame(frame: diagnostics.SourceFrame) -> Frame:
    return Frame(frame.path, frame.line, frame.function, frame.text)
