"""GL301: ops that print."""

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.diagnostics import Fix
from graphlint.rules.fixers import REMOVE
from graphlint.rules.view import ProgramView


class Print(Rule):
    """An op that prints.

    ## What it does
    Flags `aten._print` and `higher_order.print`.

    ## Why is this bad?
    Printing is an effect that no value depends on. Backends drop it or fail on it.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten._print("step")
            return x + 1
    ```
    ```graph
    graph(%x: f32[3, 4]):
      aten._print.default("step")
      return %x
    ```

    ## Use instead
    Remove the call before the export.
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + 1
    ```

    ## Fix safety
    Unsafe: the op is removed, so nothing is printed any more.
    """

    code = "GL301"
    advice = "remove the print before exporting"
    fix = "unsafe"
    fixer = REMOVE

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None and site.op.kind == "print":
                fix = no_fix("its results are used") if site.node.results() else Fix("unsafe", "is removed")
                yield Finding(f"{site.name} prints", fix, site)
