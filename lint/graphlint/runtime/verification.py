"""Whether two artifacts do the same, found out by running both."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from graphlint.artifact.errors import ArtifactError, DifferenceError, VerificationError
from graphlint.ops.table import role_of
from graphlint.report.formats.phrasing import count, enumerated
from graphlint.runtime.behaviour import (
    Outcome,
    Runner,
    difference,
    later_difference,
    memory_of,
    same_bits,
    same_up_to_rounding,
    without_token,
)
from graphlint.runtime.loading import first_line, import_modules, load_programs, quiet
from graphlint.runtime.samples import Call, calls_of
from graphlint.runtime.state import Fed, Handed, handed_states


class Verified(msgspec.Struct, frozen=True):
    """What was compared, all of it alike."""

    programs: tuple[str, ...]
    calls: int
    """How many different inputs the programs were run on; each twice in a row."""
    raised: int
    """On how many of them they raised (the same)."""
    rounded: int = 0
    """On how many of them floating-point numbers differed by no more than rounding explains."""
    fed: tuple[str, ...] = ()
    """What one of the artifacts, or both, has as state among its inputs and outputs: fed from each call to the next."""


def verify(
    before: str, after: str, *, exact: bool = True, trust: bool = False, imports: Sequence[str] = ()
) -> Verified:
    """Run the programs of two artifacts in stock torch, and compare them bit by bit.

    Each program is called with its sample inputs, with other values, and where sizes are symbolic with several sizes
    within their range constraints; always twice in a row and with the same seeds. Compared are the results (at once,
    and again after each later call), the inputs that are written to, parameters, buffers and constants, what is
    printed, the state of the random number generator, and what is raised. Floating-point numbers have to be equal to
    the last bit; up to rounding (the tolerances of ``torch.testing.assert_close``) where they need not be ``exact``.

    ``trust`` admits artifacts that hold more than data, whose code then runs. ``imports`` are modules that register
    custom ops, classes and pytrees. Raises VerificationError where something cannot be run,
    DifferenceError (a VerificationError) where anything differs, ConfigError where a module cannot be imported.
    """
    import_modules(imports)
    return _compare_all(_loaded(before, f"{before}:", trust), _loaded(after, f"{after}:", trust), exact)


def verifier(
    *, trust: bool = False, report: Callable[[str], None] | None = None
) -> Callable[[str, str, bool, bool], None]:
    """What :func:`graphlint.run.engine.process` asks before it puts a fixed artifact in the place of the original.

    ``report`` is told what was compared.
    """

    def check(before: str, after: str, exact: bool, unchecked: bool) -> None:
        verified = _compare_all(_loaded(before, "", trust), _loaded(after, "after the fix it", trust), exact, unchecked)
        if report is not None:
            report(f"{before}: {describe(verified)}")

    return check


class _Program(NamedTuple):
    """A program, and how it is handed its state, if it is."""

    program: Any
    handed: Handed | None


def _loaded(path: str, which: str, trust: bool) -> dict[str, _Program]:
    """The programs in an artifact; ``which`` begins the message where they cannot be loaded."""
    try:
        programs = load_programs(path, trust=trust)
    except VerificationError as error:
        raise type(error)(f"{which} {error}".lstrip()) from error
    try:
        handed = handed_states(path)
    except ArtifactError as error:
        raise VerificationError(f"cannot be verified: {error}") from error
    return {name: _Program(one, handed.get(name)) for name, one in programs.items()}


def _compare_all(
    originals: dict[str, _Program], fixed: dict[str, _Program], exact: bool, unchecked: bool = False
) -> Verified:
    """``unchecked``: what raises in the original may go through in the other, whose checks were removed on purpose."""
    if originals.keys() != fixed.keys():
        before, after = (", ".join(sorted(programs)) for programs in (originals, fixed))
        raise DifferenceError(f"the programs are {before} before and {after} after")
    counts = [_compare(name, program, fixed[name], exact, unchecked) for name, program in originals.items()]
    handed = [one.handed for programs in (originals, fixed) for one in programs.values() if one.handed is not None]
    fed = dict.fromkeys(name for one in handed for name in one.initial)
    calls, raised, rounded = map(sum, zip(*counts, strict=True))
    return Verified(tuple(originals), calls, raised, rounded, tuple(fed))


def describe(verified: Verified) -> str:
    """One line on what was compared."""
    text = f"{count(len(verified.programs), 'program')} did the same on {count(verified.calls, 'input')}"
    text += f", of which {verified.raised} raised" if verified.raised else ""
    text += f", on {verified.rounded} of them up to rounding" if verified.rounded else ""
    text += ", each called twice: results, state, written inputs, prints, errors and random numbers were compared"
    if not verified.fed:
        return text
    names = enumerated([repr(name) for name in verified.fed])
    return f"{text}; each call was given the state that the one before had returned ({names})"


def _compare(name: str, original: _Program, fixed: _Program, exact: bool, unchecked: bool) -> tuple[int, int, int]:
    """On how many inputs two programs were compared, on how many of these they raised, and rounded otherwise."""
    with quiet():
        pair = _Pair(name, original, fixed, exact, unchecked)
        reasons = [pair.compare(_without_state(call, original)) for call in calls_of(original.program)]
        pair.restart()
    calls, raised = len(reasons), sum(map(bool, reasons))
    if calls == raised:
        why = f"it raises on all {calls} inputs: {reasons[0].splitlines()[0]}" if calls else "it records no inputs"
        raise VerificationError(f"cannot be verified: program {name!r} cannot be run: {why}")
    return calls, raised, len(pair.rounded)


def _without_state(call: Call, called: _Program) -> Call:
    """The call without the state that the program is handed."""
    handed = called.handed.initial if called.handed is not None else {}
    return call._replace(kwargs={name: value for name, value in call.kwargs.items() if name not in handed})


class _Pair:
    """The original and the fixed program, run side by side."""

    def __init__(self, name: str, original: _Program, fixed: _Program, exact: bool, unchecked: bool) -> None:
        self._name, self._exact, self._unchecked = name, exact, unchecked
        self.rounded: set[str] = set()
        """The inputs on which they rounded otherwise."""
        self._original, self._fixed = _runner(name, original, "the original"), _runner(name, fixed, "the fixed program")
        self._token_before, self._token_after = _returns_token(fixed, original), _returns_token(original, fixed)
        held, kept = self._original.tensors(), self._fixed.tensors().keys()
        memory = {memory_of(value) for name, value in held.items() if name in kept} - {None}
        self._merged = {name for name, value in held.items() if name not in kept and memory_of(value) in memory}
        """Names of the original's state that are gone, where another one of the same memory stands for them (GL108)."""
        self._earlier: list[tuple[str, Outcome, Outcome]] = []
        """The calls so far, in words, and what they brought about."""

    def compare(self, call: Call) -> str:
        """Run one call twice on both; what the first time raised. Raises DifferenceError where anything differs."""
        self.restart()
        raised = ""
        for time in ("first", "second"):
            before, after = self._original.run(call), self._fixed.run(call)
            before = without_token(before) if self._token_before else before
            before = before._replace(state={k: v for k, v in before.state.items() if k not in self._merged})
            after = without_token(after) if self._token_after else after
            described = f"program {self._name!r} differs on the {time} call with {call.label}"
            if self._unchecked and before.raised and not after.raised:
                return raised or before.raised
            found = difference(before, after)
            if found and not self._exact:
                found = difference(before, after, same_up_to_rounding)
                self.rounded.update([] if found else [call.label])
            if found:
                _check_repeats(self._name, call, self._original)
                raise DifferenceError(f"{described}: {found}")
            self._look_back()
            if before.raised:
                return raised or before.raised
            self._earlier.append((described, before, after))
        return raised

    def restart(self) -> None:
        """Put the state of both back, which is one more change to it."""
        self._original.restart()
        self._fixed.restart()
        self._look_back()

    def _look_back(self) -> None:
        """Raises DifferenceError where what an earlier call returned is another thing now, but for the original."""
        for described, before, after in self._earlier:
            found = later_difference(before, after, same_bits if self._exact else same_up_to_rounding)
            if found:
                raise DifferenceError(f"{described}, after later calls: {found}")


