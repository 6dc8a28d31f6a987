"""The text form of graphs: printed for people and diffs, which the tests parse.

::

    program ATEN
    range s77 = [2, 64]
    graph(%b_count: f32[1] = buffer "count", %x: f32[s77, 4]):
      %add_: f32[1] = aten.add_.Tensor(%b_count, 1)
      $item: int[u0] = aten.item.default(%x)
      aten._assert_scalar.default($item, "must not be zero")
      %getitem: f32[s77, 4] = higher_order.cond(%gt, @true_graph_0, @false_graph_0, [%x])
        @true_graph_0(%x: f32[s77, 4]):
          %sin: f32[s77, 4] = aten.sin.default(%x)
          return %sin
        @false_graph_0(%x: f32[s77, 4]):
          return %x
      return buffer "count" <- %add_, %getitem

``%`` marks tensors, ``$`` symbolic scalars, ``@`` subgraphs. A tensor's type is ``f32[2, s0]``, followed where
it differs from the usual by its strides ``{1, 2}`` (usual: contiguous), ``@cuda:0`` (usual: cpu), ``+3`` for a
storage offset, ``layout=sparse_coo`` and ``grad``. Arguments that were passed by keyword are written so.
``%w?`` is a tensor in a list of optional tensors. An input's kind and name follow its type
(``= parameter "linear.weight"``, user inputs have none), an output's precede it. ``return!`` is a graph that
returns a bare tensor, ``constant %c`` a tensor that torch 2.1 keeps in the graph itself.

Printing what was parsed gives the same text. Parsing what was printed gives the same program as far as the
text tells: node metadata, node names and the module call graph are not part of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from graphlint.ir.dtypes import DTYPES, LAYOUTS, MEMORY_FORMATS, SHORT_DTYPES, STRIDED
from graphlint.ir.expressions import canonical
from graphlint.ir.model import NAME_FIELDS, Argument, Graph, Node, Program, SymRef, SymSize, TensorMeta
from graphlint.ir.strides import contiguous_strides
from graphlint.ops.table import op_name, op_table

OUTPUT_WORDS: Final = {
    "buffer_mutation": "buffer",
    "parameter_mutation": "parameter",
    "user_input_mutation": "input",
    "gradient_to_parameter": "gradient_of_parameter",
    "gradient_to_user_input": "gradient_of_input",
    "token": "token",
    "loss_output": "loss",
}
"""An output's kind to its word in the text."""

NOT_PERSISTENT: Final = " non-persistent"
"""Behind a buffer's name."""


class Line(msgspec.Struct, eq=False):
    """A line of the text form, in the parts that it can be broken at. A node's line is put together when it is asked
    for: of a large program, few are.
    """

    kind: Literal["program", "range", "inputs", "constant", "node", "outputs"]
    graph: Graph
    indent: int
    pieces: tuple[str, tuple[str, ...]] | None = None
    """``head`` and ``parts``; None for those of a node that nobody has asked for."""
    tail: str = ""
    node: Node | None = None
    """The node that the line is, None for the lines around the nodes."""

    @property
    def head(self) -> str:
        """What stands before the parts."""
        return self._spelled()[0]

    @property
    def parts(self) -> tuple[str, ...]:
        """What stands between ``head`` and ``tail``, separated by commas: inputs, operands, outputs."""
        return self._spelled()[1]

    @property
    def text(self) -> str:
        """The line as it stands in the text form, indented."""
        head, parts = self._spelled()
        return f"{' ' * self.indent}{head}{', '.join(parts)}{self.tail}".rstrip()

    def _spelled(self) -> tuple[str, tuple[str, ...]]:
        if self.pieces is None and self.node is not None:
            results = [_result(self.graph, output) for output in self.node.outputs]
            left = ", ".join(results) + " = " if results else ""
            self.pieces = f"{left}{self.node.op}(", tuple(_operands(self.node))
        return self.pieces or ("", ())

    def is_same_line(self, other: Line) -> bool:
        """Whether this is known to be the line of the other's node with the same text, without putting it together."""
        node = self.node
        if node is None or node is not other.node or self.indent != other.indent:
            return False
        mine, others = self.graph.tensor_values, other.graph.tensor_values
        for output in node.outputs:
            if output.as_tensor is None and output.as_tensors is None:
                return False
            for name in output.tensors():
                if mine.get(str(name)) is not others.get(str(name)):
                    return False
        return True


