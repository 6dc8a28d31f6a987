"""What is known of one op overload: the fields of a row of the table, and their vocabularies.

Facts about results (:attr:`OpInfo.layout`, ``dtype``, …) stand on overloads that return new tensors. What
an ``out=`` or an in-place overload computes is told by the row of its functional twin. Conditions on the arguments that
a node records are data, too.
"""

from functools import cache
from typing import Final, Literal, TypeVar

import msgspec

from graphlint.ir.model import Argument, NamedArgument, Node
from graphlint.ops.schema import OpSchema


class ArgumentIs(msgspec.Struct, frozen=True):
    """Holds where the argument is recorded as (or left at a default of) this very value.

    An argument that is a symbolic value, or that the node leaves out and the schema gives no default, fulfils
    no condition.
    """

    argument: str
    value: bool | float

    def holds(self, node: Node, schema: OpSchema | None) -> bool:
        """Whether it holds for the node's recorded arguments."""
        recorded = node.input(self.argument)
        if recorded is not None:
            return self._is(_constant(recorded))
        argument = schema.argument(self.argument) if schema is not None else None
        return argument is not None and self._is(argument.default_value)

    def _is(self, value: bool | float | str | None) -> bool:
        # True == 1 in Python, but `train=True` must not fulfil `p == 1`.
        return value == self.value and isinstance(value, bool) == isinstance(self.value, bool)


def _constant(argument: Argument) -> bool | float | str | None:
    """The constant that a node records, None for everything else."""
    symbols = (argument.as_sym_bool, argument.as_sym_int, argument.as_sym_float)
    literals = (symbol.literal for symbol in symbols if symbol is not None)
    known = (argument.as_bool, argument.as_int, argument.as_float, *literals)
    return next((value for value in known if value is not None), None)


class RandomCondition(msgspec.Struct, frozen=True):
    """When an op draws from the global random number generator."""

    draws: bool = False
    """Whether it may draw at all."""
    unless: tuple[ArgumentIs, ...] = ()
    """Any one of these is enough for it to draw nothing."""


class HiddenWrites(msgspec.Struct, frozen=True):
    """Writes that an op's schema keeps quiet about."""

    arguments: tuple[str, ...]
    when: ArgumentIs | None = None
    """The writes happen only where this holds, or where it cannot be told; None means always."""

    def holds(self, node: Node, schema: OpSchema | None) -> bool:
        """Whether a call with the node's recorded arguments writes them."""
        if self.when is None or self.when.holds(node, schema):
            return True
        recorded = node.input(self.when.argument)
        return recorded is not None and _constant(recorded) is None and recorded.kind != "as_none"


class Alias(msgspec.Struct, frozen=True):
    """A result that shares storage with an argument."""

    argument: str
    """The argument's name; for lists of tensors, any tensor of the list."""
    result: int | None = None
    """The result's position among the schema's returns; None means any result."""


_Fact = TypeVar("_Fact")
Source = Literal[
    "table",  # torch's own
    "library",  # the table of a library
    "configuration",
]
DISPATCHED: Final = "torch.ops."
"""How the targets of ops begin that the dispatcher knows, and of higher-order ones."""
HIGHER_ORDER: Final = "higher_order."
"""How the names of higher-order ops begin."""
TOKEN: Final = "dep_token"
"""What functional checks call the token that they take beside what they check."""


@cache
def packet_name(name: str) -> str:
    """``add_`` for ``aten.add_.Tensor``, ``cond`` for ``higher_order.cond``; of a function that is no op, its own
    name: ``_add_batch_dim`` for ``torch._functorch.predispatch._add_batch_dim``.
    """
    parts = name.split(".")
    return parts[1] if len(parts) <= _MOST_PARTS else parts[-1]


_MOST_PARTS: Final = 3
"""Namespace, name and overload."""

