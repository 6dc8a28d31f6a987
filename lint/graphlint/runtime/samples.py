"""Inputs to run a program on: the artifact's own, and ones made from its recorded metadata and range constraints."""

import copy
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import torch
from torch.utils import _pytree as pytree

SIZES: Final = 3
"""How many different picks of the symbolic sizes are made."""
LARGEST: Final = 64
"""No symbolic size is picked larger than this, unless its range starts there."""
SEED: Final = 1299709


class Call(NamedTuple):
    """Arguments to call a program with."""

    label: str
    """For messages: ``the sample inputs``."""
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def calls_of(program: Any) -> Iterator[Call]:
    """Calls of an exported program: its sample inputs, those with other values, and inputs of several other sizes.

    Values are drawn from a generator of their own, the same ones each time. Without sample inputs, and for other
    sizes, tensors are made of what the placeholders record; integers in them come from the sample, or are zeros and
    ones, since they are likely to be indices.
    """
    generator = torch.Generator().manual_seed(SEED)
    sample = program.example_inputs
    if sample is not None:
        args, kwargs = sample
        yield Call("the sample inputs", args, kwargs)
        args, kwargs = pytree.tree_map(lambda leaf: _other_values(leaf, generator), (args, kwargs))
        yield Call("the sample inputs with other values", args, kwargs)
    symbols = _symbols(program)
    if sample is not None and not symbols:
        return
    seen = set()
    for number in range(SIZES if symbols else 1):
        sizes = {symbol: _pick(program.range_constraints.get(symbol), number) for symbol in symbols}
        described = ", ".join(f"{symbol} = {size}" for symbol, size in sorted(sizes.items(), key=str))
        if described in seen:
            continue
        seen.add(described)
        made = _made(program, sizes, generator)
        if made is not None:
            yield Call(f"made inputs with {described}" if described else "made inputs", *made)


def _symbols(program: Any) -> set[Any]:
    """The symbols that the sizes of user inputs are made of."""
    symbols: set[Any] = set()
    for placeholder in _user_inputs(program):
        value = placeholder.meta.get("val")
        numbers = value.shape if isinstance(value, torch.Tensor) else [value]
        symbols.update(*(number.node.expr.free_symbols for number in numbers if isinstance(number, torch.SymInt)))
    return symbols


def _pick(constraint: Any, number: int) -> int:
    """A size within a range: near its lower end for 0, further up for more."""
    lower = max(int(constraint.lower), 1) if constraint is not None else 2
    try:
        upper = int(constraint.upper)
    except (AttributeError, OverflowError, TypeError, ValueError):
        upper = LARGEST
    upper = max(lower, min(upper, max(LARGEST, lower + 8)))
    return (lower, min(lower + 3, upper), min(lower + 10, upper))[number]


def _made(program: Any, sizes: dict[Any, int], generator: Any) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Arguments of these sizes, or None where the program does not record enough."""
    samples = pytree.tree_leaves(program.example_inputs) if program.example_inputs is not None else []
    leaves = []
    for position, placeholder in enumerate(_user_inputs(program)):
        leaf = samples[position] if position < len(samples) else None
        value = placeholder.meta.get("val")
        if isinstance(value, torch.Tensor):
            leaves.append(_tensor(value, sizes, leaf, generator))
        elif isinstance(value, torch.SymInt):
            leaves.append(_size(value, sizes))
        elif isinstance(value, (int, float, bool, str, type(None))):
            leaves.append(value)
        elif samples:
            leaves.append(leaf)
        else:
            return None
    args, kwargs = pytree.tree_unflatten(leaves, program.call_spec.in_spec)
    return args, kwargs


def _user_inputs(program: Any) -> list[Any]:
    """The placeholders of the user inputs in their order."""
    user = torch.export.graph_signature.InputKind.USER_INPUT
    placeholders = program.graph.find_nodes(op="placeholder")
    pairs = zip(program.graph_signature.input_specs, placeholders, strict=True)
    return [node for spec, node in pairs if spec.kind == user]


def _size(number: Any, sizes: dict[Any, int]) -> int:
    return int(number.node.expr.subs(sizes)) if isinstance(number, torch.SymInt) else int(number)


def _tensor(recorded: Any, sizes: dict[Any, int], sample: Any, generator: Any) -> Any:
    shape = [_size(number, sizes) for number in recorded.shape]
    if isinstance(sample, torch.Tensor) and sample.numel():
        made = _like_sample(shape, sample, generator)
    else:
        made = _random(shape, recorded.dtype, generator)
    return made.to(recorded.device).requires_grad_(bool(recorded.requires_grad))


def _like_sample(shape: list[int], sample: Any, generator: Any) -> Any:
    """Floating-point values at random, others taken from the sample."""
    if sample.dtype.is_floating_point or sample.dtype.is_complex:
        return _random(shape, sample.dtype, generator)
    values = sample.detach().cpu().flatten()
    return values[torch.randint(values.numel(), shape, generator=generator)]


def _random(shape: list[int], dtype: Any, generator: Any) -> Any:
    if dtype.is_floating_point or dtype.is_complex:
        wide = torch.complex64 if dtype.is_complex else torch.float32
        return (torch.randn(shape, dtype=wide, generator=generator) * 3).to(dtype)
    return torch.randint(2, shape, generator=generator).to(dtype)


def _other_values(leaf: Any, generator: Any) -> Any:
    """A tensor of the same metadata with other values."""
    if not isinstance(leaf, torch.Tensor) or not leaf.numel() or leaf.layout != torch.strided:
        return leaf
    other = copy.deepcopy(leaf.detach())
    other = other.clone() if 0 in other.stride() else other  # torch writes no element that stands for several
    with torch.no_grad():
        other.copy_(~other if leaf.dtype == torch.bool else _like_sample(list(leaf.shape), leaf, generator))
    return other.requires_grad_(leaf.requires_grad)
