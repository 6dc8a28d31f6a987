"""The token pass on graph modules: shape, behaviour, and use between other passes."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from tests import judge
from torch._higher_order_ops.scan import scan
from torch._subclasses.fake_tensor import FakeTensor
from torch.fx.passes.infra.pass_manager import PassManager

from graphlint.runtime import functionalize_graph_module

aten = torch.ops.aten


class Checks(torch.nn.Module):
    def forward(self, x, n):
        aten._assert_async.msg((x > -100).all(), "too small")
        aten._assert_async.default((x < 100).all())
        size = n.item()
        torch._check(size >= 2)
        torch._check(size < 9)
        return x + 3, torch.zeros(size)


class Branches(torch.nn.Module):
    def forward(self, x):
        def checked(z):
            aten._assert_async.msg((z < 50).all(), "in the branch")
            return z + 1, z * 2

        def unchecked(z):
            return z - 1, z * 3

        a, b = torch.cond(x.sum() > 0, checked, unchecked, (x,))
        aten._assert_async.msg((a > -100).all(), "after the branch")
        return a + b


class Loop(torch.nn.Module):
    def forward(self, x):
        def going(i, z):
            return i < 3

        def body(i, z):
            aten._assert_async.msg((z < 20).all(), "in the loop")
            return i + 1, z * 2

        return torch._higher_order_ops.while_loop(going, body, ((x.sum() * 0).long(), x))[1]


class Region(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            aten._assert_async.msg((x < 50).all(), "in the region")
            y = x * 2
        return y + x


class Autocast(torch.nn.Module):
    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            aten._assert_async.msg((x < 50).all(), "in the region")
            y = x * 2
        return y + x


class Scan(torch.nn.Module):
    def forward(self, x):
        def step(carry, row):
            aten._assert_async.msg((row < 50).all(), "in a step")
            return carry + row, row * carry

        last, products = scan(step, x[0] * 1, x, dim=0)
        return last + products.sum()


class Nested(torch.nn.Module):
    def forward(self, x):
        def outer(z):
            def inner(w):
                aten._assert_async.msg((w < 50).all(), "innermost")
                return w + 1

            return torch.cond(z.sum() > 5, inner, lambda w: w - 1, (z,))

        return torch.cond(x.sum() > 0, outer, lambda z: z - 2, (x,))


ones, negative, large = torch.ones(3), -torch.ones(3), torch.full((3,), 60.0)
CASES = {
    "cond": (Branches, [(ones,), (negative,), (large,), (torch.full((3,), -200.0),)]),
    "while-loop": (Loop, [(ones,), (large,)]),
    "no-grad": (Region, [(ones,), (large,)]),
    "autocast": (Autocast, [(ones,), (large,)]),
    "scan": (Scan, [(ones,), (large,)]),
    "nested": (Nested, [(ones,), (negative,), (large,)]),
}


def outcome(module, args):
    with torch.enable_grad():  # a check that fails in a no_grad region leaves that mode on
        try:
            return module(*copy.deepcopy(args))
        except RuntimeError as error:
            return str(error)


def code(module):
    return {name: one.code for name, one in module.named_modules() if isinstance(one, torch.fx.GraphModule)}


def targets(module):
    return [
        str(node.target)
        for one in module.modules()
        if isinstance(one, torch.fx.GraphModule)
        for node in one.graph.nodes
        if node.op == "call_function"
    ]


def test_checks_become_their_twins(export):
    program = export(Checks(), ones, torch.tensor(5))
    gm = program.graph_module
    before = code(gm)
    result = functionalize_graph_module(gm)
    assert result.modified
    assert result.graph_module is not gm
    assert code(gm) == before
    nodes = [node for node in result.graph_module.graph.nodes if node.name.startswith("dep_token")]
    assert [node.name for node in nodes] == [f"dep_token{number}" for number in range(len(nodes))]
    assert [str(node.target) for node in nodes][:3] == [
        "aten._make_dep_token.default",
        "aten._functional_assert_async.msg",
        "aten._functional_assert_async.msg",
    ]
    assert {str(node.target) for node in nodes[3:]} == {"aten._functional_assert_scalar.default"}
    assert sum("_assert_" in name or "constrain_range" in name for name in targets(gm)) == len(nodes) - 1
    assert all(node.kwargs["dep_token"] is previous for previous, node in pairwise(nodes))
    assert nodes[2].kwargs["assert_msg"] == "Expected Tensor with single nonzero value, but got zero"
    output = next(iter(result.graph_module.graph.find_nodes(op="output")))
    assert output.args[0][:-1] != ()
    assert output.args[0][-1] is nodes[-1]
    originals = [one for one in gm.graph.nodes if "_assert_async" in str(one.target)]
    assert nodes[1].meta["stack_trace"] == originals[0].meta["stack_trace"]
    for node in nodes:
        value = node.meta["val"]
        assert isinstance(value, FakeTensor)
        assert (value.shape, value.dtype, value.device.type) == ((), torch.float32, "cpu")


def test_checks_fire_as_before(export):
    gm = export(Checks(), ones, torch.tensor(5)).graph_module
    after = functionalize_graph_module(gm).graph_module
    for args in ((ones, 5), (-200 * ones, 5), (200 * ones, 5), (ones, 1), (ones, 9), (ones, 11)):
        arguments = (args[0], torch.tensor(args[1]))
        expected, actual = outcome(gm, arguments), outcome(after, arguments)
        if isinstance(expected, str):
            assert actual == expected
        else:
            *results, token = actual
            assert len(results) == len(expected)
            assert judge.same(list(expected), results)
            assert (token.shape, token.dtype) == ((), torch.float32)


@pytest.mark.parametrize("as_module", [False, True], ids=["graph-module", "module"])
@pytest.mark.parametrize(("module", "calls"), CASES.values(), ids=CASES)
def test_control_flow(export, module, calls, as_module):
    program = export(module(), *calls[0])
    gm = program.module() if as_module else program.graph_module
    before = code(gm)
    result = functionalize_graph_module(gm)
    assert result.modified
    assert code(gm) == before
    assert not any(name.startswith(("aten._assert_async", "aten.sym_")) for name in targets(result.graph_module))
    raised = set()
    for args in calls:
        expected, actual = outcome(gm, args), outcome(result.graph_module, args)
        if isinstance(expected, str):
            raised.add(expected)
            assert actual == expected
        elif as_module:
            assert isinstance(actual, tuple)
            assert judge.same(actual[0], expected)
        else:
            assert judge.same(actual[0], expected[0])
        if not isinstance(expected, str):
            assert len(actual) == 2
            assert actual[1].shape == ()
    assert raised, "no call made a check fire"


@pytest.mark.parametrize(("module", "calls"), CASES.values(), ids=CASES)
def test_dead_code_elimination_keeps_the_checks(export, module, calls):
    result = functionalize_graph_module(export(module(), *calls[0]).graph_module).graph_module
    before = sorted(name for name in targets(result) if "_functional_" in name)
    for one in result.modules():
        if isinstance(one, torch.fx.GraphModule):
            one.graph.eliminate_dead_code()
            one.recompile()
    assert sorted(name for name in targets(result) if "_functional_" in name) == before != []


def test_with_gradients(export):
    program = export(Branches(), ones)
    after = functionalize_graph_module(program.module()).graph_module
    x = torch.ones(3, requires_grad=True)
    after(x)[0].sum().backward()
    expected = torch.ones(3, requires_grad=True)
    program.module()(expected).sum().backward()
    assert torch.equal(x.grad, expected.grad)


def test_nothing_to_do(export):
    class Plain(torch.nn.Module):
        def forward(self, x):
            return torch.cond(x.sum() > 0, lambda z: z + 1, lambda z: z - 1, (x,))

    gm = export(Plain(), ones).graph_module
    result = functionalize_graph_module(gm)
    assert (result.modified, result.graph_module) == (False, gm)


def test_a_check_without_a_way_out_stays(export):
    class Maps(torch.nn.Module):
        def forward(self, xs):
            def one(x):
                aten._assert_async.msg((x < 50).all(), "in the map")
                return x + 1

            aten._assert_async.msg((xs < 90).all(), "outside")
            return torch._higher_order_ops.map(one, xs)

    gm = export(Maps(), torch.ones(2, 3)).graph_module
    result = functionalize_graph_module(gm)
    assert result.modified
    found = targets(result.graph_module)
    assert found.count("aten._assert_async.msg") == 1
    assert found.count("aten._functional_assert_async.msg") == 1
    again = functionalize_graph_module(result.graph_module)
    assert (again.modified, again.graph_module) == (False, result.graph_module)


def test_a_graph_that_two_nodes_call_is_copied(export):
    gm = copy.deepcopy(export(Branches(), ones).graph_module)
    call = next(node for node in gm.graph.nodes if str(node.target) == "cond")
    with gm.graph.inserting_before(call):
        branch = gm.graph.get_attr(call.args[1].target)
        other = gm.graph.call_function(call.target, (call.args[0], branch, branch, call.args[3]))
        other.meta = dict(call.meta)
    gm.recompile()
    result = functionalize_graph_module(gm).graph_module
    assert judge.same(result(ones)[0], gm(ones)[0])
    assert outcome(result, (large,)) == outcome(gm, (large,)) == "in the branch"


def test_a_traced_module_returns_its_result_and_the_token():
    def function(x):
        torch.ops.aten._assert_async.msg((x > 0).all(), "not positive")
        return x + 1

    gm = torch.fx.symbolic_trace(function)
    result = functionalize_graph_module(gm)
    value, token = result.graph_module(ones)
    assert torch.equal(value, ones + 1)
    assert token.shape == ()
    assert not any("val" in node.meta for node in result.graph_module.graph.nodes)


def test_range_constraints_become_their_twins():
    def function(x, n):
        size = n.item()
        torch.ops.aten.sym_constrain_range_for_size.default(size, min=2, max=10)
        torch.ops.aten.sym_constrain_range.default(size, max=7)
        return x + size

    gm = torch.fx.symbolic_trace(function)
    after = functionalize_graph_module(gm).graph_module
    first, second = (node for node in after.graph.nodes if "_functional_" in str(node.target))
    assert str(first.target) == "aten._functional_sym_constrain_range_for_size.default"
    assert str(second.target) == "aten._functional_sym_constrain_range.default"
    assert second.kwargs == {"min": None, "max": 7, "dep_token": first}
    for size in (1, 3, 8, 11):
        expected, actual = outcome(gm, (ones, torch.tensor(size))), outcome(after, (ones, torch.tensor(size)))
        assert actual == expected if isinstance(expected, str) else judge.same(actual[0], expected)


def test_between_the_passes_of_a_pass_manager(export):
    gm = export(Branches(), ones).graph_module
    result = PassManager([functionalize_graph_module, functionalize_graph_module])(gm)
    assert result.modified
    assert judge.same(result.graph_module(ones)[0], gm(ones)[0])
