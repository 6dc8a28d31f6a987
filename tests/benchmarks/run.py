"""``graphlint`` beside the floor, stock torch and ``cp``, as whole processes in one run, on artifacts made for it.

    python tests/benchmarks/run.py [--runs N] [--json FILE] [--docs]     ten minutes; some GB of disk and memory
    python tests/benchmarks/run.py --small                                 two minutes

Three tables: programs from small to large, with weights and without; programs of the shapes that models have
(growth.py); many artifacts, kept results, a hook, a remote artifact (many.py). ``--only`` takes some of them.

The artifacts of the first are chains of elementwise ops with a write in every twenty nodes, of convolutions and batch
norms in train mode, and of transposes (programs.py). ``check``, ``--diff`` and ``--fix`` are measured on 10 to 50,000
nodes, beside

- the floor: a Python that opens the archive and decodes the program's JSON into graphlint's typed model, and imports
  nothing that this does not take;
- a Python that does nothing (``--version``, an option that does not exist, and ``check`` of the smallest artifact);
- stock torch: one that loads the artifact (``check``), or that loads it, calls ``run_decompositions({})`` and saves
  the result (``--fix``);
- ``cp`` and ``sync`` of the copy (``--fix`` of an artifact with weights).

What is compared runs in turn, so that other work on the machine hits all alike. Times are medians. Ratios to the floor
are of CPU time, others of wall time; a smaller one is better for graphlint. The whole run exits 1 where a budget
(budgets.py) is missed; ``--json`` writes the figures, ``--docs`` also puts them into docs/site/speed.md. The small one
exits 1 where a ratio is worse by half than the one in small.json, and is so again and again: what else the machine does
may disturb a measurement, a slowdown shows in each. ``--json`` writes that file anew.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import growth
import many
from budgets import missed
from measuring import COPY, DECOMPOSE, ENVIRONMENT, FLOOR, GRAPHLINT, LOAD, TOUCH, Cost, measure, typical
from table import BEGIN, END, into_page, render

FOLDER = Path(__file__).parent
COMMITTED = FOLDER / "small.json"
WORSE = 1.5
ROUNDS = 4
"""How often a ratio is measured at most before it counts as worse."""
GIB = 1 << 30


class Case(NamedTuple):
    """What is done to which artifact, beside what."""

    action: str
    """``check``, ``--diff`` or ``--fix``; or what looks at none: ``--version``, and an option that there is not."""
    nodes: int
    weights: int = 0
    """Bytes."""
    dense: bool = False
    """Whether they take their room on the disk."""
    beside: tuple[str, ...] = ("floor",)
    form: str = "elementwise"
    """What the program is made of."""

    @property
    def name(self) -> str:
        return f"{self.action} {self.nodes} nodes ({self.form}) {self.weights} bytes"

    @property
    def artifact(self) -> str:
        return f"{self.form}-{self.nodes}-{self.weights}-{self.dense}.pt2"


FULL = (
    Case("--version", 10, beside=("python",)),
    Case("--nothing", 10, beside=("python",)),
    Case("check", 10, beside=("floor", "python", "load")),
    Case("check", 1_000, beside=("floor", "load")),
    Case("check", 4_000, beside=("floor", "load")),
    Case("check", 20_000),
    Case("check", 50_000),
    Case("check", 1_000, GIB, beside=("floor", "load")),
    Case("check", 1_000, 2 * GIB),
    Case("check", 200, form="norms"),
    Case("check", 3_200, form="norms"),
    Case("check", 500, form="transposes"),
    Case("check", 5_000, form="transposes"),
    Case("--diff", 10),
    Case("--diff", 4_000),
    Case("--diff", 20_000),
    Case("--diff", 50_000),
    Case("--fix", 10, beside=("floor", "decompose")),
    Case("--fix", 1_000, beside=("floor", "decompose")),
    Case("--fix", 4_000, beside=("floor", "decompose")),
    Case("--fix", 20_000),
    Case("--fix", 50_000),
    Case("--fix", 200, form="norms"),
    Case("--fix", 3_200, form="norms"),
    Case("--fix", 1_000, GIB, dense=True, beside=("cp",)),
)
SMALL = (
    Case("check", 10, beside=("floor", "load")),
    Case("check", 4_000),
    Case("check", 10, 2 * GIB),
    Case("check", 800, form="norms"),
    Case("check", 5_000, form="transposes"),
    Case("--diff", 1_000),
    Case("--fix", 1_000, beside=("floor", "decompose")),
    Case("--fix", 10, GIB // 2, dense=True, beside=("cp",)),
)
SLOW = {"load", "decompose", "cp"}
"""What is run fewer times."""
SHORT, OFTEN = 10, 5
"""What is done to graphs of at most so many nodes is short, and is disturbed most by what else the machine does: it is
run so many times as often."""


class Bench:
    """Measures cases in a folder."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.folder = folder
        self.runs = runs
        self.copy = folder / "copy.pt2"

    def rows(self, cases: Iterable[Case]) -> Iterator[dict[str, object]]:
        """A row for each case."""
        for case in cases:
            yield self._row(case)

    def worse(self, cases: Sequence[Case], found: dict[str, float]) -> list[str]:
        """Which ratios, those found at first, are worse than the committed ones however often they are measured."""
        for _ in range(ROUNDS - 1):
            names = worse(found)
            again = [case for case in cases if any(name.startswith(f"{case.name} /") for name in names)]
            if not again:
                break
            print(f"measured again: {', '.join(case.name for case in again)}", file=sys.stderr)
            for name, value in ratios(list(self.rows(again))).items():
                found[name] = min(found[name], value)
        return list(worse(found).values())

    def _row(self, case: Case) -> dict[str, object]:
        artifact = self._made(case)
        tools = ("graphlint", *case.beside)
        costs: dict[str, list[Cost]] = {tool: [] for tool in tools}
        runs = self.runs * (OFTEN if case.nodes <= SHORT else 1)
        for number in range(runs + 1):  # the first round warms the file cache
            for tool in tools:
                if tool in SLOW and number > max(self.runs // 3, 1):
                    continue
                costs[tool].append(self._run(tool, case, artifact))
        kept = {tool: typical(found[1:] if len(found) > 1 else found) for tool, found in costs.items()}
        if case.weights and case.dense:
            artifact.unlink()  # they are large
        row: dict[str, object] = {
            "action": case.action,
            "form": case.form,
            "nodes": case.nodes,
            "weights": case.weights,
            "name": case.name,
        }
        for tool, cost in kept.items():
            row[tool] = {name: round(value, 4) for name, value in cost._asdict().items()}
        return row

    def _made(self, case: Case) -> Path:
        path = self.folder / case.artifact
        if not path.exists():
            program = (
                "import sys; from pathlib import Path; from programs import write_artifact; "
                "nodes, weights, dense = map(int, sys.argv[3:]); "
                "write_artifact(Path(sys.argv[1]), nodes, max(nodes // 20, 2), form=sys.argv[2], weights=weights, "
                "dense=bool(dense))"
            )
            words = [str(path), case.form, *(str(int(value)) for value in (case.nodes, case.weights, case.dense))]
            subprocess.run([sys.executable, "-c", program, *words], cwd=FOLDER, env=ENVIRONMENT, check=True)
        return path

    def _run(self, tool: str, case: Case, artifact: Path) -> Cost:
        self.copy.unlink(missing_ok=True)
        runs: dict[str, Callable[[], Cost]] = {
            "graphlint": lambda: self._graphlint(case, artifact),
            "floor": lambda: measure([sys.executable, "-c", FLOOR, str(artifact)]),
            "python": lambda: measure([sys.executable, "-c", "pass"], exits=(0,)),
            "load": lambda: measure([sys.executable, "-c", LOAD, str(artifact)], exits=(0,)),
            "decompose": lambda: measure([sys.executable, "-c", DECOMPOSE, str(artifact), str(self.copy)], exits=(0,)),
            "cp": lambda: measure(["sh", "-c", COPY, "sh", str(artifact), str(self.copy)], exits=(0,)),
        }
        if case.dense:
            os.sync()  # nobody pays for what another one wrote
            measure([sys.executable, "-c", TOUCH, str(case.weights * 5 // 4)])
        return runs[tool]()

    def _graphlint(self, case: Case, artifact: Path) -> Cost:
        if case.action == "check":
            return measure([*GRAPHLINT, str(artifact)])
        if case.action in ("--version", "--nothing"):
            return measure([sys.executable, "-m", "graphlint", case.action], exits=(0, 2))
        # A fix puts a new file in its place, so that the other name keeps the original.
        os.link(artifact, self.copy)
        cost = measure([*GRAPHLINT, case.action, str(self.copy)], exits=(1,))
        if (case.action == "--fix") == self.copy.samefile(artifact):
            raise SystemExit(f"{case.action} of {artifact.name} did not do what it should")
        return cost


def ratios(rows: list[dict[str, object]]) -> dict[str, float]:
    """Cost of graphlint to cost of what it ran beside: CPU time for the floor and Python, else wall time."""
    found = {}
    for row in rows:
        ours = row["graphlint"]
        for tool in ("floor", "python", "load", "decompose", "cp"):
            theirs = row.get(tool)
            if isinstance(ours, dict) and isinstance(theirs, dict):
                unit = "cpu" if tool in ("floor", "python") else "wall"
                name = f"{row['name']} / {tool}"
                found[name] = round(ours[unit] / theirs[unit], 3)
    return found


def programs(folder: Path, runs: int, *, small: bool) -> dict[str, Any]:
    """The rows of the first table, and their ratios."""
    rows = list(Bench(folder, runs).rows(SMALL if small else FULL))
    return {"version": 1, "rows": rows, "ratios": ratios(rows)}


def main() -> int:
    """Measure, print the tables, write what is asked for, and exit 1 where something is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="the small run, held against small.json")
    parser.add_argument("--runs", type=int, default=None, help="of each command (default: 3, of the small run 7)")
    parser.add_argument("--json", type=Path, help="write the figures of the first table")
    parser.add_argument(
        "--docs", action="store_true", help="put the tables into docs/site/speed.md, the figures beside"
    )
    parser.add_argument("--only", nargs="*", choices=TABLES, default=list(TABLES))
    parser.add_argument("--folder", type=Path, help="where to make the artifacts; default: a temporary folder")
    options = parser.parse_args()
    machine = f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"
    found: list[str] = []
    for name in options.only:
        table = TABLES[name]
        runs = options.runs or (7 if options.small and table is TABLES["programs"] else 3)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results = table.results(Path(folder), runs, small=options.small)
            results |= {"machine": machine, "runs": runs}
            if not options.small or table is not TABLES["programs"]:
                found += table.missed(results)
            elif not options.json:  # not held against the file that it replaces
                found += Bench(Path(folder), runs).worse(SMALL, results["ratios"])
        shown = f"{table.render(results)}\n{machine}; medians of up to {runs} runs.\n"
        print(shown)
        text = json.dumps(results, indent=1) + "\n"
        if options.json and table is TABLES["programs"]:
            options.json.write_text(text)
        if options.docs:
            (FOLDER / table.file).write_text(text)
            into_page(shown, table.begin, table.end)
    for what in found:
        print(f"missed: {what}", file=sys.stderr)
    return int(bool(found))


class Table(NamedTuple):
    """A part of the run, what it measures, says, and holds to."""

    results: Callable[..., dict[str, Any]]
    render: Callable[[dict[str, Any]], str]
    missed: Callable[[dict[str, Any]], list[str]]
    file: str
    begin: str
    end: str


TABLES = {
    "programs": Table(programs, render, missed, "full.json", BEGIN, END),
    "shapes": Table(growth.results, growth.render, growth.missed, growth.FILE, growth.BEGIN, growth.END),
    "many": Table(many.results, many.render, many.missed, many.FILE, many.BEGIN, many.END),
}


def worse(found: dict[str, float]) -> dict[str, str]:
    """Which ratios are worse by half than the committed ones, with what is to be said of them."""
    committed = json.loads(COMMITTED.read_text())["ratios"]
    if committed.keys() != found.keys():
        return {"": "small.json has other ratios: write it anew with --small --json tests/benchmarks/small.json"}
    return {
        name: f"{name} is {value:.2f}, more than {WORSE} times the committed {committed[name]:.2f}"
        for name, value in found.items()
        if value > WORSE * committed[name]
    }


if __name__ == "__main__":
    raise SystemExit(main())
