"""Editing a program's JSON: what is not edited stays as it was read, to the byte."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ProgramError
from graphlint.ir.decode import decode_program
from graphlint.ir.document import Dialect, Document, GraphEdit, encode
from graphlint.ir.text import parse_program
from graphlint.ops.table import op_table
from graphlint.passes.tokens import TWINS, functionalize_checks
from graphlint.semantics.sites import walk


def test_what_is_not_edited_is_written_as_torch_wrote_it(artifact, programs):
    for data in programs(artifact):
        assert encode(Document.from_bytes(data).tree) == data


def test_bare_infinities_stay_bare():
    tree = parse_program("graph(%x: f32[2]):\n  %y: f32[2] = aten.clamp.default(%x, -inf, inf)\n  return %y\n")
    data = json.dumps(tree).replace('"-Infinity"', "-Infinity").replace('"Infinity"', "Infinity").encode()
    document = Document.from_bytes(data)
    assert [o.arg.as_float for o in document.program.graph.nodes[0].inputs[1:]] == ["-Infinity", "Infinity"]
    assert encode(document.tree) == data


CHECKED = """\
graph(%p: b8[], %x: f32[4]):
  %gt: b8[4] = aten.gt.Scalar(%x, 0)
  %all: b8[] = aten.all.default(%gt)
  aten._assert_async.msg(%all, "negative")
  %out: f32[4] = higher_order.cond(%p, @yes, @no, [%x])
    @yes(%x: f32[4]):
      %any: b8[] = aten.any.default(%x)
      aten._assert_async.msg(%any, "zero")
      %sin: f32[4] = aten.sin.default(%x)
      return %sin
    @no(%x: f32[4]):
      %cos: f32[4] = aten.cos.default(%x)
      return %cos
  return %out
