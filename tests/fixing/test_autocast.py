"""Autocast regions are inlined, and what they cast is written out: stock torch computes the same bits."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from tests.judge import compare, load, quiet
from tests.mutation.trial import SETTINGS, fix, tree_of
from tests.text_form import document_of, print_program
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

from graphlint.rules.fixing import fix_program

BF16, F16 = torch.bfloat16, torch.float16


def amp(dtype: torch.dtype = BF16, **options: Any) -> Any:
    return torch.autocast("cpu", dtype=dtype, **options)


def ramp(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.arange(torch.Size(shape).numel()) * 0.37).sin().reshape(shape).to(dtype)


class Layers(nn.Module):
    """Weights that are cast once, but used twice."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.options = nn.Linear(4, 4), nn.LayerNorm(4), options

    def forward(self, x):
        with amp(**self.options):
            y = self.first(self.norm(self.first(x)).relu())
            return y, torch.softmax(y, -1), y.float() @ self.first.weight


class Nested(nn.Module):
    def forward(self, x, y):
        with amp():
            a = x @ y
            with torch.autocast("cpu", enabled=False):
                b = a.float() @ y
                with amp():
                    c = b @ y
                d = c.float() @ b
            e = d @ y
        return a, b, c, d, e


class Disabled(nn.Module):
    def forward(self, x, y):
        with torch.autocast("cpu", enabled=False):
            z = x @ y
            z.relu_()
        return z, x.bfloat16() @ y.bfloat16()


class OtherDevice(nn.Module):
    """Nothing here is on the region's device; inside, the CPU's own casts."""

    def forward(self, x, y):
        with amp(), torch.autocast("cuda", dtype=F16, enabled=False):
            return x @ y


class InBranch(nn.Module):
    def forward(self, x, y):
        def yes(x, y):
            with amp():
                z = x @ y
                z += 1
            return z.float()

        return torch.cond(x.sum() > 0, yes, lambda x, y: x * y, (x, y))


class InLoop(nn.Module):
    def forward(self, x, y):
        def body(i, x):
            with amp():
                z = x @ y
            return i + 1, z.float() * 0.5

        return torch._higher_order_ops.while_loop(lambda i, x: i < 3, body, (torch.tensor(0), x))


class GradModes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(ramp(4, 4))

    def forward(self, x):
        with torch.no_grad(), amp():
            y = x @ self.weight
        with amp():
            z = y @ self.weight
            with torch.no_grad():
                w = z @ self.weight
                w.add_(1)
            return y, z @ self.weight, w


