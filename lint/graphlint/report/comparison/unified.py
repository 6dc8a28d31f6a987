"""Unified diffs of texts of many thousand lines that have most of them in common, as programs before and after a fix.

:mod:`difflib` takes time with the square of such a text's length. Here it only sees what lies between lines that occur
once in both texts and in the same order (the idea of patience diff): a value's name, and so its line, is unique.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher

from graphlint.report.comparison.alignment import longest_increasing


def unified_diff(before: Sequence[str], after: Sequence[str], old: str, new: str) -> Iterator[str]:
    """The lines of the diff, nothing for equal texts. ``old`` and ``new`` are what the texts are called."""
    for number, group in enumerate(_Matcher(before, after).get_grouped_opcodes()):
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


class _Matcher(SequenceMatcher[str]):
    """Compares what lies between the anchors."""

    def __init__(self, before: Sequence[str], after: Sequence[str]) -> None:
        super().__init__()
        self.a, self.b = before, after  # without the index of lines that the base class makes

    def get_matching_blocks(self) -> list[Match]:
        """Equal lines, in order; neighbours are one block."""
        before, after = self.a, self.b
        end = len(before), len(after)
        found = [Match(0, 0, 0)]
        i = k = 0
        for j, m in [*self._anchors(), end]:
            gap = SequenceMatcher(None, before[i:j], after[k:m]).get_matching_blocks() if i < j and k < m else []
            blocks = [Match(i + one.a, k + one.b, one.size) for one in gap] + [Match(j, m, int((j, m) != end))]
            for block in blocks:
                last = found[-1]
                if (last.a + last.size, last.b + last.size) == block[:2]:
                    found[-1] = Match(last.a, last.b, last.size + block.size)
                elif block.size:
                    found.append(block)
            i, k = j + 1, m + 1
        return [*(block for block in found if block.size), Match(*end, 0)]

    def _anchors(self) -> list[tuple[int, int]]:
        """Lines that occur once in both: the most of them that are in the same order."""
        counts, others = Counter(self.a), Counter(self.b)
        places = {line: place for place, line in enumerate(self.b) if others[line] == 1}
        pairs = [(place, places[line]) for place, line in enumerate(self.a) if counts[line] == 1 and line in places]
        return [pairs[position] for position in longest_increasing(place for _, place in pairs)]
