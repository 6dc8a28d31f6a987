"""Runtime checks become data flow: each check takes a dependency token and returns the next one.

::

    before                                       after
    aten._assert_async.msg(%ok, "x too small")   %dep_token0 = aten._make_dep_token.default()
    %y = aten.add.Tensor(%x, 3)                  %dep_token1 = aten._functional_assert_async.msg(%ok, "x too small", …)
    return %y                                    %y = aten.add.Tensor(%x, 3)
                                                 return buffer "dep_token" <- %dep_token1, %y

Cases:

1. a check becomes its functional twin (a fact about the op), with its own metadata;
2. a subgraph that holds checks gets the token as one more input and returns it as one more result; the calling
   node hands it in and takes it back. All branches of ``cond`` take and return it, those without checks too; the
   body of ``while_loop`` and what ``scan`` combines carry it, a condition takes it and ignores it; regions pass it
   through. Branches and bodies return a clone of it: torch refuses those whose results alias their inputs, and the
   meta functions of the twins (which ``run_decompositions`` goes by) return the very token that they were given. What
   they hand back is detached: autograd differentiates such an op as a whole, which makes its token seem to depend on
   what requires grad, and the twins have no derivative;
3. the root graph's last token goes into a non-persistent buffer (sink ``buffer``) or becomes one more result of
   the program (sink ``output``).

Checks that have no way out for a token are left as they are; :func:`graphlint.semantics.checks.token_obstacle`
says why.

Source of the shape of the result:
``torch/_export/passes/functionalize_side_effectful_ops_pass.py``, whose docstring shows the same rewrite. The
sink is graphlint's own: stock torch runs neither an output without a place in the out_spec nor a TOKEN output.
"""

import json
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Final

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.ir.edit import (
    Dialect,
    GraphEdit,
    changed_node,
    scalar_meta,
    tensor,
    with_graph,
    with_graphs,
    with_operand,
)
from graphlint.ir.model import (
    Argument,
    Graph,
    InputSpec,
    ModuleCallEntry,
    NamedArgument,
    Node,
    OutputSpec,
    Program,
    Spec,
    TensorRef,
)
from graphlint.ir.structure import LEAF, leaves, pair, read_structure
from graphlint.ops.info import TOKEN, Role
from graphlint.ops.table import check_twins, op_of, op_table
from graphlint.semantics.sites import GraphCall, Site, call_of, value_list

BARE_MESSAGE: Final = "Expected Tensor with single nonzero value, but got zero"
"""What the check without a message raises (``aten/src/ATen/native/TensorCompare.cpp``)."""
NAME: Final = "graphlint.name"
"""Noted in a node's metadata, so that restoring gives back exactly what was there: its own name (files of torch 2.11
and later). A check that has a result is named after its token, and a calling node that returned one bare tensor, whose
name it had, can't be called that any more when it returns two. Readers of a program ignore metadata that they do not
know, and torch does not save it again: restoring does without it then, with a name and a form that mean the same."""
SINGLE: Final = "graphlint.single_return"
"""Noted, too: a calling node returned one bare tensor, no tuple of one."""


class Functionalized(msgspec.Struct, frozen=True):
    """What the pass made."""

    program: Program
    buffer: str | None
    """Qualified name of the new non-persistent buffer: a 0-dimensional float32 zero; None for sink ``output``."""


def functionalize_checks(program: Program, sites: Iterable[Site], sink: str) -> Functionalized:
    """Replace the checks at ``sites`` by their functional twins, chained by a token.

    Every site must be a check with a twin for which nothing is in the way; there is at least one.
    """
    selected = list(sites)
    chosen = {id(site.node) for site in selected}
    carriers = {id(caller.node) for site in selected for caller in site.scope.callers()}
    threading = _Threading(chosen | carriers, carriers, Dialect.of(program.graph))
    edit = GraphEdit(program.graph)
    last = threading.run(edit, None)
    if sink == "output":
        return Functionalized(_to_output(program, edit, last), None)
    return _to_buffer(program, edit, last)


def required_operands(target: str) -> list[str]:
    """The operands that a functional check needs although the plain one may leave them out."""
    op = op_table().lookup(target)
    arguments = op.schema.arguments if op is not None and op.schema is not None else ()
    return [one.name for one in arguments if one.default is None and one.type.endswith("?")]


