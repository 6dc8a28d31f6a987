"""In which cases a target refuses an op: what a row's ``where`` asks of a node, or of the program around it."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, combinations, islice
from typing import Any, Final

from graphlint.ir.dtypes import BOOL, FLOATING, INT64, INTEGERS, MASKS, category
from graphlint.ir.model import Graph, NamedArgument, Node, TensorMeta
from graphlint.ir.strides import Size, broadcast
from graphlint.ops.info import OpInfo
from graphlint.rules.settings import Where
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site
from graphlint.semantics.sizes import expression_of

_UNBACKED: Final = re.compile(r"\bu\d+\b")
"""What export calls an integer that it knows nothing of, for data tell it."""

_CHOOSING: Final = frozenset(("condition", "mask", "index", "indices", "target"))
"""What arguments are called that choose elements."""

_GREATEST: Final = 2
"""How bags of embeddings are told that the greatest of each counts (`EmbeddingBagMode` in torch)."""

_OfNode = Callable[[Site], bool]
_OfProgram = Callable[[ProgramView, Site], bool]

_MET: dict[Where, tuple[str, _OfNode]] = {}
"""In words, and whether a node is one of those that are refused."""


def _case(where: Where, words: str) -> Callable[[_OfNode], _OfNode]:
    """A function tells whether a node is one of those."""

    def added(is_met: _OfNode) -> _OfNode:
        _MET[where] = words, is_met
        return is_met

    return added


def is_met(where: Where, view: ProgramView, site: Site) -> bool:
    """Whether a node is one of those that are refused; ``where`` is not empty."""
    return _OF_PROGRAMS[where][1](view, site) if where in _OF_PROGRAMS else _MET[where][1](site)


def told(where: Where) -> str:
    """The same in words, for documentation, behind a space; empty for all nodes."""
    return f" where {(_OF_PROGRAMS.get(where) or _MET[where])[0]}" if where else ""


def _value(site: Site, argument: str) -> Any:
    """What the node is given as an argument, as files hold it; None where it is given none."""
    given = site.node.input(argument)
    return None if given is None or given.kind == "as_none" else given.value


def _number(site: Site, argument: str) -> float | None:
    """The number that the node is given as an argument; None where it is given another thing, or nothing."""
    given = _value(site, argument)
    return given if isinstance(given, (int, float)) else None


def _numbers(site: Site, *names: str) -> list[int]:
    """The integers that the node is given by these names."""
    return [number for name in names if (one := site.node.input(name)) is not None for number in one.as_ints or ()]


def _has(argument: str, *values: object) -> _OfNode:
    """Whether the node is given one of these values as an argument."""
    return lambda site: _value(site, argument) in values


def _below_zero(argument: str) -> _OfNode:
    """Whether the node is given a negative number as an argument."""
    return lambda site: (_number(site, argument) or 0) < 0


def _of_rank(is_met: Callable[[int], bool]) -> _OfNode:
    """Whether the number of dimensions of the first tensor that the node is given is such a one."""
    return lambda site: any(is_met(len(meta.shape)) for meta in _first_given(site))


_rounds_up: Final = _has("ceil_mode", True)
_keeps_sizes: Final = _has("padding", "same")
_does_not_wait: Final = _has("non_blocking", True)


def _recorded(site: Site, names: Iterable[str | None]) -> Iterator[TensorMeta]:
    """What is recorded of tensors in the node's graph, as far as it is."""
    metas = (site.scope.graph.meta(name) for name in names if name is not None)
    return (meta for meta in metas if meta is not None)


def _made(site: Site) -> Iterator[TensorMeta]:
    """The node's results, as far as they are known."""
    return _recorded(site, site.node.results())


def _given(site: Site, *arguments: str) -> Iterator[TensorMeta]:
    """The tensors that the node is given as these arguments, or as any, as far as they are known."""
    operands = (one for one in site.node.inputs if not arguments or one.name in arguments)
    return _recorded(site, chain.from_iterable(operand.arg.tensors() for operand in operands))


def _listed(site: Site) -> Iterator[TensorMeta]:
    """What the node is given in lists of tensors, as far as it is known."""
    operands = (operand for operand in site.node.inputs if operand.arg.as_tensor is None)
    return _recorded(site, chain.from_iterable(operand.arg.tensors() for operand in operands))


def _first_given(site: Site) -> Iterator[TensorMeta]:
    """The first tensor that the node is given to compute with, if there is one and it is known."""
    operands = (operand for operand in site.node.inputs if operand.name not in _CHOOSING)
    names = (name for operand in operands for name in operand.arg.tensors() if name is not None)
    return _recorded(site, islice(names, 1))


