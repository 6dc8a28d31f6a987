"""The formats ``json`` and ``json-lines``, for programs. ``schema.json`` beside this file says what is in them.

They hold the diagnostics field by field. All keys are always there; what does not apply is null. Paths are given as
they are, never made absolute. Within one version, keys are only ever added.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from graphlint.report.formats.escaping import encode
from graphlint.report.formats.phrasing import totals
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic

VERSION: Final = 1
_FIELDS: Final = (
    *("code", "rule", "severity", "message", "fix", "program", "subgraph", "node", "op", "position", "member"),
    *("storage", "source", "location", "stack", "module_path", "module_type", "fingerprint"),
)
_LOCATION: Final = ("path", "line", "column", "end_column", "text", "state")


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The JSON text."""
    return encode(
        {
            "version": VERSION,
            "tool": tool(options),
            "files": [_file(result, options) for result in results],
            "summary": totals(results, options),
        }
    )


def tool(options: ReportOptions) -> dict[str, str]:
    """What wrote the report."""
    return {"name": "graphlint", "version": options.version}


def described_file(result: FileResult) -> dict[str, Any]:
    """What there is to say of an artifact, or of a source file, in front of its findings."""
    return {
        "path": result.path,
        "kind": "source" if result.is_source else "artifact",
        "programs": result.programs,
        "changed": result.changed,
    }


def _file(result: FileResult, options: ReportOptions) -> dict[str, Any]:
    return {
        **described_file(result),
        "diagnostics": [finding(one, options) for one in result.diagnostics],
        "suppressed": [{**finding(one, options), "suppression": suppression(one)} for one in result.suppressed],
        "fixed": [finding(one, options) for one in result.fixed],
        "error": result.error or None,
        "notes": result.notes,
    }


def finding(diagnostic: Diagnostic, options: ReportOptions) -> dict[str, Any]:
    """The diagnostic."""
    found: dict[str, Any] = {name: getattr(diagnostic, name) for name in _FIELDS}
    found["fix"] = {**msgspec.structs.asdict(diagnostic.fix), "enabled": options.applies(diagnostic)}
    found["position"] = None if diagnostic.node is None else diagnostic.position
    found["fingerprint"] = diagnostic.fingerprint or None
    if diagnostic.location is not None:
        place = {name: getattr(diagnostic.location, name) for name in _LOCATION}
        found["location"] = {**place, "column": place["column"] or None, "end_column": place["end_column"] or None}
    return found


def suppression(diagnostic: Diagnostic) -> dict[str, str | None] | None:
    """Why the diagnostic is not reported, if it is not."""
    why = diagnostic.suppression
    return None if why is None else {"by": why.by, "reason": why.reason or None}
