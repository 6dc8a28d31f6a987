"""The format ``github``: workflow commands, which GitHub Actions shows as annotations on the model's source line.

::

    ::error title=GL103 buffer-mutation,file=models.py,line=84,col=9,endColumn=27::aten.add_.Tensor writes ...

GitHub shows ten annotations of a kind for each step. Where there are more, the tenth says how many others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.grouping import Group, grouped
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import advice, count
from graphlint.report.formats.places import path_of, spot_of
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Severity

SHOWN: Final = 10
"""Annotations of a kind that are shown for a step."""
_COMMANDS: Final[dict[Severity, str]] = {"error": "error", "warning": "warning", "note": "notice"}


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """A line per finding or group of findings, errors first."""
    failed = [
        _command("error", "graphlint", path_of(result.path, options), printable(result.error))
        for result in results
        if result.error
    ]
    groups = [group for result in results for group in grouped(result.diagnostics)]
    lines = []
    for severity in _COMMANDS:
        chosen = [group for group in groups if group.first.severity == severity]
        made = failed if severity == "error" else []
        room = SHOWN - len(made)
        if len(chosen) > room:
            room = max(room - 1, 0)
        made = [*made, *(_annotation(group, options) for group in chosen[:room])]
        rest = sum(len(group.diagnostics) for group in chosen[room:])
        if rest:
            made.append(f"::{_COMMANDS[severity]} title=graphlint::{_data(_more(chosen[room:], rest))}")
        lines += made
    return "".join(f"{line}\n" for line in lines)


def _annotation(group: Group, options: ReportOptions) -> str:
    diagnostic = group.first
    spot = spot_of(diagnostic, options)
    title = f"{diagnostic.code} {diagnostic.rule}"
    said = [printable(diagnostic.message)]
    if not diagnostic.about_source:
        said.append(", ".join(filter(None, (printable(diagnostic.path), group.places()))))
    label, text = advice(diagnostic)
    if label:
        said.append(f"{label}: {printable(text)}")
    at = [f"line={spot.line}"] if spot.is_source else []
    if spot.column:
        at += [f"col={spot.column}", *([f"endColumn={spot.end_column}"] if spot.end_column > spot.column else [])]
    return _command(_COMMANDS[diagnostic.severity], title, spot.path, "\n".join(said), at)


def _more(groups: Sequence[Group], number: int) -> str:
    codes: dict[str, int] = {}
    for group in groups:
        codes[group.first.code] = codes.get(group.first.code, 0) + len(group.diagnostics)
    kinds = ", ".join(f"{times} x {code}" for code, times in codes.items())
    name = {"error": "error", "warning": "warning", "note": "note"}[groups[0].first.severity]
    return f"and {count(number, f'more {name}')}: {kinds}"


def _command(kind: str, title: str, path: str, message: str, at: Sequence[str] = ()) -> str:
    properties = [f"title={_property(title)}", f"file={_property(printable(path))}", *at]
    return f"::{kind} {','.join(properties)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
