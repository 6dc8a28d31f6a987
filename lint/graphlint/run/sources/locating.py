"""From a frame that an artifact records to a line of the repository, and the part of it that an op comes from."""

import ast
import contextlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache

from graphlint.ir.source import SourceFrame
from graphlint.rules.diagnostics import Location, SourceState
from graphlint.run.sources.repository import Repository
from graphlint.run.sources.sourcefile import LARGEST, SourceFile, code_of

_OPERATORS: dict[str, type[ast.operator]] = {
    "add": ast.Add,
    "sub": ast.Sub,
    "mul": ast.Mult,
    "div": ast.Div,
    "floor_divide": ast.FloorDiv,
    "remainder": ast.Mod,
    "pow": ast.Pow,
    "matmul": ast.MatMult,
    "bitwise_and": ast.BitAnd,
    "bitwise_or": ast.BitOr,
    "bitwise_xor": ast.BitXor,
    "__iand__": ast.BitAnd,
    "__ior__": ast.BitOr,
    "__ixor__": ast.BitXor,
    "__ilshift__": ast.LShift,
    "__irshift__": ast.RShift,
}
"""Ops that an augmented assignment stands for (``x += y``)."""
_ASSIGNING = ("index_put", "copy", "fill", "masked_fill", "set")
"""Ops that an assignment to a part stands for (``x[i] = y``)."""


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
        expression = find_expression(source.tree, line, op, callers)
    if expression is None:
        return first, 0
    encoded = text.encode("utf-8", "surrogatepass")

    def column(offset: int | None) -> int:  # the syntax tree counts bytes
        return len(encoded[:offset].decode("utf-8", "replace")) + 1

    begin = column(expression.col_offset) if expression.lineno == line else first
    return begin, column(expression.end_col_offset if expression.end_lineno == line else None)


def find_expression(tree: ast.Module, line: int, op: str, callers: Sequence[str] = ()) -> ast.expr | None:
    """The one expression on ``line`` that ``op`` (``aten.add_.Tensor``) comes from: a call of that name, what an
    augmented assignment or an assignment to a part writes; otherwise the call of one of ``callers``, what the op is
    called from (a module, ``cond``). None where there is none, or several.
    """
    parts = op.split(".")
    name = parts[1] if len(parts) > 1 else parts[0]
    plain = name.rstrip("_") if not name.startswith("__") else name
    # Nearest first: the name itself, the name without its underscore (relu(x, inplace=True)).
    wanted = (name, plain, f"{plain}_")
    written, calling = len(wanted), len(wanted) + 1
    found: defaultdict[int, list[ast.expr]] = defaultdict(list)
    for node in _on_line(tree, line):
        if isinstance(node, ast.Call) and node.func.end_lineno == line:  # where the name stands
            last = _names(node.func)
            ranks = (rank for rank, one in enumerate(wanted) if one in last)
            rank = next(ranks, calling if last and last[0] in callers else None)
            if rank is not None:
                found[rank].append(node)
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            augments = isinstance(node, ast.AugAssign) and isinstance(node.op, _OPERATORS.get(plain, ()))
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                if augments or (plain in _ASSIGNING and isinstance(target, ast.Subscript)):
                    found[written].append(target)
    best = found[min(found)] if found else []
    return best[0] if len(best) == 1 else None


def _on_line(tree: ast.AST, line: int) -> Iterator[ast.AST]:
    """The nodes whose lines include ``line``."""
    pending = [tree]
    while pending:
        node = pending.pop()
        for child in ast.iter_child_nodes(node):
            end = getattr(child, "end_lineno", None)
            if end is None or child.lineno <= line <= end:  # type: ignore[attr-defined]
                pending.append(child)
                yield child


def _names(function: ast.expr) -> tuple[str, ...]:
    """The last two names of what is called: ``aten.add_.Tensor`` is called by its overload."""
    match function:
        case ast.Attribute(attr=last, value=ast.Attribute(attr=before) | ast.Name(id=before)):
            return last, before
        case ast.Attribute(attr=last) | ast.Name(id=last):
            return (last,)
    return ()
