"""Regions are inlined.

::

    before                                                    after
    %z = higher_order.wrap_with_set_grad_enabled(False, @r, %y)   %mul = aten.mul.Tensor(%y, 2)
      @r(%y):                                                     %z = aten.detach.default(%mul)
        %mul = aten.mul.Tensor(%y, 2)
        return %mul

A forward pass computes the same with gradients on and off. What does differ is what autograd sees: the results of a
region without gradients are detached, so that they have none afterwards either, and what is written back to
a buffer from them does not carry a history from call to call.

A region stays (:func:`graphlint.rules.regions.region_obstacle`) where something in it is still written in place:
such a write may be allowed only while gradients are off.

Of an autocast region, what it casts is written out (:mod:`graphlint.semantics.autocast`)::

    before                                            after
    %z = higher_order.wrap_with_autocast(             %a = aten._to_copy.default(%x, dtype=torch.bfloat16)
        "cpu", torch.bfloat16, True, True, @r, %x)    %b = aten._to_copy.default(%x, dtype=torch.bfloat16)
      @r(%x):                                         %mm = aten.mm.default(%a, %b)
        %mm = aten.mm.default(%x, %x)
        return %mm

Each operand has a cast of its own, as gradients come back through each; but for the casts that torch keeps.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from graphlint.ir.edit import (
    Dialect,
    GraphEdit,
    changed_node,
    named_by_calls,
    renamed,
    renamed_operands,
    tensor,
    tensors,
    with_edited_graphs,
    with_graph,
    with_operand,
)
from graphlint.ir.model import Argument, Graph, GraphRef, NamedArgument, Node, Program, TensorMeta
from graphlint.ops.table import op_of
from graphlint.passes.functionalize.metas import Meta
from graphlint.semantics.casting import Casting
from graphlint.semantics.sites import Site, call_of

_TABLES: Final = ("sym_int_values", "sym_float_values", "sym_bool_values", "custom_obj_values")
_Dtypes = Mapping[int, Mapping[str, int]]


def inline_regions(
    program: Program,
    sites: Iterable[Site],
    castings: Mapping[int, Casting] | None = None,
    dtypes: _Dtypes | None = None,
) -> Program:
    """The program with the regions at ``sites`` inlined. ``castings`` are what autocast makes of the operands of nodes
    in them, by the identity of the node; ``dtypes`` are those of values that are recorded with another, by the identity
    of their graph.
    """
    inliner = _Inliner({id(site.node) for site in sites}, Dialect.of(program.graph), castings or {}, dtypes or {})
    edited, gone = inliner.graph(program.graph, named_by_calls(program))
    return with_graph(program, edited, renames=gone)


class _Inliner:
    def __init__(self, chosen: set[int], dialect: Dialect, castings: Mapping[int, Casting], dtypes: _Dtypes) -> None:
        self._chosen = chosen
        self._holding: dict[int, bool] = {}
        self._dialect = dialect
        self._castings = castings
        self._dtypes = dtypes
        self._kept_casts: dict[str, str] = {}
        """The casts that torch keeps, of the outermost region and in the graph that are being copied."""
        self._used: set[str] = set()
        """What is read in the graph that is being copied: results of regions that nobody uses are left out."""

    def graph(self, graph: Graph, named: Iterable[str] = ()) -> tuple[Graph, dict[str, str]]:
        """A graph with its regions inlined, and the names that are gone with what stands for them. ``named`` are names
        that something besides the graph refers to.
        """
        outer, self._used = self._used, graph.used().union(named)
        outer_casts, self._kept_casts = self._kept_casts, {}
        edit = GraphEdit(graph)
        for name in self._dtypes.get(id(graph), ()):
            edit.record(name, self._meta(graph, name))
        gone: dict[str, str] = {}
        for node in graph.nodes:
            current = renamed_operands(node, gone)
            if id(node) in self._chosen:
                gone |= self._inline(node, current, edit)
                self._kept_casts = {}
            else:
                self._add(node, self._kept(current), edit)
        edit.outputs = [renamed(output, gone) for output in graph.outputs]
        self._used, self._kept_casts = outer, outer_casts
        return edit.finish(), gone

    def _kept(self, node: Node) -> Node:
        """A node that stays, the regions in its subgraphs inlined."""
        inputs = with_edited_graphs(node, lambda inner: self.graph(inner)[0] if self._holds(inner) else inner)
        return node if inputs is node.inputs else changed_node(node, inputs=inputs)

    def _holds(self, graph: Graph) -> bool:
        """Whether something in a graph, or in what it calls, changes."""
        if id(graph) not in self._holding:
            self._holding[id(graph)] = id(graph) in self._dtypes or any(
                id(node) in self._chosen
                or id(node) in self._castings
                or any(self._holds(sub.graph) for sub in node.subgraphs())
                for node in graph.nodes
            )
        return self._holding[id(graph)]

    def _inline(self, original: Node, node: Node, edit: GraphEdit) -> dict[str, str]:
        """Copy a region's nodes into ``edit``, where ``original`` is called ``node``; what stands for those of the
        original's results that are gone.
        """
        call = call_of(node)
        if call is None:
            raise AssertionError("a region without a graph")
        (graph,) = call.returning
        names = [name for argument in graph.inputs for name in argument.names()]
        given = [node.inputs[place].arg.names()[0] for place in call.places]
        inner: dict[str, str] = dict(zip(names, given, strict=True))
        start = len(edit.nodes)
        used, self._used = self._used, graph.used()
        for sub in graph.nodes:
            for name in sub.results():
                inner[name] = edit.claim(name)
            self._adopt(sub, graph, edit, inner)
            if id(sub) in self._chosen:
                inner |= self._inline(sub, _renamed_node(sub, inner, edit), edit)
            else:
                self._add(sub, _renamed_node(self._kept(sub), inner, edit), edit)
        self._used = used
        detached = node.inputs[0].arg.as_bool is False  # gradients are off
        gone: dict[str, str] = {}
        for output, outer, result in zip(graph.outputs, original.results(), node.results(), strict=True):
            value = inner[output.names()[0]]
            if outer not in self._used:
                edit.forget([result])
            elif output.as_tensor is None or not detached:
                gone[outer] = value
                edit.forget([result])
            else:
                metadata = edit.nodes[-1].metadata if len(edit.nodes) > start else node.metadata
                operands = [self._dialect.operand("self", tensor(value))]
                target = op_of("detach").target
                edit.nodes.append(self._dialect.node(target, operands, [tensor(result)], result, metadata))
        return gone

    def _add(self, original: Node, node: Node, edit: GraphEdit) -> None:
        """Copy a node, after the casts of its operands."""
        casting = self._castings.get(id(original))
        if casting is not None and casting.argument:
            told = [operand for operand in node.inputs if operand.name != "dtype"]
            dtype = self._dialect.operand("dtype", Argument(as_scalar_type=casting.dtype), keyword=True)
            node = changed_node(node, inputs=[*told, dtype])
        elif casting is not None:
            pairs = zip(original.inputs, node.inputs, strict=True)
            node = changed_node(node, inputs=[self._cast_operand(*pair, casting, node, edit) for pair in pairs])
        edit.nodes.append(node)

    def _cast_operand(
        self, original: NamedArgument, operand: NamedArgument, casting: Casting, node: Node, edit: GraphEdit
    ) -> NamedArgument:
        """The operand with what its tensors are cast to."""
        if casting.operands.isdisjoint(original.arg.tensors()):
            return operand
        pairs = zip(original.arg.tensors(), operand.arg.tensors(), strict=True)
        names = [
            self._cast(current, casting, node, edit) if name in casting.operands and current is not None else current
            for name, current in pairs
        ]
        if operand.arg.as_tensors is not None:
            return with_operand(operand, tensors(name for name in names if name is not None))
        return with_operand(operand, tensor(names[0] or ""))

    def _cast(self, name: str, casting: Casting, node: Node, edit: GraphEdit) -> str:
        """The cast of a value, which torch keeps where it was not computed and requires gradients."""
        meta = edit.meta(name)
        if meta is None:
            raise AssertionError(f"%{name} is cast, whose dtype is not recorded")
        kept = casting.keeps and meta.requires_grad and any(name in one.names() for one in edit.inputs)
        if kept and name in self._kept_casts:
            return self._kept_casts[name]
        made = edit.claim(op_of("cast").packet)
        recorded = Meta(meta).dense(dtype=casting.dtype).raw
        edit.record(made, msgspec.structs.replace(recorded, requires_grad=meta.requires_grad))
        dtype = self._dialect.operand("dtype", Argument(as_scalar_type=casting.dtype), keyword=True)
        operands = [self._dialect.operand("self", tensor(name)), dtype]
        edit.nodes.append(self._dialect.node(op_of("cast").target, operands, [tensor(made)], made, node.metadata))
        if kept:
            self._kept_casts[name] = made
        return made

    def _meta(self, graph: Graph, name: str) -> TensorMeta:
        """What is to be recorded of a value."""
        dtype = self._dtypes.get(id(graph), {}).get(name)
        meta = graph.tensor_values[name]
        return meta if dtype is None else msgspec.structs.replace(meta, dtype=dtype)

    def _adopt(self, node: Node, graph: Graph, edit: GraphEdit, inner: dict[str, str]) -> None:
        """What is recorded of a node's results goes with it."""
        for name in node.results():
            if name in graph.tensor_values:
                edit.record(inner[name], self._meta(graph, name))
            for table in _TABLES:
                recorded = getattr(graph, table).get(name)
                if recorded is not None:
                    edit.record_other(table, inner[name], recorded)


def _renamed_node(original: Node, mapping: dict[str, str], edit: GraphEdit) -> Node:
    """A node of the region under the names of the graph that it comes into, those of its subgraphs included."""
    node = renamed_operands(original, mapping)
    inputs = list(node.inputs)
    for position, operand in enumerate(inputs):
        reference = operand.arg.as_graph
        if reference is not None:
            named = GraphRef(edit.claim(reference.name), reference.graph)
            inputs[position] = with_operand(operand, Argument(as_graph=named))
    name = node.name
    if name:
        name = mapping[name] if name in mapping else edit.claim(name)
    outputs = [renamed(output, mapping) for output in node.outputs]
    return changed_node(node, inputs=inputs, outputs=outputs, name=name)
