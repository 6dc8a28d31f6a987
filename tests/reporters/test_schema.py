"""Our own JSON is what our own schema says, no more and no less."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from graphlint.report.formats import json_report
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Location, Suppression

CHECKED_IN = Path(json_report.__file__).with_name("schema.json")


def validator(reference="#"):
    jsonschema = pytest.importorskip("jsonschema")
    given = json.loads(CHECKED_IN.read_text())
    jsonschema.Draft202012Validator.check_schema(given)
    return jsonschema.Draft202012Validator(given if reference == "#" else {**given, "$ref": reference})


@pytest.fixture
def everything(results, buffer_mutation):
    placed = msgspec.structs.replace(
        buffer_mutation,
        location=Location("models.py", 84, "forward", "x.add_(1)", "/models.py", 1, 10, "moved"),
        fingerprint="f" * 32,
    )
    accepted = msgspec.structs.replace(placed, suppression=Suppression("comment", "ours"))
    return [
        *results,
        FileResult(
            "a.pt2",
            (placed,),
            (accepted,),
            (placed,),
            ("model",),
            {"model": ("2.9",)},
            changed=True,
            notes=("onnx: lost",),
        ),
        FileResult("b.pt2", error="disk full"),
        FileResult("models.py", is_source=True),
    ]


def test_the_schema_describes_every_key_and_no_other(everything):
    jsonschema = pytest.importorskip("jsonschema")
    closed = json.loads(CHECKED_IN.read_text())
    for name, one in closed["$defs"].items():
        if one.get("type") == "object":
            assert one["required"] == list(one["properties"]), name
            one["additionalProperties"] = False
    document = jsonschema.Draft202012Validator(closed)
    assert list(document.iter_errors(json.loads(json_report.render(everything, ReportOptions())))) == []
    line = jsonschema.Draft202012Validator({**closed, "$ref": "#/$defs/Line"})
    for text in json_report.render_lines(everything, ReportOptions()).splitlines():
        assert list(line.iter_errors(json.loads(text))) == []


def test_json_is_valid(everything):
    for given in ([], everything):
        document = json.loads(json_report.render(given, ReportOptions()))
        assert list(validator().iter_errors(document)) == []


def test_every_line_is_valid(everything):
    check = validator("#/$defs/Line")
    lines = json_report.render_lines(everything, ReportOptions()).splitlines()
    assert [list(check.iter_errors(json.loads(line))) for line in lines] == [[]] * len(lines)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("summary"),
        lambda document: document["files"][0]["diagnostics"][0].update(severity="fatal"),
        lambda document: document["files"][0]["diagnostics"][0].update(code="X1"),
        lambda document: document["files"][0]["diagnostics"][0]["fix"].pop("enabled"),
        lambda document: document["files"][0].update(loads_in={"model": "2.9"}),
        lambda document: document.update(version=2),
    ],
)
def test_what_is_wrong_is_not_valid(everything, change):
    document = json.loads(json_report.render(everything, ReportOptions()))
    change(document)
    assert list(validator().iter_errors(document))


def test_lines_hold_what_the_document_holds(everything):
    options = ReportOptions()
    document = json.loads(json_report.render(everything, options))
    lines = [json.loads(line) for line in json_report.render_lines(everything, options).splitlines()]
    lists = {"found": "diagnostics", "suppressed": "suppressed", "fixed": "fixed"}
    files = []
    for line in lines[:-1]:
        kind = line.pop("type")
        assert line.pop("version") == 1
        if kind == "file":
            files.append({**line, "diagnostics": [], "suppressed": [], "fixed": []})
            continue
        assert line.pop("path") == files[-1]["path"]
        if (status := line.pop("status")) != "suppressed":
            assert line.pop("suppression") is None
        files[-1][lists[status]].append(line)
    assert files == document["files"]
    assert lines[-1] == {"type": "summary", "version": 1, "tool": document["tool"], **document["summary"]}


def test_lines_are_lines_and_ascii(buffer_mutation):
    evil = msgspec.structs.replace(buffer_mutation, message="a\nb\u2028\x85é\udce9")
    text = json_report.render_lines([FileResult("m.pt2", (evil,))], ReportOptions())
    assert text.isascii()
    assert len(text.splitlines()) == 3
    assert json.loads(text.splitlines()[1])["message"] == "a\nb\u2028\x85é\\xe9"
