"""The text form: what was printed parses to the same program, and what does not parse is said to be where."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.text_form import TextFormError, document_of, parse_program, print_program

from graphlint.ir.decode import decode_program
from graphlint.ir.expressions import canonical
from graphlint.ir.model import Argument, Graph, Node, Program, SymSize
from graphlint.ops.table import op_table
from graphlint.report.graphs.text import print_node

# -- what the text tells of a program


def number(value: Any) -> Any:
    """Infinities and NaN are strings in some files; NaN equals itself here."""
    if isinstance(value, str):
        value = float(value)
    return "nan" if isinstance(value, float) and math.isnan(value) else value


def told(argument: Argument) -> Any:
    """What the text tells of an argument: its kind and its value, in one spelling for all torch versions."""
    kind, value = argument.kind, argument.value
    match kind:
        case "as_none":
            return kind
        case "as_graph":
            return kind, value.name
        case "as_tensor" | "as_tensors" | "as_optional_tensor" | "as_optional_tensors" | "as_nested_tensors":
            return kind, argument.tensors()
        case "as_sym_int" | "as_sym_float" | "as_sym_bool":
            return kind, value.as_name
        case "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
            return kind, [(ref.as_name, ref.literal) for ref in value]
        case "as_float":
            return kind, number(value)
        case "as_floats":
            return kind, [number(item) for item in value]
        case "as_device":
            return kind, str(value)
        case "as_operator":
            return kind, value.removeprefix("torch.ops.")
        case "as_custom_obj":
            return kind, value.name, value.class_fqn
        case "as_string_to_argument":
            return kind, {key: told(inner) for key, inner in value.items()}
        case _:
            return kind, value


def told_of_meta(graph: Graph, name: str) -> Any:
    meta = graph.meta(name)
    if meta is None:
        return None
    offset = meta.storage_offset.value if isinstance(meta.storage_offset, SymSize) else meta.storage_offset
    device = str(meta.device or "cpu")
    return meta.dtype, meta.shape, meta.stride, device, offset or 0, meta.layout, meta.requires_grad


def told_of_symbol(graph: Graph, name: str) -> Any:
    for table in (graph.sym_int_values, graph.sym_float_values, graph.sym_bool_values):
        if name in table:
            entry = table[name]
            if not isinstance(entry, dict):
                return None
            if isinstance(entry.get("as_expr"), dict):
                return canonical(entry["as_expr"]["expr_str"])
            literals = [entry[key] for key in ("as_int", "as_float", "as_bool") if entry.get(key) is not None]
            return str(literals[0]) if literals else None
    raise AssertionError(f"${name} is in no table")


def told_of_values(graph: Graph, arguments: list[Argument]) -> Any:
    told_all: list[Any] = []
    for argument in arguments:
        told_all += [told_of_meta(graph, name) for name in argument.tensors() if name is not None]
        told_all += [told_of_symbol(graph, name) for name in argument.symbols()]
    return told_all


def operands(node: Node) -> list[tuple[str | None, Any]]:
    """Operands in order; their names where the op's schema has names."""
    info = op_table().lookup(node.target)
    named = info is not None and info.schema is not None
    return [(operand.name if named else None, told(operand.arg)) for operand in node.inputs]


def told_of_graph(graph: Graph) -> Any:
    return {
        "inputs": [told(argument) for argument in graph.inputs],
        "input types": told_of_values(graph, graph.inputs),
        "outputs": [told(argument) for argument in graph.outputs],
        "bare": graph.is_single_tensor_return,
        "constants": set(graph.constants),
        "nodes": [
            {
                "target": node.target,
                "operands": operands(node),
                "keywords": [operand.arg_kind == 2 for operand in node.inputs if operand.arg_kind is not None],
                "results": [told(output) for output in node.outputs],
                "types": told_of_values(graph, node.outputs),
                "subgraphs": [(sub.name, told_of_graph(sub.graph)) for sub in node.subgraphs()],
            }
            for node in graph.nodes
        ],
    }


