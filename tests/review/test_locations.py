"""Findings stand on the line of the repository that they come from."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from graphlint.ir.source import SourceFrame
from graphlint.rules.diagnostics import Location
from graphlint.run.sources.locating import Locator
from graphlint.run.sources.repository import Repository

BUFFERS = "GL103 [*] aten.add_.Tensor writes buffer"
THREE = "in 3 places: layers.0, layers.1, layers.2"


def locations(repository, *arguments: str) -> list[dict]:
    """The locations of all findings."""
    document = json.loads(repository.run("--output-format", "json", *arguments).stdout)
    return [one["location"] for file in document["files"] for one in file["diagnostics"]]


def test_full_text(repository):
    assert repository.run("--select", "GL1").stdout == (
        "GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'layers.0.seen'\n"
        f"  --> {Path('models', 'net.py')}:11:9 in forward\n"
        "11 |     self.seen.add_(1)\n"
        "   |     ^^^^^^^^^^^^^^^^^\n"
        f"  ::: net.pt2, {THREE}\n"
        "   = help: pass the state as an input and return it; "
        "--fix: becomes aten.add.Tensor; the new value is written back when the call returns\n"
        "\n"
        "GL101 [*] in-place-op: aten.clamp_.default writes intermediate tensor %add_2\n"
        f"  --> {Path('models', 'net.py')}:22:13 in forward\n"
        "22 |     y = y.clamp_(\n"
        "   |         ^^^^^^^^^\n"
        "  ::: net.pt2, node %clamp_\n"
        "   = help: use `clamp` instead of `clamp_` (or of `inplace=True`); --fix: becomes aten.clamp.default\n"
        "\n"
        "Found 4 errors, from 2 causes.\n"
        "[*] 4 fixable with the --fix option.\n"
    )


def test_one_line_for_the_findings_of_a_line(repository):
    assert repository.lines("--select", "GL103") == [
        f"{Path('models', 'net.py')}:11:9: {BUFFERS} 'layers.0.seen' (net.pt2, {THREE})"
    ]
    assert repository.run("--select", "GL103", "--output-format", "grouped", "-q").stdout == (
        "net.pt2:\n"
        f"  {Path('models', 'net.py')}:11:9: self.seen.add_(1) (3 findings)\n"
        f"    {BUFFERS} 'layers.0.seen' ({THREE})\n"
        "\n"
    )


def test_json_has_each_finding_with_its_place(repository):
    found = locations(repository, "--select", "GL103")
    place = {
        "path": "models/net.py",
        "line": 11,
        "column": 9,
        "end_column": 26,
        "text": "        self.seen.add_(1)",
        "state": "current",
    }
    assert found == [place] * 3


def test_lines_that_moved_are_found_again(repository):
    # The artifact has a line more in front, and a comment that the file lacks.
    shutil.copy(repository.exported.later, repository.artifact)
    assert [(one["line"], one["state"]) for one in locations(repository)] == [(11, "moved")] * 3 + [
        (22, "moved"),
        (26, "moved"),
    ]
    repository.source.write_text("# new\n" + repository.source.read_text())
    assert [one["line"] for one in locations(repository)] == [12, 12, 12, 23, 27]


def test_a_line_that_is_gone(repository):
    repository.source.write_text(repository.source.read_text().replace("self.seen.add_(1)", "self.seen.sub_(1)"))
    assert locations(repository)[0] == {
        "path": "models/net.py",
        "line": 11,
        "column": None,
        "end_column": None,
        "text": "self.seen.add_(1)",
        "state": "changed",
    }
    text = repository.run("--select", "GL103").stdout
    assert "11 |     self.seen.add_(1)\n  ::: net.pt2" in text
    assert "   = note: the file has changed since the export and has no such line now\n" in text


def test_without_the_file_the_artifact_tells(repository):
    repository.source.unlink()
    [first, *_] = locations(repository)
    recorded = first.pop("path")
    assert recorded.endswith("worker/first/models/net.py")
    assert first == {"line": 11, "column": None, "end_column": None, "text": "self.seen.add_(1)", "state": "absent"}
    text = repository.run("--select", "GL103").stdout
    assert f"  --> {recorded}:11 in forward\n11 |     self.seen.add_(1)\n  ::: net.pt2, {THREE}\n" in text


def test_ambiguity_and_how_source_roots_settle_it(repository):
    for name in ("a", "b"):
        shutil.copytree(repository.source.parent, repository.folder / name / "models")
    # What is right below the root, under the path that was recorded, comes before copies elsewhere.
    assert {one["path"] for one in locations(repository)} == {"models/net.py"}
    shutil.rmtree(repository.source.parent)
    assert {one["state"] for one in locations(repository)} == {"absent"}
    Path("graphlint.toml").write_text('source-roots = ["b"]')
    assert {one["path"] for one in locations(repository)} == {"b/models/net.py"}
    chosen = 'source-roots = ["a"]'
    assert {one["path"] for one in locations(repository, "--config", chosen)} == {"a/models/net.py"}


def test_a_source_root_that_is_no_folder(repository):
    Path("graphlint.toml").write_text('source-roots = ["src"]')
    result = repository.run()
    assert result.exit_code == 2
    assert result.stderr.strip().endswith(f"graphlint.toml: source-roots: there is no folder {Path('src').absolute()}")


def test_paths_are_relative_to_the_repository_and_shown_relative_to_the_folder(repository, monkeypatch):
    monkeypatch.chdir(repository.folder / "models")
    document = json.loads(repository.run("../net.pt2", "--output-format", "json").stdout)
    assert document["files"][0]["diagnostics"][0]["location"]["path"] == "models/net.py"
    assert repository.lines("../net.pt2", "--select", "GL101")[0].startswith("net.py:22:13: GL101 ")


@pytest.mark.parametrize("content", ["def broken(:\n", ""], ids=["syntax", "empty"])
def test_a_broken_source_file_is_no_reason_to_fail(repository, content):
    repository.source.write_text(content)
    assert {one["state"] for one in locations(repository)} == {"changed"}
    repository.source.write_text(content + "        self.seen.add_(1)  # graphlint: ignore[GL103]\n" * 2)
    assert [one["state"] for one in locations(repository, "--select", "GL1")] == ["changed"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_source_file_that_is_no_file(repository):
    repository.source.unlink()
    repository.source.mkdir()
    assert {one["state"] for one in locations(repository)} == {"absent"}


def test_columns_count_characters(tmp_path):
    (tmp_path / "net.py").write_text('def f(x):\n    s = "äöü"; x.add_(1)\n', encoding="utf-8")
    frame = SourceFrame("/build/net.py", 2, "f", 's = "äöü"; x.add_(1)')
    place = Locator(Repository(str(tmp_path))).locate(frame, "aten.add_.Tensor")
    assert (place.column, place.end_column, place.text[place.column - 1 : place.end_column - 1]) == (
        16,
        25,
        "x.add_(1)",
    )


def test_a_file_that_has_nothing_but_its_name_in_common_is_another_one(repository):
    repository.source.rename("net.py")
    assert {one["state"] for one in locations(repository)} == {"current"}
    Path("net.py").write_text("def forward(x):\n    return x\n")
    assert {one["state"] for one in locations(repository)} == {"absent"}


def test_the_nearest_line_in_the_function(tmp_path):
    in_g = "def g(x):\n    x.add_(1)\n\n\n\n"
    in_f = "def f(x):\n    y = x\n    z = y\n    x.add_(1)\n    return x\n\n    x.add_(1)\n"
    (tmp_path / "net.py").write_text(in_g + in_f)
    locator = Locator(Repository(str(tmp_path)))

    def line(number: int, function: str, text: str = "x.add_(1)") -> tuple[int, str]:
        place = locator.locate(SourceFrame(f"/build/{tmp_path.name}/net.py", number, function, text))
        return place.line, place.state

    assert line(9, "f") == (9, "current")
    assert line(3, "f") == (9, "moved")
    assert line(11, "f") == (12, "moved")
    assert line(8, "g") == (2, "moved")
    assert line(3, "lost") == (2, "moved")
    assert line(400, "f") == (12, "moved")
    assert line(4, "f", "x.sub_(1)") == (4, "changed")
    assert line(4, "f", "") == (4, "current")  # nothing was recorded to compare with
    assert line(400, "f", "") == (400, "changed")


def test_the_place_of_a_finding_that_nobody_located(lint_text):
    text = "graph(%x: f32[2]):\n  %y: f32[2] = aten.add_.Tensor(%x, 1)\n  return %y\n"
    [finding] = lint_text(text, enabled=frozenset({"GL102"}))
    assert finding.place is None
    frame = SourceFrame("net.py", 3, "forward", "x.add_(1)")
    assert msgspec.structs.replace(finding, source=frame).place == Location("net.py", 3, "forward", "x.add_(1)")
