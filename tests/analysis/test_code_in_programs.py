"""Real attacks in a program's JSON: live with stock torch, found by GL003, and run neither by check nor by --fix."""

from __future__ import annotations

import collections
import contextlib
import io
import json
import logging
import os
import sys

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import write_archive
from graphlint.ir.document import Document
from graphlint.ir.executable import program_code
from graphlint.run.api import fix, lint

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

RUN = "__import__('os').mkdir('ran')"


def a_size(tree):
    tree["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0] = {
        "as_expr": {"expr_str": RUN, "hint": {"as_int": 3}}
    }


def a_stride(tree):
    tree["graph_module"]["graph"]["tensor_values"]["x"]["strides"][0] = {
        "as_expr": {"expr_str": f"Integer({RUN} or 1)", "hint": None}
    }


def a_guard(tree):
    tree["guards_code"] = [f"{RUN} is None"]


def the_name_of_a_value(tree):
    text = json.dumps(tree["graph_module"])
    tree["graph_module"] = json.loads(
        text.replace('"name": "x"', f'"name": "x={RUN}"').replace('"x": {', f'"x={RUN}": {{')
    )


def a_size_beside_that_of_torch_2_1(tree):
    value = tree["graph_module"]["graph"]["tensor_values"]["x"]
    value["meta"] = json.loads(json.dumps(value))
    a_size(tree)


def a_graph_that_is_called_metadata(tree):
    graph = tree["graph_module"]["graph"]
    inner = {"dtype": 7, "sizes": [{"as_expr": {"expr_str": RUN, "hint": None}}], "requires_grad": False}
    inner |= {"device": {"type": "cpu", "index": None}, "strides": [], "storage_offset": {"as_int": 0}, "layout": 7}
    called = {"inputs": [{"as_tensor": {"name": "y"}}], "outputs": [{"as_tensor": {"name": "y"}}], "nodes": []}
    called |= {"tensor_values": {"y": inner}, "sym_int_values": {}, "sym_bool_values": {}, "custom_obj_values": {}}
    argument = {"as_string_to_argument": {"metadata": {"as_graph": {"name": "called", "graph": called}}}}
    graph["nodes"].insert(0, _node("torch.ops.higher_order.cond", [argument]))


def _node(target, arguments, result=None):
    outputs = [{"as_tensor": {"name": result}}] if result else [{"as_none": True}]
    inputs = [{"name": "", "arg": argument, "kind": 1} for argument in arguments]
    return {"target": target, "inputs": inputs, "outputs": outputs, "metadata": {}, "is_hop_single_tensor_return": True}


def an_op_given_to_another(tree):
    graph = tree["graph_module"]["graph"]
    graph["tensor_values"]["opened"] = graph["tensor_values"]["x"]
    operator = {"as_operator": "torch.ops.aten.from_file.default"}
    arguments = [operator, {"as_string": "ran"}, {"as_bool": True}, {"as_int": 10}]
    graph["nodes"].insert(0, _node("torch.ops.higher_order.wrap", arguments, "opened"))


def what_makes_values_for_missing_keys(tree):
    leaf = {"type": None, "context": None, "children_spec": []}
    factory = {"default_factory_module": "os", "default_factory_name": "abort", "dict_context": ["y"]}
    spec = {"type": "collections.defaultdict", "context": factory, "children_spec": [leaf]}
    tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])


COLOUR = json.dumps({"__enum__": True, "fqn": "payload:Colour", "name": "RED"})


def _returns_a_dict(tree, keys):
    leaf = {"type": None, "context": None, "children_spec": []}
    spec = {"type": "builtins.dict", "context": keys, "children_spec": [leaf]}
    tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])


def an_enumeration(tree):
    _returns_a_dict(tree, f"[{COLOUR}]")


def an_enumeration_that_another_value_replaces(tree):
    _returns_a_dict(tree, f'{{"a": {COLOUR}, "a": 1}}')


