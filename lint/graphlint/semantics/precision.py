"""Which recorded dtypes are to be doubted: what autocast makes of a value is decided anew whenever the program runs.

``torch.export`` in strict mode records the results of an autocast region as if nothing were cast there: a product of
float32 tensors as float32, where it is bfloat16 when the program runs; and so on with all that is computed from it.
Nothing in the file says how it was exported. What tells are results in a region that casts: where a product of float32
tensors is recorded as float32, nothing is to be believed that autocast may decide; where no such product is, but some
result of another precision than what it is made of, the regions were recorded as they run.

What a region does to the operands of an op is a fact (``OpInfo.autocast``).
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from graphlint.ir.edit import flat
from graphlint.ir.enums import FLOAT32
from graphlint.ir.model import ATEN, Argument, Graph, NamedArgument, Node, Program
from graphlint.ops.info import OpInfo
from graphlint.ops.table import OpTable
from graphlint.semantics.calls import call_of

LOWER: Final = (6, 13)
"""float16 and bfloat16, the dtypes that torch lets a region cast to."""
_VARYING: Final = (*LOWER, FLOAT32, 9, 10)
"""Dtypes of values, complex ones among them, that would have another one if an operand had been cast."""

UNSURE_DTYPE: Final = "autocast decides the dtype of %{}, and the artifact may not record which"

_Modes = Mapping[str, bool]
"""Whether a region casts, by the type of the device."""
_NONE: Final[frozenset[str]] = frozenset()


class Precision:
    """The values of a program whose recorded dtype is to be doubted. Graphs are keyed by the identity of the object."""

    def __init__(self, program: Program, ops: OpTable) -> None:
        self._ops = ops
        self._doubts: dict[int, set[str]] = {}
        self._modes: dict[int, _Modes] = {}
        """What casts inside a graph."""
        told = set(self._told(program.graph, {}))
        if told and (True not in told or False in told):
            self._flow(program.graph, set())

    def doubts(self, graph: Graph) -> AbstractSet[str]:
        """The graph's values that may have another dtype than the recorded one."""
        return self._doubts.get(id(graph), _NONE)

    def casts(self, graph: Graph) -> bool:
        """Whether a region casts what the graph's nodes are given."""
        return any(self._modes[id(graph)].values())

    def _told(self, graph: Graph, modes: _Modes) -> Iterator[bool | None]:
        """What tells how the graph's regions were recorded: True where as they run, False where as if nothing were
        cast, None that there is a region at all.
        """
        self._modes[id(graph)] = modes
        casting = any(modes.values())
        if casting:
            yield None
        for index in graph.of_targets(lambda target: casting or not target.startswith(ATEN)):
            node = graph.nodes[index]
            if not node.target.startswith(ATEN):
                for sub in node.subgraphs():
                    yield from self._told(sub.graph, self._entered(node, modes))
            elif casting:
                yield from _tells(graph, node, self._ops.lookup(node.target), modes)

    def _flow(self, graph: Graph, entering: set[str]) -> None:
        """Note the doubts within a graph, ``entering`` being the inputs that are doubted."""
        modes, doubts = self._modes[id(graph)], self._doubts.setdefault(id(graph), set())
        doubts |= entering
        for node in graph.nodes:
            if not node.target.startswith(ATEN) and node.subgraphs():
                doubts |= self._returned(graph, node, doubts)
            elif modes or doubts:
                doubts |= self._made(graph, node, modes, doubts)

    def _entered(self, node: Node, modes: _Modes) -> _Modes:
        """What casts inside the graphs that a node calls. A region names the device, the dtype, if it casts."""
        op = self._ops.lookup(node.target)
        if op is None or op.region != "autocast" or len(node.inputs) < 3:
            return modes
        device, dtype, enabled = (operand.arg for operand in node.inputs[:3])
        casts = enabled.as_bool is not False and dtype.as_scalar_type in (None, *LOWER)
        return {**modes, device.as_string or "": casts}

    def _made(self, graph: Graph, node: Node, modes: _Modes, doubts: set[str]) -> set[str]:
        """The results of a node that are doubted."""
        op = self._ops.lookup(node.target)
        if _is_asked_for(node):
            return set()
        operands = [operand for operand in node.inputs if op is None or not op.writes or operand.name in op.writes]
        if _takes(operands, doubts) or (any(modes.values()) and _casts(graph, node, op, modes)):
            return set(_varying(graph, node))
        return set()

    def _returned(self, graph: Graph, node: Node, doubts: set[str]) -> set[str]:
        """The results of a call of graphs that are doubted, after noting the doubts inside."""
        call = call_of(node)
        if call is None:
            doubted = _takes(node.inputs, doubts)
            for sub in node.subgraphs():
                self._flow(sub.graph, {name for name in flat(sub.graph.inputs) if doubted and name is not None})
                doubted |= any(name in self.doubts(sub.graph) for name in flat(sub.graph.outputs))
            return set(_varying(graph, node)) if doubted else set()
        places = {index for index, name in enumerate(call.operands) if name in doubts}
        while True:
            for called in call.graphs.values():
                self._flow(called, _at(places, called.inputs))
            found = {
                index
                for called in call.returning
                for index, name in enumerate(flat(called.outputs))
                if name in self.doubts(called)
            }
            if not call.rule.repeats or found <= places:
                return _at(found, node.outputs)
            places |= found