def told_of_signature(program: Program) -> Any:
    signature = program.graph_module.signature
    names = {"parameter": "parameter_name", "buffer": "buffer_name", "tensor_constant": "tensor_constant_name"}
    names |= {"custom_obj": "custom_obj_name", "buffer_mutation": "buffer_name"}
    names |= {"parameter_mutation": "parameter_name", "user_input_mutation": "user_input_name"}
    result: list[Any] = []
    for specs in (signature.input_specs, signature.output_specs):
        told_specs: list[Any] = []
        for spec in specs:
            (kind,) = [field for field in spec.__struct_fields__ if getattr(spec, field) is not None]
            given = getattr(spec, kind)
            kept = () if kind != "buffer" else (given.persistent is False,)
            told_specs.append((kind, getattr(given, names[kind]) if kind in names else None, *kept))
        result.append(told_specs)
    return tuple(result)


def told_of_program(program: Program) -> Any:
    ranges = {
        symbol: (bounds.get("min_val"), bounds.get("max_val")) if isinstance(bounds, dict) else tuple(bounds)
        for symbol, bounds in program.range_constraints.items()
    }
    return program.dialects, ranges, told_of_graph(program.graph)


def test_print_and_parse_are_inverse_on_every_artifact(artifact, programs):
    for data in programs(artifact):
        program = decode_program(data)
        text = print_program(program)
        parsed = document_of(text).program
        assert print_program(parsed) == text

        before, after = told_of_program(program), told_of_program(parsed)
        old = program.graph.nodes and all(o.arg_kind is None for node in program.graph.nodes for o in node.inputs)
        if old:  # torch before 2.7 does not say which operands were passed by keyword
            forget_keywords(after[2])
        assert after == before

        inputs, outputs = told_of_signature(program)
        if program.graph_module.signature.input_specs is None:
            inputs = [(kind, name, False) if kind == "buffer" else (kind, name) for kind, name in inputs]
        assert told_of_signature(parsed) == (inputs, outputs)


def forget_keywords(graph: dict[str, Any]) -> None:
    for node in graph["nodes"]:
        node["keywords"] = []
        for _, sub in node["subgraphs"]:
            forget_keywords(sub)


def test_one_node_prints_as_its_line_in_the_program(artifact, programs):
    for data in programs(artifact):
        program = decode_program(data)
        lines = [line.strip() for line in print_program(program).splitlines()]
        for node in program.graph.nodes:
            assert print_node(program.graph, node) in lines


# -- values

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
ints = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=True, allow_infinity=True, width=64)
some_floats = st.lists(floats, min_size=1, max_size=3)


