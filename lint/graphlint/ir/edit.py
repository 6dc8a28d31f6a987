"""Other programs made of one: new nodes, renamed values, edited graphs.

Structs are never changed in place. An edited node or graph knows its origin, which is how what was read of it and is
not understood here is written back (:mod:`graphlint.ir.encode`).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from graphlint.ir.dtypes import FLOAT32, STRIDED
from graphlint.ir.model import (
    Argument,
    Device,
    Graph,
    GraphRef,
    InputSpec,
    ModuleCallEntry,
    NamedArgument,
    Node,
    OptionalTensorRef,
    OutputSpec,
    Program,
    Spec,
    SymRef,
    SymSize,
    TensorMeta,
    TensorRef,
)
from graphlint.ir.names import RESERVED, is_given

KEYWORD = 2
"""What a keyword operand's ``kind`` is."""


class EditedNode(Node, kw_only=True):
    """A node that another one became."""

    origin: Node


class EditedGraph(Graph, kw_only=True):
    """A graph that another one became."""

    origin: Graph


def tensor(name: str) -> Argument:
    """A tensor argument."""
    return Argument(as_tensor=TensorRef(name))


def tensors(names: Iterable[str]) -> Argument:
    """A list of tensors."""
    return Argument(as_tensors=[TensorRef(name) for name in names])


def of_kind(kind: str, value: Any) -> Argument:
    """An argument of the kind that the field says."""
    field: dict[str, Any] = {kind: value}
    return Argument(**field)


def flat(arguments: Iterable[Argument]) -> list[str | None]:
    """One entry for each tensor of some arguments; None for an argument that holds no tensor."""
    return [name for argument in arguments for name in (argument.tensors() or [None])]


def changed_node(node: Node, **changes: Any) -> Node:
    """The node with other fields."""
    if not isinstance(node, EditedNode):
        flag = node.is_hop_single_tensor_return
        node = EditedNode(node.target, node.inputs, node.outputs, node.metadata, flag, node.name, origin=node)
    return msgspec.structs.replace(node, **changes)


def changed_graph(graph: Graph, **changes: Any) -> Graph:
    """The graph with other fields."""
    fields = {name: getattr(graph, name) for name in Graph.__struct_fields__}
    return EditedGraph(**{**fields, **changes}, origin=graph.origin if isinstance(graph, EditedGraph) else graph)


def with_operand(operand: NamedArgument, argument: Argument) -> NamedArgument:
    """The operand with another argument."""
    return NamedArgument(operand.name, argument, operand.arg_kind)


def with_graphs(node: Node, graphs: Mapping[int, Graph]) -> list[NamedArgument]:
    """The operands of a node with other graphs at some positions."""
    inputs = list(node.inputs)
    for position, graph in graphs.items():
        reference = inputs[position].arg.as_graph
        if reference is None:
            raise AssertionError(f"operand {position} of {node.target} is no graph")
        inputs[position] = with_operand(inputs[position], Argument(as_graph=GraphRef(reference.name, graph)))
    return inputs


def with_edited_graphs(node: Node, edit: Callable[[Graph], Graph]) -> list[NamedArgument]:
    """The operands of a node with what ``edit`` makes of the graphs among them; the same list where nothing changes."""
    references = ((place, operand.arg.as_graph) for place, operand in enumerate(node.inputs))
    edited = ((place, one.graph, edit(one.graph)) for place, one in references if one is not None)
    graphs = {place: new for place, old, new in edited if new is not old}
    return with_graphs(node, graphs) if graphs else node.inputs


def every_graph(graph: Graph) -> Iterator[Graph]:
    """A graph and its subgraphs, callers before what they call."""
    yield graph
    for node in graph.callers():
        for sub in node.subgraphs():
            yield from every_graph(sub.graph)


