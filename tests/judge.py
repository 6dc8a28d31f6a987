"""The judge: does a program do what another one does? Stock torch runs both, call after call.

What counts as the same is what ``graphlint verify`` takes for the same (``graphlint.runtime.behaviour``): results,
written inputs, state, what is printed and raised, random numbers; bits, so that 0.0 is not -0.0 and infinity no large
number; any NaN is any other one. A fix promises more, which only the tests ask for: strides, no result in memory where
none was before, the grad mode, the state dict, gradients.

Nothing here knows of pytest, so that scripts can use it.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree

from graphlint.runtime import behaviour
from graphlint.runtime.behaviour import Outcome, Runner, memory_of
from graphlint.runtime.samples import Call

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
ROUNDING = {torch.bfloat16: 2e-2, torch.float16: 2e-3}
"""Relative errors that rounding explains, where they are not 1e-4."""


class DifferenceError(AssertionError):
    """A program does something else."""


def quiet(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call something of torch that warns of what does not matter here."""
    # torch has a word to say of example inputs that are no plain tensors, with an argument too few for its message.
    logger = logging.getLogger("torch._export.serde.serialize")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return function(*args, **kwargs)
    finally:
        logger.setLevel(level)


def load(source: Any, name: str = "model") -> Any:
    """The program of that name in an artifact, a path or bytes, as stock torch loads it."""
    source = io.BytesIO(source) if isinstance(source, bytes) else str(source)
    if name == "model":
        return quiet(torch.export.load, source)
    from torch.export.pt2_archive._package import load_pt2

    return quiet(load_pt2, source).exported_programs[name]


def save(program: Any, path: Path) -> None:
    """Save a program."""
    quiet(torch.export.save, program, path)


def module(program: Any) -> Any:
    """The program's module."""
    return quiet(program.module)


def unflattened(program: Any) -> Any:
    """The program's modules, as stock torch sorts its nodes into them again."""
    return quiet(torch.export.unflatten, program)


def decomposed(program: Any) -> Any:
    """What torch's own functionalization makes of the program."""
    return quiet(program.run_decompositions, {})


# ------------------------------------------------------------------------------------------------ what a call does


class Seen(NamedTuple):
    """All that a call brings about."""

    outcome: Outcome
    strides: dict[str, tuple[Any, ...]]
    """Of results, inputs and state; None where a stride moves nothing."""
    shared: frozenset[tuple[int, str]]
    """The results that are in the memory of what the caller or the module holds: number and name of that."""
    gradients_enabled: bool
    """Afterwards: a check that fails in a no_grad region leaves the mode as it is there."""
    gradients: tuple[int, list[Any]]
    """How many results require gradients, and those of their sum, where they are asked for."""


