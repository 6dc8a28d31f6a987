"""Which results may share storage with arguments, beyond what alias annotations say.

An annotated result aliases its argument for certain, unless its op stands in :data:`CONDITIONAL`. What stands in
:data:`HIDDEN` has no annotation, but shares storage nevertheless. Most of these were found by calling every op
that torch has sample inputs for and comparing storages.
"""

from __future__ import annotations

from graphlint.ops.conditions import Alias


def _always(argument: str) -> Alias:
    return Alias(argument)


def _maybe(argument: str) -> Alias:
    return Alias(argument, certainty="maybe")


CONDITIONAL: frozenset[str] = frozenset(
    {
        "aten._autocast_to_full_precision",
        "aten._autocast_to_reduced_precision",
        "aten._sparse_broadcast_to",
        "aten.coalesce",
        "aten.contiguous",
        "aten.flatten",
        "aten.pin_memory",
        "aten.ravel",
        "aten.reshape",
        "aten.reshape_as",
        "aten.resolve_conj",
        "aten.resolve_neg",
        "aten.to",
    }
)
"""Ops that return their operand, or a view of it, only where nothing has to be computed; a copy otherwise."""

HIDDEN: dict[str, Alias] = {
    "_c10d_functional.wait_tensor": _always("tensor"),
    "aten._cast_Byte": _maybe("self"),
    "aten._cast_Char": _maybe("self"),
    "aten._cast_Double": _maybe("self"),
    "aten._cast_Float": _maybe("self"),
    "aten._cast_Half": _maybe("self"),
    "aten._cast_Int": _maybe("self"),
    "aten._cast_Long": _maybe("self"),
    "aten._cast_Short": _maybe("self"),
    "aten._reshape_from_tensor": _maybe("self"),
    "aten._saturate_weight_to_fp16": _always("weight"),
    "aten._to_cpu": _maybe("tensors"),
    "aten._unsafe_view": _always("self"),
    "aten.alpha_dropout": _maybe("input"),
    "aten.atleast_1d": _maybe("self"),
    "aten.atleast_1d.Sequence": _maybe("tensors"),
    "aten.atleast_2d": _maybe("self"),
    "aten.atleast_2d.Sequence": _maybe("tensors"),
    "aten.atleast_3d": _maybe("self"),
    "aten.atleast_3d.Sequence": _maybe("tensors"),
    "aten.broadcast_tensors": _always("tensors"),
    "aten.cartesian_prod": _maybe("tensors"),
    "aten.chalf": _maybe("self"),
    "aten.conj_physical": _maybe("self"),
    "aten.data": _always("self"),
    "aten.dropout": _maybe("input"),
    "aten.einsum": _maybe("tensors"),
    "aten.feature_alpha_dropout": _maybe("input"),
    "aten.feature_dropout": _maybe("input"),
    "aten.flatten_dense_tensors": _maybe("tensors"),
    "aten.histogramdd.TensorList_bins": Alias("bins", result=1),
    "aten.lift": _always("self"),
    "aten.meshgrid": _always("tensors"),
    "aten.sparse_coo_tensor.indices": _maybe("values"),
    "aten.sparse_coo_tensor.indices_size": _maybe("values"),
    "aten.sum_to_size": _maybe("self"),
    "aten.to_dense": _maybe("self"),
    "aten.to_sparse": _maybe("self"),
    "aten.to_sparse_bsc": _maybe("self"),
    "aten.to_sparse_bsr": _maybe("self"),
    "aten.to_sparse_csc": _maybe("self"),
    "aten.to_sparse_csr": _maybe("self"),
    "aten.type_as": _maybe("self"),
    "aten.unflatten_dense_tensors": _always("flat"),
    "aten.unsafe_chunk": _always("self"),
    "aten.unsafe_split": _always("self"),
    "aten.unsafe_split_with_sizes": _always("self"),
    "c10d_functional.wait_tensor": _always("self"),
    "inductor._alloc_from_pool": _always("self"),
    "inductor._reinterpret_tensor": _always("self"),
    "prims.device_put": _maybe("a"),
}
"""By overload, or by op for all its overloads."""
