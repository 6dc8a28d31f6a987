"""What graphlint may cost, as ratios to what runs beside it."""

from __future__ import annotations

from typing import Any

SMALL = 2.0
"""``check`` to the floor, on 10 nodes."""
LARGE = 1.5
"""The same on 20,000 nodes."""
WEIGHTS = 1.25
"""``check`` with 2 GiB of weights to one without: what the clock's noise may make of 1."""
COPY = 1.3
COPY_SECONDS = 0.2
"""``--fix`` of 1 GiB of weights: so many times ``cp`` and ``sync`` of the copy, plus this."""
COPY_MIB = 60.0
GROWTH = 1.5
"""How much more a node may cost in the largest graph than in one of 4,000 nodes, for ``--fix`` and ``--diff``."""
SPEEDUP = 50.0
"""``--fix`` of 4,000 nodes against torch's load, ``run_decompositions({})`` and save."""
PEAK_MIB = 100.0
"""For that fix."""


def missed(results: dict[str, Any]) -> list[str]:
    """Which budgets a whole run of run.py missed, each as a line."""
    rows = {(row["action"], row["nodes"], row["weights"]): row for row in results["rows"]}
    gib = 1 << 30

    def ours(action: str, nodes: int, weights: int, unit: str) -> float:
        return float(rows[action, nodes, weights]["graphlint"][unit])

    def theirs(tool: str, action: str, nodes: int, weights: int, unit: str) -> float:
        return float(rows[action, nodes, weights][tool][unit])

    def growth(action: str) -> float:
        few, many = ((ours(action, nodes, 0, "cpu") - ours(action, 10, 0, "cpu")) / nodes for nodes in (4_000, 50_000))
        return many / few

    small = ours("check", 10, 0, "cpu") / theirs("floor", "check", 10, 0, "cpu")
    large = ours("check", 20_000, 0, "cpu") / theirs("floor", "check", 20_000, 0, "cpu")
    weights = ours("check", 1_000, 2 * gib, "cpu") / ours("check", 1_000, 0, "cpu")
    fix, copy = ours("--fix", 1_000, gib, "wall"), theirs("cp", "--fix", 1_000, gib, "wall")
    growing = {action: growth(action) for action in ("--fix", "--diff")}
    speedup = theirs("decompose", "--fix", 4_000, 0, "wall") / ours("--fix", 4_000, 0, "wall")
    checks = [
        (small <= SMALL, f"check of 10 nodes takes {small:.2f} times the floor, not {SMALL}"),
        (large <= LARGE, f"check of 20,000 nodes takes {large:.2f} times the floor, not {LARGE}"),
        (weights <= WEIGHTS, f"check takes {weights:.2f} times as long with 2 GiB of weights"),
        (fix <= COPY * copy + COPY_SECONDS, f"--fix of 1 GiB takes {fix:.2f} s, cp and sync {copy:.2f} s"),
        (ours("--fix", 1_000, gib, "peak") < COPY_MIB, f"--fix of 1 GiB takes more than {COPY_MIB:.0f} MiB"),
        *(
            (
                found <= GROWTH,
                f"{action}: a node costs {found:.2f} times as much in a graph of 50,000 as in one of 4,000",
            )
            for action, found in growing.items()
        ),
        (speedup >= SPEEDUP, f"--fix is {speedup:.0f} times faster than torch on 4,000 nodes, not {SPEEDUP:.0f}"),
        (ours("--fix", 4_000, 0, "peak") < PEAK_MIB, f"--fix of 4,000 nodes takes more than {PEAK_MIB:.0f} MiB"),
    ]
    return [what for held, what in checks if not held]
