"""What a writing op computes: its functional twin, with the casts that the written tensor's dtype asks for.

Ops for which something better than the twin is known, because backends know it (core ATen first):

| op | becomes |
|---|---|
| ``copy_`` | the source, cast by ``_to_copy`` and enlarged by ``expand`` where dtype, device or shape differ |
| ``fill_``, ``zero_`` | ``full_like``; the value cast and expanded where it is a tensor |
| ``batch_norm``, ``native_batch_norm``, ``instance_norm`` in training mode | ``_native_batch_norm_legit_functional`` |

Dtypes and strides of results follow torch's rules (``c10/core/ScalarType``, ``TensorIterator``); the tests compare
them with what torch computes for every op here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from graphlint.ir.arguments import Json, tensor, tensor_names
from graphlint.ir.enums import FLOAT32
from graphlint.ir.strides import contiguous_strides
from graphlint.ops.info import OpInfo
from graphlint.ops.schema import OpSchema, SchemaArgument
from graphlint.ops.table import OpTable
from graphlint.passes.mutation.build import Builder, Obstacle, Twin
from graphlint.passes.mutation.knowledge import result_shape, result_strides
from graphlint.passes.mutation.values import (
    BOOL,
    Meta,
    Value,
    broadcast,
    category,
    elementwise_strides,
    overlaps,
    preserved_strides,
    promoted,
)

_COMPARISONS: Final = frozenset(
    {
        "eq", "ne", "lt", "le", "gt", "ge", "greater", "greater_equal", "less", "less_equal", "not_equal",
        "logical_and", "logical_or", "logical_xor", "logical_not",
    }
)  # fmt: skip
_POINTWISE: Final = frozenset(
    {
        "abs", "absolute", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "copysign",
        "divide", "fix", "floor_divide", "gcd", "gelu", "hardswish", "heaviside", "lcm", "mish", "multiply",
        "negative", "relu6", "subtract", "threshold", "true_divide", "xlogy", "__iand__", "__ior__", "__ixor__",
        "__ilshift__", "__irshift__", "__and__", "__or__", "__xor__", "__lshift__", "__rshift__", "addr", "_add_relu",
    }
)  # fmt: skip
"""Elementwise ops that torch does not tag as such, on top of those it does."""
_CONTIGUOUS: Final = frozenset(
    {
        "addmm", "addbmm", "addmv", "baddbmm", "tril", "triu", "cumsum", "cumprod", "renorm", "rrelu",
        "index_add", "index_copy", "index_reduce", "scatter", "scatter_add", "scatter_reduce",
        "masked_fill", "masked_scatter",
    }
)  # fmt: skip
"""Ops whose result is contiguous whatever their operands' strides."""
_PRODUCTS: Final = frozenset({"addbmm", "addmm", "addmv", "baddbmm"})
"""Ops that add up what they write in place."""
_PICKING: Final = frozenset(
    {
        "all", "amax", "amin", "aminmax", "any", "arange", "argmax", "argmin", "cat", "cummax", "cummin", "diag", "eye",
        "full", "gather", "index_select", "kthvalue", "max", "median", "min", "mode", "ones", "repeat", "roll", "sort",
        "stack", "take", "topk", "tril", "triu", "zeros",
    }
)  # fmt: skip
"""Ops that compute nothing which could be rounded: their results are elements of their operands, or counted."""
_JOINING: Final = frozenset({"cat", "column_stack", "concat", "concatenate", "dstack", "hstack", "stack", "vstack"})
"""Ops that bring all the tensors of a list to one dtype."""
_INDEXED: Final = frozenset(
    {"gather", "index_add", "index_copy", "index_select", "scatter", "scatter_add", "take", "take_along_dim"}
)
"""Ops whose result has the dtype of their first operand, which others are positions in."""
_SAME_DTYPE: Final = frozenset({"aten.clamp.out", "aten.clamp_max.out", "aten.clamp_min.out", "aten.where.self_out"})
"""Elementwise ops that torch exports with ``out=`` of any dtype, but runs with that of their result only."""
_TO_FLOATING: Final = frozenset({"ldexp", "logit"})
"""Elementwise ops that compute in a floating dtype, which export lets one write to integers all the same."""
_KEEP_INTEGERS: Final = frozenset(
    {
        "abs", "add", "addcmul", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "clamp", "clamp_max",
        "clamp_min", "fmod", "gcd", "lcm", "maximum", "minimum", "mul", "neg", "pow", "remainder", "sign", "square",
        "sub", "where",
    }
)  # fmt: skip
"""Elementwise ops that compute integers from integers; others may compute in the default dtype."""
_DIVISIONS: Final = frozenset({"fmod", "pow", "remainder"})
"""Those of them that raise for some integers."""
_RUNS_OVER_MEMORY: Final = "aten.bernoulli_.float"
"""Draws element by element as they lie in memory, where its twin makes a contiguous tensor."""
_INDICES: Final = frozenset({"indices", "max_values", "min_indices"})
"""Names of ``out=`` arguments that take positions (``max.dim_max`` calls them so)."""
_POSITIONS: Final = frozenset({"argmax", "argmin"})
"""Ops whose only result is positions."""
_INT64: Final = 5
_FLOAT64: Final = 8
RESHAPED: Final = "out= is given a tensor of another shape, which the op resizes"


