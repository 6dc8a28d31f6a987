"""Does a consumer take a program, and does what it makes of it do the same as the eager module of the original?"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import torch
from tests.judge import ROUNDING, close
from torch.utils import _pytree as pytree

from graphlint.runtime import samples
from graphlint.runtime.behaviour import Outcome, Runner, captured, memory_of

from .consumers import Consumer, Taken
from .outcomes import DIFFERENT, REFUSED, TAKEN, Judgement

DRAWS = 400
"""How often a program that draws random numbers is run, where only the distribution can be compared."""
DEVIATIONS = 6.0
"""How many standard errors the means of both may be apart."""


class DifferenceError(Exception):
    """The consumer's result does something else."""


def judge(consumer: Consumer, original: Any, load: Callable[[], Any], report: Callable[[str], None]) -> Judgement:
    """Give ``consumer`` what ``load`` loads, and compare its result with the program ``original``.

    ``report`` is told the phases (``taking``, ``running``, ``checking``), for whoever has to explain a crash.
    """
    expected = Expected(original)
    report("taking")
    try:
        taken = consumer.take(load())
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a refusal
        return Judgement(REFUSED, reason(error))
    if taken.call is None:
        return Judgement(TAKEN, lost=_missing(expected, taken))
    report("running")
    lost: set[str] = set()
    try:
        _compare_runs(expected, taken, taken.call, consumer.seeded, lost)
    except DifferenceError as error:
        return Judgement(DIFFERENT, str(error), tuple(sorted(lost)))
    except Exception as error:  # noqa: BLE001 - the consumer can not run what it made
        return Judgement(REFUSED, f"when run: {reason(error)}")
    report("checking")
    unchecked = [label for label, call in expected.tripping if not _raises(taken.call, call)]
    if unchecked:
        lost.add("checks")
    some = len(unchecked) < len(expected.tripping)
    detail = f"not raised with {', '.join(unchecked)}" if unchecked and some else ""
    return Judgement(TAKEN, detail, tuple(sorted(lost)), len(expected.tripping))


# ------------------------------------------------------------------------------------------------ the original


class Expected:
    """What eager torch makes of the original: on its sample inputs twice in a row, on others, and on tripping ones."""

    def __init__(self, program: Any) -> None:
        first, *others = samples.calls_of(program)
        self.calls = [first, first._replace(label=f"{first.label} once more"), *others, *_shifted(first)]
        runner = Runner(program)
        self.outcomes = [runner.run(call) for call in self.calls]
        self.fresh = [_restarted(runner).run(call) for call in self.calls]
        """The same without the state that earlier calls left."""
        if self.outcomes[0].raised:
            raise RuntimeError(f"the original raises on {first.label}: {self.outcomes[0].raised}")
        torch.manual_seed(samples.SEED)
        self.draws = not torch.equal(torch.get_rng_state(), self.outcomes[0].random_state)
        self.writes = any(not close(value, runner.initial[name]) for name, value in self.outcomes[0].state.items())
        """Whether it writes to its state."""
        nodes = list(_check_nodes(program.graph_module))
        self.checks = bool(nodes)
        messages = {argument for node in nodes for argument in node.args if isinstance(argument, str)}
        messages.add("Expected Tensor with single nonzero value")  # of a check without a message
        self.tripping = []
        for label, call in _other_inputs(first) if nodes else ():
            raised = _restarted(runner).run(call).raised
            if any(message in raised for message in messages):
                self.tripping.append((label, call))
        self.rounding = _rounding(program.graph_module)
        self.runner = runner
        self.memory = {name: memory_of(value) for name, value in runner.tensors().items()}
        """Where the memory of each parameter, buffer and constant begins."""


def _rounding(graph_module: Any) -> float:
    """The relative error that rounding explains: the coarsest floating-point numbers that occur have it."""
    metas = (node.meta.get("val") for node in _nodes(graph_module))
    dtypes = {leaf.dtype for leaf in pytree.tree_leaves(list(metas)) if isinstance(leaf, torch.Tensor)}
    return max(1e-4, *(ROUNDING.get(dtype, 0.0) for dtype in dtypes), 0.0)


def _shifted(call: samples.Call) -> Iterator[samples.Call]:
    """Positions one further, where there are any: what earlier calls wrote to a cache is then to be seen."""

    def shifted(leaf: Any) -> Any:
        whole = isinstance(leaf, torch.Tensor) and leaf.dtype in (torch.int32, torch.int64)
        return leaf + 1 if whole else leaf

    args, kwargs = pytree.tree_map(shifted, (call.args, call.kwargs))
    if any(
        left is not right for left, right in zip(pytree.tree_leaves(args), pytree.tree_leaves(call.args), strict=True)
    ):
        yield samples.Call("whole numbers one larger", args, kwargs)


