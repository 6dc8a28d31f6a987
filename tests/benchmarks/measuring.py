"""What a whole process costs: wall time, CPU time, peak memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# As installed: pip compiles torch's modules, and Python those of an editable graphlint in its first run.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

GRAPHLINT = [sys.executable, "-m", "graphlint", "check", "--isolated", "--no-cache", "--quiet"]

FLOOR = """
import gc, sys
gc.set_threshold(2_000_000, 20, 20)
from graphlint.cli.imports import import_msgspec
import_msgspec()
import msgspec
from graphlint.artifact.container import Container
from graphlint.ir.model import Program
for path in sys.argv[1:]:
    with Container(path) as archive:
        for name in archive.members:
            if "/models/" in name:
                msgspec.json.decode(archive.read(name), type=Program)
"""
"""The least that a linter in Python has to do: open archives and decode the programs' JSON into typed ones, with
garbage collection as graphlint sets it, and nothing imported that this does not take.
"""

LOAD = """
import sys, torch
for path in sys.argv[1:]:
    torch.export.load(path)
"""

DECOMPOSE = """
import sys, warnings
warnings.filterwarnings("ignore")
import torch
program = torch.export.load(sys.argv[1])
torch.export.save(program.run_decompositions({}), sys.argv[2])
"""
"""What people do without graphlint; arguments: the artifact, where to save."""

COPY = 'cp "$1" "$2" && sync "$2"'

TOUCH = "import sys; b'x' * int(sys.argv[1])"
"""Takes so much memory and gives it back. A virtual machine returns memory that was free for some seconds to its host,
and fetching it again makes a copy several times slower: whoever waited longest would pay."""


class Cost(NamedTuple):
    """What one process took: seconds of wall time and of CPU time (its children's included), MiB at the peak."""

    wall: float
    cpu: float
    peak: float


def measure(command: Sequence[str], *, exits: tuple[int, ...] = (0, 1)) -> Cost:
    """Run a command. SystemExit with what it wrote to stderr when it exits in another way than ``exits``.

    Linux counts the memory of the process that starts another one as the other's, up to then: what calls this imports
    and makes nothing large (artifacts are made by a process of their own).
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert process.stderr is not None
    errors = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in exits:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode()}")
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit)


def measure_apart(command: Sequence[str], *, exits: tuple[int, ...] = (0, 1)) -> Cost:
    """As :func:`measure`, for callers that are large: a small process in between starts the command."""
    between = [sys.executable, "-I", __file__, json.dumps(exits), *command]
    process = subprocess.run(between, env=ENVIRONMENT, capture_output=True, text=True)
    if process.returncode:
        raise SystemExit(process.stderr)
    return Cost(*json.loads(process.stdout))


def typical(costs: Iterable[Cost]) -> Cost:
    """The medians of wall and CPU time, and the largest peak."""
    walls, cpus, peaks = zip(*costs, strict=True)
    return Cost(statistics.median(walls), statistics.median(cpus), max(peaks))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(sys.argv[2:], exits=tuple(json.loads(sys.argv[1])))))