class Target(msgspec.Struct, frozen=True):
    """A tensor that a node writes."""

    argument: str
    value: Value
    """Its value before the write."""


class Call(msgspec.Struct, frozen=True):
    """A writing node, its operands renamed to the current values."""

    op: OpInfo
    raw: Json
    targets: tuple[Target, ...]
    metas: dict[str, Meta]
    """Metadata of all tensor operands, by name."""
    immutable: Callable[[str], bool]
    """Whether nothing writes to the memory of that operand any more, so that its value can be used as it is."""
    outside: frozenset[str] = frozenset()
    """Current names of the targets that the caller or the module holds."""
    overlapping: frozenset[str] = frozenset()
    """Current names of operands in the memory of a target."""
    autocast: bool = False
    """Whether it stands in a region that casts."""

    def argument(self, name: str) -> Json | None:
        """The operand of that name."""
        return next((operand["arg"] for operand in self.raw["inputs"] if operand["name"] == name), None)

    def operand(self, name: str) -> Value:
        """The tensor operand of that name."""
        argument = self.argument(name)
        reference = argument.get("as_tensor") if argument is not None else None
        if reference is None:
            raise Obstacle(f"{self.op.name} is recorded without its tensor {name!r}")
        return self.value(str(reference["name"]))

    def value(self, name: str) -> Value:
        """A tensor operand with its metadata."""
        meta = self.metas.get(name)
        if meta is None or not meta.plain:
            raise Obstacle(f"the artifact records too little of %{name}")
        return Value(name, meta)


def functional(builder: Builder, call: Call, ops: OpTable) -> list[Value]:
    """Emit what the call computes; the new value of each target, in order. Raises :class:`Obstacle`."""
    if any(overlaps(target.value.meta.shape, target.value.meta.strides) for target in call.targets):
        raise Obstacle(f"{call.op.name} writes the same memory more than once")
    packet = ".".join(call.op.name.split(".")[:2])
    special = _SPECIAL.get(call.op.name) or _SPECIAL.get(packet)
    if special is not None:
        return special(builder, call)
    return _twin(builder, call, ops)


# ------------------------------------------------------------------------------------------------- twins


def _twin(builder: Builder, call: Call, ops: OpTable) -> list[Value]:
    op = call.op
    twin = ops.lookup(op.functional_twin) if op.functional_twin is not None else None
    if twin is None or twin.schema is None or op.schema is None:
        raise Obstacle(f"{op.name} has no functional overload")
    alike = _alike(call, twin)
    known = builder.twins.get(alike) if alike is not None else None
    if known is None:
        known = _checked(call, twin)
        if alike is not None:
            builder.twins[alike] = known
    operands = _renamed(call, twin)
    is_list = twin.schema.returns[0].type.endswith("[]")
    made = _emit_twin(builder, twin.name, operands, known.metas, twin.name.split(".")[1], is_list=is_list)
    if known.disposable:
        builder.disposable.update(value.name for value in made)
    made = [_certain_layout(builder, twin, *pair) for pair in zip(made, call.targets, strict=True)]
    return [cast(builder, value, target.value.meta) for value, target in zip(made, call.targets, strict=True)]


