"""A program to be edited: its JSON as it was read, and the typed view of it.

Passes read the typed program and edit the JSON, so that everything graphlint does not understand, unknown keys
included, is written back as it was read. The JSON is never changed in place: an edited graph is a new object
that shares what did not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, overload

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.artifact.limits import Limits
from graphlint.ir.arguments import Json, tensor
from graphlint.ir.decode import DEFAULT, convert_program, decode_program
from graphlint.ir.enums import FLOAT32, STRIDED
from graphlint.ir.model import Graph, Program, every_node

Payloads = Callable[[], Mapping[str, str]]


class Document:
    """One program, as JSON and typed. Node *i* of a typed graph is entry *i* of its JSON's ``nodes``.

    The JSON is parsed when it is first asked for: a check of a program without writes never does.
    """

    def __init__(
        self, program: Program, data: bytes | None, payloads: Payloads | None = None, tree: Json | None = None
    ) -> None:
        """``program`` is what ``data`` or ``tree`` decodes to; one of them is given."""
        self.program = program
        self.payloads = payloads
        """What holds the value of which parameter, buffer and constant, by qualified name; None where the program
        comes without an archive."""
        self.member: str | None = None
        """The archive member that it was read from, for messages."""
        self.finite = False
        """Whether the JSON that was read holds only what any JSON encoder can write: no infinities, no halves of
        surrogate pairs."""
        self._data = data
        self._tree = tree
        self._outline: Json | None = None

    @classmethod
    def from_bytes(
        cls, data: bytes, member: str | None = None, payloads: Payloads | None = None, limits: Limits = DEFAULT
    ) -> Document:
        """Read a program. Raises :class:`~graphlint.artifact.errors.ProgramError`."""
        document = cls(decode_program(data, member, limits), data, payloads)
        document.member = member
        return document

    @classmethod
    def from_tree(cls, tree: Json, member: str | None = None, payloads: Payloads | None = None) -> Document:
        """A program from edited or parsed JSON, decoded and checked like one that was read."""
        return cls(convert_program(tree, member), None, payloads, tree)

    @property
    def tree(self) -> Json:
        """The JSON. Not to be changed in place.

        Raises :class:`ProgramError` where there is something in it that only what does not matter to
        a check may contain: numbers of thousands of digits.
        """
        if self._tree is None:
            self._tree, self.finite = _parsed(self._data or b"", self.member)
            if not self.finite:  # where a name has to be, the check may have taken a bare infinity for one
                convert_program(self._tree, self.member)
        return self._tree

    @property
    def outline(self) -> Json:
        """The JSON as far as it takes to plan a rewrite, of which most nodes are no part: the root graph and the
        signature, with each node and the metadata of each value parsed when they are first looked at. All of the JSON
        where that is parsed already, or is none that msgspec reads.

        Raises as :attr:`tree` does, and so does looking at a node or a value.
        """
        if self._tree is not None:
            return self._tree
        if self._outline is None:
            try:
                self._outline = _outline_decoder.decode(self._data or b"").as_json(self.member)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self.tree
        return self._outline

    def to_bytes(self) -> bytes:
        """The JSON: the very bytes that were read, or edited JSON."""
        if self._data is None:
            # msgspec takes a tenth of the time, but writes null for infinities.
            self._data = msgspec.json.encode(self.tree) if self.finite else encode(self.tree)
        return self._data

    def relabelled(self, dialect: str) -> Document:
        """The same program under another label (``ATEN``)."""
        tree = {**self.tree, "verifiers": [dialect]}
        program = msgspec.structs.replace(self.program, verifiers=[dialect])
        relabelled = Document(program, None, self.payloads, tree)
        relabelled.finite = self.finite
        return relabelled

    def with_graph(self, graph: Json, **parts: Any) -> Json:
        """A tree with another root graph, and other ``parts`` of its ``graph_module`` (``signature``, …)."""
        module = {**self.tree["graph_module"], "graph": graph, **parts}
        return {**self.tree, "graph_module": module}


def parse(data: bytes) -> tuple[Json, bool]:
    """JSON as torch writes it, bare infinities included, so that :func:`encode` gives the same bytes again; and whether
    any other encoder may be used, too.
    """
    try:
        return msgspec.json.decode(data), True
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        import json

        return json.loads(data), False


def _parsed(data: bytes, member: str | None) -> tuple[Json, bool]:
    """As :func:`parse`. Raises :class:`~graphlint.artifact.errors.ProgramError`."""
    try:
        return parse(data)
    except (ValueError, RecursionError) as error:
        message = f"Python cannot read the JSON, and neither can torch: {error}"
        raise ProgramError(message, member=member) from None


class _Nodes(Sequence[Json]):
    """Nodes, parsed one by one."""

    def __init__(self, nodes: list[msgspec.Raw], member: str | None) -> None:
        self._nodes: list[msgspec.Raw | Json] = list(nodes)
        self._member = member

    def __len__(self) -> int:
        return len(self._nodes)

    @overload
    def __getitem__(self, index: int) -> Json: ...
    @overload
    def __getitem__(self, index: slice) -> list[Json]: ...
    def __getitem__(self, index: int | slice) -> Json | list[Json]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        node = self._nodes[index]
        if isinstance(node, msgspec.Raw):
            node = self._nodes[index] = _parsed(bytes(node), self._member)[0]
        return node


class _Values(Mapping[str, Json]):
    """Metadata of values, parsed one by one. Many are alike: those are one object."""

    def __init__(self, values: dict[str, msgspec.Raw], member: str | None) -> None:
        self._values = values
        self._parsed: dict[bytes, Json] = {}
        self._member = member

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self._values else default

    def __getitem__(self, name: str) -> Json:
        data = bytes(self._values[name])
        if data not in self._parsed:
            self._parsed[data] = _parsed(data, self._member)[0]
        return self._parsed[data]


class _OutlinedGraph(msgspec.Struct):
    inputs: list[Json]
    outputs: list[Json]
    nodes: list[msgspec.Raw]
    tensor_values: dict[str, msgspec.Raw]
    sym_int_values: Json = {}


class _OutlinedModule(msgspec.Struct):
    graph: _OutlinedGraph
    signature: Json


class _Outline(msgspec.Struct):
    graph_module: _OutlinedModule

    def as_json(self, member: str | None) -> Json:
        graph = msgspec.structs.asdict(self.graph_module.graph)
        graph["nodes"] = _Nodes(graph["nodes"], member)
        graph["tensor_values"] = _Values(graph["tensor_values"], member)
        return {"graph_module": {"graph": graph, "signature": self.graph_module.signature}}


_outline_decoder = msgspec.json.Decoder(_Outline)


def encode(tree: Json) -> bytes:
    """JSON as torch writes it: Python's default separators, bare infinities where they were read so."""
    import json

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
    def of(cls, graph: Graph) -> Dialect:
        """The dialect that a file's own nodes show, those of subgraphs included."""
        kinds = names = flag = False
        for node in every_node(graph):
            kinds = kinds or any(operand.arg_kind is not None for operand in node.inputs)
            names = names or node.name is not None
            flag = flag or node.is_hop_single_tensor_return is not msgspec.UNSET
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

    def returning_also(self, node: Json, names: list[str]) -> Json:
        """The keys of a node that calls graphs which change when it returns more tensors, ``names``."""
        outputs: list[Json] = []
        for output in node["outputs"]:
            # A tuple of one tensor is a list of one in files of torch 2.5; of several, they stand side by side.
            unpacked = len(node["outputs"]) == 1 and output.get("as_tensors") is not None
            outputs += [{"as_tensor": reference} for reference in output["as_tensors"]] if unpacked else [output]
        outputs += [tensor(name) for name in names]
        if self.single_return_flag:
            return {"outputs": outputs, "is_hop_single_tensor_return": False}
        return {"outputs": outputs if len(outputs) > 1 else [{"as_tensors": [outputs[0]["as_tensor"]]}]}


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
        self._metas: dict[str, Json | None] = {}
        """Metadata of values that are new or other than they were; None for those that are gone."""
        self._numbers: dict[str, int] = {}
        """Up to which number the names that begin with a stem are taken."""
        self._names = {name for argument in graph.inputs for name in argument.names()}
        self._names.update(graph.tensor_values, graph.constants, graph.sym_int_values, graph.sym_bool_values)
        for node in graph.nodes:
            outputs = node.outputs
            own = outputs[0].as_tensor if len(outputs) == 1 else None
            if own is not None and own.name == node.name:
                self._names.add(own.name)  # so it is with most nodes
            else:
                self._names.update(node.results(), (node.name,) if node.name else ())
            for operand in node.inputs:
                if operand.arg.as_graph is not None:
                    self._names.add(operand.arg.as_graph.name)

    def fresh(self, stem: str, start: int = 0) -> str:
        """The first free one of ``stem0``, ``stem1``, …, counted from ``start``; taken from then on."""
        number = start
        while f"{stem}{number}" in self._names:
            number += 1
        return self.claim(f"{stem}{number}")

    def claim(self, name: str) -> str:
        """``name``, or ``name_1``, ``name_2``, … where it is taken; taken from then on."""
        free = name
        if name in self._names:
            number = self._numbers.get(name, 0)
            while free in self._names:
                number += 1
                free = f"{name}_{number}"
            self._numbers[name] = number
        self._names.add(free)
        return free

    def record(self, name: str, meta: Json) -> None:
        """Record a new value's metadata."""
        self._metas[name] = meta

    def rename(self, name: str, new: str) -> None:
        """Another name for a value that is new here; its metadata goes with it."""
        self._metas[new] = self._metas.pop(name)
        self._names.discard(name)
        stem, _, number = name.rpartition("_")
        if stem in self._numbers and number.isdecimal():
            self._numbers[stem] = min(self._numbers[stem], max(int(number) - 1, 0))

    def forget(self, names: Iterable[str]) -> None:
        """These values are gone."""
        self._metas.update(dict.fromkeys(names))

    def finish(self, whole: Json | None = None, **changes: Any) -> Json:
        """The edited graph, with other top-level keys changed as given. ``whole`` is its JSON where that is more than
        what the edit began with (:attr:`Document.outline`).
        """
        raw = self._raw if whole is None else whole
        tensors = dict(raw.get("tensor_values", {}))
        for name, meta in self._metas.items():
            if meta is None:
                tensors.pop(name, None)
            else:
                tensors[name] = meta
        edited = {"inputs": self.inputs, "outputs": self.outputs, "nodes": self.nodes, "tensor_values": tensors}
        return {**raw, **edited, **changes}
