"""Functional checks become plain ones again: the inverse of :mod:`graphlint.passes.tokens`.

::

    before                                                       after
    %dep_token0 = aten._make_dep_token.default()                 aten._assert_async.msg(%ok, "x too small")
    %dep_token1 = aten._functional_assert_async.msg(%ok, …)      %y = aten.add.Tensor(%x, 3)
    %y = aten.add.Tensor(%x, 3)                                  return %y
    return buffer "dep_token" <- %dep_token1, %y

Cases:

1. a functional check becomes the check that it is the twin of, at the same place. The message of a bare
   ``_assert_async.default`` is one that the token pass made up, and goes;
2. what does nothing but hand the token on goes: ``_make_dep_token``, copies of tokens, the tokens among the operands,
   inputs and results of ``cond``, ``while_loop`` and regions;
3. where the chain ends, its end goes: a non-persistent buffer that nothing else reads, with its input, or a result of
   the program, with its place in the recorded structure of the result. A chain may end nowhere, too: other tools
   leave such.

Tokens that are chained, over whatever calls, are undone together or not at all. A chain stays when something reads
a token that is no part of it, or when its end cannot be taken away; :class:`Check` says why.
"""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.ir.document import Document
from graphlint.ir.edit import (
    KEYWORD,
    Dialect,
    GraphEdit,
    changed_node,
    of_kind,
    tensors,
    with_graph,
    with_graphs,
    with_operand,
)
from graphlint.ir.model import (
    Argument,
    Graph,
    ModuleCallEntry,
    NamedArgument,
    Node,
    OutputSpec,
    Program,
    SymRef,
)
from graphlint.ir.structure import leaves, read_structure
from graphlint.ops.table import check_twins
from graphlint.passes.origins import NAME, SINGLE, note, without_notes
from graphlint.passes.tokens import BARE, BARE_MESSAGE, CLONE, DETACH, MAKE, TOKEN, required_operands
from graphlint.semantics.calls import GraphCall, call_of

_COPIES: Final = frozenset({CLONE, DETACH, "torch.ops.aten.alias.default"})

Json = dict[str, Any]
Key = tuple[int, str]
"""A value: the identity of its graph, and its name."""


class Check(msgspec.Struct, frozen=True):
    """A functional check, and what becomes of it."""

    node: str
    subgraph: tuple[str, ...]
    target: str
    plain: str
    """The plain check's target."""
    reason: str = ""
    """Why it stays; empty where it was restored."""


class Restoration(msgspec.Struct, frozen=True):
    """What the pass made."""

    program: Program
    """The very program of the document where nothing was restored."""
    buffers: tuple[str, ...]
    """Qualified names of the non-persistent buffers that are gone."""
    restored: tuple[Check, ...]
    kept: tuple[Check, ...]
    gone: frozenset[Key] = frozenset()
    """The tokens that are gone."""


def restore_checks(document: Document) -> Restoration:
    """Replace the functional checks by plain ones, as far as their tokens can be taken away."""
    program = document.program
    chains = _Chains()
    chains.follow(program.graph, ())
    ends = _Ends(program, chains)
    checks = [(each, chains.obstacle((id(graph), token))) for graph, token, each in chains.checks]
    restored = tuple(each for each, obstacle in checks if obstacle is None)
    kept = tuple(msgspec.structs.replace(each, reason=obstacle) for each, obstacle in checks if obstacle is not None)
    if not restored:
        return Restoration(program, (), (), kept)
    edit = _Rebuilding(chains, Dialect.of(program.graph)).edit(program.graph)
    changed, buffers = ends.take_away(edit)
    return Restoration(changed, buffers, restored, kept, chains.going())


def plain_checks() -> dict[str, str]:
    """A functional check's target to the plain one's."""
    return {twin: check for check, twin in check_twins().items() if check != BARE}


