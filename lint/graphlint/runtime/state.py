"""What the state of a program begins with that is handed it (``--lift-state``)."""

import io
import os
from typing import Any, NamedTuple

import msgspec
import torch
from torch.utils import _pytree as pytree

from graphlint.artifact.artifact import Artifact, opened
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import UNLIMITED
from graphlint.artifact.state import Value
from graphlint.ir.dtypes import DTYPES
from graphlint.ir.model import Device, SymSize
from graphlint.run.state import Description, Pair, described
from graphlint.runtime.behaviour import Runner


class _Stored(msgspec.Struct):
    """What a list of weights or constants says of a tensor."""

    dtype: int
    sizes: tuple[SymSize, ...]
    strides: tuple[SymSize, ...]
    storage_offset: SymSize
    device: Device


class _Entry(msgspec.Struct):
    use_pickle: bool
    tensor_meta: _Stored | None


def initial_state(path: str | os.PathLike[str], program: str = "model") -> dict[str, torch.Tensor]:
    """The tensors that a program is to be handed as its state in the first call, by keyword.

    ``path`` is an artifact that ``--lift-state`` has fixed: ``result, state = module(..., **initial_state(path))``, and
    so on with ``state``. Raises ArtifactError where the artifact does not say what its program's state is, or where
    that is damaged.
    """
    with opened(os.fspath(path), UNLIMITED) as artifact:
        description = described(artifact)
        pairs = () if description is None else description.of(program)
        if not pairs:
            raise ArtifactError(f"{artifact.path}: it does not say that program {program!r} is handed its state")
        return {one.name: _tensor(artifact, one.value) for one in pairs if one.value is not None}


def handed_states(path: str) -> dict[str, "Handed"]:
    """How those programs in an artifact are handed their state that are, by name. Raises ArtifactError."""
    with opened(path, UNLIMITED) as artifact:
        description = described(artifact) or Description()
        pairs = {entry.name: description.of(entry.name) for entry in artifact.programs}
    return {name: Handed(found, initial_state(path, name)) for name, found in pairs.items() if found}


class Handed(NamedTuple):
    """How a program is handed its state."""

    pairs: tuple[Pair, ...]
    initial: dict[str, torch.Tensor]


class Fed(Runner):
    """A program that is handed its state, fed with what it hands out, and seen as one that keeps it."""

    def __init__(self, program: Any, handed: Handed) -> None:
        self._pairs = handed.pairs
        self._state = {name: value.clone() for name, value in handed.initial.items()}
        super().__init__(program)

    def call(self, args: Any, kwargs: Any) -> Any:
        """The result alone; the inputs that the program writes are written."""
        result, state = super().call(args, {**kwargs, **self._state})
        given = pytree.tree_leaves((args, {name: value for name, value in kwargs.items() if name not in self._state}))
        for pair in self._pairs:
            if pair.kind == "user_input":
                given[pair.input_place].detach().copy_(state[pair.name])
        self._state = {name: state[name].detach() for name in self._state}
        return result

    def tensors(self) -> dict[str, Any]:
        """What is kept, and what is handed in, which stands for it."""
        held = {pair.target: self._state[pair.name] for pair in self._pairs if pair.name in self._state}
        return {**super().tensors(), **held}


def _tensor(artifact: Artifact, value: Value) -> torch.Tensor:
    try:
        entry = msgspec.convert(value.entry, _Entry)
        content = bytearray(artifact.container.read(value.member, artifact.container.source_of(value.member).size))
        if entry.use_pickle:
            loaded: torch.Tensor = torch.load(io.BytesIO(content), weights_only=True)
            return loaded.detach()
        return _shown(content, entry.tensor_meta)
    except (msgspec.ValidationError, LookupError, RuntimeError, ValueError) as error:
        raise ArtifactError(f"{artifact.path}: {value.member} holds no such tensor: {error}") from error


def _shown(content: bytearray, meta: _Stored | None) -> torch.Tensor:
    """The tensor that is stored so."""
    if meta is None:
        raise LookupError("nothing is said of it")
    numbers: Any = ([*map(_number, meta.sizes)], [*map(_number, meta.strides)], _number(meta.storage_offset))
    sizes, strides, offset = numbers
    dtype: torch.dtype = getattr(torch, DTYPES[meta.dtype])
    # What shows more than is stored raises: as_strided, other than set_, makes no storage larger.
    stored = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
    return stored.as_strided(sizes, strides, offset).to(str(meta.device))


def _number(size: SymSize) -> int:
    if size.as_int is None:
        raise LookupError("its size is not known")
    return size.as_int
