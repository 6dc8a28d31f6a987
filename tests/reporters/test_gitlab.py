"""GitLab's Code Quality report, by its documented rules: there is no published schema."""

from __future__ import annotations

import json

import msgspec

from graphlint.report.formats import gitlab
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Location

OPTIONS = ReportOptions(folder="/project/sub", root="/project")


def entries(*results):
    text = gitlab.render(results, OPTIONS)
    assert not text.startswith("\ufeff")
    return json.loads(text)


def test_an_entry_has_what_gitlab_reads(buffer_mutation):
    place = Location("models.py", 84, file="/project/src/models.py", column=9, state="current")
    finding = msgspec.structs.replace(buffer_mutation, location=place, fingerprint="a" * 32)
    assert entries(FileResult("model.pt2", (finding,))) == [
        {
            "description": "GL103 buffer-mutation: aten.add_.Tensor writes buffer 'count' (model.pt2, node %add_)",
            "check_name": "GL103",
            "fingerprint": "a" * 32,
            "severity": "major",
            "location": {"path": "src/models.py", "lines": {"begin": 84}},
        }
    ]


def test_severities_are_gitlabs(results):
    assert [entry["severity"] for entry in entries(*results)] == ["major", "minor", "major", "blocker"]


def test_paths_are_relative_to_the_project(results):
    assert [entry["location"]["path"] for entry in entries(*results)] == [*["sub/model.pt2"] * 3, "sub/broken.pt2"]


def test_equal_fingerprints_would_collapse(results, buffer_mutation):
    prints = [entry["fingerprint"] for entry in entries(*results, FileResult("b", (buffer_mutation,) * 2))]
    assert len(set(prints)) == len(prints) == 6


def test_nothing_found_is_an_empty_list():
    assert entries(FileResult("a.pt2")) == []
