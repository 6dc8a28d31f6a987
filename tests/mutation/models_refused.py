"""Writes that stay, each with the reason that is given for it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional

from .trial import Case

R = torch.randn
BATCH = Dim("batch", min=3, max=32)
OBJECTS = "whether {} changes another tensor cannot be determined from the artifact"
HELD, ROW, WIDE = torch.zeros(4, 4), torch.zeros(1, 4), torch.zeros(2, 6)
UNSIZED = "it is computed with a tensor whose sizes change from call to call"
TOGETHER = "it is written together with a tensor that cannot be: "


class Refused(NamedTuple):
    """A module of which something stays."""

    build: Callable[[], Case]
    reasons: set[str]
    fixed: int
    """How many findings are fixed all the same."""


REFUSED: dict[str, Refused] = {}


class _Forward(nn.Module):
    def __init__(self, function: Callable[..., Any], **buffers: Any) -> None:
        super().__init__()
        for name, value in buffers.items():
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
            else:
                self.register_buffer(name, value)
        self.function = function
        self.named = list(buffers)

    def forward(self, *args: Any) -> Any:
        return self.function(*args, *(getattr(self, name) for name in self.named))


def refused(
    *args: Any, reasons: set[str] | str, fixed: int = 0, dynamic: Any = None, state: dict[str, Any] | None = None
) -> Callable[[Callable[..., Any]], None]:
    """Register a forward function; ``state`` are buffers and parameters that it is given after its arguments."""

    def register(function: Callable[..., Any]) -> None:
        expected = {reasons} if isinstance(reasons, str) else reasons
        dims = {"args": (dynamic,)} if dynamic is not None else None
        REFUSED[function.__name__] = Refused(
            lambda: Case(_Forward(function, **(state or {})), args, dims), expected, fixed
        )

    return register


@refused(R(4, 4), reasons="resize_ changes how much memory the tensor has, or which", fixed=1)
def resized(x):
    y, z = x * 1, x * 2
    y.resize_(16)
    z.add_(1)
    return y, z


@refused(R(4, 4), reasons="set_ changes how much memory the tensor has, or which")
def given_other_memory(x):
    y = x * 1
    y.set_(x + 1)
    return y


@refused(R(3, 4), reasons="t_ changes the sizes or strides of a tensor that the caller or the module holds", fixed=1)
def input_transposed_in_place(x):
    y = x * 1
    y.add_(1)
    x.t_()
    return x + 1, y


@refused(R(4), reasons="unsqueeze_ changes the sizes or strides of a tensor that the caller or the module holds",
         state={"b": torch.zeros(4)})  # fmt: skip
def buffer_unsqueezed_in_place(x, b):
    b.unsqueeze_(0)
    return x + b


@refused(R(4), reasons="the tensor is expanded: several of its elements are one in memory")
def written_through_expand(x):
    y = x * 1
    y.expand(4, 4).diagonal().add_(1)
    return y


@refused(R(8), reasons="aten.unfold.default shows windows that may overlap", fixed=1)
def written_through_unfold(x):
    y, z = x * 1, x * 2
    y.unfold(0, 3, 2)[1].add_(1)
    z.add_(y)
    return y, z


@refused(R(2, 4), reasons="view.dtype reads numbers as booleans, and ops make 1 of whatever is not 0", fixed=1)
def bytes_read_as_booleans(x):
    y = x * 1
    y.view(torch.bool).index_fill_(0, torch.tensor([1]), True)
    return y


@refused(R(2, 4), reasons="view.dtype shows booleans as numbers, and ops make 1 of whatever is not 0")
def booleans_written_as_bytes(x):
    y = x > 0
    y.view(torch.uint8).mul_(2)
    return y.view(torch.uint8)


@refused(R(2, 3, 4), reasons="view.dtype changes the element size, and what is written does not lie in rows")
def bytes_that_do_not_lie_in_rows(x):
    y = x.transpose(0, 1) * 1
    y.view(torch.uint8).mul_(2)
    return y


@refused(R(8), reasons="aten.mul_.Tensor writes the same memory more than once", dynamic={0: BATCH})
def written_through_windows_of_a_symbolic_number(x):
    y = x * 1
    y.unfold(0, 2, 1).mul_(2)
    return y


@refused(R(4, 4), reasons="squeeze meets a dimension of symbolic size",
         dynamic={0: Dim("rows", max=8)})  # fmt: skip
def squeezed_where_the_size_may_be_one(x):
    """Export takes sizes to be none of 0 and 1, but admits calls with them."""
    y, z = x * 1, x * 2
    y.squeeze(0).add_(1)
    z.squeeze().mul_(2)
    return y, z


@refused(R(2, 3, 4, 4), reasons="the written tensor cannot be determined from the artifact",
         dynamic={0: Dim("batch", max=8)})  # fmt: skip
def contiguous_where_the_size_is_one(x):
    y = x * 1
    z = y[:, :1].contiguous(memory_format=torch.channels_last)
    z.add_(1)
    return y, z


@refused(R(4, 6), reasons="as_strided reads the memory of a tensor that is not contiguous")
def as_strided_of_a_transposed_tensor(x):
    y = (x * 1).t()
    torch.as_strided(y, (2, 2), (4, 1), 1).add_(1)
    return y


@refused(R(2, 4)[1], reasons="as_strided reads the memory of a tensor that does not begin where its memory does")
def as_strided_of_an_input_with_an_offset(x):
    x.clamp_(max=3)
    return torch.as_strided(x, (2,), (1,), 1) * 2


@refused(R(4, 4), R(4, 4), reasons="the artifact does not tell whether out= resizes a constant", fixed=2)
def out_may_resize_a_constant(x, y):
    """torch records of the sum that it has the constant's shape, whatever it has."""
    torch.add(x, y, out=HELD)
    torch.sum(x, 0, keepdim=True, out=ROW)
    return HELD * 1, ROW * 1


