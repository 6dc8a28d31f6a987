"""Values of the rewritten graph with their metadata, computed as torch computes it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from graphlint.ir.arguments import Json
from graphlint.ir.enums import STRIDED
from graphlint.ir.expressions import as_expression, canonical
from graphlint.ir.strides import contiguous_strides

Size = int | str

_ENUMERABLE: Final = 1 << 16
"""Of how many elements the positions are worked out one by one."""

BOOL: Final = 12
_INTEGERS: Final = (1, 2, 3, 4, 5, 28, 34, 35)
_COMPLEX: Final = (9, 10, 11)
_PARTS: Final = {9: 6, 10: 7, 11: 8}
"""A complex dtype to its parts' floating dtype."""
_WHOLE: Final = {6: 9, 13: 10, 7: 10, 8: 11}


class Meta:
    """Metadata of a tensor value. ``raw`` is its JSON; sizes and strides are numbers or canonical expressions."""

    __slots__ = ("_shape", "_strides", "raw")

    def __init__(self, raw: Json) -> None:
        self.raw = raw
        self._shape: tuple[Size, ...] | None = None
        self._strides: tuple[Size, ...] | None = None

    @property
    def dtype(self) -> int:
        return int(self.raw["dtype"])

    @property
    def shape(self) -> tuple[Size, ...]:
        if self._shape is None:
            self._shape = tuple([_size(size) for size in self.raw["sizes"]])
        return self._shape

    @property
    def strides(self) -> tuple[Size, ...]:
        if self._strides is None:
            self._strides = tuple([_size(stride) for stride in self.raw["strides"]])
        return self._strides

    @property
    def offset(self) -> Size:
        offset = self.raw.get("storage_offset")
        return _size(offset) if isinstance(offset, dict) else int(offset or 0)

    @property
    def device(self) -> Json:
        device: Json = self.raw["device"]
        return device

    @property
    def device_name(self) -> str:
        index = self.device.get("index")
        return str(self.device["type"]) if index is None else f"{self.device['type']}:{index}"

    def with_(
        self,
        *,
        dtype: int | None = None,
        sizes: Sequence[Json] | None = None,
        strides: Sequence[Size] | None = None,
        offset: Size = 0,
        device: Json | None = None,
    ) -> Meta:
        """Other metadata; ``sizes`` as JSON, so that expressions keep their spelling. The offset is 0 unless given,
        as that of a tensor with storage of its own.
        """
        raw = {**self.raw, "requires_grad": False, "storage_offset": to_json(offset)}
        if dtype is not None:
            raw["dtype"] = dtype
        if sizes is not None:
            raw["sizes"] = list(sizes)
        if strides is not None:
            raw["strides"] = [to_json(stride) for stride in strides]
        if device is not None:
            raw["device"] = device
        changed = Meta(raw)
        # What is known already need not be read off the JSON again.
        if sizes is None:
            changed._shape = self._shape
        if strides is None:
            changed._strides = self._strides
        elif str not in map(type, strides):
            changed._strides = tuple(strides)
        return changed

    def dense(self, **changes: Any) -> Meta:
        """Metadata of a new tensor that keeps this one's order of dimensions (``preserve_format``)."""
        return self.with_(strides=preserved_strides(self.shape, self.strides), **changes)

    def contiguous(self, **changes: Any) -> Meta:
        """Metadata of a new contiguous tensor."""
        return self.with_(strides=contiguous_strides(self.shape), **changes)

    def same_layout(self, other: Meta) -> bool:
        """Whether dtype, device, sizes and strides agree."""
        return (
            self.dtype == other.dtype
            and self.device_name == other.device_name
            and self.shape == other.shape
            and self.same_strides(other)
        )

    def same_strides(self, other: Meta) -> bool:
        """Whether strides agree, those of dimensions of size 1 aside, which move nothing."""
        if len(self.shape) != len(other.shape):
            return False
        return self.strides == other.strides or all(
            size == 1 or mine == theirs
            for size, mine, theirs in zip(self.shape, self.strides, other.strides, strict=True)
        )

    def positions(self) -> list[int] | None:
        """Where its elements lie in its storage; None where this is symbolic, or too many to tell."""
        numbers = [number for number in (*self.shape, *self.strides, self.offset) if isinstance(number, int)]
        rank = len(self.shape)
        if len(numbers) < 2 * rank + 1 or math.prod(numbers[:rank]) > _ENUMERABLE:
            return None
        found = [numbers[-1]]
        for size, stride in zip(numbers[:rank], numbers[rank:-1], strict=True):
            found = [place + index * stride for place in found for index in range(size)]
        return found

    def intersects(self, other: Meta) -> bool:
        """Whether some element of it is known to be one of the other's, which shows the same storage."""
        mine, others = self.positions(), other.positions()
        return mine is not None and others is not None and not set(mine).isdisjoint(others)

    @property
    def plain(self) -> bool:
        """Whether it is a strided tensor with dtype, device, and as many strides as sizes recorded, which is all that
        rewriting handles.
        """
        raw = self.raw
        device = raw.get("device")
        offset = raw.get("storage_offset")
        return (
            raw.get("layout") == STRIDED
            and "dtype" in raw
            and isinstance(device, dict)
            and "type" in device
            and "sizes" in raw
            and "strides" in raw
            and len(raw["sizes"]) == len(raw["strides"])
            and all(_is_size(size) for size in (*raw["sizes"], *raw["strides"]))
            and (not isinstance(offset, dict) or _is_size(offset))
        )


