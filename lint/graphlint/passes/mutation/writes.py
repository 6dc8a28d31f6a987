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

from graphlint.ops.info import OpInfo
from graphlint.ops.schema import SchemaArgument
from graphlint.ops.table import OpTable
from graphlint.passes.mutation.build import Builder, Obstacle
from graphlint.passes.mutation.values import BOOL, Meta, Value, preserved_strides, promoted
from graphlint.program.arguments import Json, tensor
from graphlint.program.enums import FLOAT32
from graphlint.program.strides import contiguous_strides

_COMPARISONS: Final = frozenset(
    {
        "eq", "ne", "lt", "le", "gt", "ge", "greater", "greater_equal", "less", "less_equal", "not_equal",
        "logical_and", "logical_or", "logical_xor", "logical_not",
    }
)  # fmt: skip
_RUNNING_SUMS: Final = frozenset({"cumsum", "cumprod"})
_POINTWISE: Final = frozenset(
    {
        "abs", "absolute", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "copysign",
        "divide", "fix", "floor_divide", "gcd", "gelu", "hardswish", "heaviside", "lcm", "mish", "multiply",
        "negative", "relu6", "subtract", "threshold", "true_divide", "xlogy", "__iand__", "__ior__", "__ixor__",
        "__ilshift__", "__irshift__", "__and__", "__or__", "__xor__", "__lshift__", "__rshift__",
    }
)  # fmt: skip
"""Elementwise ops that torch does not tag as such, on top of those it does."""
_CONTIGUOUS: Final = frozenset(
    {"addmm", "addbmm", "addmv", "addr", "baddbmm", "tril", "triu", "cumsum", "cumprod", "bernoulli"}
)
"""Ops whose result is contiguous whatever their operands' strides."""
_INDICES: Final = frozenset({"indices", "max_values", "min_indices"})
"""Names of ``out=`` arguments that take positions (``max.dim_max`` calls them so)."""
_INT64: Final = 5
_FLOAT64: Final = 8
_RESHAPED: Final = "out= is given a tensor of another shape, which the op resizes"


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
    written = tuple(dict.fromkeys(target.argument for target in call.targets))
    if op.hidden_writes is not None or len(written) != len(twin.schema.returns):
        raise Obstacle(f"{op.name} writes other tensors than its functional overload returns")
    operands = _renamed(call, twin)
    metas = [_result_meta(call, twin, target) for target in call.targets]
    is_list = twin.schema.returns[0].type.endswith("[]")
    if is_list and len(written) > 1:
        raise Obstacle(f"{op.name} writes several lists of tensors")
    stem = twin.name.split(".")[1]
    made = _emit_twin(builder, twin.name, operands, metas, stem, is_list=is_list)
    return [cast(builder, value, target.value.meta) for value, target in zip(made, call.targets, strict=True)]


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
    return operands


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
    pointwise = "pointwise" in twin.tags or name in _POINTWISE or name.startswith("_foreach_")
    if name in _COMPARISONS:
        dtype: int | None = BOOL
    elif pointwise:
        dtype = promoted([value.meta for value in tensors], numbers)
    elif name in _RUNNING_SUMS:
        dtype = _running_sum_dtype(call, own)
    elif target.argument in _INDICES:
        dtype = _INT64
    elif call.op.out_variant:
        dtypes = {value.meta.dtype for value in tensors}
        dtype = own.dtype if dtypes <= {own.dtype} else None
    else:
        dtype = own.dtype
    if dtype is None:
        raise Obstacle(f"the artifact does not tell the dtype that {twin.name} computes in")
    if (call.op.out_variant and not pointwise) or name in _CONTIGUOUS:
        strides = contiguous_strides(own.shape)
    elif pointwise:
        strides = _elementwise_strides(own, tensors)
    else:
        strides = preserved_strides(own.shape, own.strides)
    return own.with_(dtype=dtype, strides=strides)


def _elements(call: Call, target: Target) -> tuple[list[Value], list[Json]]:
    """The tensors and numbers that take part in computing one target: of lists, the elements at its place."""
    same = [one for one in call.targets if one.argument == target.argument]
    place = next(index for index, one in enumerate(same) if one is target)
    tensors: list[Value] = []
    numbers: list[Json] = []
    op = call.op
    for operand in call.raw["inputs"]:
        schema = op.schema.argument(operand["name"]) if op.schema is not None else None
        if schema is None or (op.out_variant and schema.written):
            continue
        (kind, value), *_ = operand["arg"].items()
        if kind == "as_tensor":
            tensors.append(call.value(value["name"]))
        elif kind == "as_tensors":
            if place < len(value):
                tensors.append(call.value(value[place]["name"]))
        elif kind == "as_floats" and schema.type.startswith("Scalar"):
            numbers.append({"as_float": value[place]})
        elif schema.type.startswith("Scalar") and schema.name != "value" and kind != "as_none":
            numbers.append(operand["arg"])
    return tensors, numbers


def _running_sum_dtype(call: Call, own: Meta) -> int:
    given = call.argument("dtype") or {}
    if given.get("as_scalar_type") is not None:
        return int(given["as_scalar_type"])
    return 5 if own.dtype in (1, 2, 3, 4, 5, BOOL) else own.dtype


def _elementwise_strides(own: Meta, tensors: Sequence[Value]) -> tuple[int | str, ...]:
    """TensorIterator orders the dimensions of its output as those of the first operand of full shape."""
    for value in tensors:
        if value.meta.shape == own.shape:
            return preserved_strides(value.meta.shape, value.meta.strides)
    return contiguous_strides(own.shape)


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


def restrided(builder: Builder, value: Value, before: Value) -> Value:
    """``value`` laid out as the tensor that it takes the place of, so that views of it stay what they were."""
    old = before.meta
    if value.meta.same_strides(old):
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
    return [_copied(builder, call, call.operand("src"), target.value)]


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
    """Statistics are saved in single precision, those of double tensors in double."""
    return _FLOAT64 if call.operand("input").meta.dtype == _FLOAT64 else FLOAT32


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
}
"""By overload."""

NORMALIZATIONS: Final = frozenset(
    {"aten.batch_norm.default", "aten.native_batch_norm.default", "aten.instance_norm.default"}
)
RESHAPED: Final = _RESHAPED
