"""A sample of the sweep: nothing differs, and what is refused though stock torch functionalizes it is known."""

import logging
import re

import pytest

from . import programs, sweep

PROGRAMS = 200
PARTS = 8
SEED = 1
REFUSED = ()
"""Reasons of refusals that stock torch does not share. Each comment says why it stands."""


@pytest.fixture(scope="module")
def names():
    return sweep.sampled(programs.names(programs.DTYPES, sweep.SIZES), PROGRAMS, SEED)


@pytest.fixture(autouse=True)
def _silence(monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.CRITICAL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_differs(part, names, tmp_path):
    found = [sweep.try_program(name, tmp_path) for name in names[part::PARTS]]
    assert [(sweep.command(one.name), one.reasons) for one in found if one.outcome in sweep.FINDINGS] == []
    refused = [(str(one.name), reason) for one in found if one.outcome == "refused" for reason in one.reasons]
    assert [(name, reason) for name, reason in refused if not any(re.search(known, reason) for known in REFUSED)] == []
    # torch must export some and graphlint fix some, else nothing was tested.
    assert sum(one.outcome == "functional and equal" for one in found) > PROGRAMS // PARTS // 3
