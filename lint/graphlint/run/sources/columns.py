"""The expression of a line that an op comes from."""

import ast
from collections import defaultdict
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
