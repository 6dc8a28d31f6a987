"""Checks within branches, loops and regions: exported by stock torch, fixed, and run by stock torch again."""

import pytest

torch = pytest.importorskip("torch")

import warnings  # noqa: E402
from typing import Any, NamedTuple  # noqa: E402

from torch import nn  # noqa: E402
from torch._higher_order_ops.map import map as map_over  # noqa: E402
from torch._higher_order_ops.scan import scan  # noqa: E402
from torch._higher_order_ops.while_loop import while_loop  # noqa: E402

from graphlint.rules.settings import Settings  # noqa: E402
from graphlint.run.engine import restore  # noqa: E402


def check(condition, message):
    torch.ops.aten._assert_async.msg(condition, message)


class NestedCond(nn.Module):
    def forward(self, x):
        def yes(x):
            check((x > -100).all(), "in the outer branch")

            def low(x):
                check((x < 100).all(), "in the inner branch")
                return x.sin()

            def high(x):
                return x.cos()

            return torch.cond(x.mean() > 0.5, low, high, (x,))

        def no(x):
            return x - 1

        y = torch.cond(x.sum() > 0, yes, no, (x,))
        check((y > -50).all(), "after the branches")
        return y


class CondWithTwoResults(nn.Module):
    def forward(self, x):
        def yes(x):
            check((x < 100).all(), "in the true branch")
            return x.sin(), x.sum()

        def no(x):
            check((x > -100).all(), "in the false branch")
            return x.cos(), x.mean()

        a, b = torch.cond(x.sum() > 0, yes, no, (x,))
        return a + b


class CondWithSymbol(nn.Module):
    def forward(self, x):
        n = x.shape[0]

        def yes(x):
            check((x < 100).all(), "in the true branch")
            return x.sin() * n

        def no(x):
            return x.cos() - n

        return torch.cond(x.sum() > 0, yes, no, (x,))


class CondOnSymbolsOnly(nn.Module):
    def forward(self, x):
        n = x.shape[0]

        def yes():
            y = torch.ones(4) * n
            check((y < 5).all(), "in the true branch")
            return y

        def no():
            return torch.zeros(4) - n

        return torch.cond(n > 3, yes, no, ())


class CondAfterItem(nn.Module):
    def forward(self, x):
        n = x.sum().to(torch.int64).item()
        torch._check(n < 1000)

        def yes(x):
            check((x < 100).all(), "in the true branch")
            return x.sin()

        def no(x):
            return x.cos()

        return torch.cond(x.mean() > 0, yes, no, (x,)) + n


class TwoConds(nn.Module):
    def forward(self, x):
        def yes(x):
            check((x < 100).all(), "in a branch")
            return x * 2

        def no(x):
            return x - 1

        y = torch.cond(x.sum() > 0, yes, no, (x,))
        return torch.cond(y.sum() > 0, yes, no, (y,))


class CondWithoutOperands(nn.Module):
    def forward(self, x):
        def yes():
            check((x < 100).all(), "in the true branch")
            return x.sin()

        def no():
            return x.cos()

        return torch.cond(x.sum() > 0, yes, no, ())


class CondOnNothing(nn.Module):
    def forward(self, x):
        def yes():
            y = torch.ones(3)
            check((y > 0).all(), "never")
            return y

        def no():
            return torch.zeros(3)

        return torch.cond(x.sum() > 0, yes, no, ()) + x[:, 0]


class CondWithoutResults(nn.Module):
    def forward(self, x):
        def yes(x):
            check((x < 100).all(), "in the true branch")
            return ()

        def no(x):
            return ()

        torch.cond(x.sum() > 0, yes, no, (x,))
        return x + 1


class CondThenChecks(nn.Module):
    def forward(self, x):
        check((x < 100).all(), "before")
        y = torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x - 1, (x,))
        check((y > -50).all(), "after")
        torch.ops.aten._assert_async.default((y != 0).all())
        return y


