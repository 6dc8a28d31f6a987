"""State becomes inputs and outputs: what a program keeps between calls it is handed, and hands out.

::

    before                                          after
    graph(%b_h: f32[2] = buffer "h", %x: f32[2]):   graph(%x: f32[2], %h: f32[2]):
      %add: f32[2] = aten.add.Tensor(%b_h, %x)        %h_out: f32[2] = aten.add.Tensor(%h, %x)
      %mul: f32[2] = aten.mul.Tensor(%x, 2)           %mul: f32[2] = aten.mul.Tensor(%x, 2)
      return buffer "h" <- %add, %mul                 return %mul, %h_out

It is called ``result, state = program(x, **state)`` instead of ``result = program(x)``: the new inputs are keywords,
the new outputs a dict with the same names, in the order in which they were written back.

Cases:

1. a buffer or parameter becomes the last input, under its qualified name as an identifier. What was written back to it
   becomes the last output;
2. an input that the program writes is handed out, too, under its own name;
3. what is handed out is a tensor of its own, laid out as what is handed in. Writing back copied the value; where it is
   in the memory of an input or of another result, or laid out otherwise, the graph copies it now.
"""

from collections.abc import Collection, Sequence
from typing import Literal

import msgspec

from graphlint.ir.dtypes import DTYPES
from graphlint.ir.edit import (
    Dialect,
    GraphEdit,
    changed_graph,
    mutated,
    mutation_of,
    renamed_values,
    tensor,
    with_graph,
)
from graphlint.ir.model import (
    Argument,
    InputSpec,
    ModuleCallEntry,
    ModuleCallSignature,
    Node,
    OutputSpec,
    Program,
    Spec,
    SymSize,
)
from graphlint.ir.names import kept_stem
from graphlint.ir.structure import Interface
from graphlint.ops.info import Role
from graphlint.ops.table import op_of
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.sites import tensor_inputs
from graphlint.semantics.state import Target

Kind = Literal["buffer", "parameter", "user_input"]


class Piece(msgspec.Struct, frozen=True, kw_only=True):
    """One tensor of the state, and where it is handed in and out."""

    name: str
    """The keyword for it, and its key among what is handed out."""
    kind: Kind
    """What it was."""
    target: str
    """The qualified name; a user input's own."""
    persistent: bool | None
    """Of a buffer."""
    dtype: str
    device: str
    sizes: list[int | str]
    """Expressions where they are symbolic."""
    input: str
    """Its values in the graph."""
    output: str
    input_place: int
    """Which of all tensors it is that the program takes, or returns."""
    output_place: int
    old_input: str
    """What its input was called in the graph, and where that stood among the inputs."""
    old_place: int


class Lifted(msgspec.Struct, frozen=True):
    """What the pass made."""

    program: Program
    pieces: tuple[Piece, ...]


class _Given(msgspec.Struct, frozen=True):
    """An input of the graph, and what is written back to it."""

    place: int
    value: str
    spec: InputSpec
    output: int
    new: str

    @property
    def is_held(self) -> bool:
        return self.spec.user_input is None


