"""Ops that share storage only sometimes: each case runs in torch, and the decision is what torch did."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch

from graphlint.ops.table import op_table
from graphlint.semantics import conditional
from graphlint.semantics.conditional import shares_storage


class Case(NamedTuple):
    """A call, and whether its (first) result shares the first operand's storage: None where nobody can tell."""

    op: str
    operand: torch.Tensor
    args: tuple[Any, ...]
    decided: bool | None
    kwargs: Mapping[str, Any] = MappingProxyType({})


def x() -> torch.Tensor:
    return torch.arange(24.0).reshape(4, 6)


def transposed() -> torch.Tensor:
    return x().t()


OTHER = torch.ones(4, 6)
SAME_64 = torch.ones(4, 6, dtype=torch.float64)
CASES = [
    Case("aten.to.dtype", x(), (torch.float32,), True),
    Case("aten.to.dtype", x(), (torch.float64,), False),
    Case("aten.to.dtype", x(), (torch.float32, False, True), False),
    Case("aten.to.dtype", transposed(), (torch.float32,), True),
    Case("aten.to.dtype", x(), (torch.float32,), False, {"copy": True}),
    Case("aten.to.dtype", x(), (torch.float32,), True, {"copy": False}),
    Case("aten.to.other", x(), (OTHER,), True),
    Case("aten.to.other", x(), (SAME_64,), False),
    Case("aten.contiguous.default", x(), (), True),
    Case("aten.contiguous.default", transposed(), (), False),
    Case("aten.contiguous.default", x()[:, 1:], (), False),
    Case("aten.contiguous.default", x()[1:], (), True),
    Case("aten.type_as.default", x(), (OTHER,), True),
    Case("aten.type_as.default", x(), (SAME_64,), False),
    Case("aten._cast_Float.default", x(), (), True),
    Case("aten._cast_Float.default", SAME_64, (), False),
    Case("aten._cast_Long.default", x().long(), (), True),
    Case("aten._cast_Long.default", x(), (), False),
    Case("aten.dequantize.self", x(), (), True),
    Case("aten.to_dense_backward.default", x(), (OTHER,), True),
    Case("aten.to_mkldnn_backward.default", x(), (OTHER,), True),
    Case("aten.sum_to_size.default", x(), ([4, 6],), True),
    Case("aten.sum_to_size.default", x(), ([1, 6],), False),
    Case("aten._autocast_to_full_precision.default", x(), (False, True), True),
    Case("aten._autocast_to_full_precision.default", x().bfloat16(), (False, True), False),
    Case("aten._autocast_to_reduced_precision.default", x(), (False, True, torch.float16, torch.bfloat16), False),
    Case("aten._autocast_to_reduced_precision.default", x(), (False, False, torch.float16, torch.bfloat16), True),
    Case("aten.reshape.default", x(), ([24],), True),
    Case("aten.reshape.default", x(), ([4, 6],), True),
    Case("aten.reshape.default", transposed(), ([6, 4],), True),
    Case("aten.reshape.default", transposed(), ([24],), False),
    Case("aten.reshape.default", transposed(), ([2, 3, 4],), True),
    Case("aten.reshape.default", x()[:, ::2], ([12],), True),
    Case("aten.reshape.default", x()[:, :3], ([12],), False),
    Case("aten.reshape.default", x()[:1].expand(4, 6), ([24],), False),
    Case("aten.reshape.default", x()[:, :1].expand(4, 6), ([4, 2, 3],), True),
    Case("aten.reshape.default", torch.ones(0, 3), ([3, 0],), True),
    Case("aten.reshape_as.default", x(), (torch.ones(24),), True),
    Case("aten.reshape_as.default", transposed(), (torch.ones(24),), False),
    Case("aten.flatten.using_ints", x(), (), True),
    Case("aten.flatten.using_ints", transposed(), (), False),
    Case("aten.flatten.using_ints", transposed(), (1,), True),
    Case("aten.flatten.using_ints", torch.tensor(1.0), (), True),
    Case("aten.ravel.default", x(), (), True),
    Case("aten.ravel.default", transposed(), (), False),
    Case("aten.ravel.default", x()[:, 0], (), False),
    Case("aten.ravel.default", x()[:1, 2:], (), True),
    Case("aten.ravel.default", torch.ones(1, 4).as_strided((1, 4), (7, 1)), (), True),
    Case("aten.dropout.default", x(), (0.5, False), True),
    Case("aten.dropout.default", x(), (0.5, True), False),
    Case("aten.dropout.default", x(), (0.0, True), True),
    Case("aten.dropout.default", x(), (1.0, True), False),
    Case("aten.feature_dropout.default", x(), (0.5, False), True),
    Case("aten.feature_dropout.default", x(), (0.5, True), False),
    Case("aten.alpha_dropout.default", x(), (0.5, False), True),
    Case("aten.alpha_dropout.default", x(), (0.5, True), False),
    Case("aten.feature_alpha_dropout.default", x(), (0.5, False), True),
    Case("aten.feature_alpha_dropout.default", x(), (0.5, True), False),
    Case("aten.resolve_conj.default", x(), (), True),
    Case("aten.resolve_conj.default", torch.ones(2, dtype=torch.complex64), (), None),
    Case("aten.resolve_conj.default", torch.ones(2, dtype=torch.complex64).conj(), (), None),
    Case("aten.conj_physical.default", x(), (), True),
    Case("aten.resolve_neg.default", x(), (), None),
    Case("aten.conj_physical.default", torch.ones(2, dtype=torch.complex64), (), False),
    Case("aten.atleast_1d.default", torch.tensor(1.0), (), True),
    Case("aten.atleast_1d.default", x(), (), True),
    Case("aten.atleast_2d.default", torch.ones(3), (), True),
    Case("aten.atleast_3d.default", torch.ones(3), (), True),
]
LISTS = [
    ("aten.atleast_1d.Sequence", [torch.tensor(1.0), torch.ones(3)], (), True),
    ("aten.atleast_2d.Sequence", [torch.tensor(1.0), torch.ones(3)], (), True),
    ("aten.atleast_3d.Sequence", [torch.tensor(1.0), torch.ones(3)], (), True),
    ("aten.meshgrid.default", [torch.ones(2), torch.ones(3)], (), True),
    ("aten.cartesian_prod.default", [torch.ones(2), torch.ones(3)], (), False),
    ("aten.cartesian_prod.default", [torch.ones(2)], (), True),
    ("aten.chain_matmul.default", [torch.ones(2, 3), torch.ones(3, 4)], (), False),
    ("aten.chain_matmul.default", [torch.ones(2, 3)], (), False),
]


