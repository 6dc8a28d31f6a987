"""Small modules that take one to three views, with arguments at random, and write them: ``campaign.py --views``.

Programs of :mod:`tests.mutation.generator` are of many parts, and seldom take a view with odd arguments. Here there is
little else: indices from the end and beyond, pieces that go back, windows that overlap, dimensions of size 0 and 1.
Negatives of complex numbers are left out: which sign a copy gives to their zeros depends on its sizes, in torch itself.
"""

import random

import torch
from tests.mutation.generator import Program, tensor_source

_SIZES = (1, 2, 2, 3, 3, 4, 4, 5, 0)


class _Views:
    """The views that may be taken of a tensor, as source."""

    def __init__(self, rng: random.Random, name: str, value: torch.Tensor) -> None:
        self.rng, self.name, self.value = rng, name, value
        self.rank = value.dim()
        self.dim, self.other = self._dim(), self._dim()
        self.size = value.shape[self.dim] if self.rank else 1

    def _dim(self) -> int:
        return self.rng.randrange(-self.rank, self.rank) if self.rank else self.rng.choice((0, -1))

    def _place(self) -> int:
        """A position, which may be beyond the first or the last."""
        return self.rng.randint(-self.size - 1, self.size + 1)

    def _order(self, count: int | None = None) -> tuple[int, ...]:
        dims = self.rng.sample(range(self.rank), self.rank if count is None else min(count, self.rank))
        return tuple(dim - self.rng.choice((0, self.rank)) for dim in dims)

    def _shape(self) -> tuple[int, ...]:
        """The sizes of a tensor with as many elements."""
        left, shape = self.value.numel(), []
        while left > 1 and self.rng.random() < 0.7:
            shape.append(self.rng.choice([size for size in range(1, left + 1) if left % size == 0]))
            left //= shape[-1]
        shape.insert(self.rng.randrange(len(shape) + 1), left)
        if self.rng.random() < 0.3:
            shape.insert(self.rng.randrange(len(shape) + 1), 1)
        if left and self.rng.random() < 0.3:
            shape[self.rng.randrange(len(shape))] = -1
        return tuple(shape)

    def _wide(self) -> tuple[int, ...]:
        lead = (self.rng.choice((1, 2)),) * self.rng.choice((0, 1))
        return lead + tuple(self.rng.choice((-1, 3) if size == 1 else (-1, size)) for size in self.value.shape)

    def one(self) -> str:
        """A view. It may be none that torch takes."""
        rng, name, dim, size = self.rng, self.name, self.dim, self.size
        first, second, some = self._place(), self._place(), rng.randint(1, 4)
        before = ":, " * (dim % max(self.rank, 1))
        return rng.choice(
            (
                f"{name}.select({dim}, {first})",
                f"{name}[{before}{rng.choice(('', first))}:{rng.choice(('', second))}:{some}]",
                f"{name}[..., {rng.choice(('0', '-1', ':1', '1:', '::2', 'None'))}]",
                f"{name}.narrow({dim}, {first}, {rng.randint(0, size)})",
                f"{name}.transpose({dim}, {self.other})",
                f"{name}.{rng.choice(('T', 'mT', 'adjoint()', 'real', 'imag', 'conj()', 'detach()'))}",
                f"{name}.permute({self._order()})",
                f"{name}.movedim({self._order(2)}, {self._order(2)})",
                f"{name}.{rng.choice(('view', 'reshape'))}({self._shape()})",
                f"{name}.{rng.choice(('ravel()', 'flatten()', f'flatten({dim}, {self.other})'))}",
                f"{name}.unflatten({dim}, ({rng.choice((1, 2, 3, -1))}, {rng.choice((1, 2, -1))}))",
                f"{name}.squeeze({rng.choice(('', dim, (dim, self.other)))})",
                f"{name}.unsqueeze({rng.randrange(-self.rank - 1, self.rank + 1)})",
                f"{name}.expand({self._wide()})",
                f"{name}.unfold({dim}, {rng.randint(0, size)}, {rng.randint(1, 3)})",
                f"{name}.diagonal({rng.randint(-2, 2)}, {dim}, {self.other})",
                f"{name}.{rng.choice(('chunk', 'unsafe_chunk', 'split', 'unsafe_split'))}({some}, {dim})",
                f"{name}.split(({abs(first)}, {size - abs(first)}), {dim})",
                f"{name}.tensor_split({rng.choice((some, (first, second), (second,), (1, first, second)))}, {dim})",
                f"{name}.{rng.choice(('hsplit', 'vsplit', 'dsplit'))}({rng.choice((some, (first, second)))})",
                f"{name}.unbind({dim})",
                f"{name}.as_strided((2, {rng.randint(1, 2)}), ({rng.randint(0, 3)}, 1), {rng.randint(0, 2)})",
                f"{name}.view(torch.{rng.choice(('int16', 'uint8', 'int32', 'float16', 'int64'))})",
                f"torch.atleast_{rng.choice((1, 2, 3))}d({name})",
                f"torch.view_as_real({name})",
                f"torch.meshgrid({name}.reshape(-1), {name}.reshape(-1), indexing='ij')",
                f"torch.broadcast_tensors({name}, {name}[None])",
            )
        )


