"""Runtime checks: why one cannot be fixed."""

from collections.abc import Sequence
from typing import Final

from graphlint.ir.dtypes import DTYPES
from graphlint.ir.expressions import as_expression
from graphlint.ir.model import Argument, Graph, Node, Program
from graphlint.ops.info import Role
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.dtypes import UNSURE_DTYPE
from graphlint.semantics.sites import Site, call_of
from graphlint.semantics.sizes import expression_of

HAS_RESULTS: Final = "the artifact records results, and this op has none"
OF_NO_SYMBOL: Final = "checks a number, not a symbol"


def checks_number(node: Node, role: Role | None) -> bool:
    """Whether a plain check of a scalar is given a number: torch loads the functional check of one, not the plain."""
    if role not in ("assert-scalar", "assert-range"):
        return False
    given = node.inputs[0].arg if node.inputs else None
    truth = given is not None and role == "assert-scalar" and given.as_bool is not None
    return given is None or not (truth or given.symbols())


def token_obstacle(program: Program, site: Site, sink: str) -> str | None:
    """Why the check at ``site`` cannot be functionalized, or None."""
    if site.node.outputs:
        return HAS_RESULTS
    if site.op is not None and checks_number(site.node, site.op.role):
        return f"it {OF_NO_SYMBOL}, which torch does not load"
    major, _ = program.schema
    if major <= 1:
        return "torch 2.1 wrote this file, and its format has no place for a token"
    if major == 2 and sink == "buffer":
        return 'files of torch 2.2 have no place for the token\'s buffer: use token-sink = "output"'
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
    graph, memory = site.scope.graph, view.memory
    operand = site.node.input("a")
    names = operand.tensors() if operand is not None else []
    if not names or names[0] is None:
        return "it does not say which tensor it checks"
    asserted = {one.name: one.arg for one in site.node.inputs if one.arg.kind != "as_none"}
    refs = memory.refs(graph, names[0])
    name = refs[0].name if len(refs) == 1 and refs[0].graph is graph else names[0]
    refs = memory.refs(graph, name)
    for storage in dict.fromkeys(ref.storage for ref in refs):
        for write in view.reshaping_writes.get(storage, ()):
            if write.site.position >= site.position or write.site.op is None:
                continue
            if write.site.op.in_place_view:
                return f"an in-place view changes the metadata of %{name}"
            if "size" in asserted or "stride" in asserted:
                return f"an out= op may change the sizes of %{name}"
    meta = graph.meta(name)
    if meta is None:
        return f"the artifact records no metadata of %{name}"
    if "dtype" in asserted and name in view.dtypes.doubts(graph):
        return UNSURE_DTYPE.format(name)
    if "dtype" in asserted and (dtype := asserted["dtype"].as_scalar_type) != meta.dtype:
        return f"it asserts torch.{DTYPES.get(dtype or 0)}, the artifact records torch.{DTYPES.get(meta.dtype)}"
    if "device" in asserted and str(device := asserted["device"].as_device) != str(meta.device):
        return f"it asserts device {device}, the artifact records {meta.device}"
    if "layout" in asserted and asserted["layout"].as_layout != meta.layout:
        return "it asserts another layout than the artifact records"
    if "size" in asserted and not _are(asserted["size"], graph, meta.shape):
        return "its sizes are not known to be those that the artifact records"
    fixed = len(refs) == 1 and refs[0].certain and refs[0].storage.kind in ("parameter", "buffer", "constant")
    if "stride" in asserted and (not fixed or site.scope.caller is not None):
        return "strides may depend on those of the inputs, which the artifact does not promise"
    if "stride" in asserted and not _are(asserted["stride"], graph, meta.stride):
        return "its strides are not known to be those that the artifact records"
    return None


def _are(argument: Argument, graph: Graph, recorded: Sequence[int | str]) -> bool:
    """Whether sizes or strides are known to be those recorded."""
    numbers: list[int | str | None] = [*(argument.as_ints or ())]
    for reference in argument.as_sym_ints or ():
        named = reference.as_name
        numbers.append(int(reference.as_int or 0) if named is None else expression_of(graph, named))
    if None in numbers or (not numbers and argument.value != []):
        return False
    return [as_expression(one) for one in numbers if one is not None] == [*map(as_expression, recorded)]
