"""What gets into the way of a fix: other runs, other writers, rights, links, limits. By the real command line."""

# ruff: noqa: PTH208

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from killing import digest, write_artifact

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
SAMPLE = ARTIFACTS / "async_assert.pt2"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHLINT")}
FIX = [sys.executable, "-m", "graphlint", "check", "--fix", "--isolated"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


def fix(path: Path | str, cwd: Path, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FIX, str(path)], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, **options
    )


@pytest.fixture
def fixed(tmp_path_factory):
    """What a fix makes of the sample."""
    folder = tmp_path_factory.mktemp("fixed")
    path = Path(shutil.copy(SAMPLE, folder / "model.pt2"))
    assert fix(path, folder).returncode == 1
    return path.read_bytes()


def test_many_runs_at_once_on_one_file(tmp_path, fixed):
    """Each either fixes it, finds it fixed, or says that another one was faster; in every order of events the file is
    whole, and a run after that has nothing to do.
    """
    changed = (
        'error: model.pt2: "model.pt2" was changed by something else meanwhile, and was not written: run graphlint '
        "again\n"
    )
    for _ in range(4):
        shutil.copy(SAMPLE, tmp_path / "model.pt2")
        runs = [
            subprocess.Popen(
                [*FIX, "model.pt2"],
                cwd=tmp_path,
                env=ENVIRONMENT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
        outcomes = []
        for run in runs:
            output, errors = run.communicate(timeout=120)
            outcomes.append((run.returncode, errors))
            assert ("Fixed 1 finding in model.pt2" in output) == (run.returncode == 1)
        assert set(outcomes) <= {(0, ""), (1, ""), (2, changed)}
        assert (1, "") in outcomes
        assert (tmp_path / "model.pt2").read_bytes() == fixed
        assert os.listdir(tmp_path) == ["model.pt2"]
    assert fix("model.pt2", tmp_path).returncode == 0


STOPPING = """
import os, signal, sys
sync = os.fsync
def stop_and_sync(descriptor):
    os.fsync = sync
    os.kill(os.getpid(), signal.SIGSTOP)
    sync(descriptor)
os.fsync = stop_and_sync
sys.argv[0] = "graphlint"
from graphlint.cli.main import main
main()
"""
"""A run that stops itself when the new file is written, and before it is in its place."""


@pytest.fixture
def stopped(tmp_path):
    """A run that is stopped while it writes the new file, with a function that lets it go on and gives its outcome."""
    if sys.platform == "win32":
        pytest.skip("needs SIGSTOP")
    path = write_artifact(tmp_path / "model.pt2", 400, 40, weights=1 << 20, dense=True)
    run = subprocess.Popen(
        [sys.executable, "-c", STOPPING, *FIX[FIX.index("graphlint") + 1 :], "model.pt2"],
        cwd=tmp_path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _, status = os.waitpid(run.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status), status
    assert len(os.listdir(tmp_path)) == 2

    def go_on():
        run.send_signal(signal.SIGCONT)
        output, errors = run.communicate(timeout=120)
        return run.returncode, output, errors

    yield path, go_on
    if run.poll() is None:
        run.kill()
        run.communicate()


def test_the_file_is_replaced_while_the_new_one_is_written(stopped, tmp_path):
    path, go_on = stopped
    other = tmp_path / "other"
    shutil.copy(SAMPLE, other)
    other.replace(path)
    status, _, errors = go_on()
    assert status == 2
    assert "was changed by something else meanwhile, and was not written: run graphlint again" in errors
    assert path.read_bytes() == SAMPLE.read_bytes()
    assert os.listdir(tmp_path) == ["model.pt2"]


def test_the_file_disappears_while_the_new_one_is_written(stopped, tmp_path):
    path, go_on = stopped
    path.unlink()
    status, _, errors = go_on()
    assert status == 2
    assert "cannot be rewritten and is unchanged: No such file or directory" in errors
    assert os.listdir(tmp_path) == []


def test_another_run_meets_a_living_one(stopped, tmp_path):
    """It takes nothing from it, and is the faster one."""
    path, go_on = stopped
    (living,) = [name for name in os.listdir(tmp_path) if name != path.name]
    second = fix("model.pt2", tmp_path)
    assert (second.returncode, second.stderr) == (1, "")
    assert living in os.listdir(tmp_path)
    after = path.stat()
    status, _, errors = go_on()
    assert status == 2
    assert "was changed by something else meanwhile" in errors
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert os.listdir(tmp_path) == ["model.pt2"]


@POSIX
def test_a_symbolic_link_and_a_hard_link(tmp_path, fixed):
    for folder in ("real", "links"):
        (tmp_path / folder).mkdir()
    shutil.copy(SAMPLE, tmp_path / "real" / "model.pt2")
    os.link(tmp_path / "real" / "model.pt2", tmp_path / "links" / "hard.pt2")
    (tmp_path / "links" / "soft.pt2").symlink_to("../real/model.pt2")
    (tmp_path / "real" / ".model.pt2.graphlint-0123abcd.tmp").write_bytes(b"left by a killed run")
    result = fix("links/soft.pt2", tmp_path)
    assert result.returncode == 1
    shown = tmp_path.resolve() / "real" / ".model.pt2.graphlint-0123abcd.tmp"
    assert result.stderr == f"note: removed {shown} (left by a killed run)\n"
    assert (tmp_path / "links" / "soft.pt2").is_symlink()
    assert (tmp_path / "real" / "model.pt2").read_bytes() == fixed
    assert (tmp_path / "links" / "hard.pt2").read_bytes() == SAMPLE.read_bytes(), "the other name keeps the old file"
    assert os.listdir(tmp_path / "real") == ["model.pt2"]
    assert sorted(os.listdir(tmp_path / "links")) == ["hard.pt2", "soft.pt2"]


@POSIX
def test_a_limit_on_the_size_of_files(tmp_path):
    """``ulimit -f``, as batch systems set it: the copy does not fit, the old file stays."""
    import resource

    path = write_artifact(tmp_path / "model.pt2", 400, 40, weights=4 << 20, dense=True)
    before = digest(path)
    limit = 2 << 20
    result = fix("model.pt2", tmp_path, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert result.returncode == 2
    assert "cannot be rewritten and is unchanged: File too large" in result.stderr
    assert "(the file system or a limit of the shell (ulimit -f) does not admit files of this size)" in result.stderr
    assert digest(path) == before
    assert os.listdir(tmp_path) == ["model.pt2"]


def _bound_by_rights() -> None:
    """In the child: root, too, may do only what mode bits allow (CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH go)."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability)  # PR_CAPBSET_DROP


@pytest.fixture
def bound(tmp_path):
    """An artifact, and a fix of it by somebody whom rights stop."""
    if sys.platform != "linux" and (sys.platform == "win32" or os.geteuid() == 0):
        pytest.skip("rights stop nobody here")
    preexec = _bound_by_rights if os.geteuid() == 0 else None
    yield (
        Path(shutil.copy(SAMPLE, tmp_path / "model.pt2")),
        lambda: fix(tmp_path / "model.pt2", Path("/"), preexec_fn=preexec),
    )
    tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "status", "message"),
    [
        (0o555, 0o644, 2, "Permission denied (graphlint needs the right to create a file in that folder)"),
        (0o755, 0o444, 2, "is read-only, and was not written: make it writable"),
        (0o755, 0o000, 1, "GL001 unreadable-artifact: cannot be read: Permission denied"),
        (0o644, 0o644, 2, "model.pt2: Permission denied"),
    ],
    ids=["read-only folder", "read-only file", "unreadable file", "folder without the execute bit"],
)
def test_missing_rights(bound, folder_mode, file_mode, status, message):
    path, run = bound
    path.chmod(file_mode)
    path.parent.chmod(folder_mode)
    result = run()
    assert result.returncode == status
    assert message in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    path.parent.chmod(0o755)
    path.chmod(0o644)
    assert path.read_bytes() == SAMPLE.read_bytes()
    assert os.listdir(path.parent) == ["model.pt2"]


def test_what_another_user_left(bound):
    """It can't be opened, hence not be told from a living run's file: it stays, without a word."""
    path, run = bound
    left = path.with_name(".model.pt2.graphlint-0123abcd.tmp")
    left.write_bytes(b"not ours")
    left.chmod(0o000)
    result = run()
    assert (result.returncode, result.stderr) == (1, "")
    assert sorted(os.listdir(path.parent)) == [left.name, path.name]


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for little more than the artifact."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_disk_that_is_full_of_what_a_killed_run_left(small_disk):
    """The next run frees that room before it needs it."""
    path = write_artifact(small_disk / "model.pt2", 40, 4, weights=1 << 20, dense=True)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(256 << 10))
    left = small_disk / ".model.pt2.graphlint-0123abcd.tmp"
    left.write_bytes(bytes(1 << 20))
    before = digest(path)
    result = fix("model.pt2", small_disk)
    assert result.returncode == 1
    assert result.stderr == f"note: removed {left.name} (left by a killed run)\n"
    assert digest(path) != before
    assert sorted(os.listdir(small_disk)) == ["filler", "model.pt2"]


def test_a_full_disk_and_nothing_to_free(small_disk):
    path = write_artifact(small_disk / "model.pt2", 40, 4, weights=2 << 20, dense=True)
    before = digest(path)
    result = fix("model.pt2", small_disk)
    assert result.returncode == 2
    assert "No space left on device (free some space on that disk and run graphlint again)" in result.stderr
    assert digest(path) == before
    assert os.listdir(small_disk) == ["model.pt2"]
