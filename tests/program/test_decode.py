"""What is no program, or contradicts itself, is said to be so, and where."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import Any

import pytest
from tests.text_form import parse_program

from graphlint.artifact.errors import ProgramError
from graphlint.artifact.limits import Limits, raise_it
from graphlint.ir.decode import MAX_NESTING, decode_program
from graphlint.ir.document import Document
from graphlint.rules.linting import lint_view
from graphlint.rules.view import ProgramView

TEXT = """\
graph(%b: f32[4] = buffer "b", %x: f32[4]):
  %sin: f32[4] = aten.sin.default(%x)
  $n: int[u0] = aten.item.default(%x)
  %out: f32[4] = higher_order.cond(True, @yes, @no, [%x])
    @yes(%x: f32[4]):
      %y: f32[4] = aten.cos.default(%x)
      return %y
    @no(%x: f32[4]):
      return %x
  return %out
"""
GRAPH = ("graph_module", "graph")


def edited(*edits: tuple[tuple[Any, ...], Any]) -> bytes:
    """The program with other values at those paths; ``...`` deletes."""
    tree = parse_program(TEXT)
    for path, value in edits:
        place: Any = tree
        for key in path[:-1]:
            place = place[key]
        if value is ...:
            del place[path[-1]]
        else:
            place[path[-1]] = value
    return json.dumps(tree).encode()


def message(data: bytes) -> str:
    with pytest.raises(ProgramError) as caught:
        decode_program(data, "models/model.json")
    assert caught.value.member == "models/model.json"
    return str(caught.value)


def test_the_unedited_program_decodes():
    program = decode_program(edited())
    assert [node.op for node in program.graph.nodes] == ["aten.sin.default", "aten.item.default", "higher_order.cond"]
    assert program.schema == (8, 20)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "broken JSON: Input data was truncated"),
        (b"{", "broken JSON: Input data was truncated"),
        (edited()[:-1], "broken JSON: Input data was truncated"),
        (edited() + b"}", "broken JSON: JSON is malformed: trailing characters"),
        (edited().replace(b'"nodes"', b"nodes", 1), "broken JSON: JSON is malformed: "),
        (b"[]", "not the JSON of an exported program: Expected `object`, got `array`"),
        (b"{}", "not the JSON of an exported program: Object missing required field `graph_module`"),
        (b"NaN", "not the JSON of an exported program: Expected `object`, got `str`"),
        (edited().replace(b"aten.sin", b"aten.\xff"), "the JSON is not valid UTF-8: "),
    ],
)
def test_broken_json(data, expected):
    assert message(data).startswith(expected)


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (("schema_version",), "8", "$.schema_version"),
        (("graph_module",), [], "$.graph_module"),
        ((*GRAPH, "nodes"), {}, "$.graph_module.graph.nodes"),
        ((*GRAPH, "nodes", 1, "target"), 3, "$.graph_module.graph.nodes[1].target"),
        ((*GRAPH, "nodes", 0, "inputs"), ..., "$.graph_module.graph.nodes[0]"),
        ((*GRAPH, "nodes", 0, "inputs", 0, "arg", "as_tensor"), "x", "nodes[0].inputs[0].arg.as_tensor"),
        ((*GRAPH, "tensor_values", "x", "dtype"), "float", "$.graph_module.graph.tensor_values[...].dtype"),
        ((*GRAPH, "tensor_values", "x", "sizes", 0), 4, "tensor_values[...].sizes[0]"),
        ((*GRAPH, "inputs", 0, "as_tensor", "name"), None, "$.graph_module.graph.inputs[0].as_tensor.name"),
        (("graph_module", "signature", "input_specs", 1), "x", "$.graph_module.signature.input_specs[1]"),
        ((*GRAPH, "nodes", 2, "inputs", 1, "arg", "as_graph", "graph"), 1, "nodes[2].inputs[1].arg.as_graph.graph"),
    ],
)
def test_another_shape_is_said_with_its_place_in_the_json(path, value, where):
    text = message(edited((path, value)))
    assert text.startswith("not the JSON of an exported program: ")
    assert where in text.rpartition(" at ")[2] or where in text.rpartition("- at ")[2]


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (
            ((*GRAPH, "nodes", 0, "inputs", 0, "arg", "as_tensor", "name"), "out"),
            "node 0 (aten.sin.default) reads %out, which nothing before it defines",
        ),
        (
            ((*GRAPH, "nodes", 0, "outputs", 0, "as_tensor", "name"), "x"),
            "node 0 (aten.sin.default) defines %x a second time",
        ),
        (
            ((*GRAPH, "nodes", 1, "outputs", 0, "as_sym_int", "as_name"), "sin"),
            "node 1 (aten.item.default) defines %sin",
        ),
        (((*GRAPH, "inputs", 1, "as_tensor", "name"), "b"), "graph input 1 defines %b a second time"),
        (((*GRAPH, "outputs", 0, "as_tensor", "name"), "y"), "output 0 is %y, which nothing defines"),
        (
            ((*GRAPH, "nodes", 2, "inputs", 3, "arg", "as_tensors", 0, "name"), "y"),
            "node 2 (higher_order.cond) reads %y, which nothing before it defines",
        ),
        (
            (
                (*GRAPH, "nodes", 2, "inputs", 1, "arg", "as_graph", "graph", "nodes", 0, "inputs", 0, "arg"),
                {"as_tensor": {"name": "sin"}},
            ),
            "node 0 (aten.cos.default) reads %sin, which nothing before it defines (in cond > yes)",
        ),
        (
            ((*GRAPH, "nodes", 2, "inputs", 2, "arg", "as_graph", "graph", "outputs", 0), {"as_tensor": {"name": "b"}}),
            "output 0 is %b, which nothing defines (in cond > no)",
        ),
        (
            (("graph_module", "signature", "input_specs", 1), ...),
            "the signature describes 1 inputs, the graph has 2",
        ),
        (
            (("graph_module", "signature", "input_specs", 1), {"user_input": {"arg": {"as_tensor": {"name": "y"}}}}),
            "the signature calls input 1 %y, the graph calls it %",
        ),
        (
            (("graph_module", "signature", "output_specs", 0), {"user_output": {"arg": {"as_tensor": {"name": "y"}}}}),
            "the signature calls output 0 %y, the graph calls it %",
        ),
        ((("graph_module", "graph", "outputs", 0), {"name": "y"}), "the signature calls output 0 %"),
        (
            (("graph_module", "signature", "output_specs", 0), {"user_output": {"kept": True}}),
            "the signature's output 0, user_output, is no value of the graph",
        ),
        (
            (("graph_module", "signature", "output_specs"), []),
            "the signature describes 0 outputs, the graph has 1",
        ),
    ],
)
def test_contradictions_are_said_with_their_place_in_the_graph(edit, expected):
    assert message(edited(edit)).startswith(expected)


def test_a_size_that_is_nothing_is_a_program_error_when_it_is_asked_for(all_rules):
    program = decode_program(edited(((*GRAPH, "tensor_values", "x", "sizes", 0), {"as_newer": 4})))
    meta = program.graph.meta("x")
    with pytest.raises(ProgramError, match="neither a number nor an expression"):
        _ = meta.shape


def nested(levels: int) -> bytes:
    """A program with that many regions, each inside the one before, built as text: no recursion here."""
    tree = parse_program("graph(%x: f32[4]):\n  return %x\n")
    value = {"as_tensor": {"name": "x"}}
    opening = json.dumps({"inputs": [value], "outputs": [value], "tensor_values": {}, "nodes": []})[: -len("]}")] + (
        '{"target": "torch.ops.higher_order.wrap", "outputs": [{"as_tensor": {"name": "y"}}], "inputs": '
        '[{"name": "", "arg": {"as_graph": {"name": "g", "graph": '
    )
    innermost = json.dumps({"inputs": [value], "outputs": [value], "tensor_values": {}, "nodes": []})
    closing = '}}}, {"name": "", "arg": {"as_tensor": {"name": "x"}}}]}]}'
    tree["graph_module"]["graph"] = "HERE"
    graph = opening * levels + innermost + closing * levels
    return json.dumps(tree).replace('"HERE"', graph).encode()


@pytest.mark.parametrize("levels", [MAX_NESTING + 1, 300, 2000, 20000])
def test_deep_nesting_is_one_clear_error(levels):
    assert message(nested(levels)) == f"subgraphs are nested more than {MAX_NESTING} levels deep"


def test_nesting_can_be_limited_further():
    assert decode_program(nested(3), limits=Limits(nesting=3)).graph.nodes
    with pytest.raises(ProgramError) as caught:
        decode_program(nested(4), limits=Limits(nesting=3))
    assert str(caught.value) == f"subgraphs are nested more than 3 levels deep: {raise_it('nesting')}"


def test_nodes_are_counted_in_subgraphs_too():
    assert decode_program(nested(7), limits=Limits(nodes=7)).graph.nodes
    with pytest.raises(ProgramError) as caught:
        decode_program(nested(8), limits=Limits(nodes=7))
    assert str(caught.value) == f"the program has 8 nodes, and the limit is 7: {raise_it('nodes')}"


NODE = b'{"target": "torch.ops.aten.relu.default", "inputs": [], "outputs": []}, '


def with_nodes(node: bytes, count: int) -> bytes:
    return nested(1).replace(b'"nodes": [', b'"nodes": [' + node * count, 1)


def test_a_million_nodes_are_refused_before_they_are_decoded():
    data = with_nodes(NODE, 1_000_000)
    tracemalloc.start()
    with pytest.raises(ProgramError, match=r"has 1000001 nodes, and the limit is 250000: raise limits\.nodes"):
        decode_program(data)
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


MANY = {
    "specs": (b'"input_specs": [', b'{"token": {"arg": {"name": "a"}}}, '),
    "numbers": (b'"as_ints": [', b"1, "),
    "unknown keys": (b'"something": [', b"[[[]]], "),
}


@pytest.mark.parametrize(("place", "item"), MANY.values(), ids=MANY)
def test_too_many_values_of_any_kind_are_refused_before_they_are_decoded(place, item):
    data = nested(1).replace(b'"nodes": [', b'"x": {' + place + item * 7000 + b'0]}, "nodes": [', 1)
    tracemalloc.start()
    with pytest.raises(
        ProgramError, match=r"^the program's JSON has about \d+ values, and the limit is 640, 64 for each"
    ):
        decode_program(data, limits=Limits(nodes=10))
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


@pytest.mark.parametrize("place", [b'"nodes": [', b'"outputs": ['])
def test_objects_that_are_too_small_are_refused_before_they_are_decoded(place):
    """Nothing takes less room in a file, and they all take the same in memory."""
    data = nested(1).replace(place, place + b"{}," * 30_000, 1)
    tracemalloc.start()
    with pytest.raises(
        ProgramError, match=r"^the JSON has 3\d+ objects in \d+ bytes: those of a program are not so small"
    ):
        decode_program(data)
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_nodes_cannot_hide_from_the_count():
    data = with_nodes(NODE.replace(b"target", b"t\\u0061rget"), 2000)
    with pytest.raises(ProgramError, match="has 2001 nodes, and the limit is 1000"):
        decode_program(data, limits=Limits(nodes=1000))


DEPTHS = {"arrays": "[" * 1_000_000 + "]" * 1_000_000, "objects": '{"a": ' * 1_000_000 + "1" + "}" * 1_000_000}


@pytest.mark.parametrize("deep", DEPTHS.values(), ids=DEPTHS)
@pytest.mark.parametrize("place", ['"nodes": [', '"schema_version": {', '"graph_module": {'])
def test_a_depth_of_a_million(place, deep):
    """Among nodes, among the keys that graphlint reads, and among those that it skips."""
    value = f"{deep}, " if place.endswith("[") else f'"x": {deep}, '
    with pytest.raises(ProgramError, match=r"nested more than 100 levels deep|not the JSON of an exported program"):
        decode_program(nested(1).replace(place.encode(), (place + value).encode(), 1))


@pytest.mark.parametrize("levels", [1, 10, MAX_NESTING])
def test_nesting_within_the_limit_is_read_and_linted(levels, all_rules):
    document = Document.from_bytes(nested(levels))
    depth, graph = 0, document.program.graph
    while graph.nodes:
        (sub,) = graph.nodes[0].subgraphs()
        depth, graph = depth + 1, sub.graph
    assert depth == levels
    lint_view(ProgramView(document, all_rules), "model", "model.pt2", all_rules)


def test_infinities_and_nan_as_bare_words_and_as_strings():
    argument = (*GRAPH, "nodes", 0, "inputs", 0, "arg")
    for value in ("Infinity", "-Infinity", "NaN"):
        quoted = edited((argument, {"as_floats": [value, 1.5]}))
        bare = quoted.replace(f'"{value}"'.encode(), value.encode())
        assert bare != quoted
        for data in (quoted, bare):
            assert decode_program(data).graph.nodes[0].inputs[0].arg.as_floats == [value, 1.5]


def test_words_in_strings_are_no_infinities():
    argument = (*GRAPH, "nodes", 0, "inputs", 0, "arg")
    text = 'say \\"NaN\\": -Infinity, \\\\'
    data = edited((argument, {"as_strings": [text, "x", "Infinity"]}), ((*GRAPH, "nodes", 0, "name"), "HERE"))
    data = data.replace(b'"HERE"', b'"HERE", "bare": [Infinity, -Infinity, NaN]')
    node = decode_program(data).graph.nodes[0]
    assert node.inputs[0].arg.as_strings == [text, "x", "Infinity"]
    assert node.name == "HERE"


def test_argument_kinds_of_a_newer_torch_are_tolerated(all_rules, default_rules):
    future = {"as_future_thing": {"name": "x", "of": [1, {"as_tensor": {"name": "nowhere"}}]}}
    document = Document.from_bytes(
        edited(
            ((*GRAPH, "nodes", 0, "inputs", 0, "arg"), future),
            (("graph_module", "graph", "nodes", 1, "outputs", 0), copy.deepcopy(future)),
            (("graph_module", "signature", "input_specs", 0), {"future_input": {"arg": {"name": "b"}}}),
            (("graph_module", "signature", "output_specs", 0), {"future_output": {"arg": {"name": "b"}}}),
        )
    )
    argument = document.program.graph.nodes[0].inputs[0].arg
    assert (argument.kind, argument.value, argument.names()) == ("as_none", None, [])
    assert lint_view(ProgramView(document, default_rules), "model", "model.pt2", default_rules) == []
    lint_view(ProgramView(document, all_rules), "model", "model.pt2", all_rules)


def flips(data: bytes, offset: int) -> list[bytes]:
    """The program with one byte changed, at every 37th place."""
    found = []
    for position in range(offset, len(data), 37):
        flipped = bytearray(data)
        flipped[position] ^= 1 << (position % 7)
        found.append(bytes(flipped))
    return found


@pytest.mark.parametrize(("of", "case"), [("2.13.0", "cond_assert"), ("2.5.1", "print"), ("2.1.2", "buffer_counter")])
def test_a_flipped_byte_decodes_or_is_a_program_error(of, case, programs, artifacts, all_rules):
    (data,) = programs(artifacts / of / f"{case}.pt2")
    decoded = refused = 0
    for damaged in flips(data, offset=len(case)):
        try:
            document = Document.from_bytes(damaged)
        except ProgramError:
            refused += 1
            continue
        decoded += 1
        try:
            lint_view(ProgramView(document, all_rules), "model", "model.pt2", all_rules)
        except ProgramError:
            refused += 1
    assert decoded > 30
    assert refused > 10


def test_names_are_of_bounded_length():
    tree = {
        "graph_module": {
            "graph": {
                "inputs": [{"as_tensor": {"name": "x" * 2001}}],
                "outputs": [],
                "nodes": [],
                "tensor_values": {},
            },
            "signature": {"input_specs": [{}], "output_specs": []},
            "module_call_graph": [],
        },
        "schema_version": {"major": 8},
    }
    with pytest.raises(ProgramError, match="a name has 2001 characters, and the most is 2000"):
        decode_program(json.dumps(tree).encode())
