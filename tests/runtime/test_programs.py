"""Functionalizing exported programs in memory: the same result as on files, shared weights, an untouched input."""

from __future__ import annotations

import pytest
import torch
from tests import judge

import graphlint
from graphlint.artifact.errors import ConfigError
from graphlint.runtime import functionalize, lint_program
from graphlint.runtime.samples import calls_of

aten = torch.ops.aten


class Everything(torch.nn.Module):
    """Checks at the root and in a branch; writes to a buffer, a constant, the input, and an intermediate value."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 3)
        self.register_buffer("count", torch.zeros(3))
        self.register_buffer("scale", torch.ones(2), persistent=False)
        self.cache = torch.ones(3)

    def forward(self, x):
        aten._assert_async.msg((x > -100).all(), "too small")
        self.count.add_(1)
        self.cache.mul_(2)
        y = self.linear(x)
        y[0].mul_(2)
        x.add_(1)

        def checked(z):
            aten._assert_async.msg((z > -50).all(), "too small in the branch")
            return z + 1

        def unchecked(z):
            return z - 1

        y = torch.cond(y.sum() > 0, checked, unchecked, (y,))
        return {"y": y + self.cache + self.scale.sum(), "count": self.count * 1}


class Draws(torch.nn.Module):
    def forward(self, x):
        return torch.nn.functional.dropout(x + torch.rand_like(x), training=True).add_(1)


class Batch(torch.nn.Module):
    def forward(self, x):
        x = x.clone()
        x[1:].mul_(2)
        return x.t_()


class Normalizes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x):
        return self.norm(x)


class Functional(torch.nn.Module):
    def forward(self, x):
        return x.sin() + 1


CASES = {
    "everything": (Everything, (4, 3), None),
    "draws": (Draws, (4, 3), None),
    "dynamic": (Batch, (4, 3), {"x": {0: torch.export.Dim("batch", min=3, max=40)}}),
    "hidden-writes": (Normalizes, (4, 3), None),
}


def text(program):
    return program.graph_module.print_readable(print_output=False) + str(program.graph_signature)


def assert_alike(original, fixed, *, token=False):
    """Both do the same on every call, twice in a row."""
    calls = [(args, kwargs) for _, args, kwargs in calls_of(original)]
    assert len(calls) >= 2
    assert not any(judge.compare(original, fixed, calls, token=token))


@pytest.mark.parametrize(("module", "shape", "shapes"), CASES.values(), ids=CASES)
def test_the_result_does_the_same(export, module, shape, shapes):
    program = export(module(), torch.randn(shape), dynamic_shapes=shapes)
    before = text(program)
    fixed, changed = functionalize(program)
    assert changed
    assert fixed is not program
    assert text(program) == before
    assert lint_program(program, select="GL1,GL2") != []
    assert lint_program(fixed, select="GL1,GL2") == []
    assert [verifier.dialect for verifier in fixed.verifiers] == ["ATEN"]
    assert fixed.example_inputs is program.example_inputs
    assert [str(one) for one in fixed.range_constraints.values()] == [
        str(one) for one in program.range_constraints.values()
    ]
    assert_alike(program, fixed)


def test_weights_are_shared_not_copied(export):
    program = export(Everything(), torch.randn(4, 3))
    fixed = functionalize(program).program
    assert list(fixed.state_dict) == list(program.state_dict)
    for name, tensor in program.state_dict.items():
        assert fixed.state_dict[name].data_ptr() == tensor.data_ptr(), name
        assert type(fixed.state_dict[name]) is type(tensor)
    assert fixed.constants.keys() - program.constants.keys() == {"dep_token"}
    for name, tensor in program.constants.items():
        assert fixed.constants[name].data_ptr() == tensor.data_ptr(), name
    assert set(program.constants) == {"cache", "scale"}


def test_a_functional_program_is_returned_itself(export):
    program = export(Functional(), torch.randn(3))
    assert functionalize(program, ignore="GL5") == (program, False)
    fixed = functionalize(export(Everything(), torch.randn(4, 3))).program
    again = functionalize(fixed)
    assert again.program is fixed
    assert again.changed is False


def test_the_token_as_an_output(export):
    program = export(Everything(), torch.randn(4, 3))
    fixed, changed = functionalize(program, token_sink="output")
    assert changed
    assert fixed.constants.keys() == program.constants.keys()
    assert_alike(program, fixed, token=True)
    result, token = fixed.module()(torch.zeros(4, 3))
    assert set(result) == {"y", "count"}
    assert (token.shape, token.dtype) == ((), torch.float32)


def test_checks_still_fire(export):
    program = export(Everything(), torch.randn(4, 3))
    module = functionalize(program).program.module()
    with pytest.raises(RuntimeError, match=r"^too small$"):
        module(torch.full((4, 3), -1e6))


def test_the_options_are_those_of_the_command_line(export):
    program = export(Everything(), torch.randn(4, 3))
    only_checks = functionalize(program, select="async-assert").program
    assert {one.code for one in lint_program(only_checks, select="ALL")} >= {"GL101", "GL102", "GL103", "GL105"}
    assert functionalize(program, unfixable=["GL1", "GL2", "GL5"]).program is program
    assert [one.code for one in lint_program(program, select=["GL103", "GL201"])] == ["GL201", "GL103", "GL201"]
    with pytest.raises(ConfigError, match="GL999"):
        functionalize(program, select="GL999")
    with pytest.raises(ConfigError, match=r"^token_sink: unknown value 'drain', expected one of buffer, output$"):
        functionalize(program, token_sink="drain")
    with pytest.raises(ConfigError, match=r"unknown target 'somewhere'; known are functional, module, "):
        functionalize(program, target="somewhere")
    lost = {"GL603", "GL605", "GL607"}
    assert {one.code for one in lint_program(program, target="onnx")} == {"GL105"} | lost


def test_custom_ops_can_be_declared(export):
    @torch.library.custom_op("graphlint_programs::twice_", mutates_args={"x"})
    def twice_(x: torch.Tensor) -> None:
        x.mul_(2)

    class Custom(torch.nn.Module):
        def forward(self, x):
            y = x.clone()
            torch.ops.graphlint_programs.twice_(y)
            return y

    program = export(Custom(), torch.ones(2))
    undeclared = lint_program(program)
    declared = lint_program(program, ops={"graphlint_programs.twice_": {"writes": ["x"]}})
    assert [one.op for one in undeclared] == ["graphlint_programs.twice_.default"]
    assert [one.code for one in declared] != [one.code for one in undeclared]
    with pytest.raises(ConfigError, match=r"^ops: .*unknown field `writs`"):
        lint_program(program, ops={"graphlint_programs.twice_": {"writs": ["x"]}})


def test_findings_name_the_source(export):
    program = export(Everything(), torch.randn(4, 3))
    first = graphlint.lint_program(program)[0]
    assert (first.code, first.program, first.path) == ("GL201", "model", "")
    assert first.source.path == __file__
    assert first.source.text == 'aten._assert_async.msg((x > -100).all(), "too small")'
    assert first.module_type.endswith("Everything")


def test_buffers_that_require_gradients_are_detached(export):
    class Grows(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("total", torch.zeros(3))

        def forward(self, x):
            self.total.add_(x)
            return self.total * 1

    program = export(Grows(), torch.ones(3))
    program.state_dict["total"].requires_grad_()
    fixed = functionalize(program).program
    assert program.state_dict["total"].requires_grad
    assert not fixed.state_dict["total"].requires_grad
    assert fixed.state_dict["total"].data_ptr() == program.state_dict["total"].data_ptr()
    assert fixed.module()(torch.ones(3)).tolist() == [1, 1, 1]