class _Chains:
    """Which values are tokens, and which of them hang together."""

    def __init__(self) -> None:
        self.checks: list[tuple[Graph, str, Check]] = []
        """The functional checks in program order, each with its graph and its token."""
        self._parents: dict[Key, Key] = {}
        self._obstacles: dict[Key, str] = {}
        self._with_checks: set[Key] = set()
        self._plain = plain_checks()

    def holds(self, graph: Graph, name: str | None) -> bool:
        """Whether the value is a token."""
        return name is not None and (id(graph), name) in self._parents

    def obstacle(self, key: Key) -> str | None:
        """Why the token's chain stays, or None."""
        return self._obstacles.get(self._root(key))

    def goes(self, graph: Graph, name: str | None) -> bool:
        """Whether the value is a token of a chain that goes. A chain without any check in it is left alone."""
        if name is None or (id(graph), name) not in self._parents:
            return False
        root = self._root((id(graph), name))
        return root in self._with_checks and root not in self._obstacles

    def going(self) -> frozenset[Key]:
        """All tokens of chains that go."""
        roots = self._with_checks - self._obstacles.keys()
        return frozenset(key for key in self._parents if self._root(key) in roots)

    def join(self, left: Key, right: Key) -> None:
        """These two tokens hang together."""
        one, other = self._root(left), self._root(right)
        if one == other:
            return
        self._parents[other] = one
        if other in self._obstacles:
            self._obstacles.setdefault(one, self._obstacles.pop(other))
        if other in self._with_checks:
            self._with_checks.add(one)

    def refuse(self, graph: Graph, name: str, reason: str) -> None:
        """The chain of this token stays. The first reason counts."""
        self._obstacles.setdefault(self._root((id(graph), name)), reason)

    def follow(self, graph: Graph, path: tuple[str, ...]) -> None:
        """Find the tokens of a graph, those among its inputs being known, and of the graphs that it calls."""
        for node in graph.nodes:
            if node.target == MAKE:
                for name in node.results():
                    self._add(graph, name)
            elif node.target in self._plain:
                self._check(node, graph, path)
            elif node.target in _COPIES and self._copied(node, graph) is not None:
                self._pass_on(node, graph, str(self._copied(node, graph)))
            else:
                call = call_of(node)
                if call is not None and call.rule.carries:
                    self._call(call, graph, path)
                else:
                    self._other(node, graph, path)

    def _check(self, node: Node, graph: Graph, path: tuple[str, ...]) -> None:
        results = node.results()
        if len(results) != 1:  # not what any schema says: nothing to go by
            return
        (token,) = results
        self._add(graph, token)
        self._with_checks.add(self._root((id(graph), token)))
        plain = BARE if _is_bare(node) else self._plain[node.target]
        self.checks.append((graph, token, Check(node.label, path, node.target, plain)))
        for operand in node.inputs:
            for name in operand.arg.names():
                if not self.holds(graph, name):
                    continue
                if operand.name == TOKEN:
                    self.join((id(graph), name), (id(graph), token))
                else:
                    self.refuse(graph, name, _reads(node, name))

    def _copied(self, node: Node, graph: Graph) -> str | None:
        operand = node.input("self")
        name = next(iter(operand.tensors()), None) if operand is not None else None
        return name if self.holds(graph, name) else None

    def _pass_on(self, node: Node, graph: Graph, name: str) -> None:
        for result in node.results():
            self._add(graph, result)
            self.join((id(graph), name), (id(graph), result))

    def _call(self, call: GraphCall, graph: Graph, path: tuple[str, ...]) -> None:
        """A node that hands tokens on into the graphs it calls, and takes them back."""
        node, graphs, given, returning = call.node, call.graphs.values(), call.operands, call.returning
        outputs = _flat(node.outputs)
        if any(len(one.inputs) != len(given) for one in graphs) or any(
            len(one.outputs) != len(outputs) for one in returning
        ):
            self._other(node, graph, path)
            return
        passed = {
            position
            for position in call.places
            if position not in call.rule.lists or node.inputs[position].arg.as_tensors is not None
        }
        for position, operand in enumerate(node.inputs):
            for name in operand.arg.names() if position not in passed else ():
                if self.holds(graph, name):
                    self.refuse(graph, name, _reads(node, name))
        for index, value in enumerate(given):
            for one in graphs if value is not None and self.holds(graph, value) else ():
                inner = _name_of(one.inputs[index])
                if inner is not None:
                    self._add(one, inner)
                    self.join((id(graph), str(value)), (id(one), inner))
        for reference in node.subgraphs():
            self.follow(reference.graph, (*path, node.caller_label, reference.name))
        for one in graphs:
            if one not in returning:
                self._returned_to_nobody(one, node)
        for index, result in enumerate(outputs):
            self._hand_back(node, graph, returning, index, result)
        if call.rule.repeats:
            self._check_carried(node, graph, given, outputs)

    def _hand_back(self, node: Node, graph: Graph, returning: list[Graph], index: int, result: str | None) -> None:
        """Result ``index`` of a call is a token where that is what the graphs return."""
        tokens = [(one, name) for one in returning if self.holds(one, name := _name_of(one.outputs[index]))]
        if not tokens:
            return
        if result is None or len(tokens) != len(returning):
            for one, name in tokens:
                self.refuse(one, str(name), f"not every branch of {node.caller_label} returns a token there")
            return
        self._add(graph, result)
        for one, name in tokens:
            self.join((id(graph), result), (id(one), str(name)))

    def _check_carried(self, node: Node, graph: Graph, given: list[str | None], outputs: list[str | None]) -> None:
        """What a loop carries is a token on the way in and on the way out, or neither."""
        for name, result in zip(given, outputs, strict=False):
            if self.holds(graph, name) != self.holds(graph, result):
                token = name if self.holds(graph, name) else result
                reason = f"{node.caller_label} carries a token where it was given none, or takes one and carries none"
                self.refuse(graph, str(token), reason)

    def _other(self, node: Node, graph: Graph, path: tuple[str, ...]) -> None:
        """A node that has no business with tokens."""
        for name in node.reads():
            if self.holds(graph, name):
                self.refuse(graph, name, _reads(node, name))
        for reference in node.subgraphs():
            self.follow(reference.graph, (*path, node.caller_label, reference.name))
            self._returned_to_nobody(reference.graph, node)

    def _returned_to_nobody(self, graph: Graph, node: Node) -> None:
        for output in graph.outputs:
            for name in output.names():
                if self.holds(graph, name):
                    self.refuse(graph, name, f"a graph that {node.caller_label} calls returns the token %{name}")

    def _add(self, graph: Graph, name: str) -> None:
        self._parents.setdefault((id(graph), name), (id(graph), name))

    def _root(self, key: Key) -> Key:
        while self._parents[key] != key:
            self._parents[key] = self._parents[self._parents[key]]
            key = self._parents[key]
        return key


