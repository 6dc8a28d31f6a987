"""Fixes that touch single nodes: checks and prints that go, bare asserts that are given their message.

``aten._assert_tensor_metadata`` has no functional twin. Which checks cannot fire is for
:func:`graphlint.semantics.checks.metadata_obstacle` to say. Removing a print changes what a program does, if nothing
that it computes; removing a check that a target would not run changes what stock torch does.

``aten._assert_async.default`` raises a message of its own, :data:`graphlint.passes.tokens.BARE_MESSAGE`; the overload
that is given one raises the same, and is known to more consumers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from graphlint.ir.arguments import Json
from graphlint.ir.document import Dialect, Document
from graphlint.ir.model import Graph
from graphlint.passes.tokens import BARE_MESSAGE
from graphlint.semantics.sites import Site

WITH_MESSAGE: Final = "torch.ops.aten._assert_async.msg"


def remove_nodes(document: Document, sites: Iterable[Site]) -> Json:
    """The program without the nodes at ``sites``, which have no results, as JSON."""
    return _edited(document, sites, lambda _: None)


def give_messages(document: Document, sites: Iterable[Site]) -> Json:
    """The program with the bare asserts at ``sites`` as asserts with a message, as JSON."""
    dialect = Dialect.of(document.program.graph)

    def with_message(node: Json) -> Json:
        operand = dialect.operand("assert_msg", {"as_string": BARE_MESSAGE})
        return {**node, "target": WITH_MESSAGE, "inputs": [*node["inputs"], operand]}

    return _edited(document, sites, with_message)


def _edited(document: Document, sites: Iterable[Site], edit: Callable[[Json], Json | None]) -> Json:
    """The program with what ``edit`` makes of the nodes at ``sites``; None removes one."""
    chosen = {id(site.node) for site in sites}
    graph, raw = document.program.graph, document.tree["graph_module"]["graph"]
    return document.with_graph(_edited_graph(graph, raw, chosen, edit))


def _edited_graph(graph: Graph, raw: Json, chosen: set[int], edit: Callable[[Json], Json | None]) -> Json:
    nodes = []
    for node, raw_node in zip(graph.nodes, raw["nodes"], strict=True):
        if id(node) in chosen:
            replacement = edit(raw_node)
            nodes += [] if replacement is None else [replacement]
            continue
        inputs = None
        for position, operand in enumerate(node.inputs):
            reference = operand.arg.as_graph
            if reference is None:
                continue
            raw_operand = raw_node["inputs"][position]
            raw_reference = raw_operand["arg"]["as_graph"]
            edited = _edited_graph(reference.graph, raw_reference["graph"], chosen, edit)
            if edited is not raw_reference["graph"]:
                inputs = inputs or list(raw_node["inputs"])
                argument = {**raw_operand["arg"], "as_graph": {**raw_reference, "graph": edited}}
                inputs[position] = {**raw_operand, "arg": argument}
        nodes.append(raw_node if inputs is None else {**raw_node, "inputs": inputs})
    unchanged = len(nodes) == len(raw["nodes"]) and all(
        new is old for new, old in zip(nodes, raw["nodes"], strict=True)
    )
    return raw if unchanged else {**raw, "nodes": nodes}
