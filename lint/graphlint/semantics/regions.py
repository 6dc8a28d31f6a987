"""Grad-mode regions: why one cannot be inlined."""

from __future__ import annotations

from graphlint.semantics.sites import Site
from graphlint.semantics.view import ProgramView, Write


def region_obstacle(view: ProgramView, site: Site) -> str | None:
    """Why the region at ``site`` cannot be inlined, or None.

    Writes inside count only where they cannot be functionalized, which happens before regions are inlined.
    """
    node = site.node
    if len(node.inputs) < 2 or node.inputs[0].arg.as_bool is None or node.inputs[1].arg.as_graph is None:
        return "it is recorded in a way that is not known"
    graph = node.inputs[1].arg.as_graph.graph
    if any(operand.arg.as_tensor is None and operand.arg.as_sym_int is None for operand in node.inputs[2:]):
        return "it takes operands that are no tensors"
    taken = sum(len(entry.names()) for entry in graph.inputs)
    if len(node.inputs) - 2 != taken:
        return f"of {taken} operands it is given {len(node.inputs) - 2}"
    results = [name for output in node.outputs for name in output.names()]
    if len(results) != len(graph.outputs) or any(len(output.names()) != 1 for output in graph.outputs):
        return "it returns constants"
    shown = {alias.storage for name in results for alias in view.aliasing.aliases(site.scope, name)}
    for write in view.writes:
        if _changes_metadata(view, write) and not shown.isdisjoint(alias.storage for alias in write.aliases):
            # Outside, a result may be the very tensor that was handed in; detached, it would be another.
            return f"{write.site.name} changes the sizes or strides of what it returns"
        if write.site.position in view.write_obstacles and site in write.site.scope.callers():
            return f"{write.site.name} inside it is still written in place"
    return None


def _changes_metadata(view: ProgramView, write: Write) -> bool:
    op = write.site.op
    return op is not None and op.in_place_view and write.site.position in view.write_obstacles
