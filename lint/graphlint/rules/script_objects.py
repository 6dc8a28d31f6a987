"""GL307: calls of objects with state."""

from __future__ import annotations

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.view import ProgramView


class ScriptObjectCall(Rule):
    """A call of a script object's method.

    ## What it does
    Flags `call_torchbind`.

    ## Why is this bad?
    The object may hold state, which the call may change; no schema says so, and few backends know the class.
    """

    code = "GL307"
    name = "script-object-call"
    severity = "warning"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each call."""
        for site in view.sites:
            if site.op is not None and site.op.kind == "script-object":
                method = next((o.arg.as_string for o in site.node.inputs if o.arg.as_string is not None), None)
                what = (
                    f"{site.name} calls {method!r} of a script object"
                    if method
                    else f"{site.name} calls a script object"
                )
                yield Finding(what, no_fix("what the object's method does is not known"), site)