def json_float(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


TENSORS, SYMBOLS = ("x", "y_1"), {"n": "as_sym_int", "f": "as_sym_float", "b": "as_sym_bool"}
tensors = st.sampled_from(TENSORS).map(lambda name: {"name": name})
optional = st.one_of(
    tensors.map(lambda ref: {"as_tensor": ref}),
    st.just({"as_none": True}),
)
arguments = st.one_of(
    st.just({"as_none": True}),
    tensors.map(lambda ref: {"as_tensor": ref}),
    st.lists(tensors, max_size=3).map(lambda refs: {"as_tensors": refs}),
    st.lists(optional, max_size=3).map(lambda refs: {"as_optional_tensors": refs}),
    optional.map(lambda ref: {"as_optional_tensor": ref}),
    st.lists(st.lists(tensors, min_size=1, max_size=2), min_size=1, max_size=2).map(
        lambda refs: {"as_nested_tensors": refs}
    ),
    ints.map(lambda value: {"as_int": value}),
    st.lists(ints, max_size=3).map(lambda values: {"as_ints": values}),
    st.lists(st.lists(ints, min_size=1, max_size=2), min_size=1, max_size=2).map(lambda v: {"as_int_lists": v}),
    floats.map(lambda value: {"as_float": json_float(value)}),
    st.lists(floats, max_size=3).map(lambda values: {"as_floats": [json_float(value) for value in values]}),
    st.booleans().map(lambda value: {"as_bool": value}),
    st.lists(st.booleans(), max_size=3).map(lambda values: {"as_bools": values}),
    texts.map(lambda value: {"as_string": value}),
    st.lists(texts, max_size=3).map(lambda values: {"as_strings": values}),
    st.sampled_from([*range(1, 14), *range(28, 36)]).map(lambda value: {"as_scalar_type": value}),
    st.integers(1, 7).map(lambda value: {"as_layout": value}),
    st.integers(1, 4).map(lambda value: {"as_memory_format": value}),
    st.tuples(st.sampled_from(["cpu", "cuda", "meta"]), st.none() | st.integers(0, 7)).map(
        lambda device: {"as_device": {"type": device[0], "index": device[1]}}
    ),
    st.just({"as_operator": "torch.ops.aten.add.Tensor"}),
    st.tuples(names, texts).map(lambda pair: {"as_custom_obj": {"name": pair[0], "class_fqn": pair[1]}}),
    st.tuples(floats, floats)
    .filter(lambda pair: all(map(math.isfinite, pair)))
    .map(lambda pair: {"as_complex": {"real": pair[0], "imag": pair[1]}}),
    st.sampled_from(sorted(SYMBOLS)).map(lambda name: {SYMBOLS[name]: {"as_name": name}}),
    st.lists(st.one_of(st.just({"as_name": "n"}), ints.map(lambda v: {"as_int": v})), max_size=3).map(
        lambda refs: {"as_sym_ints": refs}
    ),
    st.dictionaries(texts, ints.map(lambda v: {"as_int": v}), max_size=2).map(
        lambda items: {"as_string_to_argument": items}
    ),
)
TEMPLATE = """\
graph(%x: f32[2], %y_1: f32[2], $n: int, $f: float, $b: bool):
  mylib.op.default()
  return %x
"""


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(names, arguments, st.booleans()), max_size=4))
def test_arguments_round_trip(given_arguments):
    tree = parse_program(TEMPLATE)
    inputs = [
        {"name": name if keyword else "", "arg": argument, "kind": 2 if keyword else 1}
        for name, argument, keyword in given_arguments
    ]
    tree["graph_module"]["graph"]["nodes"][0]["inputs"] = inputs
    program = document_of(tree).program
    text = print_program(program)
    parsed = document_of(text).program
    before, after = program.graph.nodes[0], parsed.graph.nodes[0]
    assert [told(operand.arg) for operand in after.inputs] == [told(operand.arg) for operand in before.inputs]
    assert [(o.name, o.arg_kind) for o in after.inputs] == [(o.name, o.arg_kind) for o in before.inputs]


@pytest.mark.parametrize(
    "written",
    [
        *("f32[2, 3]", "f32[]", "f32[2, 3]{1, 2}", "bf16[0]", "i64[s0, 2*s0 + 1]", "f32[s0, 4]{1, s0}"),
        *("b8[4] @cuda:1", "f8e4m3fn[2] @meta", "f32[4] +3", "f32[2, 2]{1, 2} @cuda:0 +s0 grad"),
        "c64[2] layout=sparse_coo grad",
    ],
)
def test_types_round_trip(written):
    text = f"program TRAINING\ngraph(%x: {written}):\n  return %x\n"
    assert print_program(document_of(text).program) == text