"""
UNKNOWN = ("key_of_a_newer_torch", {"kept": ["as", "it", None, 1.5]})


def mark(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """Adds an unknown key to every object below that has fixed keys; the paths of those objects."""
    marked: set[tuple[Any, ...]] = set()
    if isinstance(value, dict):
        # A union of kinds has one key; tables go by the names of values.
        tables = ("tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values", "custom_obj_values")
        fixed = not (path and path[-1] in (*tables, "metadata", "range_constraints", "opset_version"))
        union = len(value) == 1 and next(iter(value)).startswith(("as_", "user_", "buffer", "parameter", "token"))
        for key, inner in value.items():
            marked |= mark(inner, (*path, key))
        if fixed and not union and value:
            value[UNKNOWN[0]] = copy.deepcopy(UNKNOWN[1])
            marked.add(path)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            marked |= mark(inner, (*path, index))
    return marked


def marks(value: Any, path: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """The paths of the objects that bear the mark."""
    found: set[tuple[Any, ...]] = set()
    if isinstance(value, dict):
        if value.get(UNKNOWN[0]) == UNKNOWN[1]:
            found.add(path)
        for key, inner in value.items():
            found |= marks(inner, (*path, key)) if key != UNKNOWN[0] else set()
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found |= marks(inner, (*path, index))
    return found


NODES = ("graph_module", "graph", "nodes")
CALLER = (*NODES, 3)
LEVELS = {
    "program": (),
    "graph module": ("graph_module",),
    "graph": ("graph_module", "graph"),
    "graph input": ("graph_module", "graph", "inputs", 0, "as_tensor"),
    "node": (*NODES, 2),
    "operand": (*NODES, 2, "inputs", 0),
    "operand's value": (*NODES, 2, "inputs", 0, "arg", "as_tensor"),
    "caller": CALLER,
    "caller's operand": (*CALLER, "inputs", 3),
    "caller's result": (*CALLER, "outputs", 0, "as_tensor"),
    "subgraph reference": (*CALLER, "inputs", 1, "arg", "as_graph"),
    "subgraph": (*CALLER, "inputs", 1, "arg", "as_graph", "graph"),
    "other subgraph's node": (*CALLER, "inputs", 2, "arg", "as_graph", "graph", "nodes", 0),
    "signature": ("graph_module", "signature"),
    "spec": ("graph_module", "signature", "input_specs", 1, "user_input"),
    "tensor meta": ("graph_module", "graph", "tensor_values", "x"),
    "device": ("graph_module", "graph", "tensor_values", "x", "device"),
    "schema version": ("schema_version",),
    "module call": ("graph_module", "module_call_graph", 0),
    "call signature": ("graph_module", "module_call_graph", 0, "signature"),
}
HANDED_IN = (*CALLER, "inputs", 3, "arg", "as_tensors", 0)


def marked_and_edited(sink: str) -> tuple[dict[str, Any], dict[str, Any]]:
    # Through JSON: the parser shares objects between a graph's inputs and the signature.
    tree = json.loads(json.dumps(parse_program(CHECKED)))
    assert {*LEVELS.values(), HANDED_IN} <= mark(tree)
    document = Document.from_tree(tree)
    before = document.to_bytes()
    sites = [site for site in walk(document.program, op_table(), lambda _: False) if site.node.target in TWINS]
    assert len(sites) == 2
    edited = functionalize_checks(document, sites, sink).tree
    assert document.to_bytes() == before  # the original is not touched
    return document.tree, json.loads(Document.from_tree(edited).to_bytes())


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_unknown_keys_survive_an_edit_at_every_level(sink):
    before, after = marked_and_edited(sink)
    # The edit moves what it keeps (a new input, a node before the first check), so it is the number that counts.
    kept = len(marks(after))
    assert kept >= len(marks(before)) - 1
    for level in (after, after["graph_module"], after["graph_module"]["graph"], after["graph_module"]["signature"]):
        assert level[UNKNOWN[0]] == UNKNOWN[1]


def test_unknown_keys_survive_on_the_values_handed_in_beside_the_token():
    before, after = marked_and_edited("buffer")
    assert len(marks(after)) == len(marks(before))


def test_a_dialect_is_what_the_files_own_nodes_show(version, programs, artifacts):
    (data,) = programs(artifacts / version / "clean.pt2")
    number = tuple(map(int, version.split(".")))
    dialect = Dialect.of(decode_program(data).graph)
    assert dialect.kinds == (number >= (2, 7))
    assert dialect.names == (number >= (2, 11))
    assert dialect.single_return_flag == (number >= (2, 7))


def test_new_names_are_free_and_taken_from_then_on():
    document = Document.from_tree(parse_program(CHECKED))
    edit = GraphEdit(document.tree["graph_module"]["graph"], document.program.graph)
    assert [edit.fresh("dep_token"), edit.fresh("dep_token"), edit.fresh("dep_token", 5)] == [
        "dep_token0",
        "dep_token1",
        "dep_token5",
    ]
    assert [edit.claim("x"), edit.claim("x"), edit.claim("y"), edit.claim("y")] == ["x_1", "x_2", "y", "y_1"]
    # subgraphs and nodes without results have names too
    assert [edit.claim("yes"), edit.claim("_assert_async")] == ["yes_1", "_assert_async_1"]


def test_an_edit_leaves_the_original_alone():
    document = Document.from_tree(parse_program(CHECKED))
    before = document.to_bytes()
    edit = GraphEdit(document.tree["graph_module"]["graph"], document.program.graph)
    edit.inputs.clear()
    edit.outputs.clear()
    edit.record("new", {"dtype": 7})
    graph = edit.finish(is_single_tensor_return=True)
    assert (graph["inputs"], graph["outputs"], graph["nodes"]) == ([], [], [])
    assert graph["is_single_tensor_return"] is True
    assert "new" in graph["tensor_values"]
    tree = document.with_graph(graph, signature={})
    assert tree["graph_module"]["signature"] == {}
    assert tree["verifiers"] == document.tree["verifiers"]
    assert document.to_bytes() == before


def test_names_are_numbered_from_the_first_free_one():
    tree = parse_program("graph(%x: f32[2]):\n  %a: f32[2] = aten.sin.default(%x)\n  return %a\n")
    document = Document.from_tree(tree)
    edit = GraphEdit(document.tree["graph_module"]["graph"], document.program.graph)
    assert [edit.claim("a") for _ in range(3)] == ["a_1", "a_2", "a_3"]
    assert [edit.claim("b") for _ in range(2)] == ["b", "b_1"]
    for name in ("a_2", "a_1"):
        edit.record(name, {})
        edit.rename(name, f"{name}_elsewhere")
    assert [edit.claim("a") for _ in range(3)] == ["a_1", "a_2", "a_4"], "renamed ones are free again"
    assert edit.claim("a_1") == "a_1_1"


def test_an_outline_is_the_json_as_far_as_it_goes(artifacts):
    for path in sorted(artifacts.glob("*/*.pt2")):
        with open_artifact(path) as artifact:
            for entry in artifact.programs:
                data = artifact.read_program(entry)
                outline, tree = Document.from_bytes(data).outline, Document.from_bytes(data).tree
                assert outline["graph_module"]["signature"] == tree["graph_module"]["signature"]
                graph, whole = outline["graph_module"]["graph"], tree["graph_module"]["graph"]
                assert list(graph["nodes"]) == graph["nodes"][:] == whole["nodes"]
                assert dict(graph["tensor_values"]) == whole["tensor_values"]
                for key in ("inputs", "outputs", "sym_int_values"):
                    assert graph[key] == whole.get(key, {})


def test_an_outline_parses_a_node_when_it_is_looked_at():
    tree = parse_program("graph(%x: f32[2]):\n  %a: f32[2] = aten.sin.default(%x)\n  return %a\n")
    tree["graph_module"]["graph"]["nodes"][0]["unknown"] = "NUMBER"
    data = encode(tree).replace(b'"NUMBER"', b"1" + b"0" * 5000)
    document = Document.from_bytes(data, "model.json")
    nodes = document.outline["graph_module"]["graph"]["nodes"]
    assert len(nodes) == 1
    with pytest.raises(ProgramError, match=r"^Python cannot read the JSON, and neither can torch: "):
        nodes[0]


@pytest.mark.parametrize("word", [b"Infinity", b"-Infinity", b"NaN"])
def test_where_msgspec_reads_no_outline_there_is_all_of_it(word):
    tree = parse_program("graph(%x: f32[2]):\n  %a: f32[2] = aten.add.Tensor(%x, 1.5)\n  return %a\n")
    document = Document.from_bytes(encode(tree).replace(b"1.5", word))
    assert document.outline is document.tree
