"""dtypes, layouts and memory formats by the numbers that the serialized schema uses, and what arithmetic makes of them.

Source: ``ScalarType``, ``Layout`` and ``MemoryFormat`` of ``torch/_export/serde/schema.py`` (schema 8.20);
the numbers have not changed since schema 1, only grown.
"""

from collections.abc import Sequence
from typing import Final

from graphlint.ir.model import Argument

DTYPES: Final = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8_e4m3fn",
    30: "float8_e5m2",
    31: "float8_e4m3fnuz",
    32: "float8_e5m2fnuz",
    33: "float8_e8m0fnu",
    34: "uint32",
    35: "uint64",
}
"""Number to the name that torch uses (``torch.float32``)."""

SHORT_DTYPES: Final = {
    "uint8": "u8",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "complex32": "c32",
    "complex64": "c64",
    "complex128": "c128",
    "bool": "b8",
    "bfloat16": "bf16",
    "uint16": "u16",
    "float8_e4m3fn": "f8e4m3fn",
    "float8_e5m2": "f8e5m2",
    "float8_e4m3fnuz": "f8e4m3fnuz",
    "float8_e5m2fnuz": "f8e5m2fnuz",
    "float8_e8m0fnu": "f8e8m0fnu",
    "uint32": "u32",
    "uint64": "u64",
}
"""torch's name to the short one of the text form, which is the one that torch prints in its graphs."""

LAYOUTS: Final = {
    1: "sparse_coo",
    2: "sparse_csr",
    3: "sparse_csc",
    4: "sparse_bsr",
    5: "sparse_bsc",
    6: "_mkldnn",
    7: "strided",
}

MEMORY_FORMATS: Final = {
    1: "contiguous_format",
    2: "channels_last",
    3: "channels_last_3d",
    4: "preserve_format",
}

FLOAT32: Final = 7
STRIDED: Final = 7


BOOL: Final = 12
INT64: Final = 5
FLOAT64: Final = 8
MASKS: Final = (BOOL, 1)
"""Of indices that choose elements by whether they are set, bool and uint8."""
COMPLEX64: Final = 10
COMPLEX128: Final = 11
FLOATING: Final = 2
"""The category of floating dtypes."""
INTEGERS: Final = (1, 2, 3, 4, 5, 28, 34, 35)
_COMPLEX: Final = (9, 10, 11)
_PARTS: Final = {9: 6, 10: 7, 11: 8}
"""A complex dtype to its parts' floating dtype."""
_WHOLE: Final = {6: 9, 13: 10, 7: 10, 8: 11}
_NUMBERS: Final = {
    "as_bool": 0,
    "as_sym_bool": 0,
    "as_int": 1,
    "as_sym_int": 1,
    "as_float": 2,
    "as_sym_float": 2,
    "as_complex": 3,
}
"""Kinds of arguments that are numbers, and their categories."""


def category(dtype: int) -> int:
    """0 to 3: bool, integer, floating, complex."""
    return 0 if dtype == BOOL else 1 if dtype in INTEGERS else 3 if dtype in _COMPLEX else 2


def item_size(dtype: int) -> int | None:
    """How many bytes a number takes, as the digits of the dtype's short name say in bits; None for an unknown dtype."""
    short = SHORT_DTYPES.get(DTYPES.get(dtype, ""), "").lstrip("abcdefghijklmnopqrstuvwxyz").partition("e")[0]
    return int(short) // 8 if short else None


def real_part(dtype: int) -> int:
    """The dtype of the real part of a dtype's numbers."""
    return _PARTS.get(dtype, dtype)


def is_number(argument: Argument) -> bool:
    """Whether an argument is a number, known or symbolic."""
    return argument.kind in _NUMBERS


def promoted(dimensional: Sequence[int], scalars: Sequence[int], numbers: Sequence[Argument]) -> int | None:
    """The dtype that arithmetic on these operands is done in, or None where the artifact does not tell.

    torch's rule (``torch.result_type``): the dtypes of tensors with dimensions first, then of 0-dimensional ones, then
    numbers; a later group counts only where it is of a higher category (bool, integer, floating, complex).
    """
    result: int | None = None
    for group in (dimensional, scalars):
        dtype = None
        for one in group:
            dtype = one if dtype is None else _promote(dtype, one)
            if dtype is None:
                return None
        if dtype is not None and (result is None or category(dtype) > category(result)):
            result = _as_complex(result, dtype)
    for number in numbers:
        kind = _NUMBERS.get(number.kind)
        if kind is None or result is None or kind > category(result):
            # A number of a higher category brings in the default dtype, which the artifact does not record.
            return None
    return result


def _as_complex(result: int | None, dtype: int) -> int | None:
    """A 0-dimensional complex operand makes a floating result complex of the result's own width."""
    if result is not None and category(dtype) == 3 and category(result) == 2:
        return _WHOLE.get(result)
    return dtype


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
