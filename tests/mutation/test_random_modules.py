"""Random modules, others every day: exported, fixed and judged. ``campaign.py`` runs as many more as you like."""

import pytest
from tests import today

from . import campaign, generator, views

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


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", range(PARTS // 2))
def test_no_view_differs(part, tmp_path):
    first = today.SEED + part * SIZE
    command = f"python tests/mutation/campaign.py --views --seed {first} --programs {SIZE}"
    print(f"once more: {command}")
    seeds = range(first, first + SIZE)
    reports = [campaign.try_program(seed, tmp_path, thorough=False, generate=views.generate) for seed in seeds]
    assert [(one.seed, one.detail) for one in reports if one.outcome == "different"] == [], command
    assert sum(one.fixed for one in reports) > 0, command


@pytest.mark.parametrize("generate", [generator.generate, views.generate])
def test_a_seed_is_a_program(generate):
    assert generate(7).source == generate(7).source
    assert len({generate(seed).source for seed in range(50)}) == 50
