"""The serialized graph, typed, as far as graphlint reads it.

The structs follow torch's ``torch/_export/serde/schema.py`` (schema 1 to 8) and are lenient where its
versions differ: fields that a version lacks have defaults, keys that graphlint has no use for are skipped.

A struct is never changed once it is there: a pass makes other ones (:mod:`graphlint.ir.edit`). What a changed program
shares with the one that was read is written back as the very bytes that were read (:mod:`graphlint.ir.encode`), so
what is skipped here is not lost there.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from functools import cached_property
from typing import Any, Final, Literal, TypedDict

import msgspec

from graphlint.artifact.errors import ProgramError
from graphlint.ir.expressions import canonical, stride_of

Number = float | Literal["Infinity", "-Infinity", "inf", "-inf", "NaN", "nan"]
"""A floating-point number. What JSON has no numbers for is spelled out."""


class _Part(msgspec.Struct, gc=False):
    """A part of a program. The JSON is a tree, so there are no cycles for the collector to find."""


class TensorRef(_Part):
    name: str


class SymRef(_Part, omit_defaults=True):
    """A symbolic scalar argument: the name of a value, or a number that stands among such names."""

    as_name: str | None = None
    as_expr: Any = None
    """No torch writes this here, and what it would evaluate counts as code."""
    as_int: int | None = None
    as_float: Number | None = None
    as_bool: bool | None = None

    @property
    def literal(self) -> int | Number | bool | None:
        """The number, where this is one."""
        for value in (self.as_int, self.as_float, self.as_bool):
            if value is not None:
                return value
        return None


class OptionalTensorRef(_Part, omit_defaults=True):
    """An element of a list of optional tensors. torch 2.3 and earlier write the bare name."""

    as_tensor: TensorRef | str | None = None
    as_none: Any = None

    @property
    def tensor(self) -> str | None:
        """The tensor's name, None where it is absent."""
        return self.as_tensor.name if isinstance(self.as_tensor, TensorRef) else self.as_tensor


class CustomObjRef(_Part):
    name: str
    class_fqn: str = ""


class Device(_Part):
    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"


class SymExpr(_Part):
    expr_str: str
    hint: Any = None


class SymSize(_Part, omit_defaults=True):
    """One size, stride or offset: a number or a symbolic expression."""

    as_expr: SymExpr | None = None
    as_int: int | None = None

    @property
    def value(self) -> int | str:
        """The number, or the expression in its canonical spelling (``s77 + 1``)."""
        if self.as_expr is not None:
            return canonical(self.as_expr.expr_str)
        if self.as_int is None:
            raise ProgramError("a size is neither a number nor an expression")
        return self.as_int

    @property
    def shown(self) -> int | str:
        """The same, to be shown: ``?`` where it is neither."""
        return "?" if self.as_expr is None and self.as_int is None else self.value


UNRECORDED: Final[list[SymSize]] = []
"""The sizes or strides of a tensor of which none are recorded; those of a 0-dimensional one are a list of their own."""


class TensorMeta(_Part):
    """Recorded metadata of a tensor value. ``dtype`` and ``layout`` are the schema's enum numbers
    (:data:`graphlint.ir.dtypes.DTYPES`, :data:`graphlint.ir.dtypes.LAYOUTS`).
    """

    dtype: int = 0
    sizes: list[SymSize] = msgspec.field(default_factory=lambda: UNRECORDED)
    strides: list[SymSize] = msgspec.field(default_factory=lambda: UNRECORDED)
    storage_offset: SymSize | int | None = None
    requires_grad: bool = False
    device: Device | None = None
    layout: int = 0
    meta: "TensorMeta | msgspec.UnsetType | None" = msgspec.UNSET
    """torch 2.1 wraps the metadata in one more object."""

    @property
    def shape(self) -> tuple[int | str, ...]:
        return tuple(size.value for size in self.sizes)

    @property
    def stride(self) -> tuple[int | str, ...]:
        values = (stride.value for stride in self.strides)
        return tuple(stride_of(value) if isinstance(value, str) else value for value in values)


