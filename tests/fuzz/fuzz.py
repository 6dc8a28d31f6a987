"""Mutates real artifacts, runs the command line on them, and fails on tracebacks, hangs, damage and broken output.

::

    python tests/fuzz/fuzz.py --mutations 20000 --seed 1 --jobs 2     # nightly
    python tests/fuzz/fuzz.py --seed 1 --only 4711                    # one case again, the file kept

Each case is made by its seed and number alone. Exit status 1 when one failed; the mutated files of failures are kept
in the folder that ``--save`` names.
"""

from __future__ import annotations

import argparse
import collections
import functools
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz import judge, mutate
from tests.fuzz.loading import Loader

WATCHDOG = 120
"""Seconds without an answer after which a worker is given up: it hangs where no signal reaches it, or has died."""


class Outcome(NamedTuple):
    """What came of one case."""

    number: int
    name: str
    result: str
    """``unreadable``, ``unchanged``, ``fixed`` or ``failed``."""
    detail: str = ""


def try_case(seed: int, number: int, save: Path | None = None) -> Outcome:
    """Make and judge one case."""
    made = mutate.case(seed, number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutated" / "model.pt2"
        path.parent.mkdir()
        path.write_bytes(made.data)
        original = Path(folder) / "original" / "model.pt2"
        original.parent.mkdir()
        original.write_bytes(made.original)
        try:
            result = judge.judge(path, number, original)
            if result == "fixed":
                judge.still_loads(_loader(), path, made.data)
            return Outcome(number, made.name, result)
        except judge.FailedError as failure:
            if save is not None:
                save.mkdir(parents=True, exist_ok=True)
                (save / f"{seed}-{number}.pt2").write_bytes(made.data)
            return Outcome(number, made.name, "failed", str(failure))


@functools.cache
def _loader() -> Loader:
    """One for each worker, which ends with it."""
    return Loader()


def _start() -> None:
    _loader()
    try_case(0, 0)  # loads what is loaded late
    judge.limit_memory()


def _try(task: tuple[int, int, Path | None]) -> Outcome:
    return try_case(*task)


def run(seed: int, numbers: range, jobs: int, save: Path | None) -> Iterator[Outcome]:
    """Judge cases in worker processes with a limit on memory."""
    pool = multiprocessing.get_context("spawn").Pool(jobs, _start, maxtasksperchild=2000)
    try:
        outcomes = pool.imap_unordered(_try, [(seed, number, save) for number in numbers])
        done: set[int] = set()
        while len(done) < len(numbers):
            try:
                outcome = outcomes.next(WATCHDOG)
            except multiprocessing.TimeoutError:
                missing = sorted(set(numbers) - done)
                yield Outcome(missing[0], "?", "failed", f"no answer: it is one of cases {missing[: 8 * jobs]}")
                return
            done.add(outcome.number)
            yield outcome
        pool.close()
        pool.join()
    finally:
        pool.terminate()


def summary(seed: int, outcomes: list[Outcome]) -> str:
    """Counts by kind of mutation, and every failure."""
    kinds = collections.Counter((one.name.rpartition(", ")[2], one.result) for one in outcomes)
    lines = [f"{kind:10} {result:12} {count:7}" for (kind, result), count in sorted(kinds.items())]
    lines += [
        f"\n{one.name} (--seed {seed} --only {one.number})\n{one.detail}" for one in outcomes if one.result == "failed"
    ]
    return "\n".join(lines)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mutations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--save", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args()
    if options.only is not None:
        outcomes = [try_case(options.seed, options.only, options.save)]
    else:
        outcomes = list(run(options.seed, range(options.mutations), options.jobs, options.save))
    print(summary(options.seed, outcomes))
    failed = sum(one.result == "failed" for one in outcomes)
    print(f"{len(outcomes)} cases, {failed} failed")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
