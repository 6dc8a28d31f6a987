"""Placing boxes in layers, top down, with few crossings and short lines: Sugiyama's method.

Each box stands below everything that leads to it. Lines that pass layers get a place of their own in each, so that
they go around the boxes there. The order in a layer follows the mean of the neighbours, swept up and down while that
saves crossings; positions are then the nearest to the neighbours' that keep order and distance, which is a regression
that pools what collides. Everything is deterministic: the same picture twice is the same text twice.

Reference: K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures",
IEEE Transactions on Systems, Man, and Cybernetics 11 (1981).
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Hashable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from typing import Final

import msgspec

_SWEEPS: Final = 12
_LARGE: Final = 2000
"""From how many places on fewer sweeps have to do."""
_STRAIGHT: Final = 4.0
"""How much more a straight line counts between two places of one line than between boxes."""
_GAP: Final = 24.0
_LINE_GAP: Final = 14.0
_LAYER_GAP: Final = 40.0

Point = tuple[float, float]


class Placed(msgspec.Struct, frozen=True):
    """Where everything stands. Lengths are in pixels, y grows downwards."""

    width: float
    height: float
    boxes: dict[int, Point]
    """The upper left corners."""
    lines: list[tuple[Point, ...]]
    """For each line where it leaves its box, which points it passes, and where it ends; in the order given."""


class _Place(msgspec.Struct, eq=False):
    """A box, or where a line passes a layer."""

    key: Hashable
    width: float
    height: float
    layer: int
    above: list[_Place] = []
    below: list[_Place] = []
    order: int = 0
    center: float = 0.0
    line: bool = False


def place(
    sizes: Mapping[int, tuple[float, float]], edges: Sequence[tuple[int, int]], last: AbstractSet[int] = frozenset()
) -> Placed:
    """Place boxes of these sizes (width and height), which are in topological order, and the lines between them;
    ``last`` are those that go to the bottom.
    """
    places, chains = _places(sizes, edges, last)
    layers: list[list[_Place]] = [[] for _ in range(1 + max((one.layer for one in places), default=-1))]
    for one in places:
        layers[one.layer].append(one)
    _order(layers)
    _center(layers)
    left = min((one.center - one.width / 2 for one in places), default=0.0)
    right = max((one.center + one.width / 2 for one in places), default=0.0)
    tops: list[float] = []
    bottom = 0.0
    for layer in layers:
        tops.append(bottom)
        bottom += max(one.height for one in layer) + _LAYER_GAP
    corners = {
        one.key: (one.center - one.width / 2 - left, tops[one.layer])
        for one in places
        if isinstance(one.key, int)
    }  # fmt: skip
    heights = [max(one.height for one in layer) for layer in layers]
    lines = _lines(chains, left, tops, heights)
    return Placed(right - left, max(bottom - _LAYER_GAP, 0.0), corners, lines)


def _places(
    sizes: Mapping[int, tuple[float, float]], edges: Sequence[tuple[int, int]], last: AbstractSet[int]
) -> tuple[list[_Place], list[list[_Place]]]:
    """All places, and for each line those that it goes through, ends included."""
    layer = _layers(sizes, edges)
    bottom = max(layer.values(), default=0)
    layer.update(dict.fromkeys(last, bottom))
    boxes = {key: _Place(key, width, height, layer[key]) for key, (width, height) in sizes.items()}
    places = list(boxes.values())
    chains: list[list[_Place]] = []
    for number, (source, target) in enumerate(edges):
        chain = [boxes[source]]
        for between in range(layer[source] + 1, layer[target]):
            passing = _Place((number, between), _LINE_GAP, 0.0, between, line=True)
            places.append(passing)
            chain.append(passing)
        chain.append(boxes[target])
        for upper, lower in pairwise(chain):
            upper.below = [*upper.below, lower]
            lower.above = [*lower.above, upper]
        chains.append(chain)
    return places, chains


def _layers(sizes: Mapping[int, tuple[float, float]], edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Each as high as what leads to it allows; what nothing leads to just above the first that it leads to."""
    before: dict[int, list[int]] = {key: [] for key in sizes}
    after: dict[int, list[int]] = {key: [] for key in sizes}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    layer: dict[int, int] = {}
    for key in sizes:
        layer[key] = 1 + max((layer[one] for one in before[key]), default=-1)
    for key in sizes:
        if not before[key] and after[key]:
            layer[key] = min(layer[one] for one in after[key]) - 1
    lowest = min(layer.values(), default=0)
    return {key: number - lowest for key, number in layer.items()}


