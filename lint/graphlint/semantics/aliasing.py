"""Which storage each value shows, and through which views.

Every graph input is the base of a storage, and so is every fresh result. A result that aliases an operand
belongs to the operand's storage. Values are named once (the graph is in single-assignment form), so the answer
does not depend on where in the program a value is looked at; what is *written* to a storage does.

A value may have several possible storages: ``cond`` returns what one of its branches returns, and some ops
return their operand only under conditions that the artifact does not settle. Such an alias is not *certain*.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.ir.model import Argument, Graph, Node, Program
from graphlint.ops.conditions import Alias as AliasRule
from graphlint.ops.table import OpInfo, OpTable
from graphlint.rules.diagnostics import LEFT_OUT, StorageKind
from graphlint.semantics.calls import Convention, called_graphs, convention, operand_names
from graphlint.semantics.conditional import shares_storage
from graphlint.semantics.precision import Precision
from graphlint.semantics.sites import Scope, Site
from graphlint.semantics.sizes import Sizes

_IDENTITIES: Final = frozenset(
    {"aten.alias", "aten.detach", "aten.lift", "aten.lift_fresh", "aten.to", "aten.contiguous", "aten.type_as"}
)
"""Ops whose result, where it shares storage, shows the operand as it is: no view step."""


_CLOSED: Final = frozenset(
    f"higher_order.{name}"
    for name in (
        "associative_scan",
        "auto_functionalized",
        "auto_functionalized_v2",
        "executorch_call_delegate",
        "flex_attention",
        "inline_asm_elementwise",
        "out_dtype",
        "print",
        "triton_kernel_wrapper_functional",
    )
)
"""Higher-order ops that neither write nor keep what they are given, and return memory of their own."""

_HELD: Final = ("parameter", "buffer", "constant")
"""Kinds of inputs whose values the artifact holds."""


class Storage(msgspec.Struct, frozen=True, eq=False):
    """One piece of memory: a graph input, or what a node made."""

    kind: StorageKind
    value: str
    """The value that it is the base of, in the outermost graph that it is known in."""
    name: str | None = None
    """Qualified name of a buffer, parameter or constant; a user input's name."""
    serial: int = 0
    """Storages are numbered as they come up, so that those born inside a subgraph can be told."""


MOST_VIEWS = 64
"""So many are told of a value. A chain of views has a value for each of them: all views of all values would be told in
the square of its length.
"""


MOST_STORAGES = 100
"""So many a value may show. Of a chain of ops that may or may not return what they are given, each adds one; programs
have two or three in a row.
"""


class Alias(msgspec.Struct, frozen=True, eq=False):
    """A storage that a value shows."""

    storage: Storage
    views: tuple[str, ...] = ()
    """The view ops on the way from the base to the value, outermost last; those in the middle of a long way are left
    out.
    """
    certain: bool = True


_Binding = dict[str, tuple[Alias, ...]]


