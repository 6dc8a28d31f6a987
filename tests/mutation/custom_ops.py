"""Custom ops that write, for the random modules: one tensor, two, a list, and one with a result besides."""

from typing import List  # noqa: UP035 - what `custom_op` of torch 2.6 understands

import torch

from graphlint.ops.declared import DeclaredOp

DECLARED = {f"mutated.{name}": DeclaredOp(writes=("x",)) for name in ("scale_", "total_")}
DECLARED |= {"mutated.pair_": DeclaredOp(writes=("x", "y")), "mutated.all_": DeclaredOp(writes=("xs",))}
"""What the configuration says of them."""


@torch.library.custom_op("mutated::scale_", mutates_args={"x"})
def scale_(x: torch.Tensor, factor: float) -> None:
    x.mul_(factor)


@torch.library.custom_op("mutated::pair_", mutates_args={"x", "y"})
def pair_(x: torch.Tensor, y: torch.Tensor) -> None:
    x.add_(1)
    y.sub_(2)


@torch.library.custom_op("mutated::all_", mutates_args={"xs"})
def all_(xs: List[torch.Tensor]) -> None:  # noqa: UP006
    for number, x in enumerate(xs):
        x.add_(number)


@torch.library.custom_op("mutated::total_", mutates_args={"x"})
def total_(x: torch.Tensor) -> torch.Tensor:
    x.add_(1)
    return x.sum()


@total_.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return x.sum()
