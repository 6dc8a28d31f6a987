"""Graphs in a form that can be compared: without names of values, and without what versions of torch write differently.

Arguments are keyed by their schema's names, those that have their default are left out, symbols of sizes are numbered
as they come up.
"""

import re
from collections import defaultdict
from collections.abc import Hashable
from string import digits
from typing import Final, NamedTuple

import msgspec

from graphlint.ir.model import Argument, Graph, Node
from graphlint.ops.info import OpInfo
from graphlint.ops.table import op_table
from graphlint.report.graphs.text import print_type, print_value

_REFERENCE: Final = re.compile(r"([%$])[\w.]+\??")
_SYMBOL: Final = re.compile(r"\b[a-z]+[0-9]+\b")
_SPELLED: Final = re.compile(r"^(?:(?:ints|floats|bools)\$|(?:tensors|optionals|floats|bools|strings)(?=\[\]$))")
"""How the text form tells lists of one kind from those of another; versions of torch differ in which they write."""


Slot = tuple[str, int]
"""Where a node takes a value: in which argument, and at which place in it; or which of its values a graph returns."""
END: Final = -1
"""Stands for the end of a graph, which takes what it returns."""


class Taken(NamedTuple):
    """An argument of a node."""

    text: str
    """Its text with a mark in place of each value that it refers to."""
    values: list[str]
    argument: Argument


class CanonicalNode(msgspec.Struct, eq=False):
    """One node, without names of values."""

    index: int
    node: Node
    op: str
    arguments: dict[str, Taken]
    types: tuple[str, ...]
    """Of the results, with symbols numbered."""
    graphs: list["CanonicalGraph"]
    results: list[str] = []
    operands: list[tuple[Slot, str]] = []
    """The values that it takes, by the names that the graph has for them."""
    key: Hashable = 0
    """The same for nodes that do the same with whatever operands."""

    def __post_init__(self) -> None:
        self.results = self.node.results()
        taken = self.arguments.items()
        self.operands = [((name, place), value) for name, one in taken for place, value in enumerate(one.values)]
        called = tuple(inner.digest for inner in self.graphs)
        self.key = (self.op, tuple(sorted((name, one.text) for name, one in taken)), self.types, called)


class CanonicalGraph(msgspec.Struct, eq=False):
    """A graph, without names of values."""

    graph: Graph
    nodes: list[CanonicalNode]
    inputs: list[str]
    input_types: tuple[str, ...]
    outputs: list[tuple[str, list[str]]]
    """Each output as text with marks, and the values that it refers to."""
    output_names: list[str]
    digest: int = 0
    """The same for graphs that compute the same from their inputs."""
    uses: defaultdict[str, dict[Slot, list[int]]] = msgspec.field(default_factory=lambda: defaultdict(dict))
    """Which nodes take which value at which slot."""
    takes: dict[tuple[int, Slot], str] = msgspec.field(default_factory=dict)
    """The value that each node takes at which slot."""

    def __post_init__(self) -> None:
        taken = [(node.index, slot, name) for node in self.nodes for slot, name in node.operands]
        taken += [(END, ("", place), name) for place, (_, names) in enumerate(self.outputs) for name in names]
        for index, slot, name in taken:
            self.uses[name].setdefault(slot, []).append(index)
            self.takes[index, slot] = name
        values, numbers = self.digests({name: hash(("input", position)) for position, name in enumerate(self.inputs)})
        outputs = tuple((text, tuple(values.get(name) for name in names)) for text, names in self.outputs)
        self.digest = hash((self.input_types, tuple(numbers), outputs))

    def digests(self, values: dict[str, int]) -> tuple[dict[str, int], list[int]]:
        """For each value, and for each node, a number that is the same for what is computed the same way from the
        inputs, whose numbers are given.
        """
        numbers: list[int] = []
        for node in self.nodes:
            number = hash((node.key, tuple((slot, values.get(name)) for slot, name in node.operands)))
            numbers.append(number)
            values.update((name, hash((number, index))) for index, name in enumerate(node.results))
        return values, numbers


class Symbols(dict[str, str]):
    """Symbols with their numbers, in the order in which they come up: ``s77`` with ``s0``."""

    def numbered(self, text: str) -> str:
        """A size expression with its symbols numbered: ``2*s77`` becomes ``2*s0``."""
        return _SYMBOL.sub(lambda match: self[match[0]], text)

    def __missing__(self, name: str) -> str:
        letter = name.rstrip(digits)
        self[name] = f"{letter}{sum(known.rstrip(digits) == letter for known in self)}"
        return self[name]


def canonical_graph(graph: Graph, symbols: Symbols, output_names: list[str] | None = None) -> CanonicalGraph:
    """The canonical form of a graph and of those that it calls."""
    inputs = [
        name
        for argument in graph.inputs
        for name in argument.names() or [argument.as_custom_obj.name if argument.as_custom_obj else ""]
    ]
    types = [_type(graph, name, symbols) for name in inputs] + ["constant"] * len(graph.constants)
    nodes = [_node(index, node, graph, symbols) for index, node in enumerate(graph.nodes)]
    outputs = [(_text(argument), argument.names()) for argument in graph.outputs]
    names = output_names or [f"result {place}" for place in range(len(outputs))]
    return CanonicalGraph(graph, nodes, [*inputs, *graph.constants], tuple(types), outputs, names)


def _node(index: int, node: Node, graph: Graph, symbols: Symbols) -> CanonicalNode:
    info = op_table().lookup(node.target)
    arguments: dict[str, Taken] = {}
    for position, operand in enumerate(node.inputs):
        name = operand.name or str(position)
        taken = Taken(_text(operand.arg), operand.arg.names(), operand.arg)
        if taken.values or not _is_default(info, name, taken.text):
            arguments[name] = taken
    graphs = [canonical_graph(sub.graph, symbols) for sub in node.subgraphs()]
    types = tuple(_type(graph, name, symbols) for name in node.results())
    return CanonicalNode(index, node, info.name if info is not None else node.op, arguments, types, graphs)


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
        return print_type(meta, symbols.numbered)
    tables = {"int": graph.sym_int_values, "float": graph.sym_float_values, "bool": graph.sym_bool_values}
    return next((kind for kind, table in tables.items() if name in table), "")


def _is_default(info: OpInfo | None, name: str, text: str) -> bool:
    argument = info.schema.argument(name) if info is not None and info.schema is not None else None
    if argument is None or argument.default is None:
        return False
    default = argument.default
    return text in (repr(argument.default_value), default, f"torch.{default}", default.replace(",", ", "))
