"""View steps: taken again from a new base, and inverted to carry a write back.

| step | inverse |
|---|---|
| ``select`` | ``select_scatter`` |
| ``slice``, ``narrow``, ``split``, ``chunk``, … | ``slice_scatter`` |
| ``unbind`` | ``select_scatter`` |
| ``diagonal`` | ``diagonal_scatter`` |
| ``transpose``, ``t``, ``permute``, ``movedim``, … | the inverse permutation |
| ``view``, ``reshape``, ``flatten``, ``unflatten``, … | a view of the parent's shape |
| ``squeeze``, ``unsqueeze`` | each other |
| ``expand`` that expands nothing | identity |
| ``as_strided`` | ``as_strided_scatter`` |
| ``detach``, ``alias``, ``to`` and the like that change nothing | identity |
| ``view.dtype``, ``view_as_real``, ``view_as_complex`` | the cast back |

Everything else has no inverse here, and a write through it stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from graphlint.ir.arguments import Json, renamed_operands, tensor
from graphlint.ir.expressions import as_expression
from graphlint.ir.model import Node
from graphlint.ir.strides import contiguous_strides, view_strides
from graphlint.passes.mutation.build import Builder, Obstacle
from graphlint.passes.mutation.values import Meta, Size, Value, is_dense, overlaps


class Step(msgspec.Struct, frozen=True, eq=False):
    """One view step: a node of the original graph and which of its results it leads to."""

    node: Node
    raw: Json
    op: str
    """``aten.select.int``"""
    operand: str
    """The argument that is viewed."""
    index: int
    """Which of the node's results, counted over all of them."""
    parent: Meta
    """What was recorded of the viewed tensor."""
    metas: tuple[Meta, ...]
    """What was recorded of all the node's results."""

    @property
    def meta(self) -> Meta:
        """What was recorded of this result."""
        return self.metas[self.index]


def replay(builder: Builder, step: Step, parent: Value, current: Callable[[str], str]) -> list[Value]:
    """Take the view again from another parent; all results of the node. ``current`` tells what to read for the other
    tensors that it is given, of which it takes the sizes (``expand_as``).
    """
    if not parent.meta.same_strides(step.parent):
        raise Obstacle(f"{step.op} would be taken of a tensor with other strides")
    metas = [moved(step, meta.with_(offset=meta.offset), parent.meta) for meta in step.metas]
    stem = step.node.results()[0]
    is_list = step.node.outputs[0].as_tensors is not None
    values = [Value(builder.edit.claim(stem), meta) for meta in metas]
    for value in values:
        builder.edit.record(value.name, value.meta.raw)
    others = {
        name: current(name)
        for operand in step.node.inputs
        if operand.name != step.operand
        for name in operand.arg.tensors()
        if name is not None
    }
    inputs = [
        {**operand, "arg": tensor(parent.name)} if operand["name"] == step.operand else operand
        for operand in renamed_operands(step.raw, others)["inputs"]
    ]
    outputs = [tensor(value.name) for value in values]
    if is_list:
        outputs = [{"as_tensors": [{"name": value.name} for value in values]}]
    node = {**step.raw, "inputs": inputs, "outputs": outputs}
    if "name" in node:
        node["name"] = values[0].name if len(values) == 1 and not is_list else builder.edit.claim(stem)
    builder.edit.nodes.append(node)
    return values


def moved(step: Step, meta: Meta, parent: Meta) -> Meta:
    """Metadata of a view whose parent may stand elsewhere in its storage than was recorded."""
    if parent.offset == step.parent.offset:
        return meta
    if step.op == "aten.as_strided.default":
        raise Obstacle("as_strided reads the memory of a tensor that does not begin where its memory does")
    offsets = (parent.offset, step.parent.offset, meta.offset)
    numbers = [offset for offset in offsets if isinstance(offset, int)]
    if len(numbers) < len(offsets):
        raise Obstacle("a storage offset is symbolic")
    return meta.with_(strides=meta.strides, offset=numbers[2] + numbers[0] - numbers[1])


