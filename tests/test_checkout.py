"""A checkout is not to be trusted: what its configuration makes graphlint write stays below its folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphlint.artifact.errors import ConfigError
from graphlint.cli.clicked import app
from graphlint.run.api import lint

GOOD = Path(__file__).parent / "artifacts" / "2.13.0" / "async_assert.pt2"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder with an artifact in it, beside a file that is somebody's own."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    shutil.copy(GOOD, folder / "model.pt2")
    (tmp_path / "own").write_text("mine")
    monkeypatch.chdir(folder)
    return folder


def check(*arguments):
    return CliRunner().invoke(app, ["check", *arguments, "model.pt2"])


def configure(folder, line, name="graphlint.toml"):
    (folder / name).write_text(f"{line}\n")


@pytest.mark.parametrize("key", ["output-format = ['concise={}']", "cache-dir = '{}'", "baseline = '{}'"])
@pytest.mark.parametrize("where", ["{parent}/own", "../own", "a/../../own", "link/own", "link"])
def test_a_configuration_writes_below_its_folder_only(checkout, key, where):
    (checkout / "link").symlink_to(checkout.parent, target_is_directory=True)
    configure(checkout, key.format(where.format(parent=checkout.parent)))
    result = check()
    assert result.exit_code == 2
    assert f"{key.partition(' ')[0]}: " in result.stderr
    assert "leads out of the folder" in result.stderr
    with pytest.raises(ConfigError, match="leads out of the folder"):
        lint("model.pt2")
    assert (checkout.parent / "own").read_text() == "mine"
    assert {one.name for one in checkout.parent.iterdir()} == {"checkout", "own"}


def test_a_configuration_that_is_found_further_up(checkout):
    (checkout / "sub").mkdir()
    shutil.copy(GOOD, checkout / "sub" / "model.pt2")
    configure(checkout, "[tool.graphlint]\noutput-format = ['concise=reports.txt']", "pyproject.toml")
    CliRunner().invoke(app, ["check", "sub/model.pt2"])
    assert (checkout / "reports.txt").is_file()
    configure(checkout, "[tool.graphlint]\noutput-format = ['concise=../own']", "pyproject.toml")
    assert CliRunner().invoke(app, ["check", "sub/model.pt2"]).exit_code == 2
    assert (checkout.parent / "own").read_text() == "mine"


def test_the_default_cache_is_followed_too(checkout):
    (checkout.parent / "elsewhere").mkdir()
    (checkout / ".graphlint_cache").symlink_to(checkout.parent / "elsewhere", target_is_directory=True)
    result = check()
    assert result.exit_code == 2
    assert "cache-dir: .graphlint_cache leads out of the folder" in result.stderr
    assert list((checkout.parent / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    "arguments", [["--output-format=concise=../report"], ["--config", "output-format = ['concise=../report']"]]
)
def test_the_command_line_writes_anywhere(checkout, arguments):
    assert check(*arguments).exit_code == 1
    assert "GL201" in (checkout.parent / "report").read_text()
