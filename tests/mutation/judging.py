"""Stock torch judges a fixed module: what it computes, writes and draws, and whether what is recorded is true.

Used by the tests and by ``campaign.py``, so nothing here knows of pytest.
"""

import copy
import io
import json
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree

from graphlint.artifact.artifact import open_artifact
from graphlint.report.results import FileResult
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.run.engine import process

ALL = frozenset(rule.code for rule in RULES)
DEFAULT = frozenset(rule.code for rule in RULES if rule.enabled_by_default)
SETTINGS = Settings(enabled=DEFAULT, fixable=ALL)


class Case(NamedTuple):
    """A module and what it is called with."""

    module: torch.nn.Module
    args: tuple[Any, ...]
    dynamic: Any = None


class Fixed(NamedTuple):
    """A program before and after the fix."""

    before: bytes
    after: bytes
    result: FileResult
    args: tuple[Any, ...]


class DifferenceError(AssertionError):
    """The fixed program is not what was promised."""


def quiet(function, *args, **kwargs):
    """Call something of torch that warns of what does not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def export(case: Case) -> bytes:
    """The module as an artifact. Raises where torch cannot export it, or cannot load what it exported."""
    program = quiet(torch.export.export, case.module, case.args, dynamic_shapes=case.dynamic)
    buffer = io.BytesIO()
    quiet(torch.export.save, program, buffer)
    load(buffer.getvalue())
    return buffer.getvalue()


def load(data: bytes):
    """The artifact's program, as stock torch loads it."""
    return quiet(torch.export.load, io.BytesIO(data))


def fix(data: bytes, folder: Path, args=(), settings: Settings = SETTINGS) -> Fixed:
    """The artifact fixed; a second fix must change nothing."""
    path = folder / "program.pt2"
    path.write_bytes(data)
    result = process(str(path), settings, "fix")
    if result.error:
        raise DifferenceError(f"the fix failed: {result.error}")
    after = path.read_bytes()
    again = process(str(path), settings, "fix")
    if again.changed or again.fixed or again.error or path.read_bytes() != after:
        raise DifferenceError(f"a second fix changes something: {again}")
    return Fixed(data, after, result, args)


def tree_of(data: bytes, folder: Path) -> dict[str, Any]:
    """The JSON of the artifact's program."""
    path = folder / "read.pt2"
    path.write_bytes(data)
    with open_artifact(str(path)) as artifact:
        (entry,) = artifact.programs
        return json.loads(artifact.read_program(entry))


# ------------------------------------------------------------------------------------------------ meaning


def run(module, args, seed: int) -> dict[str, Any]:
    """All that a call brings about."""
    args = copy.deepcopy(args)
    torch.manual_seed(seed)
    raised = result = None
    try:
        result = module(*args)
    except Exception as error:  # noqa: BLE001 - whatever it is, both programs must raise it
        # What an interpreter adds names nodes, and those change.
        raised = f"{type(error).__name__}: {error}".partition("\n\nWhile executing")[0]
    enabled = torch.is_grad_enabled()
    torch.set_grad_enabled(True)
    named = [*module.named_parameters(), *module.named_buffers()]
    named += [(name, value) for name, value in vars(module).items() if isinstance(value, torch.Tensor)]
    state = {
        name: value.detach().clone()
        for name, value in sorted(named, key=lambda pair: pair[0])
        if not name.startswith("dep_token")
    }
    snapshot = pytree.tree_map_only(torch.Tensor, lambda value: value.detach().clone(), result)
    return {
        "what it raises": raised,
        "its result": snapshot,
        "what its result shares": _shared(result, [(f"argument {index}", value) for index, value in enumerate(args)])
        | _shared(result, named),
        "its arguments afterwards": args,
        "its state": state,
        "the random state": torch.get_rng_state(),
        "the grad mode": enabled,
    }


def _shared(result: Any, held: Iterable[tuple[str, Any]]) -> set[tuple[int, str]]:
    """The results that are in the memory of what the caller or the module holds: index and name."""

    def memory(value):
        strided = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.numel() > 0
        return value.untyped_storage().data_ptr() if strided else None

    places = {memory(one): name for name, value in held for one in pytree.tree_leaves(value)}
    leaves = enumerate(pytree.tree_leaves(result))
    return {(index, places[at]) for index, one in leaves if (at := memory(one)) is not None and at in places}


def same(left: Any, right: Any) -> bool:
    """Bit for bit the same, NaN equal to itself; types, shapes and structure included."""
    left_leaves, left_spec = pytree.tree_flatten(left)
    right_leaves, right_spec = pytree.tree_flatten(right)
    return left_spec == right_spec and all(map(_same_leaf, left_leaves, right_leaves))


def _same_leaf(left: Any, right: Any) -> bool:
    if not isinstance(left, torch.Tensor):
        return type(left) is type(right) and left == right
    if not isinstance(right, torch.Tensor):
        return False
    if (left.dtype, left.device, left.shape) != (right.dtype, right.device, right.shape):
        return False
    if left.is_complex():
        left, right = torch.view_as_real(left.resolve_conj()), torch.view_as_real(right.resolve_conj())
    missing = left.isnan()
    return torch.equal(missing, right.isnan()) and torch.equal(left[~missing], right[~missing])


