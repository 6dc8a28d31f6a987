"""GL601: ops that a target refuses."""

from collections.abc import Iterator

from graphlint.ops.table import op_of
from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.diagnostics import Fix
from graphlint.rules.fixers import REFORM
from graphlint.rules.settings import Refused
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site


class RefusedByTarget(Rule):
    """An op, or an output, that a target of the artifact refuses.

    ## What it does
    Flags functional ops that the consumer named by `--target` was seen to refuse: dependency tokens, for most of
    them. Finds nothing where the target is `functional`. `graphlint target NAME` lists the ops.

    ## Why is this bad?
    The artifact passes every other check, and the consumer fails on it all the same.

    ## Example
    With `--target onnx`:
    ```graph target=onnx
    graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, %ok: b8[]):
      %dep_token0: f32[] = aten._make_dep_token.default()
      %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "must hold", dep_token=%dep_token0)
      return buffer "dep_token" <- %dep_token1, %ok
    ```

    ## Use instead
    ```graph target=onnx
    graph(%ok: b8[]):
      aten._assert_async.msg(%ok, "must hold")
      return %ok
    ```

    ## Fix safety
    Safe: dependency tokens become the plain checks that they were made from, as `graphlint restore` does it. What
    writes to an index behind other dimensions does so by permuted views, and a conversion becomes one that always
    copies, for targets that take those. Nothing else has a fix.
    """

    code = "GL601"
    follows_fixes = True
    fix = "safe"
    fixer = REFORM
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each node of such an op, then one for each such output."""
        for site in view.sites:
            refused = view.refused(site.name)
            if refused is not None and (not refused.gaps or _has_gaps(site)):
                message = f"{site.name} is refused by {', '.join(refused.targets)}: {refused.because}"
                yield Finding(message, _fix_for(view, site, refused), site)
        for spec in view.program.graph_module.signature.output_specs:
            for kind, refused in view.profile.refused_outputs.items():
                if getattr(spec, kind) is not None:
                    message = f"an output of kind {kind} is refused by {', '.join(refused.targets)}: {refused.because}"
                    yield Finding(message, no_fix(refused.advice or "change the model"))


def _fix_for(view: ProgramView, site: Site, refused: Refused) -> Fix:
    if site.op is not None and site.op.role == "make-token":
        obstacle, becomes = view.token_obstacle(site), "becomes plain checks again"
    elif not refused.form:
        obstacle, becomes = refused.advice or "change the model", ""
    else:
        from graphlint.passes.forms import cast_obstacle, indexing_obstacle

        cast = refused.form == "cast"
        obstacle = cast_obstacle(view, site) if cast else indexing_obstacle(site)
        becomes = f"becomes {op_of('cast').name}" if cast else "is written with the indexed dimensions first"
    return Fix("safe", becomes) if obstacle is None else no_fix(obstacle)


def _has_gaps(site: Site) -> bool:
    """Whether a list of tensors that the node is given leaves some out."""
    return any(
        operand.arg.as_optional_tensors is not None and None in operand.arg.tensors() for operand in site.node.inputs
    )
