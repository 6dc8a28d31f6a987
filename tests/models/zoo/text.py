"""Text models without a cache."""

from __future__ import annotations

from typing import Any

from .build import Arguments, Example, Model, called, dims, ids, made

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
_GROUPED = {**_SIZE, "num_key_value_heads": 1, "use_cache": False}


def _masked(batch: int, length: int, seed: int = 0) -> Arguments:
    """Ids with an attention mask that hides the last token of the first row."""
    import torch

    mask = torch.ones(batch, length, dtype=torch.long)
    mask[0, -1] = 0
    return called(input_ids=ids(batch, length, seed=seed), attention_mask=mask)


def _any_length(*names: str) -> dict[str, Any]:
    batch, length = dims(batch=(1, 8), length=(2, 16))
    return {name: {0: batch, 1: length} for name in names}


_MASKED_CALLS = ((2, 5), (3, 7), (2, 5))


def _masked_calls() -> list[Arguments]:
    return [_masked(batch, length, seed) for seed, (batch, length) in enumerate(_MASKED_CALLS)]


def _plain_calls() -> list[Arguments]:
    return [called(input_ids=ids(2, 6, seed=seed)) for seed in range(2)]


def bert() -> Example:
    from transformers import BertConfig, BertModel

    return Example(made(BertModel, BertConfig(**_SIZE)), _masked_calls(), _any_length("input_ids", "attention_mask"))


def bert_strict() -> Example:
    return bert()._replace(strict=True)


def bert_train() -> Example:
    from transformers import BertConfig, BertModel

    return Example(made(BertModel, BertConfig(**_SIZE), train=True), _plain_calls())


def roberta() -> Example:
    from transformers import RobertaConfig, RobertaModel

    return Example(
        made(RobertaModel, RobertaConfig(**_SIZE)), _masked_calls(), _any_length("input_ids", "attention_mask")
    )


def distilbert() -> Example:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    config = DistilBertConfig(vocab_size=32, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=32)
    return Example(
        made(DistilBertForSequenceClassification, config),
        _masked_calls(),
        _any_length("input_ids", "attention_mask"),
    )


def deberta() -> Example:
    from transformers import DebertaV2Config, DebertaV2Model

    config = DebertaV2Config(**_SIZE, relative_attention=True, pos_att_type=["p2c", "c2p"])
    return Example(made(DebertaV2Model, config), _plain_calls())


def gpt2() -> Example:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=32, n_embd=16, n_layer=2, n_head=2, n_positions=32, use_cache=False)
    return Example(made(GPT2LMHeadModel, config), _masked_calls(), _any_length("input_ids", "attention_mask"))


def gpt2_train() -> Example:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=32, n_embd=16, n_layer=1, n_head=2, n_positions=32, use_cache=False)
    return Example(made(GPT2LMHeadModel, config, train=True), _plain_calls())


def llama() -> Example:
    from transformers import LlamaConfig, LlamaForCausalLM

    return Example(
        made(LlamaForCausalLM, LlamaConfig(**_GROUPED)), _masked_calls(), _any_length("input_ids", "attention_mask")
    )


def llama_loss() -> Example:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(**_GROUPED, attention_dropout=0.1)
    calls = [called(input_ids=ids(2, 6, seed=seed), labels=ids(2, 6, seed=seed + 9)) for seed in range(2)]
    return Example(made(LlamaForCausalLM, config, train=True), calls)


def qwen3() -> Example:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Example(made(Qwen3ForCausalLM, Qwen3Config(**_GROUPED, head_dim=8)), _plain_calls())


def gemma3() -> Example:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = Gemma3TextConfig(**_GROUPED, head_dim=8, sliding_window=4)
    return Example(made(Gemma3ForCausalLM, config), _plain_calls())


def falcon() -> Example:
    from transformers import FalconConfig, FalconForCausalLM

    config = FalconConfig(
        vocab_size=32, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, alibi=True, use_cache=False
    )
    return Example(made(FalconForCausalLM, config), [_masked(2, 6, seed) for seed in range(2)])


def mixtral() -> Example:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(**_GROUPED, num_local_experts=4, num_experts_per_tok=2)
    return Example(made(MixtralForCausalLM, config), _plain_calls())


def mamba() -> Example:
    from transformers import MambaConfig, MambaForCausalLM

    config = MambaConfig(vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=2, use_cache=False)
    return Example(made(MambaForCausalLM, config), _plain_calls())


def mamba2() -> Example:
    from transformers import Mamba2Config, Mamba2ForCausalLM

    config = Mamba2Config(
        vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=1, use_cache=False, num_heads=4, head_dim=8,
        expand=2, n_groups=1, chunk_size=4,
    )  # fmt: skip
    return Example(made(Mamba2ForCausalLM, config), _plain_calls())


def t5() -> Example:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=32, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, use_cache=False
    )
    calls = [called(input_ids=ids(2, 6, seed=seed), decoder_input_ids=ids(2, 4, seed=seed + 5)) for seed in range(2)]
    return Example(made(T5ForConditionalGeneration, config), calls)


def bart_train() -> Example:
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=32, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=32, use_cache=False,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    calls = [called(input_ids=ids(2, 6, seed=seed), labels=ids(2, 4, seed=seed + 5)) for seed in range(2)]
    return Example(made(BartForConditionalGeneration, config, train=True), calls)


MODELS: dict[str, Model] = {
    function.__name__: function
    for function in (
        bert, bert_strict, bert_train, roberta, distilbert, deberta, gpt2, gpt2_train, llama, llama_loss, qwen3, gemma3,
        falcon, mixtral, mamba, mamba2, t5, bart_train,
    )
}  # fmt: skip
