"""What autocast casts: operand by operand, as torch does it when the program runs.

A region names the type of a device, the dtype that it lowers operands to, if it casts at all, and if it keeps casts of
parameters. What it does to an op on such a device is a fact (``OpInfo.autocast``); which operands that concerns, their
dtypes tell: floating ones but float64.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import msgspec

from graphlint.ir.dtypes import DTYPES, FLOAT32, FLOAT64, FLOATING, STRIDED, category
from graphlint.ir.model import UNRECORDED, Argument, Graph, Node, TensorMeta
from graphlint.ops.info import OpInfo
from graphlint.ops.table import OpTable
from graphlint.semantics.dtypes import LOWER, Modes, Unknown


class Casting(msgspec.Struct, frozen=True):
    """What autocast makes of the operands of one node."""

    dtype: int
    operands: frozenset[str] = frozenset()
    """The values that are cast, wherever the node takes them."""
    argument: bool = False
    """Whether no operand is cast, but the node is told to compute in that dtype."""
    keeps: bool = False
    """Whether torch keeps such a cast of a parameter for the rest of the region."""


def casting_of(
    ops: OpTable, graph: Graph, node: Node, modes: Modes, dtype_of: Callable[[Graph, str], int]
) -> Casting | None:
    """What autocast makes of the operands of a node that calls no graph; None where it leaves them as they are. Raises
    :class:`Unknown`.
    """
    if not modes.devices:
        return None
    op = ops.lookup(node.target)
    if op is None or op.source != "table" or not op.first_order:
        raise Unknown(f"what autocast makes of {node.op} is not known")
    metas = {name: graph.meta(name) for operand in node.inputs for name in _tensors(operand.arg)}
    devices = _devices(op, metas.values(), modes)
    policies = {op.autocast.get(device, "unknown" if may_cast(op) else "none") for device in devices}
    if not devices or policies == {"none"}:
        return None
    (device, *others), (policy, *_) = devices, policies
    if "unknown" in policies and _is_of_integers(graph, node, metas.values()):
        return None
    if policies == {"unknown"} or others:
        raise Unknown(f"what autocast makes of {op.name} is not known")
    lower = modes.devices[device]
    if lower is None:
        raise Unknown("the artifact does not tell which dtype it casts to")
    eligible = {}
    for name, meta in metas.items():
        if meta is not None and category(meta.dtype) == FLOATING and (dtype := dtype_of(graph, name)) != FLOAT64:
            if dtype not in (*LOWER, FLOAT32) or not _is_plain(meta):
                raise Unknown(f"%{name} is of {DTYPES.get(dtype, 'an unknown dtype')}, or not strided")
            eligible[name] = dtype
    for operand in node.inputs:
        if (operand.arg.as_optional_tensors or operand.arg.as_nested_tensors) and eligible.keys() & _tensors(
            operand.arg
        ):
            raise Unknown(f"{op.name} is given tensors in a kind of list that autocast leaves alone")
    return _by_policy(node, op, policy, lower, eligible, keeps=modes.keeps)


def may_cast(op: OpInfo) -> bool:
    """Whether autocast has a kernel for the op on some device, or the op is made of others that it may have one for."""
    return not op.tags.isdisjoint(("autocast", "composite"))


def _is_of_integers(graph: Graph, node: Node, metas: Iterable[TensorMeta | None]) -> bool:
    """Whether what a node is given, and what it makes, are integers and flags, none of which autocast casts."""
    made = (graph.meta(name) for output in node.outputs for name in output.tensors() if name is not None)
    return all(meta is not None and category(meta.dtype) < FLOATING for meta in (*metas, *made))


def _devices(op: OpInfo, metas: Collection[TensorMeta | None], modes: Modes) -> set[str]:
    """The devices whose autocast looks at a node: that of what it is given, and all where it is given no tensor."""
    if op.schema is None:  # arithmetic on numbers
        return set()
    if not metas:
        return {*modes.devices} if any("Tensor" in one.type for one in op.schema.returns) else set()
    if any(meta is None or meta.device is None for meta in metas):
        raise Unknown(f"the artifact does not tell the device of what {op.name} is given")
    return {meta.device.type for meta in metas if meta is not None and meta.device is not None} & modes.devices.keys()


def _by_policy(
    node: Node, op: OpInfo, policy: str, lower: int, eligible: dict[str, int], *, keeps: bool
) -> Casting | None:
    dtypes = {*eligible.values()}
    match policy:
        case "lowered":
            to = lower
        case "float32":
            to = FLOAT32
        case "promote":
            if not dtypes <= {lower, FLOAT32}:
                raise Unknown(f"autocast may raise for what {op.name} is given")
            counted = (one.name for one in op.schema.arguments if not one.type.endswith("?")) if op.schema else ()
            wide = any(eligible.get(name) == FLOAT32 for one in counted for name in _tensors(node.input(one)))
            to = FLOAT32 if wide else lower
        case "float32-dtype":
            told = node.input("dtype")
            first = node.input(op.schema.arguments[0].name) if op.schema is not None else None
            if (told is not None and told.kind != "as_none") or not eligible.keys() & _tensors(first):
                return None
            return Casting(FLOAT32, argument=True)
        case "banned":
            raise Unknown(f"autocast raises for {op.name}")
        case _:
            raise Unknown(f"autocast calls another overload instead of {op.name}")
    cast = frozenset(name for name, dtype in eligible.items() if dtype != to)
    if any(cast & _tensors(argument) for argument in op.written(node).values()):
        raise Unknown(f"{op.name} writes what autocast casts")
    return Casting(to, cast, keeps=keeps and to == lower) if cast else None


def _is_plain(meta: TensorMeta) -> bool:
    """Whether sizes and strides tell how it lies in memory, and so how a copy does."""
    return meta.layout == STRIDED and meta.sizes is not UNRECORDED and len(meta.sizes) == len(meta.strides)


def _tensors(argument: Argument | None) -> set[str]:
    return {name for name in argument.tensors() if name is not None} if argument is not None else set()
