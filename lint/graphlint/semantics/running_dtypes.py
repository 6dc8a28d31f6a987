"""The dtypes that values have when the program runs, where the recorded ones are to be doubted
(:mod:`graphlint.semantics.precision`): worked out anew, from what autocast casts and from the dtype rules of ops.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from graphlint.ir.dtypes import COMPLEX64, FLOAT64, FLOATING, category, promoted, real_part
from graphlint.ir.edit import flat
from graphlint.ir.enums import FLOAT32
from graphlint.ir.model import Argument, Graph, Node, Program
from graphlint.ops.info import OpInfo
from graphlint.ops.table import OpTable
from graphlint.semantics.calls import call_of
from graphlint.semantics.casting import Casting, Modes, Unknown, casting_of, entered
from graphlint.semantics.precision import UNSURE_DTYPE, Precision

_REREADING = frozenset({"bitcast", "view_as_real", "view_as_complex", "real", "imag"})
"""Steps of views after which elements are of another dtype."""


class RunningDtypes:
    """The dtypes of a program's values. Graphs are keyed by the identity of the object."""

    def __init__(self, program: Program, ops: OpTable, precision: Precision) -> None:
        self._ops = ops
        self._precision = precision
        self._found: dict[int, dict[str, int]] = {}
        self.obstacle: str | None = None
        """Why some of them cannot be told."""
        try:
            self._flow(program.graph, Modes(), {})
        except Unknown as reason:
            self.obstacle = str(reason)

    @property
    def changes(self) -> Mapping[int, Mapping[str, int]]:
        """The dtypes that are not those recorded."""
        return {graph: dtypes for graph, dtypes in self._found.items() if dtypes}

    def of(self, graph: Graph, name: str) -> int:
        """The dtype of a value. Raises :class:`Unknown`."""
        found = self._found.get(id(graph), {}).get(name)
        if found is not None:
            return found
        meta = graph.meta(name)
        if meta is None:
            raise Unknown(UNSURE_DTYPE.format(name))
        return meta.dtype

    def _flow(self, graph: Graph, modes: Modes, entering: Mapping[str, int]) -> None:
        """Work out the dtypes within a graph, ``entering`` being those of its inputs that are not as recorded."""
        self._found[id(graph)] = dict(entering)
        doubts = self._precision.doubts(graph)
        for node in graph.nodes:
            if node.subgraphs():
                self._note(graph, self._returned(graph, node, modes))
            elif not doubts.isdisjoint(node.results()):
                casting = casting_of(self._ops, graph, node, modes, self.of)
                self._note(graph, self._made(graph, node, casting))

    def _note(self, graph: Graph, made: Iterator[tuple[str, int]]) -> None:
        for name, dtype in made:
            meta = graph.meta(name)
            if meta is not None and meta.dtype != dtype:
                self._found[id(graph)][name] = dtype

    def _returned(self, graph: Graph, node: Node, modes: Modes) -> Iterator[tuple[str, int]]:
        """The dtypes of what a node returns that calls graphs."""
        call = call_of(node)
        doubts = self._precision.doubts(graph)
        if call is None:
            if not doubts.isdisjoint((*node.reads(), *node.results())):
                raise Unknown(f"what {node.op} does with its graphs is not known")
            return
        within = entered(self._ops, node, modes)
        for called in call.graphs.values():
            inputs = flat(called.inputs)
            given = {
                inner: self.of(graph, outer)
                for outer, inner in zip(call.operands, inputs, strict=False)
                if outer in graph.tensor_values and inner is not None and outer is not None
            }
            self._flow(
                called, within, {name: dtype for name, dtype in given.items() if _recorded(called, name) != dtype}
            )
            if call.rule.repeats and any(called is one for one in call.returning):
                self._check_carried(called, inputs, given)
        for place, name in enumerate(flat(node.outputs)):
            if name is not None and name in doubts:
                returned = [(called, flat(called.outputs)[place]) for called in call.returning]
                dtypes = {self.of(called, inner) for called, inner in returned if inner is not None}
                if len(dtypes) != 1:
                    raise Unknown(UNSURE_DTYPE.format(name))
                yield name, dtypes.pop()

    def _check_carried(self, called: Graph, inputs: list[str | None], given: Mapping[str, int]) -> None:
        """What a loop hands to its next turn has to be of the dtype that the first one was given."""
        doubts = self._precision.doubts(called)
        for name, entering in zip(flat(called.outputs), inputs, strict=False):
            dtype = given.get(entering or "")
            if name is not None and name in doubts and dtype is not None and self.of(called, name) != dtype:
                raise Unknown(UNSURE_DTYPE.format(name))

    def _made(self, graph: Graph, node: Node, casting: Casting | None) -> Iterator[tuple[str, int]]:
        """The dtypes of the results of a node that calls no graph."""
        op = self._ops.lookup(node.target)
        operands = {
            name: casting.dtype if casting is not None and name in casting.operands else self.of(graph, name)
            for operand in node.inputs
            for name in operand.arg.tensors()
            if name is not None
        }
        told = FLOAT32 if casting is not None and casting.argument else None
        if told is None and all(_recorded(graph, name) == dtype for name, dtype in operands.items()):
            return
        single = casting is not None and casting.dtype == FLOAT32
        single = single and all(dtype == FLOAT32 for dtype in operands.values() if category(dtype) >= FLOATING)
        for place, output in enumerate(node.outputs):
            for index, name in enumerate(output.tensors()):
                if name is None or name not in self._precision.doubts(graph):
                    continue
                recorded = _recorded(graph, name)
                dtype = told
                if dtype is None and op is not None:
                    dtype = _dtype(op, node, (place, index), graph, operands)
                if dtype is None and single and recorded is not None:  # of single precision nothing else is made
                    dtype = FLOAT32 if category(recorded) == FLOATING else COMPLEX64
                if dtype is None:
                    raise Unknown(UNSURE_DTYPE.format(name))
                yield name, dtype


def _recorded(graph: Graph, name: str) -> int | None:
    meta = graph.meta(name)
    return meta.dtype if meta is not None else None


def _dtype(op: OpInfo, node: Node, result: tuple[int, int], graph: Graph, operands: Mapping[str, int]) -> int | None:
    """The dtype of a result (which one, and which of its list), made of operands of these dtypes; None where it is not
    known.
    """
    place, index = result
    of_argument = {one.name: [operands[n] for n in one.arg.tensors() if n is not None] for one in node.inputs}
    given = [dtype for dtypes in of_argument.values() for dtype in dtypes]
    if op.writes:
        written = of_argument.get(op.writes[place] if place < len(op.writes) else "", [])
        return written[0] if len({*written}) == 1 else None
    if op.aliases:
        viewed = of_argument.get(op.aliases[0].argument, [])
        viewed = viewed if len(viewed) == 1 else viewed[index : index + 1]
        keeps = bool(op.view) and _REREADING.isdisjoint(step.kind for step in op.view)
        return viewed[0] if keeps and viewed and sum(map(bool, of_argument.values())) == 1 else None
    dimensional: list[int] = []
    scalars: list[int] = []
    for name, dtype in operands.items():
        meta = graph.meta(name)
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
