"""Writes of one graph: each makes a new value of the object it writes, and a new base of its storage."""

from __future__ import annotations

from typing import Final

from graphlint.ir.arguments import Json, renamed_operands, tensor
from graphlint.ir.model import NamedArgument, Node
from graphlint.ops.info import OpInfo
from graphlint.passes.mutation.build import Obstacle
from graphlint.passes.mutation.tracking import Blocked, Object, Store, Tracker, key_of
from graphlint.passes.mutation.values import Meta, Value
from graphlint.passes.mutation.views import Step, depends_on_layout, invert, moved
from graphlint.passes.mutation.writes import NORMALIZATIONS, RESHAPED, Call, Target, batch_norm, functional, restrided
from graphlint.semantics.view import Write

_COPIES: Final = frozenset({"aten.copy_.default", "aten._foreach_copy_.default"})
"""Ops that, as ``out=`` does, leave nothing of what was there."""


class Writer(Tracker):
    """A graph whose writes become data flow."""

    def _write(self, node: Node, raw: Json, writes: list[Write]) -> None:
        """A node whose writes become data flow."""
        op = writes[0].site.op
        storages = [write.target.storage for write in writes]
        if op is None:
            raise AssertionError("an unknown op was taken for a write that can be functionalized")
        try:
            _check_results(op, node)
            objects = [self._object(write) for write in writes]
            if op.in_place_view:
                self._view_in_place(node, raw, op, objects[0])
                return
            _check_apart(op, objects)
            call = self._call_of(node, raw, op, writes, objects)
            if op.name in NORMALIZATIONS:
                self._normalize(node, call, objects)
                return
            if op.out_variant:
                self._check_out(node, writes)
            values = functional(self.builder, call, self.rewriter.ops)
            results = self._results_of(node, op, writes)
            replaces = op.out_variant or op.name in _COPIES
            for tracked, value, names in zip(objects, values, results, strict=True):
                self._settle(tracked, value, names, replaces=replaces)
        except Obstacle as reason:
            raise Blocked(storages, str(reason)) from None

    def _object(self, write: Write) -> Object:
        tracked = self.objects.get(write.value)
        if tracked is None:
            raise Obstacle(f"%{write.value} shows its memory in a way that cannot be followed")
        return tracked

    def _call_of(self, node: Node, raw: Json, op: OpInfo, writes: list[Write], objects: list[Object]) -> Call:
        if not all(_is_union(operand["arg"]) for operand in raw["inputs"]):
            raise Obstacle(f"an argument of {op.name} is of no known kind")
        exact = op.draws(node)  # random numbers are drawn in the order of strides
        edited = self._renamed(node, raw, exact=exact)
        metas: dict[str, Meta] = {}
        mutable: set[str] = set()
        overlapping: set[str] = set()
        for operand in node.inputs:
            for index, name in enumerate(operand.arg.tensors()):
                if name is None:
                    continue
                tracked = self.objects.get(name)
                if self._reads_a_target(operand, index, tracked, writes, objects):
                    overlapping.add(self.use(name, exact=exact))
                current = self.use(name, exact=exact)
                metas[current] = tracked.value.meta if tracked is not None else self.meta(name)
                if not self._is_immutable(name, tracked):
                    mutable.add(current)
        targets = tuple(
            Target(write.argument, Value(self.use(write.value, exact=exact), tracked.value.meta))
            for write, tracked in zip(writes, objects, strict=True)
        )
        outside = frozenset(
            target.value.name
            for target, tracked in zip(targets, objects, strict=True)
            if tracked.store.storage.kind != "intermediate"
        )
        autocast = any(_enables_autocast(caller.node) for caller in self.scope.callers())
        return Call(
            op, edited, targets, metas, lambda name: name not in mutable, outside, frozenset(overlapping), autocast
        )

    def _reads_a_target(
        self, operand: NamedArgument, index: int, tracked: Object | None, writes: list[Write], objects: list[Object]
    ) -> bool:
        """Whether an operand that is no target shows elements of one. Raises :class:`Obstacle` where they are those of
        another element of a list, which may have been written before it is read, or some of a target's but not in its
        order, which torch refuses or leaves undefined.
        """
        if tracked is None or any(write.argument == operand.name for write in writes):
            return False
        shared = [place for place, one in enumerate(objects) if one.store is tracked.store]
        if len(objects) > 1 and operand.arg.as_tensors is not None and shared not in ([], [index]):
            raise Obstacle(f"{writes[0].site.name} reads a tensor of the list that it writes")
        for place in shared:
            mine, target = tracked.recorded, objects[place].recorded
            same = (mine.shape, mine.offset) == (target.shape, target.offset) and mine.same_strides(target)
            if not same and mine.intersects(target):
                raise Obstacle(f"{writes[0].site.name} reads memory that it writes")
        return bool(shared)

    def _is_immutable(self, name: str, tracked: Object | None) -> bool:
        """Whether the memory behind a value is not written after this point, neither by what stays in place nor by
        the write-back of mutation outputs.
        """
        if tracked is not None:
            return tracked.store.version > 0 or tracked.store.storage.kind == "intermediate"
        aliases = self.rewriter.aliasing.aliases(self.scope, name)
        disturbed = self.rewriter.disturbed | self.rewriter.active
        return not any(alias.storage in disturbed for alias in aliases)

    def _check_out(self, node: Node, writes: list[Write]) -> None:
        """``out=`` resizes a tensor of another shape: its recorded shape before must be the result's."""
        results = [name for output in node.outputs for name in output.tensors() if name is not None]
        for write, result in zip(writes, results, strict=False):
            if self.meta(write.value).shape != self.meta(result).shape:
                raise Obstacle(RESHAPED)

    def _results_of(self, node: Node, op: OpInfo, writes: list[Write]) -> list[list[str]]:
        """For each write, the node's results that are the written tensor itself."""
        results = [[name for name in output.tensors() if name is not None] for output in node.outputs]
        if not results or op.schema is None:
            return [[] for _ in writes]
        found: list[list[str]] = []
        for write in writes:
            argument = op.schema.argument(write.argument)
            names = [
                name
                for position, returned in enumerate(op.schema.returns)
                if argument is not None and returned.alias is not None and returned.alias == argument.alias
                for name in (results[position] if position < len(results) else [])
            ]
            found.append(names)
        return found

    def _settle(self, tracked: Object, value: Value, results: list[str], *, replaces: bool = False) -> None:
        """Make ``value`` what the object shows, and the base that which follows; ``results`` are its new names.

        ``replaces`` says that the value owes nothing to what was there: it is laid out as its own operands are, and so
        as the caller's inputs may be.
        """
        if len(value.meta.shape) != len(tracked.recorded.shape):
            raise Obstacle(f"the artifact contradicts itself on the shape of %{tracked.value.name}")
        if results:
            value = self._named(value, results[0])
        store, steps = tracked.store, tracked.steps
        if replaces and self._depends_on_layout(store, steps):
            value = restrided(self.builder, value, self._show(store, steps), always=True)
        parents = [self._show(store, steps[:depth]) for depth in range(len(steps))]
        shown = {key_of(steps): value} if value.meta.same_strides(tracked.recorded) else {}
        base = value
        for depth in reversed(range(len(steps))):
            base = invert(self.builder, steps[depth], parents[depth], base)
            parent = steps[depth].parent
            if depth and base.meta.same_strides(parent):
                shown[key_of(steps[:depth])] = base
        base = restrided(self.builder, base, store.base)
        store.base = base
        store.source = self.builder.source
        store.version += 1
        shown[()] = base
        store.shown = shown
        tracked.value = value if steps else base
        tracked.version = store.version
        for name in results:
            self.objects[name] = tracked
            if name != tracked.value.name:
                self.gone[name] = tracked.value.name

    def _depends_on_layout(self, store: Store, steps: tuple[Step, ...]) -> bool:
        """Whether something depends on the strides of what takes the place of a view's value: the way back to the base,
        or a view of the base that comes of it.
        """
        on_the_way = depends_on_layout(steps)
        return store.storage in self.rewriter.seen_by_strides if on_the_way is None else on_the_way

    def _named(self, value: Value, name: str) -> Value:
        """Give a value that this node made the name that its result had, so that the graph changes little."""
        return Value(name, value.meta) if self._rename(value.name, name) else value

    def _rename(self, name: str, new: str) -> bool:
        """Rename a result of the last nodes that were emitted; whether it is one."""
        for index in range(len(self.edit.nodes) - 1, -1, -1):
            node = self.edit.nodes[index]
            if node.get("metadata") is not self.builder.source or index < self.visited[-1][1]:
                return False
            if tensor(name) in node["outputs"]:
                outputs = [tensor(new) if output == tensor(name) else output for output in node["outputs"]]
                named = {**node, "outputs": outputs}
                if node.get("name") == name:
                    named["name"] = new
                self.edit.nodes[index] = named
                for later in range(index + 1, len(self.edit.nodes)):
                    self.edit.nodes[later] = renamed_operands(self.edit.nodes[later], {name: new})
                self.edit.rename(name, new)
                # What shows nothing that is rewritten is read by nodes that are not looked at, and must stay.
                if name in self.builder.disposable and new in self.shown:
                    self.builder.disposable.add(new)
                return True
        return False

    def _view_in_place(self, node: Node, raw: Json, op: OpInfo, tracked: Object) -> None:
        """``t_`` and the like: the object becomes another view of the same storage."""
        if op.functional_twin is None:
            raise Obstacle(f"{op.name} has no out-of-place form")
        if len(node.results()) != 1:
            raise Obstacle(f"this file says that {op.name} has {len(node.results())} results")
        (result,) = node.results()
        current = self._renamed(node, raw, exact=True)
        edited = {**current, "target": f"torch.ops.{op.functional_twin}"}
        self.edit.nodes.append(edited)
        self.views.add(len(self.edit.nodes) - 1)
        step = Step(
            node,
            {**raw, "target": edited["target"]},
            op.functional_twin,
            "self",
            0,
            tracked.recorded,
            (self.meta(result),),
        )
        tracked.value = Value(result, moved(step, step.meta, tracked.value.meta))
        self.edit.record(result, tracked.value.meta.raw)
        tracked.steps = (*tracked.steps, step)
        tracked.version = tracked.store.version
        tracked.store.shown[tracked.key] = tracked.value
        self.objects[result] = tracked

    def _normalize(self, node: Node, call: Call, objects: list[Object]) -> None:
        """Batch norm in training mode: its results, and the statistics as results of their own."""
        if call.autocast and "autocast" in call.op.tags:
            raise Obstacle(f"autocast may cast what {call.op.name} is given")
        names = [name for output in node.outputs for name in output.tensors() if name is not None]
        results, statistics = batch_norm(self.builder, call, [self.meta(name) for name in names])
        for name, value in zip(names, results, strict=True):
            self._rename(value.name, name)
        self._track_results(node, call.raw, None)
        for tracked, value in zip(objects, statistics, strict=True):
            self._settle(tracked, value, [])


def _enables_autocast(node: Node) -> bool:
    """Whether the node is an autocast region that casts: device, dtype, enabled, …"""
    return node.target.endswith(".wrap_with_autocast") and not (
        len(node.inputs) > 2 and node.inputs[2].arg.as_bool is False
    )


def _check_results(op: OpInfo, node: Node) -> None:
    if any(output.symbols() for output in node.outputs):
        raise Obstacle(f"this file says that {op.name} returns a number")


def _check_apart(op: OpInfo, objects: list[Object]) -> None:
    """Each target must have memory of its own: the order of writes within one op is not ours to tell."""
    if len({id(tracked.store) for tracked in objects}) == len(objects):
        return
    written: dict[int, set[int]] = {}
    for tracked in objects:
        places, before = tracked.recorded.positions(), written.setdefault(id(tracked.store), set())
        if places is None or not before.isdisjoint(places):
            raise Obstacle(f"{op.name} writes the same memory more than once")
        before.update(places)


def _is_union(argument: Json) -> bool:
    """Whether an argument has one key, as torch 2.3 and later write it, and says something."""
    return len(argument) == 1 and ("as_none" in argument or None not in argument.values())
