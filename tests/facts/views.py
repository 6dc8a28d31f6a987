"""How results share storage with operands: storages are compared, and steps of views taken again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import torch
from tests.facts.experiments import _call, _different, _laid_out, _of_other_dtypes
from tests.facts.samples import Sample, in_parts

from graphlint.ops.rows import Row

_Facts = dict[str, str]


class Sharing(NamedTuple):
    """A result of a call, and the operand that it may share storage with."""

    sample: Sample
    operand: torch.Tensor
    result: torch.Tensor
    siblings: tuple[torch.Tensor, ...]
    """All results of the call."""
    place: int
    """The result's place among them."""

    @property
    def shared(self) -> bool:
        return _storage(self.operand) == _storage(self.result)

    def argument(self, name: str | int) -> Any:
        """An argument's value, or the schema's default; a number for itself."""
        if isinstance(name, int):
            return max(-self.operand.dim(), min(name, self.operand.dim() - 1)) if self.operand.dim() else 0
        if name in self.sample.arguments:
            return self.sample.arguments[name]
        return {a.name: a.default_value for a in self.sample.op._schema.arguments}[name]


def measure_views(rows: dict[str, Row], samples: dict[str, list[Sample]]) -> dict[str, _Facts]:
    """The facts of each overload that writes nothing and returns what shares storage with an operand, by name."""
    with torch.no_grad():
        names = [name for name in samples if "!" not in rows[name].schema]
        found = in_parts(names, lambda part: {name: _of(rows[name], samples[name]) for name in part})
    found = {name: facts for name, facts in found.items() if facts}
    by_op: dict[str, list[_Facts]] = {}
    for name, facts in found.items():
        by_op.setdefault(name.rpartition(".")[0], []).append(facts)
    for name, row in rows.items():
        siblings = by_op.get(name.rpartition(".")[0], [])
        if siblings and "!" not in row.schema and ("(a" in row.schema or name in found):
            _complete(found.setdefault(name, {}), row, siblings)
    return found


def _complete(facts: _Facts, row: Row, siblings: list[_Facts]) -> None:
    """Add what samples of an op's other overloads have shown: conditions that its own never failed, and the steps."""
    schema = row.info().schema
    candidates = set(_candidates(schema))
    for sibling in siblings:
        for field in ("shares", "view"):
            if field in sibling and (field == "shares" or sibling[field] in candidates):
                facts.setdefault(field, sibling[field])


def contradictions(row: Row, samples: Sequence[Sample]) -> Iterator[str]:
    """Which facts of a row some results of these samples contradict."""
    info = row.info()
    aliased = {alias.argument for alias in info.aliases}
    steps = row.facts.get("view")
    for name, one in (pair for sample in _laid_out(_different(samples, 4)) for pair in _sharings(sample)):
        if not one.operand.numel():
            continue
        if name not in aliased or info.shares in ("undecided", "not-several"):
            right = one.shared is False or name in aliased
        else:
            right = one.shared is (info.shares is None or _CONDITIONS[info.shares](one))
        if not right:
            yield f"{row.name}: whether a result shares storage with {name}"
        elif one.shared:
            if steps is not None and not _takes(steps, one):
                yield f"{row.name}: the steps to what it shows of {name}"
            if {"never": True, "shared": False}.get(info.returns_self) is (one.result is one.operand):
                yield f"{row.name}: whether it returns {name} itself"


def _of(row: Row, samples: Sequence[Sample]) -> _Facts:
    schema = row.info().schema
    annotated = [argument.name for argument in schema.arguments if argument.alias] if schema is not None else []
    chosen = _different(samples, 12)
    variants = chosen
    if annotated or any(sharing.shared for sample in chosen for _, sharing in _sharings(sample)):
        bits = (torch.conj, lambda t: torch._neg_view(t) if t.is_floating_point() else t)
        variants = _laid_out(chosen) + _of_other_dtypes(chosen)
        if annotated:  # what is no view is given a copy of conjugates
            variants += [sample.changed(bit) for sample in chosen for bit in bits]
    by_argument: dict[str, list[Sharing]] = {}
    for sample in variants:
        for name, sharing in _sharings(sample):
            by_argument.setdefault(name, []).append(sharing)
    names = [name for name, all_of in by_argument.items() if any(one.shared for one in all_of)]
    if not names:
        return {}
    (name, *_) = names
    tried = by_argument[name]
    facts: _Facts = {} if annotated else {"alias": name}
    shared = [one for one in tried if one.shared and one.operand.numel()]
    if not all(one.shared for one in tried if one.operand.numel()):
        facts["shares"] = next((word for word in _CONDITIONS if _explains(word, tried)), "undecided")
    same = [one.result is one.operand for one in shared]
    if any(same):
        facts["returns_self"] = "shared" if all(same) else "sometimes"
    steps = next((steps for steps in _candidates(schema) if shared and all(_takes(steps, one) for one in shared)), None)
    if steps is not None:
        facts["view"] = steps
    if _detaches(name, chosen):
        facts["detaches"] = ""
    return facts


