"""Many artifacts: worker processes and kept results, side by side in one run.

    python tests/benchmarks/many.py [--artifacts N] [--nodes N] [--runs N] [--json FILE]

Whole processes on copies of one artifact that it makes itself (:mod:`programs`): one job, as many jobs as there are
cores, a first run that keeps its results, and a second one that finds them; then what keeping costs a run over a single
small artifact. Medians of wall time, and the processor time of all processes. It exits 1 where as many jobs as cores
are less than 1.7 times as fast (on two cores or more), or a second run less than 5 times.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from programs import write_artifact

FASTER_BY_JOBS = 1.7
FASTER_BY_CACHE = 5.0
SMALL = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "key_value_cache.pt2"
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def measure(folder: Path, *arguments: str) -> tuple[float, float, bytes]:
    """Seconds of wall time and of processor time, and the output, of one run in ``folder``."""
    command = [sys.executable, "-m", "graphlint", "check", "--isolated", "--output-format", "concise", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    result = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True)
    seconds = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if result.returncode not in (0, 1) or result.stderr:
        raise SystemExit(f"{' '.join(command)} failed:\n{result.stderr.decode()}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result.stdout


def compare(folder: Path, cases: dict[str, tuple[str, ...]], runs: int) -> dict[str, tuple[float, float]]:
    """Medians of each case, run in turn. "first" and "second" are with a cache, which is empty for the first."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    outputs = set()
    for _ in range(runs + 1):  # the first round warms the file cache
        for name, arguments in cases.items():
            if name == "first":
                shutil.rmtree(folder / ".graphlint_cache", ignore_errors=True)
            seconds, processor, output = measure(folder, *arguments)
            taken[name].append((seconds, processor))
            outputs.add(output)
    if len(outputs) != 1:
        raise SystemExit("the output is not the same in all cases")
    return {
        name: (statistics.median(one[0] for one in times[1:]), statistics.median(one[1] for one in times[1:]))
        for name, times in taken.items()
    }


def main() -> int:
    """Measure, print, and exit 1 where a promise is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--artifacts", type=int, default=200)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as name:
        many, single = Path(name, "many"), Path(name, "single")
        many.mkdir()
        single.mkdir()
        artifact = write_artifact(many / "0.pt2", options.nodes, options.nodes // 20)
        for number in range(1, options.artifacts):
            shutil.copy(artifact, many / f"{number}.pt2")
        size = artifact.stat().st_size / 1024
        shutil.copy(SMALL, single)
        of_many = compare(
            many,
            {
                "one job": ("--no-cache", "--jobs", "1"),
                "all jobs": ("--no-cache", "--jobs", str(cores)),
                "first": ("--jobs", "1"),
                "second": ("--jobs", "1"),
            },
            options.runs,
        )
        of_one = compare(single, {"without": ("--no-cache",), "first": (), "second": ()}, options.runs)
    print(f"{platform.machine()}, {cores} cores, Python {platform.python_version()}; medians of {options.runs} runs")
    print(f"{options.artifacts} artifacts of {options.nodes} nodes ({size:.0f} KiB)\n")
    labels = {
        "one job": "`--jobs 1 --no-cache`",
        "all jobs": f"`--jobs {cores} --no-cache`",
        "first": "`--jobs 1`, first run",
        "second": "`--jobs 1`, second run",
    }
    print("| | seconds | processor seconds | times as fast |\n|---|---|---|---|")
    base = of_many["one job"][0]
    for name, (seconds, processor) in of_many.items():
        print(f"| {labels[name]} | {seconds:.2f} | {processor:.2f} | {base / seconds:.1f} |")
    shown = ", ".join(f"{name} {seconds * 1e3:.0f} ms" for name, (seconds, _) in of_one.items())
    print(f"\n{SMALL.name} alone, cache: {shown}")
    by_jobs, by_cache = base / of_many["all jobs"][0], base / of_many["second"][0]
    if options.json:
        options.json.write_text(
            json.dumps({"version": 1, "cores": cores, "many": of_many, "single": of_one}, indent=1) + "\n"
        )
    missed = []
    if cores > 1 and by_jobs < FASTER_BY_JOBS:
        missed.append(f"{cores} jobs are {by_jobs:.2f} times as fast as one, not {FASTER_BY_JOBS}")
    if by_cache < FASTER_BY_CACHE:
        missed.append(f"a second run is {by_cache:.1f} times as fast, not {FASTER_BY_CACHE:.0f}")
    for what in missed:
        print(f"missed: {what}", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
