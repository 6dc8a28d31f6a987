"""What a writing op computes: its functional twin, with the casts that the written tensor's dtype asks for.

Ops for which something better than the twin is known, because backends know it (core ATen first), have a *substitute*
among their facts:

| substitute | becomes |
|---|---|
| ``keep`` | the tensor as it is (``empty`` with ``out=`` leaves it so) |
| ``copy`` | the source, cast by ``_to_copy`` and enlarged by ``expand`` where dtype, device or shape differ |
| ``fill``, ``zero`` | ``full_like``; the value cast and expanded where it is a tensor |
| ``batch-norm``, ``instance-norm`` | ``_native_batch_norm_legit_functional`` |

dtypes and strides of results follow the facts about ops and torch's rules (``c10/core/ScalarType``,
``TensorIterator``); the tests compare them with what torch computes for every op here.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from graphlint.ir.dtypes import (
    BOOL,
    COMPLEX128,
    FLOAT32,
    FLOAT64,
    INT64,
    category,
    is_number,
    item_size,
    promoted,
    real_part,
)
from graphlint.ir.edit import KEYWORD, of_kind, tensor, with_operand
from graphlint.ir.model import Argument, NamedArgument, Node, SymSize
from graphlint.ir.strides import (
    Size,
    broadcast,
    channels_last,
    columns,
    contiguous_strides,
    elementwise_strides,
    preserved_strides,
)
from graphlint.ops.info import DISPATCHED, DtypeRule, OpInfo, Substitute
from graphlint.ops.schema import OpSchema
from graphlint.ops.table import op_of, op_table
from graphlint.passes.functionalize.build import Builder, Result, Twin
from graphlint.passes.functionalize.metas import Meta, Obstacle, Value
from graphlint.passes.functionalize.resizing import RESHAPED
from graphlint.semantics.conditional import returns_operand

_FORMATS: Final[dict[int, Callable[[Sequence[Size]], tuple[Size, ...] | None]]] = {
    1: contiguous_strides,
    2: channels_last,
    3: lambda shape: None,
}
"""Memory formats that say how a result is laid out, whatever the operands' strides."""
_IMAGES: Final = (4, 5)
"""So many dimensions have images, whose memory formats some ops have an eye for."""


class Target(msgspec.Struct, frozen=True):
    """A tensor that a node writes."""

    argument: str
    value: Value
    """Its value before the write."""
    recorded: Meta
    """How it is laid out in the original, where its value may be broadcast."""
    resized: bool = False
    """Whether it had no elements, and is what the op makes of it."""
    copied: bool = False
    """Whether the op writes a copy of it, which is copied back: it is the conjugate or negative of what it shows."""


class Call(msgspec.Struct, frozen=True):
    """A writing node, its operands renamed to the current values."""

    op: OpInfo
    node: Node
    targets: tuple[Target, ...]
    metas: dict[str, Meta]
    """Metadata of all tensor operands, by name."""
    immutable: Callable[[str], bool]
    """Whether nothing writes to the memory of that operand any more, so that its value can be used as it is."""
    rounds: Callable[[str], None]
    """Told why results may differ in the last bits. Raises :class:`Obstacle` where they must not."""
    twin: OpInfo | None
    """The op's functional twin."""
    overlapping: frozenset[str] = frozenset()
    """Current names of operands in the memory of a target."""
    autocast: bool = False
    """Whether it stands in a region that casts."""

    def operand(self, name: str) -> Value:
        """The tensor operand of that name."""
        argument = self.node.input(name)
        if argument is None or argument.as_tensor is None:
            raise Obstacle(f"{self.op.name} is recorded without its tensor {name!r}")
        return self.value(argument.as_tensor.name)

    def value(self, name: str) -> Value:
        """A tensor operand with its metadata."""
        meta = self.metas.get(name)
        if meta is None or not meta.plain:
            raise Obstacle(f"the artifact records too little of %{name}")
        return Value(name, meta)

    def read(self) -> list[Meta]:
        """Metadata of the tensors that the call reads, those in lists too."""
        targets = {target.argument for target in self.targets}
        read = [operand.arg for operand in self.node.inputs if operand.name not in targets]
        return [self.metas[name] for argument in read for name in argument.tensors() if name is not None]


def functional(builder: Builder, call: Call) -> list[Value]:
    """Emit what the call computes; the new value of each target, in order. Raises :class:`Obstacle`."""
    if any(target.recorded.overlaps for target in call.targets):
        raise Obstacle(f"{call.op.name} writes the same memory more than once")
    substitute = _SUBSTITUTES.get(call.op.substitute) if call.op.substitute is not None else None
    if substitute is not None:
        return substitute(builder, call)
    if call.twin is not None and call.twin.substitute == "batch-norm" and _statistics(call):
        return _normalization_into(builder, call, call.twin)
    return _twin(builder, call)


# ------------------------------------------------------------------------------------------------- twins


