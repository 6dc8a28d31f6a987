"""Fixing one program: fixer after fixer, each result checked before the next. Pure: no files, no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

import msgspec

from graphlint.artifact.errors import FixValidationError
from graphlint.ir.document import Document
from graphlint.ops.table import check_twins
from graphlint.passes.nodes import WITH_MESSAGE
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.fixers import GIVE_MESSAGE, REMOVE, Fixer, Made
from graphlint.rules.linting import Found, Review, applies, lint_view, target_notes, writes_to_fix
from graphlint.rules.registry import RULES
from graphlint.rules.restoring import CHECK_RULES
from graphlint.rules.settings import Profile, Settings
from graphlint.rules.validation import check_effects, checked
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site


class FixedProgram(msgspec.Struct, frozen=True, eq=False):
    """A program after all fixes that apply to it."""

    document: Document
    fixed: tuple[Diagnostic, ...]
    """What was fixed; empty where nothing changed."""
    before: tuple[Diagnostic, ...]
    """What was found in the original."""
    remaining: tuple[Diagnostic, ...]
    new_buffers: tuple[str, ...]
    """Qualified names of new non-persistent buffers, each a 0-dimensional float32 zero, whose values the
    archive still lacks."""
    old_buffers: tuple[str, ...] = ()
    """Qualified names of buffers that are gone, whose values the archive still has."""
    notes: tuple[str, ...] = ()
    """What becomes of the fixed program at its targets."""


class _State(msgspec.Struct, frozen=True, eq=False):
    """A program between two passes."""

    document: Document
    view: ProgramView
    found: list[Found]

    @classmethod
    def of(cls, view: ProgramView, name: str, path: str, settings: Settings, review: Review | None) -> _State:
        return cls(view.document, view, lint_view(view, name, path, settings, review))


_FIXERS: Final = sorted(
    {*(rule.fixer for rule in RULES if rule.fixer is not None), GIVE_MESSAGE}, key=lambda fixer: fixer.order
)
_FOLLOWING: Final = frozenset(rule.code for rule in RULES if rule.follows_fixes)


def fix_program(
    document: Document, name: str, path: str, settings: Settings, review: Review | None = None
) -> FixedProgram:
    """Apply every pass whose diagnostics are enabled, fixable and selected, and not accepted by ``review``.

    Raises :class:`FixValidationError` where a result is not what the pass promises, which is a bug of graphlint.
    """
    state = _State.of(ProgramView(document, settings), name, path, settings, review)
    before = tuple(one.diagnostic for one in state.found)
    fixed: list[Diagnostic] = []
    buffers: list[str] = []
    old_buffers: list[str] = []
    count = -1
    while count < len(fixed):  # a later pass may clear the way for an earlier one: a write to what a region returned
        count = len(fixed)
        for fixer in _FIXERS:
            chosen = _chosen(fixer, state, settings)
            made = fixer.run(state.view, _sites(chosen)) if chosen else None
            gone = [one for one in chosen if made is not None and (made.fixed is None or _position(one) in made.fixed)]
            if made is None or not gone:
                continue
            view = ProgramView(checked(state.document, made.program), settings)
            if view.labelled_wrongly:  # it is of the training dialect no more, and backends go by the label
                view = view.relabelled("ATEN")
            result = _State.of(view, name, path, settings, review)
            check_effects(state.view, result.view, made.checks or _replaced(gone, settings.profile))
            _check_findings(state.found, result.found, gone, made)
            state = result
            fixed += [one.diagnostic for one in gone]
            buffers += made.buffers
            old_buffers += made.old_buffers
    remaining = tuple(one.diagnostic for one in state.found)
    notes = tuple(target_notes(state.view, settings))
    return FixedProgram(state.document, tuple(fixed), before, remaining, tuple(buffers), tuple(old_buffers), notes)


def _chosen(fixer: Fixer, state: _State, settings: Settings) -> list[Found]:
    """The findings that a fixer is to fix, the targets having their say."""
    profile = settings.profile
    codes = {rule.code for rule in RULES if rule.fixer is fixer} - profile.actions.keys()
    if fixer is REMOVE:
        codes |= profile.codes("strip")
    if fixer is GIVE_MESSAGE:
        codes |= profile.codes("message")
    chosen = [one for one in state.found if one.diagnostic.code in codes and applies(one, settings)]
    selected = writes_to_fix(state.found, settings) if fixer.together else None
    return chosen if selected is None else [one for one in chosen if _position(one) in selected]


def _sites(found: list[Found]) -> list[Site]:
    return [one.site for one in found if one.site is not None]


def _position(found: Found) -> int:
    return found.diagnostic.position


def _replaced(fixed: list[Found], profile: Profile) -> Iterator[tuple[str, str | None]]:
    """The ops of what was fixed, each once, with the check that took the place of one, plain or functional."""
    for found in {_position(one): one for one in fixed if one.site is not None}.values():
        target = found.site.node.target if found.site is not None else ""
        action = profile.actions.get(found.diagnostic.code)
        if action is None:
            yield target, check_twins().get(target)
        else:
            yield target, None if action.fix == "strip" else WITH_MESSAGE


def _check_findings(before: list[Found], after: list[Found], gone: list[Found], made: Made) -> None:
    """What was fixed is gone, and nothing new has come but plain checks that were asked for."""
    found = Counter(one.diagnostic.code for one in before)
    expected = found.copy()
    expected.subtract(one.diagnostic.code for one in gone)
    expected.update(CHECK_RULES[plain] for plain in (*(plain for _, plain in made.checks), *made.brought))
    counted = Counter(one.diagnostic.code for one in after)
    removed = {one.diagnostic.code for one in gone}
    for code in expected.keys() | counted.keys():
        if code in _FOLLOWING:
            # What is fixed again and again would be fixed without end.
            if code in removed and counted[code] >= found[code]:
                raise FixValidationError(f"as many findings of {code} as before are left after fixing: {found[code]}")
            continue
        # A fix may take other findings away (GL403: its results are used now), never add one.
        if counted[code] > expected[code] or (code in removed and counted[code] != expected[code]):
            raise FixValidationError(
                f"{counted[code]} findings of {code} are left after fixing, {expected[code]} were expected"
            )
