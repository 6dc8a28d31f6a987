"""Writing ops: dtypes, broadcasting, indices, lists, ``out=``, random numbers. All of these can be fixed whole."""

import torch
from torch import nn
from torch.nn import functional

from .registry import model

R = torch.randn


@model(R(3, 4).half(), R(3, 4))
class ResultIsCastToTheTargetsDtype(nn.Module):
    def forward(self, h, f):
        y = h * 1
        y.add_(f)
        y.mul_(2.5)
        z = y.to(torch.float32)
        z.sub_(h)
        y[0].addcmul_(f[0], f[1])
        return y, z


@model(torch.arange(12).view(3, 4))
class IntegersStayIntegers(nn.Module):
    def forward(self, x):
        y = x * 1
        y.add_(2)
        y.floor_divide_(3)
        y.eq_(2)
        y.cumsum_(0)
        y[0].bitwise_or_(5)
        y.remainder_(4)
        return y


@model(torch.arange(12, dtype=torch.int32).view(3, 4) * 400000000)
class RunningSumInItsOwnNarrowDtype(nn.Module):
    def forward(self, x):
        y = x * 1
        y.cumsum_(1)
        y[0].cumprod_(0)
        return y


@model(R(3, 4))
class FlagsAndMasks(nn.Module):
    def forward(self, x):
        y = x > 0
        y.logical_not_()
        y[0].fill_(True)
        z = x * 1
        z.gt_(0)
        z.masked_fill_(y, 7.0)
        z.masked_scatter_(y, x)
        return y, z


@model(R(3, 4), R(4), R(1))
class SourceIsBroadcast(nn.Module):
    def forward(self, x, row, one):
        y = x * 1
        y.copy_(row)
        y[1] = one
        y[:, 2] = 3
        y[2].copy_(row * 2)
        y.add_(row)
        return y


@model(R(3, 4), R(4, dtype=torch.float64), torch.arange(4))
class CopyCastsAndBroadcasts(nn.Module):
    def forward(self, x, doubles, numbers):
        y = x * 1
        y[0].copy_(numbers)
        y[1:] = doubles
        z = numbers * 1
        z.copy_(x[0])
        return y, z


@model(R(4, 4), torch.tensor([0, 2]), R(2, 4))
class Indexed(nn.Module):
    def forward(self, x, i, v):
        y = x * 1
        y[i] = v
        y.index_put_((i,), v, accumulate=True)
        y[:, i] += 1
        y[None, i] = v * 2
        y[y > 0] = 0
        y[i, i] = 5.0
        y.index_add_(0, i, v)
        y.index_fill_(1, i, 2.0)
        y.scatter_(1, i.view(1, 2).expand(4, 2), 1.5)
        y.scatter_add_(0, i.view(1, 2), v)
        y.index_copy_(0, i, v)
        y.index_reduce_(0, i, v, "amax")
        y.masked_fill_(y < 0, 0.5)
        y.put_(i, v[0, :2])
        return y


@model(R(4, 4), torch.tensor([[0, 2], [1, 1]]))
class IndexedTransposedTensor(nn.Module):
    def forward(self, x, i):
        y = (x * 1).t()
        y.scatter_(1, i, 1.5)
        y.index_add_(0, i[0], y[1:3] * 2)
        y.masked_fill_(y > 1, 1.0)
        y.renorm_(2, 0, 1.0)
        return y, y.t().view(-1)


@model(R(4, 4), R(4, 4), train=False)
class ListsOfTensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("moment", torch.zeros(4, 4))

    def forward(self, x, g):
        a = x * 1
        torch._foreach_add_([a, self.moment], [g, g * 2])
        torch._foreach_mul_([a, self.moment], 0.5)
        torch._foreach_copy_([a], [g])
        torch._foreach_zero_([self.moment])
        torch._foreach_lerp_([a], [g], 0.25)
        torch._foreach_addcmul_([a], [g], [g], 2)
        self.moment.add_(a)
        return a + self.moment


