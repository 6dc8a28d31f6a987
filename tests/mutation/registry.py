"""Where the named models register themselves."""

from collections.abc import Callable
from typing import Any

from torch import nn

from .trial import Case

MODELS: dict[str, Callable[[], Case]] = {}
"""By name, which says what the case is about."""


def model(*args: Any, dynamic: Any = None, train: bool = True) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Register a module with its sample inputs. The decorated class's docstring is no part of it."""

    def register(cls: type[nn.Module]) -> type[nn.Module]:
        MODELS[cls.__name__] = lambda: Case(cls().train(train), args, dynamic)
        return cls

    return register