@refused(R(6), reasons={"out= is given a tensor of another shape, which the op resizes", UNSIZED}, fixed=1)
def computed_with_a_constant_that_is_resized(x):
    """torch records of what comes of the constant that it has two rows; in a run it is one."""
    y = x * 1
    y.mul_(2)
    torch.sin(y, out=WIDE)
    pair = torch.stack([WIDE, WIDE], -1)
    pair[1:] = 0.5
    with torch.no_grad():
        row = pair[0]
    return row * 1, pair


@refused(
    R(1),
    reasons={"t_ changes the sizes or strides of a tensor that the caller or the module holds", UNSIZED},
    state={"b": torch.zeros(3, 4)},
    fixed=1,
)
def computed_with_a_buffer_that_is_turned(x, b):
    """In every second call it has four rows, and all of them but one become 0.5."""
    y, z = b * x, x * 1
    y[1:] = 0.5
    z.add_(1)
    b.t_()
    return y, z


@refused(
    R(4),
    reasons="unsqueeze_ changes the sizes or strides of a tensor that the caller or the module holds",
    state={"b": torch.zeros(4)},
)
def view_in_place_of_a_sum_to_the_same_size(x, b):
    b.sum_to_size(4).unsqueeze_(0)
    return x + b


@refused(R(3, 4), R(4), reasons=OBJECTS.format("unsqueeze_"), state={"b": torch.zeros(1, 4)})
def views_in_place_of_what_may_be_another(x, y, b):
    """A matrix is at least two-dimensional, and a row flat: the ops return what they are given."""
    v = torch.atleast_2d(b)
    v.unsqueeze_(0)
    row = y * 1
    flat = row.flatten()
    flat.unsqueeze_(0)
    return v + 1, row, flat


@refused(
    *(R(3, 4), R(4)),
    reasons={OBJECTS.format("unsqueeze_"), OBJECTS.format("t_")},
    state={"b": torch.zeros(4)},
    fixed=2,
)
def view_in_place_of_what_vmap_gave_back(x, y, b):
    """A function that returns its rows returns the tensor that they are of; one that computes others, another."""
    turned = torch.vmap(lambda row: row.add_(1), out_dims=1)(x * 1)
    rows = torch.vmap(lambda row: row.add_(2))(b)
    rows.unsqueeze_(0)
    elements = torch.vmap(torch.vmap(lambda element: element))(x)
    elements.t_()
    other = torch.vmap(lambda row: row.mul(2))(y)
    other.unsqueeze_(0)
    return rows + 1, elements + 1, other + 1, turned


