"""View steps, taken again from a new parent and inverted to carry a write back.

| step | inverse |
|---|---|
| ``select``, ``unbind`` | ``select_scatter`` |
| ``slice``, ``narrow``, ``pieces`` | ``slice_scatter`` |
| ``diagonal`` | ``diagonal_scatter`` |
| ``transpose``, ``reverse``, ``permute``, ``move`` | the inverse permutation |
| ``reshape`` | a view of the parent's shape |
| ``squeeze``, ``unsqueeze`` | each other |
| ``expand`` | the only place in each repeated dimension that was written; the value as it is where none is |
| ``unfold`` whose windows do not overlap | ``slice_scatter`` |
| ``identity`` | the value as it is |
| ``as_strided`` | ``as_strided_scatter`` |
| ``bitcast``, ``view_as_real``, ``view_as_complex`` | the cast back |
| ``conjugate``, ``negate`` | ``conj_physical``, ``neg`` |
| ``real``, ``imag`` | ``complex`` of the value and the other part |
| ``batch`` | ``_remove_batch_dim`` |

Which steps an op takes is a fact (:attr:`~graphlint.ops.info.OpInfo.view`). Other kinds have no inverse here, and a
write through them stays as it is.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import Final

import msgspec

from graphlint.ir.dtypes import BOOL, category, item_size, real_part
from graphlint.ir.edit import changed_node, renamed_operands, tensor, tensors, with_operand
from graphlint.ir.expressions import Expression, as_expression
from graphlint.ir.model import Argument, Node, SymSize
from graphlint.ir.strides import Size, contiguous_strides, elementwise_strides, view_strides
from graphlint.ops.info import OpInfo, Role, StepKind, ViewStep
from graphlint.ops.table import op_of, op_table
from graphlint.passes.functionalize.build import Builder
from graphlint.passes.functionalize.metas import Meta, Obstacle, Value


class View(msgspec.Struct, frozen=True, eq=False, dict=True):
    """A view that a node of the original graph takes, with what was recorded of it."""

    node: Node
    op: OpInfo
    operand: str
    """The argument that is viewed."""
    index: int
    """Which of the node's tensor results, counted over all of them."""
    parent: Meta
    """Of the viewed tensor."""
    metas: tuple[Meta, ...]
    """Of all the node's tensor results."""

    @property
    def meta(self) -> Meta:
        """Of this result."""
        return self.metas[self.index]

    @cached_property
    def step(self) -> ViewStep | None:
        """Which elements are shown, and where; None where that is not known."""
        steps = [step for step in self.op.view if step.kind not in _BITS]
        if not self.op.view or len(steps) > 1:
            return None
        return steps[0] if steps else ViewStep("identity")

    @property
    def bits(self) -> list[StepKind]:
        """What is done to each element. The conjugate of a real number is the number."""
        kinds = [step.kind for step in self.op.view if step.kind in _BITS]
        return kinds if category(self.parent.dtype) == 3 else [kind for kind in kinds if kind != "conjugate"]

    @property
    def sized(self) -> tuple[Role, list[int]] | None:
        """The view by the sizes that are recorded of it, wherever its node has them from; None for other kinds of
        views, and where a size is symbolic.
        """
        role = _SIZED.get(self.step.kind) if self.step is not None and self.node.outputs[0].as_tensor else None
        sizes = [size for size in self.meta.shape if isinstance(size, int)]
        return (role, sizes) if role is not None and len(sizes) == len(self.meta.shape) else None

    def argument(self, key: str) -> Argument:
        """The step's parameter of that name."""
        source = self.step.parameters.get(key) if self.step is not None else None
        if isinstance(source, int):
            return Argument(as_int=source)
        given = self.node.input(source) if source is not None else None
        if given is not None:
            return given
        schema = self.op.schema.argument(source) if self.op.schema is not None and source is not None else None
        if schema is None or schema.default is None:
            raise Obstacle(f"{self.op.name} is recorded without its argument {source or key!r}")
        default = schema.default_value
        return Argument(as_int=default) if type(default) is int else Argument(as_none=True)

    def number(self, key: str) -> int:
        """A parameter that is a number."""
        value = self.argument(key).as_int
        if value is None:
            raise Obstacle("a dimension or position is symbolic")
        return value

    def dim(self, key: str = "dim") -> int:
        """A dimension, counted from the front. A fixed one beyond the last means the last."""
        rank = max(len(self.parent.shape), 1)
        number = self.number(key)
        fixed = self.step is not None and isinstance(self.step.parameters.get(key), int)
        return min(number, rank - 1) % rank if fixed else number % rank

    def dims(self, key: str) -> list[int]:
        """One dimension or several, counted from the front."""
        argument = self.argument(key)
        numbers = argument.as_ints if argument.as_ints is not None else [argument.as_int]
        found = [number for number in numbers if number is not None]
        if len(found) < len(numbers):
            raise Obstacle(f"the dimensions of {self.op.name} are symbolic")
        rank = max(len(self.parent.shape), 1)
        return [number % rank for number in found]


