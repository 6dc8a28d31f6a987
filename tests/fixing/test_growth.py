"""What a program grows by without its writes: what is taken again after each has a limit, and writes have none."""

from __future__ import annotations

import pytest
from tests.text_form import document_of

from graphlint.passes.functionalize import program
from graphlint.rules.fixing import fix_program
from graphlint.run.api import program_settings

REASON = "the program would become many times as large without its writes"
SETTINGS = program_settings(ignore="GL5")


@pytest.fixture(autouse=True)
def _little_room(monkeypatch):
    monkeypatch.setattr(program, "_ROOM", 20)


def fixed(lines: list[str]):
    text = "\n".join(["program TRAINING", *lines]) + "\n"
    return fix_program(document_of(text), "model", "model.pt2", SETTINGS)


def reasons(diagnostics) -> set[tuple[str, str]]:
    return {(one.storage.value, one.fix.message) for one in diagnostics}


def test_a_write_in_every_fourth_node_is_no_growth():
    """Each goes back through three views, which are three more nodes for four."""
    lines = ['graph(%b: f32[2, 2, 2] = buffer "b"):']
    for number in range(40):
        lines += [
            f"  %p{number}: f32[2, 2] = aten.select.int(%b, 0, 0)",
            f"  %q{number}: f32[2] = aten.select.int(%p{number}, 0, 1)",
            f"  %r{number}: f32[] = aten.select.int(%q{number}, 0, 0)",
            f"  %w{number}: f32[] = aten.add_.Tensor(%r{number}, 1)",
        ]
    made = fixed([*lines, "  return %w39"])
    assert [one.code for one in made.fixed] == ["GL103"] * 40
    assert made.remaining == ()


def read_after_each_write(name: str, views: int, writes: int) -> list[str]:
    """Views of views of an input that all are read after each write: each takes all of them again."""
    lines = []
    for view in range(views):
        lines += [
            f"  %{name}{view}_a: f32[1] +{view} = aten.slice.Tensor(%{name}, 0, {view}, {view + 1})",
            f"  %{name}{view}_b: f32[1, 1] +{view} = aten.unsqueeze.default(%{name}{view}_a, 0)",
            f"  %{name}{view}: f32[1] +{view} = aten.squeeze.dim(%{name}{view}_b, 0)",
        ]
    for write in range(writes):
        lines.append(f"  %{name}_w{write}: f32[{views}] = aten.add_.Tensor(%{name}, 1)")
        lines += [f"  %{name}_r{write}_{view}: f32[1] = aten.neg.default(%{name}{view})" for view in range(views)]
    return lines


def test_what_makes_the_program_too_large_stays_and_the_rest_goes():
    lines = [
        "graph(%x: f32[30], %y: f32[2]):",
        *read_after_each_write("x", 30, 10),
        *read_after_each_write("y", 2, 2),
    ]
    made = fixed([*lines, "  return %x_r9_0, %y_r1_0"])
    assert reasons(made.remaining) == {("x", REASON)}
    assert {one.storage.value for one in made.fixed} == {"y"}
    assert len(made.remaining) == 10


def test_what_is_too_large_is_found_out_once(monkeypatch):
    """Each round of fixes is followed by another look at the program, which need not try again what took long."""
    tried: list[set[str]] = []
    init = program.Rewriter.__init__

    def noted(self, document, analysis, active, **options):
        tried.append({storage.value for storage in active})
        init(self, document, analysis, active, **options)

    monkeypatch.setattr(program.Rewriter, "__init__", noted)
    lines = ["graph(%x: f32[30], %y: f32[2]):", *read_after_each_write("x", 30, 10), *read_after_each_write("y", 2, 2)]
    fixed([*lines, "  return %x_r9_0, %y_r1_0"])
    assert sum("x" in one for one in tried) == 1
