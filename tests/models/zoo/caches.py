"""Decoders with a key/value cache: static (buffers or constants, written in place) or dynamic (inputs and results)."""

from __future__ import annotations

from typing import Any

from .build import Arguments, Example, Model, called, floats, ids, made

_LENGTH = 8
_SIZE = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def _token_by_token(**others: Any) -> list[Arguments]:
    """Calls that each add a token to the cache."""
    import torch

    return [
        called(input_ids=ids(1, 1, seed=step), cache_position=torch.tensor([step], dtype=torch.long), **others)
        for step in range(3)
    ]


def _static(model: Any) -> Any:
    """A decoder whose cache is static."""
    model.generation_config.use_cache = True
    model.generation_config.cache_implementation = "static"
    model.generation_config.cache_config = {"batch_size": 1, "max_cache_len": _LENGTH}
    return model


def _with_buffers(model: Any) -> Example:
    from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

    wrapped = TorchExportableModuleWithStaticCache(_static(model), batch_size=1, max_cache_len=_LENGTH)
    return Example(wrapped.eval(), _token_by_token())


def _llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return made(LlamaForCausalLM, LlamaConfig(**_SIZE))


def llama_static() -> Example:
    """The cache's tensors are buffers, but the model gets at them past those: export lifts them as constants too."""
    return _with_buffers(_llama())


def llama_static_no_grad() -> Example:
    return _with_buffers(_llama())._replace(gradients=False)


def llama_static_constants() -> Example:
    """The cache's tensors are no buffers, so that export lifts them as constants."""
    example = _with_buffers(_llama())
    module = example.module
    for name in list(module._buffers):
        tensor = module._buffers.pop(name)
        module._non_persistent_buffers_set.discard(name)
        setattr(module, name, tensor)
    return example


def gemma3_static() -> Example:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(**_SIZE, head_dim=8, sliding_window=4)
    return _with_buffers(made(Gemma3ForCausalLM, config))


def gpt2_static() -> Example:
    from transformers import GPT2Config, GPT2LMHeadModel

    return _with_buffers(
        made(GPT2LMHeadModel, GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=32))
    )


def mixtral_static() -> Example:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(**_SIZE, num_local_experts=4, num_experts_per_tok=2)
    return _with_buffers(made(MixtralForCausalLM, config))


def t5_static_decoder() -> Example:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration
    from transformers.integrations.executorch import Seq2SeqLMDecoderExportableModuleWithStaticCache

    config = T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    model = made(T5ForConditionalGeneration, config)
    wrapped = Seq2SeqLMDecoderExportableModuleWithStaticCache(model, max_static_cache_length=_LENGTH, batch_size=1)
    calls = [
        called(
            decoder_input_ids=ids(1, 1, seed=step),
            encoder_hidden_states=floats(1, 5, 16, seed=7),
            cache_position=torch.tensor([step]),
        )
        for step in range(3)
    ]
    return Example(wrapped.eval(), calls)


def llama_dynamic() -> Example:
    """The cache comes out as a result, grown by the tokens of this call."""
    from transformers import DynamicCache
    from transformers.integrations.executorch import register_dynamic_cache_export_support

    register_dynamic_cache_export_support()
    model = _llama()
    calls = [
        called(input_ids=ids(1, 4, seed=seed), past_key_values=DynamicCache(config=model.config), use_cache=True)
        for seed in range(2)
    ]
    return Example(model, calls)


MODELS: dict[str, Model] = {
    function.__name__: function
    for function in (
        llama_static, llama_static_no_grad, llama_static_constants, gemma3_static, gpt2_static,
        mixtral_static, t5_static_decoder, llama_dynamic,
    )
}  # fmt: skip
