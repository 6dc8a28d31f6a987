"""What is judged: the artifacts of the tests, named modules and random ones, each as the installed torch has it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tests import judge
from tests.facts import loading
from tests.mutation import generator, models_refused, trial
from tests.mutation.registry import MODELS

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
NAMED = ("models_state", "models_views", "models_writes", "models_regions")
"""The modules of ``tests/mutation`` that register modules by name."""


class Program(NamedTuple):
    """A program as this torch exported or loaded it, and what to call it with."""

    data: bytes
    args: tuple[Any, ...]
    more: list[tuple[Any, ...]]
    """Arguments of other sizes."""
    module: torch.nn.Module | None = None
    """What was exported."""


Source = tuple[str, Callable[[], Program]]
"""A name, and what makes the program of it, or raises whatever this torch raises."""


def artifacts() -> Iterator[Source]:
    """Those of all versions; this torch loads some."""
    loading.register()
    torch.library.impl("sample::scale_", "CompositeExplicitAutograd", lambda x, factor: x.mul_(factor) and None)
    for path in sorted(ARTIFACTS.glob("*/*.pt2")):
        yield f"{path.parent.name}/{path.stem}", lambda path=path: _read(path)


def _read(path: Path) -> Program:
    args, kwargs = judge.load(path).example_inputs
    if kwargs:
        raise ValueError("called with keyword arguments")
    return Program(path.read_bytes(), args, [])


def named() -> Iterator[Source]:
    """Modules that can be fixed whole, and those of which something stays."""
    for module in NAMED:
        importlib.import_module(f"tests.mutation.{module}")
    for name, build in MODELS.items():
        yield name, lambda build=build: _exported(build)
    for name, refused in models_refused.REFUSED.items():
        yield name, lambda refused=refused: _exported(refused.build)


def _exported(build: Callable[[], trial.Case]) -> Program:
    torch.manual_seed(0)
    case = build()
    larger = [] if case.dynamic is None else [tuple(torch.cat([value, value[:1]]) for value in case.args)]
    return Program(trial.export(case), case.args, larger, build().module)


def random(seed: int, count: int) -> Iterator[Source]:
    """The random modules of these numbers."""
    for number in range(seed, seed + count):
        yield str(number), lambda number=number: _generated(number)


def _generated(number: int) -> Program:
    program = generator.generate(number)
    module, args = program.build()
    auto = {0: torch.export.Dim.AUTO}
    dynamic = tuple(None if index else auto for index in range(len(args))) if program.dynamic else None
    data = trial.export(trial.Case(module, args, dynamic))
    return Program(data, program.build()[1], program.more_inputs(), program.build()[0])


def sources(family: str, seed: int, count: int) -> Iterator[Source]:
    """The programs of a family; a seed and a count are for random ones."""
    return random(seed, count) if family == "random" else {"artifacts": artifacts, "named": named}[family]()
