"""Judges programs in the torch of this environment: ``python -m tests.versions.worker named``, as judge.py calls it.

Prints a line of JSON when a program begins, and one with its outcomes. It knows neither pytest nor pip: torch, numpy
and what graphlint itself needs are enough.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tests import judge
from tests.models.zoo import UNFIXABLE
from tests.mutation import trial
from tests.versions.programs import Program, sources

from graphlint.run.engine import process

FAMILIES = ("artifacts", "named", "random")


def outcomes(program: Program, folder: Path) -> dict[str, Any]:
    """What graphlint and stock torch make of a program, each with a reason.

    ``equal``: functional, and nobody can tell it from the original. ``refused``: not functional, or nothing was made.
    ``wrong``: it differs, or does not load.
    """
    if not trial.repeatable(program.data, program.args):
        return {"unjudged": "not repeatable"}
    if (raised := _raised_by_torch(program)) is not None:
        return {"unjudged": f"loaded, it raises what the module does not: {raised}"}
    try:
        fixed = trial.fix(program.data, folder, program.args)
        trial.judge(fixed, judge.load(fixed.before), judge.load(fixed.after), *program.more)
        ours, why = _verdict(fixed.after, folder)
    except Exception as error:  # noqa: BLE001 - each is a finding
        ours, why = "wrong", _said(error)
    try:
        data = _decomposed(program.data, folder)
    except Exception as error:  # noqa: BLE001 - whatever torch says
        theirs, said = "refused", _said(error)
    else:
        theirs, said = _judge_decomposed(program, data, folder)
    return {"graphlint": ours, "why": why, "stock": theirs, "said": said}


def _raised_by_torch(program: Program) -> str | None:
    """What the program raises that the module which was exported does not, or None: torch up to 2.9 has parameters
    require gradients that did not, and then refuses writes to views of them.
    """
    raised = judge.Witness(judge.load(program.data)).see(program.args).outcome.raised
    if not raised or program.module is None:
        return None
    try:
        judge.quiet(program.module, *copy.deepcopy(program.args))
    except Exception:  # noqa: BLE001 - the module means to, or is as odd as the program
        return None
    return raised


def _judge_decomposed(program: Program, data: bytes, folder: Path) -> tuple[str, str]:
    """What stock torch makes of a program promises no strides."""
    calls = [(args, {}) for args in (program.args, trial.other_inputs(program.args), *program.more)]
    try:
        judge.compare(judge.load(program.data), judge.load(data), calls, written_back=True, strides=False)
    except Exception as error:  # noqa: BLE001 - each is a finding
        return "wrong", _said(error)
    return _verdict(data, folder)


def _verdict(data: bytes, folder: Path) -> tuple[str, str]:
    """Of a program that does what the original does: ``equal`` where it is functional, else ``refused`` and why."""
    path = folder / "judged.pt2"
    path.write_bytes(data)
    left = [one for one in process(str(path), trial.SETTINGS, "check").diagnostics if one.code not in UNFIXABLE]
    return ("refused", "; ".join(sorted({f"{one.code}: {one.fix.message}" for one in left}))) if left else ("equal", "")


def _decomposed(data: bytes, folder: Path) -> bytes:
    path = folder / "decomposed.pt2"
    judge.save(judge.decomposed(judge.load(data)), path)
    return path.read_bytes()


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def run(family: str, seed: int, count: int, after: str) -> Iterator[dict[str, Any]]:
    """One line when a program begins, and one when it is judged, or when this torch does not export or load it."""
    waiting = bool(after)
    with tempfile.TemporaryDirectory() as folder:
        for name, make in sources(family, seed, count):
            if waiting:
                waiting = name != after
                continue
            yield {"begins": name}
            try:
                program = make()
            except Exception as error:  # noqa: BLE001 - whatever torch cannot export or load is not our business
                yield {"name": name, "unjudged": _said(error)}
                continue
            yield {"name": name, **outcomes(program, Path(folder))}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=FAMILIES)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--programs", type=int, default=0, help="how many random ones")
    parser.add_argument("--after", default="", help="begin after the program of that name")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    # Whatever torch prints goes elsewhere.
    with os.fdopen(os.dup(1), "w") as lines:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        for line in run(options.family, options.seed, options.programs, options.after):
            print(json.dumps(line), file=lines, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