_SIZED: Final[Mapping[StepKind, Role]] = {"expand": "expand", "reshape": "view"}


def replay(
    builder: Builder, view: View, parent: Value, current: Callable[[str], str], *, elsewhere: bool = False
) -> list[Value]:
    """Take the view again from another parent; all results of the node. ``current`` tells what to read for the other
    tensors that it is given, of which it takes the sizes (``expand_as``). Where it is taken ``elsewhere``, those are of
    another graph: the view is taken by the sizes that are recorded.
    """
    if not parent.meta.same_strides(view.parent):
        raise Obstacle(f"{view.op.name} would be taken of a tensor with other strides")
    if view.op.kind == "scope":
        raise Obstacle(f"{view.op.packet} shows it, which can only stand where vmap or the like runs")
    if view.step is not None and view.step.kind == "as_strided" and not _holds(builder, parent, view.meta):
        raise Obstacle("as_strided reads memory beyond the tensor that it is given")
    node = view.node
    metas = [moved(view, meta.with_(strides=meta.strides, offset=meta.offset), parent.meta) for meta in view.metas]
    if elsewhere and view.sized is not None:
        role, sizes = view.sized
        return [builder.emit(role, [tensor(parent.name), Argument(as_ints=sizes)], metas[0])]
    stem = node.results()[0]
    is_list = node.outputs[0].as_tensors is not None
    values = [Value(builder.edit.claim(stem), meta) for meta in metas]
    names = [value.name for value in values]
    viewed = node.input(view.operand)
    others = {
        name: current(name)
        for operand in node.inputs
        if operand.name != view.operand or operand.arg.as_tensor is None
        for name in operand.arg.tensors()
        if name is not None
    }
    inputs = [
        with_operand(operand, _replaced(operand.arg, view.index, parent.name))
        if operand.name == view.operand
        else operand
        for operand in renamed_operands(node, others).inputs
    ]
    outputs = [tensors(names)] if is_list else [tensor(name) for name in names]
    name = node.name and (names[0] if len(names) == 1 and not is_list else builder.edit.claim(stem))
    builder.append(changed_node(node, inputs=inputs, outputs=outputs, name=name))
    for value in values:
        builder.note(value, parent.name)
    for place, one in enumerate((viewed and viewed.as_tensors) or ()):
        before, after = builder.edit.graph.meta(one.name), builder.edit.meta(others[one.name])
        if place != view.index and before is not None and after is not None:  # a view of another tensor
            meta, own = view.metas[place], Meta(after)
            strides = meta.strides if own.same_strides(Meta(before)) else _strides_of(view, meta, own)
            if strides is not None and meta.offset == Meta(before).offset:
                builder.edit.record(names[place], meta.with_(strides=strides, offset=own.offset).raw)
    return values