EffectKind = Literal[
    "check",  # raises where a condition does not hold
    "print",  # writes to the process's output
    "collective",  # talks to other processes
    "mutation",  # writes tensors that no schema names
    "script-object",  # calls a method of an object with state
    "rng-state",  # reads or sets the state of a random number generator
    "profiler",  # opens or closes a profiler record
    "scope",  # belongs to a scope in which ops act on batches or duals (`vmap`, `jvp`), from where it opens to its end
    "token",  # takes effect tokens; another op with the effect may be among its operands
    "effect",  # anything else: I/O, global state
]

Sharing = Literal[
    "unchanged",  # where dtype, device, layout and strides are to stay, and no copy is asked for
    "viewable",  # where the operand's strides admit a view of the result's shape
    "contiguous",  # where the operand is contiguous
    "no-dropout",  # where nothing is dropped: `train` is False, or `p` is 0
    "real",  # where the operand is not complex
    "not-conjugated",  # where no bit says that the operand's elements are to be conjugated
    "not-negated",  # where no bit says that they are to be negated
    "unmarked",  # where neither bit is set: an op that does not know them is given a copy without
    "single",  # where a list of tensors holds one only
    "not-several",  # at most there; whether there depends on more than a program records
    "undecided",  # where more is the case than a program records
]

Form = Literal[
    "",  # as it is
    "indexed-first",  # writes to an index with the indexed dimensions first, by permuted views
    "cast",  # a conversion that always copies
    "reshape",  # `flatten` and the like, to the sizes that are recorded
    "split",  # `chunk`, in pieces of the size that is recorded
    "copied",  # `clone`, as the greater of a tensor and itself
    "floating",  # its numbers are floating-point ones
    "spelled",  # all of its arguments are given
    "apart",  # another op stands between it and the state that its result becomes
]
"""What takes the place of an op that a target refuses."""

StepKind = Literal[
    "identity",  # the operand as it is
    "select",  # dim, index
    "slice",  # dim, start, end, step
    "narrow",  # dim, start, length
    "pieces",  # dim: consecutive pieces of it, each a result
    "unbind",  # dim: each of its positions a result
    "diagonal",  # offset, dim1, dim2
    "transpose",  # first, second: dimensions that change places
    "reverse",  # all dimensions in reverse
    "permute",  # dims
    "move",  # source, destination: as `movedim`
    "reshape",  # the elements in their order, in the result's shape
    "squeeze",  # dim, or all dimensions of size 1
    "unsqueeze",  # dim
    "expand",  # to the result's shape
    "unfold",  # dim, size, step: windows
    "batch",  # dim, level: each position of a dimension in turn (`vmap`)
    "as_strided",  # size, stride, offset
    "resize",  # to another size, in other memory where that is too small
    "bitcast",  # the bytes read as the result's dtype
    "view_as_real",
    "view_as_complex",
    "real",  # the real parts; of a real tensor, itself
    "imag",  # the imaginary parts
    "conjugate",  # sets the bit that says so; nothing on real tensors
    "negate",  # sets the bit that says so
]

Layout = Literal[
    "elementwise",  # by the rule of TensorIterator, from all operands
    "contiguous",  # row-major whatever the operands' strides
    "preserve",  # the first operand's order of dimensions, packed
    "columns",  # the last two dimensions column-major
    "images",  # contiguous, but in four and five dimensions, where memory formats count
    "kept",  # contiguous where all operands are; else not known
    "unknown",
]

DtypeRule = Literal[
    "promote",  # torch.result_type of the operands
    "floating",  # the same, and the default dtype for integers
    "joined",  # the common dtype of a list of tensors
    "first",  # that of the first tensor; others are positions, or of the same dtype
    "real",  # that of the real part of the first tensor's elements
    "counted",  # that of the first tensor, and int64 for integers
    "counting",  # as `promote`, and int64 for bool
    "double",  # float64, or complex128
    "bool",
    "int64",
    "unknown",
]

