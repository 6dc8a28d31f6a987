"""From typed programs to JSON: what a program shares with the one that was read is written as the very bytes read.

What was read is parsed once, down to the nodes and the metadata of values, which stay bytes and are looked up by the
identity of what they were decoded to. An edited node or graph keeps those keys of its origin that are not understood
here.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import msgspec

from graphlint.artifact.errors import ProgramError
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
_Scalar = str | int | float | bool | None
_Part = dict[str, _Raw] | list[_Raw] | _Scalar
"""What a graph or a signature holds: nodes and metadata of values, among others."""
_OBJECT: Final = msgspec.json.Decoder(dict[str, _Raw])
_LIST: Final = msgspec.json.Decoder(list[_Raw])
_PROGRAM: Final = msgspec.json.Decoder(
    dict[str, dict[str, dict[str, _Part] | list[_Raw] | _Scalar] | list[_Raw] | _Scalar]
)


class _Reference(msgspec.Struct):
    graph: dict[str, _Part]


class _Held(msgspec.Struct):
    as_graph: _Reference | None = None


class _Operand(msgspec.Struct):
    arg: _Held


class _Caller(msgspec.Struct):
    """A node, but for all that is no graph."""

    inputs: list[_Operand]


_CALLER: Final = msgspec.json.Decoder(_Caller)
"""For a node that calls graphs: what was read of these, in one pass over all that is nested in them."""
_OVERLAID: Final = (GraphModule, Signature, ModuleCallSignature, Argument, GraphRef, TensorRef)
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
    """The JSON of a program that ``read`` became, which was read from ``data``.

    Raises :class:`ProgramError` where ``data`` holds what can be skipped but not read (half a character).
    """
    try:
        return _Encoder(read, data).encoded(program)
    except (msgspec.DecodeError, UnicodeDecodeError):
        mark = next(mark for mark in map(chr, range(0xE000, 0xF8FF)) if mark.encode() not in data)
    try:
        out = _Encoder(read, quoted_words(data, mark), bare_words=True).encoded(program)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProgramError(f"the JSON cannot be written back: {error}") from None
    for word in _WORDS:
        out = out.replace(f'"{mark}{word}"'.encode(), word.encode())
    return out


class _Encoder:
    """Gives the JSON of programs that became of one that was read: a tree of what was read, with other parts in place
    of those that changed.
    """

    def __init__(self, read: Program, data: bytes, *, bare_words: bool = False) -> None:
        self._read = read
        self._tree = _parsed(data)
        self._bare_words = bare_words
        self._nodes: dict[int, msgspec.Raw] = {}
        """What was read of nodes, by identity."""
        self._graphs: dict[int, dict[str, Any]] = {}
        """What was read of graphs, by identity."""
        module: Any = self._tree["graph_module"]
        self._index(read.graph, module["graph"])

    def _index(self, graph: Graph, read: dict[str, Any]) -> None:
        """Note what was read of a graph, of its nodes and of its subgraphs."""
        self._graphs[id(graph)] = read
        self._nodes.update(zip(map(id, graph.nodes), read["nodes"], strict=True))
        for node in graph.callers():
            for operand, held in zip(node.inputs, _CALLER.decode(self._nodes[id(node)]).inputs, strict=True):
                if operand.arg.as_graph is not None and held.arg.as_graph is not None:
                    self._index(operand.arg.as_graph.graph, held.arg.as_graph.graph)

    def encoded(self, program: Program) -> bytes:
        """The program's JSON."""
        return msgspec.json.encode(self._overlay(program, self._read, self._tree))

    def _overlay(self, new: Any, old: Any, read: Any) -> dict[str, Any]:
        """An object of which some fields are others now."""
        read = _OBJECT.decode(read) if isinstance(read, _Raw) else read
        items = {**read}
        for field, key in zip(old.__struct_fields__, old.__struct_encode_fields__, strict=True):
            value, was = getattr(new, field), getattr(old, field)
            if value is msgspec.UNSET:
                items.pop(key, None)
            elif value is not was:
                items[key] = self._changed(key, value, was, read.get(key))
        return items

    def _changed(self, key: str, new: Any, old: Any, read: Any) -> Any:
        if isinstance(new, Graph):
            return self._graph(new)
        if self._bare_words and key in ("as_float", "as_floats"):
            return self._plain([float(one) for one in new] if isinstance(new, list) else float(new))
        if key == "nodes":
            raws = self._nodes
            return [raws.get(id(node)) or self._node(node) for node in new]
        if key == "inputs" and new and isinstance(new[0], NamedArgument):
            return self._operands(new, old, read)
        if key == "tensor_values":
            return self._values(new, old, read)
        if read is not None and type(new) is type(old) and isinstance(new, _OVERLAID):
            return self._overlay(new, old, read)
        if read is not None and isinstance(new, list) and isinstance(old, list):
            return self._items(new, old, read)
        return self._plain(new)

    def _items(self, new: Sequence[Any], old: Sequence[Any], read: Any) -> list[Any]:
        """A list of which some items are others now. Entries of the module call graph stay in their places."""
        raws = _LIST.decode(read) if isinstance(read, _Raw) else read
        known = dict(zip(map(id, old), raws, strict=True))
        if len(new) == len(old) and all(isinstance(one, ModuleCallEntry) for one in (*new, *old)):
            entries = zip(new, old, raws, strict=True)
            return [known.get(id(one)) or self._overlay(one, *was) for one, *was in entries]
        return [known.get(id(one)) or self._plain(one) for one in new]

    def _operands(self, new: Sequence[NamedArgument], old: Sequence[NamedArgument], read: msgspec.Raw) -> list[Any]:
        raws = _LIST.decode(read)
        known = dict(zip(map(id, old), raws, strict=True))
        places = {operand.name or place: place for place, operand in enumerate(old)}
        items: list[Any] = []
        for number, operand in enumerate(new):
            place = places.get(operand.name or number)
            if id(operand) in known:
                items.append(known[id(operand)])
            elif place is not None and old[place].arg.kind == operand.arg.kind:
                items.append(self._overlay(operand, old[place], raws[place]))
            else:
                items.append(self._plain(operand))
        return items

    def _values(self, new: Mapping[str, TensorMeta], old: Mapping[str, TensorMeta], read: Any) -> dict[str, Any]:
        """Metadata by the names of values. Those of a value that was moved here from another graph are encoded anew."""
        read = _OBJECT.decode(read) if isinstance(read, _Raw) else read
        known = dict(zip(map(id, old.values()), read.values(), strict=True))
        return {name: known.get(id(meta)) or self._plain(meta) for name, meta in new.items()}

    def _graph(self, graph: Graph) -> dict[str, Any]:
        read = self._graphs.get(id(graph))
        if read is None:
            if not isinstance(graph, EditedGraph):
                raise AssertionError("a graph is neither read nor edited")
            read = self._overlay(graph, graph.origin, self._graphs[id(graph.origin)])
        return read

    def _node(self, node: Node) -> Any:
        raw = self._nodes.get(id(node.origin)) if isinstance(node, EditedNode) else None
        plain = Node(*[getattr(node, name) for name in Node.__struct_fields__])
        if raw is None or not isinstance(node, EditedNode):
            return self._plain(plain)
        is_plain = not self._old and not node.subgraphs()
        if is_plain and msgspec.json.format(raw, indent=-1) == msgspec.json.encode(node.origin):
            return plain  # nothing was read of its origin that is not understood
        return self._overlay(node, node.origin, raw)

    def _plain(self, value: Any) -> Any:
        """A thing that is new."""
        if not self._old:
            return value
        import json

        return _Raw(json.dumps(_spelled_out(value, self._spelled, bare_words=self._bare_words)).encode())

    @property
    def _old(self) -> bool:
        """Whether the torch that wrote the file spells some things otherwise."""
        return self._bare_words or bool(self._spelled)

    @cached_property
    def _spelled(self) -> tuple[str, ...]:
        """The kinds that an argument is not and that are spelled out with null (files of torch 2.2 and earlier)."""
        graph = self._graphs[id(self._read.graph)]
        sides = (graph["inputs"], graph["outputs"])
        arguments = [one for side in sides for one in (_LIST.decode(side) if isinstance(side, _Raw) else side)]
        keys = tuple(_OBJECT.decode(arguments[0])) if arguments else ()
        return keys if len(keys) > 1 else ()


