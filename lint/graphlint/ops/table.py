"""The table of ops: which there are and what is known of each.

``table.tsv`` holds one line for each overload; ``python -m tests.facts.generate`` writes it from what
torch has registered, from experiments, and from ``reviewed.tsv``. A line is parsed (:mod:`graphlint.ops.rows`) when its
op is looked up: a program has dozens of ops, the table thousands.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cache, cached_property

import msgspec

from graphlint.ir.model import Node
from graphlint.ops.declared import DeclaredOp
from graphlint.ops.info import DISPATCHED, HIGHER_ORDER, Alias, OpInfo, RandomCondition, Role
from graphlint.ops.rows import Row, library_op

TABLE = os.path.join(os.path.dirname(__file__), "table.tsv")  # pathlib is slow to import
"""The generated file: comment lines, then rows, sorted by name."""
_ROLE = b"\trole="
_VERSIONS = b"\n# torch "
"""How the comment begins that names the versions of torch."""


class OpTable:
    """Ops by name. Lookups are cached; the table itself never changes."""

    def __init__(
        self, text: bytes, declared: Mapping[str, DeclaredOp] | None = None, version: str | None = None
    ) -> None:
        """``text`` is the table's: comments, then lines sorted by name. ``declared`` is what a configuration says, and
        ``version`` is the version of torch that is asked about.
        """
        self._text = text
        self._declared = dict(declared or {})
        self._version = version
        self._known: dict[str, OpInfo | None] = {}
        self._of_version: dict[str, OpTable] = {}

    def lookup(self, target: str) -> OpInfo | None:
        """What is known of a node's target; None where neither the table, nor that of a library, nor the configuration
        knows it.

        Nothing is concluded from an op's name: an op of a known namespace that the table lacks is unknown. Of an
        overload that has changed, the row of the table's version is found, and the last one where it has no version, or
        has none of that: the rows of later versions come first.
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

    def twin_of(self, op: OpInfo) -> OpInfo | None:
        """The functional twin of an op, None where it has none."""
        return None if op.functional_twin is None else self.lookup(op.functional_twin)

    def with_declared(self, ops: Mapping[str, DeclaredOp]) -> "OpTable":
        """The table with what a configuration says of ops.

        An overload (``mylib.scale_.default``) goes before an op (``mylib.scale_``), and both go before what the
        table says. A namespace (``mylib.*``) speaks only for ops that the table does not know.
        """
        return OpTable(self._text, {**self._declared, **ops}, self._version)

    def of_version(self, version: str) -> "OpTable":
        """The table as of one version of torch (``2.13``). Rows are chosen when an op is asked for."""
        if version not in self._of_version:
            self._of_version[version] = OpTable(self._text, self._declared, version)
        return self._of_version[version]

    @property
    def lines(self) -> list[str]:
        """The rows."""
        return [line for line in self._text.decode().splitlines() if not line.startswith("#")]

    def names(self) -> Iterator[str]:
        """All names in the table, without declared ones."""
        return iter(dict.fromkeys(line.partition("\t")[0] for line in self.lines))

    @cached_property
    def roles(self) -> Mapping[str, list[str]]:
        """The names of the ops that have a role: the last fact of a line."""
        found: dict[str, list[str]] = {}
        at = self._text.find(_ROLE)
        while at >= 0:
            line = self._line_at(at)
            role = line.rpartition("=")[2]
            found.setdefault(role, []).append(line.partition("\t")[0])
            at = self._text.find(_ROLE, at + 1)
        return found

    def rows(self, target: str) -> Iterator[Row]:
        """What the table has of a target, the last versions first."""
        return map(Row.parse, self._lines_of(op_name(target)))

    def _lines_of(self, name: str) -> Iterator[str]:
        """The lines of an op. They are looked for in the text: to take all lines apart takes as long as all else that a
        small check asks of the table.
        """
        text, key = self._text, f"{name}\t".encode()
        at = bisect_left(range(len(text)), key, key=lambda at: text[(start := self._start(at)) : start + len(key)])
        while text.startswith(key, at):
            line = self._line_at(at)
            yield line
            at += len(line.encode()) + 1

    def _start(self, at: int) -> int:
        """Where the line begins that a byte of the text stands in."""
        return self._text.rfind(b"\n", 0, at) + 1

    def _line_at(self, at: int) -> str:
        return self._text[self._start(at) : self._text.index(b"\n", at)].decode()

    def _line(self, name: str) -> str | None:
        """The line that speaks for the op."""
        lines = list(self._lines_of(name))
        if self._version is not None and len(lines) > 1:
            own = (line for line in lines if self._version in Row.parse(line).versions(covered()))
            return next(own, lines[0])
        return lines[0] if lines else None

    def _find(self, name: str) -> OpInfo | None:
        line = self._line(name)
        registered = _info(line) if line is not None else library_op(name)
        declared = None
        if self._declared:
            # The overload goes before its op, and that before its namespace.
            names = (name, packet_of(name), *([f"{name.partition('.')[0]}.*"] if registered is None else []))
            declared = next((self._declared[one] for one in names if one in self._declared), None)
        return registered if declared is None else _declared(name, declared, registered)


