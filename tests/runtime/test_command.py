"""``--verify`` and ``graphlint verify`` on the command line: exit statuses, messages, what is left on disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphlint.cli.clicked import app
from graphlint.runtime import verification

SAME = (
    "1 program did the same on 2 inputs, each called twice: results, state, written inputs, prints, errors and random "
    "numbers were compared"
)
NEWEST = Path(__file__).parent.parent / "artifacts" / "2.13.0"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        result = CliRunner().invoke(app, arguments, prog_name="graphlint")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "model.pt2"
    shutil.copyfile(NEWEST / "async_assert.pt2", path)
    return path


def test_a_verified_fix_is_written(run, model):
    before = model.read_bytes()
    status, _, stderr = run("--fix", "--verify", "model.pt2")
    assert (status, stderr) == (
        1,
        f"note: model.pt2: {SAME}\n",
    )
    assert model.read_bytes() != before
    assert run("verify", str(NEWEST / "async_assert.pt2"), "model.pt2") == (
        0,
        f"{SAME}\n",
        "",
    )
    assert run("verify", "-q", str(NEWEST / "async_assert.pt2"), "model.pt2") == (0, "", "")


def test_what_is_fed_back_is_told(run, tmp_path):
    """State among the inputs and outputs is not given by the caller: it goes from call to call."""
    shutil.copyfile(NEWEST / "key_value_cache.pt2", tmp_path / "model.pt2")
    status, _, stderr = run("--fix", "--lift-state", "--verify", "model.pt2")
    said = f"{SAME}; each call was given the state that the one before had returned ('cache')"
    assert (status, stderr.splitlines()[0]) == (1, f"note: model.pt2: {said}")
    assert run("verify", str(NEWEST / "key_value_cache.pt2"), "model.pt2") == (0, f"{said}\n", "")


def test_a_fix_that_fails_leaves_the_file_alone(run, model, monkeypatch):
    monkeypatch.setattr(verification, "difference", lambda before, after: "output: 1 of 12 elements differ")
    monkeypatch.setattr(verification, "_check_repeats", lambda *arguments: None)
    before, names = model.read_bytes(), sorted(model.parent.iterdir())
    status, stdout, stderr = run("--fix", "--verify", "model.pt2", "--output-format", "concise")
    assert (status, stderr) == (
        2,
        (
            "error: model.pt2: program 'model' differs on the first call with the sample inputs: "
            "output: 1 of 12 elements differ\n"
        ),
    )
    assert "GL201 [*]" in stdout
    assert model.read_bytes() == before
    assert sorted(model.parent.iterdir()) == names


def test_a_fix_that_cannot_be_verified_leaves_the_file_alone(run, tmp_path):
    shutil.copyfile(NEWEST / "random.pt2", tmp_path / "random.pt2")
    before = (tmp_path / "random.pt2").read_bytes()
    status, _, stderr = run("--fix", "--verify", "random.pt2")
    assert status == 2
    assert stderr.startswith("error: random.pt2: cannot be verified: torch ")
    assert stderr.endswith(" does not load it: KeyError: 'from'\n")
    assert (tmp_path / "random.pt2").read_bytes() == before


def test_what_a_model_prints_does_not_get_into_the_report(tmp_path):
    # In a process of its own: C++ prints to the descriptor. print.pt2 needs no fix, so another program gets one.
    path = str(NEWEST / "print.pt2")
    result = subprocess.run(
        [sys.executable, "-m", "graphlint", "verify", path, path], capture_output=True, text=True, timeout=120
    )
    assert (result.stdout, result.stderr, result.returncode) == (f"{SAME}\n", "", 0)


def test_a_report_in_json_stays_json(run, model):
    _, stdout, _ = run("--fix", "--verify", "--output-format", "json")
    assert json.loads(stdout)["files"][0]["changed"] is True


def test_artifacts_that_differ(run):
    first, second = str(NEWEST / "clean.pt2"), str(NEWEST / "async_assert.pt2")
    status, stdout, stderr = run("verify", first, second)
    assert (status, stdout) == (1, "")
    assert stderr.startswith("error: program 'model' differs on the first call with the sample inputs: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--verify"], "--verify goes with --fix"),
        (["--verify", "--diff"], "--verify goes with --fix"),
        (["--fix", "--trust"], "--trust and --import go with --verify"),
        (["--fix", "--import", "os"], "--trust and --import go with --verify"),
        (["verify", "one.pt2"], "missing argument 'AFTER'"),
    ],
)
def test_wrong_usage(run, arguments, message):
    status, stdout, stderr = run(*arguments)
    assert (status, stdout) == (2, "")
    assert stderr.startswith(f"error: {message} (see `graphlint ")


def test_an_import_that_fails_stops_the_run(run, model):
    before = model.read_bytes()
    assert run("--fix", "--verify", "--import", "nowhere") == (
        2,
        "",
        "error: --import nowhere: ModuleNotFoundError: No module named 'nowhere'\n",
    )
    assert model.read_bytes() == before


@pytest.mark.parametrize("arguments", [["--fix", "--verify"], ["verify", "model.pt2", "model.pt2"]])
def test_without_torch(run, model, monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "torch", None)
    before = model.read_bytes()
    needed = "it needs torch, which the extra 'torch' installs: pip install 'torch-graphlint[torch]'"
    assert run(*arguments) == (2, "", f"error: cannot be verified: {needed}\n")
    assert model.read_bytes() == before


def test_help(run):
    status, stdout, _ = run("verify", "--help")
    assert status == 0
    assert "Exit status: 0 if both do the same, 1 if they differ, 2 if they cannot be compared." in " ".join(
        stdout.split()
    )
    assert "verify BEFORE AFTER" in run("--help")[1]