def _runner(name: str, called: _Program, which: str) -> Runner:
    try:
        return Runner(called.program) if called.handed is None else Fed(called.program, called.handed)
    except Exception as error:
        why = f"{which} has no module: {type(error).__name__}: {first_line(error)}"
        raise VerificationError(f"cannot be verified: program {name!r}: {why}") from error


def _check_repeats(name: str, call: Call, runner: Runner) -> None:
    """Raises if the original differs from itself, which no fix can be blamed for."""
    runs = []
    for _ in range(2):
        runner.restart()
        runs.append([runner.run(call), runner.run(call)])
    for first, second in zip(*runs, strict=True):
        found = difference(first, second)
        if found:
            raise VerificationError(
                f"cannot be verified: program {name!r} differs from itself from run to run, with {call.label}: {found}"
            )


def _returns_token(original: _Program, fixed: _Program) -> bool:
    """Whether ``fixed`` returns ``(result, token)`` (``token-sink = "output"``)."""
    before, after = _result_of(original), _result_of(fixed)
    return (
        before != after
        and after is not None
        and after.type is tuple
        and after.num_children == 2
        and after.children()[0] == before
        and after.children()[1].is_leaf()
        and any(role_of(str(node.target)) == "make-token" for node in fixed.program.graph.nodes)
    )


def _result_of(called: _Program) -> Any:
    """The structure of what a program returns, its state aside."""
    returned = called.program.call_spec.out_spec
    return returned if called.handed is None else returned.children()[0]
