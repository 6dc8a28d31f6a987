"""How costs grow with programs of the shapes that models have, from small to large: a part of what run.py prints.

Whole processes, CPU time. Each shape is made at several sizes. What ``check`` and ``--fix`` take beyond a tiny artifact
of the same shape is fitted as a power of the size: the exponent, the *slope*, is 1 where twice the size takes twice the
time. A budget is missed where a slope is above 1.15. A small run takes three shapes and fewer sizes, and fails above
1.3: it runs on machines that do other things meanwhile, and costs that grow as a square show as 1.5 and more.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from measuring import ENVIRONMENT, FLOOR, GRAPHLINT, Cost, measure, typical

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
BEGIN, END = "<!-- growth: python tests/benchmarks/run.py --docs -->\n", "<!-- end of growth -->\n"
FILE = "growth.json"


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
    Shape("chains of a hundred views", "views", (2_500, 5_000, 10_000, 20_000), "chains"),
    Shape("checks", "checks", (1_000, 2_000, 4_000, 8_000)),
    Shape("programs", "programs in one archive", (125, 250, 500, 1_000)),
    Shape("conds whose branches write an input", "conds", (125, 250, 500, 1_000), "branches"),
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
        if (action == "check") != copy.samefile(artifact):
            raise SystemExit(f"{artifact.name}: {action} measures nothing, for it fixes nothing")
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
    floor = [sys.executable, "-c", FLOOR, str(artifacts[-1])]
    found["floor"] = round(typical(measure(floor) for _ in range(runs)).cpu, 4)
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


def render(found: dict[str, Any]) -> str:
    """A Markdown table, a line for each shape."""
    lines = [
        "| shape | largest | `check` | to the floor | slope | `--fix` | to the floor | slope |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        cells = [row["name"], f"{row['sizes'][-1]:,} {row['unit']}"]
        for action in ACTIONS:
            one = row[action]
            ratio = f"{one['cpu'][-1] / row['floor']:.1f}"
            cells += [f"{one['cpu'][-1]:.2f} s, {one['peak']:.0f} MiB", ratio, f"{one['slope']:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def missed(found: dict[str, Any]) -> list[str]:
    """Which slopes are above the bound, each as a line."""
    steepest = found["steepest"]
    return [
        f"{action} ({row['name']}): slope {row[action]['slope']:.2f}, not {steepest}"
        for row in found["rows"]
        for action in ACTIONS
        if row[action]["slope"] > steepest
    ]


def results(folder: Path, runs: int, *, small: bool) -> dict[str, Any]:
    """A row for each shape."""
    shapes = [one for one in SHAPES if not small or one.name in SMALL or one.form in SMALL]
    steepest = STEEPEST_SMALL if small else STEEPEST
    sized = [one._replace(sizes=one.sizes[:3]) if small else one for one in shapes]
    return {"version": 1, "steepest": steepest, "rows": [settled(folder, runs, shape, steepest) for shape in sized]}
