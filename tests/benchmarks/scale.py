"""Large graphs: ``graphlint --fix`` as a whole process, and stock torch on the same artifact in the same run.

    python tests/benchmarks/scale.py [--runs N] [--json FILE]

The artifacts are chains of elementwise ops with a write in every twenty nodes (:mod:`programs`). For each size it
prints seconds, seconds per 1,000 nodes above those of an empty run, and peak memory; for 4,000 nodes also what a
process takes that loads the artifact, calls ``run_decompositions({})`` and saves the result. It exits 1 where
graphlint is less than 50 times faster than that, needs 100 MiB or more for it, or grows faster than its graphs.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from programs import write_artifact
from run import DECOMPOSE, ENVIRONMENT, measure

SIZES = (1_000, 4_000, 20_000, 50_000)
COMPARED = 4_000
SPEEDUP = 50.0
PEAK_MIB = 100.0
GROWTH = 1.5
"""How much more a node may cost in the largest graph than in one of 4,000 nodes."""


def fix_in_a_process(artifact: Path, copy: Path, runs: int) -> tuple[float, float]:
    """Median seconds and largest peak memory of ``graphlint --fix`` on fresh copies."""
    seconds, peaks = [], []
    for _ in range(runs + 1):
        shutil.copy(artifact, copy)
        took, peak = measure([sys.executable, "-m", "graphlint", "check", "--fix", "--isolated", "-q", str(copy)])
        seconds.append(took)
        peaks.append(peak)
    return statistics.median(seconds[1:]), max(peaks)


def main() -> int:
    """Measure, print, and exit 1 where a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    assert "PYTHONDONTWRITEBYTECODE" not in ENVIRONMENT
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy = folder / "copy.pt2"
        empty, _ = fix_in_a_process(write_artifact(folder / "empty.pt2", 2, 0), copy, options.runs)
        for nodes in SIZES:
            artifact = write_artifact(folder / f"{nodes}.pt2", nodes, nodes // 20)
            seconds, peak = fix_in_a_process(artifact, copy, options.runs)
            rows.append(
                {"nodes": nodes, "seconds": seconds, "peak_mib": peak, "per_1000": (seconds - empty) * 1e3 / nodes}
            )
        artifact, result = folder / f"{COMPARED}.pt2", folder / "torch.pt2"
        decompose = [sys.executable, "-c", DECOMPOSE, str(artifact), str(result)]
        torch = [measure(decompose, exits=(0,)) for _ in range(options.runs)]
    torch_seconds = statistics.median(seconds for seconds, _ in torch)
    torch_peak = max(peak for _, peak in torch)
    compared = next(row for row in rows if row["nodes"] == COMPARED)
    ratio = torch_seconds / compared["seconds"]
    print("| nodes | writes | `graphlint --fix` | per 1,000 nodes | peak memory |\n|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['nodes']:,} | {row['nodes'] // 20:,} | {row['seconds']:.2f} s "
            f"| {row['per_1000'] * 1e3:.0f} ms | {row['peak_mib']:.0f} MiB |"
        )
    ours = f"{compared['seconds']:.2f} s and {compared['peak_mib']:.0f} MiB"
    theirs = f"{torch_seconds:.1f} s and {torch_peak:.0f} MiB"
    print(
        f"\n{COMPARED:,} nodes: load, run_decompositions({{}}), save takes {theirs}, graphlint --fix {ours}:", end=" "
    )
    print(f"{ratio:.0f} times faster")
    missed = []
    if ratio < SPEEDUP:
        missed.append(f"{ratio:.0f} times faster than torch, not {SPEEDUP:.0f}")
    if compared["peak_mib"] >= PEAK_MIB:
        missed.append(f"{compared['peak_mib']:.0f} MiB, not under {PEAK_MIB:.0f}")
    if rows[-1]["per_1000"] > GROWTH * compared["per_1000"]:
        missed.append("a node costs more in a larger graph")
    if options.json:
        options.json.write_text(json.dumps({"version": 1, "graphlint": rows, "torch": torch_seconds}, indent=1) + "\n")
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
