"""The format ``sarif``: SARIF 2.1.0, as GitHub code scanning takes it.

A result's location is the line of the model's source where its file is in the repository, since only that is shown; the
artifact, with program and node, follows as a related location. ``primaryLocationLineHash`` is the finding's
fingerprint, so that an alert outlives another export of the model. What somebody has accepted is there as suppressed.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

from graphlint.report.formats.encoding import encode
from graphlint.report.formats.escaping import printable
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import advice, place_in_artifact
from graphlint.report.formats.places import Spot, fingerprints, is_absolute, path_of, spot_of
from graphlint.report.results import FileResult
from graphlint.rules.base import Rule
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.documentation import REPOSITORY, link
from graphlint.rules.registry import RULES

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
VERSION: Final = "2.1.0"
MOST_RESULTS: Final = 25_000
"""What code scanning takes of one run."""
_ROOT: Final = "%SRCROOT%"
_SEVERITIES: Final = ("error", "warning", "note")


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The SARIF log, with one run."""
    found = [one for result in results for one in (*result.diagnostics, *result.suppressed)]
    rules = _rules(found)
    indices = {rule.code: index for index, rule in enumerate(rules)}
    entries = [
        _result(one, indices[one.code], fingerprint, options)
        for one, fingerprint in zip(found, fingerprints(found, options), strict=True)
    ]
    left_out = max(len(entries) - MOST_RESULTS, 0)
    if left_out:
        entries.sort(key=lambda entry: ("suppressions" in entry, _SEVERITIES.index(entry["level"])))
    run = {
        "tool": {
            "driver": {
                "name": "graphlint",
                "informationUri": REPOSITORY,
                "version": options.version,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "automationDetails": {"id": "graphlint/"},
        "originalUriBaseIds": {_ROOT: {"description": {"text": "The root of the repository."}}},
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(results, left_out, options)],
        "results": entries[:MOST_RESULTS],
    }
    return encode({"$schema": SCHEMA, "version": VERSION, "runs": [run]})


def _rules(found: Iterable[Diagnostic]) -> list[Rule]:
    """The rules that found something, in their order."""
    codes = {diagnostic.code for diagnostic in found}
    return [rule for rule in RULES if rule.code in codes]


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.name,
        "shortDescription": {"text": rule.summary},
        "fullDescription": {"text": _what_it_does(rule)},
        "helpUri": link(rule.name, rule.code),
        "help": {"text": rule.documentation, "markdown": rule.documentation},
        "defaultConfiguration": {"level": rule.severity},
    }


def _what_it_does(rule: Rule) -> str:
    """The first section of the rule's documentation."""
    section = rule.documentation.partition("## What it does\n")[2].partition("\n## ")[0]
    return " ".join(section.split()) or rule.summary


def _result(diagnostic: Diagnostic, rule: int, fingerprint: str, options: ReportOptions) -> dict[str, Any]:
    spot = spot_of(diagnostic, options)
    place: dict[str, Any] = {"physicalLocation": _physical(spot)}
    artifact: dict[str, Any] = {"physicalLocation": {"artifactLocation": _artifact(path_of(diagnostic.path, options))}}
    logical = _logical(diagnostic)
    (artifact if spot.is_source else place).update({"logicalLocations": logical} if logical else {})
    where = place_in_artifact(diagnostic)
    related = [] if diagnostic.about_source or not spot.is_source else [{"id": 1, **artifact}]
    for one in related:
        one["message"] = {"text": where or "the artifact"}
    result: dict[str, Any] = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": _message(diagnostic, linked=bool(related))},
        "locations": [place],
    }
    if related:
        result["relatedLocations"] = related
    result["partialFingerprints"] = {"primaryLocationLineHash": fingerprint}
    if diagnostic.suppression is not None:
        why = diagnostic.suppression
        kind = "inSource" if why.by == "comment" else "external"
        result["suppressions"] = [{"kind": kind, "justification": printable(why.reason) or f"by {why.by}"}]
    result["properties"] = {"fix": diagnostic.fix.applicability, "fixEnabled": options.applies(diagnostic)}
    return result


def _message(diagnostic: Diagnostic, *, linked: bool) -> str:
    """What is wrong, where in the artifact, and what the fix does. ``[text](1)`` is a link to the related location."""
    text = _plain(diagnostic.message)
    where = ", ".join(filter(None, (diagnostic.path, place_in_artifact(diagnostic))))
    if linked:
        text += f" ([{_plain(where)}](1))"
    elif diagnostic.node is not None:
        text += f" ({_plain(where)})"
    label, what = advice(diagnostic)
    return f"{text}. {label}: {_plain(what)}." if label else f"{text}."


def _plain(text: str) -> str:
    """Brackets make links in messages."""
    return printable(text).replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _physical(spot: Spot) -> dict[str, Any]:
    region = {"startLine": max(spot.line, 1)}
    if spot.column:
        region["startColumn"] = spot.column
    if spot.end_column > spot.column:
        region["endColumn"] = spot.end_column
    return {"artifactLocation": _artifact(spot.path), "region": region}


def _artifact(path: str) -> dict[str, Any]:
    uri = quote(os.fsencode(path))
    if not is_absolute(path):
        return {"uri": uri, "uriBaseId": _ROOT}
    return {"uri": uri if path.startswith("../") else f"file://{'' if path.startswith('/') else '/'}{uri}"}


def _logical(diagnostic: Diagnostic) -> list[dict[str, Any]]:
    """Module and node."""
    found = []
    if diagnostic.module_path:
        found.append({"fullyQualifiedName": printable(diagnostic.module_path), "kind": "module"})
    if diagnostic.node is not None:
        inside = "/".join((diagnostic.program or "", *diagnostic.subgraph, diagnostic.node))
        found.append(
            {"name": printable(diagnostic.node), "fullyQualifiedName": printable(inside), "kind": "element"}
        )  # fmt: skip
    return found


def _invocation(results: Sequence[FileResult], left_out: int, options: ReportOptions) -> dict[str, Any]:
    """Whether everything could be linted, and what could not."""
    notifications = [
        {
            "level": "error",
            "message": {"text": printable(result.error)},
            "locations": [{"physicalLocation": {"artifactLocation": _artifact(path_of(result.path, options))}}],
        }
        for result in results
        if result.error
    ]
    if left_out:
        text = f"{left_out} more findings are left out: code scanning takes {MOST_RESULTS} of a run"
        notifications.append({"level": "warning", "message": {"text": text}})
    invocation: dict[str, Any] = {"executionSuccessful": not any(result.error for result in results)}
    if notifications:
        invocation["toolExecutionNotifications"] = notifications
    return invocation
