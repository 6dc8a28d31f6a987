"""What must not have happened to a file, whichever commands it went through."""

from __future__ import annotations

import importlib.metadata
import re
import resource
import tempfile
import traceback
from pathlib import Path
from typing import Any

from tests.fuzz import consumers, looks, running
from tests.fuzz.consumers import FailedError
from tests.fuzz.loading import Loader
from tests.fuzz.running import Hang, Ran, expect

MEBIBYTES = 1024
"""Address space that a worker may add to what it has at the start."""

_OF_MEMBERS = frozenset({"GL001", "GL003"})
_LACKING = re.compile(r'the members for "(.|\n)*?("| more)(?= have| which|,? which)')

OPTIONS = [
    [],
    [],
    ["--select=ALL", "--unsafe-fixes"],
    ["--token-sink=output"],
    ["--lift-state"],
    ["--target=onnx"],
    ["--target=executorch"],
    ["--target=inductor", "--select=ALL"],
    ["--target=coreml", "--unsafe-fixes"],
    ["--target=module", "--no-provenance", "--lift-state"],
    ["--target=onnx,inductor,executorch"],
    ["--select=ALL", "--ignore=GL2"],
]


def limit_memory(mebibytes: int = MEBIBYTES) -> None:
    """From now on, this process gets so much more address space and no more. Everything is to be loaded by then."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mebibytes * (1 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def judge(path: Path, number: int, original: Path | None = None, *, every_look: bool = False) -> str:
    """What became of the file: ``unreadable``, ``unchanged`` or ``fixed``. Raises FailedError.

    ``original`` is what it was mutated from. Besides the check and the fix come some of the other commands, by number,
    or ``every_look``.
    """
    options = OPTIONS[number % len(OPTIONS)]
    before = path.read_bytes()
    try:
        with tempfile.TemporaryDirectory() as folder:
            origin = before if original is None else original.read_bytes()
            looks.look(Path(folder), before, origin, options, number, every=every_look)
        return _judge(path, before, options)
    except Hang as hang:
        raise FailedError(f"more than {running.SECONDS} s:\n" + "".join(traceback.format_exception(hang))) from None


def still_loads(loader: Loader, fixed: Path, before: bytes) -> None:
    """Raises FailedError where torch loads the original, and not what a fix has made of it."""
    original = fixed.with_name("original.pt2")
    original.write_bytes(before)
    if not loader.load(original, run=False).loads or loader.load(fixed, run=False).loads:
        return
    # What graphlint says of the versions that load it, a fix has said too.
    _, file = _check(str(fixed))
    version = ".".join(importlib.metadata.version("torch").split(".")[:2])
    expect(any(version not in one for one in file["loads_in"].values()), "torch loads the file, and not the fixed one")


def _check(*arguments: str) -> tuple[Ran, dict[str, Any]]:
    """``graphlint check``, and its JSON report's one file."""
    ran = running.run("check", "--isolated", "--verbose", "--output-format=json", *arguments)
    expect(ran.out != "", f"no report: {ran.err}")
    [file] = consumers.strict_json(ran.out, "json")["files"]
    return ran, file


def _judge(path: Path, before: bytes, options: list[str]) -> str:
    arguments = [*options, str(path)]
    ran, report = _check(*arguments)
    _same(path, before, "check")
    expect(ran.status == int(_fails(report)), f"check: exit status {ran.status} with {report}")
    for command in (["check", "--isolated"], ["check", "--isolated", "--diff"]):
        consumers.terminal(running.run(*command, *arguments).out, " ".join(command))
    _same(path, before, "check or --diff")
    ran, fixed = _check("--fix", *arguments)
    expect([one.name for one in path.parent.iterdir()] == [path.name], "files were left behind")
    expect("bug of graphlint" not in (fixed["error"] or ""), f"--fix: {fixed['error']}")
    expect(ran.status == _expected_status(fixed), f"--fix: exit status {ran.status} with {fixed}; {ran.err}")
    if not fixed["changed"]:
        _same(path, before, "--fix, which says that it changed nothing,")
        return "unreadable" if _unreadable(report) else "unchanged"
    expect(path.read_bytes() != before, "--fix says that it changed the file")
    _, again = _check(*arguments)
    # A member that the fix has rewritten or taken away may have been all that GL001 or GL003 was about.
    left = [one for one in _what(fixed) if one[0] not in _OF_MEMBERS or one in _what(again)]
    expect(_what(again) == left, f"linted after the fix:\n{_what(again)}\nand by the fix:\n{_what(fixed)}")
    after = path.read_bytes()
    _, twice = _check("--fix", *arguments)
    expect(not twice["changed"] and path.read_bytes() == after, "a second --fix changes it again")
    running.run("restore", str(path))
    _, restored = _check(*arguments)
    # What cannot be read of the entry of a token's buffer goes with that.
    expect(set(_unreadable(restored)) <= set(_unreadable(report)), f"restored: {_unreadable(restored)}")
    return "fixed"


def _expected_status(report: dict[str, Any]) -> int:
    if report["error"]:
        return 2
    return int(_fails(report) or report["changed"])


def _fails(report: dict[str, Any]) -> bool:
    """Whether there is anything but notes."""
    return any(one["severity"] != "note" for one in report["diagnostics"])


def _what(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each finding: code, node or member, message. What GL001 says a member lacks may be less after a fix."""
    found = [(one["code"], one["node"] or one["member"] or "", one["message"]) for one in report["diagnostics"]]
    return [(code, place, _LACKING.sub("the members for ...", message)) for code, place, message in found]


def _unreadable(report: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What cannot be read: with several programs, some may be sound."""
    return [one for one in _what(report) if one[0] == "GL001"]


def _same(path: Path, before: bytes, what: str) -> None:
    expect(path.read_bytes() == before, f"{what} changed the file")
