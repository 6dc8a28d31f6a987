"""From typed programs to JSON: what a program shares with the one that was read is written as the very bytes read.

Each part that was read is looked up by its identity; an edited node or graph keeps those keys of its origin that are
not understood here. Nothing is parsed but along the way to what changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from graphlint.ir.edit import EditedGraph, EditedNode
from graphlint.ir.model import (
    Argument,
    Graph,
    GraphModule,
    GraphRef,
    ModuleCallEntry,
    ModuleCallSignature,
    NamedArgument,
    Node,
    Program,
    Signature,
    TensorMeta,
    TensorRef,
)

_Raw = msgspec.Raw
_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])
_PARTS: Final = (GraphModule, Signature, ModuleCallSignature, Argument, GraphRef, TensorRef)
"""What is written over what was read of it."""
_WORDS: Final = ("Infinity", "-Infinity", "NaN")
"""What Python's json module writes for numbers that JSON has none for, as torch before 2.7 does."""


def quoted_words(data: bytes, mark: str = "") -> bytes:
    """The JSON with bare infinities and NaN in quotes, each behind ``mark``."""
    import re

    lead = b'"' + mark.encode()
    return re.sub(
        rb'"(?:[^"\\]|\\.)*"|-?Infinity|NaN',
        lambda match: match[0] if match[0][:1] == b'"' else lead + match[0] + b'"',
        data,
    )


def encode_program(program: Program, read: Program, data: bytes) -> bytes:
    """The JSON of a program that ``read`` became, which was read from ``data``."""
    try:
        return _Encoder(read, data).encoded(program)
    except (msgspec.DecodeError, UnicodeDecodeError):
        mark = next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark.encode() not in data)
        out = _Encoder(read, quoted_words(data, mark), bare_words=True).encoded(program)
        for word in _WORDS:
            out = out.replace(f'"{mark}{word}"'.encode(), word.encode())
        return out