class Checkpoints(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(ramp(4, 4))

    def forward(self, x):
        with amp():
            return checkpoint(lambda x: (x @ self.weight).relu() @ self.weight, x, use_reentrant=False)


class Writes(nn.Module):
    """Casts and writes in place, also to what the region was given, and to a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("b", ramp(4, 4))

    def forward(self, x, y):
        z = y.clone()
        with amp():
            w = x @ z
            z[0].add_(1)
            w += x @ z
            self.b.mul_(2).copy_(w)
            z.t().mul_(self.b @ z)
            v = z[1:]
        v.sub_(1)
        return w, z, v, self.b @ x


class Aliases(nn.Module):
    """Results that are operands, or views of them, written later."""

    def forward(self, x, y):
        z = x * 1
        with amp():
            v = z.view(-1)
            w = z.to(torch.float32)
            u = (z @ y).t()
        v.add_(1)
        u.mul_(2)
        return z, w, u, v


class Mixed(nn.Module):
    """Operands that are not cast, or not all of them."""

    def forward(self, x, y):
        with amp():
            n = torch.arange(4)
            d = x.double()
            i = n.reshape(2, 2) @ n.reshape(2, 2)
            h = x @ y
            return (
                d @ d, i, h + x, h * 2, torch.cat([h, x]), torch.stack([x, h, h]), n * x[0], x.half() @ y,
                torch.addmm(h, x, y), torch.where(h > 0, h, x), h.sum(), x[n], x.norm(), h.norm(dtype=torch.float32),
                torch.nn.functional.mse_loss(h, x), h.cumsum(0), h.exp(), h.pow(2),
            )  # fmt: skip


class Random(nn.Module):
    def forward(self, x, y):
        with amp():
            z = nn.functional.dropout(x @ y, 0.5, training=True, inplace=True)
            return z @ torch.rand_like(x), torch.randn(4, 4) @ y


class Convolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.ConvTranspose2d(4, 2, 2), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 3),
        )  # fmt: skip

    def forward(self, x):
        with amp():
            return self.layers(x)


class Attention(nn.Module):
    def forward(self, x):
        with amp():
            q = x.view(1, 2, 2, 4)
            return nn.functional.scaled_dot_product_attention(q, q * 2, q + 1), torch.bmm(x, x.mT).softmax(-1)


class Checks(nn.Module):
    def forward(self, x, y):
        with amp():
            z = x @ y
            torch._assert_async((z < 100).all(), "small")
            return z.float() + 1


class Symbolic(nn.Module):
    def forward(self, x, y):
        with amp():
            z = x.t().expand(y.shape[0], x.shape[0]) @ x
            return z.reshape(-1) + z.shape[0], z


class KeptCasts(nn.Module):
    """Weights that are used more than once."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        with amp():
            y = self.linear(x)
            return self.linear(y) @ self.linear.weight


class OfIntegers(nn.Module):
    """By ops that are made of others, of which autocast may cast the floating operands."""

    def forward(self, x):
        with amp():
            places = (x > 0).long().cumsum(-1)
            starts = torch.diff(places, prepend=places[:, :1] - 1) != 1
            return x @ x, torch.hstack([places, torch.nn.functional.pad(places, (0, 1))]), starts


SQUARES = (ramp(4, 4), ramp(4, 4) + 0.3)
PROGRAMS: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
    "layers": (Layers(), SQUARES[:1]),
    "float16": (Layers(dtype=F16), SQUARES[:1]),
    "no kept casts": (Layers(cache_enabled=False), SQUARES[:1]),
    "nested": (Nested(), SQUARES),
    "disabled": (Disabled(), SQUARES),
    "other device": (OtherDevice(), SQUARES),
    "in a branch": (InBranch(), SQUARES),
    "in a loop": (InLoop(), SQUARES),
    "grad modes": (GradModes(), SQUARES[:1]),
    "checkpoints": (Checkpoints(), SQUARES[:1]),
    "writes": (Writes(), SQUARES),
    "aliases": (Aliases(), SQUARES),
    "mixed": (Mixed(), SQUARES),
    "of integers": (OfIntegers(), SQUARES[:1]),
    "random": (Random(), SQUARES),
    "convolutions": (Convolutions(), (ramp(1, 2, 4, 4),)),
    "convolutions in eval mode": (Convolutions().eval(), (ramp(1, 2, 4, 4),)),
    "attention": (Attention(), (ramp(2, 2, 4),)),
    "checks": (Checks(), SQUARES),
    "required gradients": (Nested(), tuple(one.clone().requires_grad_() for one in SQUARES)),
}


WITHOUT_GRADIENTS = {
    "in a loop": "torch differentiates no such loop",
    "convolutions": "running statistics are written back, which autograd refuses with autocast or without",
}


@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_inlined_region_computes_the_same_bits(name, strict, tmp_path):
    if (name, strict) == ("checkpoints", True):
        pytest.skip("torch does not export it")
    module, args = PROGRAMS[name]
    before = exported(module, args, strict=strict)
    fixed = fix(before, tmp_path, args)
    assert "wrap_with_autocast" in str(tree_of(before, tmp_path))
    assert "wrap_with_autocast" not in str(tree_of(fixed.after, tmp_path))
    calls = [(args, {}), (tuple((one.detach() * 1.7 - 0.2).requires_grad_(one.requires_grad) for one in args), {})]
    compare(load(before), load(fixed.after), calls, gradients=name not in WITHOUT_GRADIENTS, written_back=True)


def exported(module, args, *, strict=False, dynamic=None) -> bytes:
    program = quiet(torch.export.export, copy.deepcopy(module), args, strict=strict, dynamic_shapes=dynamic)
    buffer = io.BytesIO()
    quiet(torch.export.save, program, buffer)
    return buffer.getvalue()


def test_sizes_may_be_symbolic(tmp_path):
    size = torch.export.Dim.AUTO
    before = exported(Symbolic(), SQUARES, dynamic=({0: size}, {0: size}))
    fixed = fix(before, tmp_path, SQUARES)
    assert "wrap_with_autocast" not in str(tree_of(fixed.after, tmp_path))
    calls = [(SQUARES, {}), ((ramp(3, 4), ramp(3, 4)), {})]
    compare(load(before), load(fixed.after), calls, gradients=True)


def test_casts_of_parameters_are_kept_as_torch_keeps_them(tmp_path):
    """Strict exports leave it to torch whether casts are kept: one for each parameter then."""
    for strict, casts in ((True, 3), (False, 6)):
        fixed = fix(exported(KeptCasts(), SQUARES[:1], strict=strict), tmp_path, SQUARES[:1])
        assert str(tree_of(fixed.after, tmp_path)).count("aten._to_copy") == casts


