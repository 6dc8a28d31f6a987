"""Runs that are killed: the artifact is the old one or the new one, and the next run tidies up."""

from __future__ import annotations

import sys

import pytest
from killing import ENDED, kill

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")


def test_killed_at_any_moment(tmp_path):
    killing = kill(tmp_path, kills=30, seed=2, megabytes=32)
    assert killing.faults == []
    assert killing.fell.total() - killing.fell[ENDED] == 30
    # It was caught in the act, not merely before and after it: those kills at system calls that fall into it are.
    assert killing.fell["while it wrote the new file"] + killing.fell["with the new file complete beside it"] >= 1
    assert killing.left["old artifact, 1 temporary"] >= 1
