"""The zip archive's directory: finding it, and what it says of each member."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable

import msgspec

from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import Limits, raise_it
from graphlint.artifact.zipformat import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    END,
    END64,
    END64_SIGNATURE,
    END_SIGNATURE,
    EXTRA_UNICODE_PATH,
    EXTRA_ZIP64,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    MAX16,
    MAX32,
    extra_fields,
)

LARGE_RECORD = 1 << 12
LARGE_DIRECTORY = 1 << 20
"""Bytes: what more than each record's share of them would hold is not known."""

ReadAt = Callable[[int, int], bytes]
"""The bytes at an offset, of a length."""


class Member(msgspec.Struct, frozen=True):
    """One member, as the central directory records it. Sizes and offsets are in bytes."""

    name: str
    method: int
    flags: int
    crc: int
    compressed_size: int
    size: int
    header_offset: int
    record: bytes
    """The raw central directory record: header, name, extra fields, comment."""


class EndRecords(msgspec.Struct, frozen=True):
    """Where the directory is, and what follows it. Offsets are in bytes from the start of the file."""

    directory_offset: int
    directory_size: int
    entries: int
    end_offset: int
    """Of the end of central directory record."""
    end64_offset: int | None
    """Of the zip64 one, or None."""


CUT_SHORT = "the file is cut short: the zip directory at its end is missing (truncated download or copy?)"


def find_end(read_at: ReadAt, tail: bytes, base: int) -> EndRecords:
    """Finds the end records as torch's reader (miniz) does: the last signature that leaves room for the record.

    ``tail`` is the end of the file, from offset ``base`` on.
    """
    position = tail.rfind(END_SIGNATURE, 0, max(0, len(tail) - END.size + len(END_SIGNATURE)))
    if position < 0:
        if read_at(0, len(LOCAL_SIGNATURE)) != LOCAL_SIGNATURE:
            raise ArtifactError("not a zip archive")
        raise ArtifactError(CUT_SHORT)
    _, disk, first_disk, entries_here, entries, size, offset, _ = END.unpack_from(tail, position)
    end_offset = limit = base + position
    end64_offset = None
    locator = position - LOCATOR.size
    if locator >= 0 and tail.startswith(LOCATOR_SIGNATURE, locator):
        _, _, end64_offset, disks = LOCATOR.unpack_from(tail, locator)
        limit = end64_offset
        wide = _wide_end(read_at, end64_offset, base + locator)
        for narrow, real, top in (
            (entries_here, wide[6], MAX16),
            (entries, wide[7], MAX16),
            (size, wide[8], MAX32),
            (offset, wide[9], MAX32),
        ):
            # Readers differ in which of the two records they believe, so they must say the same.
            if narrow not in {top, real}:
                raise ArtifactError("the zip archive is damaged: its two end records contradict each other")
        disk, first_disk, entries_here, entries, size, offset = wide[4:]
        disk = max(disk, disks - 1)
    if disk > 0 or first_disk or entries_here != entries:
        raise ArtifactError("the zip archive is split over several files, which no torch reads")
    if offset + size > limit:
        raise ArtifactError("the zip archive is damaged: its directory does not fit into the file (truncated?)")
    return EndRecords(offset, size, entries, end_offset, end64_offset)


def _wide_end(read_at: ReadAt, offset: int, locator_offset: int) -> tuple[int, ...]:
    """The zip64 end record."""
    record = read_at(offset, END64.size) if offset + END64.size <= locator_offset else b""
    if not record.startswith(END64_SIGNATURE):
        if read_at(locator_offset - END64.size, len(END64_SIGNATURE)) == END64_SIGNATURE:
            raise _shifted(read_at, locator_offset - END64.size - offset)
        raise ArtifactError("the zip archive is damaged: its zip64 end record is not where it should be")
    if offset + END64.size != locator_offset:
        # torch goes by the offset that the locator tells, zipfile (in the flat layout) takes it to stand before that.
        raise ArtifactError(
            "the zip archive is damaged: something stands between its zip64 end record and what tells of it, so that "
            "readers disagree on where it is"
        )
    return END64.unpack(record)


def _shifted(read_at: ReadAt, surplus: int) -> ArtifactError:
    """The records are there, but not at the offsets that they tell."""
    if surplus > 0 and read_at(0, len(LOCAL_SIGNATURE)) == LOCAL_SIGNATURE:
        # The file begins as an archive does, so the end that was found is that of an archive inside it.
        return ArtifactError(CUT_SHORT)
    if surplus > 0:
        return ArtifactError(f"{surplus} foreign bytes stand before the zip archive, which torch does not read either")
    return ArtifactError(f"the zip archive is damaged: {-surplus} of its bytes are missing")