def _alike(call: Call, twin: OpInfo) -> tuple[object, ...] | None:
    """What :func:`_checked` depends on for an elementwise op, where that is said in a few words: programs have the same
    few writes over and over. Metadata stand for themselves, and so are kept: another's identity must not be theirs.
    """
    if call.op.out_variant or len(call.targets) != 1 or not _is_pointwise(twin):
        return None
    (target,) = call.targets
    key: list[object] = [call.op.name, call.autocast, target.argument, target.value.meta]
    for operand in call.raw["inputs"]:
        ((kind, value),) = operand["arg"].items()
        if kind == "as_tensor":
            value = call.metas.get(value["name"])
        elif value is not None and type(value) not in (bool, int, float, str):
            return None
        key += (operand["name"], kind, value)
    return tuple(key)


def _checked(call: Call, twin: OpInfo) -> Twin:
    """What is to be known of the twin before it is emitted. Raises :class:`Obstacle` where it would do other things."""
    op = call.op
    if twin.schema is None:
        raise AssertionError("it has a schema")
    _check_overlap(call, twin)
    name = twin.name.split(".")[1]
    adds_up = name in _PRODUCTS or (op.out_variant and not _is_pointwise(twin) and name not in _PICKING)
    if adds_up and not all(map(_exact_in_rows, call.targets)):
        raise Obstacle(f"how {op.name} rounds depends on the strides of what it writes")
    if call.autocast and not twin.tags.isdisjoint(("autocast", "composite")):
        verb = "would" if "autocast" in twin.tags else "may"
        raise Obstacle(f"autocast {verb} cast what {twin.name} is given, as it does not for {op.name}")
    written = tuple(dict.fromkeys(target.argument for target in call.targets))
    if op.hidden_writes is not None or len(written) != len(twin.schema.returns):
        raise Obstacle(f"{op.name} writes other tensors than its functional overload returns")
    _check_order_of_draws(call)
    metas = [_result_meta(call, twin, target) for target in call.targets]
    if twin.schema.returns[0].type.endswith("[]") and len(written) > 1:
        raise Obstacle(f"{op.name} writes several lists of tensors")
    return Twin(metas, _cannot_raise(twin, [target.value.meta for target in call.targets]))


def _exact_in_rows(target: Target) -> bool:
    """Whether a sum or product comes out the same in a new tensor, which is row-major: in which order elements are
    added up, and so how the result is rounded, depends on the strides of where it goes.
    """
    own = target.value.meta
    return category(own.dtype) < 2 or own.same_strides(own.contiguous())


def _certain_layout(builder: Builder, twin: OpInfo, value: Value, target: Target) -> Value:
    """Of some ops, the CPU's result is contiguous, while that of ``meta`` tensors keeps the operand's layout: what
    follows must not depend on it.
    """
    own = target.value.meta
    if twin.name.split(".")[1] not in _CONTIGUOUS or own.same_strides(own.contiguous()):
        return value
    layout: Json = {"as_memory_format": 1}
    made = value.meta.contiguous()
    return builder.emit("aten.clone.default", [tensor(value.name)], made, "clone", {"memory_format": layout})


def _cannot_raise(twin: OpInfo, metas: list[Meta]) -> bool:
    """Whether a twin may go when nobody uses its results: elementwise arithmetic, which on integers can divide by 0."""
    if twin.random.draws != "never" or not _is_pointwise(twin):
        return False
    name = twin.name.split(".")[1].removeprefix("_foreach_")
    return (
        name in _COMPARISONS or name in _KEEP_INTEGERS - _DIVISIONS or all(category(meta.dtype) > 1 for meta in metas)
    )


def _check_overlap(call: Call, twin: OpInfo) -> None:
    """An op that reads other elements than the one it writes may read what it has written already."""
    if _is_pointwise(twin):
        return
    targets = {target.argument for target in call.targets}
    for operand in call.raw["inputs"]:
        if operand["name"] in targets:
            continue
        if any(name in call.overlapping for name in tensor_names(operand["arg"])):
            raise Obstacle(f"{call.op.name} reads memory that it writes")


