"""A program's constants (tensors): added where stock torch looks for them, taken away again, and edited in what is said
of them.

Non-persistent buffers live among the constants too. torch 2.9 and later keep each one's bytes in a member of its own,
listed in a JSON file; torch 2.3 to 2.8 keep all of a program's in one torch.save file of a dict. Unpickling that can
run any code, so its pickle is only *followed*, opcode by opcode: what adds an item is put in front of its end, and an
item that goes is cut out. What the pickle holds otherwise does not matter.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.container import Container, quoted
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.pickles import Followed, Storage, follow_dict
from graphlint.artifact.rewrite import Changes, write_archive
from graphlint.artifact.source import BytesSource

_STORAGES = {
    1: (1, "Byte"),
    2: (1, "Char"),
    3: (2, "Short"),
    4: (4, "Int"),
    5: (8, "Long"),
    6: (2, "Half"),
    7: (4, "Float"),
    8: (8, "Double"),
    10: (8, "ComplexFloat"),
    11: (16, "ComplexDouble"),
    12: (1, "Bool"),
    13: (2, "BFloat16"),
}
"""Of the dtypes that constants can have (``ScalarType`` in ``torch/_export/serde/schema.py``): bytes per element, and
how the class begins by which torch.save names it (``FloatStorage``)."""

STRIDED = 7
"""``Layout.Strided`` there."""


class NewConstant(msgspec.Struct, frozen=True):
    """A contiguous CPU tensor to be added to a program."""

    name: str
    """The name by which the program's signature refers to it (``buffer_name``, ``tensor_constant_name``)."""
    dtype: int
    """torch's serialized ``ScalarType`` (7: float32)."""
    shape: tuple[int, ...]
    data: bytes
    """The elements, little-endian."""

    def __post_init__(self) -> None:
        """Raises ValueError when the data is not what dtype and shape call for."""
        if self.dtype not in _STORAGES or len(self.data) != math.prod(self.shape) * _STORAGES[self.dtype][0]:
            raise ValueError(f"{len(self.data)} bytes are no tensor of dtype {self.dtype} and shape {self.shape}")

    @property
    def strides(self) -> tuple[int, ...]:
        """Elements between neighbours in each dimension; 1 stands for sizes of 0, as in torch."""
        sizes = [max(size, 1) for size in self.shape]
        return tuple(math.prod(sizes[dimension + 1 :]) for dimension in range(len(sizes)))


def add_constants(
    artifact: Artifact,
    entry: ProgramEntry,
    constants: Sequence[NewConstant],
    planned: Changes | None = None,
) -> dict[str, bytes]:
    """The changes to the archive (member name → new content) by which the program has the constants too.

    ``planned`` are changes that are already decided on: they count as part of the archive, and the result goes on top
    of them (it does not repeat them). Raises ArtifactError when the layout has no place for constants (torch 2.1, 2.2),
    when what is there is not as torch writes it, or when a name is taken.
    """
    planned = planned or {}
    if not constants:
        return {}
    if entry.constants_pickle is not None:
        member = entry.constants_pickle
        try:
            return {member: extend_saved_dict(_content(artifact, member, planned), constants)}
        except ArtifactError as error:
            raise ArtifactError(f"constants cannot be added to {quoted(member)}: {error}", member=member) from error
    if entry.constants_config is not None:
        return _add_raw(artifact, entry.constants_config, constants, planned)
    if entry.layout == "legacy":
        raise ArtifactError(
            "constants cannot be added to an artifact of torch 2.1 or 2.2: export the model with a newer torch"
        )
    raise ArtifactError(f"the archive has no member for the constants of program {quoted(entry.name)}")