@model(R(4), R(4, dtype=torch.float64))
class ListsOfSeveralDtypesWithNumbersEach(nn.Module):
    def forward(self, x, d):
        a, b = x * 1, d * 1
        torch._foreach_add_([a, b], [0.5, 2.0])
        torch._foreach_mul_([a, b], [d, x])
        torch._foreach_sqrt_([a.abs_(), b.abs_()])
        return a, b


@model(R(4, 4), R(4, 4))
class OutOfSeveralKinds(nn.Module):
    def forward(self, x, y):
        o = torch.empty(4, 4)
        torch.mm(x, y, out=o)
        p = torch.empty(4, 4)
        torch.add(x, y, out=p)
        v, i = torch.empty(4), torch.empty(4, dtype=torch.int64)
        torch.max(x, 1, out=(v, i))
        q = torch.empty(4, 4)
        torch.cumsum(x, 0, out=q)
        s = torch.empty(4)
        torch.sum(x, 0, out=s)
        return o + p, v, i, q, s


@model(R(4, 4), torch.arange(16).view(4, 4))
class OutOfAnotherDtype(nn.Module):
    def forward(self, x, n):
        o = torch.empty(4, 4, dtype=torch.float64)
        torch.add(x, 1, out=o)
        p = torch.empty(4, 4, dtype=torch.int64)
        torch.gt(x, 0, out=p)
        q = torch.empty(4, 4, dtype=torch.int64)
        torch.cumsum(x * 10, 0, out=q)
        r = torch.empty(4, dtype=torch.float64)
        torch.sum(n, 1, out=r)
        return o, p, q, r


@model(R(4, 4), R(4, 4))
class OutIsABuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("product", torch.zeros(4, 4))
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x, y):
        torch.mm(x, y, out=self.product)
        torch.sum(x, 1, out=self.total)
        return self.product + self.total


@model(R(3, 4))
class RandomNumbers(nn.Module):
    def forward(self, x):
        y = torch.empty(3, 4).normal_()
        z = torch.empty(3, 4).bernoulli_(0.3)
        w = torch.empty(3, 4).exponential_()
        y[0].random_(9)
        u = torch.empty(3, 4).cauchy_()
        t = torch.empty(4, 3).t().log_normal_()
        g = torch.empty(3, 4).geometric_(0.4)
        return x + y + z + w + u.clamp(-1, 1), t, g


@model(R(3, 4), R(3, 4))
class RandomNumbersAfterAnotherLayout(nn.Module):
    """They are drawn in the order of memory, so the twin must be given the tensor in the layout that it had."""

    def forward(self, x, other):
        y = torch.zeros(4, 3).t()
        y.copy_(other)
        y.normal_()
        z = x.t() * 1
        z.tril_()
        z.exponential_()
        return y, z


@model(R(3, 4))
class DropoutInPlace(nn.Module):
    def forward(self, x):
        y = x * 1
        functional.dropout(y, 0.5, training=True, inplace=True)
        z = (x * 2).t()
        functional.dropout(z, 0.3, training=True, inplace=True)
        return y, z


@model(R(4, 4))
class ActivationsAndArithmetic(nn.Module):
    def forward(self, x):
        y = x * 1
        y.clamp_(min=0).mul_(2).sigmoid_()
        y.lerp_(x, 0.3)
        y.addcmul_(x, x, value=0.1)
        y.addcdiv_(x, x + 9)
        y.addmm_(x, x)
        y.pow_(2)
        y.tril_()
        y.relu_()
        functional.leaky_relu(y, 0.1, inplace=True)
        functional.hardtanh(y, inplace=True)
        functional.elu(y, inplace=True)
        functional.silu(y, inplace=True)
        y.div_(3, rounding_mode="floor")
        y.polygamma_(1)
        y.nan_to_num_()
        return y


