"""Which versions of torch have what a program uses: its ops with their arguments, its schema, the archive's layout.

Ops that the table does not know, or of no version (custom ones), tell nothing, and neither do the types of arguments.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from graphlint.ir.model import NamedArgument, Node, Program
from graphlint.ops.conditions import ArgumentIs
from graphlint.ops.info import OpInfo
from graphlint.ops.rows import Row
from graphlint.ops.schema import OpSchema, SchemaArgument, parse_schema
from graphlint.ops.table import OpTable, covered
from graphlint.semantics.sites import Site, walk

if TYPE_CHECKING:
    from graphlint.artifact.artifact import Layout

LOADABLE_MAJOR: Final = 8
"""The schema major that torch 2.6 and later load; each torch refuses every other one."""


class Misfit(msgspec.Struct, frozen=True, eq=False):
    """A node that some versions of torch cannot take as it is."""

    site: Site
    having: tuple[str, ...]
    """The versions that have the op."""
    missing: Mapping[str, str]
    """Those that do not take the node, in their order, and what they say of the arguments; nothing where they do not
    have the op."""


def misfits(program: Program, ops: OpTable) -> Iterator[Misfit]:
    """The nodes that one of the versions which the table covers cannot take, in program order."""
    rows: dict[str, list[Row]] = {}

    def fits_all(op: OpInfo) -> bool:
        """Whether its nodes fit all versions, and have no subgraphs."""
        known = rows[op.name] = list(ops.rows(op.name))
        return (
            op.source == "table"
            and not op.name.startswith("higher_order.")
            and (len(_by_version(known)) in (0, len(covered())) and not _disagree(known))
        )

    for site in walk(program, ops, fits_all):
        found = rows.get(site.op.name) if site.op is not None else None
        missing = _missing(site.node, found) if found else {}
        if found and missing:
            yield Misfit(site, tuple(_by_version(found)), missing)


def loads_in(program: Program, ops: OpTable, layout: Layout) -> tuple[str, ...]:
    """The versions of torch, of those that the table covers, that load a program from an archive of that layout, as
    far as that can be told. They follow each other.
    """
    lacking = {version for version in covered() if not _reads(version, program, layout)}
    if len(lacking) < len(covered()):
        lacking.update(version for misfit in misfits(program, ops) for version in misfit.missing)
    return tuple(version for version in covered() if version not in lacking)


def _reads(version: str, program: Program, layout: Layout) -> bool:
    """Whether a version reads programs of that schema from an archive of that layout."""
    return program.schema[0] == LOADABLE_MAJOR


def spanned(versions: Sequence[str]) -> str:
    """Versions that follow each other, in words: ``2.9 to 2.15``."""
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


def _by_version(rows: Sequence[Row]) -> dict[str, Row]:
    """The row of each version, in their order."""
    found = {version: row for row in rows for version in row.versions(covered())}
    return {version: found[version] for version in covered() if version in found}


def _disagree(rows: Sequence[Row]) -> bool:
    """Whether one of the schemas may refuse what another one takes."""
    if len({row.schema for row in rows}) < 2:
        return False
    shapes = {tuple((one.name, one.default is None, _optional(one)) for one in _arguments(row)) for row in rows}
    return len(shapes) > 1


def _missing(node: Node, rows: Sequence[Row]) -> dict[str, str]:
    of_version = _by_version(rows)
    if not of_version:
        return {}
    disagree = _disagree(rows)
    missing = {}
    for version in covered():
        row = of_version.get(version)
        why = "" if row is None else _refusal(node, row, rows) if disagree else None
        if why is not None:
            missing[version] = why
    return missing


def _refusal(node: Node, row: Row, rows: Sequence[Row]) -> str | None:
    """Why the overload of a row does not take the arguments that a node records, or None. An argument that it lacks is
    dropped when torch loads the node: it has to be left at the default that it has elsewhere.
    """
    taken = {one.name: one for one in _arguments(row)}
    recorded = {operand.name: operand for operand in node.inputs}
    for name, operand in recorded.items():
        if name not in taken and not _is_default(operand, node, rows):
            return f"takes no argument '{name}'"
        if name in taken and operand.arg.as_none is not None and not _optional(taken[name]):
            return f"takes no None for argument '{name}'"
    lacking = next((name for name, one in taken.items() if one.default is None and name not in recorded), None)
    return None if lacking is None else f"needs an argument '{lacking}'"


def _is_default(operand: NamedArgument, node: Node, rows: Sequence[Row]) -> bool:
    """Whether an operand is what the schema of another version takes where it is left out."""
    schemas = (_schema(row.schema) for row in rows if row.schema)
    found = next((one for schema in schemas if (one := schema.argument(operand.name)) is not None), None)
    if found is None or found.default is None:
        return False
    value = found.default_value
    if value is None:
        return operand.arg.as_none is not None
    return not isinstance(value, str) and ArgumentIs(operand.name, value).holds(node, None)


def _arguments(row: Row) -> tuple[SchemaArgument, ...]:
    return _schema(row.schema).arguments if row.schema else ()


def _optional(argument: SchemaArgument) -> bool:
    return argument.type.endswith("?")


@cache
def _schema(text: str) -> OpSchema:
    return parse_schema(text)