class _Encoder:
    """Gives the JSON of programs that became of one that was read."""

    def __init__(self, read: Program, data: bytes, *, bare_words: bool = False) -> None:
        self._read = read
        self._root = _Raw(data)
        self._bare_words = bare_words
        self._bytes: dict[int, bytes | msgspec.Raw] = {}
        """What was read of nodes and graphs, by identity."""
        self._objects: dict[int, dict[str, msgspec.Raw]] = {}
        """The keys of what was read of graphs and of what they stand in, by identity."""
        root = self._objects[id(read)] = _OBJECT.decode(data)
        module = self._objects[id(read.graph_module)] = _OBJECT.decode(root["graph_module"])
        self._index(read.graph, module["graph"])

    def _index(self, graph: Graph, raw: msgspec.Raw) -> None:
        """Note what was read of a graph, of its nodes and of its subgraphs."""
        self._bytes[id(graph)] = raw
        read = self._objects[id(graph)] = _OBJECT.decode(raw)
        self._bytes.update(zip(map(id, graph.nodes), _LIST.decode(read["nodes"]), strict=True))
        for node in graph.callers():
            inputs = _LIST.decode(_OBJECT.decode(self._bytes[id(node)])["inputs"])
            for operand, raw_operand in zip(node.inputs, inputs, strict=True):
                if operand.arg.as_graph is not None:
                    reference = _OBJECT.decode(_OBJECT.decode(raw_operand)["arg"])["as_graph"]
                    self._index(operand.arg.as_graph.graph, _OBJECT.decode(reference)["graph"])

    def encoded(self, program: Program) -> bytes:
        """The program's JSON."""
        return self._overlay(program, self._read, self._root)

    def _overlay(self, new: Any, old: Any, raw: bytes | msgspec.Raw) -> bytes:
        """An object of which some fields are others now."""
        read = self._objects.get(id(old)) or _OBJECT.decode(raw)
        items: dict[str, bytes | msgspec.Raw] = {**read}
        for field, key in zip(old.__struct_fields__, old.__struct_encode_fields__, strict=True):
            value, was = getattr(new, field), getattr(old, field)
            if value is msgspec.UNSET:
                items.pop(key, None)
            elif value is not was:
                items[key] = self._changed(key, value, was, read.get(key))
        return _object(items)

    def _changed(self, key: str, new: Any, old: Any, raw: msgspec.Raw | None) -> bytes | msgspec.Raw:
        if isinstance(new, Graph):
            return self._graph(new)
        if self._bare_words and key in ("as_float", "as_floats"):
            return self._plain([float(one) for one in new] if isinstance(new, list) else float(new))
        if key == "nodes":
            return _list([self._bytes.get(id(node)) or self._node(node) for node in new])
        if key == "inputs" and new and isinstance(new[0], NamedArgument):
            return self._operands(new, old, raw)
        if key == "tensor_values":
            return self._values(new, old, raw)
        if raw is not None and type(new) is type(old) and isinstance(new, _PARTS):
            return self._overlay(new, old, raw)
        if raw is not None and isinstance(new, list) and isinstance(old, list):
            return self._items(new, old, raw)
        return self._plain(new)

    def _items(self, new: Sequence[Any], old: Sequence[Any], raw: msgspec.Raw) -> bytes:
        """A list of which some items are others now. Entries of the module call graph stay in their places."""
        raws = _LIST.decode(raw)
        read = dict(zip(map(id, old), raws, strict=True))
        if len(new) == len(old) and all(isinstance(one, ModuleCallEntry) for one in (*new, *old)):
            entries = zip(new, old, raws, strict=True)
            return _list([read.get(id(one)) or self._overlay(one, *was) for one, *was in entries])
        return _list([read.get(id(one)) or self._plain(one) for one in new])

    def _operands(self, new: Sequence[NamedArgument], old: Sequence[NamedArgument], raw: msgspec.Raw | None) -> bytes:
        raws = _LIST.decode(raw) if raw is not None else []
        read = dict(zip(map(id, old), raws, strict=True)) if raws else {}
        places = {operand.name or place: place for place, operand in enumerate(old)}
        items: list[bytes | msgspec.Raw] = []
        for number, operand in enumerate(new):
            place = places.get(operand.name or number)
            if id(operand) in read:
                items.append(read[id(operand)])
            elif place is not None and raws and old[place].arg.kind == operand.arg.kind:
                items.append(self._overlay(operand, old[place], raws[place]))
            else:
                items.append(self._plain(operand))
        return _list(items)

    def _values(self, new: Mapping[str, TensorMeta], old: Mapping[str, TensorMeta], raw: msgspec.Raw | None) -> bytes:
        """Metadata by the names of values. Those of a value that was moved here from another graph are encoded anew."""
        read = dict(zip(map(id, old.values()), _OBJECT.decode(raw).values(), strict=True)) if raw is not None else {}
        # Names need no escapes.
        items = [f'"{name}": '.encode() + (read.get(id(meta)) or self._plain(meta)) for name, meta in new.items()]
        return b"{" + b", ".join(items) + b"}"

    def _graph(self, graph: Graph) -> bytes | msgspec.Raw:
        raw = self._bytes.get(id(graph))
        if raw is None:
            if not isinstance(graph, EditedGraph):
                raise AssertionError("a graph is neither read nor edited")
            raw = self._overlay(graph, graph.origin, self._bytes[id(graph.origin)])
        return raw

    def _node(self, node: Node) -> bytes:
        if isinstance(node, EditedNode) and id(node.origin) in self._bytes:
            return self._overlay(node, node.origin, self._bytes[id(node.origin)])
        new: dict[str, Any] = {
            "target": node.target,
            "inputs": node.inputs,
            "outputs": node.outputs,
            "metadata": node.metadata,
        }
        if node.is_hop_single_tensor_return is not msgspec.UNSET:
            new["is_hop_single_tensor_return"] = node.is_hop_single_tensor_return
        if node.name is not None:
            new["name"] = node.name
        return self._plain(new)

    def _plain(self, value: Any) -> bytes:
        """A thing that is new."""
        if self._spelled or self._bare_words:
            import json

            return json.dumps(_spelled_out(value, self._spelled, bare_words=self._bare_words)).encode()
        return msgspec.json.encode(_recorded(value) if isinstance(value, TensorMeta) else value)

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        """The kinds that an argument is not and that are spelled out with null (files of torch 2.2 and earlier)."""
        graph = self._objects[id(self._read.graph)]
        arguments = [*_LIST.decode(graph["inputs"]), *_LIST.decode(graph["outputs"])]
        keys = tuple(_OBJECT.decode(arguments[0])) if arguments else ()
        return keys if len(keys) > 1 else ()


def _list(items: Iterable[bytes | msgspec.Raw]) -> bytes:
    return b"[" + b", ".join(items) + b"]"


def _object(items: Mapping[str, bytes | msgspec.Raw]) -> bytes:
    return b"{" + b", ".join([msgspec.json.encode(key) + b": " + value for key, value in items.items()]) + b"}"


def _recorded(meta: TensorMeta) -> dict[str, Any]:
    return {name: getattr(meta, name) for name in TensorMeta.__struct_fields__ if name != "meta"}


def _spelled_out(value: Any, keys: tuple[str, ...], *, bare_words: bool) -> Any:
    """JSON with what older versions of torch write otherwise: all kinds of an argument, infinities."""
    if isinstance(value, Argument):
        kind, held = value.kind, value.value
        if bare_words and kind in ("as_float", "as_floats"):
            held = [float(one) for one in held] if isinstance(held, list) else float(held)
        held = _spelled_out(held, keys, bare_words=bare_words)
        return {**dict.fromkeys(keys), kind: held}
    if isinstance(value, TensorMeta):
        value = _recorded(value)
    if isinstance(value, NamedArgument):
        kind_of = {} if value.arg_kind is None else {"kind": value.arg_kind}
        return {"name": value.name, "arg": _spelled_out(value.arg, keys, bare_words=bare_words), **kind_of}
    if isinstance(value, dict):
        return {key: _spelled_out(one, keys, bare_words=bare_words) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled_out(one, keys, bare_words=bare_words) for one in value]
    return msgspec.to_builtins(value)
