"""A program to be edited: its JSON as it was read, and the typed view of it.

Passes read the typed program and edit the JSON, so that everything graphlint does not understand, unknown keys
included, is written back as it was read. The JSON is never changed in place: an edited graph is a new object
that shares what did not change.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec

from graphlint.program.decode import decode_program
from graphlint.program.enums import FLOAT32, STRIDED
from graphlint.program.model import Graph, Program

Json = dict[str, Any]


class Document(msgspec.Struct, frozen=True, eq=False):
    """One program, as JSON and typed. Node *i* of a typed graph is entry *i* of its JSON's ``nodes``."""

    tree: Json
    program: Program

    @classmethod
    def from_bytes(cls, data: bytes, member: str | None = None) -> Document:
        """Read a program. Raises :class:`~graphlint.errors.ProgramError`."""
        program = decode_program(data, member)
        return cls(json.loads(data), program)

    @classmethod
    def from_tree(cls, tree: Json, member: str | None = None) -> Document:
        """A program from edited or parsed JSON, decoded and checked like one that was read."""
        return cls.from_bytes(encode(tree), member)

    def to_bytes(self) -> bytes:
        """The JSON, byte for byte as torch writes it where nothing was edited."""
        return encode(self.tree)

    def with_graph(self, graph: Json, **parts: Any) -> Json:
        """A tree with another root graph, and other ``parts`` of its ``graph_module`` (``signature``, …)."""
        module = {**self.tree["graph_module"], "graph": graph, **parts}
        return {**self.tree, "graph_module": module}


def encode(tree: Json) -> bytes:
    """JSON as torch writes it: Python's default separators, bare infinities where they were read so."""
    return json.dumps(tree).encode("utf-8")


class Dialect(msgspec.Struct, frozen=True):
    """Which optional keys the nodes of a file have: it depends on the torch version that wrote it."""

    kinds: bool
    """Operands say whether they were positional (torch 2.7 and later)."""
    names: bool
    """Nodes have a name (torch 2.11 and later)."""
    single_return_flag: bool
    """Higher-order nodes say whether they return a bare tensor (torch 2.7 and later)."""

    @classmethod
    def of(cls, nodes: Iterable[Json]) -> Dialect:
        """The dialect that a file's own nodes show."""
        kinds = names = flag = False
        for node in nodes:
            kinds |= any("kind" in operand for operand in node["inputs"])
            names |= "name" in node
            flag |= "is_hop_single_tensor_return" in node
            if kinds and names and flag:
                break
        return cls(kinds, names, flag)

    def operand(self, name: str, argument: Json, *, keyword: bool = False) -> Json:
        """A node's operand."""
        operand: Json = {"name": name, "arg": argument}
        if self.kinds:
            operand["kind"] = 2 if keyword else 1
        return operand

    def node(self, target: str, inputs: list[Json], result: str, metadata: Json) -> Json:
        """A node with one tensor result, which gives it its name."""
        node: Json = {"target": target, "inputs": inputs, "outputs": [tensor(result)], "metadata": metadata}
        if self.single_return_flag:
            node["is_hop_single_tensor_return"] = None
        if self.names:
            node["name"] = result
        return node


def tensor(name: str) -> Json:
    """A tensor argument."""
    return {"as_tensor": {"name": name}}


def scalar_meta() -> Json:
    """Metadata of a 0-dimensional float32 tensor on the CPU."""
    return {
        "dtype": FLOAT32,
        "sizes": [],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [],
        "storage_offset": {"as_int": 0},
        "layout": STRIDED,
    }


class GraphEdit:
    """An edited copy of one graph's JSON. What is not edited is shared with the original."""

    def __init__(self, raw: Json, graph: Graph) -> None:
        self.inputs: list[Json] = list(raw["inputs"])
        self.outputs: list[Json] = list(raw["outputs"])
        self.nodes: list[Json] = []
        """Starts empty: a pass copies over what it keeps."""
        self._raw = raw
        self._tensors: Json = dict(raw.get("tensor_values", {}))
        self._names = {name for argument in graph.inputs for name in argument.names()}
        self._names.update(self._tensors, graph.constants, graph.sym_int_values, graph.sym_bool_values)
        for node in graph.nodes:
            self._names.update(node.results())
            self._names.update(sub.name for sub in node.subgraphs())
            if node.name:
                self._names.add(node.name)

    def fresh(self, stem: str, start: int = 0) -> str:
        """The first free one of ``stem0``, ``stem1``, …, counted from ``start``; taken from then on."""
        number = start
        while f"{stem}{number}" in self._names:
            number += 1
        return self.claim(f"{stem}{number}")

    def claim(self, name: str) -> str:
        """``name``, or ``name_1``, ``name_2``, … where it is taken; taken from then on."""
        free, number = name, 0
        while free in self._names:
            number += 1
            free = f"{name}_{number}"
        self._names.add(free)
        return free

    def record(self, name: str, meta: Json) -> None:
        """Record a new value's metadata."""
        self._tensors[name] = meta

    def rename(self, name: str, new: str) -> None:
        """A value's new name, whose metadata goes with it."""
        self._tensors[new] = self._tensors.pop(name)
        self._names.discard(name)

    def forget(self, names: Iterable[str]) -> None:
        """These values are gone."""
        for name in names:
            self._tensors.pop(name, None)

    def finish(self, **changes: Any) -> Json:
        """The edited graph, with other top-level keys changed as given."""
        edited = {"inputs": self.inputs, "outputs": self.outputs, "nodes": self.nodes, "tensor_values": self._tensors}
        return {**self._raw, **edited, **changes}
