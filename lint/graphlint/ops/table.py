"""The table of ops: which there are and what is known of each.

``table.tsv`` holds what torch has registered, one overload per line; ``python -m graphlint.runtime.generate_op_table``
writes it. :mod:`graphlint.ops.draws`, :mod:`graphlint.ops.hidden_writes`, :mod:`graphlint.ops.aliasing` and
:mod:`graphlint.ops.effects` hold what registration does not tell. Both come together when an op is looked up, and
only then is its schema parsed: a program has dozens of ops, the table thousands.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TypeVar

from graphlint.ops.aliasing import CONDITIONAL, HIDDEN
from graphlint.ops.conditions import Alias, RandomCondition
from graphlint.ops.draws import ALWAYS, NEVER, RANDOM_CONDITIONS
from graphlint.ops.effects import EFFECTS
from graphlint.ops.hidden_writes import HIDDEN_WRITES
from graphlint.ops.info import OpInfo
from graphlint.ops.schema import OpSchema, SchemaArgument, SchemaReturn, parse_schema
from graphlint.rules.settings import DeclaredOp

__all__ = ["TABLE", "OpInfo", "OpTable", "op_name", "op_table"]

TABLE = os.path.join(os.path.dirname(__file__), "table.tsv")  # pathlib is slow to import
"""The generated file: comment lines, then ``name TAB schema TAB tags TAB functional twin``."""

_Fact = TypeVar("_Fact")


class OpTable:
    """Ops by name. Lookups are cached; the table itself never changes."""

    def __init__(self, lines: Sequence[str], declared: Mapping[str, DeclaredOp] | None = None) -> None:
        """``lines`` are the table's, sorted by name, and ``declared`` is what a configuration says."""
        self._lines = lines
        self._declared = dict(declared or {})
        self._known: dict[str, OpInfo | None] = {}

    def lookup(self, target: str) -> OpInfo | None:
        """What is known of a node's target; None where neither the table nor the configuration knows it.

        Nothing is concluded from an op's name: an op of a known namespace that the table lacks is unknown.
        """
        if target not in self._known:
            self._known[target] = self._find(op_name(target))
        return self._known[target]

    def with_declared(self, ops: Mapping[str, DeclaredOp]) -> OpTable:
        """The table with what a configuration says of ops.

        An overload (``mylib.scale_.default``) goes before an op (``mylib.scale_``), and both go before what the
        table says. A namespace (``mylib.*``) speaks only for ops that the table does not know.
        """
        return OpTable(self._lines, {**self._declared, **ops})

    def names(self) -> Iterator[str]:
        """All names in the table, without declared ones."""
        return (line.partition("\t")[0] for line in self._lines)

    def _find(self, name: str) -> OpInfo | None:
        key = f"{name}\t"
        at = bisect_left(self._lines, key)
        found = at < len(self._lines) and self._lines[at].startswith(key)
        registered = _registered(self._lines[at]) if found else None
        declared = _most_specific(self._declared, name, namespaces=registered is None)
        return registered if declared is None else _declared(name, declared, registered)


@cache
def op_table() -> OpTable:
    """The table that graphlint ships, without declared ops."""
    with open(TABLE, encoding="utf-8") as file:  # as above
        lines = file.read().splitlines()
    return OpTable(lines[bisect_left(lines, "$") :])  # comment lines begin with '#' and so sort before all names


def op_name(target: str) -> str:
    """A node's target as people write it, the same for all versions of torch.

    ``torch.ops.aten.add.Tensor`` becomes ``aten.add.Tensor``; what torch 2.4 calls
    ``torch._higher_order_ops.wrap.wrap_with_set_grad_enabled`` becomes ``higher_order.wrap_with_set_grad_enabled``.
    """
    for prefix in ("torch.ops.", "torch._ops."):
        if target.startswith(prefix):
            return target[len(prefix) :]
    if target.startswith("torch._higher_order_ops."):
        return f"higher_order.{target.rpartition('.')[2]}"
    return target


def _most_specific(facts: Mapping[str, _Fact], name: str, *, namespaces: bool = True) -> _Fact | None:
    """The fact about the overload, else the one about its op, else the one about its namespace."""
    if not facts:
        return None
    fact = facts.get(name)
    if fact is None:
        fact = facts.get(_op(name))
    if fact is None and namespaces:
        fact = facts.get(f"{name.partition('.')[0]}.*")
    return fact


def _op(name: str) -> str:
    """``aten.add`` for ``aten.add.Tensor``; ``higher_order.cond`` for itself."""
    return name.rpartition(".")[0] if name.count(".") > 1 else name


def _registered(line: str) -> OpInfo:
    """An op from its line of the table."""
    name, text, tags, twin = line.split("\t")
    schema = parse_schema(text) if text else None
    tag_set = frozenset(tags.split())
    effect = _most_specific(EFFECTS, name)
    arguments = schema.arguments if schema is not None else ()
    return OpInfo(
        name=name,
        schema=schema,
        writes=tuple(argument.name for argument in arguments if argument.written),
        hidden_writes=_most_specific(HIDDEN_WRITES, name),
        aliases=_aliases(name, schema),
        random=_random(name, tag_set),
        returns_nothing=schema is not None and not schema.returns and not schema.variadic,
        out_variant=any(a.written and (a.keyword_only or name.endswith((".out", "_out"))) for a in arguments),
        in_place_view="inplace_view" in tag_set,
        functional_twin=twin or None,
        effect=effect is not None and not effect.functional,
        kind=None if effect is None else effect.kind,
        tags=tag_set,
    )


def _random(name: str, tags: frozenset[str]) -> RandomCondition:
    condition = _most_specific(RANDOM_CONDITIONS, name)
    if condition is not None:
        return condition
    return ALWAYS if "nondeterministic_seeded" in tags else NEVER


def _aliases(name: str, schema: OpSchema | None) -> tuple[Alias, ...]:
    hidden = _most_specific(HIDDEN, name)
    if schema is None:
        return ()
    annotated = tuple(
        Alias(argument.name, position, "maybe" if _op(name) in CONDITIONAL else "always")
        for position, result in enumerate(schema.returns)
        for argument in schema.arguments
        if _share(argument, result)
    )
    if hidden is None or any(argument.written for argument in schema.arguments):
        return annotated
    return (*annotated, hidden)


def _share(argument: SchemaArgument, result: SchemaReturn) -> bool:
    if argument.alias is None or result.alias is None:
        return False
    return not set(argument.alias.split("|")).isdisjoint(result.alias.split("|"))


def _declared(name: str, op: DeclaredOp, registered: OpInfo | None) -> OpInfo:
    """An op that the configuration declares, with the schema where the table has one."""
    schema = registered.schema if registered is not None else None

    def named(arguments: tuple[str, ...]) -> tuple[str, ...]:
        if schema is None:
            return arguments
        known = [argument.name for argument in schema.arguments]
        return tuple(
            known[int(argument)] if argument.isdecimal() and int(argument) < len(known) else argument
            for argument in arguments
        )

    return OpInfo(
        name=name,
        schema=schema,
        writes=named(op.writes),
        aliases=tuple(Alias(argument, certainty="maybe") for argument in named(op.aliases)),
        random=RandomCondition("always", reason="declared in the configuration") if op.random else NEVER,
        returns_nothing=schema is not None and not schema.returns,
        effect=op.effect,
        kind="effect" if op.effect else None,
        source="configuration",
    )
