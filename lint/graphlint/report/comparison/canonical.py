"""Graphs in a form that can be compared: without names of values, and without what versions of torch write differently.

Arguments are keyed by their schema's names, those that have their default are left out, symbols of sizes are numbered
as they come up.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Final, NamedTuple

import msgspec

from graphlint.ir.model import Argument, Graph, Node
from graphlint.ir.text import print_type, print_value
from graphlint.ops.info import OpInfo
from graphlint.ops.table import OpTable

_REFERENCE: Final = re.compile(r"([%$])[\w.]+\??")
_SYMBOL: Final = re.compile(r"\b([a-z]+)(\d+)\b")
_SPELLED: Final = re.compile(r"^(?:(?:ints|floats|bools)\$|(?:tensors|optionals|floats|bools|strings)(?=\[\]$))")
"""How the text form tells lists of one kind from those of another; versions of torch differ in which they write."""


class Slot(NamedTuple):
    """Where a node takes a value: in which argument, and at which place in it."""

    argument: str
    place: int


class CanonicalNode(msgspec.Struct, eq=False):
    """One node, without names of values."""

    index: int
    node: Node
    op: str
    arguments: dict[str, str]
    """The arguments as text, with a mark in place of each value that they refer to."""
    operands: list[tuple[Slot, str]]
    """The values that it takes, by the names that the graph has for them."""
    results: list[str]
    types: tuple[str, ...]
    """Of the results, with symbols numbered."""
    graphs: list[CanonicalGraph]
    key: Hashable = 0
    """The same for nodes that do the same with whatever operands."""


class CanonicalGraph(msgspec.Struct, eq=False):
    """A graph, without names of values."""

    graph: Graph
    nodes: list[CanonicalNode]
    inputs: list[str]
    input_types: tuple[str, ...]
    outputs: list[tuple[str, list[str]]]
    """Each output as text with marks, and the values that it refers to."""
    digest: int = 0
    """The same for graphs that compute the same from their inputs."""


class Symbols:
    """Numbers for symbols, in the order in which they come up."""

    def __init__(self) -> None:
        self._numbers: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._texts: dict[str, str] = {}

    def numbered(self, text: str) -> str:
        """A size expression with its symbols numbered: ``2*s77`` becomes ``2*s0``."""
        return _SYMBOL.sub(self._number, text)

    def type(self, text: str) -> str:
        """The text of a tensor's type with the symbols in its sizes numbered."""
        known = self._texts.get(text)
        if known is None:
            dtype, bracket, rest = text.partition("[")
            sizes, at, device = rest.partition(" @")
            known = self._texts[text] = dtype + bracket + self.numbered(sizes) + at + device
        return known

    def _number(self, match: re.Match[str]) -> str:
        name = match[0]
        if name not in self._numbers:
            letter = match[1]
            self._numbers[name] = f"{letter}{self._counts.get(letter, 0)}"
            self._counts[letter] = self._counts.get(letter, 0) + 1
        return self._numbers[name]


def canonical_graph(graph: Graph, ops: OpTable, symbols: Symbols) -> CanonicalGraph:
    """The canonical form of a graph and of those that it calls."""
    inputs: list[str] = []
    types: list[str] = []
    for argument in graph.inputs:
        names = argument.names() or [argument.as_custom_obj.name if argument.as_custom_obj else ""]
        inputs += names
        types += [_type(graph, name, symbols) for name in names]
    inputs += graph.constants
    types += ["constant"] * len(graph.constants)
    nodes = [_node(index, node, graph, ops, symbols) for index, node in enumerate(graph.nodes)]
    outputs = [(_text(argument), argument.names()) for argument in graph.outputs]
    result = CanonicalGraph(graph, nodes, inputs, tuple(types), outputs)
    values = digests(result, {name: hash(("input", position)) for position, name in enumerate(inputs)})
    result.digest = hash(
        (
            result.input_types,
            tuple(values[1]),
            tuple((text, tuple(values[0].get(name) for name in names)) for text, names in outputs),
        )
    )
    return result


def digests(graph: CanonicalGraph, values: dict[str, int]) -> tuple[dict[str, int], list[int]]:
    """For each value, and for each node, a number that is the same for what is computed the same way from the inputs,
    whose numbers are given.
    """
    numbers: list[int] = []
    for node in graph.nodes:
        operands = tuple((slot.argument, slot.place, values.get(name)) for slot, name in node.operands)
        number = hash((node.key, operands))
        numbers.append(number)
        for index, name in enumerate(node.results):
            values[name] = hash((number, index))
    return values, numbers


def _node(index: int, node: Node, graph: Graph, ops: OpTable, symbols: Symbols) -> CanonicalNode:
    info = ops.lookup(node.target)
    op = info.name if info is not None else node.op
    arguments: dict[str, str] = {}
    operands: list[tuple[Slot, str]] = []
    for position, operand in enumerate(node.inputs):
        name = operand.name or str(position)
        names = operand.arg.names()
        text = _text(operand.arg)
        if not names and _is_default(info, name, text):
            continue
        arguments[name] = text
        operands += [(Slot(name, place), value) for place, value in enumerate(names)]
    graphs = [canonical_graph(sub.graph, ops, symbols) for sub in node.subgraphs()]
    results = node.results()
    types = tuple(_type(graph, name, symbols) for name in results)
    made = CanonicalNode(index, node, op, arguments, operands, results, types, graphs)
    made.key = (op, tuple(sorted(arguments.items())), types, tuple(inner.digest for inner in graphs))
    return made


def _text(argument: Argument) -> str:
    if argument.as_graph is not None:
        return "@"
    if argument.as_tensor is not None:  # most are
        return "%"
    text = print_value(argument)
    if argument.names():
        return _REFERENCE.sub(r"\1", text)
    return "None" if text == "None?" else _SPELLED.sub("", text)


def _type(graph: Graph, name: str, symbols: Symbols) -> str:
    meta = graph.meta(name)
    if meta is not None:
        return symbols.type(print_type(meta))
    for kind, table in (
        ("int", graph.sym_int_values),
        ("float", graph.sym_float_values),
        ("bool", graph.sym_bool_values),
    ):
        if name in table:
            return kind
    return ""


def _is_default(info: OpInfo | None, name: str, text: str) -> bool:
    argument = info.schema.argument(name) if info is not None and info.schema is not None else None
    if argument is None or argument.default is None:
        return False
    value = argument.default_value
    return text in (repr(value), argument.default, f"torch.{argument.default}", argument.default.replace(",", ", "))
