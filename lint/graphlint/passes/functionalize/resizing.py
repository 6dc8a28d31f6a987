"""What a program holds, and gives other sizes than the artifact records: by ``out=``, or by views in place.

What is recorded of a tensor is how it was before the op, in the first call: of buffers, too, in programs of torch 2.6
to 2.15. A buffer that ``out=`` has resized, or ``t_`` turned, has other sizes when the next call begins. Strict exports
resize the module's own buffer, and record that; they refuse to resize an input. And of what ``out=`` writes to a
constant, the record says that it was not resized. What is computed with such a tensor may be of other sizes than are
recorded, too, and is not rewritten by them.
"""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Final

from graphlint.ir.model import Graph
from graphlint.ir.strides import broadcast
from graphlint.ops.info import OpInfo
from graphlint.semantics.analysis import Analysis, Write
from graphlint.semantics.memory import Memory, Storage

RESHAPED: Final = "out= is given a tensor of another shape, which the op resizes"
UNTOLD: Final = "the artifact does not tell whether out= resizes a constant"
DEPENDENT: Final = "it is computed with a tensor whose sizes change from call to call"
HELD: Final = frozenset({"buffer", "constant", "parameter"})
"""The kinds of what a program holds from one call to the next."""


def resizing_obstacle(analysis: Analysis, write: Write) -> str | None:
    """Why what the program holds, or is given, may have other sizes or strides after a write, or None. Of what it makes
    itself, that is told where the memory changes.
    """
    op = write.site.op
    if op is not None and op.in_place_view:
        return _turned(analysis, write, op)
    if op is None or not op.out_variant or op.is_custom or write.target.storage.kind == "intermediate":
        return None
    graph, node = write.site.scope.graph, write.site.node
    before = graph.meta(write.value)
    if before is None:
        return None
    if write.target.storage.kind != "constant":
        written = [name for one in node.inputs if one.name in op.writes for name in one.arg.tensors()]
        made = [name for output in node.outputs for name in output.tensors() if name is not None]
        after = dict(zip(written, map(graph.meta, made), strict=False)).get(write.value)
        return RESHAPED if after is not None and after.shape != before.shape else None
    twin = analysis.ops.twin_of(op)
    if twin is None or not twin.elementwise:
        return UNTOLD
    operands = (one for one in node.inputs if one.name not in op.writes)
    metas = [graph.meta(name) for one in operands for name in one.arg.tensors() if name is not None]
    shapes = [meta.shape for meta in metas if meta is not None]
    return RESHAPED if shapes and broadcast(shapes) != tuple(before.shape) else None


def _turned(analysis: Analysis, write: Write, op: OpInfo) -> str | None:
    """Why a view in place changes more than a tensor object that the program has made, or None."""
    memory, graph = analysis.memory, write.site.scope.graph
    if any(memory.known(graph, name) is write.target for name in write.site.node.results()):
        return None
    twin = analysis.ops.twin_of(op)
    if twin is None or not twin.view:
        return f"{op.packet} changes how much memory the tensor has, or which"
    changed = write.target
    while changed.step is not None and changed.step.op.in_place_view and changed.parent is not None:
        changed = changed.parent
    if changed.may_be_operand:
        return f"whether {op.packet} changes another tensor cannot be determined from the artifact"
    handed = changed.step is None and changed.parent is not None  # into the graph, or out of one that is called
    if (write.kind != "intermediate" or handed) and not memory.ends_as_it_was(changed):
        return f"{op.packet} changes the sizes or strides of a tensor that the caller or the module holds"
    return None


def dependents(memory: Memory, root: Graph, storages: AbstractSet[Storage]) -> Iterator[Storage]:
    """The memory of all values that are computed with what shows these storages."""
    found: list[tuple[Graph, set[str]]] = []
    _collect(memory, root, storages, found, given=False)
    for graph, names in found:
        for name in names:
            yield from (ref.storage for ref in memory.refs(graph, name))


def _collect(
    memory: Memory, graph: Graph, storages: AbstractSet[Storage], found: list[tuple[Graph, set[str]]], *, given: bool
) -> bool:
    """Note the values of a graph and of those that it calls: what a call is given counts, and what it returns. Returns
    whether there are any.
    """
    names = set(memory.showing(graph, storages))
    if given:
        names.update(name for argument in graph.inputs for name in argument.names())
    found.append((graph, names))
    for node in graph.nodes:
        reads = not names.isdisjoint(node.reads())
        for sub in node.subgraphs():
            reads |= _collect(memory, sub.graph, storages, found, given=reads)
        if reads:
            names.update(node.results())
    return bool(names)
