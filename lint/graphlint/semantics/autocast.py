"""The autocast regions of a program, and what they cast.

Regions in regions change what holds inside of them, and leaving the outermost one is what makes torch forget the casts
that it keeps. So an outermost region and those in it are one thing: what cannot be told of one of them keeps all.

Kept casts are those of tensors that require gradients and were not computed. The kept cast is taken again whenever the
same tensor is cast, whatever was written to the tensor since, and whatever dtype is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import msgspec

from graphlint.ir.dtypes import FLOAT32
from graphlint.ir.model import Node
from graphlint.ops.info import OpInfo
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.casting import Casting, casting_of
from graphlint.semantics.dtypes import Modes, Unknown
from graphlint.semantics.memory import StorageKind
from graphlint.semantics.sites import Site, call_of, inlining_obstacle

_HELD: Final[tuple[StorageKind, ...]] = ("parameter", "user input", "unknown")
"""Kinds of memory that tensors may show which require gradients and were not computed."""


class AutocastRegion(msgspec.Struct, frozen=True, eq=False):
    """An outermost region, with those in it."""

    sites: tuple[Site, ...]
    castings: Mapping[int, Casting]
    """By the identity of the node."""
    obstacle: str | None = None
    """Why what it casts cannot be said in the graph; None where it can."""


class AutocastRegions:
    """The autocast regions of a program."""

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis

    @cached_property
    def outermost(self) -> tuple[AutocastRegion, ...]:
        """The regions that are in no other one, in program order."""
        trees: dict[int, list[Site]] = {}
        for site in self._analysis.sites:
            if _is_region(site.op):
                callers = [caller for caller in site.scope.callers() if _is_region(caller.op)]
                trees.setdefault(callers[-1].position if callers else site.position, []).append(site)
        return tuple(self._region(tuple(sites)) for sites in trees.values())

    @cached_property
    def by_position(self) -> dict[int, AutocastRegion]:
        """The outermost region that each region is, or is in."""
        return {site.position: region for region in self.outermost for site in region.sites}

    def _region(self, sites: tuple[Site, ...]) -> AutocastRegion:
        castings: dict[int, Casting] = {}
        try:
            for site in sites:
                _check_shape(site)
            self._check_records(sites)
            self._walk(sites[0].node, self._analysis.dtypes.entered(sites[0].node, Modes()), castings)
            self._check_kept(sites[0], castings)
        except Unknown as reason:
            return AutocastRegion(sites, {}, str(reason))
        return AutocastRegion(sites, castings)

    def _check_records(self, sites: tuple[Site, ...]) -> None:
        """What is recorded may be wrong where something casts."""
        if self._analysis.dtypes.obstacle is not None and any(site.node.inputs[2].arg.as_bool for site in sites):
            raise Unknown(self._analysis.dtypes.obstacle)

    def _walk(self, caller: Node, modes: Modes, castings: dict[int, Casting]) -> None:
        """Note what is cast in the graphs that a node calls."""
        ops, dtypes = self._analysis.ops, self._analysis.dtypes
        for sub in caller.subgraphs():
            for node in sub.graph.nodes:
                if node.subgraphs():
                    if modes.devices and call_of(node) is None:
                        raise Unknown(f"what {node.op} does with its graphs is not known")
                    self._walk(node, dtypes.entered(node, modes), castings)
                    continue
                casting = casting_of(ops, sub.graph, node, modes, dtypes.of)
                if casting is not None:
                    castings[id(node)] = casting

    def _check_kept(self, outer: Site, castings: Mapping[int, Casting]) -> None:
        """Nothing may be written whose kept cast could be taken again afterwards; nor, whatever dtype it was made in,
        in place of another one.
        """
        kept = {casting.dtype for casting in castings.values() if casting.keeps}
        if not kept:
            return
        if len(kept) > 1:
            raise Unknown("regions in each other keep casts to different dtypes")
        graph = self._analysis.program.graph
        for write in self._analysis.writes:
            if outer in write.site.scope.callers():
                for storage in {ref.storage for ref in write.refs}:
                    meta = graph.meta(storage.value)
                    if storage.kind in _HELD and (meta is None or (meta.requires_grad and meta.dtype == FLOAT32)):
                        raise Unknown(f"{write.site.name} writes what autocast may have kept a cast of")


def _is_region(op: OpInfo | None) -> bool:
    return op is not None and op.region == "autocast"


def _check_shape(site: Site) -> None:
    """Whether a region is recorded as they all are: device, dtype, enabled, keeps, graph, operands."""
    node = site.node
    obstacle = inlining_obstacle(site.scope.graph, node)
    if obstacle is not None:
        raise Unknown(obstacle)
    device, _, enabled, *_ = (operand.arg for operand in node.inputs)
    if device.as_string is None or enabled.as_bool is None:
        raise Unknown("it is recorded in a way that is not known")
