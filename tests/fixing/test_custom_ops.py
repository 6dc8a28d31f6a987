"""Custom ops that write become data flow as torch has it, and stock torch runs what comes of it."""

from __future__ import annotations

import json
import re
import zipfile
from typing import List, Optional, Tuple  # noqa: UP035 - what `custom_op` of torch 2.6 understands

import pytest

from graphlint.ops.declared import DeclaredOp
from graphlint.run.engine import process

torch = pytest.importorskip("torch")
Tensor = torch.Tensor
R = torch.randn


@torch.library.custom_op("written::scale_", mutates_args={"x"})
def scale_(x: Tensor, factor: float) -> None:
    x.mul_(factor)


@torch.library.custom_op("written::pair_", mutates_args={"x", "y"})
def pair_(x: Tensor, y: Tensor, factor: float = 2.0) -> None:
    x.mul_(factor)
    y.add_(x.sum())


@torch.library.custom_op("written::optional_", mutates_args={"x", "y"})
def optional_(x: Tensor, y: Optional[Tensor] = None) -> None:  # noqa: UP045
    x.mul_(2)
    if y is not None:
        y.add_(1)


@torch.library.custom_op("written::all_", mutates_args={"xs"})
def all_(xs: List[Tensor], factor: float) -> None:  # noqa: UP006
    for x in xs:
        x.mul_(factor)


@torch.library.custom_op("written::total_", mutates_args={"x"})
def total_(x: Tensor, weight: Tensor) -> Tensor:
    x.mul_(weight)
    return x.sum(0)


@total_.register_fake
def _(x, weight):
    return x.new_empty(x.shape[1:])


@torch.library.custom_op("written::two_", mutates_args={"x"})
def two_(x: Tensor) -> Tuple[Tensor, Tensor]:  # noqa: UP006
    x.add_(1)
    return x.sum(0), x * 2


@two_.register_fake
def _(x):
    return x.new_empty(x.shape[1:]), torch.empty_like(x)


_LIBRARY = torch.library.Library("written", "FRAGMENT")
_LIBRARY.define("lists_(Tensor(a!) x, Tensor(b!)[]? ys=None) -> ()")
_LIBRARY.define("back_(Tensor(a!) x) -> Tensor(a!)")
_LIBRARY.define("pieces_(Tensor(a!) x) -> Tensor[]")


@torch.library.impl(_LIBRARY, "lists_", "CompositeExplicitAutograd")
def lists_(x, ys=None):
    x.add_(1)
    for y in ys or ():
        y.add_(x)


@torch.library.impl(_LIBRARY, "back_", "CompositeExplicitAutograd")
def back_(x):
    return x.add_(1)


@torch.library.impl(_LIBRARY, "pieces_", "CompositeExplicitAutograd")
def pieces_(x):
    x.add_(1)
    return [x + 1]


OPS = {
    "written.scale_": DeclaredOp(writes=("x",)),
    "written.pair_": DeclaredOp(writes=("x", "1")),
    "written.optional_": DeclaredOp(schema="(Tensor(a!) x, Tensor(b!)? y=None) -> ()"),
    "written.all_": DeclaredOp(writes=("xs",)),
    "written.total_": DeclaredOp(writes=("0",)),
    "written.two_": DeclaredOp(writes=("x",)),
    "written.lists_": DeclaredOp(schema="(Tensor(a!) x, Tensor(b!)[]? ys=None) -> ()"),
}
ops = torch.ops.written


class Held(torch.nn.Module):
    """A program around a buffer, a constant and what is called."""

    def __init__(self, called) -> None:
        super().__init__()
        self.called = called
        self.register_buffer("cache", torch.arange(12.0).reshape(3, 4))
        self.constant = torch.ones(4)

    def forward(self, *inputs):
        return self.called(self, *inputs)


def of_an_intermediate(self, x):
    y = x.clone()
    ops.scale_(y, 2.0)
    return y + 1