class While(nn.Module):
    def forward(self, x):
        def going(i, x):
            return i.sum() < 3

        def body(i, x):
            check((x < 50).all(), "in the body")
            return i + 1, x * 2

        return while_loop(going, body, (torch.zeros(1, dtype=torch.int64), x))


class WhileWithParameters(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        def going(i, x):
            return i.sum() < 3

        def body(i, x):
            y = self.linear(x)
            check((y.abs() < 50).all(), "in the body")
            return i + 1, y

        return while_loop(going, body, (torch.zeros(1, dtype=torch.int64), x))


class WhileWithCheckInCondition(nn.Module):
    def forward(self, x):
        def going(i, x):
            check((x < 50).all(), "in the condition")
            return i.sum() < 3

        def body(i, x):
            check((x > -50).all(), "in the body")
            return i + 1, x * 2

        check((x > -100).all(), "outside")
        return while_loop(going, body, (torch.zeros(1, dtype=torch.int64), x))


class NoGrad(nn.Module):
    def forward(self, x):
        y = x * 2
        with torch.no_grad():
            check((y < 100).all(), "in the region")
            z = y + 1
        return y + z


class NoGradWithoutResults(nn.Module):
    def forward(self, x):
        y = x * 2
        with torch.no_grad():
            check((y < 100).all(), "in the region")
        return y + 1


class NoGradWithTwoResults(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            y, z = x + 1, x.sum()
            check((y < 100).all(), "in the region")
        return x * y + z


class Autocast(nn.Module):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x.t()
            check((y < 1e4).all(), "in the region")
        return y.float() + 1


class NoGradInCond(nn.Module):
    def forward(self, x):
        def yes(x):
            with torch.no_grad():
                check((x < 100).all(), "in the region in the branch")
                z = x + 1
            return z.sin()

        def no(x):
            return x.cos()

        return torch.cond(x.sum() > 0, yes, no, (x,))


class CondInWhile(nn.Module):
    def forward(self, x):
        def going(i, x):
            return i.sum() < 3

        def body(i, x):
            def yes(x):
                check((x < 50).all(), "in the branch in the body")
                return x * 2

            def no(x):
                return x - 1

            return i + 1, torch.cond(x.sum() > 0, yes, no, (x,))

        return while_loop(going, body, (torch.zeros(1, dtype=torch.int64), x))


class Scan(nn.Module):
    """The token is carried; what is stacked up comes after it."""

    def forward(self, x):
        def step(carry, row):
            check((row < 100).all(), "in a step")
            sum_so_far = carry + row
            check((sum_so_far > -300).all(), "after a step")
            return sum_so_far, (row * carry, row.sum())

        last, (products, sums) = scan(step, x[0] * 1, x, dim=0)
        check((last < 250).all(), "after all steps")
        return last, products, sums


class Map(nn.Module):
    def forward(self, x):
        def body(row):
            check((row < 100).all(), "in the map")
            return row.sin()

        check((x > -100).all(), "outside")
        return map_over(body, x)


class ChecksOnly(nn.Module):
    def forward(self, x):
        check((x < 100).all(), "the only one")
        return x


def full(value):
    return torch.full((3, 4), float(value))


def mixed(value, other):
    """A tensor of ``value`` with one element ``other``."""
    x = full(value)
    x[1, 2] = other
    return x


class Case(NamedTuple):
    model: type[nn.Module]
    breaking: dict[str, Any]
    """What a check says, and an input that breaks this one and none before it."""
    fine: tuple[Any, ...] = ()
    """Further inputs that break none, to run all branches."""
    left: tuple[str, ...] = ()
    """Why checks that cannot be fixed can't, in program order."""
    fixed: int = 1
    dynamic: bool = False
    loads: bool = True
    """Whether stock torch loads what it saved."""


BARE = "Expected Tensor with single nonzero value, but got zero"
CASES = (
    Case(
        NestedCond,
        {
            "in the outer branch": mixed(500, -200),
            "in the inner branch": mixed(1, 200),
            "after the branches": full(-100),
        },
        fine=(full(0.1), full(1), full(-1)),
        fixed=3,
    ),
    Case(
        CondWithTwoResults,
        {"in the true branch": full(200), "in the false branch": full(-200)},
        fine=(full(-1),),
        fixed=2,
    ),
    Case(CondWithSymbol, {"in the true branch": full(200)}, fine=(full(-1), torch.ones(7, 4)), dynamic=True),
    Case(
        CondOnSymbolsOnly,
        {"in the true branch": torch.ones(7, 4)},
        fine=(torch.ones(2, 4), torch.ones(4, 4)),
        dynamic=True,
    ),
    Case(CondAfterItem, {"in the true branch": mixed(0, 200), "u0 <= 999": full(500)}, fine=(full(-1),), fixed=4),
    # The second time it is the second one's.
    Case(TwoConds, {"in a branch": full(60)}, fine=(full(-1),), fixed=2),
    Case(CondWithoutOperands, {"in the true branch": full(200)}, fine=(full(-1),)),
    Case(CondOnNothing, {}, fine=(full(-1), full(1))),
    Case(CondWithoutResults, {"in the true branch": full(200)}, fine=(full(-1),), loads=False),
    Case(
        CondThenChecks,
        {"before": full(200), "after": full(-60), BARE: mixed(1, 0)},
        fine=(full(-1),),
        fixed=3,
    ),
    # The checks in the body see what the loop made of the input.
    Case(While, {"in the body": full(20)}, fine=(full(-1),)),
    Case(WhileWithParameters, {"in the body": full(1000)}, fine=(full(-1),)),
    Case(
        WhileWithCheckInCondition,
        {"in the condition": full(20), "in the body": full(-20), "outside": full(-200)},
        left=("the condition of while_loop has no result to hand the token on in",),
        fixed=2,
    ),
    Case(NoGrad, {"in the region": full(200)}),
    Case(NoGradWithoutResults, {"in the region": full(200)}, loads=False),
    Case(NoGradWithTwoResults, {"in the region": full(200)}),
    Case(Autocast, {"in the region": full(200)}, fixed=2),
    Case(NoGradInCond, {"in the region in the branch": full(200)}, fine=(full(-1),)),
    Case(CondInWhile, {"in the branch in the body": full(20)}, fine=(full(-1),)),
    Case(
        Scan,
        {"in a step": full(200), "after a step": full(-99), "after all steps": full(99)},
        fine=(full(-1), full(50)),
        fixed=3,
    ),
    Case(
        Map,
        {"in the map": full(200), "outside": full(-200)},
        left=("map_impl has no place to carry the token in and out",),
    ),
    Case(ChecksOnly, {"the only one": full(200)}),
)
X = torch.linspace(0.1, 0.9, 12).reshape(3, 4)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Exports and saves a case's model, once per process: the program as exported, and its file."""
    made = {}
    folder = tmp_path_factory.mktemp("exported")

    def export(case):
        if case.model not in made:
            path = folder / f"{case.model.__name__}.pt2"
            shapes = {"x": {0: torch.export.Dim("rows", min=2, max=64)}} if case.dynamic else None
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.export.export(case.model(), (X,), dynamic_shapes=shapes)
                torch.export.save(program, path)
            made[case.model] = (program, path)
        return made[case.model]

    return export


@pytest.fixture(params=CASES, ids=lambda case: case.model.__name__)
def case(request):
    return request.param


@pytest.fixture
def before_and_after(case, exported, fix_copy, judge):
    """The case's program and, per sink, the fixed one; checks what the fix says of itself."""
    original, saved = exported(case)
    if case.loads:
        original = judge.load(saved)

    def fix(sink):
        path, result = fix_copy(saved, sink)
        assert result.error is None
        assert len(result.fixed) == case.fixed
        assert [(one.fix.applicability, one.fix.message) for one in result.diagnostics] == [
            ("none", reason) for reason in case.left
        ]
        return original, judge.load(path)

    return fix


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_nothing_changes_but_the_form(case, sink, before_and_after, judge):
    before, after = before_and_after(sink)
    inputs = [X, *case.fine, *case.breaking.values()]
    calls = [((x,), {}) for x in inputs]
    raised = judge.compare(before, after, calls, token=sink == "output")
    harmless = 1 + len(case.fine)
    assert raised[:harmless] == [""] * harmless
    for message, said in zip(case.breaking, raised[harmless:], strict=True):
        assert message in said
    plain = [name for name in judge.checks(judge.module(after)) if "_functional_" not in name]
    assert plain == ["aten._assert_async.msg"] * len(case.left)
    judge.assert_survives_dead_code_elimination(after, calls, raised)


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_gradients_flow_as_before(case, sink, before_and_after, judge):
    before, after = before_and_after(sink)
    calls = [((x.clone().requires_grad_(),), {}) for x in (X, *case.fine)]
    raised = judge.compare(before, after, calls, token=sink == "output", gradients=True)
    witness = judge.Witness(after)
    for call, error in zip(calls, raised, strict=True):
        if not error and sink == "buffer":
            witness.see(*call)
            (token,) = (value for name, value in witness.module.named_buffers() if name == "dep_token")
            assert not token.requires_grad


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_decompositions_keep_the_checks(case, sink, before_and_after, judge):
    _, after = before_and_after(sink)
    decomposed = judge.Witness(judge.decomposed(after))
    # Retracing adds plain checks of its own for symbols' ranges.
    own = {"aten._assert_scalar.default"}
    assert [name for name in judge.checks(decomposed.module) if name not in own] == judge.checks(judge.module(after))
    for message, x in case.breaking.items():
        assert message in decomposed.see((x,)).outcome.raised


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_restoring_gives_back_the_program(case, sink, exported, fix_copy, settings_for, read_tree):
    _, saved = exported(case)
    # Metadata checks that cannot fire are removed by a fix, and do not come back.
    path, fixed = fix_copy(saved, settings=settings_for(sink, enabled={"GL201", "GL202", "GL203", "GL204"}))
    result = restore(str(path), Settings(enabled=frozenset(), fixable=frozenset()), "fix")
    assert (result.error, result.kept, len(result.restored)) == (None, (), len(fixed.fixed))
    # Bare checks take the label TRAINING back with them; other restored programs stay labelled ATEN.
    assert {**read_tree(path), "verifiers": ["TRAINING"]} == read_tree(saved)


class Checked(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        y = self.linear(x)
        check((y.abs() < 1000).all(), "in the layer")
        return torch.cond(y.sum() > 0, self.checked, lambda y: y.cos(), (y,))

    def checked(self, y):
        check((y > -1000).all(), "in the branch")
        return y.sin()


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = Checked(), Checked()

    def forward(self, x):
        return self.second(self.first(x))


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_checks_stay_in_their_modules(sink, judge, fix_copy, tmp_path):
    """Unflattening sorts the nodes into modules again: the token passes from one to the next."""
    saved = tmp_path / "layers.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Layers(), (X,))
        torch.export.save(program, saved)
    path, result = fix_copy(saved, sink)
    assert [one.module_path for one in result.fixed] == ["first", "first", "second", "second"]
    fixed = judge.load(path)
    calls = [((x,), {}) for x in (X, full(-1), full(1e6))]
    raised = judge.compare(program, fixed, calls, token=sink == "output")
    assert raised == ["", "", "RuntimeError: in the layer"]
    unflattened = judge.unflattened(fixed)
    assert sorted(name for name, _ in unflattened.named_children()) == ["first", "second"]
    for (args, _), message in zip(calls, raised, strict=True):
        outcome = judge.Witness(fixed, unflattened).see(args).outcome
        if message:
            assert "in the layer" in outcome.raised
            continue
        expected = judge.Witness(program).see(args).outcome.result
        assert judge.same(outcome.result[0] if sink == "output" else outcome.result, expected)
