"""JUnit: valid against the schema of Jenkins' xUnit plugin, and what GitLab shows."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from graphlint.report.formats import junit
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Suppression

SCHEMA = Path(__file__).parent / "schemas" / "junit-10.xsd"


def suites(*results):
    return ElementTree.fromstring(junit.render(results, ReportOptions()).encode())


def test_valid_against_the_published_schema(results, buffer_mutation):
    schema = pytest.importorskip("xmlschema").XMLSchema(SCHEMA)
    suppressed = msgspec.structs.replace(buffer_mutation, suppression=Suppression("comment", "ours"))
    everything = [*results, FileResult("b.pt2", suppressed=(suppressed,), error="disk full")]
    for given in ([], everything):
        document = suites(*given)
        for case in document.iter("testcase"):
            case.attrib.pop("file", None)  # GitLab reads it, Jenkins takes it, the schema does not know it
        assert list(schema.iter_errors(document)) == []
    document.remove(document[0])
    document[0].attrib.pop("failures")
    assert len(list(schema.iter_errors(document))) == 1


def test_findings_fail_and_clean_artifacts_pass(results):
    document = suites(*results)
    assert document.attrib == {"name": "graphlint", "tests": "5", "failures": "4", "errors": "0"}
    counts = [(suite.get("name"), suite.get("tests"), suite.get("failures")) for suite in document]
    assert counts == [("model.pt2", "3", "3"), ("clean.pt2", "1", "0"), ("broken.pt2", "1", "1")]
    first = document[0][0]
    assert first.attrib == {
        "classname": "graphlint.GL103",
        "name": "model.pt2: %add_, models.py:84",
        "file": "model.pt2",
    }
    [failure] = first
    assert failure.attrib == {"type": "buffer-mutation", "message": "GL103 aten.add_.Tensor writes buffer 'count'"}
    assert failure.text.startswith("GL103 [*] buffer-mutation: ")
    assert "84 |     self.count.add_(1)" in failure.text
    [passed] = document[1]
    assert (passed.attrib, list(passed)) == ({"classname": "graphlint", "name": "clean.pt2"}, [])
    assert document[0][1].get("name") == "model.pt2: decoder: cond > true_graph_0 > %rand"


def test_counts_are_those_of_the_cases(results, buffer_mutation):
    suppressed = msgspec.structs.replace(buffer_mutation, suppression=Suppression("baseline"))
    document = suites(*results, FileResult("a.pt2", (buffer_mutation,), suppressed=(suppressed,), error="disk full"))
    for suite in document:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases)
        for kind, name in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(kind)) == sum(case.find(name) is not None for case in cases)
    assert int(document.get("tests")) == sum(int(suite.get("tests")) for suite in document)


def test_no_two_tests_have_the_same_name(buffer_mutation):
    names = [case.get("name") for case in suites(FileResult("m.pt2", (buffer_mutation,) * 3)).iter("testcase")]
    assert names == [f"model.pt2: %add_, models.py:84{more}" for more in ("", " (2)", " (3)")]


def test_what_is_accepted_is_skipped(buffer_mutation):
    suppressed = msgspec.structs.replace(buffer_mutation, suppression=Suppression("comment", "ours"))
    document = suites(FileResult("m.pt2", suppressed=(suppressed,)))
    [skipped] = document.iter("skipped")
    assert skipped.get("message") == (
        "GL103 aten.add_.Tensor writes buffer 'count' (accepted by a comment in the source: ours)"
    )
    assert document.get("failures") == "0"


def test_any_name_gives_xml_that_reads_back(buffer_mutation):
    evil = "<b>]]>&\"'\x00\x0b\ufffe\udce9\n"
    finding = msgspec.structs.replace(buffer_mutation, path=evil, node=evil, message=evil)
    [failure] = suites(FileResult(evil, (finding,), error=evil)).iter("failure")
    assert failure.get("message") == "GL103 <b>]]>&\"'\\x00\\x0b\\ufffe\\xe9\\n"
