"""The table of ops: which there are and what is known of each.

``table.tsv`` holds one line for each overload; ``python -m tests.facts.generate`` writes it from what
torch has registered, from experiments, and from ``reviewed.tsv``. A line is parsed (:mod:`graphlint.ops.rows`) when its
op is looked up: a program has dozens of ops, the table thousands.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TypeVar

import msgspec

from graphlint.ir.model import Node
from graphlint.ops.conditions import Alias
from graphlint.ops.declared import DeclaredOp
from graphlint.ops.info import OpInfo
from graphlint.ops.library import library_op
from graphlint.ops.rows import ALWAYS, NEVER, Row

__all__ = ["TABLE", "OpInfo", "OpTable", "op_name", "op_table"]

TABLE = os.path.join(os.path.dirname(__file__), "table.tsv")  # pathlib is slow to import
"""The generated file: comment lines, then rows, sorted by name."""

_Fact = TypeVar("_Fact")


class OpTable:
    """Ops by name. Lookups are cached; the table itself never changes."""

    def __init__(self, lines: Sequence[str], declared: Mapping[str, DeclaredOp] | None = None) -> None:
        """``lines`` are the table's, sorted by name, and ``declared`` is what a configuration says."""
        self._lines = lines
        self._declared = dict(declared or {})
        self._known: dict[str, OpInfo | None] = {}

    def lookup(self, target: str) -> OpInfo | None:
        """What is known of a node's target; None where neither the table, nor that of a library, nor the configuration
        knows it.

        Nothing is concluded from an op's name: an op of a known namespace that the table lacks is unknown. Of an
        overload that has changed, the last one is found: the rows of later versions come first.
        """
        if target not in self._known:
            self._known[target] = self._find(op_name(target))
        return self._known[target]

    def of(self, node: Node) -> OpInfo | None:
        """What is known of what a node does: one that wraps an op draws and has effects as that op does."""
        op = self.lookup(node.target)
        operator = node.inputs[0].arg.as_operator if op is not None and op.wraps and node.inputs else None
        wrapped = self.lookup(operator) if operator is not None else None
        if op is None or wrapped is None:
            return op
        kind = wrapped.kind if wrapped.effect else None
        return msgspec.structs.replace(op, random=wrapped.random, effect=wrapped.effect, kind=kind)

    def with_declared(self, ops: Mapping[str, DeclaredOp]) -> OpTable:
        """The table with what a configuration says of ops.

        An overload (``mylib.scale_.default``) goes before an op (``mylib.scale_``), and both go before what the
        table says. A namespace (``mylib.*``) speaks only for ops that the table does not know.
        """
        return OpTable(self._lines, {**self._declared, **ops})

    def of_version(self, version: str) -> OpTable:
        """The table of one version of torch (``2.13``): its rows and no others."""
        return OpTable([line for line in self._lines if _covers(line.split("\t", 3)[2:3], version)], self._declared)

    def names(self) -> Iterator[str]:
        """All names in the table, without declared ones."""
        return iter(dict.fromkeys(line.partition("\t")[0] for line in self._lines))

    def with_fact(self, fact: str) -> Iterator[OpInfo]:
        """The ops of which one field is ``fact`` (``effect=check``), as lookups know them, without declared ones."""
        ending = f"\t{fact}"
        for later, line in pairwise(("", *self._lines)):
            name, *fields = line.split("\t") if ending in line else ("",)
            if fact in fields and not later.startswith(f"{name}\t"):
                yield Row.parse(line).info()

    def _find(self, name: str) -> OpInfo | None:
        key = f"{name}\t"
        at = bisect_left(self._lines, key)
        found = at < len(self._lines) and self._lines[at].startswith(key)
        registered = Row.parse(self._lines[at]).info() if found else library_op(name)
        declared = _most_specific(self._declared, name, namespaces=registered is None)
        return registered if declared is None else _declared(name, declared, registered)


@cache
def op_table() -> OpTable:
    """The table that graphlint ships, without declared ops."""
    with open(TABLE, encoding="utf-8") as file:  # as above
        lines = file.read().splitlines()
    return OpTable(lines[bisect_left(lines, "$") :])  # comment lines begin with '#' and so sort before all names


@cache
def check_twins() -> Mapping[str, str]:
    """A runtime check's target to its functional twin's."""
    checks = op_table().with_fact("effect=check")
    return {f"torch.ops.{op.name}": f"torch.ops.{op.functional_twin}" for op in checks if op.functional_twin}


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


def _covers(span: Sequence[str], version: str) -> bool:
    """Whether a row's ``torch=2.6-2.12`` includes a version. Rows that say nothing are of versions before."""
    if not span or not span[0].startswith("torch="):
        return False
    since, _, until = span[0].removeprefix("torch=").partition("-")
    first, last, wanted = (tuple(map(int, one.split("."))) for one in (since, until or since, version))
    return first <= wanted <= last


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


def _declared(name: str, op: DeclaredOp, registered: OpInfo | None) -> OpInfo:
    """An op that the configuration declares, with the schema where the table has one."""
    told = Row(name, op.schema).info() if op.schema else None
    schema = told.schema if told is not None else registered.schema if registered is not None else None

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
        writes=tuple(dict.fromkeys((*(told.writes if told is not None else ()), *named(op.writes)))),
        aliases=(
            *(told.aliases if told is not None else ()),
            *(Alias(argument, certainty="maybe") for argument in named(op.aliases)),
        ),
        shares="undecided" if op.aliases else None,
        random=ALWAYS if op.random else NEVER,
        returns_nothing=schema is not None and not schema.returns,
        effect=op.effect,
        kind="effect" if op.effect else None,
        closed=not name.startswith("higher_order."),
        source="configuration",
    )
