"""Walking one graph as an interpreter would: what stands for each node, and for each call of another graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from graphlint.ir.arguments import Json, renamed, tensor, tensor_names, value_names
from graphlint.ir.model import Argument, Node
from graphlint.passes.mutation.build import Obstacle
from graphlint.passes.mutation.settling import Writer
from graphlint.passes.mutation.tracking import Blocked, Object, Store, results_of
from graphlint.passes.mutation.values import Size, Value
from graphlint.passes.mutation.views import Step
from graphlint.semantics.calls import convention, operand_names
from graphlint.semantics.sites import Scope, Site


class Frame(Writer):
    """One graph of the program while it is walked."""

    def walk(self) -> None:
        """Rewrite what has to be."""
        for argument in self.graph.inputs:
            self.builder.define(argument.symbols())
        for index, node, takes in self._concerned():
            if not takes:
                self._adopt_results(node)
                self.builder.define(node.results())
                continue
            raw = self.raw["nodes"][index]
            self.builder.source = raw.get("metadata", {})
            self.visited.append((index, len(self.edit.nodes)))
            writes = self.rewriter.writes.get(id(node), [])
            if any(write.target.storage in self.rewriter.active for write in writes):
                self._write(node, raw, writes)
            elif node.subgraphs():
                self._call(node, raw, index)
            else:
                self._copy(node, raw)
            self.builder.define(node.results())
        self.visited.append((len(self.graph.nodes), len(self.edit.nodes)))

    def _concerned(self) -> Iterator[tuple[int, Node, bool]]:
        """The nodes that have to do with what is rewritten, each with its index: those that take a value in a storage
        which is rewritten, or call graphs (True); those that only make one, or compute a size (False).
        """
        shown = self.shown
        sized = bool(self.graph.sym_int_values)
        for index, node in enumerate(self.graph.nodes):
            # Most operands and results are one tensor or a number: a list for each would cost more than the rest.
            for operand in node.inputs:
                argument = operand.arg
                if argument.as_tensor is not None:
                    if argument.as_tensor.name in shown:
                        yield index, node, True
                        break
                elif argument.is_constant:
                    continue
                elif argument.as_graph is not None or not shown.isdisjoint(argument.tensors()):
                    yield index, node, True
                    break
            else:
                for output in node.outputs:
                    if output.as_tensor is not None:
                        if output.as_tensor.name in shown:
                            yield index, node, False
                            break
                    elif sized or not shown.isdisjoint(output.tensors()):
                        yield index, node, False
                        break

    def _copy(self, node: Node, raw: Json) -> None:
        """A node that writes nothing, or whose writes stay."""
        op = self.rewriter.ops.lookup(node.target)
        edited = self._renamed(node, raw, exact=True)
        self.edit.nodes.append(edited)
        self._track_results(node, raw, op)

    # -- subgraphs

    def _call(self, node: Node, raw: Json, index: int) -> None:
        """A node that calls graphs: rewrite those that hold writes; a region hands out what it wrote outside."""
        edited = self._renamed(node, raw, exact=True)
        site = Site(self.scope, index, -1, node, self.rewriter.ops.lookup(node.target))
        inputs = list(edited["inputs"])
        handed: list[tuple[str, Value]] = []
        returned: dict[int, tuple[str, tuple[Step, ...]]] = {}
        offsets: dict[int, Size] = {}
        rule = convention(node)
        operands = operand_names(node, rule) if rule is not None else []
        if rule is not None and rule.fresh_results:
            for position in rule.lists:
                inputs[position] = {**inputs[position], "arg": self._apart(inputs[position]["arg"], node, position)}
        for position, operand in enumerate(node.inputs):
            reference = operand.arg.as_graph
            if reference is None or id(reference.graph) not in self.rewriter.touched:
                continue
            raw_reference = raw["inputs"][position]["arg"]["as_graph"]
            scope = Scope(reference.graph, (*self.scope.path, node.label, reference.name), site)
            frame = Frame(self.rewriter, scope, raw_reference["graph"])
            outside = dict(zip((next(iter(a.tensors()), None) for a in reference.graph.inputs), operands, strict=False))
            given, aliased = frame.rewrite_subgraph(outside)
            handed += given
            returned.update(aliased)
            if len(rule.results_of if rule is not None else ()) == 1:
                offsets = frame.offsets()
            graph = frame.finish(raw_reference["graph"])
            argument = {**raw["inputs"][position]["arg"], "as_graph": {**raw_reference, "graph": graph}}
            inputs[position] = {**inputs[position], "arg": argument}
        edited = {**edited, "inputs": inputs}
        names: list[str] = []
        if handed:
            names = [self.edit.claim(value.name) for _, value in handed]
            edited.update(self.rewriter.dialect.returning_also(edited, names))
        self.edit.nodes.append(edited)
        for (outside_name, value), result in zip(handed, names, strict=True):
            meta = value.meta.with_(offset=value.meta.offset)
            self.edit.record(result, meta.raw)
            tracked = self.objects[outside_name]
            try:
                self._settle(tracked, Value(result, meta), [])
            except Obstacle as reason:
                raise Blocked([tracked.store.storage], str(reason)) from None
        self._track_call(node, returned)
        for index, name in enumerate(name for output in node.outputs for name in (output.tensors() or [None])):
            if name is not None and index in offsets:
                self._begins_at(name, offsets[index])

    def _begins_at(self, result: str, offset: Size) -> None:
        """Record where a region's result begins in its storage now."""
        try:
            recorded = self.meta(result)
        except Obstacle as reason:
            raise Blocked(self.rewriter.active, str(reason)) from None
        value = Value(result, recorded.with_(strides=recorded.strides, offset=offset))
        self.edit.record(result, value.meta.raw)
        tracked = self.objects.get(result)
        if tracked is not None:
            tracked.value = value

    def offsets(self) -> dict[int, Size]:
        """Where the outputs that were rewritten begin in their storage, by position."""
        names = [name for argument in self.graph.outputs for name in (argument.tensors() or [None])]
        tracked = {index: self.objects.get(name) for index, name in enumerate(names) if name is not None}
        return {index: one.value.meta.offset for index, one in tracked.items() if one is not None}

    def _track_call(self, node: Node, returned: Mapping[int, tuple[str, tuple[Step, ...]]]) -> None:
        """A call's results: views of what was handed in, or tensors of their own."""
        names = [name for output in node.outputs for name in (output.tensors() or [None])]
        for index, result in enumerate(names):
            aliases = self.rewriter.aliasing.aliases(self.scope, result) if result is not None else ()
            if result is None or len(aliases) != 1 or aliases[0].storage not in self.rewriter.active:
                continue
            storage = aliases[0].storage
            if index in returned:
                operand, steps = returned[index]
                seen = self.objects[operand]
                value = Value(result, self._known_meta(result, storage))
                self.objects[result] = Object(seen.store, (*seen.steps, *steps), value, seen.store.version)
            elif any(known.store.storage is storage for known in self.objects.values()):
                raise Blocked([storage], f"{node.op} returns a view of it")
            else:
                self._adopt(result, storage)

    def _share_as_before(self) -> None:
        """What the graph hands out of memory born inside shares it, and begins in it, as it did: the caller may write
        to it, and take views.
        """
        returned = [self.objects[name] for one in self.graph.outputs for name in one.tensors() if name in self.objects]
        entries = {name for one in self.graph.inputs for name in one.tensors()}
        for tracked in returned:
            store = tracked.store
            together = sum(one.store is store for one in returned) > 1
            if store.version == 0 or store.origin.name in entries:
                continue
            if together and self._root(store.base.name) in entries:
                value = tensor(store.base.name)
                store.base = self.builder.emit("aten.clone.default", [value], store.base.meta.dense(), "clone")
                store.shown.clear()
            if together or tracked.value.meta.offset != tracked.recorded.offset:
                tracked.value = self._taken_anew(store, tracked.steps)
                tracked.version = store.version

    def return_own(self) -> None:
        """What the program returns stays apart from the inputs that it came to be, or to be a view of: the caller may
        write to it, and would write to what the caller or the module holds.
        """
        entries = {name for one in self.graph.inputs for name in one.tensors()}
        made = {name: node for node in self.edit.nodes for name in results_of(node)}
        for name in (name for argument in self.graph.outputs for name in argument.tensors() if name in self.objects):
            tracked = self.objects[str(name)]
            store = tracked.store
            own = store.origin.name
            if store.version == 0 or self._root(self.use(str(name), exact=True), made) not in entries - {own}:
                continue
            if self._root(store.base.name, made) in entries - {own}:
                value = tensor(store.base.name)
                store.base = self.builder.emit("aten.clone.default", [value], store.base.meta.dense(), "clone")
                store.shown.clear()
            tracked.value = self._taken_anew(store, tracked.steps)

    def _copied_out(self, output: Json, argument: Argument) -> Json:
        """An output that came to be an input as it is, or a view of one, copied: branches and loops may not return
        one, and what a region returns may be written by its caller.
        """
        original = next(iter(argument.tensors()), None)
        tracked = self.objects.get(original) if original is not None else None
        names = tensor_names(output)
        entries = {name for one in self.graph.inputs for name in one.tensors()}
        if tracked is None or tracked.store.origin.name in entries or self._root(names[0]) not in entries:
            return output
        clone = self.builder.emit("aten.clone.default", [tensor(names[0])], tracked.value.meta.dense(), "clone")
        tracked.value = clone
        return tensor(clone.name)

    def _apart(self, argument: Json, node: Node, position: int) -> Json:
        """The operands that a branch or loop takes, those copied that came to share memory with another one: torch
        takes no aliases there.
        """
        apart: dict[int, str] = {}
        names = tensor_names(argument)
        roots = [self._root(name) for name in names]
        before = [name for name in node.inputs[position].arg.tensors() if name is not None]
        for index, (name, original) in enumerate(zip(names, before, strict=False)):
            if name != original and roots.count(roots[index]) > 1:
                meta = self.objects[original].value.meta if original in self.objects else self.meta(original)
                clone = self.builder.emit("aten.clone.default", [tensor(name)], meta.dense(), "clone")
                apart[index] = roots[index] = clone.name
        if not apart:
            return argument
        return {"as_tensors": [{"name": apart.get(index, name)} for index, name in enumerate(names)]}

    def rewrite_subgraph(
        self, outside: Mapping[str | None, str | None]
    ) -> tuple[list[tuple[str, Value]], dict[int, tuple[str, tuple[Step, ...]]]]:
        """Walk a subgraph. What it hands out: the caller's operand and the new value, for each that it wrote; and
        which of its outputs are views of the caller's operands.
        """
        entered: dict[str, Object] = {}
        for entry, storage in list(self.placeholders()):
            if any(one.store.storage is storage for one in entered.values()):
                raise Blocked([storage], "a region sees its memory through several operands")
            entered[entry] = self.adopt_input(entry, storage)
        self.walk()
        self._share_as_before()
        outputs = [
            self.output(raw, argument) for raw, argument in zip(self.raw["outputs"], self.graph.outputs, strict=True)
        ]
        outputs = [self._copied_out(*pair) for pair in zip(outputs, self.graph.outputs, strict=True)]
        returned: dict[int, tuple[str, tuple[Step, ...]]] = {}
        names = [name for argument in self.graph.outputs for name in (argument.tensors() or [None])]
        for index, name in enumerate(names):
            tracked = self.objects.get(name) if name is not None else None
            entry_name = next((e for e, one in entered.items() if tracked and one.store is tracked.store), None)
            operand = outside.get(entry_name) if entry_name is not None else None
            if tracked is None or entry_name is None:
                continue
            if operand is None or not all(_relocatable(step) for step in tracked.steps):
                raise Blocked([tracked.store.storage], "a region returns a view of it that depends on its inside")
            returned[index] = (operand, tracked.steps)
        handed: list[tuple[str, Value]] = []
        for entry, one in entered.items():
            if one.store.version == 0:
                continue
            operand = outside.get(entry)
            if operand is None:
                raise Blocked([one.store.storage], "a region writes a tensor that it was not handed")
            handed.append((operand, one.store.base))
            outputs.append(tensor(one.store.base.name))
        self.edit.outputs = outputs
        return handed, returned

    # -- the end

    def written_back(self, store: Store, taken: set[str]) -> str:
        """The value to write back, as torch can take it.

        torch tells mutation outputs apart by their names, so each has its own, which is that of a node. And
        ``torch.export.unflatten`` writes a value back where it is computed, not at the end: it must not exist while
        the old value is still read (as when two buffers swap what they hold).
        """
        value = store.base
        inputs = {name for argument in self.edit.inputs for name in tensor_names(argument)}
        if value.name not in taken | inputs and not self._read_after(store.origin.name, value.name):
            return value.name
        self.builder.source = store.source
        return self.builder.emit("aten.clone.default", [tensor(value.name)], value.meta.dense(), "clone").name

    def _read_after(self, entry: str, value: str) -> bool:
        """Whether a node after the one that computes ``value`` reads ``entry``, or a view of it."""
        shown = {entry}
        born = self._born(value)
        for place, node in enumerate(self.edit.nodes):  # what was not looked at reads neither
            if shown.intersection(name for operand in node["inputs"] for name in tensor_names(operand["arg"])):
                if place >= born:
                    return True
                op = self.rewriter.ops.lookup(node["target"])
                if op is None or op.aliases:
                    shown.update(results_of(node))
        return False

    def _born(self, value: str) -> int:
        """From where in ``edit.nodes`` on the value is there."""
        for place, node in enumerate(self.edit.nodes):
            if value in results_of(node):
                return place + 1
        index = self._definers.get(value, -1)
        return next(start for visited, start in self.visited if visited > index)

    def output(self, raw: Json, argument: Argument) -> Json:
        """An output of the graph under its current name."""
        mapping = {name: self.use(name, exact=True) for name in argument.tensors() if name is not None}
        return renamed(raw, mapping)

    def finish(self, whole: Json, referenced: Iterable[str] = ()) -> Json:
        """The edited graph, without views and the like that nobody uses any more; ``whole`` is all of its JSON,
        ``referenced`` are names that something besides the graph refers to.
        """
        used = {name for output in self.edit.outputs for name in value_names(output)}
        used.update(referenced)
        left: set[str] = set()
        dropped: set[int] = set()
        for index in range(len(self.edit.nodes) - 1, -1, -1):
            node = self.edit.nodes[index]
            defined = [name for output in node["outputs"] for name in value_names(output)]
            may_go = index in self.views or (defined and self.builder.disposable.issuperset(defined))
            if may_go and not used.intersection(defined):
                self.edit.forget(defined)
                for name in defined:
                    self.builder.new_symbols.pop(name, None)
                dropped.add(index)
                continue
            for operand in node["inputs"]:
                used.update(value_names(operand["arg"]))
            left.update(defined)
        self.edit.forget(self.gone.keys() - left)
        nodes: list[Json] = []
        following = 0
        for (index, start), (_, end) in pairwise([*self.visited, (0, len(self.edit.nodes))]):
            nodes += whole["nodes"][following:index]
            near = whole["nodes"][min(index, len(whole["nodes"]) - 1)]
            nodes += (_in_place_of(near, self.edit.nodes[place]) for place in range(start, end) if place not in dropped)
            following = index + 1
        self.edit.nodes = nodes
        changes: dict[str, Any] = {}
        if self.builder.new_symbols:
            changes["sym_int_values"] = {**self.raw.get("sym_int_values", {}), **self.builder.new_symbols}
        if len(self.edit.outputs) != len(self.raw["outputs"]):
            changes["is_single_tensor_return"] = False
        return self.edit.finish(whole, **changes)


def _relocatable(step: Step) -> bool:
    """Whether the view can be taken outside the graph that it stands in: it depends on constants only."""
    return all(operand.name == step.operand or not operand.arg.names() for operand in step.node.inputs)


def _in_place_of(original: Json, node: Json) -> Json:
    """A node in the module that the one whose place it takes belongs to, wherever its metadata come from:
    ``torch.export.unflatten`` takes nodes of a module that stand apart for several of its calls.
    """
    stack = original.get("metadata", {}).get("nn_module_stack")
    metadata = node.get("metadata", {})
    if stack is None or metadata.get("nn_module_stack") == stack:
        return node
    return {**node, "metadata": {**metadata, "nn_module_stack": stack}}
