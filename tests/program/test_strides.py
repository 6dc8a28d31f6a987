"""Strides against torch itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlint.ir.strides import contiguous_strides, view_strides

shapes = st.lists(st.integers(1, 6), max_size=4).map(tuple)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=5).map(tuple))
def test_contiguous_strides_are_torchs(shape):
    assert contiguous_strides(shape) == torch.empty(shape).stride()


def test_contiguous_strides_of_symbolic_shapes():
    assert contiguous_strides(("s0", 4)) == (4, 1)
    assert contiguous_strides((2, "s0", 3)) == ("3*s0", 3, 1)
    assert contiguous_strides((2, "s0", "s0")) == ("s0**2", "s0", 1)
    assert contiguous_strides((2, "s0 + 1", 0)) == ("s0 + 1", 1, 1)


def split(number: int, draw: st.DrawFn) -> tuple[int, ...]:
    """A shape of that many elements."""
    sizes = []
    while number > 1:
        divisor = draw(st.sampled_from([d for d in range(1, number + 1) if number % d == 0]))
        sizes.append(divisor)
        number //= divisor
        if len(sizes) > 4:
            sizes.append(number)
            break
    return tuple(draw(st.permutations(sizes)))


@st.composite
def views(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Shape, strides and wanted shape: permuted, sliced, expanded or arbitrary."""
    shape = draw(shapes)
    order = draw(st.permutations(range(len(shape))))
    if draw(st.booleans()):
        tensor = torch.empty(shape).permute(order)
        for dim in range(tensor.dim()):
            if draw(st.integers(0, 3)) == 0:
                tensor = tensor[(slice(None),) * dim + (slice(None, None, 2),)]
        shape, strides = tuple(tensor.shape), tensor.stride()
    else:
        strides = tuple(draw(st.integers(0, 12)) for _ in shape)
    return shape, strides, split(math.prod(shape), draw)


@settings(max_examples=600, deadline=None)
@given(views())
def test_a_view_is_possible_where_torch_says_so_and_has_its_strides(view):
    shape, strides, wanted = view
    tensor = torch.empty_strided(shape, strides)
    try:
        expected = tensor.view(wanted).stride()
    except RuntimeError:
        expected = None
    found = view_strides(shape, strides, wanted)
    assert (found is None) == (expected is None)
    if expected is not None and 1 not in wanted:
        assert found == expected  # a size of 1 may have any stride


@pytest.mark.parametrize(
    ("shape", "strides", "wanted", "expected"),
    [
        ((3, 4), (4, 1), (12,), (1,)),
        ((4, 3), (1, 4), (12,), None),
        ((4, 3), (1, 4), (2, 2, 3), (2, 1, 4)),
        ((4,), (0,), (2, 2), (0, 0)),
        ((2, 0), (1, 1), (0, 3), (3, 1)),
        ((), (), (1, 1), (1, 1)),
        ((1,), (7,), (), ()),
        ((2, 3), (3, 1), (3, 2), (2, 1)),
        ((2, 3), (6, 2), (6,), (2,)),
        ((2, 3), (6, 1), (6,), None),
    ],
)
def test_views(shape, strides, wanted, expected):
    assert view_strides(shape, strides, wanted) == expected
