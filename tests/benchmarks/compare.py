"""graphlint and torch's own ``run_decompositions({})`` side by side, on the same artifacts in the same run.

    python tests/benchmarks/compare.py [--json FILE] [ARTIFACT...]

Each artifact is functionalized twice, each time by a process of its own: by ``graphlint --fix``, and by a Python that
loads it, calls ``run_decompositions({})`` and saves the result. Both results are then linted (are they functional?)
and run in stock torch beside the original (do they do the same, to the bit?). It prints a line for each artifact and
ends with the table of the README. Without arguments it takes the artifacts of torch 2.13 that come with the tests and
the test suite's corner cases.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from cases import export_cases
from measuring import DECOMPOSE, Cost, measure_apart

from graphlint.artifact.errors import GraphlintError
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.run.engine import process
from graphlint.runtime.verification import verify

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
ALL = frozenset(rule.code for rule in RULES)
SETTINGS = Settings(enabled=frozenset(rule.code for rule in RULES if rule.enabled_by_default), fixable=ALL)
NEITHER = frozenset({"GL301", "GL302", "GL305", "GL309"})
"""What no functionalization takes away: prints, draws, train mode, undeclared ops."""


class Outcome(NamedTuple):
    """What one tool made of one artifact."""

    functional: bool
    equal: bool
    cost: Cost | None
    """None where the tool failed."""
    remark: str

    @property
    def good(self) -> bool:
        return self.functional and self.equal


def judged(original: Path, result: Path, cost: Cost) -> Outcome:
    """Whether a result is functional, and equal to the original."""
    left = sorted({one.code for one in process(str(result), SETTINGS, "check").diagnostics} - NEITHER)
    try:
        verify(str(original), str(result), trust=True)
        remark = ""
    except GraphlintError as error:
        remark = str(error)
    return Outcome(not left, not remark, cost, remark or (f"left: {', '.join(left)}" if left else ""))


def by_graphlint(artifact: Path, folder: Path) -> Outcome:
    """``graphlint --fix`` on a copy."""
    copy = folder / f"graphlint-{artifact.name}"
    shutil.copy(artifact, copy)
    cost = measure_apart([sys.executable, "-m", "graphlint", "check", "--fix", "--isolated", "--quiet", str(copy)])
    return judged(artifact, copy, cost)


def by_torch(artifact: Path, folder: Path) -> Outcome:
    """``run_decompositions({})`` of what torch loads."""
    result = folder / f"torch-{artifact.name}"
    try:
        cost = measure_apart([sys.executable, "-c", DECOMPOSE, str(artifact), str(result)], exits=(0,))
    except SystemExit as error:
        return Outcome(False, False, None, str(error).strip().rpartition("\n")[2][:100])
    return judged(artifact, result, cost)


def loadable(artifact: Path) -> bool:
    """Whether stock torch can load and run the original, so that there is something to compare with."""
    try:
        verify(str(artifact), str(artifact), trust=True)
    except GraphlintError as error:
        print(f"{artifact.stem:32} left out: {error}", flush=True)
        return False
    return True


def main() -> int:
    """Compare, print, and exit 1 where graphlint falls short on any artifact."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="*", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts = options.artifacts or sorted(ARTIFACTS.glob("*.pt2")) + export_cases(folder)
        rows: dict[str, dict[str, Outcome]] = {}
        for artifact in filter(loadable, artifacts):
            rows[artifact.stem] = {"graphlint": by_graphlint(artifact, folder), "torch": by_torch(artifact, folder)}
            words = [
                f"{tool}: {'good' if outcome.good else outcome.remark or 'not functional'}"
                for tool, outcome in rows[artifact.stem].items()
            ]
            print(f"{artifact.stem:32} {'; '.join(words)}", flush=True)
    total = len(rows)
    print(f"\n| of {total} artifacts | `graphlint --fix` | load, `run_decompositions({{}})`, save |\n|---|---|---|")

    def line(title: str, show) -> None:
        print(
            f"| {title} | {' | '.join(show([row[tool] for row in rows.values()]) for tool in ('graphlint', 'torch'))} |"
        )

    line("functional and equal", lambda outcomes: str(sum(one.good for one in outcomes)))
    line("functional, but not equal", lambda outcomes: str(sum(one.functional and not one.equal for one in outcomes)))
    line("median seconds", lambda outcomes: f"{statistics.median(one.cost.wall for one in outcomes if one.cost):.2f}")
    line(
        "median peak memory",
        lambda outcomes: f"{statistics.median(one.cost.peak for one in outcomes if one.cost):.0f} MiB",
    )
    if options.json:
        content = {name: {tool: outcome._asdict() for tool, outcome in row.items()} for name, row in rows.items()}
        options.json.write_text(json.dumps({"version": 1, "artifacts": content}, indent=1) + "\n")
    return int(not all(row["graphlint"].good for row in rows.values()))


if __name__ == "__main__":
    raise SystemExit(main())
