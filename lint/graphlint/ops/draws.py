"""Which ops draw from the global random number generator only under conditions.

By default an op draws exactly where torch tags it ``nondeterministic_seeded``. What follows are the exceptions:
tagged ops that draw nothing for some arguments, and ops that draw without the tag. The tests call each op that
runs on a CPU, once with arguments for which it draws and once for which it does not.

A condition stands here only where it holds on every device. So some calls count as drawing that draw nothing on
a CPU: ``lstm`` with ``num_layers=1``, say, for which cuDNN seeds a dropout state nevertheless.
"""

from __future__ import annotations

from graphlint.ops.conditions import ArgumentIs, RandomCondition

NEVER = RandomCondition("never")
ALWAYS = RandomCondition("always")


def _unless(reason: str, *conditions: ArgumentIs) -> RandomCondition:
    return RandomCondition("unless", conditions, reason)


_DROPOUT = _unless(
    "the dropout family returns its input for p = 0 and in eval mode, and zeros for p = 1",
    ArgumentIs("train", value=False),
    ArgumentIs("p", 0.0),
    ArgumentIs("p", 1.0),
)
_NATIVE_DROPOUT = _unless("eval mode needs no mask; p = 0 draws one all the same", ArgumentIs("train", value=False))
_RRELU = _unless("the slope is the mean of its bounds in eval mode", ArgumentIs("training", value=False))
_ATTENTION = _unless("dropout of the attention weights is the only draw", ArgumentIs("dropout_p", 0.0))
_RECURRENT = _unless(
    "dropout between the layers is the only draw", ArgumentIs("train", value=False), ArgumentIs("dropout", 0.0)
)


def _never(reason: str) -> RandomCondition:
    return RandomCondition("never", reason=reason)


RANDOM_CONDITIONS: dict[str, RandomCondition] = {
    "aten.dropout": _DROPOUT,
    "aten.dropout_": _DROPOUT,
    "aten.feature_dropout": _DROPOUT,
    "aten.feature_dropout_": _DROPOUT,
    "aten.alpha_dropout": _DROPOUT,
    "aten.alpha_dropout_": _DROPOUT,
    "aten.feature_alpha_dropout": _DROPOUT,
    "aten.feature_alpha_dropout_": _DROPOUT,
    "aten.native_dropout": _NATIVE_DROPOUT,
    "aten.rrelu": _RRELU,
    "aten.rrelu_": _RRELU,
    "aten.rrelu_with_noise": _RRELU,
    "aten.rrelu_with_noise_": _RRELU,
    "aten.rrelu_with_noise_functional": _RRELU,
    "aten.scaled_dot_product_attention": _ATTENTION,
    "aten._scaled_dot_product_attention_math": _ATTENTION,
    "aten._scaled_dot_product_attention_math_for_mps": _ATTENTION,
    "aten._scaled_dot_product_cudnn_attention": _ATTENTION,
    "aten._scaled_dot_product_efficient_attention": _ATTENTION,
    "aten._scaled_dot_product_flash_attention": _ATTENTION,
    "aten._scaled_dot_product_flash_attention_for_cpu": _ATTENTION,
    "aten._scaled_dot_product_fused_attention_overrideable": _ATTENTION,
    "aten._triton_scaled_dot_attention": _ATTENTION,
    "aten._cudnn_attention_forward": _ATTENTION,
    "aten._efficient_attention_forward": _ATTENTION,
    "aten._flash_attention_forward": _ATTENTION,
    "aten._cudnn_attention_backward": _never("replays the forward pass's seed and offset, which are arguments"),
    "aten._scaled_dot_product_cudnn_attention_backward": _never(
        "replays the forward pass's seed and offset, which are arguments"
    ),
    "aten._scaled_dot_product_efficient_attention_backward": _never(
        "replays the forward pass's seed and offset, which are arguments"
    ),
    "aten._flash_attention_forward_no_dropout_inplace": _never("has no dropout"),
    "aten._fill_mem_eff_dropout_mask_": _never("replays a seed and an offset, which are arguments"),
    "aten._fused_sdp_choice": _never("returns the number of the kernel that attention would take"),
    "aten._nested_tensor_softmax_with_shape": _never("a softmax"),
    "aten.gru": _RECURRENT,
    "aten.lstm": _RECURRENT,
    "aten.rnn_relu": _RECURRENT,
    "aten.rnn_tanh": _RECURRENT,
    "aten.quantized_gru": _RECURRENT,
    "aten.quantized_lstm": _RECURRENT,
    "aten._cudnn_rnn": _RECURRENT,
    "aten._lstm_mps": _RECURRENT,
    "aten.miopen_rnn": _RECURRENT,
    "rngprims.philox_rand": _never("its seed and offset are arguments"),
}
"""By overload, or by op for all its overloads."""
