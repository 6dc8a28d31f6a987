"""Restoring one program: its functional checks become plain ones, and the result is checked. Pure, like fixing."""

from __future__ import annotations

import msgspec

from graphlint.linting import view_of
from graphlint.passes.restoring import Check, restore_checks
from graphlint.program.document import Document
from graphlint.settings import Settings
from graphlint.validation import check_effects, checked


class RestoredProgram(msgspec.Struct, frozen=True, eq=False):
    """A program with plain checks, as far as they could be restored."""

    document: Document
    restored: tuple[Check, ...]
    """Empty where nothing changed."""
    kept: tuple[Check, ...]
    """What stays functional, and why."""
    old_buffers: tuple[str, ...]
    """Qualified names of the buffers that are gone, whose values the archive still has."""


def restore_program(document: Document, settings: Settings) -> RestoredProgram:
    """Restore the plain checks of a program. Its label stays.

    Raises :class:`~graphlint.errors.FixValidationError` where the result is not what the pass promises, which is a bug
    of graphlint.
    """
    made = restore_checks(document)
    if not made.restored:
        return RestoredProgram(document, (), made.kept, ())
    result = checked(made.tree, document)
    replaced = [(check.target, check.plain) for check in made.restored]
    check_effects(view_of(document, settings), view_of(result, settings), replaced)
    return RestoredProgram(result, made.restored, made.kept, made.buffers)