def _is_pointwise(twin: OpInfo) -> bool:
    name = twin.name.split(".")[1]
    return "pointwise" in twin.tags or name in _POINTWISE or name in _COMPARISONS or name.startswith("_foreach_")


def _check_order_of_draws(call: Call) -> None:
    for target in call.targets if call.op.name == _RUNS_OVER_MEMORY else ():
        meta = target.value.meta
        if not meta.same_strides(meta.contiguous()):
            raise Obstacle("it draws in the order of memory, and its tensor is not contiguous")


def _emit_twin(
    builder: Builder, name: str, operands: list[Json], metas: list[Meta], stem: str, *, is_list: bool
) -> list[Value]:
    positional = [operand["arg"] for operand in operands if operand.get("kind", 1) != 2]
    keywords = {operand["name"]: operand["arg"] for operand in operands if operand.get("kind", 1) == 2}
    if not builder.dialect.kinds:
        # Files before torch 2.7 do not say how an argument was passed; its name decides.
        positional, keywords = [], {operand["name"]: operand["arg"] for operand in operands}
    return builder.emit_all(name, positional, metas, stem, keywords, as_list=is_list)


def _renamed(call: Call, twin: OpInfo) -> list[Json]:
    """The operands under the twin's names; ``out=`` is left out, defaults that the twin lacks are filled in."""
    schema, twin_schema = call.op.schema, twin.schema
    if schema is None or twin_schema is None:
        raise AssertionError("both have schemas")
    kept: list[SchemaArgument] = [
        argument for argument in schema.arguments if not (call.op.out_variant and argument.written)
    ]
    names = {ours.name: theirs.name for ours, theirs in zip(kept, twin_schema.arguments, strict=False)}
    if call.op.out_variant:
        names = {argument.name: argument.name for argument in twin_schema.arguments}
    operands = [
        {**operand, "name": names[operand["name"]]} for operand in call.raw["inputs"] if operand["name"] in names
    ]
    given = {operand["name"] for operand in operands}
    ours = {names[argument.name]: argument for argument in kept if argument.name in names}
    for argument in twin_schema.arguments:
        if argument.name in given or argument.default is not None:
            continue
        default = ours[argument.name].default_value if argument.name in ours else None
        operands.append({"name": argument.name, "arg": _literal(default, call), "kind": 2})
    return [*_without_none(operands, "dtype"), *_dtype_of_target(call, twin_schema)]


def _without_none(operands: list[Json], name: str) -> list[Json]:
    return [one for one in operands if one["name"] != name or "as_none" not in one["arg"]]


def _dtype_of_target(call: Call, schema: OpSchema) -> list[Json]:
    """Running sums, reductions and factories compute in the dtype of the tensor that they write, where they are not
    given another; their twins would take their operands'.
    """
    if schema.argument("dtype") is None or "as_scalar_type" in (call.argument("dtype") or {}):
        return []
    own = call.targets[0].value.meta
    tensors, _ = _elements(call, call.targets[0])
    if tensors and category(own.dtype) > 1 and {value.meta.dtype for value in tensors} == {own.dtype}:
        return []
    given: list[Json] = [{"name": "dtype", "arg": {"as_scalar_type": own.dtype}, "kind": 2}]
    if not tensors and schema.argument("device") is not None:
        given.append({"name": "device", "arg": {"as_device": own.device}, "kind": 2})
    return given


def _literal(value: object, call: Call) -> Json:
    if isinstance(value, bool):
        return {"as_bool": value}
    if isinstance(value, int):
        return {"as_int": value}
    if isinstance(value, float):
        return {"as_float": value}
    raise Obstacle(f"{call.op.name} leaves out an argument that its functional overload needs")


