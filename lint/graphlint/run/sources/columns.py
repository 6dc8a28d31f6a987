"""Which part of a source line an op comes from."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

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


def find_expression(tree: ast.Module, line: int, op: str, callers: Sequence[str] = ()) -> ast.expr | None:
    """The one expression on ``line`` that ``op`` (``aten.add_.Tensor``) comes from: a call of that name, what an
    augmented assignment or an assignment to a part writes; otherwise the call of one of ``callers``, what the op is
    called from (a module, ``cond``). None where there is none, or several.
    """
    parts = op.split(".")
    name = parts[1] if len(parts) > 1 else parts[0]
    plain = name.rstrip("_") if not name.startswith("__") else name
    calls: dict[int, list[ast.expr]] = {}
    written: list[ast.expr] = []
    callers_found: list[ast.expr] = []
    for node in _on_line(tree, line):
        if isinstance(node, ast.Call):
            last = _names(node.func)
            # Nearest first: the name itself, the name without its underscore (relu(x, inplace=True)).
            for rank, wanted in enumerate((name, plain, f"{plain}_")):
                if wanted in last and _name_line(node.func) == line:
                    calls.setdefault(rank, []).append(node)
                    break
            else:
                if last[:1] and last[0] in callers and _name_line(node.func) == line:
                    callers_found.append(node)
        elif isinstance(node, ast.AugAssign):
            if isinstance(node.op, _OPERATORS.get(plain, ())) or (
                plain in _ASSIGNING and isinstance(node.target, ast.Subscript)
            ):
                written.append(node.target)
        elif isinstance(node, ast.Assign) and plain in _ASSIGNING:
            written += [target for target in node.targets if isinstance(target, ast.Subscript)]
    best = calls[min(calls)] if calls else written or callers_found
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
    names: list[str] = []
    while isinstance(function, ast.Attribute) and len(names) < 2:
        names.append(function.attr)
        function = function.value
    if isinstance(function, ast.Name) and len(names) < 2:
        names.append(function.id)
    return tuple(names)


def _name_line(function: ast.expr) -> int:
    """The line of the name that is called, which is the last one of the expression that names it."""
    return function.end_lineno or function.lineno
