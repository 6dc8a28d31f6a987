"""Facts that were measured, against the installed torch: what a part of the OpInfo database shows contradicts none."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
import torch
from tests.facts import autocast, experiments, views
from tests.facts import samples as sampling
from tests.facts.generate import REVIEWED
from tests.facts.versions import INSTALLED

from graphlint.ops.rows import Row
from graphlint.ops.table import TABLE

EVERY = 12
FIRST = datetime.datetime.now(datetime.timezone.utc).timetuple().tm_yday % EVERY
"""Another part each day."""


@pytest.fixture(scope="module")
def rows():
    lines = Path(TABLE).read_text(encoding="utf-8").splitlines()
    found = [Row.parse(line) for line in lines if not line.startswith("#")]
    return {row.name: row for row in found if row.info() == INSTALLED.lookup(row.name)}


def test_samples_contradict_no_fact(rows):
    print(f"every {EVERY}th entry of the database from the {FIRST}th on")
    samples = {name: known for name, known in sampling.collect(EVERY, FIRST).items() if name in rows}
    reviewed = {name for line in REVIEWED.read_text().splitlines() for name in line.partition("\t")[0].split()}
    samples = {name: known for name, known in samples.items() if {name, name.rpartition(".")[0]}.isdisjoint(reviewed)}
    names = [name for name in samples if "!" not in rows[name].schema]
    assert len(names) > 40

    writers = {name: [row for row in rows.values() if row.facts.get("twin") == name] for name in names}

    def contradictions(part):
        with torch.no_grad():
            return {
                name: [
                    *experiments.contradictions(rows[name], samples[name]),
                    *views.contradictions(rows[name], samples[name]),
                    *(one for row in writers[name] for one in experiments.written_otherwise(row, samples[name])),
                ]
                for name in part
            }

    found = sampling.in_parts(names, contradictions)
    assert {name: told for name, told in found.items() if told} == {}
    assert len(found) > 40


def test_autocast_makes_of_ops_what_is_told(rows):
    samples = {name: known for name, known in sampling.collect(4 * EVERY, FIRST).items() if name in rows}
    found = sampling.in_parts(
        sorted(samples), lambda part: {name: autocast.policies_of(samples[name]) for name in part}
    )
    told = {(name, device): policy for name, policies in found.items() for device, policy in policies.items()}
    known = {place: rows[place[0]].info().autocast.get(place[1]) for place in told}
    assert {place: (told[place], known[place]) for place in told if known[place] not in (None, told[place])} == {}
    assert sum(policy is not None for policy in known.values()) > 40
