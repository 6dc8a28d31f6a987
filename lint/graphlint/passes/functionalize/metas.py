"""Values of the rewritten graph with their metadata."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from graphlint.ir.dtypes import STRIDED, item_size
from graphlint.ir.model import UNRECORDED, Device, SymExpr, SymSize, TensorMeta
from graphlint.ir.strides import Size, contiguous_strides, is_dense, overlaps, preserved_strides

_ENUMERABLE: Final = 1 << 16
"""Of how many elements the positions are worked out one by one."""


class Obstacle(Exception):  # noqa: N818  # not an error: the reason why a storage's writes stay as they are
    """A write cannot be functionalized."""


class Meta:
    """Metadata of a tensor value, ``raw``; sizes and strides are numbers or canonical expressions."""

    def __init__(self, raw: TensorMeta) -> None:
        self.raw = raw
        self.dtype = raw.dtype
        self.sizes = raw.sizes
        """The sizes as files hold them: expressions keep their spelling."""
        self._others: dict[tuple[object, ...], Meta] = {}
        """What was asked for of other metadata. A program has few shapes, and asks the same of each again and again."""

    @cached_property
    def shape(self) -> tuple[Size, ...]:
        return self.raw.shape

    @cached_property
    def strides(self) -> tuple[Size, ...]:
        return self.raw.stride

    @cached_property
    def offset(self) -> Size:
        offset = self.raw.storage_offset
        return offset.value if isinstance(offset, SymSize) else int(offset or 0)

    @property
    def device(self) -> Device:
        if self.raw.device is None:
            raise AssertionError("a plain tensor has a device")
        return self.raw.device

    def with_(
        self,
        *,
        dtype: int | None = None,
        sizes: Sequence[SymSize] | None = None,
        strides: Sequence[Size] | None = None,
        offset: Size = 0,
        device: Device | None = None,
    ) -> Meta:
        """Other metadata. The offset is 0 unless given, as that of a tensor with storage of its own."""
        if sizes is not None or device is not None:
            return self._changed(dtype, sizes, strides, offset, device)
        key = (dtype, strides if strides is None else tuple(strides), offset)
        known = self._others.get(key)
        if known is None:
            known = self._others[key] = self._changed(dtype, None, strides, offset, None)
        return known

    def _changed(
        self,
        dtype: int | None,
        sizes: Sequence[SymSize] | None,
        strides: Sequence[Size] | None,
        offset: Size,
        device: Device | None,
    ) -> Meta:
        old = self.raw
        changed = Meta(
            TensorMeta(
                dtype=old.dtype if dtype is None else dtype,
                sizes=old.sizes if sizes is None else list(sizes),
                strides=old.strides if strides is None else [sym_size(stride) for stride in strides],
                storage_offset=sym_size(offset),
                requires_grad=False,
                device=old.device if device is None else device,
                layout=old.layout,
            )
        )
        # What is known already need not be read off again.
        if sizes is None:
            changed.shape = self.shape
        if strides is None or str not in map(type, strides):
            changed.strides = self.strides if strides is None else tuple(strides)
        return changed

    def with_order(self, order: Sequence[int]) -> Meta:
        """Metadata of a view with dimension ``order[i]`` in place ``i``."""
        key = tuple(order)
        known = self._others.get(key)
        if known is None:
            sizes, strides = [self.sizes[dim] for dim in order], [self.strides[dim] for dim in order]
            known = self._others[key] = self.with_(sizes=sizes, strides=strides, offset=self.offset)
        return known

    @cached_property
    def overlaps(self) -> bool:
        """Whether two elements may share memory."""
        return overlaps(self.shape, self.strides)

    @cached_property
    def is_dense(self) -> bool:
        """Whether elements neither overlap nor leave gaps."""
        return is_dense(self.shape, self.strides)

    @cached_property
    def _preserved(self) -> tuple[Size, ...]:
        return preserved_strides(self.shape, self.strides)

    def dense(self, **changes: Any) -> Meta:
        """Metadata of a new tensor that keeps this one's order of dimensions (``preserve_format``)."""
        return self.with_(strides=self._preserved, **changes)

    def contiguous(self, **changes: Any) -> Meta:
        """Metadata of a new contiguous tensor."""
        return self.with_(strides=contiguous_strides(self.shape), **changes)

    @cached_property
    def is_contiguous(self) -> bool:
        """Whether it is laid out in rows, dimensions of size 1 aside."""
        return _same_strides(self.shape, self.strides, contiguous_strides(self.shape))

    def same_layout(self, other: Meta) -> bool:
        """Whether dtype, device, sizes and strides agree."""
        return (
            self.dtype == other.dtype
            and str(self.device) == str(other.device)
            and self.shape == other.shape
            and self.same_strides(other)
        )

    def same_strides(self, other: Meta) -> bool:
        """Whether strides agree, those of dimensions of size 1 aside, which move nothing."""
        return self is other or (
            len(self.shape) == len(other.shape) and _same_strides(self.shape, self.strides, other.strides)
        )

    @property
    def item_size(self) -> int:
        """Bytes of an element; 1 for a dtype whose size is not known."""
        return item_size(self.dtype) or 1

    def positions(self, unit: int = 1) -> list[int] | None:
        """Where its elements lie in its storage, each of which takes ``unit`` places; None where this is symbolic, or
        too many to tell.
        """
        numbers = [number for number in (*self.shape, *self.strides, self.offset) if isinstance(number, int)]
        rank = len(self.shape)
        if len(numbers) < 2 * rank + 1 or math.prod(numbers[:rank]) * unit > _ENUMERABLE:
            return None
        found = [numbers[-1]]
        for size, stride in zip(numbers[:rank], numbers[rank:-1], strict=True):
            found = [place + index * stride for place in found for index in range(size)]
        return found if unit == 1 else [place * unit + index for place in found for index in range(unit)]

    def span(self, unit: int = 1) -> tuple[int, int] | None:
        """The first and the last of these positions; None where one is symbolic, or there is none."""
        numbers = [number for number in (*self.shape, *self.strides, self.offset) if isinstance(number, int)]
        rank = len(self.shape)
        if len(numbers) < 2 * rank + 1 or 0 in self.shape:
            return None
        last = sum((size - 1) * stride for size, stride in zip(numbers[:rank], numbers[rank:-1], strict=True))
        return numbers[-1] * unit, (numbers[-1] + last) * unit + unit - 1

    @property
    def plain(self) -> bool:
        """Whether it is a strided tensor with dtype, device, and as many strides as sizes recorded, which is all that
        rewriting handles.
        """
        raw = self.raw
        offset = raw.storage_offset
        return (
            raw.layout == STRIDED
            and raw.dtype != 0
            and raw.device is not None
            and raw.sizes is not UNRECORDED
            and raw.strides is not UNRECORDED
            and len(raw.sizes) == len(raw.strides)
            and all(_is_size(size) for size in (*raw.sizes, *raw.strides))
            and (not isinstance(offset, SymSize) or _is_size(offset))
        )


class Value(msgspec.Struct, frozen=True):
    """A tensor value of the rewritten graph."""

    name: str
    meta: Meta


def sym_size(size: Size) -> SymSize:
    """A size, stride or offset as files hold it."""
    return SymSize(as_int=size) if isinstance(size, int) else SymSize(as_expr=SymExpr(size))


def _is_size(raw: SymSize) -> bool:
    return raw.as_expr is not None or raw.as_int is not None


def _same_strides(shape: Sequence[Size], mine: Sequence[Size], theirs: Sequence[Size]) -> bool:
    return mine == theirs or all(
        size == 1 or one == other for size, one, other in zip(shape, mine, theirs, strict=True)
    )
