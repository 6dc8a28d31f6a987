"""Inputs that hold the memory of another one go."""

from collections.abc import Mapping

from graphlint.ir.edit import changed_graph, renamed, renamed_operands, with_graph
from graphlint.ir.model import Program


def merged_inputs(program: Program, others: Mapping[str, str]) -> Program:
    """The program without the inputs ``others``: who reads one of them reads what it is mapped to, another input, which
    shows the same memory in the same way. The program is functional as far as they go.
    """
    graph = program.graph
    inputs = zip(graph.inputs, program.graph_module.signature.input_specs, strict=True)
    kept = [(argument, spec) for argument, spec in inputs if others.keys().isdisjoint(argument.names())]
    changed = changed_graph(
        graph,
        inputs=[argument for argument, _ in kept],
        outputs=[renamed(one, others) for one in graph.outputs],
        nodes=[renamed_operands(node, others) for node in graph.nodes],
        tensor_values={name: meta for name, meta in graph.tensor_values.items() if name not in others},
    )
    return with_graph(program, changed, input_specs=[spec for _, spec in kept], renames=others)
