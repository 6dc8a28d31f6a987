"""Corner cases of aliasing, order, dtypes, layouts and control flow, as modules to export."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.export import Dim, export, save


class Case(NamedTuple):
    """A module and what to export it with."""

    module: type[nn.Module]
    inputs: tuple[Any, ...]
    dynamic_shapes: Any


CASES: list[Case] = []


def case(inputs: tuple[Any, ...], dynamic_shapes: Any = None) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """List a module with its sample inputs."""

    def add(module: type[nn.Module]) -> type[nn.Module]:
        CASES.append(Case(module, inputs, dynamic_shapes))
        return module

    return add


def export_cases(folder: Path) -> list[Path]:
    """Every case as an artifact, in the order of their definition."""
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    paths = []
    for one in CASES:
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = export(one.module(), one.inputs, dynamic_shapes=one.dynamic_shapes)
            paths.append(folder / f"{one.module.__name__}.pt2")
            save(program, paths[-1])
    return paths


@case((torch.randn(4, 4),))
class ViewChain(nn.Module):
    """Writes through views of views; every view and the base are returned."""

    def forward(self, x):
        y = x.clone()
        v = y.view(2, 2, 4)
        w = v[0].t()
        w.add_(1)
        u = y[1:3]
        u.mul_(2)
        return (y, v, w, u)


@case((torch.randn(4, 4),))
class ReadBefore(nn.Module):
    """What was read before a write keeps its value; a view taken before does not."""

    def forward(self, x):
        y = x * 1
        a = y[0].clone()
        b = y[0]
        y.add_(5)
        return (a, b, y.sum())


@case((torch.randn(4, 4),))
class InputView(nn.Module):
    """Writes to views of an input."""

    def forward(self, x):
        x[0].zero_()
        x.view(-1)[5:9].fill_(3.0)
        return x + 1


@case((torch.randn(3, 4),))
class SwapBuffers(nn.Module):
    """Two buffers change places by way of a copy."""

    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.randn(4))
        self.register_buffer("b", torch.randn(4))

    def forward(self, x):
        t = self.a.clone()
        self.a.copy_(self.b)
        self.b.copy_(t)
        return x + self.a - self.b


@case((torch.randn(3, 4),))
class CopyInput(nn.Module):
    """A buffer takes the value of an input that is written afterwards."""

    def __init__(self):
        super().__init__()
        self.register_buffer("a", torch.randn(3, 4))

    def forward(self, x):
        old = torch.empty(3, 4)
        old.copy_(self.a)
        self.a.copy_(x)
        x.add_(1)
        return (old, self.a * 2)


@case((torch.randn(3, 4, dtype=torch.float16), torch.randn(3, 4)))
class Promote(nn.Module):
    """Half precision with single: the written tensor keeps its dtype."""

    def forward(self, h, f):
        y = h * 1
        y.add_(f)
        y.mul_(2.5)
        z = y.to(torch.float32)
        z.sub_(h)
        return (y, z)


@case((torch.arange(12).view(3, 4),))
class Integers(nn.Module):
    """Integer arithmetic, comparisons and running sums in place."""

    def forward(self, x):
        y = x * 1
        y.add_(2)
        y.floor_divide_(3)
        y.eq_(2)
        y.cumsum_(0)
        y[0].bitwise_or_(5)
        return y


@case((torch.randn(3, 4),))
class Booleans(nn.Module):
    """Logic and masks in place."""

    def forward(self, x):
        y = x > 0
        y.logical_not_()
        y[0].fill_(True)
        z = x * 1
        z.gt_(0)
        z.masked_fill_(y, 7.0)
        return (y, z)


@case((torch.randn(3, 4), torch.randn(4), torch.randn(1)))
class Broadcast(nn.Module):
    """Sources of fewer dimensions."""

    def forward(self, x, r, o):
        y = x * 1
        y.copy_(r)
        y[1] = o
        y[:, 2] = 3
        y[2].copy_(r * 2)
        return y


@case((torch.randn(3, 4),))
class Transposed(nn.Module):
    """A base that is not contiguous."""

    def forward(self, x):
        y = x.t().clone(memory_format=torch.preserve_format)
        y.add_(x.t())
        y.t().mul_(2)
        y[0] += 1
        return (y, y.t())


@case((torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),))
class ChannelsLast(nn.Module):
    """A base in channels_last, copied from a contiguous source."""

    def forward(self, x):
        y = x * 2
        y.add_(torch.ones(2, 3, 4, 4))
        y[:, 0].mul_(3)
        y.copy_(torch.arange(96.0).view(2, 3, 4, 4))
        return y


@case((torch.randn(4, 6),))
class Split(nn.Module):
    """Writes to pieces of a tensor."""

    def forward(self, x):
        y = x * 1
        a, b, c = y.chunk(3, 1)
        a.add_(1)
        b.mul_(2)
        p, q = torch.split(y, [1, 3], 0)
        p.zero_()
        u = y.unbind(0)
        u[2].fill_(9.0)
        return (y, a, b, c, q, u[2])


@case((torch.randn(4, 4),))
class Diagonal(nn.Module):
    """Writes to diagonals."""

    def forward(self, x):
        y = x * 1
        y.diagonal().add_(1)
        torch.diagonal(y, 1).zero_()
        return y


@case((torch.randn(1, 3, 1, 4),))
class Squeeze(nn.Module):
    """Writes through squeezed and unsqueezed views."""

    def forward(self, x):
        y = x * 1
        z = y.squeeze()
        z.add_(1)
        w = y.squeeze(0)
        w.mul_(2)
        u = y.unsqueeze(1)
        u.sub_(3)
        return (y, z, w, u)


@case((torch.randn(3, 4),))
class InPlaceViews(nn.Module):
    """In-place views: the tensor object changes its shape."""

    def forward(self, x):
        y = x * 1
        y.t_()
        y.add_(1)
        y.unsqueeze_(0)
        y.mul_(2)
        z = y.transpose_(1, 2)
        z[0, 1] = 5
        return (y, z)


@case((torch.randn(4, 4), torch.tensor([0, 2]), torch.randn(2, 4)))
class Index(nn.Module):
    """Indexed writes: lists, accumulation, masks, scatter."""

    def forward(self, x, i, v):
        y = x * 1
        y[i] = v
        y.index_put_((i,), v, accumulate=True)
        y[:, i] += 1
        y[y > 0] = 0
        y.index_add_(0, i, v)
        y.index_fill_(1, i, 2.0)
        y.scatter_(1, i.view(1, 2).expand(4, 2), 1.5)
        y.index_copy_(0, i, v)
        y.masked_fill_(y < 0, 0.5)
        return y


@case((torch.randn(4, 4), torch.randn(4, 4)))
class Foreach(nn.Module):
    """Several tensors in one op, a buffer among them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("m", torch.zeros(4, 4))

    def forward(self, x, g):
        a = x * 1
        torch._foreach_add_([a, self.m], [g, g * 2])
        torch._foreach_mul_([a, self.m], 0.5)
        torch._foreach_copy_([a], [g])
        torch._foreach_zero_([self.m])
        self.m.add_(a)
        return a + self.m


