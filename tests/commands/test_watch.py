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

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"


class Watching:
    """A run of ``graphlint --watch``, and what it has printed so far."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "graphlint", "--watch", "--output-format", "concise", "."]
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
        status = self.process.wait(timeout=30)
        self.reader.join(timeout=30)
        return status

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
        content = (ARTIFACTS / "buffer_counter.pt2").read_bytes()
        (tmp_path / "new.tmp").write_bytes(content)
        (tmp_path / "new.tmp").replace(tmp_path / "model.pt2")
        assert run.waits_for("GL103", 1), run.lines
        assert run.waits_for("watching for changes", 2), run.lines
        (tmp_path / "graphlint.toml").write_text('ignore = ["GL103"]\n')
        assert run.waits_for("watching for changes", 3), run.lines
        assert sum("All checks passed!" in line for line in run.lines) == 2
    finally:
        status = run.interrupt()
    assert status in (0, 130)
    assert not any("Traceback" in line for line in run.lines)


def test_watching_only_looks(tmp_path):
    for option in ("--fix", "--diff"):
        result = subprocess.run(
            [sys.executable, "-m", "graphlint", "--watch", option], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 2
        assert "--watch only looks" in result.stderr
