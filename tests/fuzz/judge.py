"""Runs the command line on a file, in this process, and says what must not have happened."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from graphlint.cli import app

SECONDS = 5
"""CPU time that one run may take."""
MEBIBYTES = 1024
"""Address space that a worker may add to what it has at the start."""

OPTIONS = [
    [],
    [],
    ["--select=ALL", "--unsafe-fixes"],
    ["--token-sink=output"],
    ["--target=onnx"],
    ["--target=executorch"],
    ["--target=inductor", "--select=ALL"],
]


class Hang(BaseException):
    """A run took too long. No Exception, so that nothing catches it."""


class FailedError(Exception):
    """What must not have happened."""


def limit_memory(mebibytes: int = MEBIBYTES) -> None:
    """From now on, this process gets so much more address space and no more. Everything is to be loaded by then."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mebibytes * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


@contextlib.contextmanager
def time_limit() -> Iterator[None]:
    """Raises Hang after SECONDS of CPU time."""

    def stop(signum: int, frame: Any) -> None:
        raise Hang

    old = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


def run(*arguments: str, command: str = "check") -> tuple[int, dict[str, Any], str]:
    """``graphlint check``, or another command: exit status, the report if it is JSON, and standard error."""
    options = ["--isolated", "--verbose"] if command == "check" else []
    with time_limit():
        result = CliRunner().invoke(app, [command, *options, *arguments], prog_name="graphlint")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise FailedError("".join(traceback.format_exception(result.exception)))
    if "internal error" in result.output + result.stderr or "Traceback" in result.stderr:
        raise FailedError(result.stderr)
    if result.exit_code not in (0, 1, 2):
        raise FailedError(f"exit status {result.exit_code}")
    try:
        report = json.loads(result.stdout)["files"][0] if "--output-format=json" in arguments else {}
    except (ValueError, KeyError, IndexError):
        raise FailedError(f"no report: {result.output}") from None
    return result.exit_code, report, result.stderr


def judge(path: Path, number: int) -> str:
    """What became of the file: ``unreadable``, ``unchanged`` or ``fixed``. Raises FailedError."""
    chosen = OPTIONS[number % len(OPTIONS)]
    options = [*chosen, "--output-format=json", str(path)]
    before = path.read_bytes()
    try:
        return _judge(path, before, chosen, options)
    except Hang as hang:
        raise FailedError(f"more than {SECONDS} s:\n" + "".join(traceback.format_exception(hang))) from None


def _judge(path: Path, before: bytes, chosen: list[str], options: list[str]) -> str:
    status, report, _ = run(*options)
    _same(path, before, "check")
    _expect(status == (1 if report["diagnostics"] else 0), f"check: exit status {status} with {report}")
    run(*chosen, str(path))
    run("--diff", *chosen, str(path))
    run("--diff", str(path), command="restore")
    run(str(path), command="show")
    _same(path, before, "--diff, restore --diff or show")
    status, fixed, errors = run("--fix", *options)
    _expect([one.name for one in path.parent.iterdir()] == [path.name], "files were left behind")
    _expect("bug of graphlint" not in (fixed["error"] or ""), f"--fix: {fixed['error']}")
    _expect(status == _expected_status(fixed), f"--fix: exit status {status} with {fixed}; {errors}")
    if not fixed["changed"]:
        _same(path, before, "--fix, which says that it changed nothing,")
        return "unreadable" if _unreadable(report) else "unchanged"
    _expect(path.read_bytes() != before, "--fix says that it changed the file")
    _, again, _ = run(*options)
    _expect(_what(again) == _what(fixed), f"linted after the fix:\n{_what(again)}\nand by the fix:\n{_what(fixed)}")
    after = path.read_bytes()
    _, twice, _ = run("--fix", *options)
    _expect(not twice["changed"] and path.read_bytes() == after, "a second --fix changes it again")
    run(str(path), command="restore")
    _, restored, _ = run(*options)
    _expect(_unreadable(restored) == _unreadable(report), f"restored: {_unreadable(restored)}")
    return "fixed"


def _expected_status(report: dict[str, Any]) -> int:
    if report["error"]:
        return 2
    return 1 if report["diagnostics"] or report["changed"] else 0


def _what(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["code"], one["node"] or one["member"] or "", one["message"]) for one in report["diagnostics"]]


def _unreadable(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What cannot be read: with several programs, some may be sound."""
    return [one for one in _what(report) if one[0] == "GL001"]


def _same(path: Path, before: bytes, what: str) -> None:
    _expect(path.read_bytes() == before, f"{what} changed the file")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise FailedError(otherwise)
