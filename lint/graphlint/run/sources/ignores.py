"""``# graphlint: ignore[GL201] reason``: comments that accept a finding on their line."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from graphlint.run.sources.sourcefile import SourceFile

_IGNORE = re.compile(
    r"#\s*graphlint\s*:\s*ignore(?![\w-])(?P<bracket>\s*\[(?P<codes>[^\]#]*)(?P<closed>\])?)?(?P<reason>[^#]*)",
    re.IGNORECASE,
)
KEYWORD = "graphlint"


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
        for match in _IGNORE.finditer(comment.text):
            names = [name for name in re.split(r"[,\s]+", match["codes"] or "") if name]
            codes = [rules.get(name.upper()) or rules.get(name.lower()) for name in names]
            closed = match["bracket"] is None or match["closed"] is not None
            begin = comment.column + match.start()
            first, last = source.statement(comment.line)
            found.append(
                Ignore(
                    comment.line,
                    begin,
                    begin + len(match[0].rstrip()),
                    first,
                    last,
                    tuple(dict.fromkeys(code for code in codes if code is not None)) if closed else (),
                    tuple(name for name, code in zip(names, codes, strict=True) if code is None),
                    match["reason"].strip(" \t:-") if closed else "",
                    closed,
                )
            )
    return tuple(found)
