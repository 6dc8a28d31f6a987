"""Fixing one program, fixer after fixer, and restoring one. Pure: no files, no output.

Whatever changed a program, the result is checked before anything else happens to it: it makes sense, and its effects
are those of the original. Each failure is a :class:`FixValidationError`, a bug of graphlint: nothing is written then.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from graphlint.artifact.errors import FixValidationError, ProgramError
from graphlint.ir.document import Document
from graphlint.ir.edit import without_given_names
from graphlint.ir.model import Program
from graphlint.ops.table import check_twins, op_of
from graphlint.passes.restoring import Check, restore_checks
from graphlint.passes.state import Piece, return_state
from graphlint.rules.checks import BareAsyncAssert, code_of, removed_checks
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.fixers import GIVE_MESSAGE, REMOVE, Fixer, Made
from graphlint.rules.interface import MutationOutput
from graphlint.rules.linting import Found, Review, applies, lint_and_count, lint_view, writes_to_fix
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Profile, Settings
from graphlint.rules.view import ProgramView


class ChangedProgram(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """What a program became; the same document where nothing changed."""

    document: Document
    rules: dict[str, int]
    """How many findings of which rules were fixed, or came back."""
    new_buffers: tuple[str, ...] = ()
    """Qualified names of new non-persistent buffers, each a 0-dimensional float32 zero, whose values the
    archive still lacks."""
    old_buffers: tuple[str, ...] = ()
    """Qualified names of buffers that are gone, whose values the archive still has."""
    state: tuple[Piece, ...] = ()
    """What was state and is among the inputs and outputs now, while the archive still has its values; of a program that
    is restored, what is state again.
    """
    removed_checks: int = 0
    """How many checks that could fire are gone."""
    notes: tuple[str, ...] = ()
    """What else there is to know: that it has another label."""


class FixedProgram(ChangedProgram, frozen=True, eq=False, kw_only=True):
    """A program after all fixes that apply to it."""

    fixed: tuple[Diagnostic, ...]
    before: tuple[Diagnostic, ...]
    """What was found in the original."""
    remaining: tuple[Diagnostic, ...]
    idle: int = 0
    """How many idle findings of rules that nobody asked for are left."""

    @property
    def brought(self) -> list[Diagnostic]:
        """Those of what was fixed and of what remains that were not there before."""
        return _surplus(self._after, _reported(self.before))

    @property
    def gone(self) -> list[Diagnostic]:
        """As many of what was there before as went without a fix of their own."""
        return _surplus(_reported(self.before), self._after)

    @property
    def _after(self) -> list[Diagnostic]:
        return [*self.fixed, *_reported(self.remaining)]


class RestoredProgram(ChangedProgram, frozen=True, eq=False, kw_only=True):
    """A program with plain checks, as far as they could be restored."""

    restored: tuple[Check, ...] = ()
    kept: tuple[Check, ...]
    """What stays functional, and why."""


_FIXERS: Final = sorted(
    {*(rule.fixer for rule in RULES if rule.fixer is not None), GIVE_MESSAGE}, key=lambda fixer: fixer.order
)
_CODES: Final = {fixer: tuple(rule.code for rule in RULES if rule.fixer is fixer) for fixer in _FIXERS}
"""The rules that a fixer is for."""
_LEADING: Final = frozenset(rule.code for rule in RULES if rule.leads)
_FOLLOWING: Final = frozenset(rule.code for rule in RULES if rule.follows_fixes)


def _reported(some: Iterable[Diagnostic]) -> list[Diagnostic]:
    return [one for one in some if one.suppression is None]


def _surplus(some: Iterable[Diagnostic], others: Iterable[Diagnostic]) -> list[Diagnostic]:
    """The last ones of each rule of which there are more than others."""
    left = Counter(one.code for one in others)
    surplus = []
    for one in some:
        left[one.code] -= 1
        if left[one.code] < 0:
            surplus.append(one)
    return surplus


def fix_program(
    document: Document, name: str, path: str, settings: Settings, review: Review | None = None
) -> FixedProgram:
    """Apply every pass whose diagnostics are enabled, fixable and selected, and not accepted by ``review``. What is
    idle goes with the rest: a program in which nothing else is to be fixed stays as it is.

    Raises :class:`FixValidationError` where a result is not what the pass promises, which is a bug of graphlint.
    """
    view = ProgramView(document, settings)
    if not settings.unlisted:
        return _fixed(view, name, path, settings, review)
    found, idle = lint_and_count(view, name, path, settings, review)
    before = tuple(one.diagnostic for one in found)
    unchanged = FixedProgram(document=document, rules={}, fixed=(), before=before, remaining=before, idle=idle)
    if not any(applies(one, settings) for one in found):
        return unchanged
    # What is listed makes no difference to the view, which knows by now what of the writes can go.
    made = _fixed(view, name, path, msgspec.structs.replace(settings, unlisted=frozenset()), review)
    fixed, remaining = (tuple(one for one in some if not one.idle) for some in (made.fixed, made.remaining))
    if not fixed:
        return unchanged
    gone = len(made.fixed) - len(fixed)
    removed = f"{gone} checks that cannot fire were" if gone > 1 else "a check that cannot fire was"
    return msgspec.structs.replace(
        made,
        notes=(*made.notes, f"program {name!r}: {removed} removed, too") if gone else made.notes,
        fixed=fixed,
        before=before,
        remaining=remaining,
        idle=len(made.remaining) - len(remaining),
    )


def _fixed(view: ProgramView, name: str, path: str, settings: Settings, review: Review | None) -> FixedProgram:
    found = lint_view(view, name, path, settings, review)
    before = tuple(one.diagnostic for one in found)
    fixed: list[Diagnostic] = []
    buffers: list[str] = []
    old_buffers: list[str] = []
    state: list[Piece] = []
    count = -1
    while count < len(fixed):  # a later pass may clear the way for an earlier one: a write to what a region returned
        count = len(fixed)
        for fixer in _FIXERS:
            if fixer.settled and count < len(fixed):
                continue
            chosen = _chosen(fixer, found, settings)
            if not chosen:
                continue
            made = fixer.run(view, [one.site for one in chosen if one.site is not None])
            gone = [one for one in chosen if made.fixed is None or one.diagnostic.position in made.fixed]
            if not gone:
                continue
            result = ProgramView(_checked(view.document, made.program), settings)
            if result.labelled_wrongly:  # it is of the training dialect no more, and backends go by the label
                result = result.relabelled("ATEN")
            left = lint_view(result, name, path, settings, review)
            replaced = made.checks or _replaced(gone, settings.profile)
            _check_effects(view, result, replaced if made.lost is None else [(one, None) for one in made.lost])
            _check_findings(found, left, gone, made)
            view, found = result, left
            fixed += [one.diagnostic for one in gone]
            buffers += made.buffers
            old_buffers += made.old_buffers
            state += made.state
    return FixedProgram(
        document=view.document,
        rules=Counter(one.code for one in fixed),
        new_buffers=tuple(buffers),
        old_buffers=tuple(old_buffers),
        state=tuple(state),
        removed_checks=removed_checks(fixed),
        notes=(*_state_notes(name, state), *_kept_notes(name, before, [*fixed, *(one.diagnostic for one in found)])),
        fixed=tuple(fixed),
        before=before,
        remaining=tuple(one.diagnostic for one in found),
    )


def _kept_notes(name: str, before: Iterable[Diagnostic], after: Iterable[Diagnostic]) -> Iterator[str]:
    """What a program as a whole was found to be (in train mode), where the fixes of other findings leave nothing that
    shows it.
    """
    told = {one.code for one in after}
    for one in _reported(before):
        if one.code in _LEADING and one.code not in told:
            yield f"program {name!r}: {one.message}; the fix keeps that (if it was not meant, {one.advice})"


def _state_notes(name: str, state: Sequence[Piece]) -> Iterator[str]:
    """How a program is called whose state is among its inputs and outputs now."""
    if state:
        written = [piece.name for piece in state if piece.kind == "user_input"]
        more = f"; state also holds the new values of {', '.join(map(repr, written))}" if written else ""
        yield (
            f"program {name!r} takes and returns its state now: call it as result, state = module(..., **state), first "
            f"with graphlint.runtime.initial_state(path){more}"
        )


def restore_program(document: Document, name: str, settings: Settings, state: Sequence[Piece] = ()) -> RestoredProgram:
    """Make the functional checks of a program plain ones, and state again of what of it was made inputs and outputs.

    Its label stays, unless checks come back that torch would drop under it. Raises :class:`FixValidationError` as
    :func:`fix_program` does.
    """
    # A token may be a result behind the state, or before it.
    back = return_state(document.program, state)
    made = restore_checks(document if back is None else _checked(document, back))
    back = return_state(made.program, state) if back is None else made.program
    notes: tuple[str, ...] = ()
    if back is None:
        notes = (
            f"program {name!r} was changed after its state was lifted: the state stays among its inputs and outputs",
        )
        state = ()
    else:
        made = msgspec.structs.replace(made, program=back)
    if not made.restored and not state:
        return RestoredProgram(document=document, rules={}, notes=notes, kept=made.kept)
    result = _checked(document, made.program)
    replaced = [(check.target, check.plain) for check in made.restored]
    _check_effects(ProgramView(document, settings), ProgramView(result, settings), replaced)
    rules = Counter(code_of(check.plain) for check in made.restored)
    if BareAsyncAssert.code in rules and result.program.dialects == ("ATEN",) and result.program.schema >= (8, 0):
        result = result.relabelled("TRAINING")
        drops = f"under ATEN, torch drops checks without a message ({op_of('assert').name}) when it loads them"
        notes += (f"program {name!r} is labelled TRAINING again: {drops}",)
    return RestoredProgram(
        document=result,
        rules=rules + Counter({MutationOutput.code: len(state)}),
        old_buffers=made.buffers,
        state=tuple(state),
        notes=notes,
        restored=made.restored,
        kept=made.kept,
    )


def _chosen(fixer: Fixer, found: list[Found], settings: Settings) -> list[Found]:
    """The findings that a fixer is to fix, the targets having their say."""
    profile = settings.profile
    codes = set(_CODES.get(fixer, ())) - profile.actions.keys()
    if fixer is REMOVE:
        codes |= profile.codes("strip")
    if fixer is GIVE_MESSAGE:
        codes |= profile.codes("message")
    chosen = [one for one in found if one.diagnostic.code in codes and applies(one, settings)]
    selected = writes_to_fix(found, settings) if fixer.together else None
    return chosen if selected is None else [one for one in chosen if one.diagnostic.position in selected]


def _replaced(fixed: list[Found], profile: Profile) -> Iterator[tuple[str, str | None]]:
    """The ops of what was fixed, each once, with the check that took the place of one, plain or functional."""
    for found in {one.diagnostic.position: one for one in fixed if one.site is not None}.values():
        target = found.site.node.target if found.site is not None else ""
        action = profile.actions.get(found.diagnostic.code)
        if action is None:
            yield target, check_twins().get(target)
        else:
            yield target, None if action.fix == "strip" else op_of("assert-message").target


def _checked(document: Document, program: Program) -> Document:
    """The document of a changed program, checked like one that was read. Its values have names that let torch load
    it.
    """
    try:
        return document.changed(without_given_names(program))
    except ProgramError as error:
        raise FixValidationError(f"the changed program contradicts itself: {error}") from error


def _check_effects(before: ProgramView, after: ProgramView, replaced: Iterable[tuple[str, str | None]]) -> None:
    """Every effect of the original is in the result: as it was, in another form, or removed on purpose.

    ``replaced`` are the targets of nodes that are gone, each with that of the check, plain or functional, in its
    place.
    """
    expected = Counter(before.effects)
    for old, new in replaced:
        if old in expected:  # regions have no effect of their own
            expected[old] -= 1
        if new is not None:
            expected[new] += 1
    actual = after.effects
    for name in expected.keys() | actual.keys():
        if expected[name] != actual[name]:
            raise FixValidationError(
                f"{name} occurs {actual[name]} times afterwards, {expected[name]} times were expected"
            )


def _about(brought: Iterable[str], before: list[Found], after: list[Found]) -> Counter[str]:
    """How many findings of which rules a fixer brings with the ops that it brings: none has more than there are ops."""

    def counted(found: list[Found]) -> Counter[tuple[str, str]]:
        return Counter((one.site.node.target, one.diagnostic.code) for one in found if one.site is not None)

    ops, more = Counter(brought), counted(after)
    more.subtract(counted(before))
    about: Counter[str] = Counter()
    for (target, code), count in more.items():
        about[code] += min(max(count, 0), ops[target])
    return about


def _said(found: Found) -> tuple[str, str, str]:
    """What a finding says, and of what."""
    return found.diagnostic.code, found.diagnostic.message, found.diagnostic.node or ""


def _check_findings(before: list[Found], after: list[Found], gone: list[Found], made: Made) -> None:
    """What was fixed is gone, and nothing new has come but what is said of ops that were asked for."""
    found = Counter(one.diagnostic.code for one in before)
    expected = found.copy()
    expected.subtract(one.diagnostic.code for one in gone)
    expected.update(code_of(plain) for _, plain in made.checks)
    expected.update(_about(made.brought, before, after))
    counted = Counter(one.diagnostic.code for one in after)
    removed = {one.diagnostic.code for one in gone}
    # What is fixed again and again would be fixed without end. Another reason may be found where one is gone.
    following = {_said(one) for one in gone if one.diagnostic.code in _FOLLOWING}
    again = following.intersection(map(_said, after)) if following else set()
    if again:
        raise FixValidationError(f"after fixing, {len(again)} findings are left as they were: {min(again)[1]}")
    for code in expected.keys() | counted.keys():
        if code in _FOLLOWING:
            continue
        # A fix may take other findings away, never add one.
        if counted[code] > expected[code] or (code in removed and counted[code] != expected[code]):
            raise FixValidationError(
                f"{counted[code]} findings of {code} are left after fixing, {expected[code]} were expected"
            )
