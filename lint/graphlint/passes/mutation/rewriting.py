"""One attempt at a program: its root graph walked, and its interface brought in line with what it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, cached_property
from typing import Final

from graphlint.ir.arguments import Json, renamed_call, tensor, tensor_names, value_names
from graphlint.ir.document import Dialect, Document
from graphlint.ir.model import Graph
from graphlint.passes.mutation.walking import Frame
from graphlint.semantics.aliasing import Storage
from graphlint.semantics.sites import Scope, Site
from graphlint.semantics.sizes import Sizes
from graphlint.semantics.view import ProgramView, Write

_BY_STRIDES: Final = frozenset(
    f"torch.ops.aten.{name}"
    for name in (
        "view.default", "view_as.default", "view.dtype", "view_as_complex.default", "_unsafe_view.default",
        "_reshape_alias.default", "as_strided.default", "as_strided_.default",
    )
)  # fmt: skip
"""Views that depend on the strides of what they are taken of."""


class Rewriter:
    """One attempt at a program, for a given set of storages."""

    def __init__(self, document: Document, view: ProgramView, active: set[Storage]) -> None:
        self.document = document
        # Not the view itself, which keeps what comes of this: a cycle would keep both alive longer than needed.
        self.ops = view.ops
        self.aliasing = view.aliasing
        self.precision = view.precision
        self.sizes = Sizes(view.program)
        self.active = active
        self.raw: Json = document.outline["graph_module"]["graph"]
        self.dialect = Dialect.of(document.program.graph)
        self.writes: dict[int, list[Write]] = {}
        self.disturbed = {alias.storage for write in view.writes for alias in write.aliases} - active
        """Storages that are still written in place."""
        for write in view.writes:
            self.writes.setdefault(id(write.site.node), []).append(write)
        self.touched = {
            id(scope_graph)
            for write in view.writes
            if write.target.storage in active
            for scope_graph in _graphs_around(write.site)
        }
        """Graphs that are rewritten: those that write, and those that call them."""

    @cached_property
    def seen_by_strides(self) -> set[Storage]:
        """Of the storages that are rewritten, those of which a view is taken that other strides do not admit, or make
        another one.
        """
        found: set[Storage] = set()
        graphs = [self.document.program.graph]
        for graph in graphs:
            shown = self.aliasing.showing(graph, self.active)
            for node in graph.nodes:
                graphs += (reference.graph for reference in node.subgraphs())
                if node.target in _BY_STRIDES:
                    names = [name for name in node.inputs[0].arg.tensors() if name in shown]
                    found.update(one.storage for name in names for one in self.aliasing.aliases(Scope(graph), name))
        return found

    def run(self) -> Callable[[], Json]:
        """Work out what takes the place of each node. Raises Blocked; what is returned puts the program together."""
        graph = self.document.program.graph
        frame = Frame(self, Scope(graph), self.raw)
        for name, value in frame.placeholders():
            frame.adopt_input(name, value)
        frame.walk()
        return self._with_interface(frame)

    def _with_interface(self, frame: Frame) -> Callable[[], Json]:
        """Outputs, mutation outputs, signature."""
        signature: Json = self.document.outline["graph_module"]["signature"]
        input_specs = [
            _as_buffer(spec) if self._is_written_constant(spec, frame) else spec for spec in signature["input_specs"]
        ]
        output_specs = list(signature["output_specs"])
        frame.return_own()
        outputs = [
            frame.output(raw, argument) for raw, argument in zip(self.raw["outputs"], frame.graph.outputs, strict=True)
        ]
        declared = {_mutated(spec) for spec in output_specs}
        written_back: set[str] = set()
        place = next(
            (index for index, spec in enumerate(output_specs) if _mutated(spec) is None and "token" not in spec),
            len(output_specs),
        )
        for spec, argument in zip(input_specs, frame.graph.inputs, strict=True):
            name = next(iter(argument.tensors()), None)
            tracked = frame.objects.get(name) if name is not None else None
            if tracked is None or tracked.steps or tracked.store.version == 0:
                continue
            if tracked.store.origin.name != name:
                continue  # in the memory of an input that is written back; with gradients, torch refuses a second time
            if _mutated(_mutation(spec, str(name), "")) in declared:
                continue  # the program writes it back itself, later than every write in the graph
            value = frame.written_back(tracked.store, written_back)
            written_back.add(value)
            output_specs.insert(place, _mutation(spec, str(name), value))
            outputs.insert(place, tensor(value))
            place += 1
        frame.edit.outputs = outputs
        return cache(lambda: self._assembled(frame, input_specs, output_specs))

    def _assembled(self, frame: Frame, input_specs: list[Json], output_specs: list[Json]) -> Json:
        """The program's JSON."""
        module = self.document.tree["graph_module"]
        outputs = frame.edit.outputs
        calls = [renamed_call(entry, frame.gone) for entry in module.get("module_call_graph", [])]
        edited = frame.finish(module["graph"], _named_by_calls(calls))
        edited, input_specs = self._without_stand_ins(edited, input_specs, frame)
        changed = {
            **module["signature"],
            "input_specs": input_specs,
            "output_specs": _renamed_specs(output_specs, outputs),
        }
        return self.document.with_graph(edited, signature=changed, module_call_graph=calls)

    def _without_stand_ins(self, edited: Json, specs: list[Json], frame: Frame) -> tuple[Json, list[Json]]:
        """Leave out constants in the memory of an input that is written back. Nobody reads them any more, and passes of
        torch (``run_decompositions``, what AOTInductor does) fail on a written input that aliases another one.
        """
        gone: set[str] = set()
        for spec in specs:
            name = spec["tensor_constant"]["arg"]["name"] if spec.get("tensor_constant") else None
            tracked = frame.objects.get(name) if name is not None else None
            if tracked is not None and tracked.store.version > 0 and tracked.store.origin.name != name:
                gone.add(str(name))
        if not gone:
            return edited, specs
        gone.difference_update(name for output in edited["outputs"] for name in tensor_names(output))
        for node in edited["nodes"]:
            gone.difference_update(name for operand in node["inputs"] for name in tensor_names(operand["arg"]))
        pairs = zip(edited["inputs"], specs, strict=True)
        kept = [(raw, spec) for raw, spec in pairs if gone.isdisjoint(tensor_names(raw))]
        values = {name: meta for name, meta in edited["tensor_values"].items() if name not in gone}
        return {**edited, "inputs": [raw for raw, _ in kept], "tensor_values": values}, [spec for _, spec in kept]

    def _is_written_constant(self, spec: Json, frame: Frame) -> bool:
        constant = spec.get("tensor_constant")
        name = constant["arg"]["name"] if constant else None
        tracked = frame.objects.get(name) if name is not None else None
        return tracked is not None and tracked.store.version > 0 and tracked.store.origin.name == name


