"""Exports models, fixes their files, and has stock torch judge the fixed ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("torch")

from tests import judge

from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.settings import Settings
from graphlint.run.engine import process


class Fixed(NamedTuple):
    """A program's file before and after ``--fix``, and what was found in it."""

    original: Path
    path: Path
    found: tuple[Diagnostic, ...]
    left: tuple[Diagnostic, ...]

    @property
    def codes(self) -> dict[str, int]:
        """How many findings of each rule the original has."""
        return dict(Counter(one.code for one in self.found))

    @property
    def codes_left(self) -> dict[str, int]:
        """How many the fixed one has."""
        return dict(Counter(one.code for one in self.left))

    def compare(self, calls: list[Any], original: Any = None) -> list[str]:
        """The fixed file does what ``original`` does, by default the original file; what each call raised."""
        original = judge.load(self.original) if original is None else original
        return judge.compare(original, judge.load(self.path), calls, times=1)


@pytest.fixture(scope="session")
def fix(tmp_path_factory, default_rules):
    """Saves an exported program, checks it, and fixes a copy; a second fix must leave that alone."""

    def make(program: Any, settings: Settings = default_rules) -> Fixed:
        folder = tmp_path_factory.mktemp("model")
        original, path = folder / "original.pt2", folder / "fixed.pt2"
        judge.save(program, original)
        path.write_bytes(original.read_bytes())
        before = process(str(original), settings, "check")
        result = process(str(path), settings, "fix")
        assert (before.error, result.error) == (None, None)
        assert result.changed is bool(result.fixed)
        once = path.read_bytes()
        again = process(str(path), settings, "fix")
        assert (again.changed, again.fixed, again.error) == (False, (), None)
        assert again.diagnostics == result.diagnostics
        assert path.read_bytes() == once
        return Fixed(original, path, before.diagnostics, result.diagnostics)

    return make


@pytest.fixture(scope="session")
def load_error():
    """What stock torch says when it cannot load a file."""

    def get(path: Path) -> str:
        with pytest.raises(Exception) as error:  # noqa: PT011 - any; the caller compares what it says
            judge.load(path)
        return str(error.value)

    return get
