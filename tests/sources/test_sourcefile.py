"""Lines, statements and comments of a source file, whatever is in it."""

from __future__ import annotations

import pytest

from graphlint.run.sources.sourcefile import SourceFile, code_of


def source(text: str) -> SourceFile:
    return SourceFile(text.encode())


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("    self.count.add_(1)", "self.count.add_(1)"),
        ("x.add_(1)  # graphlint: ignore[GL101] why", "x.add_(1)"),
        ('print("# no comment")  # one', 'print("# no comment")'),
        ("print('it\\'s # none')", "print('it\\'s # none')"),
        ("x  =   1", "x = 1"),
        ("# nothing else", ""),
        ("", ""),
    ],
)
def test_code_of_a_line(line, code):
    assert code_of(line) == code


def test_strings_are_no_comments():
    text = 'a = "# graphlint: ignore"\nb = """\n# graphlint: ignore\n"""\nc = 1  # real\n'
    assert [(one.start, one.string) for one in source(text).comments] == [((5, 7), "# real")]


@pytest.mark.parametrize(
    ("line", "span"),
    [(1, (1, 1)), (2, (2, 5)), (3, (2, 5)), (5, (2, 5)), (6, (6, 8)), (7, (6, 8)), (9, (9, 9)), (10, (10, 10))],
)
def test_statements(line, span):
    text = (
        "import torch\n"  # 1
        "y = torch.add(\n"  # 2
        "    x,\n"
        "    1,\n"
        ")\n"
        "with torch.no_grad(\n"  # 6: the head of a statement with a body
        "    *[],\n"
        "):\n"
        "    y.add_(1)\n"  # 9
        "\n"
        "    z = 1\n"
    )
    assert source(text).statement(line) == span


def test_a_comment_below_a_head_is_not_part_of_it():
    text = "if x:\n    # about y\n    y = 1\n"
    assert source(text).statement(1) == (1, 1)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('# -*- coding: latin-1 -*-\ns = "\xe9"\n'.encode("latin-1"), 's = "\xe9"'),
        ('\ufeffx = 1\ns = "\xe9"\n'.encode(), 's = "\xe9"'),
        (b'x = 1\r\ns = "\xc3\xa9"\r\n', 's = "\xe9"'),
        (b'x = 1\rs = "\xc3\xa9"\r', 's = "\xe9"'),
        (b'# coding: no-such-encoding\ns = "\xc3\xa9"\n', 's = "\xe9"'),
        (b'x = 1\ns = "\xe9"\n', 's = "\ufffd"'),
    ],
    ids=["declared", "byte order mark", "windows", "old mac", "unknown encoding", "wrong bytes"],
)
def test_encodings_and_line_ends(content, line):
    file = SourceFile(content)
    assert file.lines[1] == line
    assert file.statement(2) == (2, 2)


@pytest.mark.parametrize(
    "content", [b"def f(:\n  x # c\n", b"x = (\n", b"\x00\xff" * 50, b"", b"'''\n# x\n", b"if x:\n    y\n  z # c\n"]
)
def test_broken_files_do_not_raise(content):
    file = SourceFile(content)
    assert file.statement(1) == (1, 1)
    assert list(file.functions_at(1)) == []
    assert isinstance(file.comments, tuple)


def test_comments_before_the_place_where_a_file_breaks_off_count():
    assert [one.string for one in source("x = 1  # first\ny = (\n").comments] == ["# first"]


def test_invalid_escapes_do_not_warn():
    assert source('x = "\\d"\n').tree is not None  # warnings are errors in the tests