class AliasAnalysis:
    """The storages of all values of a program. Subgraphs are keyed by the identity of their graph object."""

    def __init__(
        self, program: Program, ops: OpTable, precision: Precision, payloads: Mapping[str, str] | None = None
    ) -> None:
        """``payloads`` maps qualified names of parameters, buffers and constants to the identity of what holds
        their values: inputs with the same payload are one storage.
        """
        self._ops = ops
        self._precision = precision
        self._sizes = Sizes(program)
        self._graphs: dict[int, _Binding] = {}
        self._owners: dict[Storage, int] = {}
        self._count = 0
        self._fresh: dict[str, bool] = {}
        """By target: whether all that such a node makes are tensors of its own, and nothing else is to be noted."""
        self._opaque: list[tuple[Node, Graph]] = []
        self._loops: set[int] = set()
        """Graphs of loops, and in them, that are given the operands as they are."""
        self._in_loop = False
        binding: _Binding = {}
        shared: dict[str, Storage] = {}
        for name, kind, qualified in classified_inputs(program):
            payload = (payloads or {}).get(qualified) if kind in _HELD else None
            storage = shared.get(payload) if payload is not None else None
            if storage is None:
                storage = self._storage(program.graph, kind, name, qualified)
            if payload is not None:
                shared[payload] = storage
            binding[name] = (Alias(storage),)
        self._analyze(program.graph, binding)

    def aliases(self, scope: Scope, value: str) -> tuple[Alias, ...]:
        """The storages that a tensor value of that scope's graph may show; one of them for certain, or several."""
        return self._shown(scope.graph, value)

    def written(self, site: Site) -> Iterator[tuple[str, str, tuple[Alias, ...]]]:
        """Argument name, value and storages for each tensor that the node writes. The name is the one in
        ``writes`` or ``hidden_writes``, which for declared ops may be a position.
        """
        op = site.op
        if op is None:
            return
        hidden = op.hidden_writes
        updated = hidden.arguments if hidden is not None and hidden.holds(site.node, op.schema) else ()
        for name in dict.fromkeys((*op.writes, *updated)):
            argument = site.node.input(name)
            for value in argument.tensors() if argument is not None else ():
                if value is not None:
                    yield name, value, self.aliases(site.scope, value)

    def owner(self, storage: Storage) -> int:
        """Identity of the graph object that the storage was born in or, for inputs, that of the root."""
        return self._owners[storage]

    def showing(self, graph: Graph, storages: AbstractSet[Storage]) -> set[str]:
        """The values of a graph that may show one of these storages."""
        return {
            name
            for name, aliases in self._binding(graph).items()
            if any(alias.storage in storages for alias in aliases)
        }

    def uncertain(self) -> Iterator[tuple[str, tuple[Alias, ...]]]:
        """Values that may or may not show some storage, of all graphs. In loops, those are left out that show it the
        first time and memory that the loop made afterwards: it may return neither.
        """
        for graph, binding in self._graphs.items():
            loops = graph in self._loops
            for name, aliases in binding.items():
                if len(aliases) > 1 or not (loops or aliases[0].certain):
                    yield name, aliases

    def opaque_uses(self) -> Iterator[tuple[Node, tuple[Alias, ...]]]:
        """Nodes of which nobody has said what they do, and the storages of what they take and return: any of those
        may be written, kept, or returned as another.
        """
        for node, graph in self._opaque:
            yield node, tuple(alias for name in _touched(node) for alias in self._shown(graph, name))

    def _binding(self, graph: Graph) -> _Binding:
        """What is known of a graph's values. A value that is missing is a tensor of its own: most are, and few of them
        are ever asked for.
        """
        return self._graphs.setdefault(id(graph), {})

    def _shown(self, graph: Graph, value: str) -> tuple[Alias, ...]:
        binding = self._binding(graph)
        aliases = binding.get(value)
        if aliases is None:
            aliases = binding[value] = (Alias(self._storage(graph, "intermediate", value)),)
        return aliases

    def _storage(self, graph: Graph, kind: StorageKind, value: str, name: str | None = None) -> Storage:
        self._count += 1
        storage = Storage(kind, value, name, self._count)
        self._owners[storage] = id(graph)
        return storage

    def _analyze(self, graph: Graph, binding: _Binding) -> None:
        self._graphs[id(graph)] = binding
        if self._in_loop:
            self._loops.add(id(graph))
        for name in graph.constants:
            binding.setdefault(name, (Alias(self._storage(graph, "constant", name, name)),))
        for node in graph.nodes:
            target = node.target
            if target not in self._fresh:
                self._fresh[target] = _makes_its_own(self._ops.lookup(target))
            if self._fresh[target]:
                continue
            if node.subgraphs():
                self._call(graph, node, binding)
            else:
                self._op(graph, node, binding)

    def _op(self, graph: Graph, node: Node, binding: _Binding) -> None:
        op = self._ops.lookup(node.target)
        rules = op.aliases if op is not None else ()
        if op is None or (op.name.startswith("higher_order.") and op.name not in _CLOSED):
            self._opaque.append((node, graph))
        for position, output in enumerate(node.outputs) if rules else ():
            results = output.tensors()
            for index, result in enumerate(results):
                if result is None:
                    continue
                place = (index, len(results))
                found: list[Alias] = []
                uncertain = False
                for rule in rules:
                    if rule.result in (None, position):
                        aliases, decided = self._shared(graph, node, rule, result, place)
                        found += aliases
                        uncertain |= not decided
                if not found or uncertain:
                    found.append(Alias(self._storage(graph, "intermediate", result), certain=not found))
                if len(found) > MOST_STORAGES:
                    raise ProgramError(f"%{result} may show the memory of more than {MOST_STORAGES} values")
                binding[result] = tuple(found)

    def _shared(
        self, graph: Graph, node: Node, rule: AliasRule, result: str, place: tuple[int, int]
    ) -> tuple[list[Alias], bool]:
        """What the result shows by one rule, and whether that is for certain.

        ``place`` is the result's index in its list, and the list's length (0 and 1 for a result of its own).
        """
        op = self._ops.lookup(node.target)
        argument = node.input(rule.argument)
        if op is None or argument is None:
            return [], True
        index, count = place
        names = [name for name in argument.tensors() if name is not None]
        if count > 1 and len(names) == count:
            names = [names[index]]  # ops from a list to a list (broadcast_tensors, meshgrid) go one by one
        if op.in_place_view or rule.argument in op.writes:
            step: tuple[str, ...] = (op.name,) if op.in_place_view else ()
        else:
            step = () if op.name.rpartition(".")[0] in _IDENTITIES else (op.name,)
        found: list[Alias] = []
        decided = len(names) <= 1
        for name in names:
            shares: bool | None = True
            if rule.certainty == "maybe":
                doubted = not self._precision.doubts(graph).isdisjoint((name, result))
                shares = shares_storage(
                    graph, node, op, name, result, dtypes_known=not doubted, may_be_one=self._sizes.may_be_one
                )
            if shares is False:
                continue
            certain = shares is True and decided
            decided = decided and shares is True
            found += [
                Alias(alias.storage, _through(alias.views, step), alias.certain and certain)
                for alias in self._shown(graph, name)
            ]
        return found, decided

    def _call(self, graph: Graph, node: Node, binding: _Binding) -> None:
        rule = convention(node)
        graphs = called_graphs(node, rule) if rule is not None else None
        if rule is None or graphs is None:
            self._unknown_call(graph, node, binding)
            return
        handed = [() if name is None else self._shown(graph, name) for name in operand_names(node, rule)]
        outer = self._count
        around = self._in_loop
        self._in_loop = rule.exact and (around or (rule.repeats and rule.fresh_results))
        for called in graphs:
            self._analyze(called, self._bind(called, rule, handed))
        self._in_loop = around
        outputs = [_flat(graphs[position].outputs) for position in rule.results_of]
        results = [name for output in node.outputs for name in output.tensors() or [None]]
        born: dict[Storage, Storage] = {}
        together: set[Storage] = set()
        for index, result in enumerate(results):
            if result is None:
                continue
            found: list[Alias] = []
            for position, names in zip(rule.results_of, outputs, strict=True):
                value = names[index] if index < len(names) else None
                found += self._shown(graphs[position], value) if value is not None else ()
            single = len(rule.results_of) == 1 and not rule.repeats
            outside = [alias for alias in found if alias.storage.serial <= outer]
            inside = [alias.storage for alias in found if alias.storage.serial > outer]
            aliases = [Alias(alias.storage, alias.views, alias.certain and single) for alias in outside]
            if inside or not aliases:
                storage = next((born[one] for one in inside if one in born), None)
                if storage is None:
                    storage = self._storage(graph, "intermediate", result)
                else:
                    together.add(storage)
                born.update(dict.fromkeys(inside, storage))
                aliases.append(Alias(storage, certain=not outside))
            binding[result] = tuple(aliases)
        # Results that share memory born inside: what one shows of the other only the graph inside tells.
        for result in results if together else ():
            if result is not None:
                binding[result] = tuple(
                    Alias(one.storage, one.views, one.certain and one.storage not in together)
                    for one in binding[result]
                )

    def _bind(self, graph: Graph, rule: Convention, handed: Sequence[tuple[Alias, ...]]) -> _Binding:
        """What the inputs of a called graph show, ``handed`` being what the caller's operands do."""
        inputs: _Binding = {}
        for index, name in enumerate(_flat(graph.inputs)):
            if name is None:
                continue
            shown = handed[index] if index < len(handed) else ()
            certain = rule.exact and not rule.repeats
            inputs[name] = tuple(Alias(a.storage, a.views, a.certain and certain) for a in shown) or (
                Alias(self._storage(graph, "unknown", name), certain=False),
            )
        return inputs

    def _unknown_call(self, graph: Graph, node: Node, binding: _Binding) -> None:
        """An op that calls graphs in a way that is not known: anything may alias anything."""
        op = self._ops.lookup(node.target)
        if op is None or op.name not in _CLOSED:
            self._opaque.append((node, graph))
        around, self._in_loop = self._in_loop, False
        for sub in node.subgraphs():
            names = [name for name in _flat(sub.graph.inputs) if name is not None]
            unknown: _Binding = {
                name: (Alias(self._storage(sub.graph, "unknown", name), certain=False),) for name in names
            }
            self._analyze(sub.graph, unknown)
        self._in_loop = around
        for result in node.results():
            binding[result] = (Alias(self._storage(graph, "unknown", result), certain=False),)


