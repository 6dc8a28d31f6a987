"""Adds tensors to a dict that torch.save wrote, without unpickling it.

Unpickling can run any code. So the pickle is only *followed*, opcode by opcode, to make sure that it ends with one dict
on the stack; the opcodes that add an item are then put in front of its end. What it holds otherwise does not matter.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from typing import Protocol

import msgspec

from graphlint.artifact.container import Container, quoted
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.pickle_machine import Dict, Storage, follow
from graphlint.artifact.source import BytesSource
from graphlint.artifact.writer import write_archive

STORAGE_CLASSES = {
    1: "ByteStorage",
    2: "CharStorage",
    3: "ShortStorage",
    4: "IntStorage",
    5: "LongStorage",
    6: "HalfStorage",
    7: "FloatStorage",
    8: "DoubleStorage",
    10: "ComplexFloatStorage",
    11: "ComplexDoubleStorage",
    12: "BoolStorage",
    13: "BFloat16Storage",
}
"""By serialized ``ScalarType``: the classes by which torch.save names the dtype of a storage."""


class Tensor(Protocol):
    """What is to be added: see :class:`graphlint.artifact.constants.NewConstant`."""

    @property
    def name(self) -> str: ...
    @property
    def dtype(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def strides(self) -> tuple[int, ...]: ...
    @property
    def data(self) -> bytes: ...


def extend_saved_dict(saved: bytes, tensors: Sequence[Tensor]) -> bytes:
    """A torch.save archive of a dict, with more items. Every member but ``data.pkl`` stays byte for byte.

    Raises ArtifactError when it is not such an archive or has a key already.
    """
    with Container(BytesSource(saved)) as container:
        root = next(iter(container.members), "").partition("/")[0]
        if container.members.get(f"{root}/byteorder") and container.read(f"{root}/byteorder", limit=16) != b"little":
            raise ArtifactError("its tensors are big-endian")
        pickle = container.read(f"{root}/data.pkl")
        traced = trace_dict(pickle)
        changes: dict[str, bytes] = {}
        items = b""
        number = 0
        for tensor in tensors:
            if tensor.name in traced.keys:
                raise ArtifactError(f"it already has a constant {quoted(tensor.name)}")
            while f"{root}/data/{number}" in container.members or f"{root}/data/{number}" in changes:
                number += 1
            changes[f"{root}/data/{number}"] = tensor.data
            items += _item(tensor, str(number))
        changes[f"{root}/data.pkl"] = traced.with_items(pickle, items)
        out = io.BytesIO()
        # torch.save puts the storages one after the other and then `version`; its loader can be told to rely on that.
        write_archive(container, changes, out, before=f"{root}/version")
        return out.getvalue()


class TracedDict(msgspec.Struct, frozen=True):
    """What following a pickle has shown."""

    keys: frozenset[str]
    """The dict's keys, as far as they are strings."""
    frame: int | None
    """Where the length of the last frame stands (protocol 4 and up); that frame reaches to the end."""

    def with_items(self, pickle: bytes, items: bytes) -> bytes:
        """The pickle with opcodes put in front of its last one, STOP."""
        if self.frame is not None:
            (length,) = struct.unpack_from("<Q", pickle, self.frame)
            pickle = pickle[: self.frame] + struct.pack("<Q", length + len(items)) + pickle[self.frame + 8 :]
        return pickle[:-1] + items + pickle[-1:]


def trace_dict(pickle: bytes) -> TracedDict:
    """Follows a pickle that builds one dict (or OrderedDict). Raises ArtifactError when it is anything else."""
    traced, frame = _trace(pickle)
    return TracedDict(frozenset(traced.items), frame)


def trace_storages(pickle: bytes) -> dict[str, str]:
    """Follows a pickled dict of tensors: the name of each and the key of the storage that it shows.

    Raises ArtifactError when it is anything else than one dict.
    """
    traced, _ = _trace(pickle)
    return {name: value.key for name, value in traced.items.items() if isinstance(value, Storage)}


def _trace(pickle: bytes) -> tuple[Dict, int | None]:
    """The dict that a pickle builds, and where the length of its last frame stands."""
    followed = follow(pickle)
    if followed.defect is not None:
        raise ArtifactError(f"its pickle is damaged: {followed.defect}")
    if followed.end != len(pickle):
        raise ArtifactError("its pickle is followed by something else")
    if not followed.alone or not isinstance(followed.value, Dict):
        raise ArtifactError("its pickle does not hold a dict")
    return followed.value, followed.frame


def _item(tensor: Tensor, storage: str) -> bytes:
    """The opcodes that put a tensor into the dict on top of the stack: what torch.save writes, but for the memo.

    ``dict[name] = torch._utils._rebuild_tensor_v2(loaded, 0, shape, strides, False, collections.OrderedDict())`` where
    ``loaded`` is ``persistent_load(("storage", torch.FloatStorage, storage, "cpu", number of elements))``.
    """
    count = 1
    for size in tensor.shape:
        count *= size
    identity = (
        _string("storage")
        + _global("torch", STORAGE_CLASSES[tensor.dtype])
        + _string(storage)
        + _string("cpu")
        + _integer(count)
    )
    return (
        _string(tensor.name)
        + _global("torch._utils", "_rebuild_tensor_v2")
        + b"("  # MARK
        + (b"(" + identity + b"t")  # MARK … TUPLE
        + b"Q"  # BINPERSID
        + _integer(0)
        + _tuple(tensor.shape)
        + _tuple(tensor.strides)
        + b"\x89"  # NEWFALSE
        + (_global("collections", "OrderedDict") + b")R")  # EMPTY_TUPLE, REDUCE
        + b"tR"  # TUPLE, REDUCE
        + b"s"  # SETITEM
    )


def _string(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _integer(value: int) -> bytes:
    if value < 1 << 8:
        return b"K" + struct.pack("<B", value)
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_integer(value) for value in values) + b"t" if values else b")"