def _restarted(runner: Runner) -> Runner:
    runner.restart()
    return runner


_CHECK = re.compile(r"^aten\.(_functional)?_?(assert_(async|scalar)|sym_constrain_range)")


def _check_nodes(graph_module: Any) -> Iterator[Any]:
    """Nodes of run-time checks that inputs of the right shape and dtype can trip, subgraphs included."""
    return (node for node in _nodes(graph_module) if node.op == "call_function" and _CHECK.match(str(node.target)))


def _nodes(graph_module: Any) -> Iterator[Any]:
    for child in graph_module.modules():
        yield from getattr(child, "graph", torch.fx.Graph()).nodes


def _other_inputs(call: samples.Call) -> Iterator[tuple[str, samples.Call]]:
    """Extreme inputs: all tensors of a kind filled with a number, then each one alone."""
    leaves, spec = pytree.tree_flatten((call.args, call.kwargs))
    for floating, numbers in ((True, (-1000.0, 1e9, -1e9, "mixed")), (False, (0, 1, 11, -1))):
        places = [
            place
            for place, leaf in enumerate(leaves)
            if isinstance(leaf, torch.Tensor) and leaf.dtype != torch.bool and leaf.is_floating_point() == floating
        ]
        choices = [places] if len(places) < 2 else [places, *([place] for place in places)]
        for number in numbers:
            for chosen in choices:
                if not chosen:
                    continue
                filled = [_filled(leaf, number) if place in chosen else leaf for place, leaf in enumerate(leaves)]
                args, kwargs = pytree.tree_unflatten(filled, spec)
                where = "" if chosen == places else f" in input {chosen[0]}"
                yield f"{number}{where}", samples.Call(f"{number}", args, kwargs)


def _filled(leaf: torch.Tensor, number: Any) -> torch.Tensor:
    if number != "mixed":
        return torch.full_like(leaf, number)
    made = torch.full_like(leaf, 1000.0)  # a large sum, and yet one element far below zero
    if made.numel():
        made.view(-1)[0] = -200.0
    return made


# ------------------------------------------------------------------------------------------------ comparing


def _compare_runs(
    expected: Expected, taken: Taken, call: Callable[..., list[Any]], seeded: bool, lost: set[str]
) -> None:
    """Run all calls in a row. Adds what is lost; raises DifferenceError."""
    rounding = expected.rounding
    for place, arguments in enumerate(expected.calls):
        before, fresh = expected.outcomes[place], expected.fresh[place]
        if before.raised:
            continue
        args, kwargs = copy.deepcopy((arguments.args, arguments.kwargs))
        torch.manual_seed(samples.SEED)
        with captured() as printed:
            results = call(*args, **kwargs)
        if before.printed != printed[0]:
            if printed[0]:
                raise DifferenceError(f"with {arguments.label}: prints {printed[0]!r} instead of {before.printed!r}")
            lost.add("prints")
        if expected.draws and not seeded:
            _compare_distributions(expected, call, lost)
            return
        written = _written(arguments, before)
        more = len(results) - len([leaf for leaf in pytree.tree_leaves(before.result) if leaf is not None])
        if written and more == len(written) and _difference(written, results[:more], rounding) is None:
            # The signature's mutation outputs, which the consumer did not take away.
            results = results[len(written) :]
            lost.add("writes")
        _compare_values(f"with {arguments.label}: output", before.result, fresh.result, results, lost, rounding)
        _compare_values(
            f"with {arguments.label}: input after the call",
            before.inputs,
            (arguments.args, arguments.kwargs),
            pytree.tree_leaves((args, kwargs)),
            lost,
            rounding,
        )
        if taken.state is not None:
            _compare_states(expected, before, taken.state(), arguments.label)


def _written(arguments: samples.Call, after: Outcome) -> list[Any]:
    """The inputs that the call writes to, as they are afterwards."""
    pairs = zip(pytree.tree_leaves((arguments.args, arguments.kwargs)), pytree.tree_leaves(after.inputs), strict=True)
    return [new for old, new in pairs if isinstance(old, torch.Tensor) and not close(old, new)]


def _compare_values(
    what: str, expected: Any, unwritten: Any, actual: list[Any], lost: set[str], rounding: float
) -> None:
    """``unwritten`` is what there would be if nothing had been written to inputs or state."""
    found = _difference(pytree.tree_leaves(expected), actual, rounding)
    if found is None:
        return
    if _difference(pytree.tree_leaves(unwritten), actual, rounding) is not None:
        raise DifferenceError(f"{what} {found}")
    lost.add("writes")


