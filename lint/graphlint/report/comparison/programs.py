"""Two programs compared: their interfaces, then their graphs."""

from collections import defaultdict
from collections.abc import Iterator

from graphlint.ir.model import Graph, Program
from graphlint.ir.source import model_frame, module_of, stack_frames
from graphlint.report.comparison.alignment import longest_increasing
from graphlint.report.comparison.changes import Change, Detail, Kind, NodeFacts, ProgramDiff
from graphlint.report.comparison.interface import Interface, compare_interfaces, matched_inputs
from graphlint.report.comparison.matching import CanonicalNode, Matching, Symbols, canonical_graph
from graphlint.report.graphs.text import print_node, print_type, print_value


def compare_programs(
    old: Program, new: Program, name: str = "model", *, old_name: str | None = None, metadata: bool = False
) -> ProgramDiff:
    """All differences between two programs. ``metadata`` compares modules and source lines of ops, too."""
    before, after = Interface(old), Interface(new)
    pairs = matched_inputs(before.inputs, after.inputs)
    inputs = {now.value[1:]: was.value[1:] for was, now in pairs if was is not None and now is not None}
    inputs |= _matched_constants(old.graph, new.graph)
    left = canonical_graph(old.graph, Symbols(), before.output_names)
    right = canonical_graph(new.graph, Symbols(), after.output_names)
    found = list(_compared(Matching(left, right, inputs), (), metadata=metadata))
    return ProgramDiff(
        name,
        old_name if old_name != name else None,
        found.count(None),
        tuple(compare_interfaces(before, after)),
        tuple(change for change in found if change is not None),
    )


def _matched_constants(old: Graph, new: Graph) -> dict[str, str]:
    """New names to old ones of the tensors that torch 2.1 keeps in the graph: the same name, else in order."""
    same = {name: name for name in new.constants if name in old.constants}
    others = [name for name in new.constants if name not in same]
    return same | dict(zip(others, (name for name in old.constants if name not in same), strict=False))


def _compared(matching: Matching, path: tuple[str, ...], *, metadata: bool) -> Iterator[Change | None]:
    """The differences between two graphs and all that they call, in the order of the new one, with what is gone where
    it was; None for each node that is as it was.
    """
    moved = _out_of_order(matching)
    for old, new in _in_order(matching):
        facts = _facts(matching.old.graph, old), _facts(matching.new.graph, new)
        if old is None or new is None:
            yield Change("added" if old is None else "removed", path, *facts)
            continue
        details = [*_details(matching, old, new), *(_metadata(old, new) if metadata else ())]
        kind: Kind = "changed" if details else "moved"
        details += [moved[new.index]] if new.index in moved else []
        yield Change(kind, path, *facts, tuple(details)) if details else None
        for inner, other, reference in zip(old.graphs, new.graphs, new.node.subgraphs(), strict=False):
            below = Matching(inner, other, dict(zip(other.inputs, inner.inputs, strict=False)))
            yield from _compared(below, (*path, new.node.caller_label, reference.name), metadata=metadata)
    yield from _returned(matching, path)


def _in_order(matching: Matching) -> Iterator[tuple[CanonicalNode | None, CanonicalNode | None]]:
    """Old and new nodes that are the same, in the order of the new graph, with what is gone where it was."""
    removed: defaultdict[int, list[CanonicalNode]] = defaultdict(list)
    place = -1
    for old in matching.old.nodes:
        place = matching.to_new.get(old.index, place)
        if old.index not in matching.to_new:
            removed[place].append(old)
    yield from ((old, None) for old in removed[-1])
    for new in matching.new.nodes:
        yield matching.old.nodes[matching.to_old[new.index]] if new.index in matching.to_old else None, new
        yield from ((old, None) for old in removed[new.index])


def _details(matching: Matching, old: CanonicalNode, new: CanonicalNode) -> Iterator[Detail]:
    """What differs between two matched nodes."""
    if old.op != new.op:
        yield Detail("op", old.op, new.op)
    left_out = "the default" if old.op == new.op else "none"
    for name in dict.fromkeys((*new.arguments, *old.arguments)):
        was, now = old.arguments.get(name), new.arguments.get(name)
        taken, others = was.values if was else [], now.values if now else []
        same = taken == [matching.values.get(value) for value in others]
        if not same or was is None or now is None or was.text != now.text:
            before, after = (print_value(one.argument) if one else left_out for one in (was, now))
            before += " (removed)" if not matching.gone.isdisjoint(taken) else ""
            after += " (added)" if not matching.values.keys() >= set(others) else ""
            yield Detail(f"argument {name}", before, after)
    if old.types != new.types:
        yield Detail("result", _types(matching.old.graph, old), _types(matching.new.graph, new))
    if len(old.graphs) != len(new.graphs):
        yield Detail("graphs", str(len(old.graphs)), str(len(new.graphs)))
    for inner, other in zip(old.graphs, new.graphs, strict=False):
        if inner.input_types != other.input_types:
            yield Detail("graph inputs", ", ".join(inner.input_types), ", ".join(other.input_types))


def _returned(matching: Matching, path: tuple[str, ...]) -> Iterator[Change]:
    before, after = (
        {
            name: (print_value(argument), *output)
            for name, argument, output in zip(side.output_names, side.graph.outputs, side.outputs, strict=True)
        }
        for side in (matching.old, matching.new)
    )
    details = []
    # What only one program returns is a difference of the interface.
    for key in (key for key in {**after, **before} if path or (key in before and key in after)):
        shown, text, names = before.get(key, ("nothing", "", []))
        other_shown, other_text, others = after.get(key, ("nothing", "", []))
        if text != other_text or names != [matching.values.get(name) for name in others]:
            details.append(Detail(key, shown, other_shown))
    if details:
        yield Change("changed", path, details=tuple(details))


def _out_of_order(matching: Matching) -> dict[int, Detail]:
    """New nodes that others have overtaken: all but a longest series of matched nodes that kept their order. For each
    after what it came, and after what it comes now.
    """
    sequence = sorted(matching.to_old.items())
    kept = set(longest_increasing(old for _, old in sequence))
    return {
        new: Detail("after", *(f"%{one.node.label}" if one else "the inputs" for one in before))
        for position, (new, old) in enumerate(sequence)
        if position not in kept
        for before in [(matching.old.nodes[old - 1] if old else None, matching.new.nodes[new - 1] if new else None)]
    }


def _facts(graph: Graph, node: CanonicalNode | None) -> NodeFacts | None:
    if node is None:
        return None
    path, _ = module_of(node.node) or (None, None)
    text, source = print_node(graph, node.node), model_frame(stack_frames(node.node))
    return NodeFacts(node.node.label, node.op, node.index, text, source, path)


def _types(graph: Graph, node: CanonicalNode) -> str:
    metas = [graph.meta(name) for name in node.results]
    return ", ".join(print_type(meta) if meta is not None else "a scalar" for meta in metas) or "nothing"


def _metadata(old: CanonicalNode, new: CanonicalNode) -> Iterator[Detail]:
    before, after = module_of(old.node), module_of(new.node)
    if before != after:
        yield Detail("module", before[0] if before else "none", after[0] if after else "none")
    was, now = model_frame(stack_frames(old.node)), model_frame(stack_frames(new.node))
    if was != now:
        yield Detail("source", *(f"{frame.path}:{frame.line}" if frame else "none" for frame in (was, now)))
