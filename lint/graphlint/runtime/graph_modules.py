"""The token pass on ``torch.fx`` graphs: runtime checks become data flow, for use between passes of other compilers.

What ``torch/_export/passes/functionalize_side_effectful_ops_pass.py`` is meant for, with all checks that have a
functional twin, and through control flow. The table of twins and the calling conventions are those of the pass on
artifacts (:mod:`graphlint.passes.tokens`).
"""

import contextlib
import copy
import operator
from collections.abc import Sequence
from itertools import count
from typing import Any

import torch
from torch.fx.passes.infra.pass_base import PassResult
from torch.utils import _pytree as pytree

from graphlint.ops.info import HIGHER_ORDER, TOKEN, Convention, OpInfo
from graphlint.ops.table import op_of, op_table
from graphlint.passes.tokens import BARE_MESSAGE
from graphlint.runtime.loading import quiet


def functionalize_graph_module(gm: torch.fx.GraphModule) -> PassResult:
    """Replace runtime checks by their functional twins, chained by a token that becomes one more output.

    ::

        before                                       after
        _assert_async.msg(ok, "x too small")         dep_token0 = _make_dep_token()
        add = add(x, 3)                              dep_token1 = _functional_assert_async.msg(ok, …, dep_token0)
        return (add,)                                add = add(x, 3)
                                                     return (add, dep_token1)

    ``cond``, ``while_loop`` and grad-mode and autocast regions carry the token through their graphs. Checks that have
    no way out for it stay as they are: those in ``map`` and ``scan``, and in the condition of a ``while_loop``.

    ``gm`` is never changed: the result holds a copy of it, or ``gm`` itself and ``modified=False`` where there is
    nothing to do. A module that is called with structured arguments (``ExportedProgram.module()``) returns
    ``(result, token)`` afterwards. New nodes have the metadata ``val``, a 0-dimensional float32 tensor on the CPU,
    fake where the others' are, if the others have it. Writes are left alone: on them,
    see :func:`graphlint.runtime.functionalize`.
    """
    if not _holds_check(gm):
        return PassResult(gm, modified=False)
    with quiet():  # copying the module of an exported program makes torch warn of its own classes
        result = copy.deepcopy(gm)
    _Threading(_token_value(result)).thread(result)
    return PassResult(result, modified=True)


class _Threading:
    """The chain through one module and the graphs that it calls."""

    def __init__(self, value: Any) -> None:
        """``value`` is what new nodes have for ``val``; None where the module records none."""
        self._value = {} if value is None else {"val": value}

    def thread(
        self,
        module: torch.fx.GraphModule,
        place: int | None = None,
        *,
        returns: bool = True,
        returned: int | None = None,
        clone: bool = False,
    ) -> None:
        """Replace the checks in a module's graph by their twins, and return the last token, or a clone of it.

        A called graph takes the token as an input after the first ``place`` ones, and only takes it unless it
        ``returns`` its results: the token after the first ``returned`` ones, or after all.
        The root has no ``place``, and makes the token itself.
        """
        graph: Any = module.graph
        token: Any = None
        if place is not None:
            placeholders, name = graph.find_nodes(op="placeholder"), _free_name(graph)
            first = next(iter(graph.nodes))
            with graph.inserting_after(placeholders[place - 1]) if place else graph.inserting_before(first):
                token = graph.create_node("placeholder", name, name=name)
            token.meta = dict(self._value)
        for node in list(graph.nodes) if returns else ():
            rule, twin = _way_through(module, node), _twin(node)
            if rule is None and twin is None:
                continue
            with graph.inserting_before(node):
                if token is None:
                    token = self._node(graph, _overload(op_of("make-token")), (), _place(node))
                if twin is not None:
                    token = self._replace(graph, node, twin, token)
            if rule is not None:
                token = self._carry(module, node, rule, token)
        if returns:
            output = _output(graph)
            with graph.inserting_before(output):
                last = self._node(graph, _overload(op_of("copy")), (token,), _place(output)) if clone else token
            results, recorded = output.args[0], output.meta.get("val")
            output.args = (_with(results if isinstance(results, (tuple, list)) else [results], returned, last),)
            if isinstance(recorded, (tuple, list)) and self._value:
                output.meta["val"] = _with(recorded, returned, self._value["val"])
        info = getattr(graph._codegen, "pytree_info", None) if place is None else None
        if info is not None and info.out_spec is not None:  # it puts its results together itself
            pair, leaf = (pytree.tree_flatten(shape)[1] for shape in ((None, None), 0))
            out_spec = pytree.TreeSpec(pair.type, pair.context, [info.out_spec, leaf])
            graph._codegen.pytree_info = info._replace(out_spec=out_spec)
        graph.lint()
        module.recompile()

    def _node(
        self, graph: Any, target: Any, args: Any, meta: dict[str, Any], kwargs: dict[str, Any] | None = None
    ) -> Any:
        node = graph.create_node("call_function", target, args, kwargs, name=_free_name(graph))
        node.meta = {**meta, **self._value}
        return node

    def _replace(self, graph: Any, node: Any, twin: Any, token: Any) -> Any:
        """The functional twin in the place of a check, which may leave its bounds out, as the twin may not."""
        arguments = twin._schema.arguments[len(node.args) :]
        kwargs: dict[str, Any] = {argument.name: None for argument in arguments if not argument.has_default_value()}
        if node.target is _overload(op_of("assert")):
            kwargs["assert_msg"] = BARE_MESSAGE
        new = self._node(graph, twin, node.args, node.meta, {**kwargs, **node.kwargs, TOKEN: token})
        graph.erase_node(node)
        return new

    def _carry(self, module: torch.fx.GraphModule, node: Any, rule: Convention, token: Any) -> Any:
        """Hand the token to a node that calls graphs, thread it through them, and take it back."""
        graph = module.graph
        args = list(node.args)
        if rule.lists:
            values = args[rule.lists[0]]
            place = len(values)
            args[rule.lists[0]] = type(values)([*values, token])
        else:
            place = len(args) - (rule.rest or 0)
            args.append(token)
        results: Any = None
        returned = place if rule.repeats else None
        for index, position in enumerate(rule.graphs):
            args[position], inner = _own_graph(module, node, args[position])
            if index in rule.results_of:
                results = _output(inner.graph).args[0]
            returns = index in rule.results_of
            self.thread(inner, place, returns=returns, returned=returned, clone=rule.fresh_results)
        node.args = tuple(args)
        bare = not isinstance(results, (tuple, list))
        number = 1 if bare else len(results) if returned is None else returned
        for user in list(node.users) if returned is not None else ():
            if user.target is operator.getitem and user.args[1] >= number:
                user.args = (node, user.args[1] + 1)
        with graph.inserting_after(node):
            following = self._node(graph, operator.getitem, (node, number), _place(node))
        if bare:  # what used the result uses the first of two now
            with graph.inserting_after(node):
                first = graph.call_function(operator.getitem, (node, 0))
            first.meta = dict(node.meta)
            node.replace_all_uses_with(first, delete_user_cb=lambda user: user not in (first, following))
        if self._value and "val" in node.meta:
            recorded = node.meta["val"]
            node.meta["val"] = _with((recorded,) if bare else recorded, returned, self._value["val"])
        if not rule.fresh_results:
            return following
        # Autograd differentiates such an op as a whole, and the twins have no derivative.
        with graph.inserting_after(following):
            return self._node(graph, _overload(op_of("detach")), (following,), _place(node))


