"""Fixers: what applies the fixes of rules. A rule names its fixer; what a fixer runs is a pass.

Passes are imported when a fix is applied: a check does without them.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import msgspec

from graphlint.ir.model import Program
from graphlint.ops.table import op_of
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site

if TYPE_CHECKING:
    from graphlint.passes.state import Piece


class Made(msgspec.Struct, frozen=True, eq=False):
    """What a fixer made of a program."""

    program: Program
    fixed: frozenset[int] | None = None
    """Positions of the nodes whose findings are gone; None for all that it was given."""
    buffers: tuple[str, ...] = ()
    """Qualified names of new non-persistent buffers, each a 0-dimensional float32 zero."""
    old_buffers: tuple[str, ...] = ()
    """Qualified names of buffers that are gone."""
    checks: tuple[tuple[str, str], ...] = ()
    """Functional checks that are plain ones again, both by target."""
    brought: tuple[str, ...] = ()
    """Targets of ops that stand in the place of what is gone, and have findings of their own."""
    lost: tuple[str, ...] | None = None
    """Effects that are gone on purpose, called as :attr:`graphlint.semantics.analysis.Analysis.effects` calls them.
    None: those of the nodes whose findings are fixed.
    """
    state: "tuple[Piece, ...]" = ()
    """What was state and is among the inputs and outputs now."""


class Fixer(msgspec.Struct, frozen=True):
    """Applies the fixes of one or several rules."""

    order: int
    """Fixers run by this: what makes least of the others impossible goes first."""
    run: Callable[[ProgramView, Sequence[Site]], Made]
    """Given a program and the nodes of the findings to fix; none for a finding about the program as a whole."""
    together: bool = False
    """Whether a node's findings by rules of this fixer are fixed together or not at all."""
    settled: bool = False
    """Whether it waits until no other fixer finds anything to do."""


def _remove(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.nodes import remove_nodes

    return Made(remove_nodes(view.program, sites))


def _give_messages(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.nodes import give_messages

    return Made(give_messages(view.program, sites), brought=(op_of("assert-message").target,) * len(sites))


def _restore(view: ProgramView, sites: Sequence[Site]) -> Made:
    made = view.restoration
    fixed = frozenset(site.position for site in sites if site.defines <= made.gone)
    checks = tuple((check.target, check.plain) for check in made.restored)
    return Made(made.program, fixed, old_buffers=made.buffers, checks=checks)


def _reform(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.forms import renamed_namesakes, with_first_state_last, with_forms
    from graphlint.rules.target_refusals import refused_at

    said = ((site, refused_at(view, site)) for site in sites)
    forms = [(site, refused.form) for site, refused in said if refused is not None and refused.form]
    named = {site: view.namesakes_at(site) for site in sites}
    last = [site for site in sites if site.node is view.made_last]
    changed = [*(site for site, _ in forms), *(site for site, names in named.items() if names), *last]
    if not changed:
        return _restore(view, sites)
    program = renamed_namesakes(with_forms(view.program, forms, view.ops), chain.from_iterable(named.values()))
    program = with_first_state_last(program) if last else program
    return Made(program, frozenset(site.position for site in changed), lost=())


def _spell(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.forms import with_arguments

    return Made(with_arguments(view.program, sites, view.ops), lost=())


def _functionalize(view: ProgramView, sites: Sequence[Site]) -> Made:
    selected = frozenset(site.position for site in sites)
    everything = {write.site.position for write in view.writes} - view.write_plan.blocked.keys()
    made = view.write_plan if selected == everything else view.plan_of(selected)
    return Made(made.assemble(), made.fixed)


def _cast(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.regions import inline_regions

    chosen = {site.position for site in sites}
    whole = [region for region in view.autocast.outermost if chosen.issuperset(one.position for one in region.sites)]
    inlined = [site for region in whole for site in region.sites]
    castings = {node: casting for region in whole for node, casting in region.castings.items()}
    dtypes = view.dtypes
    changes = dtypes.changes if dtypes.obstacle is None else {}
    return Made(inline_regions(view.program, inlined, castings, changes), frozenset(site.position for site in inlined))


def _inline(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.regions import inline_regions

    return Made(inline_regions(view.program, sites))


def _chain(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.tokens import functionalize_checks

    made = functionalize_checks(view.program, sites, view.token_sink)
    return Made(made.program, buffers=(made.buffer,) if made.buffer is not None else ())


def _lift_state(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.state import lift_state

    made = lift_state(view, [one for one, obstacle in view.state_obstacles.items() if obstacle is None])
    return Made(made.program, state=made.pieces)


REMOVE = Fixer(10, _remove)
"""The node goes."""
GIVE_MESSAGE = Fixer(20, _give_messages)
"""A bare assert is given the message that it raises."""
SPELL = Fixer(25, _spell)
"""A call is given the arguments that it leaves out."""
REFORM = Fixer(30, _reform)
"""Dependency tokens become plain checks again; what a target takes in another form is brought into that."""
CAST = Fixer(35, _cast)
"""An autocast region is inlined, with its casts: before writes become functional, which no cast is in the way of then.
Those in each other are inlined together or not at all."""
FUNCTIONALIZE = Fixer(40, _functionalize, together=True)
"""Writes become functional."""
INLINE = Fixer(50, _inline)
"""A region is inlined: after the writes in it are gone, and before tokens would have to be threaded through it."""
CHAIN = Fixer(60, _chain)
"""Checks become functional, chained by a dependency token."""
RELABEL = Fixer(70, lambda view, sites: Made(view.document.relabelled("ATEN").program))
"""The program is labelled ATEN."""
LIFT_STATE = Fixer(80, _lift_state, settled=True)
"""State becomes inputs and outputs: once, when it is known what the program writes."""
