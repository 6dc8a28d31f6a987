"""Inputs that hold the memory of another one go."""

from collections.abc import Mapping

import msgspec

from graphlint.ir.edit import changed_graph, renamed, renamed_call, renamed_operands, respecified, with_graph
from graphlint.ir.model import Program


def merged_inputs(program: Program, others: Mapping[str, str]) -> Program:
    """The program without the inputs ``others``: who reads one of them reads what it is mapped to, another input, which
    shows the same memory in the same way. The program is functional as far as they go.
    """
    graph, module = program.graph, program.graph_module
    inputs = zip(graph.inputs, module.signature.input_specs, strict=True)
    kept = [(argument, spec) for argument, spec in inputs if others.keys().isdisjoint(argument.names())]
    changed = changed_graph(
        graph,
        inputs=[argument for argument, _ in kept],
        outputs=[renamed(one, others) for one in graph.outputs],
        nodes=[renamed_operands(node, others) for node in graph.nodes],
        tensor_values={name: meta for name, meta in graph.tensor_values.items() if name not in others},
    )
    outputs = [respecified(*pair) for pair in zip(module.signature.output_specs, changed.outputs, strict=True)]
    signature = msgspec.structs.replace(module.signature, input_specs=[spec for _, spec in kept], output_specs=outputs)
    calls = [renamed_call(one, others) for one in module.module_call_graph]
    return with_graph(program, changed, signature=signature, module_call_graph=calls)