def _strides_of(view: View, shown: Meta, parent: Meta) -> Sequence[Size] | None:
    """The strides of what is shown of one tensor of a list, which is laid out otherwise than was recorded."""
    if view.step is not None and view.step.kind == "expand":
        lead = len(shown.shape) - len(parent.shape)
        given = zip(parent.shape, shown.shape[lead:], parent.strides, strict=True)
        return [0] * lead + [stride if own == size else 0 for own, size, stride in given]
    numbers = [*parent.shape, *parent.strides, *shown.shape]
    known = [number for number in numbers if isinstance(number, int)]
    if len(known) < len(numbers):
        return None
    rank = len(parent.shape)
    return view_strides(known[:rank], known[rank : 2 * rank], known[2 * rank :])


MOST_PIECES: Final = 16
"""Results of a node that takes views of which all are taken again when one is read; of more, that one alone."""


def piece(builder: Builder, view: View, parent: Value) -> Value:
    """Take one of the many pieces that a node cuts a tensor into from another parent, and none of the others: each
    write to one of them would take all of them again.
    """
    kind = _kind(view)
    if kind not in ("unbind", "pieces") or not parent.meta.same_strides(view.parent):
        raise Obstacle(f"{view.op.name} would be taken again of {len(view.metas)} tensors at once")
    dim = view.dim()
    meta = moved(view, view.meta.with_(strides=view.meta.strides, offset=view.meta.offset), parent.meta)
    if kind == "unbind":
        return builder.emit("select", [tensor(parent.name), Argument(as_int=dim), Argument(as_int=view.index)], meta)
    start, length = _starts(builder, view, dim)[view.index].constant, view.meta.shape[dim]
    if start is None or not isinstance(length, int):
        raise Obstacle(f"{view.op.name} makes many pieces of symbolic sizes")
    place = [Argument(as_int=number) for number in (dim, start, start + length, 1)]
    return builder.emit("slice", [tensor(parent.name), *place], meta)