@model(R(6, 2), R(2, 6))
class DiagonalsFilled(nn.Module):
    def forward(self, tall, wide):
        a, b = tall * 1, wide * 1
        a.fill_diagonal_(3)
        b.fill_diagonal_(4, wrap=True)
        a.t().fill_diagonal_(5)
        return a, b


@model(R(4, 4), torch.randn(4, 4, dtype=torch.complex64))
class ComplexNumbers(nn.Module):
    def forward(self, x, c):
        z = c * 1
        z.add_(x)
        z.mul_(2j)
        torch.view_as_real(z)[..., 0].add_(x)
        z[0].copy_(x[0])
        return z


@model(R(4, 4), R(2, 3, 4, 4))
class OutOfOpsThatMakeColumns(nn.Module):
    """LAPACK's results are column-major, while a tensor that is given as ``out=`` keeps its strides."""

    def forward(self, x, images):
        positive = x @ x.t() + 9 * torch.eye(4)
        inverse, root, vectors, q, r = (torch.empty(4, 4) for _ in range(5))
        torch.linalg.inv(positive, out=inverse)
        torch.linalg.cholesky(positive, out=root)
        root.view(-1)[2:4].add_(1)
        torch.linalg.eigh(positive, out=(torch.empty(4), vectors))
        torch.linalg.qr(x, out=(q, r))
        batch = torch.empty(2, 3, 4, 4)
        torch.linalg.inv(images, out=batch)
        return inverse.view(-1), root, vectors.view(2, 8), q.view(-1), r.view(-1), batch.view(6, 16)


@model(R(2, 3, 4, 4), R(3, 5))
class OutOfOpsThatKeepRows(nn.Module):
    def forward(self, x, y):
        pooled, padded, columns = torch.empty(2, 3, 2, 2), torch.empty(2, 3, 6, 6), torch.empty(5, 3)
        torch.ops.aten.avg_pool2d.out(x, [2, 2], out=pooled)
        torch.ops.aten.reflection_pad2d.out(x, [1, 1, 1, 1], out=padded)
        torch.cat([y.t()[:2], y.t()[2:]], out=columns)
        total, place = torch.empty(4, 3), torch.empty(3, dtype=torch.int64)
        torch.sum(x.permute(3, 1, 0, 2), (2, 3), out=total)
        torch.argmax(y, 1, out=place)
        return pooled.view(-1), padded.view(-1), columns.view(-1), total.view(-1), place


@model(R(4).half(), R(4), R(4, dtype=torch.float64))
class OutOfOpsThatJoinSeveralDtypes(nn.Module):
    """What is joined is of the widest dtype, also where the first tensor has that of ``out=``."""

    def forward(self, h, f, d):
        halves, floats, rows = torch.empty(8, dtype=torch.half), torch.empty(8), torch.empty(2, 4)
        torch.cat([h, f], out=halves)
        torch.cat([f, d], out=floats)
        torch.stack([f, d], out=rows)
        floats.add_(1)
        return halves, floats, rows


@model(R(3, 4), torch.tensor([1, 0]))
class OutOfOpsThatPickElements(nn.Module):
    """Nothing is rounded, so that columns take them as well."""

    def forward(self, x, index):
        columns, picked, table = torch.zeros(4, 6).t(), torch.zeros(4, 2).t(), torch.zeros(2, 4)
        torch.cat([x, x], out=columns)
        torch.index_select(x, 0, index, out=picked)
        torch.aminmax(x, dim=0, out=(table[0], table[1]))
        return columns, picked, table


@model(R(12), R(3, 4))
class ListsOfPiecesOfOneTensor(nn.Module):
    """As an optimizer has them of flat parameters: which is written first makes no difference."""

    def __init__(self):
        super().__init__()
        self.register_buffer("b", torch.zeros(2, 6))

    def forward(self, x, g):
        torch._foreach_add_([x[:4], x[4:8]], [g[0], g[1]])
        torch._foreach_mul_(list(g.unbind(0)), 2.0)
        torch._foreach_copy_([self.b[0], self.b[1]], [x[:6], x[6:]])
        first, second = torch.split(x, 6)
        torch._foreach_addcmul_([second, first], [self.b[0], self.b[1]], [self.b[0], self.b[0]], 2.0)
        return first, second, self.b * 2


