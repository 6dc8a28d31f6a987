"""Printing the text form (see :mod:`graphlint.ir.text`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

from graphlint.ir.enums import DTYPES, LAYOUTS, MEMORY_FORMATS, SHORT_DTYPES, STRIDED
from graphlint.ir.expressions import canonical
from graphlint.ir.model import Argument, Graph, Node, Program, SymRef, SymSize, TensorMeta
from graphlint.ir.strides import contiguous_strides
from graphlint.ir.text.grammar import INPUT_NAMES, OUTPUT_NAMES
from graphlint.ops.table import op_table


class Line(NamedTuple):
    """A line of the text form, in the parts that it can be broken at."""

    head: str
    parts: tuple[str, ...]
    """What stands between ``head`` and ``tail``, separated by commas: inputs, operands, outputs."""
    tail: str
    indent: int
    graph: Graph
    node: Node | None = None
    """The node that the line is, None for the lines around the nodes."""
    kind: Literal["program", "range", "inputs", "constant", "node", "outputs"] = "node"

    @property
    def text(self) -> str:
        """The line as it stands in the text form, indented."""
        return f"{' ' * self.indent}{self.head}{', '.join(self.parts)}{self.tail}".rstrip()


def print_program(program: Program) -> str:
    """The text form of a whole program, ending in a newline."""
    return "".join(f"{line.text}\n" for line in program_lines(program))


def program_lines(program: Program) -> Iterator[Line]:
    """The lines of the text form of a whole program, each with what it is of."""
    graph = program.graph
    yield Line(" ".join(("program", *program.dialects)), (), "", 0, graph, kind="program")
    for symbol, bounds in sorted(program.range_constraints.items()):
        low, high = (bounds.get("min_val"), bounds.get("max_val")) if isinstance(bounds, dict) else bounds
        yield Line(f"range {symbol} = [{low}, {high}]", (), "", 0, graph, kind="range")
    yield Line("graph(", input_parts(program), "):", 0, graph, kind="inputs")
    yield from _body(graph, 2, _output_kinds(program))


def input_parts(program: Program) -> tuple[str, ...]:
    """The program's inputs: ``%b_count: f32[1] = buffer "count"``."""
    graph = program.graph
    kinds = _input_kinds(program)
    return tuple(_input(graph, argument) + kind for argument, kind in zip(graph.inputs, kinds, strict=True))


def output_parts(program: Program) -> tuple[str, ...]:
    """The program's outputs: ``buffer "count" <- %add_``."""
    kinds = _output_kinds(program)
    return tuple(kind + _value(argument) for kind, argument in zip(kinds, program.graph.outputs, strict=True))


def print_node(graph: Graph, node: Node) -> str:
    """One node of ``graph`` on one line, without its subgraphs' bodies."""
    return _node(graph, node, 0).text


def _node(graph: Graph, node: Node, indent: int) -> Line:
    results = [_result(graph, output) for output in node.outputs]
    left = ", ".join(results) + " = " if results else ""
    return Line(f"{left}{node.op}(", tuple(_operands(node)), ")", indent, graph, node)


def _body(graph: Graph, indent: int, output_kinds: list[str] | None = None) -> Iterator[Line]:
    for name in graph.constants:
        yield Line(f"constant %{name}", (), "", indent, graph, kind="constant")
    for node in graph.nodes:
        yield _node(graph, node, indent)
        for sub in node.subgraphs():
            inputs = tuple(_input(sub.graph, argument) for argument in sub.graph.inputs)
            yield Line(f"@{sub.name}(", inputs, "):", indent + 2, sub.graph, kind="inputs")
            yield from _body(sub.graph, indent + 4)
    kinds = output_kinds or [""] * len(graph.outputs)
    values = tuple(kind + _value(argument) for kind, argument in zip(kinds, graph.outputs, strict=True))
    single = "!" if graph.is_single_tensor_return else ""
    yield Line(f"return{single} ", values, "", indent, graph, kind="outputs")


