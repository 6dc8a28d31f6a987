"""Unified diffs, beside difflib's and judged by `patch`."""

from __future__ import annotations

import difflib
import random
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphlint.report.comparison.alignment import unified_diff


def diff(before, after):
    return list(unified_diff(before, after, "old", "new"))


def theirs(before, after):
    return list(difflib.unified_diff(before, after, "old", "new"))


def applied(before, lines):
    """What a unified diff makes of a text: what it says is there must be there."""
    result, at = [], 0
    for line in lines[2:]:
        if line.startswith("@@"):
            start, _, length = line.split()[1][1:].partition(",")
            start = int(start) - (length != "0")
            result += before[at:start]
            at = start
            continue
        if line[0] in " -":
            assert before[at] == line[1:]
            at += 1
        if line[0] in " +":
            result.append(line[1:])
    return result + before[at:]


TEXTS = st.lists(st.sampled_from([f"{letter}\n" for letter in "abcdefgh"]), max_size=30)


@given(TEXTS, TEXTS)
def test_what_it_says_leads_from_one_text_to_the_other(before, after):
    lines = diff(before, after)
    assert applied(before, lines) == after if lines else before == after


@given(st.lists(st.integers(), max_size=60, unique=True), st.data())
def test_unique_lines_in_the_same_order_give_what_difflib_gives(numbers, data):
    before = [f"{number}\n" for number in numbers]
    gone = data.draw(st.sets(st.sampled_from(before))) if before else set()
    new = data.draw(st.lists(st.integers(0, len(before)), max_size=5))
    after = [line for line in before if line not in gone]
    for number, place in enumerate(new):
        after.insert(place, f"new {number}\n")
    assert diff(before, after) == theirs(before, after)


def test_lines_that_changed_places():
    before = [f"{letter}\n" for letter in "abcdef"]
    after = [f"{letter}\n" for letter in "bcdefa"]
    assert diff(before, after) == [
        "--- old\n", "+++ new\n", "@@ -1,6 +1,6 @@\n", "-a\n", " b\n", " c\n", " d\n", " e\n", " f\n", "+a\n",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("patch") is None, reason="needs the command patch")
def test_patch_takes_it(tmp_path):
    chance = random.Random(4)
    before = [f"%{number} = {chance.randrange(9)}\n" for number in range(500)]
    after = [line if chance.random() > 0.05 else f"# {line}" for line in before if chance.random() > 0.05]
    (tmp_path / "old").write_text("".join(before))
    text = "".join(diff(before, after))
    subprocess.run(["patch", "old"], cwd=tmp_path, input=text, text=True, check=True, capture_output=True)
    assert (tmp_path / "old").read_text() == "".join(after)
