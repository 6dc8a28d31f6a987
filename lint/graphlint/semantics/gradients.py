"""Which writes autograd sees.

Export records of an input or buffer that it requires gradients where that is so, and also where the model writes
something into it that does. In place, autograd admits no write to the former, but for those that it does not see: with
gradients off, or through ``detach``.
"""

from __future__ import annotations

from graphlint.ir.model import Graph, Node
from graphlint.ops.table import OpTable
from graphlint.semantics.calls import convention, operand_names
from graphlint.semantics.sites import Scope
from graphlint.semantics.view import Write


class Autograd:
    """What autograd sees of a program."""

    def __init__(self, ops: OpTable) -> None:
        self._ops = ops
        self._definers: dict[int, dict[str, Node]] = {}
        self._detached: dict[tuple[int, str], bool] = {}

    def sees(self, write: Write) -> bool:
        """Whether the write is made with gradients on, and to a tensor or its views, not to what is detached of it."""
        scope = write.site.scope
        modes = (
            caller.node.inputs[0].arg.as_bool
            for caller in scope.callers()
            if caller.name == "higher_order.wrap_with_set_grad_enabled" and caller.node.inputs
        )
        return next(modes, True) is not False and not self._is_detached(scope, write.value)

    def _is_detached(self, scope: Scope, value: str) -> bool:
        """Whether ``detach`` stands between a value and the tensor that it shows."""
        passed: list[tuple[int, str]] = []
        name: str | None = value
        found = False
        while name is not None and not found:
            place = id(scope.graph), name
            if place in self._detached:
                found = self._detached[place]
                break
            passed.append(place)
            node = self._definer(scope.graph, name)
            if node is not None:
                op = self._ops.lookup(node.target)
                found = op is not None and op.name.startswith(("aten.detach.", "aten.detach_."))
                shown = (node.input(rule.argument) for rule in (op.aliases if op is not None else ()))
                name = next((one for argument in shown if argument is not None for one in argument.tensors()), None)
            elif scope.caller is not None:
                rule = convention(scope.caller.node)
                entries = [one for argument in scope.graph.inputs for one in (argument.tensors() or [None])]
                operands = operand_names(scope.caller.node, rule) if rule is not None else []
                name = next((operand for one, operand in zip(entries, operands, strict=False) if one == name), None)
                scope = scope.caller.scope
            else:
                name = None
        self._detached.update(dict.fromkeys(passed, found))
        return found

    def _definer(self, graph: Graph, name: str) -> Node | None:
        definers = self._definers.get(id(graph))
        if definers is None:
            definers = self._definers[id(graph)] = {result: node for node in graph.nodes for result in node.results()}
        return definers.get(name)
