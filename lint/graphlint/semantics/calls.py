"""How higher-order ops call the graphs among their operands: which operand becomes which input.

Two things need this: alias analysis, which follows values into subgraphs, and the token pass, which threads one
more value through them. What each op does is one row of :data:`CONVENTIONS`.

Source: the call sites in ``torch/_higher_order_ops`` (torch 2.13) and the artifacts of torch 2.2 to 2.15.
"""

from __future__ import annotations

from typing import Final

import msgspec

from graphlint.ir.model import Argument, Graph, Node


class Convention(msgspec.Struct, frozen=True):
    """The calling convention of one higher-order op. Positions count the node's operands from 0."""

    graphs: tuple[int, ...]
    """Where the graphs stand."""
    lists: tuple[int, ...] = ()
    """Where lists of values stand whose concatenation the graphs take."""
    rest: int | None = None
    """From where on each positional operand is a value that the graphs take."""
    results_of: tuple[int, ...] = ()
    """Which of ``graphs`` give the node its results (by position in ``graphs``)."""
    repeats: bool = False
    """Whether a graph may run more than once, its results becoming its next inputs."""
    exact: bool = True
    """Whether the graphs get the values themselves (``map`` gives them slices)."""
    fresh_results: bool = False
    """Whether torch refuses graphs whose results alias their inputs."""
    carries: bool = False
    """Whether one more tensor can be handed in and out (the token's way through)."""


_REGION: Final = Convention(graphs=(1,), rest=2, results_of=(0,), carries=True)
_CHECKPOINT: Final = Convention(graphs=(0,), rest=1, results_of=(0,))

CONVENTIONS: Final[dict[str, Convention]] = {
    "cond": Convention(graphs=(1, 2), lists=(3,), results_of=(0, 1), fresh_results=True, carries=True),
    "while_loop": Convention(
        graphs=(0, 1), lists=(2, 3), results_of=(1,), repeats=True, fresh_results=True, carries=True
    ),
    "wrap_with_set_grad_enabled": _REGION,
    "wrap_with_autocast": Convention(graphs=(4,), rest=5, results_of=(0,), carries=True),
    "wrap": _CHECKPOINT,
    "tag_activation_checkpoint": _CHECKPOINT,
    "wrap_activation_checkpoint": _CHECKPOINT,
    "strict_mode": Convention(graphs=(0,), lists=(1,), results_of=(0,)),
    "invoke_subgraph": Convention(graphs=(0,), rest=2, results_of=(0,)),
    "hints_wrapper": Convention(graphs=(0,), lists=(1,), results_of=(0,)),
    "map": Convention(graphs=(0,), lists=(1, 2), results_of=(0,), repeats=True, exact=False),
    "map_impl": Convention(graphs=(0,), lists=(1, 2), results_of=(0,), repeats=True, exact=False),
    "scan": Convention(graphs=(0,), lists=(1, 2, 3), results_of=(0,), repeats=True, exact=False),
}
"""By the op's last name: files of torch 2.4 spell the path that the op was defined in."""


def convention(node: Node) -> Convention | None:
    """The calling convention of a node's op, None where graphlint does not know it (or it is no such op), or where the
    node is of another shape.
    """
    rule = CONVENTIONS.get(node.target.rpartition(".")[2])
    if rule is None or called_graphs(node, rule) is None or len(node.inputs) <= max(rule.lists[:1], default=0):
        return None
    return rule


def operand_names(node: Node, rule: Convention) -> list[str | None]:
    """The caller's values that the graphs take, in the order of the graphs' inputs; None for a constant."""
    arguments: list[Argument] = []
    arguments.extend(node.inputs[position].arg for position in rule.lists if position < len(node.inputs))
    if rule.rest is not None:
        arguments.extend(operand.arg for operand in node.inputs[rule.rest :] if operand.arg_kind != 2)
    names: list[str | None] = []
    for argument in arguments:
        names.extend(value_list(argument))
    return names


def value_list(argument: Argument) -> list[str | None]:
    """One entry for each value that an operand stands for: a name, or None for a constant."""
    if argument.as_sym_ints is not None:
        return [ref.as_name for ref in argument.as_sym_ints]
    for constants in (argument.as_ints, argument.as_floats, argument.as_bools):
        if constants is not None:
            return [None] * len(constants)
    return argument.tensors() or list(argument.symbols()) or ([] if argument.as_tensors is not None else [None])


def called_graphs(node: Node, rule: Convention) -> list[Graph] | None:
    """The graphs at the positions that the convention names, or None where the node is of another shape."""
    graphs = []
    for position in rule.graphs:
        if position >= len(node.inputs):
            return None
        reference = node.inputs[position].arg.as_graph
        if reference is None:
            return None
        graphs.append(reference.graph)
    return graphs
