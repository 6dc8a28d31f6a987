"""GL309: programs that were exported in train mode."""

from collections.abc import Iterator, Sequence

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.diagnostics import Fix
from graphlint.rules.fixers import Fixer, Made
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site
from graphlint.semantics.training import training_sites


def _evaluate(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.evaluation import evaluate

    made = evaluate(view)
    return Made(made.program, lost=made.lost)


class TrainMode(Rule):
    """A program that was exported in train mode.

    ## What it does
    Flags programs with dropout, batch norm and the like as they are in train mode: once, before all other findings,
    with how many there are. GL303 reports each dropout, GL107 each update of statistics.

    A normalization that returns its new statistics, as `--fix` and `run_decompositions` make it, is not counted. Where
    a fix leaves nothing but such normalizations, a note says that the program was exported in train mode.

    ## Why is this bad?
    Usually `.eval()` was forgotten before the export: the artifact drops activations at inference, normalizes by what
    else is in the batch, and changes its statistics with each call (pytorch/executorch#1062, pytorch/pytorch#151726).

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))

        def forward(self, x):
            return self.layers(x)
    ```
    ```graph
    graph(%b_mean: f32[4] = buffer "mean", %b_var: f32[4] = buffer "var", %x: f32[2, 4]):
      %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, %b_mean, %b_var, True, 0.1, 1e-05, True)
      %z: f32[2, 4] = aten.dropout.default(%y, 0.5, True)
      return %z
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5))

        def forward(self, x):
            return self.layers(x)


    model, inputs = Model().eval(), (torch.randn(3, 4),)
    ```
    ```graph
    graph(%b_mean: f32[4] = buffer "mean", %b_var: f32[4] = buffer "var", %x: f32[2, 4]):
      %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, %b_mean, %b_var, False, 0.1, 1e-05, True)
      %z: f32[2, 4] = aten.dropout.default(%y, 0.5, False)
      return %z
    ```

    ## Fix safety
    Unsafe: the program becomes what the same model is after `.eval()`, which computes something else on purpose. Where
    training is meant, leave it out, and ignore the rule. What the model itself asks of its mode (`if self.training:`),
    and attention that is given a rate to drop at (GL302), stays as it was exported.
    """

    code = "GL309"
    advice = "call `model.eval()` before exporting"
    fix = "unsafe"
    fixer = Fixer(15, _evaluate)
    leads = True
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for the program."""
        sites = training_sites(view)
        if not sites:
            return
        from graphlint.passes.evaluation import evaluation_obstacle

        dropouts = sum(1 for site in sites if site.op is not None and site.op.dropout)
        norms = sum(1 for site in sites if site.op is not None and site.op.hidden_writes is not None)
        counted = (("dropout", dropouts), ("norm", norms), ("other op", len(sites) - dropouts - norms))
        what = ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counted if count)
        obstacle = evaluation_obstacle(view)
        fix = no_fix(obstacle) if obstacle else Fix("unsafe", "puts the exported program into eval mode")
        yield Finding(f"exported in train mode: {what}", fix)
