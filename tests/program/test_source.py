"""Where an op comes from, in the spellings of every torch version."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphlint.ir.decode import decode_program
from graphlint.ir.model import Node
from graphlint.ir.source import SourceFrame, model_frame, module_of, stack_frames

MODELS = (Path(__file__).parent.parent / "artifacts" / "models.py").read_text().splitlines()


def node(trace: str = "", modules: str = "") -> Node:
    return Node("torch.ops.aten.sin.default", [], [], {"stack_trace": trace, "nn_module_stack": modules})


def test_frames_outermost_first_with_their_text():
    # torch 2.2 to 2.6: indented, a newline at the end; Python 3.11 and later may print markers below a line.
    trace = (
        '  File "/src/models.py", line 74, in forward\n'
        "    return self.linear(x).sum()\n"
        "           ~~~~~~~~~~~^^^\n"
        '  File "/env/lib/python3.11/site-packages/torch/nn/modules/linear.py", line 125, in forward\n'
        "    return F.linear(input, self.weight, self.bias)\n"
    )
    outer = SourceFrame("/src/models.py", 74, "forward", "return self.linear(x).sum()")
    inner = SourceFrame(
        "/env/lib/python3.11/site-packages/torch/nn/modules/linear.py",
        125,
        "forward",
        "return F.linear(input, self.weight, self.bias)",
    )
    frames = stack_frames(node(trace))
    assert frames == (outer, inner)
    assert model_frame(frames) == outer


def test_a_frame_without_text_and_one_with():
    # torch 2.8 and later: the first line is not indented; generated code has no text.
    trace = 'File "models.py", line 174, in forward\n    return f(x)\n  File "<eval_with_key>.3", line 5, in forward'
    frames = stack_frames(node(trace))
    assert [(frame.path, frame.line, frame.text) for frame in frames] == [
        ("models.py", 174, "return f(x)"),
        ("<eval_with_key>.3", 5, ""),
    ]
    assert model_frame(frames) == frames[0]


@pytest.mark.parametrize(
    "path",
    [
        "/env/lib/python3.11/site-packages/torch/nn/modules/linear.py",
        "/usr/lib/python3/dist-packages/transformers/cache_utils.py",
        "C:\\env\\Lib\\site-packages\\torch\\nn\\functional.py",
        "<eval_with_key>.12",
        "<eval_with_key>",
        "<string>",
        "<frozen importlib._bootstrap>",
        "torch/fx/passes/runtime_assert.py",
        "torch/_export/passes/add_runtime_assertions_for_constraints_pass.py",
    ],
)
def test_frames_that_are_not_the_models_own(path):
    own = SourceFrame("model.py", 3, "forward")
    other = SourceFrame(path, 7, "forward")
    assert model_frame((own, other)) == own
    assert model_frame((other,)) is None


@pytest.mark.parametrize("path", ["model.py", "/home/me/torch/model.py", "C:\\work\\model.py", "src/packages/m.py"])
def test_frames_that_are(path):
    frame = SourceFrame(path, 3, "forward")
    assert model_frame((SourceFrame("main.py", 1, "<module>"), frame)) == frame


@pytest.mark.parametrize("trace", ["", "NoneType: None\n", "no trace at all", 'File "x", line many, in f'])
def test_no_frames(trace):
    assert stack_frames(node(trace)) == ()
    assert model_frame(()) is None
    assert stack_frames(Node("torch.ops.aten.sin.default", [], [])) == ()


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        # torch 2.1
        ("L__self___norm:(L['self'].norm,torch.nn.BatchNorm2d)", ("norm", "torch.nn.BatchNorm2d")),
        ("L__self__:(L['self'],m.Model);a:(L['self'].a.b,m.Block)", ("a.b", "m.Block")),
        # torch 2.2 and later
        ("L__self__,,__main__.Model", ("", "__main__.Model")),
        ("L__self__,,__main__.Model;L__self___linear,linear,torch.nn.Linear", ("linear", "torch.nn.Linear")),
        ("L__self__,,m.Model;L__self___layers_0_proj,layers.0.proj,m.Proj", ("layers.0.proj", "m.Proj")),
        ("L__self__,L['self'],m.Model", ("", "m.Model")),
        ("L__self___a,L__self__.a,m.A", ("a", "m.A")),
        # nothing
        ("", None),
        ("L__self__", None),
        ("a,b", None),
        (",".join(["_empty_nn_module_stack_from_metadata_hook"] * 3), None),
    ],
)
def test_the_innermost_module(stack, expected):
    assert module_of(node(modules=stack)) == expected


def all_nodes(graph):
    for one in graph.nodes:
        yield one
        for sub in one.subgraphs():
            yield from all_nodes(sub.graph)


def test_traces_of_the_corpus(version, programs, artifacts):
    own = 0
    for path in sorted((artifacts / version).glob("*.pt2")):
        for data in programs(path):
            for one in all_nodes(decode_program(data).graph):
                trace = one.metadata.get("stack_trace", "")
                frames = stack_frames(one)
                assert len(frames) == trace.count('File "')
                frame = model_frame(frames)
                if frame is not None:
                    own += 1
                    assert frame.path == "models.py"
                    assert frame.text == MODELS[frame.line - 1].strip()
                module = module_of(one)
                if module is not None:
                    assert not module[0].startswith(("L__self__", "L["))
                    assert module[1].startswith(("__main__.", "torch.nn.modules."))
    assert (own > 100) == (version != "2.1.2")
    assert own == 0 or version != "2.1.2"
