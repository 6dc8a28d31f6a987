"""The judge of other versions of torch, in the installed one; and what was measured."""

import json
import sys
import textwrap

import pytest
from tests.versions import judge, table

pytest.importorskip("torch")

MEASURED = {"2.6", "2.9", "2.15"}
"""What has to be measured, at least: the oldest, the newest, and one from between."""


def test_the_table_is_what_was_measured():
    assert table.in_contributing() == table.render(table.read())


def test_nothing_that_was_measured_is_wrong():
    results = table.read()
    assert results.keys() >= MEASURED
    for families in results.values():
        assert families.keys() <= set(table.FAMILIES)
        assert {row["graphlint wrong"] for row in families.values()} == {0}
        for row in families.values():
            assert row["programs"] == sum(row[f"graphlint {outcome}"] for outcome in table.OUTCOMES)


def test_programs_are_judged_in_a_process_of_their_own():
    lines = list(judge.judged(sys.executable, "random", ["--programs", "3", "--seed", "1"]))
    assert [line["name"] for line in lines] == ["1", "2", "3"]
    row = judge.summary(lines)
    assert row["programs"] > 0
    assert row["graphlint wrong"] == 0
    assert row["graphlint equal"] > 0


@pytest.fixture
def python(tmp_path):
    """Something that is called as Python is, and does what a text says instead."""

    def make(text):
        path = tmp_path / "python"
        path.write_text(f"#!{sys.executable}\nimport os, sys, time\nafter = sys.argv[-1]\n{textwrap.dedent(text)}")
        path.chmod(0o755)
        return str(path)

    return make


def test_a_program_that_ends_its_process_is_told_and_the_next_ones_are_judged(python):
    line = {"name": "two", "graphlint": "equal", "stock": "wrong"}
    called = python(
        f"""
        print('{{"begins": "two"}}' if after else '{{"begins": "one"}}', flush=True)
        if not after:
            os.abort()
        print({json.dumps(line)!r})
        """
    )
    first, second = judge.judged(called, "named", [])
    assert first["name"] == "one"
    assert "torch ended" in first["unjudged"]
    assert second == line


def test_a_program_that_takes_too_long_is_told(python, monkeypatch):
    monkeypatch.setattr(judge, "SECONDS", 3)
    called = python(
        """
        if not after:
            print('{"begins": "one"}', flush=True)
            time.sleep(60)
        """
    )
    assert [line["name"] for line in judge.judged(called, "named", [])] == ["one"]


def test_a_python_that_cannot_run_it_is_an_error(python):
    with pytest.raises(RuntimeError, match="no torch here"):
        list(judge.judged(python("sys.exit('no torch here')"), "named", []))
