"""Whether what is stored of a tensor is all zeros: its bytes are looked at in pieces, and never kept."""

from collections.abc import Iterator, Sequence
from itertools import product
from math import prod
from typing import Final

from graphlint.artifact.source import ByteSource

PIECE: Final = 1 << 20
"""How many bytes are looked at at a time; more only where a single step from one element to the next is longer."""
MOST_RUNS: Final = 1 << 17
"""So many runs of elements are looked at one by one; of a tensor in more, all that lies between its first and its last
element is."""


def is_zero(
    storage: ByteSource, item_size: int, offset: int, sizes: Sequence[int], strides: Sequence[int]
) -> bool | None:
    """Whether a tensor that shows a part of a ``storage`` is all zeros; None where the storage has no such part.

    ``item_size`` is in bytes, ``offset`` and ``strides`` are in elements.
    """
    if 0 in sizes:
        return True
    if offset < 0 or min(sizes, default=0) < 0 or min(strides, default=0) < 0:
        return None
    steps = sorted((stride, size) for size, stride in zip(sizes, strides, strict=True) if size > 1 and stride)
    extent = sum((size - 1) * stride for stride, size in steps) + 1
    if (offset + extent) * item_size > storage.size:
        return None
    steps = _merged(steps)
    longest = max(steps, key=lambda step: step[1], default=(1, 1))
    others = [step for step in steps if step is not longest]
    if prod(size for _, size in others) > MOST_RUNS or prod(size for _, size in steps) > extent:
        longest, others = (1, extent), []
    ways = product(*(range(0, size * stride, stride) for stride, size in others))
    return all(_run_is_zero(storage, item_size, offset + sum(way), *longest) for way in ways)


def _merged(steps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Strides with sizes, ascending: those that go on where another one ends are one with it."""
    merged: list[tuple[int, int]] = []
    for stride, size in steps:
        if merged and merged[-1][0] * merged[-1][1] == stride:
            merged[-1] = (merged[-1][0], merged[-1][1] * size)
        else:
            merged.append((stride, size))
    return merged


def _run_is_zero(storage: ByteSource, item_size: int, first: int, stride: int, size: int) -> bool:
    step = stride * item_size
    at_a_time = max(1, PIECE // step)
    for begin in range(0, size, at_a_time):
        count = min(at_a_time, size - begin)
        piece = storage.read_at((first + begin * stride) * item_size, (count - 1) * step + item_size)
        lanes: Iterator[bytes] = iter([piece] if stride == 1 else [piece[lane::step] for lane in range(item_size)])
        if any(lane != bytes(len(lane)) for lane in lanes):
            return False
    return True
