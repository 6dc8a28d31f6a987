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

import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Any, Final

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.ir.decode import OLDEST_MAJOR
from graphlint.ir.document import Document
from graphlint.ir.edit import (
    KEYWORD,
    Dialect,
    GraphEdit,
    changed_node,
    tensors,
    with_edited_graphs,
    with_graph,
    with_operand,
)
from graphlint.ir.model import Argument, Graph, ModuleCallEntry, NamedArgument, Node, OutputSpec, Program, SymRef
from graphlint.ir.structure import Json, leaves, read_structure
from graphlint.ops.info import TOKEN
from graphlint.ops.table import check_twins, op_of, role_of
from graphlint.passes.tokens import BARE_MESSAGE, NAME, SINGLE, required_operands
from graphlint.semantics.checks import OF_NO_SYMBOL, checks_number
from graphlint.semantics.sites import GraphCall, call_of, value_list

_COPIES: Final = ("copy", "detach", "alias")
"""Roles of the ops that hand a token on."""

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
    checks = [(each, chains.found[token].obstacle) for token, each in chains.checks]
    restored = tuple(each for each, obstacle in checks if obstacle is None)
    kept = tuple(msgspec.structs.replace(each, reason=obstacle) for each, obstacle in checks if obstacle is not None)
    if not restored:
        return Restoration(program, (), (), kept)
    # A chain without any check in it is left alone.
    gone = frozenset(key for key, chain in chains.found.items() if chain.has_check and chain.obstacle is None)
    edit = _Rebuilding(gone, Dialect.of(program.graph)).edit(program.graph)
    changed, buffers = ends.take_away(edit, gone)
    return Restoration(changed, buffers, restored, kept, gone)


@cache
def _plain_checks() -> Mapping[str, str]:
    """A functional check's target to the plain one's."""
    return {twin: check for check, twin in check_twins().items() if check != op_of("assert").target}


class _Chain:
    """Tokens that hang together."""

    def __init__(self, token: Key) -> None:
        self.tokens = [token]
        self.has_check = False
        self.obstacle: str | None = None
        """Why the chain stays: the first reason counts."""