def program_lines(program: Program) -> Iterator[Line]:
    """The lines of the text form of a whole program, each with what it is of."""
    graph = program.graph
    yield Line("program", graph, 0, (" ".join(("program", *program.dialects)), ()))
    for symbol, bounds in sorted(program.range_constraints.items()):
        low, high = range_bounds(bounds)
        yield Line("range", graph, 0, (f"range {symbol} = [{low}, {high}]", ()))
    yield from _graph("graph(", graph, 0, input_kinds(program), output_targets(program))


def range_bounds(bounds: Any) -> tuple[Any, Any]:
    """The lower and the upper bound of a symbol, None where there is none."""
    return (bounds.get("min_val"), bounds.get("max_val")) if isinstance(bounds, dict) else tuple(bounds)


def print_node(graph: Graph, node: Node) -> str:
    """One node of ``graph`` on one line, without its subgraphs' bodies."""
    return Line("node", graph, 0, tail=")", node=node).text


def _graph(
    head: str, graph: Graph, indent: int, kinds: list[str] | None = None, targets: list[str] | None = None
) -> Iterator[Line]:
    inputs = (
        _typed(defined(graph, argument)) + (f" = {kind}" if kind else "")
        for argument, kind in zip(graph.inputs, kinds or [""] * len(graph.inputs), strict=True)
    )
    yield Line("inputs", graph, indent, (head, tuple(inputs)), "):")
    indent += 2
    for name in graph.constants:
        yield Line("constant", graph, indent, (f"constant %{name}", ()))
    for node in graph.nodes:
        yield Line("node", graph, indent, None, ")", node)
        for sub in node.subgraphs():
            yield from _graph(f"@{sub.name}(", sub.graph, indent + 2)
    values = (
        f"{target} <- {print_value(argument)}" if target else print_value(argument)
        for target, argument in zip(targets or [""] * len(graph.outputs), graph.outputs, strict=True)
    )
    single = "!" if graph.is_single_tensor_return else ""
    yield Line("outputs", graph, indent, (f"return{single} ", tuple(values)))


def input_kinds(program: Program) -> list[str]:
    """What each input is: ``buffer "cache"`` and the like, empty for what the caller passes."""
    kinds = []
    for spec in program.graph_module.signature.input_specs:
        text = "token" if spec.kind == "token" else ""
        if spec.kind in NAME_FIELDS:
            persistent = spec.buffer is None or spec.buffer.persistent is not False
            text = f"{spec.kind} {_quote(spec.target or '')}{'' if persistent else NOT_PERSISTENT}"
        kinds.append(text)
    return kinds


def output_targets(program: Program) -> list[str]:
    """What each output is: ``buffer "cache"`` where it is written back, empty for what the caller gets."""
    targets = []
    for spec in program.graph_module.signature.output_specs:
        word = OUTPUT_WORDS.get(spec.kind, "")
        targets.append(f"{word} {_quote(spec.target or '')}" if spec.kind in NAME_FIELDS else word)
    return targets


def _operands(node: Node) -> list[str]:
    info = op_table().lookup(node.target) if any(operand.arg_kind is None for operand in node.inputs) else None
    schema = info.schema if info is not None else None
    arguments = enumerate(schema.arguments if schema is not None else ())
    places = {argument.name: None if argument.keyword_only else place for place, argument in arguments}
    texts = []
    for place, operand in enumerate(node.inputs):
        by_keyword = operand.arg_kind == 2
        if operand.arg_kind is None and operand.name:
            by_keyword = places.get(operand.name, place) != place
        texts.append(f"{operand.name}=" * by_keyword + print_value(operand.arg))
    return texts