def _result_meta(call: Call, twin: OpInfo, target: Target) -> Meta:
    """What the twin returns in place of that target."""
    name = twin.name.split(".")[1]
    own = target.value.meta
    tensors, numbers = _elements(call, target)
    pointwise = _is_pointwise(twin)
    if call.op.out_variant:
        _check_out(call, target, tensors, pointwise=pointwise or name in _COMPARISONS)
    if name in _COMPARISONS:
        if broadcast([value.meta.shape for value in tensors]) != own.shape:
            raise Obstacle(RESHAPED)
        dtype: int | None = BOOL
    elif pointwise:
        dtype = _pointwise_dtype(call, name, own, [value.meta for value in tensors], numbers)
    elif target.argument in _INDICES or name in _POSITIONS:
        dtype = _INT64
    elif twin.schema is not None and twin.schema.argument("dtype") is not None:
        given = (call.argument("dtype") or {}).get("as_scalar_type")
        dtype = own.dtype if given is None else int(given)
    elif call.op.out_variant and name in _JOINING:
        dtype = promoted(_read(call), [])
    elif call.op.out_variant:
        read = [value.meta for value in tensors[:1]] if name in _INDEXED else _read(call)
        dtype = own.dtype if {meta.dtype for meta in read} <= {own.dtype} else None
    else:
        dtype = own.dtype
    if dtype is None:
        raise Obstacle(f"the artifact does not tell the dtype that {twin.name} computes in")
    if call.op.out_variant and not (pointwise or name in _COMPARISONS):
        found = result_strides(twin, target.argument, own.shape, _read(call))
        if found is None:
            raise Obstacle(f"the artifact does not tell the strides of what {twin.name} returns")
        strides = found
    elif name in _CONTIGUOUS:
        strides = contiguous_strides(own.shape)
    elif pointwise:
        strides = elementwise_strides(own.shape, [(one.meta.shape, one.meta.strides) for one in tensors])
    else:
        strides = preserved_strides(own.shape, own.strides)
    return own.with_(dtype=dtype, strides=strides)


def _read(call: Call) -> list[Meta]:
    """Metadata of the tensors that the call reads, those in lists too."""
    targets = {target.argument for target in call.targets}
    read = [operand["arg"] for operand in call.raw["inputs"] if operand["name"] not in targets]
    return [call.metas[name] for argument in read for name in tensor_names(argument)]


def _pointwise_dtype(call: Call, name: str, own: Meta, tensors: list[Meta], numbers: list[Json]) -> int | None:
    if not tensors:
        return None
    dtype = promoted(tensors, numbers)
    if dtype is None:
        return None
    if broadcast([meta.shape for meta in tensors]) != own.shape:
        raise Obstacle(RESHAPED if call.op.out_variant else f"torch refuses to run {call.op.name} on these shapes")
    if call.op.name in _SAME_DTYPE and dtype != own.dtype:
        raise Obstacle(f"torch refuses to run {call.op.name} with out= of another dtype")
    if category(dtype) > category(own.dtype) or (name in _TO_FLOATING and category(own.dtype) < 2):
        raise Obstacle(f"torch refuses to run {call.op.name}: its result cannot be cast to the dtype of what it writes")
    if call.op.out_variant and category(dtype) < 2 <= category(own.dtype) and name not in _KEEP_INTEGERS:
        return None
    return dtype


def _check_out(call: Call, target: Target, tensors: list[Value], *, pointwise: bool) -> None:
    """``out=`` resizes a tensor of another shape. What is recorded of the result shows that where the program made the
    tensor, but not where it came from outside.
    """
    if not pointwise and target.value.name in call.outside:
        shape = result_shape(call.op, call.argument, [value.meta.shape for value in tensors])
        if shape is None:
            raise Obstacle(
                "the artifact does not tell whether out= resizes a tensor that the caller or the module holds"
            )
        if shape != target.value.meta.shape:
            raise Obstacle(RESHAPED)


def _elements(call: Call, target: Target) -> tuple[list[Value], list[Json]]:
    """The tensors and numbers that take part in computing one target: of lists, the elements at its place."""
    same = [one for one in call.targets if one.argument == target.argument]
    place = next(index for index, one in enumerate(same) if one is target)
    tensors: list[Value] = []
    numbers: list[Json] = []
    op = call.op
    for operand in call.raw["inputs"]:
        name = operand["name"]
        schema = op.schema.argument(name) if op.schema is not None else None
        if schema is None or (op.out_variant and schema.written):
            continue
        (kind, value), *_ = operand["arg"].items()
        if kind == "as_tensor":
            tensors.append(call.value(value["name"]))
        elif kind == "as_tensors":
            if place < len(value):
                tensors.append(call.value(value[place]["name"]))
        elif kind in _LISTS_OF_NUMBERS and schema.type.startswith("Scalar"):
            numbers.append({_LISTS_OF_NUMBERS[kind]: value[place]})
        elif kind != "as_none" and (schema.type == "Tensor" or (schema.type.startswith("Scalar") and name != "value")):
            numbers.append(operand["arg"])  # a tensor's place may hold a number
    return tensors, numbers


