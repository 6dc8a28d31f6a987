"""Temporary files of runs that were killed go, those of living runs and everything else stay."""

# ruff: noqa: PTH208

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graphlint.artifact.container import Container
from graphlint.artifact.rewrite import GRACE_SECONDS, PendingReplacement, create_temporary, remove_leftovers

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
SAMPLE = ARTIFACTS / "async_assert.pt2"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")

HOLD = """
import os, sys
from graphlint.artifact.rewrite import create_temporary
path, descriptor = create_temporary(sys.argv[1])
os.write(descriptor, b"half")
print(path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def owner(tmp_path):
    """A process that holds a temporary file beside ``model.pt2``."""
    command = [sys.executable, "-c", HOLD, tmp_path / "model.pt2"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    held = Path(process.stdout.readline().strip())
    assert held.exists()
    yield process, held
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def end(process):
    process.kill()
    process.wait()


def old(path: Path) -> None:
    """As old as it has to be on Windows, where there are no locks."""
    past = time.time() - 2 * GRACE_SECONDS
    os.utime(path, (past, past))


def test_a_file_goes_when_its_owner_is_dead_and_not_before(owner, tmp_path):
    process, held = owner
    assert remove_leftovers(str(tmp_path)) == []
    assert held.exists()
    end(process)
    old(held)
    assert remove_leftovers(str(tmp_path)) == [held.name]
    assert os.listdir(tmp_path) == []


def test_a_rewrite_tidies_up_first(owner, tmp_path):
    process, held = owner
    path = Path(shutil.copy(SAMPLE, tmp_path / "other.pt2"))
    end(process)
    old(held)
    with Container(path) as container, PendingReplacement(path, container, {}) as pending:
        assert sorted(os.listdir(tmp_path)) == sorted([path.name, Path(pending.path).name])


def test_a_rewrite_in_progress_is_left_alone(tmp_path):
    path = Path(shutil.copy(SAMPLE, tmp_path / "model.pt2"))
    with Container(path) as container, PendingReplacement(path, container, {}) as pending:
        old(Path(pending.path))
        assert remove_leftovers(str(tmp_path)) == []
        assert remove_leftovers(str(tmp_path)) == [], "looking at it takes no lock away"
        pending.commit()
    assert os.listdir(tmp_path) == [path.name]


NAMES = [
    "model.pt2",
    ".model.pt2",
    ".model.pt2.tmp",
    ".model.pt2.graphlint-.tmp",
    ".model.pt2.graphlint-0123456.tmp",
    ".model.pt2.graphlint-0123456g.tmp",
    ".model.pt2.graphlint-01234567",
    ".model.pt2.graphlint-01234567.tmp.pt2",
    "model.pt2.graphlint-01234567.tmp",
    ".model.pt2.other-01234567.tmp",
]


def test_files_of_other_names_stay(tmp_path):
    for name in NAMES:
        (tmp_path / name).write_text("mine")
        old(tmp_path / name)
    assert remove_leftovers(str(tmp_path)) == []
    assert sorted(os.listdir(tmp_path)) == sorted(NAMES)


@POSIX
def test_what_is_no_file_stays(tmp_path):
    (tmp_path / ".folder.graphlint-01234567.tmp").mkdir()
    os.mkfifo(tmp_path / ".pipe.graphlint-01234567.tmp")
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".link.graphlint-01234567.tmp").symlink_to("precious")
    before = sorted(os.listdir(tmp_path))
    assert remove_leftovers(str(tmp_path)) == []
    assert sorted(os.listdir(tmp_path)) == before


def test_a_folder_that_is_not_there(tmp_path):
    assert remove_leftovers(str(tmp_path / "nowhere")) == []


@POSIX
def test_without_locks_everything_stays(tmp_path, monkeypatch):
    """As on some network file systems: whose a file is can't be told there."""
    import errno
    import fcntl

    def refuse(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    path, descriptor = create_temporary(str(tmp_path / "model.pt2"))
    os.close(descriptor)
    assert remove_leftovers(str(tmp_path)) == []
    assert os.listdir(tmp_path) == [Path(path).name]


@POSIX
def test_a_file_taken_for_a_leftover_as_it_is_made(tmp_path, monkeypatch):
    """Another run looks between its creation and its lock: it is removed there, and another one made."""
    import fcntl

    real, seen = fcntl.flock, []

    def late(descriptor, operation):
        if not seen:
            seen.append(os.listdir(tmp_path))
            assert remove_leftovers(str(tmp_path)) == [], "removed, but not worth a word"
            assert os.listdir(tmp_path) == []
        real(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    path, descriptor = create_temporary(str(tmp_path / "model.pt2"))
    assert os.listdir(tmp_path) == [Path(path).name] != seen[0]
    os.close(descriptor)


@POSIX
def test_the_command_says_what_it_removed(tmp_path):
    """Also where there is nothing to fix; a check removes nothing."""
    shutil.copy(ARTIFACTS / "clean.pt2", tmp_path / "clean.pt2")
    (tmp_path / "below").mkdir()
    shutil.copy(ARTIFACTS / "clean.pt2", tmp_path / "below" / "clean.pt2")
    left = [Path("below", ".b.pt2.graphlint-0123abcd.tmp"), Path(".a.pt2.graphlint-0123abcd.tmp")]
    for path in left:
        (tmp_path / path).write_bytes(b"half")
    command = [sys.executable, "-m", "graphlint", "check", "--isolated", "."]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert all((tmp_path / path).exists() for path in left)
    fixed = subprocess.run([*command, "--fix"], cwd=tmp_path, capture_output=True, text=True)
    assert (fixed.returncode, fixed.stdout) == (0, "All checks passed!\n")
    assert fixed.stderr.splitlines() == [f"note: removed {path} (left by a killed run)" for path in left]
    assert not any((tmp_path / path).exists() for path in left)


@POSIX
def test_a_stopped_run_is_alive(tmp_path, owner):
    process, held = owner
    process.send_signal(signal.SIGSTOP)
    assert remove_leftovers(str(tmp_path)) == []
    assert held.exists()
