"""The parts of a finding that the text formats share: its headline and its places."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import click

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.options import ReportOptions
from graphlint.rules.diagnostics import Diagnostic, Location, Severity, SourceFrame

DEFAULT_PROGRAM = "model"
"""The name under which ``torch.export.save`` stores its one program: not worth showing."""

FILE_RULES = ("GL0", "GL9")
"""What is wrong with a file itself is put right elsewhere (``git lfs pull``): what the fix says is advice."""

COLORS: dict[Severity, str] = {"error": "red", "warning": "yellow", "note": "blue"}


def paint(text: str, options: ReportOptions, **style: Any) -> str:
    """``text`` in a style of ``click.style``, if colours are on."""
    return click.style(text, **style) if options.color else text


def hyperlink(text: str, address: str) -> str:
    """``text`` as a link to ``address`` in terminals, by the escape sequence OSC 8."""
    return f"\x1b]8;;{address}\x1b\\{text}\x1b]8;;\x1b\\"


def linked_place(text: str, place: Location, options: ReportOptions) -> str:
    """``text`` as a link to the source file, if links are on and the file is at hand."""
    if not options.hyperlinks or not place.file:
        return text
    from urllib.parse import quote

    path = quote(place.file.replace(os.sep, "/").encode("utf-8", "surrogateescape"))
    return hyperlink(text, f"file://{'' if path.startswith('/') else '/'}{path}")


def code(diagnostic: Diagnostic, options: ReportOptions) -> str:
    """``GL103 [*]``: the code, and whether ``--fix`` takes care of it."""
    text = paint(diagnostic.code, options, fg=COLORS[diagnostic.severity], bold=True)
    if options.hyperlinks:
        from graphlint.rules.documentation import link

        text = hyperlink(text, link(diagnostic.rule, diagnostic.code))
    return f"{text} {paint('[*]', options, fg='cyan')}" if options.applies(diagnostic) else text


def severity(diagnostic: Diagnostic) -> str:
    """`` (warning)`` for what is not an error."""
    return "" if diagnostic.severity == "error" else f" ({diagnostic.severity})"


def message(diagnostic: Diagnostic) -> str:
    """The message, on one line."""
    return printable(diagnostic.message)


def place_in_artifact(diagnostic: Diagnostic) -> str:
    """``program decoder, graph cond > true_graph_0, node %add_``; empty for the file as a whole."""
    parts = []
    if diagnostic.program is not None and diagnostic.program != DEFAULT_PROGRAM:
        parts.append(f"program {diagnostic.program}")
    if diagnostic.subgraph:
        parts.append(f"graph {' > '.join(diagnostic.subgraph)}")
    if diagnostic.node is not None:
        parts.append(f"node %{diagnostic.node}")
    if diagnostic.member is not None:
        parts.append(f"member {diagnostic.member}")
    return printable(", ".join(parts))


def source_line(place: Location | SourceFrame, options: ReportOptions) -> str:
    """``models.py:84:9``, relative to the current folder if it is below it."""
    if isinstance(place, SourceFrame):
        place = Location(place.path, place.line)
    path = place.file or place.path
    folder = options.folder.rstrip(os.sep) + os.sep
    if options.folder and path.startswith(folder):
        path = path[len(folder) :]
    column = f":{place.column}" if place.column else ""
    return f"{printable(path)}:{place.line}{column}"


def in_function(place: Location) -> str:
    """`` in forward``."""
    return f" in {printable(place.function)}" if place.function else ""


def module(diagnostic: Diagnostic) -> str:
    """``, module layers.0 (Linear)``; nothing for the root module."""
    if not diagnostic.module_path:
        return ""
    kind = (diagnostic.module_type or "").rpartition(".")[2]
    return printable(f", module {diagnostic.module_path}" + (f" ({kind})" if kind else ""))


def advice(diagnostic: Diagnostic) -> tuple[str, str]:
    """What to do about it and what to call that; empty where there is nothing to say."""
    if not diagnostic.fix.message:
        return "", ""
    if diagnostic.code.startswith(FILE_RULES):
        return "Help", diagnostic.fix.message
    return "Fix" if diagnostic.fixable else "Not fixable", diagnostic.fix.message


def count(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def tally(diagnostics: Iterable[Diagnostic]) -> str:
    """``2 errors and 1 warning``; ``0 errors`` for nothing."""
    numbers: dict[Severity, int] = {"error": 0, "warning": 0, "note": 0}
    for diagnostic in diagnostics:
        numbers[diagnostic.severity] += 1
    parts = [count(number, name) for name, number in numbers.items() if number] or [count(0, "error")]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))
