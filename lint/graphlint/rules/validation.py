"""What holds of a changed program, whatever changed it: it makes sense, and its effects are those of the original.

Each failure is a :class:`FixValidationError`, a bug of graphlint: nothing is written then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from graphlint.artifact.errors import FixValidationError, ProgramError
from graphlint.ir.document import Document
from graphlint.ir.model import Program
from graphlint.rules.view import ProgramView


def checked(document: Document, program: Program) -> Document:
    """The document of a changed program, checked like one that was read."""
    try:
        return document.changed(program)
    except ProgramError as error:
        raise FixValidationError(f"the changed program contradicts itself: {error}") from error


def check_effects(before: ProgramView, after: ProgramView, replaced: Iterable[tuple[str, str | None]]) -> None:
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