ATTACKS = {
    a_size: f'evaluates "{RUN}"',
    a_stride: f'evaluates "Integer({RUN} or 1)"',
    a_guard: f'executes the guard "{RUN} is None"',
    what_makes_values_for_missing_keys: 'has a defaultdict that calls "os.abort"',
    an_enumeration: 'imports "payload:Colour"',
    an_enumeration_that_another_value_replaces: "has a structure that cannot be read: ",
    a_size_beside_that_of_torch_2_1: f'evaluates "{RUN}"',
    a_graph_that_is_called_metadata: f'evaluates "{RUN}"',
    an_op_given_to_another: "runs torch.ops.aten.from_file.default, which opens a file",
}


@pytest.fixture
def attacked(artifacts, tmp_path, monkeypatch):
    """An artifact with a change of its program. A payload makes the folder ``ran`` in the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "payload", raising=False)
    (tmp_path / "payload.py").write_text(f"{RUN}\nimport enum\nColour = enum.Enum('Colour', ['RED'])\n")

    def make(change):
        path = tmp_path / "model.pt2"
        with open_artifact(artifacts / "2.13.0" / "async_assert.pt2") as original:
            (entry,) = original.programs
            tree = json.loads(original.read_program(entry))
            change(tree)
            with path.open("wb") as file:
                write_archive(original.container, {entry.member: json.dumps(tree).encode()}, file)
        return path

    return make


@pytest.mark.parametrize(("attack", "expected"), ATTACKS.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_code_in_programs_is_found_and_not_run(attacked, tmp_path, attack, expected):
    path = attacked(attack)
    for result in (lint(path), fix(path)):
        (found,) = [one for one in result.diagnostics if one.code == "GL003"]
        assert found.message.startswith(expected)
        assert found.member == "async_assert/models/model.json"
    assert not (tmp_path / "ran").exists()


def test_names_that_are_code_are_refused(attacked, tmp_path):
    path = attacked(the_name_of_a_value)
    before = path.read_bytes()
    for result in (lint(path), fix(path)):
        (found,) = result.diagnostics
        assert (found.code, found.message) == ("GL001", f'"x={RUN}" is the name of a value, and is no name')
        assert found.fix.message == "do not load it: torch puts names of values into the source that it runs"
    assert path.read_bytes() == before
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "attack", [*(one for one in ATTACKS if one is not what_makes_values_for_missing_keys), the_name_of_a_value]
)
def test_the_attacks_live(attacked, tmp_path, attack):
    path = attacked(attack)
    with contextlib.suppress(Exception):  # what comes of it does not matter
        torch.export.load(path).module()(torch.ones(3, 4))
    assert (tmp_path / "ran").exists(), "this is no attack: the test has to find one that is"


def test_a_factory_lives(attacked):
    program = torch.export.load(attacked(what_makes_values_for_missing_keys))
    assert program.call_spec.out_spec._context[0] is os.abort


class TakesAString(torch.nn.Module):
    def forward(self, x, mode):
        return x + 1


class TakesADict(torch.nn.Module):
    def forward(self, inputs):
        return inputs["x"] + 1


KEY = 'x"+str(__import__(str().join([chr(111),chr(115)])).mkdir(str().join([chr(114),chr(97),chr(110)])))+"'
"""The same payload without quotes inside and without letters between them."""


def _attacked_string(path):
    torch.export.save(torch.export.export(TakesAString(), (torch.ones(3, 4), "plain")), path)
    with open_artifact(path) as original:
        (entry,) = original.programs
        changed = original.read_program(entry).replace(b'"plain"', json.dumps(f"' or {RUN} or '").encode())
        return {entry.member: changed}, (torch.ones(3, 4), "plain")


def _attacked_key(path):
    torch.export.save(torch.export.export(TakesADict(), ({"x": torch.ones(3, 4)},)), path)
    with open_artifact(path) as original:
        (member,) = (name for name in original.container.members if "/sample_inputs/" in name)
    inputs = io.BytesIO()
    torch.save((({KEY: torch.ones(3, 4)},), {}), inputs)
    return {member: inputs.getvalue()}, ({"x": torch.ones(3, 4)},)


@pytest.mark.parametrize("attack", [_attacked_string, _attacked_key])
def test_code_in_inputs(tmp_path, monkeypatch, attack):
    monkeypatch.chdir(tmp_path)
    plain, path = tmp_path / "plain.pt2", tmp_path / "model.pt2"
    changes, inputs = attack(plain)
    assert [one for one in lint(plain).diagnostics if one.code == "GL003"] == []
    with open_artifact(plain) as original, path.open("wb") as file:
        write_archive(original.container, changes, file)
    (found,) = [one for one in lint(path).diagnostics if one.code == "GL003"]
    assert found.message.startswith(("has the string ", "has an input named "))
    with contextlib.suppress(Exception):
        torch.export.load(path).module()(*inputs)
    assert (tmp_path / "ran").is_dir(), "this is no attack: the test has to find one that is"


def exported(function, *inputs, **options):
    class Calls(torch.nn.Module):
        def forward(self, x):
            return function(x)

    return torch.export.export(Calls(), inputs, **options)


class OddNames(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.parts = torch.nn.ModuleDict({name: torch.nn.Linear(4, 4) for name in ("x (1)", "it's", "a=b", "[0]", "é")})

    def forward(self, x):
        for part in self.parts.values():
            x = part(x)
        return x


def _checked_size(inputs):
    x = inputs["loss (mean); #1"]
    return {"all [0]": x + 1 if x.shape[0] > 2 else x}


def _zeros(count):
    return torch.zeros(count) + 1


STOCK = {
    "keys": lambda: exported(
        _checked_size,
        {"loss (mean); #1": torch.ones(5, 4)},
        dynamic_shapes={"x": {"loss (mean); #1": {0: torch.export.Dim.AUTO}}},
    ),
    "a key with a tab": lambda: exported(lambda x: x["a\t\\"] + 1, {"a\t\\": torch.ones(5, 4)}),
    "a dict beside another value": lambda: exported(lambda x: (x, {"a (b)": x + 1, "it's": x + 2}), torch.ones(3, 4)),
    "names of modules": lambda: torch.export.export(OddNames(), (torch.ones(3, 4),)),
    "a default": lambda: exported(lambda x: x["a"][0] + 1, collections.defaultdict(list, a=[torch.ones(3)])),
    "a queue": lambda: exported(lambda x: x[0] + 1, collections.deque([torch.ones(3)], maxlen=3)),
    "vmap": lambda: exported(torch.vmap(lambda x: x.sin() * 2), torch.ones(3, 4)),
    "a power": lambda: exported(
        lambda x: x * x.shape[0] ** 0.5, torch.ones(8, 6), dynamic_shapes={"x": {0: torch.export.Dim.AUTO}}
    ),
    "a root": lambda: exported(
        lambda x: _zeros(int(torch.sym_sqrt(x.shape[0]) * 2)),
        torch.ones(8, 6),
        dynamic_shapes={"x": {0: torch.export.Dim.AUTO}},
    ),
}


@pytest.mark.parametrize("make", STOCK.values(), ids=STOCK)
def test_what_torch_writes_is_no_code(tmp_path, make):
    path = tmp_path / "model.pt2"
    torch.export.save(make(), path)
    logging.disable(logging.WARNING)  # torch's warning about pickles is malformed
    try:
        torch.export.load(path).module()
    finally:
        logging.disable(logging.NOTSET)
    assert [one for one in lint(path).diagnostics if one.code == "GL003"] == []
    with open_artifact(path) as artifact:
        (entry,) = artifact.programs
        assert program_code(Document.from_bytes(artifact.read_program(entry)).program, strict=True) is None


def test_json_that_python_cannot_read_is_unreadable(attacked):
    path = attacked(a_guard)
    with open_artifact(path) as original, path.with_name("other.pt2").open("wb") as file:
        (entry,) = original.programs
        data = original.read_program(entry).replace(b'"schema_version"', b'"x": ' + b"9" * 5000 + b', "schema_version"')
        write_archive(original.container, {entry.member: data}, file)
    for result in (lint(path.with_name("other.pt2")), fix(path.with_name("other.pt2"))):
        (found,) = result.diagnostics
        assert found.code == "GL001"