def _twin(builder: Builder, call: Call) -> list[Value]:
    op, twin = call.op, call.twin
    if twin is None or twin.schema is None or op.schema is None:
        raise Obstacle(f"{op.name} has no functional overload")
    if twin.shares is not None and len(call.targets) == 1:
        (target,) = call.targets
        if not op.out_variant and returns_operand(call.node, twin, target.value.meta.raw):
            return [target.value]
    alike = _alike(call, twin)
    known = builder.twins.get(alike) if alike is not None else None
    if known is None:
        known = _checked(call, twin, twin.schema)
        if alike is not None:
            builder.twins[alike] = known
    if known.inexact:
        call.rounds(known.inexact)
    operands = _operands(builder, call, op.schema, twin.schema, twin.dtype_of(0))
    if _draws_one_by_one(call, twin):
        return [_drawn(builder, call, twin, operands)]
    written = [target.argument for target in call.targets]
    lists = [written.count(name) for name in _written(call)] if len(op.writes) > 1 else ()
    made = builder.emit_all(twin, operands, [one.meta for one in known.results], lists=lists)
    if known.disposable:
        builder.disposable.update(value.name for value in made)
    made = [value if one.laid_out else in_rows(builder, value) for value, one in zip(made, known.results, strict=True)]
    return [
        cast(builder, value, target.value.meta, always=not one.told)
        for value, target, one in zip(made, call.targets, known.results, strict=True)
    ]


def _alike(call: Call, twin: OpInfo) -> tuple[object, ...] | None:
    """What :func:`_checked` depends on for an elementwise op, where that is said in a few words: programs have the same
    few writes over and over. Metadata stand for themselves, and so are kept: another's identity must not be theirs.
    """
    if call.op.out_variant or len(call.targets) != 1 or not twin.elementwise:
        return None
    (target,) = call.targets
    key: list[object] = [call.op.name, call.autocast, target.argument, target.value.meta]
    for operand in call.node.inputs:
        read = operand.arg.as_tensor
        if read is not None:
            key += (operand.name, call.metas.get(read.name))
            continue
        kind, value = operand.arg.item
        if value is not None and type(value) not in (bool, int, float, str):
            return None
        key += (operand.name, kind, value)
    return tuple(key)


def _checked(call: Call, twin: OpInfo, schema: OpSchema) -> Twin:
    """What is to be known of the twin before it is emitted. Raises :class:`Obstacle` where it would do other things."""
    op = call.op
    if not twin.elementwise:
        _check_overlap(call)
    product = "lowered" in twin.autocast.values()
    adds_up = not twin.same_bits and (op.out_variant or (product and not twin.elementwise))
    left_alone = {twin.autocast.get(target.value.meta.device.type) for target in call.targets} == {"none"}
    if call.autocast and not left_alone and not twin.tags.isdisjoint(("autocast", "composite")):
        verb = "would" if "autocast" in twin.tags else "may"
        raise Obstacle(f"autocast {verb} cast what {twin.name} is given, as it does not for {op.name}")
    written = _written(call)
    if len(written) != len(schema.returns):
        raise Obstacle(f"{op.name} writes other tensors than its functional overload returns")
    _check_order_of_draws(call, twin)
    _check_strides(call)
    results: list[Result] = []
    inexact = ""
    places: Counter[str] = Counter()
    for target in call.targets:
        position = written.index(target.argument)
        own = target.value.meta
        elements, numbers = _elements(call, places[target.argument])
        places[target.argument] += 1
        read = [value.meta for value in elements]
        dtype = _result_dtype(call, twin, own, position, read, numbers)
        narrower = dtype != own.dtype and _computes_otherwise(own.dtype, call)
        if op.out_variant and twin.random.draws and dtype != own.dtype:
            raise Obstacle(f"{op.name} draws numbers of the dtype that it writes")
        strides = _result_strides(call, twin, own, position, read)
        meta = own.with_(
            dtype=own.dtype if dtype is None else dtype,
            strides=contiguous_strides(own.shape) if strides is None else strides,
        )
        # Of some ops, the CPU's result is laid out otherwise than that of `meta` tensors.
        laid_out = strides is not None and (twin.meta_layout or own.is_contiguous)
        if target.resized:
            in_rows = op.resized == "rows"
            if not twin.layout or op.resized == "unknown" or (in_rows and not own.is_contiguous):
                raise Obstacle(f"how {op.name} lays out the resized tensor is not known")
            meta, laid_out = own.with_(dtype=meta.dtype, strides=own.strides), not in_rows
        results.append(Result(meta, laid_out, told=dtype is not None))
        # In which order elements are added up, and so how a result is rounded, depends on the strides of where it goes.
        alike = target.recorded.is_contiguous or (strides is not None and target.recorded.same_strides(meta))
        if category(own.dtype) > 1 and dtype is None and op.casts_out:
            inexact = f"the artifact does not tell the dtype that {twin.name} computes in"
        elif narrower:
            inexact = f"{op.name} computes in the dtype that it writes, which {twin.name} does not"
        elif category(own.dtype) == 3 and not twin.complex_bits:
            inexact = f"{op.name} and {twin.name} round complex numbers in different ways"
        elif category(own.dtype) > 1 and adds_up and not alike:
            inexact = f"how {op.name} rounds depends on the strides of the written tensor"
    return Twin(results, _cannot_raise(twin, [target.value.meta for target in call.targets]), inexact)


