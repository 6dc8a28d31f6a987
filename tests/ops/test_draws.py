"""The random conditions, against torch on a CPU: does the generator's state move?"""

from __future__ import annotations

import pytest
import torch
from tests.facts.generate import REVIEWED

from graphlint.ops.table import op_table

DROPOUTS = ("dropout", "dropout_", "feature_dropout", "feature_dropout_")
DROPOUTS += ("alpha_dropout", "alpha_dropout_", "feature_alpha_dropout", "feature_alpha_dropout_")
RECURRENT = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}
"""Gates per op."""

NOT_ON_CPU = {
    "aten._cudnn_attention_forward",
    "aten._cudnn_rnn",
    "aten._efficient_attention_forward",
    "aten._flash_attention_forward",
    "aten._lstm_mps",
    "aten._scaled_dot_product_attention_math_for_mps",
    "aten._scaled_dot_product_cudnn_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",  # runs, but refuses every dropout_p other than 0
    "aten._scaled_dot_product_fused_attention_overrideable",
    "aten._triton_scaled_dot_attention",
    "aten.miopen_rnn",
    "aten.quantized_gru",  # take weights in packed form only
    "aten.quantized_lstm",
}


def x(*sizes: int) -> torch.Tensor:
    return -torch.ones(*(sizes or (4, 6, 8)))


def recurrent(name: str, layers: int, dropout: float, train: bool) -> tuple:
    gates, size = RECURRENT[name], 3
    weights = [x(gates * size, size), x(gates * size, size), x(gates * size), x(gates * size)] * layers
    state = x(layers, 2, size)
    return (
        x(4, 2, size),
        [state, state] if name == "lstm" else state,
        weights,
        True,
        layers,
        dropout,
        train,
        False,
        False,
    )


def packed(name: str, dropout: float, train: bool) -> tuple:
    data, state, weights, *_ = recurrent(name, 2, 0.0, True)
    return data.reshape(8, 3), torch.tensor([2] * 4), state, weights, True, 2, dropout, train, False


def cases():
    for name in DROPOUTS:
        for p, train, draws in ((0.5, True, True), (0.5, False, False), (0.0, True, False), (1.0, True, False)):
            yield f"aten.{name}.default", (x(), p, train), {}, draws
    for p, train, draws in (
        (0.5, True, True),
        (0.5, None, True),
        (0.0, True, True),
        (1.0, True, True),
        (0.5, False, False),
    ):
        yield "aten.native_dropout.default", (x(), p, train), {}, draws
    for name in ("rrelu", "rrelu_"):
        yield f"aten.{name}.default", (x(), 0.1, 0.3, True), {}, True
        yield f"aten.{name}.default", (x(), 0.1, 0.3, False), {}, False
        yield f"aten.{name}.default", (x(),), {}, False
    for name in ("rrelu_with_noise", "rrelu_with_noise_", "rrelu_with_noise_functional"):
        yield f"aten.{name}.default", (x(), x(), 0.1, 0.3, True), {}, True
        yield f"aten.{name}.default", (x(), x(), 0.1, 0.3), {}, False
    qkv = [x(1, 2, 4, 8)] * 3
    for name in ("scaled_dot_product_attention", "_scaled_dot_product_attention_math"):
        yield f"aten.{name}.default", (*qkv, None, 0.5), {}, True
        yield f"aten.{name}.default", (*qkv, None, 0.0), {}, False
        yield f"aten.{name}.default", (*qkv, None, 0), {}, False
        yield f"aten.{name}.default", qkv, {}, False
    yield "aten._scaled_dot_product_flash_attention_for_cpu.default", qkv, {}, False
    yield "aten._fused_sdp_choice.default", (*qkv, None, 0.5), {}, False
    for name in RECURRENT:
        yield f"aten.{name}.input", recurrent(name, 2, 0.5, True), {}, True
        yield f"aten.{name}.input", recurrent(name, 2, 0.5, False), {}, False
        yield f"aten.{name}.input", recurrent(name, 2, 0.0, True), {}, False
        yield f"aten.{name}.data", packed(name, 0.5, True), {}, True
        yield f"aten.{name}.data", packed(name, 0.5, False), {}, False
    yield "aten.rand.default", ([2],), {}, True
    yield "aten.randn_like.default", (x(),), {}, True
    yield "aten.randint.low", (0, 5, [3]), {}, True
    yield "aten.randperm.default", (5,), {}, True
    yield "aten.bernoulli.p", (x(), 0.5), {}, True
    yield "aten.bernoulli_.float", (x(),), {}, True
    yield "aten.normal_.default", (x(),), {}, True
    yield "aten.normal_functional.default", (x(),), {}, True
    yield "aten.uniform_.default", (x(),), {}, True
    yield "aten.multinomial.default", (torch.ones(4), 2), {}, True
    yield "aten.poisson.default", (torch.ones(4),), {}, True
    yield "prims.normal.default", ([3],), _prims(mean=0.0, std=1.0), True
    yield "aten.add.Tensor", (x(), x()), {}, False


def _prims(**more):
    return {**more, "dtype": torch.float32, "device": torch.device("cpu"), "requires_grad": False}


CASES = list(cases())


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "draws"), CASES, ids=[f"{i}-{c[0]}-{c[3]}" for i, c in enumerate(CASES)]
)
def test_draws(call, name, args, kwargs, draws):
    one = call(name, *args, **kwargs)
    assert one.info.draws(one.node()) is draws
    before = torch.get_rng_state()
    with torch.no_grad():
        one.run()
    assert torch.equal(before, torch.get_rng_state()) is not draws


def test_every_condition_has_a_case_that_draws_and_one_that_does_not():
    infos = [op_table().lookup(name) for name in op_table().names()]
    conditional = {info.name.rpartition(".")[0] for info in infos if info.random.unless and not info.out_variant}
    conditional -= NOT_ON_CPU
    for expected in (True, False):
        covered = {name.rpartition(".")[0] for name, _, _, draws in CASES if draws is expected}
        assert conditional <= covered


def test_what_is_reviewed_names_its_source():
    lines = [line.split("\t") for line in REVIEWED.read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if len(line) != 3 or not all(line)] == []


def test_what_torch_tags_draws_unless_said_otherwise():
    tagged = {n for n in op_table().names() if "nondeterministic_seeded" in op_table().lookup(n).tags}
    quiet = {name for name in tagged if not op_table().lookup(name).random.draws}
    assert len(tagged) > 150
    assert {name.rpartition(".")[0] for name in quiet} == {
        "aten._cudnn_attention_backward",
        "aten._fill_mem_eff_dropout_mask_",
        "aten._flash_attention_forward_no_dropout_inplace",
        "aten._fused_sdp_choice",
        "aten._nested_tensor_softmax_with_shape",
        "aten._scaled_dot_product_cudnn_attention_backward",
        "aten._scaled_dot_product_efficient_attention_backward",
        "rngprims.philox_rand",
    }


def test_a_symbolic_argument_fulfils_no_condition(call):
    from graphlint.ir.model import Argument, NamedArgument, Node, SymRef, TensorRef

    operands = [
        NamedArgument("input", Argument(as_tensor=TensorRef("x"))),
        NamedArgument("p", Argument(as_sym_float=SymRef(as_name="p"))),
        NamedArgument("train", Argument(as_bool=True)),
    ]
    assert op_table().lookup("aten.dropout.default").draws(Node("", operands, []))


def test_the_table_tells_no_draws_where_nothing_is_tagged(call):
    assert not op_table().lookup("higher_order.cond").draws(call("aten.relu.default", x()).node())