def generate(seed: int) -> Program:
    """The module of that number."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    shape = tuple(rng.choices(_SIZES, (4, 4, 4, 4, 4, 4, 4, 2, 1), k=rng.choice((0, 1, 1, 2, 2, 2, 3, 3, 4))))
    dtype = rng.choice(("f32", "f32", "f32", "f32", "f16", "i64", "bool", "c64"))
    made, held = tensor_source(rng, dtype, shape), tensor_source(rng, dtype, shape, held=True)
    base = rng.choice(("x0 * 1", "x0.clone()", "x0", "self.b0"))
    scope = {"torch": torch, "x0": eval(made), "self": torch.nn.Module()}
    scope["self"].b0 = eval(held)
    lines: list[str] = []

    def accepted(line: str) -> bool:
        try:
            exec(line, scope)
        except Exception:  # noqa: BLE001 - not for this tensor
            return False
        lines.append(line)
        return True

    accepted(f"v = {base}")
    known = ["v"]
    for number in range(rng.randint(1, 3)):
        name = rng.choice(known)
        while scope[name].numel() > 300 or not accepted(f"v{number} = {_Views(rng, name, scope[name]).one()}"):
            name = rng.choice(known) if scope[name].numel() <= 300 else "v"
        taken = scope[f"v{number}"]
        if isinstance(taken, torch.Tensor):
            known.append(f"v{number}")
            continue
        for index in rng.sample(range(len(taken)), min(len(taken), 3)):
            accepted(f"v{number}_{index} = v{number}[{index}]")
            known.append(f"v{number}_{index}")
    returned: list[str] = []
    for _ in range(rng.randint(1, 4)):
        name = rng.choice(known)
        accepted(rng.choice((f"{name}.add_(3)", f"{name}.mul_(2)", f"{name}.copy_({name} * 3)", f"{name}.zero_()")))
        returned.append(f"r{len(returned)}")
        accepted(f"{returned[-1]} = {rng.choice(known)}.clone()")
    returned += [f"{name}.clone()" for name in known] + rng.sample(known, rng.choice((0, 1)))
    source = [
        "class Module(nn.Module):",
        "    def __init__(self):",
        "        super().__init__()",
        f'        self.register_buffer("b0", {held})',
        "",
        "    def forward(self, x0):",
        *(f"        {line}" for line in lines),
        f"        return {', '.join(returned)},",
        "",
        "",
        "def inputs():",
        f"    return ({made},)",
        "",
    ]
    return Program("\n".join(source), dynamic=rng.random() < 0.3 and shape[:1] not in ((), (1,), (0,)))