@case((torch.randn(4, 4), torch.randn(4, 4)))
class OutOverloads(nn.Module):
    """Results written to tensors that the caller gives."""

    def forward(self, x, y):
        o = torch.empty(4, 4)
        torch.mm(x, y, out=o)
        p = torch.empty(4, 4)
        torch.add(x, y, out=p)
        v = torch.empty(4)
        i = torch.empty(4, dtype=torch.int64)
        torch.max(x, 1, out=(v, i))
        return (o + p, v, i)


@case((torch.randn(4, 4),))
class OutDtype(nn.Module):
    """out= of another dtype."""

    def forward(self, x):
        o = torch.empty(4, 4, dtype=torch.float64)
        torch.add(x, 1, out=o)
        return o


@case((torch.randn(3, 4),))
class RandomInPlace(nn.Module):
    """Draws in place: the same numbers in the same order."""

    def forward(self, x):
        y = torch.empty(3, 4)
        y.normal_()
        z = torch.empty(3, 4)
        z.bernoulli_(0.3)
        w = torch.empty(3, 4)
        w.exponential_()
        y[0].random_()
        u = torch.empty(3, 4).cauchy_()
        return x + y + z + w + u.clamp(-1, 1)


@case((torch.randn(3, 4),))
class DropoutEval(nn.Module):
    """Dropout in eval mode returns its operand."""

    def forward(self, x):
        y = x * 1
        d = F.dropout(y, 0.5, training=False)
        d.add_(1)
        return (y, d)


