"""Rows of the table: one line of text for each overload.

``name TAB schema TAB field=value TAB field=value …``: the schema is empty for higher-order and symbolic operators, and
a fact that has its default is left out. The fields are those of :class:`~graphlint.ops.info.OpInfo`, except these:

| field | value |
|---|---|
| ``torch`` | the first and the last version that the row is of: ``2.9`` or ``2.6-2.12`` |
| ``twin`` | the functional twin |
| ``hidden`` | the hidden writes: ``running_mean running_var if training=True`` |
| ``alias`` | aliases that no schema annotates: ``self``, ``bins of 1`` for a single result; several with commas |
| ``draws`` | ``always``, ``never``, ``unless train=False p=0.0``; torch's tag tells where it is left out |
| ``autocast`` | policies, each with the devices: ``none cpu mps, float32 cuda``; without any where it is of all |
| ``in_eval`` | the argument in eval mode: ``train=False`` |
| ``effect`` | the kind of effect; ``functional collective`` where it is data flow |
| ``view`` | steps, from the operand outwards: ``view_as_real, select dim=-1 index=0`` |
| ``calls`` | the convention: ``graphs=1,2 lists=3 results_of=0,1 fresh_results carries`` |
| flags | the name of the field alone: ``elementwise``, ``dropout``; ``no meta_layout`` for False |

The ops that come with popular libraries have tables of their own in ``libraries/``, which are opened when a program
uses a namespace of theirs. ``python -m tests.facts.libraries`` writes them, from what each library has registered and
from ``libraries/reviewed.tsv``. A table's head says which library it is of, in which version, and for which namespaces
it answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

import msgspec

from graphlint.ops.info import (
    AUTOCAST_DEVICES,
    HIGHER_ORDER,
    Alias,
    ArgumentIs,
    Convention,
    HiddenWrites,
    OpInfo,
    RandomCondition,
    ViewStep,
)
from graphlint.ops.schema import OpSchema, SchemaArgument, SchemaReturn, literal, parse_schema


class Row(msgspec.Struct):
    """One line of the table."""

    name: str
    schema: str = ""
    facts: dict[str, str] = {}
    """Field to value; a flag's value is empty."""

    @classmethod
    def parse(cls, line: str) -> Row:
        """The row that a line of the table holds."""
        name, schema, *facts = line.split("\t")
        pairs = (fact.partition("=") for fact in facts)
        return cls(name, schema, {field: value for field, _, value in pairs})

    def versions(self, known: Sequence[str]) -> Sequence[str]:
        """Those of the ``known`` versions of torch, in their order, that the row is of; none where it does not say."""
        since, _, until = self.facts.get("torch", "").partition("-")
        return known[known.index(since) : known.index(until or since) + 1] if since else ()

    def info(self) -> OpInfo:
        """What the row says of the op."""
        facts = self.facts
        schema = parse_schema(self.schema) if self.schema else None
        arguments = schema.arguments if schema is not None else ()
        tags = frozenset(facts.get("tags", "").split())
        functional, _, effect = facts.get("effect", "").rpartition(" ")
        said: dict[str, Any] = {field: facts[field] for field in _WORDS if field in facts}
        said.update((field, tuple(facts[field].split())) for field in ("layout", "dtype") if field in facts)
        said.update((field, read(facts[fact])) for fact, (field, read) in _READ.items() if fact in facts)
        for flag in _FLAGS:
            if flag in facts or f"no {flag}" in facts:
                said[flag] = flag in facts
        return OpInfo(
            name=self.name,
            schema=schema,
            writes=tuple(argument.name for argument in arguments if argument.written),
            aliases=_aliases(schema, facts),
            random=_random(facts.get("draws"), tags),
            returns_nothing=schema is not None and not schema.returns and not schema.variadic,
            out_variant=any(a.written and (a.keyword_only or self.name.endswith((".out", "_out"))) for a in arguments),
            in_place_view="inplace_view" in tags,
            functional_twin=facts.get("twin"),
            effect=bool(effect) and not functional,
            kind=effect or None,  # type: ignore[arg-type]  # the generator holds that words are of the vocabularies
            closed=not self.name.startswith(HIGHER_ORDER) or "closed" in facts,
            tags=tags,
            **said,
        )


