"""Comments that accept findings: what they say, and of which lines."""

from __future__ import annotations

import pytest

from graphlint.run.sources.sourcefile import SourceFile, find_ignores

RULES = {"GL101": "GL101", "in-place-op": "GL101", "GL201": "GL201", "async-assert": "GL201"}


def ignores(text: str):
    return find_ignores(SourceFile(text.encode()), RULES)


@pytest.mark.parametrize(
    ("comment", "codes", "unknown", "reason"),
    [
        ("# graphlint: ignore[GL101]", ("GL101",), (), ""),
        ("# graphlint: ignore[GL101] scratch space", ("GL101",), (), "scratch space"),
        ("# graphlint: ignore[GL101]: scratch space", ("GL101",), (), "scratch space"),
        ("#graphlint:ignore[GL101,GL201]", ("GL101", "GL201"), (), ""),
        ("# graphlint: ignore [ GL101 , async-assert ] - both", ("GL101", "GL201"), (), "both"),
        ("# GraphLint: Ignore[gl101, In-Place-Op]", ("GL101",), (), ""),
        ("# type: ignore[call] # graphlint: ignore[GL201] why # noqa: E501", ("GL201",), (), "why"),
        ("# graphlint: ignore[GL999, GL201]", ("GL201",), ("GL999",), ""),
        ("# graphlint: ignore[GL1]", (), ("GL1",), ""),
        ("# graphlint: ignore", (), (), ""),
        ("# graphlint: ignore[]", (), (), ""),
        ("# graphlint: ignore GL101", (), (), "GL101"),
    ],
)
def test_what_a_comment_says(comment, codes, unknown, reason):
    [found] = ignores(f"x.add_(1)  {comment}\n")
    assert (found.codes, found.unknown, found.reason, found.closed) == (codes, unknown, reason, True)


@pytest.mark.parametrize(
    "comment", ["# graphlint: ignored[GL101]", "# graphlint: ignore-file[GL101]", "# graphlint", "# ignore[GL101]"]
)
def test_other_comments(comment):
    assert ignores(f"x.add_(1)  {comment}\n") == ()


def test_an_open_bracket_accepts_nothing():
    [found] = ignores("x.add_(1)  # graphlint: ignore[GL101 because\n")
    assert (found.closed, found.codes) == (False, ())


def test_several_in_one_comment():
    first, second = ignores("x  # graphlint: ignore[GL101] one # graphlint: ignore[GL201] two\n")
    assert (first.codes, first.reason, second.codes, second.reason) == (("GL101",), "one", ("GL201",), "two")
    assert (first.column, first.end_column, second.column) == (4, 34, 35)


def test_text_that_looks_like_one():
    assert ignores('x = "# graphlint: ignore[GL101]"\ny = """\n# graphlint: ignore[GL101]\n"""\n') == ()


def test_any_line_of_the_statement():
    text = "y = f(\n    x,  # graphlint: ignore[GL101]\n    1,\n)\nz = 1\n"
    [found] = ignores(text)
    assert [line for line in range(1, 7) if found.accepts("GL101", line)] == [1, 2, 3, 4]
    assert not found.accepts("GL201", 2)


def test_its_own_line_only_where_the_file_is_not_python():
    [found] = ignores("y = f(x)  # graphlint: ignore[GL101]\ndef broken(:\n")
    assert [line for line in range(1, 3) if found.accepts("GL101", line)] == [1]
