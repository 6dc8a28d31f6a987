"""Random programs by the thousand: ``python tests/mutation/campaign.py --programs 5000 --seed 1 --jobs 2``.

Each is exported, fixed and judged by stock torch. Prints what came of them; programs on which the judge finds a
difference are saved as source in the folder that ``--save`` names.

Writes that may round otherwise stay, and bits are compared. With ``--rounding`` they go, as by default, and numbers are
compared up to torch's tolerances; a program whose original gives other results already for inputs that differ by a
millionth is counted as sensitive.

With ``--views``, they are small ones that take views with arguments at random (:mod:`tests.mutation.views`).
"""

import argparse
import copy
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import msgspec

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.mutation import custom_ops, generator, recorded, structure, trial, views

SETTINGS = msgspec.structs.replace(trial.SETTINGS, ops=custom_ops.DECLARED)
ROUNDING = msgspec.structs.replace(trial.ROUNDING, ops=custom_ops.DECLARED)
Generate = Callable[[int], generator.Program]


class Report(NamedTuple):
    """What came of one program."""

    seed: int
    outcome: str
    """``not exported``, ``not repeatable``, ``lost in a crash``, ``nothing to fix``, ``fixed``, ``partly fixed``,
    ``refused``, ``torch itself runs it otherwise``, ``sensitive`` or ``different``, which is a bug.
    """
    detail: str = ""
    reasons: tuple[str, ...] = ()
    fixed: int = 0


def try_program(
    seed: int, folder: Path, *, thorough: bool = True, rounding: bool = False, generate: Generate = generator.generate
) -> Report:
    """Generate, export, fix and judge one program; if ``rounding``, as graphlint is set by default."""
    program = generate(seed)
    dynamic = None
    try:
        module, args = program.build()
        if program.dynamic:
            dynamic = tuple({0: trial.torch.export.Dim.AUTO} if index == 0 else None for index in range(len(args)))
        data = trial.export(trial.Case(module, args, dynamic))
    except Exception as error:  # noqa: BLE001 - whatever torch cannot export is not our business
        return Report(seed, "not exported", f"{type(error).__name__}: {error}"[:200])
    _, args = program.build()
    try:
        fixed = trial.fix(data, folder, args, ROUNDING if rounding else SETTINGS)
        if rounding and not all(one.fix.exact for one in fixed.result.fixed):
            trial.judge_rounded(fixed, *program.more_inputs())
        else:
            check(fixed, folder, program.more_inputs(), thorough=thorough)
    except trial.SensitiveError:
        return Report(seed, "sensitive")
    except Exception as error:  # noqa: BLE001 - each is a finding
        if not trial.repeatable(data, args, *program.more_inputs()):
            return Report(seed, "not repeatable")
        if _only_the_loaded_one_raises(program, data):
            return Report(seed, "torch itself runs it otherwise")
        return Report(seed, "different", f"{type(error).__name__}: {error}")
    left = [one for one in fixed.result.diagnostics if one.code.startswith("GL1")]
    writes = [one for one in fixed.result.fixed if one.code.startswith("GL1")]
    outcome = ("partly fixed" if writes else "refused") if left else "fixed" if writes else "nothing to fix"
    return Report(seed, outcome, "", tuple(one.fix.message for one in left), len(writes))


def _only_the_loaded_one_raises(program: generator.Program, data: bytes) -> bool:
    """Whether the loaded original raises what the module does not: there is nothing to be the same as."""
    (module, args), loaded = program.build(), trial.load(data).module()
    for inputs in (args, trial.other_inputs(args), *program.more_inputs()):
        raised = _raised(loaded, inputs)
        if raised and raised != _raised(module, inputs):
            return True
    return False


def _raised(module: Callable[..., object], inputs: tuple[object, ...]) -> str:
    try:
        module(*copy.deepcopy(inputs))
    except Exception as error:  # noqa: BLE001 - whatever it is
        return f"{type(error).__name__}: {error}"
    return ""


def check(fixed: trial.Fixed, folder: Path, more=(), *, thorough: bool = True) -> None:
    """Everything that must hold of a fixed program. Raises DifferenceError."""
    if fixed.before == fixed.after:  # what differs from run to run is torch's affair
        return
    programs = trial.load(fixed.before), trial.load(fixed.after)
    runs = trial.judge(fixed, *programs, *more)
    before, after = (trial.tree_of(data, folder) for data in (fixed.before, fixed.after))
    structure.check(before, after)
    if not runs:
        return
    old, new = (
        recorded.mismatches(program, tree, fixed.args) for program, tree in zip(programs, (before, after), strict=True)
    )
    if new and not old:  # what torch recorded wrongly spreads to what is derived from it
        raise trial.DifferenceError(f"recorded wrongly: {new}")
    if thorough:
        trial.judge_unflattened(fixed)
        trial.judge_decomposed(fixed)


def _try_many(seeds: list[int], thorough: bool, rounding: bool, generate: Generate) -> list[Report]:
    logging.disable(logging.CRITICAL)
    trial.torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        given = {"thorough": thorough, "rounding": rounding, "generate": generate}
        return [try_program(seed, Path(folder), **given) for seed in seeds]


def _reports(seeds: range, jobs: int, *given: object) -> Iterator[Report]:
    pieces = [list(seeds[start : start + 50]) for start in range(0, len(seeds), 50)]
    for start in range(0, len(pieces), jobs):
        # A program that crashes torch takes its process with it, so that each round has processes of its own.
        with ProcessPoolExecutor(jobs) as pool:
            futures = [pool.submit(_try_many, piece, *given) for piece in pieces[start : start + jobs]]
            for future, piece in zip(futures, pieces[start : start + jobs], strict=True):
                try:
                    yield from future.result()
                except BrokenProcessPool:
                    yield from (Report(seed, "lost in a crash") for seed in piece)


def main() -> int:
    """Run a campaign; 1 where the judge found a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1, help="number of the first program")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="without unflatten and run_decompositions")
    parser.add_argument(
        "--rounding", action="store_true", help="let go what may differ in the last bits, as is default"
    )
    parser.add_argument("--views", action="store_true", help="small programs, of views with arguments at random")
    parser.add_argument("--save", type=Path, help="folder for the source of programs that differ")
    options = parser.parse_args()
    outcomes: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    writes = 0
    started = time.monotonic()
    seeds = range(options.seed, options.seed + options.programs)
    generate = views.generate if options.views else generator.generate
    for report in _reports(seeds, options.jobs, not options.quick, options.rounding, generate):
        outcomes[report.outcome] += 1
        reasons.update(report.reasons)
        writes += report.fixed
        if report.outcome == "different":
            print(f"program {report.seed}: {report.detail[:600]}\n", flush=True)
            if options.save:
                options.save.mkdir(parents=True, exist_ok=True)
                (options.save / f"{report.seed}.py").write_text(generate(report.seed).source)
    print(f"{options.programs} programs in {time.monotonic() - started:.0f} s; {writes} writes fixed")
    for outcome, count in outcomes.most_common():
        print(f"{count:6} {outcome}")
    print(f"{sum(reasons.values())} findings left, by reason:")
    for reason, count in reasons.most_common():
        print(f"{count:6} {reason}")
    return 1 if outcomes["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
