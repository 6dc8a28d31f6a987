"""What a configuration says of custom ops."""

import msgspec


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
