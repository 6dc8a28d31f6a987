"""The format ``json-lines``, for programs that read line by line: a JSON object on each line, told by its ``type``.

::

    {"type": "file", "version": 1, "path": "model.pt2", ...}
    {"type": "finding", "version": 1, "path": "model.pt2", "status": "found", "code": "GL103", ...}
    {"type": "summary", "version": 1, "tool": {"name": "graphlint", "version": "0.1.0"}, "files": 1, ...}

Each file comes before its findings, the summary last. Keys are those of the format ``json``. ``status`` says where
``json`` would have the finding: ``found`` is in ``diagnostics``, ``suppressed`` and ``fixed`` are in the lists of that
name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from graphlint.report.formats.document import (
    VERSION,
    FileLine,
    FindingLine,
    SummaryLine,
    finding_of,
    summary_of,
    suppression_of,
    tool_of,
)
from graphlint.report.formats.encoding import encode_line
from graphlint.report.formats.options import ReportOptions
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic

Status = Literal["found", "suppressed", "fixed"]


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One line per file and per finding, and one for the summary."""
    return "".join(encode_line(_leading(line)) for line in _lines(results, options))


def _lines(results: Sequence[FileResult], options: ReportOptions) -> Iterator[msgspec.Struct]:
    for result in results:
        yield FileLine(
            type="file",
            version=VERSION,
            path=result.path,
            kind="source" if result.is_source else "artifact",
            programs=result.programs,
            changed=result.changed,
            error=result.error or None,
            notes=result.notes,
        )
        for diagnostic in result.diagnostics:
            yield _finding(diagnostic, result.path, "found", options)
        for diagnostic in result.suppressed:
            yield _finding(diagnostic, result.path, "suppressed", options)
        for diagnostic in result.fixed:
            yield _finding(diagnostic, result.path, "fixed", options)
    yield SummaryLine(**summary_of(results, options), type="summary", version=VERSION, tool=tool_of(options))


def _finding(diagnostic: Diagnostic, path: str, status: Status, options: ReportOptions) -> FindingLine:
    return FindingLine(
        **finding_of(diagnostic, options),
        suppression=suppression_of(diagnostic),
        path=path,
        type="finding",
        version=VERSION,
        status=status,
    )


def _leading(line: msgspec.Struct) -> dict[str, object]:
    """The fields, those by which a reader tells the lines apart first."""
    fields: dict[str, object] = msgspec.to_builtins(line)
    first = {name: fields.pop(name) for name in ("type", "version", "path", "status") if name in fields}
    return first | fields