def _mutated(spec: Json) -> tuple[str, str] | None:
    """What an output spec writes back: kind and name; None for other outputs."""
    for kind, field in (
        ("buffer_mutation", "buffer_name"),
        ("parameter_mutation", "parameter_name"),
        ("user_input_mutation", "user_input_name"),
    ):
        if spec.get(kind):
            return kind, str(spec[kind][field])
    return None


def _mutation(spec: Json, name: str, value: str) -> Json:
    """The output spec that writes ``value`` back to the input of that spec."""
    argument = {"arg": {"name": value}}
    if spec.get("parameter"):
        return {"parameter_mutation": {**argument, "parameter_name": spec["parameter"]["parameter_name"]}}
    if spec.get("buffer"):
        return {"buffer_mutation": {**argument, "buffer_name": spec["buffer"]["buffer_name"]}}
    return {"user_input_mutation": {**argument, "user_input_name": name}}


def _as_buffer(spec: Json) -> Json:
    constant = spec["tensor_constant"]
    return {"buffer": {"arg": constant["arg"], "buffer_name": constant["tensor_constant_name"], "persistent": False}}


def _renamed_specs(specs: list[Json], outputs: list[Json]) -> list[Json]:
    """Output specs that name what the graph returns now."""
    current = []
    for spec, output in zip(specs, outputs, strict=True):
        (kind, value), *_ = spec.items()
        argument = output if kind == "user_output" else next(iter(output.values()))
        current.append({kind: {**value, "arg": argument}} if tensor_names(output) else spec)
    return current


def _named_by_calls(calls: Iterable[Json]) -> Iterable[str]:
    for entry in calls:
        signature = entry.get("signature") or {}
        for side in ("inputs", "outputs"):
            for argument in signature.get(side, []):
                yield from value_names(argument)


def _graphs_around(site: Site) -> Iterable[Graph]:
    yield site.scope.graph
    for caller in site.scope.callers():
        yield caller.scope.graph