def _computes_otherwise(given: int, call: Call) -> bool:
    """Whether an ``out=`` form computes in the dtype that it is given, which is not its twin's. Raises
    :class:`Obstacle` where the twin computes in half precision: that is more than another rounding.
    """
    floating = {real_part(meta.dtype) for meta in call.read() if category(meta.dtype) > 1} or {FLOAT32}
    if call.op.casts_last or category(given) < 2 or floating == {real_part(given)}:
        return False
    if any(item_size(dtype) == 2 for dtype in floating):
        raise Obstacle(f"{call.op.name} computes in the dtype that it writes, and without out= in half precision")
    return True


def _written(call: Call) -> list[str]:
    """The arguments that the call writes, in the order in which its functional twin returns them. Lists may be empty
    (of the optimizers, where they keep no momentum).
    """
    written = {target.argument for target in call.targets}
    if len(written) == len(call.op.writes):
        return [*call.op.writes]
    given = ((name, call.node.input(name)) for name in call.op.writes)
    return [name for name, argument in given if name in written or (argument is not None and argument.value == [])]


def _cannot_raise(twin: OpInfo, metas: list[Meta]) -> bool:
    """Whether a twin may go when nobody uses its results: elementwise arithmetic, which on integers can divide by 0."""
    if twin.random.draws or not twin.elementwise:
        return False
    safe = twin.dtype_of(0) in ("bool", "promote") and not twin.raises_on_integers
    return safe or all(category(meta.dtype) > 1 for meta in metas)


def _check_overlap(call: Call) -> None:
    """An op that reads other elements than the one it writes may read what it has written already, unless it has an
    in-place form, which does just that with its first operand.
    """
    targets = {target.argument for target in call.targets}
    in_place = {target.value.name for target in call.targets} if _has_in_place_form(call.op) else frozenset[str]()
    for place, operand in enumerate(call.node.inputs):
        read = {name for name in operand.arg.tensors() if name in call.overlapping}
        if operand.name not in targets and read and not (place == 0 and read <= in_place):
            raise Obstacle(f"{call.op.name} reads memory that it writes")


def _has_in_place_form(op: OpInfo) -> bool:
    """Whether an ``out=`` form computes what an in-place form does where its first operand is what it writes."""
    if not op.out_variant or op.random.draws or "composite" in op.tags:
        return False
    namespace = op.name.partition(".")[0]
    form = op_table().lookup(f"{DISPATCHED}{namespace}.{op.packet}_.default")
    return form is not None and len(form.writes) == len(op.writes) == 1


def _check_order_of_draws(call: Call, twin: OpInfo) -> None:
    """What is drawn in the order of memory is the same where the twin's result is laid out as what it takes the place
    of: a contiguous one, or one whose order of dimensions the twin keeps.
    """
    if call.op.draw_order == "elements":
        return
    metas = [target.value.meta for target in call.targets]
    numbers = [number for meta in metas for number in (*meta.shape, *meta.strides)]
    known = all(isinstance(number, int) for number in numbers) or not _draws_one_by_one(call, twin)
    alike = all(meta.is_contiguous for meta in metas) or (_draws_into_copy(call, twin) and known)
    if call.op.draw_order == "never" or not alike:
        raise Obstacle("it draws in the order of memory, and its tensor is not contiguous")


def _check_strides(call: Call) -> None:
    """An op that ignores the strides of what it writes writes other elements than its twin returns. The twin of one
    that reads what it writes makes a copy, which keeps the order of dimensions.
    """
    alike = all(target.recorded.is_contiguous for target in call.targets) if call.op.out_variant else _are_dense(call)
    if not call.op.strided_writes and not alike:
        raise Obstacle(f"{call.op.name} ignores the strides of the tensor that it writes")


def _tell_rounding(call: Call) -> None:
    """An op that returns other tensors than it writes may compute all of them in another way where these have gaps, as
    batch norm does: its functional overload makes copies without.
    """
    if not _are_dense(call):
        call.rounds(f"how {call.op.name} rounds depends on the strides of what it writes")


def _are_dense(call: Call) -> bool:
    """Whether copies of what the call writes are laid out as that."""
    return all(target.recorded.same_strides(target.recorded.dense()) for target in call.targets)


