"""Writes an archive anew with some members changed, and everything else copied byte for byte.

Members are copied as whole spans of the file (local header, data, data descriptor, whatever follows up to the next
member), so what this module does not know is kept too. A member is only looked into when it moves: torch pads each
local header so that the data starts at a multiple of 64 bytes, because weights get mapped into memory, and that padding
depends on where the member stands. Archives without such padding (torch 2.7 and before) stay without.

A replaced member stays at its place, a removed one leaves no trace. A new one goes behind the last member of its own
folder, as torch would have
written it, else behind all others: never to the front, since torch takes the first member's folder as the root.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Mapping
from typing import BinaryIO

import msgspec

from graphlint.artifact.container import Container
from graphlint.artifact.directory import Member, encoded_name, least_end, quoted
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.output import Output
from graphlint.artifact.records import (
    end_records,
    moved_central_record,
    moved_local_header,
    new_central_record,
    new_local_header,
)
from graphlint.artifact.zipformat import (
    ALIGNMENT,
    DEFLATED,
    DESCRIPTOR_SIGNATURE,
    EXTRA_PADDING,
    FLAG_DESCRIPTOR,
    LOCAL,
    MAX32,
    STORED,
    extra_fields,
)

TAIL_LIMIT = 1 << 20


class _Slot(msgspec.Struct):
    """A member's place in the new archive."""

    name: str
    old: Member | None
    """The member that stood here; None for a new one."""
    span_end: int = 0
    """Where the old member's span ends."""
    data: bytes | None = None
    """The new content; None for a member that is copied."""


Changes = Mapping[str, "bytes | None"]
"""Member name to new content, None for a member that is to go."""


def write_archive(container: Container, changes: Changes, out: BinaryIO | int, *, before: str | None = None) -> None:
    """Writes the container's archive with ``changes`` to a file object or descriptor.

    ``before`` is the member that new ones are put in front of, instead of the default place. Without changes the
    result is the same file, byte for byte. Raises ArtifactError when a member that has to be moved is damaged, and
    OSError when ``out`` cannot be written.
    """
    output = Output(out)
    slots = _slots(container, changes, before)
    template = _template(container, changes)
    alignment = _alignment(container)
    records: dict[str, bytes] = {}
    if slots and slots[0].old is not None:
        output.copy(container.source, 0, slots[0].old.header_offset)
    for slot in slots:
        if slot.data is not None:
            records[slot.name] = _write_changed(container, output, slot, slot.old or template, alignment)
        elif slot.old is not None:
            records[slot.name] = _copy_member(container, output, slot.old, slot.span_end, alignment)
    directory_offset = output.position
    for name in _central_order(container, slots):
        output.write(records[name])
    tail = _tail(container)
    output.write(end_records(container.end, tail, len(slots), directory_offset, output.position - directory_offset))
    output.flush()


def _slots(container: Container, changes: Changes, before: str | None) -> list[_Slot]:
    """All members of the new archive, in the order in which they stand in the file."""
    end = container.end.directory_offset
    slots = [
        _Slot(member.name, member, end, changes.get(member.name))
        for member in sorted(container.members.values(), key=lambda member: member.header_offset)
    ]
    for slot, following in itertools.pairwise(slots):
        if following.old is not None:
            slot.span_end = following.old.header_offset
    for slot in slots:
        member = slot.old
        if member is not None and least_end(member) > slot.span_end:
            raise _overlapping(member)
    removed = {name for name, data in changes.items() if data is None}
    slots = [slot for slot in slots if slot.name not in removed]
    for name, data in changes.items():
        if name in container.members or data is None:
            continue
        folder = name.rpartition("/")[0]
        position = len(slots)
        for index, slot in enumerate(slots):
            if slot.name == before:
                position = index
                break
            if before is None and slot.name.rpartition("/")[0] == folder:
                position = index + 1
        slots.insert(position, _Slot(name, None, data=data))
    return slots