@refused(R(4, 4), R(4), reasons="out= is given a tensor of another shape, which the op resizes", fixed=1)
def out_is_resized(x, y):
    o = torch.empty(2, 4)
    v = o[0]
    torch.add(x, y, out=o)
    p = torch.empty(2)
    torch.sum(x, 0, out=p)
    return o, v, p


@refused(
    R(1, 4), reasons="out= is given a tensor of another shape, which the op resizes", state={"b": torch.zeros(1, 4)}
)
def out_resizes_a_buffer(x, b):
    torch.sum(x, 0, out=b)
    return x * 2


@refused(R(4, 4), reasons="aten.mm.out reads memory that it writes")
def out_is_an_operand(x):
    y = x * 1
    torch.mm(y, x, out=y)
    return y


@refused(R(4, 4), reasons="aten.addmm_.default reads memory that it writes")
def product_with_itself(x):
    y = x * 1
    y.addmm_(y, x)
    return y


@refused(R(4, 4), reasons="aten.add_.Tensor reads memory that it writes", fixed=1)
def transposed_onto_itself(x):
    """torch refuses to run it; rows that are apart are fine."""
    y = x * 1
    y.add_(y.t())
    z = x * 2
    z[0].add_(z[1])
    return y, z


@refused(R(4), reasons="aten.copy_.default reads memory that it writes")
def shifted_onto_itself(x):
    y = x * 1
    y[1:].copy_(y[:-1])
    return y


@refused(R(4), R(4), reasons="aten._foreach_add_.List reads a tensor of the list that it writes")
def list_reads_what_it_wrote(x, y):
    a, b = x * 1, y * 1
    torch._foreach_add_([a, b], [b, a])
    return a, b


@refused(R(4), reasons="aten._foreach_mul_.Scalar writes the same memory more than once")
def list_names_a_tensor_twice(x):
    a = x * 1
    torch._foreach_mul_([a, a[:2]], 2)
    return a


@refused(R(3, 4), R(4), reasons={
    "t_ changes the sizes or strides of a tensor that the caller or the module holds",
    TOGETHER + "t_ changes the sizes or strides of a tensor that the caller or the module holds",
})  # fmt: skip
def list_with_one_that_stays(x, y):
    z = y * 1
    torch._foreach_add_([x, z], 1)
    z.mul_(2)
    x.t_()
    return z


@refused(
    R(4, 6), reasons="aten.gelu.out ignores the strides of the tensor that it writes",
    fixed=1,
)  # fmt: skip
def kernels_that_mind_no_strides(x):
    y, z = torch.zeros(6, 4).t(), torch.zeros(4, 6)
    torch.ops.aten.gelu.out(x, out=y)
    torch.ops.aten.gelu.out(x, out=z)
    return y, z


@refused(
    R(3, 4), reasons="aten.rrelu_with_noise.default ignores the strides of the tensor that it writes",
    fixed=1,
)  # fmt: skip
def noise_in_memory_order(x):
    y, z = torch.zeros(3, 8)[:, ::2], torch.zeros(4, 3).t()
    torch.ops.aten.rrelu_with_noise(x, y, 0.1, 0.3, True)
    torch.ops.aten.rrelu_with_noise(x, z, 0.1, 0.3, True)
    return y, z


@refused(
    R(3, 4), reasons="aten._fused_sgd_.default ignores the strides of the tensor that it writes",
    fixed=1,
)  # fmt: skip
def optimizers_in_memory_order(x):
    rates = {"weight_decay": 0.0, "momentum": 0.9, "lr": 0.1, "dampening": 0.0}
    flags = {"nesterov": False, "maximize": False, "is_first_step": False}
    a, b, c, d = x * 1, torch.zeros(3, 8)[:, ::2], x * 3, torch.ones(4, 3).t()
    torch._fused_sgd_([a], [x * 2], [b], **rates, **flags)
    torch._fused_sgd_([c], [x * 2], [d], **rates, **flags)
    return a, b, c, d


