"""GL302 and GL303: draws from the global random number generator."""

from __future__ import annotations

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.view import ProgramView


class RandomOp(Rule):
    """An op that draws from the global random number generator.

    ## What it does
    Flags ops that torch tags as nondeterministic (seeded), where they draw for the arguments given. Training
    dropout has a rule of its own (GL303).

    ## Why is this bad?
    The result depends on hidden state: two runs differ, a backend's generator draws other numbers than torch's
    (pytorch/executorch#4462), and reordering ops changes what each of them draws.

    ## Example
    ```graph
    graph(%x: f32[3, 4]):
      %noise: f32[3, 4] = aten.rand_like.default(%x)
      %add: f32[3, 4] = aten.add.Tensor(%x, %noise)
      return %add
    ```

    ## Use instead
    Pass the noise in:
    ```graph
    graph(%x: f32[3, 4], %noise: f32[3, 4]):
      %add: f32[3, 4] = aten.add.Tensor(%x, %noise)
      return %add
    ```
    """

    code = "GL302"
    severity = "warning"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.draws(site.node) and not site.op.dropout:
                message = f"{site.name} draws from the global random number generator"
                yield Finding(message, no_fix("a draw has no functional form: pass the random values in"), site)


class TrainingDropout(Rule):
    """Dropout that was exported in training mode.

    ## What it does
    Flags dropout with `train=True` and a rate that drops something.

    ## Why is this bad?
    The artifact drops activations at inference. Usually `.eval()` was forgotten before the export
    (pytorch/executorch#1062); some backends ignore the flag, so results differ from torch's.

    ## Example
    ```graph
    graph(%x: f32[3, 4]):
      %dropout: f32[3, 4] = aten.dropout.default(%x, 0.5, True)
      return %dropout
    ```

    ## Use instead
    ```graph
    graph(%x: f32[3, 4]):
      %dropout: f32[3, 4] = aten.dropout.default(%x, 0.5, False)
      return %dropout
    ```
    """

    code = "GL303"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.dropout and site.op.draws(site.node):
                yield Finding(
                    f"{site.name} was exported in training mode",
                    no_fix("call .eval() before the export, unless this is meant"),
                    site,
                )
