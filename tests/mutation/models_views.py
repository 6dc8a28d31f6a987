"""Writes through views. Each module's name says what it is about; all of them can be fixed whole."""

import torch
from torch import nn
from torch.export import Dim

from .registry import model

R = torch.randn
BATCH = Dim("batch", min=2, max=32)
OTHER = Dim("other", min=2, max=32)
ROWS = Dim("rows", min=3, max=16)
COLUMNS = Dim("columns", min=3, max=16)


@model(R(4, 4))
class ChainOfViews(nn.Module):
    def forward(self, x):
        y = x.clone()
        v = y.view(2, 2, 4)
        w = v[0].t()
        w.add_(1)
        u = y[1:3]
        u.mul_(2)
        return y, v, w, u


@model(R(2, 4))
class ViewsThatTakeTheSizesOfWhatIsWritten(nn.Module):
    def forward(self, x):
        y = torch.empty_like(x).copy_(x)
        z = x * 2
        same = y.expand_as(y)
        other = y.view_as(z)
        z.add_(1)
        y.tril_()
        return same, other, z


@model(R(4, 4))
class ReadBeforeTheWriteKeepsItsValue(nn.Module):
    def forward(self, x):
        y = x * 1
        a = y[0].clone()
        b = y[0]
        y.add_(5)
        return a, b, y.sum()


@model(R(4, 4))
class ViewsOfViewsWrittenInTurn(nn.Module):
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
        return y, a, b, c, d


@model(R(4, 6))
class PiecesOfSplitChunkUnbind(nn.Module):
    def forward(self, x):
        y = x * 1
        a, b, _ = y.chunk(3, 1)
        a.add_(1)
        b.mul_(2)
        p, q = torch.split(y, [1, 3], 0)
        p.zero_()
        u = y.unbind(0)
        u[2].fill_(9.0)
        return y, a, b, q, u[2]


@model(R(50, 4))
class ManyPieces(nn.Module):
    """So many that each is taken again on its own."""

    def forward(self, x):
        y = x * 1
        rows = y.unbind(0)
        rows[3].add_(1)
        y.mul_(2)
        pieces = torch.split(y, 2, 0)
        pieces[7].mul_(3)
        rows[15].add_(rows[14])
        chunks = y.t().chunk(25, 1)
        chunks[24].sub_(1)
        uneven = torch.split(y, [1] * 30 + [5] * 4, 0)
        uneven[33].add_(2)
        uneven[29].neg_()
        return y, rows[3], rows[49], pieces[7] + pieces[24], chunks[0], uneven[33], uneven[0], sum(rows)


@model(R(6, 4))
class PiecesOfTensorSplitAndHsplit(nn.Module):
    def forward(self, x):
        y = x * 1
        a, b = torch.tensor_split(y, 2)
        b.mul_(2)
        c, d = y.hsplit(2)
        d.add_(1)
        e, f = y.vsplit(2)
        f.neg_()
        return a, b, c, d, e, y


@model(R(4, 4))
class Diagonals(nn.Module):
    def forward(self, x):
        y = x * 1
        y.diagonal().add_(1)
        torch.diagonal(y, 1).zero_()
        y.diagonal(-1, 1, 0).mul_(3)
        y.fill_diagonal_(7)
        return y


@model(R(1, 3, 1, 4))
class SqueezedAndUnsqueezed(nn.Module):
    def forward(self, x):
        y = x * 1
        z = y.squeeze()
        z.add_(1)
        w = y.squeeze(0)
        w.mul_(2)
        u = y.unsqueeze(1)
        u.sub_(3)
        y.squeeze((0, 2)).neg_()
        return y, z, w, u


@model(R(2, 3, 4))
class PermutedInEveryWay(nn.Module):
    def forward(self, x):
        y = x * 1
        y.permute(2, 0, 1).add_(1)
        y.movedim(0, -1).mul_(2)
        y.transpose(-1, 0)[0].zero_()
        y.swapaxes(1, 2).sub_(3)
        y.mT.neg_()
        y[0].T.add_(2)
        y.moveaxis((0, 1), (1, 2)).add_(0.5)
        return y


@model(R(3, 4))
class ReshapedInEveryWay(nn.Module):
    def forward(self, x):
        y = x * 1
        y.view(-1)[3:5].fill_(1)
        y.reshape(2, 6).add_(1)
        y.flatten().mul_(2)
        y.unflatten(1, (2, 2))[:, 0].zero_()
        y.ravel()[0] = 5
        y.view_as(x).neg_()
        y.narrow(1, -2, 2).add_(3)
        return y