@refused(
    R(3, 4), reasons="aten._fused_moving_avg_obs_fq_helper.default ignores the strides of the tensor that it writes",
    fixed=1,
)  # fmt: skip
def observers_in_memory_order(x):
    on = torch.ones(1, dtype=torch.int64)
    for least, most in ((torch.zeros(3), torch.ones(3)), (torch.zeros(6)[::2], torch.ones(6)[::2])):
        scale, zero = torch.ones(3), torch.zeros(3, dtype=torch.int32)
        torch.ops.aten._fused_moving_avg_obs_fq_helper(x, on, on, least, most, scale, zero, 0.1, 0, 255, 0, True)
    return least, most, scale, zero


@refused(
    torch.randn(4, dtype=torch.complex64), reasons="aten._foreach_mul_.Scalar writes the same memory more than once"
)
def list_of_numbers_and_their_parts(x):
    y = x * 1
    torch._foreach_mul_([y[3], torch.view_as_real(y[3])], 2)
    return y


@refused(
    R(6, 3), reasons="how aten.batch_norm.default rounds depends on the strides of what it writes",
    fixed=1,
)  # fmt: skip
def statistics_with_strides(x):
    a, b, c, d = torch.zeros(6)[::2], torch.ones(6)[::2], torch.zeros(3), torch.ones(3)
    y = nn.functional.batch_norm(x, a, b, training=True)
    z = nn.functional.batch_norm(x, c, d, training=True)
    return y, z, a, b, c, d


@refused(R(4, 6), reasons="aten.normal.Tensor_float_out draws numbers of the dtype that it writes", fixed=1)
def draws_of_another_dtype(x):
    y, z = torch.empty(4, 6, dtype=torch.float64), torch.empty(4, 6)
    torch.normal(x, 2.0, out=y)
    torch.normal(x, 2.0, out=z)
    return y, z


@refused(
    R(17, 4),
    reasons="it draws a prime number of elements one by one, and its functional overload many at once",
    fixed=1,
)
def draws_a_prime_number(x):
    y, z = x * 1, x * 2
    y[:, 1].normal_()
    z[:13, 1].normal_()
    return y, z


@refused(R(3, 4), reasons="it draws in the order of memory, and its tensor is not contiguous")
def draws_in_the_order_of_memory(x):
    y = torch.zeros(4, 3).t()
    y.bernoulli_(0.5)
    return x + y


@refused(torch.arange(4), reasons="torch refuses to run aten.ldexp_.default: its result cannot be cast to the dtype of "
         "what it writes")  # fmt: skip
def never_runs(x):
    y = x * 1
    torch.ops.aten.ldexp_(y, x)
    return y


@refused(R(2, 2, 2), reasons="fill_diagonal_ is given a tensor of other than two dimensions, or of symbolic sizes")
def diagonal_of_a_cube(x):
    y = x * 1
    y.fill_diagonal_(3)
    return y


@refused(R(4, 2), reasons="fill_diagonal_ wraps around")
def diagonal_that_wraps(x):
    y = x * 1
    y.fill_diagonal_(3, wrap=True)
    return y


@refused(R(3, 4), reasons="stock torch cannot write a parameter back that requires gradients",
         state={"w": nn.Parameter(torch.ones(4))})  # fmt: skip
def trained_parameter(x, w):
    with torch.no_grad():
        w.mul_(0.5)
    return x * w


@refused(R(3, 4).requires_grad_(), R(4).requires_grad_(), reasons={
    "stock torch cannot write a buffer back that requires gradients",
    "stock torch cannot write an input back that requires gradients",
}, fixed=1, state={"b": torch.ones(4, requires_grad=True)})  # fmt: skip
def what_requires_gradients_is_written(x, y, b):
    """Autograd admits such writes in regions without gradients, and through ``detach``."""
    with torch.no_grad():
        x.mul_(0.5)
        b.add_(1)
    y.detach().add_(1)
    z = x * y
    z.add_(b)
    return z


@refused(R(4, 3, 2, 2), reasons="instance_norm of a batch of symbolic size", dynamic={0: BATCH},
         state={"mean": torch.zeros(3), "var": torch.ones(3)})  # fmt: skip
def instances_of_an_unknown_batch(x, mean, var):
    return functional.instance_norm(x, mean, var, use_input_stats=True)