class _Threading:
    """The chain through one program."""

    def __init__(self, affected: set[int], carriers: set[int], dialect: Dialect) -> None:
        self._affected = affected
        self._carriers = carriers
        self._dialect = dialect

    def run(self, edit: GraphEdit, token: str | None) -> str:
        """Copy the graph's nodes into ``edit`` with the chain in them; the last token.

        ``token`` is the one that the graph was handed; the root starts with None and makes its own.
        """
        for node in edit.graph.nodes:
            if id(node) not in self._affected:
                edit.nodes.append(node)
                continue
            if token is None:
                token = self._apply("make-token", [], edit, _place(node))
            token = self._carry(node, token, edit) if id(node) in self._carriers else self._check(node, token, edit)
        if token is None:
            raise AssertionError("a graph was threaded that holds no check")
        return token

    def _token(self, edit: GraphEdit) -> str:
        name = edit.fresh(TOKEN)
        edit.record(name, scalar_meta())
        return name

    def _apply(self, role: Role, given: list[str], edit: GraphEdit, metadata: dict[str, str]) -> str:
        """The token that an op makes, which takes another one or nothing."""
        result = self._token(edit)
        operands = [self._dialect.operand("self", tensor(token)) for token in given]
        edit.nodes.append(self._dialect.node(op_of(role).target, operands, [tensor(result)], result, metadata))
        return result

    def _check(self, node: Node, token: str, edit: GraphEdit) -> str:
        """The functional twin of a check; the token that it makes."""
        result = self._token(edit)
        target = check_twins()[node.target]
        inputs = list(node.inputs)
        if node.target == op_of("assert").target:
            inputs.append(self._dialect.operand("assert_msg", Argument(as_string=BARE_MESSAGE), keyword=True))
        inputs += [
            self._dialect.operand(name, Argument(as_none=True), keyword=True)
            for name in required_operands(target)
            if node.input(name) is None
        ]
        inputs.append(self._dialect.operand(TOKEN, tensor(token), keyword=True))
        name = result if node.name else node.name
        edited = changed_node(node, target=target, inputs=inputs, outputs=[tensor(result)], name=name)
        edit.nodes.append(noted(edited, NAME, node.name) if node.name else edited)
        return result

    def _carry(self, node: Node, token: str, edit: GraphEdit) -> str:
        """A calling node with the token handed in, threaded through its graphs, and taken back; the one taken back."""
        call, result = call_of(node), self._token(edit)
        if call is None:
            raise AssertionError(f"no calling convention for {node.target}")
        returning = {call.rule.graphs[index] for index in call.rule.results_of}
        copied = _place(node) if call.rule.fresh_results else None
        graphs = {
            position: self._threaded(graph, call, copied, returns=position in returning)
            for position, graph in call.graphs.items()
        }
        inputs = _hand_in(with_graphs(node, graphs), call, token, self._dialect)
        edited = changed_node(node, inputs=inputs, **self._dialect.returning_also(node, [result], call.returned))
        if _returns_bare_tensor(node):
            edited = noted(edited, SINGLE, "true")
            if node.name in node.results():
                # A node of one result is called what the result is; of two, what the one taken out of it is.
                edited = changed_node(noted(edited, NAME, str(node.name)), name=edit.claim(node.caller_label))
        edit.nodes.append(edited)
        return self._apply("detach", [result], edit, _place(node)) if call.rule.fresh_results else result

    def _threaded(self, graph: Graph, call: GraphCall, copied: dict[str, str] | None, *, returns: bool) -> Graph:
        """A graph that takes the token; and where it ``returns`` results, hands it through its checks, if it has any,
        and returns it, or a copy of it with the metadata ``copied``, where torch takes no aliases.
        """
        edit = GraphEdit(graph)
        token = self._token(edit)
        edit.inputs.insert(call.carried, tensor(token))
        if not returns:
            return edit.untouched()
        last = self.run(edit, token)
        if copied is not None:
            last = self._apply("copy", [last], edit, copied)
        edit.outputs.insert(len(edit.outputs) if call.returned is None else call.returned, tensor(last))
        return edit.finish(is_single_tensor_return=False)


def noted(node: Node, key: str, value: str) -> Node:
    """The node with one more entry in its metadata."""
    return changed_node(node, metadata={**node.metadata, key: value})


def _returns_bare_tensor(node: Node) -> bool:
    """Whether a calling node returns a tensor, not a tuple of one: files of torch 2.7 and later say so, earlier ones
    write a tuple of one as a list.
    """
    bare = len(node.outputs) == 1 and node.outputs[0].as_tensor is not None
    return bare and node.is_hop_single_tensor_return is not False