@cache
def _info(line: str) -> OpInfo:
    """What a line says, whichever version is asked about."""
    return Row.parse(line).info()


@cache
def op_table() -> OpTable:
    """The table that graphlint ships, without declared ops."""
    return OpTable(_read())


@cache
def covered() -> tuple[str, ...]:
    """The versions of torch that the table covers, in their order: ``2.6`` and so on."""
    _, _, after = _read().partition(_VERSIONS)
    return tuple(after.partition(b"\n")[0].decode().split())


def version_of(torch: str | None) -> str | None:
    """The version that ``2.13.0+cpu`` is of, where the table covers it."""
    version = ".".join((torch or "").split(".")[:2])
    return version if version in covered() else None


@cache
def _read() -> bytes:
    with open(TABLE, "rb") as file:  # as above
        return file.read()


@cache
def check_twins() -> Mapping[str, str]:
    """A runtime check's target to its functional twin's."""
    table = op_table()
    checks = (table.lookup(name) for role, names in table.roles.items() if role.startswith("assert") for name in names)
    twins = ((op, table.twin_of(op)) for op in checks if op is not None)
    return {op.target: twin.target for op, twin in twins if twin is not None}


def op_of(role: Role) -> OpInfo:
    """The op that has a role."""
    found = op_table().lookup(op_table().roles[role][0])
    if found is None:
        raise AssertionError("what has a role is in the table")
    return found


def role_of(target: str) -> Role | None:
    """The role of the op that is a node's target."""
    op = op_table().lookup(target)
    return op.role if op is not None else None


def op_name(target: str) -> str:
    """A node's target as people write it, the same for all versions of torch.

    ``torch.ops.aten.add.Tensor`` becomes ``aten.add.Tensor``; what torch 2.4 calls
    ``torch._higher_order_ops.wrap.wrap_with_set_grad_enabled`` becomes ``higher_order.wrap_with_set_grad_enabled``.
    """
    for prefix in (DISPATCHED, "torch._ops."):
        if target.startswith(prefix):
            return target[len(prefix) :]
    if target.startswith("torch._higher_order_ops."):
        return f"{HIGHER_ORDER}{target.rpartition('.')[2]}"
    return target


def packet_of(name: str) -> str:
    """``aten.add`` for ``aten.add.Tensor``; ``higher_order.cond`` for itself."""
    return name.rpartition(".")[0] if name.count(".") > 1 else name


def _declared(name: str, op: DeclaredOp, registered: OpInfo | None) -> OpInfo:
    """An op that the configuration declares, with the schema where the table has one."""
    told = Row(name, op.schema).info()
    schema = registered.schema if not op.schema and registered is not None else told.schema

    def named(arguments: tuple[str, ...]) -> tuple[str, ...]:
        known = [argument.name for argument in schema.arguments] if schema is not None else []
        return tuple(
            known[int(argument)] if argument.isdecimal() and int(argument) < len(known) else argument
            for argument in arguments
        )

    return OpInfo(
        name=name,
        schema=schema,
        writes=tuple(dict.fromkeys((*told.writes, *named(op.writes)))),
        aliases=(*told.aliases, *map(Alias, named(op.aliases))),
        shares="undecided" if op.aliases else None,
        random=RandomCondition(op.random),
        returns_nothing=schema is not None and not schema.returns,
        effect=op.effect,
        kind="effect" if op.effect else None,
        closed=not name.startswith(HIGHER_ORDER),
        role=registered.role if registered is not None else None,
        source="configuration",
    )
