"""The format ``sarif``: SARIF 2.1.0, as GitHub code scanning takes it.

A result's location is the line of the model's source where its file is in the repository, since only that is shown; the
artifact, with program and node, follows as a related location. ``primaryLocationLineHash`` is the finding's
fingerprint, so that an alert outlives another export of the model. What somebody has accepted is there as suppressed.
"""

import os
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

from graphlint.report.formats.escaping import encode, printable
from graphlint.report.formats.phrasing import advice, fingerprints, is_absolute, path_of, place_in_artifact, spot_of
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.base import Rule
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.documentation import REPOSITORY, link
from graphlint.rules.registry import RULES

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RESULTS: Final = 25_000
"""What code scanning takes of one run."""
_ROOT: Final = "%SRCROOT%"
_SEVERITIES: Final = ("error", "warning", "note")


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    found = [one for result in results for one in (*result.diagnostics, *result.suppressed)]
    codes = {diagnostic.code for diagnostic in found}
    rules = [rule for rule in RULES if rule.code in codes]
    indices = {rule.code: index for index, rule in enumerate(rules)}
    entries = [
        _result(one, indices[one.code], fingerprint, options)
        for one, fingerprint in zip(found, fingerprints(found, options), strict=True)
    ]
    left_out = max(len(entries) - MOST_RESULTS, 0)
    if left_out:
        entries.sort(key=lambda entry: ("suppressions" in entry, _SEVERITIES.index(entry["level"])))
    named = {"name": "graphlint", "informationUri": REPOSITORY, "version": options.version}
    run = {
        "tool": {"driver": {**named, "rules": [_rule(rule) for rule in rules]}},
        "automationDetails": {"id": "graphlint/"},
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(results, left_out, options)],
        "results": entries[:MOST_RESULTS],
    }
    return encode({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(rule: Rule) -> dict[str, Any]:
    what_it_does = rule.documentation.partition("## What it does\n")[2].partition("\n## ")[0]
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": " ".join(what_it_does.split()) or rule.summary},
        "helpUri": link(rule.name, rule.code),
        "help": {"text": rule.documentation, "markdown": rule.documentation},
        "defaultConfiguration": {"level": rule.severity},
    }


def _result(diagnostic: Diagnostic, rule: int, fingerprint: str, options: ReportOptions) -> dict[str, Any]:
    spot = spot_of(diagnostic, options)
    columns = {"startColumn": spot.column, "endColumn": spot.end_column if spot.end_column > spot.column else 0}
    region = {"startLine": max(spot.line, 1)} | {key: at for key, at in columns.items() if at}
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": _artifact(spot.path), "region": region}}
    artifact: dict[str, Any] = {"physicalLocation": {"artifactLocation": _artifact(path_of(diagnostic.path, options))}}
    logical = _logical(diagnostic)
    (artifact if spot.file else place).update({"logicalLocations": logical} if logical else {})
    linked = bool(spot.file) and not diagnostic.about_source
    where = place_in_artifact(diagnostic) or "the artifact"
    why = diagnostic.suppression
    kind = "inSource" if why is not None and why.by == "comment" else "external"
    result = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": _message(diagnostic, options, linked=linked)},
        "locations": [place],
        "relatedLocations": [{"id": 1, **artifact, "message": {"text": where}}] if linked else None,
        "partialFingerprints": {"primaryLocationLineHash": fingerprint},
        "suppressions": why and [{"kind": kind, "justification": printable(why.reason) or f"by {why.by}"}],
        "properties": {"fix": diagnostic.fix.applicability, "fixEnabled": options.applies(diagnostic)},
    }
    return {key: value for key, value in result.items() if value is not None}


def _message(diagnostic: Diagnostic, options: ReportOptions, *, linked: bool) -> str:
    """What is wrong, where in the artifact, and what the fix does. ``[text](1)`` is a link to the related location."""
    text = _plain(diagnostic.message)
    where = _plain(", ".join(filter(None, (diagnostic.path, place_in_artifact(diagnostic)))))
    if linked:
        text += f" ([{where}](1))"
    elif diagnostic.node is not None:
        text += f" ({where})"
    label, what = advice(diagnostic, options)
    return f"{text}. {label}: {_plain(what)}." if label else f"{text}."


def _plain(text: str) -> str:
    """Brackets make links in messages."""
    return printable(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _artifact(path: str) -> dict[str, Any]:
    uri = quote(os.fsencode(path))
    if not is_absolute(path):
        return {"uri": uri, "uriBaseId": _ROOT}
    return {"uri": uri if path.startswith("../") else f"file://{'' if path.startswith('/') else '/'}{uri}"}


def _logical(diagnostic: Diagnostic) -> list[dict[str, Any]]:
    found = []
    if diagnostic.module_path:
        found.append({"fullyQualifiedName": printable(diagnostic.module_path), "kind": "module"})
    if diagnostic.node is not None:
        inside = printable("/".join((diagnostic.program or "", *diagnostic.subgraph, diagnostic.node)))
        found.append({"name": printable(diagnostic.node), "fullyQualifiedName": inside, "kind": "element"})
    return found


def _invocation(results: Sequence[FileResult], left_out: int, options: ReportOptions) -> dict[str, Any]:
    """Whether everything could be linted, and what could not."""
    notifications: list[dict[str, Any]] = [
        {
            "level": "error",
            "message": {"text": printable(result.error)},
            "locations": [{"physicalLocation": {"artifactLocation": _artifact(path_of(result.path, options))}}],
        }
        for result in results
        if result.error
    ]
    invocation = {"executionSuccessful": not notifications}
    if left_out:
        text = f"{left_out} more findings are not included: code scanning takes {MOST_RESULTS} of a run"
        notifications.append({"level": "warning", "message": {"text": text}})
    return {**invocation, "toolExecutionNotifications": notifications} if notifications else invocation