# ----------------------------------------------------------------------------------------------------- what is kept


@torch.library.custom_op("graphlint_autocast::product", mutates_args=())
def product(x: torch.Tensor) -> torch.Tensor:
    """Made of what autocast casts."""
    return x @ x


@product.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return x @ x


class CustomOp(nn.Module):
    def forward(self, x):
        with amp():
            return product(x)


class MadeOfCasts(nn.Module):
    def forward(self, x):
        with amp():
            return torch.einsum("ij,jk->ik", x, x)


class TwoDtypes(nn.Module):
    """A kept cast would be taken in whatever dtype it was made."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(ramp(4, 4))

    def forward(self, x):
        with amp():
            y = x @ self.weight
            with amp(F16):
                return y, x @ self.weight


class InnerKept(nn.Module):
    def forward(self, x):
        with amp():
            y = x @ x
            with torch.autocast("cpu", enabled=False):
                z = x @ x
            return y, torch.einsum("ij,jk->ik", x, z)


class WritesWhatIsKept(nn.Module):
    """The second product is of the weight as it was: its cast is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(ramp(4, 4))

    def forward(self, x):
        with torch.no_grad(), amp():
            y = x @ self.weight
            self.weight.add_(1)
            return y, x @ self.weight


class WrongDtypes(nn.Module):
    """For which autocast raises when the program runs."""

    def forward(self, x):
        with amp():
            return torch.cat([x.half(), x.half()])


KEPT = {
    "a custom op": (CustomOp(), False, "what autocast makes of graphlint_autocast.product.default is not known"),
    "an op that is made of casts": (MadeOfCasts(), False, "what autocast makes of aten.einsum.default is not known"),
    "dtypes in each other": (TwoDtypes(), True, "regions in each other keep casts to different dtypes"),
    "an inner region": (InnerKept(), False, "what autocast makes of aten.einsum.default is not known"),
    "a write to what is kept": (
        WritesWhatIsKept(),
        True,
        "aten.add_.Tensor writes what autocast may have kept a cast of",
    ),
}


def test_regions_in_each_other_that_keep_no_casts_may_lower_to_different_dtypes(tmp_path):
    before = exported(TwoDtypes(), SQUARES[:1])
    fixed = fix(before, tmp_path, SQUARES[:1])
    assert "wrap_with_autocast" not in str(tree_of(fixed.after, tmp_path))
    compare(load(before), load(fixed.after), [(SQUARES[:1], {})], gradients=True)


@pytest.mark.parametrize("name", KEPT)
def test_a_region_is_kept_with_a_reason(name, tmp_path):
    module, strict, reason = KEPT[name]
    before = exported(module, SQUARES[:1], strict=strict)
    fixed = fix(before, tmp_path, SQUARES[:1])
    told = [one.fix.message for one in fixed.result.diagnostics if one.code == "GL402"]
    assert set(told) == {reason}
    assert len(told) == str(tree_of(before, tmp_path)).count("'target': 'torch.ops.higher_order.wrap_with_autocast'")
    compare(load(before), load(fixed.after), [(SQUARES[:1], {})], written_back=True)


# ----------------------------------------------------------------------------------------------------- shapes