def lift_state(analysis: Analysis, chosen: Collection[Target]) -> Lifted:
    """Turn what is ``chosen`` of what the program writes back into inputs and outputs; nothing is in the way of it."""
    program, interface = analysis.program, Interface.of(analysis.program)
    if interface is None:
        raise AssertionError("a program that records no interface has no place for more inputs")
    given, edit = _given(program, chosen), GraphEdit(program.graph)
    taken = interface.names
    names = [_free(edit, one, taken) if one.is_held else one.value for one in given]
    copies = {one.output: role for one in given if (role := _copy(analysis, one)) is not None}
    results = [edit.claim(f"{name}_out") for name in names]
    mapping = {one.value: name for one, name in zip(given, names, strict=True)}
    mapping |= {one.new: name for one, name in zip(given, results, strict=True) if one.output not in copies}
    program = renamed_values(program, {old: new for old, new in mapping.items() if old != new})
    edit, dialect = GraphEdit(program.graph), Dialect.of(program.graph)
    made: dict[int, list[Node]] = {}
    for one, name, result in zip(given, names, results, strict=True):
        if one.output in copies:
            source = mapping.get(one.new, one.new)
            place = program.graph.makers.get(source, -1)
            made.setdefault(place, []).append(_copying(edit, dialect, copies[one.output], name, source, result, place))
    edit.nodes = [*made.get(-1, ())]
    for place, node in enumerate(program.graph.nodes):
        edit.nodes += [node, *made.get(place, ())]
    signature = program.graph_module.signature
    moved = {one.place: name for one, name in zip(given, names, strict=True) if one.is_held}
    lifted = {one.output for one in given}
    left_in = [at for at in range(len(edit.inputs)) if at not in moved]
    left_out = [at for at in range(len(edit.outputs)) if at not in lifted]
    edit.inputs = [edit.inputs[at] for at in left_in] + [tensor(name) for name in moved.values()]
    edit.outputs = [edit.outputs[at] for at in left_out] + [tensor(name) for name in results]
    input_specs = [signature.input_specs[at] for at in left_in]
    output_specs = [signature.output_specs[at] for at in left_out]
    places = {name: place for place, name in enumerate([*_users(edit.inputs, input_specs), *moved.values()])}
    first = sum(spec.kind in ("user_output", "loss_output") for spec in output_specs)
    input_specs += [InputSpec(user_input=_spec(name)) for name in moved.values()]
    output_specs += [OutputSpec(user_output=_spec(name)) for name in results]
    graph = edit.finish(is_single_tensor_return=False)
    called = Interface.of(program) or interface  # which names values as they are called now
    calls = _called(program, called.extended([*moved.values()], names, results))
    pieces: list[Piece] = []
    for one, name, result in zip(given, names, results, strict=True):
        meta = graph.meta(name)
        pieces.append(
            Piece(
                name=name,
                kind="user_input" if not one.is_held else "parameter" if one.spec.parameter is not None else "buffer",
                target=one.spec.target or one.value,
                persistent=one.spec.buffer.persistent if one.spec.buffer is not None else None,
                dtype=DTYPES.get(meta.dtype, "unknown") if meta is not None else "unknown",
                device=str(meta.device or "cpu") if meta is not None else "cpu",
                sizes=[*meta.shape] if meta is not None else [],
                input=name,
                output=result,
                input_place=places[name],
                output_place=first + len(pieces),
                old_input=one.value,
                old_place=one.place,
            )
        )
    changed = with_graph(program, graph, input_specs=input_specs, output_specs=output_specs, calls=calls)
    return Lifted(changed, tuple(pieces))


def _given(program: Program, chosen: Collection[Target]) -> list[_Given]:
    """The inputs that are written back, in the order of the outputs that do it."""
    graph, signature = program.graph, program.graph_module.signature
    inputs = {mutated(mutation_of(one[2], one[1], "")): one for one in tensor_inputs(program)}
    found = ((at, mutated(spec)) for at, spec in enumerate(signature.output_specs))
    return [_Given(*inputs[one], at, graph.outputs[at].names()[0]) for at, one in found if one in chosen]


def _free(edit: GraphEdit, given: _Given, taken: Collection[str]) -> str:
    """A keyword that no argument has, and no other value."""
    stem = kept_stem(str(given.spec.target))
    while (name := edit.claim(stem)) in taken:
        pass
    return name


def _copy(analysis: Analysis, given: _Given) -> Role | None:
    """The op by which what is written back becomes a tensor of its own; None where it is one, laid out as the input."""
    graph = analysis.program.graph
    before, after = graph.meta(given.value), graph.meta(given.new)
    if before is None or after is None or (before.dtype, before.stride) != (after.dtype, after.stride):
        return "overwrite"
    refs = analysis.memory.refs(graph, given.new)
    others = [name for at, one in enumerate(graph.outputs) if at != given.output for name in one.tensors() if name]
    storages = {ref.storage for name in others for ref in analysis.memory.refs(graph, name)}
    own = all(ref.storage.kind == "intermediate" and ref.storage not in storages for ref in refs)
    return None if own and given.new not in others else "copy"


