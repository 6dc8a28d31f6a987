"""GL304 and GL305: ops that are not of torch."""

from __future__ import annotations

from collections.abc import Iterator

from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.diagnostics import WrittenStorage
from graphlint.rules.view import ProgramView


class MutableCustomOp(Rule):
    """A custom op that is known to write its arguments.

    ## What it does
    Flags custom ops that the configuration (`[tool.graphlint.ops]`) declares to write, and Triton kernels that do.

    ## Why is this bad?
    Only torch knows what such an op does to its arguments; other backends take it for a pure function
    (pytorch/executorch#4042).

    ## Use instead
    A custom op that returns its result, or `auto_functionalized`, which export uses below the training dialect.
    """

    code = "GL304"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        written = {write.site.position: write for write in reversed(view.writes)}
        for site in view.sites:
            if site.op is None:
                continue
            if site.op.source == "configuration" and site.op.writes:
                write = written.get(site.position)
                storage = WrittenStorage.of(write) if write is not None else None
                what = storage.describe() if storage is not None else "its arguments"
                yield Finding(
                    f"{site.name} writes {what}", no_fix("what a custom op computes is not known"), site, storage
                )
            elif site.op.kind == "mutation":
                yield Finding(
                    f"{site.name} writes its arguments", no_fix("what the kernel computes is not known"), site
                )


class UnknownOp(Rule):
    """An op that nobody has told graphlint about.

    ## What it does
    Flags ops that are in no namespace of torch's, and that the configuration does not declare.

    ## Why is this bad?
    Nobody can tell whether the graph is functional. Declare what the op does:
    ```toml
    [tool.graphlint.ops]
    "mylib.scale_" = { writes = ["x"] }
    "mylib.norm" = {}            # functional
    ```

    ## Example
    ```graph
    graph(%x: f32[3, 4]):
      %y: f32[3, 4] = mylib.norm.default(%x)
      return %y
    ```
    """

    code = "GL305"
    severity = "warning"

    def check(self, view: ProgramView) -> Iterator[Finding]:
        for site in view.sites:
            if site.op is not None:
                continue
            packet = site.name.rpartition(".")[0] if site.name.count(".") > 1 else site.name
            tensors = [operand.name for operand in site.node.inputs if operand.arg.tensors() and operand.name]
            example = tensors[0] if tensors else "x"
            advice = (
                f'declare it under [tool.graphlint.ops]: "{packet}" = {{}} if it is functional, '
                f'"{packet}" = {{ writes = ["{example}"] }} if it writes'
            )
            yield Finding(f"nobody has said what {site.name} does", no_fix(advice), site)