def invert(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    """The parent with what was written through the view: ``parent`` is its value before, ``child`` what the view
    shows afterwards. Raises :class:`Obstacle` where the step has no inverse.
    """
    inverse = _inverse(step)
    if inverse is None:
        raise Obstacle(f"{step.op} has no inverse to carry the write back through")
    return inverse(builder, step, parent, child)


def depends_on_layout(steps: Sequence[Step]) -> bool | None:
    """Whether carrying a value back through these steps depends on its strides. None where it does not, but they
    become those of the base; a scatter keeps the base's.
    """
    for step in reversed(steps):
        inverse = _inverse(step)
        if inverse in _SCATTERING:
            return False
        if inverse in _VIEWING:
            return True
    return None


def _inverse(step: Step) -> Callable[[Builder, Step, Value, Value], Value] | None:
    return _INVERSES.get(step.op) or _INVERSES.get(".".join(step.op.split(".")[:2]))


def _argument(step: Step, name: str, default: Json | None = None) -> Json:
    for operand in step.raw["inputs"]:
        if operand["name"] == name:
            argument: Json = operand["arg"]
            return argument
    if default is None:
        raise Obstacle(f"{step.op} is recorded without its argument {name!r}")
    return default


def _number(argument: Json) -> int:
    value = argument.get("as_int")
    if value is None:
        raise Obstacle("a dimension or position is symbolic")
    return int(value)


def _dim(step: Step, name: str = "dim", default: int = 0) -> int:
    """A dimension, counted from the front."""
    return _number(_argument(step, name, {"as_int": default})) % max(len(step.parent.shape), 1)


def _scatter(builder: Builder, op: str, parent: Value, child: Value, *arguments: Json) -> Value:
    """The scatter ops keep the parent's strides and offset."""
    meta = parent.meta.with_(offset=parent.meta.offset)
    return builder.emit(op, [tensor(parent.name), tensor(child.name), *arguments], meta, op.split(".")[1])


def _select(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    index = _argument(step, "index")
    return _scatter(builder, "aten.select_scatter.default", parent, child, {"as_int": _dim(step)}, index)


def _slice(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    none: Json = {"as_none": True}
    return _scatter(
        builder,
        "aten.slice_scatter.default",
        parent,
        child,
        {"as_int": _dim(step)},
        _argument(step, "start", none),
        _argument(step, "end", none),
        _argument(step, "step", {"as_int": 1}),
    )


def _narrow(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    dim = _dim(step)
    start, length, size = _number(_argument(step, "start")), step.meta.shape[dim], step.parent.shape[dim]
    if start < 0:
        if not isinstance(size, int):
            raise Obstacle("narrow counts from the end of a dimension of symbolic size")
        start += size
    if isinstance(length, int):
        return _sliced(builder, parent, child, dim, start, start + length)
    end = as_expression(start) + as_expression(length)
    if end == as_expression(size):
        return _sliced_to(builder, parent, child, dim, start, {"as_none": True})
    if not start:
        return _sliced_to(builder, parent, child, dim, start, _argument(step, "length"))
    sizes = zip(parent.meta.shape, parent.meta.raw["sizes"], strict=True)
    try:
        name = builder.symbol(parent, str(end), next((raw for one, raw in sizes if as_expression(one) == end), {}))
    except Obstacle:
        raise Obstacle("narrow ends at a position that nothing else computes") from None
    return _sliced_to(builder, parent, child, dim, start, {"as_sym_int": {"as_name": name}})


def _sliced(builder: Builder, parent: Value, child: Value, dim: int, start: int, end: int) -> Value:
    return _sliced_to(builder, parent, child, dim, start, {"as_int": end})


def _sliced_to(builder: Builder, parent: Value, child: Value, dim: int, start: int, end: Json) -> Value:
    return _scatter(builder, "aten.slice_scatter.default", parent, child, {"as_int": dim}, {"as_int": start}, end)


def _piece(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    """One of the pieces that a dimension was cut into: where it starts is known from the sizes of those before it."""
    defaults = {"hsplit": 0 if len(step.parent.shape) == 1 else 1, "vsplit": 0, "dsplit": 2}
    dim = _dim(step, default=defaults.get(step.op.split(".")[1], 0))
    lengths = [meta.shape[dim] for meta in step.metas[: step.index + 1]]
    numbers = [length for length in lengths if isinstance(length, int)]
    if len(numbers) != len(lengths):
        raise Obstacle(f"{step.op} makes pieces of symbolic sizes")
    return _sliced(builder, parent, child, dim, sum(numbers[:-1]), sum(numbers))


def _unbind(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    index = {"as_int": step.index}
    return _scatter(builder, "aten.select_scatter.default", parent, child, {"as_int": _dim(step)}, index)


def _diagonal(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    arguments = (
        _argument(step, name, {"as_int": default}) for name, default in (("offset", 0), ("dim1", 0), ("dim2", 1))
    )
    return _scatter(builder, "aten.diagonal_scatter.default", parent, child, *arguments)


def _as_strided(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    if parent.meta.strides != contiguous_strides(parent.meta.shape) or parent.meta.offset != 0:
        raise Obstacle("as_strided reads the memory of a tensor that is not contiguous")
    shape, strides = step.meta.shape, step.meta.strides
    known = all(isinstance(number, int) for number in (*shape, *strides))
    if overlaps(shape, strides) or not (known or is_dense(shape, strides)):
        raise Obstacle("as_strided shows the same memory more than once")
    offset = _argument(step, "storage_offset", {"as_none": True})
    size, stride = _argument(step, "size"), _argument(step, "stride")
    return _scatter(builder, "aten.as_strided_scatter.default", parent, child, size, stride, offset)


def _permuted(builder: Builder, child: Value, order: list[int]) -> Value:
    """``child`` with dimension ``order[i]`` in place ``i``."""
    meta = child.meta
    changed = meta.with_(
        sizes=[meta.raw["sizes"][dim] for dim in order],
        strides=[meta.strides[dim] for dim in order],
        offset=meta.offset,
    )
    numbers: Json = {"as_ints": order}
    return builder.emit("aten.permute.default", [tensor(child.name), numbers], changed, "permute")


def _transpose(first: str, second: str) -> Callable[[Builder, Step, Value, Value], Value]:
    def invert_transpose(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
        a, b = _dim(step, first), _dim(step, second)
        if a == b:
            return child
        order = list(range(len(step.parent.shape)))
        order[a], order[b] = order[b], order[a]
        meta = child.meta
        changed = meta.with_(
            sizes=[meta.raw["sizes"][dim] for dim in order],
            strides=[meta.strides[dim] for dim in order],
            offset=meta.offset,
        )
        arguments = [tensor(child.name), {"as_int": a}, {"as_int": b}]
        return builder.emit("aten.transpose.int", arguments, changed, "transpose")

    return invert_transpose


def _reversed(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    """``t`` and ``numpy_T``: the dimensions in reverse."""
    rank = len(child.meta.shape)
    return child if rank < 2 else _permuted(builder, child, list(reversed(range(rank))))


def _last_two(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    order = list(range(len(child.meta.shape)))
    order[-2:] = reversed(order[-2:])
    return _permuted(builder, child, order)


def _permute(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    dims = _argument(step, "dims").get("as_ints")
    if dims is None:
        raise Obstacle("permute's dimensions are symbolic")
    rank = len(dims)
    order = [0] * rank
    for position, dim in enumerate(dims):
        order[dim % rank] = position
    return _permuted(builder, child, order)


def _movedim(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    rank = len(step.parent.shape)

    def dims(name: str) -> list[int]:
        argument = _argument(step, name)
        numbers = argument.get("as_ints", [argument.get("as_int")])
        return [int(number) % max(rank, 1) for number in numbers]

    if not rank:
        return child

    source, destination = dims("source"), dims("destination")
    forward = [-1] * rank
    for one, other in zip(source, destination, strict=True):
        forward[other] = one
    rest = iter(dim for dim in range(rank) if dim not in source)
    forward = [dim if dim >= 0 else next(rest) for dim in forward]
    order = [0] * rank
    for position, dim in enumerate(forward):
        order[dim] = position
    return _permuted(builder, child, order)


def _reshape(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    """A view of the parent's shape, or a copy where the written value's strides admit none."""
    raw = step.parent.raw["sizes"]
    shape = step.parent.shape
    if child.meta.shape == shape:
        return child
    strides = viewed_strides(child.meta, shape)
    sizes = builder.sizes(parent, shape, raw)
    if strides is None:
        meta = child.meta.with_(sizes=raw, strides=contiguous_strides(shape))
        return builder.emit("aten.reshape.default", [tensor(child.name), sizes], meta, "reshape")
    meta = child.meta.with_(sizes=raw, strides=strides, offset=child.meta.offset)
    return builder.emit("aten.view.default", [tensor(child.name), sizes], meta, "view")


def viewed_strides(meta: Meta, shape: tuple[Size, ...]) -> tuple[Size, ...] | None:
    """Strides of a view of that shape, None where there is none or none is known."""
    if meta.strides == contiguous_strides(meta.shape):
        return contiguous_strides(shape)
    numbers = (*meta.shape, *meta.strides, *shape)
    if any(isinstance(number, str) for number in numbers):
        return None
    return view_strides(meta.shape, meta.strides, shape)  # type: ignore[arg-type]  # all are numbers


def _squeeze(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    """Put back each dimension of size 1 that was taken away."""
    rank = len(step.parent.shape)
    given = next((operand["arg"] for operand in step.raw["inputs"] if operand["name"] == "dim"), None)
    if given is None:
        dims = list(range(rank))
    else:
        numbers = given.get("as_ints", [given.get("as_int")])
        dims = [int(dim) % max(rank, 1) for dim in numbers]
    removed = [dim for dim in sorted(dims) if rank and step.parent.shape[dim] == 1]
    doubtful = (step.parent.shape[dim] for dim in dims if rank and dim not in removed)
    if rank - len(removed) != len(child.meta.shape) or any(map(builder.known.may_be_one, doubtful)):
        raise Obstacle("squeeze meets a dimension of symbolic size")
    for dim in removed:
        child = unsqueezed(builder, child, dim)
    return child


def unsqueezed(builder: Builder, child: Value, dim: int) -> Value:
    """``child`` with a dimension of size 1 at ``dim``."""
    meta = child.meta
    shape, strides = list(meta.shape), list(meta.strides)
    step = contiguous_strides((shape[dim], strides[dim]))[0] if dim < len(shape) else 1
    if dim < len(shape):
        product = as_expression(shape[dim]) * as_expression(strides[dim])
        step = str(product) if product.constant is None else product.constant
    sizes = list(meta.raw["sizes"])
    sizes.insert(dim, {"as_int": 1})
    strides.insert(dim, step)
    changed = meta.with_(sizes=sizes, strides=strides, offset=meta.offset)
    return builder.emit("aten.unsqueeze.default", [tensor(child.name), {"as_int": dim}], changed, "unsqueeze")


def _unsqueeze(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    dim = _number(_argument(step, "dim")) % (len(step.parent.shape) + 1)
    meta = child.meta
    sizes, strides = list(meta.raw["sizes"]), list(meta.strides)
    del sizes[dim], strides[dim]
    changed = meta.with_(sizes=sizes, strides=strides, offset=meta.offset)
    return builder.emit("aten.squeeze.dim", [tensor(child.name), {"as_int": dim}], changed, "squeeze")


def _identity(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    return child


def _unexpanded(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    if step.parent.shape != step.meta.shape:
        raise Obstacle("the tensor is expanded: several of its elements are one in memory")
    return child


def _recast(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
    """``view.dtype``: the bytes read as the parent's dtype again."""
    if len(step.parent.shape) != len(step.meta.shape) or step.parent.shape != step.meta.shape:
        raise Obstacle("view.dtype changes the element size")
    meta = child.meta.with_(dtype=step.parent.dtype, strides=child.meta.strides, offset=child.meta.offset)
    return builder.emit("aten.view.dtype", [tensor(child.name), {"as_scalar_type": step.parent.dtype}], meta, "view")


def _counterpart(op: str) -> Callable[[Builder, Step, Value, Value], Value]:
    """``view_as_real`` and ``view_as_complex`` undo each other."""

    def cast_back(builder: Builder, step: Step, parent: Value, child: Value) -> Value:
        meta = step.parent.with_(strides=contiguous_strides(step.parent.shape))
        if child.meta.strides != contiguous_strides(child.meta.shape):
            raise Obstacle(f"{step.op} shows a tensor that is not contiguous")
        return builder.emit(op, [tensor(child.name)], meta, op.split(".")[1])

    return cast_back


_INVERSES: Final[dict[str, Callable[[Builder, Step, Value, Value], Value]]] = {
    "aten.select": _select,
    "aten.slice": _slice,
    "aten.narrow.default": _narrow,
    "aten.split": _piece,
    "aten.split_with_sizes": _piece,
    "aten.chunk": _piece,
    "aten.tensor_split": _piece,
    "aten.unsafe_chunk": _piece,
    "aten.unsafe_split": _piece,
    "aten.unsafe_split_with_sizes": _piece,
    "aten.hsplit": _piece,
    "aten.vsplit": _piece,
    "aten.dsplit": _piece,
    "aten.unbind": _unbind,
    "aten.diagonal": _diagonal,
    "aten.as_strided": _as_strided,
    "aten.transpose": _transpose("dim0", "dim1"),
    "aten.swapdims": _transpose("dim0", "dim1"),
    "aten.swapaxes": _transpose("axis0", "axis1"),
    "aten.t": _reversed,
    "aten.numpy_T": _reversed,
    "aten.mT": _last_two,
    "aten.permute": _permute,
    "aten.movedim": _movedim,
    "aten.moveaxis": _movedim,
    "aten.view.default": _reshape,
    "aten._unsafe_view": _reshape,
    "aten.view_as": _reshape,
    "aten.reshape": _reshape,
    "aten.reshape_as": _reshape,
    "aten._reshape_alias": _reshape,
    "aten.flatten": _reshape,
    "aten.unflatten": _reshape,
    "aten.ravel": _reshape,
    "aten.atleast_1d.default": _reshape,
    "aten.atleast_2d.default": _reshape,
    "aten.atleast_3d.default": _reshape,
    "aten.squeeze": _squeeze,
    "aten.unsqueeze": _unsqueeze,
    "aten.expand": _unexpanded,
    "aten.expand_as": _unexpanded,
    "aten.broadcast_to": _unexpanded,
    "aten.sum_to_size": _identity,
    "aten.view.dtype": _recast,
    "aten.view_as_real": _counterpart("aten.view_as_complex.default"),
    "aten.view_as_complex": _counterpart("aten.view_as_real.default"),
    "aten.alias": _identity,
    "aten.detach": _identity,
    "aten.lift": _identity,
    "aten.lift_fresh": _identity,
    "aten.positive": _identity,
    "aten.to": _identity,
    "aten.contiguous": _identity,
    "aten.type_as": _identity,
    "aten.dropout": _identity,
    "aten.feature_dropout": _identity,
    "aten.alpha_dropout": _identity,
    "aten.feature_alpha_dropout": _identity,
}
"""By overload, or by op for all its overloads."""
_SCATTERING: Final = frozenset({_select, _slice, _narrow, _piece, _unbind, _diagonal, _as_strided})
_VIEWING: Final = frozenset({_reshape, _recast, _INVERSES["aten.view_as_real"], _INVERSES["aten.view_as_complex"]})
"""Inverses that strides may not admit."""
