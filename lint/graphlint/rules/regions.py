"""GL401 to GL403: regions and subgraphs."""

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule, no_fix, safe_fix
from graphlint.rules.fixers import CAST, INLINE
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site, inlining_obstacle


class GradModeRegion(Rule):
    """A region that turns gradients on or off.

    ## What it does
    Flags `wrap_with_set_grad_enabled`, which export writes for `torch.no_grad()` and the like.

    ## Why is this bad?
    Backends do not know the op (pytorch/executorch#22069), although a forward pass computes the same without it.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            with torch.no_grad():
                scale = x.abs().amax()
            return x / scale
    ```
    ```graph
    graph(%x: f32[4]):
      %z: f32[4] = higher_order.wrap_with_set_grad_enabled(False, @region, %x)
        @region(%x: f32[4]):
          %mul: f32[4] = aten.mul.Tensor(%x, 2)
          return %mul
      return %z
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            scale = x.abs().amax().detach()
            return x / scale
    ```
    ```graph
    graph(%x: f32[4]):
      %mul: f32[4] = aten.mul.Tensor(%x, 2)
      %z: f32[4] = aten.detach.default(%mul)
      return %z
    ```

    ## Fix safety
    Safe: the region is inlined, and what it returned is detached, so that autograd sees the same. A region stays
    where something in it has to stay an in-place write.
    """

    code = "GL401"
    advice = "export inside of `torch.no_grad()`"
    severity = "warning"
    fix = "safe"
    fixer = INLINE
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each region."""
        for site in view.sites:
            if site.op is not None and site.op.region == "gradients":
                enabled = site.node.inputs[0].arg.as_bool if site.node.inputs else None
                mode = {True: " on", False: " off", None: ""}[enabled]
                fix = safe_fix("is inlined, and its results detached", region_obstacle(view, site))
                yield Finding(f"{site.name} turns gradients{mode}", fix, site)


class AutocastRegion(Rule):
    """A region of automatic mixed precision.

    ## What it does
    Flags `wrap_with_autocast`.

    ## Why is this bad?
    The dtypes inside are decided by the running torch's autocast rules, not by the graph; backends do not know
    the op (pytorch/pytorch#136545).

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return x @ x


    model, inputs = Model(), (torch.randn(4, 4),)
    ```
    ```graph
    graph(%x: f32[4, 4]):
      %z: bf16[4, 4] = higher_order.wrap_with_autocast("cpu", torch.bfloat16, True, True, @region, %x)
        @region(%x: f32[4, 4]):
          %mm: bf16[4, 4] = aten.mm.default(%x, %x)
          return %mm
      return %z
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            x = x.bfloat16()
            return x @ x


    model, inputs = Model(), (torch.randn(4, 4),)
    ```
    ```graph
    graph(%x: f32[4, 4]):
      %left: bf16[4, 4] = aten._to_copy.default(%x, dtype=torch.bfloat16)
      %right: bf16[4, 4] = aten._to_copy.default(%x, dtype=torch.bfloat16)
      %mm: bf16[4, 4] = aten.mm.default(%left, %right)
      return %mm
    ```

    ## Fix safety
    Safe: the region is inlined, and what autocast casts is cast by the graph. Torch computes the same bits, the
    casts that autocast keeps of parameters included, wherever the program is called outside of autocast. A region
    stays, with those in it and around it, where it is not known what autocast makes of an op in it.
    """

    code = "GL402"
    advice = "cast in the model instead of using `torch.autocast`"
    severity = "warning"
    fix = "safe"
    fixer = CAST
    fix_sometimes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each region."""
        for site in view.sites:
            if site.op is not None and site.op.region == "autocast":
                obstacle = view.autocast.by_position[site.position].obstacle
                fix = safe_fix("is inlined, and its casts are written out", obstacle)
                yield Finding(f"{site.name} lets the running torch choose dtypes", fix, site)


class DeadEffect(Rule):
    """An effect inside a subgraph whose results are unused.

    ## What it does
    Flags calls of subgraphs (`cond`, `while_loop`, regions) that hold an effect (a check, a print, a write)
    while no output uses any of the call's results, and no op that is not dead itself.

    ## Why is this bad?
    Dead-code elimination takes the whole call away, and the effect with it.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, wanted, x):
            def check(x):
                torch.ops.aten._assert_async.msg(x.any(), "x is zero")
                return x.sin()

            torch.cond(wanted, check, torch.cos, (x,))  # the result is unused
            return x + 1


    model, inputs = Model(), (torch.tensor(True), torch.randn(4))
    ```
    ```graph
    graph(%p: b8[], %x: f32[4]):
      %unused: f32[4] = higher_order.cond(%p, @yes, @no, [%x])
        @yes(%x: f32[4]):
          %any_1: b8[] = aten.any.default(%x)
          aten._assert_async.msg(%any_1, "all zero")
          %sin: f32[4] = aten.sin.default(%x)
          return %sin
        @no(%x: f32[4]):
          %cos: f32[4] = aten.cos.default(%x)
          return %cos
      return %x
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, wanted, x):
            torch.ops.aten._assert_async.msg(~wanted | x.any(), "x is zero")
            return x + 1


    model, inputs = Model(), (torch.tensor(True), torch.randn(4))
    ```
    """

    code = "GL403"
    advice = "use a result of the call"
    follows_fixes = True  # a check that is removed may have been all that read the results

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such call; calls inside it are not reported again."""
        effects: dict[int, Site] = {}
        for site in view.sites:
            op = site.op
            if op is not None and (op.effect or op.returns_nothing or op.written(site.node)):
                for caller in site.scope.callers():
                    effects.setdefault(caller.position, site)
        dead: set[int] = set()
        for site in view.sites:
            effect = effects.get(site.position)
            if effect is None or view.is_used(site) or any(caller.position in dead for caller in site.scope.callers()):
                continue
            dead.add(site.position)
            message = f"the results of {site.name} are unused: dead-code elimination may remove {effect.name} inside it"
            yield Finding(message, no_fix("the effect inside has to be fixed first"), site)


def region_obstacle(view: ProgramView, site: Site) -> str | None:
    """Why the region at ``site`` cannot be inlined, or None.

    Writes inside count only where they cannot be functionalized, which happens before regions are inlined.
    """
    node = site.node
    obstacle = inlining_obstacle(site.scope.graph, node)
    if obstacle is not None or node.inputs[0].arg.as_bool is None:
        return obstacle or "it is recorded in a way that is not known"
    for storage in dict.fromkeys(
        ref.storage for name in node.results() for ref in view.memory.refs(site.scope.graph, name)
    ):
        for write in view.reshaping_writes.get(storage, ()):
            if write.site.position in view.write_plan.blocked:
                # Outside, a result may be the very tensor that was handed in; detached, it would be another.
                return f"{write.site.name} changes the sizes or strides of what it returns"
    for write in view.writes_within.get(site.position, ()):
        if write.site.position in view.write_plan.blocked:
            return f"{write.site.name} inside it is still written in place"
    return None
