"""``--watch``, with a real process and real changes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from graphlint.cli.console import Console
from graphlint.cli.watch import watching as watch

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"


class Watching:
    """A run of ``graphlint --watch``, and what it has printed so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "graphlint", "--watch", "--output-format", "concise", *(arguments or ["."])]
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.lines.append(line)

    def interrupt(self) -> int:
        """End it as Ctrl-C does; the exit status."""
        self.process.send_signal(signal.SIGINT)
        status = self.process.wait(timeout=60)
        self.reader.join(timeout=30)
        return status

    def waits(self) -> bool:
        """Whether a check comes to its end, within a generous limit."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if "watching for changes" in self.lines[-1]:
                return True
            time.sleep(0.05)
        return False

    def waits_for(self, text: str, times: int) -> bool:
        """Whether a line with that text comes so many times, within a generous limit."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if sum(text in line for line in self.lines) >= times:
                return True
            time.sleep(0.05)
        return False


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent by a signal")
def test_changes_are_linted_until_the_run_is_interrupted(tmp_path):
    shutil.copy(ARTIFACTS / "clean.pt2", tmp_path / "model.pt2")
    run = Watching(tmp_path)
    try:
        assert run.waits_for("watching for changes", 1), run.lines
        assert any("All checks passed!" in line for line in run.lines)
        replace(tmp_path / "model.pt2", "buffer_counter.pt2")
        assert run.waits_for("GL103", 1), run.lines
        assert run.waits_for("watching for changes", 2), run.lines
        (tmp_path / "graphlint.toml").write_text('ignore = ["GL103"]\n')
        assert run.waits_for("All checks passed!", 2), run.lines
        assert run.waits(), run.lines
    finally:
        status = run.interrupt()
    assert status in (0, 130)
    assert not any("Traceback" in line for line in run.lines)


def replace(path: Path, name: str) -> None:
    """Put an artifact in the place of a file in one step, as ``--fix`` does."""
    new = path.with_suffix(".tmp")
    new.write_bytes((ARTIFACTS / name).read_bytes())
    new.replace(path)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent by a signal")
@pytest.mark.parametrize("argument", ["models/net.pt2", "models/*.pt2", "models"])
def test_whatever_names_the_artifacts_is_watched(tmp_path, argument):
    (tmp_path / "models").mkdir()
    model = tmp_path / "models" / "net.pt2"
    shutil.copy(ARTIFACTS / "clean.pt2", model)
    run = Watching(tmp_path, argument)
    try:
        assert run.waits_for("watching for changes", 1), run.lines
        replace(model, "buffer_counter.pt2")
        assert run.waits_for("GL103", 1), run.lines
        replace(model, "async_assert.pt2")
        assert run.waits_for("GL201", 1), run.lines
        assert run.waits_for("watching for changes", 3), run.lines
        # A configuration above the artifacts, wrong at first: watching goes on.
        (tmp_path / "graphlint.toml").write_text('ignroe = ["GL201"]\n')
        assert run.waits_for("did you mean 'ignore'?", 1), run.lines
        assert run.waits_for("watching for changes", 4), run.lines
        (tmp_path / "graphlint.toml").write_text('ignore = ["GL201"]\n')
        assert run.waits_for("All checks passed!", 2), run.lines
        assert run.waits(), run.lines
    finally:
        status = run.interrupt()
    assert status == 0
    assert set(run.lines[-1:]) == {"note: watching for changes; Ctrl-C ends it\n"}


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is sent by a signal")
def test_a_file_may_come_later(tmp_path):
    (tmp_path / "own.toml").write_text("")
    run = Watching(tmp_path, "--config", "own.toml", "net.pt2")
    try:
        assert run.waits_for("net.pt2: No such file", 1), run.lines
        assert run.waits_for("watching for changes", 1), run.lines
        replace(tmp_path / "net.pt2", "buffer_counter.pt2")
        assert run.waits_for("GL103", 1), run.lines
        assert run.waits_for("watching for changes", 2), run.lines
        (tmp_path / "own.toml").write_text('ignore = ["GL103"]\n')
        assert run.waits_for("All checks passed!", 1), run.lines
    finally:
        run.interrupt()


@pytest.mark.parametrize("changed", ["models/net.pt2", "graphlint.toml"])
def test_what_changes_during_the_first_check_is_checked_again(tmp_path, monkeypatch, changed):
    (tmp_path / "models").mkdir()
    shutil.copy(ARTIFACTS / "clean.pt2", tmp_path / "models" / "net.pt2")
    monkeypatch.chdir(tmp_path / "models")
    checks = 0

    def check() -> int:
        nonlocal checks
        checks += 1
        if checks == 1:
            replace(tmp_path / changed, "buffer_counter.pt2")
        else:
            signal.raise_signal(signal.SIGINT)
        return checks

    limit = threading.Timer(60, signal.raise_signal, [signal.SIGINT])
    limit.start()
    try:
        status = watch(["net.pt2"], [], check, Console())
    finally:
        limit.cancel()
    assert (checks, status) == (2, 1)


def test_what_cannot_be_watched_is_said(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "graphlint", "--watch", "memory://net.pt2"], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stderr == "error: --watch is for files and folders: there are none here to watch\n"
    assert result.returncode == 2


def test_watching_only_looks(tmp_path):
    for option in ("--fix", "--diff"):
        result = subprocess.run(
            [sys.executable, "-m", "graphlint", "--watch", option], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 2
        assert "--watch only looks" in result.stderr
