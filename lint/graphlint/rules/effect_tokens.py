"""GL308: effect tokens of torch's own."""

from __future__ import annotations

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.view import ProgramView


class EffectToken(Rule):
    """An effect token of torch's own.

    ## What it does
    Flags `with_effects` and token inputs and outputs, which torch 2.4 and 2.5 write for ops with side effects,
    and later versions below the training dialect.

    ## Why is this bad?
    Stock torch cannot run a loaded program that has them: `.module()` has no place for the token.
    """

    code = "GL308"
    name = "effect-token"

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
