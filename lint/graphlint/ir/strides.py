"""Strides of contiguous tensors and of views, in elements, sizes may be symbolic."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from graphlint.ir.expressions import Expression, as_expression


def contiguous_strides(shape: Sequence[int | str]) -> tuple[int | str, ...]:
    """Strides of a contiguous tensor of that shape as torch computes them: a size of 0 counts as 1.

    A symbolic size is taken to be at least 1.
    """
    return _contiguous_strides(tuple(shape))


@lru_cache(1024)  # a program has few shapes, and asks for the strides of each again and again
def _contiguous_strides(shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
    strides: list[int | str] = []
    step = Expression.number(1)
    for size in reversed(shape):
        strides.append(str(step) if step.constant is None else step.constant)
        step = step * as_expression(max(size, 1) if isinstance(size, int) else size)
    return tuple(reversed(strides))


def view_strides(shape: Sequence[int], strides: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...] | None:
    """Strides of a view of shape ``wanted`` of a tensor, or None where there is no such view without a copy.

    The rule of torch's ``view``: dimensions that are contiguous with each other form a block, and each block
    must be split or merged on its own. Both shapes hold the same number of elements.
    """
    if 0 in shape:
        return tuple(int(step) for step in contiguous_strides(wanted))
    blocks: list[list[int]] = []  # (elements, innermost stride), outermost block first
    for size, step in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if blocks and blocks[-1][1] == size * step:
            blocks[-1] = [blocks[-1][0] * size, step]
        else:
            blocks.append([size, step])
    if not blocks:
        blocks = [[1, 1]]
    result: list[int] = []
    block = len(blocks) - 1
    remaining, step = blocks[block]
    for size in reversed(wanted):
        if remaining == 1 and size != 1:
            block -= 1
            if block < 0:
                return None
            remaining, step = blocks[block]
        if remaining % size:
            return None
        result.append(step)
        step *= size
        remaining //= size
    return tuple(reversed(result)) if remaining == 1 and block == 0 else None
