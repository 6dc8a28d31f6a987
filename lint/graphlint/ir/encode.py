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
    def __init__(self, read: Program, data: bytes, *, bare_words: bool = False) -> None:
        self._read = read
        self._root = _Raw(data)
        self._bare_words = bare_words
        self._out: list[bytes | msgspec.Raw] = []
        self._bytes: dict[int, msgspec.Raw] = {}
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
        for node, raw_node in zip(graph.nodes, _LIST.decode(read["nodes"]), strict=True):
            self._bytes[id(node)] = raw_node
            if node.target.startswith("torch.ops.aten.") or not node.subgraphs():
                continue
            inputs = _LIST.decode(_OBJECT.decode(raw_node)["inputs"])
            for operand, raw_operand in zip(node.inputs, inputs, strict=True):
                if operand.arg.as_graph is not None:
                    reference = _OBJECT.decode(_OBJECT.decode(raw_operand)["arg"])["as_graph"]
                    self._index(operand.arg.as_graph.graph, _OBJECT.decode(reference)["graph"])

    def encoded(self, program: Program) -> bytes:
        """The program's JSON."""
        self._overlay(program, self._read, self._root)
        return b"".join(self._out)

    # Each of the following appends the JSON of one thing.

    def _overlay(self, new: Any, old: Any, raw: msgspec.Raw) -> None:
        """An object of which some fields are others now."""
        read = self._objects.get(id(old)) or _OBJECT.decode(raw)
        names = dict(zip(new.__struct_fields__, new.__struct_encode_fields__, strict=True))
        changed = {
            names[field]: (getattr(new, field), getattr(old, field))
            for field in old.__struct_fields__
            if getattr(new, field) is not getattr(old, field)
        }
        keys = [key for key in read if key not in changed or changed[key][0] is not msgspec.UNSET]
        keys += [key for key, (value, _) in changed.items() if key not in read and value is not msgspec.UNSET]
        self._out.append(b"{")
        for number, key in enumerate(keys):
            self._out.append(b", " if number else b"")
            self._out.append(msgspec.json.encode(key) + b": ")
            if key in changed:
                self._changed(key, *changed[key], read.get(key))
            else:
                self._out.append(read[key])
        self._out.append(b"}")

    def _changed(self, key: str, new: Any, old: Any, raw: msgspec.Raw | None) -> None:
        if isinstance(new, Graph):
            self._graph(new)
        elif self._bare_words and key in ("as_float", "as_floats"):
            self._plain([float(one) for one in new] if isinstance(new, list) else float(new))
        elif key == "nodes":
            self._nodes(new)
        elif key == "inputs" and new and isinstance(new[0], NamedArgument):
            self._operands(new, old, raw)
        elif key == "tensor_values":
            self._values(new, old, raw)
        elif raw is not None and type(new) is type(old) and isinstance(new, _PARTS):
            self._overlay(new, old, raw)
        elif raw is not None and isinstance(new, list) and isinstance(old, list):
            self._items(new, old, raw)
        else:
            self._plain(new)

    def _list(self, items: Iterable[Any], append: Any) -> None:
        separator = b"["
        for item in items:
            self._out.append(separator)
            separator = b", "
            append(item)
        self._out.append(b"[]" if separator == b"[" else b"]")

    def _items(self, new: Sequence[Any], old: Sequence[Any], raw: msgspec.Raw) -> None:
        """A list of which some items are others now. Entries of the module call graph stay in their places."""
        raws = _LIST.decode(raw)
        read = dict(zip(map(id, old), raws, strict=True))
        entries = len(new) == len(old) and all(isinstance(one, ModuleCallEntry) for one in (*new, *old))
        places = iter(range(len(new)))

        def append(item: Any) -> None:
            place = next(places)
            if id(item) in read:
                self._out.append(read[id(item)])
            elif entries:
                self._overlay(item, old[place], raws[place])
            else:
                self._plain(item)

        self._list(new, append)

    def _operands(self, new: Sequence[NamedArgument], old: Sequence[NamedArgument], raw: msgspec.Raw | None) -> None:
        raws = _LIST.decode(raw) if raw is not None else []
        read = dict(zip(map(id, old), raws, strict=True)) if raws else {}
        places = {operand.name or place: place for place, operand in enumerate(old)}
        for number, operand in enumerate(new):
            self._out.append(b", " if number else b"[")
            place = places.get(operand.name or number)
            if id(operand) in read:
                self._out.append(read[id(operand)])
            elif place is not None and raws and old[place].arg.kind == operand.arg.kind:
                self._overlay(operand, old[place], raws[place])
            else:
                self._plain(operand)
        self._out.append(b"]" if new else b"[]")

    def _values(self, new: Mapping[str, TensorMeta], old: Mapping[str, TensorMeta], raw: msgspec.Raw | None) -> None:
        """Metadata by the names of values. Those of a value that was moved here from another graph are encoded anew."""
        read = dict(zip(map(id, old.values()), _OBJECT.decode(raw).values(), strict=True)) if raw is not None else {}
        out = self._out
        separator = b'{"'
        for name, meta in new.items():
            out.append(separator + name.encode() + b'": ')  # a name, which needs no escapes
            known = read.get(id(meta))
            if known is not None:
                out.append(known)
            else:
                self._plain(meta)
            separator = b', "'
        out.append(b"}" if new else b"{}")

    def _graph(self, graph: Graph) -> None:
        raw = self._bytes.get(id(graph))
        if raw is not None:
            self._out.append(raw)
        elif isinstance(graph, EditedGraph):
            self._overlay(graph, graph.origin, self._bytes[id(graph.origin)])
        else:
            raise AssertionError("a graph is neither read nor edited")

    def _nodes(self, nodes: Iterable[Node]) -> None:
        read, append = self._bytes, self._out.append
        separator = b"["
        for node in nodes:
            append(separator)
            separator = b", "
            raw = read.get(id(node))
            if raw is not None:
                append(raw)
            else:
                self._node(node)
        append(b"[]" if separator == b"[" else b"]")

    def _node(self, node: Node) -> None:
        if isinstance(node, EditedNode) and id(node.origin) in self._bytes:
            self._overlay(node, node.origin, self._bytes[id(node.origin)])
        else:
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
            self._plain(new)

    def _plain(self, value: Any) -> None:
        """A thing that is new."""
        if self._spelled or self._bare_words:
            value = _spelled_out(value, self._spelled, bare_words=self._bare_words)
            import json

            self._out.append(json.dumps(value).encode())
            return
        if isinstance(value, TensorMeta):
            value = _recorded(value)
        self._out.append(msgspec.json.encode(value))

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        """The kinds that an argument is not and that are spelled out with null (files of torch 2.2 and earlier)."""
        graph = self._objects[id(self._read.graph)]
        arguments = [*_LIST.decode(graph["inputs"]), *_LIST.decode(graph["outputs"])]
        keys = tuple(_OBJECT.decode(arguments[0])) if arguments else ()
        return keys if len(keys) > 1 else ()


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
