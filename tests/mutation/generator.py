"""Random modules that mix views, writes and reads; each is Python source, so that a failing one can be kept as such.

A statement is proposed, tried eagerly next to what was written so far, and kept where torch accepts it: shapes and
dtypes need no bookkeeping here.
"""

import math
import random
import re
from typing import NamedTuple

import torch
from torch import nn

_HEADER = """import torch
from torch import nn
from torch._higher_order_ops import associative_scan, map as over_rows, scan, while_loop
from torch.utils.checkpoint import checkpoint

from tests.mutation import custom_ops


def part(value):
    inside = value * 1
    inside.add_(value)
    return inside * 2


once = getattr(torch.compiler, "nested_compile_region", lambda part: part)(part)


"""
_DTYPES = {
    "f32": "torch.float32",
    "f16": "torch.float16",
    "bf16": "torch.bfloat16",
    "f64": "torch.float64",
    "i32": "torch.int32",
    "i64": "torch.int64",
    "u8": "torch.uint8",
    "bool": "torch.bool",
    "c64": "torch.complex64",
}
_RENAMED = ("input", "max", "type", "range")
"""Names of Python's own, which fx gives another one to."""
_FLOATS = (torch.float32, torch.float16, torch.float64, torch.bfloat16)


_SHAPES = (
    *((3, 4), (4, 4), (2, 6), (4,), (2, 3, 4), (1, 4), (2, 2, 4, 3), (6, 2)) * 3,
    *((), (0, 4), (3, 1), (1, 1, 4), (2, 1, 3, 1, 2)),
)
"""Of the inputs and of what the module holds: mostly of some dimensions and elements."""