@model(R(()))
class ViewsOfAScalar(nn.Module):
    def forward(self, x):
        y = x * 1
        y.movedim(0, 0).add_(1)
        y.t().mul_(2)
        y.permute(()).sub_(1)
        y.transpose(0, -1).neg_()
        y.squeeze().add_(1)
        y.unsqueeze(0)[0] = 3
        y.view(1, 1).add_(1)
        return y


@model(R(3, 4))
class InPlaceViewsOfAnIntermediate(nn.Module):
    def forward(self, x):
        y = x * 1
        y.t_()
        y.add_(1)
        y.unsqueeze_(0)
        y.mul_(2)
        z = y.transpose_(1, 2)
        z[0, 1] = 5
        y.squeeze_(0)
        y.swapaxes_(0, 1)
        y.swapdims_(0, 1)
        y.detach_()
        return y, z


@model(R(3, 4))
class NothingToDoForToContiguousReshape(nn.Module):
    def forward(self, x):
        y = x * 1
        d = y.to(torch.float32)
        d.add_(1)
        c = y.contiguous()
        c.mul_(2)
        r = y.reshape(12)
        r[0] = 100
        e = nn.functional.dropout(y, 0.5, training=False)
        e.sub_(1)
        t = y.type_as(x)
        t[1] = 7
        return y, d, c, r, e, t


@model(R(3, 4))
class ReshapeThatCopies(nn.Module):
    def forward(self, x):
        y = x * 1
        r = y.t().reshape(12)
        r.add_(1)
        c = y.t().contiguous()
        c.mul_(2)
        return y, r, c


@model(R(3, 4))
class WrittenThroughDetachAndAlias(nn.Module):
    def forward(self, x):
        y = x * 1
        y.detach().add_(1)
        torch.ops.aten.alias(y)[0].zero_()
        return y


@model(R(4, 4))
class ViewThatNobodyUsesAfterwards(nn.Module):
    def forward(self, x):
        y = x * 1
        unused = y[0]
        y.add_(1)
        del unused
        return y


@model(R(4, 4))
class AsStridedOfAContiguousTensor(nn.Module):
    def forward(self, x):
        y = x * 1
        v = torch.as_strided(y, (2, 2), (4, 1), 1)
        v.add_(1)
        return y, v


@model(R(4, 1))
class ExpandedButNotWrittenThrough(nn.Module):
    def forward(self, x):
        y = x * 1
        e = y.expand(4, 4)
        z = e * 1
        y.add_(1)
        w = y.expand(4, 1)
        w.mul_(2)
        return e, z, y, w


@model(R(4, 4))
class ComplexAsReal(nn.Module):
    def forward(self, x):
        c = torch.view_as_complex(x.view(4, 2, 2) * 1)
        c.mul_(2j)
        r = torch.view_as_real(c)
        r[0] = 1
        return r


@model(R(4, 4))
class BytesReadAsAnotherDtype(nn.Module):
    def forward(self, x):
        y = x * 1
        y.view(torch.int32).bitwise_and_(0x7FFFFFFF)
        return y


@model(R(3, 4))
class TransposedBase(nn.Module):
    def forward(self, x):
        y = x.t().clone(memory_format=torch.preserve_format)
        y.add_(x.t())
        y.t().mul_(2)
        y[0] += 1
        return y, y.t()


@model(R(2, 3, 4, 4).to(memory_format=torch.channels_last))
class ChannelsLastBase(nn.Module):
    def forward(self, x):
        y = x * 2
        y.add_(torch.ones(2, 3, 4, 4))
        y[:, 0].mul_(3)
        y.copy_(torch.arange(96.0).view(2, 3, 4, 4))
        y.masked_fill_(y > 50, 1)
        return y


@model(R(3, 4).t())
class TransposedInput(nn.Module):
    def forward(self, x):
        x.tril_()
        x[0].add_(1)
        x.index_fill_(0, torch.tensor([1]), 2.0)
        return x * 2, x.t().view(-1)


@model(R(3, 4), R(4, 3))
class ReadsAfterACopyOfOtherStridesKeepTheirs(nn.Module):
    """What is read of a target must have its strides, not those of what was copied: ``view`` would fail."""

    def forward(self, x, other):
        y = x * 1
        part = y[0:3]
        part.copy_(other.t())
        doubled = part * 2
        return doubled.view(-1), part.view(-1)


