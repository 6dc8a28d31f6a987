"""Rows of the table: one line of text for each overload.

``name TAB schema TAB field=value TAB field=value …``: the schema is empty for higher-order and symbolic operators, and
a fact that has its default is left out. The fields are those of :class:`~graphlint.ops.info.OpInfo`, except these:

| field | value |
|---|---|
| ``torch`` | the first and the last version that the row is of: ``2.9`` or ``2.6-2.12`` |
| ``twin`` | the functional twin |
| ``hidden`` | the hidden writes: ``running_mean running_var if training=True`` |
| ``alias`` | an alias that the schema does not annotate: ``self``, ``bins of 1`` for a single result |
| ``draws`` | ``always``, ``never``, ``unless train=False p=0.0``; torch's tag tells where it is left out |
| ``in_eval`` | the argument in eval mode: ``train=False`` |
| ``effect`` | the kind of effect; ``functional collective`` where it is data flow |
| ``view`` | steps, from the operand outwards: ``view_as_real, select dim=-1 index=0`` |
| ``calls`` | the convention: ``graphs=1,2 lists=3 results_of=0,1 fresh_results carries`` |
| flags | the name of the field alone: ``elementwise``, ``dropout``; ``no meta_layout`` for False |
"""

from __future__ import annotations

from typing import Any

import msgspec

from graphlint.ops.conditions import Alias, ArgumentIs, HiddenWrites, RandomCondition
from graphlint.ops.info import Convention, OpInfo, ViewStep
from graphlint.ops.schema import OpSchema, SchemaArgument, SchemaReturn, literal, parse_schema

NEVER = RandomCondition("never")
ALWAYS = RandomCondition("always")


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

    def render(self) -> str:
        """The row's line."""
        facts = (f"{field}={value}" if value else field for field, value in self.facts.items())
        return "\t".join([self.name, self.schema, *facts])

    def info(self) -> OpInfo:
        """What the row says of the op."""
        facts = self.facts
        schema = parse_schema(self.schema) if self.schema else None
        arguments = schema.arguments if schema is not None else ()
        tags = frozenset(facts.get("tags", "").split())
        since, _, until = facts.get("torch", "").partition("-")
        functional, _, effect = facts.get("effect", "").rpartition(" ")
        higher_order = self.name.startswith("higher_order.")
        values: dict[str, Any] = {
            "name": self.name,
            "schema": schema,
            "since": since,
            "until": until or since,
            "writes": tuple(argument.name for argument in arguments if argument.written),
            "hidden_writes": _hidden_writes(facts["hidden"]) if "hidden" in facts else None,
            "aliases": _aliases(schema, facts),
            "shares": facts.get("shares"),
            "returns_self": facts.get("returns_self", "never"),
            "view": _steps(facts["view"]) if "view" in facts else (),
            "random": _random(facts.get("draws"), tags),
            "in_eval": _condition(facts["in_eval"]) if "in_eval" in facts else None,
            "draw_order": facts.get("draw_order", "elements"),
            "returns_nothing": schema is not None and not schema.returns and not schema.variadic,
            "out_variant": any(
                a.written and (a.keyword_only or self.name.endswith((".out", "_out"))) for a in arguments
            ),
            "in_place_view": "inplace_view" in tags,
            "functional_twin": facts.get("twin"),
            "substitute": facts.get("substitute"),
            "layout": tuple(facts.get("layout", "").split()),
            "dtype": tuple(facts.get("dtype", "").split()),
            "autocast": facts.get("autocast"),
            "effect": bool(effect) and not functional,
            "kind": effect or None,
            "calls": _convention(facts["calls"]) if "calls" in facts else None,
            "region": facts.get("region"),
            "closed": not higher_order or "closed" in facts,
            "tags": tags,
        }
        values.update(
            (flag, True)
            for flag in ("detaches", "dropout", "elementwise", "same_bits", "raises_on_integers")
            if flag in facts
        )
        values.update((flag, False) for flag in ("meta_layout", "complex_bits", "casts_out") if f"no {flag}" in facts)
        return OpInfo(**values)


def _condition(text: str) -> ArgumentIs:
    argument, _, value = text.partition("=")
    found: Any = literal(value)
    return ArgumentIs(argument, found)


def _hidden_writes(text: str) -> HiddenWrites:
    arguments, _, condition = text.partition(" if ")
    return HiddenWrites(tuple(arguments.split()), _condition(condition) if condition else None)


def _random(text: str | None, tags: frozenset[str]) -> RandomCondition:
    if text is None:
        return ALWAYS if "nondeterministic_seeded" in tags else NEVER
    if text in ("always", "never"):
        return ALWAYS if text == "always" else NEVER
    return RandomCondition("unless", tuple(map(_condition, text.removeprefix("unless ").split())))


def _aliases(schema: OpSchema | None, facts: dict[str, str]) -> tuple[Alias, ...]:
    """Those that the schema annotates, and the one that it does not; without a schema, of an argument by position."""
    certainty: Any = "maybe" if "shares" in facts else "always"
    annotated = tuple(
        Alias(argument.name, position, certainty)
        for position, result in enumerate(schema.returns if schema is not None else ())
        for argument in (schema.arguments if schema is not None else ())
        if _share(argument, result)
    )
    if "alias" not in facts:
        return annotated
    argument, _, result = facts["alias"].partition(" of ")
    return (*annotated, Alias(argument, int(result) if result else None, certainty))


def _share(argument: SchemaArgument, result: SchemaReturn) -> bool:
    if argument.alias is None or result.alias is None:
        return False
    return not set(argument.alias.split("|")).isdisjoint(result.alias.split("|"))


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
