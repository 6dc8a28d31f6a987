"""Real attacks in a program's JSON: live with stock torch, found by GL003, and run neither by check nor by --fix."""

from __future__ import annotations

import contextlib
import json
import os

import pytest

from graphlint.api import fix, lint
from graphlint.archive.artifact import open_artifact
from graphlint.archive.rewrite import write_archive

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


def what_makes_values_for_missing_keys(tree):
    leaf = {"type": None, "context": None, "children_spec": []}
    factory = {"default_factory_module": "os", "default_factory_name": "abort", "dict_context": ["y"]}
    spec = {"type": "collections.defaultdict", "context": factory, "children_spec": [leaf]}
    tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])


def an_enumeration(tree):
    leaf = {"type": None, "context": None, "children_spec": []}
    keys = [{"__enum__": True, "fqn": "payload:Colour", "name": "RED"}]
    spec = {"type": "builtins.dict", "context": json.dumps(keys), "children_spec": [leaf]}
    tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps([1, spec])


ATTACKS = {
    a_size: f'evaluates "{RUN}"',
    a_stride: f'evaluates "Integer({RUN} or 1)"',
    a_guard: f'executes the guard "{RUN} is None"',
    what_makes_values_for_missing_keys: 'has a defaultdict that calls "os.abort"',
    an_enumeration: 'imports "payload:Colour"',
}


@pytest.fixture
def attacked(artifacts, tmp_path, monkeypatch):
    """An artifact with a change of its program. A payload makes the folder ``ran`` in the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
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
        assert found.message == expected
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


@pytest.mark.parametrize("attack", [a_size, a_stride, a_guard, the_name_of_a_value, an_enumeration])
def test_the_attacks_live(attacked, tmp_path, attack):
    path = attacked(attack)
    with contextlib.suppress(Exception):  # what comes of it does not matter
        torch.export.load(path).module()(torch.ones(3, 4))
    assert (tmp_path / "ran").is_dir(), "this is no attack: the test has to find one that is"


def test_a_factory_lives(attacked):
    program = torch.export.load(attacked(what_makes_values_for_missing_keys))
    assert program.call_spec.out_spec._context[0] is os.abort
