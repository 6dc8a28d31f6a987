"""The code blocks of a page, run in their order: ``python -m tests.docs.blocks --write`` renews what commands print.

A page has a folder of its own, with artifacts of the corpus in ``artifacts/`` and the models that they were made of in
``models.py``; one of them is ``model.pt2``. What a block is for, its head tells:

- a title (```` ```python title="export.py" ````): the block is that file;
- ``python``: it is run, in one namespace with the others of the page;
- ``sh``: it is run by bash, and fails where a command does;
- ``console``: each line that begins with ``$`` is run by bash, and what it prints stands below it;
- ``toml``: a configuration of graphlint, which is read;
- ``yaml``: it is parsed;
- ``graph``, ``text`` and the like are not run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from graphlint.run.config import load

PROJECT = Path(__file__).parents[2]
SITE = PROJECT / "docs" / "site"
CORPUS = PROJECT / "tests" / "artifacts"
ARTIFACTS = ("key_value_cache", "async_assert", "clean", "print", "batch_norm_training", "autocast_region")
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
TIMEOUT = 300


def page_paths() -> list[Path]:
    """The pages that people have written."""
    return sorted(SITE.rglob("*.md"))


class Page:
    """A page while its blocks are run in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, Any] = {"__name__": "page"}
        commands = folder / ".commands"
        commands.mkdir()
        for name, words in (("graphlint", "-m graphlint"), ("python", "")):
            (commands / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
            (commands / name).chmod(0o755)
        (folder / "artifacts").mkdir()
        for name in ARTIFACTS:
            shutil.copy(CORPUS / "2.13.0" / f"{name}.pt2", folder / "artifacts")
        shutil.copy(CORPUS / "models.py", folder)
        shutil.copy(folder / "artifacts" / "key_value_cache.pt2", folder / "model.pt2")
        self._environment = {
            **{
                name: value for name, value in os.environ.items() if name not in ("CI", "GITHUB_ACTIONS", "FORCE_COLOR")
            },
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "lint"), os.environ.get("PYTHONPATH", "")]),
            "PYTHONWARNINGS": "ignore",
        }

    def run(self, text: str) -> str:
        """The page with what its commands print now. Raises for a block that fails."""
        return BLOCK.sub(lambda found: found[0].replace(found[3], self._run(found[1], found[2], found[3])), text)

    def _run(self, kind: str, title: str | None, code: str) -> str:
        if title is not None:
            (self.folder / title).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / title).write_text(code)
        if kind == "toml":
            path = self.folder / (title or ("pyproject.toml" if "[tool." in code else "graphlint.toml"))
            path.write_text(code)
            assert load(str(path)) is not None
            if title is None:
                path.unlink()
        elif kind == "yaml":
            assert yaml.safe_load(code)
        elif kind == "python" and title is None:
            with contextlib.chdir(self.folder):
                exec(compile(code, "page", "exec"), self._names)
        elif kind == "sh":
            self._shell(f"set -e\n{code}", check=True)
        elif kind == "console":
            commands = [line[2:] for line in code.splitlines() if line.startswith("$ ")]
            shown = [f"$ {command}\n{self._shell(command)}" for command in commands]
            return "".join(
                f"\n{one}" if index and shown[index - 1].count("\n") > 1 else one for index, one in enumerate(shown)
            )
        return code

    def _shell(self, command: str, *, check: bool = False) -> str:
        """What a command prints."""
        result = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=check,
        )
        return result.stdout


def shown_anew(path: Path) -> str:
    """A page with what its commands print now."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return Page(Path(folder)).run(path.read_text())


def main() -> None:
    """Say which pages do not show what their commands print, or write it into them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the pages")
    parser.add_argument("pages", nargs="*", type=Path, help="these only")
    arguments = parser.parse_args()
    for path in arguments.pages or page_paths():
        text = shown_anew(path)
        if text != path.read_text():
            print(path)
            if arguments.write:
                path.write_text(text)


if __name__ == "__main__":
    main()
