"""Nodes in the form that a consumer takes. The values are the same, to the bit.

What is written to an index behind other dimensions is written to a permuted view, in which the indexed dimensions stand
first and no index is left out.

::

    before                                                       after
    %new = aten.index_put.default(%cache, [None, %at], %x)       %permute = aten.permute.default(%cache, [1, 0, 2])
                                                                 %values = aten.permute.default(%x, [1, 0, 2])
                                                                 %put = aten.index_put.default(%permute, [%at], %values)
                                                                 %new = aten.permute.default(%put, [1, 0, 2])

A conversion (``to``) that may return its operand is one that always copies. An op is given the arguments that it leaves
out, as its schema has them, or floating-point numbers for integers. What changes the shape in words of its own
(``flatten``) is a ``reshape`` to the sizes that are recorded, and pieces of a number (``chunk``) are pieces of a size.
A copy beside the value that it is of is the greater of the value and itself. A value that is called as a buffer that is
written back has another name. What becomes state by an op that a consumer makes anew on the way does so by an op more,
which returns the greater of a value and itself; so does the first state where another one is made last.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from graphlint.ir.dtypes import FLOATING, MASKS, category
from graphlint.ir.edit import (
    Dialect,
    GraphEdit,
    changed_node,
    renamed_values,
    tensor,
    with_graph,
    with_operand,
)
from graphlint.ir.model import Argument, Graph, NamedArgument, Node, OptionalTensorRef, Program, SymSize, TensorMeta
from graphlint.ops.info import Form, Role
from graphlint.ops.schema import SchemaArgument
from graphlint.ops.table import OpTable, op_of
from graphlint.passes.functionalize.metas import Meta
from graphlint.passes.nodes import edited_at
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.sites import Site

_LENGTH: Final = re.compile(r"\[(\d+)\]")
_UNKNOWN: Final = "the artifact does not record the sizes of its operands"
_KEPT: Final = ("dtype", "layout", "device", "pin_memory", "non_blocking", "memory_format")
"""What a conversion and a cast are both given, and mean the same by it."""


def form_obstacle(view: Analysis, site: Site, form: Form) -> str | None:
    """Why a node cannot have a form, or None."""
    if site.scope.caller is not None:
        return "it is in a subgraph"
    graph, node = site.scope.graph, site.node
    match form:
        case "indexed-first":
            made = _indexing(graph, node)
            return made if isinstance(made, str) else None
        case "cast":
            return _cast_obstacle(view, graph, node)
        case "copied":
            return _copying_obstacle(graph, node)
        case "reshape":
            return _UNKNOWN if _recorded_sizes(graph, node) is None else None
        case "split":
            return _UNKNOWN if _size_of_pieces(graph, node) is None else None
        case "spelled":
            return None if _left_out(node, view.ops) else "its schema is not known"
    return None


def _cast_obstacle(view: Analysis, graph: Graph, node: Node) -> str | None:
    """Why a conversion cannot copy always, or None."""
    given, results = node.input("self"), node.results()
    operand = given.as_tensor.name if given is not None and given.as_tensor is not None else ""
    before, after = graph.meta(operand), graph.meta(results[0]) if len(results) == 1 else None
    if before is None or after is None:
        return _UNKNOWN
    same = before.dtype == after.dtype and str(before.device) == str(after.device)
    if same and any(ref.storage in view.written_inputs for ref in view.memory.refs(graph, operand)):
        return "it shows memory that the program writes"
    return None


def _copying_obstacle(graph: Graph, node: Node) -> str | None:
    """Why a copy cannot be the greater of a tensor and itself, or None."""
    before, after = (graph.meta(name) for name in (*node.reads()[:1], *node.results()[:1]))
    if before is None or after is None:
        return _UNKNOWN
    if category(before.dtype) > FLOATING:
        return "complex numbers have no order"
    return None if before.stride == after.stride else "it is laid out otherwise"


def with_forms(program: Program, sites: Iterable[tuple[Site, Form]], ops: OpTable) -> Program:
    """The program with the nodes at some sites in another form, each of which has no obstacle. ``ops`` knows the ops of
    the torch that wrote it.
    """
    dialect, edit = Dialect.of(program.graph), GraphEdit(program.graph)
    forms = {id(site.node): form for site, form in sites}
    becoming = written_back(program) if "apart" in forms.values() else {}
    for node in program.graph.nodes:
        form = forms.get(id(node), "")
        if form == "indexed-first":
            _indexed_first(edit, node, dialect)
        elif form == "spelled":
            edit.nodes.append(_spelled(node, dialect, ops))
        else:
            edit.nodes.append(_MADE[form](program.graph, node, dialect) if form in _MADE else node)
        for name in node.results() if form == "apart" else ():
            for place in becoming.get(name, ()):
                edit.outputs[place] = _apart(edit, node, tensor(name), dialect)
    return with_graph(program, edit.finish())


def with_arguments(program: Program, sites: Iterable[Site], ops: OpTable) -> Program:
    """The program with the calls at some sites given the arguments that they leave out, in subgraphs too."""
    dialect = Dialect.of(program.graph)
    return edited_at(program, sites, lambda node: [_spelled(node, dialect, ops)])


def _copies() -> set[str]:
    """The ops that a consumer takes for nothing."""
    return {op_of(role).target for role in ("copy", "alias", "detach")}


def made_last(program: Program) -> Node | None:
    """The last node that somebody uses, where its result becomes the state of a buffer other than the first one; else
    None. Mere copies do not count, nor do casts of what becomes state, which is cast where it is made.
    """
    becoming = written_back(program)
    first = min((place for places in becoming.values() for place in places), default=None)
    copies, cast = _copies(), op_of("cast").target
    used = {name for output in program.graph.outputs for name in output.tensors()}
    for node in reversed(program.graph.nodes if becoming else ()):
        results = node.results()
        if used.isdisjoint(results):
            continue
        if node.target in copies or (node.target == cast and not becoming.keys().isdisjoint(node.reads())):
            used.update(node.reads())
            continue
        places = [place for name in results for place in becoming.get(name, ())]
        return node if places and places != [first] else None
    return None


def with_first_state_last(program: Program) -> Program:
    """The program with what becomes the first state made by the last node, an op more."""
    edit, places = GraphEdit(program.graph), [place for others in written_back(program).values() for place in others]
    edit.nodes += program.graph.nodes
    place = min(places)
    value = edit.outputs[place]
    made = program.graph.makers.get(value.tensors()[0] or "")
    origin = program.graph.nodes[made if made is not None else -1]
    edit.outputs[place] = _apart(edit, origin, value, Dialect.of(program.graph))
    return with_graph(program, edit.finish())


def _apart(edit: GraphEdit, maker: Node, value: Argument, dialect: Dialect) -> Argument:
    """A value by an op more."""
    op, result = op_of("greater"), edit.claim(op_of("greater").packet)
    meta = edit.meta(value.tensors()[0] or "")
    if meta is None:
        raise AssertionError("what is written back has metadata")
    edit.record(result, meta)
    operands = [dialect.operand(name, value) for name in ("self", "other")]
    edit.nodes.append(dialect.node(op.target, operands, [tensor(result)], result, maker.metadata))
    return tensor(result)


def namesakes(program: Program) -> frozenset[str]:
    """The values of the root graph that are called as a buffer that the program writes back."""
    specs = program.graph_module.signature.output_specs
    buffers = {str(spec.target) for spec in specs if spec.buffer_mutation is not None}
    return frozenset(buffers & program.graph.defined)


def written_back(program: Program) -> dict[str, list[int]]:
    """What becomes the state of buffers: the first value on the way to it that is no mere copy, each with its places
    among the outputs.
    """
    graph, specs = program.graph, program.graph_module.signature.output_specs
    copies = _copies()
    found: dict[str, list[int]] = {}
    for place, (spec, output) in enumerate(zip(specs, graph.outputs, strict=True)):
        name = output.as_tensor.name if spec.buffer_mutation is not None and output.as_tensor is not None else None
        while name is not None:
            node = graph.nodes[graph.makers[name]] if name in graph.makers else None
            operand = node.input("self") if node is not None and node.target in copies else None
            if operand is None or operand.as_tensor is None:
                found.setdefault(name, []).append(place)
                break
            name = operand.as_tensor.name
    return found


def renamed_namesakes(program: Program, names: Iterable[str]) -> Program:
    """The program with other names for some values."""
    edit = GraphEdit(program.graph)
    return renamed_values(program, {name: edit.claim(f"_{name}") for name in names})


def _given(node: Node) -> dict[str, Argument]:
    """What a node is given, by the names of the arguments."""
    return {operand.name: operand.arg for operand in node.inputs}


def _instead(
    node: Node, role: Role, arguments: Mapping[str, Argument], dialect: Dialect, *, keyword: bool = False
) -> Node:
    """Another op on what a node is given first, with its results."""
    operands = [dialect.operand("self", _given(node)["self"])]
    operands += [dialect.operand(name, argument, keyword=keyword) for name, argument in arguments.items()]
    return dialect.node(op_of(role).target, operands, node.outputs, node.name or "", node.metadata)


def _cast(graph: Graph, node: Node, dialect: Dialect) -> Node:
    """A conversion as one that copies."""
    (result,) = node.results()
    meta = graph.meta(result)
    if meta is None:
        raise AssertionError("its metadata was asked for")
    given = {name: argument for name, argument in _given(node).items() if argument.kind != "as_none"}
    arguments: dict[str, Argument] = {name: given[name] for name in _KEPT if name in given}
    arguments.setdefault("dtype", Argument(as_scalar_type=meta.dtype))
    if "other" in given and meta.device is not None:
        arguments["device"] = Argument(as_device=meta.device)
    return _instead(node, "cast", arguments, dialect, keyword=True)


def _reshaped(graph: Graph, node: Node, dialect: Dialect) -> Node:
    """A change of shape as a reshape."""
    return _instead(node, "reshape", {"shape": Argument(as_ints=_recorded_sizes(graph, node))}, dialect)


def _recorded_sizes(graph: Graph, node: Node) -> list[int] | None:
    """What a reshape of the node's operand is given: the sizes of its result, -1 for one that is symbolic. None where
    that does not tell them: several are symbolic, or another is 0.
    """
    results = node.results()
    meta = graph.meta(results[0]) if len(results) == 1 else None
    if meta is None or node.input("self") is None:
        return None
    sizes = [size if isinstance(size, int) else -1 for size in meta.shape]
    return None if sizes.count(-1) > 1 or (-1 in sizes and 0 in sizes) else sizes


def _copied(graph: Graph, node: Node, dialect: Dialect) -> Node:
    """A copy as the greater of a tensor and itself."""
    return _instead(node, "greater", {"other": _given(node)["self"]}, dialect)


def _floating(graph: Graph, node: Node, dialect: Dialect) -> Node:
    """An op of floating-point tensors with floating-point numbers."""
    inputs = [
        one if (number := one.arg.as_int) is None else with_operand(one, Argument(as_float=float(number)))
        for one in node.inputs
    ]
    return changed_node(node, inputs=inputs)


def _split(graph: Graph, node: Node, dialect: Dialect) -> Node:
    """Pieces of a number as pieces of a size."""
    dim = {name: argument for name, argument in _given(node).items() if name == "dim"}
    return _instead(node, "split", {"split_size": Argument(as_int=_size_of_pieces(graph, node)), **dim}, dialect)


def _size_of_pieces(graph: Graph, node: Node) -> int | None:
    """How large the first piece of a dimension is, and so all but the last. None where that is not known."""
    dim, metas = node.input("dim"), [graph.meta(name) for name in node.results()]
    first, place = metas[0] if metas else None, (dim.as_int if dim is not None else 0)
    if first is None or place is None or not -len(first.shape) <= place < len(first.shape):
        return None
    size = first.shape[place]
    return size if isinstance(size, int) and size else None


def _spelled(node: Node, dialect: Dialect, ops: OpTable) -> Node:
    """An op with the arguments that it left out."""
    operands = [dialect.operand(name, argument) for name, argument in _left_out(node, ops).items()]
    return dialect.node(node.target, [*node.inputs, *operands], node.outputs, node.name or "", node.metadata)


def _left_out(node: Node, ops: OpTable) -> dict[str, Argument]:
    """The arguments that a node leaves out though they may be given by position, as its schema has them; none where
    they are not known.
    """
    op = ops.lookup(node.target)
    known = op.schema.arguments if op is not None and op.schema is not None else ()
    missing = [one for one in known if not one.keyword_only and node.input(one.name) is None]
    found = {one.name: argument for one in missing if (argument := _default(one)) is not None}
    if "stride" in found and (window := node.input("kernel_size")) is not None:
        found["stride"] = window  # windows without a stride stand side by side
    return found if len(found) == len(missing) else {}


def _default(argument: SchemaArgument) -> Argument | None:
    """What an argument is that is not given; None where the schema's words for it have no literal."""
    value = argument.default_value
    if argument.default is None:
        return None
    if value is None:
        return Argument(as_none=True)
    if isinstance(value, bool):
        return Argument(as_bool=value)
    if isinstance(value, str):
        if value == "[]":
            return Argument(as_ints=[])
        return Argument(as_string=value) if argument.type.startswith("str") else None
    if isinstance(value, float) or argument.type.startswith("float"):
        return Argument(as_float=float(value))
    length = _LENGTH.search(argument.type)  # `int[2] padding=0`
    return Argument(as_int=value) if length is None else Argument(as_ints=[value] * int(length[1]))