@refused(R(4, 4), reasons="autocast would cast what aten.matmul.default is given, as it does not for aten.matmul.out",
         state={"b": torch.zeros(4, 4)})  # fmt: skip
def out_under_autocast(x, b):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.matmul(x, x, out=b)
    return x + b


@refused(R(4, 4), reasons="a region sees its memory through several operands")
def region_sees_two_views(x):
    y = x * 1
    a, b = y[:2], y[2:]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = a * b
        a.add_(1)
    return z, y


@refused(R(5, 4), reasons="whether %reshape shares its memory is not known", dynamic={0: BATCH})
def reshape_of_unknown_strides(x):
    y = (x * 1).t()[:, 1:]
    z = y.reshape(-1)
    y.add_(1)
    return y, z


@refused(R(4), reasons="aten.mul_.Tensor writes the same memory more than once", state={"b": torch.ones(6)})
def windows_that_overlap(x, b):
    torch.as_strided(b, (2, 2), (1, 1), 0).mul_(-1)
    return x + b[1]


@refused(R(4), reasons="as_strided shows the same memory more than once", state={"b": torch.ones(6)})
def one_of_the_windows_that_overlap(x, b):
    torch.as_strided(b, (2, 2), (1, 1), 0)[0].mul_(-1)
    return x + b[1]


@refused(R(4, 4), reasons="aten.mm.out reads memory that it writes")
def out_of_a_product_of_itself(x):
    y = x * 1
    torch.mm(y * 2, y, out=y.t())
    return y


@refused(R(4, 4), reasons="unsqueeze_ changes the sizes or strides of a tensor that the caller or the module holds")
def region_returns_what_it_was_handed(x):
    """The region stays: detached, its result would no longer be the tensor whose sizes change."""
    row = x[0]
    with torch.no_grad():
        same = functional.dropout(row, 0.5, training=False)
    same.unsqueeze_(-1)
    return row, same


