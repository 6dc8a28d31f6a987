"""Takes tensors out of a dict that torch.save wrote, without unpickling it: the inverse of
:mod:`graphlint.archive.pickled`.

The pickle is followed opcode by opcode to find where each item of the dict begins and ends; those bytes are cut out.
What torch.save names once and refers to later, classes and strings, may be named in an item that goes: then it is named
where it is first referred to.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection

import msgspec

from graphlint.archive.container import Container
from graphlint.archive.pickled import MARK, PickledDict, Storage, follow, opcodes
from graphlint.archive.source import BytesSource
from graphlint.archive.writer import write_archive
from graphlint.errors import ArtifactError

_ATOMS = frozenset({"GLOBAL", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "EMPTY_TUPLE"})
"""What can be put at another place as it is."""
_PUTS = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"GET", "BINGET", "LONG_BINGET"})


class _Opcode(msgspec.Struct, frozen=True):
    name: str
    argument: object
    start: int
    end: int


class _Span(msgspec.Struct, frozen=True):
    """The bytes of one item."""

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
    """The pickle without the items, and the keys of the storages that nothing in it shows any more."""
    code = _read(pickle)
    spans, storages = _items(code, names)
    if not spans:
        return pickle, set()

    def goes(position: int) -> bool:
        return any(span.start <= position < span.end for span in spans)

    atoms: dict[int, bytes] = {}
    composed: set[int] = set()
    pieces: list[bytes] = []
    frame = None
    for previous, one in zip([None, *code], code, strict=False):
        if goes(one.start):
            if one.name in _PUTS and previous is not None:
                index = int(str(one.argument))
                if previous.name in _ATOMS:
                    atoms[index] = pickle[previous.start : one.end]
                else:
                    composed.add(index)
            elif one.name == "MEMOIZE":
                raise ArtifactError("its pickle counts what it refers to, so that nothing can be taken out")
            continue
        index = int(str(one.argument)) if one.name in _GETS or one.name in _PUTS else -1
        if one.name in _PUTS:
            atoms.pop(index, None)
            composed.discard(index)
        if one.name in _GETS and index in composed:
            raise ArtifactError("another item refers to a part of the one that is to go")
        if one.name == "FRAME":
            frame = sum(map(len, pieces)) + 1
        pieces.append(atoms.pop(index) if one.name in _GETS and index in atoms else pickle[one.start : one.end])
    shortened = b"".join(pieces)
    if frame is not None:
        length = struct.pack("<Q", len(shortened) - frame - 8)
        shortened = shortened[:frame] + length + shortened[frame + 8 :]
    shown = {key for key, position in storages if not goes(position)}
    return shortened, {key for key, position in storages if goes(position)} - shown


def _read(pickle: bytes) -> list[_Opcode]:
    """The opcodes, each with its place."""
    try:
        found = list(opcodes(pickle))
    except ValueError as error:
        raise ArtifactError(f"its pickle is damaged: {error}") from error
    if found[-1][2] != len(pickle) - 1:
        raise ArtifactError("its pickle is followed by something else")
    ends = [position for _, _, position in found[1:]] + [len(pickle)]
    return [_Opcode(name, argument, start, end) for (name, argument, start), end in zip(found, ends, strict=True)]


def _items(code: list[_Opcode], names: Collection[str]) -> tuple[list[_Span], list[tuple[str, int]]]:
    """Where the items of the dict stand, and which storages are referred to at which places."""
    stack: list[object] = []
    starts: list[int] = []
    memo: dict[int, object] = {}
    spans: list[tuple[object, _Span]] = []
    storages: list[tuple[str, int]] = []
    try:
        for one in code:
            if one.name in ("FRAME", "STOP"):
                continue
            if one.name == "SETITEM" and isinstance(stack[-2], str) and stack[-2] in names:
                spans.append((stack[-3], _Span(starts[-2], one.end)))
            elif one.name == "SETITEMS":
                mark = max(index for index, value in enumerate(stack) if value is MARK)
                for index in range(mark + 1, len(stack) - 1, 2):
                    end = starts[index + 2] if index + 2 < len(stack) else one.start
                    if isinstance(stack[index], str) and stack[index] in names:
                        spans.append((stack[mark - 1], _Span(starts[index], end)))
            follow(one.name, one.argument, stack, memo)
            del starts[len(stack) :]
            starts += [one.start] * (len(stack) - len(starts))
            if one.name == "BINPERSID" and isinstance(stack[-1], Storage):
                storages.append((stack[-1].key, one.start))
    except (ValueError, IndexError, KeyError) as error:
        raise ArtifactError(f"its pickle is damaged: {error}") from error
    if len(stack) != 1 or not isinstance(stack[0], PickledDict):
        raise ArtifactError("its pickle does not hold a dict")
    return [span for owner, span in spans if owner is stack[0]], storages