def mapped(graph: Graph, edit: Callable[[Node], Sequence[Node] | None]) -> Graph:
    """The graph with what ``edit`` makes of its nodes and of those of its subgraphs; None leaves a node as it is. The
    same object where nothing changes.
    """
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        made = edit(node)
        if made is not None:
            nodes += made
            changed = True
            continue
        inputs = with_edited_graphs(node, lambda inner: mapped(inner, edit))
        nodes.append(node if inputs is node.inputs else changed_node(node, inputs=inputs))
        changed = changed or inputs is not node.inputs
    return changed_graph(graph, nodes=nodes) if changed else graph


# ------------------------------------------------------------------------------------------------- renaming


def renamed(argument: Argument, mapping: Mapping[str, str]) -> Argument:
    """The argument with its values, tensors and symbolic scalars, renamed; the same object where nothing changes."""
    held = argument.as_tensor  # what most arguments are
    if held is not None:
        new = mapping.get(held.name, held.name)
        return argument if new == held.name else Argument(as_tensor=TensorRef(new))
    if not mapping or mapping.keys().isdisjoint(argument.names()):
        return argument
    return of_kind(argument.kind, _renamed(argument.value, mapping))


def _renamed(value: Any, mapping: Mapping[str, str]) -> Any:
    """What an argument holds, or an item of it."""
    if isinstance(value, TensorRef):
        return TensorRef(mapping.get(value.name, value.name))
    if isinstance(value, list):
        return [_renamed(one, mapping) for one in value]
    if isinstance(value, dict):
        return {key: renamed(one, mapping) for key, one in value.items()}
    if isinstance(value, OptionalTensorRef) and value.as_tensor is not None:
        return OptionalTensorRef(_renamed(value.as_tensor, mapping))
    if isinstance(value, SymRef) and value.as_name is not None:
        return SymRef(as_name=mapping.get(value.as_name, value.as_name))
    return mapping.get(value, value) if isinstance(value, str) else value


def renamed_operands(node: Node, mapping: Mapping[str, str]) -> Node:
    """The node with its operands renamed; the same object where nothing changes."""
    changed = {name: new for name, new in mapping.items() if new != name}
    if not changed:
        return node
    inputs = [_renamed_operand(operand, changed) for operand in node.inputs]
    if all(map(operator.is_, inputs, node.inputs)):
        return node
    return changed_node(node, inputs=inputs)


def _renamed_operand(operand: NamedArgument, mapping: Mapping[str, str]) -> NamedArgument:
    argument = renamed(operand.arg, mapping)
    return operand if argument is operand.arg else with_operand(operand, argument)


def _renamed_results(node: Node, mapping: Mapping[str, str]) -> Node:
    """The node with its results renamed, and itself if it is called so; the same object where nothing changes."""
    if mapping.keys().isdisjoint(node.results()):
        return node
    name = mapping.get(node.name, node.name) if node.name else node.name
    return changed_node(node, outputs=[renamed(one, mapping) for one in node.outputs], name=name)


def renamed_call(entry: ModuleCallEntry, mapping: Mapping[str, str]) -> ModuleCallEntry:
    """An entry of the module call graph with the values it names renamed."""
    signature = entry.signature
    if signature is None or not mapping:
        return entry
    sides = {side: [renamed(one, mapping) for one in getattr(signature, side)] for side in ("inputs", "outputs")}
    return ModuleCallEntry(entry.fqn, msgspec.structs.replace(signature, **sides))


def renamed_graph(graph: Graph, mapping: Mapping[str, str]) -> Graph:
    """The graph with values renamed, tensors and symbolic scalars."""
    tables = ("tensor_values", "sym_int_values", "sym_float_values", "sym_bool_values")
    return changed_graph(
        graph,
        inputs=[renamed(one, mapping) for one in graph.inputs],
        outputs=[renamed(one, mapping) for one in graph.outputs],
        nodes=[_renamed_results(renamed_operands(node, mapping), mapping) for node in graph.nodes],
        **{table: {mapping.get(name, name): one for name, one in getattr(graph, table).items()} for table in tables},
    )


