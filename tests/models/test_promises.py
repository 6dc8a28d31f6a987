"""What other tools lose on the way, one small model each: every effect keeps its meaning after ``--fix``."""

from __future__ import annotations

import json
import warnings
import zipfile

import pytest

pytest.importorskip("torch")

import torch
from tests import judge


def exported(module, *args, **options):
    """A module's exported program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, args, **options)


def calls(*arguments):
    """Calls with one positional argument each."""
    return [((one,), {}) for one in arguments]


class Cache(torch.nn.Module):
    """Writes rows of a layer's results to a tensor that is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 4)
        self.rows = torch.zeros(3, 4)
        self.next = torch.zeros((), dtype=torch.long)

    def forward(self, x):
        self.rows.index_copy_(0, self.next.view(1), self.layer(x))
        self.next.add_(1)
        return self.rows.sum(0)


class CacheAsBuffer(Cache):
    """The same with a buffer of the same memory, as caches are registered that the model holds as constants."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("cache", self.rows, persistent=False)


def test_a_constant_that_requires_gradients_after_export_is_written_back(fix):
    """Exported with gradients on, the constant is recorded as requiring them: torch could not write that back."""
    torch.manual_seed(0)
    fixed = fix(exported(Cache(), torch.ones(1, 4)))
    assert _requires_grad(fixed.original, "rows")
    assert not _requires_grad(fixed.path, "rows")
    assert (fixed.codes, fixed.codes_left) == ({"GL105": 2}, {})
    assert fixed.compare(calls(torch.ones(1, 4), torch.zeros(1, 4), torch.full((1, 4), 2.0)))[:2] == ["", ""]


def test_a_buffer_in_the_memory_of_a_written_constant_is_written_once(fix):
    """With gradients on, torch refuses to write the same memory back a second time."""
    torch.manual_seed(0)
    fixed = fix(exported(CacheAsBuffer(), torch.ones(1, 4)))
    assert fixed.codes == {"GL103": 1, "GL105": 1}
    assert fixed.codes_left == {}
    assert fixed.compare(calls(torch.ones(1, 4), torch.zeros(1, 4), torch.full((1, 4), 2.0)))[:2] == ["", ""]
    signature = judge.load(fixed.path).graph_signature
    assert list(signature.buffers_to_mutate.values()) == ["cache", "next"]


def test_a_constant_in_the_memory_of_a_written_buffer_is_left_out(fix):
    """Nobody reads it any more, and a written input that aliases another one is more than torch's passes can take."""
    torch.manual_seed(0)
    program = exported(CacheAsBuffer(), torch.ones(1, 4))
    fixed = fix(program)
    before, after = (judge.load(path) for path in (fixed.original, fixed.path))
    assert sorted(before.graph_signature.lifted_tensor_constants) == ["lifted_tensor_0", "next"]
    assert sorted(after.graph_signature.lifted_tensor_constants) == []
    with pytest.raises(AssertionError, match="expected compiled_fn to be GraphModule"):
        judge.decomposed(before)
    judge.compare(program, judge.decomposed(after), calls(torch.ones(1, 4), torch.zeros(1, 4)), times=1)


def _requires_grad(path, name):
    with zipfile.ZipFile(path) as archive:
        (config,) = (one for one in archive.namelist() if one.endswith("constants_config.json"))
        return json.loads(archive.read(config))["config"][name]["tensor_meta"]["requires_grad"]


class SharedBuffers(torch.nn.Module):
    """Two persistent buffers in the same memory: a write to one shows in the other."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("one", torch.zeros(4))
        self.register_buffer("other", self.one)

    def forward(self, x):
        self.one.add_(x)
        seen = self.other * 2
        self.other.mul_(3)
        return self.one + seen


def test_two_buffers_that_share_storage(fix):
    program = exported(SharedBuffers(), torch.ones(4))
    fixed = fix(program)
    assert (fixed.codes, fixed.codes_left) == ({"GL103": 2}, {})
    assert not any(fixed.compare(calls(torch.ones(4), torch.full((4,), 2.0))))


class HalfBuffer(torch.nn.Module):
    """A half-precision buffer that takes single-precision values: what is read back is rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(4, dtype=torch.float16))

    def forward(self, x):
        self.low.copy_(x)
        return self.low.to(torch.float32) - x


def test_a_half_precision_buffer_rounds_what_is_copied_to_it(fix):
    x = torch.full((4,), 0.1)
    fixed = fix(exported(HalfBuffer(), x))
    assert fixed.codes == {"GL103": 1, "GL205": 1}
    assert fixed.codes_left == {}
    assert not any(fixed.compare(calls(x, x * 7)))
    outcome = judge.Witness(judge.load(fixed.path)).see((x,)).outcome
    assert outcome.state["low"].dtype == torch.float16
    assert torch.equal(outcome.result, x.half().float() - x)
    assert outcome.result.abs().min() > 0


class EvalDropout(torch.nn.Module):
    """In eval mode dropout returns its input itself, so the write shows in both."""

    def forward(self, x):
        y = x * 2
        z = torch.nn.functional.dropout(y, 0.5, training=False)
        z.add_(1)
        return y, z


def test_dropout_in_eval_mode_aliases_its_input(fix):
    x = torch.arange(4.0)
    fixed = fix(exported(EvalDropout(), x))
    assert (fixed.codes, fixed.codes_left) == ({"GL101": 1}, {})
    assert not any(fixed.compare(calls(x, -x)))
    y, z = judge.Witness(judge.load(fixed.path)).see((x,)).outcome.result
    assert torch.equal(y, x * 2 + 1)
    assert torch.equal(z, x * 2 + 1)


class BareAssert(torch.nn.Module):
    """A check without a message, which nothing depends on."""

    def forward(self, x):
        torch.ops.aten._assert_async.default((x > 0).all())
        return x + 1


def test_a_bare_assert_still_fails(fix):
    good, bad = torch.ones(3), -torch.ones(3)
    fixed = fix(exported(BareAssert(), good))
    assert (fixed.codes, fixed.codes_left) == ({"GL202": 1}, {})
    said = "RuntimeError: Expected Tensor with single nonzero value, but got zero"
    assert fixed.compare(calls(good, bad, good)) == ["", said, ""]


def test_a_fixed_assert_outlives_decomposition(fix):
    """torch drops the bare one there, as dead code."""
    bad = -torch.ones(3)
    fixed = fix(exported(BareAssert(), torch.ones(3)))
    decomposed = [judge.Witness(judge.decomposed(judge.load(path))) for path in (fixed.original, fixed.path)]
    assert [bool(one.see((bad,)).outcome.raised) for one in decomposed] == [False, True]


class UnusedDraw(torch.nn.Module):
    """A draw that nobody uses still moves the random stream on for those after it."""

    def forward(self, x):
        torch.rand(3)
        y = x * 1
        y.add_(torch.rand(3))
        return y


def test_an_unused_draw_still_advances_the_generator(fix):
    fixed = fix(exported(UnusedDraw(), torch.ones(3)))
    assert (fixed.codes, fixed.codes_left) == ({"GL101": 1, "GL302": 2}, {"GL302": 2})
    assert not any(fixed.compare(calls(torch.ones(3), torch.zeros(3))))
