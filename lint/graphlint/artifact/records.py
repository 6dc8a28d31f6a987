"""Makes the zip records of changed and moved members, in the style of the records that they replace."""

from __future__ import annotations

import struct

from graphlint.artifact.directory import EndRecords
from graphlint.artifact.zipformat import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    END,
    END64,
    END64_SIGNATURE,
    EXTRA_PADDING,
    EXTRA_ZIP64,
    FLAG_DESCRIPTOR,
    FLAG_UTF8,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    MAX16,
    MAX32,
    extra_fields,
)

ZIP64_VERSION = 45
"""The version (4.5) that a reader must support to read zip64 records."""
DEFAULT_VERSION = 20


def moved_local_header(header: bytes, old_offset: int, offset: int, alignment: int) -> bytes:
    """A local header (with name and extra fields) as it has to be at another offset.

    Its padding is made anew, where it has one. torch also puts the offset of members beyond 4 GiB into the zip64 field
    of their *local* header; nobody reads it there, but it should not lie.
    """
    name_length = LOCAL.unpack_from(header)[9]
    extra = bytearray(header[LOCAL.size + name_length :])
    padded = False
    for kind, start, length in extra_fields(bytes(extra)):
        padded = padded or kind == EXTRA_PADDING
        if kind == EXTRA_ZIP64 and length in {8, 24}:
            (value,) = struct.unpack_from("<Q", extra, start + length - 8)
            if value == old_offset:
                struct.pack_into("<Q", extra, start + length - 8, offset)
    if padded:
        extra = bytearray(_without(bytes(extra), EXTRA_PADDING))
        extra += _padding(offset + LOCAL.size + name_length + len(extra), alignment)
    return header[: LOCAL.size - 2] + struct.pack("<H", len(extra)) + header[LOCAL.size :][:name_length] + bytes(extra)


def moved_central_record(record: bytes, offset: int) -> bytes:
    """A central record with another offset; the offset stays in the zip64 field where it stands in one."""
    fields = list(CENTRAL.unpack_from(record))
    compressed_size, size, old_offset = fields[8], fields[9], fields[16]
    name_length, extra_length = fields[10], fields[11]
    extra_start = CENTRAL.size + name_length
    name, comment = record[CENTRAL.size : extra_start], record[extra_start + extra_length :]
    extra = record[extra_start : extra_start + extra_length]
    if old_offset == MAX32 or offset >= MAX32:
        # The field holds what is marked by all ones, in this order: size, compressed size, offset, disk.
        body = next((extra[at : at + length] for kind, at, length in extra_fields(extra) if kind == EXTRA_ZIP64), b"")
        position = 8 * (size == MAX32) + 8 * (compressed_size == MAX32)
        rest = body[position + 8 :] if old_offset == MAX32 else body[position:]
        body = body[:position] + struct.pack("<Q", offset) + rest
        extra = struct.pack("<2H", EXTRA_ZIP64, len(body)) + body + _without(extra, EXTRA_ZIP64)
        fields[11] = len(extra)
        fields[2] = _version_for_zip64(fields[2])
        offset = MAX32
    fields[16] = offset
    return CENTRAL.pack(*fields) + name + extra + comment


def new_local_header(
    model: bytes,
    name: bytes,
    *,
    method: int,
    crc: int,
    compressed_size: int,
    size: int,
    keep_extra: bool,
    data_alignment: tuple[int, int] | None,
) -> bytes:
    """The local header of a changed member, with version, flags, time and date of ``model`` (a local header, or empty).

    ``keep_extra``: take over the model's extra fields too, but for sizes and padding. ``data_alignment``: the offset at
    which the header will stand, and what its data is to be aligned to (in bytes).
    """
    version, flags, time, date, extra = DEFAULT_VERSION, 0, 0, 0x21, b""  # 0x21: the format's first day, 1980-01-01
    if model:
        _, version, flags, _, time, date, _, _, _, name_length, _ = LOCAL.unpack_from(model)
        if keep_extra:
            extra = _without(_without(model[LOCAL.size + name_length :], EXTRA_ZIP64), EXTRA_PADDING)
    flags = flags & (FLAG_DESCRIPTOR | FLAG_UTF8) | (0 if name.isascii() else FLAG_UTF8)
    is_zip64 = max(size, compressed_size) >= MAX32
    if is_zip64:
        extra = struct.pack("<2H2Q", EXTRA_ZIP64, 16, size, compressed_size) + extra
        version = _version_for_zip64(version)
    if data_alignment is not None:
        offset, alignment = data_alignment
        extra += _padding(offset + LOCAL.size + len(name) + len(extra), alignment)
    sizes = (0, 0, 0) if flags & FLAG_DESCRIPTOR else (crc, *((MAX32, MAX32) if is_zip64 else (compressed_size, size)))
    return LOCAL.pack(LOCAL_SIGNATURE, version, flags, method, time, date, *sizes, len(name), len(extra)) + name + extra


