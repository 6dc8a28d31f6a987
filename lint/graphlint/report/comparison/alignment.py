"""What two sequences have in common, in the order of both, and unified diffs made from that.

:mod:`difflib` takes time with the square of a text's length. Here texts of many thousand lines that have most of
them in common, as programs before and after a fix, are first aligned by the lines that occur once in both and in the
same order (the idea of patience diff): a value's name, and so its line, is unique.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from difflib import Match, SequenceMatcher
from typing import Any, Final, TypeVar

_Line = TypeVar("_Line", bound=Hashable)

AHEAD: Final = 64
"""How many additions and removals in a row an alignment looks beyond at a time."""


def longest_increasing(numbers: Iterable[int]) -> list[int]:
    """The positions of a longest series of numbers that increase, none of which occurs twice (patience sorting)."""
    tails: list[int] = []
    """The lowest number that a series of each length can end with."""
    ends: list[int] = []
    """Its position."""
    previous: list[int] = []
    for position, number in enumerate(numbers):
        at = bisect_left(tails, number)
        previous.append(ends[at - 1] if at else -1)
        tails[at : at + 1] = [number]
        ends[at : at + 1] = [position]
    series = []
    position = ends[-1] if ends else -1
    while position >= 0:
        series.append(position)
        position = previous[position]
    return series[::-1]


def aligned(old: Sequence[Hashable], new: Sequence[Hashable], ahead: int = AHEAD) -> list[tuple[int, int]]:
    """Positions of equal items in the order of both, many but not always the most: E. Myers' algorithm, which settles
    for the furthest it has come each time that ``ahead`` additions and removals did not do.

    Reference: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986).
    """
    pairs: list[tuple[int, int]] = []
    x = y = 0
    while x < len(old) and y < len(new):
        end_x, end_y, found = _furthest(old, new, x, y, ahead)
        series = []
        while found is not None:
            found, pair = found
            series.append(pair)
        pairs += reversed(series)
        # Always go on: where nothing was found, one item of each side is passed by.
        x, y = (end_x, end_y) if (end_x, end_y) != (x, y) else (x + 1, y + 1)
    return pairs


def _furthest(
    old: Sequence[Hashable], new: Sequence[Hashable], left: int, right: int, ahead: int
) -> tuple[int, int, Any]:
    """Where the furthest way ends that takes at most ``ahead`` steps aside, and the pairs on it: the ones before the
    last, and the last; None where there are none.
    """
    start = left - right
    ways: dict[int, tuple[int, Any]] = {start + 1: (left, None)}
    """The furthest way on each diagonal, by the item of ``old`` that it has come to."""
    best: tuple[int, int, Any] = (left, right, None)
    for steps in range(ahead + 1):
        for diagonal in range(start - steps, start + steps + 1, 2):
            first, last = diagonal == start - steps, diagonal == start + steps
            down = first or (not last and ways[diagonal - 1][0] < ways[diagonal + 1][0])
            x, pairs = ways[diagonal + 1 if down else diagonal - 1]
            x += not down
            y = x - diagonal
            if x <= len(old) and right <= y <= len(new):
                while x < len(old) and y < len(new) and old[x] == new[y]:
                    pairs = pairs, (x, y)
                    x, y = x + 1, y + 1
                if x + y > best[0] + best[1]:
                    best = x, y, pairs
                if x == len(old) and y == len(new):
                    return best
            ways[diagonal] = min(x, len(old)), pairs
    return best


def unified_diff(
    before: Sequence[_Line], after: Sequence[_Line], old: str, new: str, spelled: Callable[[_Line], str] = str
) -> Iterator[str]:
    """The lines of the diff, nothing for equal texts. ``old`` and ``new`` are what the texts are called; ``spelled``
    gives the text of a line that is shown, with its line break.
    """
    for number, group in enumerate(_Matcher(before, after).get_grouped_opcodes()):
        if not number:
            yield f"--- {old}\n"
            yield f"+++ {new}\n"
        (_, first, _, third, _), (_, _, second, _, fourth) = group[0], group[-1]
        yield f"@@ -{_range(first, second)} +{_range(third, fourth)} @@\n"
        for tag, i, j, k, m in group:
            if tag == "equal":
                yield from (f" {spelled(line)}" for line in before[i:j])
            else:
                yield from (f"-{spelled(line)}" for line in before[i:j])
                yield from (f"+{spelled(line)}" for line in after[k:m])


def _range(start: int, stop: int) -> str:
    """As ``diff -u`` counts lines."""
    length = stop - start
    return f"{start + 1}" if length == 1 else f"{start + (length > 0)},{length}"


class _Matcher(SequenceMatcher[Any]):
    def __init__(self, before: Sequence[Hashable], after: Sequence[Hashable]) -> None:
        super().__init__()
        self.a, self.b = before, after  # without the index of lines that the base class makes

    def get_matching_blocks(self) -> list[Match]:
        """Equal lines, in order; neighbours are one block."""
        blocks = [Match(0, 0, 0)]
        for one, other in _common(self.a, self.b):
            start, begin, size = blocks[-1]
            if (start + size, begin + size) == (one, other):
                blocks[-1] = Match(start, begin, size + 1)
            else:
                blocks.append(Match(one, other, 1))
        return [*blocks, Match(len(self.a), len(self.b), 0)]


def _common(before: Sequence[Hashable], after: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Positions of equal lines: those that occur once in both, and between them what else can be aligned."""
    counts, others = Counter(before), Counter(after)
    places = {line: place for place, line in enumerate(after) if others[line] == 1}
    once = [(place, places[line]) for place, line in enumerate(before) if counts[line] == 1 and line in places]
    x = y = 0
    for position in longest_increasing(place for _, place in once):
        end_x, end_y = once[position]
        yield from ((x + one, y + other) for one, other in aligned(before[x:end_x], after[y:end_y]))
        yield end_x, end_y
        x, y = end_x + 1, end_y + 1
    yield from ((x + one, y + other) for one, other in aligned(before[x:], after[y:]))
