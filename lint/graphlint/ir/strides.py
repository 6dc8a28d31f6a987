"""How tensors are laid out: strides of contiguous tensors, of views, and of what ops make. In elements; sizes may be
symbolic.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

from graphlint.ir.expressions import Expression, as_expression

Size = int | str
"""A number, or an expression in its canonical spelling."""


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


def is_dense(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """Whether elements neither overlap nor leave gaps, in whatever order of dimensions."""
    if tuple(strides) == contiguous_strides(shape):
        return True
    if any(isinstance(number, str) for number in (*shape, *strides)):
        return _is_permuted(shape, strides)
    expected = 1
    numbers = ((int(stride), int(size)) for size, stride in zip(shape, strides, strict=True) if size != 1)
    for stride, size in sorted(numbers):
        if stride != expected:
            return False
        expected *= size
    return True


def overlaps(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """Whether two elements may share memory, as in windows that ``as_strided`` cuts. False where sizes are symbolic
    and nothing tells.
    """
    if is_dense(shape, strides):
        return False
    pairs = [(stride, size) for stride, size in zip(strides, shape, strict=True) if size not in (0, 1)]
    if any(stride == 0 for stride, _ in pairs):
        return True
    if 0 in shape or any(isinstance(stride, str) for stride, _ in pairs):
        return False
    steps = {int(stride): size for stride, size in pairs}
    if len(steps) < len(pairs):
        return True  # two ways that go equally far meet
    reach = 0
    for stride, size in sorted(steps.items()):
        if stride <= reach:
            return True
        if isinstance(size, str):
            return False
        reach += stride * (size - 1)
    return False


def _is_permuted(shape: Sequence[Size], strides: Sequence[Size]) -> bool:
    """The same for symbolic sizes: whether some order of dimensions is contiguous, found from the inside out."""
    left = [(size, stride) for size, stride in zip(shape, strides, strict=True) if size != 1]
    expected = as_expression(1)
    while left:
        match = next((pair for pair in left if as_expression(pair[1]) == expected), None)
        if match is None:
            return False
        left.remove(match)
        expected = expected * as_expression(match[0])
    return True


def preserved_strides(shape: Sequence[Size], strides: Sequence[Size]) -> tuple[Size, ...]:
    """Strides of a new tensor that keeps the order of dimensions of one with these: the same where it is dense,
    else packed in the order of its strides.

    The rule of ``at::infer_dense_strides`` and of ``empty_like`` with ``preserve_format``.
    """
    if is_dense(shape, strides):
        return tuple(strides)
    return _packed(shape, [strides])


def elementwise_strides(
    shape: Sequence[Size], operands: Sequence[tuple[Sequence[Size], Sequence[Size]]]
) -> tuple[Size, ...]:
    """Strides of what an elementwise op makes of operands with these sizes and strides: ``TensorIterator``'s rule."""
    shapes = [tuple(sizes) for sizes, _ in operands]
    if all(sizes == tuple(shape) for sizes in shapes):
        first = tuple(operands[0][1])
        if all(tuple(strides) == first for _, strides in operands) and is_dense(shape, first):
            return first
    return _packed(shape, [_enlarged(shape, sizes, strides) for sizes, strides in operands])


def _enlarged(shape: Sequence[Size], sizes: Sequence[Size], strides: Sequence[Size]) -> list[Size]:
    """Strides of an operand in terms of the result's dimensions, 0 where it is broadcast."""
    lead = len(shape) - len(sizes)
    pairs = zip(sizes, strides, shape[lead:], strict=True)
    return [0] * lead + [0 if size == 1 and wanted != 1 else stride for size, stride, wanted in pairs]


def _packed(shape: Sequence[Size], operands: Sequence[Sequence[Size]]) -> tuple[Size, ...]:
    """Dense strides in the order of dimensions that the operands' strides suggest, the first of them before the others.

    The insertion sort of ``TensorIteratorBase::reorder_dimensions`` and of ``infer_dense_strides``. Where symbolic
    strides, or sizes, decide and it is not known which is larger, they are taken to lie in rows.
    """
    if any(isinstance(number, str) for numbers in (shape, *operands) for number in numbers):
        dense = next((tuple(strides) for strides in operands if is_dense(shape, strides)), None)
        if dense is not None:
            return dense

    def order(one: int, other: int) -> int | None:
        for strides in operands:
            left, right = strides[one], strides[other]
            if left == 0 or right == 0:
                continue
            found = _compared(left, right)
            if found != 0:
                return found
            larger = _compared(shape[one], shape[other])
            if larger is None or larger > 0:
                return larger
        return 0

    dims = list(reversed(range(len(shape))))
    for index in range(1, len(dims)):
        place = index
        for before in reversed(range(index)):
            found = order(dims[before], dims[place])
            if found is None:
                return contiguous_strides(shape)
            if found > 0:
                dims[before], dims[place] = dims[place], dims[before]
                place = before
            elif found < 0:
                break
    packed: list[Size] = [0] * len(shape)
    step = Expression.number(1)
    for dim in dims:
        packed[dim] = str(step) if step.constant is None else step.constant
        size = shape[dim]
        step = step * as_expression(max(size, 1) if isinstance(size, int) else size)
    return tuple(packed)


def _compared(one: Size, other: Size) -> int | None:
    """1 where a size or stride is greater than another one, -1 where it is less, 0 where they are equal; None where it
    is not known. Symbols are at least 1.
    """
    if isinstance(one, int) and isinstance(other, int):
        return (one > other) - (one < other)
    difference = as_expression(one) - as_expression(other)
    if not difference.terms:
        return 0
    return next((sign for sign, terms in ((1, difference), (-1, -difference)) if _least(terms) > 0), None)


def _least(expression: Expression) -> float:
    """What an expression is not less than where no symbol is less than 1."""
    grows = all(factor > 0 for monomial, factor in expression.terms.items() if monomial)
    return sum(expression.terms.values()) if grows else -math.inf


def broadcast(shapes: Sequence[Sequence[Size]]) -> tuple[Size, ...]:
    """The common shape of operands. Of two symbolic sizes, which export has made sure agree, the later one is it."""
    result: list[Size] = [1] * max(map(len, shapes))
    for shape in shapes:
        for dim, size in enumerate(shape, len(result) - len(shape)):
            if size != 1:
                result[dim] = size
    return tuple(result)


def columns(shape: Sequence[Size]) -> tuple[Size, ...]:
    """Strides of a tensor whose last two dimensions are column-major, as LAPACK makes them."""
    *outer, rows, width = shape
    *strides, row, column = contiguous_strides((*outer, width, rows))
    return (*strides, column, row)


def channels_last(shape: Sequence[Size]) -> tuple[Size, ...] | None:
    """Strides of images with the channels innermost, None for other than four dimensions."""
    if len(shape) != 4:
        return None
    n, c, h, w = shape
    sn, sh, sw, sc = contiguous_strides((n, h, w, c))
    return sn, sc, sh, sw
