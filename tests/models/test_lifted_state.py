"""Decoders and running statistics whose state is handed in and out: token by token as eager torch."""

from __future__ import annotations

import shutil

import pytest

import graphlint

from .zoo import MODELS
from .zoo.build import export

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests import judge  # noqa: E402
from tests.consumers.consumers import CONSUMERS  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

from graphlint.runtime import initial_state  # noqa: E402
from graphlint.runtime.behaviour import same_bits  # noqa: E402


@pytest.fixture
def lifted(tmp_path):
    """Exports a model and lifts its state; the example, and the paths of the original and of the fixed artifact."""

    def lift(name, **options):
        example = MODELS[name]()
        original, path = tmp_path / "original.pt2", tmp_path / "fixed.pt2"
        judge.save(export(example), original)
        shutil.copy(original, path)
        result = graphlint.fix(path, isolated=True, state="io", **options)
        assert (result.error, result.changed, result.diagnostics) == (None, True, ())
        return example, original, path

    return lift


@pytest.mark.parametrize(
    "name", ["llama_static", "llama_static_constants", "gemma3_static", "mixtral_static", "t5_static_decoder"]
)
def test_a_decoder_that_is_handed_its_cache(name, lifted):
    example, original, path = lifted(name)
    before, after, state = judge.module(judge.load(original)), judge.module(judge.load(path)), initial_state(path)
    assert state
    for args, kwargs in example.calls:
        result, state = after(*args, **kwargs, **state)
        expected, found = pytree.tree_leaves(before(*args, **kwargs)), pytree.tree_leaves(result)
        assert all(same_bits(*pair) for pair in zip(expected, found, strict=True))


def test_running_statistics_that_are_handed_in(lifted):
    example, original, path = lifted("resnet_train", ignore="GL309")
    before, after, state = judge.module(judge.load(original)), judge.module(judge.load(path)), initial_state(path)
    for args, kwargs in [*example.calls, *example.calls]:
        _, state = after(*args, **kwargs, **state)
        before(*args, **kwargs)
    held = {name.replace(".", "_"): value for name, value in before.named_buffers()}
    assert state.keys() <= held.keys()
    assert all(same_bits(value, held[name]) for name, value in state.items())


def _by_onnx_runtime(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(path)
    return lambda given: [torch.from_numpy(one) for one in session.run(None, given)]


def _by_openvino(path):
    openvino = pytest.importorskip("openvino")
    model = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda given: [torch.from_numpy(one) for one in model(given).to_tuple()]


@pytest.mark.parametrize("runtime", [_by_onnx_runtime, _by_openvino], ids=["onnxruntime", "openvino"])
def test_a_runtime_without_state_decodes_token_by_token(runtime, lifted, tmp_path):
    pytest.importorskip("onnxscript")
    example, _, path = lifted("llama_static", target="onnx")
    program, state = judge.load(path), initial_state(path)
    results = program.graph_signature.user_outputs
    judge.quiet(torch.onnx.export, program, dynamo=True, verbose=False, output_names=results).save(tmp_path / "m.onnx")
    run = runtime(tmp_path / "m.onnx")
    for args, kwargs in example.calls:
        expected = example.module(*args, **kwargs)
        given = dict(zip(program.graph_signature.user_inputs, [*kwargs.values(), *state.values()], strict=True))
        made = dict(zip(results, run({name: value.numpy() for name, value in given.items()}), strict=True))
        torch.testing.assert_close(made[results[0]], expected)
        assert torch.equal(made[results[0]].argmax(-1), expected.argmax(-1))
        state = {name: made[f"{name}_out"] for name in state}


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_consumer_decodes_token_by_token(name, lifted):
    for module in CONSUMERS[name].modules:
        pytest.importorskip(module)
    example, _, path = lifted("llama_static", target=CONSUMERS[name].target)
    program, state = judge.load(path), initial_state(path)
    call = judge.quiet(CONSUMERS[name].take, program).call
    for args, kwargs in example.calls:
        expected = example.module(*args, **kwargs)
        values = map(torch.as_tensor, call(*args, **kwargs, **state))
        made = dict(zip(program.graph_signature.user_outputs, values, strict=True))
        found = made[program.graph_signature.user_outputs[0]]
        torch.testing.assert_close(found, expected)
        assert torch.equal(found.argmax(-1), expected.argmax(-1))
        state = {one: made[f"{one}_out"] for one in state}