Substitute = Literal[
    "keep",  # the tensor as it is
    "copy",  # the source, cast and expanded
    "fill",  # a tensor full of a number, or of the one element of another
    "zero",  # a tensor full of zeros
    "fill-diagonal",  # the diagonal filled, and scattered back
    "polygamma",  # the functional overload, which takes its arguments in another order
    "batch-norm",  # the overload that returns new running statistics
    "instance-norm",  # the same, of a batch that is made of the instances
]

DrawOrder = Literal[
    "elements",  # in the order of the elements, whatever the strides
    "contiguous",  # as the functional twin draws where the tensor is contiguous only
    "never",  # never as the functional twin
]

Autocast = Literal[
    "none",  # nothing is cast, in what the op is made of neither
    "lowered",  # operands are cast to the region's dtype
    "float32",  # operands are cast to it
    "float32-dtype",  # computed in it: the `dtype` argument, where it is absent and the first operand would be cast
    "float32-overload",  # the same, by the overload that has such an argument
    "promote",  # operands are brought to the widest dtype among them, float32 or the region's; others raise
    "banned",  # raises
]
AUTOCAST_DEVICES: Final = ("cpu", "cuda", "xpu", "mps")
"""The types of devices for which it is known what autocast does."""

Role = Literal[
    StepKind,  # takes that step, and does nothing else
    # what passes make, and look for
    "copy",  # in memory of its own
    "overwrite",  # the second operand, laid out as the first
    "cast",
    "fill",  # a tensor like another, full of a number
    "repeat",
    "mean",
    "split",  # a dimension, in pieces of a size
    "greater",  # of two tensors, element by element
    "alias",
    "detach",
    "view",  # in another shape, never a copy
    "conjugated",  # each element, in memory of its own
    "negated",
    "complex",  # of real and imaginary parts
    "scatter-select",  # the first operand with the second in the place that the step shows
    "scatter-slice",
    "scatter-diagonal",
    "scatter-strided",
    "unbatch",  # of what is computed at each position of a dimension, one tensor
    "polygamma",
    "batch-norm",  # which returns new running statistics
    "size",  # of a dimension
    "sum",  # of two numbers
    "difference",
    "product",
    "wrapper",  # calls another op on copies of what it writes
    # checks, and the tokens that chain them
    "assert",  # without a message
    "assert-message",
    "assert-scalar",
    "assert-range",
    "assert-metadata",
    "make-token",
    "effect-token",  # runs an op that is given an effect token of torch's own
]
"""What an op is to graphlint itself: code asks for the role, and the table tells which op has it."""

Region = Literal[
    "gradients",  # whether autograd records: enabled, …
    "autocast",  # device, dtype, enabled, …
]


class ViewStep(msgspec.Struct, frozen=True):
    """One step of a view. Its parameters are arguments of the op by name (a default is the schema's) or numbers.

    A number for a dimension beyond the operand's last means the last (``hsplit`` cuts the first of one dimension).
    """

    kind: StepKind
    parameters: dict[str, str | int] = {}

    def depends_on_strides(self) -> bool:
        """Whether strides decide if there is such a view, or what it shows."""
        return self.kind in ("reshape", "as_strided", "bitcast", "view_as_complex")


class Convention(msgspec.Struct, frozen=True):
    """How a higher-order op calls the graphs among its operands. Positions count the node's operands from 0."""

    graphs: tuple[int, ...]
    """Where the graphs stand."""
    lists: tuple[int, ...] = ()
    """Where lists of values stand whose concatenation the graphs take."""
    rest: int | None = None
    """From where on each positional operand is a value that the graphs take."""
    results_of: tuple[int, ...] = ()
    """Which of ``graphs`` give the node its results (by position in ``graphs``)."""
    repeats: bool = False
    """Whether a graph may run more than once, its results becoming its next inputs."""
    exact: bool = True
    """Whether the graphs get the values themselves (``map`` gives them slices)."""
    fresh_results: bool = False
    """Whether torch refuses graphs whose results alias their inputs."""
    carries: bool = False
    """Whether one more tensor can be handed in and out (the token's way through)."""


