"""The format ``gitlab``: a Code Quality report, which GitLab shows in merge requests.

Paths are relative to the project's folder. GitLab shows the description only, so that the code is part of it, and takes
what has the same fingerprint for the same.
"""

from collections.abc import Sequence
from typing import Final

from graphlint.report.formats.escaping import encode, printable
from graphlint.report.formats.phrasing import fingerprints, found_in, place_in_artifact, spot_of
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Severity

_SEVERITIES: Final[dict[Severity, str]] = {"error": "major", "warning": "minor", "note": "info"}
_UNREADABLE: Final = "blocker"


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    found = found_in(results)
    entries = []
    for one, fingerprint in zip(found, fingerprints(found, options), strict=True):
        spot = spot_of(one, options)
        where = place_in_artifact(one)
        if spot.file:
            where = "" if one.about_source else ", ".join(filter(None, (printable(one.path), where)))
        entries.append(
            {
                "description": f"{one.code} {one.rule}: {printable(one.message)}{f' ({where})' if where else ''}",
                "check_name": one.code,
                "fingerprint": fingerprint,
                "severity": _UNREADABLE if one.code.startswith("GL0") else _SEVERITIES[one.severity],
                "location": {"path": spot.path, "lines": {"begin": max(spot.line, 1)}},
            }
        )
    return encode(entries)
