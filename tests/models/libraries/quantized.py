"""Models that torchao quantizes: exported, prepared, calibrated or trained, and converted."""

from __future__ import annotations

from typing import Any

import torch
from tests.models.zoo import build
from tests.models.zoo.build import Example


def quantized(example: Example, *, trained: bool) -> Any:
    """The converted module; or the prepared one, whose observers and fake quantizers still learn, where it is
    ``trained``.
    """
    from torchao.quantization.pt2e import move_exported_model_to_eval
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e, prepare_qat_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(is_qat=trained))
    program = build.export(example._replace(module=example.module.train(trained)))
    prepared = build.quiet(prepare_qat_pt2e if trained else prepare_pt2e, program.module(), quantizer)
    args, kwargs = example.calls[0]
    with torch.no_grad():
        prepared(*args, **kwargs)
    if trained:
        return prepared
    converted = build.quiet(convert_pt2e, prepared)
    move_exported_model_to_eval(converted)
    return converted
