"""Random programs, models, hostile artifacts and the fuzzer with fresh seeds: what is to be run every night.

::

    python tests/nightly.py                                                    # some hours
    python tests/nightly.py --programs 40 --mutations 200 --samples 100 --size 20000 --models clip   # a few minutes
    python tests/nightly.py --seed 4711                                        # once more

Prints each command with its seed, and a summary. Exit status 1 where something is not as it has to be; failures are
kept in the folder that ``--save`` names.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
Steps = dict[str, list[str]]


def steps(options: argparse.Namespace) -> Steps:
    """The commands, by name."""
    shared = ["--seed", str(options.seed), "--jobs", str(options.jobs), "--save"]
    return {
        "writes": [
            "tests/mutation/campaign.py",
            "--programs",
            str(options.programs),
            *shared,
            f"{options.save}/programs",
        ],
        "arguments": [
            "tests/mutation/campaign.py",
            "--views",
            "--programs",
            str(options.programs),
            *shared,
            f"{options.save}/views",
        ],
        "views": ["tests/mutation/grid.py", "--sample", str(options.programs), "--seed", str(options.seed)],
        "checks": ["-m", "pytest", "-q", "tests/fixing/test_random_programs.py"],
        "models": ["tests/models/compare.py", "--seed", str(options.seed), *options.models],
        "hostile": [
            "tests/fuzz/hostile.py",
            "--samples",
            str(options.samples),
            "--seed",
            str(options.seed),
            "--save",
            f"{options.save}/hostile",
        ],
        "shapes": [
            "tests/fuzz/shapes.py",
            "--mixtures",
            str(options.mixtures),
            "--size",
            str(options.size),
            "--seed",
            str(options.seed),
            "--save",
            f"{options.save}/shapes",
        ],
        "fuzzer": ["tests/fuzz/fuzz.py", "--mutations", str(options.mutations), *shared, f"{options.save}/mutations"],
    }


def run(commands: Steps, seed: int) -> int:
    """Run one command after the other, all of them; 1 where one failed."""
    environment = {**os.environ, "GRAPHLINT_TEST_SEED": str(seed)}
    lines, failed = [], 0
    for name, command in commands.items():
        print(f"\n== {name}: GRAPHLINT_TEST_SEED={seed} python {shlex.join(command)}", flush=True)
        started = time.monotonic()
        status = subprocess.run([sys.executable, *command], cwd=TESTS.parent, env=environment).returncode
        failed |= status != 0
        result = "as it has to be" if status == 0 else f"FAILED (exit status {status})"
        lines.append(f"{name:10} {time.monotonic() - started:6.0f} s  {result}")
    print(f"\nseed {seed}", *lines, sep="\n", flush=True)
    return int(failed)


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9), help="default: a fresh one")
    parser.add_argument("--programs", type=int, default=5000)
    parser.add_argument("--mutations", type=int, default=20000)
    parser.add_argument("--samples", type=int, default=20000, help="hostile artifacts")
    parser.add_argument("--mixtures", type=int, default=30, help="random programs as large as their file may be")
    parser.add_argument("--size", type=int, default=5_000_000, help="bytes of an artifact of every shape")
    parser.add_argument("--models", nargs="*", default=[], metavar="MODEL", help="default: all of the zoo")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path, default=Path("nightly-failures"))
    options = parser.parse_args(arguments)
    return run(steps(options), options.seed)


if __name__ == "__main__":
    sys.exit(main())