def _makers_in(graph: Graph, operands: Iterable[NamedArgument]) -> Iterator[tuple[str, Node]]:
    """The tensors among operands that the graph's nodes make, each with that node."""
    names = (name for operand in operands for name in operand.arg.tensors() if name is not None)
    return ((name, graph.nodes[graph.makers[name]]) for name in names if name in graph.makers)


def _has_masks(site: Site) -> bool:
    """Whether a list of tensors that the node is given holds a mask."""
    return any(meta.dtype in MASKS for meta in _listed(site))


@_case("whole", "it is given no dimensions")
def _is_of_the_whole(site: Site) -> bool:
    given = site.node.input("dim") or site.node.input("dims")
    return given is None or given.kind == "as_none" or given.as_ints == []


@_case("numbers", "it is given a number that depends on data")
def _takes_numbers(site: Site) -> bool:
    graph = site.scope.graph
    names = (name for operand in site.node.inputs if not operand.arg.tensors() for name in operand.arg.names())
    return any(_UNBACKED.search(expression_of(graph, name) or "") for name in names)


@_case("clipped", "the size of its result depends on data, and is clipped")
def _is_clipped(site: Site) -> bool:
    """Whether a size of a result is the lesser of a number that data tell and another one."""
    sizes = (str(size) for meta in _made(site) for size in meta.shape)
    return any("Min(" in size and _UNBACKED.search(size) for size in sizes)


def _is_given_integers(site: Site) -> bool:
    """Whether the first tensor that the node is given is of an integer dtype."""
    return any(meta.dtype in INTEGERS for meta in _first_given(site))


def _comes_to_be_returned(view: ProgramView, site: Site) -> bool:
    """Whether integers that the node makes may be among the outputs, or among tensors that are joined."""
    graph = site.scope.graph
    leading = view.leading_out.get(id(graph))
    if leading is None:
        leading = view.leading_out[id(graph)] = _leading_out(graph)
    return any(_is_of_integers(graph, name) for name in site.node.results() if name in leading)


def _leading_out(graph: Graph) -> set[str | None]:
    """The values that are among the outputs, among tensors that are joined, or lead there by way of integers."""
    leading = {name for output in graph.outputs for name in output.tensors()}
    for node in reversed(graph.nodes):
        leads = any(name in leading and _is_of_integers(graph, name) for name in node.results())
        for operand in node.inputs:
            if leads or operand.name == "tensors":
                leading.update(operand.arg.tensors())
    return leading


def _is_of_integers(graph: Graph, name: str) -> bool:
    meta = graph.meta(name)
    return meta is not None and meta.dtype in INTEGERS


@_case("padded", "it pads")
def _pads(site: Site) -> bool:
    """Whether the node is told to pad what it is given, or its result."""
    return any(_numbers(site, "padding", "output_padding"))


@_case("small-product", "the product or quotient that it adds is smaller than its result")
def _adds_less(site: Site) -> bool:
    shapes = [meta.shape for meta in _given(site, "tensor1", "tensor2")]
    return bool(shapes) and any(meta.shape != broadcast(shapes) for meta in _made(site))


@_case("one-window", "a single window stands along a dimension, and leaves elements out or rounds sizes up")
def _has_one_window(site: Site) -> bool:
    given, weight, made = next(_first_given(site), None), next(_given(site, "weight"), None), next(_made(site), None)
    window = list(weight.shape[2:]) if weight is not None else _numbers(site, "kernel_size")
    if given is None or made is None or not window:
        return False
    rank = max(len(window), len(made.shape) - 2)
    rounds_up = _rounds_up(site)

    def along(numbers: Sequence[Size], default: int) -> list[Size]:
        return list(numbers) * rank if len(numbers) == 1 else list(numbers) or [default] * rank

    def leaves_out(size: Size, width: Size, padding: Size, dilation: Size) -> bool:
        known = all(isinstance(one, int) for one in (size, width, padding, dilation))
        return known and (rounds_up or int(size) + 2 * int(padding) > int(dilation) * (int(width) - 1) + 1)

    told = (along(window, 1), along(_numbers(site, "padding"), 0), along(_numbers(site, "dilation"), 1))
    places = zip(made.shape[-rank:], zip(given.shape[-rank:], *told, strict=False), strict=False)
    return any(count == 1 and leaves_out(*numbers) for count, numbers in places)