def of_an_input(self, x):
    ops.scale_(x, 2.0)
    return x + 1


def of_a_buffer(self, x):
    ops.scale_(self.cache, 2.0)
    return x + self.cache


def of_a_constant(self, x):
    ops.scale_(self.constant, 2.0)
    return x + self.constant


def of_a_column(self, x):
    ops.scale_(self.cache[:, 1], 2.0)
    return x + self.cache


def of_a_slice_of_a_transposed_buffer(self, x):
    ops.scale_(self.cache.t()[1:, ::2], 2.0)
    return x + self.cache


def of_two_rows_of_one_buffer(self, x):
    ops.pair_(self.cache[0], self.cache[1])
    return x + self.cache


def of_two_tensors(self, x):
    y, z = x.clone(), x + 1
    ops.pair_(y, z, 3.0)
    return y + z


def of_a_default(self, x):
    y, z = x.clone(), x + 1
    ops.pair_(y, z)
    return y + z


def of_an_optional_tensor(self, x):
    y, z = x.clone(), x + 1
    ops.optional_(y, z)
    return y + z


def of_an_optional_tensor_left_out(self, x):
    y = x.clone()
    ops.optional_(y)
    ops.optional_(y, None)
    return y


def of_a_list(self, x):
    y, z = x.clone(), x + 1
    ops.all_([y, z, self.cache[1]], 2.0)
    return y + z + self.cache


def of_an_empty_list(self, x):
    y = x.clone()
    ops.lists_(y, [])
    return y


def of_an_optional_list(self, x):
    y, z = x.clone(), x + 1
    ops.lists_(y)
    ops.lists_(y, [z])
    return y + z


def with_a_result(self, x):
    y = x.clone()
    return ops.total_(y, x) + y


def with_two_results(self, x):
    first, second = ops.two_(self.cache)
    return first + second + x


def with_unused_results(self, x):
    ops.two_(self.cache)
    return self.cache + x


def again_through_a_view(self, x):
    y = x.clone()
    ops.scale_(y, 2.0)
    ops.scale_(y.view(-1)[2:5], 3.0)
    y.add_(1)
    return y


def under_no_grad(self, x):
    with torch.no_grad():  # torch does not load a region that returns nothing
        y = x * 2
        ops.scale_(self.cache, 2.0)
    return self.cache + y


def in_a_branch(self, x):
    def scaled(y):
        z = y + 1
        ops.scale_(z, 2.0)
        return z

    return torch.cond(x.sum() > 0, scaled, lambda y: y - 1, [x])


PROGRAMS = (
    of_an_intermediate,
    of_an_input,
    of_a_buffer,
    of_a_constant,
    of_a_column,
    of_a_slice_of_a_transposed_buffer,
    of_two_rows_of_one_buffer,
    of_two_tensors,
    of_a_default,
    of_an_optional_tensor,
    of_an_optional_tensor_left_out,
    of_a_list,
    of_an_empty_list,
    of_an_optional_list,
    with_a_result,
    with_two_results,
    with_unused_results,
    again_through_a_view,
    under_no_grad,
    in_a_branch,
)


def exported(path, called, *inputs, **options):
    torch.export.save(torch.export.export(Held(called), inputs, **options), str(path))
    return path


def nodes(path):
    with zipfile.ZipFile(path) as archive:
        member = next(name for name in archive.namelist() if name.endswith("models/model.json"))
        return list(nodes_of(json.loads(archive.read(member))["graph_module"]["graph"]))


def nodes_of(graph):
    for node in graph["nodes"]:
        yield node
        for operand in node["inputs"]:
            if "as_graph" in operand["arg"]:
                yield from nodes_of(operand["arg"]["as_graph"]["graph"])


def wrappers(path):
    return [node for node in nodes(path) if node["target"] == "torch.ops.higher_order.auto_functionalized_v2"]


