"""Custom ops that write: torch calls them on copies of what they write, and hands the copies out.

Before, and after::

    %r: f32[] = mylib.scale_.default(%x, 2.0)
    %r: f32[], %new: f32[4] = higher_order.auto_functionalized_v2(op(mylib.scale_.default),
                                  factor=2.0, _x_base_index=0, _all_bases=[%x])

That is what torch makes of such an op itself (``torch/_higher_order_ops/auto_functionalize.py``). A written argument
is left out, and ``_NAME_base_index`` says which of ``_all_bases`` stands for it; of a list, ``_NAME_length`` how many
tensors it has, and ``_NAME_0_base_index`` and so on which they are. The results are those of the op (``None`` for one
that has none), then the new value of each base. torch passes bases, and what is written as a view of them; here the
views are taken and carried back outside (:mod:`.views`), so that each written tensor is its own base.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from graphlint.ir.edit import tensor, tensors
from graphlint.ir.model import Argument, Node
from graphlint.ops.info import OpInfo, operand_of
from graphlint.ops.table import op_of
from graphlint.passes.functionalize.build import Builder
from graphlint.passes.functionalize.metas import Meta, Obstacle, Value
from graphlint.passes.functionalize.twins import Call

_OLDEST: Final = (8, 7)
"""The schema from which on every torch that loads a file finds the wrapper (torch 2.7). torch 2.6 does not load what it
writes itself of it, unless something else has imported ``torch._higher_order_ops.auto_functionalize``.
"""
_BUILT_IN: Final = ("aten", "prim", "prims")
"""Namespaces whose ops the wrapper refuses."""


def obstacle(op: OpInfo, node: Node, schema: tuple[int, int]) -> str | None:
    """Why the wrapper does not take the place of a node in a file of that schema, or None."""
    if op.name.partition(".")[0] in (*_BUILT_IN, "higher_order"):
        return f"what {op.name} computes is not known"
    if schema < _OLDEST:
        return "torch before 2.7, which loads this file, does not load custom ops that are wrapped"
    if op.random.draws:
        return f"{op.name} draws random numbers; wrapped, it may be removed as dead code"
    if op.hidden_writes is not None:
        return f"the schema of {op.name} does not tell torch what it writes"
    returns = op.schema.returns if op.schema is not None else ()
    if op.aliases or any(one.alias is not None for one in returns):
        return f"{op.name} may return its argument, which torch does not wrap"
    if any(one.type != "Tensor" for one in returns) or any(one.as_tensor is None for one in node.outputs):
        return f"{op.name} returns other things than tensors, which torch does not wrap"
    if op.schema is not None and len(node.outputs) != len(returns):
        return f"the artifact records that {op.name} has {len(node.outputs)} results"
    if not all(operand.name for operand in node.inputs):
        return f"the artifact does not name the arguments of {op.name}"
    try:
        list(_written(op, node))
    except Obstacle as reason:
        return str(reason)
    return None


def wrapped(builder: Builder, call: Call, results: list[Meta]) -> tuple[list[Value], list[Value]]:
    """Emit the wrapper around what is called; its own results, whose recorded metadata are ``results``, and the new
    values of its targets. Raises :class:`Obstacle`.
    """
    op, node, bases = call.op, call.node, [target.value for target in call.targets]
    if any(base.meta.overlaps for base in bases):
        raise Obstacle(f"{op.name} writes the same memory more than once")
    if call.overlapping:
        raise Obstacle(f"{op.name} reads memory that it writes")
    views: list[tuple[str, Argument]] = []
    written = list(_written(op, node))
    count = 0

    def place(name: str, is_given: bool) -> None:
        nonlocal count
        index = Argument(as_int=count) if is_given else Argument(as_none=True)
        views.append((f"_{name}_base_index", index))
        count += is_given

    for name, argument, is_list in written:
        values = argument.tensors() if argument is not None else ()
        if not is_list:
            place(name, any(value is not None for value in values))
            continue
        is_none = argument is None or argument.kind == "as_none"
        views.append((f"_{name}_length", Argument(as_none=True) if is_none else Argument(as_int=len(values))))
        for index, value in enumerate(values):
            place(f"{name}_{index}", value is not None)
    if count != len(bases):
        raise Obstacle(f"{op.name} writes the same tensor under several names")
    left_out = {name for name, _, _ in written}
    read = [(operand.name, operand.arg) for operand in node.inputs if operand.name not in left_out]
    keywords = [*read, *views, ("_all_bases", tensors([base.name for base in bases]))]
    target = op.target
    operands = [
        builder.dialect.operand("", Argument(as_operator=target)),
        *(builder.dialect.operand(name, argument, keyword=True) for name, argument in keywords),
    ]
    stem = op.packet
    own = [Value(builder.edit.claim(stem), meta) for meta in results]
    new = [Value(builder.edit.claim(stem), _copied(base.meta)) for base in bases]
    outputs = [tensor(value.name) for value in own] or [Argument(as_none=True)]
    outputs += [tensor(value.name) for value in new]
    wrapper = op_of("wrapper")
    name = builder.edit.claim(wrapper.packet) if builder.dialect.names else ""
    made = builder.dialect.node(wrapper.target, operands, outputs, name, builder.source)
    if builder.dialect.single_return_flag:
        made = msgspec.structs.replace(made, is_hop_single_tensor_return=False)
    builder.append(made)
    for result in (*own, *new):
        builder.note(result, None)
    return own, new


def _written(op: OpInfo, node: Node) -> Iterator[tuple[str, Argument | None, bool]]:
    """The arguments that an op writes: name, what the node records of it, and whether it is a list. Raises
    :class:`Obstacle` where that cannot be told.
    """
    for name in op.writes:
        declared = op.schema.argument(name) if op.schema is not None else None
        operand = operand_of(node, name)
        argument = operand.arg if operand is not None else None
        is_none = argument is None or argument.kind == "as_none"
        if declared is None and is_none:
            raise Obstacle(f"declare the schema of {op.name}: {name!r}, left out here, may be a list of tensors")
        is_list = "[" in declared.type if declared is not None else argument is not None and argument.as_tensor is None
        listed = argument is not None and (argument.as_tensors is not None or argument.as_optional_tensors is not None)
        fits = argument is not None and (listed if is_list else argument.kind in ("as_tensor", "as_optional_tensor"))
        if not is_none and not fits:
            raise Obstacle(f"{op.name} is recorded with something else than tensors as {name!r}")
        yield (operand.name if operand is not None else name), argument, is_list


def _copied(meta: Meta) -> Meta:
    """Of a copy that lies as the original does, in memory of its own."""
    return meta.with_(strides=meta.strides, offset=meta.offset)