class GraphRef(_Part):
    """A subgraph inside an argument."""

    name: str
    graph: "Graph"


class Complex(_Part):
    real: Number
    imag: Number


class Argument(_Part, omit_defaults=True):
    """A one-key union: exactly one field is set, none where a newer torch used a kind that is unknown here."""

    as_none: Any = None
    """``true``, and ``[]`` in files before torch 2.6."""
    as_tensor: TensorRef | None = None
    as_tensors: list[TensorRef] | None = None
    as_int: int | None = None
    as_ints: list[int] | None = None
    as_float: Number | None = None
    as_floats: list[Number] | None = None
    as_string: str | None = None
    as_strings: list[str] | None = None
    as_sym_int: SymRef | None = None
    as_sym_ints: list[SymRef] | None = None
    as_scalar_type: int | None = None
    as_memory_format: int | None = None
    as_layout: int | None = None
    as_device: Device | None = None
    as_bool: bool | None = None
    as_bools: list[bool] | None = None
    as_sym_bool: SymRef | None = None
    as_sym_bools: list[SymRef] | None = None
    as_sym_float: SymRef | None = None
    as_sym_floats: list[SymRef] | None = None
    as_graph: GraphRef | None = None
    as_optional_tensors: list[OptionalTensorRef] | None = None
    as_optional_tensor: OptionalTensorRef | None = None
    as_custom_obj: CustomObjRef | None = None
    as_operator: str | None = None
    as_complex: Complex | None = None
    as_nested_tensors: list[list[TensorRef]] | None = None
    as_int_lists: list[list[int]] | None = None
    as_float_lists: list[list[float]] | None = None
    as_string_to_argument: "dict[str, Argument] | None" = None

    @property
    def item(self) -> tuple[str, Any]:
        """The name of the set field, and its value; ``"as_none"`` also where nothing is set that is known here."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None:
                return name, value
        return "as_none", None

    @property
    def kind(self) -> str:
        """The name of the set field."""
        return self.item[0]

    @property
    def value(self) -> Any:
        """The set field's value."""
        return self.item[1]

    @property
    def is_constant(self) -> bool:
        """Whether it is one of the commonest constants, so that nobody has to look for names of values in it."""
        return (
            self.as_int is not None
            or self.as_float is not None
            or self.as_none is not None
            or self.as_bool is not None
            or self.as_ints is not None
            or self.as_string is not None
            or self.as_scalar_type is not None
        )

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is set that is known here."""
        return self.as_tensor is None and not self.is_constant and self.value is None

    def tensors(self) -> list[str | None]:
        """Names of the tensor values in the argument, None for an absent optional tensor, in order."""
        if self.as_tensor is not None:
            return [self.as_tensor.name]
        if self.is_constant:
            return []
        found = (ref for ref in _references(self.value) if not isinstance(ref, SymRef))
        return [ref.tensor if isinstance(ref, OptionalTensorRef) else ref.name for ref in found]

    def symbols(self) -> list[str]:
        """Names of the symbolic scalar values in the argument."""
        if self.is_constant or self.as_tensor is not None:
            return []
        found = (ref.as_name for ref in _references(self.value) if isinstance(ref, SymRef))
        return [name for name in found if name is not None]

    def names(self) -> list[str]:
        """Names of all tensor and symbolic values in the argument."""
        if self.as_tensor is not None:  # most are
            return [self.as_tensor.name]
        if self.is_constant:
            return []
        found = _references(self.value)
        plain = [ref for ref in found if not isinstance(ref, SymRef)]
        tensors = (ref.tensor if isinstance(ref, OptionalTensorRef) else ref.name for ref in plain)
        symbols = (ref.as_name for ref in found if isinstance(ref, SymRef))
        return [name for name in (*tensors, *symbols) if name is not None]


def _references(value: Any) -> list[TensorRef | OptionalTensorRef | SymRef]:
    """The references to values in what an argument holds, in order."""
    if isinstance(value, (TensorRef, OptionalTensorRef, SymRef)):
        return [value]
    if isinstance(value, Argument):
        return _references(value.value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [reference for one in inner for reference in _references(one)]


ATEN: Final = "torch.ops.aten."
"""How the targets of torch's own ops on tensors begin."""


