"""Placing boxes in layers, top down, with few crossings and short lines: Sugiyama's method.

Each box stands below everything that leads to it. Lines that pass layers get a place of their own in each, so that
they go around the boxes there. The order in a layer follows the mean of the neighbours, swept up and down while that
saves crossings; positions are then the nearest to the neighbours' that keep order and distance, which is a regression
that pools what collides. Everything is deterministic: the same picture twice is the same text twice.

Reference: K. Sugiyama, S. Tagawa, M. Toda, "Methods for Visual Understanding of Hierarchical System Structures",
IEEE Transactions on Systems, Man, and Cybernetics 11 (1981).
"""

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

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


class Placed(NamedTuple):
    """Where everything stands. Lengths are in pixels, y grows downwards."""

    width: float
    height: float
    boxes: dict[int, Point]
    """The upper left corners."""
    lines: list[tuple[Point, ...]]
    """For each line where it leaves its box, which points it passes, and where it ends; in the order given."""


class _Place(msgspec.Struct, eq=False):
    """A box, or where a line passes a layer."""

    width: float
    height: float
    layer: int
    line: bool = False
    above: list["_Place"] = msgspec.field(default_factory=list)
    below: list["_Place"] = msgspec.field(default_factory=list)
    order: int = 0
    center: float = 0.0


def place(
    sizes: Mapping[int, tuple[float, float]], edges: Sequence[tuple[int, int]], last: AbstractSet[int] = frozenset()
) -> Placed:
    """Place boxes of these sizes (width and height), which are in topological order, and the lines between them;
    ``last`` are those that go to the bottom.
    """
    if not sizes:
        return Placed(0.0, 0.0, {}, [])
    layer = _layers(sizes, edges)
    layer.update(dict.fromkeys(last, max(layer.values())))
    boxes = {key: _Place(width, height, layer[key]) for key, (width, height) in sizes.items()}
    chains = [_chain(boxes[source], boxes[target]) for source, target in edges]
    places = [*boxes.values(), *(passing for chain in chains for passing in chain[1:-1])]
    layers: list[list[_Place]] = [[] for _ in range(1 + max(one.layer for one in places))]
    for one in places:
        one.order = len(layers[one.layer])
        layers[one.layer].append(one)
    _order(layers)
    _center(layers)
    left = min(one.center - one.width / 2 for one in places)
    right = max(one.center + one.width / 2 for one in places)
    heights = [max(one.height for one in layer) for layer in layers]
    tops = [0.0]
    for height in heights:
        tops.append(tops[-1] + (height + _LAYER_GAP))
    corners = {key: (one.center - one.width / 2 - left, tops[one.layer]) for key, one in boxes.items()}
    return Placed(right - left, tops[-1] - _LAYER_GAP, corners, _lines(chains, left, tops, heights))


def _chain(source: _Place, target: _Place) -> list[_Place]:
    """The places that a line goes through, ends included."""
    passing = (_Place(_LINE_GAP, 0.0, between, line=True) for between in range(source.layer + 1, target.layer))
    chain = [source, *passing, target]
    for upper, lower in pairwise(chain):
        upper.below.append(lower)
        lower.above.append(upper)
    return chain


def _layers(keys: Iterable[int], edges: Sequence[tuple[int, int]]) -> dict[int, int]:
    """Each as high as what leads to it allows; what nothing leads to just above the first that it leads to."""
    layer = dict.fromkeys(keys, 0)
    for source, target in sorted(edges, key=itemgetter(1)):
        layer[target] = max(layer[target], layer[source] + 1)
    first: dict[int, int] = {}
    for source, target in edges:
        first[source] = min(first.get(source, layer[target]), layer[target])
    return layer | {key: first[key] - 1 for key in first.keys() - {target for _, target in edges}}


