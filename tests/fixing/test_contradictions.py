"""Files that contradict themselves are unreadable, each for one reason; and a write by schema is a write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.text_form import document_of

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import write_archive
from graphlint.rules.settings import Settings
from graphlint.rules.view import ProgramView
from graphlint.run.api import fix, lint

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
NUMBER = {"as_int": 1}


def in_operand(place, argument):
    def change(node, _):
        node["inputs"][place]["arg"] = argument

    return change


def in_outputs(outputs):
    def change(node, _):
        node["outputs"] = outputs

    return change


def in_meta(key):
    def change(node, graph):
        graph["tensor_values"][node["outputs"][0]["as_tensor"]["name"]][key].append({"as_int": 3})

    return change


# What is called what: the op, the change of its node, and why the file is unreadable.
CASES = {
    "a number is written": ("aten.add_", in_operand(0, NUMBER), "takes 'self' as Tensor, and is given what is int"),
    "nothing is written": (
        "aten.add_",
        in_operand(0, {"as_none": True}),
        "takes 'self' as Tensor, and is given nothing",
    ),
    "an operand is missing": ("aten.add_", lambda node, _: node["inputs"].pop(0), "without its argument 'self'"),
    "a number is the result": ("aten.add_", in_outputs([NUMBER]), "gives Tensor, and what is int is recorded"),
    "there is no result": ("aten.add_", in_outputs([]), "gives 1 results, and 0 are recorded"),
    "a size more than strides": ("aten.add_", in_meta("sizes"), " sizes and "),
    "a stride more than sizes": ("aten.add_", in_meta("strides"), " sizes and "),
    "no dimension": ("aten.select", in_operand(1, {"as_none": True}), "takes 'dim' as int, and is given nothing"),
    "a dimension that is a list": ("aten.select", in_operand(1, {"as_ints": [0]}), "and is given what is ints"),
    "a dimension beyond the last": (
        "aten.select",
        in_operand(1, {"as_int": 7}),
        "takes dimension 7 of a tensor that has ",
    ),
    "a check of no tensor": ("aten._assert_async", in_operand(0, NUMBER), "takes 'self' as Tensor"),
    "a check of no number": ("aten._assert_scalar", in_operand(0, {"as_ints": [3]}), "takes 'self' as Scalar"),
    "a message that is a list": ("aten._assert_scalar", in_operand(1, {"as_tensors": []}), "'assert_msg' as str"),
    "a message that is none": ("aten._assert_scalar", in_operand(1, NUMBER), "takes 'assert_msg' as str"),
    "a check of nothing": ("aten._assert_scalar", lambda node, _: node["inputs"].clear(), "its argument 'self'"),
}


def changed(path, op, change):
    for source in sorted(ARTIFACTS.glob("*.pt2")):
        with open_artifact(source) as artifact:
            entry = artifact.programs[0]
            tree = json.loads(artifact.read_program(entry))
            graph = tree["graph_module"]["graph"]
            node = next((one for one in graph["nodes"] if one["target"].startswith(f"torch.ops.{op}.")), None)
            if node is None:
                continue
            change(node, graph)
            with path.open("wb") as file:
                write_archive(artifact.container, {entry.member: json.dumps(tree).encode()}, file)
            return path
    raise AssertionError(f"no artifact has {op}")


@pytest.mark.parametrize(("op", "change", "expected"), CASES.values(), ids=CASES)
def test_contradictions_are_unreadable(tmp_path, op, change, expected):
    path = changed(tmp_path / "model.pt2", op, change)
    before = path.read_bytes()
    for result in (lint(path), fix(path)):
        (found,) = (one for one in result.diagnostics if one.code == "GL001")
        assert expected in found.message
        assert not result.changed
    assert path.read_bytes() == before


@pytest.mark.parametrize("written", ["1", "None", "%x"])
def test_an_op_whose_schema_writes_is_not_functional(written):
    document = document_of(
        f"program TRAINING\ngraph(%x: f32[3]):\n  %relu_: f32[3] = aten.relu_.default({written})\n  return %relu_\n"
    )
    view = ProgramView(document, Settings(enabled=frozenset(), fixable=frozenset()))
    assert view.has_writes
    assert not view.functional
    assert not view.labelled_wrongly
