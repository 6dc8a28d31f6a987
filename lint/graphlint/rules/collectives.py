"""GL306: communication in place."""

from __future__ import annotations

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.view import ProgramView


class InPlaceCollective(Rule):
    """A collective that writes the tensors it is given.

    ## What it does
    Flags the `c10d` ops, which receive into their arguments.

    ## Why is this bad?
    Ordering and waiting are implicit, and no value depends on the result. `_c10d_functional` has the same
    collectives as functions.
    """

    code = "GL306"
    name = "in-place-collective"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such op."""
        for site in view.sites:
            if site.op is not None and site.op.kind == "collective" and site.op.effect:
                yield Finding(f"{site.name} communicates in place", no_fix("use a functional collective"), site)