@model(R(4, 4), dynamic={"x": {0: BATCH}})
class SymbolicRows(nn.Module):
    def forward(self, x):
        y = x * 1
        y.view(-1).add_(1)
        y[0] = 2
        y[:, 1:3].mul_(3)
        y.t()[0].zero_()
        z = y.unsqueeze(0)
        z.squeeze(0).add_(1)
        y.diagonal().add_(1)
        return y


@model(R(2, 3, 4, 4), dynamic={"x": {0: BATCH}})
class SizesThatAreNeverOne(nn.Module):
    def forward(self, x):
        y = x * 1
        y.squeeze(0).add_(1)
        z = y[:, :1].contiguous(memory_format=torch.channels_last)
        z.squeeze().mul_(2)
        return y, z


@model(R(8, 4), dynamic={"x": {0: Dim("rows", min=5, max=32)}})
class NarrowedToSymbolicLengths(nn.Module):
    """To the end, from the beginning, and to a position that the model computes."""

    def forward(self, x):
        y = x * 1
        batch = x.shape[0]
        y.narrow(0, 1, batch - 1).add_(1)
        y.narrow(0, 0, batch - 1).mul_(2)
        y.narrow(0, 1, batch - 2).fill_(3)
        y[: batch - 1].t().narrow(1, 0, batch - 2).copy_(x[2:].t())
        return y


@model(R(4, 4), R(6, 4), dynamic={"x": {0: BATCH}, "y": {0: OTHER}})
class SymbolicSizesOfTwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(4, 4))

    def forward(self, x, y):
        a, b = x * 1, y * 1
        a.view(-1, 2, 2)[:, 0].add_(1)
        b.flatten().mul_(2)
        b.copy_(b.flip(0))
        a.fill_(b.sum())
        self.total.add_(x.t() @ x)
        c = torch.cat([a, b])
        c[1:].sub_(1)
        return a, b, c


@model(R(4, 6), dynamic={"x": {0: ROWS, 1: COLUMNS}})
class SymbolicInBothDimensions(nn.Module):
    def forward(self, x):
        y = x * 1
        y.t().add_(1)
        y.view(-1)[1:].mul_(2)
        y[1:, :-1].zero_()
        y[:, 0].copy_(x[:, 1])
        y.unsqueeze(1).expand(-1, 1, -1).neg_()
        y.copy_(x[0])
        x[0].add_(y[1])
        return y, y.flatten()


@model(R(6), R(3, 4))
class ViewsInPlaceOfViews(nn.Module):
    """Each changes a tensor object that the program made. What lies behind the object is the caller's or the module's,
    and keeps its shape.
    """

    def __init__(self):
        super().__init__()
        self.register_buffer("rows", R(2, 5))
        self.weight = nn.Parameter(R(2, 5), requires_grad=False)

    def forward(self, x, y):
        v = x.unsqueeze(0)
        v.unsqueeze_(0)
        v.squeeze_(0)
        w = y[1:]
        w.t_()
        b = self.rows.view(5, 2)
        b.transpose_(0, 1)
        p = self.weight.view(10)
        p.unsqueeze_(1)
        return v + 1, w * 2, b + 1, p - 1


@model(R(3, 4))
class ViewInPlaceThenWritten(nn.Module):
    """What is written through the object is the caller's."""

    def forward(self, x):
        v = x[1:]
        v.t_()
        v.mul_(2)
        return v + 1


