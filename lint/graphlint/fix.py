"""Fixing one program: passes over its JSON, each result checked before the next. Pure: no files, no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from graphlint.analysis.checks import TWINS
from graphlint.analysis.sites import Site, walk
from graphlint.diagnostics import Diagnostic
from graphlint.errors import FixValidationError, ProgramError
from graphlint.lint import Found, lint_program, ops_for
from graphlint.passes.metadata_asserts import remove_checks
from graphlint.passes.tokens import functionalize_checks
from graphlint.program.document import Document, Json
from graphlint.program.model import Program
from graphlint.settings import Settings


class FixedProgram(msgspec.Struct, frozen=True, eq=False):
    """A program after all fixes that apply to it."""

    document: Document
    fixed: tuple[Diagnostic, ...]
    """What was fixed; empty where nothing changed."""
    remaining: tuple[Diagnostic, ...]
    new_buffers: tuple[str, ...]
    """Qualified names of new non-persistent buffers, each a 0-dimensional float32 zero, whose values the
    archive still lacks."""


class _Pass(msgspec.Struct, frozen=True):
    codes: frozenset[str]
    """The rules whose diagnostics it fixes."""
    run: Callable[[Document, list[Site], Settings], tuple[Json, tuple[str, ...]]]


def _remove_metadata_checks(document: Document, sites: list[Site], settings: Settings) -> tuple[Json, tuple[str, ...]]:
    return remove_checks(document, sites), ()


def _chain_checks(document: Document, sites: list[Site], settings: Settings) -> tuple[Json, tuple[str, ...]]:
    made = functionalize_checks(document, sites, settings.token_sink)
    return made.tree, (made.buffer,) if made.buffer is not None else ()


PASSES: Final = (
    # Removing a check never makes another one unfixable, so the checks that need no token go first.
    _Pass(frozenset({"GL205"}), _remove_metadata_checks),
    _Pass(frozenset({"GL201", "GL202", "GL203", "GL204"}), _chain_checks),
)

_INTERFACE: Final = ("GL5",)
"""Rules on label and signature: a fix may well bring about what they note."""


def fix_program(document: Document, name: str, path: str, settings: Settings) -> FixedProgram:
    """Apply every pass whose diagnostics are enabled, fixable and selected.

    Raises :class:`FixValidationError` where a result is not what the pass promises, which is a bug of graphlint.
    """
    found = lint_program(document.program, name, path, settings)
    fixed: list[Diagnostic] = []
    buffers: list[str] = []
    for each in PASSES:
        selected = [one for one in found if one.diagnostic.code in each.codes and _applies(one, settings)]
        sites = [one.site for one in selected if one.site is not None]
        if not sites:
            continue
        tree, made = each.run(document, sites, settings)
        try:
            result = Document.from_tree(tree)
        except ProgramError as error:
            raise FixValidationError(f"the fixed program contradicts itself: {error}") from error
        left = lint_program(result.program, name, path, settings)
        _check_effects(document.program, result.program, selected, settings)
        _check_findings(found, left, selected)
        document, found = result, left
        fixed += [one.diagnostic for one in selected]
        buffers += made
    return FixedProgram(document, tuple(fixed), tuple(one.diagnostic for one in found), tuple(buffers))


def _applies(found: Found, settings: Settings) -> bool:
    diagnostic = found.diagnostic
    if diagnostic.code not in settings.fixable:
        return False
    applicability = diagnostic.fix.applicability
    return applicability == "safe" or (applicability == "unsafe" and settings.unsafe_fixes)


def _check_findings(before: list[Found], after: list[Found], fixed: list[Found]) -> None:
    """What was fixed is gone, and nothing new has come."""
    expected = Counter(one.diagnostic.code for one in before)
    expected.subtract(one.diagnostic.code for one in fixed)
    counted = Counter(one.diagnostic.code for one in after)
    removed = {one.diagnostic.code for one in fixed}
    for code in expected.keys() | counted.keys():
        if code.startswith(_INTERFACE):
            continue
        # A fix may take other findings away (GL403: its results are used now), never add one.
        if counted[code] > expected[code] or (code in removed and counted[code] != expected[code]):
            raise FixValidationError(
                f"{counted[code]} findings of {code} are left after fixing, {expected[code]} were expected"
            )


def _check_effects(before: Program, after: Program, fixed: list[Found], settings: Settings) -> None:
    """Every effect of the original is in the result: as it was, as its twin, or removed on purpose."""
    expected = _effects(before, settings)
    for one in fixed:
        if one.site is None:
            continue
        target = one.site.node.target
        expected[target] -= 1
        if target in TWINS:
            expected[TWINS[target]] += 1
    actual = _effects(after, settings)
    for target in expected.keys() | actual.keys():
        if expected[target] != actual[target]:
            raise FixValidationError(
                f"{target} occurs {actual[target]} times after fixing, {expected[target]} times were expected"
            )


def _effects(program: Program, settings: Settings) -> Counter[str]:
    """How often each op occurs that has an effect or is the twin of one."""
    twins = set(TWINS.values())
    counts: Counter[str] = Counter()
    for site in walk(program, ops_for(settings)):
        op = site.op
        plain = op is not None and not (op.writes or op.effect or op.returns_nothing or op.random.draws != "never")
        if not plain or site.node.target in twins:
            counts[site.node.target] += 1
    return counts