def _copying(edit: GraphEdit, dialect: Dialect, role: Role, given: str, source: str, result: str, place: int) -> Node:
    """A node behind that at ``place`` which copies ``source``, for a result that is laid out as an input."""
    before, after = edit.meta(given), edit.meta(source)
    if before is not None:
        requires_grad = after is not None and after.requires_grad
        start = SymSize(as_int=0)
        edit.record(result, msgspec.structs.replace(before, storage_offset=start, requires_grad=requires_grad))
    operands = [dialect.operand("self", tensor(source))]
    if role == "overwrite":
        operands = [dialect.operand("self", tensor(given)), dialect.operand("src", tensor(source))]
    # torch.export.unflatten refuses nodes that belong to no module; those of an input belong to the outermost one.
    stacks = (node.metadata.get("nn_module_stack", "") for node in edit.graph.nodes[max(place, 0) :])
    stack = next(filter(None, stacks), "")
    metadata = {"nn_module_stack": stack if place >= 0 else stack.partition(";")[0]} if stack else {}
    return dialect.node(op_of(role).target, operands, [tensor(result)], result, metadata)


def _users(inputs: Sequence[Argument], specs: Sequence[InputSpec]) -> list[str]:
    """What the caller hands in, each tensor by its name, and anything else by nothing."""
    pairs = zip(inputs, specs, strict=False)
    handed = [argument for argument, spec in pairs if spec.kind in ("user_input", "constant_input")]
    return [next(iter(one.names()), "") for one in handed]


def _spec(name: str) -> Spec:
    return Spec(arg=msgspec.to_builtins(tensor(name)))


def return_state(program: Program, pieces: Sequence[Piece]) -> Program | None:
    """The inverse of :func:`lift_state`, but for copies that it made and names of results; None where the program is
    not as that left it.
    """
    held = [one for one in pieces if one.kind != "user_input"]
    interface = Interface.of(program)
    called = interface.shortened([one.name for one in held], [one.name for one in pieces]) if interface else None
    if not pieces:
        return program
    if called is None or not _ends_with(program, held, pieces):
        return None
    edit = GraphEdit(program.graph)
    names = {one.input: edit.claim(one.old_input) for one in held if one.input != one.old_input}
    program = renamed_values(program, names)
    graph, signature = program.graph, program.graph_module.signature
    inputs = list(zip(graph.inputs, signature.input_specs, strict=True))
    outputs = list(zip(graph.outputs, signature.output_specs, strict=True))
    own, moved = inputs[: len(inputs) - len(held)], inputs[len(inputs) - len(held) :]
    results, made = outputs[: len(outputs) - len(pieces)], outputs[len(outputs) - len(pieces) :]
    back = []
    for piece, (argument, _) in zip(pieces, made, strict=True):
        spec = InputSpec(user_input=Spec()) if piece.kind == "user_input" else _held(piece, "")
        back.append((argument, mutation_of(spec, piece.input, argument.names()[0])))
    for piece, (argument, _) in sorted(zip(held, moved, strict=True), key=lambda pair: pair[0].old_place):
        own.insert(piece.old_place, (argument, _held(piece, argument.names()[0])))
    tokens = sum(spec.token is not None for _, spec in results)
    results[tokens:tokens] = back
    changed = changed_graph(graph, inputs=[one for one, _ in own], outputs=[one for one, _ in results])
    input_specs, output_specs = [spec for _, spec in own], [spec for _, spec in results]
    calls = _called(program, called)
    return with_graph(program, changed, input_specs=input_specs, output_specs=output_specs, calls=calls)


def _ends_with(program: Program, held: Sequence[Piece], pieces: Sequence[Piece]) -> bool:
    """Whether the last inputs and outputs of a program are those of its state."""
    graph, signature = program.graph, program.graph_module.signature
    inputs = zip(graph.inputs, signature.input_specs, strict=True)
    users = [argument.names() for argument, spec in inputs if spec.user_input is not None]
    moved, made = users[len(users) - len(held) :], graph.outputs[-len(pieces) :]
    return (
        moved == [[one.input] for one in held]
        and all([one.input] in users for one in pieces)
        and [len(one.tensors()) for one in made] == [1] * len(pieces)
        and all(spec.user_output is not None for spec in signature.output_specs[-len(pieces) :])
    )


def _held(piece: Piece, value: str) -> InputSpec:
    """The spec of an input that is state again."""
    if piece.kind == "parameter":
        return InputSpec(parameter=Spec(arg={"name": value}, parameter_name=piece.target))
    return InputSpec(buffer=Spec(arg={"name": value}, buffer_name=piece.target, persistent=piece.persistent))


def _called(program: Program, called: ModuleCallSignature) -> list[ModuleCallEntry]:
    calls = program.graph_module.module_call_graph
    return [ModuleCallEntry(one.fqn, called if one.fqn == "" else one.signature) for one in calls]