class Program(NamedTuple):
    """A random module."""

    source: str
    dynamic: bool
    """Whether the first dimension of the first input may vary."""

    def build(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        """The module and sample inputs; the same ones each time."""
        scope: dict = {}
        exec(compile(_HEADER + self.source, "<random module>", "exec"), scope)
        torch.manual_seed(0)
        return scope["Module"](), scope["inputs"]()

    def more_inputs(self) -> list[tuple[torch.Tensor, ...]]:
        """Inputs of other sizes."""
        if not self.dynamic:
            return []
        _, (first, *rest) = self.build()
        return [(torch.cat([first, first[:1]]), *rest), (first[:2].clone(), *rest)]


def generate(seed: int) -> Program:
    """The random module of that number."""
    return _Writer(random.Random(seed)).program()


def tensor_source(rng: random.Random, dtype: str, shape: tuple[int, ...], *, held: bool = False) -> str:
    """A tensor; one that is ``held`` is not a view of one element in several places, which torch does not save."""

    def plain(shape: tuple[int, ...]) -> str:
        if dtype == "bool":
            return f"(torch.rand({shape}) > 0.5)"
        if dtype in ("i32", "i64", "u8"):
            return f"torch.randint(0, 7, {shape}).to({_DTYPES[dtype]})"
        if dtype == "c64":
            return f"torch.randn({shape}, dtype=torch.complex64)"
        return f"torch.randn({shape}).to({_DTYPES[dtype]})"

    if len(shape) == 2 and rng.random() < 0.2:
        return f"{plain(shape[::-1])}.t()"
    if len(shape) == 4 and rng.random() < 0.5:
        return f"{plain(shape)}.to(memory_format=torch.channels_last)"
    if rng.random() < 0.05:
        return f"{plain((2, *shape))}[1]"
    if shape and rng.random() < 0.05:
        return f"{plain((*shape[:-1], shape[-1] * 2))}[..., ::2]"
    if shape and not held and rng.random() < 0.03:
        return f"{plain((1, *shape[1:]))}.expand{shape}"
    return plain(shape)


class _Writer:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.number = 0
        self.scope: dict = {"torch": torch}
        self.state: list[str] = []
        self.dynamic = False
        """Whether some tensors may have other sizes in other calls."""
        exec(_HEADER, self.scope)

    def program(self) -> Program:
        rng = self.rng
        shape = rng.choice(_SHAPES)
        self.dynamic = rng.random() < 0.25
        state, inputs = [], []
        for index in range(rng.randint(1, 3)):
            dtype = rng.choice(("f32", "f32", "f32", "f32", "f16", "bf16", "i64", "bool", "f64", "i32", "u8", "c64"))
            made = tensor_source(rng, dtype, shape if rng.random() < 0.7 else shape[-1:])
            inputs.append((f"x{index}", made))
        for index in range(rng.randint(0, 2)):
            dtype = rng.choice(("f32", "f32", "f32", "f16", "bf16", "i64", "bool", "f64", "u8", "c64"))
            made = tensor_source(rng, dtype, shape if rng.random() < 0.7 else shape[-1:], held=True)
            kind = rng.choice((f'self.register_buffer("b{index}", {made})', f"self.b{index} = {made}"))
            if dtype in ("f32", "f16", "bf16", "f64") and rng.random() < 0.1:
                kind = f"self.b{index} = nn.Parameter({made}, requires_grad={rng.random() < 0.3})"
            if rng.random() < 0.3 and kind.startswith("self.r"):
                kind = kind[:-1] + ", persistent=False)"
            state.append((f"b{index}", kind, made))
        if state and rng.random() < 0.2:  # the same tensor under another name, or a view of it
            made = rng.choice(("self.b0", "self.b0", "self.b0.unsqueeze(0)", "self.b0[:1]", "self.b0[..., :1]"))
            made = made if shape else "self.b0"
            state.append(("shared", f'self.register_buffer("shared", {made}, persistent={rng.random() < 0.5})', made))
        torch.manual_seed(0)
        for name, made in inputs:
            self.scope[name] = eval(made, self.scope)
        self.scope["self"] = nn.Module()
        for name, _, made in state:
            setattr(self.scope["self"], name, eval(made, self.scope))
        self.state = [f"self.{name}" for name, _, _ in state]
        known = [name for name, _ in inputs] + self.state
        body = self.block(known, rng.randint(3, 14), depth=2)
        returned = rng.sample(known, min(len(known), rng.randint(1, 4)))
        # torch drops a cond that nobody uses, with the numbers that its branches would have drawn.
        returned += [name for name in known if name.startswith("c") and name not in returned]
        lines = ["class Module(nn.Module):", "    def __init__(self):", "        super().__init__()"]
        lines += [f"        {kind}" for _, kind, _ in state]
        lines += ["", f"    def forward(self, {', '.join(name for name, _ in inputs)}):"]
        lines += [f"        {line}" for line in body]
        lines += [f"        return {', '.join(returned)},", "", "", "def inputs():"]
        lines += [f"    return ({', '.join(made for _, made in inputs)},)", ""]
        source = "\n".join(lines)
        if rng.random() < 0.2:
            source = re.sub(rf"\b{inputs[-1][0]}\b", rng.choice(_RENAMED), source)
        return Program(source, self.dynamic and len(shape) > 0)

    # -- statements

    def block(self, known: list[str], count: int, depth: int) -> list[str]:
        lines: list[str] = []
        attempts = 0
        while count > 0 and attempts < 60:
            attempts += 1
            made = self.region(known, depth) if depth and self.rng.random() < 0.08 else self.statement(known)
            if made:
                lines += made
                count -= 1
        return lines

    def statement(self, known: list[str]) -> list[str]:
        kind = self.rng.choices((self.view, self.write, self.read, self.pieces), (4, 5, 2, 1))[0]
        text, result = kind(known)
        results = result.split(", ") if result is not None else []
        if not all(self.accepted(text, one) for one in results or [None]):
            return []
        known += (one for one in results if isinstance(self.scope.get(one), torch.Tensor))
        return [text]

    def accepted(self, text: str, result: str | None) -> bool:
        if not text:
            return False
        try:
            exec(text, self.scope)
        except Exception:  # noqa: BLE001 - not for these operands
            return False
        value = self.scope.get(result) if result is not None else None
        if isinstance(value, torch.Tensor):
            return 0 < value.numel() <= 256 and value.dim() <= 5
        return True

    def region(self, known: list[str], depth: int) -> list[str]:
        rng = self.rng
        kind = rng.choice(("no_grad", "enable_grad", "autocast", "plain", "cond", "check", "scan", "loop"))
        if kind == "check":
            name = rng.choice(known)
            return [f'torch._assert(({name} == {name}).sum() >= 0, "{name} is odd")']
        calls = {"cond": self.cond, "scan": self.scan, "loop": self.loop}
        if kind in calls:
            return calls[kind](known)
        inner = list(known)
        before = dict(self.scope)
        body = self.block(inner, rng.randint(1, 3), depth - 1)
        if not body:
            self.scope = before
            return []
        known[:] = inner
        casts = {"autocast": "dtype=torch.bfloat16", "plain": "enabled=False"}
        head = f'torch.autocast("cpu", {casts[kind]})' if kind in casts else f"torch.{kind}()"
        return [f"with {head}:", *(f"    {line}" for line in body)]

    def cond(self, known: list[str]) -> list[str]:
        rng = self.rng
        operands = [name for name in known if "." not in name and rng.random() < 0.4][:3] or known[:1]
        if any("." in name for name in operands):
            return []
        number = self.fresh()
        branches: list[str] = []
        for name in ("yes", "no"):
            before = dict(self.scope)
            inner = [f"{one}_in" for one in operands]
            head = [f"{one}_in = {one} * 1" for one in operands]
            for line in head:
                exec(line, self.scope)
            inner += [one for one in self.state if rng.random() < 0.2]
            body = head + self.block(inner, rng.randint(1, 4), 0)
            result = f"{rng.choice(inner)}.to(torch.float32).sum()"
            branches += [f"def {name}{number}({', '.join(operands)}):", *(f"    {line}" for line in body)]
            branches += [f"    return {result} * 1"]
            self.scope = before
        predicate = f"{operands[0]}.to(torch.float32).sum() > 0"
        made = f"c{number}"
        call = f"{made} = torch.cond({predicate}, yes{number}, no{number}, ({', '.join(operands)},))"
        self.scope[made] = torch.zeros(())
        known.append(made)
        return [*branches, call]

    def scan(self, known: list[str]) -> list[str]:
        """Goes over the rows of a tensor, with a check, and writes to what it makes."""
        name, number = self.rng.choice(known), self.fresh()
        value = self.tensor(name)
        if not value.dim() or not len(value) or value.dtype not in _FLOATS:
            return []
        inner = [f"row{number}", f"sum{number}"]
        before = dict(self.scope)
        self.scope.update(dict.fromkeys(("carry", "row"), value[0].clone()))
        body = [f"row{number} = row * 1", f"sum{number} = carry + row"]
        for line in body:
            exec(line, self.scope)
        body += self.block(inner, self.rng.randint(0, 3), 0)
        self.scope = before
        check = f'torch.ops.aten._assert_async.msg((sum{number} == sum{number}).any() | True, "a step is odd")'
        made = f"c{number}"
        self.scope[made] = torch.zeros_like(value[0])
        known.append(made)
        return [
            f"def step{number}(carry, row):",
            *(f"    {line}" for line in [*body, check]),
            f"    return carry * 0.5 + row, sum{number} * 1",
            f"{made}, rows{number} = scan(step{number}, {name}[0] * 1, {name} * 1)",
        ]

    def loop(self, known: list[str]) -> list[str]:
        """Carries a tensor, writes to what its body makes of it, and may write to a buffer."""
        name, number = self.rng.choice(known), self.fresh()
        inner = [f"turn{number}", *(one for one in self.state if self.rng.random() < 0.3)]
        before = dict(self.scope)
        first = f"turn{number} = value * 1"
        self.scope["value"] = self.tensor(name).clone()
        exec(first, self.scope)
        body = [first, *self.block(inner, self.rng.randint(1, 3), 0)]
        self.scope = before
        made = f"c{number}"
        self.scope[made] = self.tensor(name).clone()
        known.append(made)
        return [
            f"def turn{number}(left, value):",
            *(f"    {line}" for line in body),
            "    return left - 1, value * 1",
            f"start{number} = (torch.tensor(2), {name} * 1)",
            f"left{number}, {made} = while_loop(lambda left, value: left > 0, turn{number}, start{number})",
        ]

    # -- expressions

    def fresh(self) -> int:
        self.number += 1
        return self.number

    def tensor(self, name: str) -> torch.Tensor:
        return eval(name, self.scope)

    def pick(self, known: list[str]) -> str:
        """Rather a late one."""
        return self.rng.choice(known[-4:] if self.rng.random() < 0.5 else known)

    def dim(self, value: torch.Tensor, extra: int = 0) -> int:
        rank = value.dim() + extra
        return self.rng.randrange(-rank, rank) if rank else 0

    def factors(self, value: torch.Tensor) -> tuple[int, ...]:
        left, shape = value.numel(), []
        while left > 1 and self.rng.random() < 0.8:
            size = self.rng.choice([number for number in range(1, left + 1) if left % number == 0])
            shape.append(size)
            left //= size
        shape.append(left)
        if self.rng.random() < 0.3:
            shape[self.rng.randrange(len(shape))] = -1
        return tuple(shape)

    def view(self, known: list[str]) -> tuple[str, str]:
        rng, name = self.rng, self.pick(known)
        value = self.tensor(name)
        d, e = self.dim(value), self.dim(value)
        size = value.shape[d] if value.dim() else 1
        start = rng.randrange(-size, size) if size else 0
        dims = rng.sample(range(value.dim()), value.dim())
        stop = rng.randint(0, size)
        other = self.pick(known)
        choice = rng.choice(
            (
                f"{name}.select({d}, {start})",
                f"{name}[{start}]",
                f"{name}[{rng.choice(('', 0, 1, -2))}:{rng.choice(('', 1, 2, -1, 9))}:{rng.choice(('', 1, 2))}]",
                f"{name}[..., {rng.choice(('', 0, 1))}:{rng.choice(('', 2, 3, -1))}:{rng.choice(('', 2))}]",
                f"{name}.narrow({d}, {min(abs(start), max(size - 1, 0))}, 1)",
                f"{name}.transpose({d}, {e})",
                f"{name}.swapaxes({d}, {e})",
                f"{name}.t()",
                f"{name}.mT",
                f"{name}.permute({tuple(dims)})",
                f"{name}.movedim({d}, {e})",
                f"{name}.view({self.factors(value)})",
                f"{name}.view(-1)",
                f"{name}.reshape({self.factors(value)})",
                f"{name}.flatten()",
                f"{name}.flatten({min(d % max(value.dim(), 1), e % max(value.dim(), 1))})",
                f"{name}.unflatten({d}, ({rng.choice((1, 2, 3))}, -1))",
                f"{name}.squeeze()",
                f"{name}.squeeze({d})",
                f"{name}.unsqueeze({self.dim(value, 1)})",
                f"{name}.diagonal({rng.choice(('', '1', '-1', '0, -1, -2'))})",
                f"torch.unbind({name}, {d})[{start}]",
                f"torch.chunk({name}, {rng.choice((1, 2, 3))}, {d})[{rng.choice((0, -1, 1))}]",
                f"torch.split({name}, {rng.choice((1, 2, 3))}, {d})[{rng.choice((0, -1, 1))}]",
                f"torch.split({name}, ({stop}, {size - stop}), {d})[{rng.choice((0, 1))}]",
                f"torch.tensor_split({name}, {rng.choice((2, (1, 2), 3))}, {d})[{rng.choice((0, 1))}]",
                f"{name}.expand({(2, *value.shape)})",
                f"{name}.expand_as({name})",
                f"{name}.detach()",
                f"torch.ops.aten.alias({name})",
                f"{name}.contiguous()",
                f"{name}.to({value.dtype})",
                f"torch.as_strided({name}, (2, 2), ({rng.choice((1, 2, 4))}, 1), {rng.choice((0, 1))})",
                f"{name}.unfold({d}, {rng.choice((1, 2))}, {rng.choice((1, 2))})",
                f"{name}.view({rng.choice(tuple(_DTYPES.values()))})",
                f"torch.view_as_complex({name})",
                f"torch.view_as_real({name})",
                f"torch.dropout({name}, 0.5, False)",
                f"{name}.ravel()",
                f"torch.atleast_2d({name})",
                f"torch.atleast_3d({name})",
                f"torch.atleast_1d({name}, {other})[{rng.choice((0, 1))}]",
                f"torch.linalg.diagonal({name})",
                f"{name}.adjoint()",
                f"{name}.conj().imag",
                f"{name}.resolve_neg()",
                f"{name}.hsplit(2)[{rng.choice((0, 1))}]",
                f"{name}.real",
                f"{name}.imag",
                f"{name}.conj()",
                f"{name}.mH",
                f"{name}.conj().resolve_conj()",
                f"{name}.expand({(2, *value.shape)})[{rng.choice((0, 1))}]",
                f"{name}.unfold({d}, 2, 3)",
                f"torch.cartesian_prod({name}.view(-1))",
                f"torch.meshgrid({name}.view(-1), {other}.view(-1), indexing='ij')[{rng.choice((0, 1))}]",
                f"torch.broadcast_tensors({name}, {other})[{rng.choice((0, 1))}]",
                f"{name}.narrow(0, x0.shape[0] - {rng.choice((1, 2))}, 1)",
                f"{name}.chunk(2)[{rng.choice((0, -1))}]",
                f"{name}.split((x0.shape[0] - 1, 1))[{rng.choice((0, 1))}]",
                f"{name}.split((x0.shape[0] + 1) // 2)[{rng.choice((0, -1))}]",
            )
        )
        result = f"v{self.fresh()}"
        return f"{result} = {choice}", result

    def pieces(self, known: list[str]) -> tuple[str, str]:
        """Two of the pieces of a tensor, which are written and read in turn."""
        rng, name = self.rng, self.pick(known)
        value = self.tensor(name)
        d = self.dim(value)
        size = value.shape[d] if value.dim() else 1
        cuts = [rng.randint(0, size) for _ in range(2)]
        choice = rng.choice(
            (
                f"{name}.chunk({rng.choice((2, 3))}, {d})",
                f"{name}.split({rng.choice((1, 2))}, {d})",
                f"{name}.split(({cuts[0]}, {size - cuts[0]}), {d})",
                f"{name}.tensor_split({tuple(cuts)}, {d})",
                f"{name}.unbind({d})",
                f"{name}.t().unbind()",
                f"{name}.unfold({d}, 2, 1).unbind({d})",
                f"{name}.expand({(2, *value.shape)}).unbind()",
                f"{name}.view(-1).chunk(2)",
                f"torch.broadcast_tensors({name}, {name})",
            )
        )
        first, second = (f"p{self.fresh()}" for _ in range(2))
        return f"{first}, {second}, *_ = {choice}", f"{first}, {second}"

    def operand(self, known: list[str], target: str) -> str:
        """A tensor, or an expression over one, that a target of that shape may take."""
        rng, value = self.rng, self.tensor(target)
        name = self.pick(known)
        fitting = [one for one in known if _fits(self.tensor(one).shape, value.shape)]
        if fitting and rng.random() < 0.8:
            name = rng.choice(fitting)
        return rng.choice((name, name, f"{name} * 2", f"{name}.clone()", f"{name} + {target}"))

    def alike(self, known: list[str], name: str) -> str:
        """Four lists of one tensor each, the first of them ``name``, for kernels that mind neither shapes nor strides;
        empty where it has none that they take.
        """
        value = self.tensor(name)
        if value.dtype not in _FLOATS or _repeats(value) or self.dynamic:
            return ""
        others = [
            one for one in known if self.tensor(one).shape == value.shape and self.tensor(one).dtype == value.dtype
        ]
        others = [one for one in others if not _repeats(self.tensor(one))]
        grad, first = self.rng.choice(others), self.rng.choice(others)
        grad, first = (self.rng.choice((one, f"{one} * 2")) for one in (grad, first))
        return f"[{name}], [{grad}], [{first}], [{name} * {name} + 1]"

    def number_text(self, value: torch.Tensor) -> str:
        floats = value.dtype in _FLOATS
        return self.rng.choice(("2", "-1", "0.5", "1.5") if floats else ("2", "1", "3", "True"))

    def write(self, known: list[str]) -> tuple[str, str | None]:
        rng, name = self.rng, self.pick(known)
        value = self.tensor(name)
        d, e = self.dim(value), self.dim(value)
        size = value.shape[d] if value.dim() else 1
        zeros = f"torch.zeros({tuple(value.shape)}, dtype=torch.int64)"
        index = f"torch.tensor({[rng.randrange(max(size, 1)) for _ in range(2)]})"
        first = value.shape[0] if value.dim() else 1
        rows = f"torch.tensor({rng.sample(range(first), min(2, first))})"
        other, third, number = self.operand(known, name), self.operand(known, name), self.number_text(value)
        alike = self.alike(known, name)
        result = f"w{self.fresh()}"
        at = rng.choice(("0", "-1", "...", ":1", "..., 0", "1:", "None", f"{rows}", "::2", "..., 1:"))
        unary = rng.choice(
            [
                "abs_",
                "neg_",
                "relu_",
                "sigmoid_",
                "tanh_",
                "sin_",
                "floor_",
                "square_",
                "sign_",
                "exp_",
                "trunc_",
                "logical_not_",
                "bitwise_not_",
                "erf_",
                "frac_",
            ]
        )
        binary = rng.choice(
            [
                "add_",
                "sub_",
                "mul_",
                "div_",
                "copy_",
                "pow_",
                "remainder_",
                "floor_divide_",
                "eq_",
                "gt_",
                "le_",
                "logical_and_",
                "bitwise_or_",
                "bitwise_and_",
                "fmod_",
                "atan2_",
                "true_divide_",
                "ne_",
                "lt_",
                "add_",
                "mul_",
                "copy_",
                "copysign_",
                "hypot_",
                "xlogy_",
                "logical_xor_",
            ]
        )
        choice = rng.choice(
            (
                f"{name}.{unary}()",
                f"{name}.{binary}({other})",
                f"{name}.{binary}({other})",
                f"{name}.{binary}({number})",
                f"{name}.copy_({other})",
                f"{name}.add_({other}, alpha={rng.choice((2, -1))})",
                f"{name}.sub_({number}, alpha=2)",
                f"{name}.div_({other}, rounding_mode='floor')",
                f"{name}.fill_({number})",
                f"{name}.zero_()",
                f"{name}[{at}] = {rng.choice((other, number))}",
                f"{name}[{at}] += {rng.choice((other, number))}",
                f"{name}[{name} > 0] = {number}",
                f"{name}[..., {index}] = {number}",
                f"{name}.masked_fill_({other} > 0, {number})",
                f"{name}.clamp_(min={number})",
                f"{name}.clamp_(max=3)",
                f"{name}.index_add_({d}, {index}, {name}.index_select({d}, {index}))",
                f"{name}.index_fill_({d}, {index}, {number})",
                f"{name}.index_copy_({d}, {rows}, {name}.index_select({d}, {rows}) * 2)",
                f"{name}.index_put_(({rows},), {other}[0], accumulate={rng.choice((True, False))})",
                f"{name}.scatter_({d}, {zeros}, {rng.choice((number, other))})",
                f"{name}.cumsum_({d})",
                f"{name}.cumprod_({d})",
                f"{name}.addcmul_({other}, {third}, value=0.5)",
                f"{name}.addcdiv_({other}, {third} + 9)",
                f"{name}.lerp_({other}, 0.25)",
                f"{name}.lerp_({other}, {third})",
                f"{name}.tril_({rng.choice(('', '1', '-1'))})",
                f"{name}.triu_()",
                f"{name}.addmm_({other}, {third})",
                f"{name}.baddbmm_({other}, {third})",
                f"{name}.addr_({other}, {third})",
                f"{name}.addmv_({other}, {third})",
                f"{name}.normal_()",
                f"{name}.uniform_()",
                f"{name}.bernoulli_(0.5)",
                f"{name}.random_(0, 5)",
                f"{name}.exponential_()",
                f"{name}.fill_diagonal_(3)",
                f"{name}.nan_to_num_()",
                f"{name}.clip_(0, 2)",
                f"{name}.t_()",
                f"{name}.transpose_({d}, {e})",
                f"{name}.unsqueeze_({self.dim(value, 1)})",
                f"{name}.squeeze_()",
                f"{name}.squeeze_({d})",
                f"{name}.swapdims_({d}, {e})",
                f"{name}.renorm_(2, 0, 1.0)",
                f"{name}.requires_grad_(False)",
                f"{name}.put_(torch.tensor([0, 1]), {name}.view(-1)[:2].clone())",
                f"{name}.masked_scatter_({name} > 0, {name}.reshape(-1).flip(0))",
                f"torch.nn.functional.relu({name}, inplace=True)",
                f"torch.nn.functional.leaky_relu({name}, 0.1, inplace=True)",
                f"torch.nn.functional.elu({name}, inplace=True)",
                f"torch.nn.functional.hardtanh({name}, inplace=True)",
                f"torch.nn.functional.silu({name}, inplace=True)",
                f"torch.nn.functional.dropout({name}, 0.5, inplace=True)",
                f"torch.add({other}, {third}, out={name})",
                f"torch.mul({other}, {number}, out={name})",
                f"torch.sin({other}, out={name})",
                f"torch.gt({other}, {number}, out={name})",
                f"torch.matmul({other}, {third}, out={name})",
                f"torch.mm({other}, {third}, out={name})",
                f"torch.cumsum({other}, {d}, out={name})",
                f"torch.sum({other}, 0, out={name})",
                f"torch.cat([{other}, {third}], out={name})",
                f"torch.clamp({other}, 0, 1, out={name})",
                f"torch.where({other} > 0, {third}, {other}, out={name})",
                f"torch._foreach_add_([{name}, {self.pick(known)}], [{other}, {third}])",
                f"torch._foreach_mul_([{name}, {self.pick(known)}], {number})",
                f"torch._foreach_mul_([{name}, {self.pick(known)}], [{number}, {number}])",
                f"torch._foreach_copy_([{name}, {self.pick(known)}], [{other}, {third}])",
                f"torch._foreach_zero_([{name}])",
                f"torch._foreach_add_({name}.chunk(2), {number})",
                f"torch._foreach_mul_({name}.unbind({d}), {number})",
                f"{name}.resize_({tuple(value.shape)})",
                f"{name}.resize_as_({name})",
                f"{name}.conj_physical_()",
                f"torch.vmap(lambda row: row.{unary}())({name})",
                f"torch.vmap(lambda row: row.add_({number}))({name})",
                f"torch.ops.mutated.scale_({name}, 2.0)",
                f"torch.ops.mutated.pair_({name}, {self.pick(known)})",
                f"torch.ops.mutated.all_([{name}, {self.pick(known)}])",
                f"torch.ops.mutated.total_({name})",
                f"torch.add({other}, {third}, out=torch.empty(0, dtype={value.dtype}))",
                f"torch.mm({other}, {third}, out=torch.empty(0))",
                f"torch.mul({other}, {number}, out=torch.empty({tuple(value.shape)}, dtype={rng.choice(_FLOATS)}))",
                f"torch._foreach_sqrt_([{name}])",
                f"{name}.mvlgamma_(2)",
                f"{name}.log_normal_()",
                f"{name}.cauchy_()",
                f"{name}.geometric_(0.5)",
                f"torch.rrelu_({name}, 0.1, 0.3, {rng.choice((True, False))})",
                f"torch.linalg.vector_norm({other}, out={name})",
                f"torch.linalg.vector_norm({other}, dim={d}, out=torch.empty(0))",
                f"torch.geqrf({other}, out=(torch.empty(0), torch.empty(0)))",
                f"torch.max({other}, {d}, out=({name}, torch.empty(0, dtype=torch.int64)))",
                f"nn.functional.batch_norm({_rows_of(value)}, {name}.view(-1), {name}.view(-1) + 1, training=True)",
                f"nn.functional.batch_norm({_rows_of(value)}, {other}.view(-1), {name}.reshape(-1), training=True)",
                f"nn.functional.instance_norm({_rows_of(value)}[..., None].repeat(1, 1, 2), {name}.view(-1), {other})",
                f"torch.ops.aten.rrelu_with_noise({other}, {name}, 0.1, 0.3, {rng.choice((True, False))})",
                f"torch._fused_adam_({alike}, [], [torch.ones(())], amsgrad=False, {_ADAM})" * bool(alike),
                f"torch._fused_adamw_({alike}, [{name} + 1], [torch.ones(())], amsgrad=True, {_ADAM})" * bool(alike),
                f"torch._fused_sgd_({alike.rpartition(', ')[0]}, {_SGD})" * bool(alike),
                f"torch.fused_moving_avg_obs_fake_quant({other}, {_ON}, {name}.view(-1)[:1], {_OBSERVED})",
                f"torch.fused_moving_avg_obs_fake_quant({name} + 1, {_ON}, {name}.select(-1, 0), {_observed(first)})"
                * (value.dim() == 2),  # else the kernel would leave its memory
                f"torch._foreach_lerp_([{name}], [{other}], 0.5)",
                f"torch._foreach_addcmul_([{name}], [{other}], [{third}], 2)",
            )
        )
        returns = rng.random() < 0.4 and "=" not in choice.split("(", 1)[0] and "_foreach" not in choice
        return (f"{result} = {choice}", result) if returns else (choice, None)

    def read(self, known: list[str]) -> tuple[str, str]:
        rng, name = self.rng, self.pick(known)
        value = self.tensor(name)
        other = self.operand(known, name)
        choice = rng.choice(
            (
                f"{name} * 1",
                f"{name}.clone()",
                f"{name} + {other}",
                f"{name}.sum({rng.choice(('', '0', '-1'))})",
                f"torch.cat([{name}, {other}])",
                f"torch.stack([{name}, {name}], {self.dim(value, 1)})",
                f"{name}.to({rng.choice(tuple(_DTYPES.values()))})",
                f"{name} > 0",
                f"{name} @ {other}",
                f"{name}.flip(0)",
                f"torch.empty_like({name}).copy_({name})",
                f"torch.zeros({tuple(value.shape)})",
                f"torch.zeros({tuple(value.shape[::-1])}).permute({tuple(reversed(range(value.dim())))})",
                f"{name}.clone(memory_format=torch.contiguous_format)",
                f"{name}.new_zeros({tuple(value.shape)})",
                f"torch.where({name} > 0, {name}, {other})",
                f"torch.dropout({name}, 0.5, True)",
                f"torch.rrelu({name}, 0.1, 0.3, True)",
                f"torch.vmap(lambda one, other: one * other)({name}, {name})",
                f'associative_scan(lambda one, other: one + other, {name} * 1, 0, combine_mode="generic")',
                f"over_rows(lambda row: (row * 1).add_(1), {name} * 1)",
                f"once({name})",
                f"checkpoint(part, {name}, use_reentrant=False)",
            )
        )
        result = f"r{self.fresh()}"
        return f"{result} = {choice}", result


_ON = "torch.tensor([1]), torch.tensor([1])"
_OBSERVED = "torch.ones(1), torch.ones(1), torch.zeros(1, dtype=torch.int32), 0.01, 0, 255, -1"


def _observed(channels: int) -> str:
    """What an observer of so many channels is given beside the least of each."""
    return (
        f"torch.ones({channels}), torch.ones({channels}), torch.zeros({channels}, dtype=torch.int32), "
        "0.01, 0, 255, 0, True"
    )


_STEP = "lr=0.1, weight_decay=0.1, maximize=False"
_ADAM = f"{_STEP}, beta1=0.9, beta2=0.99, eps=0.1"
_SGD = f"{_STEP}, momentum=0.9, dampening=0.0, nesterov=False, is_first_step=False"


def _rows_of(value: torch.Tensor) -> str:
    """Three rows of as many columns as a tensor has elements, which normalizations take."""
    return f"torch.arange({3 * value.numel()}, dtype={value.dtype}).reshape(3, -1)"


def _repeats(value: torch.Tensor) -> bool:
    """Whether a tensor shows an element in several places: a kernel that minds no strides would leave its memory."""
    return any(size > 1 and stride == 0 for size, stride in zip(value.shape, value.stride(), strict=True))


def _fits(shape: torch.Size, target: torch.Size) -> bool:
    """Whether a tensor of that shape can be broadcast to the target."""
    if len(shape) > len(target) or math.prod(shape) > math.prod(target):
        return False
    return all(one in (1, other) for one, other in zip(reversed(shape), reversed(target), strict=False))
