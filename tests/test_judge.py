"""The judge sees each kind of difference, and none between equals."""

import math

import pytest

pytest.importorskip("torch")

import torch
from tests import judge
from tests.judge import DifferenceError, Witness
from torch import nn

from graphlint.runtime.behaviour import difference, same_bits
from graphlint.runtime.samples import Call

X = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])


class Model(nn.Module):
    """Does what a function does that is given the module and the input."""

    def __init__(self, function):
        super().__init__()
        self.register_buffer("count", torch.zeros(3))
        self.weight = nn.Parameter(torch.ones(3))
        self.held = torch.ones(3)
        self.function = function

    def forward(self, x, *more):
        return self.function(self, x, *more)


def witness(function, **options):
    """Eager modules, which no export stands in the way of."""
    return Witness(NoTokens, Model(function), **options)


class NoTokens:
    class graph:  # noqa: N801 - as torch names it
        nodes = ()


def raises(message, error=ValueError):
    def function(module, x):
        raise error(message)

    return function


def do(statement):
    """A function that makes a statement, whatever its result."""

    def function(module, x):
        statement(module, x)
        return torch.ones(1)

    return function


FLOAT = torch.tensor([0.0, 1.0])
NUMBERS = {
    "the sign of a zero": (torch.tensor(0.0), torch.tensor(-0.0)),
    "the sign of a zero in a complex number": (torch.tensor(complex(1, 0.0)), torch.tensor(complex(1, -0.0))),
    "NaN and a number": (torch.tensor(math.nan), torch.tensor(0.0)),
    "a number and NaN": (torch.tensor(0.0), torch.tensor(math.nan)),
    "NaN and infinity": (torch.tensor(math.nan), torch.tensor(math.inf)),
    "infinities": (torch.tensor(math.inf), torch.tensor(-math.inf)),
    "infinity and the largest number": (torch.tensor(math.inf), torch.tensor(torch.finfo(torch.float32).max)),
    "the last bit": (torch.tensor(1.0), torch.tensor(1.0000001)),
    "the last bit of a half": (torch.tensor(1.0).half(), torch.tensor(1.001).half()),
    "an 8-bit number": (torch.tensor(0.5).to(torch.float8_e4m3fn), torch.tensor(-0.5).to(torch.float8_e4m3fn)),
    "large whole numbers": (torch.tensor(2**53), torch.tensor(2**53 + 1)),
    "a truth value": (torch.tensor(True), torch.tensor(False)),
    "an element of a sparse tensor": (torch.eye(2).to_sparse(), (torch.eye(2) * 2).to_sparse()),
    "a conjugate": (torch.tensor(1 + 2j).conj(), torch.tensor(1 + 2j)),
    "dtypes": (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
    "dtypes of the same bits": (torch.zeros(2, dtype=torch.int32), torch.zeros(2)),
    "shapes": (torch.zeros(2, 3), torch.zeros(3, 2)),
    "a dimension of size 1": (torch.zeros(2), torch.zeros(1, 2)),
    "devices": (torch.zeros(2), torch.zeros(2, device="meta")),
    "layouts": (torch.eye(2), torch.eye(2).to_sparse()),
    "a tensor and a number": (torch.tensor(1), 1),
    "numbers of other types": (1, 1.0),
    "numbers": (1.0, 2.0),
    "nothing and something": (None, torch.zeros(2)),
    "a tuple and a list": ((FLOAT, FLOAT), [FLOAT, FLOAT]),
    "how many there are": ((FLOAT, FLOAT), (FLOAT,)),
    "keys": ({"a": FLOAT}, {"b": FLOAT}),
    "the order": ((FLOAT, FLOAT + 1), (FLOAT + 1, FLOAT)),
}
EQUALS = {
    "numbers": (FLOAT, FLOAT.clone()),
    "negative zeros": (torch.tensor(-0.0), torch.tensor(-0.0)),
    # Which NaN comes of two is up to the processor and the compiler.
    "NaNs of other bits": (torch.tensor(math.nan), -torch.tensor(math.nan)),
    "halves that are NaN": (torch.tensor(math.nan).bfloat16(), torch.tensor(math.nan).bfloat16()),
    "infinities": (torch.tensor([math.inf, -math.inf]), torch.tensor([math.inf, -math.inf])),
    "a conjugate": (torch.tensor(1 + 2j).conj(), torch.tensor(1 - 2j)),
    "a negative view": (torch.tensor(1 + 2j).conj().imag, torch.tensor(-2.0)),
    "layouts in memory": (X.t(), X.t().contiguous()),
    "no elements": (torch.zeros(0, 3), torch.zeros(0, 3)),
    "sparse tensors": (torch.eye(2).to_sparse(), torch.eye(2).to_sparse()),
    "tensors without data": (torch.zeros(2, device="meta"), torch.zeros(2, device="meta")),
    "NaN as a number": (math.nan, math.nan),
    "structures": ({"a": (FLOAT, [1, None])}, {"a": (FLOAT.clone(), [1, None])}),
}


@pytest.mark.parametrize(("left", "right"), NUMBERS.values(), ids=NUMBERS)
def test_values_that_differ(left, right):
    assert not judge.same(left, right)


@pytest.mark.parametrize(("left", "right"), EQUALS.values(), ids=EQUALS)
def test_values_that_are_the_same(left, right):
    assert judge.same(left, right)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.complex64])
