"""The format ``gitlab``: a Code Quality report, which GitLab shows in merge requests.

Paths are relative to the project's folder. GitLab shows the description only, so that the code is part of it, and takes
what has the same fingerprint for the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphlint.report.formats.escaping import encode, printable
from graphlint.report.formats.phrasing import fingerprints, found_in, place_in_artifact, spot_of
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic, Severity

_SEVERITIES: Final[dict[Severity, str]] = {"error": "major", "warning": "minor", "note": "info"}
_UNREADABLE: Final = "blocker"


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The JSON array."""
    found = found_in(results)
    prints = fingerprints(found, options)
    return encode([_entry(one, fingerprint, options) for one, fingerprint in zip(found, prints, strict=True)])


def _entry(diagnostic: Diagnostic, fingerprint: str, options: ReportOptions) -> dict[str, Any]:
    spot = spot_of(diagnostic, options)
    where = place_in_artifact(diagnostic)
    if spot.file:
        where = "" if diagnostic.about_source else ", ".join(filter(None, (printable(diagnostic.path), where)))
    aside = f" ({where})" if where else ""
    return {
        "description": f"{diagnostic.code} {diagnostic.rule}: {printable(diagnostic.message)}{aside}",
        "check_name": diagnostic.code,
        "fingerprint": fingerprint,
        "severity": _UNREADABLE if diagnostic.code.startswith("GL0") else _SEVERITIES[diagnostic.severity],
        "location": {"path": spot.path, "lines": {"begin": max(spot.line, 1)}},
    }