def _draws_into_copy(call: Call, twin: OpInfo) -> bool:
    """Whether the twin makes a copy of the one tensor that is drawn into, and draws into that."""
    return len(call.targets) == 1 and not call.op.out_variant and twin.layout_of(0) in ("elementwise", "preserve")


def _draws_one_by_one(call: Call, twin: OpInfo) -> bool:
    """Whether the copy that the twin draws into is contiguous, and the tensor is not: other numbers are drawn where
    many stand in a row.
    """
    if call.op.draw_order != "contiguous" or not _draws_into_copy(call, twin):
        return False
    (target,) = call.targets
    meta = target.value.meta
    return not target.copied and not meta.is_contiguous and meta.dense().is_contiguous


def _drawn(builder: Builder, call: Call, twin: OpInfo, operands: list[NamedArgument]) -> Value:
    """Numbers that are drawn one by one: into the columns of a table, which is not contiguous either."""
    target = call.targets[0].value
    own = target.meta
    shape = [int(size) for size in own.shape]
    count = math.prod(shape)
    rows = next((size for size in range(2, math.isqrt(count) + 1) if count % size == 0), 1)
    if rows == 1 and count >= _AT_ONCE:
        raise Obstacle("it draws a prime number of elements one by one, and its functional overload many at once")

    def table(value: Value, shape: list[int]) -> Value:
        meta = own.with_(sizes=[SymSize(as_int=size) for size in shape], strides=contiguous_strides(shape))
        return builder.emit("view", [tensor(value.name), Argument(as_ints=shape)], meta)

    def turned(value: Value) -> Value:
        meta = value.meta.with_(sizes=value.meta.sizes[::-1], strides=value.meta.strides[::-1])
        return builder.emit("transpose", [tensor(value.name), Argument(as_int=0), Argument(as_int=1)], meta)

    columns = turned(table(in_rows(builder, target), [rows, count // rows]))
    given = [with_operand(one, tensor(columns.name)) if one.arg.as_tensor is not None else one for one in operands]
    (made,) = builder.emit_all(twin, given, [columns.meta.dense()])
    return table(turned(made), shape)


_AT_ONCE: Final = 16
"""So many random numbers are drawn at once into a contiguous tensor (``normal_fill`` in
``aten/src/ATen/native/cpu/DistributionTemplates.h``).
"""


def _operands(builder: Builder, call: Call, schema: OpSchema, twin: OpSchema, rule: DtypeRule) -> list[NamedArgument]:
    """The operands under the twin's names; ``out=`` is left out, defaults that the twin lacks are filled in."""
    names = builder.renamings.get(call.op.name)
    if names is None:
        names = builder.renamings[call.op.name] = _renaming(call.op, schema, twin)
    given = [(names[one.name], one.arg, one.arg_kind == KEYWORD) for one in call.node.inputs if one.name in names]
    if len(given) < len(twin.arguments):
        said = {name for name, *_ in given}
        ours = {names[argument.name]: argument for argument in schema.arguments if argument.name in names}
        for argument in twin.arguments:
            if argument.name not in said and argument.default is None:
                default = ours[argument.name].default_value if argument.name in ours else None
                given.append((argument.name, _literal(default, call), True))
    if twin.argument("dtype") is not None:
        given = [one for one in given if one[0] != "dtype" or one[1].kind != "as_none"]
        given += _dtype_of_target(call, twin, rule)
    return [builder.dialect.operand(name, argument, keyword=keyword) for name, argument, keyword in given]


def _renaming(op: OpInfo, schema: OpSchema, twin: OpSchema) -> dict[str, str]:
    """The names of an op's arguments, and what its twin calls them."""
    if op.out_variant:
        return {argument.name: argument.name for argument in twin.arguments}
    return {ours.name: theirs.name for ours, theirs in zip(schema.arguments, twin.arguments, strict=False)}


def _dtype_of_target(call: Call, schema: OpSchema, rule: DtypeRule) -> list[tuple[str, Argument, bool]]:
    """Running sums, reductions and factories compute in the dtype of the tensor that they write, where they are not
    given another; their twins would take their operands'.
    """
    given = call.node.input("dtype")
    if given is not None and given.as_scalar_type is not None:
        return []
    own = call.targets[0].value.meta
    tensors, _ = _elements(call)
    read = {real_part(value.meta.dtype) if rule == "real" else value.meta.dtype for value in tensors}
    if category(own.dtype) > 1 and read == {own.dtype}:
        return []
    added = [("dtype", Argument(as_scalar_type=own.dtype), True)]
    if not tensors and schema.argument("device") is not None:
        added.append(("device", Argument(as_device=own.device), True))
    return added


def _literal(value: object, call: Call) -> Argument:
    kind = {bool: "as_bool", int: "as_int", float: "as_float"}.get(type(value))
    if kind is None:
        raise Obstacle(f"{call.op.name} leaves out an argument that its functional overload needs")
    return of_kind(kind, value)


def _result_dtype(
    call: Call, twin: OpInfo, own: Meta, position: int, tensors: list[Meta], numbers: list[Argument]
) -> int | None:
    rule = twin.dtype_of(position)
    if twin.elementwise and tensors and broadcast([meta.shape for meta in tensors]) != own.shape:
        raise Obstacle(RESHAPED if call.op.out_variant else f"torch refuses to run {call.op.name} on these shapes")
    if rule == "bool":
        return BOOL
    if twin.elementwise:
        return _elementwise_dtype(call, rule, own, tensors, numbers)
    if twin.schema is not None and twin.schema.argument("dtype") is not None:
        given = call.node.input("dtype")
        return own.dtype if given is None or given.as_scalar_type is None else given.as_scalar_type
    if rule == "int64":
        return INT64
    if not call.op.out_variant:
        return _promoted(tensors, []) if rule == "joined" else own.dtype
    read = call.read()
    if rule == "joined":
        return _promoted(read, [])
    if rule == "real" and read:
        return real_part(read[0].dtype)
    if rule == "first":
        read = read[:1]
    return own.dtype if {meta.dtype for meta in read} <= {own.dtype} else None


def _promoted(tensors: Sequence[Meta], numbers: Sequence[Argument]) -> int | None:
    dimensional = [meta.dtype for meta in tensors if meta.shape]
    return promoted(dimensional, [meta.dtype for meta in tensors if not meta.shape], numbers)


def _elementwise_dtype(
    call: Call, rule: DtypeRule, own: Meta, tensors: list[Meta], numbers: list[Argument]
) -> int | None:
    if rule in ("first", "real") and tensors:
        dtype: int | None = tensors[0].dtype if rule == "first" else real_part(tensors[0].dtype)
    else:
        dtype = _promoted(tensors, numbers) if tensors else None
    if dtype is None or (rule == "unknown" and call.op.out_variant):
        return None
    if rule == "counting" and dtype == BOOL:
        dtype = INT64
    if rule == "double":
        dtype = COMPLEX128 if category(dtype) == 3 else FLOAT64
    if not call.op.casts_out and dtype != own.dtype:
        raise Obstacle(f"torch refuses to run {call.op.name} with out= of another dtype")
    if category(dtype) > category(own.dtype) or (rule == "floating" and category(own.dtype) < 2):
        raise Obstacle(f"torch refuses to run {call.op.name}: its result cannot be cast to the dtype of what it writes")
    if rule == "floating" and category(dtype) < 2:
        return FLOAT32  # torch's default, unless it was changed: the result is cast to the target's dtype all the same
    keeps_integers = rule in ("promote", "first", "real")
    if call.op.out_variant and category(dtype) < 2 <= category(own.dtype) and not keeps_integers:
        return None
    return dtype


def _result_strides(call: Call, twin: OpInfo, own: Meta, position: int, tensors: list[Meta]) -> tuple[Size, ...] | None:
    layout = twin.layout_of(position)
    shape = own.shape
    given = call.node.input("memory_format")
    if given is not None and given.as_memory_format in _FORMATS:
        return _FORMATS[given.as_memory_format](shape)
    if layout == "elementwise" and tensors:
        return elementwise_strides(shape, [(one.shape, one.strides) for one in tensors])
    if layout == "contiguous" or (layout == "images" and len(shape) not in _IMAGES):
        return contiguous_strides(shape)
    if not call.op.out_variant:
        return preserved_strides(shape, own.strides)
    if layout == "columns":
        return columns(shape) if len(shape) > 1 else contiguous_strides(shape)
    read = call.read()
    if layout == "preserve":
        return preserved_strides(shape, read[0].strides) if read and read[0].shape == shape else None
    if layout == "unknown" or not all(meta.is_contiguous for meta in read):
        return None
    return contiguous_strides(shape)


def _elements(call: Call, place: int = 0) -> tuple[list[Value], list[Argument]]:
    """The tensors and numbers that take part in computing one target: of lists, the elements at its place."""
    tensors: list[Value] = []
    numbers: list[Argument] = []
    op = call.op
    for operand in call.node.inputs:
        name, argument = operand.name, operand.arg
        schema = op.schema.argument(name) if op.schema is not None else None
        if schema is None or (op.out_variant and schema.written):
            continue
        scalar = schema.type.startswith("Scalar")
        if argument.as_tensor is not None:
            tensors.append(call.value(argument.as_tensor.name))
        elif argument.as_tensors is not None:
            if place < len(argument.as_tensors):
                tensors.append(call.value(argument.as_tensors[place].name))
        elif argument.kind in _LISTS_OF_NUMBERS and scalar:
            numbers.append(of_kind(_LISTS_OF_NUMBERS[argument.kind], argument.value[place]))
        elif argument.kind != "as_none" and (schema.type == "Tensor" or (scalar and name != "value")):
            numbers.append(argument)  # a tensor's place may hold a number
    return tensors, numbers


_LISTS_OF_NUMBERS: Final = {"as_floats": "as_float", "as_ints": "as_int", "as_bools": "as_bool"}


def beside(builder: Builder, call: Call, results: list[Meta]) -> tuple[list[Value], list[Value]]:
    """What an op makes that returns other tensors than it writes: its own results, whose recorded metadata are
    ``results``, and the new values of its targets.
    """
    op = call.op
    normalizes = op.substitute in ("batch-norm", "instance-norm")
    if call.autocast and ("autocast" in op.tags or ("composite" in op.tags and not normalizes)):
        raise Obstacle(f"autocast may cast what {op.name} is given")
    _check_overlap(call)
    if normalizes:
        return _normalization(builder, call, results)
    twin = call.twin
    if twin is None or twin.schema is None or op.schema is None:
        raise Obstacle(f"{op.name} has no functional overload")
    written = [target.value.meta for target in call.targets]
    more = len(twin.schema.returns) - len(results) - len(written)
    if not results or more < 0 or op.hidden_writes is not None or any(0 in meta.shape for meta in written):
        raise Obstacle(f"{op.name} writes other tensors than its functional overload returns")
    _check_order_of_draws(call, twin)
    _check_strides(call)
    _tell_rounding(call)
    # What stands between is a mask, laid out as the first result (fake quantization), which nobody reads.
    metas = [*results, *[results[0].dense(dtype=BOOL)] * more, *(meta.dense() for meta in written)]
    made = builder.emit_all(twin, _operands(builder, call, op.schema, twin.schema, twin.dtype_of(0)), metas)
    returned = [
        in_rows(builder, value) if (op.layout_of(place), twin.layout_of(place)) == ("contiguous", "preserve") else value
        for place, value in enumerate(made[: len(results)])
    ]
    return returned, made[len(results) + more :]


# --------------------------------------------------------------------------------------- casts and layouts


def cast(builder: Builder, value: Value, like: Meta, *, always: bool = False) -> Value:
    """``value`` with the dtype and device of ``like``; ``always``, if its recorded dtype may not be the one it has."""
    changes: dict[str, Argument] = {}
    meta = value.meta
    if always or meta.dtype != like.dtype:
        changes["dtype"] = Argument(as_scalar_type=like.dtype)
    if meta.raw.device is not like.raw.device and str(meta.device) != str(like.device):
        changes["device"] = Argument(as_device=like.device)
    if not changes:
        return value
    made = meta.dense(dtype=like.dtype, device=like.device)
    return builder.emit("cast", [tensor(value.name)], made, **changes)


def copied(builder: Builder, value: Value) -> Value:
    """``value`` in memory of its own, without gaps."""
    return builder.emit("copy", [tensor(value.name)], value.meta.dense())


def copied_alike(builder: Builder, value: Value) -> Value:
    """``value`` in memory of its own, with the strides that it has."""
    meta = value.meta
    if meta.same_strides(meta.dense()) or meta.overlaps:
        return copied(builder, value)
    # A copy closes gaps in memory; the functional form of copy_ keeps them.
    made = meta.with_(strides=meta.strides, offset=meta.offset)
    return builder.emit("overwrite", [tensor(value.name), tensor(value.name)], made)


def in_rows(builder: Builder, value: Value) -> Value:
    """A row-major copy of ``value``."""
    layout = Argument(as_memory_format=1)
    return builder.emit("copy", [tensor(value.name)], value.meta.contiguous(), memory_format=layout)


def expanded(builder: Builder, value: Value, like: Value) -> Value:
    """``value`` enlarged to the shape of ``like``."""
    shape, own = like.meta.shape, value.meta.shape
    if own == shape:
        return value
    if len(own) > len(shape):
        raise Obstacle("a source of more dimensions is copied into a tensor of fewer")
    lead = len(shape) - len(own)
    strides: list[Size] = [0] * lead
    for dim, (size, stride) in enumerate(zip(own, value.meta.strides, strict=True)):
        if size != shape[lead + dim] and size != 1:
            raise Obstacle("the artifact does not tell that the source's sizes fit")
        strides.append(stride if size == shape[lead + dim] else 0)
    raw = like.meta.sizes
    meta = value.meta.with_(sizes=raw, strides=strides, offset=value.meta.offset)
    sizes = builder.sizes(like, shape, raw)
    return builder.emit("expand", [tensor(value.name), sizes], meta)


def restrided(builder: Builder, value: Value, before: Value, *, always: bool = False) -> Value:
    """``value`` laid out as the tensor that it takes the place of, so that views of it stay what they were; ``always``,
    if the recorded strides say no more than how it was laid out when the program was exported.
    """
    old = before.meta
    if value.meta.same_strides(old) and not always:
        return value
    if old.strides == contiguous_strides(old.shape):
        return in_rows(builder, value)
    # The functional form of copy_ keeps the strides of its first operand, also where others are recorded than it has:
    # of some ops, the CPU's result is laid out otherwise than that of `meta` tensors.
    meta = old.with_(strides=old.strides, offset=old.offset)
    return builder.emit("overwrite", [tensor(before.name), tensor(value.name)], meta)


# ----------------------------------------------------------------------------------------------- substitutes


def _copied(builder: Builder, call: Call, source: Value, target: Value) -> Value:
    """The source, or a copy of it where its memory may be written later."""
    made = cast(builder, source, target.meta)
    if made is source and not call.immutable(source.name):
        made = copied(builder, source)
    return expanded(builder, made, target)


def _copy(builder: Builder, call: Call) -> list[Value]:
    source = call.node.input("src")
    if source is not None and source.as_tensors is not None:
        if len(source.as_tensors) != len(call.targets):
            raise Obstacle(f"{call.op.name} has another number of sources than of targets")
        sources = [call.value(reference.name) for reference in source.as_tensors]
    elif source is not None and is_number(source):
        return [_filled(builder, target.value, source) for target in call.targets]
    else:
        sources = [call.operand("src")]
    return [_copied(builder, call, one, target.value) for one, target in zip(sources, call.targets, strict=True)]


def _filled(builder: Builder, target: Value, value: Argument) -> Value:
    return builder.emit("fill", [tensor(target.name), value], target.meta.dense())


def _fill(builder: Builder, call: Call) -> list[Value]:
    value = Argument(as_int=0) if call.op.substitute == "zero" else call.node.input("value")
    if value is None:
        raise Obstacle(f"{call.op.name} is recorded without its value")
    if value.as_tensor is None:
        return [_filled(builder, target.value, value) for target in call.targets]
    source = call.operand("value")
    if source.meta.shape:
        raise Obstacle("fill_ is given a tensor with dimensions")
    return [_copied(builder, call, source, target.value) for target in call.targets]


def _fill_diagonal(builder: Builder, call: Call) -> list[Value]:
    (target,) = call.targets
    meta, value, wrap = target.value.meta, call.node.input("fill_value"), call.node.input("wrap")
    numbers = [number for number in (*meta.shape, *meta.strides) if isinstance(number, int)]
    if value is None or len(meta.shape) != 2 or len(numbers) != 4:
        raise Obstacle("fill_diagonal_ is given a tensor of other than two dimensions, or of symbolic sizes")
    height, width, row, column = numbers
    if wrap is not None and wrap.as_bool and height > width:
        raise Obstacle("fill_diagonal_ wraps around")
    length = SymSize(as_int=min(height, width))
    shown = meta.with_(sizes=[length], strides=[row + column], offset=meta.offset)
    diagonal = builder.emit("diagonal", [tensor(target.value.name)], shown)
    filled = _filled(builder, diagonal, value)
    made = meta.with_(strides=meta.strides, offset=meta.offset)
    return [builder.emit("scatter-diagonal", [tensor(target.value.name), tensor(filled.name)], made)]


def _polygamma(builder: Builder, call: Call) -> list[Value]:
    (target,) = call.targets
    order, meta = call.node.input("n"), target.value.meta
    if order is None or category(meta.dtype) != 2:
        raise Obstacle("polygamma_ is recorded without its order, or of a tensor that is not floating")
    twin = op_of("polygamma")
    return builder.emit_all(twin, builder.operands(twin, [order, tensor(target.value.name)]), [meta.dense()])


_SUBSTITUTES: Final[dict[Substitute, Callable[[Builder, Call], list[Value]]]] = {
    "keep": lambda builder, call: [target.value for target in call.targets],
    "copy": _copy,
    "fill": _fill,
    "zero": _fill,
    "fill-diagonal": _fill_diagonal,
    "polygamma": _polygamma,
}


# -------------------------------------------------------------------------------------------- normalizations


def _normalization(builder: Builder, call: Call, results: Sequence[Meta]) -> tuple[list[Value], list[Value]]:
    """A normalization that updates running statistics: its own results, and the new statistics.

    The targets are ``running_mean`` and ``running_var``, in that order; ``results`` are the recorded metadata of
    the node's results.
    """
    statistics = _mean_and_variance(call)
    if call.op.substitute == "instance-norm":
        return _instance_norm(builder, call, results[0])
    made = _batch_norm(builder, call, results[0], statistics[0].value.meta)
    return made[: len(results)], made[3:]


def _statistics(call: Call) -> list[Target]:
    """The running statistics among what an op writes whose schema does not name them."""
    hidden = call.op.hidden_writes.arguments if call.op.hidden_writes is not None else ()
    return [target for target in call.targets if target.argument in hidden]


def _mean_and_variance(call: Call) -> list[Target]:
    """The same of a normalization that updates both. Raises :class:`Obstacle` where it does not."""
    found = _statistics(call)
    if [target.argument for target in found] != ["running_mean", "running_var"]:
        raise Obstacle(f"{call.op.name} updates one of its running statistics only")
    if 0 in call.operand("input").meta.shape:
        raise Obstacle(f"{call.op.name} of no element updates nothing, and its functional form raises")
    return found


def _normalization_into(builder: Builder, call: Call, twin: OpInfo) -> list[Value]:
    """The same with ``out=``: what is written to each target, the running statistics last."""
    statistics = _mean_and_variance(call)
    outs = [target for target in call.targets if target not in statistics]
    if twin.schema is None:
        raise Obstacle(f"{call.op.name} has no functional overload")
    known = _checked(msgspec.structs.replace(call, targets=tuple(outs)), twin, twin.schema)
    if known.inexact:
        call.rounds(known.inexact)
    made = _batch_norm(builder, call, known.results[0].meta, statistics[0].value.meta)
    laid_out = made[:1] if known.results[0].laid_out else [in_rows(builder, made[0])]
    pairs = zip([*laid_out, *made[1:3]], outs, strict=True)
    return [*(cast(builder, value, target.value.meta) for value, target in pairs), *made[3:]]


def _batch_norm(builder: Builder, call: Call, out: Meta, statistics: Meta) -> list[Value]:
    _tell_rounding(call)
    names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    arguments = [call.node.input(name) or Argument(as_none=True) for name in names]
    return _normalized(builder, arguments, out, statistics, _statistics_dtype(call, statistics))


def _normalized(builder: Builder, arguments: list[Argument], out: Meta, statistics: Meta, saved: int) -> list[Value]:
    """Result, saved mean, saved inverse deviation, new running mean, new running variance."""
    running = statistics.contiguous()
    metas = [out, running.contiguous(dtype=saved), running.contiguous(dtype=saved), running, running]
    op = op_of("batch-norm")
    return builder.emit_all(op, builder.operands(op, arguments), metas, "getitem")


def _statistics_dtype(call: Call, running: Meta) -> int:
    """Statistics are saved in single precision, those of double tensors in double; on the CPU in the input's dtype
    where the running ones have it too.
    """
    data = call.operand("input").meta
    same = str(data.device) == "cpu" and data.dtype == running.dtype
    return data.dtype if same or data.dtype == FLOAT64 else FLOAT32


def _instance_norm(builder: Builder, call: Call, out: Meta) -> tuple[list[Value], list[Value]]:
    """``instance_norm`` is batch norm of a batch of one that has the instances as channels; its statistics are
    the means over the instances of those (``aten/src/ATen/native/Normalization.cpp``).
    """
    data = call.operand("input")
    batch, channels, *rest = data.meta.shape
    if not isinstance(batch, int) or not isinstance(channels, int):
        raise Obstacle("instance_norm of a batch of symbolic size")
    if data.meta.strides != contiguous_strides(data.meta.shape):
        data = in_rows(builder, data)
    count = SymSize(as_int=batch * channels)
    flat = [SymSize(as_int=1), count, *data.meta.sizes[2:]]
    flat_shape = (1, batch * channels, *rest)
    flat_meta = data.meta.with_(sizes=flat, strides=contiguous_strides(flat_shape), offset=data.meta.offset)
    sizes = builder.sizes(data, flat_shape, flat)
    viewed = builder.emit("view", [tensor(data.name), sizes], flat_meta)

    def repeated(name: str) -> Argument:
        argument = call.node.input(name)
        if argument is None or argument.as_tensor is None:
            return Argument(as_none=True)
        value = call.operand(name)
        meta = value.meta.with_(sizes=[count], strides=(1,))
        times = Argument(as_ints=[batch])
        return tensor(builder.emit("repeat", [tensor(value.name), times], meta).name)

    arguments = [tensor(viewed.name), *map(repeated, ("weight", "bias", "running_mean", "running_var"))]
    arguments.append(Argument(as_bool=True))
    arguments += [call.node.input(name) or Argument(as_none=True) for name in ("momentum", "eps")]
    long = call.targets[0].value.meta.with_(sizes=[count], strides=(1,))
    made = _normalized(builder, arguments, flat_meta, long, _statistics_dtype(call, long))
    shape = builder.sizes(data, data.meta.shape, data.meta.sizes)
    result = builder.emit("view", [tensor(made[0].name), shape], out.contiguous())
    statistics = []
    for target, value in zip(call.targets, made[3:], strict=True):
        table = value.meta.with_(sizes=[SymSize(as_int=batch), SymSize(as_int=channels)], strides=(channels, 1))
        rows = Argument(as_ints=[batch, channels])
        by_instance = builder.emit("view", [tensor(value.name), rows], table)
        over = [tensor(by_instance.name), Argument(as_ints=[0])]
        statistics.append(builder.emit("mean", over, target.value.meta.contiguous()))
    return [result], statistics
