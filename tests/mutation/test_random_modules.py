"""Random modules, others every day: exported, fixed and judged. ``campaign.py`` runs as many more as you like."""

import pytest
from tests import today

from . import campaign, generator

SIZE = 15
PARTS = 16


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_differs(part, tmp_path):
    first = today.SEED + part * SIZE
    command = f"python tests/mutation/campaign.py --seed {first} --programs {SIZE}"
    print(f"once more: {command}")
    reports = [campaign.try_program(seed, tmp_path, thorough=seed % 8 == 0) for seed in range(first, first + SIZE)]
    assert [(one.seed, one.detail) for one in reports if one.outcome == "different"] == [], command
    # torch must export some and graphlint fix some, else nothing was tested.
    assert sum(one.fixed for one in reports) > 0, command


def test_a_seed_is_a_program():
    assert generator.generate(7).source == generator.generate(7).source
    assert len({generator.generate(seed).source for seed in range(50)}) == 50
