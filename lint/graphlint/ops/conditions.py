"""Conditions on the arguments that a node records, as data."""

import msgspec

from graphlint.ir.model import Argument, Node
from graphlint.ops.schema import OpSchema


class ArgumentIs(msgspec.Struct, frozen=True):
    """Holds where the argument is recorded as (or left at a default of) this very value.

    An argument that is a symbolic value, or that the node leaves out and the schema gives no default, fulfils
    no condition.
    """

    argument: str
    value: bool | float

    def holds(self, node: Node, schema: OpSchema | None) -> bool:
        """Whether it holds for the node's recorded arguments."""
        recorded = node.input(self.argument)
        if recorded is not None:
            return self._is(_constant(recorded))
        argument = schema.argument(self.argument) if schema is not None else None
        return argument is not None and self._is(argument.default_value)

    def _is(self, value: bool | float | str | None) -> bool:
        # True == 1 in Python, but `train=True` must not fulfil `p == 1`.
        return value == self.value and isinstance(value, bool) == isinstance(self.value, bool)


def _constant(argument: Argument) -> bool | float | str | None:
    """The constant that a node records, None for everything else."""
    symbols = (argument.as_sym_bool, argument.as_sym_int, argument.as_sym_float)
    literals = (symbol.literal for symbol in symbols if symbol is not None)
    known = (argument.as_bool, argument.as_int, argument.as_float, *literals)
    return next((value for value in known if value is not None), None)


class RandomCondition(msgspec.Struct, frozen=True):
    """When an op draws from the global random number generator."""

    draws: bool = False
    """Whether it may draw at all."""
    unless: tuple[ArgumentIs, ...] = ()
    """Any one of these is enough for it to draw nothing."""

    def holds(self, node: Node, schema: OpSchema | None) -> bool:
        """Whether a call with the node's recorded arguments draws."""
        return self.draws and not any(condition.holds(node, schema) for condition in self.unless)


class HiddenWrites(msgspec.Struct, frozen=True):
    """Writes that an op's schema keeps quiet about."""

    arguments: tuple[str, ...]
    when: ArgumentIs | None = None
    """The writes happen only where this holds, or where it cannot be told; None means always."""

    def holds(self, node: Node, schema: OpSchema | None) -> bool:
        """Whether a call with the node's recorded arguments writes them."""
        if self.when is None or self.when.holds(node, schema):
            return True
        recorded = node.input(self.when.argument)
        return recorded is not None and _constant(recorded) is None and recorded.kind != "as_none"


class Alias(msgspec.Struct, frozen=True):
    """A result that shares storage with an argument."""

    argument: str
    """The argument's name; for lists of tensors, any tensor of the list."""
    result: int | None = None
    """The result's position among the schema's returns; None means any result."""