def _input_kinds(program: Program) -> list[str]:
    signature = program.graph_module.signature
    if signature.input_specs is None:
        kinds = []
        for argument in program.graph.inputs:
            name = next(iter(argument.tensors()), "") or ""
            for what, names in (("parameter", signature.inputs_to_parameters), ("buffer", signature.inputs_to_buffers)):
                if name in names:
                    kinds.append(f" = {what} {_quote(names[name])}")
                    break
            else:
                kinds.append("")
        return kinds
    kinds = []
    for spec in signature.input_specs:
        text = ""
        for kind in ("parameter", "buffer", "tensor_constant", "custom_obj", "constant_input"):
            given = getattr(spec, kind)
            if given is not None:
                text = f" = {kind} {_quote(getattr(given, INPUT_NAMES[kind]) or '')}"
                if kind == "buffer" and given.persistent is False:
                    text += " non-persistent"
        if spec.token is not None:
            text = " = token"
        kinds.append(text)
    return kinds


def _output_kinds(program: Program) -> list[str]:
    signature = program.graph_module.signature
    if signature.output_specs is None:
        mutated = signature.buffers_to_mutate
        return [
            f"buffer {_quote(mutated[name])} <- " if (name := _value(argument)[1:]) in mutated else ""
            for argument in program.graph.outputs
        ]
    kinds = []
    for spec in signature.output_specs:
        text = ""
        for kind, (word, field) in OUTPUT_NAMES.items():
            given = getattr(spec, kind)
            if given is not None:
                text = f"{word} {_quote(getattr(given, field) or '')} <- "
        if spec.loss_output is not None:
            text = "loss <- "
        if spec.token is not None:
            text = "token <- "
        kinds.append(text)
    return kinds


def _operands(node: Node) -> list[str]:
    keyword_only: dict[str, int | None] = {}
    if any(operand.arg_kind is None for operand in node.inputs):
        info = op_table().lookup(node.target)
        schema = info.schema if info else None
        for position, argument in enumerate(schema.arguments if schema else ()):
            keyword_only[argument.name] = None if argument.keyword_only else position
    texts = []
    for position, operand in enumerate(node.inputs):
        by_keyword = operand.arg_kind == 2
        if operand.arg_kind is None and operand.name:
            by_keyword = keyword_only.get(operand.name, position) != position
        texts.append(f"{operand.name}={_value(operand.arg)}" if by_keyword else _value(operand.arg))
    return texts


def _input(graph: Graph, argument: Argument) -> str:
    return _result(graph, argument) if argument.names() or argument.as_custom_obj else _value(argument)


def _result(graph: Graph, argument: Argument) -> str:
    if argument.as_tensor is not None:
        return _typed(graph, argument.as_tensor.name)
    if argument.as_tensors is not None:
        return f"[{', '.join(_typed(graph, ref.name) for ref in argument.as_tensors)}]"
    for kind, table, ref in (
        ("int", graph.sym_int_values, argument.as_sym_int),
        ("float", graph.sym_float_values, argument.as_sym_float),
        ("bool", graph.sym_bool_values, argument.as_sym_bool),
    ):
        if ref is not None:
            return f"{_symbol(ref)}: {kind}{_recorded(table.get(ref.as_name or ''), kind)}"
    return _value(argument)


def _recorded(entry: Any, kind: str) -> str:
    if not isinstance(entry, dict):
        return ""
    expression = entry.get("as_expr")
    if isinstance(expression, dict):
        return f"[{canonical(str(expression.get('expr_str')))}]"
    literal = entry.get(f"as_{kind}")
    return "" if literal is None else f"[{literal}]"


def _typed(graph: Graph, name: str) -> str:
    meta = graph.meta(name)
    return f"%{name}" if meta is None else f"%{name}: {print_type(meta)}"


_contiguous = lru_cache(1 << 12)(contiguous_strides)
"""A program has few shapes, each of them many times."""


