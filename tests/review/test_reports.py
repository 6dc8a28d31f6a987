"""Reports for other systems, in a real git repository, with artifacts that were exported elsewhere."""

from __future__ import annotations

import json
import shutil

import pytest

SARIF = ("--output-format", "sarif")
LINE = "file=models/net.py,line="


@pytest.fixture(autouse=True)
def outside_of_ci(monkeypatch):
    for name in ("GITHUB_ACTIONS", "GITHUB_WORKSPACE", "CI_PROJECT_DIR", "GITHUB_STEP_SUMMARY", "CI"):
        monkeypatch.delenv(name, raising=False)


def results(repository, *arguments):
    result = repository.run(*SARIF, *arguments)
    assert result.stdout, result.stderr
    [run] = json.loads(result.stdout)["runs"]
    return run["results"]


def fingerprints(found):
    return {one["partialFingerprints"]["primaryLocationLineHash"] for one in found}


def region(result):
    physical = result["locations"][0]["physicalLocation"]
    return physical["artifactLocation"]["uri"], physical["region"]["startLine"]


def test_github_annotates_the_models_line_and_a_comment_there_silences_it(repository):
    lines = repository.run("--select", "GL1", "--output-format", "github").stdout.splitlines()
    assert [line.partition("::aten")[0] for line in lines] == [
        f"::error title=GL103 buffer-mutation,{LINE}11,col=9,endColumn=26",
        f"::error title=GL101 in-place-op,{LINE}22,col=13,endColumn=22",
    ]
    assert "%0Anet.pt2, in 3 places: layers.0, layers.1, layers.2%0A" in lines[0]
    repository.comment(11, "graphlint: ignore[GL103] counts calls")
    repository.comment(22, "graphlint: ignore[GL101] ours")
    result = repository.run("--select", "GL1", "--output-format", "github")
    assert (result.stdout, result.exit_code) == ("", 0)
    suppressed = results(repository, "--select", "GL1")
    assert [one["suppressions"][0]["justification"] for one in suppressed] == ["counts calls"] * 3 + ["ours"]


def test_sarif_fingerprints_outlive_another_export_with_a_layer_in_front(repository):
    before = results(repository)
    assert [region(one) for one in before] == [("models/net.py", line) for line in (11, 11, 11, 22, 26)]
    shutil.copy(repository.exported.later, repository.artifact)
    shutil.copy(repository.exported.later.parent / "second" / "models" / "net.py", repository.source)
    after = results(repository)
    assert [region(one) for one in after] == [("models/net.py", line) for line in (18, 18, 18, 29, 33)]
    assert fingerprints(after) == fingerprints(before)
    assert len(fingerprints(after)) == 5


@pytest.mark.parametrize("output_format", ["gitlab", "sarif", "junit", "github"])
def test_paths_are_those_of_the_repository_wherever_it_runs(repository, monkeypatch, output_format):
    whole = repository.run("--output-format", output_format, "net.pt2").stdout
    monkeypatch.chdir(repository.source.parent)
    below = repository.run("--output-format", output_format, "../net.pt2").stdout
    for text in (whole, below):
        assert "models/net.py" in text
        assert str(repository.folder) not in text
    if output_format in ("gitlab", "sarif"):
        assert below.replace("../net.pt2", "net.pt2") == whole


def test_gitlab_has_each_finding_once(repository):
    entries = json.loads(repository.run("--output-format", "gitlab").stdout)
    assert [(one["location"]["path"], one["location"]["lines"]["begin"]) for one in entries] == [
        ("models/net.py", line) for line in (11, 11, 11, 22, 26)
    ]
    assert len({one["fingerprint"] for one in entries}) == 5


def test_without_the_source_the_artifact_is_the_place(repository):
    repository.source.unlink()
    assert {region(one) for one in results(repository)} == {("net.pt2", 1)}


def test_pictures_after_a_fix_are_of_what_was_fixed(repository):
    report = repository.folder / "report.html"
    result = repository.run("--fix", "--select", "GL1", "--output-format", f"html={report.name}")
    assert result.exit_code == 1
    text = report.read_text("utf-8")
    assert text.count('data-status="fixed"') == 2, "a group for each line"
    assert text.count(">Before the fix<") == text.count(">After the fix<") == 2
    assert "What --fix changed in the graph" in text
