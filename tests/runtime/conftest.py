"""Artifacts to run: changed on purpose, fixed, or exported for the occasion."""

from __future__ import annotations

import copy
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import write_archive
from graphlint.run.engine import process

NEWEST = Path(__file__).parent.parent / "artifacts" / "2.13.0"


@pytest.fixture
def edit(tmp_path, monkeypatch) -> Callable[..., Path]:
    """Writes a copy of an artifact, with its first program's JSON changed, and other members; its path."""
    monkeypatch.chdir(tmp_path)

    def edit(case="async_assert", change=lambda tree: None, members=lambda entry: {}, name="edited.pt2") -> Path:
        with open_artifact(str(NEWEST / f"{case}.pt2")) as artifact:
            entry = artifact.programs[0]
            tree = json.loads(artifact.read_program(entry))
            edited = copy.deepcopy(tree)
            replaced = change(edited)
            changes = {entry.member: json.dumps(edited if replaced is None else replaced).encode(), **members(entry)}
            path = tmp_path / name
            with path.open("wb") as file:
                write_archive(artifact.container, changes, file)
        return path

    return edit


@pytest.fixture
def fixed(tmp_path, all_rules) -> Callable[[str], tuple[Path, Path]]:
    """The paths of an artifact and of a fixed copy of it."""

    def fixed(original: Path) -> tuple[Path, Path]:
        path = tmp_path / "fixed.pt2"
        shutil.copyfile(original, path)
        result = process(str(path), all_rules, "fix")
        assert (result.changed, result.error) == (True, None)
        return original, path

    return fixed


@pytest.fixture(scope="session")
def export():
    """``torch.export.export`` without its warnings."""
    torch = pytest.importorskip("torch")

    def export(module, *args, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.export(module, args, **options)

    return export