@_case("depthwise", "each channel has a filter of its own")
def _is_depthwise(site: Site) -> bool:
    groups = _number(site, "groups") or 1
    return groups > 1 and any(list(weight.shape[:2]) == [groups, 1] for weight in _given(site, "weight"))


@_case("channelled", "it has a weight for each channel, and is given more than rows")
def _has_weights_of_channels(site: Site) -> bool:
    several = any(size != 1 for meta in _given(site, "weight") for size in meta.shape)
    return several and any(len(meta.shape) > 2 for meta in _first_given(site))


def _is_given_an_output(view: ProgramView, site: Site) -> bool:
    """Whether the first tensor that the node is given is made by the program, and returned by it, or becomes state."""
    graph = view.program.graph
    names = {name for name, _ in _makers_in(graph, site.node.inputs[:1])}
    refs = [ref for name in names for ref in view.memory.refs(graph, name)]
    readers = (graph.nodes[place].target for name in names for place in graph.survey.readers.get(name, ()))
    return (
        any(not names.isdisjoint(output.tensors()) for output in graph.outputs)
        or any(ref.storage in view.written_inputs for ref in refs)
        or any((op := view.ops.lookup(target)) is not None and op.substitute == "copy" for target in readers)
    )


def _is_affine_by_constants(view: ProgramView, site: Site) -> bool:
    """Whether the node multiplies by what is stored, adds what is stored, and scales that, or adds more than a row."""
    if _depends_on_calls(view, site, ("self", "mat2")):
        return False
    return _is_scaled(site) or any(len(meta.shape) > 1 for meta in _first_given(site))


@_case("scaled", "`alpha` is not 1")
def _is_scaled(site: Site) -> bool:
    factors = (site.node.input(name) for name in ("alpha", "beta"))
    return any(one is not None and one.as_int != 1 and one.as_float != 1 for one in factors)


@_case("mixed", "it computes with several dtypes")
def _is_mixed(site: Site) -> bool:
    """Whether the node computes with tensors of several dtypes, or with integers and a number that is none; what
    chooses elements is of a dtype of its own.
    """
    operands = [operand.arg for operand in site.node.inputs if operand.name not in _CHOOSING]
    dtypes = {meta.dtype for arg in operands for meta in _recorded(site, arg.tensors())}
    whole = any(category(dtype) < FLOATING for dtype in dtypes)
    return len(dtypes) > 1 or (whole and any(arg.as_float is not None for arg in operands))


@_case("widened", "its result has another dtype than its operand")
def _is_widened(site: Site) -> bool:
    made = {meta.dtype for meta in _made(site)}
    return any(made and meta.dtype not in made for meta in _first_given(site))


@_case("cut-index", "its index has other sizes than the tensor along other dimensions, or than what it scatters")
def _cuts_by_its_index(site: Site) -> bool:
    index, dim = next(_given(site, "index"), None), site.node.input("dim")
    whole, source = next(_given(site, "input", "self"), None), next(_given(site, "src"), None)
    if index is None or whole is None or dim is None or dim.as_int is None or len(index.shape) != len(whole.shape):
        return False
    place = dim.as_int % max(len(whole.shape), 1)
    pairs = zip(index.shape, whole.shape, strict=True)
    along = any(one != other for axis, (one, other) in enumerate(pairs) if axis != place)
    return along or (source is not None and source.shape != index.shape)


@_case("other-repetitions", "it is given more repetitions than dimensions, or none")
def _repeats_by_others(site: Site) -> bool:
    times = _numbers(site, "dims")
    return not times or any(len(times) > len(meta.shape) for meta in _first_given(site))


@_case("closed", "its bounds leave one number, or none")
def _leaves_one_number(site: Site) -> bool:
    low, high = _number(site, "min_val"), _number(site, "max_val")
    return low is not None and high is not None and low >= high


@_case("over-one", "its dimension is of size 1")
def _goes_over_one_element(site: Site) -> bool:
    dim = site.node.input("dim")
    place = dim.as_int if dim is not None else None
    shapes = [meta.shape for meta in _first_given(site) if meta.shape]
    return place is not None and any(shape[place % len(shape)] == 1 for shape in shapes)


@_case(
    "masked-rows",
    "a mask of fewer dimensions chooses rows, and what is written has fewer dimensions than they have together",
)
def _broadcasts_into_rows(site: Site) -> bool:
    ranks = [len(meta.shape) for meta in _listed(site) if meta.dtype in MASKS]
    whole, values = ([len(meta.shape) for meta in metas] for metas in (_first_given(site), _given(site, "values")))
    return any(given < rank - mask + 1 for mask in ranks for rank in whole if mask < rank for given in values)


