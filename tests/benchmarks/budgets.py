"""What graphlint may cost, as ratios to what runs beside it."""

from __future__ import annotations

from typing import Any

SMALL = 1.25
"""``check`` to the floor, on 10 nodes."""
START = 5.0
"""The same to a Python that does nothing."""
VERSION = 2.5
"""``--version`` to a Python that does nothing, and an option that does not exist."""
LARGE = 2.5
"""The same on 50,000 nodes."""
LARGE_FIX = 4.0
"""``--fix`` to the floor, on 50,000 nodes."""
LARGE_FIX_MIB = 300.0
"""For that fix."""
WEIGHTS = 1.25
"""``check`` with 2 GiB of weights to one without: what the clock's noise may make of 1."""
COPY = 1.3
COPY_SECONDS = 0.2
"""``--fix`` of 1 GiB of weights: so many times ``cp`` and ``sync`` of the copy, plus this."""
COPY_MIB = 60.0
GROWTH = 1.5
"""How much more a node may cost in the largest graph of a kind than in a small one, for ``check``, ``--fix`` and
``--diff``."""
GROWING = (
    ("--fix", "elementwise", 4_000, 50_000),
    ("--diff", "elementwise", 4_000, 50_000),
    ("check", "norms", 200, 3_200),
    ("--fix", "norms", 200, 3_200),
    ("check", "transposes", 500, 5_000),
)
"""An action, what its graphs are made of, and how many nodes the small one and the large one have."""
SPEEDUP = 50.0
"""``--fix`` of 4,000 nodes against torch's load, ``run_decompositions({})`` and save."""
PEAK_MIB = 100.0
"""For that fix."""


def missed(results: dict[str, Any]) -> list[str]:
    """Which budgets a whole run of run.py missed, each as a line."""
    rows = {(row["action"], row["form"], row["nodes"], row["weights"]): row for row in results["rows"]}
    gib = 1 << 30

    def ours(action: str, nodes: int, weights: int, unit: str, form: str = "elementwise") -> float:
        return float(rows[action, form, nodes, weights]["graphlint"][unit])

    def theirs(tool: str, action: str, nodes: int, weights: int, unit: str) -> float:
        return float(rows[action, "elementwise", nodes, weights][tool][unit])

    def growth(action: str, form: str, few: int, many: int) -> float:
        start = ours(action, 10, 0, "cpu")
        costs = [(ours(action, nodes, 0, "cpu", form) - start) / nodes for nodes in (few, many)]
        return costs[1] / costs[0]

    small = ours("check", 10, 0, "cpu") / theirs("floor", "check", 10, 0, "cpu")
    start = ours("check", 10, 0, "cpu") / theirs("python", "check", 10, 0, "cpu")
    version = ours("--version", 10, 0, "cpu") / theirs("python", "--version", 10, 0, "cpu")
    misused = ours("--nothing", 10, 0, "cpu") / theirs("python", "--nothing", 10, 0, "cpu")
    large = ours("check", 50_000, 0, "cpu") / theirs("floor", "check", 50_000, 0, "cpu")
    large_fix = ours("--fix", 50_000, 0, "cpu") / theirs("floor", "--fix", 50_000, 0, "cpu")
    large_peak = ours("--fix", 50_000, 0, "peak")
    weights = ours("check", 1_000, 2 * gib, "cpu") / ours("check", 1_000, 0, "cpu")
    fix, copy = ours("--fix", 1_000, gib, "wall"), theirs("cp", "--fix", 1_000, gib, "wall")
    speedup = theirs("decompose", "--fix", 4_000, 0, "wall") / ours("--fix", 4_000, 0, "wall")
    checks = [
        (small <= SMALL, f"check of 10 nodes takes {small:.2f} times the floor, not {SMALL}"),
        (start <= START, f"check of 10 nodes takes {start:.2f} times a bare Python, not {START}"),
        (version <= VERSION, f"--version takes {version:.2f} times a bare Python, not {VERSION}"),
        (misused <= VERSION, f"a mistyped option takes {misused:.2f} times a bare Python, not {VERSION}"),
        (large <= LARGE, f"check of 50,000 nodes takes {large:.2f} times the floor, not {LARGE}"),
        (large_fix <= LARGE_FIX, f"--fix of 50,000 nodes takes {large_fix:.2f} times the floor, not {LARGE_FIX}"),
        (large_peak <= LARGE_FIX_MIB, f"--fix of 50,000 nodes takes {large_peak:.0f} MiB, not {LARGE_FIX_MIB:.0f}"),
        (weights <= WEIGHTS, f"check takes {weights:.2f} times as long with 2 GiB of weights"),
        (fix <= COPY * copy + COPY_SECONDS, f"--fix of 1 GiB takes {fix:.2f} s, cp and sync {copy:.2f} s"),
        (ours("--fix", 1_000, gib, "peak") < COPY_MIB, f"--fix of 1 GiB takes more than {COPY_MIB:.0f} MiB"),
        *(
            (
                (found := growth(action, form, few, many)) <= GROWTH,
                f"{action} ({form}): a node costs {found:.2f} times as much in {many:,} as in {few:,}",
            )
            for action, form, few, many in GROWING
        ),
        (speedup >= SPEEDUP, f"--fix is {speedup:.0f} times faster than torch on 4,000 nodes, not {SPEEDUP:.0f}"),
        (ours("--fix", 4_000, 0, "peak") < PEAK_MIB, f"--fix of 4,000 nodes takes more than {PEAK_MIB:.0f} MiB"),
    ]
    return [what for held, what in checks if not held]