_MADE: Final[Mapping[Form, Callable[[Graph, Node, Dialect], Node]]] = {
    "cast": _cast,
    "copied": _copied,
    "floating": _floating,
    "reshape": _reshaped,
    "split": _split,
}


class _Indexing(NamedTuple):
    """How a node that writes to an index is one with the indexed dimensions first."""

    order: tuple[int, ...]
    """The dimensions of the base."""
    base: Meta
    values: Meta
    lead: int
    """How many dimensions stand before the indexed ones in what is written, and come behind them now."""
    width: int
    """How many dimensions the indices have together."""
    rank: int
    """How many dimensions what is written has in all; values may have less."""
    indices: list[OptionalTensorRef]


def _indexing(graph: Graph, node: Node) -> _Indexing | str:
    """The other form, or why there is none."""
    given = _given(node)
    indices = given["indices"].as_optional_tensors if "indices" in given else None
    if indices is None or not {"self", "values"} <= given.keys():
        return _UNKNOWN
    base, values = (_plain(graph, given[name]) for name in ("self", "values"))
    places = [place for place, one in enumerate(indices) if one.as_tensor is not None]
    names = [name for name in given["indices"].tensors() if name is not None]
    known = [meta for name in names if (meta := graph.meta(name)) is not None]
    if base is None or values is None or len(known) < len(names) or not places or len(indices) > len(base.shape):
        return _UNKNOWN
    if any(one.dtype in MASKS for one in known):
        return "it is indexed by a mask"
    others = [place for place in range(len(base.shape)) if place not in places]
    width = max(len(one.sizes) for one in known)
    together = places == list(range(places[0], places[-1] + 1))
    lead = places[0] if together else 0  # of indices that are apart, the dimensions come first anyway
    order = (*places, *others)
    permuted = _permuted(base, order)
    result = _permuted(Meta(permuted.dense().raw), _inverse(order))
    recorded = _plain(graph, tensor(node.results()[0]))
    if recorded is None or not result.same_strides(recorded):
        return "its result would be laid out otherwise"
    rank = len(others) + width
    if len(values.shape) > rank:
        return "its values have more dimensions than there is room for"
    return _Indexing(order, base, values, lead, width, rank, [indices[place] for place in places])