@_case(
    "bagged",
    "it is told more than to add or average: the greatest, weights, an index to leave out, or the last offset",
)
def _bags_by_more(site: Site) -> bool:
    ends = _value(site, "include_last_offset") is True
    more = _value(site, "padding_idx") is not None or any(_given(site, "per_sample_weights"))
    return _value(site, "mode") == _GREATEST or ends or more


@_case("unbatched", "it is given no batch")
def _is_unbatched(site: Site) -> bool:
    """Whether the first tensor that the node is given has fewer dimensions than its weight; where it has none, than a
    batch of its windows; else than four.
    """
    filters = next(_given(site, "weight"), None)
    window = _numbers(site, "kernel_size")
    rank = len(filters.shape) if filters is not None else len(window) + 2 if window else 4
    return any(len(meta.shape) < rank for meta in _first_given(site))


@_case("short", "it leaves out arguments")
def _leaves_out(site: Site) -> bool:
    """Whether the node is not given all of the arguments that may be given by position."""
    schema = site.op.schema if site.op is not None else None
    known = schema.arguments if schema is not None else ()
    return any(site.node.input(one.name) is None for one in known if not one.keyword_only)


@_case("single", "it is given one tensor")
def _is_of_one(site: Site) -> bool:
    """Whether a list of tensors that the node is given has one."""
    lists = (operand.arg.as_tensors for operand in site.node.inputs)
    return any(one is not None and len(one) == 1 for one in lists)


def _becomes_state(view: ProgramView, site: Site) -> bool:
    """Whether a result of the node becomes the state of a buffer."""
    return site.scope.caller is None and not view.written_back.keys().isdisjoint(site.node.results())


def _is_by_a_constant(view: ProgramView, site: Site) -> bool:
    """Whether the node's second operand is a number, or stored in the artifact."""
    return not _depends_on_calls(view, site, ("other",))


def _follows(view: ProgramView, site: Site, op: Callable[[OpInfo], bool]) -> bool:
    """Whether an operand of the node is made by such an op."""
    made = (view.ops.lookup(maker.target) for _, maker in _makers_in(site.scope.graph, site.node.inputs))
    return any(one is not None and op(one) for one in made)


def _makers(view: ProgramView, node: Node) -> Iterator[Node]:
    """The nodes of the root graph that make a node's operands, where these are no constants."""
    return (maker for name, maker in _makers_in(view.program.graph, node.inputs) if name in view.varying)


def _is_made_of_another(view: ProgramView, site: Site) -> bool:
    """Whether an operand of the node is made by an op that is given another of its operands."""
    given = {name for operand in site.node.inputs for name in operand.arg.tensors()}
    return any(not given.isdisjoint(maker.reads()) for maker in _makers(view, site.node))


def _is_chained(view: ProgramView, site: Site) -> bool:
    """Whether the node computes with a constant and what an op makes, or is the last of three ops that are given
    tensors element by element.
    """

    def elementwise(node: Node) -> bool:
        op = view.ops.lookup(node.target)
        return op is not None and op.elementwise

    makers = list(_makers(view, site.node))
    if makers and not all(_depends_on_calls(view, site, (name,)) for name in ("self", "other")):
        return True
    return any(elementwise(maker) and any(map(elementwise, _makers(view, maker))) for maker in makers)


def _is_fused(view: ProgramView, site: Site) -> bool:
    """Whether the node computes with a product and a constant, or with a product alone."""
    varies = [_depends_on_calls(view, site, (name,)) for name in ("self", "other")]
    return not all(varies) and _follows(view, site, _is_product)


def _is_product(op: OpInfo) -> bool:
    """Whether it is a convolution or a matrix product."""
    return "lowered" in op.autocast.values()  # what autocast computes in half precision, as measured


def _is_computed(view: ProgramView, site: Site) -> bool:
    """Whether the node's weight or bias comes of what the caller hands in, or of what the program writes."""
    return _depends_on_calls(view, site, ("weight", "bias"))


def _depends_on_calls(view: ProgramView, site: Site, operands: Iterable[str]) -> bool:
    """Whether some of a node's operands come of what the caller hands in, or of what the program writes."""
    given = (site.node.input(name) for name in operands)
    return any(not view.varying.isdisjoint(one.tensors()) for one in given if one is not None)


@_case("cropped", "the padding is negative")
def _crops(site: Site) -> bool:
    return any(number < 0 for number in _numbers(site, "pad", "padding"))


