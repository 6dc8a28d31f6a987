"""What is known of one op overload."""

from __future__ import annotations

from typing import Literal

import msgspec

from graphlint.ir.model import NamedArgument, Node
from graphlint.ops.conditions import Alias, HiddenWrites, RandomCondition
from graphlint.ops.effects import EffectKind
from graphlint.ops.schema import OpSchema

Source = Literal["table", "configuration"]


class OpInfo(msgspec.Struct, frozen=True):
    """What an op overload writes, aliases, draws and returns."""

    name: str
    """As people write it: ``aten.add_.Tensor``, ``higher_order.cond``, ``_operator.ge``."""
    schema: OpSchema | None = None
    """None for higher-order and symbolic operators, and for declared ops that the table does not know."""
    writes: tuple[str, ...] = ()
    """Names of the arguments that it always writes; a declared op's may be positions (``"0"``) as well."""
    hidden_writes: HiddenWrites | None = None
    aliases: tuple[Alias, ...] = ()
    """Results of higher-order ops alias what their subgraphs make of them, which is not told here."""
    random: RandomCondition = RandomCondition("never")
    returns_nothing: bool = False
    out_variant: bool = False
    """Whether it writes its result to arguments that the caller gives for that (``out=``)."""
    in_place_view: bool = False
    """Whether it changes its operand's sizes, strides or storage rather than its elements: ``t_``, ``set_``."""
    functional_twin: str | None = None
    """The overload that computes the same without writing (or, for checks, with tokens)."""
    effect: bool = False
    """Whether it has a side effect other than ``writes``, ``hidden_writes`` and ``random`` that is no data flow."""
    kind: EffectKind | None = None
    """What kind of effect; also set for functional collectives, where ``effect`` is False."""
    tags: frozenset[str] = frozenset()
    """torch's tags, as far as the table records them: ``core``, ``pointwise``, ``dynamic_output_shape``, …; and
    ``autocast`` where autocast casts its operands on some device, ``composite`` where it is made of other ops, which
    autocast may cast (it leaves ``out=`` and in-place overloads alone).
    """
    source: Source = "table"

    def draws(self, node: Node) -> bool:
        """Whether the node, with the arguments it records, draws from the global random number generator."""
        return self.random.holds(node, self.schema)

    def written_arguments(self, node: Node) -> tuple[str, ...]:
        """Names of the node's arguments that it writes: recorded ones that are tensors or lists of tensors."""
        names = dict.fromkeys(self.writes)
        if self.hidden_writes is not None and self.hidden_writes.holds(node, self.schema):
            names.update(dict.fromkeys(self.hidden_writes.arguments))
        operands = (_operand(node, name) for name in names)
        return tuple(operand.name for operand in operands if operand is not None and any(operand.arg.tensors()))


def _operand(node: Node, name: str) -> NamedArgument | None:
    """The operand of that name, or at that position."""
    if name.isdecimal():
        position = int(name)
        return node.inputs[position] if position < len(node.inputs) else None
    return next((operand for operand in node.inputs if operand.name == name), None)
