"""The dtypes that values have when the program runs: what autocast makes of a value is decided anew each time.

``torch.export`` in strict mode records the results of an autocast region as if nothing were cast there: a product of
float32 tensors as float32, where it is bfloat16 when the program runs; and so on with all that is computed from it.
Nothing in the file says how it was exported. What tells are results in a region that casts: where a product of float32
tensors is recorded as float32, the dtypes are worked out anew, from what autocast casts
(:mod:`graphlint.semantics.casting`) and from the dtype rules of ops; where no such product is, but some result of
another precision than what it is made of, the regions were recorded as they run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

import msgspec

from graphlint.ir.dtypes import COMPLEX64, FLOAT32, FLOAT64, FLOATING, category, promoted, real_part
from graphlint.ir.edit import flat
from graphlint.ir.model import ATEN, Argument, Graph, Node, Program
from graphlint.ops.info import OpInfo
from graphlint.ops.table import OpTable
from graphlint.semantics.sites import GraphCall, call_of

if TYPE_CHECKING:
    from graphlint.semantics.casting import Casting

LOWER: Final = (6, 13)
"""float16 and bfloat16, the dtypes that torch lets a region cast to."""
_VARYING: Final = (*LOWER, FLOAT32, 9, 10)
"""Dtypes of values, complex ones among them, that would have another one if an operand had been cast."""
_REREADING: Final = frozenset({"bitcast", "view_as_real", "view_as_complex", "real", "imag"})
"""Steps of views after which elements are of another dtype."""

UNSURE_DTYPE: Final = "autocast decides the dtype of %{}, and the artifact may not record which"

_Found = dict[str, int | None]
"""The dtypes of values, None for what is not known."""


class Unknown(Exception):  # noqa: N818  # not an error: the reason why regions stay
    """What autocast makes of something cannot be told."""


class Modes(msgspec.Struct, frozen=True):
    """What casts at one place."""

    devices: Mapping[str, int | None] = {}
    """The dtypes that operands are lowered to, by the type of the device; None where the artifact does not tell."""
    keeps: bool = True
    """Whether casts of parameters are kept for the rest of the region."""


class Dtypes:
    """The dtypes of a program's values. Graphs are keyed by the identity of the object."""

    def __init__(self, program: Program, ops: OpTable) -> None:
        self._ops = ops
        self._modes: dict[int, Modes] = {}
        self._found: dict[int, _Found] = {}
        """Those that are not the recorded ones."""
        self.obstacle: str | None = None
        """Why some of them cannot be told."""
        told = set(self._told(program.graph, Modes()))
        if told and (True not in told or False in told):
            self._flow(program.graph, {})

    @property
    def changes(self) -> Mapping[int, Mapping[str, int]]:
        """The dtypes that are known, and are not those recorded."""
        known = ((graph, {name: one for name, one in found.items() if one}) for graph, found in self._found.items())
        return {graph: found for graph, found in known if found}

    def doubts(self, graph: Graph) -> AbstractSet[str]:
        """The graph's values that have, or may have, another dtype than the recorded one."""
        return self._found.get(id(graph), {}).keys()

    def casts(self, graph: Graph) -> bool:
        """Whether a region casts what the graph's nodes are given."""
        return bool(self._modes[id(graph)].devices)

    def of(self, graph: Graph, name: str) -> int:
        """The dtype of a value. Raises :class:`Unknown`."""
        found = self._now(graph, name)
        if found is None:
            raise Unknown(UNSURE_DTYPE.format(name))
        return found

    def entered(self, node: Node, modes: Modes) -> Modes:
        """What casts in the graphs that a node calls. A region names device and dtype, if it casts, if it keeps."""
        op = self._ops.lookup(node.target)
        if op is None or op.region != "autocast" or len(node.inputs) < 4:
            return modes
        device, dtype, enabled, keeps = (operand.arg for operand in node.inputs[:4])
        devices = {name: lower for name, lower in modes.devices.items() if name != device.as_string}
        if enabled.as_bool is not False:
            devices[device.as_string or ""] = dtype.as_scalar_type if dtype.as_scalar_type in LOWER else None
        return Modes(devices, keeps.as_bool is not False)

    def _now(self, graph: Graph, name: str) -> int | None:
        found = self._found.get(id(graph), {})
        return found[name] if name in found else _recorded(graph, name)

    def _told(self, graph: Graph, modes: Modes) -> Iterator[bool | None]:
        """What tells how the graph's regions were recorded: True where as they run, False where as if nothing were
        cast, None that there is a region at all.
        """
        self._modes[id(graph)] = modes
        casting = bool(modes.devices)
        if casting:
            yield None
        for index in graph.of_targets(lambda target: casting or not target.startswith(ATEN)):
            node = graph.nodes[index]
            if not node.target.startswith(ATEN):
                for sub in node.subgraphs():
                    yield from self._told(sub.graph, self.entered(node, modes))
            elif casting:
                yield from _tells(graph, node, self._ops.lookup(node.target), modes)

    def _flow(self, graph: Graph, entering: Mapping[str, int | None]) -> None:
        """Work out the dtypes within a graph, ``entering`` being those of its inputs."""
        modes, found = self._modes[id(graph)], self._found.setdefault(id(graph), {})
        found.clear()
        self._note(graph, entering)
        for node in graph.nodes:
            if not node.target.startswith(ATEN) and node.subgraphs():
                self._note(graph, self._returned(graph, node))
            elif modes.devices or found:
                self._note(graph, self._made(graph, node, modes))

    def _note(self, graph: Graph, dtypes: Mapping[str, int | None]) -> None:
        for name, dtype in dtypes.items():
            if dtype != _recorded(graph, name):
                self._found[id(graph)][name] = dtype
                if dtype is None:
                    self.obstacle = self.obstacle or UNSURE_DTYPE.format(name)

    def _returned(self, graph: Graph, node: Node) -> _Found:
        """The dtypes of what a node returns that calls graphs."""
        call = call_of(node)
        if call is None:
            return self._returned_by_unknown(graph, node)
        given = [None if name is None else self._now(graph, name) for name in call.operands]
        while True:
            for called in call.graphs.values():
                self._flow(called, _named(called.inputs, given))
            made = self._handed_out(call)
            carried = call.carried if call.rule.repeats else 0
            # What a loop hands to its next turn has to be of the dtype that the first one was given.
            kept = [one if one == again else None for one, again in zip(given[:carried], made, strict=False)]
            if kept == given[: len(kept)]:
                return _named(node.outputs, made)
            given[: len(kept)] = kept

    def _handed_out(self, call: GraphCall) -> list[int | None]:
        """The dtypes that the graphs of a call return; None where they are of two minds."""
        returned = [
            [None if name is None else self._now(called, name) for name in flat(called.outputs)]
            for called in call.returning
        ]
        return [one if {one, *others} == {one} else None for one, *others in zip(*returned, strict=False)]

    def _returned_by_unknown(self, graph: Graph, node: Node) -> _Found:
        """As :meth:`_returned`, where it is not known how the node calls its graphs."""
        doubted = not self.doubts(graph).isdisjoint(node.reads())
        for sub in node.subgraphs():
            names = [name for name in flat(sub.graph.inputs) if name is not None]
            self._flow(sub.graph, dict.fromkeys(names) if doubted else {})
            doubted |= not self.doubts(sub.graph).isdisjoint(name or "" for name in flat(sub.graph.outputs))
        return dict.fromkeys(_varying(graph, node)) if doubted else {}

    def _made(self, graph: Graph, node: Node, modes: Modes) -> _Found:
        """The dtypes of the results of a node that calls no graph, as far as they may be others than recorded."""
        from graphlint.semantics.casting import casting_of, may_cast

        op = self._ops.lookup(node.target)
        varying = set(_varying(graph, node))
        if not varying or _is_asked_for(node):
            return {}
        names = [name for operand in node.inputs for name in operand.arg.tensors() if name is not None]
        operands = {name: self._now(graph, name) for name in names}
        casting: Casting | None = None
        if op is None or not op.writes:
            try:
                casting = casting_of(self._ops, graph, node, modes, self.of)
            except Unknown as reason:
                if _cast(graph, node, modes) and (op is None or may_cast(op)):
                    self.obstacle = self.obstacle or str(reason)
                    return dict.fromkeys(varying)
        told = FLOAT32 if casting is not None and casting.argument else None
        if casting is not None:
            operands.update(dict.fromkeys(casting.operands, casting.dtype))
        if told is None and all(_recorded(graph, name) == dtype for name, dtype in operands.items()):
            return {}
        floats = [dtype for dtype in operands.values() if dtype is None or category(dtype) >= FLOATING]
        single = casting is not None and {casting.dtype, *floats} == {FLOAT32}
        found: _Found = {}
        for place, output in enumerate(node.outputs):
            for index, name in enumerate(output.tensors()):
                if name is None or name not in varying:
                    continue
                dtype = told
                if dtype is None and op is not None:
                    dtype = _dtype(op, node, (place, index), graph, operands)
                if dtype is None and single:  # of single precision nothing else is made
                    dtype = FLOAT32 if category(_recorded(graph, name) or FLOAT32) == FLOATING else COMPLEX64
                found[name] = dtype
        return found