class _Chains:
    """Which values are tokens, and which of them hang together."""

    def __init__(self) -> None:
        self.found: dict[Key, _Chain] = {}
        """The chain of each token."""
        self.checks: list[tuple[Key, Check]] = []
        """The functional checks in program order, each with its token."""

    def holds(self, graph: Graph, name: str | None) -> bool:
        """Whether the value is a token."""
        return name is not None and (id(graph), name) in self.found

    def chain(self, token: Key) -> _Chain:
        """The chain of a token, of a new one too."""
        return self.found.setdefault(token, _Chain(token))

    def join(self, left: Key, right: Key) -> None:
        """These two tokens hang together."""
        one, other = self.chain(left), self.chain(right)
        if one is other:
            return
        one.obstacle = other.obstacle = one.obstacle or other.obstacle
        one.has_check = other.has_check = one.has_check or other.has_check
        larger, smaller = (one, other) if len(one.tokens) >= len(other.tokens) else (other, one)
        larger.tokens += smaller.tokens
        self.found.update(dict.fromkeys(smaller.tokens, larger))

    def refuse(self, graph: Graph, name: str | None, reason: str | None) -> None:
        """The chain stays that this value belongs to, if it is a token and there is a reason."""
        if name is not None and (chain := self.found.get((id(graph), name))) is not None:
            chain.obstacle = chain.obstacle or reason

    def follow(self, graph: Graph, path: tuple[str, ...]) -> None:
        """Find the tokens of a graph, those among its inputs being known, and of the graphs that it calls."""
        for node in graph.nodes:
            role = role_of(node.target)
            source = next(iter(node.reads()), None) if role in _COPIES else None
            if role == "make-token":
                for name in node.results():
                    self.chain((id(graph), name))
            elif node.target in _plain_checks():
                self._check(node, graph, path)
            elif source is not None and self.holds(graph, source):
                for name in node.results():
                    self.join((id(graph), source), (id(graph), name))
            else:
                call = call_of(node)
                if call is None or not call.rule.carries or not self._hand_over(call, graph, path):
                    self._refuse_reads(node, node.inputs, graph)
                    self._follow_called(node, path)

    def _check(self, node: Node, graph: Graph, path: tuple[str, ...]) -> None:
        results = node.results()
        if len(results) != 1:  # not what any schema says: nothing to go by
            return
        token = (id(graph), results[0])
        self.chain(token).has_check = True
        self.checks.append((token, Check(node.label, path, node.target, _plain(node))))
        if checks_number(node, role_of(_plain(node))):
            self.refuse(graph, results[0], f"{node.op} (node %{node.label}) {OF_NO_SYMBOL}")
        for operand in node.inputs:
            if operand.name == TOKEN:
                for name in operand.arg.names():
                    if self.holds(graph, name):
                        self.join((id(graph), name), token)
            else:
                self._refuse_reads(node, [operand], graph)

    def _refuse_reads(self, node: Node, operands: Iterable[NamedArgument], graph: Graph) -> None:
        """These operands have no business with tokens."""
        for operand in operands:
            for name in operand.arg.names():
                self.refuse(graph, name, f"{node.op} (node %{node.label}) reads the token %{name}")

    def _follow_called(self, node: Node, path: tuple[str, ...], returning: Sequence[Graph] = ()) -> None:
        """Follow the graphs that a node calls. Only those that are ``returning`` may return a token."""
        for reference in node.subgraphs():
            self.follow(reference.graph, (*path, node.caller_label, reference.name))
            if not any(reference.graph is one for one in returning):
                for name in (name for output in reference.graph.outputs for name in output.names()):
                    reason = f"a graph that {node.caller_label} calls returns the token %{name}"
                    self.refuse(reference.graph, name, reason)

    def _hand_over(self, call: GraphCall, graph: Graph, path: tuple[str, ...]) -> bool:
        """Follow a node that hands tokens on into the graphs it calls, and takes them back; False for other nodes."""
        node, graphs, given, returning = call.node, call.graphs.values(), call.operands, call.returning
        outputs = [name for output in node.outputs for name in value_list(output)]
        taken, returned = {len(one.inputs) for one in graphs}, {len(one.outputs) for one in returning}
        if taken != {len(given)} or returned != {len(outputs)}:
            return False
        passed = {
            place
            for place in call.places
            if place not in call.rule.lists or node.inputs[place].arg.as_tensors is not None
        }
        self._refuse_reads(node, [one for place, one in enumerate(node.inputs) if place not in passed], graph)
        for index, value in enumerate(given):
            for one in graphs if value is not None and self.holds(graph, value) else ():
                inner = _name_of(one.inputs[index])
                if inner is not None:
                    self.join((id(graph), str(value)), (id(one), inner))
        self._follow_called(node, path, returning)
        for index, result in enumerate(outputs):
            names = [(one, _name_of(one.outputs[index])) for one in returning]
            tokens = [(id(one), str(name)) for one, name in names if self.holds(one, name)]
            if result is not None and len(tokens) == len(returning):
                for token in tokens:
                    self.join((id(graph), result), token)
                continue
            for one, name in names:
                self.refuse(one, name, f"not every branch of {node.caller_label} returns a token there")
        # What a loop carries is a token on the way in and on the way out, or neither.
        for value, result in zip(given[: call.returned], outputs, strict=False) if call.rule.repeats else ():
            if self.holds(graph, value) != self.holds(graph, result):
                reason = f"{node.caller_label} carries a token where it was given none, or takes one and carries none"
                self.refuse(graph, value if self.holds(graph, value) else result, reason)
        return True


