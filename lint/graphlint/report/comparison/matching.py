"""Which node of one graph is which of the other, whatever their values are called.

Graphs are brought into a form without names of values, and without what versions of torch write differently: arguments
are keyed by their schema's names, those that have their default are left out, symbols of sizes are numbered as they
come up.

What computes the same from the same inputs is the same (a digest of all that leads to a node). After a change that does
not hold: there, neighbours of what is matched are tried, from the end of the graph up, too, then names, which torch
keeps where it can, then order. Last come nodes in each other's place: another op on the same operands is a change, not
a removal and an addition.

All of it takes time linear in the size of the graphs, but for the alignment by order, which looks ahead a bounded
distance. A match is no more than a proposal: what differs between two matched nodes is reported as a change.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from string import digits
from typing import Final, NamedTuple

import msgspec

from graphlint.ir.model import Argument, Graph, Node
from graphlint.ops.info import OpInfo
from graphlint.ops.table import op_table
from graphlint.report.comparison.alignment import AHEAD, aligned
from graphlint.report.graphs.text import print_type, print_value

_ROUNDS: Final = 6
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


class Matching:
    """Pairs of nodes and of values of an old and a new graph."""

    def __init__(self, old: CanonicalGraph, new: CanonicalGraph, inputs: Mapping[str, str]) -> None:
        """``inputs`` maps names of the new graph's inputs to those of the old one's."""
        self.old = old
        self.new = new
        self.values: dict[str, str] = dict(inputs)
        """Names of new values to those of the old ones that they are."""
        self.to_new: dict[int, int] = {END: END}
        self.to_old: dict[int, int] = {END: END}
        self._made_by = {name: node.index for node in old.nodes for name in node.results}
        seeds = {theirs: hash(("input", position)) for position, theirs in enumerate(inputs.values())}
        by_origin = new.digests({name: seeds[theirs] for name, theirs in inputs.items()})[1]
        self._pair_equal(old.digests(dict(seeds))[1], by_origin)
        for _ in range(_ROUNDS):
            before = len(self.to_new)
            self._by_neighbours(lambda one: one.key)
            self._by_neighbours(lambda one: one.op)
            self._pair_equal(*([(one.node.label, one.op, one.types) for one in side.nodes] for side in (old, new)))
            left, right = self._unmatched()
            for one, other in aligned([node.key for node in left], [node.key for node in right]):
                self._pair(left[one], right[other])
            if len(self.to_new) == before:
                break
        self._in_place()
        self.gone = {name for node in self._unmatched()[0] for name in node.results}
        """Old values that are in the new graph no more."""

    def _pair(self, old: CanonicalNode, new: CanonicalNode) -> None:
        self.to_new[old.index] = new.index
        self.to_old[new.index] = old.index
        self.values.update(zip(new.results, old.results, strict=False))

    def _unmatched(self) -> tuple[list[CanonicalNode], list[CanonicalNode]]:
        return (
            [one for one in self.old.nodes if one.index not in self.to_new],
            [one for one in self.new.nodes if one.index not in self.to_old],
        )

    def _pair_equal(self, old: Sequence[Hashable], new: Sequence[Hashable]) -> None:
        """Pair what has the same key, in order, where as much of it is left on both sides; each node has one key."""
        groups: defaultdict[Hashable, tuple[list[CanonicalNode], list[CanonicalNode]]] = defaultdict(lambda: ([], []))
        for side, (keys, nodes) in enumerate(zip((old, new), self._unmatched(), strict=True)):
            for node in nodes:
                groups[keys[node.index]][side].append(node)
        for mine, theirs in groups.values():
            for one, other in zip(mine, theirs, strict=True) if len(mine) == len(theirs) else ():
                self._pair(one, other)

    def _by_neighbours(self, key: Callable[[CanonicalNode], Hashable]) -> None:
        """Down from what is matched, then up from it: the same key at the same slot of the same value."""
        for nodes, candidates in ((self.new.nodes, self._users), (self.new.nodes[::-1], self._makers)):
            for new in nodes:
                if new.index not in self.to_old:
                    self._pair_best(new, candidates(new), key)

    def _users(self, new: CanonicalNode) -> Iterator[CanonicalNode]:
        """Old nodes that take the same value at the same slot."""
        for slot, value in new.operands:
            theirs = self.values.get(value)
            for index in self.old.uses[theirs].get(slot, ())[:AHEAD] if theirs is not None else ():
                yield self.old.nodes[index]

    def _makers(self, new: CanonicalNode) -> Iterator[CanonicalNode]:
        """Old nodes whose result is taken by the same node, or returned, at the same slot."""
        for result in new.results:
            for slot, users in self.new.uses[result].items():
                for theirs in (self.to_old[user] for user in users[:AHEAD] if user in self.to_old):
                    value = self.old.takes.get((theirs, slot))
                    if value in self._made_by:
                        yield self.old.nodes[self._made_by[value]]

    def _pair_best(
        self, new: CanonicalNode, candidates: Iterable[CanonicalNode], key: Callable[[CanonicalNode], Hashable]
    ) -> None:
        def score(old: CanonicalNode) -> tuple[int, bool, int]:
            takes = ((self.old.takes.get((old.index, slot)), value) for slot, value in new.operands)
            alike = sum(theirs is not None and theirs == self.values.get(value) for theirs, value in takes)
            return alike, old.node.label == new.node.label, -old.index

        wanted = key(new)
        free = [old for old in candidates if old.index not in self.to_new and key(old) == wanted]
        if free:
            self._pair(max(free, key=score), new)

    def _in_place(self) -> None:
        """What is left, and stands where another op stood: under the same name or on the same operands, with the same
        first result. Nodes that call graphs are never taken for another op.
        """
        old, new = self._unmatched()
        names = {one.results[0]: one for one in old if one.results}
        for one in new:
            candidates = [names[name] for name in one.results[:1] if name in names]
            taken = [self.values.get(value) for _, value in one.operands]
            candidates += [user for user in self._users(one) if [value for _, value in user.operands] == taken]
            for other in candidates:
                free = other.index not in self.to_new and not other.graphs and not one.graphs
                if free and _first_result(other) == _first_result(one):
                    self._pair(other, one)
                    break


def _first_result(node: CanonicalNode) -> str | None:
    """Dtype and sizes, not strides: an op that writes to a view becomes one that makes a tensor of its own."""
    return re.split(r"[{ ]", node.types[0])[0] if node.types else None