class OpInfo(msgspec.Struct, frozen=True):
    """What an op overload writes, aliases, draws and returns."""

    name: str
    """As people write it: ``aten.add_.Tensor``, ``higher_order.cond``, ``_operator.ge``."""
    schema: OpSchema | None = None
    """None for higher-order and symbolic operators, and for declared ops that the table does not know."""
    writes: tuple[str, ...] = ()
    """Names of the arguments that it always writes; a declared op's may be positions (``"0"``) as well."""
    hidden_writes: HiddenWrites | None = None
    """Writes that the schema keeps quiet about."""
    aliases: tuple[Alias, ...] = ()
    """Results of higher-order ops alias what their subgraphs make of them, which is not told here."""
    shares: Sharing | None = None
    """Where aliases are not certain: under which condition results share storage with the operand. None where they
    are, or where there are none."""
    returns_self: Literal["never", "shared", "sometimes"] = "never"
    """Whether a result is the operand itself, the very object: wherever it shares storage (``shared``), or only where
    there is nothing to do (``sometimes``: ``flatten`` of one dimension). Else it is another tensor on the same storage.
    """
    view: tuple[ViewStep, ...] = ()
    """The steps from the aliased operand to what the result shows of it. None are known where this is empty."""
    detaches: bool = False
    """Whether autograd does not see that results share storage with the operand: neither what is written into them, nor
    that they depend on it."""
    random: RandomCondition = RandomCondition()
    """When it draws from the global random number generator."""
    draw_order: DrawOrder = "elements"
    """Of an op that draws into a tensor: whether it draws the same numbers as its functional twin."""
    role: Role | None = None
    dropout: bool = False
    """Whether it drops elements at random in train mode, and does nothing else."""
    in_eval: ArgumentIs | None = None
    """Of an op that does something else in train mode: the argument that a model in eval mode gives it."""
    returns_nothing: bool = False
    out_variant: bool = False
    """Whether it writes its result to arguments that the caller gives for that (``out=``)."""
    in_place_view: bool = False
    """Whether it changes its operand's sizes, strides or storage rather than its elements. Where ``view`` tells steps
    (``t_``), it becomes another view of the same memory; else (``resize_``, ``set_``) the memory is another.
    """
    resized: Literal["as the twin", "rows", "unknown"] = "as the twin"
    """How ``out=`` lays out a tensor without elements that it resizes: as the functional twin lays out its result, in
    rows, or in a way that is not known.
    """
    functional_twin: str | None = None
    """The overload that computes the same without writing (or, for checks, with tokens)."""
    substitute: Substitute | None = None
    """What is better known to backends than the functional twin, or takes its place where there is none."""
    elementwise: bool = False
    """Whether each element of the result depends only on the elements in its place (after broadcasting)."""
    layout: tuple[Layout, ...] = ()
    """The strides of each new result on the CPU; one entry speaks for all results."""
    meta_layout: bool = True
    """Whether ``meta`` tensors (and so what is recorded) have the strides that the CPU gives results."""
    dtype: tuple[DtypeRule, ...] = ()
    """The dtype of each new result where no ``dtype`` argument says another; one entry speaks for all results."""
    same_bits: bool = False
    """Whether results come out the same, bit by bit, whatever the strides of what they are written to: nothing is
    rounded, or in an order that does not depend on them."""
    complex_bits: bool = True
    """Whether complex numbers come out as those that the op's in-place and ``out=`` forms write, in every layout."""
    sets_bits: bool = False
    """Whether a new result may have a bit set that tells how to read its elements (the conjugates of what it holds)."""
    casts_out: bool = True
    """Of an ``out=`` overload: whether it casts its result to the dtype of what it is given. False where it raises for
    another dtype when it runs, although export takes it."""
    casts_last: bool = True
    """Of an ``out=`` overload: whether what it writes into a tensor of another dtype is its twin's result, cast. False
    where it computes in that dtype, or takes the last steps in it.
    """
    strided_writes: bool = True
    """Whether it minds the strides of what it writes. False where it writes other elements of a tensor that is not
    contiguous than its functional twin returns, which is a mistake of torch's kernel.
    """
    raises_on_integers: bool = False
    """Whether it raises for some values of integers: divides by 0, or raises to a negative power."""
    autocast: dict[str, Autocast] = {}
    """What an autocast region makes of it, by the type of the device that the region is for. Where a device is absent
    that is not known: no experiment shows it, or what the op is made of is cast."""
    effect: bool = False
    """Whether it has a side effect other than ``writes``, ``hidden_writes`` and ``random`` that is no data flow."""
    kind: EffectKind | None = None
    """What kind of effect; also set for functional collectives, where ``effect`` is False."""
    calls: Convention | None = None
    """How it calls graphs. None where that is not known, or where it calls none."""
    region: Region | None = None
    """What holds in the graph that it calls, and not around it: the op of a region, whose operands say which."""
    closed: bool = True
    """Whether it neither writes nor keeps what it is given beyond what is told here, and returns memory of its own
    where no alias is told. False for higher-order ops of which nobody has said so."""
    wraps: bool = False
    """Whether it calls the op that is its first operand, on copies of what that one writes."""
    tags: frozenset[str] = frozenset()
    """torch's tags, as far as the table records them: ``core``, ``pointwise``, ``dynamic_output_shape``, …; and
    ``autocast`` where autocast casts its operands on some device, ``composite`` where it is made of other ops, which
    autocast may cast (it leaves ``out=`` and in-place overloads alone).
    """
    source: Source = "table"

    @property
    def is_custom(self) -> bool:
        """Whether it is none of torch's own."""
        return self.source != "table"

    @property
    def target(self) -> str:
        """What a node that calls it has for a target."""
        symbolic = self.schema is None and self.first_order  # an operator on symbolic scalars, which is Python's
        return self.name if symbolic else f"{DISPATCHED}{self.name}"

    @property
    def packet(self) -> str:
        """Its name without namespace and overload: ``add_``."""
        return packet_name(self.name)

    @property
    def first_order(self) -> bool:
        """Whether it is known to take no graphs. What the configuration declares may be a higher-order op."""
        return self.source != "configuration" and not self.name.startswith(HIGHER_ORDER)

    def draws(self, node: Node) -> bool:
        """Whether the node, with the arguments it records, draws from the global random number generator."""
        return self.random.draws and not any(one.holds(node, self.schema) for one in self.random.unless)

    def written(self, node: Node) -> dict[str, Argument]:
        """The arguments, tensors or lists of them, that the node writes, under the names that ``writes`` and
        ``hidden_writes`` have for them.
        """
        hidden = self.hidden_writes
        updated = hidden.arguments if hidden is not None and hidden.holds(node, self.schema) else ()
        recorded = ((name, node.input(name)) for name in (*self.writes, *updated))
        return {name: argument for name, argument in recorded if argument is not None and any(argument.tensors())}

    def layout_of(self, result: int) -> Layout:
        """The layout of the new result at that position."""
        return _of(self.layout, result)

    def dtype_of(self, result: int) -> DtypeRule:
        """The dtype rule of the new result at that position."""
        return _of(self.dtype, result)


def _of(facts: tuple[_Fact, ...], result: int) -> _Fact | Literal["unknown"]:
    """The fact about one result; a single one speaks for all."""
    return facts[0] if len(facts) == 1 else dict(enumerate(facts)).get(result, "unknown")


def operand_of(node: Node, name: str) -> NamedArgument | None:
    """The operand of that name, or at that position."""
    if name.isdecimal():
        position = int(name)
        return node.inputs[position] if position < len(node.inputs) else None
    return next((operand for operand in node.inputs if operand.name == name), None)
