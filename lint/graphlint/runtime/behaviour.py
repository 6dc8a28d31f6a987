"""What one call of a program brings about, and what of that differs between two programs."""

import contextlib
import copy
import ctypes
import io
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.utils import _pytree as pytree

from graphlint.ops.table import role_of
from graphlint.runtime.samples import SEED, Call

_ADDRESS = re.compile(r"\b0x[0-9a-f]{6,}\b")


class Outcome(NamedTuple):
    """All that a call brings about."""

    raised: str
    """Type and message of the exception; empty if there was none."""
    result: Any
    """A copy of what was returned, made at once."""
    returned: Any
    """What was returned itself: a later call changes it where it is in memory that the program holds."""
    inputs: Any
    """The arguments after the call."""
    state: dict[str, Any]
    """Parameters, buffers and constants after the call, the tokens' buffers aside."""
    printed: str
    random_state: Any


class Runner:
    """A program's module, or another one that was made of the program, and the state that its calls change."""

    def __init__(self, program: Any, module: Any = None) -> None:
        self.module = program.module() if module is None else module
        self._tokens: set[str] = set()
        """Names of the buffers that dependency tokens end in, whose values mean nothing."""
        if any(role_of(str(node.target)) == "make-token" for node in program.graph.nodes):
            written = program.graph_signature.buffers_to_mutate.values()
            self._tokens = {one for one in written if one.startswith("dep_token") and one not in program.state_dict}
        self.initial = {name: value.detach().clone() for name, value in self.tensors().items()}

    def restart(self) -> None:
        """Put the state back to what it was in the artifact."""
        with torch.no_grad():
            for name, value in self.tensors().items():
                kept = self.initial[name]
                if value.shape != kept.shape:
                    value.data = kept.clone()
                elif not same_bits(value.detach(), kept):
                    value.detach().copy_(kept)

    def call(self, args: Any, kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def run(self, call: Call) -> Outcome:
        """Call the module on a copy of the arguments, with fixed seeds."""
        args, kwargs = copy.deepcopy((call.args, call.kwargs))
        torch.manual_seed(SEED)
        result, raised = None, ""
        with torch.enable_grad(), captured() as printed:
            try:
                result = self.call(args, kwargs)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other program has to raise it, too
                # What torch's interpreter adds names nodes, and those change.
                said = str(error).partition("\n\nWhile executing")[0]
                raised = f"{type(error).__name__}: {_ADDRESS.sub('0x…', said)}"
        tensors = self.tensors().items()
        copies = {name: value.detach().clone() for name, value in tensors if name not in self._tokens}
        returned = pytree.tree_map_only(torch.Tensor, torch.Tensor.detach, result)  # without what autograd keeps
        result = pytree.tree_map_only(torch.Tensor, torch.Tensor.clone, returned)
        return Outcome(raised, result, returned, (args, kwargs), copies, printed[0], torch.get_rng_state())

    def tensors(self) -> dict[str, Any]:
        """Parameters, buffers and constants by name; no constant in a buffer's memory: a fix may leave it out."""
        named = dict(self.module.named_parameters(remove_duplicate=False))
        named.update(self.module.named_buffers(remove_duplicate=False))
        memory = set(map(memory_of, named.values())) - {None}
        for prefix, child in self.module.named_modules():
            for name, value in vars(child).items():
                if isinstance(value, torch.Tensor) and memory_of(value) not in memory:
                    named[f"{prefix}.{name}".lstrip(".")] = value
        return named


def memory_of(value: Any) -> int | None:
    """Where the memory begins that a tensor is in; None where there is none."""
    strided = isinstance(value, torch.Tensor) and value.layout == torch.strided and value.numel() > 0
    return value.untyped_storage().data_ptr() or None if strided else None


@contextlib.contextmanager
def captured() -> Iterator[list[str]]:
    """Keep what is printed, by Python and by C++ (``aten._print``), from the report on stdout; a list of one text."""
    printed: list[str] = []
    by_python = io.StringIO()
    sys.stdout.flush()
    stdout = os.dup(1)
    try:
        with tempfile.TemporaryFile() as by_others:
            os.dup2(by_others.fileno(), 1)
            try:
                # torch.fx writes the place in the generated source to stderr, in addition to raising.
                with contextlib.redirect_stdout(by_python), contextlib.redirect_stderr(io.StringIO()):
                    yield printed
            finally:
                # What the C library holds back, where it can be reached.
                with contextlib.suppress(OSError, AttributeError, TypeError):
                    ctypes.CDLL(None).fflush(None)
                os.dup2(stdout, 1)
            by_others.seek(0)
            printed.append(by_python.getvalue() + by_others.read().decode(errors="replace"))
    finally:
        os.close(stdout)


def same_bits(left: Any, right: Any) -> bool:
    """Whether two tensors of the same metadata have the same elements, bit by bit; any NaN is the same as any other."""
    if left.is_meta:
        return True
    if left.layout != torch.strided:
        left, right = left.to_dense(), right.to_dense()
    if left.is_quantized:
        return bool(torch.equal(left, right))
    left, right = left.resolve_conj().resolve_neg().contiguous(), right.resolve_conj().resolve_neg().contiguous()
    if left.dtype.is_complex:
        left, right = torch.view_as_real(left), torch.view_as_real(right)
    if not left.dtype.is_floating_point or not left.numel():
        return bool(torch.equal(left, right))
    bits = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[left.element_size()]
    # Comparing a number with itself is how all floating-point dtypes tell a NaN, the 8-bit ones after a cast.
    wide = torch.float32 if left.element_size() < 4 else left.dtype
    both_nan = left.to(wide).isnan() & right.to(wide).isnan()
    return bool(((left.view(bits) == right.view(bits)) | both_nan).all())


def same_up_to_rounding(left: Any, right: Any) -> bool:
    """Whether their elements are the same, floating-point numbers up to torch's tolerances for their dtype."""
    try:
        torch.testing.assert_close(right, left, equal_nan=True)
    except AssertionError:
        return False
    return True


Same = Callable[[Any, Any], bool]
"""Of two tensors of the same metadata."""


def difference(before: Outcome, after: Outcome, same: Same = same_bits) -> str | None:
    """The first difference between two outcomes, in words, or None. Tensors are as they are to be if they are ``same``.

    After an exception only that and the random numbers drawn until then are compared: what had been written by then
    is no part of what a fix promises.
    """
    if before.raised != after.raised:
        return f"{before.raised or 'nothing'} was raised, now it is {after.raised or 'nothing'}"
    if not before.raised:
        found = (
            between(before.result, after.result, "output", same)
            or between(before.inputs, after.inputs, "input after the call", same)
            or _between_states(before.state, after.state, same)
        )
        if found:
            return found
        if before.printed != after.printed:
            return f"{before.printed!r} was printed, now it is {after.printed!r}"
    if not torch.equal(before.random_state, after.random_state):
        return "the random number generator is in another state afterwards"
    return None


def later_difference(before: Outcome, after: Outcome, same: Same = same_bits) -> str | None:
    """The first result that a later call has changed for the one who holds it in the second program only, in words, or
    None. One that changes in the first program only was in memory of its state, which a fix may put an end to.
    """
    at_once, held, others = (
        pytree.tree_leaves_with_path(one) for one in (before.result, before.returned, after.returned)
    )
    for (path, first), (_, second), (_, other) in zip(at_once, held, others, strict=True):
        found = _between_leaves(second, other, same) if _between_leaves(first, second) is None else None
        if found:
            return f"output{pytree.keystr(path)}: {found}"
    return None


def without_token(outcome: Outcome) -> Outcome:
    """The outcome of a program that returns ``(result, token)``, as if it returned ``result``."""
    if not outcome.raised and isinstance(outcome.result, tuple) and len(outcome.result) == 2:
        return outcome._replace(result=outcome.result[0], returned=outcome.returned[0])
    return outcome


def _between_states(before: dict[str, Any], after: dict[str, Any], same: Same) -> str | None:
    if missing := sorted(before.keys() - after.keys()):
        return f"there is no {missing[0]!r} among the parameters, buffers and constants any more"
    if new := sorted(after.keys() - before.keys()):
        return f"there is a new parameter, buffer or constant {new[0]!r}"
    pairs = ((value, after[name], f"{name!r} after the call") for name, value in before.items())
    return next((found for value, other, what in pairs if (found := between(value, other, what, same))), None)


def between(before: Any, after: Any, what: str, same: Same = same_bits) -> str | None:
    """The first difference between two nested values."""
    left, left_spec = pytree.tree_flatten_with_path(before)
    right, right_spec = pytree.tree_flatten_with_path(after)
    if left_spec != right_spec:
        shown = [" ".join(str(spec).split()) for spec in (left_spec, right_spec)]
        return f"the structure of the {what} differs: {shown[0]} before, {shown[1]} now"
    for (path, first), (_, second) in zip(left, right, strict=True):
        found = _between_leaves(first, second, same)
        if found:
            return f"{what}{pytree.keystr(path)}: {found}"
    return None


def _between_leaves(before: Any, after: Any, same: Same = same_bits) -> str | None:
    if not isinstance(before, torch.Tensor) or not isinstance(after, torch.Tensor):
        if type(before) is not type(after):
            return f"{type(before).__name__} before, {type(after).__name__} now"
        comparable = isinstance(before, (int, float, complex, str, bytes, type(None)))
        alike = before == after or before != before or not comparable
        return None if alike else f"{before!r} before, {after!r} now"
    for what in ("dtype", "device", "shape", "layout"):
        left, right = getattr(before, what), getattr(after, what)
        if left != right:
            left, right = (tuple(left), tuple(right)) if what == "shape" else (left, right)
            return f"{what} {left} before, {right} now"
    return None if same(before, after) else _largest_difference(before, after)


def _largest_difference(before: Any, after: Any) -> str:
    if before.layout != torch.strided:
        before, after = before.to_dense(), after.to_dense()
    if before.dtype == torch.bool or before.is_quantized:
        return "other elements than before"
    wide = torch.complex128 if before.dtype.is_complex else torch.float64
    gap = (before.to(wide) - after.to(wide)).abs()
    differing = int(((before != after) & ~(before.isnan() & after.isnan())).sum())
    numbers = gap[~gap.isnan()]
    largest = numbers.max().item() if numbers.numel() else float("nan")
    return f"{differing} of {before.numel()} elements differ, by at most {largest:g}"