@model(R(3, 4))
class CopiesSeenByStrides(nn.Module):
    """A copy is laid out as its target was, whatever the input is laid out like."""

    def __init__(self):
        super().__init__()
        self.register_buffer("b", torch.zeros(3, 4))

    def forward(self, x):
        twice, sine, turned, rows, first, second = (torch.empty(*s) for s in [(3, 4), (3, 4), (4, 3), *[(3, 4)] * 3])
        twice.copy_(x * 2)
        torch.sin(x, out=sine)
        self.b.copy_(x)
        turned.t().copy_(x)
        other = torch.empty(2, 6)
        other.view(3, 4).copy_(x)
        pieces = torch.zeros(2, 3, 4)
        pieces[1].view(3, 4).copy_(x)
        rows[1:].copy_(x[1:])
        rows[:1] = x[:1]
        torch._foreach_copy_([first, second], [x, x + 1])
        few = sine.as_strided((5,), (2,))
        seen = twice.view(12), few, self.b.view(2, 6), turned.view(12), rows.view(-1), first.view(torch.int32)
        return seen, second, other, pieces


@model(R(4, 4), R(4, 4))
class OutOfTheCallerAndTheModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("rows", torch.zeros(8, 4))
        self.register_buffer("blocks", torch.zeros(4, 4))

    def forward(self, x, y):
        torch.cat([x, x], out=self.rows)
        torch.index_select(x, 0, torch.tensor([0, 2]), out=self.rows[:2])
        torch.kron(x[:2, :2], x[:2, :2], out=self.blocks)
        torch.gather(x, 1, torch.tensor([[0, 1, 2, 3]] * 4), out=y)
        return self.rows + 1


@model(R(4, 4), R(4))
class OutOfNothing(nn.Module):
    """``torch.empty(0)`` becomes what the op makes of it, and is written again later."""

    def forward(self, x, y):
        product = torch.mm(x, x, out=torch.empty(0))
        product.add_(1)
        o = torch.empty(0)
        torch.add(x, y, out=o)
        o.t().mul_(2)
        values, places = torch.empty(0), torch.empty(0, dtype=torch.int64)
        torch.sort(x, 0, out=(values, places))
        wide = torch.empty(2, 0, dtype=torch.float64)
        torch.sum(x, 0, out=wide)
        return product, o, o[0], values, places, wide


@model(R(4, 4), R(4))
class ColumnsOutOfNothing(nn.Module):
    """torch records rows for what its kernels make columns of; those of fft make rows, other than their twins."""

    def forward(self, x, y):
        o, lower, waves = torch.empty(0), torch.empty(0), torch.empty(0, dtype=torch.complex64)
        torch.add(x.t(), y, out=o)
        torch.cholesky(x @ x.t() + 4 * torch.eye(4), out=lower)
        torch.fft.fft(x.to(torch.complex64), dim=0, out=waves)
        triangle = torch.linalg.solve(x + 4 * torch.eye(4), x, out=torch.empty(0))
        triangle.mul_(2)
        return o, lower, waves, triangle


