"""Effect tokens go: each op with an effect stands for itself, in the order of the program.

::

    before                                                                after
    graph(%token: f32[0] = token, %x: f32[3]):                            graph(%x: f32[3]):
      %t: f32[0], None = higher_order.with_effects(%token,                  aten._print.default("step")
          op(aten._print.default), "step")                                  %y = aten.add.Tensor(%x, 1)
      %y = aten.add.Tensor(%x, 1)                                           return %y
      return token <- %t, %y

Cases:

1. the op that ``with_effects`` wraps takes its place, with its operands and results. Those of an op with a schema have
   names, which ``with_effects`` does not record: an op whose schema the table lacks keeps its token;
2. who took the token that is gone takes the one before it;
3. a token input that the program returns as it is goes, with that output: it has no part in how the program is called.

torch does the same when it makes a module of a program (``torch/export/_remove_effect_tokens_pass.py``). These tokens
are torch's own; those that chain functional checks are another thing (:mod:`graphlint.passes.tokens`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from graphlint.ir.edit import (
    KEYWORD,
    GraphEdit,
    changed_node,
    named_by_calls,
    renamed,
    renamed_operands,
    with_graph,
)
from graphlint.ir.model import Argument, NamedArgument, Node, Program
from graphlint.ops.info import packet_name
from graphlint.ops.schema import OpSchema
from graphlint.ops.table import OpTable, op_name
from graphlint.semantics.sites import Site

_SHAPE: Final = "it is recorded in a way that is not known"


class _UnknownFormError(Exception):
    """There is no telling what an op looks like without its token; the message says why."""


def effect_obstacle(ops: OpTable, site: Site) -> str | None:
    """Why the token of the node at ``site`` cannot be taken away, or None; nor can any while others stand in the way
    (:func:`token_obstacle`).
    """
    if site.scope.caller is not None:
        return "it is in a graph that another node calls, where torch writes no tokens"
    try:
        _plain(ops, site.node)
    except _UnknownFormError as error:
        return str(error)
    return None


def token_obstacle(program: Program, tokens: Iterable[Site]) -> str | None:
    """What reads tokens though it is no part of their chain, or None. ``tokens`` are the nodes that take one."""
    graph, signature = program.graph, program.graph_module.signature
    nodes = [site.node for site in tokens if site.scope.caller is None]
    chained = {id(node) for node in nodes}
    given = {name for node in nodes for output in node.outputs[:1] for name in output.names()}
    for argument, spec in zip(graph.inputs, signature.input_specs, strict=True):
        given.update(argument.names() if spec.token is not None else ())
    for node in graph.nodes:
        own = node.inputs[0].arg.names() if id(node) in chained and node.inputs else []
        if id(node) in chained and (len(own) != 1 or own[0] not in given):
            return f"{node.op} (node %{node.label}) takes what is no token"
        reads = node.reads()[1:] if own else node.reads()
        read = next((name for name in reads if name in given), None)
        if read is not None:
            return f"{node.op} (node %{node.label}) reads the token %{read}"
    for argument, output in zip(graph.outputs, signature.output_specs, strict=True):
        is_token = not given.isdisjoint(argument.names())
        if is_token != (output.token is not None):
            what = argument.names()[0] if argument.names() else "a constant"
            return f"the program returns the token %{what} as a result" if is_token else f"%{what} is no token"
    named = sorted(named_by_calls(program) & given)
    return f"the signature of a module names the token %{named[0]}" if named else None


def remove_effect_tokens(program: Program, ops: OpTable, sites: Iterable[Site]) -> Program:
    """The program in which the ops at ``sites`` stand for themselves, and without tokens that no op takes.

    Nothing may be in the way of any of them.
    """
    chosen = {id(site.node) for site in sites}
    edit = GraphEdit(program.graph)
    before: dict[str, str] = {}
    """Tokens that are gone, and those that they were made of."""
    for node in program.graph.nodes:
        current = renamed_operands(node, before)
        if id(node) not in chosen:
            edit.nodes.append(current)
            continue
        made = _plain(ops, current)
        (gone,), (token,) = node.outputs[0].names(), current.inputs[0].arg.names()
        before[gone] = token
        edit.forget([gone])
        if made.name:  # a node with one tensor for a result is called what the result is
            single = len(made.outputs) == 1 and made.outputs[0].as_tensor is not None
            name = made.results()[0] if single else edit.claim(packet_name(op_name(made.target)))
            made = changed_node(made, name=name)
        edit.nodes.append(made)
    return _without_idle_tokens(program, edit, before)


def _without_idle_tokens(program: Program, edit: GraphEdit, before: Mapping[str, str]) -> Program:
    """The program without the token outputs that are token inputs, and the token inputs that nothing takes."""
    graph, signature = program.graph, program.graph_module.signature
    inputs = list(zip(graph.inputs, signature.input_specs, strict=True))
    given = {name for argument, spec in inputs if spec.token is not None for name in argument.names()}
    outputs = [renamed(argument, before) for argument in graph.outputs]
    kept = [
        (argument, spec)
        for argument, spec in zip(outputs, signature.output_specs, strict=True)
        if spec.token is None or given.isdisjoint(argument.names())
    ]
    read = {name for node in edit.nodes for name in node.reads()}
    read.update(name for argument, _ in kept for name in argument.names())
    left = [
        (argument, spec) for argument, spec in inputs if spec.token is None or not read.isdisjoint(argument.names())
    ]
    remaining = {name for argument, _ in left for name in argument.names()}
    edit.forget(given - remaining)
    edit.inputs = [argument for argument, _ in left]
    edit.outputs = [argument for argument, _ in kept]
    input_specs, output_specs = [spec for _, spec in left], [spec for _, spec in kept]
    return with_graph(program, edit.finish(), input_specs=input_specs, output_specs=output_specs)


def _plain(ops: OpTable, node: Node) -> Node:
    """The op that a node wraps, with its operands and results. Raises :class:`_UnknownFormError`."""
    if len(node.inputs) < 2 or not node.outputs:
        raise _UnknownFormError(_SHAPE)
    target = node.inputs[1].arg.as_operator
    tokens = (node.inputs[0].arg, node.outputs[0])
    if target is None or any(token.as_tensor is None for token in tokens):
        raise _UnknownFormError(_SHAPE)
    op = ops.lookup(target)
    if op is None or (op.schema is None and not op.closed):
        raise _UnknownFormError(f"graphlint does not know how {target.removeprefix('torch.ops.')} is called")
    if op.schema is None:
        return _higher_order(target, node)
    operands = _operands(node.inputs[2:], op.schema)
    results = _results(node.outputs[1:], op.schema)
    if operands is None or results is None:
        raise _UnknownFormError(f"the recorded arguments or results of {op.name} are not those of its schema")
    flag = None if node.is_hop_single_tensor_return is not msgspec.UNSET else msgspec.UNSET
    return changed_node(node, target=target, inputs=operands, outputs=results, is_hop_single_tensor_return=flag)


def _higher_order(target: str, node: Node) -> Node:
    """A higher-order op without results: how one returns what it has is not recorded."""
    results = node.outputs[1:]
    if any(result.kind != "as_none" for result in results):
        raise _UnknownFormError(f"how {target.removeprefix('torch.ops.')} returns its results is not recorded")
    flag = msgspec.UNSET if node.is_hop_single_tensor_return is msgspec.UNSET else False
    return changed_node(node, target=target, inputs=node.inputs[2:], outputs=results, is_hop_single_tensor_return=flag)


def _operands(given: Iterable[NamedArgument], schema: OpSchema) -> list[NamedArgument] | None:
    """The operands with the names that the schema has for them; None where they do not fit."""
    names = [argument.name for argument in schema.arguments]
    positional = [argument.name for argument in schema.arguments if not argument.keyword_only]
    found: list[NamedArgument] = []
    for operand in given:
        keyword = operand.arg_kind == KEYWORD or bool(operand.name)
        name = operand.name if keyword else next(iter(positional[len(found) : len(found) + 1]), "")
        if name not in names or any(one.name == name for one in found):
            return None
        found.append(NamedArgument(name, operand.arg, operand.arg_kind))
    taken = {one.name for one in found}
    missing = any(one.default is None and one.name not in taken for one in schema.arguments)
    return None if missing else found


def _results(given: list[Argument], schema: OpSchema) -> list[Argument] | None:
    """The results of an op; None where they do not fit. An op that returns nothing is recorded to return None here."""
    if not schema.returns:
        return [] if all(result.kind == "as_none" for result in given) else None
    return given if len(given) == len(schema.returns) else None
