"""Stock torch as the judge: does a program behave as another one does, call after call?"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from zoo.build import Arguments

UNFIXABLE = frozenset({"GL003", "GL302", "GL303", "GL305"})
"""What no rewrite should change: code that loading runs (of a cache among the sample inputs), random ops, training
dropout, ops that nobody has declared.
"""


class Outcome(NamedTuple):
    """All that one call brings about."""

    raised: str | None
    result: Any
    arguments: Any
    """The arguments after the call."""
    state: dict[str, Any]
    """Parameters, buffers and constants after the call, the token's buffer aside."""
    random_state: Any


def save(program: Any, path: Path) -> None:
    """Save an exported program."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)


def load(path: Path) -> Any:
    """The exported program in a file."""
    import torch

    # torch has a word to say of example inputs that are no plain tensors, with an argument too few for its message.
    logger = logging.getLogger("torch._export.serde.serialize")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(path)
    finally:
        logger.setLevel(level)


def decomposed(program: Any) -> Any:
    """What torch's own functionalization makes of a program."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return program.run_decompositions({})


def module_of(program: Any) -> Any:
    """A program's module."""
    with warnings.catch_warnings():
        # That constants require gradients, that attributes are no buffers.
        warnings.simplefilter("ignore")
        return program.module()


def run(module: Any, call: Arguments, seed: int) -> Outcome:
    """Call a module on copies of the arguments, from a fixed state of the random number generator."""
    import torch
    from torch.utils import _pytree

    args, kwargs = copy.deepcopy(call)
    torch.manual_seed(seed)
    raised = result = None
    try:
        result = module(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - whatever it is, both programs must raise it
        raised = f"{type(error).__name__}: {error}"
    result = _pytree.tree_map_only(torch.Tensor, lambda value: value.detach().clone(), result)
    return Outcome(raised, result, (args, kwargs), state(module), torch.get_rng_state())


def state(module: Any) -> dict[str, Any]:
    """Copies of all tensors that a module and its children hold, by qualified name. Of constants that lie in the memory
    of a buffer, only the buffer: a fix may leave such a second name out.
    """
    import torch

    held: dict[str, Any] = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    memory = {value.data_ptr() for value in held.values()}
    for prefix, child in module.named_modules():
        for name, value in vars(child).items():
            if isinstance(value, torch.Tensor) and value.data_ptr() not in memory:
                held[f"{prefix}.{name}".lstrip(".")] = value
    return {name: value.detach().clone() for name, value in held.items() if not name.startswith("dep_token")}


def same(left: Any, right: Any) -> bool:
    """Whether two nested values have the same structure, types and elements, to the bit."""
    from torch.utils import _pytree

    left_leaves, left_spec = _pytree.tree_flatten(left)
    right_leaves, right_spec = _pytree.tree_flatten(right)
    return left_spec == right_spec and all(map(_same_leaf, left_leaves, right_leaves))


def _same_leaf(left: Any, right: Any) -> bool:
    import torch

    if not isinstance(left, torch.Tensor):
        return type(left) is type(right) and left == right
    if not isinstance(right, torch.Tensor) or (left.dtype, left.shape) != (right.dtype, right.shape):
        return False
    return torch.equal(*(one.detach().reshape(-1).contiguous().view(torch.uint8) for one in (left, right)))


def differences(original: Any, changed: Any, calls: Iterable[Arguments]) -> list[str]:
    """What the calls, made one after the other on both programs, bring about differently; empty where nothing."""
    before, after = module_of(original), module_of(changed)
    found = [] if set(before.state_dict()) == set(after.state_dict()) else ["names of the state dict"]
    for number, call in enumerate(calls):
        expected, actual = run(before, call, number), run(after, call, number)
        for field in Outcome._fields:
            left, right = getattr(expected, field), getattr(actual, field)
            if field == "state":
                found += [
                    f"call {number}: {name}"
                    for name in sorted(left.keys() | right.keys())
                    if name not in left or name not in right or not same(left[name], right[name])
                ]
            elif not same(left, right):
                found.append(f"call {number}: {field}" + (f": {left} before, {right} now" if field == "raised" else ""))
    return found