def remove_constants(
    artifact: Artifact, entry: ProgramEntry, names: Collection[str], planned: Changes | None = None
) -> dict[str, bytes | None]:
    """The changes to the archive by which the program lacks the constants of these names: the inverse of
    :func:`add_constants`. What is not there need not be removed.

    A payload goes with the last constant that shows it. Raises ArtifactError when it cannot be told apart from the
    rest.
    """
    planned = planned or {}
    if not names:
        return {}
    if entry.constants_pickle is not None:
        member = entry.constants_pickle
        try:
            return {member: without_items(_content(artifact, member, planned), names)}
        except ArtifactError as error:
            raise ArtifactError(f"constants cannot be removed from {quoted(member)}: {error}", member=member) from error
    if entry.constants_config is None:
        return {}
    member = entry.constants_config
    document, config = _parse_config(_content(artifact, member, planned), member)
    gone = [config.pop(name) for name in names if name in config]
    if not gone:
        return {}
    left = {member: document}
    for other in {one.constants_config for one in artifact.programs if one.constants_config is not None} - {member}:
        left[other] = _parse_config(_content(artifact, other, planned), other)[0]
    used = {
        f"{other.rpartition('/')[0]}/{one.get('path_name')}"
        for other, its in left.items()
        for one in its["config"].values()
        if isinstance(one, dict)
    }
    paths = {f"{member.rpartition('/')[0]}/{one.get('path_name')}" for one in gone if isinstance(one, dict)}
    changes: dict[str, bytes | None] = {path: None for path in paths - used if path in artifact.container.members}
    changes[member] = json.dumps(document).encode()
    return changes


def without_gradients(
    artifact: Artifact, entry: ProgramEntry, names: Collection[str], planned: Changes | None = None
) -> dict[str, bytes]:
    """The changes by which constants of these names, and whatever has the same payload, no longer require gradients.

    Export records that they do of constants that the model writes with gradients on. It does no harm as long as they
    are no buffers, for torch detaches other constants; but it cannot write back a buffer that requires gradients.
    """
    if entry.constants_config is None or not names:
        return {}
    member = entry.constants_config
    document, config = _parse_config(_content(artifact, member, planned or {}), member)
    entries = [one for one in config.values() if isinstance(one, dict)]
    payloads = {one.get("path_name") for name, one in config.items() if name in names and isinstance(one, dict)}
    metas = [one.get("tensor_meta") for one in entries if one.get("path_name") in payloads]
    demanding = [meta for meta in metas if isinstance(meta, dict) and meta.get("requires_grad")]
    for meta in demanding:
        meta["requires_grad"] = False
    return {member: json.dumps(document).encode()} if demanding else {}


def _add_raw(artifact: Artifact, member: str, constants: Sequence[NewConstant], planned: Changes) -> dict[str, bytes]:
    """Layout of torch 2.9 and later (``_package_constants`` in ``torch/export/pt2_archive/_package.py``)."""
    document, config = _parse_config(_content(artifact, member, planned), member)
    folder = member.rpartition("/")[0]
    taken = {name.lower() for name in (*artifact.container.members, *planned)}  # torch's reader ignores case
    changes: dict[str, bytes] = {}
    number = 0
    for constant in constants:
        if constant.name in config:
            raise ArtifactError(f"{quoted(member)} already has a constant {quoted(constant.name)}", member=member)
        while f"{folder}/tensor_{number}".lower() in taken:
            number += 1
        path_name = f"tensor_{number}"
        taken.add(f"{folder}/{path_name}".lower())
        changes[f"{folder}/{path_name}"] = constant.data
        config[constant.name] = {
            "path_name": path_name,
            "is_param": False,
            "use_pickle": False,
            "tensor_meta": {
                "dtype": constant.dtype,
                "sizes": [{"as_int": size} for size in constant.shape],
                "requires_grad": False,
                "device": {"type": "cpu", "index": None},
                "strides": [{"as_int": stride} for stride in constant.strides],
                "storage_offset": {"as_int": 0},
                "layout": STRIDED,
            },
        }
    changes[member] = json.dumps(document).encode()
    return changes


def _content(artifact: Artifact, member: str, planned: Changes) -> bytes:
    content = planned.get(member)
    return artifact.container.read(member) if content is None else content


