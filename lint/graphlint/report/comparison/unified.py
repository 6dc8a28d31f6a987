"""Unified diffs of texts of many thousand lines that have most of them in common, as programs before and after a fix.

:mod:`difflib` takes time with the square of such a text's length. Here it only sees what lies between lines that occur
once in both texts and in the same order (the idea of patience diff): a value's name, and so its line, is unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

from graphlint.report.comparison.order import longest_increasing

CONTEXT: Final = 3
"""Lines around a change."""

_Code = tuple[str, int, int, int, int]
"""``equal``, ``replace``, ``delete`` or ``insert``; which lines before, and which after."""
_Block = tuple[int, int, int]
"""So many equal lines: where they begin before and after, and their number."""


def unified_diff(before: Sequence[str], after: Sequence[str], old: str, new: str) -> Iterator[str]:
    """The lines of the diff, nothing for equal texts. ``old`` and ``new`` are what the texts are called."""
    blocks = [*_blocks(before, after), (len(before), len(after), 0)]
    for number, group in enumerate(_hunks(_codes(blocks))):
        if not number:
            yield f"--- {old}\n"
            yield f"+++ {new}\n"
        (_, first, _, third, _), (_, _, second, _, fourth) = group[0], group[-1]
        yield f"@@ -{_range(first, second)} +{_range(third, fourth)} @@\n"
        for tag, i, j, k, m in group:
            if tag == "equal":
                yield from (f" {line}" for line in before[i:j])
            else:
                yield from (f"-{line}" for line in before[i:j])
                yield from (f"+{line}" for line in after[k:m])


def _range(start: int, stop: int) -> str:
    """As ``diff -u`` counts lines."""
    length = stop - start
    return f"{start + 1}" if length == 1 else f"{start + (length > 0)},{length}"


def _hunks(codes: Sequence[_Code]) -> Iterator[list[_Code]]:
    """The changes with what is around them; those whose surroundings touch are together."""
    hunk: list[_Code] = []
    for number, (tag, i, j, k, m) in enumerate(codes):
        if tag != "equal":
            hunk.append((tag, i, j, k, m))
            continue
        head, tail = min(CONTEXT, j - i), max(j - i - CONTEXT, 0)
        if hunk and (number == len(codes) - 1 or j - i > 2 * CONTEXT):
            yield [*hunk, ("equal", i, i + head, k, k + head)]
            hunk = []
        if number < len(codes) - 1:
            start = 0 if hunk else tail
            hunk.append(("equal", i + start, j, k + start, m))
    if any(code[0] != "equal" for code in hunk):
        yield hunk


def _codes(blocks: Sequence[_Block]) -> list[_Code]:
    """What leads from one text to the other."""
    codes = []
    i = k = 0
    for j, m, size in blocks:
        if i < j or k < m:
            codes.append(("replace" if i < j and k < m else "delete" if i < j else "insert", i, j, k, m))
        if size:
            codes.append(("equal", j, j + size, m, m + size))
        i, k = j + size, m + size
    return codes


def _blocks(before: Sequence[str], after: Sequence[str]) -> list[_Block]:
    """Equal lines, in order; neighbours are one block."""
    found: list[_Block] = []
    i = k = 0
    for j, m in [*_anchors(before, after), (len(before), len(after))]:
        gap = SequenceMatcher(None, before[i:j], after[k:m]).get_matching_blocks() if i < j and k < m else []
        for block in [*((i + one.a, k + one.b, one.size) for one in gap if one.size), (j, m, int(j < len(before)))]:
            last = found[-1] if found else (0, 0, 0)
            if (last[0] + last[2], last[1] + last[2]) == block[:2]:
                found[-1:] = [(last[0], last[1], last[2] + block[2])]
            else:
                found.append(block)
        i, k = j + 1, m + 1
    return [block for block in found if block[2]]


def _anchors(before: Sequence[str], after: Sequence[str]) -> list[tuple[int, int]]:
    """Lines that occur once in both: the most of them that are in the same order."""
    counts, others = Counter(before), Counter(after)
    places = {line: place for place, line in enumerate(after) if others[line] == 1}
    pairs = [(place, places[line]) for place, line in enumerate(before) if counts[line] == 1 and line in places]
    return [pairs[position] for position in longest_increasing(place for _, place in pairs)]
