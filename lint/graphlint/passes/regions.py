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

A region stays (:func:`graphlint.semantics.regions.region_obstacle`) where something in it is still written in place:
such a write may be allowed only while gradients are off.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from graphlint.ir.arguments import Json, renamed, renamed_call, renamed_operands, tensor, value_names
from graphlint.ir.document import Dialect, Document, GraphEdit
from graphlint.ir.model import Graph, Node
from graphlint.semantics.sites import Site

_TABLES: Final = ("sym_int_values", "sym_float_values", "sym_bool_values", "custom_obj_values")


def inline_regions(document: Document, sites: Iterable[Site]) -> Json:
    """The program with the regions at ``sites`` inlined, as JSON."""
    raw = document.tree["graph_module"]["graph"]
    module = document.tree["graph_module"]
    calls: list[Json] = module.get("module_call_graph", [])
    named = {name for entry in calls for argument in _call_arguments(entry) for name in value_names(argument)}
    inliner = _Inliner({id(site.node) for site in sites}, Dialect.of(document.program.graph))
    edited, gone = inliner.graph(document.program.graph, raw, named)
    signature = module["signature"]
    specs = [_renamed_spec(spec, gone) for spec in signature["output_specs"]]
    changed = {**signature, "output_specs": specs}
    return document.with_graph(edited, signature=changed, module_call_graph=[renamed_call(one, gone) for one in calls])


def _uses(graph: Json) -> set[str]:
    """Every name that a graph's nodes read or that it returns."""
    used = {name for output in graph["outputs"] for name in value_names(output)}
    for node in graph["nodes"]:
        used.update(name for operand in node["inputs"] for name in value_names(operand["arg"]))
    return used


def _call_arguments(entry: Json) -> list[Json]:
    signature = entry.get("signature") or {}
    return [*signature.get("inputs", []), *signature.get("outputs", [])]


def _renamed_spec(spec: Json, gone: dict[str, str]) -> Json:
    (kind, value), *_ = spec.items()
    if kind == "user_output":
        return {kind: {**value, "arg": renamed(value["arg"], gone)}}
    name = value["arg"]["name"]
    return {kind: {**value, "arg": {**value["arg"], "name": gone.get(name, name)}}}


