"""Writes to what outlives the call, hidden updates, regions and control flow. All of these can be fixed whole."""

import torch
from torch import nn
from torch.ao.quantization import FusedMovingAvgObsFakeQuantize

from .registry import model

R = torch.randn


@model(R(4, 4))
class InputWrittenThroughViews(nn.Module):
    def forward(self, x):
        x[0].zero_()
        x.view(-1)[5:9].fill_(3.0)
        return x + 1


@model(R(4, 4), R(4, 4))
class TwoInputsWrittenInTurn(nn.Module):
    def forward(self, x, y):
        x.add_(y)
        y.sub_(x)
        x.t().mul_(2)
        return x @ y


@model(R(3, 4))
class BuffersSwap(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", R(4))
        self.register_buffer("b", R(4))

    def forward(self, x):
        kept = self.a.clone()
        self.a.copy_(self.b)
        self.b.copy_(kept)
        return x + self.a - self.b


@model(R(3, 4))
class CopyOfAnInputThatIsWrittenLater(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", R(3, 4))

    def forward(self, x):
        old = torch.empty(3, 4)
        old.copy_(self.a)
        self.a.copy_(x)
        x.add_(1)
        return old, self.a * 2


@model(R(3, 4))
class CopyOfAnInputThatStaysAsItIs(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("a", R(3, 4))
        self.register_buffer("b", R(3, 4))

    def forward(self, x):
        before = self.a * 2
        self.a.copy_(x)
        self.b.copy_(x)
        return before, self.a + self.b


@model(R(4, 4))
class OutputsShareMemoryWithTheState(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4, 4))

    def forward(self, x):
        old = self.c[0]
        self.c.add_(x)
        return old, self.c, self.c.t(), {"rows": [self.c[1:], x]}


@model(R(4, 4))
class ReturnsCopiesOfWhatItHolds(nn.Module):
    """Whoever writes to them must not write to an input or to the state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("b", R(4, 4))
        self.register_buffer("c", R(4, 4))
        self.constant = R(4, 4)

    def forward(self, x):
        copies = [torch.empty(4, 4) for _ in range(3)]
        for copy, held in zip(copies, (self.b, self.constant, x), strict=True):
            copy.copy_(held)
        rows = torch.zeros(4, 4)
        row = rows[1]
        row.copy_(x[2])
        self.c.copy_(x)
        return copies, copies[2].view(2, 8)[:, 4:], row, self.c, self.c[0], x


@model(R(4, 4))
class NonPersistentBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4, 4), persistent=False)

    def forward(self, x):
        self.c[1:3].add_(x[:2])
        return self.c + x


@model(R(4, 4))
class TiedBuffers(nn.Module):
    def __init__(self):
        super().__init__()
        shared = torch.zeros(4)
        self.register_buffer("a", shared)
        self.register_buffer("b", shared)

    def forward(self, x):
        self.a.add_(1)
        return x + self.b


@model(R(4, 4))
class ConstantsBecomeBuffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.cache = torch.zeros(1, 8, 4)
        self.others = [torch.zeros(4)]

    def forward(self, x):
        self.cache[:, 2:6] = x
        self.others[0].add_(x[0])
        return self.cache.sum(1) + self.others[0]


@model(R(4, 4))
class FrozenParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(R(4), requires_grad=False)

    def forward(self, x):
        self.w.mul_(0.5)
        return x * self.w


@model(R(3, 4), R(3, 4))
class WrittenWithWhatRequiresGradients(nn.Module):
    """Export then records that the buffer and the input do, too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("kept", torch.zeros(3, 4))
        self.linear = nn.Linear(4, 4)

    def forward(self, x, y):
        z = self.linear(x)
        self.kept.mul_(0.9).add_(z)
        with torch.no_grad():
            row = self.kept[0].mul_(2) * 1
        y.detach().mul_(2)
        y[1:].add_(z[1:])
        return self.kept + y + row


@model(torch.tensor([1, 0]), R(2, 4))
class KeyValueCache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("keys", torch.zeros(8, 4))
        self.register_buffer("length", torch.tensor(0))

    def forward(self, position, key):
        self.keys.index_copy_(0, position, key)
        self.length += key.shape[0]
        return self.keys @ key.t(), self.length * 1


class _Normalized(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        return self.norm(x)


@model(R(2, 3, 8, 8))
class BatchNorm2dThen1d(nn.Module):
    def __init__(self):
        super().__init__()
        self.outer, self.inner = nn.BatchNorm2d(3), nn.BatchNorm1d(8)

    def forward(self, x):
        return self.inner(self.outer(x).mean(1))


@model(R(2, 3, 4, 4, 4))
class BatchNorm3dWithoutWeights(_Normalized):
    def __init__(self):
        super().__init__(nn.BatchNorm3d(3, affine=False))


@model(R(4, 3))
class BatchNormWithMomentumByCount(_Normalized):
    def __init__(self):
        super().__init__(nn.BatchNorm1d(3, momentum=0.3))


@model(R(4, 3, 2, 2, dtype=torch.float64))
class BatchNormOfDoubles(_Normalized):
    def __init__(self):
        super().__init__(nn.BatchNorm2d(3).double())


@model(R(4, 3, 2, 2).bfloat16())
class BatchNormOfHalves(_Normalized):
    def __init__(self):
        super().__init__(nn.BatchNorm2d(3).bfloat16())


@model(R(4, 3, 2, 2).to(memory_format=torch.channels_last))
class BatchNormOfChannelsLast(_Normalized):
    def __init__(self):
        super().__init__(nn.BatchNorm2d(3))


@model(R(4, 3, 2, 2), train=False)
class BatchNormInEvalModeWritesNothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.norm(x)
        y.add_(1)
        return y


@model(R(2, 3, 8, 8))
class InstanceNormWithStatistics(_Normalized):
    def __init__(self):
        super().__init__(nn.InstanceNorm2d(3, track_running_stats=True, affine=True))


@model(R(2, 3, 8, 8))
class InstanceNormWithoutWeights(_Normalized):
    def __init__(self):
        super().__init__(nn.InstanceNorm2d(3, track_running_stats=True))


@model(R(2, 3, 8))
class InstanceNormWhoseResultIsOnlyRead(nn.Module):
    """By nodes that have nothing to do with what is written."""

    def __init__(self):
        super().__init__()
        self.norm = nn.InstanceNorm1d(3, track_running_stats=True)

    def forward(self, x):
        return self.norm(x).sin()


@model(R(4, 4))
class RegionWithoutGradients(nn.Module):
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


@model(R(4, 4))
class RegionsInRegions(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4))

    def forward(self, x):
        y = x * 2
        with torch.no_grad():
            y.add_(1)
            with torch.enable_grad():
                self.c.add_(y.sum(0))
                z = y * 2
            z[1].zero_()
            v = y.t()
        v.fill_diagonal_(3)
        return y, z, v


@model(R(4, 4))
class RegionWhoseResultsAreOverwritten(nn.Module):
    def forward(self, x):
        y = x * 2
        with torch.no_grad():
            y.add_(1)
        y.zero_()
        return y


@model(R(4, 4))
class AutocastRegion(nn.Module):
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


@model(R(4, 4))
class BranchesWriteWhatTheyMade(nn.Module):
    def forward(self, x):
        def yes(x):
            y = x * 1
            y[0].add_(1)
            y.t().mul_(2)
            return y.sum(0)

        def no(x):
            y = x.clone()
            y.zero_()
            return y.sum(1)

        return torch.cond(x.sum() > 0, yes, no, (x,))


@model(R(4, 4))
class BranchesAreGivenAndReturnWhatRegionsHandOut(nn.Module):
    """A copy of a region's result is one of the region's operand, where the region returns that, or a view of it."""

    def forward(self, x):
        def yes(x, y):
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                row = x.view(16)[4:8]
                z = x * 2
            copied = torch.empty(4)
            copied.copy_(row)
            return copied, z

        with torch.no_grad():
            same = x.view(4, 4)
            doubled = x * 2
        y = torch.empty(4, 4)
        y.copy_(same)
        return torch.cond(x.sum() > 0, yes, lambda x, y: (x.sum(0), x + y), (x, y)), doubled


@model(torch.tensor(3), R(4))
class BranchesCheckInALoop(nn.Module):
    """One of them: the other hands the token on as a copy."""

    def forward(self, count, x):
        def body(count, x):
            def yes(x):
                y = x * 1
                y.add_(1)
                torch._assert_async((y < 1000).all(), "too large")
                return y

            z = torch.cond(x.sum() > 0, yes, lambda x: x * 2, (x,))
            z.mul_(0.5)
            return count - 1, z

        return torch._higher_order_ops.while_loop(lambda count, x: count > 0, body, (count, x))


@model(R(4, 4))
class BranchesReadWhatWasWritten(nn.Module):
    def forward(self, x):
        y = x * 1
        y.add_(1)
        z = torch.cond(y.sum() > 0, lambda y: y.sin(), lambda y: y.cos(), (y,))
        z.add_(1)
        y.mul_(2)
        return y, z


@model(R(4, 4))
class BranchesAreGivenAndReturnCopies(nn.Module):
    """torch refuses branches that take the same memory twice, or return what they take."""

    def forward(self, x):
        y = torch.empty(4, 4)
        y.copy_(x)

        def yes(x, y):
            z = torch.empty(4, 4)
            z.copy_(x)
            return z

        return torch.cond(x.sum() > 0, yes, lambda x, y: x + y, (x, y))


@model(R(4, 4))
class RegionReturnsACopyThatIsWrittenLater(nn.Module):
    """Handed out as the input that it is a copy of, the write would reach the input."""

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = torch.empty(4, 4)
            y.copy_(x)
            z = x * 2
        y.add_(z)
        return y


@model(R(4, 4))
class RegionReturnsATensorAndAViewOfIt(nn.Module):
    """A write to one, outside, is a write to the other."""

    def forward(self, x):
        with torch.no_grad():
            y = x.flip(0)
            diagonal = y.diagonal()
        row = y[1]
        diagonal.mul_(3)
        y.add_(1)
        return row, diagonal, y


@model(R(4))
class RegionWritesToAViewThatItReturns(nn.Module):
    """Also a view alone begins where it began: what the caller takes of it is recorded."""

    def forward(self, x):
        with torch.no_grad():
            y = x.flip(0)
            v = y[2:]
            v.mul_(3)
            alone = (x * 2)[1:]
            alone.add_(1)
            copy = torch.empty_like(x).copy_(x)
            part = copy[1:3]
        first = v.view(-1, 1)
        y.clip_(0, 2)
        copy.mul_(2)
        return v.clone(), first.clone(), y, alone.view(-1, 1), part.clone()


@model(R(4))
class UnusedBranchesDraw(nn.Module):
    """Labelled ATEN, torch would drop the call when it loads the program, and the random state with it."""

    def forward(self, x):
        torch.cond(x.sum() > 0, lambda x: x + torch.rand_like(x), lambda x: x * torch.rand_like(x), (x,))
        y = x * 1
        y.add_(1)
        return y


@model(R(4, 4))
class CopyBesideAViewOfItsSource(nn.Module):
    def forward(self, x):
        y = torch.empty(4, 4)
        y.copy_(x)
        return torch.cond(x.sum() > 0, lambda y, row: y + row, lambda y, row: y - row, (y, x[0]))


@model(R(4, 4))
class RegionWithinABranch(nn.Module):
    def forward(self, x):
        def yes(x):
            with torch.no_grad():
                y = x * 1
                y.add_(1)
            return y * 2

        return torch.cond(x.sum() > 0, yes, lambda x: x.sin(), (x,))


@model(torch.tensor(3), R(4))
class LoopBodyWritesWhatItMade(nn.Module):
    def forward(self, n, x):
        def body(n, x):
            y = x * 1
            y[1:].add_(2)
            y.neg_()
            return n - 1, y

        return torch._higher_order_ops.while_loop(lambda n, x: n > 0, body, (n, x))


@model(R(4, 4))
class ChecksAmongTheWrites(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.zeros(4, 4))

    def forward(self, x):
        self.c.add_(x)
        torch._assert_async((self.c.abs() < 100).all(), "c is too large")
        y = self.c.sum(0)
        y.mul_(2)
        return y


class _Child(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.tensor(0.0))

    def forward(self, x):
        self.count.add_(1)
        y = x * self.count
        y.add_(1)
        return y


@model(R(4, 4))
class SubmodulesWrite(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = _Child(), _Child()

    def forward(self, x):
        y = self.second(self.first(x))
        y.mul_(2)
        return self.first(y)


class _Viewing(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(4))

    def forward(self, x):
        self.count.add_(1)
        y = x * self.count
        return y, y[1:].t()


@model(R(4, 4))
class ViewsOfOneModuleTakenAgainAfterAnother(nn.Module):
    """``torch.export.unflatten`` takes nodes of a module that stand apart for several of its calls."""

    def __init__(self):
        super().__init__()
        self.first, self.second = _Viewing(), _Viewing()

    def forward(self, x):
        y, part = self.first(x)
        z, other = self.second(y)
        y.add_(z)
        z.mul_(2)
        again, last = self.first(z)
        again.add_(1)
        return part + other, part, last, other


@model(torch.tensor(3), R(4, 4))
class LoopReadsWhatIsWrittenAroundIt(nn.Module):
    """What a loop is given, carried or not, is memory from outside the first time and the body's own afterwards; it
    writes and returns none of it.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("c", torch.ones(4))

    def forward(self, n, x):
        self.c.add_(1)
        y = x * 1
        y[0].add_(1)

        def body(n, y, rows):
            z = y * self.c
            z[1:].add_(rows)
            return n - 1, z, rows * 2

        steps, z, rows = torch._higher_order_ops.while_loop(lambda n, y, rows: n > 0, body, (n, y, y[1:].clone()))
        self.c.mul_(2)
        y.sub_(z)
        z.add_(1)
        return steps, y, z, rows


@model(R(4))
class ReturnsWhatItKeeps(nn.Module):
    """The result is no buffer: what the next call writes must not show in it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("last", torch.zeros(4))

    def forward(self, x):
        y = x + 1
        self.last.copy_(y)
        return y


@model(R(4))
class ReturnsABufferAndItsCopy(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x):
        self.total.add_(x)
        return self.total, torch.empty_like(self.total).copy_(self.total)


@model(R(3, 4))
class TrainedForQuantization(nn.Module):
    """What observers note is written by ops that return another tensor."""

    def __init__(self):
        super().__init__()
        self.inputs = FusedMovingAvgObsFakeQuantize()
        self.linear = nn.Linear(4, 4)
        self.outputs = FusedMovingAvgObsFakeQuantize(quant_min=-128, quant_max=127, dtype=torch.qint8)
        for name, value in (("least", -1.0), ("most", 1.0), ("scale", 0.1)):
            self.register_buffer(name, torch.tensor([value]))
        self.register_buffer("zero", torch.tensor([0], dtype=torch.int32))

    def forward(self, x):
        on = torch.tensor([1])
        observed = (self.least, self.most, self.scale, self.zero)
        helped = torch.ops.aten._fused_moving_avg_obs_fq_helper(x, on, on, *observed, 0.01, 0, 255, -1)
        noise = torch.zeros_like(x)
        leaky = torch.ops.aten.rrelu_with_noise(x, noise, 0.1, 0.3, False)
        return self.outputs(self.linear(self.inputs(x))), helped[0], leaky, noise


@model(R(3, 4))
class ColumnsForQuantization(nn.Module):
    """The same of what is not contiguous: of one op, the functional overload lays out its result in another way."""

    def __init__(self):
        super().__init__()
        for name, value in (("least", -1.0), ("most", 1.0), ("scale", 0.1)):
            self.register_buffer(name, torch.tensor([value]))
        self.register_buffer("zero", torch.tensor([0], dtype=torch.int32))

    def forward(self, x):
        columns = (x * 2).t()
        on = torch.tensor([1])
        observed = (self.least, self.most, self.scale, self.zero)
        faked = torch.fused_moving_avg_obs_fake_quant(columns, on, on, *observed, 0.01, 0, 255, -1)
        noise = torch.zeros_like(columns)
        trained = torch.ops.aten.rrelu_with_noise(columns, noise, 0.1, 0.3, True)
        return faked, torch.ops.aten.rrelu_with_noise(columns, noise, 0.1, 0.3, False), trained, noise


class _Gaps(nn.Module):
    """Buffers with gaps in memory, as a checkpoint that was sliced has them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("column", R(2, 3, 4)[..., :1])
        self.register_buffer("other", R(3, 6)[:, ::2])
        self.register_buffer("third", R(3, 6)[:, 1::2])


@model(R(4))
class GapsSeenThroughAView(_Gaps):
    def forward(self, x):
        seen = torch.atleast_3d(self.column)
        torch.cumsum(seen, 2, out=seen)
        return seen.flip(0), seen, x + 1


@model(R(3, 3))
class GapsSwapped(_Gaps):
    def forward(self, x):
        kept = torch.atleast_2d(self.other) * 1
        self.other.copy_(self.third)
        self.third.copy_(kept)
        first, second = torch.atleast_2d(self.other), torch.atleast_2d(self.third)
        return first, second, x.add_(first), first.t()


@model(R(3, 3))
class GapsInABranch(_Gaps):
    def forward(self, x):
        self.other.add_(x)
        seen = torch.atleast_2d(self.other)

        def yes(one, two):
            return (one + two).t().contiguous()

        def no(one, two):
            return (one - two).t().contiguous()

        return torch.cond(x.sum() > 0, yes, no, (seen, self.third)), seen


@model(R(6, 6))
class GapsOfAnInput(nn.Module):
    """What an input shows between its elements stays out of the result."""

    def forward(self, x):
        cut = x[:, ::2]
        cut.mul_(2)
        return torch.atleast_2d(cut), x[::2, 1:3].add_(1), torch.atleast_2d(x)