def _named(arguments: Iterable[Argument], dtypes: Iterable[int | None]) -> _Found:
    return {name: dtype for name, dtype in zip(flat(arguments), dtypes, strict=False) if name is not None}


def _recorded(graph: Graph, name: str) -> int | None:
    meta = graph.meta(name)
    return meta.dtype if meta is not None else None


def _dtype(
    op: OpInfo, node: Node, result: tuple[int, int], graph: Graph, operands: Mapping[str, int | None]
) -> int | None:
    """The dtype of a result (which one, and which of its list), made of operands of these dtypes; None where it is not
    known.
    """
    place, index = result
    of_argument = {one.name: [operands[n] for n in one.arg.tensors() if n is not None] for one in node.inputs}
    if op.writes:
        written = of_argument.get(op.writes[place] if place < len(op.writes) else "", [])
        return written[0] if len({*written}) == 1 else None
    if op.aliases:
        viewed = of_argument.get(op.aliases[0].argument, [])
        viewed = viewed if len(viewed) == 1 else viewed[index : index + 1]
        keeps = bool(op.view) and _REREADING.isdisjoint(step.kind for step in op.view)
        return viewed[0] if keeps and viewed and sum(map(bool, of_argument.values())) == 1 else None
    given = [dtype for dtypes in of_argument.values() for dtype in dtypes if dtype is not None]
    if None in operands.values():
        return None
    dimensional: list[int] = []
    scalars: list[int] = []
    for name, dtype in operands.items():
        meta = graph.meta(name)
        if dtype is not None:
            (dimensional if meta is None or meta.shape else scalars).append(dtype)
    match op.dtype_of(place):
        case "first" | "counted":
            return given[0]
        case "promote" | "floating" | "joined" | "counting":
            return promoted(dimensional, scalars, list(_numbers(op, node)))
        case "real":
            return real_part(given[0])
        case "double":
            return FLOAT64
    return None


