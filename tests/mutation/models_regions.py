"""Writes in and around what torch calls graphs for (scans, maps, hints, regions that are compiled once, checkpoints),
and to tensors whose sizes no input tells. All of these can be fixed whole.
"""

import torch
from torch import nn
from torch._higher_order_ops import hints_wrapper, scan, while_loop
from torch.utils.checkpoint import checkpoint

from .registry import model

R = torch.randn


class _Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4))
        self.linear = nn.Linear(4, 4)


@model(R(3, 4), R(5))
class TakesViewsOfAListInARegion(_Counting):
    """What is shown depends on another tensor of the list, which is known inside only."""

    def forward(self, x, y):
        row = self.c.view(-1)
        whole = row.view(2, 2)
        with torch.no_grad():
            grid = torch.meshgrid(row, y.view(-1), indexing="ij")[0]
            wide = torch.broadcast_tensors(row, x.view(3, 4))[0]
        row.add_(1)
        whole[0].mul_(2)
        return grid.clone(), wide.clone(), whole + 1


@model(R(3, 4))
class ScansWhatIsWritten(_Counting):
    """Before, in and after the scan."""

    def forward(self, x):
        y = x * 1
        y.add_(1)

        def step(carry, row):
            z = carry * 1
            z.add_(row)
            z[1:].mul_(2)
            return z, z.sum(0, keepdim=True).clone()

        self.c.add_(1)
        carry, out = scan(step, self.c * 1, y)
        out.mul_(2)
        y.sub_(1)
        return carry, out, y


@model(R(3, 4))
class ScansAViewAlongTheLastDimension(_Counting):
    def forward(self, x):
        self.c.add_(1)
        first, rest = self.c[:2], self.c[2:]

        def step(carry, row):
            z = carry.clone()
            z.add_(row[:2]).add_(rest)
            return z, row.clone()

        carry, out = scan(step, first, x.t(), dim=1)
        self.c.mul_(2)
        first.add_(1)
        return carry, out, self.c + 0


@model(R(3, 4))
class ScanOfBranches(_Counting):
    def forward(self, x):
        y = x * 1
        y.add_(1)

        def step(carry, row):
            def yes(carry, row):
                z = carry * 1
                z.add_(self.linear(row))
                return z

            z = torch.cond(row.sum() > 0, yes, lambda carry, row: carry - row, (carry, row))
            return z, z.clone()

        carry, out = scan(step, self.c * 1, y)
        y.mul_(2)
        out.add_(1)
        return carry, out, y


@model(R(3, 4))
class MapsWhatIsWritten(_Counting):
    """Before, in and after the map."""

    def forward(self, x):
        y = x * 1
        y.add_(1)

        def body(row, w):
            z = row * 1
            z.add_(w)
            z[0].zero_()
            return z

        out = torch._higher_order_ops.map(body, y, self.c * 2)
        out[0].add_(1)
        y.mul_(2)
        return out, y


@model(torch.tensor(3), R(4))
class LoopReadsAWrittenBuffer(_Counting):
    def forward(self, n, x):
        self.c.add_(1)

        def body(n, x):
            y = x * 1
            y[1:].add_(self.c[1:])
            return n - 1, y

        n, y = while_loop(lambda n, x: n > 0, body, (n, x))
        self.c.mul_(2)
        y.add_(self.c)
        return n, y


@model(R(3, 4))
class HintsAroundWrites(nn.Module):
    def forward(self, x):
        def body(x, y):
            z = x * 1
            z.add_(y)
            return z

        z = hints_wrapper(body, (x, x * 2), {}, hints={"key": True})
        z[0].mul_(2)
        return z


if hasattr(torch.compiler, "nested_compile_region"):  # torch 2.8 has it first

    @torch.compiler.nested_compile_region
    def _region(x, y):
        z = x * 1
        z.add_(y)
        return z * 2

    @model(R(3, 4))
    class RegionsCompiledOnce(_Counting):
        def forward(self, x):
            self.c.add_(1)
            y = _region(x, self.c)
            z = _region(y, self.c)
            z.add_(1)
            self.c.mul_(2)
            return y, z


@model(R(3, 4))
class Checkpoints(_Counting):
    """A part that autograd computes again writes once."""

    def forward(self, x):
        def part(x):
            self.c.add_(x.sum(0).detach())
            y = self.linear(x)
            y.relu_()
            return nn.functional.dropout(y, 0.5) * self.c

        y = checkpoint(part, x, use_reentrant=False)
        y.add_(1)
        return y


@model(R(3, 4))
class AutocastInAutocast(_Counting):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = self.linear(x)
            with torch.autocast("cpu", dtype=torch.float16):
                z = self.linear(x)
            with torch.autocast("cpu", enabled=False):
                w = self.linear(x)
                w.add_(1)
            self.c.add_(1)
        return y, z, w, self.c.sum()


@model(R(3, 4))
class DropoutsInPlaceUnderAutocast(_Counting):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = nn.functional.dropout(self.linear(x), 0.5, inplace=True)
            z = nn.functional.alpha_dropout(x * 1, 0.5, True, inplace=True)
            z = nn.functional.dropout1d(z, 0.5, inplace=True)
            z.subtract_(1)
        return y, z


@model(torch.tensor(3), R(5, 4))
class SizeOfAnItem(nn.Module):
    def forward(self, n, x):
        size = n.item()
        torch._check(size >= 1)
        torch._check(size <= 5)
        y = x[:size] * 1
        y.add_(1)
        z = torch.zeros(size, 4)
        z.copy_(y)
        z[0].mul_(2)
        return y, z


@model(torch.tensor([1, 0, 3]))
class SizeOfWhatIsNotZero(_Counting):
    def forward(self, x):
        places = x.nonzero()
        torch._check(places.shape[0] >= 1)
        y = torch.ones(places.shape[0], 4)
        y.add_(self.c)
        y[0] = 2
        return y, places


if tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 15):  # the first whose export takes them
    from torch.fx.experimental.dynamic_spec import ParamsSpec, ShapeVar, TensorSpec

    @model(R(3, 4), dynamic=ParamsSpec({"x": TensorSpec([ShapeVar("batch", min=2, max=16), None])}))
    class SizesSpecified(_Counting):
        """Sizes of inputs that are known of no value."""

        def forward(self, x):
            y = x * 1
            y.add_(1)
            y[0].mul_(2)
            self.c.add_(y.sum(0))
            y.view(-1).mul_(2)
            return y, self.c + 1


@model(R(3, 4))
class BranchThatReadsNoneOfWhatTheOtherWrites(_Counting):
    def forward(self, x):
        def writes(x):
            self.c.mul_(2)
            return x + 1

        def reads(x):
            return x - 1

        with torch.no_grad():
            y = torch.cond(x.sum() > 0, writes, reads, (x,))
        return y, self.c * 1


@model(R(6, 2))
class RegionReturnsACopyThatIsResized(nn.Module):
    """The write must not reach the input that the copy was made of."""

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = torch.empty(1, 2)
            y.copy_(x[5:])
            z = x * 2
        torch.sum(z[:1], 0, out=y)
        return z, y