# --------------------------------------------------------------------------------------- casts and layouts


def cast(builder: Builder, value: Value, like: Meta) -> Value:
    """``value`` with the dtype and device of ``like``."""
    changes: dict[str, Json] = {}
    meta = value.meta
    if meta.dtype != like.dtype:
        changes["dtype"] = {"as_scalar_type": like.dtype}
    if meta.device_name != like.device_name:
        changes["device"] = {"as_device": like.device}
    if not changes:
        return value
    made = meta.dense(dtype=like.dtype, device=like.device)
    return builder.emit("aten._to_copy.default", [tensor(value.name)], made, "_to_copy", changes)


def expanded(builder: Builder, value: Value, like: Value) -> Value:
    """``value`` enlarged to the shape of ``like``."""
    shape, own = like.meta.shape, value.meta.shape
    if own == shape:
        return value
    if len(own) > len(shape):
        raise Obstacle("a source of more dimensions is copied into a tensor of fewer")
    lead = len(shape) - len(own)
    strides: list[int | str] = [0] * lead
    for dim, (size, stride) in enumerate(zip(own, value.meta.strides, strict=True)):
        if size != shape[lead + dim] and size != 1:
            raise Obstacle("the artifact does not tell that the source's sizes fit")
        strides.append(stride if size == shape[lead + dim] else 0)
    raw = like.meta.raw["sizes"]
    meta = value.meta.with_(sizes=raw, strides=strides, offset=value.meta.offset)
    sizes = builder.sizes(like, shape, raw)
    return builder.emit("aten.expand.default", [tensor(value.name), sizes], meta, "expand")


def restrided(builder: Builder, value: Value, before: Value, *, always: bool = False) -> Value:
    """``value`` laid out as the tensor that it takes the place of, so that views of it stay what they were; ``always``,
    if the recorded strides say no more than how it was laid out when the program was exported.
    """
    old = before.meta
    if value.meta.same_strides(old) and not always:
        return value
    meta = old.with_(offset=0)
    for number, strides in ((1, contiguous_strides(old.shape)), (2, _channels_last(old.shape))):
        if old.strides == strides:
            layout: Json = {"as_memory_format": number}
            return builder.emit("aten.clone.default", [tensor(value.name)], meta, "clone", {"memory_format": layout})
    # The functional form of copy_ keeps the strides of its first operand.
    meta = old.with_(offset=old.offset)
    return builder.emit("aten.copy.default", [tensor(before.name), tensor(value.name)], meta, "copy")


def _channels_last(shape: tuple[int | str, ...]) -> tuple[int | str, ...] | None:
    if len(shape) != 4:
        return None
    n, c, h, w = shape
    sn, sh, sw, sc = contiguous_strides((n, h, w, c))
    return sn, sc, sh, sw


# ------------------------------------------------------------------------------------------ special cases


def _own(builder: Builder, call: Call, source: Value) -> Value:
    """``source``, or a copy of it where its memory may be written later."""
    if call.immutable(source.name):
        return source
    return builder.emit("aten.clone.default", [tensor(source.name)], source.meta.dense(), "clone")


def _copied(builder: Builder, call: Call, source: Value, target: Value) -> Value:
    moved = cast(builder, source, target.meta)
    if moved is source:
        moved = _own(builder, call, source)
    return expanded(builder, moved, target)


def _copy(builder: Builder, call: Call) -> list[Value]:
    (target,) = call.targets
    source = call.argument("src") or {}
    if source.keys() & _NUMBERS:
        return [_filled(builder, target.value, source)]
    return [_copied(builder, call, call.operand("src"), target.value)]


