"""A sample of the sweep: nothing differs, and what is refused though stock torch functionalizes it is known."""

import logging
import re

import pytest

from . import programs, sweep

PROGRAMS = 200
PARTS = 8
SEED = 1
KINDS = [
    programs.Name("std", "complex64", "static", 0, "out= wider"),
    programs.Name("logsumexp", "bfloat16", "static", 0, "out= wider"),
]
"""Programs that were found to differ, one for each reason."""
REFUSED = {
    r"resize_(as_)? changes how much memory the tensor has, or which": "to another size: views are followed by size",
    r"it draws in the order of memory, and its tensor is not contiguous": "stock torch draws other numbers for others",
    r"how aten\.fft_ifft\.out lays out the resized tensor is not known": "by the operand's dtype, which no row tells",
}
"""Reasons of refusals that stock torch does not share, and why they stand."""


@pytest.fixture(scope="module")
def names():
    return sweep.sampled(programs.names(programs.DTYPES, sweep.SIZES), PROGRAMS, SEED)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS, ids=str)
def test_what_was_mended_stays_so(name, tmp_path):
    report = sweep.try_program(name, tmp_path)
    assert report.outcome in ("functional and equal", "equal up to rounding", "refused, stock fails"), (
        report,
        sweep.command(name),
    )


@pytest.fixture(autouse=True)
def _silence(monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_differs(part, names, tmp_path):
    found = [sweep.try_program(name, tmp_path) for name in names[part::PARTS]]
    findings = {str(one.name): (one.reasons, sweep.command(one.name)) for one in found if one.outcome in sweep.FINDINGS}
    assert findings == {}
    refused = [(reason, str(one.name)) for one in found if one.outcome == "refused" for reason in one.reasons]
    assert [one for one in refused if not any(re.fullmatch(reason, one[0]) for reason in REFUSED)] == []
    # torch must export some and graphlint fix some, else nothing was tested.
    assert sum(one.outcome == "functional and equal" for one in found) > PROGRAMS // PARTS // 3
