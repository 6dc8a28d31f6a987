"""Which node of one graph is which of the other.

What computes the same from the same inputs is the same (a digest of all that leads to a node), and so is what is used
for the same (a digest of all that it leads to). Between changes neither holds: there, neighbours of what is matched
are tried, then names, which torch keeps where it can, then order. Last come nodes in each other's place: another op on
the same operands is a change, not a removal and an addition.

All of it takes time linear in the size of the graphs, but for the alignment by order, which looks ahead a bounded
distance. A match is no more than a proposal: what differs between two matched nodes is reported as a change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final

from graphlint.report.comparison.canonical import CanonicalGraph, CanonicalNode, Slot, digests

_ROUNDS: Final = 6
_AHEAD: Final = 64
"""How many additions and removals in a row the alignment by order looks beyond at a time."""


class Matching:
    """Pairs of nodes and of values of an old and a new graph."""

    def __init__(self, old: CanonicalGraph, new: CanonicalGraph, inputs: Mapping[str, str]) -> None:
        """``inputs`` maps names of the new graph's inputs to those of the old one's."""
        self.old = old
        self.new = new
        self.values: dict[str, str] = dict(inputs)
        """Names of new values to those of the old ones that they are."""
        self.to_new: dict[int, int] = {}
        self.to_old: dict[int, int] = {}
        self._old_uses = _uses(old)
        self._new_uses = _uses(new)
        self._made_by = {name: node.index for node in old.nodes for name in node.results}
        self._by_origin()
        self._by_use()
        for _ in range(_ROUNDS):
            before = len(self.to_new)
            self._by_neighbours(lambda one: one.key)
            self._by_neighbours(lambda one: one.op)
            self._by_name(lambda one: (one.op, one.types))
            self._by_order()
            if len(self.to_new) == before:
                break
        self._in_place()

    def operand(self, new_value: str) -> str | None:
        """The old value that a new one is; None for one that is new."""
        return self.values.get(new_value)

    def _pair(self, old: CanonicalNode, new: CanonicalNode) -> None:
        self.to_new[old.index] = new.index
        self.to_old[new.index] = old.index
        self.values.update(zip(new.results, old.results, strict=False))

    def _unmatched(self) -> tuple[list[CanonicalNode], list[CanonicalNode]]:
        return (
            [one for one in self.old.nodes if one.index not in self.to_new],
            [one for one in self.new.nodes if one.index not in self.to_old],
        )

    def _pair_equal(self, old: Sequence[tuple[Hashable, int]], new: Sequence[tuple[Hashable, int]]) -> None:
        """Pair what has the same key, in order, where both sides have as many of it."""
        mine, theirs = _grouped(old), _grouped(new)
        for key, found in mine.items():
            others = theirs.get(key, ())
            if len(found) == len(others):
                for left, right in zip(found, others, strict=True):
                    if left not in self.to_new and right not in self.to_old:
                        self._pair(self.old.nodes[left], self.new.nodes[right])

    def _by_origin(self) -> None:
        seeds = {theirs: hash(("input", position)) for position, theirs in enumerate(self.values.values())}
        _, mine = digests(self.old, dict(seeds))
        _, others = digests(self.new, {name: seeds[theirs] for name, theirs in self.values.items()})
        self._pair_equal(
            [(number, index) for index, number in enumerate(mine)],
            [(number, index) for index, number in enumerate(others)],
        )

    def _by_use(self) -> None:
        mine, others = _use_digests(self.old, self._old_uses), _use_digests(self.new, self._new_uses)
        self._pair_equal(
            [(number, index) for index, number in enumerate(mine) if index not in self.to_new],
            [(number, index) for index, number in enumerate(others) if index not in self.to_old],
        )

    def _by_neighbours(self, key: Callable[[CanonicalNode], Hashable]) -> None:
        """Down from what is matched, then up from it: the same key at the same slot of the same value."""
        for new in self.new.nodes:
            if new.index not in self.to_old:
                self._pair_best(new, self._users(new), key)
        for new in reversed(self.new.nodes):
            if new.index not in self.to_old:
                self._pair_best(new, self._makers(new), key)

    def _users(self, new: CanonicalNode) -> list[int]:
        """Old nodes that take the same value at the same slot."""
        return [
            index
            for slot, value in new.operands
            if (theirs := self.values.get(value)) is not None
            for index in self._old_uses.get(theirs, {}).get(slot, ())[:_AHEAD]
        ]

    def _makers(self, new: CanonicalNode) -> list[int]:
        """Old nodes whose result is taken by the same node at the same slot."""
        found = []
        for result in new.results:
            for slot, users in self._new_uses.get(result, {}).items():
                for user in users[:_AHEAD]:
                    theirs = self.to_old.get(user)
                    if theirs is not None:
                        value = dict(self.old.nodes[theirs].operands).get(slot)
                        maker = self._made_by.get(value or "")
                        found += [maker] if maker is not None else []
        return found

    def _pair_best(self, new: CanonicalNode, candidates: list[int], key: Callable[[CanonicalNode], Hashable]) -> None:
        wanted = key(new)
        best: tuple[int, bool, int] | None = None
        for index in candidates:
            old = self.old.nodes[index]
            if index in self.to_new or key(old) != wanted:
                continue
            mine = dict(old.operands)
            alike = sum(mine.get(slot) == self.values.get(value, "") for slot, value in new.operands)
            score = (alike, old.node.label == new.node.label, -index)
            if best is None or score > best:
                best = score
        if best is not None:
            self._pair(self.old.nodes[-best[2]], new)

    def _by_name(self, key: Callable[[CanonicalNode], Hashable]) -> None:
        old, new = self._unmatched()
        self._pair_equal(
            [((one.node.label, key(one)), one.index) for one in old],
            [((one.node.label, key(one)), one.index) for one in new],
        )

    def _by_order(self) -> None:
        old, new = self._unmatched()
        for left, right in aligned([one.key for one in old], [one.key for one in new], _AHEAD):
            self._pair(old[left], new[right])

    def _in_place(self) -> None:
        """What is left, and stands where another op stood: under the same name or on the same operands, with the same
        first result. Nodes that call graphs are never taken for another op.
        """
        old, new = self._unmatched()
        names = {one.results[0]: one for one in old if one.results}
        for one in new:
            named = names.get(one.results[0]) if one.results else None
            users = [self.old.nodes[index] for index in self._users(one)]
            candidates = [named] if named is not None else []
            candidates += [user for user in users if self._same_operands(user, one)]
            for other in candidates:
                free = other.index not in self.to_new and not other.graphs and not one.graphs
                if free and _first_result(other) == _first_result(one):
                    self._pair(other, one)
                    break

    def _same_operands(self, old: CanonicalNode, new: CanonicalNode) -> bool:
        return [value for _, value in old.operands] == [self.values.get(value) for _, value in new.operands]


def _first_result(node: CanonicalNode) -> str | None:
    """Dtype and sizes, not strides: an op that writes to a view becomes one that makes a tensor of its own."""
    return re.split(r"[{ ]", node.types[0])[0] if node.types else None


def aligned(old: Sequence[Hashable], new: Sequence[Hashable], ahead: int) -> list[tuple[int, int]]:
    """Positions of equal items in the order of both, many but not always the most: E. Myers' algorithm, which settles
    for the furthest it has come each time that ``ahead`` additions and removals did not do.

    Reference: E. W. Myers, "An O(ND) Difference Algorithm and Its Variations", Algorithmica 1 (1986).
    """
    pairs: list[tuple[int, int]] = []
    left = right = 0
    while left < len(old) and right < len(new):
        found, left, right = _furthest(old, new, left, right, ahead)
        pairs += found
    return pairs


def _furthest(
    old: Sequence[Hashable], new: Sequence[Hashable], left: int, right: int, ahead: int
) -> tuple[list[tuple[int, int]], int, int]:
    """The furthest way through from a position with at most ``ahead`` steps aside: its pairs, and where it ends."""
    rows, columns = len(old) - left, len(new) - right
    ends = {1: 0}
    traces: list[dict[int, int]] = []
    best = (0, 0, 0, 0)  # sum, x, y, steps
    for steps in range(ahead + 1):
        traces.append(dict(ends))
        done = False
        for diagonal in range(-steps, steps + 1, 2):
            if diagonal == -steps or (diagonal != steps and ends.get(diagonal - 1, -1) < ends.get(diagonal + 1, -1)):
                x = ends.get(diagonal + 1, 0)
            else:
                x = ends.get(diagonal - 1, 0) + 1
            y = x - diagonal
            if x > rows or y > columns or y < 0:
                ends[diagonal] = min(x, rows)
                continue
            while x < rows and y < columns and old[left + x] == new[right + y]:
                x, y = x + 1, y + 1
            ends[diagonal] = x
            if x + y > best[0]:
                best = (x + y, x, y, steps)
            if x >= rows and y >= columns:
                done = True
                break
        if done:
            break
    pairs = _retraced(traces, best, left, right)
    # Always go on: where nothing was found, one item of each side is passed by.
    if best[0] == 0:
        return [], left + 1, right + 1
    return pairs, left + best[1], right + best[2]


def _retraced(
    traces: list[dict[int, int]], best: tuple[int, int, int, int], left: int, right: int
) -> list[tuple[int, int]]:
    _, x, y, steps = best
    pairs: list[tuple[int, int]] = []
    for step in range(steps, -1, -1):
        ends = traces[step]
        diagonal = x - y
        if diagonal == -step or (diagonal != step and ends.get(diagonal - 1, -1) < ends.get(diagonal + 1, -1)):
            previous = diagonal + 1
        else:
            previous = diagonal - 1
        before_x = ends.get(previous, 0)
        before_y = before_x - previous
        while x > max(before_x, 0) and y > max(before_y, 0) and x > 0 and y > 0:
            x, y = x - 1, y - 1
            pairs.append((left + x, right + y))
        if step == 0:
            break
        x, y = before_x, before_y
    pairs.reverse()
    return pairs


def _grouped(items: Sequence[tuple[Hashable, int]]) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for key, index in items:
        groups.setdefault(key, []).append(index)
    return groups


def _uses(graph: CanonicalGraph) -> dict[str, dict[Slot, list[int]]]:
    """Which nodes take which value at which slot."""
    uses: dict[str, dict[Slot, list[int]]] = {}
    for node in graph.nodes:
        for slot, name in node.operands:
            uses.setdefault(name, {}).setdefault(slot, []).append(node.index)
    return uses


def _use_digests(graph: CanonicalGraph, uses: dict[str, dict[Slot, list[int]]]) -> list[int]:
    """For each node a number that is the same for what leads to the same results the same way."""
    returned: dict[str, list[int]] = {}
    for position, (_, names) in enumerate(graph.outputs):
        for name in names:
            returned.setdefault(name, []).append(position)
    numbers = [0] * len(graph.nodes)
    for node in reversed(graph.nodes):
        used = [
            (index, slot.argument, slot.place, numbers[user])
            for index, name in enumerate(node.results)
            for slot, users in uses.get(name, {}).items()
            for user in users
        ]
        ends = [(index, position) for index, name in enumerate(node.results) for position in returned.get(name, ())]
        numbers[node.index] = hash((node.key, tuple(sorted(used)), tuple(ends)))
    return numbers