def _parse_config(content: bytes, member: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The document, and the mapping in it from constants' names to what is said of them."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"member {quoted(member)} is not valid JSON: {error}", member=member) from error
    config = document.get("config") if isinstance(document, dict) else None
    if not isinstance(config, dict):
        raise ArtifactError(f'member {quoted(member)} has no object "config" at its top level', member=member)
    return document, config


def extend_saved_dict(saved: bytes, tensors: Sequence[NewConstant]) -> bytes:
    """A torch.save archive of a dict, with more items. Every member but ``data.pkl`` stays byte for byte.

    Raises ArtifactError when it is not such an archive or has a key already.
    """
    with Container(BytesSource(saved)) as container:
        root = next(iter(container.members), "").partition("/")[0]
        if container.members.get(f"{root}/byteorder") and container.read(f"{root}/byteorder", limit=16) != b"little":
            raise ArtifactError("its tensors are big-endian")
        pickle = container.read(f"{root}/data.pkl")
        followed, held = follow_dict(pickle)
        changes: dict[str, bytes] = {}
        items = b""
        number = 0
        for tensor in tensors:
            if tensor.name in held.items:
                raise ArtifactError(f"it already has a constant {quoted(tensor.name)}")
            while f"{root}/data/{number}" in container.members or f"{root}/data/{number}" in changes:
                number += 1
            changes[f"{root}/data/{number}"] = tensor.data
            items += _item(tensor, str(number))
        changes[f"{root}/data.pkl"] = with_items(pickle, items, followed.frame)
        out = io.BytesIO()
        # torch.save puts the storages one after the other and then `version`; its loader can be told to rely on that.
        write_archive(container, changes, out, before=f"{root}/version")
        return out.getvalue()


def with_items(pickle: bytes, items: bytes, frame: int | None) -> bytes:
    """The pickle of a dict with opcodes put in front of its last one, STOP; ``frame`` as :class:`Followed` tells it."""
    return _reframed(pickle[:-1] + items + pickle[-1:], frame)


def _reframed(pickle: bytes, frame: int | None) -> bytes:
    """A pickle of another length than it had. The last frame, whose length stands at ``frame``, reaches to its end."""
    if frame is None:
        return pickle
    return pickle[:frame] + struct.pack("<Q", len(pickle) - frame - 8) + pickle[frame + 8 :]


def _item(tensor: NewConstant, storage: str) -> bytes:
    """The opcodes that put a tensor into the dict on top of the stack: what torch.save writes, but for the memo.

    ``dict[name] = torch._utils._rebuild_tensor_v2(loaded, 0, shape, strides, False, collections.OrderedDict())`` where
    ``loaded`` is ``persistent_load(("storage", torch.FloatStorage, storage, "cpu", number of elements))``.
    """
    dtype = f"ctorch\n{_STORAGES[tensor.dtype][1]}Storage\n".encode()
    count = _integer(math.prod(tensor.shape))
    identity = _string("storage") + dtype + _string(storage) + _string("cpu") + count
    arguments = (
        (b"(" + identity + b"tQ")  # a tuple, BINPERSID
        + _integer(0)
        + _tuple(tensor.shape)
        + _tuple(tensor.strides)
        + b"\x89"  # NEWFALSE
        + b"ccollections\nOrderedDict\n)R"  # EMPTY_TUPLE, REDUCE
    )
    # A tuple, REDUCE, SETITEM.
    return _string(tensor.name) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs"


def _string(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _integer(value: int) -> bytes:
    if value < 1 << 8:
        return b"K" + struct.pack("<B", value)
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


def _tuple(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(_integer(value) for value in values) + b"t" if values else b")"


_ATOMS = frozenset(b"cVX\x8c\x8d)")
"""Opcodes of what can be put at another place as it is: GLOBAL, strings, EMPTY_TUPLE."""
_PUTS = frozenset(b"pqr")
_GETS = frozenset(b"ghj")
_MEMOIZE, _FRAME, _PERSISTENT, _SET_ITEM, _SET_ITEMS = b"\x94\x95Qsu"


class _Opcode(NamedTuple):
    code: int
    start: int
    end: int


class _Item(NamedTuple):
    """An item of a dict, and where its opcodes are."""

    owner: object
    key: object
    start: int
    end: int


def without_items(saved: bytes, names: Collection[str]) -> bytes:
    """A torch.save archive of a dict, without these items and without the storages that only they show.

    Every other member but ``data.pkl`` stays byte for byte; the same bytes where there is no such item. Raises
    ArtifactError when it is not such an archive, or when other items refer to one that is to go.
    """
    with Container(BytesSource(saved)) as container:
        root = next(iter(container.members), "").partition("/")[0]
        pickle = container.read(f"{root}/data.pkl")
        shortened, storages = _cut(pickle, names)
        if shortened == pickle:
            return saved
        changes: dict[str, bytes | None] = {
            member: None for key in storages if (member := f"{root}/data/{key}") in container.members
        }
        changes[f"{root}/data.pkl"] = shortened
        out = io.BytesIO()
        write_archive(container, changes, out)
        return out.getvalue()


def _cut(pickle: bytes, names: Collection[str]) -> tuple[bytes, set[str]]:
    """The pickle without the items, and the keys of the storages that nothing in it shows any more.

    What torch.save names once and refers to later, classes and strings, may be named in an item that goes: then it is
    named where it is first referred to.
    """
    follow_dict(pickle)  # it can be followed, and is one dict
    code, items, storages = _items(pickle)
    going = [item for item in items if isinstance(item.key, str) and item.key in names]
    if not going:
        return pickle, set()

    def goes(position: int) -> bool:
        return any(item.start <= position < item.end for item in going)

    atoms: dict[int, bytes | None] = {}
    """What items that go have named, by the number under which others refer to it; None for what is no atom."""
    pieces: list[bytes] = []
    frame = None
    for previous, one in zip([None, *code], code, strict=False):
        piece = pickle[one.start : one.end]
        if goes(one.start):
            if one.code in _PUTS and previous is not None:
                atoms[_index(piece)] = pickle[previous.start : one.end] if previous.code in _ATOMS else None
            elif one.code == _MEMOIZE:
                raise ArtifactError("its pickle counts what it refers to, so that nothing can be taken out")
            continue
        if one.code in _PUTS:
            atoms.pop(_index(piece), None)
        elif one.code in _GETS and _index(piece) in atoms:
            named = atoms.pop(_index(piece))
            if named is None:
                raise ArtifactError("another item refers to a part of the one that is to go")
            piece = named
        elif one.code == _FRAME:
            frame = sum(map(len, pieces)) + 1
        pieces.append(piece)
    shown = {key for key, position in storages if not goes(position)}
    return _reframed(b"".join(pieces), frame), {key for key, position in storages if goes(position)} - shown


def _items(pickle: bytes) -> tuple[list[_Opcode], list[_Item], list[tuple[str, int]]]:
    """The opcodes, the items of the dict, and which storages are referred to at which places."""
    followed = Followed(pickle)
    code: list[_Opcode] = []
    starts: list[list[int]] = [[]]
    marks: list[int] = []
    """Where what is on the stack begins, by the marks that it follows, and where those stand."""
    found: list[_Item] = []
    storages: list[tuple[str, int]] = []
    while not followed.stopped:
        start, opcode, stack = followed.end, pickle[followed.end], followed.stack
        keys: list[tuple[object, int]] = []  # that are set, and where each begins
        owner: object = None
        if opcode == _SET_ITEM:
            owner, keys = stack[-3], [(stack[-2], starts[-1][-2])]
        elif opcode == _SET_ITEMS:
            owner, keys = followed.outer[-1][-1], list(zip(stack[::2], starts[-1][::2], strict=True))
        followed.step()
        # An item reaches to the next one; the last of a group to where they are set, and a single one includes that.
        ends = [begin for _, begin in keys[1:]] + [followed.end if opcode == _SET_ITEM else start]
        found += [_Item(owner, key, begin, end) for (key, begin), end in zip(keys, ends, strict=False)]
        code.append(_Opcode(opcode, start, followed.end))
        begins = start
        if len(followed.outer) > len(marks):
            marks.append(start)
            starts.append([])
        elif len(followed.outer) < len(marks):
            begins = marks.pop()
            starts.pop()
        del starts[-1][len(followed.stack) :]
        starts[-1] += [begins] * (len(followed.stack) - len(starts[-1]))
        if opcode == _PERSISTENT and isinstance(followed.stack[-1], Storage):
            storages.append((followed.stack[-1].key, start))
    return code, [item for item in found if item.owner is followed.value], storages


def _index(piece: bytes) -> int:
    """The number under which an opcode puts or gets something."""
    return int(piece[1:].partition(b"\0")[0]) if piece[0] in b"pg" else int.from_bytes(piece[1:], "little")