def _starts(builder: Builder, view: View, dim: int) -> list[Expression]:
    """Where the pieces of a dimension begin, and how many positions they have together. Raises :class:`Obstacle` where
    that is not known of pieces that have elements in common: ``tensor_split`` may be told to go back.
    """
    known = builder.starts.get(id(view.metas))
    if known is None:
        sizes = [as_expression(meta.shape[dim]) for meta in view.metas]
        known = list(accumulate(sizes, initial=Expression.number(0)))
        if (known[-1] - as_expression(view.parent.shape[dim])).constant:
            step, *places = view.parent.strides[dim], view.parent.offset, *(meta.offset for meta in view.metas)
            numbers = [number for number in places if isinstance(number, int)]
            if not isinstance(step, int) or step == 0 or len(numbers) < len(places):
                raise Obstacle(f"{view.op.name} makes pieces that have elements in common")
            known = [*(Expression.number((number - numbers[0]) // step) for number in numbers[1:]), known[-1]]
        builder.starts[id(view.metas)] = known
    return known


def _holds(builder: Builder, parent: Value, shown: Meta) -> bool:
    """Whether the memory that a value lives in has all the elements that are shown of it; it is as long as what it was
    made as. Symbolic sizes are taken to fit.
    """
    made = builder.edit.meta(builder.root(parent.name))
    sizes = [*(made.shape if made is not None else ()), *shown.shape, *shown.strides, shown.offset]
    if made is None or not all(isinstance(size, int) for size in sizes):
        return True
    pairs = zip(shown.shape, shown.strides, strict=True)
    last = int(shown.offset) + sum((int(size) - 1) * int(stride) for size, stride in pairs)
    return 0 in shown.shape or last < math.prod(map(int, made.shape))


def _replaced(argument: Argument, index: int, name: str) -> Argument:
    """The tensor that is viewed, one of a list where the op takes one view of each."""
    if argument.as_tensors is None:
        return tensor(name)
    return tensors(name if place == index else one.name for place, one in enumerate(argument.as_tensors))


def moved(view: View, meta: Meta, parent: Meta) -> Meta:
    """Metadata of a view whose parent may stand elsewhere in its storage than was recorded."""
    if parent.offset == view.parent.offset:
        return meta
    if view.step is not None and view.step.kind == "as_strided":
        raise Obstacle("as_strided reads the memory of a tensor that does not begin where its memory does")
    offsets = (parent.offset, view.parent.offset, meta.offset)
    numbers = [offset for offset in offsets if isinstance(offset, int)]
    if len(numbers) < len(offsets):
        raise Obstacle("a storage offset is symbolic")
    sizes = item_size(parent.dtype), item_size(meta.dtype)
    if sizes[0] is None or sizes[1] is None:
        raise Obstacle("how many bytes a dtype has is not known")
    further = (numbers[0] - numbers[1]) * sizes[0] // sizes[1]
    return meta.with_(strides=meta.strides, offset=numbers[2] + further)


def invert(builder: Builder, view: View, parent: Value, child: Value, further: Sequence[View] = ()) -> Value:
    """The parent with what was written through the view: ``parent`` is its value before, ``child`` what the view
    shows afterwards, ``further`` are the views of the view through which that was written. Raises :class:`Obstacle`
    where the step has no inverse.
    """
    inverse = _INVERSES.get(view.step.kind) if view.step is not None else None
    if inverse is _expand:
        child = _narrowed(builder, view, child, further)
    if inverse is None:
        raise Obstacle(f"{view.op.name} has no inverse to carry the write back through")
    for kind in view.bits:
        child = builder.emit(_BITS[kind], [tensor(child.name)], child.meta.dense())
    return inverse(builder, view, parent, child)


_BITS: Final[dict[StepKind, Role]] = {"conjugate": "conjugated", "negate": "negated"}
"""Steps that set a bit which tells how to read each element, and the ops that undo them."""

EXPANDED: Final = "the tensor is expanded: several of its elements are one in memory"
SCATTERING: Final[frozenset[StepKind]] = frozenset(
    {"select", "slice", "narrow", "pieces", "unbind", "diagonal", "as_strided", "unfold"}
)
"""Steps that show a part of the elements: their inverses keep the strides of the parent."""
VIEWING: Final[frozenset[StepKind]] = frozenset({"reshape", "bitcast", "view_as_real", "view_as_complex"})
"""Steps whose inverses strides may not admit."""


def _scatter(builder: Builder, role: Role, parent: Value, child: Value, *arguments: Argument) -> Value:
    meta = parent.meta.with_(strides=parent.meta.strides, offset=parent.meta.offset)
    if meta.overlaps:  # of an expanded tensor, another one is made
        meta = meta.dense()
    return builder.emit(role, [tensor(parent.name), tensor(child.name), *arguments], meta)


def _select(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    unbound = view.step is not None and view.step.kind == "unbind"
    index = Argument(as_int=view.index) if unbound else view.argument("index")
    return _scatter(builder, "scatter-select", parent, child, Argument(as_int=view.dim()), index)


_TO_THE_END: Final = (1 << 63) - 1


def _in_vmap(builder: Builder) -> bool:
    """Whether a node may stand where `vmap` or the like runs it."""
    return any(op is not None and op.kind == "scope" for op in map(op_table().lookup, builder.edit.graph.by_target))


def _slice(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    dim, size = view.dim(), parent.meta.shape[view.dim()]
    start, end, step = (view.argument(name) for name in ("start", "end", "step"))
    numbers = (start.as_int, end.as_int)
    # `vmap` does not scatter into slices whose ends are counted from the last position, or lie beyond it.
    if isinstance(size, int) and None not in numbers:
        start, end = (Argument(as_int=place) for place in slice(*numbers).indices(size)[:2])
    elif end.as_int == _TO_THE_END:
        end = Argument(as_none=True)
    if any(one.as_int is not None and one.as_int < 0 for one in (start, end)) and _in_vmap(builder):
        raise Obstacle("vmap does not scatter into slices that are counted from the end")
    return _scatter(builder, "scatter-slice", parent, child, Argument(as_int=dim), start, end, step)


def _sliced(
    builder: Builder, view: View, parent: Value, child: Value, start: Argument, first: Expression, length: Argument
) -> Value:
    """As many positions of a dimension as the child has, from ``start`` on, which is ``first``."""
    dim = view.dim()
    stop = first + as_expression(view.meta.shape[dim])
    to_the_end = stop == as_expression(view.parent.shape[dim]) and stop.constant is None
    end = Argument(as_none=True) if to_the_end else builder.computed("sum", length, start, stop)
    return _scatter(builder, "scatter-slice", parent, child, Argument(as_int=dim), start, end)


def _narrow(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    start, size = view.argument("start"), view.parent.shape[view.dim()]
    if start.as_int is not None and start.as_int < 0 and isinstance(size, int):
        start = Argument(as_int=start.as_int + size)
    first = builder.expression(start)
    lowest = builder.known.lowest(str(first)) if first is not None else None
    if first is None or lowest is None or lowest < 0:
        raise Obstacle(f"where {view.op.name} begins may count from the end")
    return _sliced(builder, view, parent, child, start, first, view.argument("length"))


def _pieces(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    """One of the pieces that a dimension was cut into: where it starts is known from the sizes of those before it."""
    dim, index = view.dim(), view.index
    own, start = as_expression(view.meta.shape[dim]), _starts(builder, view, dim)[index]
    length = builder.size(child, dim)
    place = Argument(as_int=start.constant)
    if start.constant is None and all(as_expression(meta.shape[dim]) == own for meta in view.metas[:index]):
        place = builder.computed("product", length, Argument(as_int=index), start)
    elif start.constant is None and start + own == as_expression(view.parent.shape[dim]):
        place = builder.computed("difference", builder.size(parent, dim), length, start)
    elif start.constant is None:
        raise Obstacle(f"{view.op.name} makes pieces of different symbolic sizes")
    return _sliced(builder, view, parent, child, place, start, length)


def _diagonal(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    arguments = [view.argument(key) for key in ("offset", "dim1", "dim2")]
    return _scatter(builder, "scatter-diagonal", parent, child, *arguments)


def _as_strided(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    if parent.meta.strides != contiguous_strides(parent.meta.shape) or parent.meta.offset != 0:
        raise Obstacle("as_strided reads the memory of a tensor that is not contiguous")
    if _in_vmap(builder):
        raise Obstacle("vmap runs no as_strided_scatter")
    shown = view.meta
    known = all(isinstance(number, int) for number in (*shown.shape, *shown.strides))
    if shown.overlaps or not (known or shown.is_dense):
        raise Obstacle("as_strided shows the same memory more than once")
    arguments = [view.argument(key) for key in ("size", "stride", "offset")]
    return _scatter(builder, "scatter-strided", parent, child, *arguments)


def _permuted(builder: Builder, child: Value, forward: list[int]) -> Value:
    """The dimensions put back from where a view has put them."""
    order = sorted(range(len(forward)), key=forward.__getitem__)
    return builder.emit("permute", [tensor(child.name), Argument(as_ints=order)], child.meta.with_order(order))


def _transpose(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    a, b = view.dim("first"), view.dim("second")
    if a == b:
        return child
    arguments = [tensor(child.name), Argument(as_int=a), Argument(as_int=b)]
    return builder.emit("transpose", arguments, child.meta.with_order(_order(view)))


def _permute(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    forward = _order(view)
    return child if forward == sorted(forward) and _kind(view) != "permute" else _permuted(builder, child, forward)


def _kind(view: View) -> StepKind | None:
    return view.step.kind if view.step is not None else None


def _order(view: View) -> list[int]:
    """Where the dimensions of a view come from that puts them in another order."""
    rank = len(view.parent.shape)
    order = list(range(rank))
    kind = _kind(view)
    if kind == "transpose" and rank:
        a, b = view.dim("first"), view.dim("second")
        order[a], order[b] = b, a
    elif kind == "reverse":
        order.reverse()
    elif kind == "permute":
        order = view.dims("dims")
    elif kind == "move" and rank:
        source, destination = view.dims("source"), view.dims("destination")
        order = [dim for dim in order if dim not in source]
        for place, dim in sorted(zip(destination, source, strict=True)):
            order.insert(place, dim)
    return order


def _reshape(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    """A view of the parent's shape, or a copy where the written value's strides admit none."""
    raw, shape = view.parent.sizes, view.parent.shape
    if child.meta.shape == shape:
        return child
    strides = viewed_strides(child.meta, shape)
    sizes = builder.sizes(parent, shape, raw)
    if strides is None:
        meta = child.meta.with_(sizes=raw, strides=contiguous_strides(shape))
        return builder.emit("reshape", [tensor(child.name), sizes], meta)
    meta = child.meta.with_(sizes=raw, strides=strides, offset=child.meta.offset)
    return builder.emit("view", [tensor(child.name), sizes], meta)


def viewed_strides(meta: Meta, shape: tuple[Size, ...]) -> tuple[Size, ...] | None:
    """Strides of a view of that shape, None where there is none or none is known."""
    if meta.strides == contiguous_strides(meta.shape):
        return contiguous_strides(shape)
    numbers = (*meta.shape, *meta.strides, *shape)
    if any(isinstance(number, str) for number in numbers):
        return None
    return view_strides(meta.shape, meta.strides, shape)  # type: ignore[arg-type]  # all are numbers


def _squeeze(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    """Put back each dimension of size 1 that was taken away."""
    rank = len(view.parent.shape)
    whole = view.step is None or "dim" not in view.step.parameters
    dims = list(range(rank)) if whole else view.dims("dim")
    removed = [dim for dim in sorted(dims) if rank and view.parent.shape[dim] == 1]
    doubtful = (view.parent.shape[dim] for dim in dims if rank and dim not in removed)
    if rank - len(removed) != len(child.meta.shape) or any(map(builder.known.may_be_one, doubtful)):
        raise Obstacle("squeeze meets a dimension of symbolic size")
    for dim in removed:
        meta = child.meta
        sizes, strides = list(meta.sizes), list(meta.strides)
        strides.insert(dim, _product(meta.shape[dim], strides[dim]) if dim < len(strides) else 1)
        sizes.insert(dim, SymSize(as_int=1))
        changed = meta.with_(sizes=sizes, strides=strides, offset=meta.offset)
        child = builder.emit("unsqueeze", [tensor(child.name), Argument(as_int=dim)], changed)
    return child


def _unsqueeze(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    dim = view.number("dim") % (len(view.parent.shape) + 1)
    meta = child.meta
    sizes, strides = list(meta.sizes), list(meta.strides)
    del sizes[dim], strides[dim]
    changed = meta.with_(sizes=sizes, strides=strides, offset=meta.offset)
    return builder.emit("squeeze", [tensor(child.name), Argument(as_int=dim)], changed)


def _expand(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    return child


def repeats(view: View) -> bool:
    """Whether a view shows some elements more than once."""
    return _kind(view) == "expand" and view.parent.shape != view.meta.shape


def may_repeat(view: View) -> bool:
    """The same, also where that is not known."""
    return repeats(view) or _kind(view) in (None, "as_strided", "unfold", "batch")


def is_cut(builder: Builder, view: View) -> bool:
    """Whether the node's results are known to have no element in common. Raises :class:`Obstacle` where some are known
    to have.
    """
    if _kind(view) != "pieces":
        return _kind(view) == "unbind"
    dim = view.dim()
    return _starts(builder, view, dim)[-1] == as_expression(view.parent.shape[dim])


def _narrowed(builder: Builder, view: View, child: Value, further: Sequence[View]) -> Value:
    """An expanded tensor in the shape of what was expanded: the only place in each dimension that was written."""
    shape, wide = view.parent.shape, view.meta.shape
    added, whole = len(wide) - len(shape), child
    for dim in reversed(range(len(wide))):
        if dim >= added and shape[dim - added] == wide[dim]:
            continue
        place = 0 if wide[dim] == 1 else _only_place(further, dim)
        if place is None:
            raise Obstacle(EXPANDED)
        meta = child.meta
        sizes, strides = list(meta.sizes), list(meta.strides)
        offset = _size(as_expression(meta.offset) + as_expression(_product(place, strides[dim])))
        arguments = [tensor(child.name), Argument(as_int=dim), Argument(as_int=place)]
        if dim < added:
            del sizes[dim], strides[dim]
            child = builder.emit("select", arguments, meta.with_(sizes=sizes, strides=strides, offset=offset))
        else:
            sizes[dim] = SymSize(as_int=1)
            arguments.append(Argument(as_int=place + 1))
            child = builder.emit("slice", arguments, meta.with_(sizes=sizes, strides=strides, offset=offset))
    return child if child is whole else builder.emit("copy", [tensor(child.name)], child.meta.dense())


def _only_place(views: Sequence[View], dim: int) -> int | None:
    """The only place in a dimension that views, one of the other, show; None where they show several, or where that is
    not known.
    """
    first, step = 0, 1
    for view in views:
        kind, size = _kind(view), view.parent.shape[dim] if dim < len(view.parent.shape) else None
        if kind in _ONE_PLACE or kind in _SOME_PLACES:
            at = view.dim()
            if at == dim:
                start = _first_place(view)
                if start is None or not isinstance(size, int):
                    return None
                first += step * start
                if kind in _ONE_PLACE or view.meta.shape[dim] == 1:
                    return first
                step *= view.number("step") if kind == "slice" else 1
            elif kind in _ONE_PLACE:
                dim -= at < dim
        elif kind in _REORDERING:
            dim = _order(view).index(dim)
        elif kind == "unsqueeze":
            dim += view.number("dim") % (len(view.parent.shape) + 1) <= dim
        elif kind == "expand":
            dim += len(view.meta.shape) - len(view.parent.shape)
        elif kind not in _KEEPING_DIMENSIONS:
            return None
    return None


_ONE_PLACE: Final[frozenset[StepKind]] = frozenset({"select", "unbind"})
_SOME_PLACES: Final[frozenset[StepKind]] = frozenset({"slice", "narrow", "pieces"})
_REORDERING: Final[frozenset[StepKind]] = frozenset({"transpose", "reverse", "permute", "move"})
_KEEPING_DIMENSIONS: Final[frozenset[StepKind]] = frozenset({"identity", "real", "imag", "view_as_real"})


def _first_place(view: View) -> int | None:
    """The first place that a view shows of the dimension that it cuts; None where that is symbolic."""
    kind, size = _kind(view), view.parent.shape[view.dim()]
    if kind == "unbind":
        return view.index
    if kind == "pieces":
        return Expression.total([as_expression(meta.shape[view.dim()]) for meta in view.metas[: view.index]]).constant
    given = view.argument("index" if kind == "select" else "start")
    place = 0 if given.as_none else given.as_int
    if place is None or not isinstance(size, int):
        return None
    return max(place + size, 0) if place < 0 else min(place, size)


def _unfold(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    """Windows of a dimension, which stand in it one after the other, their elements in a last dimension."""
    dim, size, step = view.dim(), view.number("size"), view.number("step")
    windows = view.meta.shape[dim] if view.parent.shape else None
    if not isinstance(windows, int) or (step < size and windows > 1):
        raise Obstacle(f"{view.op.name} shows windows that may overlap")
    if size > _MOST_WINDOWS:
        raise Obstacle(f"{view.op.name} shows windows of more than {_MOST_WINDOWS} elements")
    for place in range(size):
        arguments = [tensor(child.name), Argument(as_int=len(child.meta.shape) - 1), Argument(as_int=place)]
        sizes, strides = child.meta.sizes[:-1], child.meta.strides[:-1]
        offset = _size(as_expression(child.meta.offset) + as_expression(_product(place, child.meta.strides[-1])))
        shown = builder.emit("select", arguments, child.meta.with_(sizes=sizes, strides=strides, offset=offset))
        places = (dim, place, place + (windows - 1) * step + 1, step)
        parent = _scatter(builder, "scatter-slice", parent, shown, *(Argument(as_int=one) for one in places))
    return parent


_MOST_WINDOWS: Final = 64
"""Elements of a window that are written back one by one."""


def _bitcast(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    dtype, meta = view.parent.dtype, child.meta
    if meta.dtype == BOOL != dtype:
        raise Obstacle(f"{_packet(view.op)} reads numbers as booleans, and ops make 1 of whatever is not 0")
    if dtype == BOOL != meta.dtype:
        raise Obstacle(f"{_packet(view.op)} shows booleans as numbers, and ops make 1 of whatever is not 0")
    if view.parent.shape == meta.shape:
        meta = meta.with_(dtype=dtype, strides=meta.strides, offset=meta.offset)
    elif meta.is_contiguous and meta.offset == 0:
        meta = meta.with_(dtype=dtype, sizes=view.parent.sizes, strides=contiguous_strides(view.parent.shape))
    else:
        raise Obstacle(f"{_packet(view.op)} changes the element size, and what is written does not lie in rows")
    return builder.emit("bitcast", [tensor(child.name), Argument(as_scalar_type=dtype)], meta)


def _part(other: Role, place: int) -> Callable[[Builder, View, Value, Value], Value]:
    """The real or the imaginary parts of complex numbers, the first or second argument of ``complex``: the ``other``
    parts stay. A real tensor is its own real part.
    """

    def joined(builder: Builder, view: View, parent: Value, child: Value) -> Value:
        if category(view.parent.dtype) < 3:
            return child
        first, *strides = (_product(2, number) for number in (parent.meta.offset, *parent.meta.strides))
        offset = _size(as_expression(first) + as_expression(1 - place))
        kept_meta = parent.meta.with_(dtype=real_part(view.parent.dtype), strides=strides, offset=offset)
        kept = builder.emit(other, [tensor(parent.name)], kept_meta)
        parts = [kept, kept]
        parts[place] = child
        shape = parent.meta.shape
        meta = parent.meta.with_(strides=elementwise_strides(shape, [(shape, one.meta.strides) for one in parts]))
        return builder.emit("complex", [tensor(one.name) for one in parts], meta)

    return joined


def _product(one: Size, other: Size) -> Size:
    return _size(as_expression(one) * as_expression(other))


def _size(expression: Expression) -> Size:
    return str(expression) if expression.constant is None else expression.constant


def _packet(op: OpInfo) -> str:
    return op.name.split(".", 1)[1]


def _counterpart(role: Role) -> Callable[[Builder, View, Value, Value], Value]:
    """``view_as_real`` and ``view_as_complex`` undo each other."""

    def cast_back(builder: Builder, view: View, parent: Value, child: Value) -> Value:
        if child.meta.strides != contiguous_strides(child.meta.shape):
            raise Obstacle(f"{view.op.name} shows a tensor that is not contiguous")
        return builder.emit(role, [tensor(child.name)], view.parent.contiguous())

    return cast_back


def _batch(builder: Builder, view: View, parent: Value, child: Value) -> Value:
    """What was computed at each position of a dimension, put together; how that is laid out, no record tells."""
    dim = view.dim()
    if dim or not parent.meta.is_contiguous:
        raise Obstacle(
            "vmap goes over rows that do not lie one after the other, and no record tells how its results lie"
        )
    op = op_of("unbatch")
    level, size = Argument(as_int=view.number("level")), builder.size(parent, dim)
    operands = [tensor(child.name), level, size, Argument(as_int=dim)]
    meta = parent.meta.with_(dtype=child.meta.dtype, strides=contiguous_strides(parent.meta.shape))
    (made,) = builder.emit_all(op, [builder.dialect.operand("", one) for one in operands], [meta])
    return builder.emit("copy", [tensor(made.name)], meta, memory_format=Argument(as_memory_format=1))


_INVERSES: Final[dict[StepKind, Callable[[Builder, View, Value, Value], Value]]] = {
    "identity": lambda builder, view, parent, child: child,
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    "pieces": _pieces,
    "unbind": _select,
    "diagonal": _diagonal,
    "as_strided": _as_strided,
    "transpose": _transpose,
    "reverse": _permute,
    "permute": _permute,
    "move": _permute,
    "reshape": _reshape,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "expand": _expand,
    "unfold": _unfold,
    "batch": _batch,
    "bitcast": _bitcast,
    "real": _part("imag", 0),
    "imag": _part("real", 1),
    "view_as_real": _counterpart("view_as_complex"),
    "view_as_complex": _counterpart("view_as_real"),
}
