"""GL501 to GL503: what a functional program's label and signature say."""

from collections.abc import Iterator
from typing import Final

from graphlint.ir.edit import mutated
from graphlint.rules.base import LIFTING, LIFTING_SAFETY, Finding, Rule, lifting, no_fix
from graphlint.rules.diagnostics import Fix
from graphlint.rules.fixers import LIFT_STATE, RELABEL
from graphlint.rules.view import ProgramView
from graphlint.semantics.memory import Storage


class TrainingDialect(Rule):
    """A functional graph that is still labelled as training dialect.

    ## What it does
    Flags programs without any effect whose label is `TRAINING`. Off by default.

    ## Why is this bad?
    Backends look at the label: Core ML refuses everything but ATEN and EDGE (apple/coremltools#2743).

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.sin()


    model, inputs = Model(), (torch.randn(3, 4),)
    program = torch.export.export(model, inputs)
    torch.export.save(program, "model.pt2")
    ```
    ```graph
    program TRAINING
    graph(%x: f32[4]):
      %sin: f32[4] = aten.sin.default(%x)
      return %sin
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.sin()


    model, inputs = Model(), (torch.randn(3, 4),)
    program = torch.export.export(model, inputs)
    torch.export.save(program.run_decompositions({}), "model.pt2")
    ```
    ```graph
    program ATEN
    graph(%x: f32[4]):
      %sin: f32[4] = aten.sin.default(%x)
      return %sin
    ```

    ## Fix safety
    Safe: the label changes, nothing else. Every fix that makes a program functional relabels it too.
    """

    code = "GL501"
    follows_fixes = True
    fix = "safe"
    fixer = RELABEL
    severity = "warning"
    enabled_by_default = False

    def check(self, view: ProgramView) -> Iterator[Finding]:
        if view.labelled_wrongly:
            what = "is functional" if view.functional else "writes nothing"
            yield Finding(f"the graph {what} but is labelled TRAINING", Fix("safe", "is relabelled ATEN"))


class MutationOutput(Rule):
    """A mutation that the signature declares.

    ## What it does
    Flags outputs that are written back to a buffer, parameter or user input. Off by default: such a program is
    functional.

    ## Why is this bad?
    Some backends drop the write-back or refuse it.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.count.add_(1)
            return x * self.count


    model, inputs = Model(), (torch.randn(3, 4),)
    program = torch.export.export(model, inputs)
    torch.export.save(program.run_decompositions({}), "model.pt2")
    ```
    ```graph
    graph(%b_count: f32[1] = buffer "count", %x: f32[4]):
      %add: f32[1] = aten.add.Tensor(%b_count, 1)
      return buffer "count" <- %add, %x
    ```

    ## Use instead
    State that the caller holds:
    ```python
    class Model(torch.nn.Module):
        def forward(self, x, count):
            count = count + 1
            return x * count, count


    model, inputs = Model(), (torch.randn(3, 4), torch.zeros(1))
    program = torch.export.export(model, inputs)
    torch.export.save(program.run_decompositions({}), "model.pt2")
    ```
    ```graph
    graph(%x: f32[4], %count: f32[1]):
      %count_out: f32[1] = aten.add.Tensor(%count, 1)
      return %x, %count_out
    ```
    """

    code = "GL502"
    follows_fixes = True
    fix = "safe"
    option = LIFTING
    fix_safety = LIFTING_SAFETY
    fixer = LIFT_STATE
    fix_sometimes = True
    severity = "warning"
    enabled_by_default = False

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for spec in view.program.graph_module.signature.output_specs:
            target = mutated(spec)
            if target is not None:
                what = target[0].removesuffix("_mutation").replace("_", " ")
                fix = lifting(view, "becomes an input and an output", view.state_obstacles[target])
                yield Finding(f"{what} '{target[1]}' is written back by the caller", fix)


class AliasedOutput(Rule):
    """An output that shares storage with an input or with another output.

    ## What it does
    Flags results that are an input, a view of one, or a view of another result. Off by default.

    ## Why is this bad?
    Writing to such a result changes the other; backends return copies instead, so the behaviour differs.

    ## Example
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.t()
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %t: f32[4, 3]{1, 4} = aten.t.default(%x)
      return %t
    ```

    ## Use instead
    ```python
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.t().clone()
    ```
    ```graph
    graph(%x: f32[3, 4]):
      %t: f32[4, 3]{1, 4} = aten.t.default(%x)
      %clone: f32[4, 3]{1, 4} = aten.clone.default(%t)
      return %clone
    ```
    """

    code = "GL503"
    follows_fixes = True
    severity = "warning"
    enabled_by_default = False

    def check(self, view: ProgramView) -> Iterator[Finding]:
        specs = view.program.graph_module.signature.output_specs
        shown: dict[Storage, str] = {}
        for index, output in enumerate(view.program.graph.outputs):
            if specs[index].user_output is None:
                continue
            for name in output.tensors():
                for ref in view.memory.refs(view.program.graph, name) if name is not None else ():
                    may, storage = "shares" if ref.certain else "may share", ref.storage
                    if storage.kind not in ("intermediate", "unknown"):
                        whose = f"{storage.kind} '{storage.name or storage.value}'"
                        yield Finding(f"output %{name} {may} storage with {whose}", _KEPT)
                    elif storage in shown:
                        yield Finding(f"output %{name} {may} storage with output %{shown[storage]}", _KEPT)
                    shown.setdefault(storage, str(name))


_KEPT: Final = no_fix("part of the program's interface")
