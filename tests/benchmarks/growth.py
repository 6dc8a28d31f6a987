"""How costs grow with programs of the shapes that models have: whole processes, CPU time, from small to large.

    python tests/benchmarks/growth.py [--small] [--runs N] [--json FILE] [--docs]

Each shape is made at several sizes. What ``check`` and ``--fix`` take beyond a tiny artifact of the same shape is
fitted as a power of the size: the exponent, the *slope*, is 1 where twice the size takes twice the time. Exit status 1
where a slope is above 1.15. ``--docs`` puts the table into docs/site/speed.md. ``--small`` takes three shapes and fewer
sizes, and fails above 1.3: it runs on machines that do other things meanwhile, and costs that grow as a square show as
1.5 and more.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import ENVIRONMENT, GRAPHLINT, Cost, measure, typical
from table import into_page

FOLDER = Path(__file__).parent
STEEPEST = 1.15
"""The slope that a shape may have."""
STEEPEST_SMALL = 1.3
"""The same in a run with ``--small``."""
TINY = 100
"""The start of a shape is measured at the smallest of its sizes divided by this number."""
ROUNDS = 3
"""How often a slope is measured at most before it counts as too steep."""
ACTIONS = ("check", "--fix")
BEGIN, END = "<!-- growth: python tests/benchmarks/growth.py --docs -->\n", "<!-- end of growth -->\n"


class Shape(NamedTuple):
    """What grows, and how far."""

    name: str
    unit: str
    """What the size counts."""
    sizes: tuple[int, ...]
    form: str = ""
    """Its form in programs.py; empty where it is one of the fuzzer's."""


SHAPES = (
    Shape("convolutions and batch norms in train mode", "ops", (400, 800, 1_600, 3_200), "norms"),
    Shape("transformer with key and value caches", "layers", (48, 96, 192, 384), "transformer"),
    Shape("unrolled LSTM", "steps", (250, 500, 1_000, 2_000), "lstm"),
    Shape("shifted windows with a mask in nine pieces", "blocks", (40, 80, 160, 320), "windows"),
    Shape("chain of views", "views", (2_500, 5_000, 10_000, 20_000), "transposes"),
    Shape("checks", "checks", (1_000, 2_000, 4_000, 8_000)),
    Shape("programs", "programs in one archive", (125, 250, 500, 1_000)),
    Shape("conds", "subgraphs that write what they are given", (250, 500, 1_000, 2_000)),
    Shape("nested-regions", "nodes in each of 95 nested subgraphs", (12, 25, 50, 100)),
)
SMALL = ("norms", "lstm", "checks")
"""By their form or name."""


def make(shape: Shape, size: int, path: Path) -> None:
    """The artifact of a shape, made by a process of its own: what measures stays small."""
    if shape.form:
        program = (
            "import sys; from pathlib import Path; from programs import write_artifact; "
            "write_artifact(Path(sys.argv[1]), int(sys.argv[2]), 2, form=sys.argv[3])"
        )
    else:
        program = (
            "import sys; from pathlib import Path; sys.path.insert(0, '../..'); from tests.fuzz.shapes import SHAPES; "
            "Path(sys.argv[1]).write_bytes(SHAPES[sys.argv[3]](int(sys.argv[2])))"
        )
    words = [str(path), str(size), shape.form or shape.name]
    subprocess.run([sys.executable, "-c", program, *words], cwd=FOLDER, env=ENVIRONMENT, check=True)


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """The exponent of the power of the size that fits the costs best (least squares of the logarithms)."""
    points = [(math.log(size), math.log(cost)) for size, cost in zip(sizes, costs, strict=True)]
    middle_x, middle_y = (sum(one[axis] for one in points) / len(points) for axis in (0, 1))
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / sum((x - middle_x) ** 2 for x, _ in points)