WHOLE = """\
program ATEN
range s77 = [2, 64]
range u0 = [0, None]
graph(%p_w: f32[4] = parameter "layers.0.w", %b: f32[1] = buffer "b", %t: f32[1] = buffer "t" non-persistent, \
%c: f32[4] = tensor_constant "c", %token: f32[] = token, %x: f32[s77, 4], %i: i64[]):
  $item: int[u0] = aten.item.default(%i)
  $ge: bool[u0 >= 2] = _operator.ge($item, 2)
  aten._assert_scalar.default($ge, "at least \\"2\\"")
  [%a: f32[s77, 2]{4, 1}, %z: f32[s77, 2]{4, 1}] = aten.split.Tensor(%x, 2, -1)
  %values: f32[s77], %indices: i64[s77] = aten.max.dim(%x, 1)
  None, %g: f32[4] = mylib.two.default([%p_w?, None], [%a, %z], scale=-inf)
  %out: f32[s77, 4] = higher_order.cond($ge, @true_graph_0, @false_graph_0, [%x])
    @true_graph_0(%x: f32[s77, 4]):
      %sin: f32[s77, 4] = aten.sin.default(%x)
      return %sin
    @false_graph_0(%x: f32[s77, 4]):
      return! %x
  return token <- %token, buffer "b" <- %b, parameter "layers.0.w" <- %g, input "x" <- %out, %values, None, 3
"""


def test_everything_in_one_program():
    program = document_of(WHOLE).program
    assert print_program(program) == WHOLE
    assert program.dialects == ("ATEN",)
    assert [node.op for node in program.graph.nodes[-2:]] == ["mylib.two.default", "higher_order.cond"]
    assert [told(output) for output in program.graph.nodes[-2].outputs] == ["as_none", ("as_tensor", ["g"])]
    bare = [sub.graph.is_single_tensor_return for sub in program.graph.nodes[-1].subgraphs()]
    assert bare == [False, True]
    assert [spec.buffer.persistent for spec in program.graph_module.signature.input_specs if spec.buffer] == [
        True,
        False,
    ]


def test_strings_stay_on_their_line_and_hold_no_control_characters():
    written = "a\nb\x85c\u2028d\x1b[31m\u202ee\U000e0001 \u00e4\U0001f600"
    tree = parse_program(TEMPLATE)
    operand = {"name": "", "arg": {"as_string": written}, "kind": 1}
    tree["graph_module"]["graph"]["nodes"][0]["inputs"] = [operand]
    text = print_program(document_of(tree).program)
    assert len(text.splitlines()) == len(text.split("\n")) - 1 == 4
    assert text.replace("\n", "").isprintable()
    assert "\u00e4\U0001f600" in text
    parsed = document_of(text).program
    assert parsed.graph.nodes[0].inputs[0].arg.as_string == written


def test_comments_and_empty_lines_are_skipped():
    commented = "# a graph\n\n" + WHOLE.replace("  $ge", "  # compare\n\n  $ge")
    assert parse_program(commented) == parse_program(WHOLE)


def test_positional_operands_take_the_names_of_the_schema():
    node = document_of(WHOLE).program.graph.nodes[4]
    assert [(operand.name, operand.arg_kind) for operand in node.inputs] == [("self", 1), ("dim", 1)]


# -- errors

