"""How a model of the zoo is made and exported. torch and transformers are imported when a model is built."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


class Example(NamedTuple):
    """A module, ready for export, and calls to make of it. The first call's arguments are those it is exported with."""

    module: Any
    calls: list[Arguments]
    dynamic: dict[str, Any] | None = None
    """By name of the keyword argument: dimension to its ``torch.export.Dim``."""
    strict: bool = False
    gradients: bool = True
    """Whether gradients are on while it is exported."""


Model = Callable[[], Example]
SEED = 0
"""Of weights and inputs; ``compare.py`` sets another one."""


def export(example: Example) -> Any:
    """The exported program of an example."""
    import torch

    args, kwargs = example.calls[0]
    with warnings.catch_warnings(), torch.set_grad_enabled(example.gradients):
        # What export and the models warn of is between the two of them.
        warnings.simplefilter("ignore")
        return torch.export.export(example.module, args, kwargs, dynamic_shapes=example.dynamic, strict=example.strict)


def made(model: Any, config: Any, *, train: bool = False, **options: Any) -> Any:
    """A model with random weights, the same ones for a seed."""
    import torch

    torch.manual_seed(SEED)
    return quiet(model, config, **options).train(train)


def quiet(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call something that warns of what does not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def ids(*shape: int, seed: int = 0, high: int = 32) -> Any:
    """Token ids."""
    import torch

    return torch.randint(1, high, shape, generator=torch.Generator().manual_seed(SEED + seed))


def floats(*shape: int, seed: int = 0) -> Any:
    """Pixels, samples and the like."""
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(SEED + seed))


def called(**kwargs: Any) -> Arguments:
    """A call with keyword arguments only."""
    return (), kwargs


def dims(**bounds: tuple[int, int]) -> Any:
    """Dynamic dimensions, by name: least and greatest size."""
    import torch

    return [torch.export.Dim(name, min=low, max=high) for name, (low, high) in bounds.items()]
