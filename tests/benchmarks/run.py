"""graphlint and stock torch side by side, as whole processes: wall time and peak memory, as ratios.

    python tests/benchmarks/run.py [--runs N] [--json FILE] [ARTIFACT...]

For each artifact it starts, in turn and N times: a Python that only starts, ``graphlint check``, and a Python
that calls ``torch.export.load``. It prints the median wall time and the largest peak memory of each, and
exits 1 where graphlint misses what the README promises: 25 times faster than torch, under 40 MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
SPEEDUP = 25.0
PEAK_MIB = 40.0

# As installed: pip compiles torch's modules, and Python those of an editable graphlint in its first run.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
LOAD = "import sys, torch; torch.export.load(sys.argv[1])"

DECOMPOSE = """
import sys, warnings
warnings.filterwarnings("ignore")
import torch
program = torch.export.load(sys.argv[1])
torch.export.save(program.run_decompositions({}), sys.argv[2])
"""
"""What people do without graphlint; arguments: the artifact, where to save."""


def measure(command: list[str], *, exits: tuple[int, ...] = (0, 1)) -> tuple[float, float]:
    """Wall time in seconds and peak resident memory in MiB of one run of a command.

    The memory is at least that of the calling process, from which the command is forked: callers that want to know it
    import nothing large. SystemExit with what the command wrote to stderr when it exits in another way than ``exits``.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in exits:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode()}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def benchmark(artifact: Path, runs: int) -> dict[str, object]:
    """Medians and peaks of all commands on one artifact."""
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "graphlint": [sys.executable, "-m", "graphlint", "check", "--isolated", str(artifact)],
        "torch": [sys.executable, "-c", LOAD, str(artifact)],
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    peaks: dict[str, float] = dict.fromkeys(commands, 0.0)
    for _ in range(runs + 1):  # the first round warms the file cache
        for name, command in commands.items():
            seconds, peak = measure(command)
            times[name].append(seconds)
            peaks[name] = max(peaks[name], peak)
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    return {
        "artifact": artifact.name,
        "seconds": medians,
        "peak_mib": peaks,
        "speedup": medians["torch"] / medians["graphlint"],
    }


def main() -> int:
    """Run, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("artifacts", nargs="*", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    artifacts = options.artifacts or [ARTIFACTS / f"{case}.pt2" for case in ("buffer_counter", "key_value_cache")]
    rows = [benchmark(artifact, options.runs) for artifact in artifacts]
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; {options.runs} runs")
    print(f"{'artifact':24} {'python':>9} {'graphlint':>18} {'torch.export.load':>20} {'ratio':>7}")
    missed = False
    for row in rows:
        seconds, peaks = row["seconds"], row["peak_mib"]
        assert isinstance(seconds, dict)
        assert isinstance(peaks, dict)
        assert isinstance(row["speedup"], float)
        missed |= row["speedup"] < SPEEDUP or peaks["graphlint"] > PEAK_MIB
        print(
            f"{row['artifact']:24} {seconds['python'] * 1e3:6.0f} ms"
            f" {seconds['graphlint'] * 1e3:6.0f} ms {peaks['graphlint']:4.0f} MiB"
            f" {seconds['torch'] * 1e3:7.0f} ms {peaks['torch']:5.0f} MiB {row['speedup']:6.1f}x"
        )
    if options.json:
        options.json.write_text(json.dumps({"version": 1, "runs": options.runs, "rows": rows}, indent=1) + "\n")
    if missed:
        print(f"missed: at least {SPEEDUP:.0f} times faster than torch, at most {PEAK_MIB:.0f} MiB", file=sys.stderr)
    return int(missed)


if __name__ == "__main__":
    raise SystemExit(main())
