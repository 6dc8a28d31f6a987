"""The formats ``json`` and ``json-lines``, for programs. ``schema.json`` beside this file says what is in them.

They hold the diagnostics field by field. All keys are always there; what does not apply is null. Paths are given as
they are, never made absolute. Within one version, keys are only ever added. In ``json-lines`` there is an object on
each line, told by its ``type``:

::

    {"type": "file", "version": 1, "path": "model.pt2", ...}
    {"type": "finding", "version": 1, "path": "model.pt2", "status": "found", "code": "GL103", ...}
    {"type": "summary", "version": 1, "tool": {"name": "graphlint", "version": "0.1.0"}, "files": 1, ...}

Each file comes before its findings, the summary last. ``status`` says where ``json`` would have the finding: ``found``
is in ``diagnostics``, the others are in the lists of that name.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from graphlint.report.formats.escaping import encode
from graphlint.report.formats.phrasing import totals
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic

VERSION: Final = 1
_FIELDS: Final = (
    *("code", "rule", "severity", "message", "advice", "fix", "program", "subgraph", "node", "op", "position"),
    *("member", "storage", "source", "location", "stack", "module_path", "module_type", "fingerprint"),
)
_FIX: Final = ("applicability", "message", "exact")
_LOCATION: Final = ("path", "line", "column", "end_column", "text", "state")


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    return encode(_document(results, options))


def render_lines(results: Sequence[FileResult], options: ReportOptions) -> str:
    return "".join(encode(line, indent=None) for line in _lines(**_document(results, options)))


def _document(results: Sequence[FileResult], options: ReportOptions) -> dict[str, Any]:
    files = [
        {
            "path": result.path,
            "kind": "source" if result.is_source else "artifact",
            "programs": result.programs,
            "loads_in": result.loads_in,
            "changed": result.changed,
            "diagnostics": [finding(one, options) for one in result.diagnostics],
            "suppressed": [{**finding(one, options), "suppression": _suppression(one)} for one in result.suppressed],
            "fixed": [finding(one, options) for one in result.fixed],
            "error": result.error,
            "notes": result.notes,
        }
        for result in results
    ]
    tool = {"name": "graphlint", "version": options.version}
    return {"version": VERSION, "tool": tool, "files": files, "summary": totals(results, options)}


def _lines(version: int, tool: Any, files: list[dict[str, Any]], summary: dict[str, int]) -> Iterator[dict[str, Any]]:
    for file in files:
        lists = {"found": file.pop("diagnostics"), "suppressed": file.pop("suppressed"), "fixed": file.pop("fixed")}
        yield {"type": "file", "version": version, **file}
        for status, findings in lists.items():
            head = {"type": "finding", "version": version, "path": file["path"], "status": status}
            yield from ({**head, **one, "suppression": one.get("suppression")} for one in findings)
    yield {"type": "summary", "version": version, **summary, "tool": tool}


def finding(diagnostic: Diagnostic, options: ReportOptions) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(diagnostic, name) for name in _FIELDS}
    fix = diagnostic.fix
    found["fix"] = {**{key: getattr(fix, key) for key in _FIX}, "option": fix.option or None}
    found["fix"]["enabled"] = options.applies(diagnostic)
    found["position"] = None if diagnostic.node is None else diagnostic.position
    found["fingerprint"] = diagnostic.fingerprint or None
    if diagnostic.location is not None:
        place = {name: getattr(diagnostic.location, name) for name in _LOCATION}
        found["location"] = {**place, "column": place["column"] or None, "end_column": place["end_column"] or None}
    return found


def _suppression(diagnostic: Diagnostic) -> dict[str, str | None] | None:
    """Why the diagnostic is not reported, if it is not."""
    why = diagnostic.suppression
    return None if why is None else {"by": why.by, "reason": why.reason or None}