def renamed_values(program: Program, mapping: Mapping[str, str]) -> Program:
    """The program with values of its root graph renamed, wherever they are named."""
    changed, signature = renamed_graph(program.graph, mapping), program.graph_module.signature
    inputs = [_renamed_input(*pair) for pair in zip(signature.input_specs, changed.inputs, strict=True)]
    outputs = list(signature.output_specs)
    for place, spec in enumerate(outputs):
        given = spec.user_input_mutation
        name = mapping.get(given.user_input_name or "") if given is not None else None
        if given is not None and name is not None:
            named = msgspec.structs.replace(given, user_input_name=name)
            outputs[place] = OutputSpec(user_input_mutation=named)
    return with_graph(program, changed, input_specs=inputs, output_specs=outputs, renames=mapping)


def without_given_names(program: Program) -> Program:
    """The program without values that are called as torch calls the lists that an op returns when it loads the graph
    (:func:`graphlint.ir.names.is_given`). The same object where there are none.
    """

    def renamed_inside(graph: Graph) -> Graph:
        changed: dict[int, Node] = {}
        for node in graph.callers():
            inputs = with_edited_graphs(node, edited)
            if inputs is not node.inputs:
                changed[id(node)] = changed_node(node, inputs=inputs)
        if not changed:
            return graph
        return changed_graph(graph, nodes=[changed.get(id(node), node) for node in graph.nodes])

    def edited(graph: Graph) -> Graph:
        graph = renamed_inside(graph)
        names = _given_names(graph)
        return renamed_graph(graph, names) if names else graph

    graph = renamed_inside(program.graph)
    changed = program if graph is program.graph else with_graph(program, graph)
    names = _given_names(graph)
    return renamed_values(changed, names) if names else changed


def _given_names(graph: Graph) -> dict[str, str]:
    """Other names for a graph's values that are called so, where one of its ops returns several lists."""
    alike = (graph.nodes[places[0]].outputs for places in graph.by_target.values())
    if not any(len(outputs) > 1 and any(one.as_tensors is not None for one in outputs) for outputs in alike):
        return {}
    edit = GraphEdit(graph)
    found = filter(is_given, [*graph.defined, *graph.tensor_values])
    return {name: edit.claim(f"_{name}") for name in dict.fromkeys(found)}


def _renamed_input(spec: InputSpec, argument: Argument) -> InputSpec:
    given = spec.user_input
    named = msgspec.to_builtins(argument) if argument.names() else None
    if given is None or named is None or given.arg == named:
        return spec
    return InputSpec(user_input=msgspec.structs.replace(given, arg=named))


def named_by_calls(program: Program) -> set[str]:
    """The values that the module call graph names."""
    signatures = (entry.signature for entry in program.graph_module.module_call_graph)
    return {
        name
        for one in signatures
        if one is not None
        for argument in (*one.inputs, *one.outputs)
        for name in argument.names()
    }


# ------------------------------------------------------------------------------------------------ signatures


def mutated(spec: OutputSpec) -> tuple[str, str] | None:
    """What an output spec writes back: kind and name; None for other outputs."""
    return (spec.kind, str(spec.target)) if spec.kind.endswith("_mutation") else None


def mutation_of(spec: InputSpec, name: str, value: str) -> OutputSpec:
    """The output spec that writes ``value`` back to the input ``name`` of that spec."""
    argument = {"name": value}
    if spec.parameter is not None:
        return OutputSpec(parameter_mutation=Spec(arg=argument, parameter_name=spec.parameter.parameter_name))
    if spec.buffer is not None:
        return OutputSpec(buffer_mutation=Spec(arg=argument, buffer_name=spec.buffer.buffer_name))
    return OutputSpec(user_input_mutation=Spec(arg=argument, user_input_name=name))