def _detaches(name: str, samples: Sequence[Sample]) -> bool:
    """Whether autograd does not see that a result shares storage with an operand that requires gradients."""
    seen = set()
    for sample in (sample.copied() for sample in samples):
        operand = sample.arguments[name]
        if isinstance(operand, torch.Tensor) and _is_differentiable(operand):
            operand.requires_grad_()
            with torch.enable_grad():
                shared = [one.result for other, one in _sharings(sample) if other == name and one.shared]
            seen.update(result.requires_grad for result in shared if _is_differentiable(result))
    return seen == {False}


def _is_differentiable(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _sharings(sample: Sample) -> Iterator[tuple[str, Sharing]]:
    returned = _call(sample)
    parts = returned if isinstance(returned, (tuple, list)) else [returned]
    results = tuple(part for part in parts if isinstance(part, torch.Tensor) and part.layout == torch.strided)
    for name, value in sample.arguments.items():
        if isinstance(value, torch.Tensor):
            yield from ((name, Sharing(sample, value, result, results, i)) for i, result in enumerate(results))
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], torch.Tensor):
            if len(value) == len(results):
                pairs = zip(value, results, strict=True)
                yield from ((name, Sharing(sample, one, other, results, i)) for i, (one, other) in enumerate(pairs))
            else:
                yield from ((name, Sharing(sample, one, other, results, 0)) for one in value for other in results)


def _unchanged(one: Sharing) -> bool:
    same = (one.operand.dtype, one.operand.shape) == (one.result.dtype, one.result.shape)
    return same and one.operand.stride() == one.result.stride() and not one.sample.arguments.get("copy")


def _viewable(one: Sharing) -> bool:
    try:
        one.operand.view(one.result.shape)
    except RuntimeError:
        return False
    return True


def _drops_nothing(one: Sharing) -> bool:
    return not one.argument("train") or one.argument("p") == 0


def _is_single(one: Sharing) -> bool:
    lists = [value for value in one.sample.arguments.values() if isinstance(value, (list, tuple))]
    return any(isinstance(value[0], torch.Tensor) for value in lists if value) and len(one.sample.tensors()) == 1


_CONDITIONS: Final[dict[str, Callable[[Sharing], bool]]] = {
    "unchanged": _unchanged,
    "contiguous": lambda one: one.operand.is_contiguous(),
    "viewable": _viewable,
    "no-dropout": _drops_nothing,
    "real": lambda one: not one.operand.is_complex(),
    "not-conjugated": lambda one: not one.operand.is_conj(),
    "not-negated": lambda one: not one.operand.is_neg(),
    "single": _is_single,
    "not-several": _is_single,
}


def _explains(word: str, tried: Sequence[Sharing]) -> bool:
    holds = _CONDITIONS[word]
    try:
        if word == "not-several":
            return all(map(holds, (one for one in tried if one.shared)))
        return all(holds(one) == one.shared for one in tried if one.operand.numel())
    except KeyError:  # it has no such argument
        return False


_NAMES: Final = (
    "squeeze dim=dim",
    "unsqueeze dim=dim",
    "select dim=dim index=index",
    "slice dim=dim start=start end=end step=step",
    "narrow dim=dim start=start length=length",
    "pieces dim=dim",
    "unbind dim=dim",
    "diagonal offset=offset dim1=dim1 dim2=dim2",
    "transpose first=dim0 second=dim1",
    "transpose first=axis0 second=axis1",
    "permute dims=dims",
    "move source=source destination=destination",
    "unfold dim=dimension size=size step=step",
    "as_strided size=size stride=stride offset=storage_offset",
)
_PLAIN: Final = (
    "identity",
    "squeeze",
    "reverse",
    "transpose first=-2 second=-1",
    "pieces dim=1",
    "pieces dim=0",
    "pieces dim=2",
    "conjugate",
    "negate",
    "real",
    "imaginary",
    "view_as_real",
    "view_as_complex",
    "reshape",
    "expand",
    "bitcast",
    "reverse, conjugate",
    "transpose first=-2 second=-1, conjugate",
    "reshape, expand",
)