def defined(graph: Graph, argument: Argument, spelled: Callable[[str], str] = str) -> tuple[str, str]:
    """A value where it is defined, and its type, if one is recorded; ``spelled`` is for sizes that are expressions."""
    if argument.as_tensor is not None:
        return _tensor(graph, argument.as_tensor.name, spelled)
    for kind, table, ref in (
        ("int", graph.sym_int_values, argument.as_sym_int),
        ("float", graph.sym_float_values, argument.as_sym_float),
        ("bool", graph.sym_bool_values, argument.as_sym_bool),
    ):
        if ref is not None and ref.as_name is not None:
            return _symbol(ref), kind + _recorded(table.get(ref.as_name), kind, spelled)
    return print_value(argument), ""


def _tensor(graph: Graph, name: str, spelled: Callable[[str], str] = str) -> tuple[str, str]:
    meta = graph.meta(name)
    return f"%{name}", "" if meta is None else print_type(meta, spelled)


def _result(graph: Graph, argument: Argument) -> str:
    if argument.as_tensors is not None:
        return _list(argument.as_tensors, lambda ref: _typed(_tensor(graph, ref.name)))
    return _typed(defined(graph, argument))


def _typed(parts: tuple[str, str]) -> str:
    return ": ".join(filter(None, parts))


def _recorded(entry: Any, kind: str, spelled: Callable[[str], str]) -> str:
    if not isinstance(entry, dict):
        return ""
    expression = entry.get("as_expr")
    if isinstance(expression, dict):
        return f"[{spelled(canonical(str(expression.get('expr_str'))))}]"
    literal = entry.get(f"as_{kind}")
    return "" if literal is None else f"[{literal}]"


_contiguous = lru_cache(1 << 12)(contiguous_strides)
"""A program has few shapes, each of them many times."""


def print_type(meta: TensorMeta, spelled: Callable[[str], str] = str) -> str:
    """``f32[2, s0]`` and what is unusual (see the module's docstring); ``spelled`` is for sizes as expressions."""
    dtype = DTYPES.get(meta.dtype, f"dtype{meta.dtype}")
    shape, stride = tuple(size.shown for size in meta.sizes), tuple(size.shown for size in meta.strides)
    text = f"{SHORT_DTYPES.get(dtype, dtype)}[{_sizes(shape, spelled)}]"
    if "?" in shape or stride != _contiguous(shape):
        text += f"{{{_sizes(stride, spelled)}}}"
    if meta.device is not None and str(meta.device) != "cpu":
        text += f" @{meta.device}"
    offset = meta.storage_offset.shown if isinstance(meta.storage_offset, SymSize) else meta.storage_offset
    if offset:
        text += f" +{_sizes((offset,), spelled)}"
    if meta.layout != STRIDED:
        text += f" layout={LAYOUTS.get(meta.layout, meta.layout)}"
    return text + (" grad" if meta.requires_grad else "")


def _sizes(sizes: tuple[int | str, ...], spelled: Callable[[str], str]) -> str:
    return ", ".join([spelled(size) if isinstance(size, str) else str(size) for size in sizes])


def print_value(argument: Argument) -> str:
    printer = _PRINTERS.get(argument.kind)
    return printer(argument.value) if printer else "?"


def _list(values: Any, each: Any) -> str:
    return f"[{', '.join(each(value) for value in values)}]"


def _quote(text: str) -> str:
    """A JSON string on one line, nothing in it that a terminal or ``splitlines`` would act on."""
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted if quoted.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)


def _float(value: float | str) -> str:
    return repr(float(value))


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
    "as_operator": lambda value: f"op({op_name(value)})",
    "as_custom_obj": lambda value: f"object({_quote(value.name)}, {_quote(value.class_fqn)})",
    "as_complex": lambda value: f"complex({_float(value.real)}, {_float(value.imag)})",
    "as_graph": lambda value: f"@{value.name}",
    "as_string_to_argument": lambda mapping: (
        "{" + ", ".join(f"{_quote(key)}: {print_value(inner)}" for key, inner in mapping.items()) + "}"
    ),
}
