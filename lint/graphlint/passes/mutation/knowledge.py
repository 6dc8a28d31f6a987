"""What has to be known of single ops beyond the table: the shapes and strides of some results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from graphlint.ir.arguments import Json
from graphlint.ir.strides import contiguous_strides
from graphlint.ops.info import OpInfo
from graphlint.passes.mutation.values import Meta, Size, preserved_strides

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


def result_strides(op: OpInfo, result: str, shape: _Shape, operands: Sequence[Meta]) -> _Shape | None:
    """The strides of a new result of that shape, None where they are not known here. ``result`` is the name of the
    ``out=`` argument that takes it.
    """
    name = op.name.split(".")[1]
    if name in _ROWS or (name in _JOINED and len(shape) not in _IMAGES):
        return contiguous_strides(shape)
    if name in _COLUMNS:
        return _column_major(shape) if result in _COLUMNS[name] else contiguous_strides(shape)
    if name == "sort":
        return preserved_strides(shape, operands[0].strides)
    if name.startswith(_ANY_ORDER) or not all(meta.same_strides(meta.contiguous()) for meta in operands):
        return None
    return contiguous_strides(shape)


def _column_major(shape: _Shape) -> _Shape:
    *outer, rows, columns = shape
    *strides, row, column = contiguous_strides((*outer, columns, rows))
    return (*strides, column, row)


_ROWS: Final = frozenset(
    {
        "_log_softmax", "_softmax", "addbmm", "addmm", "addmv", "all", "amax", "amin", "aminmax", "any", "argmax",
        "argmin", "baddbmm", "bernoulli", "bmm", "bucketize", "constant_pad_nd", "count_nonzero", "cummax", "cummin",
        "cumprod", "cumsum", "diag", "diag_embed", "dot", "embedding", "gather", "index_add", "index_copy",
        "index_reduce", "index_select", "kthvalue", "linalg_cross", "linalg_matrix_exp", "linalg_vector_norm",
        "linear", "log_softmax", "logcumsumexp", "logsumexp", "masked_fill", "masked_scatter", "masked_select",
        "matmul", "max", "mean", "median", "min", "mm", "mode", "multinomial", "mv", "nanmedian", "nansum",
        "native_layer_norm", "norm", "normal", "prod", "renorm", "repeat", "roll", "scatter", "scatter_add",
        "scatter_reduce", "searchsorted", "softmax", "std", "sum", "take", "topk", "trace", "tril", "triu", "var",
        "vdot",
    }
)  # fmt: skip
"""Ops whose results are row-major whatever their operands' strides."""
_JOINED: Final = frozenset({"cat", "stack"})
"""Ops that have an eye for the memory formats of images (``channels_last``) only, which are of so many dimensions:"""
_IMAGES: Final = (4, 5)
_COLUMNS: Final[dict[str, frozenset[str]]] = {
    "cholesky": frozenset({"out"}),
    "cholesky_inverse": frozenset({"out"}),
    "cholesky_solve": frozenset({"out"}),
    "geqrf": frozenset({"a"}),
    "inverse": frozenset({"out"}),
    "linalg_cholesky": frozenset({"out"}),
    "linalg_cholesky_ex": frozenset({"L"}),
    "linalg_eig": frozenset({"eigenvectors"}),
    "linalg_eigh": frozenset({"eigvecs"}),
    "linalg_householder_product": frozenset({"out"}),
    "linalg_inv": frozenset({"out"}),
    "linalg_inv_ex": frozenset({"inverse"}),
    "linalg_ldl_factor": frozenset({"LD"}),
    "linalg_ldl_factor_ex": frozenset({"LD"}),
    "linalg_lu_factor": frozenset({"LU"}),
    "linalg_lu_factor_ex": frozenset({"LU"}),
    "linalg_qr": frozenset({"Q", "R"}),
    "linalg_svd": frozenset({"U", "Vh"}),
    "qr": frozenset({"Q", "R"}),
    "triangular_solve": frozenset({"X", "M"}),
}
"""Ops that LAPACK computes, and which of their results are column-major for that."""
_ANY_ORDER: Final = (
    "_fft_", "_linalg_", "fft_", "linalg_ldl_solve", "linalg_lstsq", "linalg_lu_solve", "linalg_matrix_power",
    "linalg_pinv", "linalg_solve", "linalg_tensor", "lu_solve", "ormqr", "rot90", "svd",
)  # fmt: skip
"""How the names of ops begin whose results may have other strides even where their operands are row-major."""
