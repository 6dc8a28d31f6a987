"""Strides against torch itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphlint.ir.expressions import as_expression
from graphlint.ir.strides import contiguous_strides, preserved_strides, view_strides

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


PRESERVED = [
    (("s0", "Min(s1, s2)"), (1, "s0 + s0*s1"), (1, "s0")),
    (("s0", "s1"), ("2*s1", 2), ("s1", 1)),
    (("s0", 3, "s1"), (1, "2*s0", "6*s0"), (1, "s0", "3*s0")),
    (("s0", "s1"), ("s2", "s3"), ("s1", 1)),  # which is greater is not known
    (("s0", "s1"), ("s0 - 1", 1), ("s1", 1)),
    (("s0", "s1"), (2, "s0"), ("s1", 1)),  # nor here
]


@pytest.mark.parametrize(("shape", "strides", "expected"), PRESERVED)
def test_the_order_of_symbolic_strides_is_kept_where_it_is_known(shape, strides, expected):
    made = preserved_strides(shape, strides)
    assert tuple(map(as_expression, made)) == tuple(map(as_expression, expected))


SIZES = [{"s0": 2, "s1": 3, "s2": 4}, {"s0": 5, "s1": 2, "s2": 7}, {"s0": 3, "s1": 4, "s2": 2}]


@pytest.mark.parametrize(("shape", "strides"), [case[:2] for case in PRESERVED[:3]])
@pytest.mark.parametrize("sizes", SIZES)
def test_they_are_those_of_torch_whatever_the_sizes(shape, strides, sizes):
    def known(numbers):
        return [eval(str(number), {"Min": min, **sizes}) for number in numbers]

    tensor = torch.empty_strided(known(shape), known(strides))
    assert list(torch.empty_like(tensor).stride()) == known(preserved_strides(shape, strides))