@model(R(4, 4), R(1, 4))
class OfThatSizeAlready(nn.Module):
    """What changes nothing about its tensor, one that the caller or the module holds, too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("held", torch.zeros(4, 4))

    def forward(self, x, y):
        z = (x * 2).t()
        z.resize_(4, 4)
        z.mul_(3)
        x.squeeze_(0)
        x.add_(1)
        self.held.resize_as_(x)
        self.held[1].copy_(y[0])
        y.transpose_(1, 1)
        return z, self.held * 2


@model(torch.arange(4), R(4, dtype=torch.complex64), R(4))
class OutThatIsCast(nn.Module):
    def forward(self, i, z, x):
        single, double = torch.empty(4), torch.empty(4, dtype=torch.float64)
        torch.sin(i, out=single)
        torch.div(i, 3, out=double)
        size, flags = torch.empty(4), torch.empty(4, dtype=torch.uint8)
        torch.abs(z, out=size)
        torch.gt(x, 0, out=flags)
        return single, double, size, flags


@model(R(2, 3, 4, 4).to(memory_format=torch.channels_last), R(2, 3, dtype=torch.complex64))
class OutOfOpsThatFollowTheirOperands(nn.Module):
    """What is given as ``out=`` is row-major, and viewed as such; a new result would not be."""

    def forward(self, x, z):
        pooled, joined, waves = torch.empty(2, 3, 2, 2), torch.empty(4, 3, 4, 4), torch.empty_like(z)
        torch.ops.aten.avg_pool2d.out(x, [2, 2], out=pooled)
        torch.cat([x, x], out=joined)
        torch.fft.fft(z, dim=0, out=waves)
        return pooled.view(-1), joined.view(-1), waves.view(-1)


@model(R(5, 3))
class AmidBatchesAndDuals(nn.Module):
    """What ``vmap`` and ``jvp`` become stays as it is: scopes that a label ATEN would lose."""

    def forward(self, x):
        y = x * 2
        y.relu_()
        sums = torch.vmap(lambda row: row.sum() + 1)(y)
        sums.add_(1)
        twice = torch.vmap(torch.vmap(lambda number: number * 2))(y)

        def scaled(row):
            weights = torch.zeros(3)
            weights.add_(1)
            return weights * row

        value, tangent = torch.func.jvp(lambda z: z.sin() * 2, (y * 1,), (torch.ones_like(y),))
        return sums, twice, torch.vmap(scaled)(y), value, tangent


@model(R(4, 3, 5), torch.zeros(4, 3, 5))
class BatchNormIntoTensors(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("variance", torch.ones(3))

    def forward(self, x, given):
        made, saved = torch.empty_like(x), torch.zeros(2, 3)
        statistics = self.mean, self.variance
        outs = {"out": made, "save_mean": saved[0], "save_invstd": saved[1]}
        torch.ops.aten.native_batch_norm.out(x, None, None, *statistics, True, 0.1, 1e-5, **outs)
        outs = {"out": given, "save_mean": torch.empty(3), "save_invstd": torch.empty(3)}
        torch.ops.aten.native_batch_norm.out(made, None, None, None, None, True, 0.1, 1e-5, **outs)
        return made, saved, self.mean * 1


@model(torch.zeros(6, 20))
class NormalIntoPieces(nn.Module):
    """Numbers are drawn one by one into what is not contiguous, else many at once; the same ones have to come out."""

    def forward(self, x):
        y = x.clone()
        y[:, 10:].normal_()
        y[:5, 1::4].normal_(2.0, 0.5)
        y.t()[:3].normal_()
        y[::2, 3].normal_()
        y.view(6, 4, 5)[1:, :, 1:4].normal_()
        y.view(6, 4, 5).permute(2, 0, 1)[1:].normal_()
        y.t()[3:, :4].normal_(1.0)
        x[:, 1].normal_()
        return y, torch.randn(3)


@model(R(4, 6))
class DrawnIntoConjugates(nn.Module):
    """What is drawn into the conjugate or negative of what is stored is drawn into a copy, and so many at once."""

    def forward(self, x):
        y = torch.complex(x, x * 2)
        y.conj().imag.normal_()
        torch._neg_view(x[:, 1:]).normal_()
        z = torch.complex(x, x.exp())
        z.conj()[:, ::2].normal_()
        z.conj().t()[:4].normal_()
        windows = z.conj().imag.unfold(0, 2, 2)
        windows.masked_scatter_(windows > 0, windows.reshape(-1).flip(0))
        torch._neg_view(x.t()).normal_()
        y.real.normal_()
        return x, y, z, windows


@model(R(4))
class ResultsInConjugates(nn.Module):
    """What takes the place of a conjugate's part has gaps as it had, though torch copies conjugates without them."""

    def forward(self, x):
        y = torch.complex(x, x * 2)
        v = torch.atleast_1d(y.conj().imag, x)[0]
        torch.mul(v * 2, 0.5, out=v)
        return v, torch.dropout(v, 0.0, True)


