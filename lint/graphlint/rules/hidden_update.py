"""GL107: running statistics that are written without the schema saying so."""

from __future__ import annotations

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule
from graphlint.rules.diagnostics import WrittenStorage
from graphlint.rules.fixers import FUNCTIONALIZE
from graphlint.rules.mutation import write_fix
from graphlint.rules.view import ProgramView
from graphlint.semantics.analysis import Write


class HiddenUpdate(Rule):
    """A normalization that updates its running statistics without its schema saying so.

    ## What it does
    Flags `batch_norm` in training mode, `instance_norm` with running statistics and the like.

    ## Why is this bad?
    The schema promises a pure function, so every tool that trusts schemas loses the update: the statistics stay
    what they were at export (pytorch/executorch#2389, pytorch/pytorch#151726). Often it is a model that was
    exported without `.eval()`.

    ## Example
    ```graph
    graph(%b_mean: f32[4] = buffer "mean", %b_var: f32[4] = buffer "var", %x: f32[2, 4]):
      %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, %b_mean, %b_var, True, 0.1, 1e-05, True)
      return %y
    ```

    ## Use instead
    ```graph
    graph(%b_mean: f32[4] = buffer "mean", %b_var: f32[4] = buffer "var", %x: f32[2, 4]):
      %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, %b_mean, %b_var, False, 0.1, 1e-05, True)
      return %y
    ```

    ## Fix safety
    Safe: the statistics become results of their own, written back to the buffers at the end.

    ## References
    pytorch/executorch#2389, pytorch/pytorch#151726
    """

    code = "GL107"
    name = "hidden-update"
    fix = "safe"
    fixer = FUNCTIONALIZE
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such node, whatever number of statistics it writes."""
        groups: dict[int, list[Write]] = {}
        for write in view.writes:
            op = write.site.op
            if op is not None and write.argument not in op.writes and op.kind != "collective":
                groups.setdefault(write.site.position, []).append(write)
        for writes in groups.values():
            first = writes[0]
            written = " and ".join(WrittenStorage.of(write).describe() for write in writes)
            message = f"{first.site.name} writes {written} without its schema saying so"
            yield Finding(message, write_fix(view, first), first.site, WrittenStorage.of(first))
