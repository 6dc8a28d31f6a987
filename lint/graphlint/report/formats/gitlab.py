"""The format ``gitlab``: a Code Quality report, which GitLab shows in merge requests.

Paths are relative to the project's folder. GitLab shows the description only, so that the code is part of it, and takes
what has the same fingerprint for the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from graphlint.report.formats.encoding import encode
from graphlint.report.formats.escaping import printable
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import place_in_artifact
from graphlint.report.formats.places import fingerprints, spot_of
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic, Severity

SEVERITIES: Final[dict[Severity, str]] = {"error": "major", "warning": "minor", "note": "info"}
_UNREADABLE: Final = "blocker"


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The JSON array."""
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    prints = fingerprints(found, options)
    return encode([_entry(one, fingerprint, options) for one, fingerprint in zip(found, prints, strict=True)])


def _entry(diagnostic: Diagnostic, fingerprint: str, options: ReportOptions) -> dict[str, Any]:
    spot = spot_of(diagnostic, options)
    where = ", ".join(filter(None, (printable(diagnostic.path), place_in_artifact(diagnostic))))
    aside = f" ({where})" if spot.is_source and not diagnostic.about_source else ""
    node = place_in_artifact(diagnostic)
    if not spot.is_source and node:
        aside = f" ({node})"
    return {
        "description": f"{diagnostic.code} {diagnostic.rule}: {printable(diagnostic.message)}{aside}",
        "check_name": diagnostic.code,
        "fingerprint": fingerprint,
        "severity": _UNREADABLE if diagnostic.code.startswith("GL0") else SEVERITIES[diagnostic.severity],
        "location": {"path": spot.path, "lines": {"begin": max(spot.line, 1)}},
    }
