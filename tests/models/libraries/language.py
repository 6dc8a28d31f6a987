"""Those of transformers that the zoo has not, with and without static caches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from tests.models.libraries.build import Case, Made, Maker, seeded
from tests.models.zoo.build import Arguments, called, floats, ids

Call = Callable[[int, int], Arguments]
_SIZE = {
    "vocab_size": 32,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = {**_SIZE, "num_key_value_heads": 1}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LENGTH = 8


def _text(batch: int, seed: int) -> Arguments:
    return called(input_ids=ids(batch, 6, seed=seed))


def _masked(batch: int, seed: int) -> Arguments:
    mask = torch.ones(batch, 6, dtype=torch.long)
    mask[0, -1] = 0
    return called(input_ids=ids(batch, 6, seed=seed), attention_mask=mask)


def _labelled(batch: int, seed: int) -> Arguments:
    return called(input_ids=ids(batch, 6, seed=seed), labels=ids(batch, 6, seed=seed + 9))


def _translated(batch: int, seed: int) -> Arguments:
    return called(input_ids=ids(batch, 6, seed=seed), decoder_input_ids=ids(batch, 4, seed=seed + 5))


def _pixels(size: int = 32) -> Call:
    return lambda batch, seed: called(pixel_values=floats(batch, 3, size, size, seed=seed))


def _frames(batch: int, seed: int) -> Arguments:
    return called(pixel_values=floats(batch, 4, 3, 16, 16, seed=seed))


def _sound(batch: int, seed: int) -> Arguments:
    return called(input_values=floats(batch, 400, seed=seed))


def _series(batch: int, seed: int) -> Arguments:
    return called(past_values=floats(batch, 16, 3, seed=seed))


def _model(name: str, config: str, call: Call, **options: Any) -> Maker:
    def make() -> Made:
        import transformers

        options.setdefault("use_cache", False)
        made = getattr(transformers, config)(**options)
        return Made(seeded(lambda: getattr(transformers, name)(made)), call)

    return make


def _causal(prefix: str, call: Call = _text, **options: Any) -> Maker:
    return _model(f"{prefix}ForCausalLM", f"{prefix}Config", call, **{**_GROUPED, **options})


def _static(maker: Maker) -> Maker:
    """With a static cache that is filled token by token."""

    def make() -> Made:
        from transformers.integrations.executorch import TorchExportableModuleWithStaticCache

        model = maker().module
        model.generation_config.use_cache = model.config.use_cache = True
        model.generation_config.cache_implementation = "static"
        model.generation_config.cache_config = {"batch_size": 1, "max_cache_len": _LENGTH}
        wrapped = TorchExportableModuleWithStaticCache(model, batch_size=1, max_cache_len=_LENGTH)
        return Made(
            wrapped.eval(),
            lambda batch, seed: called(input_ids=ids(1, 1, seed=seed), cache_position=torch.tensor([seed])),
        )

    return make


_ENCODER_DECODER = {
    "vocab_size": 32,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 32,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": 2,
}
_IMAGE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
_WAVES = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 32,
    "conv_dim": (8, 8),
    "conv_stride": (5, 2),
    "conv_kernel": (10, 3),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "apply_spec_augment": False,
    "layerdrop": 0.0,
}
_GPT = {"vocab_size": 32, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
_QWEN2 = _causal("Qwen2")
_MISTRAL = _causal("Mistral", sliding_window=4)
_GEMMA2 = _causal("Gemma2", head_dim=8, sliding_window=4)
_MODELS: dict[str, tuple[Maker, tuple[str, ...]]] = {
    "albert": (_model("AlbertModel", "AlbertConfig", _masked, **_SIZE, embedding_size=8), ("train", "strict")),
    "electra": (_model("ElectraForPreTraining", "ElectraConfig", _masked, **_SIZE, embedding_size=8), ("dynamic",)),
    "mobilebert": (
        _model("MobileBertModel", "MobileBertConfig", _text, **_SIZE, embedding_size=8, intra_bottleneck_size=16),
        ("bf16",),
    ),
    "mpnet": (_model("MPNetModel", "MPNetConfig", _masked, **_SIZE), ("train",)),
    "xlnet": (
        _model("XLNetModel", "XLNetConfig", _text, vocab_size=32, d_model=16, n_layer=1, n_head=2, d_inner=32),
        ("eval",),
    ),
    "squeezebert": (
        _model(
            "SqueezeBertModel",
            "SqueezeBertConfig",
            _masked,
            **_SIZE,
            embedding_size=16,
            q_groups=1,
            k_groups=1,
            v_groups=1,
            post_attention_groups=1,
            intermediate_groups=1,
            output_groups=1,
        ),
        ("train",),
    ),
    "fnet": (_model("FNetModel", "FNetConfig", _text, **_SIZE), ("train",)),
    "funnel": (
        _model(
            "FunnelModel",
            "FunnelConfig",
            _text,
            vocab_size=32,
            block_sizes=[1, 1],
            num_decoder_layers=1,
            d_model=16,
            n_head=2,
            d_head=8,
            d_inner=32,
        ),
        ("eval",),
    ),
    "nystromformer": (
        _model(
            "NystromformerModel",
            "NystromformerConfig",
            _text,
            **_SIZE,
            num_landmarks=6,
            segment_means_seq_len=6,
            conv_kernel_size=3,
        ),
        ("eval",),
    ),
    "modernbert": (
        _model("ModernBertModel", "ModernBertConfig", _masked, **_SIZE, cls_token_id=1, sep_token_id=2),
        ("train",),
    ),
    "opt": (
        _model(
            "OPTForCausalLM",
            "OPTConfig",
            _masked,
            vocab_size=32,
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            ffn_dim=32,
            max_position_embeddings=32,
            word_embed_proj_dim=16,
        ),
        ("train", "dynamic"),
    ),
    "bloom": (
        _model("BloomForCausalLM", "BloomConfig", _masked, vocab_size=32, hidden_size=16, n_layer=2, n_head=2),
        ("train",),
    ),
    "gpt_neo": (
        _model(
            "GPTNeoForCausalLM",
            "GPTNeoConfig",
            _text,
            vocab_size=32,
            hidden_size=16,
            num_layers=2,
            attention_types=[[["global", "local"], 1]],
            num_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
            window_size=4,
        ),
        ("train",),
    ),
    "gpt_neox": (_causal("GPTNeoX"), ("autocast",)),
    "gptj": (_model("GPTJForCausalLM", "GPTJConfig", _text, **_GPT, rotary_dim=4), ("train", "decomposed")),
    "codegen": (
        _model(
            "CodeGenForCausalLM",
            "CodeGenConfig",
            _text,
            vocab_size=32,
            n_embd=16,
            n_layer=1,
            n_head=4,
            n_positions=32,
            rotary_dim=4,
        ),
        ("eval",),
    ),
    "phi": (_causal("Phi"), ("train autocast",)),
    "phi3": (_causal("Phi3"), ("bf16",)),
    "gemma2": (_GEMMA2, ("dynamic",)),
    "mistral": (_MISTRAL, ("strict",)),
    "qwen2": (_QWEN2, ("train decomposed", "pt2e")),
    "qwen2_moe": (_causal("Qwen2Moe", **_EXPERTS, shared_expert_intermediate_size=16), ("eval",)),
    "qwen3_moe": (_causal("Qwen3Moe", **_EXPERTS, head_dim=8), ("train",)),
    "deepseek_v3": (
        _causal(
            "DeepseekV3",
            num_key_value_heads=2,
            n_routed_experts=4,
            num_experts_per_tok=2,
            n_group=1,
            topk_group=1,
            moe_intermediate_size=16,
            kv_lora_rank=8,
            q_lora_rank=8,
            qk_rope_head_dim=4,
            qk_nope_head_dim=4,
            v_head_dim=8,
            first_k_dense_replace=1,
        ),
        ("eval",),
    ),
    "olmo2": (_causal("Olmo2"), ("train",)),
    "cohere": (_causal("Cohere"), ("ungraded",)),
    "granite": (_causal("Granite", _labelled), ("train",)),
    "stablelm": (_causal("StableLm"), ("inference",)),
    "starcoder2": (_causal("Starcoder2"), ("train dynamic",)),
    "glm4": (_causal("Glm4", head_dim=8), ("bf16",)),
    "lfm2": (_causal("Lfm2", layer_types=["conv", "full_attention"]), ("eval",)),
    "falcon_mamba": (
        _model(
            "FalconMambaForCausalLM",
            "FalconMambaConfig",
            _text,
            vocab_size=32,
            hidden_size=16,
            state_size=4,
            num_hidden_layers=1,
        ),
        ("eval",),
    ),
    "recurrent_gemma": (
        _model(
            "RecurrentGemmaForCausalLM",
            "RecurrentGemmaConfig",
            _text,
            vocab_size=32,
            hidden_size=16,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=1,
            intermediate_size=32,
            lru_width=16,
            attention_window_size=4,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        ),
        ("eval",),
    ),
    "rwkv": (
        _model(
            "RwkvForCausalLM",
            "RwkvConfig",
            _text,
            vocab_size=32,
            context_length=16,
            hidden_size=16,
            attention_hidden_size=16,
            num_hidden_layers=2,
            intermediate_size=32,
        ),
        ("eval",),
    ),
    "bamba": (
        _causal(
            "Bamba",
            attn_layer_indices=[1],
            mamba_n_heads=4,
            mamba_d_head=8,
            mamba_d_state=4,
            mamba_n_groups=1,
            mamba_chunk_size=4,
        ),
        ("eval",),
    ),
    "qwen2_static": (_static(_QWEN2), ("eval", "ungraded strict")),
    "mistral_static": (_static(_MISTRAL), ("eval",)),
    "gemma2_static": (_static(_GEMMA2), ("eval",)),
    "pegasus": (
        _model("PegasusForConditionalGeneration", "PegasusConfig", _translated, **_ENCODER_DECODER),
        ("train",),
    ),
    "marian": (_model("MarianMTModel", "MarianConfig", _translated, **_ENCODER_DECODER), ("train",)),
    "m2m_100": (_model("M2M100Model", "M2M100Config", _translated, **_ENCODER_DECODER), ("eval",)),
    "deit": (_model("DeiTModel", "DeiTConfig", _pixels(), **_IMAGE), ("train dynamic",)),
    "beit": (_model("BeitModel", "BeitConfig", _pixels(), **_IMAGE), ("train",)),
    "dinov2": (
        _model(
            "Dinov2Model",
            "Dinov2Config",
            _pixels(),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
        ),
        ("bf16",),
    ),
    "yolos": (
        _model(
            "YolosForObjectDetection",
            "YolosConfig",
            _pixels(),
            **{**_IMAGE, "image_size": [32, 32]},
            num_detection_tokens=4,
        ),
        ("eval",),
    ),
    "levit": (
        _model(
            "LevitForImageClassification",
            "LevitConfig",
            _pixels(64),
            image_size=64,
            hidden_sizes=[16, 16, 16],
            num_attention_heads=[2, 2, 2],
            depths=[1, 1, 1],
            key_dim=[4, 4, 4],
        ),
        ("train",),
    ),
    "cvt": (
        _model("CvtModel", "CvtConfig", _pixels(), embed_dim=[8, 8, 8], num_heads=[1, 1, 2], depth=[1, 2, 3]),
        ("train",),
    ),
    "mobilevit": (
        _model(
            "MobileViTModel",
            "MobileViTConfig",
            _pixels(64),
            image_size=64,
            hidden_sizes=[8, 8, 8],
            neck_hidden_sizes=[4, 4, 8, 8, 8, 8, 16],
            num_attention_heads=2,
        ),
        ("train",),
    ),
    "pvt": (
        _model(
            "PvtModel",
            "PvtConfig",
            _pixels(64),
            image_size=64,
            hidden_sizes=[8, 8, 8, 8],
            num_attention_heads=[1, 1, 1, 1],
            depths=[1, 1, 1, 1],
        ),
        ("eval",),
    ),
    "poolformer": (
        _model("PoolFormerModel", "PoolFormerConfig", _pixels(64), hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1]),
        ("train",),
    ),
    "dpt": (
        _model(
            "DPTForDepthEstimation",
            "DPTConfig",
            _pixels(),
            **{**_IMAGE, "num_hidden_layers": 4},
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            is_hybrid=False,
            reassemble_factors=[4, 2, 1, 0.5],
        ),
        ("train",),
    ),
    "timesformer": (
        _model(
            "TimesformerModel",
            "TimesformerConfig",
            _frames,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=16,
            patch_size=8,
            num_frames=4,
        ),
        ("eval",),
    ),
    "videomae": (
        _model(
            "VideoMAEModel",
            "VideoMAEConfig",
            _frames,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=16,
            patch_size=8,
            num_frames=4,
        ),
        ("eval",),
    ),
    "hubert": (_model("HubertModel", "HubertConfig", _sound, **_WAVES), ("train",)),
    "wavlm": (_model("WavLMModel", "WavLMConfig", _sound, **_WAVES), ("train",)),
    "sew": (_model("SEWModel", "SEWConfig", _sound, **_WAVES, squeeze_factor=2), ("eval",)),
    "patchtst": (
        _model(
            "PatchTSTModel",
            "PatchTSTConfig",
            _series,
            num_input_channels=3,
            context_length=16,
            patch_length=4,
            patch_stride=4,
            d_model=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            ffn_dim=32,
        ),
        ("train",),
    ),
}


def cases() -> Iterator[tuple[str, Case]]:
    """All, by name."""
    for name, (maker, variants) in _MODELS.items():
        yield from ((f"transformers {name}: {variant}", Case(maker, variant)) for variant in variants)
