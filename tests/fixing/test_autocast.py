"""Autocast regions are inlined, and what they cast is written out: stock torch computes the same bits."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from tests.judge import compare, load
from tests.mutation.trial import SETTINGS, Case, export, fix
from torch import nn
from torch.utils.checkpoint import checkpoint

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
        with amp():
            with torch.autocast("cuda", dtype=F16, enabled=False):
                return x @ y


class Branches(nn.Module):
    def forward(self, x, y):
        with amp():
            z = x @ y

            def yes(x, z):
                return x @ z + 1, x.sum()

            def no(x, z):
                with torch.autocast("cpu", enabled=False):
                    w = (x * 2) @ x
                return w.bfloat16(), x.mean()

            return (z, *torch.cond(x.sum() > 0, yes, no, (x, z)))


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


class AroundLoop(nn.Module):
    def forward(self, x, y):
        with amp():
            return torch._higher_order_ops.while_loop(
                lambda i, x: i < 3, lambda i, x: (i + 1, (x @ y).float() * 0.5), (torch.tensor(0), x)
            )


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
            z = nn.functional.dropout(x @ y, 0.5, training=True)
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


SQUARES = (ramp(4, 4), ramp(4, 4) + 0.3)
PROGRAMS: dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]] = {
    "layers": (Layers(), SQUARES[:1]),
    "float16": (Layers(dtype=F16), SQUARES[:1]),
    "no kept casts": (Layers(cache_enabled=False), SQUARES[:1]),
    "nested": (Nested(), SQUARES),
    "disabled": (Disabled(), SQUARES),
    "other device": (OtherDevice(), SQUARES),
    "branches": (Branches(), SQUARES),
    "in a branch": (InBranch(), SQUARES),
    "in a loop": (InLoop(), SQUARES),
    "around a loop": (AroundLoop(), SQUARES),
    "grad modes": (GradModes(), SQUARES[:1]),
    "checkpoints": (Checkpoints(), SQUARES[:1]),
    "writes": (Writes(), SQUARES),
    "aliases": (Aliases(), SQUARES),
    "mixed": (Mixed(), SQUARES),
    "random": (Random(), SQUARES),
    "convolutions": (Convolutions(), (ramp(1, 2, 4, 4),)),
    "convolutions in eval mode": (Convolutions().eval(), (ramp(1, 2, 4, 4),)),
    "attention": (Attention(), (ramp(2, 2, 4),)),
    "checks": (Checks(), SQUARES),
    "required gradients": (Nested(), tuple(one.clone().requires_grad_() for one in SQUARES)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_inlined_region_computes_the_same_bits(name, tmp_path):
    module, args = PROGRAMS[name]
    before = export(Case(copy.deepcopy(module), args))
    assert b"wrap_with_autocast" in before
    fixed = fix(before, tmp_path, args)
    assert b"wrap_with_autocast" not in fixed.after, [one.fix.message for one in fixed.result.diagnostics]
    calls = [(args, {}), (tuple((one.detach() * 1.7 - 0.2).requires_grad_(one.requires_grad) for one in args), {})]
    gradients = name not in ("in a loop", "around a loop")
    compare(load(before), load(fixed.after), calls, gradients=gradients, written_back=True)
