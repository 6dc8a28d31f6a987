"""What autocast regions cast: operand by operand, as torch does it when the program runs.

A region names the type of a device, the dtype that it lowers operands to, if it casts at all, and if it keeps casts of
parameters. What it does to an op on such a device is a fact (``OpInfo.autocast``); which operands that concerns, their
dtypes tell: floating ones but float64. Regions in regions change what holds inside of them; leaving the outermost one
is what makes torch forget the casts that it keeps. So an outermost region and those in it are one thing: what cannot
be told of one of them keeps all.

Kept casts are those of tensors that require gradients and were not computed. The kept cast is taken again whenever the
same tensor is cast, whatever was written to the tensor since, and whatever dtype is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Final

import msgspec

from graphlint.ir.dtypes import FLOATING, FLOAT64, category
from graphlint.ir.enums import DTYPES, FLOAT32, STRIDED
from graphlint.ir.model import UNRECORDED, Argument, Graph, Node, TensorMeta
from graphlint.ops.info import OpInfo
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.calls import call_of, inlining_obstacle
from graphlint.semantics.memory import StorageKind
from graphlint.semantics.precision import LOWER, UNSURE_DTYPE
from graphlint.semantics.sites import Site

_HELD: Final[tuple[StorageKind, ...]] = ("parameter", "user input", "unknown")
"""Kinds of memory that tensors may show which require gradients and were not computed."""


class Casting(msgspec.Struct, frozen=True):
    """What autocast makes of the operands of one node."""

    dtype: int
    operands: frozenset[str] = frozenset()
    """The values that are cast, wherever the node takes them."""
    argument: bool = False
    """Whether no operand is cast, but the node is told to compute in that dtype."""
    keeps: bool = False
    """Whether torch keeps such a cast of a parameter for the rest of the region."""


class AutocastRegion(msgspec.Struct, frozen=True, eq=False):
    """An outermost region, with those in it."""

    sites: tuple[Site, ...]
    castings: Mapping[int, Casting]
    """By the identity of the node."""
    obstacle: str | None = None
    """Why what it casts cannot be said in the graph; None where it can."""


class _Modes(msgspec.Struct, frozen=True):
    """What casts at one place."""

    devices: Mapping[str, int] = {}
    """The dtypes that operands are lowered to, by the type of the device."""
    keeps: bool = True


class _Unknown(Exception):  # noqa: N818  # not an error: the reason why regions stay
    pass


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
                _check_shape(site.node)
            _check_dtypes(sites)
            self._walk(sites[0].node, self._entered(sites[0].node, _Modes()), castings)
            self._check_kept(sites[0], castings)
        except _Unknown as reason:
            return AutocastRegion(sites, {}, str(reason))
        return AutocastRegion(sites, castings)

    def _walk(self, caller: Node, modes: _Modes, castings: dict[int, Casting]) -> None:
        """Note what is cast in the graphs that a node calls."""
        for sub in caller.subgraphs():
            for node in sub.graph.nodes:
                if any(True for _ in node.subgraphs()):
                    if modes.devices and call_of(node) is None:
                        raise _Unknown(f"what {node.op} does with its graphs is not known")
                    self._walk(node, self._entered(node, modes), castings)
                elif modes.devices:
                    casting = self._casting(sub.graph, node, modes)
                    if casting is not None:
                        castings[id(node)] = casting

    def _entered(self, node: Node, modes: _Modes) -> _Modes:
        """What casts in the graphs that a node calls: a region names the device, the dtype, if it casts, if it keeps."""
        if not _is_region(self._analysis.ops.lookup(node.target)):
            return modes
        device, dtype, enabled, keeps = (operand.arg for operand in node.inputs[:4])
        devices = {name: dtype for name, dtype in modes.devices.items() if name != device.as_string}
        if enabled.as_bool:
            if dtype.as_scalar_type not in LOWER:
                raise _Unknown("the artifact does not tell which dtype it casts to")
            devices[device.as_string or ""] = dtype.as_scalar_type
        return _Modes(devices, keeps.as_bool is not False)

    def _casting(self, graph: Graph, node: Node, modes: _Modes) -> Casting | None:
        op = self._analysis.ops.lookup(node.target)
        if op is None or op.source != "table" or op.name.startswith("higher_order."):
            raise _Unknown(f"what autocast makes of {node.op} is not known")
        if op.schema is None:  # arithmetic on numbers
            return None
        metas = {name: graph.meta(name) for operand in node.inputs for name in operand.arg.tensors() if name is not None}
        makes = any("Tensor" in one.type for one in op.schema.returns)
        devices = {_device(meta) for meta in metas.values()} if metas else {*modes.devices} if makes else set()
        devices &= {*modes.devices, ""}
        if not devices:
            return None
        if "" in devices or (metas and len(devices) > 1):
            raise _Unknown(f"{op.name} is given tensors of several devices, or of which no device is recorded")
        policies = {op.autocast.get(device, "unknown") for device in devices}
        if policies == {"none"}:
            return None
        if "unknown" in policies or not metas:
            where = ", ".join(sorted(devices))
            raise _Unknown(f"what autocast makes of {op.name} on {where} is not the same in all that is known of it")
        device = devices.pop()
        eligible = {name: meta.dtype for name, meta in metas.items() if meta is not None and _is_eligible(meta)}
        for name, dtype in eligible.items():
            if not _is_plain(metas[name]):
                raise _Unknown(f"%{name} is no plain tensor")
            if name in self._analysis.precision.doubts(graph):
                raise _Unknown(UNSURE_DTYPE.format(name))
            if dtype not in (*LOWER, FLOAT32):
                raise _Unknown(f"%{name} is of {DTYPES.get(dtype, 'an unknown dtype')}")
        for operand in node.inputs:
            if (operand.arg.as_optional_tensors or operand.arg.as_nested_tensors) and eligible.keys() & _tensors(operand.arg):
                raise _Unknown(f"{op.name} is given tensors in a kind of list that autocast leaves alone")
        return self._by_policy(node, op, policies.pop(), modes, device, eligible)

    def _by_policy(
        self, node: Node, op: OpInfo, policy: str, modes: _Modes, device: str, eligible: dict[str, int]
    ) -> Casting | None:
        lower, dtypes = modes.devices[device], {*eligible.values()}
        match policy:
            case "lowered":
                to = lower
            case "float32":
                to = FLOAT32
            case "promote":
                if not dtypes <= {lower, FLOAT32}:
                    raise _Unknown(f"autocast raises for what {op.name} is given")
                to = FLOAT32 if FLOAT32 in dtypes else lower
            case "float32-dtype":
                told = node.input("dtype")
                first = node.input(op.schema.arguments[0].name) if op.schema is not None else None
                if (told is not None and told.kind != "as_none") or not eligible.keys() & _tensors(first):
                    return None
                return Casting(FLOAT32, argument=True)
            case "banned":
                raise _Unknown(f"autocast raises for {op.name}")
            case _:
                raise _Unknown(f"autocast calls another overload in place of {op.name}")
        cast = frozenset(name for name, dtype in eligible.items() if dtype != to)
        if any(cast & _tensors(node.input(written)) for written in op.written_arguments(node)):
            raise _Unknown(f"{op.name} writes what autocast casts")
        return Casting(to, cast, keeps=modes.keeps and to == lower) if cast else None

    def _check_kept(self, outer: Site, castings: Mapping[int, Casting]) -> None:
        """Nothing may be written whose kept cast could be taken again afterwards."""
        if not any(casting.keeps for casting in castings.values()):
            return
        graph = self._analysis.program.graph
        for write in self._analysis.writes:
            if outer in write.site.scope.callers():
                for storage in {ref.storage for ref in write.refs}:
                    meta = graph.meta(storage.value)
                    if storage.kind in _HELD and (meta is None or (meta.requires_grad and meta.dtype == FLOAT32)):
                        raise _Unknown(f"{write.site.name} writes what autocast may have kept a cast of")


def _is_region(op: OpInfo | None) -> bool:
    return op is not None and op.region == "autocast"


def _check_shape(node: Node) -> None:
    """Whether a region is recorded as they all are: device, dtype, enabled, keeps, graph, operands."""
    obstacle = inlining_obstacle(node)
    if obstacle is not None:
        raise _Unknown(obstacle)
    device, _, enabled, *_ = (operand.arg for operand in node.inputs)
    if device.as_string is None or enabled.as_bool is None:
        raise _Unknown("it is recorded in a way that is not known")


def _check_dtypes(sites: tuple[Site, ...]) -> None:
    """A kept cast is taken in whatever dtype it was made."""
    lowered: dict[str | None, int | None] = {}
    for device, dtype, enabled in ([operand.arg for operand in site.node.inputs[:3]] for site in sites):
        if enabled.as_bool and lowered.setdefault(device.as_string, dtype.as_scalar_type) != dtype.as_scalar_type:
            raise _Unknown("regions in each other lower to different dtypes")


def _device(meta: TensorMeta | None) -> str:
    return meta.device.type if meta is not None and meta.device is not None else ""


def _is_plain(meta: TensorMeta | None) -> bool:
    """Whether strides and sizes tell how it lies in memory, and so how a copy does."""
    return meta is not None and meta.layout == STRIDED and len(meta.sizes) == len(meta.strides) and meta.sizes is not UNRECORDED


def _is_eligible(meta: TensorMeta) -> bool:
    return category(meta.dtype) == FLOATING and meta.dtype != FLOAT64


def _tensors(argument: Argument | None) -> set[str]:
    return {name for name in argument.tensors() if name is not None} if argument is not None else set()