class _Ends:
    """Where the chains leave the program: its signature, and the recorded structure of its result."""

    def __init__(self, program: Program, chains: _Chains) -> None:
        self._program = program
        self._chains = chains
        self._graph = program.graph
        self._signature = program.graph_module.signature
        self._calls = program.graph_module.module_call_graph
        self._specs: list[OutputSpec] = self._signature.output_specs or []
        self._buffers: dict[int, int] = {}
        """Of mutation outputs that are tokens: the buffer's input."""
        self._look()

    def _look(self) -> None:
        """Refuse the chains whose ends cannot be taken away."""
        for index, output in enumerate(self._graph.outputs):
            for name in output.names():
                if self._chains.holds(self._graph, name):
                    reason = (
                        self._obstacle(index, name, self._specs[index])
                        if self._signature.output_specs is not None
                        else "torch 2.1 wrote this file, whose signature graphlint does not edit"
                    )
                    if reason is not None:
                        self._chains.refuse(self._graph, name, reason)
        for entry in self._calls:
            signature = entry.signature if entry.fqn else None
            for argument in [*signature.inputs, *signature.outputs] if signature is not None else ():
                named = _name_of(argument)
                if named is not None and self._chains.holds(self._graph, named):
                    self._chains.refuse(self._graph, named, f"the signature of module {entry.fqn!r} names it")

    def _obstacle(self, index: int, name: str, spec: OutputSpec) -> str | None:
        if spec.token is not None:
            return None
        if spec.buffer_mutation is not None:
            return self._buffer_obstacle(index, name, str(spec.buffer_mutation.buffer_name))
        if spec.user_output is not None:
            return self._structure_obstacle(index)
        return f"the program returns the token %{name} as a {spec.kind}"

    def _buffer_obstacle(self, index: int, name: str, buffer: str) -> str | None:
        given = [spec.buffer for spec in self._signature.input_specs]
        place = next((at for at, one in enumerate(given) if one is not None and one.buffer_name == buffer), None)
        held = given[place] if place is not None else None
        if place is None or held is None:
            return f"the token %{name} is written to {buffer!r}, which is no buffer of the program"
        if held.persistent is not False:
            return f"the token %{name} is written to the persistent buffer {buffer!r}, which is part of the state"
        value = _name_of(self._graph.inputs[place])
        functional = plain_checks()
        for node in self._graph.nodes:
            for operand in node.inputs:
                if value not in operand.arg.names():
                    continue
                if node.target not in functional or operand.name != TOKEN:
                    return f"{node.op} (node %{node.label}) reads buffer {buffer!r}, which the token is written to"
                for result in node.results():  # a chain that begins in the buffer in which it ends
                    self._chains.join((id(self._graph), name), (id(self._graph), result))
        if any(value in output.names() for output in self._graph.outputs):
            return f"the program returns buffer {buffer!r}, which the token is written to"
        self._buffers[index] = place
        return None

    def _structure_obstacle(self, index: int) -> str | None:
        """Why the recorded structure of the result cannot do without the output, or None."""
        try:
            spec = self._out_spec()
        except ProgramError as error:
            return str(error)
        leaf = self._leaf(index, spec) if spec is not None else None
        if spec is None or leaf is None or _without_leaf(spec, leaf) is not None:
            return None
        return "the token is part of the result's structure, and not as a member of a tuple or list"

    def _out_spec(self) -> Json | None:
        for entry in self._calls:
            if entry.fqn == "" and entry.signature is not None:
                return read_structure(entry.signature.out_spec)[1]
        return None

    def _leaf(self, index: int, spec: Json) -> int | None:
        """Which leaf of the result's structure an output is; None where the structure has no place for it."""
        before = sum(one.kind in ("user_output", "loss_output") for one in self._specs[:index])
        return before if before < leaves(spec) else None

    def take_away(self, edit: GraphEdit) -> tuple[Program, tuple[str, ...]]:
        """The program without the ends of the chains that go, ``edit`` being its root graph; the buffers that went."""
        graph, chains = self._graph, self._chains
        gone = [
            index for index, one in enumerate(graph.outputs) if any(chains.goes(graph, name) for name in one.names())
        ]
        inputs = {self._buffers[index] for index in gone if index in self._buffers}
        mutations = (self._specs[index].buffer_mutation for index in gone if index in self._buffers)
        buffers = tuple(str(one.buffer_name) for one in mutations if one is not None)
        edit.outputs = [one for index, one in enumerate(edit.outputs) if index not in gone]
        edit.forget(name for index in inputs for name in graph.inputs[index].names())
        edit.inputs = [one for index, one in enumerate(edit.inputs) if index not in inputs]
        signature, calls = self._signature, self._calls
        if gone:
            signature = msgspec.structs.replace(
                signature,
                input_specs=[one for at, one in enumerate(signature.input_specs) if at not in inputs],
                output_specs=[one for at, one in enumerate(self._specs) if at not in gone],
            )
        results = [index for index in gone if self._specs[index].user_output is not None]
        if results:
            names = {name for index in results for name in graph.outputs[index].names()}
            calls = [self._without_results(entry, results, names) if entry.fqn == "" else entry for entry in calls]
        return with_graph(self._program, edit.finish(), signature=signature, module_call_graph=calls), buffers

    def _without_results(self, entry: ModuleCallEntry, results: list[int], names: set[str]) -> ModuleCallEntry:
        signature = entry.signature
        if signature is None:
            return entry
        version, spec = read_structure(signature.out_spec)
        places = [self._leaf(index, spec) for index in results]
        for leaf in sorted((place for place in places if place is not None), reverse=True):
            spec = _without_leaf(spec, leaf) or spec
        outputs = [one for one in signature.outputs if _name_of(one) not in names]
        changed = msgspec.structs.replace(signature, out_spec=json.dumps([version, spec]), outputs=outputs)
        return ModuleCallEntry(entry.fqn, changed)


