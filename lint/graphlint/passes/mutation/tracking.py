"""Which tensor object each value of a graph shows, and the value that shows it now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec

from graphlint.ir.arguments import Json, renamed_operands, tensor_names
from graphlint.ir.document import GraphEdit
from graphlint.ir.model import Node
from graphlint.ops.info import OpInfo
from graphlint.passes.mutation.build import Builder, Obstacle
from graphlint.passes.mutation.values import Meta, Value
from graphlint.passes.mutation.views import Step, moved, replay
from graphlint.semantics.aliasing import Storage
from graphlint.semantics.calls import CONVENTIONS
from graphlint.semantics.precision import UNSURE_DTYPE
from graphlint.semantics.sites import Scope

if TYPE_CHECKING:
    from graphlint.passes.mutation.rewriting import Rewriter


class Blocked(Exception):  # noqa: N818  # control flow: plan again without these storages
    """Something keeps storages from being functionalized that came up on the way."""

    def __init__(self, storages: Iterable[Storage], reason: str) -> None:
        super().__init__(reason)
        self.storages = set(storages)
        self.reason = reason


class Store(msgspec.Struct, eq=False):
    """A storage while the graph is walked."""

    storage: Storage
    base: Value
    origin: Value
    version: int = 0
    source: Json = {}
    """Metadata of the node that wrote it last."""
    shown: dict[tuple[tuple[int, int], ...], Value] = {}
    """Views of the current base that exist already, by their steps."""


class Object(msgspec.Struct, eq=False):
    """A tensor object of the original program: what one or more names (in-place ops return their operand) mean."""

    store: Store
    steps: tuple[Step, ...]
    value: Value
    """The value that shows it, of the version below."""
    version: int

    @property
    def key(self) -> tuple[tuple[int, int], ...]:
        """What its views go by in :attr:`Store.shown`."""
        return key_of(self.steps)

    @property
    def recorded(self) -> Meta:
        """What the artifact records of it."""
        return self.steps[-1].meta if self.steps else self.store.origin.meta


_DEEPEST: Final = 200
"""Views of one another that are taken again: each is kept by the way to it, so that chains take quadratic memory."""


def key_of(steps: tuple[Step, ...]) -> tuple[tuple[int, int], ...]:
    """What tells one chain of views from another: for each, its node and which of its results."""
    return tuple([(id(step.node), step.index) for step in steps]) if steps else ()


class Tracker:
    """The tensor objects of one graph, while it is rewritten node by node."""

    def __init__(self, rewriter: Rewriter, scope: Scope, raw: Json) -> None:
        self.rewriter = rewriter
        self.scope = scope
        self.doubts = rewriter.precision.doubts(scope.graph)
        self.graph = scope.graph
        self.raw = raw
        self.edit = GraphEdit(raw, scope.graph)
        self.builder = Builder(self.edit, rewriter.dialect, rewriter.ops, raw.get("sym_int_values", {}), rewriter.sizes)
        self.objects: dict[str, Object] = {}
        self.gone: dict[str, str] = {}
        """Names that the rewrite does away with, and what stands for them."""
        self.visited: list[tuple[int, int]] = []
        """The nodes that were looked at, by their index in the graph, and where in ``edit.nodes`` what stands for each
        begins. The others, most of a graph's nodes, stay as they are and are not even parsed.
        """
        self.shown = rewriter.aliasing.showing(self.graph, rewriter.active)
        """The graph's values that may show a storage which is rewritten."""
        self._metas: dict[int, Meta] = {}
        """By identity of their JSON."""
        self.views: set[int] = set()
        """Indices into ``edit.nodes`` of views, which may go when nobody uses them."""

    def meta(self, name: str) -> Meta:
        """What is recorded of a value. Raises :class:`Obstacle` where that is too little."""
        if name in self.doubts:
            raise Obstacle(UNSURE_DTYPE.format(name))
        raw = self.raw["tensor_values"].get(name)
        meta = self._metas.get(id(raw))
        if meta is None:
            meta = None if raw is None else Meta(raw)
            if meta is None or not meta.plain:
                raise Obstacle(f"the artifact records too little of %{name}")
            self._metas[id(raw)] = meta
        return meta

    def placeholders(self) -> Iterable[tuple[str, Storage]]:
        """Tensor inputs that show an active storage, whole."""
        for argument in self.graph.inputs:
            for name in argument.tensors():
                if name is None:
                    continue
                aliases = self.rewriter.aliasing.aliases(self.scope, name)
                if len(aliases) == 1 and aliases[0].storage in self.rewriter.active:
                    yield name, aliases[0].storage

    def adopt_input(self, name: str, storage: Storage) -> Object:
        """Track an input as the base of a storage (in a region: of what the region sees of it)."""
        known = next((one.store for one in self.objects.values() if one.store.storage is storage), None)
        if known is None:
            return self._adopt(name, storage)
        # Two inputs in the same memory, such as tied weights. From here on the first one stands for both.
        value = Value(name, self._known_meta(name, storage))
        if not value.meta.same_layout(known.origin.meta) or value.meta.offset != known.origin.meta.offset:
            raise Blocked([storage], f"%{name} shows its memory in another shape")
        self.objects[name] = Object(known, (), known.base, known.version)
        return self.objects[name]

    def _known_meta(self, name: str, storage: Storage) -> Meta:
        try:
            return self.meta(name)
        except Obstacle as reason:
            raise Blocked([storage], str(reason)) from None

    def _adopt(self, name: str, storage: Storage) -> Object:
        value = Value(name, self._known_meta(name, storage))
        tracked = Object(Store(storage, value, value), (), value, 0)
        tracked.store.shown[()] = value
        self.objects[name] = tracked
        return tracked

    def use(self, name: str, *, exact: bool) -> str:
        """The name to read for a value of the original program, taken again from its base where it was written.

        ``exact`` asks for the recorded strides too: views depend on them, and so do the strides of what other ops make.
        """
        tracked = self.objects.get(name)
        if tracked is None:
            return self.gone.get(name, name)
        current = tracked.version == tracked.store.version
        if not current or (exact and not tracked.value.meta.same_strides(tracked.recorded)):
            try:
                tracked.value = self._show(tracked.store, tracked.steps)
            except Obstacle as reason:
                raise Blocked([tracked.store.storage], str(reason)) from None
            tracked.version = tracked.store.version
        return tracked.value.name

    def _show(self, store: Store, steps: tuple[Step, ...]) -> Value:
        """The value of a chain of views of the current base, taken again where it does not exist yet."""
        if len(steps) > _DEEPEST:
            raise Obstacle(f"it is reached through more than {_DEEPEST} views, one of the other")
        key = key_of(steps)
        known = store.shown.get(key)
        if known is not None:
            return known
        if not steps:
            return store.base
        parent = self._show(store, steps[:-1])
        self.views.add(len(self.edit.nodes))
        values = replay(self.builder, steps[-1], parent, lambda name: self.use(name, exact=False))
        for index, value in enumerate(values):
            sibling = (*key[:-1], (id(steps[-1].node), index))
            store.shown[sibling] = value
        return store.shown[key]

    def _taken_anew(self, store: Store, steps: tuple[Step, ...]) -> Value:
        """A chain of views of the current base, in its memory, even where the value is at hand elsewhere."""
        value = store.base
        for step in steps:
            self.views.add(len(self.edit.nodes))
            try:
                value = replay(self.builder, step, value, lambda name: self.use(name, exact=False))[step.index]
            except Obstacle as reason:
                raise Blocked([store.storage], str(reason)) from None
        return value

    def _renamed(self, node: Node, raw: Json, *, exact: bool) -> Json:
        """The node with its operands under their current names."""
        mapping: dict[str, str] = {}
        for operand in node.inputs:
            for name in operand.arg.tensors():
                if name is not None:
                    current = self.use(name, exact=exact)
                    if current != name:
                        mapping[name] = current
        return renamed_operands(raw, mapping)

    def _adopt_results(self, node: Node) -> None:
        """The results of a node that takes nothing in a storage which is rewritten."""
        for output in node.outputs:
            for result in output.tensors():
                if result in self.shown:
                    aliases = self.rewriter.aliasing.aliases(self.scope, str(result))
                    if len(aliases) == 1 and aliases[0].storage in self.rewriter.active:
                        self._adopt(str(result), aliases[0].storage)

    def _track_results(self, node: Node, raw: Json, op: OpInfo | None) -> None:
        aliasing = self.rewriter.aliasing
        results = [name for output in node.outputs for name in output.tensors() if name is not None]
        if self.shown.isdisjoint(results):
            return
        for index, result in enumerate(results):
            aliases = aliasing.aliases(self.scope, result)
            if len(aliases) != 1 or aliases[0].storage not in self.rewriter.active:
                continue
            storage = aliases[0].storage
            viewed = self._viewed_operand(node, op, storage)
            if viewed is None:
                self._adopt(result, storage)
                continue
            operand, tracked = viewed
            try:
                metas = tuple(self.meta(name) for name in results)
                step = Step(node, raw, op.name if op is not None else "", operand, index, tracked.recorded, metas)
                value = Value(result, moved(step, step.meta, tracked.value.meta))
            except Obstacle as reason:
                raise Blocked([storage], str(reason)) from None
            steps = (*tracked.steps, step)
            if value.meta is not step.meta:
                self.edit.record(result, value.meta.raw)
            self.objects[result] = Object(tracked.store, steps, value, tracked.store.version)
            tracked.store.shown[key_of(steps)] = value
            self.views.add(len(self.edit.nodes) - 1)

    def _viewed_operand(self, node: Node, op: OpInfo | None, storage: Storage) -> tuple[str, Object] | None:
        """The operand that a result is a view of: argument and object."""
        for rule in op.aliases if op is not None else ():
            argument = node.input(rule.argument)
            for name in argument.tensors() if argument is not None else ():
                tracked = self.objects.get(name) if name is not None else None
                if tracked is not None and tracked.store.storage is storage:
                    if argument is None or argument.as_tensor is None:
                        raise Blocked([storage], f"%{name} is viewed as one of a list of tensors")
                    return rule.argument, tracked
        return None

    def _root(self, name: str, made: Mapping[str, Json] | None = None) -> str:
        """The value whose memory a value shows, as far as the nodes that there are now tell; ``made`` are those by
        their results, if somebody has them.
        """
        while True:
            if made is not None:
                node = made.get(name)
            else:
                node = next((one for one in reversed(self.edit.nodes) if name in results_of(one)), None)
            if node is None and name in self._definers:
                node = self.raw["nodes"][self._definers[name]]
            shown = self._shown_operand(node, name) if node is not None else None
            if shown is None:
                return name
            name = shown

    def _shown_operand(self, node: Json, name: str) -> str | None:
        """The operand whose memory a node's result may show: that of a view, or one that a region hands out again."""
        op = self.rewriter.ops.lookup(node["target"])
        viewed = {rule.argument for rule in op.aliases} if op is not None else set()
        for operand in node["inputs"]:
            if operand["name"] in viewed and operand["arg"].get("as_tensor"):
                return str(operand["arg"]["as_tensor"]["name"])
        rule = CONVENTIONS.get(node["target"].rpartition(".")[2])
        if rule is None or rule.rest is None:
            return None
        graph = node["inputs"][rule.graphs[0]]["arg"]["as_graph"]["graph"]
        inner = _flat(graph["outputs"])[_flat(node["outputs"]).index(name)]
        for one in reversed(graph["nodes"]):
            if inner in results_of(one):
                inner = self._shown_operand(one, str(inner))
        entries = _flat(graph["inputs"])
        if inner is None or inner not in entries:
            return None
        return _flat([operand["arg"] for operand in node["inputs"][rule.rest :]])[entries.index(inner)]

    @cached_property
    def _definers(self) -> dict[str, int]:
        """The nodes that define the graph's values."""
        return {name: index for index, node in enumerate(self.graph.nodes) for name in node.results()}


def _flat(arguments: Iterable[Json]) -> list[str | None]:
    """One entry per argument: its tensor, or None where it holds none."""
    names: list[str | None] = []
    for argument in arguments:
        names += tensor_names(argument) or [None]
    return names


def results_of(node: Json) -> list[str]:
    """The tensors that a node of the JSON makes."""
    return [name for output in node["outputs"] for name in tensor_names(output)]
