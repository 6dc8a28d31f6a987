"""Ops that return their operand, or a view of it, only when nothing has to be computed: which one is it here?

Decided from what the artifact records of operand and result: dtype, device, sizes, strides. Each function
answers True (shares storage), False (fresh storage) or None: it depends on more than the artifact tells.

Source of the conditions: ``aten/src/ATen/native`` of torch 2.13 (``TensorConversions.cpp``, ``TensorShape.cpp``,
``Dropout.cpp``); the tests run each case in torch.
"""

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Final

from graphlint.ir.dtypes import category
from graphlint.ir.model import Graph, Node, TensorMeta
from graphlint.ir.strides import contiguous_strides, view_strides
from graphlint.ops.info import OpInfo, Sharing, StepKind

_Decision = Callable[[Node, OpInfo, TensorMeta, TensorMeta], bool | None]


def shares_storage(
    graph: Graph,
    node: Node,
    op: OpInfo,
    operand: str,
    result: str,
    *,
    dtypes_known: bool = True,
    may_be_one: Callable[[int | str], bool] = lambda size: size == 1,
    bits: Callable[[], AbstractSet[StepKind] | None] = lambda: None,
) -> bool | None:
    """Whether a result of a conditional op shares its operand's storage. ``dtypes_known`` is False where a recorded
    dtype is to be doubted; ``may_be_one`` tells which sizes are 1, or could be; ``bits`` tells those that are set
    on the operand, or None where that is not known.
    """
    decide = _DECISIONS.get(op.shares or "undecided")
    before, after = graph.meta(operand), graph.meta(result)
    marks = _BITS.get(op.shares or "undecided")
    if marks is not None and before is not None:
        never = marks == {"conjugate"} and category(before.dtype) < 3
        known = frozenset[StepKind]() if never else bits()
        return None if known is None else marks.isdisjoint(known)
    if decide is None or before is None or after is None:
        return None
    shares = decide(node, op, before, after)
    if decide is not _unchanged or _copies(node):
        return shares
    doubtful = shares is False and _differs_in_single_steps_only(before, after, may_be_one)
    return None if doubtful or not dtypes_known else shares


def shown_alike(one: TensorMeta | None, other: TensorMeta | None) -> bool:
    """Whether two views of the same memory are known to show the same elements in the same way."""
    if one is None or other is None:
        return False
    shown = [(meta.dtype, meta.shape, meta.stride, str(meta.storage_offset or 0)) for meta in (one, other)]
    return shown[0] == shown[1]


def returns_operand(node: Node, op: OpInfo, operand: TensorMeta) -> bool:
    """Whether a conditional op, with a node's arguments, returns its operand as it is."""
    decide = _DECISIONS.get(op.shares or "undecided")
    return (
        decide is not None
        and [step.kind for step in op.view] == ["identity"]
        and bool(decide(node, op, operand, operand))
    )


def _differs_in_single_steps_only(
    before: TensorMeta, after: TensorMeta, may_be_one: Callable[[int | str], bool]
) -> bool:
    """Whether the copy that was recorded would not be made if sizes were 1: strides of such dimensions do not count."""
    if before.dtype != after.dtype or str(before.device) != str(after.device) or before.layout != after.layout:
        return False
    steps = zip(before.shape, before.stride, after.stride, strict=False)
    return before.shape == after.shape and all(one == other or may_be_one(size) for size, one, other in steps)


def _unchanged(node: Node, op: OpInfo, before: TensorMeta, after: TensorMeta) -> bool | None:
    """``to``, ``contiguous``, ``type_as`` and the like: the operand itself, unless something differs."""
    if _copies(node):
        return False
    if before.dtype != after.dtype or str(before.device) != str(after.device) or before.layout != after.layout:
        return False
    if before.shape == after.shape and before.stride == after.stride:
        return True
    if before.shape != after.shape:
        return None if any(isinstance(size, str) for size in (*before.shape, *after.shape)) else False
    symbolic = any(isinstance(step, str) for step in (*before.stride, *after.stride))
    return None if symbolic else False


def _copies(node: Node) -> bool:
    """Whether ``to`` is asked for a copy."""
    copy = node.input("copy")
    return copy is not None and copy.as_bool is True


def _viewed(node: Node, op: OpInfo, before: TensorMeta, after: TensorMeta) -> bool | None:
    """``reshape``, ``flatten``: a view wherever the strides admit one."""
    if before.stride == contiguous_strides(before.shape):
        return True
    shape, strides, wanted = before.shape, before.stride, after.shape
    if shape == wanted:
        return True
    numbers = [size for size in (*shape, *strides, *wanted) if isinstance(size, int)]
    if len(numbers) != len(shape) + len(strides) + len(wanted):
        return None
    return view_strides(shape, strides, wanted) is not None  # type: ignore[arg-type]  # all are numbers


def _raveled(node: Node, op: OpInfo, before: TensorMeta, after: TensorMeta) -> bool | None:
    """``ravel`` is ``contiguous().view(-1)``: a copy even where a view would be possible."""
    steps = zip(before.shape, before.stride, contiguous_strides(before.shape), strict=True)
    if 0 in before.shape or all(step == wanted for size, step, wanted in steps if size != 1):
        return True
    symbolic = any(isinstance(number, str) for number in (*before.shape, *before.stride))
    return None if symbolic else False


def _dropped(node: Node, op: OpInfo, before: TensorMeta, after: TensorMeta) -> bool | None:
    """Dropout returns its input in eval mode and for p = 0."""
    train, p = node.input("train"), node.input("p")
    if train is not None and train.as_bool is False:
        return True
    if train is None or train.as_bool is None or p is None:
        return None
    rate = p.as_float if p.as_float is not None else p.as_int
    return None if rate is None else float(rate) == 0.0


def _real(node: Node, op: OpInfo, before: TensorMeta, after: TensorMeta) -> bool | None:
    """Conjugation and its like return a real operand as it is."""
    return category(before.dtype) != 3


def _single(node: Node, op: OpInfo, before: TensorMeta, after: TensorMeta) -> bool | None:
    """Products of several tensors are fresh; of a single one, it is the tensor itself."""
    return sum(len(operand.arg.tensors()) for operand in node.inputs) == 1


def _not_several(node: Node, op: OpInfo, before: TensorMeta, after: TensorMeta) -> bool | None:
    """Of a single tensor, it may be the tensor itself, or a view of it."""
    return None if _single(node, op, before, after) else False


_DECISIONS: Final[dict[Sharing, _Decision]] = {
    "unchanged": _unchanged,
    "viewable": _viewed,
    "contiguous": _raveled,
    "no-dropout": _dropped,
    "real": _real,
    "single": _single,
    "not-several": _not_several,
}
_BITS: Final[dict[Sharing, AbstractSet[StepKind]]] = {
    "not-conjugated": frozenset({"conjugate"}),
    "not-negated": frozenset({"negate"}),
    "unmarked": frozenset({"conjugate", "negate"}),
}
"""Where ops copy that give their operand without the bits which steps set."""
