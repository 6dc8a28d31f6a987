"""The format ``github``: workflow commands, which GitHub Actions shows as annotations on the model's source line.

::

    ::error title=GL103 buffer-mutation,file=models.py,line=84,col=9,endColumn=27::aten.add_.Tensor writes ...

GitHub shows ten annotations of a kind for each step. Where there are more, the tenth says how many others there are.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.phrasing import Group, advice, count, grouped, path_of, spot_of
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Severity

_SHOWN: Final = 10
"""Annotations of a kind that are shown for a step."""
_COMMANDS: Final[dict[Severity, str]] = {"error": "error", "warning": "warning", "note": "notice"}


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """A line per finding or group of findings, errors first."""
    groups = [group for result in results for group in grouped(result.diagnostics)]
    lines = [
        _command("error", "graphlint", path_of(one.path, options), printable(one.error)) for one in results if one.error
    ]
    for severity, command in _COMMANDS.items():
        chosen = [group for group in groups if group.first.severity == severity]
        room = _SHOWN - (len(lines) if severity == "error" else 0)
        if len(chosen) > room:
            room = max(room - 1, 0)
        lines += [_annotation(group, options) for group in chosen[:room]]
        others = Counter(one.code for group in chosen[room:] for one in group.diagnostics)
        if others:
            kinds = ", ".join(f"{times} x {code}" for code, times in others.items())
            more = count(sum(others.values()), f"more {severity}")
            lines.append(f"::{command} title=graphlint::{_data(f'and {more}: {kinds}')}")
    return "".join(f"{line}\n" for line in lines)


def _annotation(group: Group, options: ReportOptions) -> str:
    diagnostic = group.first
    spot = spot_of(diagnostic, options)
    said = [printable(diagnostic.message)]
    if not diagnostic.about_source:
        said.append(", ".join(filter(None, (printable(diagnostic.path), group.places()))))
    if diagnostic.advice:
        said.append(f"In Python: {printable(diagnostic.advice)}")
    label, text = advice(diagnostic, options)
    if label:
        said.append(f"{label}: {printable(text)}")
    at = [f"line={spot.line}"] if spot.file else []
    if spot.column:
        at += [f"col={spot.column}", *([f"endColumn={spot.end_column}"] if spot.end_column > spot.column else [])]
    title = f"{diagnostic.code} {diagnostic.rule}"
    return _command(_COMMANDS[diagnostic.severity], title, spot.path, "\n".join(said), at)


def _command(kind: str, title: str, path: str, message: str, at: Sequence[str] = ()) -> str:
    properties = [f"title={_property(title)}", f"file={_property(printable(path))}", *at]
    return f"::{kind} {','.join(properties)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