@model(R(3))
class WrittenAgainAfterABroadcast(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("rows", R(4, 3))

    def forward(self, x):
        v = self.rows[1:]
        v[:] = 0.5
        v += x
        u = self.rows[:1]
        u.copy_(x)
        u.mul_(x)
        return self.rows * 1


@model(R(2, 4))
class ViewsOfAList(nn.Module):
    def forward(self, x):
        a = torch.arange(4, dtype=torch.float32)
        b = torch.arange(4, dtype=torch.float32)
        rows, columns = torch.meshgrid(a, b, indexing="ij")
        a += 0.5
        b /= 4
        y = x * 1
        z = torch.ones(1, 4)
        wide = torch.broadcast_tensors(y, z)
        y.clamp_(min=0)
        z.add_(1)
        one = torch.tensor(2.0)
        atleast = torch.atleast_2d(one, z)
        one.mul_(3)
        return rows.sum() + columns.sum(), wide[0] * wide[1], atleast[0] + atleast[1]


@model(R(3, 4, dtype=torch.complex64), R(3, 4), R(2, 2, 2))
class ViewsOfParts(nn.Module):
    def forward(self, z, x, pairs):
        w = z.clone()
        w.real.mul_(2)
        w.imag[1:].add_(3)
        c = w.clone().conj()
        c.add_(1)
        d = z * 1
        d.mH.mul_(2j)
        y = x.clone()
        y.mH.add_(1)
        y.real.mul_(2)
        p = torch.view_as_complex(pairs)
        p.imag.neg_()
        return torch.view_as_real(w) * 1, torch.view_as_real(c * 1), torch.view_as_real(d), y


@model(R(2, 3, 4))
class PiecesOfARegionUnderOtherNames(nn.Module):
    """The graph calls the second piece by the name that the region has for another one."""

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            piece = torch.unbind(x, 2)[1]
            piece.mul_(2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            corner = piece.diagonal(-1)
        corner.cumprod_(-1)
        x.cumprod_(-1)
        return x, piece, corner


@model(R(4, 6).t(), dynamic=({0: ROWS},))
class SymbolicColumns(nn.Module):
    """torch records strides as ``Max(1, s0)``: those of a tensor without elements begin at 1."""

    def forward(self, x):
        y = torch.where(x[1:] > 0, x[1:], 0.0)
        y.clamp_(max=3)
        y.view_as(y).mul_(2)
        z = torch.empty_like(x[1:], memory_format=torch.contiguous_format).copy_(x[1:])
        z.t().add_(1)
        return y, z, z.view(-1)


@model(R(6).double(), R(4))
class PlacesOfWhatRegionsAreGiven(nn.Module):
    """A part of a tensor that is written becomes a tensor of its own: it begins elsewhere, for a region as well."""

    def forward(self, x, y):
        part = x.split([2, 4])[1]
        bits = part.view(torch.int32)
        part.clamp_(min=1.5)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            flat = bits.view(-1)
            half = part[:2]
        with torch.no_grad():
            some = part[1:]
        return flat, half, some, y


@model(R(4, 4), R(2, 4).double())
class BytesOfAnotherSize(nn.Module):
    def forward(self, x, y):
        z = x * 1
        z.view(torch.uint8)[:, 3:8].zero_()
        z.view(torch.float64).mul_(2)
        y.view(torch.int32)[0].zero_()
        return z, y.view(torch.complex64).real + 1


@model(R(8), R(2, 3))
class WrittenThroughWhatHasNoInverse(nn.Module):
    """Nobody reads more of what is written than the view shows."""

    def forward(self, x, y):
        windows = (x * 1).unfold(0, 2, 2)
        windows.add_(1)
        windows[1].mul_(2)
        sums = torch.vmap(lambda row: row.sum() + 1)(y)
        sums.add_(1)
        return windows, sums, windows.sum()


@model(R(8, 4), dynamic=({0: Dim("rows", min=5, max=32)},))
class NarrowedToAnEndThatNobodyComputes(nn.Module):
    def forward(self, x):
        y = x * 1
        y.narrow(0, 1, x.shape[0] - 2).add_(1)
        z = torch.zeros(x.shape[0] + 3, 4)
        z.narrow(0, 2, x.shape[0]).copy_(x)
        z.narrow(0, 2, x.shape[0]).mul_(2)
        return y, z


@model(R(2, 2, 4, 3).to(memory_format=torch.channels_last), dynamic=({0: BATCH},))
class PartOfASymbolicNumberOfImages(nn.Module):
    """The strides are numbers: they tell the order of dimensions, whatever the sizes."""

    def forward(self, x):
        part = x.split([1, 3], 2)[0]
        part.clamp_(max=3)
        rows = x[:, :, 1:3] * 2
        rows.mul_(part)
        return part, rows


@model(R(8, 4), torch.tensor([2]), dynamic=({0: Dim.AUTO}, None))
class PiecesAtComputedPlaces(nn.Module):
    """Where a piece begins and ends is computed from sizes, or read from a tensor."""

    def forward(self, x, places):
        y = x.clone()
        rows = x.shape[0]
        y.narrow(0, rows // 2, 2).add_(1)
        first, second = y.chunk(2, 0)
        first.mul_(2)
        second.sub_(3)
        place = places[0].item()
        torch._check(place >= 0)
        torch._check(place <= 3)
        z = x.clone()
        z.narrow(0, place, 3).mul_(4)
        head, tail = z.split([2, rows - 2])
        tail.neg_()
        return y, z, head


@model(R(9, 4), dynamic=({0: Dim.AUTO},))
class SeveralPiecesOfComputedSize(nn.Module):
    def forward(self, x):
        y = x.clone()
        size = (x.shape[0] + 2) // 3
        for number, piece in enumerate(y.split(size)):
            piece.add_(number)
        y.chunk(3)[1].mul_(2)
        return y


@model(R(2, 3, 4))
class ViewsInPlaceAmidAutocast(nn.Module):
    def forward(self, x):
        v, w = (x * 1).mT, x.mT
        with torch.autocast("cpu", dtype=torch.bfloat16):
            v.unsqueeze_(0)
            w.squeeze_(-3)
            y = w @ x
            x.erf_()
        v.add_(1)
        return v, w, y


@model(R(4), R(3, 3, dtype=torch.complex64))
class ProductsOfOneAndResolvedBits(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("held", R(3, 3, dtype=torch.complex64))

    def forward(self, x, z):
        y = x * 1
        product = torch.cartesian_prod(y)
        product.add_(1)
        negated = torch._neg_view(y)
        resolved = negated.resolve_neg()
        resolved.mul_(2)
        negated.resolve_neg()[1:].sub_(1)
        twice = torch._neg_view(torch._neg_view(y))
        twice.resolve_neg().add_(3)
        w = z * 2
        conjugate = w.conj()
        conjugate.resolve_conj().add_(2j)
        w.resolve_conj().add_(1)
        w.mH.conj().resolve_conj()[0].sub_(3)
        w.conj().imag.resolve_neg().zero_()
        torch.conj_physical(w).zero_()
        torch.conj(w + 1).clone().resolve_conj().zero_()
        self.held.resolve_conj().add_(1j)
        return y, product, negated, resolved, w, conjugate


@model(R(3, 1, 4), R(2, 3))
class InputsViewedInPlaceAndBack(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("held", R(3, 2))

    def forward(self, x, y):
        x.squeeze_(1)
        x.mul_(2)
        last = x[1]
        x.unsqueeze_(1)
        y.t_()
        z = y + self.held
        y.t_()
        self.held.unsqueeze_(0).add_(1)
        self.held.squeeze_(0)
        return x, last, y, z, self.held


@model(R(3, 1), R(4), R(2, 1, 3), dynamic=({0: ROWS}, None, None))
class OnePlaceOfExpandedTensors(nn.Module):
    def forward(self, x, y, z):
        x.expand(-1, 5)[:, 2].add_(1)
        wide = y.clone().expand(2, 3, 4)
        wide[1].transpose(0, 1)[:, 1:2].mul_(3)
        before = wide.sum((0, 1))
        wide.unbind(1)[2][0, ::2].neg_()
        a, b = torch.broadcast_tensors(z, x[:2, :, None])
        a.movedim(1, 0).chunk(a.shape[1])[0].sub_(2)
        b.permute(2, 0, 1)[-1].mul_(2)
        y.unsqueeze(0).expand(3, 4).t().narrow(1, 1, 2).select(1, 1).add_(x.sum())
        return x, y, z, wide, before, a, b


@model(R(3, 10), R(12))
class WindowsThatAreApart(nn.Module):
    def forward(self, x, y):
        windows = x.unfold(1, 3, 4)
        windows.mul_(2)
        windows[:, 1].sub_(1)
        x.unfold(0, 2, 3)[0, :, 1].neg_()
        z = y * 1
        patches = z.unfold(0, 5, 5)
        patches[1].add_(patches[0])
        z.unfold(0, 12, 1).neg_()
        return x, windows, z, patches


@model(R(2, 2, 3, 4)[1])
class BroadcastBesidesAPlaceFurtherOn(nn.Module):
    """Taken again, the view of what begins further on in its memory is one of a new tensor."""

    def forward(self, x):
        y = torch.zeros(4, 3, 2).permute(2, 1, 0)
        pair = torch.broadcast_tensors(y, x)
        pair[1].add_(1)
        y.relu_()
        pair[0].cumsum_(2)
        return pair[0] * 1, y


@model(R(3, 4))
class ListsOfWhatIsLaidOutAnew(nn.Module):
    """Taken again, the views of what was not contiguous are of tensors that are."""

    def forward(self, x):
        y, column, other = torch.ones(3, 1), x.narrow(1, 1, 1), x.narrow(1, 2, 1)
        pair = torch.broadcast_tensors(y.view(1, 3, 1), column)
        both = torch.atleast_3d([y, other])
        column.mul_(2)
        other.neg_()
        y.add_(1)
        return pair[0] * 1, both[0] * 1


@model(R(5, 3), R(5, 3), R(2, 5, 3))
class WritesOfVmap(nn.Module):
    """To what it goes over, through views too, and of what is no batch."""

    def forward(self, x, y, z):
        def bumped(row):
            row.add_(1)
            row[1:].mul_(2)
            return row.sum()

        def filled(column):
            column.narrow(0, 1, 2).fill_(7)
            return column * 2

        a = x * 1
        b = torch.vmap(bumped)(a)
        c = torch.vmap(filled)(y)
        d = torch.vmap(bumped)(z)
        a[0].neg_()
        e = torch.vmap(lambda row, other: row.mul_(other), in_dims=(0, 1))(x, y.t().contiguous())
        return a, b, c, d, x.sum(0), y.t(), e


@model(R(5, 3), dynamic=({0: ROWS},))
class WritesOfVmapOverManyRows(nn.Module):
    def forward(self, x):
        y = x * 2
        sums = torch.vmap(lambda row: row[1:].mul_(3).sum())(y)
        torch.vmap(lambda row: row.neg_())(x)
        z = torch.ones(2, x.shape[0])
        torch.vmap(lambda row: row[1:].mul_(3).sum())(z)
        return y, sums, x.sum(), z


@model(R(1, 16), R(8, 16))
class PiecesThatAreWrittenInTurn(nn.Module):
    """The gates of an LSTM."""

    def forward(self, x, w):
        gates = x @ w.t().contiguous()
        i, f, n, o = gates.chunk(4, dim=1)
        i.sigmoid_()
        f.sigmoid_()
        n.tanh_()
        o.sigmoid_()
        return i * n + f, o


@model(R(8, 16), R(8, 16), R(8, 2))
class PiecesOfSeveralRowsThatAreWrittenInTurn(nn.Module):
    """The gates of an LSTM, of a batch: what is written in place of them is laid out without gaps."""

    def forward(self, x, w, c):
        gates = x @ w.t()
        i, f, n, o = gates.chunk(4, dim=1)
        i.sigmoid_()
        f.sigmoid_()
        n.tanh_()
        o.sigmoid_()
        kept = f * c + i * n
        turned = f.t() * c.t()
        return kept, o * kept.tanh(), turned, i.exp(), gates.view(-1)


@model(R(8, 4), R(8, 4), dynamic={"x": {0: BATCH}, "y": {0: BATCH}})
class PiecesOfASymbolicNumberOfRows(nn.Module):
    def forward(self, x, y):
        a, b = (x * 2).chunk(2, dim=1)
        a.sigmoid_()
        b.tanh_()
        c, d = (y * 2).t().chunk(2)
        d.sigmoid_()
        c.sigmoid_()
        return a * b, a * d.t(), d * c, c.t() + b, d


@model(R(6, 8))
class PiecesWhoseWholeIsReadBetween(nn.Module):
    def forward(self, x):
        y = x * 1
        a, b, c = y.split(2)
        a.add_(1)
        before = y.sum()
        d, e = b.split(4, dim=1)
        e.mul_(2)
        first = a + b + c + d.sum() + e.sum()
        y.mul_(3)
        second = a + b + c
        c.t()[0].sub_(5)
        return before, first, second, a + b + c, y, e


@model(R(6, 8))
class PiecesThatAreReturnedWithTheWhole(nn.Module):
    def forward(self, x):
        y = x * 1
        a, b = y.split(3)
        a.add_(1)
        return y, b, a


@model(R(4))
class PiecesThatShowTheSameElements(nn.Module):
    def forward(self, x):
        y = x * 1
        a, *_ = y.expand(3, 4).unbind()
        y.add_(1)
        b, _, c = y.unfold(0, 2, 1).unbind()
        y.mul_(2)
        return a, b, c


@model(R(6), R(3, 4).t())
class PiecesThatGoBack(nn.Module):
    def forward(self, x, z):
        y = x * 1
        a, b, c = y.tensor_split((4, 2))
        a.add_(1)
        c.mul_(3)
        d, e, f = z.tensor_split((-1, 1), dim=0)
        f.add_(1)
        d.mul_(2)
        return a * 2, b, c * 2, y, e, f


@model(R(4, 4))
class PiecesOfANegative(nn.Module):
    """Ops that do not know the bit which says so are given a copy without."""

    def forward(self, x):
        y = x * 1
        z = torch._neg_view(y)
        a, b = z.unsafe_split(2)
        z.mul_(2)
        a.zero_()
        return y, z, a, b