class NamedArgument(_Part, omit_defaults=True):
    """An operand of a node. ``name`` comes from the op's schema, empty for higher-order ops;
    ``arg_kind`` is 1 for positional, 2 for keyword, None in files before torch 2.7.
    """

    name: str
    arg: Argument
    arg_kind: int | None = msgspec.field(default=None, name="kind")


class Node(_Part):
    target: str
    inputs: list[NamedArgument]
    outputs: list[Argument]
    metadata: dict[str, str] = {}
    is_hop_single_tensor_return: bool | msgspec.UnsetType | None = msgspec.UNSET
    """Absent in files before torch 2.7."""
    name: str | msgspec.UnsetType | None = msgspec.UNSET
    """Absent in files before torch 2.11."""

    def input(self, name: str) -> Argument | None:
        """The operand of that schema name (or, for ops without a schema, at that position: ``"0"``), or None where the
        call leaves it out.
        """
        for operand in self.inputs:
            if operand.name == name:
                return operand.arg
        if name.isdecimal() and int(name) < len(self.inputs):
            return self.inputs[int(name)].arg
        return None

    def results(self) -> list[str]:
        """Names of all values that the node defines, in order."""
        if len(self.outputs) == 1:  # most have one
            return self.outputs[0].names()
        return [name for output in self.outputs for name in output.names()]

    def reads(self) -> list[str]:
        """Names of all values among the operands, in order."""
        return [name for operand in self.inputs for name in operand.arg.names()]

    @property
    def op(self) -> str:
        """The target as people write it: ``aten.add_.Tensor``, ``higher_order.cond``, ``_operator.ge``."""
        return self.target.removeprefix("torch.ops.")

    @property
    def label(self) -> str:
        """What to call this node: its name, else its first result, else its op."""
        return self.name or next(iter(self.results()), self.op)

    @property
    def caller_label(self) -> str:
        """What to call this node in the path to a graph that it calls: ``cond``. torch names such nodes after their
        first result (``getitem``) or after the last node inside (``add_``), which tells nothing.
        """
        return self.target.rpartition(".")[2]

    def subgraphs(self) -> Sequence[GraphRef]:
        """The graphs among the operands, in order. Ops of aten take none: decoding sees to that."""
        if self.target.startswith(ATEN):
            return ()
        return [graph for one in self.inputs if (graph := one.arg.as_graph) is not None]


class Survey(msgspec.Struct):
    """What one walk over a graph's nodes finds."""

    readers: dict[str, list[int]] = {}
    """The values that inputs, constants and nodes define, in this order, each with the nodes that read it, by their
    index.
    """
    rare: list[tuple[int, Argument]] = []
    """The operands that are neither a tensor nor one of the commonest constants, each with its node's index."""
    several: list[int] = []
    """The nodes that make anything else than one tensor, by their index."""
    keywords: set[str] = set()
    """The names of operands."""
    twice: tuple[int, str] | None = None
    """The first node that defines a value which is defined already (-1 for the first input, -2 for the second one, …),
    and that value.
    """
    undefined: tuple[int, str] | None = None
    """The first node that reads a value which nothing before it defines, and that value."""

    def define(self, names: Sequence[str], position: int) -> None:
        for name in names:
            if name in self.readers:
                self.twice = self.twice or (position, name)
            self.readers[name] = []

    def read(self, names: Sequence[str], position: int) -> None:
        for name in names:
            places = self.readers.get(name)
            if places is None:
                self.undefined = self.undefined or (position, name)
            else:
                places.append(position)


