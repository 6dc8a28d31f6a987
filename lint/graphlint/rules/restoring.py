"""Restoring one program: its functional checks become plain ones, and the result is checked. Pure, like fixing."""

from __future__ import annotations

from collections import Counter
from typing import Final

import msgspec

from graphlint.ir.document import Document
from graphlint.passes.restoring import Check, restore_checks
from graphlint.rules.checks import AsyncAssert, BareAsyncAssert, RangeConstraint, ScalarAssert
from graphlint.rules.settings import Settings
from graphlint.rules.validation import check_effects, checked
from graphlint.rules.view import ProgramView

CHECK_RULES: Final = {
    f"torch.ops.{op}": rule.code
    for rule in (AsyncAssert, BareAsyncAssert, ScalarAssert, RangeConstraint)
    for op in rule.ops
}
"""A plain check's target to the code of the rule that flags it."""


class RestoredProgram(msgspec.Struct, frozen=True, eq=False):
    """A program with plain checks, as far as they could be restored."""

    document: Document
    restored: tuple[Check, ...]
    """Empty where nothing changed."""
    kept: tuple[Check, ...]
    """What stays functional, and why."""
    rules: dict[str, int]
    """How many findings of which rules came back."""
    old_buffers: tuple[str, ...]
    """Qualified names of the buffers that are gone, whose values the archive still has."""
    notes: tuple[str, ...] = ()


def restore_program(document: Document, name: str, settings: Settings) -> RestoredProgram:
    """Restore the plain checks of a program.

    Its label stays, unless checks come back that torch would drop under it. Raises
    :class:`FixValidationError` where the result is not what the pass promises, which is a bug of
    graphlint.
    """
    made = restore_checks(document)
    if not made.restored:
        return RestoredProgram(document, (), made.kept, {}, ())
    result = checked(document, made.program)
    replaced = [(check.target, check.plain) for check in made.restored]
    check_effects(ProgramView(document, settings), ProgramView(result, settings), replaced)
    rules = Counter(CHECK_RULES[check.plain] for check in made.restored)
    notes: tuple[str, ...] = ()
    if BareAsyncAssert.code in rules and result.program.dialects == ("ATEN",) and result.program.schema >= (8, 0):
        result = result.relabelled("TRAINING")
        drops = "under ATEN, torch drops checks without a message (aten._assert_async.default) when it loads them"
        notes = (f"program {name!r} is labelled TRAINING again: {drops}",)
    return RestoredProgram(result, made.restored, made.kept, dict(rules), made.buffers, notes)
