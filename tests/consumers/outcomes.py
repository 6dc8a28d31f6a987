"""What can come of giving a program to a consumer."""

from __future__ import annotations

import msgspec

TAKEN, REFUSED, DIFFERENT = "taken", "refused", "different"
CRASHED, TIMED_OUT = "crashed", "timed out"
NOT_LOADED = "not loaded"
"""Stock torch itself does not load the original, so that no consumer sees it."""


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a consumer makes of a program."""

    outcome: str
    """One of the words above."""
    detail: str = ""
    """Why it refuses, or what differs; one line."""
    lost: tuple[str, ...] = ()
    """What it takes and drops: ``checks``, ``writes`` (to inputs and state), ``draws`` (random numbers), ``prints``."""
    tripped: int = 0
    """With how many inputs that trip a check of the original it was run."""

    def describe(self) -> str:
        """In words, without the reason."""
        return f"{self.outcome}, {' and '.join(self.lost)} lost" if self.lost else self.outcome