def _respecified(spec: OutputSpec, output: Argument) -> OutputSpec:
    """An output spec for what the graph returns there now."""
    kind, given = spec.kind, spec.spec
    if given is None or not output.names():
        return spec
    held = output if kind in ("user_output", "constant") else output.value
    argument = msgspec.to_builtins(held)
    if given.arg == argument:
        return spec
    with suppress(msgspec.ValidationError):  # the same may be spelled out with null, and have keys that are not known
        if msgspec.convert(given.arg, type(held)) == held:
            return spec
    field: dict[str, Any] = {kind: msgspec.structs.replace(given, arg=argument)}
    return OutputSpec(**field)


def with_graph(
    program: Program,
    graph: Graph,
    *,
    input_specs: Sequence[InputSpec] | None = None,
    output_specs: Sequence[OutputSpec] | None = None,
    calls: Sequence[ModuleCallEntry] | None = None,
    renames: Mapping[str, str] | None = None,
) -> Program:
    """The program with another root graph. An output spec follows what the graph returns in its place, and the module
    call graph the values that have other names now.
    """
    module, signature = program.graph_module, program.graph_module.signature
    given = signature.output_specs if output_specs is None else output_specs
    specs = list(given)
    if len(specs) == len(graph.outputs):  # else they contradict each other, as a check of the program tells
        specs = [_respecified(*pair) for pair in zip(given, graph.outputs, strict=True)]
    inputs = signature.input_specs if input_specs is None else list(input_specs)
    # The signature stays what it was read from where nothing in it changes: torch 2.1 wrote others.
    if inputs != signature.input_specs or specs != signature.output_specs:
        signature = msgspec.structs.replace(signature, input_specs=inputs, output_specs=specs)
    entries = module.module_call_graph if calls is None else list(calls)
    entries = [renamed_call(one, renames) for one in entries] if renames else entries
    module = msgspec.structs.replace(module, graph=graph, signature=signature, module_call_graph=entries)
    return msgspec.structs.replace(program, graph_module=module)


# --------------------------------------------------------------------------------------------- making nodes


class Dialect(msgspec.Struct, frozen=True):
    """Which optional keys the nodes of a file have: it depends on the torch version that wrote it."""

    kinds: bool
    """Operands say whether they were positional (torch 2.7 and later)."""
    names: bool
    """Nodes have a name (torch 2.11 and later)."""
    single_return_flag: bool
    """Higher-order nodes say whether they return a bare tensor (torch 2.7 and later)."""

    @classmethod
    def of(cls, root: Graph) -> Dialect:
        """The dialect that a file's own nodes show, those of subgraphs included."""
        nodes = [node for graph in every_graph(root) for node in graph.nodes]
        kinds = any(operand.arg_kind is not None for node in nodes for operand in node.inputs)
        flag = any(node.is_hop_single_tensor_return is not msgspec.UNSET for node in nodes)
        return cls(kinds, any(node.name for node in nodes), flag)

    def operand(self, name: str, argument: Argument, *, keyword: bool = False) -> NamedArgument:
        """A node's operand."""
        return NamedArgument(name, argument, (KEYWORD if keyword else 1) if self.kinds else None)

    def node(
        self,
        target: str,
        inputs: list[NamedArgument],
        outputs: list[Argument],
        name: str,
        metadata: dict[str, str],
    ) -> Node:
        """A node; ``name`` is what files that name nodes call it."""
        flag = None if self.single_return_flag else msgspec.UNSET
        return Node(target, inputs, outputs, metadata, flag, name if self.names else msgspec.UNSET)

    def returning_also(self, node: Node, names: Iterable[str], place: int | None = None) -> dict[str, Any]:
        """The fields of a node that calls graphs which change when it returns more tensors, ``names``, behind its
        results or at a ``place`` among them.
        """
        outputs: list[Argument] = []
        for output in node.outputs:
            # A tuple of one tensor is a list of one in files of torch 2.5; of several, they stand side by side.
            listed = output.as_tensors if len(node.outputs) == 1 else None
            outputs += [output] if listed is None else [Argument(as_tensor=reference) for reference in listed]
        place = len(outputs) if place is None else place
        outputs[place:place] = map(tensor, names)
        if self.single_return_flag:
            return {"outputs": outputs, "is_hop_single_tensor_return": False}
        return {"outputs": outputs if len(outputs) > 1 else [tensors(outputs[0].names())]}