def other_inputs(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of the same shapes with other values: floating ones scaled and shifted, flags inverted."""

    def changed(value):
        if not isinstance(value, torch.Tensor):
            return value
        new = copy.deepcopy(value)
        with torch.no_grad():
            if new.is_floating_point() or new.is_complex():
                new.mul_(-1.75).add_(0.5)
            elif new.dtype == torch.bool:
                new.logical_not_()
        return new

    return pytree.tree_map(changed, args)


def judge(fixed: Fixed, *more: tuple[Any, ...]) -> bool:
    """Both programs behave alike: on the sample inputs twice, on others once, and on the arguments in ``more``. Whether
    the original runs through on the sample inputs.

    Where a call raises, nothing else is compared: mutation outputs are written back at the end, so what was written in
    place before the error is not.
    """
    before, after = load(fixed.before), load(fixed.after)
    if set(before.state_dict) != set(after.state_dict):
        raise DifferenceError("the state dict has other entries")
    modules = quiet(before.module), quiet(after.module)
    runs = True
    for seed, args in enumerate((fixed.args, fixed.args, other_inputs(fixed.args), *more)):
        expected, actual = (run(module, args, seed) for module in modules)
        if actual["what it raises"] is None and "IndexError" in (expected["what it raises"] or ""):
            # Stock torch drops what nobody uses when it makes a module, with the errors that it would have raised.
            actual = run(_with_dead_code(fixed.after), args, seed)
        if expected["what it raises"] is not None:
            expected = {"what it raises": expected["what it raises"]}
        if len(expected) == 1 or _metadata_changes(fixed):
            modules = quiet(load(fixed.before).module), quiet(load(fixed.after).module)
        _compare(expected, actual, f"call {seed}")
        runs = runs and (seed > 0 or len(expected) > 1)
    return runs


def _with_dead_code(data: bytes):
    """The program's graph as it is, to be called with its user inputs."""
    program = load(data)
    module = program.graph_module

    def call(*args):
        flat = iter(pytree.tree_leaves(args))
        state = {**program.state_dict, **program.constants}
        specs = program.graph_signature.input_specs
        inputs = [next(flat) if spec.target is None else state[spec.target] for spec in specs]
        return torch.fx.Interpreter(module).run(*inputs)

    call.named_parameters = call.named_buffers = list
    return call


def _metadata_changes(fixed: Fixed) -> bool:
    """Whether the program leaves tensors of other sizes behind, for which nothing was promised."""
    reasons = " ".join(one.fix.message for one in fixed.result.diagnostics)
    return "sizes or strides" in reasons or "resizes" in reasons or "how much memory" in reasons


def _compare(expected: dict[str, Any], actual: dict[str, Any], where: str) -> None:
    for what, value in expected.items():
        if what == "what its result shares":  # less than before is fine
            if not actual[what] <= value:
                raise DifferenceError(f"{where}, the result shares {actual[what] - value}")
        elif not same(value, actual[what]):
            raise DifferenceError(f"{where}, {what}:\n{value}\nbefore,\n{actual[what]}\nafter")


def repeatable(data: bytes, args: tuple[Any, ...]) -> bool:
    """Whether the program does the same each time that it is loaded and run, which memory that is read before it is
    written prevents.
    """
    one, other = (run(quiet(load(data).module), args, 0) for _ in range(2))
    return all(same(value, other[what]) for what, value in one.items())


def judge_unflattened(fixed: Fixed) -> bool:
    """The fixed program unflattened does what it did; False where there is nothing to compare.

    Stock torch unflattens some programs wrongly: it drops regions whose results nobody uses, in spite of writes inside.
    And it cannot unflatten programs that write parameters back.
    """
    left = any(one.code.startswith("GL1") for one in fixed.result.diagnostics)
    if left or "parameter_mutation" in str(load(fixed.after).graph_signature).lower():
        return False
    try:
        before = run(quiet(torch.export.unflatten, load(fixed.before)), fixed.args, 0)
    except Exception:  # noqa: BLE001 - not for every program
        return False
    return _judge_variant(fixed, before, lambda: quiet(torch.export.unflatten, load(fixed.after)), "unflattened")


def judge_decomposed(fixed: Fixed) -> bool:
    """``run_decompositions({})`` works on the fixed program where it does on the original; False where it does not, or
    changes what the original does (an in-place op on the result of dropout in eval mode).
    """
    try:
        decomposed = quiet(load(fixed.before).run_decompositions, {})
    except Exception:  # noqa: BLE001 - not for every program
        return False
    before = run(quiet(decomposed.module), fixed.args, 0)
    torch.manual_seed(0)
    if not torch.equal(before["the random state"], torch.get_rng_state()):
        return False  # decomposing drops draws whose results nobody uses
    return _judge_variant(
        fixed, before, lambda: quiet(quiet(load(fixed.after).run_decompositions, {}).module), "decomposed"
    )


def _judge_variant(fixed: Fixed, before: dict[str, Any], build: Callable[[], Any], how: str) -> bool:
    kept = ("what it raises", "its result", "its arguments afterwards", "the random state")
    plain = run(quiet(load(fixed.before).module), fixed.args, 0)
    if plain["what it raises"] is not None or not all(same(plain[what], before[what]) for what in kept):
        return False
    after = run(build(), fixed.args, 0)
    if "view size is not compatible" in (after["what it raises"] or ""):
        return False  # decomposed ops make other strides than those that torch decomposed the rest for
    _compare({what: plain[what] for what in kept}, after, how)
    return True
