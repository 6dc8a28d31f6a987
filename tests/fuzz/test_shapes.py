"""A small run of the shapes: whatever an artifact has many of, a fix takes little time and memory."""

from __future__ import annotations

import random
import sys

import pytest

import graphlint
from graphlint.semantics import analysis

from . import shapes

SIZE = 200_000
FIX = {"fix": shapes.COMMANDS["fix"]}


@pytest.mark.parametrize("name", shapes.SHAPES)
def test_small_artifacts(name):
    data = shapes.grown(shapes.SHAPES[name], SIZE)
    [one] = shapes.measured(name, data, FIX)
    assert one.fault == ""
    assert one.cost.cpu < shapes.SECONDS
    assert one.cost.peak < shapes.MEBIBYTES / 2


@pytest.mark.parametrize("number", range(3))
def test_mixtures(number):
    name, data = shapes.mixture(random.Random(f"1 {number}"), SIZE)
    assert (name, data) == shapes.mixture(random.Random(f"1 {number}"), SIZE)
    for one in shapes.measured(name, data):
        assert not one.failed, one


# What took time with the square of the size: five megabytes took a minute, some of them gigabytes.
SQUARES = [
    *("split-and-written", "bare-checks", "views-in-place", "written-views-of-views", "obstacles", "foreach-of-rows"),
]


@pytest.mark.parametrize("name", SQUARES)
def test_time_grows_with_size(name):
    data = shapes.grown(shapes.SHAPES[name], 5 * SIZE)
    assert len(data) > 4 * SIZE
    [one] = shapes.measured(name, data, FIX)
    assert not one.failed
    assert one.cost.cpu < shapes.SECONDS / 2
    assert one.cost.peak < shapes.MEBIBYTES / 2


def test_what_takes_too_much_is_noticed(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["shapes.py", "--size=5000", "--only", "conds", "--save", str(tmp_path)])
    assert shapes.main() == 0
    monkeypatch.setattr(shapes, "SECONDS", 0.0)
    assert shapes.main() == 1
    assert "<- too much" in capsys.readouterr().out
    assert [one.name for one in tmp_path.iterdir()] == ["conds.pt2"]


def test_what_says_that_it_is_a_bug_is_noticed(monkeypatch):
    code = "import graphlint.run.engine as one; one.open_artifact = None; from graphlint.cli.main import main; main()"
    monkeypatch.setattr(shapes, "PROGRAM", ["-c", code])
    [one] = shapes.measured("conds", shapes.SHAPES["conds"](1), FIX)
    assert "internal error" in one.fault
    assert one.failed


def test_what_a_nested_graph_reads_is_found_once(monkeypatch, tmp_path):
    looked_at = []
    real = analysis.inlining_obstacle
    monkeypatch.setattr(analysis, "inlining_obstacle", lambda *at: looked_at.append(at[1].name) or real(*at))
    artifact = tmp_path / "nested.pt2"
    artifact.write_bytes(shapes.nested_regions(2))
    assert len(graphlint.lint(artifact).findings) > 95
    assert len(looked_at) == 95
