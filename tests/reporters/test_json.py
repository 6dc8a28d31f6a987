"""The formats for programs."""

from __future__ import annotations

import json

import msgspec

from graphlint import __version__
from graphlint.report.formats import counts, json_report
from graphlint.report.results import FileResult, ReportOptions


def test_a_finding_has_all_keys_in_order(buffer_mutation):
    text = json_report.render([FileResult("model.pt2", (buffer_mutation,), programs=("model",))], ReportOptions())
    frame = {"path": "models.py", "line": 84, "function": "forward", "text": "self.count.add_(1)"}
    expected = {
        "version": 1,
        "tool": {"name": "graphlint", "version": __version__},
        "files": [
            {
                "path": "model.pt2",
                "kind": "artifact",
                "programs": ["model"],
                "loads_in": {},
                "changed": False,
                "diagnostics": [
                    {
                        "code": "GL103",
                        "rule": "buffer-mutation",
                        "severity": "error",
                        "message": "aten.add_.Tensor writes buffer 'count'",
                        "advice": "",
                        "fix": {
                            "applicability": "safe",
                            "message": "becomes aten.add.Tensor",
                            "exact": True,
                            "option": None,
                            "enabled": True,
                        },
                        "program": "model",
                        "subgraph": [],
                        "node": "add_",
                        "op": "aten.add_.Tensor",
                        "position": 3,
                        "member": None,
                        "storage": {"kind": "buffer", "value": "b_count", "name": "count", "views": []},
                        "source": frame,
                        "location": None,
                        "stack": [frame],
                        "module_path": "layers.0",
                        "module_type": "models.Counter",
                        "fingerprint": None,
                    }
                ],
                "suppressed": [],
                "fixed": [],
                "error": None,
                "notes": [],
            }
        ],
        "summary": {
            "files": 1,
            "changed": 0,
            "failed": 0,
            "findings": 1,
            "errors": 1,
            "warnings": 0,
            "notes": 0,
            "fixable": 1,
            "fixable_unsafe": 0,
            "fixed": 0,
            "suppressed": 0,
            "baseline": 0,
        },
    }
    # Comparing text compares the order of the keys, too.
    assert text == json.dumps(expected, indent=2) + "\n"


def test_what_does_not_apply_is_null(unreadable):
    document = json.loads(json_report.render([FileResult("broken.pt2", (unreadable,))], ReportOptions()))
    finding = document["files"][0]["diagnostics"][0]
    names = ("program", "node", "op", "position", "storage", "source", "module_path", "module_type")
    assert [finding[name] for name in names] == [None] * 8
    assert finding["member"] == "archive/models/model.json"


def test_summary_counts(results, buffer_mutation):
    more = [
        *results,
        FileResult("a.pt2", changed=True, fixed=(buffer_mutation,)),
        FileResult("b.pt2", error="disk full"),
    ]
    document = json.loads(json_report.render(more, ReportOptions()))
    assert document["summary"] == {
        "files": 5,
        "changed": 1,
        "failed": 1,
        "findings": 4,
        "errors": 3,
        "warnings": 1,
        "notes": 0,
        "fixable": 1,
        "fixable_unsafe": 1,
        "fixed": 1,
        "suppressed": 0,
        "baseline": 0,
    }
    assert document["files"][4]["error"] == "disk full"
    enabled = json.loads(json_report.render(more, ReportOptions(unsafe_paths=frozenset({"model.pt2"}))))["summary"]
    assert (enabled["fixable"], enabled["fixable_unsafe"]) == (2, 0)


def test_any_path_becomes_ascii_json_that_reads_back():
    paths = ["caf\udce9.pt2", "é\U0001f600.pt2", "a\nb.pt2", 'quote".pt2', "\ud800.pt2"]
    text = json_report.render([FileResult(path) for path in paths], ReportOptions())
    assert text.isascii()
    read = [entry["path"] for entry in msgspec.json.decode(text)["files"]]
    assert read == ["caf\\xe9.pt2", "é\U0001f600.pt2", "a\nb.pt2", 'quote".pt2', "\\ud800.pt2"]


def test_no_files():
    document = json.loads(json_report.render([], ReportOptions()))
    assert document["files"] == []
    assert set(document["summary"].values()) == {0}


def test_statistics(results):
    assert json.loads(counts.render_json(results, ReportOptions()))[1] == {
        "code": "GL103",
        "name": "buffer-mutation",
        "severity": "error",
        "count": 1,
        "fixable": True,
        "fixable_count": 1,
    }
