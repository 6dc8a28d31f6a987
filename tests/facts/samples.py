"""Arguments to call ops with, for experiments: from torch's OpInfo database, and made up for what it does not reach."""

from __future__ import annotations

import importlib
import itertools
import logging
import os
import sys
import types
import unittest
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

MOST: Final = 72
"""So many samples are kept of an overload."""
_DTYPES: Final = (torch.float32, torch.int64, torch.complex64, torch.bool)
"""Those that the database is asked for samples of."""
_MOST_ELEMENTS: Final = 20_000


class Sample(msgspec.Struct, frozen=True):
    """Arguments of one call of an overload, by name."""

    op: Any
    """The ``OpOverload``."""
    arguments: dict[str, Any]

    def run(self, op: Any = None, **changes: Any) -> Any:
        """The results of the overload, or of another one that takes the same arguments."""
        called = op or self.op
        given = {**self.arguments, **changes}
        positional = []
        for argument in called._schema.arguments:
            if argument.kwarg_only or argument.name not in given:
                break
            positional.append(given.pop(argument.name))
        return called(*positional, **given)

    def changed(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Sample:
        """The same with all tensors changed."""
        return Sample(self.op, pytree.tree_map_only(torch.Tensor, change, self.arguments))

    def copied(self) -> Sample:
        """The same with tensors of its own, laid out as they were."""
        copies: dict[int, torch.Tensor] = {}

        def copy(tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in copies:
                copies[id(tensor)] = cloned(tensor)
            return copies[id(tensor)]

        return self.changed(copy)

    def tensors(self) -> list[torch.Tensor]:
        """All tensors, those in lists too."""
        return [leaf for leaf in pytree.tree_leaves(self.arguments) if isinstance(leaf, torch.Tensor)]


def cloned(tensor: torch.Tensor) -> torch.Tensor:
    """A copy with the same strides."""
    if tensor.layout != torch.strided or tensor.is_quantized:
        return tensor.clone()
    copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype)
    if 0 not in tensor.stride():
        copy.copy_(tensor.detach())
        return copy
    return tensor.detach().clone()


def collect(every: int = 1, first: int = 0) -> dict[str, list[Sample]]:
    """Samples of aten's overloads by name (``aten.add.Tensor``).

    Of the database, each entry or only every so manieth from a first one, and then without what is made up.
    """
    warnings.simplefilter("ignore")
    logging.disable()  # calls that fail are expected
    torch.set_num_threads(1)  # the same sums each time, and processes can be forked
    recorder = _Recorder()
    for database in databases():
        for entry in database[first::every]:
            _record(entry, recorder)
    if every == 1:
        _make_up(recorder)
    return recorder.samples


class _Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Keeps what ops are called with."""

    def __init__(self) -> None:
        super().__init__()
        self.samples: dict[str, list[Sample]] = {}
        self._kinds: dict[str, set[object]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.keep(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))

    def keep(self, op: Any, args: Any, kwargs: dict[str, Any]) -> None:
        """Note a call, where calls of its kind are few yet."""
        name = str(op)
        names = [argument.name for argument in op._schema.arguments]
        sample = Sample(op, {**dict(zip(names, args, strict=False)), **kwargs})
        tensors = sample.tensors()
        if not name.startswith("aten.") or any(
            tensor.numel() > _MOST_ELEMENTS or tensor.layout != torch.strided for tensor in tensors
        ):
            return
        kind = (*((t.dtype, t.dim(), t.is_contiguous()) for t in tensors), *(n for n in names if n in sample.arguments))
        kinds, kept = self._kinds.setdefault(name, set()), self.samples.setdefault(name, [])
        if len(kept) < MOST and (len(kept) < MOST // 3 or kind not in kinds):
            kinds.add(kind)
            kept.append(Sample(op, sample.changed(lambda tensor: cloned(tensor.detach())).arguments))


def databases() -> Iterator[Any]:
    """OpInfo's lists of entries: that of all ops first, then those of ``_foreach`` ops."""
    if "expecttest" not in sys.modules:
        try:
            importlib.import_module("expecttest")
        except ImportError:  # the database needs of it the name of a class only
            stand_in = types.ModuleType("expecttest")
            stand_in.TestCase = unittest.TestCase  # type: ignore[attr-defined]
            sys.modules["expecttest"] = stand_in
    invocations = importlib.import_module("torch.testing._internal.common_methods_invocations")
    yield invocations.op_db
    for name in ("foreach_unary", "foreach_binary", "foreach_pointwise", "foreach_reduce", "foreach_other"):
        yield getattr(invocations, f"{name}_op_db", [])


def _record(entry: Any, recorder: _Recorder) -> None:
    names = {entry.name.removeprefix("nn.functional."), entry.aten_name, *(alias.name for alias in entry.aliases)}
    packets = [getattr(torch.ops.aten, name.replace(".", "_"), None) for name in names]
    packets += [getattr(torch.ops.aten, f"_{entry.name}", None)] if entry.name.startswith("foreach") else []
    for dtype in _DTYPES:
        if dtype not in entry.dtypes:
            continue
        gradients = dtype is torch.float32 and entry.supports_autograd
        try:
            samples = [
                sample for sample, _ in zip(entry.sample_inputs("cpu", dtype, gradients), range(40), strict=False)
            ]
        except Exception:  # noqa: BLE001  # a sampler may want what is not installed
            continue
        for sample in samples:
            for packet in packets:
                if packet is not None:
                    _resolve(packet, (sample.input, *sample.args), sample.kwargs, recorder)
            try:
                torch.default_generator.manual_seed(0)
                with recorder:
                    results = entry(sample.input, *sample.args, **sample.kwargs)
                    found = [one for one in pytree.tree_leaves(results) if isinstance(one, torch.Tensor)]
                    if gradients and any(one.requires_grad for one in found):
                        sum(one.sum() for one in found if one.requires_grad).backward()
            except Exception:  # noqa: BLE001  # what fails is no sample
                continue


def _resolve(packet: Any, args: tuple[Any, ...], kwargs: dict[str, Any], recorder: _Recorder) -> None:
    try:
        overload = torch._C._jit_resolve_packet(packet._qualified_op_name, *args, **kwargs)
    except RuntimeError:
        return
    recorder.keep(getattr(packet, overload or "default"), args, kwargs)


_MADE_UP: Final = 3
_SHAPES: Final = ((3, 4), (4, 4), (2, 3, 4), (2, 3, 4, 5), (6,))


def _make_up(recorder: _Recorder) -> None:
    """Samples for overloads with few: arguments that fit the types, with those of the op's other overloads first."""
    wanted: dict[str, Any] = {}
    for schema in torch._C._jit_get_all_schemas():
        namespace, _, op = schema.name.partition("::")
        overload = schema.overload_name or "default"
        packet = getattr(torch.ops.aten, op, None) if namespace == "aten" else None
        skipped = op.startswith("_") and not op.startswith(("__", "_foreach", "_conj", "_neg", "_cast", "_unsafe"))
        called = getattr(packet, overload, None)
        known = recorder.samples.get(f"aten.{op}.{overload}", [])
        writes = any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments)
        if called is not None and not skipped and not writes and len(known) < _MADE_UP:
            wanted[f"aten.{op}.{overload}"] = called
    fitting = in_parts(list(wanted), lambda part: {name: list(_fitting(wanted[name])) for name in part})
    for name, kinds in fitting.items():
        for shape, dtype in kinds:
            recorder.keep(wanted[name], (), _arguments(wanted[name], shape, dtype))


