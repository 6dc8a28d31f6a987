"""Takes tensors out of a dict that torch.save wrote, without unpickling it: the inverse of
:mod:`graphlint.artifact.pickled`.

The pickle is followed opcode by opcode to find where each item of the dict begins and ends; those bytes are cut out.
What torch.save names once and refers to later, classes and strings, may be named in an item that goes: then it is named
where it is first referred to.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Collection

import msgspec

from graphlint.artifact.container import Container
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.pickle_machine import Machine, Storage
from graphlint.artifact.pickled import trace_dict
from graphlint.artifact.source import BytesSource
from graphlint.artifact.writer import write_archive

_ATOMS = frozenset(b"cVX\x8c\x8d)")
"""Opcodes of what can be put at another place as it is: GLOBAL, strings, EMPTY_TUPLE."""
_PUTS = frozenset(b"pqr")
_GETS = frozenset(b"ghj")
_MEMOIZE, _FRAME, _PERSISTENT, _SET_ITEM, _SET_ITEMS = b"\x94\x95Qsu"


class _Opcode(msgspec.Struct, frozen=True):
    code: int
    start: int
    end: int
    index: int
    """What is put or got; -1 for other opcodes."""


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
    trace_dict(pickle)  # it can be followed, and is one dict
    code, spans, storages = _items(pickle, names)
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
            if one.code in _PUTS and previous is not None:
                if previous.code in _ATOMS:
                    atoms[one.index] = pickle[previous.start : one.end]
                else:
                    composed.add(one.index)
            elif one.code == _MEMOIZE:
                raise ArtifactError("its pickle counts what it refers to, so that nothing can be taken out")
            continue
        if one.code in _PUTS:
            atoms.pop(one.index, None)
            composed.discard(one.index)
        is_get = one.code in _GETS
        if is_get and one.index in composed:
            raise ArtifactError("another item refers to a part of the one that is to go")
        if one.code == _FRAME:
            frame = sum(map(len, pieces)) + 1
        pieces.append(atoms.pop(one.index) if is_get and one.index in atoms else pickle[one.start : one.end])
    shortened = b"".join(pieces)
    if frame is not None:
        length = struct.pack("<Q", len(shortened) - frame - 8)
        shortened = shortened[:frame] + length + shortened[frame + 8 :]
    shown = {key for key, position in storages if not goes(position)}
    return shortened, {key for key, position in storages if goes(position)} - shown


def _items(pickle: bytes, names: Collection[str]) -> tuple[list[_Opcode], list[_Span], list[tuple[str, int]]]:
    """The opcodes, where the items of the dict stand, and which storages are referred to at which places."""
    machine = Machine(pickle, 0)
    code: list[_Opcode] = []
    starts: list[list[int]] = [[]]
    marks: list[int] = []
    """Where what is on the stack begins, by the marks that it follows, and where those stand."""
    spans: list[tuple[object, _Span]] = []
    storages: list[tuple[str, int]] = []
    while machine.following:
        start, opcode = machine.position, pickle[machine.position]
        stack = machine.stack
        items: list[tuple[object, int]] = []  # the keys that are set, and where each begins
        owner: object = None
        if opcode == _SET_ITEM:
            owner, items = stack[-3], [(stack[-2], starts[-1][-2])]
        elif opcode == _SET_ITEMS:
            owner, items = machine.outer[-1][-1], list(zip(stack[::2], starts[-1][::2], strict=True))
        machine.step()
        # An item reaches to the next one; the last of a group to where they are set, and a single one includes that.
        ends = [begin for _, begin in items[1:]] + [machine.position if opcode == _SET_ITEM else start]
        for (key, begin), end in zip(items, ends, strict=False):
            if isinstance(key, str) and key in names:
                spans.append((owner, _Span(begin, end)))
        code.append(_Opcode(opcode, start, machine.position, _index(pickle, opcode, start + 1)))
        begins = start
        if len(machine.outer) > len(marks):
            marks.append(start)
            starts.append([])
        elif len(machine.outer) < len(marks):
            begins = marks.pop()
            starts.pop()
        del starts[-1][len(machine.stack) :]
        starts[-1] += [begins] * (len(machine.stack) - len(starts[-1]))
        if opcode == _PERSISTENT and isinstance(machine.stack[-1], Storage):
            storages.append((machine.stack[-1].key, start))
    return code, [span for shown, span in spans if shown is machine.value], storages


def _index(pickle: bytes, opcode: int, position: int) -> int:
    if opcode not in _PUTS and opcode not in _GETS:
        return -1
    if opcode in b"pg":
        return int(pickle[position : pickle.index(b"\n", position)])
    return int.from_bytes(pickle[position : position + (4 if opcode in b"rj" else 1)], "little")
