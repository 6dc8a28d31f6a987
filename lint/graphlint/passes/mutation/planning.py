"""Which writes can be functionalized: what can be told beforehand, and what comes up on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from graphlint.ir.arguments import Json, value_names
from graphlint.ir.document import Document
from graphlint.passes.mutation.rewriting import Rewriter
from graphlint.passes.mutation.tracking import Blocked
from graphlint.semantics.aliasing import Storage
from graphlint.semantics.calls import convention
from graphlint.semantics.gradients import Autograd
from graphlint.semantics.sites import Site
from graphlint.semantics.view import TOGETHER, ProgramView, Write

_IN_PLACE_VIEWS: Final = frozenset(
    {"t_", "transpose_", "squeeze_", "unsqueeze_", "swapdims_", "swapaxes_", "as_strided_", "detach_"}
)
_WRITTEN_BACK: Final[dict[str, str]] = {"buffer": "a buffer", "user input": "an input"}
"""What is written back with ``copy_`` and may require gradients. Parameters are looked at on their own; what a constant
records is not so, for torch detaches constants on loading.
"""
_REQUIRES_GRADIENTS: Final = "stock torch cannot write {} back that requires gradients"
_PARAMETER_OUTPUTS: Final = (8, 14)
"""The schema from which on a parameter can have a mutation output (torch 2.9)."""
_OLDEST_MAJOR: Final = 5
"""The schema major of torch 2.3; earlier exports wrote functional graphs only."""


class Plan(msgspec.Struct, frozen=True, eq=False):
    """What functionalizing a program comes to."""

    assemble: Callable[[], Json]
    """Gives the program with everything functionalized that can be. A check asks for the rest only."""
    blocked: dict[int, str]
    """Writes that stay: the position of the node to the reason."""
    fixed: frozenset[int]
    """Positions of the nodes whose writes are gone."""


def plan(document: Document, view: ProgramView, selected: frozenset[int] | None = None) -> Plan:
    """Functionalize what can be; ``selected`` are the positions of the nodes whose writes may go (default: all).

    ``view`` is the view of the same program.
    """
    writes = list(view.writes)
    blocked = _obstacles(document, view, writes)
    if selected is not None:
        for write in writes:
            if write.site.position not in selected:
                for alias in write.aliases:
                    blocked.setdefault(alias.storage, "a write to the same tensor is not to be fixed")
    while True:
        active = _active(writes, blocked)
        if not active:
            assemble = _unchanged(document)
            break
        try:
            assemble = Rewriter(document, view, active).run()
            _keep_effects_alive(document, view, assemble, active)
            break
        except Blocked as reason:
            for storage in reason.storages:
                blocked.setdefault(storage, reason.reason)
            if not reason.storages & active:
                raise AssertionError(f"blocked for a storage that is not written: {reason}") from reason
    reasons: dict[int, str] = {}
    fixed: set[int] = set()
    for write in writes:
        reason_for = next((blocked[a.storage] for a in write.aliases if a.storage in blocked), None)
        if reason_for is not None:
            reasons.setdefault(write.site.position, reason_for)
        else:
            fixed.add(write.site.position)
    return Plan(assemble, reasons, frozenset(fixed - reasons.keys()))


def _keep_effects_alive(
    document: Document, view: ProgramView, assemble: Callable[[], Json], active: set[Storage]
) -> None:
    """Raises :class:`Blocked` where nobody uses any more what a call of a subgraph returns, although effects are left
    inside: dead-code elimination would take them away.
    """
    calls = {
        (caller.scope.path, caller.node.results()[0]): caller
        for site in view.sites
        if site.scope.caller is not None and _stays(site, view, active)
        for caller in site.scope.callers()
        if caller.node.results()
    }
    if not calls:
        return
    dead = set(_dead_calls(assemble()["graph_module"]["graph"])).intersection(calls)
    if dead:
        dead.difference_update(_dead_calls(document.tree["graph_module"]["graph"]))
    for place in dead:
        caller = calls[place]
        shown = {alias.storage for name in caller.node.results() for alias in view.aliasing.aliases(caller.scope, name)}
        if not shown.isdisjoint(active):
            raise Blocked(list(shown & active), f"nobody would use what {caller.name} returns, which holds an effect")


def _stays(site: Site, view: ProgramView, active: set[Storage]) -> bool:
    """Whether the node is left with an effect."""
    op = site.op
    if op is None or op.effect or op.returns_nothing:
        return True
    written = (alias for _, _, aliases in view.aliasing.written(site) for alias in aliases)
    return any(alias.storage not in active for alias in written)


def _dead_calls(graph: Json, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """The calls of subgraphs whose results nobody uses: path of the graph and first result."""
    used = {name for output in graph["outputs"] for name in value_names(output)}
    for node in graph["nodes"]:
        used.update(name for operand in node["inputs"] for name in value_names(operand["arg"]))
    for node in graph["nodes"]:
        references = [one for operand in node["inputs"] if (one := operand["arg"].get("as_graph"))]
        if not references:
            continue
        results = [name for output in node["outputs"] for name in value_names(output)]
        if results and used.isdisjoint(results):
            yield path, results[0]
        label = node["target"].rpartition(".")[2]
        for reference in references:
            yield from _dead_calls(reference["graph"], (*path, label, reference["name"]))


def _unchanged(document: Document) -> Callable[[], Json]:
    return lambda: document.tree


def _active(writes: list[Write], blocked: dict[Storage, str]) -> set[Storage]:
    """The storages to functionalize: written and not blocked, nor written together with a blocked one."""
    groups: dict[int, list[Storage]] = {}
    for write in writes:
        groups.setdefault(write.site.position, []).extend(alias.storage for alias in write.aliases)
    changed = True
    while changed:
        changed = False
        for storages in groups.values():
            reason = next((blocked[storage] for storage in storages if storage in blocked), None)
            if reason is None:
                continue
            for storage in storages:
                if storage not in blocked:
                    blocked[storage] = TOGETHER + reason.removeprefix(TOGETHER)
                    changed = True
    return {storage for storages in groups.values() for storage in storages if storage not in blocked}


def _obstacles(document: Document, view: ProgramView, writes: list[Write]) -> dict[Storage, str]:
    """What can be told without rewriting anything."""
    blocked: dict[Storage, str] = {}
    schema = view.program.schema
    written = {alias.storage for write in writes for alias in write.aliases}
    if _has_unknown_specs(view):
        blocked.update(dict.fromkeys(written, "the signature has an input or output of a kind that is not known"))
    for write in writes:
        reason = _write_obstacle(write, schema, view)
        if reason is not None:
            for alias in write.aliases:
                blocked.setdefault(alias.storage, reason)
    for storage in _leaves(written, writes, view):
        blocked.setdefault(storage, _REQUIRES_GRADIENTS.format(_WRITTEN_BACK[storage.kind]))
    for name, aliases in view.aliasing.uncertain():
        for alias in aliases:
            if alias.storage in written:
                blocked.setdefault(alias.storage, f"whether %{name} shares its memory is not known")
    for node, aliases in view.aliasing.opaque_uses():
        for alias in aliases:
            if alias.storage in written:
                blocked.setdefault(alias.storage, f"whether {node.op} writes, keeps or returns it is not known")
    return blocked


def _leaves(written: set[Storage], writes: list[Write], view: ProgramView) -> Iterator[Storage]:
    """The inputs and buffers that are written, but require gradients."""
    metas = {one: view.program.graph.meta(one.value) for one in written if one.kind in _WRITTEN_BACK}
    demanding = {one for one, meta in metas.items() if meta is not None and meta.requires_grad}
    if demanding:
        autograd = Autograd(view.ops)
        seen = {alias.storage for write in writes if autograd.sees(write) for alias in write.aliases}
        yield from demanding - seen


def _has_unknown_specs(view: ProgramView) -> bool:
    signature = view.program.graph_module.signature
    specs = (*(signature.input_specs or ()), *(signature.output_specs or ()))
    return any(all(getattr(spec, kind) is None for kind in spec.__struct_fields__) for spec in specs)


def _write_obstacle(write: Write, schema: tuple[int, int], view: ProgramView) -> str | None:
    op = write.site.op
    if op is None or op.source == "configuration":
        return f"what {write.site.name} computes is not known"
    if op.kind is not None:
        return f"{op.name} has effects beyond the write"
    if schema[0] < _OLDEST_MAJOR:
        return "torch 2.2 or earlier wrote this file, which is functional except for what it could not express"
    if not write.certain:
        return "which tensor it writes depends on more than the artifact tells"
    storage = write.target.storage
    if storage.kind == "unknown":
        return "which tensor it writes is not known"
    if storage.kind == "parameter":
        meta = view.program.graph.meta(storage.value)
        if meta is None or meta.requires_grad:
            return _REQUIRES_GRADIENTS.format("a parameter")
        if schema < _PARAMETER_OUTPUTS:
            return "files of torch before 2.9 have no mutation outputs for parameters"
    if op.in_place_view:
        packet = op.name.split(".")[1]
        if packet not in _IN_PLACE_VIEWS:
            return f"{packet} changes how much memory the tensor has, or which"
        if storage.kind != "intermediate":
            return f"{packet} changes the sizes or strides of a tensor that the caller or the module holds"
    return _crossing(write, view)


def _crossing(write: Write, view: ProgramView) -> str | None:
    """Why a write to a tensor from outside its graph cannot be handed out, or None."""
    owner = view.aliasing.owner(write.target.storage)
    scope = write.site.scope
    while id(scope.graph) != owner:
        if scope.caller is None:
            return None
        rule = convention(scope.caller.node)
        name = scope.caller.node.target.rpartition(".")[2]
        if rule is None or len(rule.results_of) != 1 or rule.repeats or not rule.exact or not rule.carries:
            return f"it is written inside {name}, which has no way to hand the change out"
        scope = scope.caller.scope
    return None