def _at(places: AbstractSet[int], arguments: Iterable[Argument]) -> set[str]:
    return {name for index, name in enumerate(flat(arguments)) if index in places and name is not None}


def _takes(operands: Iterable[NamedArgument], doubts: AbstractSet[str]) -> bool:
    return any(name in doubts for operand in operands for name in operand.arg.tensors())


def _cast(graph: Graph, node: Node, modes: _Modes) -> list[tuple[int, str]]:
    """Dtype and type of device of the operands that a region may cast: floating ones but double, on its device."""
    metas = (graph.meta(name) for operand in node.inputs for name in operand.arg.tensors() if name is not None)
    placed = [(meta.dtype, meta.device.type) for meta in metas if meta is not None and meta.device is not None]
    return [one for one in placed if one[0] in (*LOWER, FLOAT32) and modes.get(one[1], False)]


def _is_asked_for(node: Node) -> bool:
    """Whether the node says which dtype its result has."""
    return any(operand.arg.as_scalar_type is not None for operand in node.inputs)


def _tells(graph: Graph, node: Node, op: OpInfo | None, modes: _Modes) -> Iterator[bool]:
    """Whether a node in a region that casts was recorded as it runs, where that can be told."""
    cast = _cast(graph, node, modes)
    given = {dtype for dtype, _ in cast}
    recorded = graph.meta(next(iter(node.results()), ""))
    if op is None or op.writes or not given or recorded is None or _is_asked_for(node):
        return
    lowered = FLOAT32 in given and recorded.dtype in LOWER
    raised = FLOAT32 not in given and recorded.dtype == FLOAT32
    policies = {op.autocast.get(device) for _, device in cast}
    if policies == {"lowered"} and FLOAT32 in given:
        yield lowered
    elif policies != {"none"} and _may_cast(op) and (raised or (lowered and len(given) == 1)):
        yield True


def _casts(graph: Graph, node: Node, op: OpInfo | None, modes: _Modes) -> bool:
    """Whether a node in a region that casts may return another dtype than one that knows nothing of autocast."""
    cast = _cast(graph, node, modes)
    given = {dtype for dtype, _ in cast}
    if not given:
        return False
    if op is None:
        return True
    policies = {op.autocast.get(device) for _, device in cast}
    if op.writes or (op.aliases and "lowered" not in op.autocast.values()):
        return False
    if None in policies:
        return _may_cast(op)
    return (FLOAT32 in given and "lowered" in policies) or (given != {FLOAT32} and not policies <= {"none", "lowered"})


def _may_cast(op: OpInfo) -> bool:
    """Whether autocast has a kernel for the op on some device, or the op is made of others that it may have one for."""
    return not op.tags.isdisjoint(("autocast", "composite"))


def _varying(graph: Graph, node: Node) -> Iterator[str]:
    for output in node.outputs:
        for name in output.tensors():
            meta = graph.meta(name) if name is not None else None
            if name is not None and (meta is None or meta.dtype in _VARYING):
                yield name
