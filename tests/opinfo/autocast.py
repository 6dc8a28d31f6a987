"""Autocast regions around each op: exported, fixed, and judged by stock torch.

``python tests/opinfo/autocast.py`` takes all ops whose policy on the CPU is known, half an hour; ``--ops matmul`` those
that a regular expression finds, ``--every 10`` each tenth entry of the database. Programs are made of the samples that
the policies are measured with, in regions of both dtypes, of operands in single precision, in the region's dtype, and
of both. Exits with 1 where a fixed program does something else, or where a region stays whose op is known.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch.utils import _pytree as pytree

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.facts.autocast import more_samples
from tests.facts.samples import Sample, collect
from tests.judge import DifferenceError, compare, load
from tests.mutation import trial

from graphlint.ops.table import op_table

REGIONS: Final = {"bfloat16": torch.bfloat16, "float16": torch.float16}
DTYPES: Final[dict[str, Callable[[int, torch.dtype], torch.dtype]]] = {
    "single": lambda place, lower: torch.float32,
    "lower": lambda place, lower: lower,
    "first lower": lambda place, lower: torch.float32 if place else lower,
    "first single": lambda place, lower: lower if place else torch.float32,
    "double": lambda place, lower: torch.float64,
}
OUTCOMES: Final = ("same", "differs", "stays", "not exported")


class Name(NamedTuple):
    """All that it takes to build a program."""

    op: str
    sample: int
    region: str
    dtypes: str

    def __str__(self) -> str:
        return "/".join(map(str, self))


class Region(torch.nn.Module):
    """Calls an op in a region."""

    def __init__(self, sample: Sample, region: torch.dtype) -> None:
        super().__init__()
        self.op = sample.op
        self.leaves, self.spec = pytree.tree_flatten(sample.arguments)
        self.region = region

    def forward(self, *tensors: torch.Tensor) -> Any:
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        with torch.autocast("cpu", dtype=self.region):
            copied = [leaf.clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
            results = Sample(self.op, pytree.tree_unflatten(copied, self.spec)).run()
            written = [leaf for leaf in copied if isinstance(leaf, torch.Tensor)]
        return [one for one in pytree.tree_leaves((results, written)) if isinstance(one, torch.Tensor)]


def policies() -> dict[str, str]:
    """What is known of each op on the CPU."""
    known = ((name, op_table().lookup(name)) for name in op_table().names())
    found = {name: op.autocast.get("cpu") for name, op in known if op is not None}
    return {name: policy for name, policy in found.items() if policy is not None}


def samples(every: int = 1, first: int = 0) -> dict[str, list[Sample]]:
    """Samples of the ops whose policy is known, but for those of which nobody knows what they return."""
    known = policies()
    found = {**more_samples(), **collect(every, first)}
    return {name: ones for name, ones in found.items() if known.get(name, "banned") != "banned" and "empty" not in name}


def names(known: Mapping[str, list[Sample]]) -> Iterator[Name]:
    """The programs of each op: all ways of one sample of a policy that casts, and two of one that does not."""
    told = policies()
    for number, (name, ones) in enumerate(sorted(known.items())):
        first = next((at for at, one in enumerate(ones) if any(t.is_floating_point() for t in one.tensors())), 0)
        ways = list(itertools.product(REGIONS, DTYPES))
        chosen = ways if told[name] != "none" else [ways[number % len(ways)], ways[(number * 3 + 1) % len(ways)]]
        yield from (Name(name, first, *way) for way in chosen)


def attempt(name: Name, known: Mapping[str, list[Sample]], folder: Path) -> tuple[str, str]:
    """What comes of a program, and a word about it."""
    region = REGIONS[name.region]
    places = itertools.count()

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(DTYPES[name.dtypes](next(places), region)) if tensor.dtype == torch.float32 else tensor

    sample = known[name.op][name.sample].changed(cast)
    module, args = Region(sample, region), tuple(sample.copied().tensors())
    try:
        data = trial.export(trial.Case(module, args))
        if "wrap_with_autocast" not in str(trial.tree_of(data, folder)):
            return "not exported", "no region"
    except Exception as error:  # noqa: BLE001  # torch exports what it can
        return "not exported", str(error)
    try:
        fixed = trial.fix(data, folder, args)
        left = {one.fix.message for one in fixed.result.diagnostics if one.code == "GL402"}
        if left:
            return "stays", ", ".join(sorted(left))
        compare(load(data), load(fixed.after), [(args, {})], written_back=True, times=1)
    except DifferenceError as error:
        return "differs", str(error)
    return "same", ""


def main() -> int:
    """Try all programs that are asked for; the exit code."""
    parser = argparse.ArgumentParser(description="Autocast regions around each op.")
    parser.add_argument("--ops", default="", help="a regular expression")
    parser.add_argument("--every", type=int, default=1, help="only each so manieth entry of the database")
    given = parser.parse_args()
    known = {name: ones for name, ones in samples(given.every).items() if re.search(given.ops, name)}
    counts: Counter[tuple[str, str]] = Counter()
    told = policies()
    for name in names(known):
        with tempfile.TemporaryDirectory() as folder:
            outcome, word = attempt(name, known, Path(folder))
        counts[told[name.op], outcome] += 1
        if outcome in ("differs", "stays"):
            sys.stdout.write(f"{name} {outcome}: {word}\n")
    for (policy, outcome), count in sorted(counts.items()):
        sys.stdout.write(f"{policy}: {outcome} {count}\n")
    return int(any(outcome in ("differs", "stays") for _, outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
