"""Programs that contradict the ops that they call: found once, when a program is read, so that all else may rely on it.

Looked at are the ops that show or write memory, and runtime checks, for only of these does graphlint make other calls.
What they are given and what they give has to be of the kinds that torch has registered, and a dimension has to be one
of the tensor's.
"""

from collections.abc import Set as AbstractSet
from functools import cache
from typing import Final

from graphlint.ir.edit import every_graph
from graphlint.ir.model import Argument, Graph, Node, Program
from graphlint.ops.info import TOKEN, OpInfo, Role
from graphlint.ops.schema import OpSchema
from graphlint.ops.table import OpTable

_NUMBERS: Final = frozenset({"as_int", "as_sym_int", "as_bool"})
_LISTS: Final = frozenset({"as_ints", "as_sym_ints"})
_KINDS: Final = {
    "Tensor": frozenset({"as_tensor", "as_optional_tensor"}),
    "Tensor[]": frozenset({"as_tensors", "as_optional_tensors"}),
    **dict.fromkeys(("int", "SymInt"), _NUMBERS),
    **dict.fromkeys(("int[]", "SymInt[]"), _LISTS),
    "Scalar": _NUMBERS | {"as_float", "as_sym_float", "as_sym_bool", "as_complex"},
    "str": frozenset({"as_string"}),
}
"""What a value of a type of the schema language may be recorded as, for types whose values are looked into."""
_DIMENSIONS: Final = frozenset({"dim", "dims", "first", "second", "dim1", "dim2", "source", "destination"})
"""Parameters of view steps that are dimensions."""
_CHECKS: Final[frozenset[Role | None]] = frozenset({"assert", "assert-message", "assert-scalar", "assert-range"})


def contradiction(program: Program, ops: OpTable) -> str | None:
    """What of a program cannot be, or None."""
    for graph in every_graph(program.graph):
        for target, places in graph.by_target.items():
            op = ops.lookup(target)
            if op is None or op.schema is None:
                continue
            checks = op.role in _CHECKS or op.schema.argument(TOKEN) is not None
            if not (checks or op.view or op.writes or op.hidden_writes is not None):
                continue
            parameters = {source for step in op.view for source in step.parameters.values() if isinstance(source, str)}
            looked_into = {
                one.name
                for one in op.schema.arguments
                if checks or one.name in parameters or one.alias is not None or one.written
            }
            for place in places:
                node = graph.nodes[place]
                what = _of_node(graph, node, op, op.schema, looked_into)
                if what is not None:
                    return f"node {place} ({node.op}) {what}"
    return None


def _of_node(graph: Graph, node: Node, op: OpInfo, schema: OpSchema, looked_into: AbstractSet[str]) -> str | None:
    """What of a node cannot be; ``looked_into`` are the arguments whose values are."""
    operands = {operand.name: operand.arg for operand in node.inputs}
    for argument in schema.arguments:
        given = operands.get(argument.name) or node.input(argument.name)
        if given is None:
            if argument.default is None:
                return f"is recorded without its argument {argument.name!r}"
            continue
        if argument.name in looked_into and not _fits(given, argument.type):
            return f"takes {argument.name!r} as {argument.type}, and is given {_told(given)}"
    something = schema.returns or any(output.kind != "as_none" for output in node.outputs)
    if len(schema.returns) != len(node.outputs) and something:
        return f"gives {len(schema.returns)} results, and {len(node.outputs)} are recorded"
    for returned, output in zip(schema.returns, node.outputs, strict=False):
        if not _fits(output, returned.type) and output.kind != "as_none":
            return f"gives {returned.type}, and {_told(output)} is recorded"
    return _of_dimensions(graph, node, op, schema)


@cache
def _kinds(type_: str) -> frozenset[str]:
    """What a value of a type may be recorded as; none where that is not looked into."""
    base, size, rest = type_.partition("[")
    return _KINDS.get(f"{base}[]" if size and rest.rstrip("?") else base.rstrip("?"), frozenset())


def _fits(given: Argument, type_: str) -> bool:
    kinds = _kinds(type_)
    # Which kind an argument is of takes longer to find out: there are thirty, and most are of the one that is expected.
    if not kinds or any(getattr(given, kind) is not None for kind in kinds):
        return True
    base, size, rest = type_.partition("[")
    listed = bool(size) and rest.rstrip("?") != ""
    if (type_.endswith("?") and given.kind == "as_none") or (listed and given.value == []):
        return True
    # A number may stand for a list of one length (`int[2]`).
    return listed and given.kind in _KINDS[base.rstrip("?")] and rest[:1].isdigit()


def _told(given: Argument) -> str:
    return "nothing" if given.kind == "as_none" else f"what is {given.kind.removeprefix('as_').replace('_', ' ')}"


def _of_dimensions(graph: Graph, node: Node, op: OpInfo, schema: OpSchema) -> str | None:
    viewed = node.input(schema.arguments[0].name) if schema.arguments else None
    meta = graph.meta(viewed.as_tensor.name) if viewed is not None and viewed.as_tensor is not None else None
    if meta is None or len(op.view) != 1:
        return None
    [step] = op.view
    rank = max(len(meta.sizes) + (step.kind == "unsqueeze"), 1)
    for key, source in step.parameters.items():
        given = node.input(source) if key in _DIMENSIONS and isinstance(source, str) else None
        dims = () if given is None else given.as_ints if given.as_ints is not None else (given.as_int,)
        for dim in dims:
            if dim is not None and not -rank <= dim < rank:
                return f"takes dimension {dim} of a tensor that has {len(meta.sizes)}"
    return None