def _compare_states(expected: Expected, before: Outcome, after: dict[str, Any], label: str) -> None:
    standing = {expected.memory.get(name) for name in after} - {None}
    for name, value in before.state.items():
        if name not in after and expected.memory.get(name) in standing:
            continue  # a fix lets one name of a memory stand for all
        if name not in after:
            raise DifferenceError(f"with {label}: there is no {name!r} any more")
        found = _difference([value], [after[name]], expected.rounding)
        if found:
            raise DifferenceError(f"with {label}: {name!r} {found}")


def _difference(expected: list[Any], actual: list[Any], rounding: float) -> str | None:
    """The first difference between two lists of leaves, up to what rounding explains."""
    expected = [leaf for leaf in expected if leaf is not None]
    actual = [leaf for leaf in actual if leaf is not None]
    if len(expected) != len(actual):
        return f"has {len(actual)} tensors instead of {len(expected)}"
    pairs = zip(map(_tensor, expected), map(_tensor, actual), strict=True)
    for place, (left, right) in enumerate(pairs):
        where = f"{place} " if len(expected) > 1 else ""
        if left.dtype != right.dtype or left.shape != right.shape:
            return f"{where}is {_kind(right)} instead of {_kind(left)}"
        if not close(left, right, rounding):
            wide = torch.complex128 if left.is_complex() else torch.float64
            gap = (left.to(wide) - right.to(wide)).abs().max().item()
            return f"{where}differs by up to {gap:.2g}"
    return None


def _tensor(leaf: Any) -> torch.Tensor:
    return torch.as_tensor(leaf).detach()


def _kind(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"


def _compare_distributions(expected: Expected, call: Callable[..., list[Any]], lost: set[str]) -> None:
    """Programs that draw: the means of many calls, from other seeds each."""
    arguments = expected.calls[0]
    eager = _many(_leaves(_restarted(expected.runner).module), arguments)
    other = _many(call, arguments)
    for place, (left, right) in enumerate(zip(eager, other, strict=True)):
        if left.shape != right.shape:
            raise DifferenceError(f"output {place} has another shape")
        if not right.std(0).any() and left.std(0).any():
            lost.add("draws")
        error = ((left.var(0) + right.var(0)) / DRAWS).sqrt()
        gap = (left.mean(0) - right.mean(0)).abs()
        if (gap > DEVIATIONS * error + 1e-4).any():
            raise DifferenceError(f"over {DRAWS} draws, the mean of output {place} is another one")


def _many(function: Callable[..., list[Any]], arguments: samples.Call) -> list[torch.Tensor]:
    """The results of many calls, stacked output by output."""
    results = []
    for number in range(DRAWS):
        args, kwargs = copy.deepcopy((arguments.args, arguments.kwargs))
        torch.manual_seed(number)
        with torch.no_grad(), captured():
            results.append([_tensor(leaf).clone().to(torch.float64) for leaf in function(*args, **kwargs)])
    return [torch.stack(output) for output in zip(*results, strict=True)]


def _leaves(module: Any) -> Callable[..., list[Any]]:
    return lambda *args, **kwargs: pytree.tree_leaves(module(*args, **kwargs))


def _raises(call: Callable[..., Any], arguments: samples.Call) -> bool:
    args, kwargs = copy.deepcopy((arguments.args, arguments.kwargs))
    try:
        with captured():
            call(*args, **kwargs)
    except Exception:  # noqa: BLE001 - compiled code words it in its own way
        return True
    return False


def _missing(expected: Expected, taken: Taken) -> tuple[str, ...]:
    """What is missing from the ops of a program that cannot run here."""
    lost = set()
    if expected.checks and not any("assert" in op for op in taken.ops):
        lost.add("checks")
    if expected.draws and not any("random" in op for op in taken.ops):
        lost.add("draws")
    if expected.writes and not any("update_state" in op for op in taken.ops):
        lost.add("writes")
    if any(outcome.printed for outcome in expected.outcomes):
        lost.add("prints")
    return tuple(sorted(lost))


# ------------------------------------------------------------------------------------------------ reasons

_COLOUR = re.compile(r"\x1b\[\d+m")
_FOLDERS = re.compile(r"(?<![\w.:/])/(?:[\w.+-]+/)+")
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SAYS_NOTHING = re.compile(
    r"(Check '.*' failed at|Exception from) \S+:\d+:$|FrontEnd API failed|Model wasn't|Summary:$"
)
"""Lines that only say where it was in the code, as OpenVINO begins with."""
_LONGEST = 240


def reason(error: BaseException) -> str:
    """Why, in one line: the first line of the innermost cause that says something."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines()]
    text = next((line for line in lines if line and not _SAYS_NOTHING.match(line)), "")
    text = _ADDRESS.sub("", _FOLDERS.sub("", f"{type(error).__name__}: {text}" if text else type(error).__name__))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
