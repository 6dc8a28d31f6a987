"""Nodes that may go: metadata checks that cannot fire, and prints where unsafe fixes are asked for.

``aten._assert_tensor_metadata`` has no functional twin. Which checks cannot fire is for
:func:`graphlint.analysis.checks.metadata_obstacle` to say. Removing a print changes what a program does, if nothing
that it computes.
"""

from __future__ import annotations

from collections.abc import Iterable

from graphlint.analysis.sites import Site
from graphlint.program.arguments import Json
from graphlint.program.document import Document
from graphlint.program.model import Graph


def remove_nodes(document: Document, sites: Iterable[Site]) -> Json:
    """The program without the nodes at ``sites``, which have no results, as JSON."""
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