class _Ends:
    """Where the chains leave the program: its signature, and the recorded structure of its result."""

    def __init__(self, program: Program, chains: _Chains) -> None:
        """Refuses the chains whose ends cannot be taken away."""
        self._program = program
        self._chains = chains
        self._graph = program.graph
        self._signature = program.graph_module.signature
        self._calls = program.graph_module.module_call_graph
        self._root = next((one.signature for one in self._calls if one.fqn == "" and one.signature is not None), None)
        self._specs: list[OutputSpec] = self._signature.output_specs
        self._buffers: dict[int, int] = {}
        """Of mutation outputs that are tokens: the buffer's input."""
        for index, output in enumerate(self._graph.outputs):
            for name in output.names():
                if chains.holds(self._graph, name):
                    chains.refuse(self._graph, name, self._obstacle(index, name))
        for entry in self._calls:
            signature = entry.signature if entry.fqn else None
            for argument in (*signature.inputs, *signature.outputs) if signature is not None else ():
                chains.refuse(self._graph, _name_of(argument), f"the signature of module {entry.fqn!r} names it")

    def _obstacle(self, index: int, name: str) -> str | None:
        if self._program.schema[0] <= OLDEST_MAJOR:
            return "torch 2.1 wrote this file, whose signature graphlint does not edit"
        spec = self._specs[index]
        if spec.token is not None:
            return None
        if spec.buffer_mutation is not None:
            return self._buffer_obstacle(index, name, str(spec.buffer_mutation.buffer_name))
        if spec.user_output is not None:
            return self._structure_obstacle(index)
        return f"the program returns the token %{name} as a {spec.kind}"

    def _buffer_obstacle(self, index: int, name: str, buffer: str) -> str | None:
        given = ((place, spec.buffer) for place, spec in enumerate(self._signature.input_specs))
        held = {str(one.buffer_name): (place, one.persistent) for place, one in given if one is not None}
        if buffer not in held:
            return f"the token %{name} is written to {buffer!r}, which is no buffer of the program"
        place, persistent = held[buffer]
        if persistent is not False:
            return f"the token %{name} is written to the persistent buffer {buffer!r}, which is part of the state"
        value = _name_of(self._graph.inputs[place])
        for node in self._graph.nodes:
            for operand in node.inputs:
                if value not in operand.arg.names():
                    continue
                if node.target not in _plain_checks() or operand.name != TOKEN:
                    return f"{node.op} (node %{node.label}) reads buffer {buffer!r}, which the token is written to"
                for result in node.results():  # a chain that begins in the buffer in which it ends
                    self._chains.join((id(self._graph), name), (id(self._graph), result))
        if any(value in output.names() for output in self._graph.outputs):
            return f"the program returns buffer {buffer!r}, which the token is written to"
        self._buffers[index] = place
        return None

    def _structure_obstacle(self, index: int) -> str | None:
        """Why the recorded structure of the result cannot do without the output, or None."""
        if self._root is None:
            return None
        try:
            _, spec = read_structure(self._root.out_spec)
        except ProgramError as error:
            return str(error)
        leaf = self._leaf(index)
        if leaf >= leaves(spec) or _without_leaf(spec, leaf) is not None:
            return None
        return "the token is part of the result's structure, and not as a member of a tuple or list"

    def _leaf(self, index: int) -> int:
        """Which leaf of the result's structure an output is, where the structure has a place for it."""
        return sum(one.kind in ("user_output", "loss_output") for one in self._specs[:index])

    def take_away(self, edit: GraphEdit, gone: AbstractSet[Key]) -> tuple[Program, tuple[str, ...]]:
        """The program without the ends of the chains that are gone, ``edit`` being its root graph without their tokens;
        the buffers that went.
        """
        graph, calls = self._graph, self._calls
        names = {name for identity, name in gone if identity == id(graph)}
        ends = [index for index, one in enumerate(graph.outputs) if not names.isdisjoint(one.names())]
        inputs = {self._buffers[index] for index in ends if index in self._buffers}
        mutations = (self._specs[index].buffer_mutation for index in ends if index in self._buffers)
        buffers = tuple(str(one.buffer_name) for one in mutations if one is not None)
        edit.forget(name for index in inputs for name in graph.inputs[index].names())
        edit.inputs = [one for index, one in enumerate(edit.inputs) if index not in inputs]
        input_specs = [one for at, one in enumerate(self._signature.input_specs) if at not in inputs]
        output_specs = [one for at, one in enumerate(self._specs) if at not in ends]
        results = [index for index in ends if self._specs[index].user_output is not None]
        if results and self._root is not None:
            version, spec = read_structure(self._root.out_spec)
            for index in reversed(results):
                spec = _without_leaf(spec, self._leaf(index)) or spec
            returned = {name for index in results for name in graph.outputs[index].names()}
            outputs = [one for one in self._root.outputs if _name_of(one) not in returned]
            root = msgspec.structs.replace(self._root, out_spec=json.dumps([version, spec]), outputs=outputs)
            calls = [ModuleCallEntry(one.fqn, root) if one.signature is self._root else one for one in calls]
        changed = edit.finish()
        program = with_graph(self._program, changed, input_specs=input_specs, output_specs=output_specs, calls=calls)
        return program, buffers