@model(R(3, 4))
class BatchesThatNobodyReads(nn.Module):
    def forward(self, x):
        y = x * 1
        z = y > 0
        torch.vmap(lambda row: row.frac_())(y)
        return z


@model(R(3, 4), R(3, 4))
class OptimizersOfListsThatMayBeEmpty(nn.Module):
    """Ops that write several lists: what they keep no list of, they are given an empty one for."""

    def __init__(self):
        super().__init__()
        for name in ("weight", "moment", "square", "most"):
            self.register_buffer(name, torch.ones(3, 4))
        self.register_buffer("count", torch.ones(()))

    def forward(self, gradient, other):
        step = {"lr": 0.1, "weight_decay": 0.01, "maximize": False}
        adam = {**step, "beta1": 0.9, "beta2": 0.99, "eps": 0.1}
        both = [self.weight, other], [gradient * 1, gradient * 2], [self.moment, gradient * 0], [self.square, other + 9]
        counts = [self.count, self.count]
        torch._fused_adam_(*both, [], counts, amsgrad=False, **adam)
        torch._fused_adamw_(*both, [self.most, gradient * 0], counts, amsgrad=True, **adam)
        torch._fused_adagrad_([self.weight], [gradient * 1], [self.square], [self.count], lr_decay=0.1, eps=0.1, **step)
        sgd = {**step, "dampening": 0.0, "nesterov": False, "is_first_step": False}
        torch._fused_sgd_([self.weight], [gradient * 1], [self.moment], momentum=0.9, **sgd)
        torch._fused_sgd_([other], [gradient * 1], [], momentum=0.0, **sgd)
        return self.weight * 2, other


@model(R(3, 4))
class OptimizerBesidesPieces(nn.Module):
    """torch gives names to lists among results when it loads them, which pieces must not have."""

    def forward(self, x):
        first, second = x.chunk(2, 1)
        weight, moment, square = (torch.ones(3, 4) for _ in range(3))
        torch._fused_sgd_([weight], [x * 1], [moment], momentum=0.9, lr=0.1, weight_decay=0.1, dampening=0.0,
                          nesterov=False, maximize=False, is_first_step=False)  # fmt: skip
        left, right = weight.split(2, 1)
        least, place = left.min(0)

        def part(x, weight):
            torch._fused_sgd_([weight], [x * 2], [square], momentum=0.9, lr=0.1, weight_decay=0.1, dampening=0.0,
                              nesterov=False, maximize=False, is_first_step=False)  # fmt: skip
            return weight.chunk(2)[0].min(0)

        with torch.autocast("cpu", enabled=False):
            most, where = part(x, weight)
        return first + second, left, right, least, place, most, where


@model(R(3, 4))
class OptimizerInARegionBesidesPieces(nn.Module):
    """The same, where what returns the lists comes into the graph of the pieces with the region that it stood in."""

    def forward(self, x):
        first, second = x.chunk(2, 1)
        with torch.no_grad():
            weight = x * 1
            torch._fused_sgd_([weight], [x * 2], [x * 3], momentum=0.9, lr=0.1, weight_decay=0.1, dampening=0.0,
                              nesterov=False, maximize=False, is_first_step=False)  # fmt: skip
        return first + second, weight


@model(R(3, 4), R(3).half())
class NoiseInARegionThatNobodyReads(nn.Module):
    def forward(self, x, noise):
        noise.relu_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
            y = x + x
            torch.ops.aten.rrelu_with_noise(x[0, :3].clone(), noise, 0.1, 0.3)
        return y


