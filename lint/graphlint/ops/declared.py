"""What a configuration says of custom ops."""

import msgspec

from graphlint.ops.schema import SchemaError, parse_schema


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
    schema: str = ""
    """What torch has registered (``(Tensor(a!) x, Tensor(b!)? y=None) -> ()``, as
    ``torch.ops.mylib.scale_.default._schema`` prints it behind the name), which tells what it writes and returns."""

    def __post_init__(self) -> None:
        if self.schema:
            try:
                parse_schema(self.schema)
            except SchemaError as error:
                raise ValueError(str(error)) from None