class _Inliner:
    def __init__(self, chosen: set[int], dialect: Dialect) -> None:
        self._chosen = chosen
        self._dialect = dialect
        self._used: set[str] = set()
        """What is read in the graph that is being copied: results of regions that nobody uses are left out."""

    def graph(self, graph: Graph, raw: Json, named: Iterable[str] = ()) -> tuple[Json, dict[str, str]]:
        """A graph with its regions inlined, and the names that are gone with what stands for them. ``named`` are names
        that something besides the graph refers to.
        """
        outer, self._used = self._used, _uses(raw).union(named)
        edit = GraphEdit(raw, graph)
        tables: Json = {key: dict(raw[key]) for key in _TABLES if key in raw}
        gone: dict[str, str] = {}
        self._copy(graph, raw, edit, tables, gone)
        edit.outputs = [renamed(output, gone) for output in raw["outputs"]]
        self._used = outer
        return edit.finish(**tables), gone

    def _copy(self, graph: Graph, raw: Json, edit: GraphEdit, tables: Json, gone: dict[str, str]) -> None:
        for node, raw_node in zip(graph.nodes, raw["nodes"], strict=True):
            if id(node) in self._chosen:
                self._inline(node, renamed_operands(raw_node, gone), edit, tables, gone)
            else:
                edit.nodes.append(self._kept(node, renamed_operands(raw_node, gone)))

    def _kept(self, node: Node, raw: Json) -> Json:
        """A node that stays, the regions in its subgraphs inlined."""
        inputs = list(raw["inputs"])
        for position, operand in enumerate(node.inputs):
            reference = operand.arg.as_graph
            if reference is None or not self._holds(reference.graph):
                continue
            raw_reference = inputs[position]["arg"]["as_graph"]
            edited, _ = self.graph(reference.graph, raw_reference["graph"])
            argument = {**inputs[position]["arg"], "as_graph": {**raw_reference, "graph": edited}}
            inputs[position] = {**inputs[position], "arg": argument}
        return {**raw, "inputs": inputs}

    def _holds(self, graph: Graph) -> bool:
        return any(
            id(node) in self._chosen or any(self._holds(s.graph) for s in node.subgraphs()) for node in graph.nodes
        )

    def _inline(self, node: Node, raw: Json, edit: GraphEdit, tables: Json, gone: dict[str, str]) -> None:
        """Copy a region's nodes into ``edit``. ``gone`` maps names of the graph that the region stands in to those
        of ``edit``, where they differ.
        """
        reference = node.inputs[1].arg.as_graph
        if reference is None:
            raise AssertionError("a region without a graph")
        graph, raw_graph = reference.graph, raw["inputs"][1]["arg"]["as_graph"]["graph"]
        names = [name for argument in graph.inputs for name in argument.names()]
        given = [_single_name(operand["arg"]) for operand in raw["inputs"][2:]]
        inner: dict[str, str] = dict(zip(names, given, strict=True))
        start = len(edit.nodes)
        used, self._used = self._used, _uses(raw_graph)
        for sub, raw_sub in zip(graph.nodes, raw_graph["nodes"], strict=True):
            for name in sub.results():
                inner[name] = edit.claim(name)
            self._adopt(sub, raw_graph, edit, tables, inner)
            if id(sub) in self._chosen:
                self._inline(sub, _renamed_node(raw_sub, inner, edit), edit, tables, inner)
            else:
                edit.nodes.append(_renamed_node(self._kept(sub, raw_sub), inner, edit))
        self._used = used
        detached = node.inputs[0].arg.as_bool is False
        for output, outer in zip(graph.outputs, (n for o in node.outputs for n in o.names()), strict=True):
            value, result = inner[output.names()[0]], gone.get(outer, outer)
            if outer not in self._used:
                edit.forget([result])
                continue
            if output.as_tensor is None or not detached:
                gone[outer] = value
                edit.forget([result])
                continue
            metadata = edit.nodes[-1].get("metadata", {}) if len(edit.nodes) > start else raw.get("metadata", {})
            operand = self._dialect.operand("self", tensor(value))
            edit.nodes.append(self._dialect.node("torch.ops.aten.detach.default", [operand], result, metadata))

    def _adopt(self, node: Node, raw_graph: Json, edit: GraphEdit, tables: Json, inner: dict[str, str]) -> None:
        """What is recorded of a node's results goes with it."""
        for name in node.results():
            meta = raw_graph["tensor_values"].get(name)
            if meta is not None:
                edit.record(inner[name], meta)
            for key in _TABLES:
                recorded = raw_graph.get(key, {}).get(name)
                if recorded is not None:
                    tables.setdefault(key, {})[inner[name]] = recorded


def _single_name(argument: Json) -> str:
    reference = argument.get("as_tensor") or argument.get("as_sym_int") or {}
    return str(reference.get("name") or reference.get("as_name"))


def _renamed_node(raw: Json, mapping: dict[str, str], edit: GraphEdit) -> Json:
    """A node of the region under the names of the graph that it comes into, those of its subgraphs included."""
    node = renamed_operands(raw, mapping)
    inputs = []
    for operand in node["inputs"]:
        reference = operand["arg"].get("as_graph")
        if not reference:
            inputs.append(operand)
            continue
        named = {**reference, "name": edit.claim(reference["name"])}
        inputs.append({**operand, "arg": {**operand["arg"], "as_graph": named}})
    node = {**node, "inputs": inputs, "outputs": [renamed(output, mapping) for output in raw["outputs"]]}
    if node.get("name"):
        node["name"] = mapping[node["name"]] if node["name"] in mapping else edit.claim(node["name"])
    return node