_LISTS_OF_NUMBERS: Final = {"as_floats": "as_float", "as_ints": "as_int", "as_bools": "as_bool"}
_NUMBERS: Final = frozenset({"as_bool", "as_int", "as_float", "as_sym_int", "as_sym_float", "as_sym_bool"})


def _foreach_copy(builder: Builder, call: Call) -> list[Value]:
    sources = (call.argument("src") or {}).get("as_tensors")
    if sources is None or len(sources) != len(call.targets):
        raise Obstacle("_foreach_copy_ has another number of sources than of targets")
    return [
        _copied(builder, call, call.value(source["name"]), target.value)
        for source, target in zip(sources, call.targets, strict=True)
    ]


def _filled(builder: Builder, target: Value, value: Json) -> Value:
    return builder.emit("aten.full_like.default", [tensor(target.name), value], target.meta.dense(), "full_like")


def _fill(builder: Builder, call: Call) -> list[Value]:
    (target,) = call.targets
    value = call.argument("value")
    if value is None:
        raise Obstacle(f"{call.op.name} is recorded without its value")
    return [_filled(builder, target.value, value)]


def _fill_tensor(builder: Builder, call: Call) -> list[Value]:
    (target,) = call.targets
    value = call.operand("value")
    if value.meta.shape:
        raise Obstacle("fill_ is given a tensor with dimensions")
    return [_copied(builder, call, value, target.value)]


def _zero(builder: Builder, call: Call) -> list[Value]:
    return [_filled(builder, target.value, {"as_int": 0}) for target in call.targets]


def _fill_diagonal(builder: Builder, call: Call) -> list[Value]:
    (target,) = call.targets
    meta, value = target.value.meta, call.argument("fill_value")
    if value is None or len(meta.shape) != 2 or any(isinstance(number, str) for number in (*meta.shape, *meta.strides)):
        raise Obstacle("fill_diagonal_ is given a tensor of other than two dimensions, or of symbolic sizes")
    height, width = (int(size) for size in meta.shape)
    if (call.argument("wrap") or {}).get("as_bool") and height > width:
        raise Obstacle("fill_diagonal_ wraps around")
    length: Json = {"as_int": min(height, width)}
    row, column = (int(step) for step in meta.strides)
    shown = meta.with_(sizes=[length], strides=[row + column], offset=meta.offset)
    diagonal = builder.emit("aten.diagonal.default", [tensor(target.value.name)], shown, "diagonal")
    filled = _filled(builder, diagonal, value)
    made = meta.with_(strides=meta.strides, offset=meta.offset)
    arguments = [tensor(target.value.name), tensor(filled.name)]
    return [builder.emit("aten.diagonal_scatter.default", arguments, made, "diagonal_scatter")]


def _polygamma(builder: Builder, call: Call) -> list[Value]:
    (target,) = call.targets
    order, meta = call.argument("n"), target.value.meta
    if order is None or category(meta.dtype) != 2:
        raise Obstacle("polygamma_ is recorded without its order, or of a tensor that is not floating")
    arguments = [order, tensor(target.value.name)]
    return builder.emit_all("aten.polygamma.default", arguments, [meta.dense()], "polygamma")


def batch_norm(builder: Builder, call: Call, results: Sequence[Meta]) -> tuple[list[Value], list[Value]]:
    """A normalization that updates running statistics: its own results, and the new statistics.

    The targets are ``running_mean`` and ``running_var``, in that order; ``results`` are the recorded metadata of
    the node's results.
    """
    if [target.argument for target in call.targets] != ["running_mean", "running_var"]:
        raise Obstacle(f"{call.op.name} updates one of its running statistics only")
    if call.op.name == "aten.instance_norm.default":
        return _instance_norm(builder, call, results[0])
    names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    arguments = [call.argument(name) or {"as_none": True} for name in names]
    mean = call.targets[0].value.meta
    made = _normalized(builder, arguments, results[0], mean, _statistics_dtype(call))
    return made[: len(results)], made[3:]


