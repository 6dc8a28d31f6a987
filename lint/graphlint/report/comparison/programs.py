"""Two programs compared: their interfaces, then their graphs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from graphlint.ir.model import Graph, Program
from graphlint.ir.source import model_frame, module_of, stack_frames
from graphlint.ir.text import print_node, print_type, print_value
from graphlint.ops.table import OpTable, op_table
from graphlint.report.comparison.canonical import CanonicalGraph, CanonicalNode, Symbols, canonical_graph
from graphlint.report.comparison.changes import Change, Detail, Kind, NodeFacts, ProgramDiff
from graphlint.report.comparison.interface import compare_interfaces, inputs_of, matched_inputs, output_keys
from graphlint.report.comparison.matching import Matching
from graphlint.report.comparison.order import longest_increasing


def compare_programs(
    old: Program,
    new: Program,
    name: str = "model",
    *,
    old_name: str | None = None,
    metadata: bool = False,
    ops: OpTable | None = None,
) -> ProgramDiff:
    """All differences between two programs. ``metadata`` compares modules and source lines of ops, too."""
    table = ops if ops is not None else op_table()
    mine = canonical_graph(old.graph, table, Symbols())
    theirs = canonical_graph(new.graph, table, Symbols())
    pairs = matched_inputs(inputs_of(old), inputs_of(new))
    inputs = {now.value[1:]: was.value[1:] for was, now in pairs if was is not None and now is not None}
    inputs |= _matched_constants(old.graph, new.graph)
    comparison = _Comparison(metadata=metadata)
    changes = list(comparison.graphs(mine, theirs, inputs, (), (output_keys(old), output_keys(new))))
    return ProgramDiff(
        name,
        compare_interfaces(old, new),
        tuple(changes),
        comparison.unchanged,
        old_name if old_name != name else None,
    )


def _matched_constants(old: Graph, new: Graph) -> dict[str, str]:
    """New names to old ones of the tensors that torch 2.1 keeps in the graph: the same name, else in order."""
    same = {name: name for name in new.constants if name in old.constants}
    others = [name for name in new.constants if name not in same]
    return same | dict(zip(others, (name for name in old.constants if name not in same), strict=False))


class _Comparison:
    def __init__(self, *, metadata: bool) -> None:
        self._metadata = metadata
        self.unchanged = 0

    def graphs(
        self,
        old: CanonicalGraph,
        new: CanonicalGraph,
        inputs: Mapping[str, str],
        path: tuple[str, ...],
        outputs: tuple[list[str], list[str]] | None = None,
    ) -> Iterator[Change]:
        """The differences between two graphs and all that they call, in the order of the new one, with what is gone
        where it was. ``outputs`` tells which output is which; without, they are compared in order.
        """
        matching = Matching(old, new, inputs)
        moved = _out_of_order(matching)
        removed: dict[int, list[CanonicalNode]] = {}
        place = -1
        for node in old.nodes:
            place = matching.to_new.get(node.index, place)
            if node.index not in matching.to_new:
                removed.setdefault(place, []).append(node)
        gone = {name for nodes in removed.values() for node in nodes for name in node.results}
        for place in range(-1, len(new.nodes)):
            if place >= 0:
                yield from self._node(matching, new.nodes[place], path, moved, gone)
            for node in removed.get(place, ()):
                yield Change("removed", path, old=_facts(old.graph, node))
        yield from self._returned(matching, path, outputs)

    def _node(
        self,
        matching: Matching,
        new: CanonicalNode,
        path: tuple[str, ...],
        moved: Mapping[int, tuple[str, str]],
        gone: AbstractSet[str],
    ) -> Iterator[Change]:
        index = matching.to_old.get(new.index)
        if index is None:
            yield Change("added", path, new=_facts(matching.new.graph, new))
            return
        old = matching.old.nodes[index]
        details = list(self._details(matching, old, new, gone))
        if new.index in moved:
            details.append(Detail("after", *moved[new.index]))
        if details:
            kind: Kind = "moved" if [detail.what for detail in details] == ["after"] else "changed"
            facts = _facts(matching.old.graph, old), _facts(matching.new.graph, new)
            yield Change(kind, path, *facts, tuple(details))
        else:
            self.unchanged += 1
        for inner, other, reference in zip(old.graphs, new.graphs, new.node.subgraphs(), strict=False):
            names = dict(zip(other.inputs, inner.inputs, strict=False))
            yield from self.graphs(inner, other, names, (*path, new.node.caller_label, reference.name))

    def _details(
        self, matching: Matching, old: CanonicalNode, new: CanonicalNode, gone: AbstractSet[str]
    ) -> Iterator[Detail]:
        """What differs between two matched nodes; ``gone`` are the old values that are in the new graph no more."""
        if old.op != new.op:
            yield Detail("op", old.op, new.op)
        for name in dict.fromkeys((*new.arguments, *old.arguments)):
            if self._argument(matching.values, old, new, name):
                left_out = "the default" if old.op == new.op else "none"
                before, after = _shown(old, name) or left_out, _shown(new, name) or left_out
                if any(value in gone for slot, value in old.operands if slot.argument == name):
                    before += " (removed)"
                if any(value not in matching.values for slot, value in new.operands if slot.argument == name):
                    after += " (added)"
                yield Detail(f"argument {name}", before, after)
        if old.types != new.types:
            yield Detail("result", _types(matching.old.graph, old), _types(matching.new.graph, new))
        if len(old.graphs) != len(new.graphs):
            yield Detail("graphs", str(len(old.graphs)), str(len(new.graphs)))
        for inner, other in zip(old.graphs, new.graphs, strict=False):
            if inner.input_types != other.input_types:
                yield Detail("graph inputs", ", ".join(inner.input_types), ", ".join(other.input_types))
        if self._metadata:
            yield from _metadata(old, new)

    @staticmethod
    def _argument(values: Mapping[str, str], old: CanonicalNode, new: CanonicalNode, name: str) -> bool:
        """Whether an argument differs."""
        if old.arguments.get(name) != new.arguments.get(name):
            return True
        before = [value for slot, value in old.operands if slot.argument == name]
        after = [values.get(value) for slot, value in new.operands if slot.argument == name]
        return before != after

    @staticmethod
    def _returned(
        matching: Matching, path: tuple[str, ...], outputs: tuple[list[str], list[str]] | None
    ) -> Iterator[Change]:
        old, new = matching.old, matching.new
        keys = outputs or (_numbered(old), _numbered(new))
        before = dict(zip(keys[0], old.outputs, strict=True))
        after = dict(zip(keys[1], new.outputs, strict=True))
        shown_before = dict(zip(keys[0], map(print_value, old.graph.outputs), strict=True))
        shown_after = dict(zip(keys[1], map(print_value, new.graph.outputs), strict=True))
        details = []
        for key in dict.fromkeys((*after, *before)):
            if outputs is not None and (key not in before or key not in after):
                continue  # a difference of the interface
            text, names = before.get(key, ("", []))
            other_text, others = after.get(key, ("", []))
            if text != other_text or names != [matching.values.get(name) for name in others]:
                details.append(Detail(key, shown_before.get(key, "nothing"), shown_after.get(key, "nothing")))
        if details:
            yield Change("changed", path, details=tuple(details))


def _numbered(graph: CanonicalGraph) -> list[str]:
    return [f"result {position}" for position in range(len(graph.outputs))]


def _out_of_order(matching: Matching) -> dict[int, tuple[str, str]]:
    """New nodes that others have overtaken: all but a longest series of matched nodes that kept their order. For each
    after what it came, and after what it comes now.
    """
    sequence = [(index, matching.to_old[index]) for index in sorted(matching.to_old)]
    kept = set(longest_increasing(old for _, old in sequence))
    old_nodes, new_nodes = matching.old.nodes, matching.new.nodes

    def before(nodes: list[CanonicalNode], index: int) -> str:
        return f"%{nodes[index - 1].node.label}" if index else "the inputs"

    return {
        new: (before(old_nodes, old), before(new_nodes, new))
        for position, (new, old) in enumerate(sequence)
        if position not in kept
    }


def _facts(graph: Graph, node: CanonicalNode) -> NodeFacts:
    module = module_of(node.node)
    return NodeFacts(
        node.node.label,
        node.op,
        node.index,
        print_node(graph, node.node),
        model_frame(stack_frames(node.node)),
        module[0] if module is not None else None,
    )


def _shown(node: CanonicalNode, name: str) -> str:
    for position, operand in enumerate(node.node.inputs):
        if name in (operand.name, str(position)) and name in node.arguments:
            return print_value(operand.arg)
    return ""


def _types(graph: Graph, node: CanonicalNode) -> str:
    metas = [graph.meta(name) for name in node.results]
    return ", ".join(print_type(meta) if meta is not None else "a scalar" for meta in metas) or "nothing"


def _metadata(old: CanonicalNode, new: CanonicalNode) -> Iterator[Detail]:
    before, after = module_of(old.node), module_of(new.node)
    if before != after:
        yield Detail("module", before[0] if before else "none", after[0] if after else "none")
    was, now = model_frame(stack_frames(old.node)), model_frame(stack_frames(new.node))
    if was != now:
        yield Detail("source", f"{was.path}:{was.line}" if was else "none", f"{now.path}:{now.line}" if now else "none")