def _parsed(data: bytes) -> dict[str, Any]:
    """What was read of a program, down to its nodes."""
    try:
        return _PROGRAM.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):  # a number that is too large, or no text, where nobody reads it
        tree: dict[str, Any] = _OBJECT.decode(data)
        module: dict[str, Any] = _OBJECT.decode(tree["graph_module"])
        graph: dict[str, Any] = _OBJECT.decode(module["graph"])
        tree["graph_module"], module["graph"] = module, graph
        graph["nodes"] = _LIST.decode(graph["nodes"])
        return tree


def _spelled_out(value: Any, keys: tuple[str, ...], *, bare_words: bool) -> Any:
    """JSON with what older versions of torch write otherwise: all kinds of an argument, infinities."""
    if isinstance(value, Argument):
        kind, held = value.kind, value.value
        if bare_words and kind in ("as_float", "as_floats"):
            held = [float(one) for one in held] if isinstance(held, list) else float(held)
        held = _spelled_out(held, keys, bare_words=bare_words)
        return {**dict.fromkeys(keys), kind: held}
    if isinstance(value, NamedArgument):
        kind_of = {} if value.arg_kind is None else {"kind": value.arg_kind}
        return {"name": value.name, "arg": _spelled_out(value.arg, keys, bare_words=bare_words), **kind_of}
    if isinstance(value, Node):
        fields = ((name, getattr(value, name)) for name in Node.__struct_fields__)
        value = {name: held for name, held in fields if held is not msgspec.UNSET}
    if isinstance(value, dict):
        return {key: _spelled_out(one, keys, bare_words=bare_words) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_spelled_out(one, keys, bare_words=bare_words) for one in value]
    return msgspec.to_builtins(value)
