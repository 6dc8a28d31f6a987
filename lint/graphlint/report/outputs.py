"""Which reports a run writes, and where: ``FORMAT`` goes to stdout, ``FORMAT=FILE`` into a file."""

# Importing pathlib costs every run.

from __future__ import annotations

import os
from collections.abc import Sequence

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.report.formats.registry import FORMATS, STATISTICS
from graphlint.rules.selection import did_you_mean


class Output(msgspec.Struct, frozen=True):
    """One report of a run."""

    format: str
    """One of :data:`~graphlint.report.formats.registry.FORMATS`."""
    file: str = ""
    """The file to write; empty for stdout."""

    @property
    def is_text(self) -> bool:
        """Whether it is for people at a terminal."""
        return FORMATS[self.format].text

    def __str__(self) -> str:
        return f"{self.format}={self.file}" if self.file else self.format


def parse(text: str) -> Output:
    """``sarif=out.sarif`` or ``sarif``. Raises ConfigError, whose message says what is wrong but not where."""
    name, has_file, file = text.partition("=")
    if name not in FORMATS:
        raise ConfigError(f"unknown value {name!r}, expected one of {', '.join(FORMATS)}{did_you_mean(name, FORMATS)}")
    if has_file and not file:
        raise ConfigError(f"{text!r} names no file; write {name}=FILE, or {name} for stdout")
    return Output(name, file)


def check_stdout(outputs: Sequence[Output], option: str = "") -> None:
    """Raise ConfigError where several have no file; ``option`` stands before what the message proposes."""
    without = [output.format for output in outputs if not output.file]
    if len(without) > 1:
        names = " and ".join(without)
        raise ConfigError(f"{names} cannot both go to stdout; give all but one a file: {option}{without[-1]}=FILE")


def settled(outputs: tuple[Output, ...], file: str | None, *, statistics: bool) -> tuple[Output, ...]:
    """The outputs of a run, of which ``file`` (``-o``) is the place of the only one that has none.

    Raises ConfigError where two would be written to one place, or cannot be written at all.
    """
    without = [output for output in outputs if not output.file]
    if file is not None:
        if len(without) != 1:
            given = ", ".join(map(str, outputs))
            raise ConfigError(
                f"-o/--output-file goes with exactly one format that has no file of its own, not with {given}"
            )
        outputs = tuple(Output(one.format, one.file or file) for one in outputs)
    else:
        check_stdout(outputs, "--output-format ")
    seen: set[str] = set()
    for one in outputs:
        place = os.path.abspath(one.file) if one.file else ""
        if place in seen:
            raise ConfigError(f"two reports would be written to {one.file}; give each a file of its own")
        seen.add(place)
        if statistics and one.format not in STATISTICS:
            raise ConfigError(f"--statistics goes with {', '.join(STATISTICS)}, not with {one.format}")
    return outputs
