"""GL108: state that is written, and that the program has under several names."""

from collections.abc import Iterator, Sequence

from graphlint.rules.base import Finding, Rule, safe_fix
from graphlint.rules.fixers import Fixer, Made
from graphlint.rules.view import ProgramView
from graphlint.semantics.memory import Storage
from graphlint.semantics.sites import Site


def _names(view: ProgramView) -> dict[Storage, list[tuple[str, str]]]:
    """The inputs in each memory that is written and that several inputs hold: the values, and what the model calls
    them.
    """
    graph, found = view.program.graph, dict[Storage, list[tuple[str, str]]]()
    for spec, argument in zip(view.program.graph_module.signature.input_specs, graph.inputs, strict=True):
        for name in argument.tensors():
            if name is not None:
                for ref in view.memory.refs(graph, name):
                    found.setdefault(ref.storage, []).append((name, spec.target or name))
    return {storage: found[storage] for storage in view.written_inputs if len(found.get(storage, ())) > 1}


def _writes(view: ProgramView, storages: set[Storage]) -> frozenset[int]:
    """Positions of the nodes that write to these, and to what is written together with them."""
    storages = set(storages)
    positions: set[int] = set()
    for _ in view.writes:
        reached = [one for one in view.writes if any(ref.storage in storages for ref in one.refs)]
        positions.update(one.site.position for one in reached)
        together = {ref.storage for one in view.writes if one.site.position in positions for ref in one.refs}
        if together <= storages:
            break
        storages |= together
    return frozenset(positions)


def _merge(view: ProgramView, sites: Sequence[Site]) -> Made:
    from graphlint.passes.inputs import merged_inputs

    names = _names(view)
    chosen = {storage for storage in names if view.written_inputs[storage] in (None, *sites)}
    chosen = {one for one in chosen if one not in view.stays and _obstacle(view, names[one]) is None}
    positions = _writes(view, chosen)
    program = view.plan_of(positions).assemble() if positions else view.program
    others = {name: names[storage][0][0] for storage in chosen for name, _ in names[storage][1:]}
    lost = {one.site.position: one.site.node.target for one in view.writes if one.site.position in positions}
    return Made(merged_inputs(program, others), lost=tuple(lost.values()))


def _obstacle(view: ProgramView, names: Sequence[tuple[str, str]]) -> str | None:
    """Why one name cannot stand for the others, or None."""
    first, *others = (_layout(view, name) for name, _ in names)
    for other, (name, _) in zip(others, names[1:], strict=True):
        if first is None or other != first:
            return f"%{name} shows its memory in another shape"
    return None


def _layout(view: ProgramView, name: str) -> tuple[object, ...] | None:
    meta = view.program.graph.meta(name)
    return None if meta is None else (meta.dtype, meta.shape, meta.stride)


class SharedState(Rule):
    """State that the program writes, and has under several names.

    ## What it does
    Flags buffers and parameters that are written while another input is in the same memory: two modules that hold one
    tensor. Off by default: eager torch runs such programs.

    ## Why is this bad?
    What decomposes the program (`run_decompositions`, the exporters of most targets) refuses a written input that
    another one aliases, even one that nothing reads.

    ## Example
    With `--target inductor`, where `one.keys` and `two.keys` are stored as one tensor:
    ```python --target inductor
    class Layer(torch.nn.Module):
        def __init__(self, keys):
            super().__init__()
            self.register_buffer("keys", keys)

        def forward(self, x):
            return self.keys.add_(x)


    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            keys = torch.zeros(3, 4)
            self.one, self.two = Layer(keys), Layer(keys)  # one tensor, two names

        def forward(self, x):
            return self.one(x) + self.two.keys
    ```
    ```graph target=inductor
    graph(%b_one: f32[4] = buffer "one.keys", %b_two: f32[4] = buffer "two.keys", %x: f32[4]):
      %add_: f32[4] = aten.add_.Tensor(%b_one, %x)
      %sum: f32[4] = aten.add.Tensor(%b_two, %x)
      return %sum
    ```

    ## Use instead
    ```python --target inductor
    class Layer(torch.nn.Module):
        def forward(self, keys, x):
            return keys.add_(x)


    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("keys", torch.zeros(3, 4))  # the layers are handed what they share
            self.one = Layer()

        def forward(self, x):
            return self.one(self.keys, x) + self.keys
    ```
    ```graph target=inductor
    graph(%b_one: f32[4] = buffer "one.keys", %x: f32[4]):
      %add: f32[4] = aten.add.Tensor(%b_one, %x)
      %sum: f32[4] = aten.add.Tensor(%add, %x)
      return buffer "one.keys" <- %add, %sum
    ```

    ## Fix safety
    Safe, but for the state dict: the writes become functional, the first name stands for all, and the others are gone
    from the module's state dict.
    """

    code = "GL108"
    enabled_by_default = False
    fix = "safe"
    fixer = Fixer(45, _merge)
    fix_sometimes = True
    follows_fixes = True

    def check(self, view: ProgramView) -> Iterator[Finding]:
        """One finding for each such tensor."""
        found = _names(view)
        for storage, names in found.items():
            (_, first), *others = names
            site = view.written_inputs[storage]
            listed = ", ".join(f"'{name}'" for _, name in others)
            obstacle = view.stays.get(storage) or _obstacle(view, names)
            what = f"becomes functional, and '{first}' stands for {listed}, which is gone from the state dict"
            message = f"{storage.kind} '{first}' is written, and shares its memory with {listed}"
            yield Finding(message, safe_fix(what, obstacle), site)