def _condition(text: str) -> ArgumentIs:
    argument, _, value = text.partition("=")
    found: Any = literal(value)
    return ArgumentIs(argument, found)


def _hidden_writes(text: str) -> HiddenWrites:
    arguments, _, condition = text.partition(" if ")
    return HiddenWrites(tuple(arguments.split()), _condition(condition) if condition else None)


def _random(text: str | None, tags: frozenset[str]) -> RandomCondition:
    if text is None:
        return RandomCondition("nondeterministic_seeded" in tags)
    when, *conditions = text.split()
    return RandomCondition(when != "never", tuple(map(_condition, conditions)))


def _autocast(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in text.split(", "):
        policy, *devices = part.split(" ")
        found.update(dict.fromkeys(devices or AUTOCAST_DEVICES, policy))
    return found


def _aliases(schema: OpSchema | None, facts: dict[str, str]) -> tuple[Alias, ...]:
    """Those that the schema annotates, and the one that it does not; without a schema, of an argument by position."""
    annotated = tuple(
        Alias(argument.name, position)
        for position, result in enumerate(schema.returns if schema is not None else ())
        for argument in (schema.arguments if schema is not None else ())
        if not _sets(argument).isdisjoint(_sets(result))
    )
    if "alias" not in facts:
        return annotated
    told = (one.partition(" of ") for one in facts["alias"].split(", "))
    return (*annotated, *(Alias(argument, int(result) if result else None) for argument, _, result in told))


def _sets(part: SchemaArgument | SchemaReturn) -> set[str]:
    return set(part.alias.split("|")) if part.alias is not None else set()


def _steps(text: str) -> tuple[ViewStep, ...]:
    steps = []
    for step in text.split(", "):
        kind, *parameters = step.split(" ")
        pairs = (parameter.partition("=") for parameter in parameters)
        steps.append(
            msgspec.convert({"kind": kind, "parameters": {one: literal(other) for one, _, other in pairs}}, ViewStep)
        )
    return tuple(steps)


def _convention(text: str) -> Convention:
    values: dict[str, Any] = {}
    for part in text.split():
        field, _, value = part.partition("=")
        if not value:
            values[field.removeprefix("not-")] = not field.startswith("not-")
        elif field == "rest":
            values[field] = int(value)
        else:
            values[field] = tuple(map(int, value.split(",")))
    return Convention(**values)


_WORDS: Final = ("shares", "returns_self", "draw_order", "substitute", "resized", "region", "role")
_FLAGS: Final = (
    "detaches", "dropout", "elementwise", "same_bits", "raises_on_integers", "meta_layout", "complex_bits", "casts_out",
    "casts_last", "sets_bits", "strided_writes", "wraps",
)  # fmt: skip
_READ: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "hidden": ("hidden_writes", _hidden_writes),
    "view": ("view", _steps),
    "calls": ("calls", _convention),
    "autocast": ("autocast", _autocast),
    "in_eval": ("in_eval", _condition),
}


TABLES: Final = os.path.join(os.path.dirname(__file__), "libraries")
NAMESPACES: Final = "# namespaces "
"""How the line of a table's head begins that names its namespaces."""


def library_op(name: str) -> OpInfo | None:
    """What the table of a library says of an op; None where none knows it."""
    for path in _tables().get(name.partition(".")[0], ()):
        line = _rows(path).get(name)
        if line is not None:
            return msgspec.structs.replace(Row.parse(line).info(), source="library")
    return None


@cache
def _tables() -> dict[str, list[str]]:
    """The tables' paths by namespace."""
    found: dict[str, list[str]] = {}
    for file in sorted(os.listdir(TABLES)):
        path = os.path.join(TABLES, file)
        for namespace in _namespaces(path):
            found.setdefault(namespace, []).append(path)
    return found


def _namespaces(path: str) -> list[str]:
    """The namespaces that a table's head names."""
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            if line.startswith(NAMESPACES):
                return line.removeprefix(NAMESPACES).split()
    return []


@cache
def _rows(path: str) -> dict[str, str]:
    """A table's lines by the name of the op."""
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if not line.startswith("#")]
    return {line.partition("\t")[0]: line for line in lines}
