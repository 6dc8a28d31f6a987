"""Runs the command line in this process, and says what no command may do."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import NamedTuple

from click.testing import CliRunner
from tests.fuzz import consumers
from tests.fuzz.consumers import FailedError

from graphlint.cli.clicked import app

SECONDS = 5
"""CPU time that one run may take."""


class Hang(BaseException):
    """A run took too long. No Exception, so that nothing catches it."""


class Ran(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raises Hang after so much CPU time."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Hang

    old = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


def run(*arguments: str, environment: dict[str, str] | None = None) -> Ran:
    """Run the command. What it says on stderr is judged here, what it says on stdout by whoever asked for it."""
    with time_limit():
        result = CliRunner().invoke(app, arguments, prog_name="graphlint", env=environment)
    said = " ".join(arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise FailedError(f"{said}\n" + "".join(traceback.format_exception(result.exception)))
    out, err = (text.decode("utf-8", "surrogateescape") for text in (result.stdout_bytes, result.stderr_bytes))
    if "internal error" in err or "Traceback" in err:
        raise FailedError(f"{said}\n{err}")
    if result.exit_code not in (0, 1, 2):
        raise FailedError(f"{said}: exit status {result.exit_code}")
    if "--color=always" not in arguments:
        consumers.terminal(err, f"stderr of {said}")
    return Ran(result.exit_code, out, err)


def expect(holds: bool, otherwise: str) -> None:
    """Raises FailedError unless it holds."""
    if not holds:
        raise FailedError(otherwise)