class _Rebuilding:
    """The graphs without the chains that go."""

    def __init__(self, chains: _Chains, dialect: Dialect) -> None:
        self._chains = chains
        self._dialect = dialect

    def edit(self, graph: Graph) -> GraphEdit:
        """The graph with plain checks; its inputs and outputs are those of before."""
        edit = GraphEdit(graph)
        edit.forget([name for name in graph.tensor_values if self._chains.goes(graph, name)])
        functional = plain_checks()
        for node in graph.nodes:
            touched = any(self._chains.goes(graph, name) for name in node.results())
            if touched and node.target in functional:
                edit.nodes.append(self._plain(node, edit, functional[node.target]))
            elif touched and (node.target == MAKE or node.target in _COPIES):
                continue
            elif node.subgraphs():
                edit.nodes.append(self._call(node, graph))
            else:
                edit.nodes.append(node)
        return edit

    def _plain(self, node: Node, edit: GraphEdit, target: str) -> Node:
        bare = _is_bare(node)
        optional = required_operands(node.target)
        inputs: list[NamedArgument] = []
        for operand in node.inputs:
            if operand.name == TOKEN or (bare and operand.name == "assert_msg"):
                continue
            if operand.name not in optional:
                inputs.append(operand)
            elif operand.arg.kind != "as_none":  # twins need bounds that there are none of, checks do not
                # Bounds are positional in the twin's schema and keywords in the check's.
                inputs.append(self._dialect.operand(operand.name, operand.arg, keyword=True))
        target = BARE if bare else target
        name = edit.claim(note(node, NAME) or _stem(target)) if node.name else node.name
        return changed_node(without_notes(node), target=target, inputs=inputs, outputs=[], name=name)

    def _call(self, node: Node, graph: Graph) -> Node:
        """A node that calls graphs, with its tokens gone; the same object where nothing of it goes."""
        call = call_of(node)
        single = note(node, SINGLE) is not None
        taken = any(self._chains.goes(graph, name) for name in node.results())
        graphs: dict[int, Graph] = {}
        for position, operand in enumerate(node.inputs):
            reference = operand.arg.as_graph
            inner = self._graph(reference.graph, single=single and taken) if reference is not None else None
            if reference is not None and inner is not None and inner is not reference.graph:
                graphs[position] = inner
        inputs = with_graphs(node, graphs)
        if call is not None and call.rule.carries:
            self._take_back(call, inputs, graph)
        if taken:
            name = note(node, NAME) if single else None
            fields = self._results(node, graph, single=single)
            if name is not None and name in node.results():
                fields["name"] = name
            return changed_node(without_notes(node), inputs=inputs, **fields)
        changed = len(inputs) != len(node.inputs) or any(
            new is not old for new, old in zip(inputs, node.inputs, strict=True)
        )
        return changed_node(node, inputs=inputs) if changed else node

    def _graph(self, graph: Graph, *, single: bool) -> Graph:
        edit = self.edit(graph)
        edit.inputs = [one for one in graph.inputs if not self._goes(graph, one)]
        edit.outputs = [one for one in graph.outputs if not self._goes(graph, one)]
        same = all(new is old for new, old in zip(edit.nodes, graph.nodes, strict=False))
        if (
            same
            and len(edit.nodes) == len(graph.nodes)
            and len(edit.inputs) == len(graph.inputs)
            and len(edit.outputs) == len(graph.outputs)
        ):
            return graph
        if len(edit.outputs) == len(graph.outputs) or not single:
            return edit.finish()
        return edit.finish(is_single_tensor_return=True)

    def _goes(self, graph: Graph, argument: Argument) -> bool:
        return any(self._chains.goes(graph, name) for name in argument.names())

    def _take_back(self, call: GraphCall, inputs: list[NamedArgument], graph: Graph) -> None:
        """Take the tokens out of a calling node's operands."""
        for position in reversed(call.places):
            argument = call.node.inputs[position].arg
            if not self._goes(graph, argument):
                continue
            if argument.as_tensors is None:
                del inputs[position]
                continue
            left = [one.name for one in argument.as_tensors if not self._chains.goes(graph, one.name)]
            symbolic = bool(left) and all(name in graph.sym_int_values for name in left)
            # Operands that are symbols, every one, are a list of their own kind.
            symbols = of_kind("as_sym_ints", [SymRef(as_name=name) for name in left])
            inputs[position] = with_operand(inputs[position], symbols if symbolic else tensors(left))

    def _results(self, node: Node, graph: Graph, *, single: bool) -> dict[str, Any]:
        outputs: list[Argument] = []
        for output in node.outputs:
            group = output.as_tensors
            if group is None:
                outputs += [] if self._goes(graph, output) else [output]
                continue
            left = [one.name for one in group if not self._chains.goes(graph, one.name)]
            outputs += [tensors(left)] if left else []
        if self._dialect.single_return_flag:
            return {"outputs": outputs, "is_hop_single_tensor_return": single and len(outputs) == 1}
        if not single and len(outputs) == 1 and outputs[0].as_tensor is not None:
            outputs = [tensors(outputs[0].names())]  # a tuple of one, as torch 2.6 and earlier write it
        return {"outputs": outputs}


