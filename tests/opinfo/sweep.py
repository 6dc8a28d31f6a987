"""Every op of torch's OpInfo database in programs that write: ``python tests/opinfo/sweep.py --dtypes float32``.

Each program (``programs.py``) is exported, fixed and judged by stock torch; where one is refused, so is what stock
torch's own ``run_decompositions({})`` makes of it. Prints what came of them by form, why programs were refused that
stock torch functionalizes, and every difference. ``--entries '^add$' --forms 'in-place slice'`` runs few alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import multiprocessing
import random
import re
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

import torch
from tests import judge
from tests.mutation import campaign, trial
from tests.opinfo import programs
from torch.utils import _pytree as pytree

SIZES = ("static", "dynamic")
SLOWEST = 900
"""Seconds after which the programs of an entry are given up."""
OUTCOMES = (
    "functional and equal",
    "equal up to rounding",
    "refused",  # though stock torch makes a functional and equal program of it
    "refused, stock fails",
    "wrong",
    "internal error",
    "nothing to fix",
    "not repeatable",
    "eager torch differs",  # what it writes with out= is not what the op returns: a bug of it, or memory as it was
    "not exported",
    "lost in a crash",
)
FINDINGS = ("wrong", "internal error")


class Report(NamedTuple):
    """What came of one program."""

    name: programs.Name
    outcome: str
    reasons: tuple[str, ...] = ()
    """Of a refusal: what graphlint says. Else what went wrong."""
    stock: bool | None = None
    """Whether stock torch makes a functional and equal program of it; None where it was not asked."""


def try_program(name: programs.Name, folder: Path, save: Path | None = None, *, beside: bool = False) -> Report:
    """Build, export, fix and judge one program, and see what stock torch makes of it where it is refused, or always."""
    try:
        case = programs.build(name)
        data = trial.export(case)
    except Exception as error:  # noqa: BLE001 - whatever torch cannot export is not our business
        return Report(name, "not exported", (_said(error),))
    after = b""
    try:
        fixed = trial.fix(data, folder, case.args, trial.ROUNDING)
        after = fixed.after
        campaign.check(fixed, folder, thorough=False)
        outcome, reasons = _outcome(fixed)
    except Exception as error:  # noqa: BLE001 - each is a finding
        if not _steady(data, case.args):
            return Report(name, "not repeatable", (_said(error),))
        if programs.eager_differs(name):
            return Report(name, "eager torch differs", (_said(error),))
        outcome, reasons = "wrong" if after else "internal error", (_said(error),)
        if after and not all(one.fix.exact for one in fixed.result.fixed) and _rounded(fixed):
            outcome = "equal up to rounding"
    stock = _stock(data, case.args) if beside or outcome == "refused" else None
    if outcome == "refused" and not stock:
        outcome = "refused, stock fails"
    report = Report(name, outcome, reasons, stock)
    if save and outcome in FINDINGS:
        _save(report, save, data, after)
    return report


def _outcome(fixed: trial.Fixed) -> tuple[str, tuple[str, ...]]:
    """That of a fixed program which does what it did."""
    reasons = [one.fix.message for one in fixed.result.diagnostics if one.code.startswith("GL1")]
    reasons = reasons or [f"{op} is not found" for op in mutable_ops(trial.load(fixed.after))]
    if reasons:
        return "refused", tuple(reasons)
    return "nothing to fix" if fixed.before == fixed.after else "functional and equal", ()


def _stock(data: bytes, args: tuple[Any, ...]) -> bool:
    """Whether stock torch's own functionalization makes a functional and equal program."""
    try:
        program = judge.decomposed(trial.load(data))
        calls = [(one, {}) for one in (args, trial.other_inputs(args))]
        # Strides are what only a fix promises.
        judge.compare(trial.load(data), program, calls, written_back=True, strides=False)
    except Exception:  # noqa: BLE001 - whatever it is that fails
        return False
    return not mutable_ops(program)


def _steady(data: bytes, args: tuple[Any, ...]) -> bool:
    """Whether the program does the same each time, and also where torch fills memory that nobody has set."""
    plain = judge.Witness(judge.load(data)).see(args)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        filled = judge.Witness(judge.load(data)).see(args)
    finally:
        torch.use_deterministic_algorithms(False)
    return judge.difference(plain, filled) is None and trial.repeatable(data, args)


def mutable_ops(program: Any) -> list[str]:
    """The ops that write, by their schemas, graphs within graphs included."""
    graphs = (one.graph for one in program.graph_module.modules() if isinstance(one, torch.fx.GraphModule))
    targets = (node.target for graph in graphs for node in graph.nodes)
    return sorted({str(one) for one in targets if isinstance(one, torch._ops.OpOverload) and one._schema.is_mutable})


def _rounded(fixed: trial.Fixed) -> bool:
    """Whether a first call differs, and only as far as rounding explains."""
    differs = False
    for args in (fixed.args, trial.other_inputs(fixed.args)):
        try:
            left, right = (judge.Witness(judge.load(one)).see(args).outcome for one in (fixed.before, fixed.after))
        except Exception:  # noqa: BLE001 - the fixed program does not load
            return False
        whole = [pytree.tree_flatten((one.raised, one.result, one.inputs, one.state)) for one in (left, right)]
        if whole[0][1] != whole[1][1]:
            return False
        for one, other in zip(whole[0][0], whole[1][0], strict=True):
            if judge.same(one, other):
                continue
            if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor) or not judge.close(one, other):
                return False
            differs = True
    return differs


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:600]