def costs_of(folder: Path, runs: int, action: str, artifact: Path) -> Cost:
    """What an action takes on an artifact."""
    found = []
    copy = folder / "copy.pt2"
    for _ in range(runs):
        copy.unlink(missing_ok=True)
        os.link(artifact, copy)  # a fix puts a new file in its place
        found.append(measure([*GRAPHLINT, *([action] if action != "check" else []), str(copy)]))
    return typical(found)


def row_of(folder: Path, runs: int, shape: Shape) -> dict[str, Any]:
    """The costs of a shape at each size, and the slopes."""
    found: dict[str, Any] = {"name": shape.name, "unit": shape.unit, "sizes": shape.sizes}
    artifacts = []
    for size in (max(shape.sizes[0] // TINY, 1), *shape.sizes):
        artifacts.append(folder / f"{shape.form or shape.name}-{size}.pt2")
        make(shape, size, artifacts[-1])
    for action in ACTIONS:
        start = costs_of(folder, 2 * runs + 1, action, artifacts[0]).cpu
        costs = [costs_of(folder, runs, action, artifact) for artifact in artifacts[1:]]
        above = [max(cost.cpu - start, 1e-3) for cost in costs]
        found[action] = {
            "cpu": [round(cost.cpu, 4) for cost in costs],
            "peak": round(costs[-1].peak, 1),
            "slope": round(slope(shape.sizes, above), 3),
        }
    return found


def settled(folder: Path, runs: int, shape: Shape, steepest: float) -> dict[str, Any]:
    """The costs of a shape. What is too steep is measured again: what else the machine does may disturb a measurement,
    a real slope shows in each.
    """
    row = row_of(folder, runs, shape)
    for _ in range(ROUNDS - 1):
        if all(row[action]["slope"] <= steepest for action in ACTIONS):
            break
        again = row_of(folder, runs, shape)
        row |= {action: min(row[action], again[action], key=lambda one: float(one["slope"])) for action in ACTIONS}
    return row


def render(results: dict[str, Any]) -> str:
    """A Markdown table, a line for each shape."""
    lines = ["| shape | largest | `check` | slope | `--fix` | slope |", "|---|---|---|---|---|---|"]
    for row in results["rows"]:
        cells = [row["name"], f"{row['sizes'][-1]:,} {row['unit']}"]
        for action in ACTIONS:
            one = row[action]
            cells += [f"{one['cpu'][-1]:.2f} s, {one['peak']:.0f} MiB", f"{one['slope']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", f"{results['machine']}; CPU time, medians of {results['runs']} runs.", ""])


def steep(results: dict[str, Any], steepest: float = STEEPEST) -> list[str]:
    """Which slopes are above the bound, each as a line."""
    return [
        f"{action} ({row['name']}): slope {row[action]['slope']:.2f}, not {steepest}"
        for row in results["rows"]
        for action in ACTIONS
        if row[action]["slope"] > steepest
    ]


def main() -> int:
    """Measure, print the table, write what is asked for, and exit 1 where a slope is too steep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="three shapes, the first three sizes")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures")
    parser.add_argument("--docs", action="store_true", help="put the table into docs/site/speed.md")
    parser.add_argument("--only", nargs="*", help="names or forms of shapes")
    options = parser.parse_args()
    chosen = SMALL if options.small else options.only
    shapes = [one for one in SHAPES if not chosen or one.name in chosen or one.form in chosen]
    steepest = STEEPEST_SMALL if options.small else STEEPEST
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sized = [one._replace(sizes=one.sizes[:3]) if options.small else one for one in shapes]
        rows = [settled(folder, options.runs, shape, steepest) for shape in sized]
    machine = f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}"
    results = {"version": 1, "machine": machine, "runs": options.runs, "rows": rows}
    print(render(results), end="")
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.docs:
        (FOLDER / "growth.json").write_text(json.dumps(results, indent=1) + "\n")
        into_page(render(results), BEGIN, END)
    found = steep(results, steepest)
    for what in found:
        print(f"missed: {what}", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