@case((torch.randn(3, 4),))
class ConversionsOfNothing(nn.Module):
    """Conversions that convert nothing return their operand."""

    def forward(self, x):
        y = x * 1
        d = y.to(torch.float32)
        d.add_(1)
        c = y.contiguous()
        c.mul_(2)
        r = y.reshape(12)
        r[0] = 100
        return (y, d, c, r)


@case((torch.randn(3, 4),))
class ReshapeCopy(nn.Module):
    """A reshape that has to copy."""

    def forward(self, x):
        y = x * 1
        r = y.t().reshape(12)
        r.add_(1)
        return (y, r)


@case((torch.randn(4, 4),), dynamic_shapes={"x": {0: Dim("b", min=2, max=32)}})
class SymbolicSize(nn.Module):
    """Views of a tensor of symbolic size."""

    def forward(self, x):
        y = x * 1
        y.view(-1).add_(1)
        y[0] = 2
        y[:, 1:3].mul_(3)
        y.t()[0].zero_()
        z = y.unsqueeze(0)
        z.squeeze(0).add_(1)
        return y


@case(
    (torch.randn(4, 4), torch.randn(6, 4)),
    dynamic_shapes={"x": {0: Dim("a", min=2, max=32)}, "y": {0: Dim("c", min=2, max=32)}},
)
class TwoSymbolicSizes(nn.Module):
    """Two symbolic sizes, and a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("acc", torch.zeros(4, 4))

    def forward(self, x, y):
        a = x * 1
        b = y * 1
        a.view(-1, 2, 2)[:, 0].add_(1)
        b.flatten().mul_(2)
        b.copy_(b.flip(0))
        a.fill_(b.sum())
        self.acc.add_(x.t() @ x)
        c = torch.cat([a, b])
        c[1:].sub_(1)
        return (a, b, c)


@case((torch.randn(2, 3, 8, 8),))
class BatchNorms(nn.Module):
    """Running statistics of batch norm."""

    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.bn1 = nn.BatchNorm1d(8)

    def forward(self, x):
        return self.bn1(self.bn(x).mean(1))


@case((torch.randn(2, 3, 8, 8),))
class InstanceNorm(nn.Module):
    """Running statistics of instance norm."""

    def __init__(self):
        super().__init__()
        self.n = nn.InstanceNorm2d(3, track_running_stats=True, affine=True)

    def forward(self, x):
        return self.n(x)


@case((torch.randn(4, 4),))
class Expanded(nn.Module):
    """A base that is read through an expanded view."""

    def forward(self, x):
        y = x[:, :1] * 1
        e = y.expand(4, 4)
        z = e * 1
        y.add_(1)
        return (e, z, y)


@case((torch.randn(4, 4),))
class AsStrided(nn.Module):
    """A write through as_strided."""

    def forward(self, x):
        y = x * 1
        v = torch.as_strided(y, (2, 2), (4, 1), 1)
        v.add_(1)
        return (y, v)


@case((torch.randn(4, 4),))
class NoGradRegion(nn.Module):
    """Writes to outside tensors in a region without gradients."""

    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4))

    def forward(self, x):
        y = x * 2
        with torch.no_grad():
            self.c.add_(x.sum(0))
            y[0].mul_(2)
            z = y + 1
            z.add_(1)
        return y + z + self.c


@case((torch.randn(4, 4),))
class AutocastRegion(nn.Module):
    """Writes in an autocast region."""

    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4, 4))

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x
            self.c.add_(1)
            z = y * 1
            z.add_(1)
        return y.float() + z.float() + self.c


@case((torch.randn(4, 4),))
class CondInner(nn.Module):
    """Writes to tensors born in a branch."""

    def forward(self, x):

        def a(x):
            y = x * 1
            y[0].add_(1)
            v = y.t()
            v.mul_(2)
            return y.sum(0)

        def b(x):
            y = x.clone()
            y.zero_()
            return y.sum(1)

        return torch.cond(x.sum() > 0, a, b, (x,))


@case((torch.randn(4, 4),))
class CondAfter(nn.Module):
    """Writes after a branch has read the tensor."""

    def forward(self, x):
        y = x * 1
        y.add_(1)

        def a(y):
            return y.sin()

        def b(y):
            return y.cos()

        z = torch.cond(y.sum() > 0, a, b, (y,))
        z.add_(1)
        y.mul_(2)
        return (y, z)


@case((torch.randn(4, 4),))
class ComplexParts(nn.Module):
    """Complex numbers and their parts."""

    def forward(self, x):
        c = torch.view_as_complex(x.view(4, 2, 2) * 1)
        c.mul_(2j)
        r = torch.view_as_real(c)
        r[0] = 1
        return r


@case((torch.randn(4, 4),))
class SharedMemory(nn.Module):
    """Two buffers in one memory."""

    def __init__(self):
        super().__init__()
        b = torch.zeros(4)
        self.register_buffer("a", b)
        self.register_buffer("b", b)

    def forward(self, x):
        self.a.add_(1)
        return x + self.b


@case((torch.randn(4, 4),))
class ConstantCaches(nn.Module):
    """Caches that export lifts as constants."""

    def __init__(self):
        super().__init__()
        self.k = torch.zeros(1, 8, 4)
        self.v = [torch.zeros(4)]

    def forward(self, x):
        self.k[:, 2:6] = x
        self.v[0].add_(x[0])
        return self.k.sum(1) + self.v[0]


@case((torch.randn(4, 4), torch.randn(4, 4)))
class TwoInputs(nn.Module):
    """Two inputs, each written from the other."""

    def forward(self, x, y):
        x.add_(y)
        y.sub_(x)
        x.t().mul_(2)
        return x @ y


@case((torch.randn(4, 4),))
class Activations(nn.Module):
    """A row of activations and matrix products in place."""

    def forward(self, x):
        y = x * 1
        y.clamp_(min=0).mul_(2).sigmoid_()
        y.lerp_(x, 0.3)
        y.addcmul_(x, x, value=0.1)
        y.addmm_(x, x)
        y.pow_(2)
        y.tril_()
        y.relu_()
        F.leaky_relu(y, 0.1, inplace=True)
        F.hardtanh(y, inplace=True)
        return y


@case((torch.randn(4, 4),))
class Nested(nn.Module):
    """Views of views of views."""

    def forward(self, x):
        y = x * 1
        a = y[1:]
        b = a[:, ::2]
        c = b.t()
        c[0] = 1
        a.add_(1)
        b.mul_(3)
        d = y.view(2, 8)[:, 4:]
        d.neg_()
        return (y, a, b, c, d)


@case((torch.randn(4, 4),))
class Detach(nn.Module):
    """A write through a detached tensor."""

    def forward(self, x):
        y = x * 1
        d = y.detach()
        d.add_(1)
        return y.sum() + d.sum()


@case((torch.randn(4, 4),))
class UnusedView(nn.Module):
    """A view that nobody uses after a write."""

    def forward(self, x):
        y = x * 1
        _unused = y[0]
        y.add_(1)
        return y


@case((torch.randn(4, 4),))
class ReturnedView(nn.Module):
    """A view from before a write is returned."""

    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4, 4))

    def forward(self, x):
        old = self.c[0]
        self.c.add_(x)
        return (old, self.c, self.c.t())