def _save(report: Report, folder: Path, before: bytes, after: bytes) -> None:
    """Keep the artifacts, and the command that makes them."""
    stem = re.sub(r"[^\w=.-]+", "_", str(report.name))
    (folder / f"{stem}.txt").write_text("\n".join([command(report.name), report.outcome, *report.reasons, ""]))
    (folder / f"{stem}.before.pt2").write_bytes(before)
    if after:
        (folder / f"{stem}.after.pt2").write_bytes(after)


def command(name: programs.Name) -> str:
    """What runs one program alone."""
    return (
        f"python tests/opinfo/sweep.py --entries '^{re.escape(name.entry)}$' --forms '^{name.form}$' "
        f"--dtypes {name.dtype} --sizes {name.sizes} --samples {name.sample + 1}"
    )


def _try_many(names: list[programs.Name], save: Path | None, beside: bool) -> list[Report]:
    signal.alarm(SLOWEST)
    with tempfile.TemporaryDirectory() as folder:
        return [try_program(name, Path(folder), save, beside=beside) for name in names]


def _apart(names: list[programs.Name], save: Path | None, beside: bool) -> list[Report]:
    """The reports on an entry's programs, from a process of its own, which some ops end."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool:
        try:
            return pool.submit(_try_many, names, save, beside).result()
        except Exception as error:  # noqa: BLE001 - the others go on
            return [Report(name, "lost in a crash", (_said(error),)) for name in names]


def reports(names: list[programs.Name], jobs: int, save: Path | None = None, beside: bool = False) -> Iterator[Report]:
    """What came of the programs, entry after entry."""
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    by_entry = [list(group) for _, group in itertools.groupby(names, lambda name: name.entry)]
    with tempfile.TemporaryDirectory() as folder:  # what torch loads for the first program is there for all
        try_program(programs.Name("add", "float32", "dynamic", 0, "in-place slice"), Path(folder), beside=True)
    with ThreadPoolExecutor(jobs) as threads:
        for group in threads.map(partial(_apart, save=save, beside=beside), by_entry):
            yield from group


def sampled(names: Iterable[programs.Name], count: int, seed: int) -> list[programs.Name]:
    """So many of the programs, chosen at random, in their order."""
    names = list(names)
    chosen = sorted(random.Random(seed).sample(range(len(names)), min(count, len(names))))
    return [names[index] for index in chosen]


def table(found: list[Report]) -> str:
    """How many programs of each form had which outcome, and how many stock torch makes functional and equal."""
    outcomes = [one for one in OUTCOMES if any(report.outcome == one for report in found)]
    rows = [["form", *outcomes, "all", "stock torch"], ["---"] * (len(outcomes) + 3)]
    for form in [*programs.FORMS, "all"]:
        ones = [report for report in found if form in (report.name.form, "all")]
        counts = Counter(report.outcome for report in ones)
        asked = [report.stock for report in ones if report.stock is not None]
        stock = f"{sum(asked)} of {len(asked)}" if asked else ""
        rows += [[form, *(counts[one] for one in outcomes), len(ones), stock]] * bool(ones)
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def reasons(found: list[Report], outcome: str) -> Iterator[str]:
    """Why programs had an outcome, whatever the op, the most frequent reason first: an example, and all entries."""
    by_reason: defaultdict[str, list[programs.Name]] = defaultdict(list)
    for report in found:
        if report.outcome == outcome:
            for reason in {re.sub(r"\baten\.\w+\.\w+", "an op", one) for one in report.reasons}:
                by_reason[reason].append(report.name)
    for reason, concerned in sorted(by_reason.items(), key=lambda pair: -len(pair[1])):
        forms = [f"{count} {form}" for form, count in Counter(name.form for name in concerned).most_common()]
        yield f"{len(concerned):6} {reason}\n       {concerned[0]}; {', '.join(forms)}"
        yield f"       {', '.join(dict.fromkeys(name.entry for name in concerned))}"


def main() -> int:
    """Run the sweep; 1 where a fixed program does something else, or where a fix fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--entries", default="", metavar="REGEX", help="entries of the database")
    parser.add_argument("--forms", default="", metavar="REGEX", help=f"of {', '.join(programs.FORMS)}")
    parser.add_argument("--dtypes", nargs="+", choices=programs.DTYPES, default=list(programs.DTYPES))
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=SIZES, help="dynamic ones of float32 only")
    parser.add_argument("--samples", type=int, choices=(1, 2), default=1, help="so many of each entry")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many programs, chosen at random")
    parser.add_argument("--seed", type=int, default=1, help="of that choice")
    parser.add_argument("--beside", action="store_true", help="what stock torch makes of programs that are fixed, too")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", type=Path, metavar="DIR", help="folder for all reports, and the programs that differ")
    options = parser.parse_args()
    every = programs.names(options.dtypes, options.sizes, options.samples, options.entries)
    names = [name for name in every if re.search(options.forms, name.form)]
    if options.sample is not None:
        names = sampled(names, options.sample, options.seed)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
    found = []
    started = time.monotonic()
    for report in reports(names, options.jobs, options.save, options.beside):
        found.append(report)
        if report.outcome in FINDINGS:
            print(f"{report.outcome}: {report.name}: {' '.join(report.reasons)}\n", flush=True)
        if options.save:
            with (options.save / "reports.jsonl").open("a") as lines:
                lines.write(json.dumps([str(report.name), *report[1:]]) + "\n")
    print(f"{len(found)} programs in {time.monotonic() - started:.0f} s\n\n{table(found)}")
    for outcome in OUTCOMES:
        lines = list(reasons(found, outcome))
        if lines and outcome != "not exported":  # of which there are as many as ops
            print(f"\n{outcome}, by reason:", *lines, sep="\n")
    return int(any(report.outcome in FINDINGS for report in found))


if __name__ == "__main__":
    sys.exit(main())
