"""The zip container: its directory, and the members that are asked for.

Written for what artifacts need instead of using :mod:`zipfile`: a checked directory (no duplicate names, no
contradictions that make two readers see two archives), bounded reads, and records kept raw so that
:mod:`graphlint.archive.writer` can copy them byte for byte. Nothing is ever extracted.
"""

from __future__ import annotations

import os
import struct
import zlib
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from graphlint.archive.source import ByteSource, FileSource
from graphlint.archive.zipformat import (
    CENTRAL,
    CENTRAL_SIGNATURE,
    DEFLATED,
    END,
    END64,
    END64_SIGNATURE,
    END_SIGNATURE,
    EXTRA_ZIP64,
    FLAG_DESCRIPTOR,
    FLAG_ENCRYPTED,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR,
    LOCATOR_SIGNATURE,
    MAX16,
    MAX32,
    STORED,
    extra_fields,
)
from graphlint.errors import ArtifactError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ByteSource", "Container", "EndRecords", "FileSource", "Member", "quoted"]

READ_LIMIT = 1 << 31
"""Largest member (in bytes, inflated) that is read into memory: what is read is JSON and small pickles."""


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


class Container:
    """A zip archive, open for reading.

    Raises ArtifactError when the file is not a zip archive or its directory is damaged. ``members`` is in the order of
    the central directory.
    """

    def __init__(self, source: ByteSource | str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        if isinstance(source, (str, bytes, os.PathLike)):
            source = FileSource(source)
        self.source = source
        try:
            self._tail_offset = max(0, source.size - END.size - LOCATOR.size - END64.size - MAX16)
            self._tail = source.read_at(self._tail_offset, source.size - self._tail_offset)
            self.end = self._find_end()
            self.members: dict[str, Member] = self._read_directory()
        except BaseException:
            source.close()
            raise
        # Artifacts of a few KiB are common, and the tail then is all of them; otherwise it has served its purpose.
        if self._tail_offset:
            self._tail_offset, self._tail = source.size, b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.source.close()

    def read(self, name: str, limit: int = READ_LIMIT) -> bytes:
        """The inflated content of a member.

        Raises ArtifactError (with ``member``) when there is no such member, when it is damaged, encrypted, compressed
        in another way than by deflate, or larger than ``limit`` bytes.
        """
        member = self.members.get(name)
        if member is None:
            raise ArtifactError(f"member {quoted(name)} is missing", member=name)
        if member.size > limit:
            raise _damaged(member, f"is too large to be read ({member.size} bytes; the limit is {limit})")
        data = self.read_raw(member)
        if member.method == DEFLATED:
            data = _inflate(member, data)
        if zlib.crc32(data) != member.crc:
            raise _damaged(member, "is damaged: its checksum does not match its content")
        return data

    def read_raw(self, member: Member) -> bytes:
        """The member's bytes as they stand in the archive (compressed, if it is), after a check of its headers."""
        if member.flags & FLAG_ENCRYPTED:
            raise _damaged(member, "is encrypted")
        if member.method not in {STORED, DEFLATED}:
            raise _damaged(
                member, f"is compressed by method {member.method}; only stored and deflated ones can be read"
            )
        if member.method == STORED and member.compressed_size != member.size:
            raise _damaged(member, "is damaged: it is stored, but its two sizes differ")
        start = self.data_offset(member)
        if start + member.compressed_size > self.end.directory_offset:
            raise _damaged(member, "does not fit into the archive (truncated, or its directory is damaged)")
        data = self.read_at(start, member.compressed_size)
        if len(data) != member.compressed_size:
            raise ArtifactError(
                f"the file ends in the middle of member {quoted(member.name)} (truncated?)", member=member.name
            )
        return data

    def data_offset(self, member: Member) -> int:
        """Where the member's data starts, by its local header, which must agree with the directory."""
        header = self.read_at(member.header_offset, LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(LOCAL_SIGNATURE):
            raise _damaged(member, "is damaged: there is no header where the archive's directory says")
        name_length: int
        extra_length: int
        _, _, flags, method, _, _, crc, compressed_size, size, name_length, extra_length = LOCAL.unpack(header)
        name = self.read_at(member.header_offset + LOCAL.size, name_length)
        agrees = name == encoded_name(member.name) and method == member.method
        if not flags & FLAG_DESCRIPTOR:
            agrees &= crc == member.crc
            agrees &= compressed_size in {member.compressed_size, MAX32} and size in {member.size, MAX32}
        if not agrees:
            raise _damaged(member, "is damaged: its header contradicts the archive's directory")
        if flags & FLAG_ENCRYPTED:
            raise _damaged(member, "is encrypted")
        return member.header_offset + LOCAL.size + name_length + extra_length

    def read_at(self, offset: int, length: int) -> bytes:
        """The raw bytes of the archive at ``offset``; fewer than ``length`` where it ends."""
        if offset >= self._tail_offset:
            start = offset - self._tail_offset
            return self._tail[start : start + length]
        return self.source.read_at(offset, length)

    def _find_end(self) -> EndRecords:
        """Finds the end records as torch's reader (miniz) does: the last signature that leaves room for the record."""
        tail, base = self._tail, self._tail_offset
        position = tail.rfind(END_SIGNATURE, 0, max(0, len(tail) - END.size + len(END_SIGNATURE)))
        if position < 0:
            if self.read_at(0, len(LOCAL_SIGNATURE)) != LOCAL_SIGNATURE:
                raise ArtifactError("not a zip archive")
            raise ArtifactError(
                "the file is cut short: the zip directory at its end is missing (truncated download or copy?)"
            )
        _, disk, first_disk, entries_here, entries, size, offset, _ = END.unpack_from(tail, position)
        end_offset = base + position
        end64_offset = None
        limit = end_offset
        locator_position = position - LOCATOR.size
        if locator_position >= 0 and tail.startswith(LOCATOR_SIGNATURE, locator_position):
            _, _, end64_offset, disks = LOCATOR.unpack_from(tail, locator_position)
            limit = end64_offset
            record = self.read_at(end64_offset, END64.size)
            if disks > 1 or len(record) < END64.size or not record.startswith(END64_SIGNATURE):
                raise ArtifactError("the zip archive is damaged: its zip64 end record is not where it should be")
            wide = END64.unpack(record)
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
        if disk or first_disk or entries_here != entries:
            raise ArtifactError("the zip archive is split over several files, which no torch reads")
        if offset + size > limit:
            raise ArtifactError("the zip archive is damaged: its directory does not fit into the file (truncated?)")
        return EndRecords(offset, size, entries, end_offset, end64_offset)

    def _read_directory(self) -> dict[str, Member]:
        end = self.end
        directory = self.read_at(end.directory_offset, end.directory_size)
        if end.directory_size and not directory.startswith(CENTRAL_SIGNATURE):
            following = end.end_offset if end.end64_offset is None else end.end64_offset
            surplus = following - end.directory_offset - end.directory_size
            if surplus and self.read_at(following - end.directory_size, 4) == CENTRAL_SIGNATURE:
                raise ArtifactError(
                    f"{surplus} foreign bytes stand before the zip archive, which torch does not read either"
                )
            raise ArtifactError("the zip archive is damaged: there is no directory where its end record says")
        members: dict[str, Member] = {}
        position = 0
        while position < len(directory):
            member = _central_member(directory, position)
            if member.name in members:
                raise ArtifactError(
                    f"member {quoted(member.name)} is in the archive twice: which one is meant depends on the reader",
                    member=member.name,
                )
            if member.header_offset + LOCAL.size > end.directory_offset:
                raise _damaged(member, "does not fit into the archive (truncated, or its directory is damaged)")
            members[member.name] = member
            position += len(member.record)
        if len(members) != end.entries:
            raise ArtifactError(
                f"the zip archive is damaged: its directory lists {len(members)} members instead of {end.entries}"
            )
        return members


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
    if MAX32 in (compressed_size, size, offset):
        extra = record[CENTRAL.size + name_length : CENTRAL.size + name_length + extra_length]
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


def _inflate(member: Member, data: bytes) -> bytes:
    # One byte more than announced is asked for, so that a bomb is noticed without being inflated.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, member.size + 1)
    except zlib.error as error:
        raise _damaged(member, "is damaged: it cannot be inflated") from error
    if len(inflated) != member.size or not inflater.eof:
        raise _damaged(
            member, f"is damaged: it does not inflate to the {member.size} bytes that the directory announces"
        )
    return inflated


def encoded_name(name: str) -> bytes:
    """A member's name as it stands in the archive."""
    return name.encode("utf-8", "surrogateescape")


def quoted(name: str) -> str:
    """A name as messages show it: in double quotes, with what can't be printed on one line escaped."""
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name) + '"'


def _damaged(member: Member, what: str) -> ArtifactError:
    return ArtifactError(f"member {quoted(member.name)} {what}", member=member.name)
