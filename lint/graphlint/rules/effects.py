"""GL306 to GL308: communication in place, calls of objects with state, and effect tokens of torch's own."""

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

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.kind == "collective" and site.op.effect:
                yield Finding(f"{site.name} communicates in place", no_fix("use a functional collective"), site)


class ScriptObjectCall(Rule):
    """A call of a script object's method.

    ## What it does
    Flags `call_torchbind`.

    ## Why is this bad?
    The object may hold state, which the call may change; no schema says so, and few backends know the class.
    """

    code = "GL307"
    severity = "warning"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.kind == "script-object":
                method = next((o.arg.as_string for o in site.node.inputs if o.arg.as_string is not None), None)
                what = (
                    f"{site.name} calls {method!r} of a script object"
                    if method
                    else f"{site.name} calls a script object"
                )
                yield Finding(what, no_fix("what the object's method does is not known"), site)


class EffectToken(Rule):
    """An effect token of torch's own.

    ## What it does
    Flags `with_effects` and token inputs and outputs, which torch 2.4 and 2.5 write for ops with side effects,
    and later versions below the training dialect.

    ## Why is this bad?
    Stock torch cannot run a loaded program that has them: `.module()` has no place for the token.
    """

    code = "GL308"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each `with_effects`, or one for the signature where there is none."""
        fix = no_fix("export the model again with torch 2.6 or later")
        found = False
        for site in view.sites:
            if site.name == "higher_order.with_effects":
                found = True
                wrapped = next((o.arg.as_operator for o in site.node.inputs if o.arg.as_operator), None)
                what = f" around {wrapped.removeprefix('torch.ops.')}" if wrapped else ""
                yield Finding(f"{site.name}{what} takes an effect token, which stock torch cannot run", fix, site)
        signature = view.program.graph_module.signature
        specs = (*signature.input_specs, *signature.output_specs)
        if not found and any(spec.kind == "token" for spec in specs):
            yield Finding("the signature has effect tokens, which stock torch cannot run", fix)
