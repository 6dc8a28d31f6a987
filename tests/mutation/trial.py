"""A module's trial: exported, fixed, and judged by what it computes, writes and draws.

Used by the tests and by ``campaign.py``, so nothing here knows of pytest.
"""

import copy
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from tests.judge import DifferenceError, Seen, Witness, compare, decomposed, difference, load, quiet, unflattened
from torch.utils import _pytree as pytree

from graphlint.artifact.artifact import open_artifact
from graphlint.report.results import FileResult
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.run.engine import process
from graphlint.runtime import behaviour
from graphlint.runtime.samples import SEED

ALL = frozenset(rule.code for rule in RULES)
DEFAULT = frozenset(rule.code for rule in RULES if rule.enabled_by_default)
SETTINGS = Settings(enabled=DEFAULT, fixable=ALL, exact=True)
"""The judge compares bits."""
KEEPING = msgspec.structs.replace(SETTINGS, fixable=ALL - {"GL402"})
"""Autocast regions stay."""
ROUNDING = msgspec.structs.replace(SETTINGS, exact=False)
"""As graphlint is set by default."""


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


def export(case: Case) -> bytes:
    """The module as an artifact. Raises where torch cannot export it, or cannot load what it exported."""
    program = quiet(torch.export.export, case.module, case.args, dynamic_shapes=case.dynamic)
    buffer = io.BytesIO()
    quiet(torch.export.save, program, buffer)
    load(buffer.getvalue())
    return buffer.getvalue()


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


