"""Modules by name: fixed whole, and judged by stock torch."""

import pytest
import torch

from . import campaign, models_refused, models_state, models_views, models_writes, trial
from .registry import MODELS

assert models_views is not models_writes is not models_state  # they register themselves


STAY_TRAINING = {"UnusedBranchesDraw"}
"""Functional, but not for torch once they are labelled ATEN."""


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
    fixed = trial.fix(trial.export(case), tmp_path, case.args)
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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", models_refused.REFUSED)
def test_refused_with_a_reason_and_the_rest_fixed(name, tmp_path):
    torch.manual_seed(0)
    refused = models_refused.REFUSED[name]
    case = refused.build()
    fixed = trial.fix(trial.export(case), tmp_path, case.args)
    left = writes(fixed.result.diagnostics)
    assert {one.fix.message for one in left} == refused.reasons
    assert {one.fix.applicability for one in left} == {"none"}
    assert len(writes(fixed.result.fixed)) == refused.fixed
    campaign.check(fixed, tmp_path, larger(case))
