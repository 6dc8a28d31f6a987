"""Workflow commands of GitHub Actions: exact text."""

from __future__ import annotations

import msgspec
import pytest

from graphlint.report.formats import github
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Location

OPTIONS = ReportOptions(folder="/repo", root="/repo")


def lines(*results):
    return github.render(results, OPTIONS).splitlines()


def test_errors_come_first_on_their_lines(results, buffer_mutation):
    place = Location("models.py", 84, file="/repo/src/models.py", column=9, end_column=27, state="current")
    finding = msgspec.structs.replace(buffer_mutation, location=place)
    assert lines(*results, FileResult("b.pt2", (finding,)), FileResult("c.pt2", error="disk full")) == [
        "::error title=graphlint,file=c.pt2::disk full",
        (
            "::error title=GL103 buffer-mutation,file=model.pt2::aten.add_.Tensor writes buffer 'count'%0A"
            "model.pt2, node %25add_, module layers.0 (Counter)%0AFix: becomes aten.add.Tensor"
        ),
        (
            "::error title=GL301 print,file=model.pt2::aten._print.default prints%0Amodel.pt2, node %25_print%0A"
            "Fix with --unsafe-fixes: removed"
        ),
        (
            "::error title=GL001 unreadable-artifact,file=broken.pt2::the JSON ends early%0A"
            "broken.pt2, member archive/models/model.json%0AHelp: export again"
        ),
        (
            "::error title=GL103 buffer-mutation,file=src/models.py,line=84,col=9,endColumn=27::"
            "aten.add_.Tensor writes buffer 'count'%0Amodel.pt2, node %25add_, module layers.0 (Counter)%0A"
            "Fix: becomes aten.add.Tensor"
        ),
        (
            "::warning title=GL302 random-op,file=model.pt2::aten.rand.default draws from the global generator%0A"
            "model.pt2, program decoder, graph cond > true_graph_0, node %25rand, module noise%0A"
            "Not fixable: no op does the same without"
        ),
    ]


def test_repeated_findings_are_one_annotation(buffer_mutation):
    layers = [msgspec.structs.replace(buffer_mutation, module_path=f"layers.{n}", node=f"add_{n}") for n in range(24)]
    [line] = lines(FileResult("model.pt2", tuple(layers)))
    assert "%0Amodel.pt2, in 24 places: layers.0 … layers.23%0A" in line


@pytest.mark.parametrize(("number", "shown"), [(10, 10), (11, 9), (40, 9)])
def test_of_more_than_ten_the_last_counts_the_others(buffer_mutation, random_op, number, shown):
    found = [msgspec.structs.replace(buffer_mutation, source=None, stack=(), path=f"{n}.pt2") for n in range(number)]
    made = lines(FileResult("model.pt2", (random_op, *found)))
    assert sum(line.startswith("::error title=GL103") for line in made) == shown
    more = (
        [f"::error title=graphlint::and {number - shown} more errors: {number - shown} x GL103"] if number > 10 else []
    )
    assert made[shown:-1] == more
    assert made[-1].startswith("::warning ")
    assert sum(line.startswith("::error") for line in made) <= 10


def test_nothing_from_outside_makes_a_command(buffer_mutation):
    evil = "a,b:c%0A\n::error::x\r::set-env name=PATH::y"
    finding = msgspec.structs.replace(
        buffer_mutation, message=evil, path=evil, node=evil, module_path=None, source=None
    )
    [line] = lines(FileResult(evil, (finding,)))
    properties, _, said = line.removeprefix("::error ").partition("::")
    assert [one.partition("=")[0] for one in properties.split(",")] == ["title", "file"]
    assert "%250A" in said
    assert "\n" not in said
    assert "\r" not in said


def test_nothing_found_is_nothing_said():
    assert lines(FileResult("a.pt2")) == []
