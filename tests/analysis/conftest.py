from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from graphlint.ir.dtypes import DTYPES, SHORT_DTYPES
from graphlint.ir.model import Program
from graphlint.ops.table import op_table
from graphlint.rules.diagnostics import WrittenStorage
from graphlint.semantics.analysis import Analysis
from graphlint.semantics.memory import Ref
from graphlint.semantics.sites import Scope

SHORT = {getattr(torch, name): SHORT_DTYPES[name] for name in DTYPES.values() if hasattr(torch, name)}


class Value:
    """A real tensor and its name in the recorded graph. Two names may show one tensor."""

    def __init__(self, name: str, tensor: torch.Tensor) -> None:
        self.name, self.tensor = name, tensor

    @property
    def storage(self) -> int:
        return self.tensor.untyped_storage().data_ptr()

    @property
    def typed(self) -> str:
        strides = "{" + ", ".join(map(str, self.tensor.stride())) + "}"
        return f"%{self.name}: {SHORT[self.tensor.dtype]}{list(self.tensor.shape)}{strides}"


class Recorder:
    """Runs ops on real tensors and writes down the graph, as export would."""

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.inputs: list[str] = []
        self.lines: list[str] = []

    def _value(self, tensor: torch.Tensor) -> Value:
        value = Value(f"v{len(self.values)}", tensor)
        self.values[value.name] = value
        return value

    def input(self, tensor: torch.Tensor) -> Value:
        value = self._value(tensor)
        self.inputs.append(f'{value.typed} = buffer "{value.name}"')
        return value

    def call(self, op: str, *args: Any, **kwargs: Any) -> list[Value]:
        """Run ``aten.add_.Tensor`` and the like; its tensor results."""
        namespace, packet, overload = op.split(".")
        function = getattr(getattr(getattr(torch.ops, namespace), packet), overload)
        with torch.no_grad():
            result = function(*map(_real, args), **{key: _real(value) for key, value in kwargs.items()})
        several = not isinstance(result, torch.Tensor)
        results = [self._value(tensor) for tensor in (result if several else [result])]
        left = ", ".join(value.typed for value in results)
        shown = [*map(_text, args), *(f"{key}={_text(value)}" for key, value in kwargs.items())]
        as_list = several and len(function._schema.returns) == 1
        self.lines.append(f"  {f'[{left}]' if as_list else left} = {op}({', '.join(shown)})")
        return results

    @property
    def text(self) -> str:
        last = f"  return %{next(reversed(self.values))}"
        return "\n".join([f"graph({', '.join(self.inputs)}):", *self.lines, last, ""])


def _real(value: Any) -> Any:
    if isinstance(value, Value):
        return value.tensor
    return [_real(item) for item in value] if isinstance(value, list) else value


def _text(value: Any) -> str:
    if isinstance(value, Value):
        return f"%{value.name}"
    if isinstance(value, list):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, str):
        return f'"{value}"'
    return str(value)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="session")
def new_recorder() -> type[Recorder]:
    """For tests that need one per example."""
    return Recorder


def _describe(ref: Ref) -> str:
    storage = ref.storage
    name = storage.name if storage.name is not None else f"%{storage.value}"
    views = "".join(f" > {view.split('.')[1]}" for view in ref.views)
    return f"{storage.kind} {name}{views}{'' if ref.certain else '?'}"


def _scopes(scope: Scope) -> Iterator[Scope]:
    yield scope
    for node in scope.graph.nodes:
        for sub in node.subgraphs():
            yield from _scopes(Scope(sub.graph, (*scope.path, sub.name)))


@pytest.fixture(scope="session")
def shown(read_text: Callable[[str], Program]) -> Callable[..., dict[str, Any]]:
    """What each value of a graph in text form shows: ``buffer b > select``, with ``?`` where that is not certain.

    Values of subgraphs are named ``@graph %value``; a single storage stands alone, several are a set.
    """

    def show(text: str) -> dict[str, Any]:
        program = read_text(text)
        memory = Analysis(program, op_table()).memory
        found: dict[str, Any] = {}
        for scope in _scopes(Scope(program.graph)):
            prefix = "".join(f"@{name} " for name in scope.path)
            for name in [*scope.graph.tensor_values, *scope.graph.constants]:
                described = {_describe(ref) for ref in memory.refs(scope.graph, name)}
                found[f"{prefix}%{name}"] = described.pop() if len(described) == 1 else described
        return found

    return show


@pytest.fixture(scope="session")
def writes(read_text: Callable[[str], Program]) -> Callable[[str], list[tuple[str, str]]]:
    """The writes of a graph in text form: op and storage, ``?`` where that is not certain."""

    def show(text: str) -> list[tuple[str, str]]:
        return [
            (write.site.name, WrittenStorage.of(write).describe() + ("" if write.certain else "?"))
            for write in Analysis(read_text(text), op_table()).writes
        ]

    return show