def _is_bare(node: Node) -> bool:
    """Whether a functional check was made from ``_assert_async.default``: the token pass gives it the message that
    this one raises, as a keyword; torch's exporter writes messages without.
    """
    operand = next((one for one in node.inputs if one.name == "assert_msg"), None)
    if operand is None or node.target != check_twins()[BARE]:
        return False
    return operand.arg.as_string == BARE_MESSAGE and operand.arg_kind in (None, KEYWORD)


def _flat(outputs: list[Argument]) -> list[str | None]:
    """The results of a calling node, one by one; None for what has no name."""
    names: list[str | None] = []
    for output in outputs:
        names.extend(output.names() or ([] if output.as_tensors is not None else [None]))
    return names


def _name_of(argument: Argument) -> str | None:
    return next(iter(argument.names()), None)


def _reads(node: Node, name: str) -> str:
    return f"{node.op} (node %{node.label}) reads the token %{name}"


def _stem(target: str) -> str:
    """How torch names a node of this op: ``_assert_async``, ``_assert_scalar_default``."""
    _, name, overload = target.rsplit(".", 2)
    return name if name == "_assert_async" else f"{name}_{overload}"


def _without_leaf(spec: Json, leaf: int) -> Json | None:
    """A structure without one of its leaves, a direct member of a tuple or list; None where it is none.

    ``(result, token)`` becomes the bare result: that is what the token pass made a pair of.
    """
    if spec["type"] not in ("builtins.tuple", "builtins.list"):
        return None
    children: list[Json] = spec["children_spec"]
    position = 0
    for index, child in enumerate(children):
        count = leaves(child)
        if position == leaf and child["type"] is None:
            if spec["type"] == "builtins.tuple" and len(children) == 2 and index == 1:
                return children[0]
            return {**spec, "children_spec": [*children[:index], *children[index + 1 :]]}
        if position <= leaf < position + count:
            return None
        position += count
    return None
