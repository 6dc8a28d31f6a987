"""What ops do, found out by calling them on the CPU: layouts, dtypes and bits of results, views, draws.

An experiment calls an overload with variations of its samples and keeps the first rule of a vocabulary that explains
all that came out. Where samples cannot tell two rules apart, the one that promises less is kept.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from tests import judge
from tests.facts.samples import Sample, cloned, in_parts
from torch._prims_common import (
    ELEMENTWISE_TYPE_PROMOTION_KIND,
    compute_elementwise_output_strides,
    elementwise_dtypes,
    make_contiguous_strides_for,
)
from torch._subclasses.fake_tensor import FakeTensorMode

from graphlint.ops.rows import Row

SEED: Final = 1299709
_SAMPLES: Final = 12
"""How many samples an experiment takes, of those that are different enough."""
_DATA: Final = (torch.float64, torch.float16, torch.int32, torch.uint8, torch.bool, torch.complex64)
_Facts = dict[str, str]
_Change = Callable[[torch.Tensor], torch.Tensor]


class Outcome(NamedTuple):
    """One result of one call."""

    sample: Sample
    operands: list[torch.Tensor]
    """What it is computed from: of lists, the elements at its place."""
    result: torch.Tensor
    place: int = 0
    """Where it stands in its list."""


def measure(rows: dict[str, Row], samples: dict[str, list[Sample]]) -> dict[str, _Facts]:
    """The facts of each overload that there are samples of, by name."""
    writers: dict[str, list[str]] = {}
    for row in rows.values():
        if "twin" in row.facts:
            writers.setdefault(row.facts["twin"], []).append(row.name)

    def measure_some(names: Sequence[str]) -> dict[str, _Facts]:
        facts: dict[str, _Facts] = {}
        for name in names:
            facts[name] = _of_results(rows[name], samples[name])
            for writer in writers.get(name, ()):
                facts[writer] = _of_writes(rows[writer], samples[name], facts[name])
            if facts[name].pop("bits", None) == "same":
                facts[name]["same_bits"] = ""
            if facts[name].pop("complex bits", None) == "other":
                facts[name]["no complex_bits"] = ""
        return facts

    with torch.no_grad():
        return in_parts([name for name in samples if "!" not in rows[name].schema], measure_some)


def contradictions(row: Row, samples: Sequence[Sample]) -> Iterator[str]:
    """Which facts of a row some results of these samples contradict."""
    info = row.info()
    chosen = _different(samples, 4)
    count = len(samples[0].op._schema.returns)
    for position, outcomes in enumerate(_outcomes(_laid_out(chosen), count) if info.layout else ()):
        rule = _LAYOUT_RULES.get(info.layout_of(position))
        if rule and not all(_same(one.result.shape, rule(one), one.result.stride()) for one in outcomes):
            yield f"{row.name}: layout of result {position}"
    recast = _of_other_dtypes([sample for sample in chosen if sample.arguments.get("dtype") is None])
    for position, outcomes in enumerate(_outcomes(recast, count) if info.dtype else ()):
        dtype_rule = _DTYPE_RULES.get(info.dtype_of(position))
        if dtype_rule and not all(dtype_rule(one) == one.result.dtype for one in outcomes):
            yield f"{row.name}: dtype of result {position}"
    if info.elementwise and info.layout == ("elementwise",) and any(_elementwise_in(one) is False for one in chosen):
        yield f"{row.name}: elementwise"
    new = bool(info.layout) and not info.aliases
    if new and not info.sets_bits and any(map(_sets_bits, chosen)):
        yield f"{row.name}: a bit is set on a new result"


def _call(sample: Sample, op: Any = None, **changes: Any) -> Any:
    """The results of a call with the same random numbers each time; None where it raises."""
    torch.default_generator.manual_seed(SEED)
    try:
        return sample.run(op, **changes)
    except Exception:  # noqa: BLE001  # whatever an op raises, it has no such result
        return None


def _results(returned: Any) -> list[list[torch.Tensor]]:
    """The tensors of each result: one, or those of a list."""
    if returned is None:
        return []
    parts = returned if isinstance(returned, tuple) else (returned,)
    return [[t for t in (part if isinstance(part, (list, tuple)) else [part]) if _is_plain(t)] for part in parts]


def _is_plain(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized


def _operands(sample: Sample, place: int) -> list[torch.Tensor]:
    """The tensors that a result is computed from; of ops from lists to lists, those at its place in them."""
    by_place = "_foreach_" in str(sample.op)
    found: list[torch.Tensor] = []
    for argument in sample.op._schema.arguments:
        value = sample.arguments.get(argument.name)
        if isinstance(value, (list, tuple)) and by_place:
            value = value[place] if place < len(value) else None
        found += (t for t in (value if isinstance(value, (list, tuple)) else [value]) if isinstance(t, torch.Tensor))
    return found


def _outcomes(samples: Sequence[Sample], count: int) -> list[list[Outcome]]:
    """What the calls return, for each of ``count`` results."""
    found: list[list[Outcome]] = [[] for _ in range(count)]
    for sample in samples:
        for outcomes, results in zip(found, _results(_call(sample)), strict=False):
            numbered = enumerate(results)
            outcomes.extend(Outcome(sample, _operands(sample, n), one, n) for n, one in numbered if one.numel())
    return found


# ---------------------------------------------------------------------------------------------- variations


def _transposed(tensor: torch.Tensor) -> torch.Tensor:
    return cloned(tensor.transpose(-1, -2).contiguous().transpose(-1, -2)) if tensor.dim() > 1 else tensor


def _reversed(tensor: torch.Tensor) -> torch.Tensor:
    order = list(reversed(range(tensor.dim())))
    return tensor.permute(order).contiguous().permute(order)


def _strided(tensor: torch.Tensor) -> torch.Tensor:
    """Every second element of a larger tensor."""
    if not tensor.dim():
        return tensor
    shape = [*tensor.shape[:-1], 2 * tensor.shape[-1]]
    return torch.zeros(shape, dtype=tensor.dtype)[..., ::2].copy_(tensor)


def _images(tensor: torch.Tensor) -> torch.Tensor:
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return tensor.contiguous(memory_format=formats.get(tensor.dim(), torch.contiguous_format))


def _plain(change: _Change) -> _Change:
    return lambda tensor: change(tensor) if _is_plain(tensor) else tensor


_LAYOUTS: Final = (_transposed, _reversed, _strided, _images)


def _laid_out(samples: Sequence[Sample], *, single: bool = True) -> list[Sample]:
    """The samples with differently laid out tensors: all of them or, unless told otherwise, the first or the last."""
    found = []
    for sample in samples:
        tensors = sample.tensors()
        found.append(sample.copied())
        found += (sample.copied().changed(_plain(layout)) for layout in _LAYOUTS)
        if single and len(tensors) > 1:
            ends = [one for one in (tensors[0], tensors[-1]) if _is_plain(one)]
            found += (sample.changed(_alone(one, layout)) for one in ends for layout in (_transposed, _reversed))
    return found


def _alone(one: torch.Tensor, layout: _Change) -> _Change:
    """Lays out one of a sample's tensors, and copies the others."""
    return lambda tensor: layout(tensor) if tensor is one else cloned(tensor)


