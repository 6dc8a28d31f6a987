"""Which reports a run writes, and where: ``FORMAT`` goes to stdout, ``FORMAT=FILE`` into a file."""

# Importing pathlib costs every run.

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import msgspec

from graphlint.artifact.errors import ConfigError

TEXT_FORMATS: Final = ("full", "concise", "grouped")
"""For people at a terminal: these have a summary, and colours where there are some."""
FORMATS: Final = (*TEXT_FORMATS, "json", "json-lines", "sarif", "github", "gitlab", "junit", "markdown", "html")
STATISTICS_FORMATS: Final = (*TEXT_FORMATS, "json")
"""Formats in which ``--statistics`` can be shown."""

ILLUSTRATED: Final = ("html",)
"""Formats that show pictures of graphs, which have to be drawn first."""


class Output(msgspec.Struct, frozen=True):
    """One report of a run."""

    format: str
    """One of :data:`FORMATS`."""
    file: str = ""
    """The file to write; empty for stdout."""

    @property
    def is_text(self) -> bool:
        """Whether it is for people at a terminal."""
        return self.format in TEXT_FORMATS

    def __str__(self) -> str:
        return f"{self.format}={self.file}" if self.file else self.format


def parse(text: str) -> Output:
    """``sarif=out.sarif`` or ``sarif``. Raises ConfigError, whose message says what is wrong but not where."""
    name, has_file, file = text.partition("=")
    if name not in FORMATS:
        from graphlint.run.selection import did_you_mean

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
        if statistics and one.format not in STATISTICS_FORMATS:
            raise ConfigError(f"--statistics goes with {', '.join(STATISTICS_FORMATS)}, not with {one.format}")
    return outputs