CUDA = """graph(%x: f32[4, 4] @cuda:0, %h: f16[4, 4] @cuda:0, %c: f32[4, 4]):
  %sum_1: f32[] @cuda:0, %cat: f32[8, 4] @cuda:0, %mm_1: f32[4, 4] = higher_order.wrap_with_autocast("cuda", torch.float16, True, False, @region, %x, %h, %c)
    @region(%x: f32[4, 4] @cuda:0, %h: f16[4, 4] @cuda:0, %c: f32[4, 4]):
      %mm: f16[4, 4] @cuda:0 = aten.mm.default(%x, %h)
      %sum_1: f32[] @cuda:0 = aten.sum.default(%mm)
      %cat: f32[8, 4] @cuda:0 = aten.cat.default([%x, %mm])
      %exp: f32[4, 4] @cuda:0 = aten.exp.default(%mm)
      %relu: f32[4, 4] @cuda:0 = aten.relu.default(%exp)
      %mm_1: f32[4, 4] = aten.mm.default(%c, %c)
      return %sum_1, %cat, %mm_1
  return %sum_1, %cat, %mm_1
"""  # noqa: E501
WRITTEN_OUT = """graph(%x: f32[4, 4] @cuda:0, %h: f16[4, 4] @cuda:0, %c: f32[4, 4]):
  %_to_copy: f16[4, 4] @cuda:0 = aten._to_copy.default(%x, dtype=torch.float16)
  %mm: f16[4, 4] @cuda:0 = aten.mm.default(%_to_copy, %h)
  %sum_1_1: f32[] @cuda:0 = aten.sum.default(%mm, dtype=torch.float32)
  %cat_1: f32[8, 4] @cuda:0 = aten.cat.default([%x, %mm])
  %_to_copy_1: f32[4, 4] @cuda:0 = aten._to_copy.default(%mm, dtype=torch.float32)
  %exp: f32[4, 4] @cuda:0 = aten.exp.default(%_to_copy_1)
  %relu: f32[4, 4] @cuda:0 = aten.relu.default(%exp)
  %mm_1_1: f32[4, 4] = aten.mm.default(%c, %c)
  return %sum_1_1, %cat_1, %mm_1_1
"""
AROUND = """graph(%p: b8[], %x: f32[4, 4]):
  %z: bf16[4, 4] = higher_order.wrap_with_autocast("cpu", torch.bfloat16, True, False, @region, %p, %x)
    @region(%p: b8[], %x: f32[4, 4]):
      %z: bf16[4, 4] = higher_order.cond(%p, @yes, @no, [%x])
        @yes(%x: f32[4, 4]):
          %mm: bf16[4, 4] = aten.mm.default(%x, %x)
          return %mm
        @no(%x: f32[4, 4]):
          %w: f32[4, 4] = higher_order.wrap_with_autocast("cpu", None, False, False, @off, %x)
            @off(%x: f32[4, 4]):
              %mm: f32[4, 4] = aten.mm.default(%x, %x)
              return %mm
          %to: bf16[4, 4] = aten.to.dtype(%w, torch.bfloat16)
          return %to
      return %z
  return %z
"""
IN_BRANCHES = """graph(%p: b8[], %x: f32[4, 4]):
  %z_1: bf16[4, 4] = higher_order.cond(%p, @yes, @no, [%x])
    @yes(%x: f32[4, 4]):
      %_to_copy: bf16[4, 4] = aten._to_copy.default(%x, dtype=torch.bfloat16)
      %_to_copy_1: bf16[4, 4] = aten._to_copy.default(%x, dtype=torch.bfloat16)
      %mm: bf16[4, 4] = aten.mm.default(%_to_copy, %_to_copy_1)
      return %mm
    @no(%x: f32[4, 4]):
      %mm: f32[4, 4] = aten.mm.default(%x, %x)
      %to: bf16[4, 4] = aten.to.dtype(%mm, torch.bfloat16)
      return %to
  return %z_1
"""


@pytest.mark.parametrize(("before", "after"), [(CUDA, WRITTEN_OUT), (AROUND, IN_BRANCHES)], ids=["cuda", "around cond"])
def test_what_a_region_becomes(before, after):
    fixed = fix_program(document_of(before), "model", "model.pt2", SETTINGS)
    assert print_program(fixed.document.program).partition("\n")[2].strip() == after.strip()


def test_cuda_computes_in_the_same_dtypes():
    """The program in text form above, in a region and written out, on tensors that have no values."""
    aten = torch.ops.aten

    def region(x, h, c):
        mm = aten.mm(x, h)
        return aten.sum(mm), aten.cat([x, mm]), aten.relu(aten.exp(mm)), aten.mm(c, c)

    def written_out(x, h, c):
        mm = aten.mm(aten._to_copy(x, dtype=F16), h)
        total, joined = aten.sum(mm, dtype=torch.float32), aten.cat([x, mm])
        return total, joined, aten.relu(aten.exp(aten._to_copy(mm, dtype=torch.float32))), aten.mm(c, c)

    assert _dispatched(region, enabled=True) == _dispatched(written_out, enabled=False)


def _dispatched(function, *, enabled) -> list[Any]:
    calls = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.namespace == "aten":
                tensors = [one.dtype for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
                calls.append((str(func), tensors, (kwargs or {}).get("dtype")))
            return func(*args, **(kwargs or {}))

    with FakeTensorMode():
        x, c = torch.empty(4, 4, device="cuda:0"), torch.empty(4, 4)
        h = torch.empty(4, 4, device="cuda:0", dtype=F16)
        torch.set_autocast_enabled("cuda", enabled)
        try:
            with Recorder():
                results = function(x, h, c)
        finally:
            torch.set_autocast_enabled("cuda", False)
    return [*calls, [one.dtype for one in results]]
