"""Speech models."""

from __future__ import annotations

from .build import Arguments, Example, Model, called, floats, ids, made


def whisper() -> Example:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        vocab_size=32, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, num_mel_bins=8, max_source_positions=10,
        max_target_positions=12, use_cache=False, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None,
    )  # fmt: skip
    calls = [
        called(input_features=floats(2, 8, 20, seed=seed), decoder_input_ids=ids(2, 4, seed=seed)) for seed in range(2)
    ]
    return Example(made(WhisperForConditionalGeneration, config), calls)


def _samples() -> list[Arguments]:
    return [called(input_values=floats(2, 400, seed=seed)) for seed in range(2)]


_WAVES = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 32,
    "conv_dim": (8, 8), "conv_stride": (5, 2), "conv_kernel": (10, 3), "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}  # fmt: skip


def wav2vec2() -> Example:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return Example(made(Wav2Vec2Model, Wav2Vec2Config(**_WAVES)), _samples())


def wav2vec2_train() -> Example:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    config = Wav2Vec2Config(**_WAVES, apply_spec_augment=False, layerdrop=0.0)
    return Example(made(Wav2Vec2Model, config, train=True), _samples())


MODELS: dict[str, Model] = {function.__name__: function for function in (whisper, wav2vec2, wav2vec2_train)}
