"""How two programs are called, compared: inputs, outputs, what is written back, label and ranges of sizes."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Final, Literal, NamedTuple

import msgspec

from graphlint.ir.model import Program
from graphlint.report.comparison.canonical import Symbols
from graphlint.report.comparison.changes import InterfaceChange
from graphlint.report.graphs.text import (
    NOT_PERSISTENT,
    defined,
    input_kinds,
    output_targets,
    print_type,
    print_value,
    range_bounds,
)

_LEAF: Final = "*"


class Input(NamedTuple):
    """An input of the program's graph."""

    value: str
    """Its name in the graph."""
    type: str
    numbered: str
    """The type with symbols numbered."""
    kind: str
    """``buffer "cache"`` and the like; empty for what the caller passes."""

    @property
    def key(self) -> str:
        """The kind without what may change."""
        return self.kind.removesuffix(NOT_PERSISTENT)

    @property
    def held_name(self) -> str:
        """The qualified name of a parameter, buffer or constant, in quotes; empty where it has none."""
        return self.key.partition(" ")[2]


class _Part(NamedTuple):
    """A part of an interface."""

    name: str
    compared: object
    shown: str


class Interface:
    """How a program is called."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._symbols = Symbols()
        """Symbols numbered as they come up in the inputs."""
        self.inputs: list[Input] = []
        for argument, kind in zip(program.graph.inputs, input_kinds(program), strict=True):
            numbered = defined(program.graph, argument, self._symbols.numbered)[1]
            self.inputs.append(Input(*defined(program.graph, argument), numbered, kind))
        self.outputs: list[str] = []
        """What each output is: ``buffer "cache"`` where it is written back, ``result 0`` for what the caller gets."""
        results = 0
        for target in output_targets(program):
            self.outputs.append(target or f"result {results}")
            results += not target

    def described_outputs(self) -> dict[str, _Part]:
        """The outputs by what they are."""
        parts = {}
        graph, symbols = self.program.graph, deepcopy(self._symbols)
        for key, argument in zip(self.outputs, graph.outputs, strict=True):
            meta = graph.meta(argument.as_tensor.name) if argument.as_tensor is not None else None
            if meta is not None:
                parts[key] = _Part(key, print_type(meta, symbols.numbered), print_type(meta))
            elif argument.names():
                parts[key] = _Part(key, "$", "a symbolic scalar")
            else:
                parts[key] = _Part(key, print_value(argument), print_value(argument))
        return parts

    def ranges(self) -> dict[str, _Part]:
        """The ranges of symbols by their numbered names."""
        parts = {}
        symbols = deepcopy(self._symbols)
        for symbol, bounds in sorted(self.program.range_constraints.items(), key=lambda item: (len(item[0]), item[0])):
            low, high = range_bounds(bounds)
            parts[symbols.numbered(symbol)] = _Part(symbol, f"[{low}, {high}]", f"[{low}, {high}]")
        return parts


def matched_inputs(old: list[Input], new: list[Input]) -> list[tuple[Input | None, Input | None]]:
    """Old and new inputs that are the same, in the new order, then the old ones that are gone.

    What the artifact holds is matched by kind and name, then by name; what the caller passes by name, then in order.
    """
    pairs: dict[int, Input] = {}
    left = list(old)

    def take(index: int, found: Input | None) -> None:
        if found is not None:
            pairs[index] = found
            left.remove(found)

    for index, one in enumerate(new):
        take(index, next((o for o in left if o.key == one.key and (one.key or o.value == one.value)), None))
    for index, one in enumerate(new):
        if index not in pairs and one.kind:
            take(index, next((o for o in left if o.held_name and o.held_name == one.held_name), None))
    for index, one in enumerate(new):
        if index not in pairs and not one.kind:
            take(index, next((o for o in left if not o.kind), None))
    found: list[tuple[Input | None, Input | None]] = [(pairs.get(index), one) for index, one in enumerate(new)]
    return found + [(one, None) for one in left]


def compare_interfaces(old: Interface, new: Interface) -> tuple[InterfaceChange, ...]:
    """All differences but for those in the graph."""
    dialects = [" ".join(one.program.dialects) for one in (old, new)]
    ranges, other_ranges = old.ranges(), new.ranges()
    outputs, other_outputs = old.described_outputs(), new.described_outputs()
    return (
        *([InterfaceChange("changed", "dialect", "", *dialects)] if dialects[0] != dialects[1] else []),
        *(
            change
            for key in sorted(ranges.keys() | other_ranges.keys())
            for change in _difference("range", ranges.get(key), other_ranges.get(key))
        ),
        *_inputs(old.inputs, new.inputs),
        *(
            change
            for key in dict.fromkeys((*other_outputs, *outputs))
            for change in _difference("output", outputs.get(key), other_outputs.get(key))
        ),
        *_calls(old.program, new.program),
    )


def _difference(
    what: Literal["range", "input", "output"], old: _Part | None, new: _Part | None
) -> Iterator[InterfaceChange]:
    if new is None:
        if old is not None:
            yield InterfaceChange("removed", what, old.name, old.shown, None)
    elif old is None:
        yield InterfaceChange("added", what, new.name, None, new.shown)
    elif old.compared != new.compared:
        yield InterfaceChange("changed", what, new.name, old.shown, new.shown)


def _inputs(old: list[Input], new: list[Input]) -> Iterator[InterfaceChange]:
    order: list[Input] = []
    for was, now in matched_inputs(old, new):
        yield from _difference("input", _part(was), _part(now))
        if was is not None and now is not None and not now.kind:
            order.append(was)
    kept = [one for one in old if one in order]
    if kept != order:
        names = [", ".join(one.value for one in inputs) for inputs in (kept, order)]
        yield InterfaceChange("moved", "input", "", *names)


def _part(one: Input | None) -> _Part | None:
    if one is None:
        return None
    text = " = ".join(filter(None, (one.type, one.kind)))
    return _Part(one.key or one.value, (one.numbered, one.kind), text)


def _calls(old: Program, new: Program) -> Iterator[InterfaceChange]:
    """The nesting of arguments and results, where both record it and it holds as many values: more or fewer are inputs
    and outputs that were added or removed.
    """
    before, after = _root_call(old), _root_call(new)
    if before is None or after is None:
        return
    for place, (was, now) in enumerate(zip(before, after, strict=True)):
        nested, other = _nesting(was), _nesting(now)
        if nested != other and nested.count(_LEAF) == other.count(_LEAF):
            yield InterfaceChange("changed", "result" if place else "arguments", "", nested, other)


def _root_call(program: Program) -> tuple[str, str] | None:
    entries = program.graph_module.module_call_graph
    signatures = (entry.signature for entry in entries if not entry.fqn and entry.signature is not None)
    return next(((signature.in_spec, signature.out_spec) for signature in signatures), None)


class _Spec(msgspec.Struct):
    """A level of a pytree spec, as torch serializes it."""

    type: str | None
    context: str | None = None
    children_spec: list[_Spec] = []


def _nesting(spec: str) -> str:
    """``((*, {mask: *}), {})`` for the text of a pytree spec; the text itself where it is of no known form."""
    try:
        return _nested(msgspec.json.decode(spec, type=tuple[int, _Spec])[1])
    except msgspec.DecodeError:
        return spec


def _nested(tree: _Spec) -> str:
    kind = (tree.type or "").rpartition(".")[2]
    parts = [_nested(one) for one in tree.children_spec]
    if tree.type is None:
        return _LEAF
    if kind == "tuple":
        return f"({', '.join(parts)})"
    if kind == "list":
        return f"[{', '.join(parts)}]"
    if kind == "dict" and (keys := _keys(tree.context, len(parts))) is not None:
        return "{" + ", ".join(f"{key}: {part}" for key, part in zip(keys, parts, strict=True)) + "}"
    return f"{kind}({tree.context or ''})({', '.join(parts)})"


def _keys(context: str | None, count: int) -> list[Any] | None:
    try:
        keys = msgspec.json.decode(context or "")
    except msgspec.DecodeError:
        return None
    return keys if isinstance(keys, list) and len(keys) == count else None