def test_every_floating_dtype_has_a_negative_zero_and_a_nan(dtype):
    zero, other, missing = (torch.tensor([value], dtype=dtype) for value in (0.0, -0.0, math.nan))
    assert same_bits(zero, zero.clone())
    assert same_bits(missing, missing.clone())
    assert not same_bits(zero, other)
    assert not same_bits(zero, missing)


def flattened(module, x):
    return x.sum()


DIFFERENCES = {
    "a result": (lambda m, x: x * 2, lambda m, x: x * 3, "6 elements differ"),
    "the sign of a zero": (lambda m, x: x * 0, lambda m, x: x.abs() * 0, "elements differ, by at most 0"),
    "a stride of a result": (
        lambda m, x: x * 2,
        lambda m, x: (x.t() * 2).contiguous().t(),
        r"output: strides \(3, 1\)",
    ),
    "a stride of an input": (
        lambda m, x: x.mul_(2).sum(),
        lambda m, x: x.set_((x * 2).t().contiguous().t()).sum(),
        r"input\[0\]\[0\]: strides",
    ),
    "a written input": (do(lambda m, x: x.add_(1)), do(lambda m, x: None), r"input after the call\[0\]\[0\]"),
    "the sign of a zero in an input": (do(lambda m, x: x.zero_()), do(lambda m, x: x.zero_().neg_()), "input after"),
    "a buffer": (do(lambda m, x: m.count.add_(1)), do(lambda m, x: m.count.add_(2)), "'count' after the call"),
    "the sign of a zero in a buffer": (
        do(lambda m, x: None),
        do(lambda m, x: m.count.neg_()),
        "'count' after the call",
    ),
    "a parameter": (do(lambda m, x: m.weight.data.add_(1)), do(lambda m, x: None), "'weight' after the call"),
    "a constant": (do(lambda m, x: m.held.add_(1)), do(lambda m, x: None), "'held' after the call"),
    "a draw more": (do(lambda m, x: torch.rand(1)), do(lambda m, x: None), "random number generator"),
    "another draw": (lambda m, x: torch.rand(3), lambda m, x: torch.rand(3).flip(0), "2 of 3 elements differ"),
    "a print": (do(lambda m, x: print("step")), do(lambda m, x: None), r"'step\\n' was printed, now it is ''"),
    "an error": (raises("zero"), lambda m, x: x, "ValueError: zero was raised, now it is nothing"),
    "no error": (lambda m, x: x, raises("zero"), "nothing was raised, now it is ValueError: zero"),
    "the message of an error": (raises("zero"), raises("one"), "now it is ValueError: one"),
    "the type of an error": (raises("zero"), raises("zero", TypeError), "now it is TypeError: zero"),
    "the second call": (
        lambda m, x: x * 0 + m.count.add_(1).clamp(max=1),
        lambda m, x: (m.count.add_(1), x * 0 + m.count.clamp(max=1) * (2 - m.count))[1].abs(),
        "call 0, time 1",
    ),
    "shared memory": (lambda m, x: x + 0, lambda m, x: x, r"memory of what is held: \[\(0, 'argument 0'\)\]"),
    "shared memory of a buffer": (lambda m, x: m.count * 1, lambda m, x: m.count[:], r"\[\(0, 'count'\)\]"),
    "the grad mode": (do(lambda m, x: torch.set_grad_enabled(False)), do(lambda m, x: None), "grad mode is True"),
}


@pytest.mark.parametrize(("before", "after", "expected"), DIFFERENCES.values(), ids=DIFFERENCES)
def test_differences_are_seen(before, after, expected):
    with pytest.raises(DifferenceError, match=expected):
        judge.compare(witness(before), witness(after), [((X,), {})])
    for function in (before, after):
        judge.compare(witness(function), witness(function), [((X,), {})])