@pytest.fixture
def settings(settings_for):
    def make(declared=None, **others):
        enabled = {f"GL10{number}" for number in range(1, 8)} | {"GL304", "GL305", "GL401"}
        return settings_for(enabled=enabled, ops=OPS if declared is None else declared, **others)

    return make


@pytest.mark.parametrize("called", PROGRAMS, ids=lambda called: called.__name__)
def test_stock_torch_runs_it_before_and_after(called, tmp_path, fix_copy, settings, judge):
    original = exported(tmp_path / "original.pt2", called, R(3, 4))
    path, result = fix_copy(original, settings=settings())
    assert {one.code for one in result.fixed} >= {"GL304"}
    assert (result.diagnostics, result.error) == ((), None)
    assert wrappers(path)
    assert all(not re.match(r"torch\.ops\.written\.", node["target"]) for node in nodes(path))
    calls = [((R(3, 4),), {}), ((-R(3, 4).abs(),), {})]
    before, after = judge.load(original), judge.load(path)
    assert judge.compare(before, after, calls) == ["", ""]
    # Stock torch's own passes take it, and what they make of it can be saved and loaded again.
    judge.compare(before, judge.decomposed(judge.load(path)), calls)
    again = tmp_path / "again.pt2"
    judge.save(judge.decomposed(judge.load(path)), again)
    judge.compare(before, judge.load(again), calls)


def test_sizes_that_are_symbolic(tmp_path, fix_copy, settings, judge):
    def called(self, x):
        y = x.clone()
        ops.scale_(y[1:], 2.0)
        return y + 1

    dynamic = {"inputs": ({0: torch.export.Dim("rows", min=3)},)}
    original = exported(tmp_path / "original.pt2", called, R(5, 4), dynamic_shapes=dynamic)
    path, result = fix_copy(original, settings=settings())
    assert (result.diagnostics, len(wrappers(path))) == ((), 1)
    judge.compare(judge.load(original), judge.load(path), [((R(rows, 4),), {}) for rows in (3, 5, 9)])


def test_the_node_is_what_torch_serializes(tmp_path, fix_copy, settings, judge):
    """Of what is no view, to the names of values: ``run_decompositions({})`` of the same program tells."""
    original = exported(tmp_path / "original.pt2", of_two_tensors, R(3, 4))
    path, _ = fix_copy(original, settings=settings())
    theirs = tmp_path / "theirs.pt2"
    judge.save(judge.decomposed(judge.load(original)), theirs)
    (ours,), (expected,) = wrappers(path), wrappers(theirs)
    assert ours.keys() == expected.keys()
    assert [(one["name"], one["kind"]) for one in ours["inputs"]] == [
        (one["name"], one["kind"]) for one in expected["inputs"]
    ]
    for mine, other in zip(ours["inputs"], expected["inputs"], strict=True):
        assert mine["arg"] == other["arg"]
    assert [list(one) for one in ours["outputs"]] == [list(one) for one in expected["outputs"]]
    assert ours["is_hop_single_tensor_return"] is expected["is_hop_single_tensor_return"] is False


def test_it_compiles(tmp_path, fix_copy, settings, judge):
    original = exported(tmp_path / "original.pt2", of_a_column, R(3, 4))
    path, _ = fix_copy(original, settings=settings())
    x = R(3, 4)
    compiled = torch.compile(judge.load(path).module(), backend="aot_eager")
    assert torch.equal(compiled(x), judge.load(original).module()(x))


def returning_its_argument(self, x):
    return ops.back_(x.clone()) + 1


def returning_a_list(self, x):
    return ops.pieces_(x.clone())[0] + 1


def reading_what_it_writes(self, x):
    y = x.clone()
    return ops.total_(y, y) + 1


def writing_one_tensor_twice(self, x):
    y = x.clone()
    ops.pair_(y, y)
    return y


def writing_an_expanded_tensor(self, x):
    y = x[0].clone().expand(3, 4)
    ops.scale_(y, 2.0)
    return y