def new_central_record(
    model: bytes,
    name: bytes,
    *,
    flags: int,
    method: int,
    crc: int,
    compressed_size: int,
    size: int,
    offset: int,
    keep_extra: bool,
) -> bytes:
    """The central record of a changed member, with versions, time, date and attributes of ``model`` (one, or empty).

    ``keep_extra``: take over the model's extra fields (but for sizes) and its comment too.
    """
    made_by, version, time, date, internal, external = DEFAULT_VERSION, DEFAULT_VERSION, 0, 0x21, 0, 0
    extra = comment = b""
    if model:
        fields = CENTRAL.unpack_from(model)
        made_by, version, time, date = fields[1], fields[2], fields[5], fields[6]
        internal, external = fields[14], fields[15]
        if keep_extra:
            extra_start = CENTRAL.size + fields[10]
            extra = _without(model[extra_start : extra_start + fields[11]], EXTRA_ZIP64)
            comment = model[extra_start + fields[11] :]
    wide = b"".join(struct.pack("<Q", value) for value in (size, compressed_size, offset) if value >= MAX32)
    if wide:
        extra = struct.pack("<2H", EXTRA_ZIP64, len(wide)) + wide + extra
        version = _version_for_zip64(version)
    return (
        CENTRAL.pack(
            CENTRAL_SIGNATURE,
            made_by,
            version,
            flags,
            method,
            time,
            date,
            crc,
            min(compressed_size, MAX32),
            min(size, MAX32),
            len(name),
            len(extra),
            len(comment),
            0,
            internal,
            external,
            min(offset, MAX32),
        )
        + name
        + extra
        + comment
    )


def end_records(old: EndRecords, tail: bytes, entries: int, offset: int, size: int) -> bytes:
    """What stands behind the directory: ``tail`` (what stood behind the old one), telling the new one's place.

    zip64 records are added if that place needs them. Fields of all ones stay so: they refer to the zip64 record, which
    is kept where there is one.
    """
    base = old.directory_offset + old.directory_size
    end_at = old.end_offset - base
    result = bytearray(tail)
    narrow = list(END.unpack_from(result, end_at))
    for index, value, top in ((3, entries, MAX16), (4, entries, MAX16), (5, size, MAX32), (6, offset, MAX32)):
        if old.end64_offset is None or narrow[index] != top:
            narrow[index] = min(value, top)
    END.pack_into(result, end_at, *narrow)
    if old.end64_offset is not None:
        end64_at = old.end64_offset - base
        struct.pack_into("<4Q", result, end64_at + END64.size - 32, entries, entries, size, offset)
        struct.pack_into("<Q", result, end_at - LOCATOR.size + 8, offset + size + end64_at)
    elif entries >= MAX16 or size >= MAX32 or offset >= MAX32:
        end64 = END64.pack(
            END64_SIGNATURE, END64.size - 12, ZIP64_VERSION, ZIP64_VERSION, 0, 0, entries, entries, size, offset
        )
        result[end_at:end_at] = end64 + LOCATOR.pack(LOCATOR_SIGNATURE, 0, offset + size + end_at, 1)
    return bytes(result)


def _padding(start: int, alignment: int) -> bytes:
    """The filler field for offset ``start``, which makes what follows it start at a multiple of ``alignment``."""
    length = -(start + 4) % alignment
    return struct.pack("<2H", EXTRA_PADDING, length) + b"Z" * length


def _without(extra: bytes, kind: int) -> bytes:
    """An extra block without the fields of one kind; what is malformed at its end is kept."""
    for found, start, length in reversed(extra_fields(extra)):
        if found == kind:
            extra = extra[: start - 4] + extra[start + length :]
    return extra


def _version_for_zip64(version: int) -> int:
    """The version needed, raised to that of zip64; torch writes 0 and means to say nothing by that."""
    return max(version, ZIP64_VERSION) if version else 0