@_case("dilated", "it is dilated")
def _is_dilated(site: Site) -> bool:
    """Whether the node is told to leave out elements in its windows."""
    return any(number != 1 for number in _numbers(site, "dilation"))


@_case("overlapping", "its windows overlap")
def _overlaps(site: Site) -> bool:
    sizes, strides = _numbers(site, "kernel_size"), _numbers(site, "stride")
    return any(stride < size for size, stride in zip(sizes, strides, strict=False))


@_case("ceiled-counted", "it rounds sizes up, and counts padding")
def _counts_beyond(site: Site) -> bool:
    """Whether the node rounds the sizes of its result up, and divides by elements of a window that are none."""
    counts = site.node.input("count_include_pad")
    return _rounds_up(site) and (counts is None or counts.as_bool is True)


@_case("kept", "a dimension is of another size than 1, and stays")
def _keeps_dimensions(site: Site) -> bool:
    """Whether a dimension that the node may take away is of another size than 1."""
    dim = site.node.input("dim")
    chosen = None if dim is None else dim.as_ints if dim.as_int is None else [dim.as_int]
    sizes = (
        (axis, size, axis - len(meta.shape)) for meta in _first_given(site) for axis, size in enumerate(meta.shape)
    )
    return any(size != 1 for axis, size, negative in sizes if chosen is None or axis in chosen or negative in chosen)


@_case("repeated", "its operand is made by the same op")
def _is_repeated(site: Site) -> bool:
    return any(maker.target == site.node.target for _, maker in _makers_in(site.scope.graph, site.node.inputs))


@_case("stepped", "the step is no integer, and no dtype is given")
def _is_stepped(site: Site) -> bool:
    """Whether the node counts up from an integer by another number, in a dtype that it is not told."""
    start, step = site.node.input("start"), site.node.input("step")
    counts = start is not None and start.as_int is not None and step is not None and step.as_float is not None
    return counts and _value(site, "dtype") is None


def _sizes(site: Site) -> Iterator[tuple[Size, Size]]:
    """The sizes of what the node is given, each with that of its result."""
    made = list(_made(site))
    return (pair for old in _first_given(site) for new in made for pair in zip(old.shape, new.shape, strict=False))


def _is_whole(size: Size, other: Size) -> bool:
    """Whether a size is a whole multiple of another one, as far as it is known."""
    return isinstance(size, int) and isinstance(other, int) and size % max(other, 1) == 0


@_case("lopsided", "it reflects planes, and not equally on all sides")
def _is_lopsided(site: Site) -> bool:
    sides = _numbers(site, "pad", "padding")
    return len(sides) > 2 and len(set(sides)) > 1 and _value(site, "mode") in (None, "reflect")


