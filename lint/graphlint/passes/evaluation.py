"""A program that was exported in train mode becomes what the same model is in eval mode.

::

    before                                                         after
    %add_ = aten.add_.Tensor(%b_num_batches_tracked, 1)            %y = aten.batch_norm.default(%x, …, False, 0.1, …)
    %y = aten.batch_norm.default(%x, …, True, 0.1, …)              %z = aten.dropout.default(%y, 0.5, False)
    %z = aten.dropout.default(%y, 0.5, True)

Cases:

1. an op that does something else in train mode is given the argument of eval mode (a fact about the op);
2. what counts the batches of a normalization goes with the updates of its statistics.

Dropout returns its operand in eval mode, so that a write to its result writes that operand. The program stays where the
operand is the caller's or the module's, and where the artifact records another layout of the result.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from graphlint.ir.edit import changed_node, mapped, renamed_values, with_graph, with_operand
from graphlint.ir.model import Argument, Graph, Node, Program
from graphlint.semantics.analysis import DRAW, Analysis
from graphlint.semantics.memory import Ref
from graphlint.semantics.sites import Site
from graphlint.semantics.training import counting_writes, evaluated_argument, training_sites


class Evaluated(msgspec.Struct, frozen=True):
    """What the pass made."""

    program: Program
    lost: tuple[str, ...]
    """The effects that are gone: targets of ops, and draws."""


def evaluation_obstacle(analysis: Analysis) -> str | None:
    """Why the program cannot become one in eval mode, or None."""
    for site in training_sites(analysis):
        found = evaluated_argument(site.op, site.node)
        if found is None or site.node.input(found[0]) is None:
            return f"what {site.name} is in eval mode is not known"
    for site in analysis.sites:
        spelled_out = site.op is not None and not site.op.random.draws and site.op.hidden_writes is None
        if spelled_out and evaluated_argument(site.op, site.node) is not None:
            return f"{site.name} returns its running statistics, which the program writes back"
    for write in counting_writes(analysis):
        if write.site.scope.caller is not None or len(write.site.node.results()) > 1:
            return f"{write.site.name} counts batches in a way that is not known"
    returned = {site.node.results()[0]: site for site in _returning_operands(analysis) if site.node.results()}
    for site in returned.values():
        obstacle = _alias_obstacle(analysis, site, returned)
        if obstacle is not None:
            return obstacle
    return None


def evaluate(analysis: Analysis) -> Evaluated:
    """The program in eval mode. Nothing may be in the way."""
    counting = {id(write.site.node): write for write in counting_writes(analysis)}
    lost = [write.site.node.target for write in counting.values()]
    changed: dict[int, Node] = {}
    for site in analysis.sites:
        found = evaluated_argument(site.op, site.node)
        if found is None or site.op is None:
            continue
        changed[id(site.node)] = made = _with_argument(site.node, *found)
        if site.op.written(site.node) and not site.op.written(made):
            lost.append(made.target)
        if site.op.draws(site.node) and not site.op.draws(made):
            lost.append(DRAW)

    def edit(node: Node) -> list[Node] | None:
        if id(node) in counting:
            return []
        return [changed[id(node)]] if id(node) in changed else None

    program = with_graph(analysis.program, mapped(analysis.program.graph, edit))
    # Who read what a counting node returned reads the counter.
    counters = {name: write.value for write in counting.values() for name in write.site.node.results()}
    return Evaluated(renamed_values(program, counters) if counters else program, tuple(lost))


def _with_argument(node: Node, name: str, value: Argument) -> Node:
    inputs = [with_operand(operand, value) if operand.name == name else operand for operand in node.inputs]
    return changed_node(node, inputs=inputs)


def _returning_operands(analysis: Analysis) -> list[Site]:
    """The nodes that come to return their operand."""
    dropping = (site for site in analysis.sites if site.op is not None and site.op.shares == "no-dropout")
    return [site for site in dropping if evaluated_argument(site.op, site.node) is not None]


def _alias_obstacle(analysis: Analysis, site: Site, returned: Mapping[str, Site]) -> str | None:
    """Why a node cannot come to return its operand, or None. ``returned`` are all such nodes by what they return."""
    graph, result = site.scope.graph, site.node.results()[0]
    operand = _operand(site)
    if operand is None:
        return f"{site.name} is recorded in a way that is not known"
    before, after = graph.meta(operand), graph.meta(result)
    if before is None or after is None or before.strides != after.strides:
        return f"{site.name} returns its operand in eval mode, which is laid out otherwise than its result"
    written = {ref.storage for write in analysis.writes for ref in write.refs}
    if written.isdisjoint(ref.storage for ref in analysis.memory.refs(graph, result)):
        return None
    ref = _certain(analysis, graph, operand)
    while ref is not None and ref.storage.value in returned:
        behind = returned[ref.storage.value]
        ref = _certain(analysis, behind.scope.graph, _operand(behind))
    if ref is not None and ref.storage.kind == "intermediate":
        return None
    return f"what {site.name} returns is written in place, and in eval mode that may be the caller's or the module's"


def _operand(site: Site) -> str | None:
    """The tensor that a node takes."""
    return next((one.arg.as_tensor.name for one in site.node.inputs if one.arg.as_tensor is not None), None)


def _certain(analysis: Analysis, graph: Graph, name: str | None) -> Ref | None:
    """What a value shows, where there is no doubt."""
    refs = analysis.memory.refs(graph, name) if name is not None else ()
    return refs[0] if len(refs) == 1 and refs[0].certain else None
