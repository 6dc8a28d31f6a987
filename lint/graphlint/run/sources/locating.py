"""From a frame that an artifact records to a line of the repository, and the part of it that an op comes from."""

import contextlib
from collections.abc import Sequence
from functools import cache

from graphlint.ir.source import SourceFrame
from graphlint.rules.diagnostics import Location, SourceState
from graphlint.run.sources.repository import Repository
from graphlint.run.sources.sourcefile import LARGEST, SourceFile, code_of


class Locator:
    """Finds lines of one repository's files, each of which is read once."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.read = cache(_read)
        """The file at a path; None where it cannot be read."""
        self.locate = cache(self._locate)
        """Where a frame's line is now: the layers of a model share their lines."""

    def _locate(self, frame: SourceFrame, op: str | None = None, callers: tuple[str, ...] = ()) -> Location:
        # ``op`` is what was called there, or else ``callers`` are: for the column.
        path = self.find(frame)
        source = self.read(path) if path is not None else None
        if path is None or source is None:
            return Location(frame.path, frame.line, frame.function, frame.text)
        relative = self.repository.relative(path)
        state, line = _current_line(source, frame)
        if state == "changed":
            return Location(relative, line, frame.function, frame.text, path, state=state)
        text = source.lines[line - 1].rstrip()
        column, end = _columns(source, line, text, op, callers)
        return Location(relative, line, frame.function, text, path, column, end, state)

    def find(self, frame: SourceFrame) -> str | None:
        """The file that the frame's path stands for; None where it is not at hand, or ambiguous."""

        def reads_as_recorded(path: str) -> bool:
            source = self.read(path)
            return source is not None and bool(frame.text) and _current_line(source, frame)[0] != "changed"

        return self.repository.find(frame.path, reads_as_recorded)


def _read(path: str) -> SourceFile | None:
    with contextlib.suppress(OSError), open(path, "rb") as stream:
        content = stream.read(LARGEST + 1)
        return SourceFile(content) if len(content) <= LARGEST else None
    return None


def _current_line(source: SourceFile, frame: SourceFrame) -> tuple[SourceState, int]:
    """Where the frame's line is: at its number, or the nearest that reads the same, in its function if there is one."""
    lines = source.lines
    recorded = code_of(frame.text)
    inside = 1 <= frame.line <= len(lines)
    if inside and (not recorded or code_of(lines[frame.line - 1]) == recorded):
        return "current", frame.line
    same = source.by_code.get(recorded, ()) if recorded else ()
    within = [number for number in same if frame.function in source.functions_at(number)]
    nearest = min(within or same, key=lambda number: abs(number - frame.line), default=None)
    return ("changed", frame.line) if nearest is None else ("moved", nearest)


def _columns(source: SourceFile, line: int, text: str, op: str | None, callers: Sequence[str]) -> tuple[int, int]:
    """First column of the expression and the one after its last, both in characters from 1; the first that is not
    blank and 0 where the expression cannot be told.
    """
    first = len(text) - len(text.lstrip()) + 1
    expression = None
    if op is not None and source.tree is not None:
        from graphlint.run.sources.columns import find_expression  # the syntax tree takes its time to load

        expression = find_expression(source.tree, line, op, callers)
    if expression is None:
        return first, 0
    encoded = text.encode("utf-8", "surrogatepass")

    def column(offset: int | None) -> int:  # the syntax tree counts bytes
        return len(encoded[:offset].decode("utf-8", "replace")) + 1

    begin = column(expression.col_offset) if expression.lineno == line else first
    return begin, column(expression.end_col_offset if expression.end_lineno == line else None)