def read_directory(read_at: ReadAt, end: EndRecords, limits: Limits) -> dict[str, Member]:
    """All members, in the directory's order. Raises ArtifactError where the directory is damaged or ambiguous."""
    if end.entries > limits.members:
        raise ArtifactError(
            f"the zip archive has {end.entries} members, and the limit is {limits.members}: {raise_it('members')}"
        ).of_limits()
    if end.directory_size > max(end.entries * LARGE_RECORD, LARGE_DIRECTORY):
        raise ArtifactError(
            f"the zip archive is damaged: its directory of {end.directory_size} bytes lists {end.entries} members"
        )
    directory = read_at(end.directory_offset, end.directory_size)
    following = end.end_offset if end.end64_offset is None else end.end64_offset
    if directory and not directory.startswith(CENTRAL_SIGNATURE):
        if read_at(following - end.directory_size, len(CENTRAL_SIGNATURE)) == CENTRAL_SIGNATURE:
            raise _shifted(read_at, following - end.directory_size - end.directory_offset)
        raise ArtifactError("the zip archive is damaged: there is no directory where its end record says")
    if end.directory_offset + end.directory_size != following:
        # torch goes by the offset that the end record tells, others take the directory to stand right before it.
        raise ArtifactError(
            "the zip archive is damaged: something stands between its directory and the end record, so that readers "
            "disagree on where it is"
        )
    members: dict[str, Member] = {}
    position = 0
    while position < len(directory) and len(members) <= end.entries:
        member = _central_member(directory, position)
        if member.name in members:
            raise ArtifactError(
                f"member {quoted(member.name)} is in the archive twice: which one is meant depends on the reader",
                member=member.name,
            )
        if member.header_offset + LOCAL.size > end.directory_offset:
            raise damaged(member, "does not fit into the archive (truncated, or its directory is damaged)")
        members[member.name] = member
        position += len(member.record)
    if len(members) != end.entries:
        raise ArtifactError(
            f"the zip archive is damaged: its directory lists {len(members)} members instead of {end.entries}"
        )
    _check_overlaps(members)
    return members


def _check_overlaps(members: dict[str, Member]) -> None:
    """Refuses members that share bytes: no writer makes them, and they make little out to be much."""
    ordered = sorted(members.values(), key=_header_offset)
    for member, following in itertools.pairwise(ordered):
        if least_end(member) > following.header_offset:
            raise ArtifactError(
                f"member {quoted(member.name)} overlaps member {quoted(following.name)} in the archive",
                member=member.name,
            )


def _header_offset(member: Member) -> int:
    return member.header_offset


def least_end(member: Member) -> int:
    """Where a member ends at the earliest: its local header may be longer than its directory entry tells."""
    return member.header_offset + LOCAL.size + len(encoded_name(member.name)) + member.compressed_size


def _central_member(directory: bytes, position: int) -> Member:
    if position + CENTRAL.size > len(directory) or not directory.startswith(CENTRAL_SIGNATURE, position):
        raise ArtifactError("the zip archive is damaged: its directory ends in the middle of an entry")
    fields = CENTRAL.unpack_from(directory, position)
    _, _, _, flags, method, _, _, crc, compressed_size, size, name_length, extra_length, comment_length, *_, offset = (
        fields
    )
    length = CENTRAL.size + name_length + extra_length + comment_length
    record = directory[position : position + length]
    if len(record) < length:
        raise ArtifactError("the zip archive is damaged: its directory ends in the middle of an entry")
    # torch's reader goes by the raw bytes and its writer writes UTF-8: code page 437, the format's old default, is out.
    name = record[CENTRAL.size : CENTRAL.size + name_length].decode("utf-8", "surrogateescape")
    if "\0" in name:
        raise ArtifactError(
            f"member {quoted(name)} has a NUL in its name: readers disagree on what it is called", member=name
        )
    extra = record[CENTRAL.size + name_length : CENTRAL.size + name_length + extra_length]
    if extra and any(kind == EXTRA_UNICODE_PATH for kind, _, _ in extra_fields(extra)):
        raise ArtifactError(
            f"member {quoted(name)} has a second name in an extra field: readers disagree on what it is called",
            member=name,
        )
    if MAX32 in (compressed_size, size, offset):
        size, compressed_size, offset = _zip64_values(name, extra, size, compressed_size, offset)
    return Member(name, method, flags, crc, compressed_size, size, offset, record)


def _zip64_values(name: str, extra: bytes, *values: int) -> list[int]:
    """Size, compressed size and offset, with those that say "see zip64" replaced by what the extra field says."""
    body = next(
        (extra[start : start + length] for kind, start, length in extra_fields(extra) if kind == EXTRA_ZIP64), b""
    )
    result = []
    position = 0
    for value in values:
        if value == MAX32:
            if position + 8 > len(body):
                raise ArtifactError(f"member {quoted(name)} is damaged: its zip64 sizes are missing", member=name)
            (value,) = struct.unpack_from("<Q", body, position)  # noqa: PLW2901
            position += 8
        result.append(value)
    return result


def encoded_name(name: str) -> bytes:
    """A member's name as it stands in the archive."""
    return name.encode("utf-8", "surrogateescape")


def folded(name: str) -> bytes:
    """What torch's reader (miniz) compares of a member's name: it ignores the case of ASCII letters only."""
    return encoded_name(name).lower()


def quoted(name: str) -> str:
    """A name as messages show it: in double quotes, with what can't be printed on one line escaped."""
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name) + '"'


def damaged(member: Member, what: str) -> ArtifactError:
    """The error that says what is wrong with a member."""
    return ArtifactError(f"member {quoted(member.name)} {what}", member=member.name)
