"""The report formats, each loaded only when it is asked for; which of them a run writes, and where.

A format is a module of this package with a function ``render(results, options) -> str``, and its line in
:data:`FORMATS`. The function prints nothing; its text ends in a newline unless it is empty. In options and
configuration ``FORMAT`` goes to stdout, ``FORMAT=FILE`` into a file.
"""

import importlib
import os
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from graphlint.artifact.errors import ConfigError, did_you_mean
from graphlint.report.results import FileResult, ReportOptions

Render = Callable[[Sequence[FileResult], ReportOptions], str]


class Format(msgspec.Struct, frozen=True):
    """Where a format is made, and what is special about it."""

    module: str
    text: bool = False
    """Whether it is for people at a terminal: such reports have a summary, and colours where there are some. Paths in
    all others are relative to the root of the repository.
    """
    illustrated: bool = False
    """Whether it shows pictures of graphs, which have to be drawn first."""
    function: str = "render"


FORMATS: Final = {
    "full": Format("full", text=True),
    "concise": Format("concise", text=True),
    "grouped": Format("grouped", text=True),
    "json": Format("json_report"),
    "json-lines": Format("json_report", function="render_lines"),
    "sarif": Format("sarif"),
    "github": Format("github"),
    "gitlab": Format("gitlab"),
    "junit": Format("junit"),
    "markdown": Format("markdown"),
    "html": Format("html.page", illustrated=True),
}
"""What ``--output-format`` takes."""
STATISTICS: Final = {
    **{name: Format("counts") for name, one in FORMATS.items() if one.text},
    "json": Format("counts", function="render_json"),
}
"""The formats in which ``--statistics`` can be shown, and where they are made then."""


def renderer(output_format: str, *, statistics: bool = False) -> Render:
    chosen = (STATISTICS if statistics else FORMATS)[output_format]
    render: Render = getattr(importlib.import_module(f"graphlint.report.formats.{chosen.module}"), chosen.function)
    return render


class Output(msgspec.Struct, frozen=True):
    """One report of a run."""

    format: str
    """One of :data:`FORMATS`."""
    file: str = ""
    """The file to write; empty for stdout."""

    @property
    def is_text(self) -> bool:
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
    if file is not None:
        if [one.file for one in outputs].count("") != 1:
            given = ", ".join(map(str, outputs))
            raise ConfigError(
                f"-o/--output-file goes with exactly one format that has no file of its own, not with {given}"
            )
        outputs = tuple(Output(one.format, one.file or file) for one in outputs)
    check_stdout(outputs, "--output-format ")
    places = {os.path.abspath(one.file): one for one in reversed(outputs)}
    for one in outputs:
        if one.file and places[os.path.abspath(one.file)] is not one:
            raise ConfigError(f"two reports would be written to {one.file}; give each a file of its own")
        if statistics and one.format not in STATISTICS:
            raise ConfigError(f"--statistics goes with {', '.join(STATISTICS)}, not with {one.format}")
    return outputs
