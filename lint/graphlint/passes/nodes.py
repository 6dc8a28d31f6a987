"""Fixes that touch single nodes: checks and prints that go, bare asserts that are given their message.

``aten._assert_tensor_metadata`` has no functional twin. Which checks cannot fire is for
:func:`graphlint.semantics.checks.metadata_obstacle` to say. Removing a print changes what a program does, if nothing
that it computes; removing a check that a target would not run changes what stock torch does.

``aten._assert_async.default`` raises a message of its own, :data:`graphlint.passes.tokens.BARE_MESSAGE`; the overload
that is given one raises the same, and is known to more consumers.
"""

from collections.abc import Callable, Iterable, Sequence

from graphlint.ir.edit import Dialect, changed_node, mapped, with_graph
from graphlint.ir.model import Argument, Node, Program
from graphlint.ops.table import op_of
from graphlint.passes.tokens import BARE_MESSAGE
from graphlint.semantics.sites import Site


def remove_nodes(program: Program, sites: Iterable[Site]) -> Program:
    """The program without the nodes at ``sites``, which have no results."""
    return edited_at(program, sites, lambda _: ())


def give_messages(program: Program, sites: Iterable[Site]) -> Program:
    """The program with the bare asserts at ``sites`` as asserts with a message."""
    operand = Dialect.of(program.graph).operand("assert_msg", Argument(as_string=BARE_MESSAGE))
    target = op_of("assert-message").target
    return edited_at(program, sites, lambda node: [changed_node(node, target=target, inputs=[*node.inputs, operand])])


def edited_at(program: Program, sites: Iterable[Site], edit: Callable[[Node], Sequence[Node]]) -> Program:
    """The program with what ``edit`` makes of the nodes at these sites, in subgraphs too."""
    chosen = {id(site.node) for site in sites}
    return with_graph(program, mapped(program.graph, lambda node: edit(node) if id(node) in chosen else None))
