"""Grad-mode regions are inlined.

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
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from graphlint.ir.edit import (
    Dialect,
    GraphEdit,
    changed_node,
    named_by_calls,
    renamed,
    renamed_call,
    renamed_operands,
    respecified,
    tensor,
    with_edited_graphs,
    with_graph,
    with_operand,
)
from graphlint.ir.model import Argument, Graph, GraphRef, Node, Program
from graphlint.ops.table import op_of
from graphlint.semantics.sites import Site

_TABLES: Final = ("sym_int_values", "sym_float_values", "sym_bool_values", "custom_obj_values")


def inline_regions(program: Program, sites: Iterable[Site]) -> Program:
    """The program with the regions at ``sites`` inlined."""
    module = program.graph_module
    chosen = list(sites)
    holding = {id(one.scope.graph) for site in chosen for one in (site, *site.scope.callers())}
    inliner = _Inliner({id(site.node) for site in chosen}, holding, Dialect.of(program.graph))
    edited, gone = inliner.graph(program.graph, named_by_calls(program))
    specs = [respecified(*pair) for pair in zip(module.signature.output_specs, edited.outputs, strict=True)]
    signature = msgspec.structs.replace(module.signature, output_specs=specs)
    calls = [renamed_call(one, gone) for one in module.module_call_graph]
    return with_graph(program, edited, signature=signature, module_call_graph=calls)


class _Inliner:
    def __init__(self, chosen: set[int], holding: set[int], dialect: Dialect) -> None:
        """``holding`` are the graphs with the ``chosen`` regions, and those that call them."""
        self._chosen = chosen
        self._holding = holding
        self._dialect = dialect
        self._used: set[str] = set()
        """What is read in the graph that is being copied: results of regions that nobody uses are left out."""

    def graph(self, graph: Graph, named: Iterable[str] = ()) -> tuple[Graph, dict[str, str]]:
        """A graph with its regions inlined, and the names that are gone with what stands for them. ``named`` are names
        that something besides the graph refers to.
        """
        outer, self._used = self._used, graph.used().union(named)
        edit = GraphEdit(graph)
        gone: dict[str, str] = {}
        for node in graph.nodes:
            current = renamed_operands(node, gone)
            if id(node) in self._chosen:
                self._inline(current, edit, gone)
            else:
                edit.nodes.append(self._kept(current))
        edit.outputs = [renamed(output, gone) for output in graph.outputs]
        self._used = outer
        return edit.finish(), gone

    def _kept(self, node: Node) -> Node:
        """A node that stays, the regions in its subgraphs inlined."""
        held = self._holding
        inputs = with_edited_graphs(node, lambda inner: self.graph(inner)[0] if id(inner) in held else inner)
        return node if inputs is node.inputs else changed_node(node, inputs=inputs)

    def _inline(self, node: Node, edit: GraphEdit, gone: dict[str, str]) -> None:
        """Copy a region's nodes into ``edit``. ``gone`` maps names of the graph that the region stands in to those
        of ``edit``, where they differ.
        """
        reference = node.inputs[1].arg.as_graph
        if reference is None:
            raise AssertionError("a region without a graph")
        graph = reference.graph
        names = [name for argument in graph.inputs for name in argument.names()]
        given = [operand.arg.names()[0] for operand in node.inputs[2:]]
        inner: dict[str, str] = dict(zip(names, given, strict=True))
        start = len(edit.nodes)
        used, self._used = self._used, graph.used()
        for sub in graph.nodes:
            for name in sub.results():
                inner[name] = edit.claim(name)
            self._adopt(sub, graph, edit, inner)
            if id(sub) in self._chosen:
                self._inline(_renamed_node(sub, inner, edit), edit, inner)
            else:
                edit.nodes.append(_renamed_node(self._kept(sub), inner, edit))
        self._used = used
        detached = node.inputs[0].arg.as_bool is False
        for output, outer in zip(graph.outputs, (n for o in node.outputs for n in o.names()), strict=True):
            value, result = inner[output.names()[0]], gone.get(outer, outer)
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

    def _adopt(self, node: Node, graph: Graph, edit: GraphEdit, inner: dict[str, str]) -> None:
        """What is recorded of a node's results goes with it."""
        for name in node.results():
            meta = graph.tensor_values.get(name)
            if meta is not None:
                edit.record(inner[name], meta)
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
