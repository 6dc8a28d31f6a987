"""What has to be known of single ops beyond the table: the shapes of some results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from graphlint.ops.info import OpInfo
from graphlint.passes.mutation.values import Size
from graphlint.program.arguments import Json

_Shape = tuple[Size, ...]
_Shapes = Sequence[_Shape]
_Arguments = Callable[[str], "Json | None"]


def result_shape(op: OpInfo, argument: _Arguments, shapes: _Shapes) -> _Shape | None:
    """The shape that the op's first result has for operands of these shapes, None where this is not known here."""
    rule = _SHAPES.get(op.name.split(".")[1])
    return rule(argument, shapes) if rule is not None and shapes else None


def _same(argument: _Arguments, shapes: _Shapes) -> _Shape | None:
    return shapes[0]


def _product(argument: _Arguments, shapes: _Shapes) -> _Shape | None:
    left, right = shapes[0], shapes[1]
    if len(left) != len(right) or left[:-2] != right[:-2] or len(left) < 2:
        return None
    return (*left[:-1], right[-1])


def _reduced(argument: _Arguments, shapes: _Shapes) -> _Shape | None:
    given = argument("dim") or {}
    dims = given.get("as_ints", [given["as_int"]] if "as_int" in given else [])
    rank = len(shapes[0])
    gone = {int(dim) % max(rank, 1) for dim in dims} or set(range(rank))
    if (argument("keepdim") or {}).get("as_bool"):
        return tuple(1 if dim in gone else size for dim, size in enumerate(shapes[0]))
    return tuple(size for dim, size in enumerate(shapes[0]) if dim not in gone)


_SHAPES: Final[dict[str, Callable[[_Arguments, _Shapes], _Shape | None]]] = {
    **dict.fromkeys(("cumsum", "cumprod", "softmax", "log_softmax", "tril", "triu", "sort", "copy", "clone"), _same),
    **dict.fromkeys(("mm", "bmm", "matmul"), _product),
    **dict.fromkeys(("sum", "mean", "prod", "amax", "amin", "all", "any", "argmax", "argmin", "max", "min"), _reduced),
}
