"""What two sequences have in common, in the order of both."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Mapping, Sequence


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


def aligned(old: Sequence[Hashable], new: Sequence[Hashable], ahead: int) -> list[tuple[int, int]]:
    """Positions of equal items in the order of both, many but not always the most: E. Myers' algorithm, which settles
    for the furthest it has come each time that ``ahead`` additions and removals did not do.

    Reference: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986).
    """
    pairs: list[tuple[int, int]] = []
    left = right = 0
    while left < len(old) and right < len(new):
        found, (x, y) = _furthest(old, new, (left, right), ahead)
        pairs += ((left + one, right + other) for one, other in found)
        # Always go on: where nothing was found, one item of each side is passed by.
        left, right = (left + x, right + y) if x + y else (left + 1, right + 1)
    return pairs


def _furthest(
    old: Sequence[Hashable], new: Sequence[Hashable], start: tuple[int, int], ahead: int
) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """The furthest way through with at most ``ahead`` steps aside: its pairs, and where it ends, counted from its
    start.
    """
    left, right = start
    rows, columns = len(old) - left, len(new) - right
    ends = {1: 0}
    """The furthest row on each diagonal."""
    traces: list[dict[int, int]] = []
    best = (0, 0, 0)  # row, column, steps
    for steps in range(ahead + 1):
        traces.append(dict(ends))
        for diagonal in range(-steps, steps + 1, 2):
            before = _before(ends, diagonal, steps)
            x = ends.get(before, 0) + (before < diagonal)
            y = x - diagonal
            if x > rows or y > columns or y < 0:
                ends[diagonal] = min(x, rows)
                continue
            while x < rows and y < columns and old[left + x] == new[right + y]:
                x, y = x + 1, y + 1
            ends[diagonal] = x
            if x + y > best[0] + best[1]:
                best = (x, y, steps)
            if x >= rows and y >= columns:
                return _retraced(traces, *best), best[:2]
    return _retraced(traces, *best), best[:2]


def _before(ends: Mapping[int, int], diagonal: int, steps: int) -> int:
    """The diagonal that the way came from."""
    down = diagonal == -steps or (diagonal != steps and ends.get(diagonal - 1, -1) < ends.get(diagonal + 1, -1))
    return diagonal + 1 if down else diagonal - 1


def _retraced(traces: Sequence[Mapping[int, int]], x: int, y: int, steps: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    for step in range(steps, -1, -1):
        before = _before(traces[step], x - y, step)
        row = traces[step].get(before, 0)
        column = row - before
        while x > max(row, 0) and y > max(column, 0):
            x, y = x - 1, y - 1
            pairs.append((x, y))
        x, y = row, column
    return pairs[::-1]