def _with(values: Sequence[Any], place: int | None, value: Any) -> tuple[Any, ...]:
    """The values with one more at a place among them, or behind them."""
    found = list(values)
    found.insert(len(found) if place is None else place, value)
    return tuple(found)


def _place(node: Any) -> dict[str, Any]:
    """Metadata of a new node that goes with another one: it belongs to the same module."""
    return {key: node.meta[key] for key in ("nn_module_stack",) if key in node.meta}


def _output(graph: Any) -> Any:
    return next(iter(graph.find_nodes(op="output")))


def _holds_check(module: torch.fx.GraphModule) -> bool:
    """Whether there is a check in the graph, or in one that it calls, that can be chained."""
    return any(_twin(node) is not None or _way_through(module, node) is not None for node in module.graph.nodes)


def _twin(node: Any) -> Any:
    """The functional twin of a check, None for any other node."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return None
    check = op_table().lookup(str(node.target))
    twin = op_table().twin_of(check) if check is not None and check.kind == "check" else None
    return None if twin is None else _overload(twin)


def _overload(op: OpInfo) -> Any:
    return operator.attrgetter(op.name)(torch.ops)


def _way_through(module: torch.fx.GraphModule, node: Any) -> Convention | None:
    """How a node calls its graphs, if one of them holds a check and the token can be carried through it."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.HigherOrderOperator):
        return None
    op = op_table().lookup(f"{HIGHER_ORDER}{node.target.name()}")
    rule = op.calls if op is not None else None
    if rule is None or not rule.carries or node.kwargs:
        return None
    graphs = [_called(module, node.args[position]) if position < len(node.args) else None for position in rule.graphs]
    if any(graph is None for graph in graphs):
        return None
    if rule.lists and not all(isinstance(node.args[position], (tuple, list)) for position in rule.lists):
        return None
    return rule if any(_holds_check(graphs[index]) for index in rule.results_of) else None


def _called(module: torch.fx.GraphModule, operand: Any) -> Any:
    """The module behind a get_attr node, None for anything else."""
    if not isinstance(operand, torch.fx.Node) or operand.op != "get_attr":
        return None
    found = operator.attrgetter(str(operand.target))(module)
    return found if isinstance(found, torch.fx.GraphModule) else None


def _own_graph(module: torch.fx.GraphModule, caller: Any, operand: Any) -> tuple[Any, Any]:
    """The get_attr node and the module of a called graph; a copy where others call the same."""
    inner = _called(module, operand)
    users = [
        user for node in module.graph.find_nodes(op="get_attr") if _called(module, node) is inner for user in node.users
    ]
    if users == [caller] and sum(argument is operand for argument in caller.args) == 1:
        return operand, inner
    inner = copy.deepcopy(inner)
    names = (f"{operand.target.replace('.', '_')}_token{number}" for number in count())
    name = next(name for name in names if not hasattr(module, name))
    module.add_submodule(name, inner)
    with module.graph.inserting_before(caller):
        return module.graph.get_attr(name), inner


def _token_value(module: torch.fx.GraphModule) -> Any:
    """A token as the metadata of the other nodes would show it, None where they show nothing."""
    leaves = [leaf for node in module.graph.nodes for leaf in pytree.tree_leaves(node.meta.get("val"))]
    values = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    if not values:
        return None
    with torch._guards.detect_fake_mode(values) or contextlib.nullcontext():
        return torch.zeros((), dtype=torch.float32)


def _free_name(graph: Any) -> str:
    """The first of ``dep_token0``, ``dep_token1``, … that no node has."""
    taken = {node.name for node in graph.nodes}
    return next(name for name in (f"{TOKEN}{number}" for number in count()) if name not in taken)