def other_inputs(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments of the same shapes with other values: floating ones scaled and shifted, flags inverted."""

    def changed(value):
        if not isinstance(value, torch.Tensor):
            return value
        new = copy.deepcopy(value)
        with torch.no_grad():
            if new.is_floating_point() or new.is_complex():
                _memory(new).mul_(-1.75).add_(0.5)
            elif new.dtype == torch.bool:
                _memory(new).logical_not_()
        return new

    return pytree.tree_map(changed, args)


def _memory(tensor: torch.Tensor) -> torch.Tensor:
    """All that is in a tensor's storage: of one that is expanded, each element once."""
    return tensor.detach().as_strided((tensor.untyped_storage().nbytes() // tensor.element_size(),), (1,), 0)


def judge(fixed: Fixed, before: Any, after: Any, *more: tuple[Any, ...]) -> bool:
    """Both programs, as they were loaded, behave alike: on the sample inputs, on others, and on the arguments in
    ``more``. Whether the original runs through on the sample inputs.
    """
    calls, others = ([(args, {}) for args in many] for many in ((fixed.args, other_inputs(fixed.args)), more))
    if _metadata_changes(fixed):
        raised = [_compare(fixed, load(fixed.before), load(fixed.after), [one], times=1)[0] for one in calls + others]
    else:
        raised = _compare(fixed, before, after, calls)
        _compare(fixed, before, after, others, strides=False)
    return not raised[0]


class SensitiveError(Exception):
    """A program gives other results already where its inputs differ by what rounding makes of them."""


def judge_rounded(fixed: Fixed, *more: tuple[Any, ...]) -> None:
    """Both programs behave alike up to rounding, in two calls each. Raises DifferenceError, or SensitiveError where the
    original tells nothing of that.
    """
    for given in (fixed.args, other_inputs(fixed.args), *more):
        found = _rounded(Witness(load(fixed.before)), Witness(load(fixed.after)), given, given)
        if found is None:
            continue
        for seed in range(4):
            one, other = Witness(load(fixed.before)), Witness(load(fixed.before))
            if _rounded(one, other, given, _disturbed(given, seed)) is not None:
                raise SensitiveError
        raise DifferenceError(found)


def _rounded(one: Witness, other: Witness, given: tuple[Any, ...], others: tuple[Any, ...]) -> str | None:
    for _ in range(2):
        seen = one.see(given).outcome, other.see(others).outcome
        # What the caller handed in differs already where it is not written.
        seen = seen if given is others else tuple(each._replace(inputs=()) for each in seen)
        found = behaviour.difference(*seen, behaviour.same_up_to_rounding)
        if found is not None or seen[0].raised:
            return found
    return None


def _disturbed(args: tuple[Any, ...], seed: int) -> tuple[Any, ...]:
    """The arguments with each floating-point number changed by about a millionth of it, or by its last bits."""
    numbers = torch.Generator().manual_seed(seed)

    def changed(value):
        if not isinstance(value, torch.Tensor) or not (value.is_floating_point() or value.is_complex()):
            return value
        new = copy.deepcopy(value)
        memory, step = _memory(new), max(1e-6, 2 * torch.finfo(value.dtype).eps)
        noise = 1 + step * (2 * torch.rand(memory.shape, generator=numbers) - 1)
        memory.mul_(noise.to(memory.real.dtype))
        return new

    return pytree.tree_map(changed, args)


_OF_DEAD_CODE = ("IndexError", "setStorage", "ZeroDivisionError")
"""What ops raise that torch drops from programs labelled ATEN, where nobody uses their results."""


def _compare(fixed: Fixed, before: Any, after: Any, calls: list[Any], **options: Any) -> list[str]:
    try:
        return compare(before, after, calls, written_back=True, **options)
    except DifferenceError as error:
        if not any(raised in str(error) for raised in _OF_DEAD_CODE):
            raise
    before, after = load(fixed.before), load(fixed.after)
    try:
        return compare(before, _DeadCode(after), calls, written_back=True, **options)
    except DifferenceError:
        before.graph.eliminate_dead_code()  # the fix has dropped views that nobody uses, as torch does
        return compare(before, after, calls, written_back=True, **options)


class _DeadCode(Witness):
    """Raises what stock torch drops when it makes a module, since nobody uses the results."""

    def __init__(self, program: Any) -> None:
        super().__init__(program)
        self._program = program

    def call(self, args: Any, kwargs: Any) -> Any:
        """Run the graph as it is, and then the module."""
        random_state = torch.get_rng_state()
        flat = iter(pytree.tree_leaves(copy.deepcopy(args)))
        state = copy.deepcopy({**self._program.state_dict, **self._program.constants})
        specs = self._program.graph_signature.input_specs
        inputs = [next(flat) if spec.target is None else state[spec.target] for spec in specs]
        torch.fx.Interpreter(self._program.graph_module).run(*inputs)
        torch.set_rng_state(random_state)
        return super().call(args, kwargs)


def _metadata_changes(fixed: Fixed) -> bool:
    """Whether the program leaves tensors of other sizes behind, for which nothing was promised."""
    reasons = " ".join(one.fix.message for one in fixed.result.diagnostics)
    return "sizes or strides" in reasons or "resizes" in reasons or "how much memory" in reasons


def repeatable(data: bytes, args: tuple[Any, ...], *more: tuple[Any, ...]) -> bool:
    """Whether the program does the same each time that it is loaded and run, which memory that is read before it is
    written, or beyond its end, prevents.
    """
    every = (args, other_inputs(args), *more)
    return all(difference(*(Witness(load(data)).see(one) for _ in range(2))) is None for one in every)


def judge_unflattened(fixed: Fixed) -> bool:
    """The fixed program unflattened does what it did; False where there is nothing to compare.

    Stock torch unflattens some programs wrongly: it drops regions whose results nobody uses, in spite of writes inside.
    And it cannot unflatten programs that write parameters back.
    """
    left = any(one.code.startswith("GL1") for one in fixed.result.diagnostics)
    if left or "parameter_mutation" in str(load(fixed.after).graph_signature).lower():
        return False

    def build(data: bytes) -> Witness:
        program = load(data)
        return Witness(program, unflattened(program))

    try:
        before = build(fixed.before).see(fixed.args)
    except Exception:  # noqa: BLE001 - not for every program
        return False
    return _judge_variant(fixed, before, build, "unflattened")


def judge_decomposed(fixed: Fixed) -> bool:
    """``run_decompositions({})`` works on the fixed program where it does on the original; False where it does not, or
    changes what the original does (an in-place op on the result of dropout in eval mode).
    """

    def build(data: bytes) -> Witness:
        return Witness(decomposed(load(data)))

    try:
        before = build(fixed.before).see(fixed.args)
    except Exception:  # noqa: BLE001 - not for every program
        return False
    torch.manual_seed(SEED)
    if not torch.equal(before.outcome.random_state, torch.get_rng_state()):
        return False  # decomposing drops draws whose results nobody uses
    return _judge_variant(fixed, before, build, "decomposed")


def _judge_variant(fixed: Fixed, before: Seen, build: Callable[[bytes], Witness], how: str) -> bool:
    plain = Witness(load(fixed.before)).see(fixed.args)
    if plain.outcome.raised or _differs(plain, before):
        return False
    after = build(fixed.after).see(fixed.args)
    if "view size is not compatible" in after.outcome.raised:
        return False  # decomposed ops make other strides than those that torch decomposed the rest for
    found = _differs(plain, after)
    if found:
        raise DifferenceError(f"{how}: {found}")
    return True


def _differs(left: Seen, right: Seen) -> str | None:
    """What differs other than the state, which variants name in their own way, and what they do not promise."""
    return behaviour.difference(*(one.outcome._replace(state={}) for one in (left, right)))