def _numbers(op: OpInfo, node: Node) -> Iterator[Argument]:
    """The numbers that take part in arithmetic."""
    for operand in node.inputs:
        schema = op.schema.argument(operand.name) if op.schema is not None else None
        takes = schema is not None and schema.type.startswith(("Scalar", "Tensor")) and operand.name != "value"
        if takes and operand.arg.kind != "as_none" and not operand.arg.tensors():
            yield operand.arg


def _cast(graph: Graph, node: Node, modes: Modes) -> list[tuple[int, str]]:
    """Dtype and type of device of the operands that a region may cast: floating ones but double, on its device."""
    metas = (graph.meta(name) for operand in node.inputs for name in operand.arg.tensors() if name is not None)
    placed = [(meta.dtype, meta.device.type) for meta in metas if meta is not None and meta.device is not None]
    return [one for one in placed if one[0] in (*LOWER, FLOAT32) and one[1] in modes.devices]


def _is_asked_for(node: Node) -> bool:
    """Whether the node says which dtype its result has."""
    return any(operand.arg.as_scalar_type is not None for operand in node.inputs)


def _tells(graph: Graph, node: Node, op: OpInfo | None, modes: Modes) -> Iterator[bool]:
    """Whether a node in a region that casts was recorded as it runs, where that can be told."""
    from graphlint.semantics.casting import may_cast

    cast = _cast(graph, node, modes)
    given = {dtype for dtype, _ in cast}
    recorded = _recorded(graph, next(iter(node.results()), ""))
    if op is None or op.writes or not given or recorded is None or _is_asked_for(node):
        return
    lowered = FLOAT32 in given and recorded in LOWER
    raised = FLOAT32 not in given and recorded == FLOAT32
    policies = {op.autocast.get(device) for _, device in cast}
    if policies == {"lowered"} and FLOAT32 in given:
        yield lowered
    elif policies != {"none"} and may_cast(op) and (raised or (lowered and len(given) == 1)):
        yield True


def _varying(graph: Graph, node: Node) -> Iterator[str]:
    for output in node.outputs:
        for name in output.tensors():
            meta = graph.meta(name) if name is not None else None
            if name is not None and (meta is None or meta.dtype in _VARYING):
                yield name