def _indexed_first(edit: GraphEdit, node: Node, dialect: Dialect) -> None:
    """Append a node that writes to an index, with permutations around it."""
    made = _indexing(edit.graph, node)
    if not isinstance(made, _Indexing):
        raise AssertionError(made)  # noqa: TRY004 - it was asked for
    moved = made.order != tuple(range(len(made.order)))
    operands = {operand.name: operand for operand in node.inputs}
    operands["indices"] = with_operand(operands["indices"], Argument(as_optional_tensors=made.indices))
    if not moved:
        edit.nodes.append(_put(dialect, node, operands, node.results()[0], node.name or ""))
        return
    writer = _Writer(edit, dialect, node)
    base = writer.permuted(operands["self"].arg, made.base, made.order)
    operands["self"] = with_operand(operands["self"], base)
    values, meta = operands["values"].arg, made.values
    if made.lead and len(meta.shape) > made.rank - made.lead - made.width:
        while len(meta.shape) < made.rank:
            values, meta = writer.unsqueezed(values, meta)
        indexed = range(made.lead, made.lead + made.width)
        behind = range(made.lead + made.width, made.rank)
        values = writer.permuted(values, meta, (*indexed, *range(made.lead), *behind))
        operands["values"] = with_operand(operands["values"], values)
    inner = edit.claim(node.results()[0])
    edit.record(inner, _permuted(made.base, made.order).dense().raw)
    edit.nodes.append(_put(dialect, node, operands, inner, inner))
    result = node.results()[0]
    edit.nodes.append(writer.node("permute", tensor(inner), "dims", _inverse(made.order), result, node.name or ""))


