"""Exports in strict mode record what autocast regions make as if nothing were cast there."""

import io

import pytest
import torch
from torch import nn

from graphlint.ops.table import op_table

from . import campaign, trial
from .trial import Case, quiet

UNSURE = "autocast decides the dtype of %{}, and the artifact may not record which"


def product(x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return x @ x


class CopiesIt(nn.Module):
    """The buffer must not become bfloat16."""

    def __init__(self):
        super().__init__()
        self.register_buffer("b", torch.zeros(4, 4))

    def forward(self, x):
        self.b.copy_(product(x))
        return self.b + 1


class CopiesIntoOneOfItsKind(CopiesIt):
    def forward(self, x):
        y = torch.zeros_like(product(x) * 2)
        y.copy_(self.b)
        return y


class CopiesASumOfProducts(CopiesIt):
    """No op here is known to lower the precision on every device."""

    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            self.b.copy_(torch.einsum("ij,jk->ik", x, x))
        return self.b + 1


class CastsToItsDtype(nn.Module):
    """A copy, which is recorded as the tensor itself."""

    def forward(self, x):
        y = x * 1
        z = y.type_as(product(x))
        z.add_(1)
        return y, z


class WritesItInABranch(nn.Module):
    def forward(self, x):
        def yes(y):
            z = y * 1
            z.copy_(torch.arange(4) / 7)
            return z

        return torch.cond(x.sum() > 0, yes, lambda y: y.clone(), (product(x),))


class WritesItInALoop(nn.Module):
    def forward(self, x):
        def body(n, y):
            z = y * 1
            z.add_(1)
            return n - 1, z

        start = torch.tensor(2)
        return torch._higher_order_ops.while_loop(lambda n, y: n > 0, body, (start, product(x)))


class NestedRegions(nn.Module):
    """Nothing is cast in the inner one."""

    def __init__(self):
        super().__init__()
        self.register_buffer("b", torch.zeros(4))

    def forward(self, x):
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x
            self.b.add_(y.float().sum(0))
            with torch.autocast("cpu", enabled=False):
                w = x @ x
                w.add_(1)
        return y, w, self.b * 1


class WritesSomethingElse(nn.Module):
    def forward(self, x):
        y = x * 1
        y.add_(1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            z = y.exp() * 1
            z.add_(1)
        return product(x), y, z


def exported(module, *, strict):
    """The module as an artifact, and what it was exported with."""
    torch.manual_seed(0)
    case = Case(module(), (torch.randn(4, 4),))
    if not strict:
        return trial.export(case), case.args
    program = quiet(torch.export.export, case.module, case.args, strict=True)
    buffer = io.BytesIO()
    quiet(torch.export.save, program, buffer)
    return buffer.getvalue(), case.args


def left(fixed):
    return {one.fix.message for one in fixed.result.diagnostics if one.code != "GL402"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("module", "reasons"),
    [
        (CopiesIt, {UNSURE.format("getitem")}),
        (CopiesIntoOneOfItsKind, {UNSURE.format("zeros_like")}),
        (CopiesASumOfProducts, {UNSURE.format("einsum")}),
        (CastsToItsDtype, {"the written tensor cannot be determined from the artifact"}),
        (WritesItInABranch, {UNSURE.format("mul")}),
        (WritesItInALoop, {UNSURE.format("mul")}),
        (NestedRegions, {UNSURE.format("matmul")}),
        (WritesSomethingElse, set()),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_strict_exports_record_of_autocast_is_not_believed(module, reasons, strict, tmp_path):
    data, args = exported(module, strict=strict)
    fixed = trial.fix(data, tmp_path, args, trial.KEEPING)
    assert left(fixed) == (reasons if strict else set())
    campaign.check(fixed, tmp_path, ())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("module", [CopiesIt, CopiesIntoOneOfItsKind, WritesItInABranch, WritesItInALoop])
def test_what_is_recorded_is_put_right_where_a_region_is_inlined(module, tmp_path):
    data, args = exported(module, strict=True)
    fixed = trial.fix(data, tmp_path, args)
    assert "wrap_with_autocast" not in str(trial.tree_of(fixed.after, tmp_path))
    assert fixed.result.diagnostics == ()
    campaign.check(fixed, tmp_path, ())


@pytest.mark.filterwarnings("ignore")
def test_ops_that_lower_the_precision_do_so_on_cpu():
    x, image, weight = torch.randn(4, 4), torch.randn(2, 3, 8), torch.randn(3, 3, 2)
    batch = torch.randn(2, 4, 4)
    operands = {
        "addbmm": (x, batch, batch),
        "addmm": (x, x, x),
        "baddbmm": (batch, batch, batch),
        "bmm": (batch, batch),
        "conv_tbc": (torch.randn(8, 2, 3), torch.randn(2, 3, 4), torch.randn(4)),
        "scaled_dot_product_attention": (batch, batch, batch),
        **{
            f"{name}{rank}d": (image.view(2, 3, 8, *[1] * (rank - 1)), weight.view(3, 3, 2, *[1] * (rank - 1)))
            for name in ("conv", "conv_transpose")
            for rank in (1, 2, 3)
        },
        "_addmm_activation": (x[0], x, x),
        "_convolution": (image, weight, None, [1], [0], [1], False, [0], 1, False, False, False),
        "prelu": (x, torch.ones(1)),
    }
    ops = map(op_table().lookup, op_table().names())
    lowered = {op.packet for op in ops if op is not None and op.autocast.get("cpu") == "lowered"}
    assert operands.keys() <= lowered
    for name in lowered:
        function = getattr(torch.ops.aten, name)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = function(*operands.get(name, (x, x)))
        assert result.dtype == torch.bfloat16, name
