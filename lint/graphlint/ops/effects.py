"""Side effects other than writing an argument and drawing random numbers.

An op that returns nothing and writes nothing exists for its effect, so each such op must stand here: the
generator of the table refuses to write one where that is not so.
"""

from __future__ import annotations

from typing import Literal

import msgspec

EffectKind = Literal[
    "check",  # raises where a condition does not hold
    "print",  # writes to the process's output
    "collective",  # talks to other processes
    "mutation",  # writes tensors that no schema names
    "script-object",  # calls a method of an object with state
    "rng-state",  # reads or sets the state of a random number generator
    "profiler",  # opens or closes a profiler record
    "token",  # consumes effect tokens
    "effect",  # anything else: I/O, global state
]


class Effect(msgspec.Struct, frozen=True):
    """What kind of effect an op has."""

    kind: EffectKind
    functional: bool = False
    """Whether the op expresses its effect as data flow, as functional collectives do."""


_CHECK = Effect("check")
_COLLECTIVE = Effect("collective")
_FUNCTIONAL_COLLECTIVE = Effect("collective", functional=True)
_PROFILER = Effect("profiler")
_RNG_STATE = Effect("rng-state")
_OTHER = Effect("effect")

EFFECTS: dict[str, Effect] = {
    "aten._assert_async": _CHECK,
    "aten._assert_scalar": _CHECK,
    "aten._assert_tensor_metadata": _CHECK,
    "aten._linalg_check_errors": _CHECK,
    "aten._validate_compressed_sparse_indices": _CHECK,
    "aten._validate_sparse_bsc_tensor_args": _CHECK,
    "aten._validate_sparse_bsr_tensor_args": _CHECK,
    "aten._validate_sparse_compressed_tensor_args": _CHECK,
    "aten._validate_sparse_coo_tensor_args": _CHECK,
    "aten._validate_sparse_csc_tensor_args": _CHECK,
    "aten._validate_sparse_csr_tensor_args": _CHECK,
    "aten.sym_constrain_range": _CHECK,
    "aten.sym_constrain_range_for_size": _CHECK,
    "aten._print": Effect("print"),
    "aten._backward": _OTHER,
    "aten._cufft_clear_plan_cache": _OTHER,
    "aten._cufft_set_plan_cache_max_size": _OTHER,
    "aten._propagate_xla_data": _OTHER,
    "aten.from_file": _OTHER,
    "aten.record_stream": _OTHER,
    "c10d.*": _COLLECTIVE,
    "c10d.check_for_nan": _CHECK,
    "symm_mem.*": _COLLECTIVE,
    "c10d_functional.*": _FUNCTIONAL_COLLECTIVE,
    "_c10d_functional.*": _FUNCTIONAL_COLLECTIVE,
    "_c10d_functional_autograd.*": _FUNCTIONAL_COLLECTIVE,
    "_dtensor.*": _FUNCTIONAL_COLLECTIVE,
    "inductor.accumulate_grad_": Effect("mutation"),
    "inductor.resize_storage_bytes_": Effect("mutation"),
    "inductor_prims.inductor_reserve_rng_state": _RNG_STATE,
    "debugprims.load_tensor": _OTHER,
    "prims._sink_tokens": Effect("token"),
    "debug_mode_ops.*": _PROFILER,
    "profiler.*": _PROFILER,
    "streams.*": _OTHER,
    "higher_order.call_torchbind": Effect("script-object"),
    "higher_order.graphsafe_run_with_rng_state": _RNG_STATE,
    "higher_order.print": Effect("print"),
    "higher_order.run_and_save_rng_state": _RNG_STATE,
    "higher_order.run_dtensor_rng_op": _RNG_STATE,
    "higher_order.run_with_rng_state": _RNG_STATE,
    "higher_order.triton_kernel_wrapper_mutation": Effect("mutation"),
}
"""By overload, by op for all its overloads, or by namespace (``c10d.*``)."""
