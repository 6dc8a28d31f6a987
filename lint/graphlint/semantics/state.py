"""What a program writes back, and whether it could be handed in and out instead (:mod:`graphlint.passes.state`)."""

from collections.abc import Collection
from typing import Final

from graphlint.ir.dtypes import DTYPES
from graphlint.ir.edit import mutated, mutation_of
from graphlint.ir.model import Program
from graphlint.ir.structure import Interface, leaves
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.memory import Storage
from graphlint.semantics.sites import tensor_inputs

OLDEST: Final = (8, 14)
"""The schema of torch 2.9: before, all constants of an archive are in one pickle, out of which no state is taken."""

Target = tuple[str, str]
"""What is written back, as :func:`graphlint.ir.edit.mutated` tells it: kind and name."""


def interface_obstacle(program: Program) -> str | None:
    """Why a program can be given no more inputs and outputs, or None."""
    if program.schema < OLDEST:
        return "the file is of torch 2.8 or before: export the model with a newer torch"
    interface, signature = Interface.of(program), program.graph_module.signature
    if interface is None:
        return "it is not called with positional arguments and keywords"
    taken = sum(spec.kind in ("user_input", "constant_input") for spec in signature.input_specs)
    returned = sum(spec.kind in ("user_output", "loss_output") for spec in signature.output_specs)
    if (leaves(interface.given), leaves(interface.result)) != (taken, returned):
        return "its inputs and outputs do not match its recorded structure"
    return None


def state_obstacles(analysis: Analysis, tokens: Collection[str]) -> dict[Target, str | None]:
    """What the program writes back, in order, each with the reason why it cannot become an input and an output, or
    None. ``tokens`` are the buffers that dependency tokens end in.
    """
    program, memory = analysis.program, analysis.memory
    graph, signature = program.graph, program.graph_module.signature
    targets = [target for spec in signature.output_specs if (target := mutated(spec)) is not None]
    whole = interface_obstacle(program) if targets else None
    if whole is not None:
        return dict.fromkeys(targets, whole)
    written = {ref.storage for write in analysis.writes for ref in write.refs}
    held = {mutated(mutation_of(spec, name, "")): name for _, name, spec in tensor_inputs(program)}
    sharing = input_obstacles(analysis, {value for target in targets if (value := held.get(target)) is not None})
    found: dict[Target, str | None] = {}
    for target in targets:
        value = held.get(target)
        storages = {ref.storage for ref in memory.refs(graph, value)} if value is not None else set()
        if value is None:
            found[target] = "no input of the program has this name"
        elif target[1] in tokens:
            found[target] = "it holds the dependency token of the runtime checks"
        elif storages & written:
            found[target] = "the program also writes to it in place"
        else:
            found[target] = sharing.get(value)
    return found


def input_obstacles(analysis: Analysis, back: Collection[str] = ()) -> dict[str, str]:
    """The inputs that cannot be handed in alone, for another input is in their memory, one that is used or written
    ``back``, or for no sample of them can be recorded.
    """
    program, memory = analysis.program, analysis.memory
    used = program.graph.used()
    inputs = tensor_inputs(program)
    held = {name: {ref.storage for ref in memory.refs(program.graph, name)} for _, name, _ in inputs}
    there: dict[Storage, list[tuple[str, str]]] = {}
    for _, name, spec in inputs:
        for storage in held[name] if name in used or name in back else ():
            there.setdefault(storage, []).append((name, spec.target or name))
    found = {}
    for name, storages in held.items():
        others = (told for storage in storages for other, told in there.get(storage, ())[:2] if other != name)
        if (other := next(others, None)) is not None:
            found[name] = f"'{other}' is in the same memory"
        elif (meta := program.graph.meta(name)) is None or meta.dtype not in DTYPES:
            found[name] = "the artifact does not tell its dtype"
    return found
