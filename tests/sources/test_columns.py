"""Which expression of a line an op comes from."""

from __future__ import annotations

import ast

import pytest

from graphlint.run.sources.columns import find_expression


@pytest.mark.parametrize(
    ("code", "op", "expected"),
    [
        ("self.count.add_(1)", "aten.add_.Tensor", "self.count.add_(1)"),
        ("y = f(x.relu_())", "aten.relu_.default", "x.relu_()"),
        ("torch.add(x, 1, out=y)", "aten.add.out", "torch.add(x, 1, out=y)"),
        ("y = F.relu(x, inplace=True)", "aten.relu_.default", "F.relu(x, inplace=True)"),
        ("aten._assert_async.msg(ok, 'text')", "aten._assert_async.msg", "aten._assert_async.msg(ok, 'text')"),
        ("torch._assert_async(ok)", "aten._assert_async.default", "torch._assert_async(ok)"),
        ("x += 1", "aten.add_.Tensor", "x"),
        ("self.x[0] *= y", "aten.mul_.Tensor", "self.x[0]"),
        ("x |= y", "aten.__ior__.Tensor", "x"),
        ("cache[:, position] = key", "aten.index_put_.default", "cache[:, position]"),
        ("x[1:3] = 7", "aten.fill_.Tensor", "x[1:3]"),
        ("a, b = rand(2), randn(2)", "aten.randn.default", "randn(2)"),
        ("y = add(x) + x.add_(1)", "aten.add_.Tensor", "x.add_(1)"),
        ("x.add_(1); y.add_(2)", "aten.add_.Tensor", None),
        ("y = x + 1", "aten.add.Tensor", None),
        ("y = self.block(x)", "aten.clamp_.default", None),
        ("relu_(x)", "higher_order.wrap", None),
    ],
)
def test_on_one_line(code, op, expected):
    found = find_expression(ast.parse(code), 1, op)
    assert (found and ast.get_source_segment(code, found)) == expected


def test_what_the_op_is_called_from():
    code = "y = relu(self.norm(self.conv(x)))"
    found = find_expression(ast.parse(code), 1, "aten.batch_norm.default", ("norm",))
    assert found is not None
    assert ast.get_source_segment(code, found) == "self.norm(self.conv(x))"


def test_the_name_has_to_be_on_the_line():
    code = "y = (\n    x.add_(1)\n    .mul_(2)\n)\n"
    tree = ast.parse(code)
    assert find_expression(tree, 1, "aten.mul_.Tensor") is None
    assert find_expression(tree, 2, "aten.mul_.Tensor") is None
    found = find_expression(tree, 3, "aten.mul_.Tensor")
    assert found is not None
    assert (found.lineno, found.end_lineno) == (2, 3)