def _of_other_dtypes(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with other dtypes: of all tensors that hold values, of the first, of the last."""
    found = list(samples)
    for sample in samples:
        tensors = sample.tensors()
        if tensors:
            values = [tensor for tensor in tensors if tensor.dtype == tensors[0].dtype]
            chosen = (values, tensors[:1], tensors[-1:]) if len(tensors) > 1 else (values,)
            found += (sample.changed(_cast(some, dtype)) for dtype in _DATA for some in chosen)
    return found


def _cast(tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> _Change:
    identities = set(map(id, tensors))
    return lambda tensor: tensor.to(dtype) if id(tensor) in identities else tensor


def _width(tensor: torch.Tensor) -> int:
    """How many dimensions count: those of more than one element."""
    return sum(size > 1 for size in tensor.shape) if tensor.numel() else 0


def _different(samples: Sequence[Sample], count: int = _SAMPLES) -> list[Sample]:
    """Samples of different numbers of dimensions, and with different arguments, first; of those the larger ones."""
    samples = sorted(samples, key=lambda sample: -max((_width(t) for t in sample.tensors()), default=0))
    kinds: dict[object, list[Sample]] = {}
    for sample in samples:
        kind = (*(t.dim() for t in sample.tensors()), *sorted(sample.arguments))
        kinds.setdefault(kind, []).append(sample)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*kinds.values()))
    return [sample for sample in turns if sample is not None][:count]


# ------------------------------------------------------------------------------------------- rules of results


def _of_results(row: Row, samples: Sequence[Sample]) -> _Facts:
    """What is to be known of results: how they share storage or, where they are new, how they are made."""
    facts: _Facts = {}
    schema = samples[0].op._schema
    count = len(schema.returns)
    if any(returned.alias_info is not None for returned in schema.returns) or "alias" in row.facts:
        return facts
    if not any("Tensor" in str(returned.type) for returned in schema.returns):
        return facts
    chosen = _different(samples)
    variants = _laid_out(chosen)
    by_position = _outcomes(variants, count)
    in_place = all(_layout(outcomes, elementwise=True) == "elementwise" for outcomes in by_position)
    tagged = "pointwise" in row.facts.get("tags", "").split()
    elementwise = tagged or (in_place and _is_elementwise(chosen))
    if elementwise:
        facts["elementwise"] = ""
    if any(by_position):
        facts["layout"] = _joined([_layout(outcomes, elementwise=elementwise) for outcomes in by_position])
    if not _agrees_with_meta(_laid_out(chosen[:2], single=False)):
        facts["no meta_layout"] = ""
    if any(map(_sets_bits, chosen)):
        facts["sets_bits"] = ""
    floating = [s for s in chosen if s.arguments.get("dtype") is None]
    recast = _of_other_dtypes(floating[:3])
    dtypes = [_dtype(outcomes, elementwise=elementwise) for outcomes in _outcomes(recast, count)]
    if recast:
        facts["dtype"] = _joined(dtypes)
    if elementwise and _raises_on_integers(chosen):
        facts["raises_on_integers"] = ""
    return facts


def _joined(words: list[str]) -> str:
    return words[0] if len(set(words)) == 1 else " ".join(words)


def _same(shape: Sequence[int], one: Sequence[int] | None, other: Sequence[int]) -> bool:
    """Whether strides are the same where they matter."""
    if one is None:
        return False
    return all(a == b for size, a, b in zip(shape, one, other, strict=True) if size > 1)


def _elementwise(outcome: Outcome) -> Sequence[int] | None:
    try:
        expanded = [operand.expand(outcome.result.shape) for operand in outcome.operands]
    except RuntimeError:
        return None
    return compute_elementwise_output_strides(*expanded) if expanded else None


def _rows(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(make_contiguous_strides_for(shape))


def _contiguous(outcome: Outcome) -> Sequence[int] | None:
    return _rows(outcome.result.shape)


def _preserved(outcome: Outcome) -> Sequence[int] | None:
    first = outcome.operands[0] if outcome.operands else None
    return None if first is None or first.shape != outcome.result.shape else torch.empty_like(first).stride()


def _columns(outcome: Outcome) -> Sequence[int] | None:
    if outcome.result.dim() < 2:
        return _rows(outcome.result.shape)
    return tuple(torch.empty(outcome.result.mT.shape).mT.stride())


def _in_rows(tensor: torch.Tensor) -> bool:
    return _same(tensor.shape, tensor.stride(), _rows(tensor.shape))


def _kept(outcome: Outcome) -> Sequence[int] | None:
    """Makes no claim where an operand is not contiguous."""
    return _contiguous(outcome) if all(map(_in_rows, outcome.operands)) else outcome.result.stride()


def _of_images(outcome: Outcome) -> Sequence[int] | None:
    return _kept(outcome) if outcome.result.dim() in (4, 5) else _contiguous(outcome)


_LAYOUT_RULES: Final[dict[str, Callable[[Outcome], Sequence[int] | None]]] = {
    "contiguous": _contiguous,
    "preserve": _preserved,
    "elementwise": _elementwise,
    "columns": _columns,
    "images": _of_images,
    "kept": _kept,
}


def _layout(outcomes: Sequence[Outcome], *, elementwise: bool) -> str:
    told = any(_width(o.result) > 1 and any(_width(t) > 1 and not _in_rows(t) for t in o.operands) for o in outcomes)
    told = told or all(_width(outcome.result) < 2 for outcome in outcomes)
    words = list(_LAYOUT_RULES)
    if elementwise:
        words[:3] = "elementwise", "contiguous", "preserve"
    for word in words:
        rule = _LAYOUT_RULES[word]
        if all(_same(outcome.result.shape, rule(outcome), outcome.result.stride()) for outcome in outcomes):
            factory = not any(outcome.operands for outcome in outcomes)
            return word if told or factory or not outcomes else "kept"
    return "unknown"


def _is_elementwise(samples: Sequence[Sample]) -> bool:
    """Whether a change of one element of an operand changes nothing but the element in its place."""
    tried = [_elementwise_in(sample) for sample in samples]
    return True in tried and False not in tried


def _elementwise_in(sample: Sample) -> bool | None:
    """The same for one sample; None where it cannot tell."""
    tried = None
    before = _results(_call(sample.copied()))
    shapes = {operand.shape for operand in sample.tensors() if operand.dim()}
    if "_foreach_" not in str(sample.op) and shapes != {one.shape for one in itertools.chain(*before)}:
        return None  # operands may be enlarged, or be something else than elements
    tensors = sample.tensors()
    floating = any(operand.is_floating_point() or operand.is_complex() for operand in tensors)
    for index, operand in enumerate(tensors):
        if not operand.numel() or not operand.is_contiguous():
            continue
        if floating and operand.dtype in (torch.int32, torch.int64):  # positions; some ops do not look where they are
            continue
        for place in (0, -1):
            changed = sample.copied()
            elements = changed.tensors()[index].view(-1)
            elements[place] = ~elements[place] if elements.dtype == torch.bool else elements[place] + 1
            after = _results(_call(changed))
            for old, new in zip(itertools.chain(*before), itertools.chain(*after), strict=False):
                if old.shape == operand.shape == new.shape and old.numel() > 1:
                    differs = ~((old == new) | ((old != old) & (new != new))).reshape(-1)
                    differs[place] = False
                    if bool(differs.any()):
                        return False
                    tried = True
    return tried


def _agrees_with_meta(samples: Sequence[Sample]) -> bool:
    """Whether tensors without values have the strides that the CPU gives results."""
    for sample in samples:
        real = _results(_call(sample))
        if not any(real):
            continue
        with FakeTensorMode() as mode:
            fake = _results(_call(sample.changed(mode.from_tensor)))
        for one, other in zip(real, fake, strict=False):
            for mine, theirs in zip(one, other, strict=False):
                if (
                    mine.shape == theirs.shape
                    and mine.numel()
                    and not _same(mine.shape, theirs.stride(), mine.stride())
                ):
                    return False
    return True


# -------------------------------------------------------------------------------------------------- dtypes


_FACTORS: Final = ("value", "alpha", "beta")
"""Numbers that are brought to the dtype of the tensors, whatever they are."""


def _numbers(outcome: Outcome) -> list[Any]:
    """The numbers that take part in computing a result."""
    kinds = ("number", "Optional[number]", "Tensor", "List[number]")  # a tensor's place may hold a number
    schema, arguments = outcome.sample.op._schema, outcome.sample.arguments
    names = [a.name for a in schema.arguments if str(a.type) in kinds and a.name not in _FACTORS]
    values = [arguments.get(name) for name in names]
    values = [value[outcome.place] if isinstance(value, (list, tuple)) else value for value in values]
    return [value for value in values if isinstance(value, (bool, int, float, complex))]


def _promoted(kind: ELEMENTWISE_TYPE_PROMOTION_KIND) -> Callable[[Outcome], torch.dtype | None]:
    def rule(outcome: Outcome) -> torch.dtype | None:
        if not outcome.operands:
            return None
        return elementwise_dtypes(*outcome.operands, *_numbers(outcome), type_promotion_kind=kind)[1]

    return rule


def _first(outcome: Outcome) -> torch.dtype | None:
    return outcome.operands[0].dtype if outcome.operands else None


def _list_dtype(outcome: Outcome) -> torch.dtype | None:
    lists = [value for value in outcome.sample.arguments.values() if isinstance(value, (list, tuple))]
    tensors = [t for value in lists for t in value if isinstance(t, torch.Tensor)]
    result = tensors[0].dtype if tensors else None
    for tensor in tensors:
        result = torch.promote_types(result, tensor.dtype)
    return result


def _real(outcome: Outcome) -> torch.dtype | None:
    first = _first(outcome)
    return None if first is None else first.to_real()


def _counted(outcome: Outcome) -> torch.dtype | None:
    first = _first(outcome)
    return first if first is None or first.is_floating_point or first.is_complex else torch.int64


_KINDS: Final = ELEMENTWISE_TYPE_PROMOTION_KIND


def _double(outcome: Outcome) -> torch.dtype:
    return torch.complex128 if any(operand.is_complex() for operand in outcome.operands) else torch.float64


_DTYPE_RULES: Final[dict[str, Callable[[Outcome], torch.dtype | None]]] = {
    "bool": lambda outcome: torch.bool,
    "int64": lambda outcome: torch.int64,
    "joined": _list_dtype,
    "first": _first,
    "promote": _promoted(_KINDS.DEFAULT),
    "floating": _promoted(_KINDS.INT_TO_FLOAT),
    "real": _real,
    "counted": _counted,
    "counting": _promoted(_KINDS.BOOL_TO_LONG),
    "double": _double,
}


def _dtype(outcomes: Sequence[Outcome], *, elementwise: bool) -> str:
    words = list(_DTYPE_RULES)
    if elementwise:
        words.remove("joined")
        words.remove("first")
        words.insert(4, "first")
    for word in words:
        if outcomes and all(_DTYPE_RULES[word](outcome) == outcome.result.dtype for outcome in outcomes):
            return word
    return "unknown"


# -------------------------------------------------------------------------------------------------- values


def _raises_on_integers(samples: Sequence[Sample]) -> bool:
    """Whether some integers make it raise although it takes integers."""

    def of(sample: Sample, value: int) -> Sample:
        arguments = sample.changed(lambda tensor: torch.full_like(tensor, value, dtype=torch.int64)).arguments
        numbers = {
            name
            for name, given in arguments.items()
            if type(given) in (int, float) and name in ("other", "exponent", "self")
        }
        return Sample(sample.op, {**arguments, **dict.fromkeys(numbers, value)})

    for sample in samples:
        if _call(of(sample, 1)) is not None and any(_call(of(sample, value)) is None for value in (0, -1, -2)):
            return True
    return False


_ENLARGED: Final = 20_000


def _enlarged(sample: Sample) -> Sample:
    """The sample with more elements, so that it is seen in which order they are added up. All tensors grow alike, and
    none where one is empty: some ops do not look whether they fit.
    """
    tensors = sample.tensors()
    times = 5 if all(tensor.numel() * 5 ** tensor.dim() < _ENLARGED for tensor in tensors) else 2
    if not all(tensor.numel() for tensor in tensors):
        times = 1

    def change(tensor: torch.Tensor) -> torch.Tensor:
        larger = tensor.contiguous().repeat([times] * tensor.dim())
        return larger + torch.rand(larger.shape) * 0.3 if larger.dtype == torch.float32 else larger

    torch.default_generator.manual_seed(SEED)
    return sample.changed(_plain(change))


def _complex(sample: Sample) -> Sample:
    """The sample with complex numbers in place of floating-point ones."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        imaginary = torch.rand(tensor.shape) - 0.5
        return torch.complex(tensor + imaginary, imaginary * 3) if tensor.dtype == torch.float32 else tensor

    return sample.changed(_plain(change))


def _sets_bits(sample: Sample) -> bool:
    """Whether a new result, of plain operands or of such as have bits set, has a bit set."""
    numbers = _complex(sample)
    variants = [sample, numbers, numbers.changed(_plain(lambda tensor: tensor.conj()))]
    variants += [
        one.changed(
            _plain(
                lambda tensor: (
                    torch._neg_view(tensor) if tensor.dtype.is_floating_point or tensor.is_complex() else tensor
                )
            )
        )
        for one in variants[:2]
    ]
    results = (part for one in variants for parts in _results(_call(one)) for part in parts)
    return any(part.is_conj() or part.is_neg() for part in results)


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.shape == other.shape and bool(((one == other) | ((one != one) & (other != other))).all())


def _of_writes(row: Row, samples: Sequence[Sample], results: _Facts) -> _Facts:
    """What is to be known of an overload that writes what its twin returns: bits, draws and casts."""
    facts: _Facts = {}
    op = _overload(row.name)
    written = [a for a in op._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    is_out = all(argument.kwarg_only for argument in written)
    draws = "nondeterministic_seeded" in row.facts.get("tags", "") or row.facts.get("draws", "never") != "never"
    chosen = _different(samples)
    if draws:
        facts.update(_order_of_draws(op, written, chosen, is_out=is_out))
    elif (same := _same_bits(op, written, chosen, is_out=is_out)) is not None:
        same = same and ("elementwise" in results or _rounds_nothing(chosen))
        results["bits"] = "same" if same and results.get("bits", "same") == "same" else "other"
        if _same_bits(op, written, [_complex(_enlarged(one)) for one in chosen], is_out=is_out) is False:
            results["complex bits"] = "other"
    if is_out and _refuses_casts(op, written, chosen):
        facts["no casts_out"] = ""
    elif is_out and not draws and _computes_in_another(op, written, chosen):
        facts["no casts_last"] = ""
    if is_out and (resized := _resized(op, written, chosen)):
        facts["resized"] = resized
    if is_out and not draws and _minds_no_strides(op, written, chosen):
        facts["no strided_writes"] = ""
    return facts


def _overload(name: str) -> Any:
    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


def _write(
    op: Any, written: Sequence[Any], sample: Sample, layout: Callable[[Any], Any], *, is_out: bool
) -> Iterator[tuple[Any, Any]]:
    """Pairs of what the twin returns and what the op writes into tensors of that layout."""
    if is_out:
        expected = [part for parts in _results(_call(sample)) for part in parts]
        if len(expected) != len(written):
            return
        outs = [layout(torch.zeros(part.shape, dtype=part.dtype)) for part in expected]
        changes = {argument.name: out for argument, out in zip(written, outs, strict=True)}
        if _call(_without(sample, op), op, **changes) is not None:
            yield from zip(expected, outs, strict=True)
        return
    first, theirs = op._schema.arguments[0].name, sample.op._schema.arguments[0].name
    own: Any = sample.arguments.get(theirs)
    tensors: Sequence[Any] = own if isinstance(own, (list, tuple)) else [own]
    if len(written) != 1 or not all(map(_is_plain, tensors)):
        return
    targets = [layout(tensor.clone()) for tensor in tensors]
    shown: Any = targets if isinstance(own, (list, tuple)) else targets[0]
    given = {name: value for name, value in sample.copied().arguments.items() if name != theirs}
    expected = _results(_call(Sample(sample.op, {**given, theirs: shown})))
    if not expected or [part.shape for part in expected[0]] != [target.shape for target in targets]:
        return
    try:
        torch.default_generator.manual_seed(SEED)
        _without(Sample(op, {first: shown, **given}), op).run()
    except Exception:  # noqa: BLE001  # it takes no such arguments
        return
    yield from ((part.to(target.dtype), target) for part, target in zip(expected[0], targets, strict=True))


def _without(sample: Sample, op: Any) -> Sample:
    """The sample without arguments that the op does not take."""
    names = {argument.name for argument in op._schema.arguments}
    return Sample(op, {name: value for name, value in sample.arguments.items() if name in names})


def _kept_layout(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous()


def _same_bits(op: Any, written: Sequence[Any], samples: Sequence[Sample], *, is_out: bool) -> bool | None:
    """Whether results come out the same in tensors of every layout; None where nothing could be tried."""
    tried = None
    for sample in samples:
        for one in (sample, _enlarged(sample)):
            for layout in (_kept_layout, _transposed, _strided):
                for expected, found in _write(op, written, one, layout, is_out=is_out):
                    if not _equal(expected, found):
                        return False
                    tried = True
    return tried


def _minds_no_strides(op: Any, written: Sequence[Any], samples: Sequence[Sample]) -> bool:
    """Whether ``out=`` writes what its twin returns into contiguous tensors, and something else into others."""

    def agrees(layout: Callable[[Any], Any]) -> bool:
        every = itertools.chain(samples, map(_enlarged, samples))
        pairs = itertools.chain.from_iterable(_write(op, written, one, layout, is_out=True) for one in every)
        return all(judge.close(expected.to(found.dtype), found) for expected, found in pairs)

    return agrees(_kept_layout) and not (agrees(_transposed) and agrees(_strided))


def _resized(op: Any, written: Sequence[Any], samples: Sequence[Sample]) -> str:
    """How ``out=`` lays out tensors without elements, where that is not as its twin lays out its results, or could not
    be tried.
    """
    pairs = list(_into_nothing(op, written, samples))
    if all(_as_the_twin(*pair) for pair in pairs):
        return "" if pairs else "unknown"
    return "rows" if all(_out_in_rows(*pair) for pair in pairs) else "unknown"


def _into_nothing(op: Any, written: Sequence[Any], samples: Sequence[Sample]) -> Iterator[tuple[Any, Any]]:
    """Pairs of what the twin returns and what ``out=`` makes of a tensor without elements. What it leaves without, the
    artifact records so.
    """
    for sample in itertools.chain(samples, map(_enlarged, samples), map(_complex, samples)):
        for expected, out in _write(op, written, sample, lambda tensor: tensor.new_empty(0), is_out=True):
            if out.numel() or not expected.numel():
                yield expected, out


def _as_the_twin(expected: torch.Tensor, out: torch.Tensor) -> bool:
    return out.shape == expected.shape and _steps(out) == _steps(expected)


def _out_in_rows(expected: torch.Tensor, out: torch.Tensor) -> bool:
    return out.shape == expected.shape and out.is_contiguous()


def written_otherwise(row: Row, samples: Sequence[Sample]) -> Iterator[str]:
    """Whether an ``out=`` overload resizes or writes otherwise than its row says, given samples of its twin."""
    info, op = row.info(), _overload(row.name)
    holds = {"as the twin": _as_the_twin, "rows": _out_in_rows}.get(info.resized)
    if holds is not None and info.out_variant:
        written = [a for a in op._schema.arguments if a.alias_info is not None and a.alias_info.is_write]
        if not all(holds(*pair) for pair in _into_nothing(op, written, _different(samples, 4))):
            yield f"{row.name}: how it lays out what it resizes"
        draws = "draws" in row.facts or "nondeterministic_seeded" in row.facts.get("tags", "")
        if info.strided_writes and not draws and _minds_no_strides(op, written, _different(samples, 4)):
            yield f"{row.name}: whether it minds strides"


def _steps(tensor: torch.Tensor) -> list[int]:
    """The strides that move something."""
    sizes = zip(tensor.shape, tensor.stride(), strict=True)
    return [step for size, step in sizes if size > 1 and tensor.numel()]


def _rounds_nothing(samples: Sequence[Sample]) -> bool:
    """Whether double precision makes no difference: results are elements of the operands, or counted."""
    double: dict[torch.dtype, torch.dtype] = {torch.float32: torch.float64, torch.complex64: torch.complex128}
    for sample in samples:
        for one in (sample, _enlarged(sample)):
            twice = one.changed(lambda tensor: tensor.to(double.get(tensor.dtype, tensor.dtype)))
            pairs = zip(itertools.chain(*_results(_call(one))), itertools.chain(*_results(_call(twice))), strict=False)
            if not all(_equal(mine, theirs.to(mine.dtype)) for mine, theirs in pairs):
                return False
    return True


def _order_of_draws(op: Any, written: Sequence[Any], samples: Sequence[Sample], *, is_out: bool) -> _Facts:
    """Whether it draws as its twin does, in tensors of every layout, or in contiguous ones only."""

    def agrees(layout: Callable[[Any], Any]) -> bool | None:
        pairs = [
            _equal(*pair)
            for sample in samples
            for one in (sample, _enlarged(sample))
            for pair in _write(op, written, one, layout, is_out=is_out)
        ]
        return all(pairs) if pairs else None

    rows = agrees(_kept_layout)
    if rows is None:
        return {}
    if not rows:
        return {"draw_order": "never"}
    return (
        {}
        if all(agrees(layout) is not False for layout in (_transposed, _strided, _reversed))
        else {"draw_order": "contiguous"}
    )


_WIDER: Final = {
    torch.float32: torch.float64,
    torch.float64: torch.float32,
    torch.int64: torch.float32,
    torch.bool: torch.float32,
    torch.complex64: torch.complex128,
}


def _refuses_casts(op: Any, written: Sequence[Any], samples: Sequence[Sample]) -> bool:
    """Whether ``out=`` of another dtype, to which a cast is admitted, makes it raise."""
    for sample in samples:
        expected = [part for parts in _results(_call(sample)) for part in parts]
        if len(expected) != len(written) or any(part.dtype not in _WIDER for part in expected):
            continue
        own = {a.name: torch.zeros_like(part) for a, part in zip(written, expected, strict=True)}
        wider = {name: out.to(_WIDER[out.dtype]) for name, out in own.items()}
        called = _without(sample, op)
        if _call(called, op, **own) is not None and _call(called, op, **wider) is None:
            return True
    return False


_DOUBLE: Final = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def _computes_in_another(op: Any, written: Sequence[Any], samples: Sequence[Sample]) -> bool:
    """Whether ``out=`` of double precision gets other numbers than its twin's result, although that is close."""

    def into_double(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(_DOUBLE.get(tensor.dtype, tensor.dtype))

    every = itertools.chain.from_iterable((one, _enlarged(one), _complex(one)) for one in samples)
    pairs = itertools.chain.from_iterable(_write(op, written, one, into_double, is_out=True) for one in every)
    pairs = ((expected.to(found.dtype), found) for expected, found in pairs)
    return any(judge.close(expected, found) and not _equal(expected, found) for expected, found in pairs)
