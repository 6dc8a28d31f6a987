"""Which node of one graph is which of the other.

What computes the same from the same inputs is the same (a digest of all that leads to a node). After a change that does
not hold: there, neighbours of what is matched are tried, from the end of the graph up, too, then names, which torch
keeps where it can, then order. Last come nodes in each other's place: another op on the same operands is a change, not
a removal and an addition.

All of it takes time linear in the size of the graphs, but for the alignment by order, which looks ahead a bounded
distance. A match is no more than a proposal: what differs between two matched nodes is reported as a change.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from graphlint.report.comparison.alignment import AHEAD, aligned
from graphlint.report.comparison.canonical import END, CanonicalGraph, CanonicalNode

_ROUNDS: Final = 6


class Matching:
    """Pairs of nodes and of values of an old and a new graph."""

    def __init__(self, old: CanonicalGraph, new: CanonicalGraph, inputs: Mapping[str, str]) -> None:
        """``inputs`` maps names of the new graph's inputs to those of the old one's."""
        self.old = old
        self.new = new
        self.values: dict[str, str] = dict(inputs)
        """Names of new values to those of the old ones that they are."""
        self.to_new: dict[int, int] = {END: END}
        self.to_old: dict[int, int] = {END: END}
        self._made_by = {name: node.index for node in old.nodes for name in node.results}
        seeds = {theirs: hash(("input", position)) for position, theirs in enumerate(inputs.values())}
        by_origin = new.digests({name: seeds[theirs] for name, theirs in inputs.items()})[1]
        self._pair_equal(old.digests(dict(seeds))[1], by_origin)
        for _ in range(_ROUNDS):
            before = len(self.to_new)
            self._by_neighbours(lambda one: one.key)
            self._by_neighbours(lambda one: one.op)
            self._pair_equal(*([(one.node.label, one.op, one.types) for one in side.nodes] for side in (old, new)))
            left, right = self._unmatched()
            for one, other in aligned([node.key for node in left], [node.key for node in right]):
                self._pair(left[one], right[other])
            if len(self.to_new) == before:
                break
        self._in_place()
        self.gone = {name for node in self._unmatched()[0] for name in node.results}
        """Old values that are in the new graph no more."""

    def _pair(self, old: CanonicalNode, new: CanonicalNode) -> None:
        self.to_new[old.index] = new.index
        self.to_old[new.index] = old.index
        self.values.update(zip(new.results, old.results, strict=False))

    def _unmatched(self) -> tuple[list[CanonicalNode], list[CanonicalNode]]:
        return (
            [one for one in self.old.nodes if one.index not in self.to_new],
            [one for one in self.new.nodes if one.index not in self.to_old],
        )

    def _pair_equal(self, old: Sequence[Hashable], new: Sequence[Hashable]) -> None:
        """Pair what has the same key, in order, where as much of it is left on both sides; each node has one key."""
        groups: defaultdict[Hashable, tuple[list[CanonicalNode], list[CanonicalNode]]] = defaultdict(lambda: ([], []))
        for side, (keys, nodes) in enumerate(zip((old, new), self._unmatched(), strict=True)):
            for node in nodes:
                groups[keys[node.index]][side].append(node)
        for mine, theirs in groups.values():
            for one, other in zip(mine, theirs, strict=True) if len(mine) == len(theirs) else ():
                self._pair(one, other)

    def _by_neighbours(self, key: Callable[[CanonicalNode], Hashable]) -> None:
        """Down from what is matched, then up from it: the same key at the same slot of the same value."""
        for nodes, candidates in ((self.new.nodes, self._users), (self.new.nodes[::-1], self._makers)):
            for new in nodes:
                if new.index not in self.to_old:
                    self._pair_best(new, candidates(new), key)

    def _users(self, new: CanonicalNode) -> Iterator[CanonicalNode]:
        """Old nodes that take the same value at the same slot."""
        for slot, value in new.operands:
            theirs = self.values.get(value)
            for index in self.old.uses[theirs].get(slot, ())[:AHEAD] if theirs is not None else ():
                yield self.old.nodes[index]

    def _makers(self, new: CanonicalNode) -> Iterator[CanonicalNode]:
        """Old nodes whose result is taken by the same node, or returned, at the same slot."""
        for result in new.results:
            for slot, users in self.new.uses[result].items():
                for theirs in (self.to_old[user] for user in users[:AHEAD] if user in self.to_old):
                    value = self.old.takes.get((theirs, slot))
                    if value in self._made_by:
                        yield self.old.nodes[self._made_by[value]]

    def _pair_best(
        self, new: CanonicalNode, candidates: Iterable[CanonicalNode], key: Callable[[CanonicalNode], Hashable]
    ) -> None:
        def score(old: CanonicalNode) -> tuple[int, bool, int]:
            takes = ((self.old.takes.get((old.index, slot)), value) for slot, value in new.operands)
            alike = sum(theirs is not None and theirs == self.values.get(value) for theirs, value in takes)
            return alike, old.node.label == new.node.label, -old.index

        wanted = key(new)
        free = [old for old in candidates if old.index not in self.to_new and key(old) == wanted]
        if free:
            self._pair(max(free, key=score), new)

    def _in_place(self) -> None:
        """What is left, and stands where another op stood: under the same name or on the same operands, with the same
        first result. Nodes that call graphs are never taken for another op.
        """
        old, new = self._unmatched()
        names = {one.results[0]: one for one in old if one.results}
        for one in new:
            candidates = [names[name] for name in one.results[:1] if name in names]
            taken = [self.values.get(value) for _, value in one.operands]
            candidates += [user for user in self._users(one) if [value for _, value in user.operands] == taken]
            for other in candidates:
                free = other.index not in self.to_new and not other.graphs and not one.graphs
                if free and _first_result(other) == _first_result(one):
                    self._pair(other, one)
                    break


def _first_result(node: CanonicalNode) -> str | None:
    """Dtype and sizes, not strides: an op that writes to a view becomes one that makes a tensor of its own."""
    return re.split(r"[{ ]", node.types[0])[0] if node.types else None
