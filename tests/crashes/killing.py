"""Kills ``graphlint --fix`` (SIGKILL) again and again, and looks at what is left.

    python tests/crashes/killing.py [--kills 300] [--seed 1] [--megabytes 192] [--folder FOLDER]

The artifact is large enough for the copy to take a while. A third of the kills come right before or after one of
the run's system calls, evenly spread over them; the rest after random delays, spread over the time that a whole run
takes (measured first, and again now and then, as other work on the machine may slow it down, and whenever a run ended
before it was killed). After each kill the
artifact must be, to the byte, the old one or the new one; both are checked once to be whole archives, the old one with
findings, the new one without. Then an undisturbed run must leave the new one and no temporary file. It prints where
the kills fell, and exits 1 when anything was not as it has to be.
"""

# ruff: noqa: PTH208

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
if str(TESTS / "benchmarks") not in sys.path:
    sys.path.insert(0, str(TESTS / "benchmarks"))

from programs import write_artifact  # noqa: E402

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHLINT")}
FIX = ["check", "--fix", "--isolated", "--quiet"]
COMMAND = [sys.executable, "-m", "graphlint", *FIX]

AT_CALL = """
import atexit, os, signal, sys

NAMES = ("open", "fstat", "stat", "read", "write", "copy_file_range", "fchown", "fchmod", "fsync", "replace", "close")
number = getattr(signal, sys.argv.pop(1))
last = int(sys.argv.pop(1))  # at which instant to be signalled, those before and after each call counted; 0: never
instants = 0

def instant():
    global instants
    instants += 1
    if instants == last:
        os.kill(os.getpid(), number)

def counted(call):
    def wrapper(*arguments, **options):
        instant()
        try:
            return call(*arguments, **options)
        finally:
            instant()
    return wrapper

from graphlint.cli import bundle
from graphlint.cli.main import main
import graphlint.artifact.rewrite
bundle.install, bundle.keep = set, set.copy  # how modules are loaded is no part of a fix
for name in NAMES:
    setattr(os, name, counted(getattr(os, name)))
if not last:
    atexit.register(lambda: print(instants))
main()
"""

ENDED = "not at all: the run had ended"


def at_instant(number: int, path: Path, signal: str = "SIGKILL") -> list[str]:
    """The command of a run that gets a signal right before or after one of its system calls. Number 0 gets none, and
    prints how many such instants there are.
    """
    return [sys.executable, "-c", AT_CALL, signal, str(number), *FIX, str(path)]


def is_temporary(name: str) -> bool:
    """Whether a file in the folder is the temporary file of a run."""
    return name.startswith(".") and name.endswith(".tmp")


def digest(path: Path) -> str:
    """The hash of a file's content."""
    hashed = hashlib.blake2b()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            hashed.update(block)
    return hashed.hexdigest()


