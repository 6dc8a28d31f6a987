"""Every in-place overload of aten that simple operands suit: fixed, or refused with a reason."""

import pytest
import torch

from . import campaign, samples, trial

OPS = list(samples.in_place())
PARTS = 24
NOT_BIT_EXACT = {("aten.addbmm_.default", "transposed")}
"""A product that is summed up into another layout is rounded elsewhere."""
WITHOUT_KERNEL = {"aten._mkldnn_transpose_.default"}
"""These have no CPU kernel, and the error says so with the op's name."""
NOT_FIXED = {
    "aten._fill_mem_eff_dropout_mask_.default": "aten._fill_mem_eff_dropout_mask_.default has no functional overload",
    "aten.requires_grad_.default": "aten.requires_grad_.default has no functional overload",
    "aten.resize_.default": "resize_ changes how much memory the tensor has, or which",
    "aten.set_.default": "set_ changes how much memory the tensor has, or which",
    "aten.set_.source_Tensor": "set_ changes how much memory the tensor has, or which",
}
"""Ops of which no sample is fixed, and why."""


def cases(op):
    yield from ((torch.float32, layout) for layout in ("contiguous", "transposed"))
    yield torch.int64, "contiguous"


def outcomes(op, folder):
    """For each sample that torch exports: the reason that it was refused for, None where it was fixed."""
    for dtype, layout in cases(op):
        made = samples.sample(op, layout, dtype)
        if made is None or (op.name, layout) in NOT_BIT_EXACT or op.name in WITHOUT_KERNEL:
            continue
        target, sample = made
        args = (target, *sample.args)
        try:
            data = trial.export(trial.Case(sample.module(), args))
        except Exception:  # noqa: BLE001 - not for these operands
            continue
        fixed = trial.fix(data, folder, args)
        campaign.check(fixed, folder, thorough=False)
        left = [one.fix.message for one in fixed.result.diagnostics if one.code.startswith("GL1")]
        yield left[0] if left else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_fixed_or_refused(part, tmp_path):
    torch.manual_seed(0)
    found = {op.name: list(outcomes(op, tmp_path)) for op in OPS[part::PARTS]}
    exported = {name: reasons for name, reasons in found.items() if reasons}
    refused = {name: reasons[0] for name, reasons in exported.items() if None not in reasons}
    assert refused == {name: reason for name, reason in NOT_FIXED.items() if name in exported}
    assert len(exported) > 8


def test_how_many_there_are():
    assert len(OPS) > 320
