"""The command that gives ops to consumers, with the consumer that is always there: eager torch."""

from __future__ import annotations

import sys

import pytest

torch = pytest.importorskip("torch")

from tests.consumers import ops  # noqa: E402


@pytest.mark.parametrize("odd", [False, True])
def test_unusual_values_are_given_where_they_are_asked_for(odd):
    programs = dict(ops.programs(["add", "index_select"], [torch.int64], odd=odd))
    assert list(programs) == ["add-int64", "index_select-int64"]
    (first, *_), _ = programs["add-int64"].example_inputs
    assert bool((first.abs() > 2**31).any()) == odd
    (_, index), _ = programs["index_select-int64"].example_inputs
    assert index.abs().max() < 32


def test_an_op_is_given_with_other_arguments_where_they_are_asked_for():
    programs = dict(ops.programs(["nn.functional.gelu"], [torch.float32], odd=False, most=16))
    told = {node.kwargs.get("approximate") for one in programs.values() for node in one.graph.nodes if node.kwargs}
    assert list(programs)[:2] == ["nn.functional.gelu-float32", "nn.functional.gelu-float32-1"]
    assert "tanh" in told
    assert len(dict(ops.programs(["nn.functional.gelu"], [torch.float32], odd=False))) == 1


def test_parts_make_the_whole():
    names = ["add", "mul", "sin", "sub", "tan"]
    parts = [[*dict(ops.programs(names, [torch.float32], odd=False, part=(one, 2)))] for one in (1, 2)]
    assert not set(parts[0]) & set(parts[1])
    assert sorted(parts[0] + parts[1]) == sorted(dict(ops.programs(names, [torch.float32], odd=False)))


def test_a_consumer_that_takes_all_has_nothing_to_tell(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["ops.py", "module", "--op", "add", "--op", "sub", "--dtype", "float32"])
    assert ops.main() == 0
    assert capsys.readouterr().out == "2 programs are clean for module\n"