def decision(recorder, read_text, operand, result):
    graph = read_text(recorder.text).graph
    op = op_table().lookup(graph.nodes[-1].target)
    assert op is not None
    if op.shares is None:
        return bool(op.aliases)
    return shares_storage(graph, graph.nodes[-1], op, operand.name, result.name)


def argument(recorder, value):
    if isinstance(value, torch.Tensor):
        return recorder.input(value)
    return value


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}{tuple(case.operand.shape)}{case.args}"[:70])
def test_what_was_decided_is_what_torch_did(recorder, read_text, case):
    operand = recorder.input(case.operand)
    args = [argument(recorder, value) for value in case.args]
    (result,) = recorder.call(case.op, operand, *args, **case.kwargs)
    assert decision(recorder, read_text, operand, result) is case.decided
    if case.decided is not None and case.operand.numel():
        assert (result.storage == operand.storage) == case.decided


@pytest.mark.parametrize(("op", "tensors", "args", "decided"), LISTS, ids=[f"{one[0]}-{len(one[1])}" for one in LISTS])
def test_ops_on_lists(recorder, read_text, op, tensors, args, decided):
    operands = [recorder.input(tensor) for tensor in tensors]
    results = recorder.call(op, operands, *args)
    assert decision(recorder, read_text, operands[0], results[0]) is decided
    if decided is not None:
        assert (results[0].storage == operands[0].storage) == decided


def test_einsum(recorder, read_text):
    first, second = recorder.input(torch.ones(2, 3)), recorder.input(torch.ones(3, 2))
    (product,) = recorder.call("aten.einsum.default", "ij,jk->ik", [first, second])
    assert decision(recorder, read_text, first, product) is False
    assert product.storage not in (first.storage, second.storage)
    (permuted,) = recorder.call("aten.einsum.default", "ij->ji", [first])
    assert decision(recorder, read_text, first, permuted) is None
    assert permuted.storage == first.storage


