"""Modules by name: fixed whole, and judged by stock torch."""

import pytest
import torch

from graphlint.artifact.errors import VerificationError
from graphlint.runtime.verification import verify

from . import campaign, models_refused, models_regions, models_state, models_views, models_writes, trial
from .registry import MODELS

assert models_views is not models_writes is not models_state is not models_regions  # they register themselves


STAY_TRAINING = {
    "WritesOfVmap",
    "WritesOfVmapOverManyRows",
    "UnusedBranchesDraw",
    "AmidBatchesAndDuals",
    "BatchesThatNobodyReads",
    "WrittenThroughWhatHasNoInverse",
}
"""Functional, but not for torch once they are labelled ATEN."""


COMPLEX = {"ComplexAsReal", "ComplexNumbers", "ViewsOfParts"}
"""Products of complex numbers may round otherwise in another kernel; those here do not."""


def writes(findings):
    return [one for one in findings if one.code.startswith("GL1")]


def larger(case):
    """The same inputs with one row more, where sizes may vary."""
    if case.dynamic is None:
        return []
    return [tuple(torch.cat([value, value[:1]]) for value in case.args)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MODELS)
def test_fixed_whole(name, tmp_path):
    torch.manual_seed(0)
    case = MODELS[name]()
    settings = trial.ROUNDING if name in COMPLEX else trial.SETTINGS
    fixed = trial.fix(trial.export(case), tmp_path, case.args, settings)
    assert writes(fixed.result.diagnostics) == []
    assert fixed.result.changed
    campaign.check(fixed, tmp_path, larger(case))
    label = "TRAINING" if name in STAY_TRAINING else "ATEN"
    assert trial.tree_of(fixed.after, tmp_path)["verifiers"] == [label]


@pytest.mark.filterwarnings("ignore")
def test_an_input_may_be_laid_out_as_no_sample_was(tmp_path):
    case = MODELS["CopiesSeenByStrides"]()
    fixed = trial.fix(trial.export(case), tmp_path, case.args)
    assert writes(fixed.result.diagnostics) == []
    [sample] = case.args
    campaign.check(fixed, tmp_path, [(sample.t().contiguous().t(),)])


class SlightlyOther(torch.nn.Module):
    def forward(self, x):
        return (x * 1).addmm(x, x) + 1e-3


@pytest.mark.filterwarnings("ignore")
def test_what_rounds_otherwise_is_said_and_verified_so(tmp_path):
    case = models_refused.REFUSED["products_into_columns"].build()
    data = trial.export(case)
    fixed = trial.fix(data, tmp_path, case.args, trial.ROUNDING)
    assert writes(fixed.result.diagnostics) == []
    inexact = {one.message.partition(" writes ")[0]: one.fix for one in fixed.result.fixed if not one.fix.exact}
    assert inexact.keys() == {"aten.addmm_.default", "aten.mm.out", "aten.sum.IntList_out"}
    assert all(fix.message.endswith("; results may differ in the last bits") for fix in inexact.values())
    before, after = tmp_path / "before.pt2", tmp_path / "program.pt2"
    before.write_bytes(data)
    assert verify(str(before), str(after), exact=False).rounded <= 2
    # A difference that rounding does not explain is one all the same.
    other = models_refused.REFUSED["product_with_itself"].build()
    other_before, other_after = (tmp_path / f"{name}.pt2" for name in ("one", "other"))
    other_before.write_bytes(trial.export(other))
    other_after.write_bytes(trial.export(trial.Case(SlightlyOther(), other.args)))
    with pytest.raises(VerificationError, match="differs on the first call"):
        verify(str(other_before), str(other_after), exact=False)
    trial.judge_rounded(fixed)
    slightly = fixed._replace(before=other_before.read_bytes(), after=other_after.read_bytes(), args=other.args)
    with pytest.raises(trial.DifferenceError, match="differ, by at most"):
        trial.judge_rounded(slightly)


class LastDigits(torch.nn.Module):
    def __init__(self, more):
        super().__init__()
        self.more = more

    def forward(self, x):
        return (x * 1e7) % 100 + self.more


@pytest.mark.filterwarnings("ignore")
def test_what_rounding_makes_another_result_of_tells_nothing():
    args = (torch.rand(8) + 1,)
    before, after = (trial.export(trial.Case(LastDigits(more), args)) for more in (0, 1))
    with pytest.raises(trial.SensitiveError):
        trial.judge_rounded(trial.Fixed(before, after, None, args))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", models_refused.REFUSED)
def test_refused_with_a_reason_and_the_rest_fixed(name, tmp_path):
    torch.manual_seed(0)
    refused = models_refused.REFUSED[name]
    case = refused.build()
    fixed = trial.fix(trial.export(case), tmp_path, case.args, trial.KEEPING)
    left = writes(fixed.result.diagnostics)
    assert {one.fix.message for one in left} == refused.reasons
    assert {one.fix.applicability for one in left} == {"none"}
    assert len(writes(fixed.result.fixed)) == refused.fixed
    campaign.check(fixed, tmp_path, larger(case))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    [
        "out_under_autocast",
        "region_sees_two_views",
        "casts_that_in_place_ops_are_spared",
    ],
)
def test_writes_that_stay_in_autocast_regions_do_not_stay_where_those_are_inlined(name, tmp_path):
    torch.manual_seed(0)
    case = models_refused.REFUSED[name].build()
    fixed = trial.fix(trial.export(case), tmp_path, case.args)
    assert fixed.result.diagnostics == ()
    campaign.check(fixed, tmp_path, ())


@pytest.mark.filterwarnings("ignore")
def test_a_region_goes_although_writes_in_it_stay(tmp_path):
    torch.manual_seed(0)
    case = models_refused.REFUSED["view_in_place_amid_autocast"].build()
    fixed = trial.fix(trial.export(case), tmp_path, case.args)
    assert [one.code for one in fixed.result.fixed] == ["GL402"]
    reasons = {one.fix.message for one in fixed.result.diagnostics}
    assert reasons == {"aten.lerp_.Tensor writes the same memory more than once"}
    campaign.check(fixed, tmp_path, ())


class SwitchedOffInside(torch.nn.Module):
    def forward(self, x):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = x @ x
            with torch.autocast("cpu", enabled=False):
                z = x * 1
                z.index_put_((torch.tensor([0]),), x[1])
        return y, z


@pytest.mark.filterwarnings("ignore")
def test_a_region_that_is_switched_off_inside_another_casts_nothing(tmp_path):
    torch.manual_seed(0)
    case = trial.Case(SwitchedOffInside(), (torch.randn(4, 4),))
    fixed = trial.fix(trial.export(case), tmp_path, case.args, trial.KEEPING)
    assert writes(fixed.result.diagnostics) == []
    assert "GL101" in [one.code for one in fixed.result.fixed]
    campaign.check(fixed, tmp_path, ())