def _order(layers: list[list[_Place]]) -> None:
    """The order with the fewest crossings that sweeps come to."""
    best, fewest = [list(layer) for layer in layers], _crossings(layers)
    for sweep in range(_SWEEPS if sum(map(len, layers)) < _LARGE else 3):
        if not fewest:
            break
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            for one in layer:
                side = (one.above if down else one.below) or [one]
                one.center = sum(other.order for other in side) / len(side)
            layer.sort(key=attrgetter("center"))
            for order, one in enumerate(layer):
                one.order = order
        crossings = _crossings(layers)
        if crossings < fewest:
            fewest, best = crossings, [list(layer) for layer in layers]
    layers[:] = best


def _crossings(layers: list[list[_Place]]) -> int:
    """How many pairs of line segments cross."""
    total = 0
    for layer in layers:
        ends: list[int] = []
        for one in layer:
            orders = [lower.order for lower in one.below]
            total += sum(len(ends) - bisect_right(ends, order) for order in orders)
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
    for _ in range(_SWEEPS // 2):
        for layer in layers:
            _settle(layer, attrgetter("above"))
        for layer in reversed(layers):
            _settle(layer, attrgetter("below"))
    # The last word is that of both sides together.
    for layer in layers:
        _settle(layer, lambda one: [*one.above, *one.below])


def _settle(layer: list[_Place], neighbours: Callable[[_Place], list[_Place]]) -> None:
    """Isotonic regression of what is wanted less the room that is taken: pools of colliding places share a mean."""
    wanted: list[tuple[float, float]] = []  # the position that each wants, and how much it wants it
    for one in layer:
        weights = [(other.center, _STRAIGHT if one.line and other.line else 1.0) for other in neighbours(one)]
        total = sum(weight for _, weight in weights)
        mean = sum(center * weight for center, weight in weights) / total if weights else one.center
        wanted.append((mean, total or 0.2))
    pools: list[tuple[float, float, int]] = []  # mean, weight, places
    offsets = [0.0]
    for before, one in pairwise(layer):
        gap = _LINE_GAP if before.line or one.line else _GAP
        offsets.append(offsets[-1] + (before.width / 2 + gap + one.width / 2))
    for (position, weight), offset in zip(wanted, offsets, strict=True):
        pools.append((position - offset, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            right, left = pools.pop(), pools.pop()
            total = left[1] + right[1]
            pools.append(((left[0] * left[1] + right[0] * right[1]) / total, total, left[2] + right[2]))
    means = (mean for mean, _, places in pools for _ in range(places))
    for one, mean, offset in zip(layer, means, offsets, strict=True):
        one.center = mean + offset


def _lines(
    chains: list[list[_Place]], left: float, tops: Sequence[float], heights: Sequence[float]
) -> list[tuple[Point, ...]]:
    """Where the lines go: out of a box below, down each layer that they pass, into a box from above."""
    leaving = _ports([(chain[0], chain[1]) for chain in chains])
    entering = _ports([(chain[-1], chain[-2]) for chain in chains])
    lines: list[tuple[Point, ...]] = []
    for chain, start, end in zip(chains, leaving, entering, strict=True):
        source, target = chain[0], chain[-1]
        points = [(start - left, tops[source.layer] + source.height)]
        if source.height < heights[source.layer]:
            points.append((start - left, tops[source.layer] + heights[source.layer]))
        for passing in chain[1:-1]:
            x, top = passing.center - left, tops[passing.layer]
            points += [(x, top), (x, top + heights[passing.layer])]
        lines.append((*points, (end - left, tops[target.layer])))
    return lines


def _ports(ends: list[tuple[_Place, _Place]]) -> list[float]:
    """Where on its box each line ends: spread over the middle of its side, in the order of where they lead."""
    by_box: defaultdict[int, list[int]] = defaultdict(list)
    for number, (box, _) in enumerate(ends):
        by_box[id(box)].append(number)
    ports = [0.0] * len(ends)
    for numbers in by_box.values():
        box = ends[numbers[0]][0]
        step = min(18.0, box.width * 0.7 / len(numbers))
        for index, number in enumerate(sorted(numbers, key=lambda number: ends[number][1].center)):
            ports[number] = box.center + (index - (len(numbers) - 1) / 2) * step
    return ports
