"""A sample of autocast regions: each policy, in regions of both dtypes."""

import logging
from collections import Counter
from itertools import islice

import pytest

from . import autocast

EVERY = 40
"""Of the database, each so manieth entry is taken."""
MOST = {"lowered": 24, "float32": 24, "promote": 10, "none": 40}
"""So many programs of a policy."""


@pytest.fixture(scope="module")
def known():
    disabled = logging.root.manager.disable
    yield autocast.samples(EVERY, first=3)
    logging.disable(disabled)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("policy", ["lowered", "float32", "promote", "none"])
def test_a_region_around_an_op_is_inlined_and_does_the_same(policy, known, tmp_path):
    told = autocast.policies()
    names = [name for name in autocast.names(known) if told[name.op] == policy]
    step = max(1, len(names) // MOST[policy])
    outcomes = {name: autocast.attempt(name, known, tmp_path) for name in islice(names, 0, None, step)}
    assert {str(name): one for name, one in outcomes.items() if one[0] in ("differs", "stays")} == {}
    counts = Counter(one[0] for one in outcomes.values())
    assert counts["same"] > len(outcomes) // 2
