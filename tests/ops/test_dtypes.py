"""dtypes by the numbers of the serialized schema, against the installed torch."""

import pytest
import torch

from graphlint.ir.dtypes import DTYPES, item_size


@pytest.mark.parametrize(("number", "name"), DTYPES.items(), ids=DTYPES.values())
def test_how_many_bytes_a_number_takes(number, name):
    assert item_size(number) == getattr(torch, name).itemsize


def test_an_unknown_dtype_has_no_size():
    assert item_size(max(DTYPES) + 1) is None
