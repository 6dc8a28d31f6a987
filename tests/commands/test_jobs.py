"""``--jobs``: the same output by many processes as by one, interrupts, workers that die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ARTIFACTS = TESTS / "artifacts" / "2.13.0"
GRAPHLINT = [sys.executable, "-m", "graphlint", "check", "--isolated", "--no-cache"]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """An artifact of 1 MiB of JSON, which takes long enough to be met at work."""
    sys.path.insert(0, str(TESTS / "benchmarks"))
    try:
        from programs import write_artifact
    finally:
        sys.path.pop(0)
    return write_artifact(tmp_path_factory.mktemp("large") / "large.pt2", 2000, 100)


@pytest.fixture
def folder(tmp_path, large) -> Path:
    """Enough work for two processes: large artifacts among small, broken and missing ones."""
    for number in range(8):
        shutil.copy(large, tmp_path / f"{number}-large.pt2")
    for name in ("async_assert", "clean", "key_value_cache", "two_programs"):
        shutil.copy(ARTIFACTS / f"{name}.pt2", tmp_path / f"3-{name}.pt2")
    (tmp_path / "4-broken.pt2").write_bytes(b"no zip")
    (tmp_path / "5-pointer.pt2").write_text("version https://git-lfs.github.com/spec/v1\n")
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*GRAPHLINT, *arguments], cwd=folder, capture_output=True, timeout=120)


def outcome(result: subprocess.CompletedProcess[bytes]) -> tuple[bytes, bytes, int]:
    return result.stdout, result.stderr, result.returncode


@pytest.mark.parametrize(
    "arguments",
    [
        ["--output-format", "full", "-v"],
        ["--output-format", "json", "--target", "onnx"],
        ["--diff"],
        ["--output-format", "html"],
    ],
    ids=["full", "json", "diff", "html"],
)
def test_as_many_processes_give_the_same_output(folder, arguments):
    paths = ["6-large.pt2", "nope.pt2", ".", "nowhere/"]
    one = run(folder, "--jobs", "1", *arguments, *paths)
    many = run(folder, "--jobs", "3", *arguments, *paths)
    assert outcome(many) == outcome(one)
    assert one.returncode == 2
    assert b"error: nope.pt2: No such file or directory\n" in one.stderr


@pytest.fixture
def reviewed(folder) -> Path:
    """The same with the model's source: a comment that accepts a finding, one that does not, and a baseline."""
    source = (ARTIFACTS.parent / "models.py").read_text().splitlines(keepends=True)
    source[26] = source[26].rstrip() + "  # graphlint: ignore[GL201] checked elsewhere\n"
    source[27] = source[27].rstrip() + "  # graphlint: ignore[GL103]\n"
    (folder / "models.py").write_text("".join(source))
    (folder / "graphlint.toml").write_text('warn-unused-ignores = true\nbaseline = "accepted.json"\n')
    command = [sys.executable, "-m", "graphlint", "baseline", "7-large.pt2", "3-key_value_cache.pt2"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    (folder / "3-key_value_cache.pt2").write_bytes((ARTIFACTS / "clean.pt2").read_bytes())
    return folder


@pytest.mark.parametrize("arguments", [[], ["--diff"], ["--fix"]], ids=["check", "diff", "fix"])
def test_comments_and_baselines_count_in_every_process(reviewed, tmp_path_factory, arguments):
    """Also in results that are kept."""
    twin = tmp_path_factory.mktemp("twin")
    shutil.copytree(reviewed, twin, dirs_exist_ok=True)
    command = [sys.executable, "-m", "graphlint", "check", "-v", *arguments]
    with_cache = {name: value for name, value in os.environ.items() if name != "GRAPHLINT_NO_CACHE"}

    def run_in(folder: Path, *options: str) -> tuple[bytes, bytes, int]:
        words = [*command, *options]
        return outcome(subprocess.run(words, cwd=folder, env=with_cache, capture_output=True, timeout=120))

    many = run_in(twin, "--jobs", "3")
    if "--fix" not in arguments:
        assert run_in(twin, "--jobs", "1") == many  # the results of before
    assert run_in(reviewed, "--jobs", "1", "--no-cache") == many
    stdout, stderr, status = many
    assert status == 1
    assert b"accepted by a comment in the source: checked elsewhere" in stderr
    assert b"accepted by the baseline" in stderr
    assert b"1 finding in it no longer occurs" in stderr
    if not arguments:
        assert b"GL901" in stdout


def test_as_many_processes_fix_the_same(folder, tmp_path_factory):
    twin = tmp_path_factory.mktemp("twin")
    shutil.copytree(folder, twin, dirs_exist_ok=True)
    one, many = run(folder, "-j1", "--fix"), run(twin, "-j2", "--fix")
    assert outcome(many) == outcome(one)
    contents = [{path.name: path.read_bytes() for path in here.iterdir()} for here in (folder, twin)]
    assert contents[0] == contents[1]
    assert b"Fixed" in one.stdout


def state(process: int) -> str:
    """The state of a process as the kernel has it; empty for none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


HOLDING = """
import os, signal, sys
STARTED = os.getpid()
def hold(event, arguments):
    if event == os.environ["HOLD_AT"] and str(arguments[0]).endswith(("-large.pt2", ".tmp")):
        # The run itself looks into the artifacts, too.
        forked = os.getpid() != STARTED
        if "graphlint.run.pool" in sys.modules and (forked or "graphlint.cli.main" not in sys.modules):
            if os.path.exists(os.environ["HOLD_WHILE"]):
                os.kill(os.getpid(), signal.SIGSTOP)
sys.addaudithook(hold)
"""
"""Stops workers in the middle of an artifact, and nothing else, as long as a file is there."""


PATIENT = """
import graphlint.run.pool
graphlint.run.pool.GRACE = 600
from graphlint.cli.main import main
main()
"""
"""However long the test takes to let them go on, workers are not killed."""


class Held:
    """A run whose two workers are stopped, each as it comes to opening an artifact or to replacing it."""

    def __init__(self, folder: Path, hold: Path, event: str, *arguments: str) -> None:
        (hold / "sitecustomize.py").write_text(HOLDING)
        self._while = hold / "while"
        self._while.touch()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(hold), *filter(None, [os.environ.get("PYTHONPATH")])]),
            "HOLD_AT": event,
            "HOLD_WHILE": str(self._while),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PATIENT, *GRAPHLINT[3:], "--jobs", "2", *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.workers: list[int] = []

    def wait(self) -> None:
        """Until both workers are stopped."""
        until(lambda: [state(child) for child in children(self.process.pid)] == ["T", "T"])
        self.workers = children(self.process.pid)
        self._while.unlink()

    def go_on(self) -> None:
        for worker in self.workers:
            os.kill(worker, signal.SIGCONT)

    def end(self) -> None:
        for worker in children(self.process.pid):
            os.kill(worker, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def held(folder, tmp_path_factory):
    """Starts such a run."""
    runs = []

    def start(event: str, *arguments: str) -> Held:
        runs.append(Held(folder, tmp_path_factory.mktemp("hold"), event, *arguments))
        runs[-1].wait()
        return runs[-1]

    yield start
    for run in runs:
        run.end()


def until(happens: Callable[[], bool]) -> None:
    """Wait for something that cannot be waited for otherwise."""
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_told_to_end(process: int) -> bool:
    """Whether SIGTERM waits for a stopped process."""
    status = Path(f"/proc/{process}/status").read_text()
    [pending] = [line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:")]
    return bool(int(pending, 16) >> (signal.SIGTERM - 1) & 1)


def children(process: int) -> list[int]:
    """Of all its threads, since each starts its own worker."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


POISONED = """
import os, signal, sys
STARTED = os.getpid()
def hold(event, arguments):
    if event == "open" and str(arguments[0]).endswith("poison.pt2"):
        if os.getpid() != STARTED or "graphlint.cli.main" not in sys.modules:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hold)
"""
"""Kills each worker that opens one artifact."""


@LINUX
def test_a_killed_worker_costs_none_of_the_artifacts_that_it_was_given_with_one(tmp_path):
    """Small ones go to workers in groups."""
    (tmp_path / "sitecustomize.py").write_text(POISONED)
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("0-poison", *map(str, range(400))):
        shutil.copy(ARTIFACTS / "key_value_cache.pt2", folder / f"{name}.pt2")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [*GRAPHLINT, "--jobs", "2", "--output-format", "json-lines"]
    ran = subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    [error] = ran.stderr.splitlines()
    assert error.startswith("error: 0-poison.pt2: the worker process that linted it was killed by SIGKILL")
    found = [line["path"] for line in map(json.loads, ran.stdout.splitlines()) if line["type"] == "finding"]
    assert sorted(found) == sorted(f"{number}.pt2" for number in range(400))
    assert ran.returncode == 2


@LINUX
def test_a_killed_worker_is_an_error_of_its_artifact(folder, held):
    expected = run(folder, "--jobs", "1", "--output-format", "json-lines")
    held = held("open", "--output-format", "json-lines")
    os.kill(held.workers.pop(), signal.SIGKILL)
    held.go_on()
    stdout, stderr = held.process.communicate(timeout=120)
    assert held.process.returncode == 2
    [error] = stderr.decode().splitlines()
    name, _, message = error.removeprefix("error: ").partition(": ")
    assert name.endswith("-large.pt2")
    assert message == (
        "the worker process that linted it was killed by SIGKILL, perhaps for lack of memory: lint it with --jobs 1"
    )
    every, lines = ([json.loads(line) for line in text.splitlines()] for text in (expected.stdout, stdout))
    kept = [line for line in every if line["type"] == "finding" and line["path"] != name]
    assert [line for line in lines if line["type"] == "finding"] == kept
    assert lines[-1]["failed"] == 1


@LINUX
@pytest.mark.parametrize(
    ("arguments", "event", "number", "message", "status"),
    [
        ([], "open", signal.SIGINT, b"graphlint: interrupted\n", 130),
        (["--fix"], "os.rename", signal.SIGINT, b"graphlint: interrupted\n", 130),
        (["--fix"], "os.rename", signal.SIGTERM, b"graphlint: terminated\n", 143),
    ],
    ids=["check", "fix", "fix-terminated"],
)
def test_an_interrupt_leaves_nothing_behind(folder, held, arguments, event, number, message, status):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    held = held(event, *arguments)
    temporary = {path.name for path in folder.iterdir()} - set(before)
    assert len(temporary) == (2 if arguments else 0)
    held.process.send_signal(number)
    until(lambda: all(map(is_told_to_end, held.workers)))
    held.go_on()
    stdout, stderr = held.process.communicate(timeout=60)
    assert (stdout, stderr, held.process.returncode) == (b"", message, status)
    assert [state(worker) for worker in held.workers] == ["", ""]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@LINUX
def test_a_few_small_artifacts_take_one_process(tmp_path):
    for name in ("async_assert", "clean", "key_value_cache", "two_programs"):
        shutil.copy(ARTIFACTS / f"{name}.pt2", tmp_path)
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('subprocess' in sys.modules, 'concurrent.futures' in sys.modules))\n"
        "from graphlint.cli.main import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "-q", "--jobs", "8", "--exit-zero"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stdout.splitlines()[-1] == "False False"
    assert result.stderr == ""


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_wrong_numbers(tmp_path, jobs):
    result = run(tmp_path, f"--jobs={jobs}")
    assert result.returncode == 2
    assert b"invalid value for '--jobs'" in result.stderr
