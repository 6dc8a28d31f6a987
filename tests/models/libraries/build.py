"""How a model of a library is made, and in which variants it is exported."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from tests.models.zoo import build
from tests.models.zoo.build import Arguments, Example
from torch.utils import _pytree as pytree


class Made(NamedTuple):
    """A module with random weights, and how it is called."""

    module: torch.nn.Module
    call: Callable[[int, int], Arguments]
    """Arguments of a batch size, drawn by a seed."""


Maker = Callable[[], Made]


class Case(NamedTuple):
    """A model in a variant: words of :data:`VARIANTS`, which are carried out one after the other."""

    maker: Maker
    variant: str


def seeded(make: Callable[[], torch.nn.Module]) -> torch.nn.Module:
    """A module in eval mode, with the same weights each time."""
    torch.manual_seed(build.SEED)
    return build.quiet(make).eval()


def images(size: int = 64, channels: int = 3) -> Callable[[int, int], Arguments]:
    """Calls with images."""
    return lambda batch, seed: ((build.floats(batch, channels, size, size, seed=seed),), {})


def _tensors(change: Callable[[torch.Tensor], Any], value: Any) -> Any:
    return pytree.tree_map_only(torch.Tensor, change, value)


def _any_batch(leaf: Any) -> Any:
    return {0: torch.export.Dim.AUTO} if isinstance(leaf, torch.Tensor) else None


def _train(example: Example) -> Example:
    return example._replace(module=example.module.train())


def _bf16(example: Example) -> Example:
    calls = _tensors(lambda one: one.bfloat16() if one.is_floating_point() else one, example.calls)
    return example._replace(module=example.module.bfloat16(), calls=calls)


class Autocast(torch.nn.Module):
    """A module under autocast."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.module(*args, **kwargs)


VARIANTS: dict[str, Callable[[Example], Example]] = {
    "eval": lambda example: example,
    "train": _train,
    "strict": lambda example: example._replace(strict=True),
    "ungraded": lambda example: example._replace(gradients=False),
    "bf16": _bf16,
    "autocast": lambda example: example._replace(module=Autocast(example.module)),
}
"""What a word of a variant makes of an example."""
AFTERWARDS: dict[str, Callable[[Any], Any]] = {
    "decomposed": lambda program: build.quiet(program.run_decompositions),
    "inference": lambda program: build.quiet(program.run_decompositions, decomp_table={}),
}
"""What a word makes of the exported program."""
QUANTIZED = ("pt2e", "qat")
DYNAMIC = "dynamic"


def exported(case: Case) -> tuple[Any, list[Arguments]]:
    """The exported program, and calls to make of it."""
    module, call = case.maker()
    words = case.variant.split()
    example = Example(module, [call(2, 0), call(2, 1)])
    if DYNAMIC in words:
        example.calls.append(call(3, 2))
        args, kwargs = example.calls[0]
        named = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        auto = {name: pytree.tree_map(_any_batch, value) for name, value in named.items()}
        example = example._replace(dynamic=auto)
    for word in words:
        if word in QUANTIZED:
            from tests.models.libraries.quantized import quantized

            example = example._replace(module=quantized(example, trained=word == "qat"))
        elif word not in AFTERWARDS and word != DYNAMIC:
            example = VARIANTS[word](example)
    program = build.export(example)
    for word in words:
        program = AFTERWARDS[word](program) if word in AFTERWARDS else program
    return program, example.calls
