"""A part of the grid of views, regions and tensors, another one every day. ``grid.py`` runs all of it."""

import random

import pytest
from tests import today

from . import grid

SIZE = 96
PARTS = 8
MENDED = [
    grid.Name("vmap", "plain", "buffer", "unsqueezed"),
    grid.Name("vmap-elements", "plain", "input", "transposed"),
    grid.Name("sum_to_size", "plain", "buffer", "transposed"),
    grid.Name("meshgrid", "no_grad", "buffer", "shows"),
    grid.Name("broadcast_tensors-larger", "checkpoint", "intermediate", "shows"),
]
"""Programs that were found to differ, or their likes."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", MENDED, ids=str)
def test_what_was_mended_stays_so(name, tmp_path):
    report = grid.try_program(name, tmp_path)
    assert report.outcome in ("fixed", "partly fixed", "refused"), report


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_differs(part, tmp_path):
    names = random.Random(today.SEED).sample(grid.NAMES, SIZE)[part::PARTS]
    reports = {str(name): grid.try_program(name, tmp_path) for name in names}
    found = {name: one.detail for name, one in reports.items() if one.outcome == "different"}
    assert found == {}, today.REPEAT
    # torch must export some and graphlint fix some, else nothing was tested.
    assert sum(one.fixed for one in reports.values()) > 0, today.REPEAT