class _Rebuilding:
    """The graphs without the tokens that go."""

    def __init__(self, gone: AbstractSet[Key], dialect: Dialect) -> None:
        self._gone = gone
        self._touched = {graph for graph, _ in gone}
        self._dialect = dialect

    def edit(self, graph: Graph) -> GraphEdit:
        """The graph with plain checks, and without tokens among its inputs and outputs."""
        edit = GraphEdit(graph)
        edit.forget([name for name in graph.tensor_values if self._goes(graph, name)])
        edit.inputs = [one for one in graph.inputs if not self._goes(graph, *one.names())]
        edit.outputs = [one for one in graph.outputs if not self._goes(graph, *one.names())]
        for node in graph.nodes:
            taken = self._goes(graph, *node.results())
            if taken and node.target in _plain_checks():
                edit.nodes.append(self._check(node, edit))
            elif not (taken and role_of(node.target) in ("make-token", *_COPIES)):
                edit.nodes.append(self._call(node, graph, taken=taken) if node.subgraphs() else node)
        return edit

    def _goes(self, graph: Graph, *names: str) -> bool:
        """Whether one of the values is a token that goes."""
        return any((id(graph), name) in self._gone for name in names)

    def _check(self, node: Node, edit: GraphEdit) -> Node:
        """The plain check."""
        bare = _is_bare(node)
        optional = required_operands(node.target)
        inputs: list[NamedArgument] = []
        for operand in node.inputs:
            if operand.name == TOKEN or (bare and operand.name == "assert_msg"):
                continue
            if operand.name not in optional:
                # What is checked, torch loads by position only.
                inputs.append(operand if inputs else self._dialect.operand(operand.name, operand.arg))
            elif operand.arg.kind != "as_none":  # twins need bounds that there are none of, checks do not
                # Bounds are positional in the twin's schema and keywords in the check's.
                inputs.append(self._dialect.operand(operand.name, operand.arg, keyword=True))
        target = _plain(node)
        # torch names a node of the op so: ``_assert_async``, ``_assert_scalar_default``.
        _, packet, overload = target.rsplit(".", 2)
        stem = packet if role_of(target) in ("assert", "assert-message") else f"{packet}_{overload}"
        noted = node.metadata.get(NAME, "")  # by whoever wrote the file
        name = edit.claim(noted if noted.isidentifier() else stem) if node.name else node.name
        return changed_node(_without_notes(node), target=target, inputs=inputs, outputs=[], name=name)

    def _call(self, node: Node, graph: Graph, *, taken: bool) -> Node:
        """A node that calls graphs, with its tokens gone, those that it returns if any are ``taken``; the same object
        where nothing of it goes.
        """
        call, single = call_of(node), SINGLE in node.metadata
        inputs = list(with_edited_graphs(node, lambda inner: self._called(inner, single=single and taken)))
        for place in reversed(call.places) if call is not None and call.rule.carries else ():
            operand = inputs[place]
            left = self._left(operand.arg, graph)
            if left is None:
                del inputs[place]
            elif left is not operand.arg:
                inputs[place] = with_operand(operand, left)
        if not taken:
            return node if [*map(id, inputs)] == [*map(id, node.inputs)] else changed_node(node, inputs=inputs)
        kept = (self._left(output, graph) for output in node.outputs)
        outputs = [output for output in kept if output is not None and output.as_tensors != []]
        fields: dict[str, Any] = {"inputs": inputs, "outputs": outputs}
        if self._dialect.single_return_flag:
            fields["is_hop_single_tensor_return"] = single and len(outputs) == 1
        elif not single and len(outputs) == 1 and outputs[0].as_tensor is not None:
            fields["outputs"] = [tensors(outputs[0].names())]  # a tuple of one, as torch 2.6 and earlier write it
        name = node.metadata.get(NAME)
        if single and name in node.results():
            fields["name"] = name
        return changed_node(_without_notes(node), **fields)

    def _called(self, graph: Graph, *, single: bool) -> Graph:
        """A called graph, which returns a tensor instead of a tuple of one if it is ``single``; the same object where
        nothing of it goes.
        """
        edit = self.edit(graph)
        if id(graph) not in self._touched and all(new is old for new, old in zip(edit.nodes, graph.nodes, strict=True)):
            return graph
        bare = single and len(edit.outputs) < len(graph.outputs)
        return edit.finish(is_single_tensor_return=True) if bare else edit.finish()

    def _left(self, argument: Argument, graph: Graph) -> Argument | None:
        """What is left of an argument: the same object where nothing of it goes, None where all of it does."""
        if not self._goes(graph, *argument.names()):
            return argument
        if argument.as_tensors is None:
            return None
        left = [one.name for one in argument.as_tensors if not self._goes(graph, one.name)]
        if left and all(name in graph.sym_int_values for name in left):
            # Operands that are symbols, every one, are a list of their own kind.
            return Argument(as_sym_ints=[SymRef(as_name=name) for name in left])
        return tensors(left)


