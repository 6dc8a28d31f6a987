"""Completion in shells, and words that were meant as commands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

GRAPHLINT = Path(sys.executable).with_name("graphlint")


def completed(*words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    environment = {
        **os.environ,
        "COMP_WORDS": " ".join(["graphlint", *words]),
        "COMP_CWORD": str(len(words)),
        "_GRAPHLINT_COMPLETE": "bash_complete",
    }
    result = subprocess.run([str(GRAPHLINT)], env=environment, capture_output=True, text=True, check=True)
    return result.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["ru"], ["plain,rule", "plain,rules"]),
        (["--sel"], ["plain,--select"]),
        (["mod"], ["file,mod"]),
        (["check", "mod"], ["file,mod"]),
        (["--select", "GL40"], ["plain,GL401", "plain,GL402", "plain,GL403"]),
        (["--select", "GL1,GL50"], ["plain,GL1,GL501", "plain,GL1,GL502", "plain,GL1,GL503"]),
        (["--target", "onnx,core"], ["plain,onnx,coreml"]),
        (["rule", "buffer"], ["plain,buffer-mutation"]),
        (["target", "e"], ["plain,executorch"]),
        (["a.pt2", "--fix-"], ["plain,--fix-only"]),
    ],
)
def test_what_a_shell_is_offered(words, offered):
    assert completed(*words) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_for_the_shell(shell):
    result = subprocess.run([str(GRAPHLINT), "completion", shell], capture_output=True, text=True, check=True)
    assert f"_GRAPHLINT_COMPLETE={shell}_complete" in result.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=result.stdout, text=True, check=True)


def test_a_misspelt_command_is_told(tmp_path):
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(GRAPHLINT), *words], cwd=tmp_path, capture_output=True, text=True)

    result = run("restor", "model.pt2")
    assert result.returncode == 2
    assert "error: no file, folder or command 'restor'; did you mean 'restore'?" in result.stderr
    (tmp_path / "restor").mkdir()
    assert run("restor").returncode == 0  # a folder of that name is one
    assert "error: models: No such file or directory" in run("models").stderr