REFUSED = [
    (
        of_an_optional_tensor_left_out,
        {"written.optional_": DeclaredOp(writes=("x", "y"))},
        "declare the schema of written.optional_.default: 'y', left out here, may be a list of tensors",
    ),
    (
        returning_its_argument,
        {"written.back_": DeclaredOp(schema="(Tensor(a!) x) -> Tensor(a!)")},
        "written.back_.default may return its argument, which torch does not wrap",
    ),
    (
        returning_its_argument,
        {"written.back_": DeclaredOp(writes=("x",), aliases=("x",))},
        "written.back_.default may return its argument, which torch does not wrap",
    ),
    (
        returning_a_list,
        {"written.pieces_": DeclaredOp(writes=("x",))},
        "written.pieces_.default returns other things than tensors, which torch does not wrap",
    ),
    (
        reading_what_it_writes,
        OPS,
        "written.total_.default reads memory that it writes",
    ),
    (
        writing_one_tensor_twice,
        OPS,
        "written.pair_.default writes the same memory more than once",
    ),
    (
        writing_an_expanded_tensor,
        OPS,
        "written.scale_.default writes the same memory more than once",
    ),
    (
        of_an_intermediate,
        {"written.scale_": DeclaredOp(writes=("x",), effect=True)},
        "written.scale_.default has effects beyond the write",
    ),
    (
        of_an_intermediate,
        {"written.scale_": DeclaredOp(writes=("x",), random=True)},
        "written.scale_.default draws random numbers; wrapped, it may be removed as dead code",
    ),
]


@pytest.mark.parametrize(("called", "declared", "reason"), REFUSED, ids=lambda one: getattr(one, "__name__", ""))
def test_what_torch_does_not_wrap_stays(called, declared, reason, tmp_path, fix_copy, settings):
    original = exported(tmp_path / "original.pt2", called, R(3, 4))
    path, result = fix_copy(original, settings=settings(declared))
    assert [one.fix.message for one in result.diagnostics if one.code == "GL304"] == [reason] * len(result.diagnostics)
    assert (result.fixed, path.read_bytes()) == ((), original.read_bytes())


def test_a_declared_op_of_torch_itself_stays(tmp_path, fix_copy, settings):
    original = exported(tmp_path / "original.pt2", lambda self, x: torch.ops.aten.add_.Tensor(x.clone(), 1), R(3, 4))
    _, result = fix_copy(original, settings=settings({"aten.add_": DeclaredOp(writes=("self",))}))
    assert [(one.code, one.fix.message) for one in result.diagnostics] == [
        ("GL304", "what aten.add_.Tensor computes is not known")
    ]


def test_files_whose_torch_does_not_load_it_are_left_alone(artifacts, tmp_path, fix_copy, settings):
    """torch 2.6 itself cannot load what ``run_decompositions`` makes of such a program."""
    declared = {"sample.scale_": DeclaredOp(writes=("x",))}
    for version, fixed in (("2.6.0", 0), ("2.7.1", 1), ("2.15.0", 1)):
        _, result = fix_copy(artifacts / version / "mutable_custom_op.pt2", settings=settings(declared))
        assert (len(result.fixed), len(result.diagnostics)) == (fixed, 1 - fixed)
        if not fixed:
            (left,) = result.diagnostics
            assert left.fix.message.startswith("torch before 2.7")


def test_what_a_wrapped_op_returns_is_memory_of_its_own(tmp_path, fix_copy, settings, judge):
    """A write to it is none to what it was made of; torch wrote the node, and the program writes its result."""
    original = exported(tmp_path / "original.pt2", of_a_buffer, R(3, 4))
    path = tmp_path / "torch.pt2"
    judge.save(judge.decomposed(judge.load(original)), path)
    assert wrappers(path)
    result = process(str(path), settings(), "check")
    assert (result.diagnostics, result.error) == ((), None)
