"""Which versions of torch have what a program uses: its ops with their arguments, its schema, the archive's layout.

Ops that the table does not know, or of no version (custom ones), tell nothing, and neither do the types of arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from keyword import iskeyword, kwlist
from typing import TYPE_CHECKING, Final

import msgspec

from graphlint.ir.edit import every_graph
from graphlint.ir.model import Graph, NamedArgument, Node, Program
from graphlint.ops.info import HIGHER_ORDER, ArgumentIs, OpInfo
from graphlint.ops.schema import OpSchema, SchemaArgument, parse_schema
from graphlint.ops.table import OpTable, covered, op_table
from graphlint.semantics.sites import Site, walk

if TYPE_CHECKING:
    from graphlint.artifact.artifact import Layout

LOADABLE_MAJOR: Final = 8
"""The schema major that torch 2.6 and later load; each torch refuses every other one."""
_FIRST_READER: Final[dict[Layout, str]] = {"flat": "2.6", "pt2-pickled": "2.8", "pt2": "2.9"}
"""The first version that reads a layout. This and what follows was measured: each version loaded files of all others.
The code is ``torch/export/__init__.py`` and ``torch/_export/serde/serialize.py``.
"""
_STRICT: Final = "2.6"
"""The version that refuses what a later schema added; the others skip it."""
_STRICT_MINOR: Final = 2
_LAST_READER_OF_UNMARKED: Final = "2.7"
"""The last version that takes calls of graphs with a list of results and no mark (``is_hop_single_tensor_return``)
which says whether they return a single tensor. Only torch 2.6 writes such calls.
"""
_KEYWORD_DEFAULTS: Final = tuple(f" {word}=" for word in kwlist)
"""How a schema spells defaults of arguments that are named like keywords of Python."""


class Misfit(msgspec.Struct, frozen=True, eq=False):
    """A node that some versions of torch cannot take as it is."""

    site: Site
    having: tuple[str, ...]
    """The versions that have the op."""
    missing: Mapping[str, str]
    """Those that do not take the node, in their order, and what they say of the arguments; nothing where they do not
    have the op."""

    @property
    def unread(self) -> str:
        """An argument without which no version takes the node, though the schema has a default for it; else empty."""
        schema = self.site.op.schema if self.site.op is not None else None
        needed = (one.name for one in (schema.arguments if schema is not None else ()) if _is_needed_by_name(one))
        return next((name for name in needed if self.site.node.input(name) is None), "")


def misfits(program: Program, ops: OpTable) -> Iterator[Misfit]:
    """The nodes that one of the versions which the table covers cannot take, in program order."""

    def fits(op: OpInfo) -> bool:
        """Whether all versions take all of its nodes, which have no subgraphs."""
        return op.source == "table" and not op.name.startswith(HIGHER_ORDER) and _history(op.name).fits

    for site in walk(program, ops, fits):
        history = _history(site.name) if site.op is not None else None
        if history is not None and not history.fits and (missing := history.missing(site.node)):
            yield Misfit(site, tuple(history.schemas), missing)


def loads_in(program: Program, misfits: Iterable[Misfit], layout: Layout) -> tuple[str, ...]:
    """The versions of torch, of those that the table covers, that load a program with these misfits from an archive of
    that layout, as far as that can be told. They follow each other.
    """
    versions = readers(program, layout)
    lacking = {version for misfit in misfits for version in misfit.missing} if versions else ()
    return tuple(version for version in versions if version not in lacking)


def readers(program: Program, layout: Layout) -> tuple[str, ...]:
    """The versions that read such a program from an archive of that layout, whatever ops there are."""
    major, minor = program.schema
    if major != LOADABLE_MAJOR:
        return ()
    first = covered().index(_FIRST_READER[layout])
    end = covered().index(_LAST_READER_OF_UNMARKED) + 1 if _has_unmarked(program.graph) else None
    return tuple(version for version in covered()[first:end] if version != _STRICT or minor <= _STRICT_MINOR)


def _has_unmarked(graph: Graph) -> bool:
    """Whether a graph, or one that it calls, has an unmarked call with a list of results."""
    callers = (node for one in every_graph(graph) for node in one.callers())
    unmarked = (node for node in callers if not node.is_hop_single_tensor_return)
    return any([one.kind for one in node.outputs] == ["as_tensors"] for node in unmarked)


def spanned(versions: Sequence[str]) -> str:
    """Versions that follow each other, in words: ``2.9 to 2.15``."""
    return versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"


class _History:
    """An op in all versions."""

    def __init__(self, name: str) -> None:
        found = {version: row.schema for row in op_table().rows(name) for version in row.versions(covered())}
        self.schemas = {version: found[version] for version in covered() if version in found}
        """By version, in their order; empty where the op has none. Versions that do not have the op are left out."""
        self._texts = dict.fromkeys(filter(None, found.values()))

    @cached_property
    def fits(self) -> bool:
        """Whether all versions take all of its nodes."""
        return len(self.schemas) in (0, len(covered())) and not self._may_refuse

    @cached_property
    def _may_refuse(self) -> bool:
        """Whether one of the schemas may refuse what another one takes, or what it takes itself."""
        if len(self._texts) < 2:
            return any(default in text for text in self._texts for default in _KEYWORD_DEFAULTS)
        arguments = (_schema(text).arguments for text in self._texts)
        return (
            len({tuple((one.name, _is_needed(one), _is_optional(one)) for one in several) for several in arguments}) > 1
        )

    def missing(self, node: Node) -> dict[str, str]:
        """The versions that do not take a node, and what they say of its arguments."""
        refusals = {text: self._refusal(node, _schema(text)) for text in self._texts} if self._may_refuse else {}
        said = {
            version: refusals.get(self.schemas[version]) if version in self.schemas else "" for version in covered()
        }
        return {version: why for version, why in said.items() if why is not None}

    def _refusal(self, node: Node, schema: OpSchema) -> str | None:
        """Why an overload of this schema does not take the arguments that a node records, or None. An argument that it
        lacks is dropped when torch loads the node: it has to be left at the default that it has elsewhere.
        """
        taken = {one.name: one for one in schema.arguments}
        recorded = {operand.name for operand in node.inputs}
        for operand in node.inputs:
            name = operand.name
            if name not in taken and not self._is_default(operand, node):
                return f"takes no argument '{name}'"
            if name in taken and operand.arg.as_none is not None and not _is_optional(taken[name]):
                return f"takes no None for argument '{name}'"
        lacking = next((name for name, one in taken.items() if _is_needed(one) and name not in recorded), None)
        return None if lacking is None else f"needs an argument '{lacking}'"

    def _is_default(self, operand: NamedArgument, node: Node) -> bool:
        """Whether an operand is what one of the schemas takes where it is left out."""
        found = next((one for text in self._texts if (one := _schema(text).argument(operand.name)) is not None), None)
        if found is None or found.default is None:
            return False
        value = found.default_value
        if value is None:
            return operand.arg.as_none is not None
        return not isinstance(value, str) and ArgumentIs(operand.name, value).holds(node, None)


def _is_needed(argument: SchemaArgument) -> bool:
    """Whether torch loads no call that leaves it out."""
    return argument.default is None or _is_needed_by_name(argument)


def _is_needed_by_name(argument: SchemaArgument) -> bool:
    """Whether that is so although it has a default: that of an argument which is named like a keyword of Python (the
    ``from`` of ``uniform_``) is not found.
    """
    return argument.default is not None and iskeyword(argument.name)


def _is_optional(argument: SchemaArgument) -> bool:
    """Whether it may be None."""
    return argument.type.endswith("?")


_history: Final = cache(_History)
_schema: Final = cache(parse_schema)