def _plain(node: Node) -> str:
    """The target of the plain check that a functional one was made from."""
    return op_of("assert").target if _is_bare(node) else _plain_checks()[node.target]


def _is_bare(node: Node) -> bool:
    """Whether a functional check was made from ``_assert_async.default``: the token pass gives it the message that
    this one raises, as a keyword; torch's exporter writes messages without.
    """
    operand = next((one for one in node.inputs if one.name == "assert_msg"), None)
    if operand is None or node.target != check_twins()[op_of("assert").target]:
        return False
    return operand.arg.as_string == BARE_MESSAGE and operand.arg_kind in (None, KEYWORD)


def _without_notes(node: Node) -> Node:
    """The node as it was before anything was noted."""
    if NAME not in node.metadata and SINGLE not in node.metadata:
        return node
    return changed_node(node, metadata={k: value for k, value in node.metadata.items() if k not in (NAME, SINGLE)})


def _name_of(argument: Argument) -> str | None:
    return next(iter(argument.names()), None)


def _without_leaf(spec: Json, leaf: int) -> Json | None:
    """A structure without one of its leaves, a direct member of a tuple or list; None where it is none.

    ``(result, token)`` becomes the bare result: that is what the token pass made a pair of.
    """
    if spec["type"] not in ("builtins.tuple", "builtins.list"):
        return None
    children: list[Json] = spec["children_spec"]
    position = 0
    for index, child in enumerate(children):
        if position == leaf and child["type"] is None:
            if spec["type"] == "builtins.tuple" and len(children) == 2 and index == 1:
                return children[0]
            return {**spec, "children_spec": [*children[:index], *children[index + 1 :]]}
        position += leaves(child)
    return None