@model(R(3, 4), R(3))
class PiecesOfWhichSomeAreWritten(nn.Module):
    """What is read of a list that shows a written tensor and another one stays."""

    def forward(self, x, y):
        z = y * 1
        z.relu_()
        pieces = torch.meshgrid(x[0], z, indexing="ij")
        return torch.stack([pieces[0], pieces[0]], 1), z


@model(R(2, 3, 4), R(2, 3, 4))
class RegionWithAnEffectWhoseResultIsOverwritten(nn.Module):
    """The region's first result is written whole behind it; autocast leaves what is written in it alone."""

    def forward(self, x, scale):
        y = x.flatten()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = scale + 1
            y[torch.tensor([4, 19])] = 3
        torch.mul(scale * 2, -1, out=z)
        return scale + 0


@model(R(4, 4), R(4))
class OuterProductInAnotherDtype(nn.Module):
    """The one op beside elementwise ones whose functional overload promotes what the other casts."""

    def forward(self, x, vector):
        y = x.to(torch.float16)
        y.addr_(vector, vector.double())
        z = x.to(torch.int32)
        z.addr_(z[0].clone(), z[1].to(torch.int16))
        return y, y.sum(1), z


@model(R(4, 4))
class OutOfAnotherShape(nn.Module):
    """What ``out=`` resizes, as torch does with a warning: nothing is left of what it was."""

    def forward(self, x):
        y = x * 1
        before = y[0] + 1
        torch.matmul(x, x[:, :3], out=y)
        y.add_(1)
        y[0].mul_(2)
        torch.cat([x, x], out=y)
        torch.cumsum(x[:2], 0, out=y)
        z = torch.zeros(5, 4)
        torch.sum(x, 0, out=z)
        w = torch.ones(3, dtype=torch.float64)
        torch.add(x, x[0], out=w)
        w.t_()
        w[1:].neg_()
        return before, y, y[1], z, w


@model(R(4, 4))
class OutIsTheFirstOperand(nn.Module):
    """As the in-place form has it, of ops that read other elements than the one that they write, too."""

    def forward(self, x):
        torch.cumsum(x, 0, out=x)
        columns, y = (x * 2).t(), x * 3
        torch.cumprod(columns, 1, out=columns)
        torch.tril(columns, out=columns)
        torch.renorm(y, 2, 0, 3.0, out=y)
        torch.index_add(x, 0, torch.tensor([0, 2]), x[:2] * 1, out=x)
        torch.addmm(y, x, x, out=y)
        return x, columns, y


@model(R(4, 4))
class OutputsThatAreLaidOutAsTheOperands(nn.Module):
    """``out=`` resizes a tensor to the strides that the op's result has, whatever export records, and what is written
    there later keeps them.
    """

    def forward(self, x):
        made = [torch.add(x.t(), x.t() * 2, out=torch.empty(0)) for _ in range(8)]
        piece = made[0][:, 1:3:2] * 1
        torch.add(x, x, out=made[1])
        made[2].copy_(x)
        made[3].mul_(x)
        made[4].addmm_(x, x)
        made[5].fill_(x[0, 0])
        made[6][0].mul_(2)
        made[7].abs_().add_(2).mvlgamma_(2)
        return piece, *made


@model(R(2, 2, 4, 3).to(memory_format=torch.channels_last))
class LaidOutOtherwiseThanRecorded(nn.Module):
    """The CPU lays out what ``rrelu`` makes in rows, export records the strides of its operand."""

    def forward(self, x):
        place = torch.tensor([0, 1])
        noisy = torch.rrelu(x, 0.1, 0.3, True)
        noisy.index_add_(1, place, x)
        later = torch.rrelu(x, 0.1, 0.3, True) + 1
        later.index_add_(1, place, x)
        plain = x + 1
        plain.index_add_(1, place, x)
        return noisy, later, plain
