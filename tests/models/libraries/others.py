"""diffusers and torchaudio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from tests.models.libraries.build import Case, Made, Maker, images, seeded
from tests.models.zoo.build import Arguments, floats, ids

Call = Callable[[int, int], Arguments]
Models = dict[str, tuple[Maker, tuple[str, ...]]]


def _diffusers(name: str, call: Call, **config: Any) -> Maker:
    def make() -> Made:
        import diffusers

        return Made(seeded(lambda: getattr(diffusers, name)(**config)), call)

    return make


def _torchaudio(name: str, call: Call, **config: Any) -> Maker:
    def make() -> Made:
        import torchaudio

        place = torchaudio.models if hasattr(torchaudio.models, name) else torchaudio.transforms
        return Made(seeded(lambda: getattr(place, name)(**config)), call)

    return make


def _steps(batch: int, seed: int) -> torch.Tensor:
    return ids(batch, seed=seed, high=900)


_BLOCKS = {"block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
_TEXT = (3, 8)
"""Length and width of what an image is conditioned on."""


def _latents(channels: int, size: int = 8, **others: Any) -> Call:
    """Latents, a step, and what the image is conditioned on."""

    def call(batch: int, seed: int) -> Arguments:
        args = (
            floats(batch, channels, size, size, seed=seed),
            _steps(batch, seed),
            floats(batch, *_TEXT, seed=seed + 7),
        )
        return args, {"return_dict": False}

    return call


def _flux(batch: int, seed: int) -> Arguments:
    return (), {
        "hidden_states": floats(batch, 4, 4, seed=seed),
        "encoder_hidden_states": floats(batch, 3, 32, seed=seed + 1),
        "pooled_projections": floats(batch, 32, seed=seed + 2),
        "timestep": floats(batch, seed=seed + 3).abs(),
        "img_ids": torch.zeros(4, 3),
        "txt_ids": torch.zeros(3, 3),
        "guidance": torch.ones(batch),
    }


def _sd3(batch: int, seed: int) -> Arguments:
    return (), {
        "hidden_states": floats(batch, 4, 8, 8, seed=seed),
        "encoder_hidden_states": floats(batch, 3, 32, seed=seed + 1),
        "pooled_projections": floats(batch, 64, seed=seed + 2),
        "timestep": _steps(batch, seed),
    }


def _wan(batch: int, seed: int) -> Arguments:
    return (), {
        "hidden_states": floats(batch, 4, 2, 8, 8, seed=seed),
        "timestep": _steps(batch, seed),
        "encoder_hidden_states": floats(batch, 3, 16, seed=seed + 1),
    }


def _controlled(batch: int, seed: int) -> Arguments:
    args, kwargs = _latents(4)(batch, seed)
    return args, {**kwargs, "controlnet_cond": floats(batch, 3, 64, 64, seed=seed + 5)}


_CROSS = {"cross_attention_dim": 8, "attention_head_dim": 4}
_DIFFUSERS: Models = {
    "UNet2DModel": (
        _diffusers(
            "UNet2DModel",
            lambda batch, seed: ((floats(batch, 3, 16, 16, seed=seed), _steps(batch, seed)), {"return_dict": False}),
            sample_size=16,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            **_BLOCKS,
            attention_head_dim=4,
        ),
        ("eval", "train dynamic"),
    ),
    "UNet2DConditionModel": (
        _diffusers(
            "UNet2DConditionModel",
            _latents(4),
            sample_size=8,
            **_BLOCKS,
            **_CROSS,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ),
        ("eval", "train", "autocast", "decomposed"),
    ),
    "AutoencoderKL": (
        _diffusers(
            "AutoencoderKL",
            images(16),
            block_out_channels=(8, 16),
            norm_num_groups=4,
            layers_per_block=1,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
        ),
        ("eval", "bf16"),
    ),
    "AutoencoderTiny": (
        _diffusers(
            "AutoencoderTiny",
            images(16),
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
        ),
        ("train",),
    ),
    "VQModel": (
        _diffusers("VQModel", images(16), block_out_channels=(8,), norm_num_groups=4, num_vq_embeddings=16),
        ("eval",),
    ),
    "DiTTransformer2DModel": (
        _diffusers(
            "DiTTransformer2DModel",
            lambda batch, seed: (
                (floats(batch, 4, 8, 8, seed=seed),),
                {"timestep": _steps(batch, seed), "class_labels": ids(batch, seed=seed, high=9)},
            ),
            num_attention_heads=2,
            attention_head_dim=4,
            in_channels=4,
            num_layers=2,
            sample_size=8,
            num_embeds_ada_norm=10,
        ),
        ("train",),
    ),
    "SD3Transformer2DModel": (
        _diffusers(
            "SD3Transformer2DModel",
            _sd3,
            sample_size=8,
            patch_size=1,
            in_channels=4,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=4,
            caption_projection_dim=32,
            joint_attention_dim=32,
            pooled_projection_dim=64,
            out_channels=4,
        ),
        ("eval",),
    ),
    "FluxTransformer2DModel": (
        _diffusers(
            "FluxTransformer2DModel",
            _flux,
            patch_size=1,
            in_channels=4,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=32,
            pooled_projection_dim=32,
            axes_dims_rope=[4, 4, 8],
            guidance_embeds=True,
        ),
        ("eval", "bf16"),
    ),
    "WanTransformer3DModel": (
        _diffusers(
            "WanTransformer3DModel",
            _wan,
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=16,
            freq_dim=256,
            ffn_dim=32,
            num_layers=1,
            cross_attn_norm=True,
            rope_max_seq_len=32,
        ),
        ("eval",),
    ),
    "ControlNetModel": (
        _diffusers(
            "ControlNetModel",
            _controlled,
            **_BLOCKS,
            **_CROSS,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            conditioning_embedding_out_channels=(8, 8, 8, 8),
        ),
        ("eval",),
    ),
}


def _waves(samples: int, *channels: int) -> Call:
    return lambda batch, seed: ((floats(batch, *channels, samples, seed=seed),), {})


def _wavernn(batch: int, seed: int) -> Arguments:
    return (floats(batch, 1, 24, seed=seed), floats(batch, 1, 8, 12, seed=seed + 1)), {}


_TORCHAUDIO: Models = {
    "ConvTasNet": (
        _torchaudio(
            "ConvTasNet",
            _waves(256, 1),
            enc_num_feats=16,
            msk_num_feats=8,
            msk_num_hidden_feats=16,
            msk_num_layers=2,
            msk_num_stacks=1,
        ),
        ("train",),
    ),
    "DeepSpeech": (
        _torchaudio(
            "DeepSpeech",
            lambda batch, seed: ((floats(batch, 1, 12, 8, seed=seed),), {}),
            n_feature=8,
            n_hidden=16,
            n_class=5,
        ),
        ("train",),
    ),
    "Wav2Letter": (
        _torchaudio("Wav2Letter", _waves(400, 8), num_classes=5, input_type="mfcc", num_features=8),
        ("eval",),
    ),
    "WaveRNN": (
        _torchaudio(
            "WaveRNN",
            _wavernn,
            upsample_scales=[2, 3],
            n_classes=8,
            hop_length=6,
            n_res_block=1,
            n_rnn=8,
            n_fc=8,
            kernel_size=9,
            n_freq=8,
            n_hidden=8,
            n_output=8,
        ),
        ("train",),
    ),
    "HDemucs": (
        _torchaudio("HDemucs", _waves(4096, 2), sources=["one", "two"], channels=4, nfft=256, depth=3),
        ("eval",),
    ),
    "MelSpectrogram": (_torchaudio("MelSpectrogram", _waves(1600), n_fft=128, n_mels=16), ("eval", "dynamic")),
    "MFCC": (_torchaudio("MFCC", _waves(1600), n_mfcc=8, melkwargs={"n_fft": 128, "n_mels": 16}), ("eval",)),
    "GriffinLim": (
        _torchaudio(
            "GriffinLim",
            lambda batch, seed: ((floats(batch, 33, 10, seed=seed).abs(),), {}),
            n_fft=64,
            n_iter=3,
            rand_init=False,
        ),
        ("eval",),
    ),
    "TimeMasking": (
        _torchaudio(
            "SpecAugment",
            lambda batch, seed: ((floats(batch, 1, 16, 12, seed=seed),), {}),
            n_time_masks=1,
            time_mask_param=4,
            n_freq_masks=1,
            freq_mask_param=4,
        ),
        ("eval",),
    ),
}


def cases() -> Iterator[tuple[str, Case]]:
    """All, by name."""
    for library, models in (("diffusers", _DIFFUSERS), ("torchaudio", _TORCHAUDIO)):
        for name, (maker, variants) in models.items():
            yield from ((f"{library} {name}: {variant}", Case(maker, variant)) for variant in variants)
