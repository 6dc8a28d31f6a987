"""Runtime checks become data flow: each check takes a dependency token and returns the next one.

::

    before                                       after
    aten._assert_async.msg(%ok, "x too small")   %dep_token0 = aten._make_dep_token.default()
    %y = aten.add.Tensor(%x, 3)                  %dep_token1 = aten._functional_assert_async.msg(%ok, "x too small", …)
    return %y                                    %y = aten.add.Tensor(%x, 3)
                                                 return buffer "dep_token" <- %dep_token1, %y

Cases:

1. a check becomes its functional twin (the table below), with its own metadata;
2. a subgraph that holds checks gets the token as one more input and returns it as one more result; the calling
   node hands it in and takes it back. All branches of ``cond`` take and return it, those without checks too; the
   body of ``while_loop`` carries it, its condition takes it and ignores it; regions pass it through. Branches and
   bodies return a clone of it: torch refuses those whose results alias their inputs, and the meta functions of
   the twins (which ``run_decompositions`` goes by) return the very token that they were given. What they hand back is
   detached: autograd differentiates such an op as a whole, which makes its token seem to depend on what requires
   grad, and the twins have no derivative;
3. the root graph's last token goes into a non-persistent buffer (sink ``buffer``) or becomes one more result of
   the program (sink ``output``).

Checks that have no way out for a token are left as they are; :func:`graphlint.semantics.checks.token_obstacle`
says why.

Source of the shape of the result:
``torch/_export/passes/functionalize_side_effectful_ops_pass.py``, whose docstring shows the same rewrite. The
sink is graphlint's own: stock torch runs neither an output without a place in the out_spec nor a TOKEN output.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from graphlint.ir.arguments import Json, of_kind, tensor
from graphlint.ir.document import Dialect, Document, GraphEdit, scalar_meta
from graphlint.ir.model import Graph, Node, Program
from graphlint.ir.structure import read_structure
from graphlint.passes.origins import NAME, SINGLE, noted
from graphlint.rules.settings import TokenSink
from graphlint.semantics.calls import Convention, convention, value_list
from graphlint.semantics.checks import TWINS
from graphlint.semantics.sites import Site

BARE_MESSAGE: Final = "Expected Tensor with single nonzero value, but got zero"
"""What ``_assert_async.default`` raises (``aten/src/ATen/native/TensorCompare.cpp``)."""

REQUIRED: Final = {
    "torch.ops.aten._functional_sym_constrain_range.default": ("min", "max"),
    "torch.ops.aten._functional_sym_constrain_range_for_size.default": ("min", "max"),
}
"""Operands that a twin needs although the check may leave them out."""

MAKE: Final = "torch.ops.aten._make_dep_token.default"
CLONE: Final = "torch.ops.aten.clone.default"
DETACH: Final = "torch.ops.aten.detach.default"
_BUFFER: Final = "dep_token"


class Functionalized(msgspec.Struct, frozen=True):
    """What the pass made."""

    tree: Json
    buffer: str | None
    """Qualified name of the new non-persistent buffer: a 0-dimensional float32 zero; None for sink ``output``."""


def functionalize_checks(document: Document, sites: Iterable[Site], sink: TokenSink) -> Functionalized:
    """Replace the checks at ``sites`` by their functional twins, chained by a token.

    Every site must be a check with a twin for which nothing is in the way; there is at least one.
    """
    selected = list(sites)
    chosen = {id(site.node) for site in selected}
    carriers = {id(caller.node) for site in selected for caller in site.scope.callers()}
    raw = document.tree["graph_module"]["graph"]
    threading = _Threading(chosen | carriers, carriers, Dialect.of(document.program.graph))
    graph = document.program.graph
    edit = GraphEdit(raw, graph)
    last = threading.run(graph, raw, edit, None)
    if sink == "output":
        return Functionalized(_to_output(document, edit, last), None)
    return _to_buffer(document, edit, last)


class _Threading:
    """The chain through one program."""

    def __init__(self, affected: set[int], carriers: set[int], dialect: Dialect) -> None:
        self._affected = affected
        self._carriers = carriers
        self._dialect = dialect

    def run(self, graph: Graph, raw: Json, edit: GraphEdit, token: str | None) -> str:
        """Copy the graph's nodes into ``edit`` with the chain in them; the last token.

        ``token`` is the one that the graph was handed; the root starts with None and makes its own.
        """
        for node, raw_node in zip(graph.nodes, raw["nodes"], strict=True):
            if id(node) not in self._affected:
                edit.nodes.append(raw_node)
                continue
            if token is None:
                token = self._token(edit)
                edit.nodes.append(self._dialect.node(MAKE, [], token, _place(raw_node)))
            following = self._token(edit)
            if id(node) in self._carriers:
                edit.nodes.append(self._carry(node, raw_node, token, following, edit))
                rule = convention(node)
                if rule is not None and rule.fresh_results:
                    following = self._apply(DETACH, following, edit, _place(raw_node))
            else:
                edit.nodes.append(self._twin(node, raw_node, token, following))
            token = following
        if token is None:
            raise AssertionError("a graph was threaded that holds no check")
        return token

    def _token(self, edit: GraphEdit) -> str:
        name = edit.fresh(_BUFFER)
        edit.record(name, scalar_meta())
        return name

    def _apply(self, target: str, token: str, edit: GraphEdit, metadata: Json) -> str:
        """The result of an op that takes nothing but the token."""
        result = self._token(edit)
        edit.nodes.append(self._dialect.node(target, [self._dialect.operand("self", tensor(token))], result, metadata))
        return result

    def _twin(self, node: Node, raw: Json, token: str, result: str) -> Json:
        target = TWINS[node.target]
        inputs = list(raw["inputs"])
        if node.target.endswith("_assert_async.default"):
            inputs.append(self._dialect.operand("assert_msg", {"as_string": BARE_MESSAGE}, keyword=True))
        inputs += [
            self._dialect.operand(name, {"as_none": True}, keyword=True)
            for name in REQUIRED.get(target, ())
            if node.input(name) is None
        ]
        inputs.append(self._dialect.operand("dep_token", tensor(token), keyword=True))
        edited = {**raw, "target": target, "inputs": inputs, "outputs": [tensor(result)]}
        if "name" in raw:
            edited["name"] = result
        return noted(edited, NAME, raw["name"]) if raw.get("name") else edited

    def _carry(self, node: Node, raw: Json, token: str, result: str, edit: GraphEdit) -> Json:
        """A calling node with the token handed in, threaded through its graphs, and taken back."""
        rule = convention(node)
        if rule is None:
            raise AssertionError(f"no calling convention for {node.target}")
        inputs = list(raw["inputs"])
        place = _hand_in(node, rule, inputs, token, self._dialect)
        returning = {rule.graphs[index] for index in rule.results_of}
        for position in rule.graphs:
            reference = node.inputs[position].arg.as_graph
            if reference is None:
                raise AssertionError(f"operand {position} of {node.target} is no graph")
            raw_reference = raw["inputs"][position]["arg"]["as_graph"]
            inner = raw_reference["graph"]
            if position in returning:
                copied = _place(raw) if rule.fresh_results else None
                edited = self._returning(reference.graph, inner, place, copied)
            else:
                edited = self._ignoring(reference.graph, inner, place)
            argument = {**raw["inputs"][position]["arg"], "as_graph": {**raw_reference, "graph": edited}}
            inputs[position] = {**raw["inputs"][position], "arg": argument}
        edited = {**raw, "inputs": inputs, **self._dialect.returning_also(raw, [result])}
        if not _returns_bare_tensor(raw):
            return edited
        edited = noted(edited, SINGLE, "true")
        if raw.get("name") in node.results():
            # A node of one result is called what the result is; of two, that is the name of the one taken out of it.
            edited = {**noted(edited, NAME, raw["name"]), "name": edit.claim(node.caller_label)}
        return edited

    def _ignoring(self, graph: Graph, raw: Json, place: int) -> Json:
        """A graph that takes the token and does nothing with it."""
        edit = GraphEdit(raw, graph)
        edit.inputs.insert(place, tensor(self._token(edit)))
        edit.nodes = list(raw["nodes"])
        return edit.finish()

    def _returning(self, graph: Graph, raw: Json, place: int, copied: Json | None) -> Json:
        """A graph that takes the token, hands it through its checks, if it has any, and returns it; or a copy of it,
        with the metadata ``copied``, where torch takes no aliases.
        """
        edit = GraphEdit(raw, graph)
        token = self._token(edit)
        edit.inputs.insert(place, tensor(token))
        last = self.run(graph, raw, edit, token)
        if copied is not None:
            last = self._apply(CLONE, last, edit, copied)
        edit.outputs.append(tensor(last))
        return edit.finish(is_single_tensor_return=False)


def _returns_bare_tensor(raw: Json) -> bool:
    """Whether a calling node returns a tensor, not a tuple of one: files of torch 2.7 and later say so, earlier ones
    write a tuple of one as a list.
    """
    outputs = raw["outputs"]
    bare = len(outputs) == 1 and outputs[0].get("as_tensor") is not None
    return bare and raw.get("is_hop_single_tensor_return", True) is not False


def _place(raw: Json) -> Json:
    """Metadata of a new node that goes with another one: it belongs to the same module.

    ``torch.export.unflatten`` refuses nodes that belong to none, and one of another module amid those of a module
    would make it two calls.
    """
    stack = (raw.get("metadata") or {}).get("nn_module_stack")
    return {"nn_module_stack": stack} if stack else {}


def _hand_in(node: Node, rule: Convention, inputs: list[Json], token: str, dialect: Dialect) -> int:
    """Add the token to a calling node's operands; where it comes among the graphs' inputs."""
    if rule.lists:
        position = rule.lists[0]
        values = value_list(node.inputs[position].arg)
        given = inputs[position]["arg"].get("as_tensors") or [{"name": name} for name in values]
        argument = of_kind(inputs[position]["arg"], "as_tensors", [*given, {"name": token}])
        inputs[position] = {**inputs[position], "arg": argument}
        return len(values)
    first = rule.rest or 0
    end = first
    while end < len(node.inputs) and node.inputs[end].arg_kind != 2:
        end += 1
    inputs.insert(end, dialect.operand("", tensor(token)))
    return end - first


def _to_buffer(document: Document, edit: GraphEdit, last: str) -> Functionalized:
    """End the chain in a non-persistent buffer: one more input, and the last token is written to it."""
    signature = document.tree["graph_module"]["signature"]
    input_specs, output_specs = list(signature["input_specs"]), list(signature["output_specs"])
    buffer = _free_buffer_name(document.program)
    value = edit.claim(f"b_{_BUFFER}")
    edit.record(value, scalar_meta())
    place = _first(input_specs, ("user_input", "constant_input"))
    edit.inputs.insert(place, tensor(value))
    input_specs.insert(place, {"buffer": {"arg": {"name": value}, "buffer_name": buffer, "persistent": False}})
    place = _first(output_specs, ("user_output", "loss_output", "gradient_to_parameter", "gradient_to_user_input"))
    edit.outputs.insert(place, tensor(last))
    output_specs.insert(place, {"buffer_mutation": {"arg": {"name": last}, "buffer_name": buffer}})
    changed = {**signature, "input_specs": input_specs, "output_specs": output_specs}
    return Functionalized(document.with_graph(edit.finish(), signature=changed), buffer)


def _to_output(document: Document, edit: GraphEdit, last: str) -> Json:
    """End the chain in one more result of the program, which then returns ``(result, token)``."""
    module = document.tree["graph_module"]
    edit.outputs.append(tensor(last))
    specs = [*module["signature"]["output_specs"], {"user_output": {"arg": tensor(last)}}]
    calls = [_with_token(entry, last) if entry["fqn"] == "" else entry for entry in module["module_call_graph"]]
    return document.with_graph(
        edit.finish(), signature={**module["signature"], "output_specs": specs}, module_call_graph=calls
    )


def _with_token(entry: Json, last: str) -> Json:
    signature = entry.get("signature")
    if not signature:
        return entry
    version, spec = read_structure(signature["out_spec"])
    leaf: Json = {"type": None, "context": None, "children_spec": []}
    out_spec = [version, {"type": "builtins.tuple", "context": "null", "children_spec": [spec, leaf]}]
    outputs: list[Any] = signature["outputs"]
    outputs = [*outputs, tensor(last)] if outputs else outputs
    return {**entry, "signature": {**signature, "out_spec": json.dumps(out_spec), "outputs": outputs}}


def _free_buffer_name(program: Program) -> str:
    """A name at the module's root that no parameter, buffer, constant or submodule has."""
    taken: set[str] = {entry.fqn.partition(".")[0] for entry in program.graph_module.module_call_graph}
    for spec in program.graph_module.signature.input_specs or ():
        for given, field in (
            (spec.parameter, "parameter_name"),
            (spec.buffer, "buffer_name"),
            (spec.tensor_constant, "tensor_constant_name"),
            (spec.custom_obj, "custom_obj_name"),
        ):
            if given is not None:
                taken.add(str(getattr(given, field)).partition(".")[0])
    name, number = _BUFFER, 0
    while name in taken:
        number += 1
        name = f"{_BUFFER}_{number}"
    return name


def _first(specs: list[Json], kinds: tuple[str, ...]) -> int:
    """Index of the first spec of one of the kinds, or the end."""
    return next((index for index, spec in enumerate(specs) if any(kind in spec for kind in kinds)), len(specs))
