"""A small run of the hostile mode: whatever leaves a marker is flagged, and some leave one."""

from __future__ import annotations

import sys

import pytest

from . import hostile
from .loading import Loader

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


def test_two_hundred_samples():
    with Loader() as loader:
        tried = [hostile.try_case(loader, hostile.case(1, number)) for number in range(200)]
    assert [one for one in tried if one.markers and not one.found] == []
    # Unless some run something, and some load without, nothing was tested.
    assert sum(bool(one.markers) for one in tried) >= 3
    assert sum(one.loads and not one.found for one in tried) >= 10


def test_a_case_is_its_number():
    assert hostile.case(3, 14) == hostile.case(3, 14)
    assert hostile.case(3, 14).data != hostile.case(3, 15).data


def test_a_marker_without_a_finding_is_noticed(monkeypatch, capsys):
    monkeypatch.setattr(hostile, "case", lambda *_: hostile.Case("0: it", b""))
    monkeypatch.setattr(hostile, "try_case", lambda *_: hostile.Finding("0: it", ["ran"], loads=True, found=False))
    monkeypatch.setattr(sys, "argv", ["hostile.py", "--samples=1"])
    assert hostile.main() == 1
    assert "0: it left ['ran'], and nothing was found" in capsys.readouterr().out