class Value(msgspec.Struct, frozen=True):
    """A tensor value of the rewritten graph."""

    name: str
    meta: Meta


def to_json(size: Size) -> Json:
    """A size, stride or offset as files hold it."""
    return {"as_int": size} if isinstance(size, int) else {"as_expr": {"expr_str": size, "hint": None}}


def _is_size(raw: Json) -> bool:
    return raw.get("as_expr") is not None or raw.get("as_int") is not None


def _size(raw: Json) -> Size:
    expression = raw.get("as_expr")
    if expression is None:
        return int(raw["as_int"])
    return canonical(str(expression["expr_str"]))


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

    The insertion sort of ``TensorIteratorBase::reorder_dimensions`` and of ``infer_dense_strides``. With symbolic
    sizes, of which it is not known which is larger, the first operand's order where it is dense.
    """
    if any(isinstance(number, str) for numbers in (shape, *operands) for number in numbers):
        return next((tuple(strides) for strides in operands if is_dense(shape, strides)), contiguous_strides(shape))

    def order(one: int, other: int) -> int:
        for strides in operands:
            left, right = int(strides[one]), int(strides[other])
            if left == 0 or right == 0:
                continue
            if left != right:
                return 1 if left > right else -1
            if int(shape[one]) > int(shape[other]):
                return 1
        return 0

    dims = list(reversed(range(len(shape))))
    for index in range(1, len(dims)):
        place = index
        for before in reversed(range(index)):
            found = order(dims[before], dims[place])
            if found > 0:
                dims[before], dims[place] = dims[place], dims[before]
                place = before
            elif found < 0:
                break
    packed: list[Size] = [0] * len(shape)
    step = 1
    for dim in dims:
        packed[dim] = step
        step *= max(int(shape[dim]), 1)
    return tuple(packed)


def broadcast(shapes: Sequence[Sequence[Size]]) -> tuple[Size, ...]:
    """The common shape of operands. Of two symbolic sizes, which export has made sure agree, the later one is it."""
    result: list[Size] = [1] * max(map(len, shapes))
    for shape in shapes:
        for dim, size in enumerate(shape, len(result) - len(shape)):
            if size != 1:
                result[dim] = size
    return tuple(result)


def promoted(tensors: Sequence[Meta], numbers: Sequence[Json]) -> int | None:
    """The dtype that arithmetic on these operands is done in, or None where the artifact does not tell.

    torch's rule (``torch.result_type``): tensors with dimensions first, then 0-dimensional ones, then numbers; a
    later group counts only where it is of a higher category (bool, integer, floating, complex).
    """
    result: int | None = None
    for group in (
        [meta.dtype for meta in tensors if meta.shape],
        [meta.dtype for meta in tensors if not meta.shape],
    ):
        dtype = None
        for one in group:
            dtype = one if dtype is None else _promote(dtype, one)
            if dtype is None:
                return None
        if dtype is not None and (result is None or category(dtype) > category(result)):
            result = _as_complex(result, dtype)
    for number in numbers:
        kind = _number_category(number)
        if kind is None or result is None or kind > category(result):
            # A number of a higher category brings in the default dtype, which the artifact does not record.
            return None
    return result


def _as_complex(result: int | None, dtype: int) -> int | None:
    """A 0-dimensional complex operand makes a floating result complex of the result's own width."""
    if result is not None and category(dtype) == 3 and category(result) == 2:
        return _WHOLE.get(result)
    return dtype


def category(dtype: int) -> int:
    """0 to 3: bool, integer, floating, complex."""
    return 0 if dtype == BOOL else 1 if dtype in _INTEGERS else 3 if dtype in _COMPLEX else 2


def _number_category(number: Json) -> int | None:
    (kind, _), *_ = number.items()
    return {
        "as_bool": 0,
        "as_sym_bool": 0,
        "as_int": 1,
        "as_sym_int": 1,
        "as_float": 2,
        "as_sym_float": 2,
        "as_complex": 3,
    }.get(kind)


def _promote(left: int, right: int) -> int | None:
    """The common dtype of two tensors of the same group."""
    if left == right:
        return left
    low, high = sorted((left, right), key=category)
    if category(low) != category(high):
        if category(high) == 3 and category(low) == 2:
            part = _promote(_PARTS[high], low)
            return _WHOLE.get(part) if part is not None else None
        return high
    pair = {left, right}
    if category(left) == 2:
        ranks = {6: 1, 13: 1, 7: 2, 8: 3}
        if pair == {6, 13}:
            return 7
    elif category(left) == 3:
        ranks = {9: 1, 10: 2, 11: 3}
    else:
        if 1 in pair:  # uint8 with a signed integer: the next wider signed one
            other = (pair - {1}).pop()
            return 3 if other == 2 else other if other in (3, 4, 5) else None
        ranks = {2: 1, 3: 2, 4: 3, 5: 4}
    if left not in ranks or right not in ranks:
        return None
    return left if ranks[left] > ranks[right] else right
