"""Writing a changed program: what is not understood is written back as it was read, and only what changed is new."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from tests.text_form import document_of, encoded, parse_program, tree_of

from graphlint.artifact.errors import ProgramError
from graphlint.ir.document import Document
from graphlint.ir.edit import GraphEdit, changed_graph, changed_node, mapped, tensor, with_graph, with_operand
from graphlint.ir.model import Argument, NamedArgument, Node, Program
from graphlint.ops.table import check_twins, op_table
from graphlint.passes.tokens import functionalize_checks
from graphlint.semantics.sites import walk


def with_inserted(program: Program, place: int, node: Node) -> Program:
    """The program with one more node in its root graph."""
    nodes = list(program.graph.nodes)
    nodes.insert(place, node)
    return with_graph(program, changed_graph(program.graph, nodes=nodes))


def pieces(data: bytes) -> list[bytes]:
    """The bytes of each node and of what is recorded of each value."""
    opened = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
    graph = opened(opened(opened(data)["graph_module"])["graph"])
    nodes = msgspec.json.decode(graph["nodes"], type=list[msgspec.Raw])
    return [bytes(one) for one in (*nodes, *opened(graph["tensor_values"]).values())]


def test_what_is_not_edited_is_written_as_torch_wrote_it(artifact, programs):
    for data in programs(artifact):
        document = Document.from_bytes(data)
        assert document.to_bytes() == data
        again = document.changed(document.program).to_bytes()
        assert json.loads(again) == json.loads(data)
        if b"Infinity" not in data:
            assert pieces(again) == pieces(data) != []


def test_another_label_is_all_that_changes(artifact, programs):
    for data in programs(artifact):
        relabelled = Document.from_bytes(data).relabelled("OTHER").to_bytes()
        assert json.loads(relabelled) == {**json.loads(data), "verifiers": ["OTHER"]}
        if b"Infinity" not in data:
            assert pieces(relabelled) == pieces(data) != []


def test_an_edited_graph_without_edits_says_the_same(artifact, programs):
    for data in programs(artifact):
        document = Document.from_bytes(data)
        graph = GraphEdit(document.program.graph).untouched()
        written = document.changed(with_graph(document.program, graph)).to_bytes()
        assert written != b""
        assert json.loads(written) == json.loads(data)


CLAMPED = """\
graph(%x: f32[2]):
  %y: f32[2] = aten.clamp.default(%x, -inf, inf)
  mylib.note.default("Infinity, \\"NaN")
  return %y
"""


def bare(tree: dict[str, Any]) -> bytes:
    """The JSON with infinities as torch before 2.7 writes them."""
    data = json.dumps(tree).replace('{"as_float": "-Infinity"}', '{"as_float": -Infinity}')
    return data.replace('{"as_float": "Infinity"}', '{"as_float": Infinity}').encode()


def test_bare_infinities_stay_bare():
    data = bare(parse_program(CLAMPED))
    assert data.count(b": Infinity}") == data.count(b": -Infinity}") == 1
    document = Document.from_bytes(data)
    clamp, note = document.program.graph.nodes
    assert [one.arg.as_float for one in clamp.inputs[1:]] == ["-Infinity", "Infinity"]
    assert document.to_bytes() == data
    inputs = [clamp.inputs[0], with_operand(clamp.inputs[1], Argument(as_float="NaN")), clamp.inputs[2]]
    graph = changed_graph(document.program.graph, nodes=[changed_node(clamp, inputs=inputs), note])
    written = document.changed(with_graph(document.program, graph)).to_bytes()
    assert written.replace(b" ", b"") == data.replace(b": -Infinity}", b": NaN}").replace(b" ", b"")
    assert json.loads(written)["graph_module"]["graph"]["nodes"][1]["inputs"][0]["arg"] == {
        "as_string": 'Infinity, "NaN'
    }


def test_quoted_infinities_stay_quoted():
    data = encoded(parse_program(CLAMPED))
    document = Document.from_bytes(data)
    clamp, note = document.program.graph.nodes
    again = changed_node(clamp, inputs=[*clamp.inputs[:2], with_operand(clamp.inputs[2], Argument(as_float="NaN"))])
    graph = changed_graph(document.program.graph, nodes=[again, note])
    written = document.changed(with_graph(document.program, graph)).to_bytes()
    assert json.loads(written) == json.loads(data.replace(b'{"as_float": "Infinity"}', b'{"as_float": "NaN"}'))


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


def marked_and_edited(sink: str) -> tuple[dict[str, Any], dict[str, Any]]:
    # Through JSON: the parser shares objects between a graph's inputs and the signature.
    tree = json.loads(json.dumps(parse_program(CHECKED)))
    assert {*LEVELS.values()} <= mark(tree)
    document = document_of(tree)
    before = document.to_bytes()
    twins = check_twins()
    sites = [site for site in walk(document.program, op_table(), lambda _: False) if site.node.target in twins]
    assert len(sites) == 2
    edited = document.changed(functionalize_checks(document.program, sites, sink).program)
    assert document.to_bytes() == before  # the original is not touched
    return tree, tree_of(edited)


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_unknown_keys_survive_an_edit_at_every_level(sink):
    before, after = marked_and_edited(sink)
    # The edit moves what it keeps (a new input, a node before the first check), so it is the number that counts.
    assert len(marks(after)) == len(marks(before))
    for level in (after, after["graph_module"], after["graph_module"]["graph"], after["graph_module"]["signature"]):
        assert level[UNKNOWN[0]] == UNKNOWN[1]
    for path in ("yes", "no"):
        (graph,) = (one for name, one in subgraphs(after["graph_module"]["graph"]) if name == path)
        assert graph[UNKNOWN[0]] == UNKNOWN[1]


def subgraphs(graph: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    references = (operand["arg"].get("as_graph") for node in graph["nodes"] for operand in node["inputs"])
    return [(one["name"], one["graph"]) for one in references if one]


SPACED = b'{ "target":"torch.ops.aten.cos.default" ,"more":[1.50e0, "\\u00e9"],'


def test_untouched_nodes_of_an_edited_subgraph_keep_their_bytes():
    """In their own spelling, with what is unknown in them, and so do the values of another subgraph."""
    tree = parse_program(NESTED)
    data = encoded(tree).replace(b'{"target": "torch.ops.aten.cos.default",', SPACED)
    assert data.count(SPACED) == 3
    document = Document.from_bytes(data)

    def edit(node: Node) -> list[Node] | None:
        return [changed_node(node, target="torch.ops.aten.tan.default")] if node.op == "aten.sin.default" else None

    program = with_graph(document.program, mapped(document.program.graph, edit))
    written = document.changed(program).to_bytes()
    assert written.count(SPACED) == 3
    expected = data.replace(b"aten.sin.default", b"aten.tan.default")
    assert json.loads(written) == json.loads(expected) != json.loads(data)
    assert json.loads(document.changed(document.program).to_bytes()) == json.loads(data)


NESTED = """\
graph(%p: b8[], %x: f32[4]):
  %first: f32[4] = aten.cos.default(%x)
  %out: f32[4] = higher_order.cond(%p, @yes, @no, [%first])
    @yes(%a: f32[4]):
      %b: f32[4] = aten.cos.default(%a)
      %q: b8[] = aten.any.default(%a)
      %c: f32[4] = higher_order.cond(%q, @inner, @other, [%b])
        @inner(%d: f32[4]):
          %e: f32[4] = aten.sin.default(%d)
          return %e
        @other(%f: f32[4]):
          %g: f32[4] = aten.neg.default(%f)
          return %g
      return %c
    @no(%h: f32[4]):
      %i: f32[4] = aten.cos.default(%h)
      return %i
  return %out
"""


@pytest.mark.parametrize("older", ["2.1.2", "2.2.2"])
def test_new_arguments_spell_out_what_they_are_not_where_the_file_does(older, artifacts, programs):
    (data,) = programs(artifacts / older / "intermediate.pt2")
    document = Document.from_bytes(data)
    graph = json.loads(data)["graph_module"]["graph"]
    spelled = list(graph["inputs"][0])
    assert spelled.count("as_tensor") == 1 < len(spelled)
    (name, *_) = document.program.graph.inputs[0].names()
    operands = [NamedArgument("self", tensor(name)), NamedArgument("other", Argument(as_float=0.5))]
    made = Node("torch.ops.mylib.new.default", operands, [])
    program = with_inserted(document.program, 0, made)
    written = json.loads(document.changed(program).to_bytes())["graph_module"]["graph"]["nodes"]
    assert written[1:] == graph["nodes"]
    assert [one["arg"] for one in written[0]["inputs"]] == [
        {**dict.fromkeys(spelled), "as_tensor": {"name": name}},
        {**dict.fromkeys(spelled), "as_float": 0.5},
    ]


def test_a_program_that_contradicts_itself_is_no_document():
    document = document_of(CHECKED)
    graph = changed_graph(document.program.graph, nodes=document.program.graph.nodes[1:])
    with pytest.raises(ProgramError, match="reads %gt, which nothing before it defines"):
        document.changed(with_graph(document.program, graph))
