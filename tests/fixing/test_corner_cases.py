"""Corner cases of writing in place, exported, fixed, and judged by stock torch; the benchmarks compare on them too."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.run.engine import process
from graphlint.runtime.verification import verify

ALL = frozenset(rule.code for rule in RULES)
SETTINGS = Settings(enabled=frozenset(rule.code for rule in RULES if rule.enabled_by_default), fixable=ALL)
LEFT = {"RandomInPlace": {"GL302"}}
"""What no fix takes away: draws."""

_SPEC = importlib.util.spec_from_file_location("benchmark_cases", Path(__file__).parents[1] / "benchmarks" / "cases.py")
assert _SPEC is not None
assert _SPEC.loader is not None
CASES = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(CASES)
NAMES = [one.module.__name__ for one in CASES.CASES]


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> dict[str, Path]:
    """Every case as an artifact."""
    return {path.stem: path for path in CASES.export_cases(tmp_path_factory.mktemp("cases"))}


@pytest.mark.parametrize("name", NAMES)
def test_a_corner_case_becomes_functional_and_does_the_same(name, exported, tmp_path):
    path = tmp_path / "model.pt2"
    shutil.copy(exported[name], path)
    result = process(str(path), SETTINGS, "fix")
    assert result.error is None
    assert result.changed
    assert {one.code for one in result.diagnostics} == LEFT.get(name, set())
    verify(str(exported[name]), str(path))
    before = path.read_bytes()
    assert not process(str(path), SETTINGS, "fix").changed
    assert path.read_bytes() == before