class Graph(_Part, dict=True, gc=True):
    inputs: list[Argument]
    outputs: list[Argument]
    nodes: list[Node]
    tensor_values: dict[str, TensorMeta]
    sym_int_values: dict[str, Any] = {}
    sym_float_values: dict[str, Any] = {}
    sym_bool_values: dict[str, Any] = {}
    custom_obj_values: dict[str, Any] = {}
    is_single_tensor_return: bool = False
    constants: dict[str, Any] = {}
    """Tensors that torch 2.1 keeps in the graph itself, by the name that nodes read them under."""

    def meta(self, name: str) -> TensorMeta | None:
        """Recorded metadata of a tensor value of this graph, or None where there is none."""
        meta = self.tensor_values.get(name)
        return meta.meta or meta if meta is not None else None

    @cached_property
    def by_target(self) -> dict[str, list[int]]:
        """The nodes of each target, by their index in :attr:`nodes`."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        for index, node in enumerate(self.nodes):
            found[node.target].append(index)
        return found

    @cached_property
    def survey(self) -> Survey:
        """Who reads which value, and what is rare."""
        found = Survey()
        readers, rare, keywords = found.readers, found.rare, found.keywords
        for position, argument in enumerate(self.inputs):
            found.define(argument.names(), -1 - position)
        for name in self.constants:
            readers.setdefault(name, [])
        objects = {one.as_custom_obj.name for one in self.inputs if one.as_custom_obj is not None}
        readers.update((name, []) for name in objects - readers.keys())
        # Each node is looked at once: a part of every check, which takes as long as it takes to fetch them into the
        # processor's cache. Most operands and results are one tensor or a number: a list for each would take longer.
        for position, node in enumerate(self.nodes):
            for operand in node.inputs:
                argument = operand.arg
                keywords.add(operand.name)
                read = argument.as_tensor
                if read is not None:
                    places = readers.get(read.name)
                    if places is not None:
                        places.append(position)
                        continue
                elif argument.as_int is not None or argument.as_float is not None or argument.is_constant:
                    continue
                else:
                    rare.append((position, argument))
                found.read(argument.names(), position)
            outputs = node.outputs
            made = outputs[0].as_tensor if len(outputs) == 1 else None
            if made is not None and made.name not in readers:
                readers[made.name] = []
                continue
            found.several.append(position)
            found.define(node.results(), position)
        return found

    @cached_property
    def makers(self) -> dict[str, int]:
        """The nodes that make the graph's values, by their index in :attr:`nodes`."""
        return {name: index for index, node in enumerate(self.nodes) for name in node.results()}

    @property
    def defined(self) -> AbstractSet[str]:
        """Names of the values that inputs, constants and nodes define."""
        return self.survey.readers.keys()

    def of_targets(self, wanted: Callable[[str], bool]) -> list[int]:
        """The nodes whose target is a wanted one, by their index, in order."""
        return sorted(index for target, places in self.by_target.items() if wanted(target) for index in places)

    def callers(self) -> list[Node]:
        """The nodes that call graphs, in order."""
        nodes = [self.nodes[index] for index in self.of_targets(lambda target: not target.startswith(ATEN))]
        return [node for node in nodes if node.subgraphs()]

    def used(self) -> set[str]:
        """Names of all values that nodes read or that the graph returns."""
        used = {name for output in self.outputs for name in output.names()}
        used.update([name for name, places in self.survey.readers.items() if places])
        return used


# Annotations of what is defined further down. Python's compiler would make these of their text, in each process that
# decodes, and load all of its syntax trees for that.
TensorMeta.__annotations__["meta"] = TensorMeta | msgspec.UnsetType | None
GraphRef.__annotations__["graph"] = Graph
Argument.__annotations__["as_string_to_argument"] = dict[str, Argument] | None


class Spec(_Part, omit_defaults=True):
    """Any input or output spec; which fields are set depends on the spec's kind. ``arg`` is an
    :class:`Argument` for user inputs and outputs and a reference by name for everything else.
    """

    arg: Any = None
    name: str | None = None
    parameter_name: str | None = None
    buffer_name: str | None = None
    tensor_constant_name: str | None = None
    custom_obj_name: str | None = None
    user_input_name: str | None = None
    persistent: bool | None = None


