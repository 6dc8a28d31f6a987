"""A call of each writing op of aten that simple operands suit, to be exported as a module of its own."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from tests.facts.versions import INSTALLED
from torch import nn

from graphlint.ops.info import OpInfo

Layout = str


def _square(layout: Layout, dtype: torch.dtype, fill: int = 0) -> torch.Tensor:
    """A tensor of shape (3, 3), or (2, 3, 3, 3) for ``channels last``."""
    shape = (2, 3, 3, 3) if layout == "channels last" else (3, 3)
    count = torch.Size(shape).numel()
    values = (torch.arange(count, dtype=torch.float64).view(shape) * 7 + fill * 3) % 5 / 4 + 0.25
    made = (values * 4).to(dtype) if not dtype.is_floating_point and dtype != torch.bool else values.to(dtype)
    if layout == "channels last":
        return made.to(memory_format=torch.channels_last)
    if layout == "transposed":
        return made.t().contiguous().t()
    return made


_INDEX = torch.tensor([2, 0, 1])
_VECTOR = torch.tensor([0.5, -1.0, 2.0])
_POSITIONS = torch.tensor([[2, 0, 1], [0, 1, 2], [1, 1, 0]])
_PARTICULAR: dict[str, Any] = {
    "addbmm_.default": lambda x: (torch.rand(2, 3, 4), torch.rand(2, 4, 3)),
    "addmv_.default": lambda x: (torch.rand(3, 3), torch.rand(3)),
    "addr_.default": lambda x: (_VECTOR, _VECTOR * 2),
    "baddbmm_.default": lambda x: (torch.rand(2, 4, 5), torch.rand(2, 5, 3)),
    "as_strided_.default": lambda x: ([3, 3], [1, 3]),
    "clamp_.default": lambda x: (0.5, 1),
    "clamp_.Tensor": lambda x: (x * 0.5, x * 0.75),
    "clip_.default": lambda x: (0.5, 1),
    "clip_.Tensor": lambda x: (x * 0.5, x * 0.75),
    "index_add_.default": lambda x: (0, _INDEX, x * 2),
    "index_copy_.default": lambda x: (0, _INDEX, x * 2),
    "index_fill_.int_Scalar": lambda x: (0, _INDEX[:2], 2),
    "index_fill_.int_Tensor": lambda x: (0, _INDEX[:2], torch.tensor(2.0)),
    "index_put_.default": lambda x: ([_INDEX[:2]], x[:2] * 2),
    "_index_put_impl_.default": lambda x: ([_INDEX[:2]], x[:2] * 2),
    "_unsafe_index_put_.default": lambda x: ([_INDEX[:2]], x[:2] * 2),
    "index_reduce_.default": lambda x: (0, _INDEX, x * 2, "amax"),
    "masked_fill_.Scalar": lambda x: (x > 1, 2),
    "masked_fill_.Tensor": lambda x: (x > 1, torch.tensor(2.0)),
    "masked_scatter_.default": lambda x: (x > 0.7, x * 2),
    "put_.default": lambda x: (_INDEX, _VECTOR),
    "scatter_.src": lambda x: (0, _POSITIONS, x * 2),
    "scatter_.value": lambda x: (0, _POSITIONS, 2),
    "scatter_.reduce": lambda x: (0, _POSITIONS, x * 2, {"reduce": "add"}),
    "scatter_.value_reduce": lambda x: (0, _POSITIONS, 2, {"reduce": "multiply"}),
    "scatter_add_.default": lambda x: (0, _POSITIONS, x * 2),
    "scatter_reduce_.two": lambda x: (0, _POSITIONS, x * 2, "amax"),
    "swapaxes_.default": lambda x: (0, 1),
    "swapdims_.default": lambda x: (0, 1),
    "transpose_.default": lambda x: (0, 1),
    "squeeze_.dims": lambda x: ([0, 1],),
    "resize_.default": lambda x: ([9],),
    "set_.source_Tensor": lambda x: (x * 2,),
    "renorm_.default": lambda x: (2, 0, 1.0),
    "random_.from": lambda x: (0, 5),
    "random_.to": lambda x: (5,),
    "copysign_.Scalar": lambda x: (-1.0,),
    "fill_.Tensor": lambda x: (torch.tensor(2.0),),
    "round_.decimals": lambda x: ({"decimals": 1},),
    "float_power_.Scalar": lambda x: (2,),
    "polygamma_.default": lambda x: (1,),
    "div_.Tensor_mode": lambda x: (x * 2, {"rounding_mode": "floor"}),
    "div_.Scalar_mode": lambda x: (2, {"rounding_mode": "trunc"}),
    "divide_.Tensor_mode": lambda x: (x * 2, {"rounding_mode": "floor"}),
    "divide_.Scalar_mode": lambda x: (2, {"rounding_mode": "trunc"}),
}
"""What the target is given, by op."""
_SIMPLE: dict[str, Any] = {
    "Tensor": lambda x, number: x * 0.5 if x.is_floating_point() else torch.ones_like(x),
    "Tensor?": lambda x, number: None,
    "Tensor[]": lambda x, number: [x * 0.5, x[0] * 2],
    "Scalar": lambda x, number: 2,
    "Scalar[]": lambda x, number: [2.0, 0.5] if x.is_floating_point() else [2, 1],
    "float": lambda x, number: 0.5,
    "int": lambda x, number: number,
    "bool": lambda x, number: True,
    "int[1]": lambda x, number: [0],
}


class Sample(NamedTuple):
    """A writing op with arguments beside its target."""

    op: OpInfo
    args: tuple[Any, ...]
    keywords: dict[str, Any]
    lists: bool
    """Whether it writes a list of tensors."""
    layout: Layout = "contiguous"

    def module(self) -> nn.Module:
        """A module that calls it on a tensor of its own, laid out as the input is."""
        return _Call(self)


class _Call(nn.Module):
    def __init__(self, sample: Sample) -> None:
        super().__init__()
        self.sample = sample
        namespace, packet, overload = sample.op.name.split(".")
        self.op = getattr(getattr(getattr(torch.ops, namespace), packet), overload)

    def forward(self, x: torch.Tensor, *args: Any) -> Any:
        y = x.clone()
        if self.sample.lists:
            z = x[0].clone()
            self.op([y, z], *args, **self.sample.keywords)
            return y, z
        if self.sample.layout == "with gaps":
            wide = y.new_zeros(8, 7)
            wide[1:7:2, 1:4] = y
            y = wide[1:7:2, 1:4]
        kept = y.view_as(y)
        returned = self.op(y, *args, **self.sample.keywords)
        return (y, returned, kept) if isinstance(returned, torch.Tensor) else (y, kept)


def in_place() -> Iterator[OpInfo]:
    """aten's in-place overloads."""
    for name in INSTALLED.names():
        info = INSTALLED.lookup(name)
        in_place = name.startswith("aten.") and name.rpartition(".")[0].endswith("_")
        if info is not None and in_place and not info.out_variant and "self" in info.writes:
            yield info


def sample(op: OpInfo, layout: Layout, dtype: torch.dtype) -> tuple[torch.Tensor, Sample] | None:
    """The op with its target and arguments; None where no simple ones are known."""
    assert op.schema is not None
    target = _square(layout, dtype)
    first, *rest = op.schema.arguments
    particular = _PARTICULAR.get(op.name.partition(".")[2])
    if particular is not None:
        if op.name == "aten.baddbmm_.default":
            target = torch.rand(2, 4, 3)
        args = list(particular(target))
        keywords = args.pop() if isinstance(args[-1], dict) else {}
        return target, Sample(op, tuple(args), keywords, False, layout)
    args = []
    for number, argument in enumerate(rest):
        if argument.keyword_only or argument.default is not None:
            break
        if argument.type not in _SIMPLE:
            return None
        args.append(_SIMPLE[argument.type](target, number))
    return target, Sample(op, tuple(args), {}, "[" in first.type, layout)