def _candidates(schema: Any) -> Iterator[str]:
    arguments = {argument.name for argument in schema.arguments}
    for steps in _NAMES:
        if {parameter.partition("=")[2] for parameter in steps.split(" ")[1:]} <= arguments:
            yield steps
    yield from _PLAIN


def _takes(steps: str, one: Sharing) -> bool:
    """Whether the steps lead from the operand to the result."""
    shown = one.operand
    try:
        for step in steps.split(", "):
            kind, *parameters = step.split(" ")
            given = dict(parameter.split("=") for parameter in parameters)
            values = [one.argument(int(v) if v.lstrip("-").isdecimal() else v) for v in given.values()]
            if any(isinstance(value, torch.Tensor) for value in values):
                return False
            shown = _STEPS[kind](one, shown, *values)
    except (RuntimeError, IndexError, TypeError, ValueError, KeyError):
        return False
    wanted = one.result
    if (shown.dtype, shown.shape, shown.is_conj(), shown.is_neg()) != (
        wanted.dtype,
        wanted.shape,
        wanted.is_conj(),
        wanted.is_neg(),
    ):
        return False
    same = all(a == b for size, a, b in zip(shown.shape, shown.stride(), wanted.stride(), strict=True) if size > 1)
    return same and (not wanted.numel() or shown.data_ptr() == wanted.data_ptr())


def _piece(one: Sharing, shown: torch.Tensor, dim: int) -> torch.Tensor:
    lengths = [sibling.shape[dim] for sibling in one.siblings]
    if len(lengths) == 1 and not isinstance(one.sample.op._schema.returns[0].type, torch.ListType):
        raise ValueError
    return shown.narrow(dim, sum(lengths[: one.place]), lengths[one.place])


def _unbound(one: Sharing, shown: torch.Tensor, dim: int) -> torch.Tensor:
    return shown.select(dim, one.place)


def _squeezed(one: Sharing, shown: torch.Tensor, dim: Any = None) -> torch.Tensor:
    return shown.squeeze() if dim is None else shown.squeeze(dim)


def _bitcast(one: Sharing, shown: torch.Tensor) -> torch.Tensor:
    if one.result.dtype == one.operand.dtype and "dtype" not in one.sample.arguments:
        raise ValueError
    return shown.view(one.result.dtype)


def _imaginary(one: Sharing, shown: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(shown).select(-1, 1)


_STEPS: Final[dict[str, Callable[..., torch.Tensor]]] = {
    "identity": lambda one, shown: shown,
    "select": lambda one, shown, dim, index: shown.select(dim, index),
    "slice": lambda one, shown, dim, start, end, step: torch.ops.aten.slice.Tensor(shown, dim, start, end, step),
    "narrow": lambda one, shown, dim, start, length: shown.narrow(dim, start, length),
    "pieces": _piece,
    "unbind": _unbound,
    "diagonal": lambda one, shown, offset, dim1, dim2: shown.diagonal(offset, dim1, dim2),
    "transpose": lambda one, shown, first, second: shown.transpose(first, second),
    "reverse": lambda one, shown: shown.permute(list(reversed(range(shown.dim())))),
    "permute": lambda one, shown, dims: shown.permute(dims),
    "move": lambda one, shown, source, destination: shown.movedim(source, destination),
    "reshape": lambda one, shown: shown.view(one.result.shape),
    "squeeze": _squeezed,
    "unsqueeze": lambda one, shown, dim: shown.unsqueeze(dim),
    "expand": lambda one, shown: shown.expand(one.result.shape),
    "unfold": lambda one, shown, dim, size, step: shown.unfold(dim, size, step),
    "as_strided": lambda one, shown, size, stride, offset: shown.as_strided(size, stride, offset),
    "bitcast": _bitcast,
    "view_as_real": lambda one, shown: torch.view_as_real(shown),
    "view_as_complex": lambda one, shown: torch.view_as_complex(shown),
    "conjugate": lambda one, shown: shown.conj(),
    "negate": lambda one, shown: torch._neg_view(shown),
    "real": lambda one, shown: torch.view_as_real(shown).select(-1, 0) if shown.is_complex() else shown,
    "imaginary": _imaginary,
}