def print_type(meta: TensorMeta) -> str:
    """``f32[2, s0]`` and what is unusual about the tensor (see the module's docstring)."""
    dtype = DTYPES.get(meta.dtype, f"dtype{meta.dtype}")
    shape, stride = tuple(size.shown for size in meta.sizes), tuple(size.shown for size in meta.strides)
    text = f"{SHORT_DTYPES.get(dtype, dtype)}[{', '.join(map(str, shape))}]"
    if "?" in shape or stride != _contiguous(shape):
        text += f"{{{', '.join(map(str, stride))}}}"
    if meta.device is not None and str(meta.device) != "cpu":
        text += f" @{meta.device}"
    offset = meta.storage_offset.shown if isinstance(meta.storage_offset, SymSize) else meta.storage_offset
    if offset:
        text += f" +{offset}"
    if meta.layout != STRIDED:
        text += f" layout={LAYOUTS.get(meta.layout, meta.layout)}"
    return text + (" grad" if meta.requires_grad else "")


def print_value(argument: Argument) -> str:
    """An argument."""
    return _value(argument)


def _value(argument: Argument) -> str:
    kind, value = argument.kind, argument.value
    printer = _PRINTERS.get(kind)
    return printer(value) if printer else "?"


def _list(values: Any, each: Any) -> str:
    return f"[{', '.join(each(value) for value in values)}]"


def _quote(text: str) -> str:
    """A JSON string on one line, nothing in it that a terminal or ``splitlines`` would act on."""
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)


def _float(value: float | str) -> str:
    number = float(value)
    return repr(number) if number == number and abs(number) != float("inf") else str(number)


def _symbol(ref: SymRef) -> str:
    return f"${ref.as_name}" if ref.as_name is not None else repr(ref.literal)


def _symbols(refs: list[SymRef], prefix: str) -> str:
    text = _list(refs, _symbol)
    return text if any(ref.as_name is not None for ref in refs) else prefix + text


def _empty(kind: str, each: Any) -> Any:
    return lambda values: _list(values, each) if values else f"{kind}[]"


_PRINTERS: Final[dict[str, Any]] = {
    "as_none": lambda value: "None",
    "as_tensor": lambda value: f"%{value.name}",
    "as_tensors": _empty("tensors", lambda ref: f"%{ref.name}"),
    "as_optional_tensor": lambda ref: f"%{ref.tensor}?" if ref.tensor else "None?",
    "as_optional_tensors": _empty("optionals", lambda ref: f"%{ref.tensor}?" if ref.tensor else "None"),
    "as_nested_tensors": lambda lists: _list(lists, lambda inner: _list(inner, lambda ref: f"%{ref.name}")),
    "as_int": repr,
    "as_ints": lambda values: _list(values, repr),
    "as_int_lists": lambda lists: _list(lists, lambda inner: _list(inner, repr)),
    "as_float": _float,
    "as_floats": _empty("floats", _float),
    "as_float_lists": lambda lists: _list(lists, lambda inner: _list(inner, _float)),
    "as_bool": repr,
    "as_bools": _empty("bools", repr),
    "as_string": _quote,
    "as_strings": _empty("strings", _quote),
    "as_sym_int": _symbol,
    "as_sym_ints": lambda refs: _symbols(refs, "ints$"),
    "as_sym_float": _symbol,
    "as_sym_floats": lambda refs: _symbols(refs, "floats$"),
    "as_sym_bool": _symbol,
    "as_sym_bools": lambda refs: _symbols(refs, "bools$"),
    "as_scalar_type": lambda value: f"torch.{DTYPES.get(value, f'dtype{value}')}",
    "as_memory_format": lambda value: f"torch.{MEMORY_FORMATS.get(value, f'memory_format{value}')}",
    "as_layout": lambda value: f"torch.{LAYOUTS.get(value, f'layout{value}')}",
    "as_device": lambda value: f'device("{value}")',
    "as_operator": lambda value: f"op({value.removeprefix('torch.ops.')})",
    "as_custom_obj": lambda value: f"object({_quote(value.name)}, {_quote(value.class_fqn)})",
    "as_complex": lambda value: f"complex({_float(value.real)}, {_float(value.imag)})",
    "as_graph": lambda value: f"@{value.name}",
    "as_string_to_argument": lambda mapping: (
        "{" + ", ".join(f"{_quote(key)}: {_value(inner)}" for key, inner in mapping.items()) + "}"
    ),
}