def test_every_condition_has_a_case():
    tested = {case.op for case in CASES} | {op for op, *_ in LISTS} | {"aten.einsum.default"}
    infos = [op_table().lookup(name) for name in op_table().names()]
    decided = {info.name: info.shares for info in infos if info is not None and info.shares in conditional._DECISIONS}
    assert set(decided.values()) == set(conditional._DECISIONS)
    assert {op.rpartition(".")[0] for op in decided} <= {op.rpartition(".")[0] for op in tested}


SYMBOLIC = {
    "to: same symbolic sizes": ("f32[s0, 4]", "aten.to.dtype(%x, torch.float32)", "f32[s0, 4]", True),
    "to: another dtype": ("f32[s0, 4]", "aten.to.dtype(%x, torch.float16)", "f16[s0, 4]", False),
    "to: another device": ("f32[4]", 'aten.to.device(%x, device("cuda:0"), torch.float32)', "f32[4] @cuda:0", False),
    "to: copies": ("f32[s0]", "aten.to.dtype(%x, torch.float32, False, True)", "f32[s0]", False),
    "contiguous: symbolic strides": ("f32[s0, 4]{1, s0}", "aten.contiguous.default(%x)", "f32[s0, 4]", None),
    "sum_to_size: symbolic sizes": ("f32[s0, 4]", "aten.sum_to_size.default(%x, [1, 4])", "f32[1, 4]", None),
    "reshape: contiguous": ("f32[s0, 4]", "aten.reshape.default(%x, [-1])", "f32[4*s0]", True),
    "reshape: same shape": ("f32[s0, 4]{1, s0}", "aten.reshape.default(%x, [-1, 4])", "f32[s0, 4]{1, s0}", True),
    "reshape: symbolic strides": ("f32[4, s0]{1, 4}", "aten.reshape.default(%x, [-1])", "f32[4*s0]", None),
    "ravel: contiguous": ("f32[s0, 4]", "aten.ravel.default(%x)", "f32[4*s0]", True),
    "ravel: symbolic strides": ("f32[4, s0]{1, 4}", "aten.ravel.default(%x)", "f32[4*s0]", None),
    "dropout: symbolic mode": ("f32[4]", "aten.dropout.default(%x, 0.5, $train)", "f32[4]", None),
    "dropout: symbolic rate": ("f32[4]", "aten.dropout.default(%x, $p, True)", "f32[4]", None),
    "no condition is known": ("f32[4]", "aten.to_dense.default(%x)", "f32[4]", None),
}


@pytest.mark.parametrize(("before", "call", "after", "decided"), SYMBOLIC.values(), ids=SYMBOLIC)
def test_symbolic_and_undecidable_cases(read_text, before, call, after, decided):
    text = f"graph(%x: {before}, $train: bool, $p: float):\n  %y: {after} = {call}\n  return %y\n"
    graph = read_text(text).graph
    op = op_table().lookup(graph.nodes[0].target)
    assert shares_storage(graph, graph.nodes[0], op, "x", "y") is decided


def test_without_metadata_nothing_is_decided(read_text):
    graph = read_text("graph(%x: f32[4]):\n  %y = aten.to.dtype(%x, torch.float32)\n  return %y\n").graph
    assert shares_storage(graph, graph.nodes[0], op_table().lookup("torch.ops.aten.to.dtype"), "x", "y") is None


def test_meshgrid_with_indexing(recorder, read_text):
    operands = [recorder.input(torch.ones(2)), recorder.input(torch.ones(3))]
    results = recorder.call("aten.meshgrid.indexing", operands, indexing="xy")
    assert [decision(recorder, read_text, one, two) for one, two in zip(operands, results, strict=True)] == [True, True]
    assert [result.storage for result in results] == [operand.storage for operand in operands]


def test_bits_decide_where_they_are_known(read_text):
    text = "graph(%x: c64[3]):\n  %y: c64[3] = aten.resolve_conj.default(%x)\n  return %y\n"
    graph = read_text(text).graph
    op = op_table().lookup(graph.nodes[0].target)
    for bits, decided in ((frozenset(), True), (frozenset({"negate"}), True), (frozenset({"conjugate"}), False)):
        assert shares_storage(graph, graph.nodes[0], op, "x", "y", bits=lambda bits=bits: bits) is decided