def classified_inputs(program: Program) -> Iterator[tuple[str, StorageKind, str]]:
    """Value, kind and qualified name of each tensor input of the root graph."""
    signature = program.graph_module.signature
    for index, argument in enumerate(program.graph.inputs):
        names = argument.tensors()
        if not names or names[0] is None:
            continue
        name = names[0]
        kind: StorageKind = "user input"
        qualified = name
        if signature.input_specs is None:
            if name in signature.inputs_to_parameters:
                kind, qualified = "parameter", signature.inputs_to_parameters[name]
            elif name in signature.inputs_to_buffers:
                kind, qualified = "buffer", signature.inputs_to_buffers[name]
        else:
            spec = signature.input_specs[index]
            if spec.parameter is not None:
                kind, qualified = "parameter", spec.parameter.parameter_name or name
            elif spec.buffer is not None:
                kind, qualified = "buffer", spec.buffer.buffer_name or name
            elif spec.tensor_constant is not None:
                kind, qualified = "constant", spec.tensor_constant.tensor_constant_name or name
            elif spec.token is not None:
                kind = "intermediate"
        yield name, kind, qualified


def _makes_its_own(op: OpInfo | None) -> bool:
    # What the configuration declares may be a higher-order op, with graphs among its operands.
    return op is not None and op.source == "table" and not op.aliases and not op.name.startswith("higher_order.")


def _touched(node: Node) -> Iterator[str]:
    """The tensors that a node takes and returns."""
    for argument in (*(operand.arg for operand in node.inputs), *node.outputs):
        yield from (name for name in argument.tensors() if name is not None)


def _flat(arguments: list[Argument]) -> list[str | None]:
    """One entry per argument: its tensor, or None where it holds none."""
    return [name for argument in arguments for name in (argument.tensors() or [None])]


def _through(views: tuple[str, ...], step: tuple[str, ...]) -> tuple[str, ...]:
    """The views with one more."""
    longer = views + step
    if len(longer) <= MOST_VIEWS:
        return longer
    half = MOST_VIEWS // 2
    return (*longer[: half - 1], LEFT_OUT, *longer[-half:])
