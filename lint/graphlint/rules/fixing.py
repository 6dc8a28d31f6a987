"""Fixing one program: passes over its JSON, each result checked before the next. Pure: no files, no output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from graphlint.artifact.errors import FixValidationError
from graphlint.ir.arguments import Json
from graphlint.ir.document import Document
from graphlint.passes.mutation.planning import Plan, plan
from graphlint.passes.nodes import WITH_MESSAGE, give_messages, remove_nodes
from graphlint.passes.regions import inline_regions
from graphlint.passes.restoring import Check, restore_checks
from graphlint.passes.tokens import functionalize_checks
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.linting import WRITES, Found, applies, lint_view, target_notes, view_of, writes_to_fix
from graphlint.rules.restoring import RULES
from graphlint.rules.settings import Profile, Settings
from graphlint.rules.validation import check_effects, checked
from graphlint.semantics.checks import TWINS
from graphlint.semantics.sites import Site
from graphlint.semantics.view import ProgramView


class FixedProgram(msgspec.Struct, frozen=True, eq=False):
    """A program after all fixes that apply to it."""

    document: Document
    fixed: tuple[Diagnostic, ...]
    """What was fixed; empty where nothing changed."""
    remaining: tuple[Diagnostic, ...]
    new_buffers: tuple[str, ...]
    """Qualified names of new non-persistent buffers, each a 0-dimensional float32 zero, whose values the
    archive still lacks."""
    old_buffers: tuple[str, ...] = ()
    """Qualified names of buffers that are gone, whose values the archive still has."""
    notes: tuple[str, ...] = ()
    """What becomes of the fixed program at its targets."""


class _Made(msgspec.Struct, frozen=True, eq=False):
    """What a pass made."""

    tree: Json
    fixed: list[Found]
    """Which of the findings it was given are gone."""
    buffers: tuple[str, ...] = ()
    """Qualified names of new buffers."""
    old_buffers: tuple[str, ...] = ()
    """Qualified names of buffers that are gone."""
    checks: tuple[Check, ...] = ()
    """Functional checks that are plain ones again."""
    brought: tuple[str, ...] = ()
    """Codes of findings that stand in the place of those that are gone."""


class _State(msgspec.Struct, frozen=True, eq=False):
    """A program between two passes."""

    document: Document
    view: ProgramView
    found: list[Found]

    @classmethod
    def of(cls, document: Document, name: str, path: str, settings: Settings) -> _State:
        view = view_of(document, settings)
        return cls(document, view, lint_view(view, name, path, settings))


class _Pass(msgspec.Struct, frozen=True):
    codes: frozenset[str]
    """The rules whose findings it fixes."""
    run: Callable[[_State, list[Found], Settings], _Made]
    """The program and which of its findings to fix."""


def _functionalize_writes(state: _State, chosen: list[Found], settings: Settings) -> _Made:
    selected = writes_to_fix(state.found, settings)
    everything = {write.site.position for write in state.view.writes} - state.view.write_obstacles.keys()
    made = state.view.write_plan if selected == everything else None
    if not isinstance(made, Plan):
        made = plan(state.document, state.view, selected)
    return _Made(made.assemble(), [one for one in chosen if _position(one) in made.fixed])


def _remove_nodes(state: _State, chosen: list[Found], settings: Settings) -> _Made:
    return _Made(remove_nodes(state.document, _sites(chosen)), chosen)


def _give_messages(state: _State, chosen: list[Found], settings: Settings) -> _Made:
    made = give_messages(state.document, _sites(chosen))
    return _Made(made, chosen, brought=(RULES[WITH_MESSAGE],) * len(chosen))


def _inline_regions(state: _State, chosen: list[Found], settings: Settings) -> _Made:
    return _Made(inline_regions(state.document, _sites(chosen)), chosen)


def _chain_checks(state: _State, chosen: list[Found], settings: Settings) -> _Made:
    made = functionalize_checks(state.document, _sites(chosen), settings.token_sink)
    return _Made(made.tree, chosen, (made.buffer,) if made.buffer is not None else ())


def _restore_checks(state: _State, chosen: list[Found], settings: Settings) -> _Made:
    made = restore_checks(state.document)
    fixed = [one for one in chosen if one.site is not None and one.site.defines <= made.gone]
    return _Made(made.tree, fixed, old_buffers=made.buffers, checks=made.restored)


def _relabel(state: _State, chosen: list[Found], settings: Settings) -> _Made:
    return _Made({**state.document.tree, "verifiers": ["ATEN"]}, chosen)


_REMOVAL: Final = _Pass(frozenset({"GL205", "GL301"}), _remove_nodes)
_MESSAGES: Final = _Pass(frozenset(), _give_messages)
PASSES: Final = (
    # What makes least of the others impossible goes first. Regions are inlined after the writes in them are gone,
    # and before tokens would have to be threaded through them.
    _REMOVAL,
    _MESSAGES,
    _Pass(frozenset({"GL601"}), _restore_checks),
    _Pass(WRITES, _functionalize_writes),
    _Pass(frozenset({"GL401"}), _inline_regions),
    _Pass(frozenset({"GL201", "GL202", "GL203", "GL204"}), _chain_checks),
    _Pass(frozenset({"GL501"}), _relabel),
)

_BROUGHT_ABOUT: Final = ("GL5", "GL6")
"""Rules on label, signature and what targets refuse: a fix may well bring about what they report."""


def fix_program(document: Document, name: str, path: str, settings: Settings) -> FixedProgram:
    """Apply every pass whose diagnostics are enabled, fixable and selected.

    Raises :class:`FixValidationError` where a result is not what the pass promises, which is a bug of graphlint.
    """
    state = _State.of(document, name, path, settings)
    fixed: list[Diagnostic] = []
    buffers: list[str] = []
    old_buffers: list[str] = []
    count = -1
    while count < len(fixed):  # a later pass may clear the way for an earlier one: a write to what a region returned
        count = len(fixed)
        for each in PASSES:
            codes = _codes_for(each, settings.profile)
            chosen = [one for one in state.found if one.diagnostic.code in codes and applies(one, settings)]
            made = each.run(state, chosen, settings) if chosen else None
            if made is None or not made.fixed:
                continue
            result = _State.of(_labelled(checked(made.tree, document), settings), name, path, settings)
            restored = [(check.target, check.plain) for check in made.checks]
            check_effects(state.view, result.view, restored or _replaced(made.fixed, settings.profile))
            _check_findings(state.found, result.found, made)
            state = result
            fixed += [one.diagnostic for one in made.fixed]
            buffers += made.buffers
            old_buffers += made.old_buffers
    remaining = tuple(one.diagnostic for one in state.found)
    notes = tuple(target_notes(state.view, settings))
    return FixedProgram(state.document, tuple(fixed), remaining, tuple(buffers), tuple(old_buffers), notes)


def _codes_for(each: _Pass, profile: Profile) -> frozenset[str]:
    """The rules whose findings the pass fixes, the targets having their say."""
    codes = each.codes - profile.actions.keys()
    if each is _REMOVAL:
        return codes | profile.codes("strip")
    return codes | profile.codes("message") if each is _MESSAGES else codes


def _labelled(document: Document, settings: Settings) -> Document:
    """A graph that is functional now is of the training dialect no more, and backends go by the label."""
    if "TRAINING" in document.program.dialects and view_of(document, settings).labelled_wrongly:
        return document.relabelled("ATEN")
    return document


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
            yield target, TWINS.get(target)
        else:
            yield target, None if action.fix == "strip" else WITH_MESSAGE


def _check_findings(before: list[Found], after: list[Found], made: _Made) -> None:
    """What was fixed is gone, and nothing new has come but plain checks that were asked for."""
    found = Counter(one.diagnostic.code for one in before)
    expected = found.copy()
    expected.subtract(one.diagnostic.code for one in made.fixed)
    expected.update(RULES[check.plain] for check in made.checks)
    expected.update(made.brought)
    counted = Counter(one.diagnostic.code for one in after)
    removed = {one.diagnostic.code for one in made.fixed}
    for code in expected.keys() | counted.keys():
        if code.startswith(_BROUGHT_ABOUT):
            # What is fixed again and again would be fixed without end.
            if code in removed and counted[code] >= found[code]:
                raise FixValidationError(f"as many findings of {code} as before are left after fixing: {found[code]}")
            continue
        # A fix may take other findings away (GL403: its results are used now), never add one.
        if counted[code] > expected[code] or (code in removed and counted[code] != expected[code]):
            raise FixValidationError(
                f"{counted[code]} findings of {code} are left after fixing, {expected[code]} were expected"
            )