def _order(layers: list[list[_Place]]) -> None:
    for layer in layers:
        _number(layer)
    best = [list(layer) for layer in layers]
    fewest = _crossings(layers)
    size = sum(map(len, layers))
    for sweep in range(_SWEEPS if size < _LARGE else 3):
        if not fewest:
            break
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            means = {id(one): _mean(one.above if down else one.below, one.order) for one in layer}
            layer.sort(key=lambda one: means[id(one)])
            _number(layer)
        crossings = _crossings(layers)
        if crossings < fewest:
            fewest, best = crossings, [list(layer) for layer in layers]
    for layer, ordered in zip(layers, best, strict=True):
        layer[:] = ordered
        _number(layer)


def _number(layer: list[_Place]) -> None:
    for order, one in enumerate(layer):
        one.order = order


def _mean(neighbours: Sequence[_Place], otherwise: float) -> float:
    return sum(one.order for one in neighbours) / len(neighbours) if neighbours else otherwise


def _crossings(layers: list[list[_Place]]) -> int:
    """How many pairs of line segments cross."""
    total = 0
    for layer in layers:
        ends: list[int] = []
        for one in layer:
            orders = sorted(lower.order for lower in one.below)
            total += sum(len(ends) - bisect_left(ends, order + 1) for order in orders)
            for order in orders:
                insort(ends, order)
    return total


def _center(layers: list[list[_Place]]) -> None:
    """Horizontal positions: each layer in turn as near to its neighbours' as order and distances allow."""
    for layer in layers:
        position = 0.0
        for one in layer:
            one.center = position + one.width / 2
            position += one.width + _GAP
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            wanted = [_wanted(one, one.above if down else one.below) for one in layer]
            _settle(layer, wanted)
    # The last word is that of both sides together.
    for layer in layers:
        _settle(layer, [_wanted(one, [*one.above, *one.below]) for one in layer])


def _wanted(one: _Place, neighbours: Sequence[_Place]) -> tuple[float, float]:
    """The position that it wants, and how much it wants it."""
    if not neighbours:
        return one.center, 0.2
    weights = [_STRAIGHT if one.line and other.line else 1.0 for other in neighbours]
    total = sum(weights)
    return sum(other.center * weight for other, weight in zip(neighbours, weights, strict=True)) / total, total


def _settle(layer: list[_Place], wanted: Sequence[tuple[float, float]]) -> None:
    """Isotonic regression of what is wanted less the room that is taken: pools of colliding places share a mean."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, places
    offsets: list[float] = []
    offset = 0.0
    for index, one in enumerate(layer):
        if index:
            before = layer[index - 1]
            gap = _LINE_GAP if before.line or one.line else _GAP
            offset += before.width / 2 + gap + one.width / 2
        offsets.append(offset)
        position, weight = wanted[index]
        pools.append((position - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            right, left = pools.pop(), pools.pop()
            weight = left[1] + right[1]
            mean = (left[0] * left[1] + right[0] * right[1]) / weight
            pools.append((mean, weight, left[2] + right[2]))
    index = 0
    for mean, _, places in pools:
        for _ in range(places):
            layer[index].center = mean + offsets[index]
            index += 1


def _lines(
    chains: list[list[_Place]], left: float, tops: Sequence[float], heights: Sequence[float]
) -> list[tuple[Point, ...]]:
    """Where the lines go: out of a box below, down each layer that they pass, into a box from above."""
    leaving = _ports([(chain[0], chain[1], number) for number, chain in enumerate(chains)])
    entering = _ports([(chain[-1], chain[-2], number) for number, chain in enumerate(chains)])
    lines: list[tuple[Point, ...]] = []
    for number, chain in enumerate(chains):
        source, target = chain[0], chain[-1]
        points = [(leaving[number] - left, tops[source.layer] + source.height)]
        if source.height < heights[source.layer]:
            points.append((leaving[number] - left, tops[source.layer] + heights[source.layer]))
        for passing in chain[1:-1]:
            x = passing.center - left
            points += [(x, tops[passing.layer]), (x, tops[passing.layer] + heights[passing.layer])]
        points.append((entering[number] - left, tops[target.layer]))
        lines.append(tuple(points))
    return lines


def _ports(ends: list[tuple[_Place, _Place, int]]) -> dict[int, float]:
    """Where on its box each line ends: spread over the middle of its side, in the order of where they lead."""
    by_box: dict[int, list[tuple[float, int, _Place]]] = {}
    for box, other, number in ends:
        by_box.setdefault(id(box), []).append((other.center, number, box))
    ports: dict[int, float] = {}
    for found in by_box.values():
        found.sort(key=lambda one: one[:2])
        box = found[0][2]
        step = min(18.0, box.width * 0.7 / len(found))
        for index, (_, number, _) in enumerate(found):
            ports[number] = box.center + (index - (len(found) - 1) / 2) * step
    return ports
