"""One source file of the model: its lines, its statements, its comments, and the findings that these accept:
``# graphlint: ignore[GL201] reason``.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from graphlint.artifact.patterns import pattern

if TYPE_CHECKING:  # most files are looked at for a line only
    import ast
    import tokenize

LARGEST = 10_000_000
"""In bytes: a file larger than this was written by no one, and is not read."""

_IGNORE = pattern(
    r"#\s*graphlint\s*:\s*ignore(?![\w-])(?P<bracket>\s*\[(?P<codes>[^\]#]*)(?P<closed>\])?)?(?P<reason>[^#]*)",
    re.IGNORECASE,
)
KEYWORD = "graphlint"
_DECLARING = 10_000
"""Bytes of a file in which its first two lines are: only there can it declare its encoding."""


class SourceFile:
    """A file that was read; nothing is parsed before it is asked for."""

    def __init__(self, content: bytes) -> None:
        """``content`` is the file's; what no encoding makes sense of is replaced."""
        self._text = _decoded(content)
        self.lines: tuple[str, ...] = tuple(self._text.split("\n"))

    @cached_property
    def tree(self) -> ast.Module | None:
        """The syntax tree; None where the file is not valid Python (of this Python's version)."""
        import ast

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what Python thinks of the file's escapes is not asked here
                return ast.parse(self._text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    @cached_property
    def _tokens(self) -> tuple[tokenize.TokenInfo, ...]:
        """What comes before the place at which the file stops being Python."""
        import tokenize

        found: list[tokenize.TokenInfo] = []
        with contextlib.suppress(tokenize.TokenError, SyntaxError, RecursionError):
            found.extend(tokenize.generate_tokens(io.StringIO(self._text).readline))
        return tuple(found)

    @property
    def comments(self) -> tuple[tokenize.TokenInfo, ...]:
        """All comments, in order, as far as the file can be read as Python."""
        from token import COMMENT

        return tuple(token for token in self._tokens if token.type == COMMENT)

    def statement(self, line: int) -> tuple[int, int]:
        """First and last line of the statement that the line is in, or of its head where it has a body; the line alone
        where that is unknown.
        """
        from token import COMMENT, DEDENT, INDENT, NEWLINE, NL

        first = 0
        for token in self._tokens:
            if token.type == NEWLINE:
                if first <= line <= token.start[0]:
                    return first, token.start[0]
                first = 0
            elif not first and token.type not in (COMMENT, NL, INDENT, DEDENT):  # these begin no statement
                first = token.start[0]
        return line, line

    @cached_property
    def _functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        import ast

        nodes = [] if self.tree is None else ast.walk(self.tree)
        return [node for node in nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]

    def functions_at(self, line: int) -> Iterator[str]:
        """Names of the functions that the line is in."""
        return (one.name for one in self._functions if one.lineno <= line <= (one.end_lineno or one.lineno))

    @cached_property
    def by_code(self) -> dict[str, list[int]]:
        """The numbers of the lines with the same code (see :func:`code_of`), in order."""
        found: dict[str, list[int]] = {}
        for number, line in enumerate(self.lines, 1):
            found.setdefault(code_of(line), []).append(number)
        return found


_CODE = pattern(r"""(?:[^"'#]|"(?:\\.|[^"\\])*\\?(?:"|\Z)|'(?:\\.|[^'\\])*\\?(?:'|\Z))*""", re.DOTALL)
"""What is before a comment: strings may have a ``#`` in them."""


def code_of(line: str) -> str:
    """A line's code: without the comment at its end, blanks collapsed."""
    found = _CODE.match(line) if "#" in line else None
    return " ".join((found[0] if found else line).split())


def _decoded(content: bytes) -> str:
    """The text, by the encoding that the file declares (PEP 263), with line feeds at the end of lines."""
    encoding = "utf-8"
    if b"coding" in content[:_DECLARING]:
        import tokenize

        with contextlib.suppress(SyntaxError):
            encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
    try:
        text = content.decode(encoding, "replace")
    except LookupError:
        text = content.decode("utf-8", "replace")
    return text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


class Ignore(msgspec.Struct, frozen=True):
    """One such comment."""

    line: int
    column: int
    end_column: int
    first: int
    """First line of the statement that the comment is part of."""
    last: int
    codes: tuple[str, ...]
    """Codes of the rules whose findings it accepts; empty for one that names none."""
    unknown: tuple[str, ...] = ()
    """What it names that is no rule."""
    reason: str = ""
    closed: bool = True
    """Whether the bracket after ``ignore`` is closed; a comment in which it is not accepts nothing."""

    def accepts(self, code: str, line: int) -> bool:
        """Whether it accepts a finding of that rule in the statement that ``line`` is part of."""
        return self.first <= line <= self.last and code in self.codes


def find_ignores(source: SourceFile, rules: Mapping[str, str]) -> tuple[Ignore, ...]:
    """All such comments of a file. ``rules`` maps codes in capitals and names in small letters to codes."""
    if not any(KEYWORD in line.casefold() for line in source.lines):
        return ()
    found = []
    for comment in source.comments:
        for match in _IGNORE.finditer(comment.string):
            names = [name for name in re.split(r"[,\s]+", match["codes"] or "") if name]
            codes = [rules.get(name.upper()) or rules.get(name.lower()) for name in names]
            closed = match["bracket"] is None or match["closed"] is not None
            line, offset = comment.start
            begin = offset + 1 + match.start()
            first, last = source.statement(line)
            known = tuple(dict.fromkeys(code for code in codes if code is not None)) if closed else ()
            unknown = tuple(name for name, code in zip(names, codes, strict=True) if code is None)
            reason = match["reason"].strip(" \t:-") if closed else ""
            end = begin + len(match[0].rstrip())
            found.append(Ignore(line, begin, end, first, last, known, unknown, reason, closed))
    return tuple(found)
