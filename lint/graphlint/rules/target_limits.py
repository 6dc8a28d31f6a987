"""GL608 and GL609: what a target sets limits to, dtypes and the number of nodes."""

from collections.abc import Iterable, Iterator
from typing import Final

from graphlint.ir.edit import every_graph
from graphlint.ir.enums import DTYPES
from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.settings import TakenDtypes
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import walk

_OF: Final = {
    None: "",
    "inputs": " as inputs",
    "stored": " of what is stored",
    "state": " as state",
    "outputs": " as outputs",
}
"""What a limit is about, in words."""
_DTYPES_STAY: Final = "a fix changes no dtype"


class RefusedDtype(Rule):
    """A tensor of a dtype that a target does not take.

    ## What it does
    Flags inputs, parameters, buffers, constants, and nodes that make a tensor of another dtype than those that the
    target takes: Core ML knows no bfloat16, and `dtypes` says it for a target of one's own.

    ## Why is this bad?
    The consumer refuses it, or the device has no such numbers.

    ## Example
    ```toml
    [tool.graphlint.targets.phone]
    extends = "executorch"
    dtypes = ["float32", "int64", "bool"]
    ```
    With `--target phone`, where `double` makes float64:
    ```python --config 'targets.phone = { dtypes = ["float32", "int64", "bool"] }' --target phone
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.double().sum()
    ```

    ## Use instead
    A dtype that the target takes.
    ```python --config 'targets.phone = { dtypes = ["float32", "int64", "bool"] }' --target phone
    class Model(torch.nn.Module):
        def forward(self, x):
            return x.sum()
    ```
    """

    code = "GL608"
    follows_fixes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each input, then one for each node."""
        everywhere = [taken for taken in view.profile.dtypes if taken.of is None]
        if not view.profile.dtypes:
            return
        graph = view.program.graph
        for name in (name for one in graph.inputs for name in one.tensors() if name is not None):
            meta = graph.meta(name)
            for storage in {ref.storage for ref in view.memory.refs(graph, name)}:
                what = f"{storage.kind.removeprefix('user ')} '{storage.name or name}'"
                kinds = {None, "inputs" if storage.kind == "user input" else "stored"}
                kinds |= {"state"} if storage in view.written_inputs and storage.kind != "user input" else set()
                fitting = (taken for taken in view.profile.dtypes if taken.of in kinds)
                said = _said(fitting, {meta.dtype} if meta is not None else set())
                if said is not None:
                    yield Finding(f"{what} is {said}", no_fix(_DTYPES_STAY), advice="give it another dtype")
        returned = [taken for taken in view.profile.dtypes if taken.of == "outputs"]
        specs = view.program.graph_module.signature.output_specs
        for spec, output in zip(specs, graph.outputs, strict=True) if returned else ():
            metas = [graph.meta(name) for name in output.tensors() if name is not None and spec.user_output is not None]
            said = _said(returned, {meta.dtype for meta in metas if meta is not None})
            if said is not None:
                yield Finding(
                    f"output %{output.names()[0]} is {said}", no_fix(_DTYPES_STAY), advice="give it another dtype"
                )
        for site in walk(view.program, view.ops, lambda op: False):
            metas = [site.scope.graph.meta(name) for name in site.node.results()]
            said = _said(everywhere, {meta.dtype for meta in metas if meta is not None})
            if said is not None:
                advice = "compute it in another dtype"
                yield Finding(f"{site.name} makes {said}", no_fix(_DTYPES_STAY), site, advice=advice)


def _said(said: Iterable[TakenDtypes], dtypes: set[int]) -> str | None:
    """Which dtype is not taken, and by whom; None if all are."""
    for taken in said:
        for dtype in sorted(dtypes):
            name = DTYPES.get(dtype, f"of dtype {dtype}")
            if name not in taken.dtypes:
                because = f": {taken.because}" if taken.because else ""
                return f"{name}; {taken.target} takes {', '.join(taken.dtypes)} only{_OF[taken.of]}{because}"
    return None


class TooManyNodes(Rule):
    """A program of more nodes than a target takes.

    ## What it does
    Flags programs that have more nodes, those of subgraphs included, than the target takes (`max-nodes`
    of a target of one's own). `graphlint show` prints how many there are.

    ## Why is this bad?
    Who runs the artifact has set the limit: so much memory, so much time to compile.

    ## Example
    ```toml
    [tool.graphlint.targets.phone]
    extends = "executorch"
    max-nodes = 5000
    ```
    ```python --config 'targets.phone.max-nodes = 3' --target phone
    class Model(torch.nn.Module):
        def forward(self, x):
            for _ in range(4):
                x = x + 1
            return x
    ```

    ## Use instead
    A smaller model, or several.
    ```python --config 'targets.phone.max-nodes = 3' --target phone
    class Model(torch.nn.Module):
        def forward(self, x):
            return x + 4
    ```
    """

    code = "GL609"
    follows_fixes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        most = view.profile.most_nodes
        if most is None:
            return
        number = sum(len(graph.nodes) for graph in every_graph(view.program.graph))
        if number > most.nodes:
            because = f": {most.because}" if most.because else ""
            message = f"there are {number:,} nodes; {most.target} takes {most.nodes:,} at most{because}"
            advice = "make the model smaller, or split it"
            yield Finding(message, no_fix("a fix makes no program smaller"), advice=advice)
