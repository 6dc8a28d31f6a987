"""What kept its order while other things moved."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable


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