def _normalized(builder: Builder, arguments: list[Json], out: Meta, statistics: Meta, saved: int) -> list[Value]:
    """Result, saved mean, saved inverse deviation, new running mean, new running variance."""
    running = statistics.contiguous()
    metas = [out, running.contiguous(dtype=saved), running.contiguous(dtype=saved), running, running]
    return builder.emit_all("aten._native_batch_norm_legit_functional.default", arguments, metas, "getitem")


def _statistics_dtype(call: Call) -> int:
    """Statistics are saved in single precision, those of double tensors in double; on the CPU in the input's dtype
    where the running ones have it too.
    """
    data = call.operand("input").meta
    same = data.device_name == "cpu" and data.dtype == call.targets[0].value.meta.dtype
    return data.dtype if same or data.dtype == _FLOAT64 else FLOAT32


def _instance_norm(builder: Builder, call: Call, out: Meta) -> tuple[list[Value], list[Value]]:
    """``instance_norm`` is batch norm of a batch of one that has the instances as channels; its statistics are
    the means over the instances of those (``aten/src/ATen/native/Normalization.cpp``).
    """
    data = call.operand("input")
    batch, channels, *rest = data.meta.shape
    if not isinstance(batch, int) or not isinstance(channels, int):
        raise Obstacle("instance_norm of a batch of symbolic size")
    if data.meta.strides != contiguous_strides(data.meta.shape):
        layout: Json = {"as_memory_format": 1}
        data = builder.emit(
            "aten.clone.default", [tensor(data.name)], data.meta.contiguous(), "clone", {"memory_format": layout}
        )
    flat = [{"as_int": 1}, {"as_int": batch * channels}, *data.meta.raw["sizes"][2:]]
    flat_shape = (1, batch * channels, *rest)
    flat_meta = data.meta.with_(sizes=flat, strides=contiguous_strides(flat_shape), offset=data.meta.offset)
    sizes = builder.sizes(data, flat_shape, flat)
    viewed = builder.emit("aten.view.default", [tensor(data.name), sizes], flat_meta, "view")

    def repeated(name: str) -> Json:
        argument = call.argument(name)
        if argument is None or "as_tensor" not in argument:
            return {"as_none": True}
        value = call.operand(name)
        meta = value.meta.with_(sizes=[{"as_int": batch * channels}], strides=(1,))
        return tensor(
            builder.emit("aten.repeat.default", [tensor(value.name), {"as_ints": [batch]}], meta, "repeat").name
        )

    arguments = [tensor(viewed.name), *map(repeated, ("weight", "bias", "running_mean", "running_var"))]
    arguments += [{"as_bool": True}, *(call.argument(name) or {"as_none": True} for name in ("momentum", "eps"))]
    long = call.targets[0].value.meta.with_(sizes=[{"as_int": batch * channels}], strides=(1,))
    made = _normalized(builder, arguments, flat_meta, long, _statistics_dtype(call))
    shape = builder.sizes(data, data.meta.shape, data.meta.raw["sizes"])
    result = builder.emit("aten.view.default", [tensor(made[0].name), shape], out.contiguous(), "view")
    statistics = []
    for target, value in zip(call.targets, made[3:], strict=True):
        table = value.meta.with_(sizes=[{"as_int": batch}, {"as_int": channels}], strides=(channels, 1))
        rows: Json = {"as_ints": [batch, channels]}
        by_instance = builder.emit("aten.view.default", [tensor(value.name), rows], table, "view")
        arguments = [tensor(by_instance.name), {"as_ints": [0]}]
        statistics.append(builder.emit("aten.mean.dim", arguments, target.value.meta.contiguous(), "mean"))
    return [result], statistics


_SPECIAL: Final[dict[str, Callable[[Builder, Call], list[Value]]]] = {
    "aten.copy_.default": _copy,
    "aten._foreach_copy_.default": _foreach_copy,
    "aten.fill_.Scalar": _fill,
    "aten.fill_.Tensor": _fill_tensor,
    "aten.zero_.default": _zero,
    "aten._foreach_zero_.default": _zero,
    "aten.fill_diagonal_.default": _fill_diagonal,
    "aten.polygamma_.default": _polygamma,
}
"""By overload."""

NORMALIZATIONS: Final = frozenset(
    {"aten.batch_norm.default", "aten.native_batch_norm.default", "aten.instance_norm.default"}
)
