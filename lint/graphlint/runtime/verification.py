"""Whether two artifacts do the same, found out by running both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from graphlint.artifact.errors import VerificationError
from graphlint.runtime.behaviour import Runner, difference, without_token
from graphlint.runtime.loading import first_line, import_modules, load_programs, quiet, require_torch
from graphlint.runtime.samples import Call, calls_of


class Verified(msgspec.Struct, frozen=True):
    """What was compared, all of it alike."""

    programs: tuple[str, ...]
    calls: int
    """How many different inputs the programs were run on; each twice in a row."""
    raised: int
    """On how many of them they raised (the same)."""


def verify(before: str, after: str, *, trust: bool = False, imports: Sequence[str] = ()) -> Verified:
    """Run the programs of two artifacts in stock torch, and compare them bit by bit.

    Each program is called with its sample inputs, with other values, and where sizes are symbolic with several sizes
    within their range constraints; always twice in a row and with the same seeds. Compared are the results, the
    inputs that are written to, parameters, buffers and constants, what is printed, the state of the random number
    generator, and what is raised. Floating-point numbers have to be equal to the last bit.

    ``trust`` admits artifacts that hold more than data, whose code then runs. ``imports`` are modules that register
    custom ops, classes and pytrees. Raises VerificationError where anything differs or cannot be run, ConfigError
    where a module cannot be imported.
    """
    require_torch()
    import_modules(imports)
    loaded = []
    for path in (before, after):
        try:
            loaded.append(load_programs(path, trust=trust))
        except VerificationError as error:
            raise VerificationError(f"{path}: {error}") from error
    return _compare_all(*loaded)


def verifier(*, trust: bool = False, report: Callable[[str], None] | None = None) -> Callable[[str, str], None]:
    """What :func:`graphlint.run.engine.process` asks before it puts a fixed artifact in the place of the original.

    ``report`` is told what was compared.
    """

    def check(before: str, after: str) -> None:
        require_torch()
        originals = load_programs(before, trust=trust)
        try:
            fixed = load_programs(after, trust=trust)
        except VerificationError as error:
            raise VerificationError(f"after the fix it {error}") from error
        verified = _compare_all(originals, fixed)
        if report is not None:
            report(f"{before}: {describe(verified)}")

    return check


def _compare_all(originals: dict[str, Any], fixed: dict[str, Any]) -> Verified:
    if set(originals) != set(fixed):
        raise VerificationError(
            f"the programs are {', '.join(sorted(originals))} before and {', '.join(sorted(fixed))} after"
        )
    counts = [_compare(name, program, fixed[name]) for name, program in originals.items()]
    return Verified(tuple(originals), sum(calls for calls, _ in counts), sum(raised for _, raised in counts))


def describe(verified: Verified) -> str:
    """One line on what was compared."""
    programs, calls = len(verified.programs), verified.calls
    text = f"{programs} program{'s' * (programs != 1)} did the same on {calls} input{'s' * (calls != 1)}"
    return f"{text}, of which {verified.raised} raised" if verified.raised else text


def _compare(name: str, original: Any, fixed: Any) -> tuple[int, int]:
    """On how many inputs two programs were compared, and on how many of these they raised."""
    with quiet():
        left, right = _runner(name, original, "the original"), _runner(name, fixed, "the fixed program")
        tokens = (_returns_token(fixed, original), _returns_token(original, fixed))
        calls = raised = 0
        reason = ""
        for call in calls_of(original):
            failed = _compare_call(name, call, left, right, tokens=tokens)
            calls += 1
            raised += bool(failed)
            reason = reason or failed
    if calls == raised:
        why = f"it raises on all {calls} inputs: {reason.splitlines()[0]}" if calls else "it records no inputs"
        raise VerificationError(f"cannot be verified: program {name!r} cannot be run: {why}")
    return calls, raised


def _runner(name: str, program: Any, which: str) -> Runner:
    try:
        return Runner(program)
    except Exception as error:
        raise VerificationError(
            f"cannot be verified: program {name!r}: {which} has no module: {type(error).__name__}: {first_line(error)}"
        ) from error


def _compare_call(name: str, call: Call, left: Runner, right: Runner, *, tokens: tuple[bool, bool]) -> str:
    """Run one call twice on both; what the first time raised. ``tokens`` says which of them return one, too."""
    left.restart()
    right.restart()
    raised = ""
    for time in ("first", "second"):
        before, after = (
            without_token(outcome) if with_token else outcome
            for outcome, with_token in zip((left.run(call), right.run(call)), tokens, strict=True)
        )
        found = difference(before, after)
        if found:
            _check_repeats(name, call, left)
            raise VerificationError(f"program {name!r} differs on the {time} call with {call.label}: {found}")
        if before.raised:
            return raised or before.raised
    return raised


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


def _returns_token(original: Any, fixed: Any) -> bool:
    """Whether ``fixed`` returns ``(result, token)`` (``token-sink = "output"``)."""
    before, after = original.call_spec.out_spec, fixed.call_spec.out_spec
    return (
        before != after
        and after is not None
        and after.type is tuple
        and after.num_children == 2
        and after.children()[0] == before
        and after.children()[1].is_leaf()
        and any(str(node.target).endswith("_make_dep_token.default") for node in fixed.graph.nodes)
    )
