"""Programs that write with the ops of torch's OpInfo database: in place, with ``out=``, through the views they take.

A program's name says all of it, so that it can be built again: the entry of the database, the dtype, whether sizes are
dynamic, the number of the sample, and the form.
"""

from __future__ import annotations

import copy
import functools
import itertools
import random
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy
import torch
from tests import judge
from tests.facts import samples
from tests.mutation import trial
from torch.utils import _pytree as pytree

from graphlint.runtime.behaviour import memory_of

DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool}
DTYPES |= {"bfloat16": torch.bfloat16, "complex64": torch.complex64}
WIDER = {torch.float32: torch.float64, torch.int64: torch.float64, torch.bool: torch.int64}
WIDER |= {torch.bfloat16: torch.float32, torch.complex64: torch.complex128}
MOST_ELEMENTS, MOST_SAMPLES = 20_000, 20

Place = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""What an op writes, and the tensor that this is a view of (or is itself), made of a value, a buffer and an input."""


def _same(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return tensor, tensor


def _doubled(value: torch.Tensor) -> torch.Tensor:
    return torch.cat([value, value], -1) if value.dim() else torch.stack([value, value])


def _inner(base: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return base, base[..., 1 : 1 + value.shape[-1]] if value.dim() else base[1]


def _permuted(value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    base = value.transpose(0, -1).clone(memory_format=torch.contiguous_format)
    return base, base.transpose(0, -1)


def _filled(value: torch.Tensor) -> torch.Tensor:
    return torch.full_like(value, 0 if value.dtype == torch.bool else 3)  # what a write that gets lost would leave


IN_PLACE: dict[str, Place] = {
    "intermediate": lambda value, held, given: _same(value.clone()),
    "permuted": lambda value, held, given: _permuted(value),
    "slice": lambda value, held, given: _inner(_doubled(value), value),
    "buffer slice": lambda value, held, given: _inner(held, value),
    "input": lambda value, held, given: _same(given),
}
OUT: dict[str, Place] = {
    "fresh": lambda value, held, given: _same(torch.empty_like(value)),
    "empty": lambda value, held, given: _same(torch.empty(0, dtype=value.dtype)),
    "slice": lambda value, held, given: _inner(_doubled(_filled(value)), value),
    "permuted": lambda value, held, given: _permuted(_filled(value)),
    "buffer": lambda value, held, given: _same(held),
    "input": lambda value, held, given: _same(given),
    "wider": lambda value, held, given: _same(torch.empty_like(value, dtype=WIDER.get(value.dtype))),
}
VIEW: dict[str, Place] = {
    "intermediate": lambda value, held, given: _same(value.clone()),
    "buffer": lambda value, held, given: _same(held),
}
FORMS = [f"in-place {place}" for place in IN_PLACE] + [f"out= {place}" for place in OUT]
FORMS += [f"{written} of {place}" for place in VIEW for written in ("view", "base")]


class Name(NamedTuple):
    """All that it takes to build a program."""

    entry: str
    dtype: str
    sizes: str
    """``static`` or ``dynamic``."""
    sample: int
    form: str

    def __str__(self) -> str:
        return "/".join(map(str, self))


class Called(NamedTuple):
    """An op's arguments, the tensors among them apart."""

    tensors: list[torch.Tensor]
    leaves: list[Any]
    spec: Any

    def filled(self, tensors: tuple[torch.Tensor, ...]) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The arguments with other tensors: the operand, and those after it by position and by name."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self.leaves]
        return pytree.tree_unflatten(leaves, self.spec)

    def copied(self) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
        """The arguments themselves, copies of them."""
        return self.filled(tuple(copy.deepcopy(self.tensors)))


class Module(torch.nn.Module):
    """Calls ``body`` with the buffers and what it is given."""

    def __init__(self, body: Callable[..., Any], held: list[torch.Tensor]) -> None:
        super().__init__()
        self.body, self.count = body, len(held)
        for index, one in enumerate(held):
            self.register_buffer(f"held_{index}", one)

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.body([getattr(self, f"held_{index}") for index in range(self.count)], tensors)


@functools.cache
def entries() -> dict[str, Any]:
    """The entries of the database by name."""
    warnings.simplefilter("ignore")
    database = next(samples.databases())
    return {f"{entry.name}{'.' * bool(entry.variant_test_name)}{entry.variant_test_name}": entry for entry in database}


