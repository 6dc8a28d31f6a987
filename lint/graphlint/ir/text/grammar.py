"""The words that printer and parser share (see :mod:`graphlint.ir.text`)."""

from __future__ import annotations

from typing import Final

INPUT_NAMES: Final = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
    "custom_obj": "custom_obj_name",
    "constant_input": "name",
}
"""An input's kind to the field of its spec that holds its qualified name."""

OUTPUT_NAMES: Final = {
    "buffer_mutation": ("buffer", "buffer_name"),
    "parameter_mutation": ("parameter", "parameter_name"),
    "user_input_mutation": ("input", "user_input_name"),
    "gradient_to_parameter": ("gradient_of_parameter", "parameter_name"),
    "gradient_to_user_input": ("gradient_of_input", "user_input_name"),
}
"""An output's kind to its word in the text and the field of its spec that holds the target's name."""
