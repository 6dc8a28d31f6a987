"""graphlint and torch's own ``run_decompositions({})`` side by side, on the models of the zoo.

    python tests/models/compare.py [--seed N] [--json FILE] [MODEL...]

For each model it prints whether what either makes of it is functional (linted again, after saving: no writes, checks or
grad-mode regions) and equal (to the bit, over several calls: results, state, random numbers).
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests import judge
from tests.models.zoo import MODELS, UNFIXABLE, Example, build

from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.run.engine import process

_ALL = frozenset(rule.code for rule in RULES)
SETTINGS = Settings(enabled=frozenset(rule.code for rule in RULES if rule.enabled_by_default), fixable=_ALL)
METADATA_CHECKS = "GL205"


Exported = tuple[Any, list[judge.Arguments]]
"""A program, and calls to make of it."""


def _exported(example: Example) -> Exported:
    return build.export(example), example.calls


def verdict(original: Any, path: Path, calls: list[judge.Arguments]) -> tuple[str, str]:
    """Whether the program in a file is functional, and equal to the original: "yes", or what is wrong."""
    left = Counter(one.code for one in process(str(path), SETTINGS, "check").diagnostics if one.code not in UNFIXABLE)
    functional = ", ".join(f"{count} {code}" for code, count in sorted(left.items())) or "yes"
    try:
        judge.compare(original, judge.load(path), calls, times=1)
    except judge.DifferenceError as error:
        return functional, str(error).splitlines()[0]
    except Exception as error:  # noqa: BLE001 - whatever keeps it from loading
        return functional, f"{type(error).__name__}: {error}".splitlines()[0]
    return functional, "yes"


def decomposed(program: Any, calls: list[judge.Arguments], path: Path) -> tuple[str, str, float]:
    """What ``run_decompositions`` makes of a program."""
    start = time.perf_counter()
    try:
        changed = judge.decomposed(program)
        seconds = time.perf_counter() - start
        judge.save(changed, path)
    except Exception as error:  # noqa: BLE001 - whatever it is, there is nothing to judge
        return "fails", f"{type(error).__name__}: {error}".splitlines()[0], time.perf_counter() - start
    return *verdict(program, path, calls), seconds


def fixed(program: Any, calls: list[judge.Arguments], path: Path) -> tuple[str, str, float]:
    """What ``graphlint --fix`` makes of it."""
    judge.save(program, path)
    start = time.perf_counter()
    error = process(str(path), SETTINGS, "fix").error
    seconds = time.perf_counter() - start
    if error:
        return "fails", error.splitlines()[0], seconds
    return *verdict(program, path, calls), seconds


def compare(name: str, make: Callable[[], Exported], folder: Path) -> dict[str, Any]:
    """Both, for one model, each on an export of its own."""
    row: dict[str, Any] = {"model": name}
    for tool, change in (("graphlint", fixed), ("run_decompositions", decomposed)):
        functional, equal, seconds = change(*make(), folder / f"{tool}.pt2")
        row[tool] = {"functional": functional, "equal": equal, "seconds": round(seconds, 3)}
    return row


def main() -> int:
    """Print one line for each model, and the totals; 1 where graphlint falls short on any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there too")
    parser.add_argument("--seed", type=int, default=0, help="of weights and inputs")
    arguments = parser.parse_args()
    build.SEED = arguments.seed
    logging.disable(logging.WARNING)
    rows = []
    print("| model | graphlint: functional | equal | run_decompositions: functional | equal |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.models or MODELS:
            row = compare(name, lambda name=name: _exported(MODELS[name]()), Path(folder))
            rows.append(row)
            cells = [
                row[tool][what] for tool in ("graphlint", "run_decompositions") for what in ("functional", "equal")
            ]
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
    for tool in ("graphlint", "run_decompositions"):
        equal = [row[tool]["functional"] for row in rows if row[tool]["equal"] == "yes"]
        pure = equal.count("yes")
        checks = sum(found.endswith(METADATA_CHECKS) and "," not in found for found in equal)
        print(f"{tool}: {pure} of {len(rows)} functional and equal, {checks} more but for metadata checks")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return int(any({row["graphlint"]["functional"], row["graphlint"]["equal"]} != {"yes"} for row in rows))


if __name__ == "__main__":
    sys.exit(main())
