"""What holds of a changed program, whatever changed it: it makes sense, and its effects are those of the original.

Each failure is a :class:`FixValidationError`, a bug of graphlint: nothing is written then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from graphlint.artifact.errors import FixValidationError, ProgramError
from graphlint.ir.arguments import Json
from graphlint.ir.document import Document
from graphlint.ir.model import Graph
from graphlint.semantics.checks import TWINS
from graphlint.semantics.view import ProgramView

_TWINS: Final = frozenset(TWINS.values())


def checked(tree: Json, original: Document) -> Document:
    """An edited program, decoded and checked like one that was read."""
    try:
        result = Document.from_tree(tree, payloads=original.payloads)
    except ProgramError as error:
        raise FixValidationError(f"the changed program contradicts itself: {error}") from error
    result.finite = original.finite  # no pass makes an infinity of its own but as a string
    return result


def check_effects(before: ProgramView, after: ProgramView, replaced: Iterable[tuple[str, str | None]]) -> None:
    """Every effect of the original is in the result: as it was, in another form, or removed on purpose.

    ``replaced`` are the targets of nodes that are gone, each with that of the check, plain or functional, in its
    place.
    """
    expected = _effects(before)
    for old, new in replaced:
        if old in expected:  # regions have no effect of their own
            expected[old] -= 1
        if new is not None:
            expected[new] += 1
    actual = _effects(after)
    for name in expected.keys() | actual.keys():
        if expected[name] != actual[name]:
            raise FixValidationError(
                f"{name} occurs {actual[name]} times afterwards, {expected[name]} times were expected"
            )


def _effects(view: ProgramView) -> Counter[str]:
    """How often each op occurs that writes, raises or has another effect, or is the twin of one that raises.

    Ops that draw random numbers are counted together: what takes a write's place draws as the original did.
    """
    counts: Counter[str] = Counter()
    for site in view.sites:
        op = site.op
        if op is None or op.written_arguments(site.node) or op.effect or op.returns_nothing:
            counts[site.node.target] += 1
        if op is not None and op.draws(site.node):
            counts["a random op"] += 1
    _count_twins(view.program.graph, counts)
    return counts


def _count_twins(graph: Graph, counts: Counter[str]) -> None:
    """Twins are plain functions, which views leave out."""
    for node in graph.nodes:
        if node.target in _TWINS:
            counts[node.target] += 1
        for sub in node.subgraphs():
            _count_twins(sub.graph, counts)
