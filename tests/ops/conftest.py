from __future__ import annotations

from typing import Any

import pytest
import torch

from graphlint.ir.model import Argument, NamedArgument, Node, OptionalTensorRef, TensorRef
from graphlint.ops.table import op_table


def argument(value: Any) -> Argument:
    """A Python value as an artifact records it; what tensors hold is left out."""
    match value:
        case None:
            return Argument(as_none=True)
        case torch.Tensor():
            return Argument(as_tensor=TensorRef("value"))
        case bool():
            return Argument(as_bool=value)
        case int():
            return Argument(as_int=value)
        case float():
            return Argument(as_float=value)
        case [torch.Tensor(), *_]:
            return Argument(as_tensors=[TensorRef("value") for _ in value])
        case [None, *_]:
            return Argument(as_optional_tensors=[OptionalTensorRef(as_none=True) for _ in value])
        case _:
            return Argument(as_string=repr(value))


class Call:
    """An op with arguments: to be run, and as a graph records it."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        self.name, self.args, self.kwargs = name, args, kwargs
        namespace, packet, overload = name.split(".")
        self.op = getattr(getattr(getattr(torch.ops, namespace), packet), overload)
        self.info = op_table().lookup(f"torch.ops.{name}")

    def __repr__(self) -> str:
        shown = [type(a).__name__ if isinstance(a, (torch.Tensor, list)) else repr(a) for a in self.args]
        return f"{self.name}({', '.join([*shown, *(f'{k}={v!r}' for k, v in self.kwargs.items())])})"

    def run(self) -> Any:
        return self.op(*self.args, **self.kwargs)

    def bound(self) -> dict[str, Any]:
        names = [argument.name for argument in self.op._schema.arguments]
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    def node(self) -> Node:
        operands = [NamedArgument(name, argument(value)) for name, value in self.bound().items()]
        return Node(f"torch.ops.{self.name}", operands, [])


@pytest.fixture(scope="session")
def call() -> type[Call]:
    return Call