def scalar_meta() -> TensorMeta:
    """Metadata of a 0-dimensional float32 tensor on the CPU."""
    return TensorMeta(FLOAT32, [], [], SymSize(as_int=0), device=Device("cpu"), layout=STRIDED)


class GraphEdit:
    """A graph in the making: an edited copy of one, with names that are free and what is recorded of new values."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.inputs = list(graph.inputs)
        self.outputs = list(graph.outputs)
        self.nodes: list[Node] = []
        """Starts empty: a pass copies over what it keeps."""
        self._metas: dict[str, TensorMeta | None] = {}
        """Metadata of values that are new or other than they were; None for those that are gone."""
        self._tables: dict[str, dict[str, Any]] = {}
        """What is recorded of symbolic values and of objects, where it is more than it was."""
        self._numbers: dict[str, int] = {}
        """Up to which number the names that begin with a stem are taken."""
        self._taken: dict[str, int] = {}
        """The same of names that have a number at once (:meth:`fresh`)."""
        self._names = {*graph.defined, *graph.tensor_values, *graph.sym_int_values, *graph.sym_bool_values}
        self._names.update(one.as_custom_obj.name for one in graph.inputs if one.as_custom_obj is not None)
        self._names.update([node.name for node in graph.nodes if node.name])
        self._names.update(sub.name for node in graph.callers() for sub in node.subgraphs())

    def fresh(self, stem: str) -> str:
        """The first free one of ``stem0``, ``stem1``, …; taken from then on."""
        number = self._taken.get(stem, 0)
        while f"{stem}{number}" in self._names:
            number += 1
        self._taken[stem] = number
        return self.claim(f"{stem}{number}")

    def claim(self, name: str) -> str:
        """``name``, or ``name_1``, ``name_2``, … where it is taken or no name for a value; taken from then on."""
        free = name
        if name in self._names or name in RESERVED:
            number = self._numbers.get(name, 0)
            while free in self._names or free in RESERVED:
                number += 1
                free = f"{name}_{number}"
            self._numbers[name] = number
        self._names.add(free)
        return free

    def meta(self, name: str) -> TensorMeta | None:
        """What is recorded of a value by now."""
        return self._metas[name] if name in self._metas else self.graph.meta(name)

    def record(self, name: str, meta: TensorMeta) -> None:
        """Record a new value's metadata."""
        self._metas[name] = meta

    def record_other(self, table: str, name: str, recorded: Any) -> None:
        """Record what is known of a symbolic value or an object; ``table`` is the field of the graph."""
        if table not in self._tables:
            self._tables[table] = dict(getattr(self.graph, table))
        self._tables[table][name] = recorded

    def rename(self, name: str, new: str) -> None:
        """Another name for a value that is new here; its metadata goes with it."""
        self._metas[new] = self._metas.pop(name)
        self._names.discard(name)
        stem, _, number = name.rpartition("_")
        if stem in self._numbers and number.isdecimal():
            self._numbers[stem] = min(self._numbers[stem], max(int(number) - 1, 0))

    def forget(self, names: Iterable[str]) -> None:
        """These values are gone."""
        self._metas.update(dict.fromkeys(names))

    def untouched(self) -> Graph:
        """The graph with all of its nodes."""
        self.nodes = list(self.graph.nodes)
        return self.finish()

    def finish(self, **changes: Any) -> Graph:
        """The edited graph, with other fields changed as given."""
        values = dict(self.graph.tensor_values)
        for name, meta in self._metas.items():
            if meta is None:
                values.pop(name, None)
            else:
                values[name] = meta
        edited = {"inputs": self.inputs, "outputs": self.outputs, "nodes": self.nodes, "tensor_values": values}
        return changed_graph(self.graph, **{**edited, **self._tables, **changes})
