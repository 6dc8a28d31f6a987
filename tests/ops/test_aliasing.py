"""Aliasing against torch on a CPU: do results and arguments share storage?"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils._pytree import tree_leaves

from graphlint.ops.info import Alias
from graphlint.ops.rows import Row
from graphlint.ops.table import TABLE, op_table


def x(*sizes: int) -> torch.Tensor:
    return torch.rand(*(sizes or (2, 3)))


def storages(values) -> list[int]:
    return [t.untyped_storage().data_ptr() for t in tree_leaves(values) if isinstance(t, torch.Tensor)]


C = torch.rand(2, 3, dtype=torch.complex64)
VIEWS = [
    ("alias.default", x()),
    ("as_strided.default", x(), [2], [1]),
    ("broadcast_to.default", x(), [4, 2, 3]),
    ("chunk.default", x(), 2),
    ("conj.default", x()),
    ("conj.default", C),
    ("detach.default", x()),
    ("diagonal.default", x()),
    ("expand.default", x(), [4, 2, 3]),
    ("expand_as.default", x(), x()),
    ("hsplit.int", x(), 3),
    ("imag.default", C),
    ("lift_fresh.default", x()),
    ("mT.default", x()),
    ("movedim.int", x(), 0, 1),
    ("narrow.default", x(), 0, 0, 1),
    ("numpy_T.default", x()),
    ("permute.default", x(), [1, 0]),
    ("positive.default", x()),
    ("real.default", x()),
    ("select.int", x(), 0, 1),
    ("slice.Tensor", x(), 0, 0, 1),
    ("split.Tensor", x(), 1),
    ("split_with_sizes.default", x(), [1, 1]),
    ("squeeze.default", x()),
    ("swapaxes.default", x(), 0, 1),
    ("t.default", x()),
    ("tensor_split.sections", x(), 2),
    ("transpose.int", x(), 0, 1),
    ("unbind.int", x()),
    ("unflatten.int", x(), 1, [3, 1]),
    ("unfold.default", x(), 0, 1, 1),
    ("unsqueeze.default", x(), 0),
    ("view.default", x(), [6]),
    ("view.dtype", x(), torch.int32),
    ("view_as.default", x(), x()),
    ("view_as_real.default", C),
    ("add_.Tensor", x(), x()),
    ("t_.default", x()),
    ("_unsafe_view.default", x(), [6]),
    ("broadcast_tensors.default", [x(3), x(2, 3)]),
    ("data.default", x()),
    ("meshgrid.default", [x(2), x(3)]),
    ("unflatten_dense_tensors.default", x(3), [x(1), x(2)]),
]


@pytest.mark.parametrize("case", VIEWS, ids=[f"{i}-{case[0]}" for i, case in enumerate(VIEWS)])
def test_always(call, case):
    one = call(f"aten.{case[0]}", *case[1:])
    result = one.run()
    (alias,) = one.info.aliases
    assert one.info.shares is None
    assert set(storages(result)) <= set(storages(one.bound()[alias.argument]))


HALF, FLOAT = torch.float16, torch.float32
CHANNELS_LAST = x(1, 2, 3, 4).to(memory_format=torch.channels_last)
MAYBE = [
    # op, arguments with which it returns its operand or a view of it, arguments with which it does not
    ("to.dtype", (x(), FLOAT), (x(), HALF)),
    ("lift.default", (x(),), (torch._neg_view(x()),)),
    ("unsafe_chunk.default", (x(), 2), (torch._neg_view(x()), 2)),
    ("unsafe_split.Tensor", (C, 1), (C.conj(), 1)),
    ("unsafe_split_with_sizes.default", (x(), [1, 1]), (torch._neg_view(C), [1, 1])),
    ("to.dtype_layout", (x(),), (x(), {"dtype": HALF})),
    ("to.other", (x(), x()), (x(), x().to(HALF))),
    ("contiguous.default", (x(),), (x().t(),)),
    ("reshape.default", (x(), [6]), (x().t(), [6])),
    ("reshape_as.default", (x(), x(6)), (x().t(), x(6))),
    ("flatten.using_ints", (x(),), (x().t(),)),
    ("ravel.default", (x(),), (x().t(),)),
    ("resolve_conj.default", (C,), (C.conj(),)),
    ("resolve_neg.default", (C,), (torch._neg_view(x()),)),
    ("type_as.default", (x(), x()), (x(), x().to(HALF))),
    ("_cast_Float.default", (x(),), (x().to(HALF),)),
    ("conj_physical.default", (x(),), (C,)),
    ("dropout.default", (x(), 0.5, False), (x(), 0.5, True)),
    ("feature_dropout.default", (x(), 0.5, False), (x(), 0.5, True)),
    ("alpha_dropout.default", (x(), 0.0, True), (x(), 0.5, True)),
    ("feature_alpha_dropout.default", (x(), 0.0, True), (x(), 0.5, True)),
    ("einsum.default", ("ij->ji", [x()]), ("ij,jk->ik", [x(), x(3, 2)])),
    ("cartesian_prod.default", ([x(3)],), ([x(3), x(2)],)),
    ("sum_to_size.default", (x(), [2, 3]), (x(), [1, 3])),
    ("flatten_dense_tensors.default", ([x()],), ([x(), x()],)),
    ("to_dense.default", (x(),), (x(), HALF)),
]


@pytest.mark.parametrize(("name", "same", "other"), MAYBE, ids=[case[0] for case in MAYBE])
def test_maybe(call, name, same, other):
    def shares(args):
        kwargs = args[-1] if isinstance(args[-1], dict) else {}
        one = call(f"aten.{name}", *(arg for arg in args if not isinstance(arg, dict)), **kwargs)
        (alias,) = one.info.aliases
        assert one.info.shares is not None
        return not set(storages(one.run())).isdisjoint(storages(one.bound()[alias.argument]))

    assert shares(same)
    assert not shares(other)


def marked(value):
    """A value whose tensors have bits set that tell how to read them."""
    if isinstance(value, list):
        return [marked(one) for one in value]
    if not isinstance(value, torch.Tensor) or not (value.is_complex() or value.is_floating_point()):
        return value
    return torch._neg_view(value.conj()) if not value.is_neg() and not value.is_conj() else value


@pytest.mark.parametrize(("name", "args"), [(case[0], case[2]) for case in MAYBE], ids=[case[0] for case in MAYBE])
def test_copies_have_no_bits_set(call, name, args):
    kwargs = args[-1] if isinstance(args[-1], dict) else {}
    one = call(f"aten.{name}", *(marked(arg) for arg in args if not isinstance(arg, dict)), **kwargs)
    results = tree_leaves(one.run())
    new = [result for result in results if set(storages(result)).isdisjoint(storages(one.args))]
    assert new
    assert not any(result.is_conj() or result.is_neg() for result in new)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_atleast(call, rank):
    for args in ((f"aten.atleast_{rank}d.default", x(2, 2, 2)), (f"aten.atleast_{rank}d.Sequence", [x(2, 2, 2)])):
        one = call(*args)
        assert storages(one.run()) == storages(one.args)
        assert (len(one.info.aliases), one.info.shares) == (1, None)


FRESH = [
    ("add.Tensor", x(), x()),
    ("native_dropout.default", x(), 0.5, False),
    ("clone.default", x()),
    ("_to_copy.default", x()),
    ("expand_copy.default", x(), [2, 3]),
    ("constant_pad_nd.default", x(), [0, 0]),
    ("pad.default", x(), [0, 0]),
    ("cat.default", [x()]),
    ("repeat.default", x(), [1, 1]),
    ("linalg_matrix_power.default", torch.eye(2), 1),
    ("pixel_shuffle.default", x(1, 1, 2, 2), 1),
    ("roll.default", x(), [0], [0]),
]


@pytest.mark.parametrize("case", FRESH, ids=[case[0] for case in FRESH])
def test_fresh(call, case):
    one = call(f"aten.{case[0]}", *case[1:])
    assert one.info.aliases == ()
    assert set(storages(one.run())).isdisjoint(storages(one.args))


def test_which_result():
    aliases = {
        name: op_table().lookup(name).aliases for name in ("aten.sort.values", "aten.histogramdd.TensorList_bins")
    }
    assert aliases["aten.sort.values"] == (Alias("values", 0), Alias("indices", 1))
    assert aliases["aten.histogramdd.TensorList_bins"] == (Alias("bins", 1),)
    assert op_table().lookup("aten.split.Tensor").aliases == (Alias("self", 0),)


def test_every_condition_has_an_alias():
    infos = [op_table().lookup(name) for name in op_table().names()]
    assert [info.name for info in infos if info.shares is not None and not info.aliases] == []


def test_hidden_aliases_are_not_annotated():
    hidden = [row for row in map(Row.parse, lines()) if "alias" in row.facts and row.schema]
    assert len(hidden) > 50
    doubled = [
        row.name for row in hidden if any(result.alias and not result.written for result in row.info().schema.returns)
    ]
    assert doubled == []


def lines():
    return (line for line in Path(TABLE).read_text().splitlines() if not line.startswith("#"))
