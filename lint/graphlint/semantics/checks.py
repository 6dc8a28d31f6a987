"""Runtime checks: why one cannot be fixed."""

from collections.abc import Iterator
from typing import Final, TypeGuard

from graphlint.ir.enums import DTYPES
from graphlint.ir.expressions import as_expression
from graphlint.ir.model import Argument, Graph, Node, Program, TensorMeta
from graphlint.ops.info import OpInfo
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.calls import call_of
from graphlint.semantics.precision import UNSURE_DTYPE
from graphlint.semantics.sites import Site

HAS_RESULTS: Final = "this file says that it has results, and this op has none"


def token_obstacle(program: Program, site: Site, sink: str) -> str | None:
    """Why the check at ``site`` cannot be functionalized, or None."""
    if site.node.outputs:
        return HAS_RESULTS
    major, _ = program.schema
    if major <= 1:
        return "torch 2.1 wrote this file, and its format has no place for a token"
    if major == 2 and sink == "buffer":
        return 'files of torch 2.2 have no place for the token\'s buffer; token-sink = "output" would do'
    scope = site.scope
    for caller in scope.callers():
        reason = _no_way_through(caller.node, scope.graph)
        if reason:
            return reason
        scope = caller.scope
    return None


def _no_way_through(node: Node, graph: Graph) -> str | None:
    """Why a token cannot pass through a calling node into ``graph`` and out again, or None."""
    call = call_of(node)
    name = node.target.rpartition(".")[2]
    if call is None or not call.rule.carries:
        return f"{name} has no place to carry the token in and out"
    if not any(returning is graph for returning in call.returning):
        return f"the condition of {name} has no result to hand the token on in"
    if call.rule.lists:
        operands = node.inputs[call.rule.lists[0]].arg
        symbols_only = operands.as_sym_ints is not None and all(ref.as_name for ref in operands.as_sym_ints)
        empty = operands.value in ([], None)
        if operands.as_tensors is None and not symbols_only and not empty:
            return f"the operands of {name} are constants, which a token cannot stand among"
    return None


def metadata_obstacle(view: Analysis, site: Site) -> str | None:
    """Why the metadata check at ``site`` cannot be removed, or None where it cannot fire.

    1. dtype, device, layout, sizes: compared with the recorded metadata. Sizes may be symbolic. A dtype that autocast
       decides and strict exports record wrongly counts as unknown.
    2. strides: recorded strides of what is computed from user inputs are not part of the contract (a caller may
       pass a transposed tensor), so only those of parameters, buffers and constants count.
    3. the result of an in-place op is the tensor that it wrote, and what is recorded for that one counts.
    4. after an in-place view (``t_``, ``resize_``, ``set_``) nobody knows a tensor's metadata from what was
       recorded before: such a check stays. So do sizes and strides of what an ``out=`` op was given: it resizes it
       where it does not fit.
    """
    if site.node.outputs:
        return HAS_RESULTS
    operand = site.node.input("a")
    names = operand.tensors() if operand is not None else []
    if not names or names[0] is None:
        return "it does not say which tensor it checks"
    name = _written_tensor(view, site, names[0])
    for op in _written_by(view, site, name):
        if op.in_place_view:
            return f"an in-place view changes the metadata of %{name}"
        if op.out_variant and any(_asserted(site.node.input(what)) for what in ("size", "stride")):
            return f"an out= op may change the sizes of %{name}"
    meta = site.scope.graph.meta(name)
    if meta is None:
        return f"the artifact records no metadata of %{name}"
    if _asserted(site.node.input("dtype")) and name in view.precision.doubts(site.scope.graph):
        return UNSURE_DTYPE.format(name)
    for expected in (
        _dtype(site.node.input("dtype"), meta),
        _device(site.node.input("device"), meta),
        _layout(site.node.input("layout"), meta),
        _sizes(site.node.input("size"), site.scope.graph, meta),
        _strides(view, site, name, meta),
    ):
        if expected:
            return expected
    return None


def _written_tensor(view: Analysis, site: Site, name: str) -> str:
    """The value whose recorded metadata is that of the tensor: of an in-place op's result, that of what it wrote."""
    refs = view.memory.refs(site.scope.graph, name)
    return refs[0].name if len(refs) == 1 and refs[0].graph is site.scope.graph else name


def _written_by(view: Analysis, site: Site, name: str) -> Iterator[OpInfo]:
    """The ops before the check that may change the sizes or strides of that very tensor, or of another one that shares
    its storage.
    """
    for storage in dict.fromkeys(ref.storage for ref in view.memory.refs(site.scope.graph, name)):
        for write in view.reshaping_writes.get(storage, ()):
            if write.site.position < site.position and write.site.op is not None:
                yield write.site.op


def _asserted(argument: Argument | None) -> TypeGuard[Argument]:
    return argument is not None and argument.kind != "as_none"


def _dtype(asserted: Argument | None, meta: TensorMeta) -> str | None:
    if not _asserted(asserted):
        return None
    expected = asserted.as_scalar_type
    if expected == meta.dtype:
        return None
    return f"it asserts torch.{DTYPES.get(expected or 0)}, the artifact records torch.{DTYPES.get(meta.dtype)}"


def _device(asserted: Argument | None, meta: TensorMeta) -> str | None:
    if not _asserted(asserted):
        return None
    if str(asserted.as_device) == str(meta.device):
        return None
    return f"it asserts device {asserted.as_device}, the artifact records {meta.device}"


def _layout(asserted: Argument | None, meta: TensorMeta) -> str | None:
    if not _asserted(asserted) or asserted.as_layout == meta.layout:
        return None
    return "it asserts another layout than the artifact records"


def _sizes(asserted: Argument | None, graph: Graph, meta: TensorMeta) -> str | None:
    if not _asserted(asserted):
        return None
    expected = _numbers(asserted, graph)
    if expected is not None and len(expected) == len(meta.shape):
        pairs = zip(expected, meta.shape, strict=True)
        if all(as_expression(left) == as_expression(right) for left, right in pairs):
            return None
    return "its sizes are not known to be those that the artifact records"


def _strides(view: Analysis, site: Site, name: str, meta: TensorMeta) -> str | None:
    asserted = site.node.input("stride")
    if not _asserted(asserted):
        return None
    refs = view.memory.refs(site.scope.graph, name)
    fixed = len(refs) == 1 and refs[0].certain and refs[0].storage.kind in ("parameter", "buffer", "constant")
    if not fixed or site.scope.caller is not None:
        return "strides may depend on those of the inputs, which the artifact does not promise"
    expected = _numbers(asserted, site.scope.graph)
    if expected is not None and tuple(map(as_expression, expected)) == tuple(map(as_expression, meta.stride)):
        return None
    return "its strides are not known to be those that the artifact records"


def _numbers(argument: Argument, graph: Graph) -> list[int | str] | None:
    """Sizes or strides as numbers or expressions, None where one is not known."""
    if argument.as_ints is not None:
        return list(argument.as_ints)
    if argument.as_sym_ints is None:
        return [] if argument.value == [] else None
    numbers: list[int | str] = []
    for reference in argument.as_sym_ints:
        if reference.as_name is None:
            numbers.append(int(reference.as_int or 0))
            continue
        recorded = graph.sym_int_values.get(reference.as_name)
        expression = recorded.get("as_expr") if isinstance(recorded, dict) else None
        if not isinstance(expression, dict) or not isinstance(expression.get("expr_str"), str):
            return None
        numbers.append(expression["expr_str"])
    return numbers