@refused(
    R(2, 6).half(),
    reasons="autocast would cast what aten.index_copy.default is given, as it does not for aten.index_copy_.default",
    fixed=3,
)
def casts_that_in_place_ops_are_spared(x):
    """The functional op raises for half precision, where the in-place one takes it."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = x * 1
        y.index_copy_(1, torch.tensor([0, 1]), y[:, 2:4] * 2)
        z = x * 2
        z.subtract_(x)
        w = x * 3
        w.add_(1)
    return y, z, w


@refused(R(4, 4), reasons="out= is given a tensor of another shape, which the op resizes")
def out_resizes_a_view_or_into_columns(x):
    y = torch.zeros(5, 4).t()
    torch.sum(x, 0, out=y)
    z = torch.ones(7)
    torch.linalg.inv(x @ x.t() + torch.eye(4), out=z)
    return y, z


def _bump(x: torch.Tensor) -> None:
    x.add_(1)


def _bump_first_two(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.as_strided((2,), (1,)).add_(1)
    return y


def _bump_rows(x: torch.Tensor) -> torch.Tensor:
    return x.add_(1).sum()


@refused(
    R(4, 4),
    R(4, 4),
    reasons={
        "how aten.addmm_.default rounds depends on the strides of the written tensor",
        "how aten.mm.out rounds depends on the strides of the written tensor",
        "how aten.sum.IntList_out rounds depends on the strides of the written tensor",
    },
    fixed=2,
)
def products_into_columns(x, y):
    """BLAS adds up in another order for a column-major result; whole numbers know no order."""
    z = (x * 1).t()
    z.addmm_(x, y)
    w = (x * 2).t()
    torch.mm(x, y, out=w)
    v = (x * 3).t()
    torch.sum(y.expand(3, 4, 4), 0, out=v)
    rows = x * 3
    rows.addmm_(x, y)
    n = (x * 4).to(torch.int64).t()
    n.addmm_(y.to(torch.int64), y.to(torch.int64))
    return z, w, v, rows, n


@refused(R(4).bfloat16(), reasons="torch refuses to run aten.clamp.out with out= of another dtype")
def clamped_into_another_dtype(x):
    wide = torch.zeros(4)
    torch.clamp(x, min=0, out=wide)
    return wide


@refused(
    R(5, 3),
    R(5, 3),
    R(2, 5, 3),
    reasons={
        "_add_batch_dim shows it, which can only stand where vmap or the like runs",
        "torch._functorch.predispatch._remove_batch_dim has no inverse to carry the write back through",
        "vmap goes over rows that do not lie one after the other, and no record tells how its results lie",
        "vmap runs no as_strided_scatter",
    },
)
def batches_show_what_is_written(x, y, z):
    v = torch.vmap(lambda row: row.view(-1))(x)
    x.mul_(2)
    w = torch.vmap(lambda row: row)(y)
    w.add_(1)
    return v, w, torch.vmap(_bump_first_two)(x), torch.vmap(torch.vmap(_bump_rows, in_dims=1))(z)


library = torch.library.Library("undeclared", "FRAGMENT")
library.define("same(Tensor(a) x) -> Tensor(a)")
library.impl("same", lambda x: x.view(x.shape), "CompositeExplicitAutograd")
library.define("bump(Tensor(a!) x) -> ()")
library.impl("bump", _bump, "CompositeExplicitAutograd")


@refused(R(4), reasons="whether undeclared.same.default writes, keeps or returns it is not known")
def custom_op_returns_what_it_was_given(x):
    y = x * 1
    same = torch.ops.undeclared.same(y)
    y.add_(1)
    return same


@refused(R(4), reasons="whether undeclared.bump.default writes, keeps or returns it is not known", fixed=1)
def custom_op_writes_what_it_was_given(x):
    y = x * 1
    torch.ops.undeclared.bump(y)
    y.mul_(2)
    z = x * 3
    z.add_(1)
    return y, z


@refused(R(6), reasons="as_strided reads the memory of a tensor that does not begin where its memory does")
def places_in_memory_within_a_region(x):
    """What is written has memory of its own after the fix: the region's place 3 in the input's is another one there."""
    part = x[2:]
    part.mul_(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        window = part.as_strided((2,), (1,), 3)
    return window + 1, part


@refused(R(2, 3, 4), reasons="a region sees its memory through several operands")
def view_in_place_amid_autocast(x):
    """The region goes, and what it holds is told as before: the object that it changes is the program's."""
    v = x.mT
    with torch.autocast("cpu", dtype=torch.bfloat16):
        v.squeeze_(-3)
        x.erf_()
    windows = v.unfold(-1, 2, 1)
    windows.lerp_(windows + windows, windows * 2)
    return v


@refused(R(3, 4), reasons="aten.rrelu_with_noise.default reads memory that it writes", fixed=1)
def noise_in_the_operand(x):
    y = x * 1
    torch.ops.aten.rrelu_with_noise(y, y, 0.1, 0.3, False)
    z = x * 2
    z.add_(1)
    return y, z


@refused(
    R(0, 3),
    reasons="aten.batch_norm.default of no element updates nothing, and its functional form raises",
    state={"mean": torch.zeros(3), "var": torch.ones(3)},
)
def norm_of_no_element(x, mean, var):
    return functional.batch_norm(x, mean, var, training=True)


@refused(R(1, 6).expand(2, 6), reasons="the tensor is expanded: several of its elements are one in memory")
def row_of_an_expanded_input(x):
    x[0].add_(1)
    return x + 1


@refused(R(1, 6).expand(2, 6), reasons="the tensor is expanded: several of its elements are one in memory")
def diagonal_of_an_expanded_input(x):
    torch.atleast_1d(x).diagonal().mul_(2)
    return x + 1


@refused(
    R(2),
    reasons="the tensor is expanded: several of its elements are one in memory",
    state={"bias": torch.zeros(3, 1).expand(3, 2)},
)
def column_of_an_expanded_buffer(x, bias):
    bias[:, 0].mul_(2)
    return x + bias[0]


@refused(
    R(6, 4),
    dynamic={1: BATCH},
    reasons="aten.tensor_split.indices makes pieces that have elements in common",
)
def pieces_that_go_back_by_symbolic_steps(x):
    y = x * 1
    a, b, c = y.tensor_split((4, 2))
    a.add_(1)
    c.mul_(3)
    return a * 2, b, c * 2