def test_what_was_written_before_an_error_counts_unless_it_is_written_back():
    def early(module, x):
        module.count.add_(1)
        raise ValueError("zero")

    calls = [((X,), {})]
    said = ["ValueError: zero"]
    assert judge.compare(witness(early), witness(raises("zero")), calls, written_back=True) == said
    with pytest.raises(DifferenceError, match="'count' after the call"):
        judge.compare(witness(early), witness(raises("zero")), calls)


def test_random_numbers_drawn_before_an_error_always_count():
    def early(module, x):
        torch.rand(1)
        raise ValueError("zero")

    with pytest.raises(DifferenceError, match="random number generator"):
        judge.compare(witness(early), witness(raises("zero")), [((X,), {})], written_back=True)


def test_places_in_memory_and_in_the_graph_are_no_part_of_a_message():
    said = [raises(f"object at 0x{place:x}\n\nWhile executing %{place}") for place in (0x7F0000001000, 0x7F0000002000)]
    assert judge.compare(*map(witness, said), [((X,), {})]) == ["ValueError: object at 0x…"]


def test_gradients_are_seen_where_they_are_asked_for():
    before, after = (lambda m, x: x * m.weight), (lambda m, x: x.detach() * m.weight)
    calls = [((X.clone().requires_grad_(),), {})]
    judge.compare(witness(before), witness(after), calls)
    with pytest.raises(DifferenceError, match="gradients"):
        judge.compare(witness(before, gradients=True), witness(after, gradients=True), calls)


def test_sharing_less_than_before_is_no_difference():
    judge.compare(witness(lambda m, x: x), witness(lambda m, x: x.clone()), [((X,), {})])


def test_a_stride_that_moves_nothing_is_no_difference():
    row = torch.zeros(1, 3)
    before, after = (lambda m, x: x + 0), (lambda m, x: torch.as_strided(x + 0, (1, 3), (7, 1)))
    judge.compare(witness(before), witness(after), [((row,), {})])


def test_state_is_carried_from_call_to_call():
    def cache(limit):
        def function(module, x):
            module.count.add_(1)
            return x.sum() * 0 + module.count.clamp(max=limit)

        return function

    calls = [((X,), {}), ((X + 1,), {})]
    with pytest.raises(DifferenceError, match="call 1, time 0"):
        judge.compare(witness(cache(5)), witness(cache(2)), calls)


def test_restarting_puts_everything_back():
    def function(module, x):
        module.count.neg_()
        module.held.add_(1)
        module.weight.data.resize_(5)
        return x + 0

    runner = witness(function)
    first = runner.run(Call("", (X,), {}))
    assert math.copysign(1, first.state["count"][0]) == -1
    runner.restart()
    assert judge.same(dict(runner.tensors()), runner.initial)
    assert difference(first, runner.run(Call("", (X,), {}))) is None


def test_the_token_is_no_result():
    before, calls = witness(lambda m, x: (x + 1, x + 2)), [((X,), {})]
    judge.compare(before, witness(lambda m, x: ((x + 1, x + 2), torch.zeros(()))), calls, token=True)
    with pytest.raises(DifferenceError, match="the token is"):
        judge.compare(before, witness(lambda m, x: ((x + 1, x + 2), torch.zeros(1))), calls, token=True)
    with pytest.raises(DifferenceError, match=r"output\[1\]: .*elements differ"):
        judge.compare(before, witness(lambda m, x: ((x + 1, x + 3), torch.zeros(()))), calls, token=True)


def test_other_entries_of_the_state_dict_are_a_difference():
    other = Model(flattened)
    other.register_buffer("count", torch.zeros(3), persistent=False)
    with pytest.raises(DifferenceError, match="state dict"):
        judge.compare(witness(flattened), Witness(NoTokens, other), [((X,), {})])


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (torch.tensor([1.0, math.nan, math.inf]), torch.tensor([1.00001, math.nan, math.inf]), True),
        (torch.tensor([1.0]), torch.tensor([1.01]), False),
        (torch.tensor([1.0]).bfloat16(), torch.tensor([1.01]).bfloat16(), True),
        (torch.tensor([math.nan]), torch.tensor([1.0]), False),
        (torch.tensor([math.inf]), torch.tensor([1e38]), False),
        (torch.tensor([10**9]), torch.tensor([10**9 + 1]), False),
        (torch.zeros(1), torch.zeros(1, dtype=torch.float64), False),
    ],
)
def test_what_rounding_explains(left, right, expected):
    assert judge.close(left, right) is expected