NAME_FIELDS: Final = {
    "parameter": "parameter_name",
    "buffer": "buffer_name",
    "tensor_constant": "tensor_constant_name",
    "custom_obj": "custom_obj_name",
    "constant_input": "name",
    "buffer_mutation": "buffer_name",
    "parameter_mutation": "parameter_name",
    "user_input_mutation": "user_input_name",
    "gradient_to_parameter": "parameter_name",
    "gradient_to_user_input": "user_input_name",
}
"""Kinds of inputs and outputs that stand for something else, and the field of the spec that holds its name."""


class _OneSpec(_Part, omit_defaults=True):
    """One of the fields is set, whose name is the kind of the input or output."""

    @property
    def kind(self) -> str:
        """Empty where a newer torch used one that is unknown here."""
        return next((kind for kind in self.__struct_fields__ if getattr(self, kind) is not None), "")

    @property
    def spec(self) -> Spec | None:
        """What is said of that kind."""
        kind = self.kind
        spec: Spec | None = getattr(self, kind) if kind else None
        return spec

    @property
    def target(self) -> str | None:
        """The name of what the input or output stands for."""
        field = NAME_FIELDS.get(self.kind)
        name: str | None = getattr(self.spec, field) if field is not None else None
        return name


class InputSpec(_OneSpec, omit_defaults=True):
    user_input: Spec | None = None
    parameter: Spec | None = None
    buffer: Spec | None = None
    tensor_constant: Spec | None = None
    custom_obj: Spec | None = None
    token: Spec | None = None
    constant_input: Spec | None = None


class OutputSpec(_OneSpec, omit_defaults=True):
    user_output: Spec | None = None
    loss_output: Spec | None = None
    buffer_mutation: Spec | None = None
    parameter_mutation: Spec | None = None
    user_input_mutation: Spec | None = None
    gradient_to_parameter: Spec | None = None
    gradient_to_user_input: Spec | None = None
    token: Spec | None = None


class Signature(_Part):
    """What each input and output of the root graph is. torch 2.1 writes the maps, by names of values, in place of the
    specs; decoding makes specs of them.
    """

    input_specs: list[InputSpec] = []
    output_specs: list[OutputSpec] = []
    inputs_to_parameters: dict[str, str] = {}
    inputs_to_buffers: dict[str, str] = {}
    buffers_to_mutate: dict[str, str] = {}


class ModuleCallSignature(_Part, omit_defaults=True):
    inputs: list[Argument]
    outputs: list[Argument]
    in_spec: str
    out_spec: str
    forward_arg_names: Any = None


class ModuleCallEntry(_Part, omit_defaults=True):
    fqn: str
    signature: ModuleCallSignature | None = None


class GraphModule(_Part):
    graph: Graph
    signature: Signature
    module_call_graph: list[ModuleCallEntry]


class SchemaVersion(_Part):
    major: int
    minor: int = 0


class Range(TypedDict, total=False):
    """What is known of a symbol's value; no bound where there is none."""

    min_val: int | float | str | None
    max_val: int | float | str | None


class Program(_Part):
    """A serialized ``ExportedProgram``."""

    graph_module: GraphModule
    schema_version: SchemaVersion | int
    range_constraints: dict[str, Range | tuple[Any, Any]] = {}
    verifiers: list[str] = []
    dialect: str | None = None
    """What torch 2.4 and earlier write in place of ``verifiers``."""
    torch_version: str | None = None
    guards_code: Any = None
    """Python expressions that inputs have to satisfy, as strings (torch 2.9 and later)."""

    @property
    def graph(self) -> Graph:
        """The root graph."""
        return self.graph_module.graph

    @property
    def schema(self) -> tuple[int, int]:
        """(major, minor)."""
        version = self.schema_version
        return (version, 0) if isinstance(version, int) else (version.major, version.minor)

    @property
    def dialects(self) -> tuple[str, ...]:
        """``("TRAINING",)``, ``("ATEN",)``, …"""
        return tuple(self.verifiers) or ((self.dialect,) if self.dialect else ())
