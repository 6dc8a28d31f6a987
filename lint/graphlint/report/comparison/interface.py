"""How two programs are called, compared: inputs, outputs, what is written back, label and ranges of sizes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec

from graphlint.ir.model import Program
from graphlint.ir.text import input_parts, output_parts, print_type, print_value
from graphlint.report.comparison.canonical import Symbols
from graphlint.report.comparison.changes import InterfaceChange

_NOT_PERSISTENT: Final = " non-persistent"
_LEAF: Final = "*"


class Input(msgspec.Struct, frozen=True):
    """An input of the program's graph."""

    value: str
    """Its name in the graph."""
    type: str
    kind: str
    """``buffer "cache"`` and the like; empty for what the caller passes."""

    @property
    def key(self) -> str:
        """The kind without what may change."""
        return self.kind.removesuffix(_NOT_PERSISTENT)

    @property
    def held_name(self) -> str:
        """The qualified name of a parameter, buffer or constant, in quotes; empty where it has none."""
        return self.key.partition(" ")[2]

    @property
    def text(self) -> str:
        """The input as the text form has it, but for the value's name."""
        return " = ".join(filter(None, (self.type, self.kind)))


def inputs_of(program: Program) -> list[Input]:
    """The inputs of a program, in order."""
    found = []
    for part in input_parts(program):
        typed, _, kind = part.partition(" = ")
        value, _, type_ = typed.partition(": ")
        found.append(Input(value, type_, kind))
    return found


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


def compare_interfaces(old: Program, new: Program) -> tuple[InterfaceChange, ...]:
    """All differences but for those in the graph."""
    return (
        *_labels(old, new),
        *_ranges(old, new),
        *_inputs(old, new),
        *_outputs(old, new),
        *_calls(old, new),
    )


def _labels(old: Program, new: Program) -> Iterator[InterfaceChange]:
    before, after = " ".join(old.dialects), " ".join(new.dialects)
    if before != after:
        yield InterfaceChange("changed", "dialect", "", before, after)


def _ranges(old: Program, new: Program) -> Iterator[InterfaceChange]:
    before, after = _numbered_ranges(old), _numbered_ranges(new)
    for symbol in sorted(before.keys() | after.keys()):
        mine, theirs = before.get(symbol), after.get(symbol)
        if mine is None and theirs is not None:
            yield InterfaceChange("added", "range", theirs[0], None, theirs[1])
        elif theirs is None and mine is not None:
            yield InterfaceChange("removed", "range", mine[0], mine[1], None)
        elif mine is not None and theirs is not None and mine[1] != theirs[1]:
            yield InterfaceChange("changed", "range", theirs[0], mine[1], theirs[1])


def _numbered_ranges(program: Program) -> dict[str, tuple[str, str]]:
    """Numbered symbol to its own name and its range."""
    symbols = _symbols(program)
    return {
        symbols.numbered(symbol): (symbol, _range(bounds))
        for symbol, bounds in sorted(program.range_constraints.items(), key=lambda item: _by_number(item[0]))
    }


def _by_number(symbol: str) -> tuple[int, str]:
    return len(symbol), symbol


def _range(bounds: Any) -> str:
    low, high = (bounds.get("min_val"), bounds.get("max_val")) if isinstance(bounds, dict) else bounds
    return f"[{low}, {high}]"


def _symbols(program: Program) -> Symbols:
    """Symbols numbered as they come up in the inputs."""
    symbols = Symbols()
    for one in inputs_of(program):
        symbols.type(one.type)
    return symbols


def _inputs(old: Program, new: Program) -> Iterator[InterfaceChange]:
    mine, theirs = inputs_of(old), inputs_of(new)
    before, after = _symbols(old), _symbols(new)
    order: list[Input] = []
    for was, now in matched_inputs(mine, theirs):
        if was is None and now is not None:
            yield InterfaceChange("added", "input", now.key or now.value, None, now.text)
        elif now is None and was is not None:
            yield InterfaceChange("removed", "input", was.key or was.value, was.text, None)
        elif was is not None and now is not None:
            if (before.type(was.type), was.kind) != (after.type(now.type), now.kind):
                yield InterfaceChange("changed", "input", now.key or now.value, was.text, now.text)
            if not now.kind:
                order.append(was)
    kept = [one for one in mine if one in order]
    for was, now in zip(kept, order, strict=True):
        if was is not now:
            yield InterfaceChange(
                "moved", "input", "", ", ".join(one.value for one in kept), ", ".join(one.value for one in order)
            )
            return


def _outputs(old: Program, new: Program) -> Iterator[InterfaceChange]:
    """Outputs by what they are: what is written back by its target, the others by their place among them."""
    before, after = _described_outputs(old), _described_outputs(new)
    for key in dict.fromkeys((*after, *before)):
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            yield InterfaceChange("added", "output", key, None, now[1])
        elif now is None and was is not None:
            yield InterfaceChange("removed", "output", key, was[1], None)
        elif was is not None and now is not None and was[0] != now[0]:
            yield InterfaceChange("changed", "output", key, was[1], now[1])


def output_keys(program: Program) -> list[str]:
    """What each output is: ``buffer "cache"`` where it is written back, ``result 0`` for what the caller gets."""
    keys = []
    results = 0
    for part in output_parts(program):
        target, arrow, _ = part.partition(" <- ")
        if not arrow:
            target, results = f"result {results}", results + 1
        keys.append(target)
    return keys


def _described_outputs(program: Program) -> dict[str, tuple[str, str]]:
    """Key to the type with symbols numbered, and to the type as it is."""
    symbols = _symbols(program)
    types = {}
    graph = program.graph
    for key, argument in zip(output_keys(program), graph.outputs, strict=True):
        meta = graph.meta(argument.as_tensor.name) if argument.as_tensor is not None else None
        if meta is not None:
            text = print_type(meta)
            types[key] = (symbols.type(text), text)
        elif argument.names():
            types[key] = ("$", "a symbolic scalar")
        else:
            types[key] = (print_value(argument), print_value(argument))
    return types


def _calls(old: Program, new: Program) -> Iterator[InterfaceChange]:
    """The nesting of arguments and results, where both record it and it holds as many values: more or fewer are inputs
    and outputs that were added or removed.
    """
    before, after = _root_call(old), _root_call(new)
    if before is None or after is None:
        return
    whats: tuple[Literal["arguments", "result"], ...] = ("arguments", "result")
    for what, was, now in zip(whats, before, after, strict=True):
        nested, other = _nesting(was), _nesting(now)
        if nested != other and nested.count(_LEAF) == other.count(_LEAF):
            yield InterfaceChange("changed", what, "", nested, other)


def _root_call(program: Program) -> tuple[str, str] | None:
    for entry in program.graph_module.module_call_graph:
        if not entry.fqn and entry.signature is not None:
            return entry.signature.in_spec, entry.signature.out_spec
    return None


def _nesting(spec: str) -> str:
    """``((*, {mask: *}), {})`` for the text of a pytree spec; the text itself where it is of no known form."""
    try:
        _, tree = msgspec.json.decode(spec, type=tuple[int, _Spec])
    except msgspec.DecodeError:
        return spec
    return _nested(tree)


class _Spec(msgspec.Struct):
    """A level of a pytree spec, as torch serializes it."""

    type: str | None
    context: str | None = None
    children_spec: list[_Spec] = []


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