def _fitting(op: Any) -> Iterator[tuple[int, int]]:
    """Which shapes and dtypes it can be called with, by their numbers."""
    for shape, dtype in itertools.product(range(len(_SHAPES)), range(len(_DTYPES))):
        arguments = _arguments(op, shape, dtype)
        if None in arguments.values():
            continue
        try:
            with torch.no_grad():
                Sample(op, arguments).run()
        except Exception:  # noqa: BLE001  # what fails is no sample
            continue
        yield shape, dtype


def _arguments(op: Any, shape: int, dtype: int) -> dict[str, Any]:
    needed = [argument for argument in op._schema.arguments if not argument.has_default_value()]
    return {a.name: _value(str(a.type), a.name, _SHAPES[shape], _DTYPES[dtype]) for a in needed}


def _value(kind: str, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    def tensor() -> torch.Tensor:
        made = torch.arange(1, 1 + torch.Size(shape).numel()).reshape(shape)
        return (made % 7 + 1).to(dtype) if not dtype.is_floating_point else made.to(dtype) / 7

    match kind:
        case "Tensor":
            return tensor()
        case "List[Tensor]":
            return [tensor(), tensor()]
        case "number" | "Scalar" | "int" | "SymInt":
            return 1
        case "float":
            return 0.5
        case "bool":
            return True
        case "List[int]" | "List[SymInt]":
            return list(shape) if name in ("size", "sizes", "shape") else [0]
        case "List[number]":
            return [2, 3]
    return None


def in_parts(names: Sequence[str], measure: Callable[[Sequence[str]], dict[str, Any]]) -> dict[str, Any]:
    """What ``measure`` finds about all these overloads. It runs in processes of its own, since some ops end theirs when
    they are given what does not fit: of those nothing is found.
    """
    found: dict[str, Any] = {}
    parts = [list(names[start : start + 64]) for start in range(0, len(names), 64)]
    while parts:
        part = parts.pop(0)
        facts = _forked(part, measure)
        if facts is not None:
            found.update(facts)
        elif len(part) > 1:
            parts[:0] = [part[: len(part) // 2], part[len(part) // 2 :]]
    return found


def _forked(names: Sequence[str], measure: Callable[[Sequence[str]], dict[str, Any]]) -> dict[str, Any] | None:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(msgspec.json.encode(measure(names)))
            os._exit(0)
        finally:  # whatever was raised, this process is to go no further
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        written = pipe.read()
    _, status = os.waitpid(child, 0)
    return msgspec.json.decode(written) if status == 0 else None
