"""Writes that schemas keep quiet about.

The tests call each op that runs on a CPU and compare its arguments before and after.
"""

from __future__ import annotations

from graphlint.ops.conditions import ArgumentIs, HiddenWrites

_RUNNING = ("running_mean", "running_var")
_TRAINING = HiddenWrites(
    _RUNNING, ArgumentIs("training", value=True), "running statistics are updated in training mode"
)
_STATISTICS = HiddenWrites(_RUNNING, reason="updates the running statistics whenever they are given")


def _collective(*arguments: str) -> HiddenWrites:
    return HiddenWrites(arguments, reason="process groups receive into the tensors that they are given")


HIDDEN_WRITES: dict[str, HiddenWrites] = {
    "aten.batch_norm": _TRAINING,
    "aten._batch_norm_impl_index": _TRAINING,
    "aten.native_batch_norm": _TRAINING,
    "aten.cudnn_batch_norm": _TRAINING,
    "aten.miopen_batch_norm": _TRAINING,
    "aten.instance_norm": HiddenWrites(
        _RUNNING,
        ArgumentIs("use_input_stats", value=True),
        "running statistics are updated where the input's own are used",
    ),
    "aten.batch_norm_update_stats": _STATISTICS,
    "aten.batch_norm_gather_stats": _STATISTICS,
    "aten.batch_norm_gather_stats_with_counts": _STATISTICS,
    "aten._saturate_weight_to_fp16": HiddenWrites(("weight",), reason="clamps the weight where it lies"),
    "c10d._allgather_base_": _collective("output_tensor"),
    "c10d._reduce_scatter_base_": _collective("output_tensor"),
    "c10d.allgather_": _collective("output_tensors"),
    "c10d.allgather_coalesced_": _collective("output_lists"),
    "c10d.allgather_into_tensor_coalesced_": _collective("outputs"),
    "c10d.allreduce_": _collective("tensors"),
    "c10d.allreduce_coalesced_": _collective("tensors"),
    "c10d.alltoall_": _collective("output_tensors"),
    "c10d.alltoall_base_": _collective("output"),
    "c10d.broadcast_": _collective("tensors"),
    "c10d.gather_": _collective("output_tensors"),
    "c10d.recv_": _collective("tensors"),
    "c10d.recv_any_source_": _collective("tensors"),
    "c10d.reduce_": _collective("tensors"),
    "c10d.reduce_scatter_": _collective("output_tensors"),
    "c10d.reduce_scatter_tensor_coalesced_": _collective("outputs"),
    "c10d.scatter_": _collective("output_tensors"),
}
"""By overload, or by op for all its overloads."""