@_case("mirrored-planes", "it pads planes by their own elements, and they are no images, or the padding is negative")
def _mirrors_planes(site: Site) -> bool:
    sides = _numbers(site, "pad")
    mirrors = len(sides) > 2 and _value(site, "mode") not in (None, "constant")
    return mirrors and (_crops(site) or any(len(meta.shape) < len(sides) // 2 + 2 for meta in _first_given(site)))


@_case("cropped-mirrors", "the padding is negative, and otherwise made of its own elements")
def _crops_and_mirrors(site: Site) -> bool:
    return _crops(site) and (bool(_numbers(site, "padding")) or _value(site, "mode") not in (None, "constant"))


@_case("output-padded-beyond", "it pads its result by a stride or more")
def _pads_beyond_strides(site: Site) -> bool:
    padding, strides = _numbers(site, "output_padding"), _numbers(site, "stride") or [1]
    if len(strides) < len(padding):
        strides *= len(padding)
    return any(one >= stride for one, stride in zip(padding, strides, strict=False) if one)


@_case("unadjacent", "other dimensions lie between those that it is given")
def _leaves_dimensions_between(site: Site) -> bool:
    ranks = [len(meta.shape) for meta in _first_given(site)]
    dims = sorted({dim % rank for rank in ranks if rank for dim in _numbers(site, "dims")})
    return bool(dims) and dims[-1] - dims[0] >= len(dims)


@_case("abridged", "it is given one number for several dimensions")
def _is_abridged(site: Site) -> bool:
    lengths = {len(_numbers(site, name)) for name in ("kernel_size", "padding")}
    return 1 in lengths and (max(lengths) > 1 or any(len(meta.shape) > 3 for meta in _first_given(site)))


@_case("by-factors", "sizes times the factors that it is given are no whole numbers")
def _is_enlarged_by_factors(site: Site) -> bool:
    factors, aligned = site.node.input("scale_factors"), site.node.input("align_corners")
    if factors is None or not factors.as_floats or (aligned is not None and aligned.as_bool is True):
        return False
    made, given = next(_made(site), None), next(_first_given(site), None)
    if made is None or given is None:
        return True
    pairs = zip(given.shape[2:], made.shape[2:], factors.as_floats, strict=False)
    return any(not isinstance(old, int) or old * factor != new for old, new, factor in pairs)


@_case("same-even", "it pads to the same size, with a window of an even size")
def _keeps_sizes_by_even_windows(site: Site) -> bool:
    sizes = (size for meta in _given(site, "weight") for size in meta.shape[2:])
    return _keeps_sizes(site) and any(not isinstance(size, int) or size % 2 == 0 for size in sizes)


def _equation(site: Site) -> tuple[str, str]:
    """The equation that a node is given, up to its arrow and from there on."""
    equation = site.node.input("equation")
    given, arrow, made = ((equation.as_string or "") if equation is not None else "").replace(" ", "").partition("->")
    return given, arrow + made


def _labels(site: Site) -> list[str]:
    """What an equation calls the dimensions of each tensor that it is given."""
    return _equation(site)[0].replace("...", "").split(",")


@_case("spectral", "it sums up singular values, or takes the greatest or least of them")
def _is_of_singular_values(site: Site) -> bool:
    order, dims = _value(site, "ord"), _numbers(site, "dim")
    schema = site.op.schema.argument("dim") if site.op is not None and site.op.schema is not None else None
    always = schema is not None and schema.default_value is not None  # else, of vectors too
    planes = len(dims) == 2 or always or (not dims and any(len(meta.shape) == 2 for meta in _first_given(site)))
    return order == "nuc" or (planes and order in (2, -2))


@_case("ragged", "its dots stand for other numbers of dimensions in one tensor than in another")
def _has_ragged_ellipses(site: Site) -> bool:
    terms, operand = _equation(site)[0].split(","), site.node.input("tensors")
    names = operand.tensors() if operand is not None else []
    metas = [site.scope.graph.meta(name) if name is not None else None for name in names]
    pairs = [(term, meta) for term, meta in zip(terms, metas, strict=False) if "..." in term and meta is not None]
    return len({len(meta.shape) - len(term.replace("...", "")) for term, meta in pairs}) > 1


def _makes_a_number(site: Site) -> bool:
    """Whether the node's results have no dimensions."""
    metas = [site.scope.graph.meta(name) for name in site.node.results()]
    return all(meta is not None and not meta.shape for meta in metas)


def _multiplies_along(site: Site) -> bool:
    """Whether several tensors that an equation is given have a dimension in common."""
    return any(letter in right for left, right in combinations(_labels(site), 2) for letter in left)


@_case("unshared", "it sums up to one number what shares no dimension, or is given a number")
def _is_unshared(site: Site) -> bool:
    return (_makes_a_number(site) and not _multiplies_along(site)) or (
        "" in _labels(site) and "." not in _equation(site)[0]
    )


def _is_bounded_by_constants(view: ProgramView, site: Site) -> bool:
    """Whether all bounds that the node is given are stored, and have several elements."""
    several = any(size != 1 for meta in _given(site, "min", "max") for size in meta.shape)
    return several and not _depends_on_calls(view, site, ("min", "max"))


@_case("narrow", "it is given indices of fewer bits than int64 has")
def _has_narrow_indices(site: Site) -> bool:
    """Whether they are neither of int64 nor masks."""
    dtypes = {meta.dtype for meta in _given(site, "index", "indices")}
    return any(dtype in INTEGERS and dtype not in (INT64, *MASKS) for dtype in dtypes)


@_case("gaps", "a list of tensors leaves some out")
def _has_gaps(site: Site) -> bool:
    return any(
        operand.arg.as_optional_tensors is not None and None in operand.arg.tensors() for operand in site.node.inputs
    )


def _of_state(more: str, is_met: _OfProgram | None = None) -> tuple[str, _OfProgram]:
    """In words, and as above, that a node's result becomes state, and what else has to be met."""
    return (
        f"its result becomes the state of a buffer{more}",
        lambda view, site: _becomes_state(view, site) and (is_met is None or is_met(view, site)),
    )


_MET |= {
    "masks": ("it is indexed by a mask", _has_masks),
    "integers": ("it makes integers", lambda site: any(meta.dtype in INTEGERS for meta in _made(site))),
    "added": ("it adds to what stands at the index", _has("accumulate", True)),
    "masked": ("it is given a mask", lambda site: _value(site, "attn_mask") is not None),
    "of-integers": ("it is given integers", _is_given_integers),
    "transposed": ("it is a transposed convolution", _has("transposed", True)),
    "scalars": ("it is given a tensor of no dimensions", _of_rank(lambda rank: rank == 0)),
    "of-masks": ("it is given booleans", lambda site: any(meta.dtype == BOOL for meta in _first_given(site))),
    "negative": ("the index is negative", _below_zero("index")),
    "zeroth": ("it is of order 0", _has("ord", 0)),
    "divided": ("it is given a divisor", lambda site: _value(site, "divisor_override") is not None),
    "unweighted": ("it is given no weight", lambda site: _value(site, "weight") is None),
    "binned": ("it makes more than one element of each plane", lambda site: set(_numbers(site, "output_size")) != {1}),
    "averaged": ("it is told to compute means", _has("reduce", "mean")),
    "vector": ("it is given one dimension", _of_rank(lambda rank: rank == 1)),
    "by-vector": (
        "its second tensor has one dimension",
        lambda site: any(len(meta.shape) == 1 for meta in islice(_given(site), 1, 2)),
    ),
    "constant-cropped": (
        "the padding is negative, and otherwise a number",
        lambda site: _crops(site) and _value(site, "mode") in (None, "constant"),
    ),
    "circular": ("it pads circularly", _has("mode", "circular")),
    "unstrided": ("it is given no stride", lambda site: not _numbers(site, "stride")),
    "output-padded": ("it pads its result", lambda site: any(_numbers(site, "output_padding"))),
    "only-output-padded": (
        "it pads its result, and not its operand",
        lambda site: any(_numbers(site, "output_padding")) and not any(_numbers(site, "padding")),
    ),
    "grouped": ("several queries share a key", _has("enable_gqa", True)),
    "flat": ("it is given fewer than three dimensions", _of_rank(lambda rank: rank < 3)),
    "ceiled": (
        "it pads, counts the padding, and rounds the size up",
        lambda site: _counts_beyond(site) and _pads(site),
    ),
    "corrected": ("the correction is neither 0 nor 1", lambda site: _number(site, "correction") not in (None, 0, 1)),
    "summed-up": (
        "it sums products up to one number",
        lambda site: _makes_a_number(site) and _multiplies_along(site),
    ),
    "diagonals": (
        "a dimension of a tensor is named twice",
        lambda site: any(len(set(one)) < len(one) for one in _labels(site)),
    ),
    "elliptic": (
        "its equation leaves out dimensions or the result",
        lambda site: not _equation(site)[1] or "." in _equation(site)[0],
    ),
    "ranks": (
        "its first two tensors have different numbers of dimensions",
        lambda site: len({len(meta.shape) for meta in islice(_given(site), 2)}) > 1,
    ),
    "typed": ("it is told a dtype", lambda site: _value(site, "dtype") is not None),
    "smoothed": ("it smooths labels", lambda site: bool(_number(site, "label_smoothing"))),
    "soft": (
        "its labels are the chance of each class",
        lambda site: any(category(meta.dtype) == FLOATING for meta in _given(site, "target")),
    ),
    "from-the-end": ("it counts the dimension from the end", _below_zero("dimension")),
    "uneven": (
        "its result is no whole multiple of its operand",
        lambda site: not all(_is_whole(new, old) for old, new in _sizes(site)),
    ),
    "uneven-bins": (
        "a size of its operand is no whole multiple of that of its result",
        lambda site: not all(_is_whole(old, new) for old, new in _sizes(site)),
    ),
    "reflected": ("it reflects at the borders", _has("padding_mode", 2)),  # `GridSamplerPadding` in torch
    "approximated": ("it is told to approximate", lambda site: _value(site, "approximate") not in (None, "none")),
    "vector-by-batch": (
        "one tensor has one dimension, and the other more than two",
        lambda site: (
            (ranks := sorted(len(meta.shape) for meta in islice(_given(site), 2)))[:1] == [1] and ranks[-1] > 2
        ),
    ),
    "weighted": ("it is given weights", lambda site: any(_given(site, "weight", "pos_weight"))),
    "volumes": ("it pads along three dimensions", lambda site: len(_numbers(site, "pad", "padding")) > 4),
    "lower-mask": (
        "its mask has fewer dimensions than its operands",
        lambda site: any(
            len(mask.shape) < len(meta.shape) for mask in _given(site, "attn_mask") for meta in _first_given(site)
        ),
    ),
    "whole-numbers": (
        "it is given integers beside a floating-point tensor",
        lambda site: (
            any(one.arg.as_int is not None for one in site.node.inputs)
            and any(category(meta.dtype) == FLOATING for meta in _first_given(site))
        ),
    ),
    "enlarged": (
        "its result is larger than its first operand",
        lambda site: any(meta.shape != given.shape for meta in _made(site) for given in _first_given(site)),
    ),
    "planeless": ("its operand has other than four dimensions", _of_rank(lambda rank: rank != 4)),
    "everything": ("it drops everything", _has("p", 1)),
    "half-open": (
        "it is given integers and one bound",
        lambda site: _is_given_integers(site) and (_value(site, "min") is None) != (_value(site, "max") is None),
    ),
    "divided-below": ("it is given a negative divisor", _below_zero("divisor_override")),
    "grouped-filters": ("it has groups of filters", lambda site: (_number(site, "groups") or 1) > 1),
    "ceiled-window": (
        "a single window stands along a dimension, and sizes are rounded up",
        lambda site: _rounds_up(site) and _has_one_window(site),
    ),
    "same": ("it pads to the same size", _keeps_sizes),
    "undivided": ("it makes one piece", lambda site: len(site.node.results()) == 1),
    "deep": ("it is given more than three dimensions", _of_rank(lambda rank: rank > 3)),
    "emptied": ("it repeats 0 times", lambda site: 0 in _numbers(site, "repeats", "dims")),
    "ignoring": ("it is told a label to leave out", lambda site: _number(site, "ignore_index") not in (None, -100)),
    "planes": ("it is given more than two dimensions", _of_rank(lambda rank: rank > 2)),
    "bicubic": ("it goes by cubic curves", _has("interpolation_mode", 2)),  # `GridSamplerInterpolation` in torch
    "holds-scalars": (
        "a list of tensors holds one without dimensions",
        lambda site: any(not meta.shape for meta in _listed(site)),
    ),
    "masked-values": (
        "it is indexed by a mask, and given several values",
        lambda site: _has_masks(site) and any(set(meta.shape) - {1} for meta in _given(site, "values")),
    ),
    "bare": ("it is given nothing but its tensor", lambda site: len(site.node.inputs) == 1),
    "one-element": (
        "its result is one element, with dimensions",
        lambda site: any(set(meta.shape) == {1} for meta in _made(site)),
    ),
    "non-blocking": ("it is told not to wait", _does_not_wait),
    "widened-non-blocking": (
        "its result has another dtype than its operand, and it is told not to wait",
        lambda site: _does_not_wait(site) and _is_widened(site),
    ),
    "indexed-by-nothing": (
        "an index has no elements",
        lambda site: any(0 in meta.shape for meta in _given(site, "index", "indices")),
    ),
    "channels-last": ("it is told to lay out its result with the channels innermost", _has("memory_format", 2, 3)),
}
_OF_PROGRAMS: Final[dict[Where, tuple[str, _OfProgram]]] = {
    "returned": ("the integers come to be among the outputs, or are joined with others", _comes_to_be_returned),
    "computed-bias": (
        "its bias is not stored in the artifact",
        lambda view, site: _depends_on_calls(view, site, ("bias",)),
    ),
    "computed": ("its weight or bias is not stored in the artifact", _is_computed),
    "state": _of_state(""),
    "state-by-constant": _of_state(", and its second operand is constant", _is_by_a_constant),
    "state-again": _of_state(
        ", and its operand is made by a view",
        lambda view, site: _follows(view, site, lambda op: bool(op.view)),
    ),
    "state-fused": _of_state(", and an operand is made by a matrix product", _is_fused),
    "state-after": _of_state(", and its operand is made by an op", lambda view, site: any(_makers(view, site.node))),
    "state-twice": _of_state(", and one operand is made of another", _is_made_of_another),
    "state-chained": _of_state(", behind an op and a constant, or behind two ops", _is_chained),
    "state-repeated": _of_state(
        ", and its operand is made by the same op",
        lambda view, site: any(maker.target == site.node.target for maker in _makers(view, site.node)),
    ),
    "bounded": ("its bounds are stored in the artifact, and of several elements", _is_bounded_by_constants),
    "of-output": ("its operand is an output or becomes state, too", _is_given_an_output),
    "stored-affine": (
        "it multiplies by what is stored, and scales, or adds more than a row",
        _is_affine_by_constants,
    ),
    "computed-dilated": (
        "its weight is not stored in the artifact, and it is dilated",
        lambda view, site: _is_dilated(site) and _is_computed(view, site),
    ),
}
"""The same, where it takes the whole program to say."""
