"""How two programs are called, compared: inputs, outputs, what is written back, label and ranges of sizes."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from itertools import count
from typing import Any, Final, NamedTuple

import msgspec

from graphlint.ir.model import Program
from graphlint.report.comparison.changes import InterfaceChange, What
from graphlint.report.comparison.matching import Symbols
from graphlint.report.graphs import text as form

_NESTED: Final[tuple[What, ...]] = ("arguments", "result")
_LEAF: Final = "*"


class _Part(NamedTuple):
    """A part of an interface."""

    name: str
    shown: str
    compared: object = None
    """What has to be the same, where that is not what is shown."""


class Input(NamedTuple):
    """An input of the program's graph."""

    value: str
    """Its name in the graph."""
    kind: str
    """``buffer "cache"`` and the like, without what may change; empty for what the caller passes."""
    part: _Part


class Interface:
    """How a program is called."""

    def __init__(self, program: Program) -> None:
        graph, symbols = program.graph, Symbols()
        self.dialect = _Part("", " ".join(program.dialects))
        self.inputs: list[Input] = []
        for argument, text in zip(graph.inputs, form.input_kinds(program), strict=True):
            value, type_ = form.defined(graph, argument)
            kind, numbered = text.removesuffix(form.NOT_PERSISTENT), form.defined(graph, argument, symbols.numbered)[1]
            part = _Part(kind or value, " = ".join(filter(None, (type_, text))), (numbered, text))
            self.inputs.append(Input(value, kind, part))
        results = count()
        self.output_names = [target or f"result {next(results)}" for target in form.output_targets(program)]
        """What each output is: ``buffer "cache"`` where it is written back, ``result 0`` for what the caller gets."""
        self.outputs: dict[str, _Part] = {}
        known = deepcopy(symbols)
        for name, argument in zip(self.output_names, graph.outputs, strict=True):
            meta = graph.meta(argument.as_tensor.name) if argument.as_tensor is not None else None
            if meta is not None:
                self.outputs[name] = _Part(name, form.print_type(meta), form.print_type(meta, known.numbered))
            else:
                self.outputs[name] = _Part(
                    name, "a symbolic scalar" if argument.names() else form.print_value(argument)
                )
        self.ranges: dict[str, _Part] = {}
        """The ranges of symbols by their numbered names."""
        for symbol, bounds in sorted(program.range_constraints.items(), key=lambda item: (len(item[0]), item[0])):
            low, high = form.range_bounds(bounds)
            self.ranges[symbols.numbered(symbol)] = _Part(symbol, f"[{low}, {high}]")
        entries = program.graph_module.module_call_graph
        signatures = (entry.signature for entry in entries if not entry.fqn and entry.signature is not None)
        self.nestings = next(((_nesting(one.in_spec), _nesting(one.out_spec)) for one in signatures), ())
        """How the arguments and the result are nested, where it is recorded."""


def matched_inputs(old: list[Input], new: list[Input]) -> list[tuple[Input | None, Input | None]]:
    """Old and new inputs that are the same, in the new order, then the old ones that are gone.

    What the artifact holds is matched by kind and name, then by name; what the caller passes by name, then in order.
    """
    keys: tuple[Callable[[Input], str], ...] = (
        lambda one: one.kind or f"%{one.value}",
        lambda one: one.kind.partition(" ")[2],  # the qualified name of what the artifact holds
        lambda one: "" if one.kind else "handed in",
    )
    pairs: dict[int, Input] = {}
    left = list(old)
    for key in keys:
        for index, now in enumerate(new):
            found = next((was for was in left if key(was) == key(now) != ""), None) if index not in pairs else None
            if found is not None:
                pairs[index] = found
                left.remove(found)
    return [(pairs.get(index), now) for index, now in enumerate(new)] + [(was, None) for was in left]


def compare_interfaces(old: Interface, new: Interface) -> Iterator[InterfaceChange]:
    """All differences but for those in the graph."""
    yield from _difference("dialect", old.dialect, new.dialect)
    for key in sorted(old.ranges.keys() | new.ranges.keys()):
        yield from _difference("range", old.ranges.get(key), new.ranges.get(key))
    inputs = matched_inputs(old.inputs, new.inputs)
    for was, now in inputs:
        yield from _difference("input", was and was.part, now and now.part)
    order = [was for was, now in inputs if was is not None and now is not None and not now.kind]
    kept = [one for one in old.inputs if one in order]
    if kept != order:
        yield InterfaceChange("moved", "input", "", *(", ".join(one.value for one in some) for some in (kept, order)))
    for key in dict.fromkeys((*new.outputs, *old.outputs)):
        yield from _difference("output", old.outputs.get(key), new.outputs.get(key))
    # With more or fewer values, inputs and outputs were added or removed.
    for what, nested, other in zip(_NESTED, old.nestings, new.nestings, strict=False):
        if nested.count(_LEAF) == other.count(_LEAF):
            yield from _difference(what, _Part("", nested), _Part("", other))


def _difference(what: What, old: _Part | None, new: _Part | None) -> Iterator[InterfaceChange]:
    if new is None:
        if old is not None:
            yield InterfaceChange("removed", what, old.name, old.shown, None)
    elif old is None:
        yield InterfaceChange("added", what, new.name, None, new.shown)
    elif (old.compared or old.shown) != (new.compared or new.shown):
        yield InterfaceChange("changed", what, new.name, old.shown, new.shown)


class _Spec(msgspec.Struct):
    """A level of a pytree spec, as torch serializes it."""

    type: str | None
    context: str | None = None
    children_spec: list["_Spec"] = []


def _nesting(spec: str) -> str:
    """``((*, {mask: *}), {})`` for the text of a pytree spec; the text itself where it is of no known form."""
    try:
        return _nested(msgspec.json.decode(spec, type=tuple[int, _Spec])[1])
    except msgspec.DecodeError:
        return spec


def _nested(tree: _Spec) -> str:
    if tree.type is None:
        return _LEAF
    kind = tree.type.rpartition(".")[2]
    parts = [_nested(one) for one in tree.children_spec]
    if kind == "tuple":
        return f"({', '.join(parts)})"
    if kind == "list":
        return f"[{', '.join(parts)}]"
    if kind == "dict":
        with suppress(ValueError):  # no JSON, or another number of keys
            keys = msgspec.json.decode(tree.context or "", type=list[Any])
            return "{" + ", ".join(f"{key}: {part}" for key, part in zip(keys, parts, strict=True)) + "}"
    return f"{kind}({tree.context or ''})({', '.join(parts)})"
