"""What autocast makes of ops, by the type of the device: found out by calling them.

An op with an autocast kernel is called on tensors without values, on devices that need not be there. The policy is the
one whose explicit casts bring the same ops to the dispatcher, with the same dtypes, as autocast does: of all dtypes
that an operand may have. An op without a kernel is left alone where no op that it calls has one: a profile of its
calls on the CPU tells, and results there are the same bits with autocast and without.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final

import torch
from tests.facts.samples import Sample, in_parts
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from graphlint.ops.info import AUTOCAST_DEVICES
from graphlint.ops.rows import Row

_LOWER: Final = torch.float16
"""What regions cast to here: every device takes it."""
_OTHER: Final = torch.bfloat16
_MOST: Final = 5
"""So many samples of an op are called on each device."""
_Calls = list[Any]
"""What came to the dispatcher, and what came of it in the end."""


def measure_autocast(rows: dict[str, Row], samples: dict[str, list[Sample]]) -> dict[str, dict[str, str]]:
    """The policies of each overload that there are samples of, by name."""
    known = {name: ones for name, ones in {**more_samples(), **samples}.items() if name in rows}
    known |= _writing(rows, known)
    policies = in_parts(sorted(known), lambda part: {name: policies_of(known[name]) for name in part})
    return {name: {"autocast": autocast_fact(told)} for name, told in policies.items() if told}


def autocast_fact(policies: Mapping[str, str]) -> str:
    """Policies by device as rows spell them."""
    devices: dict[str, list[str]] = {}
    for device in AUTOCAST_DEVICES:
        if device in policies:
            devices.setdefault(policies[device], []).append(device)
    whole = len(policies) == len(AUTOCAST_DEVICES) and len(devices) == 1
    return ", ".join(policy if whole else " ".join([policy, *some]) for policy, some in devices.items())


def policies_of(samples: list[Sample]) -> dict[str, str]:
    """The policies of an overload, by the type of the device."""
    told: dict[str, str | None] = {}
    quiet = _left_alone(samples)
    for device in AUTOCAST_DEVICES:
        if _qualified(samples[0].op) in _with_kernel(device):
            told[device] = _policy(_varied(samples), device)
        elif device in quiet and _changes_nothing(samples, device):
            told[device] = "none"
    return {device: policy for device, policy in told.items() if policy is not None}


@cache
def _with_kernel(device: str) -> frozenset[str]:
    """The overloads that autocast has a kernel for."""
    key = f"Autocast{device.upper()}"
    names = torch._C._dispatch_get_all_op_names()
    return frozenset(one for one in names if torch._C._dispatch_has_kernel_for_dispatch_key(one, key))


def _qualified(op: Any) -> str:
    return str(op.name())


def more_samples() -> dict[str, list[Sample]]:
    """Samples of ops that the database has none of."""

    def floats(*shape: int) -> torch.Tensor:
        return torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)

    aten = torch.ops.aten
    classes, lengths, cell = torch.tensor([0, 2, 1]), torch.tensor([3, 3]), [floats(8, 4), floats(8, 2)]
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("einsum.default", ("ij,jk->ik", [floats(2, 3), floats(3, 4)])),
        ("nll_loss.default", (floats(3, 4), classes, floats(4))),
        ("nll_loss2d.default", (floats(2, 3, 2, 2), torch.ones(2, 2, 2, dtype=torch.int64), floats(3))),
        ("cosine_embedding_loss.default", (floats(3, 4), floats(3, 4), torch.tensor([1, -1, 1]))),
        ("grid_sampler.default", (floats(1, 2, 4, 4), floats(1, 3, 3, 2), 0, 0, False)),
        ("_grid_sampler_2d_cpu_fallback.default", (floats(1, 2, 4, 4), floats(1, 3, 3, 2), 0, 0, False)),
        ("conv_tbc.default", (floats(4, 2, 3), floats(2, 3, 5), floats(5))),
        ("ctc_loss.IntList", (floats(3, 2, 4), torch.tensor([[1, 2], [1, 3]]), [3, 3], [2, 2])),
        ("ctc_loss.Tensor", (floats(3, 2, 4), torch.tensor([[1, 2], [1, 3]]), lengths, torch.tensor([2, 2]))),
        ("gru_cell.default", (floats(2, 3), floats(2, 2), floats(6, 3), floats(6, 2), floats(6), floats(6))),
        ("lstm_cell.default", (floats(2, 4), [floats(2, 2), floats(2, 2)], *cell, floats(8), floats(8))),
        ("_addmm_activation.default", (floats(4), floats(2, 3), floats(3, 4))),
        ("linalg_cond.p_str", (floats(3, 3) + torch.eye(3), "fro")),
        ("_lu_with_info.default", (floats(3, 3) + torch.eye(3),)),
        ("_convolution.default", (
            floats(1, 2, 4, 4), floats(3, 2, 3, 3), floats(3), [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False,
            False, False,
        )),
        ("_convolution.deprecated", (
            floats(1, 2, 4, 4), floats(3, 2, 3, 3), floats(3), [1, 1], [0, 0], [1, 1], False, [0, 0], 1, False, False,
            False,
        )),
        *_more_of_nn(floats),
    ]  # fmt: skip
    found: dict[str, list[Sample]] = {}
    for name, arguments in calls:
        packet, _, overload = name.partition(".")
        op = getattr(getattr(aten, packet, None), overload, None)
        if op is not None:  # not in each version
            given = [argument.name for argument in op._schema.arguments]
            found.setdefault(f"aten.{name}", []).append(Sample(op, dict(zip(given, arguments, strict=False))))
    return found


def _more_of_nn(floats: Callable[..., torch.Tensor]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    images, matrix, token, yes = floats(2, 3, 4, 4), floats(3, 4), torch.zeros(()), torch.ones((), dtype=torch.bool)
    channels, indices = [floats(3), floats(3), floats(3) * 0, floats(3) * 0 + 1], torch.tensor([0, 2, 1])
    for training in (False, True):
        norm = (images, *channels, training, 0.1, 1e-5)
        yield "batch_norm.default", (*norm, False)
        yield "_batch_norm_impl_index.default", (*norm, False)
        yield "instance_norm.default", (*norm, False)
        yield "native_dropout.default", (matrix, 0.5, training)
    yield "_native_batch_norm_legit_no_training.default", (images, *channels, 0.1, 1e-5)
    for dims, shape in ((1, (2, 3, 4)), (2, (2, 3, 4, 4)), (3, (2, 3, 4, 4, 4))):
        x, kinds = floats(*shape), {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}[dims]
        yield f"max_pool{dims}d.default", (x, [2] * dims)
        yield f"upsample_nearest{dims}d.vec", (x, None, [2.0] * dims)
        yield f"_upsample_nearest_exact{dims}d.vec", (x, None, [2.0] * dims)
        for kind in kinds:
            yield f"upsample_{kind}{dims}d.vec", (x, None, False, [2.0] * dims)
    yield "max_pool1d_with_indices.default", (floats(2, 3, 4), [2])
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield "pad.default", (images, [1, 1, 1, 1], mode)
    yield "embedding_bag.default", (matrix, indices, indices * 0)
    for name in ("concat", "concatenate", "hstack", "vstack", "dstack", "column_stack", "row_stack", "cartesian_prod"):
        yield f"{name}.default", ([matrix[0], matrix[1]],)
    for name in ("det", "logdet", "slogdet", "matrix_exp", "linalg_det", "linalg_slogdet", "linalg_pinv"):
        yield f"{name}.default", (floats(3, 3) + torch.eye(3),)
    for name in ("matrix_power", "linalg_matrix_power"):
        yield f"{name}.default", (floats(3, 3), 2)
    yield "linalg_matmul.default", (matrix, matrix.t())
    yield "clip.default", (matrix, -0.5, 0.5)
    yield "div.Scalar_mode", (matrix, 2.0, "floor")
    yield "divide.Scalar_mode", (matrix, 2.0, "floor")
    yield "complex.default", (matrix, matrix)
    yield "fill.Tensor", (matrix, token)
    yield "diff.default", (matrix,)
    yield "cov.default", (matrix,)
    yield "corrcoef.default", (matrix,)
    yield "isin.Tensor_Tensor", (indices, indices)
    yield "isin.Tensor_Tensor", (matrix, matrix)
    yield "affine_grid_generator.default", (floats(2, 2, 3), [2, 3, 4, 4], False)
    yield "nll_loss_nd.default", (matrix, indices)
    yield "fft_fftshift.default", (matrix,)
    yield "fft_ifftshift.default", (matrix,)
    yield "unsafe_split_with_sizes.default", (matrix, [1, 2])
    yield "_unsafe_index.Tensor", (matrix, [indices])
    yield "_unsafe_index_put.default", (matrix, [indices], matrix)
    yield "_weight_norm.default", (matrix, floats(3, 1))
    yield "_weight_norm_interface.default", (matrix, floats(3, 1))
    yield "_trilinear.default", (matrix, matrix, matrix, [], [], [], [1])
    yield "_assert_async.default", (yes,)
    yield "_assert_async.msg", (yes, "message")
    yield "_functional_assert_async.msg", (yes, "message", token)
    yield "_functional_assert_scalar.default", (1, "message", token)
    yield "_functional_sym_constrain_range.default", (1, 0, 2, token)
    yield "_functional_sym_constrain_range_for_size.default", (3, None, None, token)
    yield "_make_dep_token.default", ()
    yield "_assert_tensor_metadata.default", (matrix, [3, 4])
    yield "is_nonzero.default", (yes,)
    yield "_is_all_true.default", (yes,)
    yield "_is_any_true.default", (yes,)
    yield "_shape_as_tensor.default", (matrix,)
    yield (
        "rnn_tanh.input",
        (floats(2, 1, 4), floats(1, 1, 3), [floats(3, 4), floats(3, 3)], False, 1, 0.0, False, False, False),
    )


def _writing(rows: Mapping[str, Row], samples: Mapping[str, list[Sample]]) -> dict[str, list[Sample]]:
    """Samples of overloads that write, made of those of their functional twins."""
    found: dict[str, list[Sample]] = {}
    for row in rows.values():
        twin = row.facts.get("twin", "")
        if row.name in samples or twin not in samples or not row.name.startswith("aten."):
            continue
        _, packet, overload = row.name.split(".")
        op = getattr(getattr(torch.ops.aten, packet), overload)
        written = [one.name for one in op._schema.arguments if one.is_out]
        made = (_as_writing(op, sample, written) for sample in samples[twin][: 2 * _MOST])
        if kept := [sample for sample in made if sample is not None]:
            found[row.name] = kept
    return found


def _as_writing(op: Any, sample: Sample, written: Sequence[str]) -> Sample | None:
    names = {argument.name for argument in op._schema.arguments}
    first, theirs = op._schema.arguments[0].name, sample.op._schema.arguments[0].name
    called = ((name if written or name != theirs else first, value) for name, value in sample.arguments.items())
    arguments = {name: value for name, value in called if name in names}
    try:
        with torch.no_grad():
            results = pytree.tree_leaves(sample.copied().run()) if written else []
            made = Sample(op, {**arguments, **dict(zip(written, results, strict=True))}).copied()
            made.copied().run()
    except Exception:  # noqa: BLE001  # what fails is no sample
        return None
    return made


# ------------------------------------------------------------------------------------------------ ops without a kernel


def _left_alone(samples: Sequence[Sample]) -> list[str]:
    """The devices whose autocast has no kernel for any op that the overload calls. Not the CPU where results differ
    there.
    """
    chosen = [
        [one.changed(lambda tensor, to=dtype: _as_floating(tensor, to)) for one in _varied(samples)]
        for dtype in (torch.float32, _OTHER, _LOWER, torch.float64)
    ]
    try:
        called = set().union(*(_called(ones) for ones in chosen))
        regions = (_OTHER, _LOWER)
        differs = not all(_same_bits(one, region) for ones in chosen for one in ones for region in regions)
    except Exception:  # noqa: BLE001  # what cannot be watched is not known
        return []
    quiet = [device for device in AUTOCAST_DEVICES if called.isdisjoint(_kernels(device))]
    return [device for device in quiet if device != "cpu" or not differs]


@cache
def _kernels(device: str) -> frozenset[tuple[str, str]]:
    return frozenset(_parts(name) for name in _with_kernel(device))


def _parts(name: str) -> tuple[str, str]:
    """Name and overload as profiles tell them: without the overload where this torch has no word of it there."""
    op, _, overload = name.partition(".")
    return op, overload if _overload_names() is not None else ""


@cache
def _overload_names() -> Any:
    """The setting by which profiles tell overloads; None before torch 2.8."""
    with contextlib.suppress(TypeError):
        return torch._C._profiler._ExperimentalConfig(capture_overload_names=True)
    return None


def _called(samples: Sequence[Sample]) -> set[tuple[str, str]]:
    """The ops that are called, those that ops call included."""
    config = _overload_names()
    given = [one.copied() for one in samples]
    with (
        torch.no_grad(),
        torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], experimental_config=config) as profile,
    ):
        for one in given:
            with contextlib.suppress(Exception):  # not for each dtype
                torch.manual_seed(0)
                one.run()
    events = profile.profiler.kineto_results.events()
    return {(one.name(), one.overload_name() if config is not None else "") for one in events}


def _as_floating(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return tensor.to(dtype) if tensor.dtype == torch.float32 else tensor


def _same_bits(sample: Sample, region: torch.dtype) -> bool:
    """Whether a region on the CPU changes nothing of what is returned and written."""
    outcomes = []
    for enabled in (False, True):
        one = sample.copied()
        torch.manual_seed(0)
        try:
            with torch.no_grad(), torch.autocast("cpu", dtype=region, enabled=enabled):
                results = pytree.tree_leaves((one.run(), one.tensors()))
        except Exception as error:  # noqa: BLE001  # not for each dtype; then with autocast neither
            results = [type(error)]
        outcomes.append(results)
    uninitialized = "empty" in _qualified(sample.op)
    return len(outcomes[0]) == len(outcomes[1]) and all(
        _equal(*pair, values=not uninitialized) for pair in zip(*outcomes, strict=True)
    )


def _equal(left: Any, right: Any, *, values: bool) -> bool:
    if not isinstance(left, torch.Tensor) or not isinstance(right, torch.Tensor):
        return type(left) is type(right) and (isinstance(left, type) or left == right or left != left)
    if (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    if not values or left.is_quantized or left.layout != torch.strided:
        return True
    return torch.equal(*(torch.nan_to_num(one) if one.is_floating_point() else one for one in (left, right))) or (
        left.is_complex()
        and torch.equal(*(torch.nan_to_num(torch.view_as_real(one.resolve_conj())) for one in (left, right)))
    )


def _changes_nothing(samples: Sequence[Sample], device: str) -> bool:
    """Whether the dispatcher gets the same with autocast and without, where an op is made of others."""
    if not torch._C._dispatch_has_kernel_for_dispatch_key(_qualified(samples[0].op), "CompositeImplicitAutograd"):
        return True
    return all(
        _under(sample, device, dtypes) == _explicit("none", sample, device, dtypes)
        for sample in _varied(samples)[:3]
        for dtypes in _COMBINATIONS[:3]
    )


# --------------------------------------------------------------------------------------------------- ops with a kernel

_COMBINATIONS: Final[tuple[Callable[[int, int], torch.dtype], ...]] = (
    lambda index, count: torch.float32,
    lambda index, count: _LOWER,
    lambda index, count: torch.float32 if index == count - 1 else _LOWER,
    lambda index, count: torch.float32 if index == 0 else _LOWER,
    lambda index, count: torch.float64,
    lambda index, count: torch.float64 if index == 0 else torch.float32,
    lambda index, count: torch.float64 if index == count - 1 else _LOWER,
    lambda index, count: _OTHER,
)
"""dtypes of the floating operands, by place and count."""
_POLICIES: Final = ("lowered", "float32", "float32-dtype", "float32-overload", "promote", "banned")


def _varied(samples: Sequence[Sample]) -> list[Sample]:
    """Some that differ in which arguments they have, those with floating tensors first."""
    kinds: dict[Any, list[Sample]] = {}
    for sample in samples:
        floats = sum(tensor.dtype == torch.float32 for tensor in sample.tensors())
        kinds.setdefault((-floats, tuple(sorted(sample.arguments))), []).append(sample)
    ordered = [kinds[kind] for kind in sorted(kinds)]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*ordered))
    return [one for one in turns if one is not None][:_MOST]


def _policy(samples: Sequence[Sample], device: str) -> str | None:
    """The only policy that explains all that autocast does."""
    left = [policy for policy in _POLICIES if _is_possible(policy, samples[0].op)]
    told = False
    for sample in samples:
        if not any(tensor.dtype == torch.float32 for tensor in sample.tensors()):
            continue
        for dtypes in _COMBINATIONS:
            seen = _under(sample, device, dtypes)
            left = [policy for policy in left if _explicit(policy, sample, device, dtypes) == seen]
            told = told or (seen[-1] != "raises" and bool(seen))
    return left[0] if len(left) == 1 and (told or left == ["banned"]) else None


class _Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Notes what comes to the dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: _Calls = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace != "prim":  # asks what device a tensor is on
            self.calls.append((str(func), [_told(leaf) for leaf in pytree.tree_leaves((args, kwargs or {}))]))
        return func(*args, **(kwargs or {}))


def _told(leaf: Any) -> Any:
    return (leaf.dtype, leaf.shape) if isinstance(leaf, torch.Tensor) else repr(leaf)


def _under(sample: Sample, device: str, dtypes: Callable[[int, int], torch.dtype]) -> _Calls:
    """What comes to the dispatcher of an op in a region."""
    return _watched(sample, device, dtypes, lambda given: given.run(), enabled=True)


def _explicit(policy: str, sample: Sample, device: str, dtypes: Callable[[int, int], torch.dtype]) -> _Calls:
    """What comes to the dispatcher of an op outside of regions, after the casts of a policy."""
    if policy == "banned":
        return ["raises"]
    return _watched(sample, device, dtypes, lambda given: _cast(policy, given, device), enabled=False)


def _watched(
    sample: Sample,
    device: str,
    dtypes: Callable[[int, int], torch.dtype],
    run: Callable[[Sample], Any],
    *,
    enabled: bool,
) -> _Calls:
    place = torch.device(device, 0) if device != "cpu" else torch.device("cpu")
    floats = [tensor for tensor in sample.tensors() if tensor.dtype == torch.float32]
    order = itertools.count()

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        dtype = dtypes(next(order), len(floats)) if tensor.dtype == torch.float32 else tensor.dtype
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype, device=place)

    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            given = sample.changed(moved)
            recorder = _Recorder()
            with _autocast(device, enabled=enabled), recorder:
                try:
                    returned = run(given)
                    recorder.calls.append([_told(leaf) for leaf in pytree.tree_leaves(returned)])
                except Exception:  # noqa: BLE001  # the same comes to the dispatcher before
                    recorder.calls.append("raises")
            casts = list(itertools.takewhile(lambda call: call[0] == "aten._to_copy.default", recorder.calls))
            return [*sorted(casts, key=repr), *recorder.calls[len(casts) :]]  # operands are cast in any order
    except Exception:  # noqa: BLE001  # a device of which no tensor can be made here
        return []


@contextlib.contextmanager
def _autocast(device: str, *, enabled: bool) -> Iterator[None]:
    """As torch.autocast does, on devices that are not there, too."""
    before, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    try:
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, _LOWER)
        yield
    finally:
        torch.set_autocast_enabled(device, before)
        torch.set_autocast_dtype(device, dtype)
        torch.clear_autocast_cache()


def _cast(policy: str, sample: Sample, device: str) -> Any:
    """Call an op after the casts of a policy."""
    match policy:
        case "lowered" | "float32":
            to = _LOWER if policy == "lowered" else torch.float32
            return sample.changed(lambda one: one.to(to) if _is_eligible(one, device) else one).run()
        case "promote":
            optional = {one.name for one in sample.op._schema.arguments if isinstance(one.type, torch.OptionalType)}
            counted = {name: value for name, value in sample.arguments.items() if name not in optional}
            dtypes = {one.dtype for one in Sample(sample.op, counted).tensors() if _is_eligible(one, device)}
            if not dtypes <= {_LOWER, torch.float32}:
                raise RuntimeError("autocast does not say what is wider")
            to = torch.float32 if torch.float32 in dtypes else _LOWER
            return sample.changed(lambda one: one.to(to) if _is_eligible(one, device) else one).run()
        case "float32-dtype":
            first = next(iter(sample.arguments.values()))
            told = sample.arguments.get("dtype") is not None
            if told or not (isinstance(first, torch.Tensor) and _is_eligible(first, device)):
                return sample.run()
            return sample.run(dtype=torch.float32)
        case "float32-overload":
            first = next(iter(sample.arguments.values()))
            wide = _is_eligible(first, device) if isinstance(first, torch.Tensor) else False
            return sample.run(_with_dtype(sample.op), dtype=torch.float32 if wide else first.dtype)
    return sample.run()


def _is_eligible(tensor: torch.Tensor, device: str) -> bool:
    return tensor.is_floating_point() and tensor.dtype != torch.float64 and tensor.device.type == device


def _is_possible(policy: str, op: Any) -> bool:
    if policy == "float32-dtype":
        return "dtype" in {argument.name for argument in op._schema.arguments}
    return policy != "float32-overload" or _with_dtype(op) is not None


@cache
def _with_dtype(op: Any) -> Any:
    """The overload of the same op that takes a dtype besides, if there is one."""
    names = [argument.name for argument in op._schema.arguments]
    overloads = (getattr(op.overloadpacket, name) for name in op.overloadpacket.overloads())
    for other in overloads:
        arguments = other._schema.arguments
        if [one.name for one in arguments] == [*names, "dtype"] and not arguments[-1].has_default_value():
            return other
    return None


warnings.filterwarnings("ignore", message="In .* autocast, but")
