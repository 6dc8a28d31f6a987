"""What runs every night says what it ran, and fails when a part of it does."""

import argparse

from . import nightly


def test_every_step_runs_and_one_that_fails_is_told(capfd):
    def command(status):
        return ["-c", f"import os, sys; print('seed', os.environ['GRAPHLINT_TEST_SEED']); sys.exit({status})"]

    assert nightly.run({"one": command(0), "two": command(0)}, 17) == 0
    capfd.readouterr()
    assert nightly.run({"one": command(3), "two": command(0)}, 18) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines.count("seed 18") == 3
    assert [line.split(" s  ")[1] for line in lines[-2:]] == ["FAILED (exit status 3)", "as it has to be"]


def test_the_seed_goes_to_every_step():
    options = argparse.Namespace(
        seed=4711, programs=1, mutations=2, samples=3, mixtures=4, size=5, models=["gpt2"], jobs=1, save="kept"
    )
    commands = nightly.steps(options)
    assert all((nightly.TESTS.parent / command[0]).is_file() for command in commands.values() if command[0] != "-m")
    assert all("4711" in command for name, command in commands.items() if name != "checks")


def test_other_seeds_each_night(monkeypatch):
    seeds = set()
    monkeypatch.setattr(nightly, "run", lambda commands, seed: seeds.add(seed) or 0)
    assert [nightly.main([]) for _ in range(3)] == [0, 0, 0]
    assert len(seeds) == 3
