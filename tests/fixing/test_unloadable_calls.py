"""GL612: calls that stock torch saves and does not load, and what a fix makes of them."""

from __future__ import annotations

import contextlib

import pytest
import torch
from tests import judge

import graphlint


class Plain(torch.nn.Module):
    def forward(self, x):
        return x + torch.empty_like(x).uniform_()


class Bounds(torch.nn.Module):
    """Export leaves out what is given as the default says."""

    def forward(self, x):
        return x + torch.empty_like(x).uniform_(0, 1)


class State(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("noise", torch.zeros(4, 3))

    def forward(self, x):
        self.noise[1:].uniform_()
        return x + self.noise


class Region(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            noise = torch.empty_like(x).uniform_()
        return x * noise


class Branch(torch.nn.Module):
    def forward(self, x):
        return torch.cond(x.sum() > 0, lambda x: torch.empty_like(x).uniform_(), lambda x: x.sin(), (x,))


class Given(torch.nn.Module):
    def forward(self, x):
        return x + torch.empty_like(x).uniform_(-1, 1)


def exported(model, path, *, decomposed=False):
    program = torch.export.export(model, (torch.zeros(4, 3),))
    judge.save(judge.decomposed(program) if decomposed else program, path)
    return path


def drawn(module, inputs):
    """What a model draws on two calls in a row."""
    torch.manual_seed(5)
    return [module(*inputs) for _ in range(2)]


def does_load(path):
    with contextlib.suppress(Exception):
        judge.load(path)
        return True
    return False


@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("model", [Plain, Bounds, State, Region])
def test_a_fix_makes_a_program_that_loads(model, decomposed, tmp_path):
    path = exported(model(), tmp_path / "model.pt2", decomposed=decomposed)
    assert not does_load(path), "torch finds the argument's default now"
    before = graphlint.lint(path)
    assert [one.fix.applicability for one in before.diagnostics if one.code == "GL612"] == ["safe"]
    assert before.loads_in["model"] == ()
    result = graphlint.fix(path)
    assert not result.error
    assert {one.code for one in result.diagnostics} <= {"GL302"}
    assert result.programs == ("model",)
    inputs = (torch.ones(4, 3),)
    expected, found = drawn(model(), inputs), drawn(judge.load(path).module(), inputs)
    assert all(map(judge.same, expected, found))


def test_a_call_in_a_branch(tmp_path):
    path = exported(Branch(), tmp_path / "model.pt2")
    assert not does_load(path)
    assert not graphlint.fix(path).error
    module, x = judge.load(path).module(), torch.ones(4, 3)
    torch.manual_seed(5)
    expected = torch.empty(4, 3).uniform_()
    torch.manual_seed(5)
    assert judge.same(module(x), expected)
    assert judge.same(module(-x), (-x).sin())


def test_a_call_with_bounds_of_its_own_loads(tmp_path):
    path = exported(Given(), tmp_path / "model.pt2")
    assert does_load(path)
    assert not [one for one in graphlint.lint(path).diagnostics if one.code == "GL612"]


def test_a_required_version_says_it_once(tmp_path):
    path = exported(Plain(), tmp_path / "model.pt2")
    found = [one.code for one in graphlint.lint(path, requires_torch=">=2.9").diagnostics]
    assert (found.count("GL612"), found.count("GL602")) == (1, 0)
