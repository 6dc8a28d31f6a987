"""The text of a graph with findings in the margin.

::

    key_value_cache.pt2, program model: 8 nodes, 1 finding
    loads in torch 2.9 to 2.15

           | program TRAINING
           | graph(
           |     %b_cache: f32[1, 8, 4] = buffer "cache",
           |     %x: f32[1, 2, 4]):
           |   %view: f32[2, 4] = aten.view.default(%x, [2, 4])
    GL103  |   %index_put_: f32[1, 8, 4] = aten.index_put_.default(%b_cache, [None, %position?], %view)
           |     ^ [*] writes buffer 'cache' (models.py:129 in forward)

``>`` beside the margin marks the node that was asked for. Lines are broken to fit :data:`WIDTH` columns.
"""

import re
import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from graphlint.ops.table import covered
from graphlint.report.formats.escaping import printable
from graphlint.report.formats.phrasing import COLORS, count, in_function, paint, source_line
from graphlint.report.graphs.flow import ShownProgram
from graphlint.report.graphs.text import Line
from graphlint.report.results import ReportOptions
from graphlint.rules.diagnostics import Diagnostic
from graphlint.semantics.versions import spanned

WIDTH: Final = 100
_MARGIN: Final = 7
_BAR: Final = " | "
_ROOM: Final = WIDTH - _MARGIN - len(_BAR)
_HANGING: Final = 4
_PLACE: Final = re.compile(r"(?<=, )")


def render(path: str, programs: Sequence[ShownProgram], options: ReportOptions) -> str:
    """The listings, one after the other, each under a line that says what it is of."""
    return "\n".join(_program(path, program, options) for program in programs)


def _program(path: str, program: ShownProgram, options: ReportOptions) -> str:
    facts = count(len(program.flow.nodes), "node")
    if program.diagnostics:
        facts += f", {count(len(program.diagnostics), 'finding')}"
    heading = paint(printable(f"{path}, program {program.name}: {facts}"), options, bold=True)
    versions = f"torch {spanned(program.loads_in)}" if program.loads_in else f"none of torch {spanned(covered())}"
    return "".join(f"{line}\n" for line in (heading, f"loads in {versions}", "", *_Listing(program, options).lines()))


class _Listing:
    def __init__(self, program: ShownProgram, options: ReportOptions) -> None:
        self._flow = program.flow
        self._options = options
        self._chosen = program.chosen()
        self._findings = program.findings()
        self._numbers = {id(one.line): one.number for one in program.flow.vertices if one.kind != "input"}
        self._centers = {vertex.number for vertex in program.centers}

    def lines(self) -> Iterator[str]:
        for shown, group in groupby(self._flow.lines, self._shown):
            lines = list(group)
            left_out = sum(line.node is not None for line in lines)
            if shown:
                yield from (text for line in lines for text in self._line(line))
            elif left_out:
                gap = f"{' ' * max(lines[-1].indent, 2)}... {count(left_out, 'node')}"
                yield self._margin(None) + paint(gap, self._options, dim=True)

    def _shown(self, line: Line) -> bool:
        if self._chosen is None or line.kind == "program":
            return True
        if id(line) in self._numbers:
            return self._numbers[id(line)] in self._chosen
        return line.kind != "range" and not self._chosen.isdisjoint(self._flow.span(line.graph))

    def _line(self, line: Line) -> Iterator[str]:
        number = -1 if line.kind == "program" else self._numbers.get(id(line))
        found = self._findings.get(number, []) if number is not None else []
        parts = self._inputs(line, self._chosen) if line.kind == "inputs" and self._chosen is not None else line.parts
        marked = number in self._centers
        for index, text in enumerate(_broken(line, parts)):
            shown = paint(printable(text), self._options, bold=True) if marked else printable(text)
            yield self._margin(found[0] if found and not index else None, marked=marked and not index) + shown
        for index, diagnostic in enumerate(found):
            yield from self._message(diagnostic, line.indent, repeat=index > 0)

    def _inputs(self, line: Line, chosen: set[int]) -> tuple[str, ...]:
        """The inputs of a graph that are near enough, and how many others there are."""
        span = self._flow.span(line.graph)
        kept = [part for part, number in zip(line.parts, span, strict=False) if number in chosen]
        others = len(line.parts) - len(kept)
        return (*kept, *([f"... {others} more" if kept else f"... {count(others, 'input')}"] if others else []))

    def _message(self, diagnostic: Diagnostic, indent: int, *, repeat: bool) -> Iterator[str]:
        text = printable(diagnostic.message)
        if diagnostic.op is not None:
            op = printable(diagnostic.op)
            text = text.removeprefix(f"{op} ").removeprefix(f"{op}: ")
        if mark := self._options.mark(diagnostic):
            text = f"{mark} {text}"
        if diagnostic.place is not None:
            text += f" ({source_line(diagnostic.place, self._options)}{in_function(diagnostic.place)})"
        start = " " * indent + "  ^ "
        hanging = " " * len(start)
        wrapped = textwrap.wrap(
            text, _ROOM, initial_indent=start, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False
        )
        for index, line in enumerate(wrapped):
            margin = self._margin(diagnostic if repeat and index == 0 else None)
            yield margin + paint(line, self._options, fg=COLORS[diagnostic.severity])

    def _margin(self, diagnostic: Diagnostic | None, *, marked: bool = False) -> str:
        code = diagnostic.code if diagnostic is not None else ""
        space = " " * (_MARGIN - 1 - len(code))
        if diagnostic is not None:
            code = paint(code, self._options, fg=COLORS[diagnostic.severity], bold=True)
        mark = paint(">", self._options, fg="cyan", bold=True) if marked else " "
        return f"{code}{space}{mark}{paint(_BAR, self._options, fg='blue')}"


def _broken(line: Line, parts: Sequence[str]) -> list[str]:
    whole = f"{' ' * line.indent}{line.head}{', '.join(parts)}{line.tail}".rstrip()
    if len(whole) <= _ROOM:
        return [whole]
    pieces = [f"{part}, " for part in parts[:-1]] + [part + line.tail for part in parts[-1:]]
    hanging = " " * (line.indent + _HANGING)
    if line.kind == "inputs":  # one to a line, as a signature is read
        return [" " * line.indent + line.head, *(hanging + piece.rstrip() for piece in pieces)]
    head = _PLACE.split(line.head)
    lines = [" " * line.indent + head[0]]
    for piece in (*head[1:], *pieces):
        if len((lines[-1] + piece).rstrip()) <= _ROOM:
            lines[-1] += piece
        else:
            lines[-1] = lines[-1].rstrip()
            lines.append(hanging + piece)
    return lines