def _calls(name: str, dtype: str) -> Iterator[Called]:
    """The first samples that are small and hold elements."""
    torch.manual_seed(0)
    random.seed(0)
    numpy.random.seed(0)
    for one in itertools.islice(entries()[name].sample_inputs("cpu", DTYPES[dtype]), MOST_SAMPLES):
        leaves, spec = pytree.tree_flatten((one.input, tuple(one.args), one.kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        fits = all(t.layout == torch.strided and 0 < t.numel() < MOST_ELEMENTS for t in tensors)
        if fits and not one.broadcasts_input:  # its result is none that can be written in place
            yield Called([t.detach().clone() for t in tensors], leaves, spec)


@functools.lru_cache(maxsize=8)
def call_of(name: str, dtype: str, number: int) -> Called:
    """Sample 0 is the first one of a matrix or more, if there is any; 1 is the last one."""
    calls = _calls(name, dtype)
    first = next(calls)
    if number:
        return [first, *calls][-1]
    return next((one for one in itertools.chain([first], calls) if one.tensors and one.tensors[0].dim() > 1), first)


_UNSET = re.compile(r"(new_)?empty(_like|_strided|_permuted)?")
"""Of these, nobody knows what they return."""


def names(dtypes: Iterable[str], sizes: Iterable[str], count: int = 1, entry: str = "") -> Iterator[Name]:
    """The names of all programs, of so many samples of each entry that a regular expression finds."""
    for name in entries():
        if re.search(entry, name) and not _UNSET.fullmatch(name):
            forms = _forms(name)
            for dtype in _supported(name, dtypes):
                chosen = [size for size in sizes if size == "static" or dtype == "float32"]
                yield from (Name(name, dtype, *rest) for rest in itertools.product(chosen, range(count), forms))


def _supported(name: str, dtypes: Iterable[str]) -> list[str]:
    return [dtype for dtype in dtypes if DTYPES[dtype] in entries()[name].dtypes]


def _forms(name: str) -> list[str]:
    """The forms that an op has."""
    entry = entries()[name]
    has = {"in-place": entry.inplace_variant is not None, "out=": entry.supports_out}
    has["view"] = has["base"] = _is_view(name)
    return [form for form in FORMS if has[form.partition(" ")[0]]]


def _is_view(name: str) -> bool:
    """Whether a sample's result is in the memory of the operand."""
    try:
        operand, args, kwargs = call_of(name, _supported(name, DTYPES)[0], 0).copied()
        results = pytree.tree_leaves(entries()[name].op(operand, *args, **kwargs))
        return (memory_of(operand) or -1) in map(memory_of, results)
    except Exception:  # noqa: BLE001 - a sampler may want a device that is not there, or an op
        return False


def build(name: Name) -> trial.Case:
    """The program of that name. Raises where eager torch does not run it."""
    entry = entries()[name.entry]
    call = call_of(name.entry, name.dtype, name.sample)
    kind, _, place = name.form.partition(" ")
    held, given = [], []
    if kind == "in-place":
        held = [_doubled(call.tensors[0])] * (place == "buffer slice")
        body = functools.partial(_in_place, entry.inplace_variant, call, IN_PLACE[place])
    elif kind == "out=":
        operand, args, kwargs = call.copied()
        results = pytree.tree_leaves(entry.op(operand, *args, **kwargs))
        results = [_filled(one) for one in results if isinstance(one, torch.Tensor)]
        held, given = results * (place == "buffer"), results * (place == "input")
        body = functools.partial(_out, entry.op, call, OUT[place])
    else:
        place = place.removeprefix("of ")
        held = [call.tensors[0].clone()] * (place == "buffer")
        body = functools.partial(_view, entry.op, call, VIEW[place], kind)
    module, args = Module(body, held), (*call.tensors, *given)
    copied = copy.deepcopy((module, args))
    if any(one.numel() > MOST_ELEMENTS for one in pytree.tree_leaves(copied[0](*copied[1]))):
        raise ValueError("its results are too many")
    return trial.Case(module, args, (tuple(map(_sizes, args)),) if name.sizes == "dynamic" else None)


def eager_differs(name: Name) -> bool:
    """Whether eager torch writes with ``out=`` something else than the op returns."""
    if not name.form.startswith("out="):
        return False
    case = build(name)
    call, op = call_of(name.entry, name.dtype, name.sample), entries()[name.entry].op
    torch.manual_seed(0)
    for operand, args, kwargs in (call.copied(), call.copied()):  # as the program does, which draws twice
        returned = pytree.tree_leaves(op(operand, *args, **kwargs))
    torch.manual_seed(0)
    written, _ = case.module(*copy.deepcopy(case.args))
    pairs = zip(returned, pytree.tree_leaves(written), strict=True)
    return not all(judge.close(one, other.to(one.dtype)) for one, other in pairs)


def _sizes(tensor: torch.Tensor) -> dict[int, Any]:
    return dict.fromkeys(range(tensor.dim()), torch.export.Dim.AUTO)


def _in_place(op: Any, call: Called, place: Place, held: list[torch.Tensor], tensors: tuple[torch.Tensor, ...]) -> Any:
    operand, args, kwargs = call.filled(tensors)
    base, written = place(operand, *held or [operand], operand)
    return op(written, *args, **kwargs), base


def _out(op: Any, call: Called, place: Place, held: list[torch.Tensor], tensors: tuple[torch.Tensor, ...]) -> Any:
    operand, args, kwargs = call.filled(tensors)
    results = op(operand, *args, **kwargs)
    several = isinstance(results, (tuple, list))
    values = list(results) if several else [results]
    given = tensors[len(call.tensors) :] or values
    bases, outs = zip(*map(place, values, held or values, given), strict=True)
    written = op(operand, *args, **kwargs, out=tuple(outs) if several else outs[0])
    return tuple(written) if several else written, bases  # named tuples are not always saved


def _view(
    op: Any, call: Called, place: Place, kind: str, held: list[torch.Tensor], tensors: tuple[torch.Tensor, ...]
) -> Any:
    operand, args, kwargs = call.filled(tensors)
    base, taken = place(operand, *held or [operand], operand)
    views = op(taken, *args, **kwargs)
    written = base if kind == "base" else pytree.tree_leaves(views)[-1]
    if written.dtype == torch.bool:
        written.logical_not_()
    else:
        written.mul_(3).add_(1)
    return views, base
