"""What a run is told to do, resolved and immutable: the seam between configuration and engine."""

from __future__ import annotations

from typing import Literal

import msgspec

TokenSink = Literal["buffer", "output"]


class DeclaredOp(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """What ``[tool.graphlint.ops]`` says of a custom op.

    ``[tool.graphlint.ops]`` maps an op (``"mylib.scale_"`` for all its overloads, or ``"mylib.scale_.default"``,
    or ``"mylib.*"`` for a namespace) to a table with these keys; an empty table declares the op functional.
    """

    writes: tuple[str, ...] = ()
    """Names or positions (``"0"``) of the arguments that it writes to."""
    aliases: tuple[str, ...] = ()
    """Names or positions of the arguments that its results may share storage with."""
    random: bool = False
    """Whether it draws from the global random number generator."""
    effect: bool = False
    """Whether it has any other side effect (I/O, global state)."""


class Settings(msgspec.Struct, frozen=True):
    """Everything that decides what the engine does with one artifact."""

    enabled: frozenset[str]
    """Codes of the rules to report, after selection and per-file ignores."""
    fixable: frozenset[str]
    """Codes of the rules whose fixes may be applied."""
    unsafe_fixes: bool = False
    token_sink: TokenSink = "buffer"
    ops: dict[str, DeclaredOp] = {}
