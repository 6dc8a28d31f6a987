"""``--jobs``: the same output by many processes as by one, interrupts, workers that die."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
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
    assert b"suppressed by a comment: checked elsewhere" in stderr
    assert b"suppressed by the baseline" in stderr
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


def started(folder: Path, *arguments: str) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A run, and its workers once they are at work."""
    process = subprocess.Popen(
        [*GRAPHLINT, "--jobs", "2", *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while True:
        workers = children(process.pid)
        if len(workers) == 2 and all(holds_artifact(worker) for worker in workers):
            return process, workers
        assert time.monotonic() < deadline
        assert process.poll() is None


def children(process: int) -> list[int]:
    """Of all its threads, since each starts its own worker."""
    try:
        lists = [path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children")]
    except OSError:
        return []
    return [int(child) for text in lists for child in text.split()]


def holds_artifact(process: int) -> bool:
    """Whether a process has an artifact open."""
    try:
        return any(str(path.readlink()).endswith("large.pt2") for path in Path(f"/proc/{process}/fd").iterdir())
    except OSError:
        return False


@LINUX
def test_a_killed_worker_is_an_error_of_its_artifact(folder):
    expected = run(folder, "--jobs", "1", "--output-format", "concise")
    process, workers = started(folder, "--output-format", "concise")
    os.kill(workers[0], signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 2
    [error] = stderr.decode().splitlines()
    name, _, message = error.removeprefix("error: ").partition(": ")
    assert name.endswith("-large.pt2")
    assert message == (
        "the worker process that linted it was killed by SIGKILL, perhaps for lack of memory: lint it with --jobs 1"
    )
    kept = [line for line in expected.stdout.splitlines() if b".pt2: " in line and not line.startswith(name.encode())]
    assert [line for line in stdout.splitlines() if b".pt2: " in line] == kept
    assert b"1 path could not be processed" in stdout


@LINUX
@pytest.mark.parametrize(
    ("arguments", "number", "message", "status"),
    [
        ([], signal.SIGINT, b"graphlint: interrupted\n", 130),
        (["--fix"], signal.SIGINT, b"graphlint: interrupted\n", 130),
        (["--fix"], signal.SIGTERM, b"graphlint: terminated\n", 143),
    ],
    ids=["check", "fix", "fix-terminated"],
)
def test_an_interrupt_leaves_nothing_behind(folder, arguments, number, message, status):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    process, workers = started(folder, *arguments)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (stdout, stderr, process.returncode) == (b"", message, status)
    assert [state(worker) for worker in workers] == ["", ""]
    assert {path.name for path in folder.iterdir()} == set(before)
    left = {path.name for path in folder.iterdir() if path.read_bytes() == before[path.name]}
    assert left if arguments else left == set(before)


@LINUX
def test_a_few_small_artifacts_take_one_process(tmp_path):
    for name in ("async_assert", "clean", "key_value_cache", "two_programs"):
        shutil.copy(ARTIFACTS / f"{name}.pt2", tmp_path)
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('subprocess' in sys.modules, 'concurrent.futures' in sys.modules))\n"
        "from graphlint.cli import main\n"
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
    assert b"Invalid value for '-j' / '--jobs'" in result.stderr
