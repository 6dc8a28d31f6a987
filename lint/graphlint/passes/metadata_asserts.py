"""Metadata checks that cannot fire are removed.

``aten._assert_tensor_metadata`` compares a tensor's dtype, device, layout, sizes or strides with constants and
has no functional twin. Where what it asserts is what the artifact records of that tensor, no input within the
artifact's contract makes it fire.

Cases (:func:`obstacle` answers each):

1. dtype, device, layout, sizes: compared with the recorded metadata. Sizes may be symbolic.
2. strides: recorded strides of what is computed from user inputs are not part of the contract (a caller may pass
   a transposed tensor), so only those of parameters, buffers and constants count.
3. the result of an in-place op is the tensor that it wrote, and what is recorded for that one counts.
4. after an in-place view (``t_``, ``resize_``, ``set_``) nobody knows a tensor's metadata from what was recorded
   before: such a check stays.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphlint.analysis.sites import Site
from graphlint.analysis.view import ProgramView
from graphlint.program.document import Document, Json
from graphlint.program.enums import DTYPES
from graphlint.program.expressions import as_expression
from graphlint.program.model import Argument, Graph, TensorMeta

TARGET = "torch.ops.aten._assert_tensor_metadata.default"


def obstacle(view: ProgramView, site: Site) -> str | None:
    """Why the check at ``site`` cannot be removed, or None where it cannot fire."""
    operand = site.node.input("a")
    names = operand.tensors() if operand is not None else []
    if not names or names[0] is None:
        return "it does not say which tensor it checks"
    name = _written_tensor(view, site, names[0])
    if _viewed_in_place(view, site, name):
        return f"an in-place view changes the metadata of %{name}"
    meta = site.scope.graph.meta(name)
    if meta is None:
        return f"the artifact records no metadata of %{name}"
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


def remove_checks(document: Document, sites: Iterable[Site]) -> Json:
    """The program without the checks at ``sites``, as JSON."""
    removed = {id(site.node) for site in sites}
    graph, raw = document.program.graph, document.tree["graph_module"]["graph"]
    return document.with_graph(_without(graph, raw, removed))


def _without(graph: Graph, raw: Json, removed: set[int]) -> Json:
    nodes = []
    for node, raw_node in zip(graph.nodes, raw["nodes"], strict=True):
        if id(node) in removed:
            continue
        inputs = None
        for position, operand in enumerate(node.inputs):
            reference = operand.arg.as_graph
            if reference is None:
                continue
            raw_operand = raw_node["inputs"][position]
            raw_reference = raw_operand["arg"]["as_graph"]
            edited = _without(reference.graph, raw_reference["graph"], removed)
            if edited is not raw_reference["graph"]:
                inputs = inputs or list(raw_node["inputs"])
                argument = {**raw_operand["arg"], "as_graph": {**raw_reference, "graph": edited}}
                inputs[position] = {**raw_operand, "arg": argument}
        nodes.append(raw_node if inputs is None else {**raw_node, "inputs": inputs})
    unchanged = len(nodes) == len(raw["nodes"]) and all(
        new is old for new, old in zip(nodes, raw["nodes"], strict=True)
    )
    return raw if unchanged else {**raw, "nodes": nodes}


def _written_tensor(view: ProgramView, site: Site, name: str) -> str:
    """The value whose recorded metadata is that of the tensor: follow in-place ops back to what they wrote."""
    producers = {result: node for node in site.scope.graph.nodes[: site.index] for result in node.results()}
    while name in producers:
        node = producers[name]
        op = view.ops.lookup(node.target)
        if op is None or op.schema is None or not op.writes or op.in_place_view:
            break
        position = next(i for i, output in enumerate(node.outputs) if name in output.names())
        returned = op.schema.returns[position] if position < len(op.schema.returns) else None
        written = next((a for a in op.schema.arguments if returned and a.written and a.alias == returned.alias), None)
        operand = node.input(written.name) if written is not None and not written.type.endswith("[]") else None
        source = operand.tensors() if operand is not None else []
        if not source or source[0] is None:
            break
        name = source[0]
    return name


def _viewed_in_place(view: ProgramView, site: Site, name: str) -> bool:
    """Whether an in-place view may have changed that very tensor before the check."""
    storages = {alias.storage for alias in view.aliasing.aliases(site.scope, name)}
    return any(
        write.site.op is not None
        and write.site.op.in_place_view
        and write.site.position < site.position
        and not storages.isdisjoint(alias.storage for alias in write.aliases)
        for write in view.writes
    )


def _dtype(asserted: Argument | None, meta: TensorMeta) -> str | None:
    if asserted is None or asserted.kind == "as_none":
        return None
    expected = asserted.as_scalar_type
    if expected == meta.dtype:
        return None
    return f"it asserts torch.{DTYPES.get(expected or 0)}, the artifact records torch.{DTYPES.get(meta.dtype)}"


def _device(asserted: Argument | None, meta: TensorMeta) -> str | None:
    if asserted is None or asserted.kind == "as_none":
        return None
    if str(asserted.as_device) == str(meta.device):
        return None
    return f"it asserts device {asserted.as_device}, the artifact records {meta.device}"


def _layout(asserted: Argument | None, meta: TensorMeta) -> str | None:
    if asserted is None or asserted.kind == "as_none" or asserted.as_layout == meta.layout:
        return None
    return "it asserts another layout than the artifact records"


def _sizes(asserted: Argument | None, graph: Graph, meta: TensorMeta) -> str | None:
    if asserted is None or asserted.kind == "as_none":
        return None
    expected = _numbers(asserted, graph)
    if expected is not None and len(expected) == len(meta.shape):
        pairs = zip(expected, meta.shape, strict=True)
        if all(as_expression(left) == as_expression(right) for left, right in pairs):
            return None
    return "its sizes are not known to be those that the artifact records"


def _strides(view: ProgramView, site: Site, name: str, meta: TensorMeta) -> str | None:
    asserted = site.node.input("stride")
    if asserted is None or asserted.kind == "as_none":
        return None
    aliases = view.aliasing.aliases(site.scope, name)
    fixed = len(aliases) == 1 and aliases[0].certain and aliases[0].storage.kind in ("parameter", "buffer", "constant")
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
