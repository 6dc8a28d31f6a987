"""Ctrl-C, SIGTERM and SIGHUP in the middle of a fix: a word, the right exit status, nothing left over."""

# ruff: noqa: PTH208

from __future__ import annotations

import os
import shutil
import signal as signals
import subprocess
import sys
from pathlib import Path

import killing
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")

SAMPLE = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "buffer_counter.pt2"
STATUS = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}
WORD = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "terminated"}


@pytest.fixture
def path(tmp_path):
    return Path(shutil.copy(SAMPLE, tmp_path / "model.pt2"))


def signalled(command, environment):
    def heed() -> None:  # the tests may run under nohup
        for name in STATUS:
            signals.signal(getattr(signals, name), signals.SIG_DFL)

    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, preexec_fn=heed)


@pytest.mark.parametrize("signal", STATUS)
def test_at_instants_of_the_whole_run(path, signal):
    count = int(signalled(killing.at_instant(0, path), killing.ENVIRONMENT).stdout.split()[-1])
    fixed = path.read_bytes()
    assert fixed != SAMPLE.read_bytes()
    contents = []
    # From where artifacts are looked for (options and configuration are read by then) until the file is in its place.
    for instant in range(count // 3, count - 4, max(count // 15, 1)):
        shutil.copy(SAMPLE, path)
        result = signalled(killing.at_instant(instant, path, signal), killing.ENVIRONMENT)
        assert (result.returncode, result.stderr) == (STATUS[signal], f"graphlint: {WORD[signal]}\n"), instant
        assert os.listdir(path.parent) == [path.name]
        contents.append(path.read_bytes())
    assert set(contents) <= {SAMPLE.read_bytes(), fixed}
    assert contents[0] == SAMPLE.read_bytes()


SLOW_DISK = """
import os, sys, time
def copy(*arguments):
    print("copying", flush=True)
    time.sleep(600)
os.write = os.copy_file_range = copy
sys.argv[0] = "graphlint"
from graphlint.cli.main import main
main()
"""
"""A run that comes to the copy, says so, and does not get on with it."""


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
def test_while_the_new_file_is_written(tmp_path, signal):
    """From outside, as a terminal or a process manager sends it."""
    big = killing.write_artifact(tmp_path / "model.pt2", 400, 40, weights=1 << 20, dense=True)
    before = killing.digest(big)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW_DISK, *killing.FIX, big],
        env=killing.ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "copying\n"
    assert [name for name in os.listdir(tmp_path) if killing.is_temporary(name)] != []
    process.send_signal(getattr(signals, signal))
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (STATUS[signal], f"graphlint: {WORD[signal]}\n")
    assert os.listdir(tmp_path) == [big.name]
    assert killing.digest(big) == before


def test_what_is_ignored_stays_ignored(path):
    """``nohup graphlint --fix …`` outlives its terminal."""
    command = killing.at_instant(1, path, "SIGHUP")
    result = subprocess.run(
        command,
        env=killing.ENVIRONMENT,
        capture_output=True,
        text=True,
        preexec_fn=lambda: signals.signal(signals.SIGHUP, signals.SIG_IGN),
    )
    assert (result.returncode, result.stderr) == (1, "")
    assert path.read_bytes() != SAMPLE.read_bytes()