HEAD = "graph(%x: f32[4]):\n"
ERRORS = {
    "nothing": ("", 1, "the text ends in the middle of a graph"),
    "no graph": ("hello(%x)", 1, "'hello' where 'graph' was expected"),
    "no return": (f"{HEAD}  %y: f32[4] = aten.sin.default(%x)\n", 3, "the text ends in the middle of a graph"),
    "dedented": (f"{HEAD}return %x", 2, "a graph without a return"),
    "after the end": (f"{HEAD}  return %x\n  return %x\n", 3, "more after the end of the root graph"),
    "unknown dtype": ("graph(%x: f33[4]):\n  return %x", 1, "'f33' is no dtype"),
    "unclosed": (f"{HEAD}  %y: f32[4] = aten.sin.default(%x\n  return %y", 2, "the line ends where ',' was expected"),
    "no equals": (f"{HEAD}  %y: f32[4] aten.sin.default(%x)\n  return %y", 2, "'aten.sin.default' where ','"),
    "undefined symbol": (f"{HEAD}  aten.f.default($n)\n  return %x", 2, "$n is used before it is defined"),
    "mixed list": (f'{HEAD}  aten.f.default([1, "a"])\n  return %x', 2, "a list of values of different kinds"),
    "no value": (f"{HEAD}  aten.f.default(nonsense)\n  return %x", 2, "'nonsense' is no value"),
    "no token": (f"{HEAD}  aten.f.default(\u00a7)\n  return %x", 2, "cannot read"),
    "input kind": ('graph(%x: f32[4] = weight "w"):\n  return %x', 1, "'weight' is no kind of input"),
    "output kind": (f'{HEAD}  return weight "w" <- %x', 2, "'weight' is no kind of output"),
    "symbol type": ("graph($n: tensor):\n  return $n", 1, "'tensor' is no type of a symbolic scalar"),
    "no body": (f"{HEAD}  higher_order.wrap(@g, %x)\n  return %x", 3, "the body of @g was expected"),
    "other body": (f"{HEAD}  higher_order.wrap(@g, %x)\n    @h():\n      return\n  return %x", 3, "the body of @g was"),
    "layout": ("graph(%x: f32[4] layout=odd):\n  return %x", 1, "'odd' is no layout"),
    "unnamed kind": ("graph(%x: f32[4] = buffer b):\n  return %x", 1, "'b' where a string was expected"),
    "range": ("range s0 = [low, 2]\ngraph():\n  return", 1, "'low' is no bound"),
    "unquoted key": (f"{HEAD}  aten.f.default({{a: 1}})\n  return %x", 2, "'a' where a string was expected"),
    "unquoted device": (f"{HEAD}  aten.f.default(device(cpu))\n  return %x", 2, "'cpu' where a string was expected"),
    "no op": (f"{HEAD}  %y: f32[4] = (%x)\n  return %y", 2, "'(' where an op was expected"),
    "bare word": (f"{HEAD}  sin(%x)\n  return %x", 2, "'sin' is no op"),
    "graph output": (f"{HEAD}  return buffer b <- %x", 2, "'b' where a string was expected"),
    "complex": (f"{HEAD}  aten.f.default(complex(a, b))\n  return %x", 2, "'a' where a number was expected"),
    "device index": (f'{HEAD}  aten.f.default(device("cuda:x"))\n  return %x', 2, "'cuda:x' is no device"),
    "stray symbol": (f"{HEAD}  aten.f.default([$n])\n  return %x", 2, "$n is used before it is defined"),
    "result list": (f"{HEAD}  [1] = aten.f.default(%x)\n  return %x", 2, "'1' where a tensor was expected"),
    "result number": (f"{HEAD}  %y, 1 = aten.f.default(%x)\n  return %x", 2, "'1' where a result was expected"),
}


@pytest.mark.parametrize(("text", "line", "message"), ERRORS.values(), ids=ERRORS)
def test_errors_name_the_line_and_what_is_wrong(text, line, message):
    with pytest.raises(TextFormError) as caught:
        parse_program(text)
    assert caught.value.line == line
    assert str(caught.value).startswith(f"line {line}: {message}")


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_text_parses_or_says_where(data):
    position = data.draw(st.integers(0, len(WHOLE) - 1))
    inserted = data.draw(
        st.sampled_from(["", " ", "(", ")", "]", "%", "$", "@", '"', "=", ",", "<-", "None", "1", "\n"])
    )
    removed = data.draw(st.integers(0, 6))
    damaged = WHOLE[:position] + inserted + WHOLE[position + removed :]
    try:
        tree = parse_program(damaged)
    except TextFormError as error:
        line = error.line
    else:
        line = 1
        json.dumps(tree)
    assert 1 <= line <= damaged.count("\n") + 1
