"""GL608, GL609 and GL611: what a target sets limits to, dtypes and the numbers of nodes and of dimensions."""

from collections.abc import Iterable, Iterator
from typing import Final

from graphlint.ir.dtypes import DTYPES
from graphlint.ir.edit import every_graph
from graphlint.ir.model import Graph, TensorMeta
from graphlint.ops.info import OpInfo, StepKind
from graphlint.rules.base import Finding, Rule, no_fix
from graphlint.rules.settings import Most, TakenDtypes
from graphlint.rules.view import ProgramView
from graphlint.semantics.memory import Storage
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
        for what, storage, meta in _inputs(view):
            kinds = {None, "inputs" if storage.kind == "user input" else "stored"}
            kinds |= {"state"} if storage in view.written_inputs and storage.kind != "user input" else set()
            said = _said((taken for taken in view.profile.dtypes if taken.of in kinds), [meta])
            if said is not None:
                yield Finding(f"{what} is {said}", no_fix(_DTYPES_STAY), advice="give it another dtype")
        returned = [taken for taken in view.profile.dtypes if taken.of == "outputs"]
        specs = view.program.graph_module.signature.output_specs
        for spec, output in zip(specs, graph.outputs, strict=True) if returned else ():
            said = _said(returned, map(graph.meta, output.names())) if spec.user_output is not None else None
            if said is not None:
                what = f"output %{output.names()[0]} is {said}"
                yield Finding(what, no_fix(_DTYPES_STAY), advice="give it another dtype")
        for site in walk(view.program, view.ops, lambda op: False):
            said = _said(everywhere, map(site.scope.graph.meta, site.node.results()))
            if said is not None:
                advice = "compute it in another dtype"
                yield Finding(f"{site.name} makes {said}", no_fix(_DTYPES_STAY), site, advice=advice)


def _inputs(view: ProgramView) -> Iterator[tuple[str, Storage, TensorMeta]]:
    """The tensors that the program is given or holds: in words, as memory, and what is recorded of them."""
    graph = view.program.graph
    for name in (name for one in graph.inputs for name in one.tensors() if name is not None):
        meta = graph.meta(name)
        if meta is not None:
            for storage in {ref.storage for ref in view.memory.refs(graph, name)}:
                yield f"{storage.kind.removeprefix('user ')} '{storage.name or name}'", storage, meta


def _said(said: Iterable[TakenDtypes], tensors: Iterable[TensorMeta | None]) -> str | None:
    """Which of the tensors' dtypes is not taken, and by whom; None if all are."""
    dtypes = {meta.dtype for meta in tensors if meta is not None}
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
        if number > most.number:
            message = f"there are {number:,} nodes; {_at_most(most)}"
            advice = "make the model smaller, or split it"
            yield Finding(message, no_fix("a fix makes no program smaller"), advice=advice)


class TooManyDimensions(Rule):
    """A tensor of more dimensions than a target takes.

    ## What it does
    Flags inputs, and nodes that make a tensor, of more dimensions than the target takes: Core ML knows five, and
    `max-dimensions` says it for a target of one's own. Tensors that reshapes and permutations alone make of one of
    fewer, and into one, do not count (the windows of a vision transformer, `pixel_shuffle` by hand): consumers do
    that in steps.

    ## Why is this bad?
    The consumer refuses the program.

    ## Example
    ```python --target coreml
    class Model(torch.nn.Module):
        def forward(self, x):
            return (x.reshape(1, 1, 1, 1, 3, 4) * 2).sum(0)
    ```

    ## Use instead
    ```python --target coreml
    class Model(torch.nn.Module):
        def forward(self, x):
            return (x * 2).reshape(1, 1, 1, 3, 4)
    ```
    """

    code = "GL611"
    follows_fixes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        most = view.profile.most_dimensions
        if most is None:
            return
        why, advice = no_fix("a fix changes no shape"), "join dimensions, or split the tensor"
        for what, _, meta in _inputs(view):
            if len(meta.shape) > most.number:
                yield Finding(f"{what} has {len(meta.shape)} dimensions; {_at_most(most)}", why, advice=advice)
        passing: dict[int, set[str]] = {}
        for site in walk(view.program, view.ops, lambda op: False):
            graph = site.scope.graph
            made = [name for name in site.node.results() if _dimensions(graph, name) > most.number]
            if made and id(graph) not in passing:
                passing[id(graph)] = _passing(view, graph, most.number)
            counted = [name for name in made if name not in passing[id(graph)]]
            if counted:
                message = f"{site.name} makes a tensor of {_dimensions(graph, counted[0])} dimensions; {_at_most(most)}"
                yield Finding(message, why, site, advice=advice)


def _at_most(most: Most) -> str:
    """Who takes how many, and why."""
    because = f": {most.because}" if most.because else ""
    return f"{most.target} takes {most.number:,} at most{because}"


def _dimensions(graph: Graph, name: str) -> int:
    """How many a value has; 0 for what is no tensor."""
    meta = graph.meta(name)
    return len(meta.shape) if meta is not None else 0


def _passing(view: ProgramView, graph: Graph, most: int) -> set[str]:
    """The values that a reshape or permutation makes, and that one other such node reads, which makes a tensor of no
    more than ``most`` dimensions, or a value that is among these itself.
    """
    found: set[str] = set()
    returned = {name for output in graph.outputs for name in output.names()}
    rearranging = [_rearranges(view.ops.lookup(node.target)) for node in graph.nodes]
    for node, alone in zip(reversed(graph.nodes), reversed(rearranging), strict=True):
        for name in node.results() if alone else ():
            readers = graph.survey.readers.get(name, ())
            if name in returned or len(readers) != 1 or not rearranging[readers[0]]:
                continue
            later = graph.nodes[readers[0]].results()
            if all(_dimensions(graph, one) <= most or one in found for one in later):
                found.add(name)
    return found


def _rearranges(op: OpInfo | None) -> bool:
    """Whether an op does nothing but move elements: to other dimensions, to another shape, to memory of their own."""
    if op is None:
        return False
    return op.role == "copy" or (bool(op.view) and all(step.kind in _REARRANGING for step in op.view))


_REARRANGING: Final[frozenset[StepKind]] = frozenset({"identity", "reshape", "permute", "transpose", "move", "reverse"})