class Witness(Runner):
    """Runs a program's module, or another one that was made of the program, and keeps what each call brings about."""

    def __init__(self, program: Any, module: Any = None, *, gradients: bool = False) -> None:
        super().__init__(program, quiet(program.module) if module is None else module)
        self._asked = gradients
        self._forget()

    def see(self, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Seen:
        """Call the module on copies of the arguments, from a fixed state of the random number generator."""
        self._forget()
        outcome = self.run(Call("", args, kwargs or {}))
        return Seen(outcome, self._strides, self._shared, self._enabled, self._gradients)

    def call(self, args: Any, kwargs: Any) -> Any:
        """Call the module, and look at what will be copied afterwards."""
        try:
            result = super().call(args, kwargs)
        finally:
            self._enabled = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        tensors = self.tensors()
        held = [(f"argument {index}", value) for index, value in enumerate((*args, *kwargs.values()))]
        self._shared = frozenset(_shared(result, [*held, *tensors.items()]))
        state = {name: value for name, value in tensors.items() if name not in self._tokens}
        for what, value in (("output", result), ("input", (args, kwargs)), ("state", state)):
            for path, leaf in pytree.tree_leaves_with_path(value):
                if isinstance(leaf, torch.Tensor) and leaf.layout == torch.strided:
                    self._strides[what + pytree.keystr(path)] = _strides(leaf)
        if self._asked:
            self._gradients = self._differentiate((args, kwargs), result)
        return result

    def _forget(self) -> None:
        self._strides: dict[str, tuple[Any, ...]] = {}
        self._shared: frozenset[tuple[int, str]] = frozenset()
        self._enabled, self._gradients = True, (0, [])

    def _differentiate(self, arguments: Any, result: Any) -> tuple[int, list[Any]]:
        # A token is no result of the model; it requires no gradient.
        outputs, leaves = (
            [one for one in pytree.tree_leaves(value) if isinstance(one, torch.Tensor) and one.requires_grad]
            for value in (result, arguments)
        )
        leaves += self.module.parameters()
        if not outputs or not leaves:
            return len(outputs), []
        total = sum(one.double().sum() for one in outputs)
        return len(outputs), list(torch.autograd.grad(total, leaves, allow_unused=True))


def _shared(result: Any, held: Iterable[tuple[str, Any]]) -> Iterator[tuple[int, str]]:
    places = {memory_of(one): name for name, value in held for one in pytree.tree_leaves(value)}
    for index, one in enumerate(pytree.tree_leaves(result)):
        at = memory_of(one)
        if at is not None and at in places:
            yield index, places[at]


def _strides(tensor: torch.Tensor) -> tuple[int | None, ...]:
    # The stride of a dimension of size 1 moves nothing, and ops do not agree on it; nor do any without elements.
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return tuple(stride if size != 1 and tensor.numel() else None for size, stride in pairs)


# ------------------------------------------------------------------------------------------------ what differs


def difference(before: Seen, after: Seen, *, written_back: bool = False, strides: bool = True) -> str | None:
    """The first difference between what two programs did, in words, or None.

    ``written_back`` says that writes become mutation outputs, which are written back at the end: what was written
    before an error may then differ, and so may the grad mode. ``strides`` are promised for inputs that are laid out as
    the sample inputs are.
    """
    found = behaviour.difference(before.outcome, after.outcome)
    if before.outcome.raised and not written_back:
        found = found or behaviour.difference(*(one.outcome._replace(raised="") for one in (before, after)))
    if found or (before.outcome.raised and written_back):
        return found
    for name, one in before.strides.items():
        if strides and one != after.strides[name]:
            return f"{name}: strides {one} before, {after.strides[name]} now"
    if more := after.shared - before.shared:  # less than before is fine
        return f"results are now in memory of what is held: {sorted(more)}"
    if before.gradients_enabled != after.gradients_enabled:
        return f"the grad mode is {after.gradients_enabled} afterwards"
    if not same(before.gradients, after.gradients):
        return f"gradients {before.gradients} before, {after.gradients} now"
    return None


def same(left: Any, right: Any) -> bool:
    """Whether two nested values are the same: structure, types, metadata, bits."""
    return behaviour.between(left, right, "") is None


def close(left: torch.Tensor, right: torch.Tensor, rounding: float = 1e-4) -> bool:
    """Whether two tensors are the same up to what rounding explains, for what other compilers make of a program.

    ``rounding`` is the relative error that what was computed before explains.
    """
    exact = not left.is_floating_point() and not left.is_complex()
    rounding = 0 if exact else max(rounding, ROUNDING.get(left.dtype, 0.0))
    alike = (left.dtype, left.shape) == (right.dtype, right.shape)
    return alike and torch.allclose(left, right, rtol=rounding, atol=rounding / 10, equal_nan=True)


def compare(
    original: Any,
    fixed: Any,
    calls: Iterable[Arguments],
    *,
    token: bool = False,
    gradients: bool = False,
    written_back: bool = False,
    strides: bool = True,
    times: int = 2,
) -> list[str]:
    """Call two programs or witnesses several times in a row on each of ``calls``; what each raised, "" if nothing.

    State is carried over from call to call, but for calls that raise where it is ``written_back``, and put back in the
    end. ``token`` says that the fixed program returns ``(result, token)``. Raises DifferenceError.
    """
    before, after = (
        one if isinstance(one, Witness) else Witness(one, gradients=gradients) for one in (original, fixed)
    )
    if before.module.state_dict().keys() != after.module.state_dict().keys():
        raise DifferenceError("the state dict has other entries")
    calls = list(calls)
    # One after the other: two programs in memory may share their state.
    seen, others = (_sequence(one, calls, times, written_back) for one in (before, after))
    for number, pairs in enumerate(zip(seen, others, strict=True)):
        for time, (expected, actual) in enumerate(zip(*pairs)):  # noqa: B905 - where one raises, there are fewer
            promised = _without_token(actual) if token else actual
            found = difference(expected, promised, written_back=written_back, strides=strides)
            if found:
                raise DifferenceError(f"call {number}, time {time}: {found}")
    return [repeats[-1].outcome.raised for repeats in seen]


def _sequence(witness: Witness, calls: list[Arguments], times: int, written_back: bool) -> list[list[Seen]]:
    """What each call brings about, time after time. Leaves the state as it was."""
    seen: list[list[Seen]] = []
    for args, kwargs in calls:
        seen.append([])
        for _ in range(times):
            seen[-1].append(witness.see(args, kwargs))
            if written_back and seen[-1][-1].outcome.raised:
                witness.restart()
                break
    witness.restart()
    return seen


def _without_token(seen: Seen) -> Seen:
    if seen.outcome.raised:
        return seen
    _, token = seen.outcome.result
    if (token.shape, token.dtype, token.device.type) != ((), torch.float32, "cpu"):
        raise DifferenceError(f"the token is {token}")
    strides = {name.replace("output[0]", "output", 1): one for name, one in seen.strides.items() if name != "output[1]"}
    return seen._replace(outcome=behaviour.without_token(seen.outcome), strides=strides)


# ------------------------------------------------------------------------------------------------ checks


def _graphs(module: Any) -> list[torch.fx.GraphModule]:
    return [one for one in module.modules() if isinstance(one, torch.fx.GraphModule)]


def checks(module: Any) -> list[str]:
    """The checks in a module's graphs, plain or functional, by name, sorted."""
    names = [str(node.target) for graph in _graphs(module) for node in graph.graph.nodes if node.op == "call_function"]
    return sorted(name for name in names if "_assert" in name or "constrain_range" in name)


def assert_survives_dead_code_elimination(fixed: Any, calls: Iterable[Arguments], raised: Iterable[str]) -> None:
    """Dead-code elimination leaves every check in place, and each still raises what it did."""
    pruned = module(fixed)
    for graph in _graphs(pruned):
        graph.graph.eliminate_dead_code()
        graph.recompile()
    assert checks(pruned) == checks(module(fixed))
    witness = Witness(fixed, pruned)
    assert [witness.see(*call).outcome.raised for call in calls] == list(raised)