class Killing:
    """An artifact that runs are killed on; ``faults`` is what was not as it has to be."""

    def __init__(self, folder: Path, megabytes: int, seed: int) -> None:
        self.folder = folder / "artifacts"
        self.folder.mkdir()
        self.path = self.folder / "model.pt2"
        self.old = write_artifact(folder / "old.pt2", 400, 40, weights=megabytes << 20, dense=True)
        self.new = folder / "new.pt2"
        self.random = random.Random(seed)
        self.faults: list[str] = []
        self.fell: Counter[str] = Counter()
        self.left: Counter[str] = Counter()
        self._prepare()

    def _prepare(self) -> None:
        self._restore()
        if subprocess.run([*COMMAND, self.path], env=ENVIRONMENT).returncode != 1:
            self.faults.append("the undisturbed run did not fix the artifact")
        shutil.copy(self.path, self.new)
        for path, status in ((self.old, 1), (self.new, 0)):
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    self.faults.append(f"{path.name} is not whole")
            check = [sys.executable, "-m", "graphlint", "--isolated", "--quiet", path]
            found = subprocess.run(check, env=ENVIRONMENT, stdout=subprocess.DEVNULL).returncode
            if found != status:
                self.faults.append(f"linting {path.name} ends with {found} instead of {status}")
        self.digests = {digest(self.old): "old", digest(self.new): "new"}
        self.calibrate()

    def _restore(self) -> None:
        if self.path.exists():
            self.path.unlink()
        shutil.copy(self.old, self.path)

    def calibrate(self) -> None:
        """Measure how long a run takes."""
        self._restore()
        start = time.perf_counter()
        subprocess.run([*COMMAND, self.path], env=ENVIRONMENT)
        self.duration = time.perf_counter() - start

    def kill_at_random(self) -> None:
        """Kill a run after a random delay."""
        self._restore()
        start = time.perf_counter()
        process = subprocess.Popen([*COMMAND, self.path], env=ENVIRONMENT)
        try:
            process.wait(self.random.uniform(0, self.duration))
            self.duration = time.perf_counter() - start
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._judge("at a random moment", ended=process.returncode >= 0)

    def instants(self) -> int:
        """How many instants before and after system calls a run has."""
        self._restore()
        return int(subprocess.run(at_instant(0, self.path), env=ENVIRONMENT, capture_output=True).stdout.split()[-1])

    def kill_at_instant(self, number: int) -> None:
        """Kill a run at one of them."""
        self._restore()
        status = subprocess.run(at_instant(number, self.path), env=ENVIRONMENT).returncode
        self._judge(f"at instant {number}", ended=status >= 0)

    def _judge(self, when: str, *, ended: bool) -> None:
        content = self.digests.get(digest(self.path))
        if content is None:
            self.faults.append(f"killed {when}: the artifact is neither the old nor the new one")
        left = [name for name in os.listdir(self.folder) if name != self.path.name]
        if len(left) > 1 or not all(map(is_temporary, left)):
            self.faults.append(f"killed {when}: left {left}")
        if ended:
            self.fell[ENDED] += 1
        elif content == "new":
            self.fell["after the new file took its place"] += 1
        elif not left:
            self.fell["while it read and fixed"] += 1
        else:
            size = (self.folder / left[0]).stat().st_size
            complete = size == self.new.stat().st_size
            self.fell["with the new file complete beside it" if complete else "while it wrote the new file"] += 1
        self.left[f"{content} artifact, {len(left)} temporary"] += 1
        status = subprocess.run([*COMMAND, self.path], env=ENVIRONMENT).returncode
        if status != (0 if content == "new" else 1):
            self.faults.append(f"killed {when}: the next run ended with {status}")
        if digest(self.path) != digest(self.new):
            self.faults.append(f"killed {when}: the next run did not make the new artifact")
        if os.listdir(self.folder) != [self.path.name]:
            self.faults.append(f"killed {when}: the next run left {os.listdir(self.folder)}")


def kill(folder: Path, kills: int, seed: int, megabytes: int) -> Killing:
    """Kill so many runs."""
    killing = Killing(folder, megabytes, seed)
    instants = killing.instants()
    chosen = min(kills // 3, instants)
    for place in range(chosen):
        killing.kill_at_instant(1 + int((place + killing.random.random()) * instants / chosen))
    number = 0
    while killing.fell.total() - killing.fell[ENDED] < kills and number < 10 * kills:
        number += 1
        if number % 25 == 0:
            killing.calibrate()
        killing.kill_at_random()
    return killing


def main() -> int:
    """Kill, print where it fell, and exit 1 where something was not as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=192)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        killing = kill(Path(folder), options.kills, options.seed, options.megabytes)
    print(f"{killing.fell.total()} runs on {options.megabytes} MiB of weights, killed")
    for where, count in killing.fell.most_common():
        print(f"{count:5} {where}")
    print("and left")
    for what, count in killing.left.most_common():
        print(f"{count:5} {what}")
    for fault in killing.faults:
        print(fault, file=sys.stderr)
    print(f"{len(killing.faults)} times something was not as it has to be")
    return int(bool(killing.faults))


if __name__ == "__main__":
    raise SystemExit(main())