def _place(node: Node) -> dict[str, str]:
    """Metadata of a new node that goes with another one: it belongs to the same module.

    ``torch.export.unflatten`` refuses nodes that belong to none, and one of another module amid those of a module
    would make it two calls.
    """
    stack = node.metadata.get("nn_module_stack")
    return {"nn_module_stack": stack} if stack else {}


def _hand_in(inputs: list[NamedArgument], call: GraphCall, token: str, dialect: Dialect) -> list[NamedArgument]:
    """A calling node's operands with the token among them, after those that a loop carries."""
    inputs = list(inputs)
    rule = call.rule
    if rule.lists:
        operand = inputs[rule.lists[0]]
        held = operand.arg.as_tensors or [TensorRef(name) for name in value_list(operand.arg) if name is not None]
        inputs[rule.lists[0]] = with_operand(operand, Argument(as_tensors=[*held, TensorRef(token)]))
    else:
        inputs.insert((rule.rest or 0) + call.carried, dialect.operand("", tensor(token)))
    return inputs


def _to_buffer(program: Program, edit: GraphEdit, last: str) -> Functionalized:
    """End the chain in a non-persistent buffer: one more input, and the last token is written to it."""
    signature = program.graph_module.signature
    input_specs, output_specs = list(signature.input_specs), list(signature.output_specs)
    buffer = _free_buffer_name(program)
    value = edit.claim(f"b_{TOKEN}")
    edit.record(value, scalar_meta())
    place = _first(input_specs, ("user_input", "constant_input"))
    edit.inputs.insert(place, tensor(value))
    spec = Spec(arg={"name": value}, buffer_name=buffer, persistent=False)
    input_specs.insert(place, InputSpec(buffer=spec))
    place = _first(output_specs, ("user_output", "loss_output", "gradient_to_parameter", "gradient_to_user_input"))
    edit.outputs.insert(place, tensor(last))
    output_specs.insert(place, OutputSpec(buffer_mutation=Spec(arg={"name": last}, buffer_name=buffer)))
    changed = with_graph(program, edit.finish(), input_specs=input_specs, output_specs=output_specs)
    return Functionalized(changed, buffer)


def _to_output(program: Program, edit: GraphEdit, last: str) -> Program:
    """End the chain in one more result of the program, which then returns ``(result, token)``."""
    module = program.graph_module
    edit.outputs.append(tensor(last))
    spec = OutputSpec(user_output=Spec(arg=msgspec.to_builtins(tensor(last))))
    specs = [*module.signature.output_specs, spec]
    results = sum(one.kind in ("user_output", "loss_output") for one in module.signature.output_specs)
    calls = [_with_token(entry, last, results) if entry.fqn == "" else entry for entry in module.module_call_graph]
    return with_graph(program, edit.finish(), output_specs=specs, calls=calls)


def _with_token(entry: ModuleCallEntry, last: str, results: int) -> ModuleCallEntry:
    """What is recorded of how the program is called, with a token behind its results. Raises ProgramError."""
    signature = entry.signature
    if signature is None:
        return entry
    version, spec = read_structure(signature.out_spec)
    if leaves(spec) != results:
        raise ProgramError(f"the structure of the program's result has {leaves(spec)} leaves for {results} outputs")
    out_spec = [version, pair(spec, LEAF)]
    outputs = [*signature.outputs, tensor(last)] if signature.outputs else signature.outputs
    changed = msgspec.structs.replace(signature, out_spec=json.dumps(out_spec), outputs=outputs)
    return ModuleCallEntry(entry.fqn, changed)


def _free_buffer_name(program: Program) -> str:
    """A name at the module's root that no parameter, buffer, constant or submodule has."""
    module, kinds = program.graph_module, ("parameter", "buffer", "tensor_constant", "custom_obj")
    names = [entry.fqn for entry in module.module_call_graph]
    names += [str(spec.target) for spec in module.signature.input_specs if spec.kind in kinds]
    taken = {name.partition(".")[0] for name in names}
    free = (f"{TOKEN}_{number}" for number in count(1))
    return TOKEN if TOKEN not in taken else next(name for name in free if name not in taken)


def _first(specs: Sequence[InputSpec | OutputSpec], kinds: tuple[str, ...]) -> int:
    """Index of the first spec of one of the kinds, or the end."""
    return next((index for index, spec in enumerate(specs) if spec.kind in kinds), len(specs))