def _put(dialect: Dialect, node: Node, operands: Mapping[str, NamedArgument], result: str, name: str) -> Node:
    return dialect.node(node.target, list(operands.values()), [tensor(result)], name, node.metadata)


class _Writer(NamedTuple):
    """Appends views to a graph, in the place of a node."""

    edit: GraphEdit
    dialect: Dialect
    origin: Node

    def permuted(self, value: Argument, meta: Meta, order: Sequence[int]) -> Argument:
        return self._view("permute", value, "dims", order, _permuted(meta, order).raw)

    def unsqueezed(self, value: Argument, meta: Meta) -> tuple[Argument, Meta]:
        """The value with one more dimension in front."""
        made = meta.with_(
            sizes=[SymSize(as_int=1), *meta.sizes],
            strides=[meta.strides[0] if meta.strides else 1, *meta.strides],
            offset=meta.offset,
        )
        return self._view("unsqueeze", value, "dim", 0, made.raw), made

    def _view(self, role: Role, value: Argument, name: str, given: Sequence[int] | int, meta: TensorMeta) -> Argument:
        result = self.edit.claim(op_of(role).packet)
        self.edit.record(result, meta)
        self.edit.nodes.append(self.node(role, value, name, given, result, result))
        return tensor(result)

    def node(
        self, role: Role, value: Argument, name: str, given: Sequence[int] | int, result: str, called: str
    ) -> Node:
        argument = Argument(as_int=given) if isinstance(given, int) else Argument(as_ints=list(given))
        operands = [self.dialect.operand("self", value), self.dialect.operand(name, argument)]
        return self.dialect.node(op_of(role).target, operands, [tensor(result)], called, self.origin.metadata)


def _plain(graph: Graph, value: Argument) -> Meta | None:
    """What is recorded of a tensor that views can be taken of."""
    raw = graph.meta(value.as_tensor.name) if value.as_tensor is not None else None
    meta = Meta(raw) if raw is not None else None
    return meta if meta is not None and meta.plain else None


def _permuted(meta: Meta, order: Sequence[int]) -> Meta:
    """Metadata of a view with the dimensions in another order."""
    return meta.with_(
        sizes=[meta.sizes[place] for place in order],
        strides=[meta.strides[place] for place in order],
        offset=meta.offset,
    )


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(range(len(order)), key=order.__getitem__))
