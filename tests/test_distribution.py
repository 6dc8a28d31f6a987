"""What is installed is called torch-graphlint; the module and the command are called graphlint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "lint" / "graphlint"
TABLE = tomllib.loads((PROJECT / "pyproject.toml").read_text())
INSTALLS = re.compile(r"pip install [^\n`\"&]*")


def test_the_names():
    project = TABLE["project"]
    assert project["name"] == "torch-graphlint"
    assert project["scripts"] == {"graphlint": "graphlint.cli.main:main"}
    assert project["entry-points"]["pytest11"] == {"graphlint": "graphlint.runtime.plugin"}
    # What only developers need is no extra, but for what the README's command installs.
    assert set(project["optional-dependencies"]) == {"torch", "watch", "remote", "test"}
    assert set(TABLE["dependency-groups"]) == {"consumers", "libraries", "browser"}


def snippets() -> list[str]:
    """All that is said to be installed, on pages, in hooks and in messages."""
    pages = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs" / "site").rglob("*.md")]
    hooks = [path for path in (PROJECT / "hooks").rglob("*") if path.suffix in {".md", ".yml", ".yaml"}]
    texts = [path.read_text("utf-8") for path in (*pages, *hooks, *PACKAGE.rglob("*.py"))]
    return [one for text in texts for one in INSTALLS.findall(text)]


@pytest.mark.parametrize("snippet", sorted(set(snippets())))
def test_no_snippet_installs_the_other_tool(snippet):
    words = re.sub(r"git\+https://\S+|\S*GITHUB_ACTION_PATH\S*", "", snippet)
    assert not re.search(r"(?<![\w-])graphlint(?![\w-])", words), snippet


@pytest.mark.parametrize("initial", ["", "version = '3'\n"])
def test_another_package_of_that_name_is_told(tmp_path, initial):
    other = tmp_path / "graphlint"
    other.mkdir()
    (other / "__init__.py").write_text(initial)
    for part in PACKAGE.iterdir():
        if part.name not in {"__init__.py", "__pycache__"}:
            (other / part.name).symlink_to(part)
    command = [sys.executable, "-m", "graphlint", "--version"]
    result = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: the module graphlint is that of another package: ")
    assert "pip uninstall graphlint torch-graphlint" in result.stderr
