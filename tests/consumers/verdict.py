"""Where graphlint calls a program clean for a target, its consumer has to take it, or the difference be known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from graphlint.rules.settings import parse_toml

from .outcomes import NOT_LOADED, TAKEN, Judgement
from .preparing import Prepared

EXCEPTIONS = Path(__file__).parent / "exceptions.toml"
ANNOUNCED = {"checks": "GL607"}
"""What a consumer may lose of a program that graphlint calls clean, and the note that has to say so."""


class Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A case that graphlint calls clean although the consumer does not do the same."""

    consumer: str
    case: str
    what: str
    """What it does: ``refused``, ``taken, writes lost``, …"""
    reason: str


class Cell(msgspec.Struct, frozen=True):
    """One consumer's part in one case."""

    fix: Prepared
    after: Judgement
    before: Judgement | None = None


def load_exceptions() -> tuple[Known, ...]:
    """Those in ``exceptions.toml``."""
    tree = parse_toml(EXCEPTIONS.read_bytes(), str(EXCEPTIONS))
    return msgspec.convert(tree.get("exception", []), tuple[Known, ...])


def contradiction(cell: Cell) -> str:
    """How the consumer contradicts what graphlint says; empty if it does not."""
    if not cell.fix.clean or cell.after.outcome == NOT_LOADED:
        return ""
    if cell.after.outcome != TAKEN:
        return cell.after.outcome
    unannounced = [what for what in cell.after.lost if ANNOUNCED.get(what) not in cell.fix.notes]
    return Judgement(TAKEN, lost=tuple(unannounced)).describe() if unannounced else ""


def problems(cells: dict[tuple[str, str], Cell], exceptions: Sequence[Known], *, partly: bool = False) -> list[str]:
    """What is wrong, one line each; ``cells`` by case and consumer.

    ``partly`` says that not all cases and consumers are there: then exceptions for others are no mistake.
    """
    listed = {(one.case, one.consumer): one for one in exceptions}
    found = []
    for (case, consumer), cell in cells.items():
        said, known = contradiction(cell), listed.pop((case, consumer), None)
        if known is not None and known.what != said:
            found.append(
                f"exceptions.toml: {case}, {consumer}: {known.what!r} does not occur any more"
                + (f", but {said!r}: {cell.after.detail}" if said else "")
            )
        elif known is None and said:
            found.append(f"{case}: graphlint calls it clean for {consumer}, which has it {said}: {cell.after.detail}")
    if not partly:
        found += [f"exceptions.toml: {case}, {consumer}: there is no such case" for case, consumer in listed]
    return found