def _central_order(container: Container, slots: list[_Slot]) -> list[str]:
    """The directory keeps its order; new members follow the one that they follow in the file."""
    kept = {slot.name for slot in slots}
    order = [name for name in container.members if name in kept]
    previous = None
    for slot in slots:
        if slot.old is None:
            order.insert(0 if previous is None else order.index(previous) + 1, slot.name)
        previous = slot.name
    return order


def _template(container: Container, changes: Changes) -> Member | None:
    """The member whose style (flags, padding, dates, attributes) new ones take on: a replaced one, else the first."""
    members = container.members
    files = [name for name, data in changes.items() if name in members and data is not None] or [
        name for name in members if not name.endswith("/")
    ]
    return members[files[0]] if files else None


def _alignment(container: Container) -> int:
    """What padded members are aligned to (bytes): torch.save notes it when it is not the default."""
    root = next(iter(container.members), "").partition("/")[0]
    name = f"{root}/.storage_alignment"
    if name in container.members:
        text = container.read(name, limit=1 << 10)
        if text.isdigit() and 1 <= int(text) <= 1 << 15:
            return int(text)
    return ALIGNMENT


def _copy_member(container: Container, output: Output, member: Member, span_end: int, alignment: int) -> bytes:
    """Copies a member's span and returns its central record."""
    offset = output.position
    if offset == member.header_offset:
        output.copy(container.source, offset, span_end - offset)
        return member.record
    start = container.data_offset(member)
    if start + member.compressed_size > span_end:  # by its local header, which may be longer than least_end knows
        raise _overlapping(member)
    header = container.read_at(member.header_offset, start - member.header_offset)
    header = moved_local_header(header, member.header_offset, offset, alignment)
    output.write(header)
    output.copy(container.source, start, span_end - start)
    return moved_central_record(member.record, offset)


def _write_changed(container: Container, output: Output, slot: _Slot, model: Member | None, alignment: int) -> bytes:
    """Writes a replaced or new member in the style of ``model`` and returns its central record."""
    data = slot.data or b""
    name = encoded_name(slot.name)
    offset = output.position
    model_header = b""
    if model is not None:
        model_header = container.read_at(model.header_offset, container.data_offset(model) - model.header_offset)
    method = DEFLATED if slot.old is not None and slot.old.method == DEFLATED else STORED
    content = _deflate(data) if method == DEFLATED else data
    crc = zlib.crc32(data)
    header = new_local_header(
        model_header,
        name,
        method=method,
        crc=crc,
        compressed_size=len(content),
        size=len(data),
        keep_extra=slot.old is not None,
        data_alignment=(offset, alignment) if _is_padded(model_header) else None,
    )
    output.write(header)
    output.write(content)
    flags = LOCAL.unpack_from(header)[2]
    if flags & FLAG_DESCRIPTOR:
        sizes = "2Q" if max(len(content), len(data)) >= MAX32 else "2I"
        output.write(DESCRIPTOR_SIGNATURE + struct.pack(f"<I{sizes}", crc, len(content), len(data)))
    return new_central_record(
        model.record if model is not None else b"",
        name,
        flags=flags,
        method=method,
        crc=crc,
        compressed_size=len(content),
        size=len(data),
        offset=offset,
        keep_extra=slot.old is not None,
    )


def _overlapping(member: Member) -> ArtifactError:
    return ArtifactError(f"member {quoted(member.name)} overlaps what follows it in the archive", member=member.name)


def _is_padded(local_header: bytes) -> bool:
    if not local_header:
        return False
    extra = local_header[LOCAL.size + LOCAL.unpack_from(local_header)[9] :]
    return any(kind == EXTRA_PADDING for kind, _, _ in extra_fields(extra))


def _deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


def _tail(container: Container) -> bytes:
    """Everything behind the directory: end records, comment, what else there may be."""
    start = container.end.directory_offset + container.end.directory_size
    length = container.source.size - start
    if length > TAIL_LIMIT:
        raise ArtifactError(f"the zip archive is damaged: {length} bytes follow its directory")
    return container.read_at(start, length)
