"""The zip container: its directory, and the members that are asked for.

Written for what artifacts need instead of using :mod:`zipfile`: a checked directory (no duplicate names, no
contradictions that make two readers see two archives), bounded reads, and records kept raw so that
:mod:`graphlint.artifact.writer` can copy them byte for byte. Nothing is ever extracted.
"""

from __future__ import annotations

import os
import zlib
from types import TracebackType
from typing import TYPE_CHECKING

from graphlint.artifact.directory import (
    EndRecords,
    Member,
    damaged,
    encoded_name,
    find_end,
    folded,
    quoted,
    read_directory,
)
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import Limits, raise_it
from graphlint.artifact.source import ByteSource, BytesSource, FileSource, SectionSource
from graphlint.artifact.zipformat import (
    CENTRAL,
    DEFLATED,
    END,
    END64,
    EXTERNAL_ATTRIBUTES,
    FLAG_DESCRIPTOR,
    FLAG_ENCRYPTED,
    FOLDER,
    LOCAL,
    LOCAL_SIGNATURE,
    LOCATOR,
    MAX16,
    MAX32,
    STORED,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ByteSource", "Container", "EndRecords", "FileSource", "Member", "folded", "quoted"]

READ_LIMIT = 1 << 31
"""Largest member (in bytes, inflated) that is read into memory where no other limit is set."""
RATIO_COUNTS_FROM = 1 << 20
"""Bytes below which it does not matter how well a member is compressed."""
DEFAULT = Limits()


class Container:
    """A zip archive, open for reading.

    Raises ArtifactError when the file is not a zip archive or its directory is damaged. ``members`` is in the order of
    the central directory.
    """

    def __init__(
        self, source: ByteSource | str | bytes | os.PathLike[str] | os.PathLike[bytes], limits: Limits = DEFAULT
    ) -> None:
        if isinstance(source, (str, bytes, os.PathLike)):
            source = FileSource(source)
        self.source = source
        self.limits = limits
        try:
            self._tail_offset = max(0, source.size - END.size - LOCATOR.size - END64.size - MAX16)
            self._tail = source.read_at(self._tail_offset, source.size - self._tail_offset)
            self.end = find_end(self.read_at, self._tail, self._tail_offset)
            self.members: dict[str, Member] = read_directory(self.read_at, self.end, limits)
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

    def read(self, name: str, limit: int = READ_LIMIT, key: str = "") -> bytes:
        """The inflated content of a member.

        ``key`` is that of the limit in the configuration. Raises ArtifactError (with ``member``) when there is no such
        member, when it is damaged, encrypted, compressed in another way than by deflate, larger than ``limit`` bytes,
        or inflated by more than ``limits.ratio``.
        """
        member = self._member(name)
        if member.size > limit:
            advice = f": {raise_it(key)}" if key else ""
            what = f"is too large to be read ({member.size} bytes; the limit is {limit}{advice})"
            raise damaged(member, what).of_limits() if key else damaged(member, what)
        most = self.limits.ratio * member.compressed_size
        if member.method == DEFLATED and member.size > max(most, RATIO_COUNTS_FROM):
            raise damaged(
                member,
                f"is a zip bomb, or close to one: {member.compressed_size} bytes are to become {member.size}, and the "
                f"limit is {self.limits.ratio} times as many ({raise_it('ratio')})",
            ).of_limits()
        data = self.read_raw(member)
        if member.method == DEFLATED:
            data = _inflate(member, data)
        if zlib.crc32(data) != member.crc:
            raise damaged(member, "is damaged: its checksum does not match its content")
        return data

    def source_of(self, name: str, limit: int = READ_LIMIT, key: str = "") -> ByteSource:
        """A member as a source of its own. A stored one is not read but referred to, so that it may be of any size; the
        checksum of its whole then goes unchecked. Raises ArtifactError as :meth:`read` does.
        """
        member = self._member(name)
        if member.method != STORED:
            return BytesSource(self.read(name, limit, key))
        return SectionSource(self.source, self._start(member), member.size)

    def _member(self, name: str) -> Member:
        member = self.members.get(name)
        if member is None:
            raise ArtifactError(f"member {quoted(name)} is missing", member=name)
        return member

    def read_raw(self, member: Member) -> bytes:
        """The member's bytes as they stand in the archive (compressed, if it is), after a check of its headers."""
        start = self._start(member)
        data = self.read_at(start, member.compressed_size)
        if len(data) != member.compressed_size:
            raise ArtifactError(
                f"the file ends in the middle of member {quoted(member.name)} (truncated?)", member=member.name
            )
        return data

    def _start(self, member: Member) -> int:
        """Where the data of a member starts that can be read, and fits into the archive."""
        if member.flags & FLAG_ENCRYPTED:
            raise damaged(member, "is encrypted")
        if member.method not in {STORED, DEFLATED}:
            raise damaged(member, f"is compressed by method {member.method}; only stored and deflated ones can be read")
        if member.method == STORED and member.compressed_size != member.size:
            raise damaged(member, "is damaged: it is stored, but its two sizes differ")
        if CENTRAL.unpack_from(member.record)[EXTERNAL_ATTRIBUTES] & FOLDER:
            # torch's reader then leaves the memory for its content as it found it.
            raise damaged(member, "is marked as a folder, and torch reads no content of those")
        start = self.data_offset(member)
        if start + member.compressed_size > self.end.directory_offset:
            raise damaged(member, "does not fit into the archive (truncated, or its directory is damaged)")
        return start

    def data_offset(self, member: Member) -> int:
        """Where the member's data starts, by its local header, which must agree with the directory."""
        header = self.read_at(member.header_offset, LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(LOCAL_SIGNATURE):
            raise damaged(member, "is damaged: there is no header where the archive's directory says")
        name_length: int
        extra_length: int
        _, _, flags, method, _, _, crc, compressed_size, size, name_length, extra_length = LOCAL.unpack(header)
        name = self.read_at(member.header_offset + LOCAL.size, name_length)
        agrees = name == encoded_name(member.name) and method == member.method
        if not flags & FLAG_DESCRIPTOR:
            agrees &= crc == member.crc
            agrees &= compressed_size in {member.compressed_size, MAX32} and size in {member.size, MAX32}
        if not agrees:
            raise damaged(member, "is damaged: its header contradicts the archive's directory")
        if flags & FLAG_ENCRYPTED:
            raise damaged(member, "is encrypted")
        return member.header_offset + LOCAL.size + name_length + extra_length

    def read_at(self, offset: int, length: int) -> bytes:
        """The raw bytes of the archive at ``offset``; fewer than ``length`` where it ends."""
        if offset >= self._tail_offset:
            start = offset - self._tail_offset
            return self._tail[start : start + length]
        return self.source.read_at(offset, length)


def _inflate(member: Member, data: bytes) -> bytes:
    # One byte more than announced is asked for, so that a bomb is noticed without being inflated.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, member.size + 1)
    except zlib.error as error:
        raise damaged(member, "is damaged: it cannot be inflated") from error
    if len(inflated) != member.size or not inflater.eof:
        raise damaged(
            member, f"is damaged: it does not inflate to the {member.size} bytes that the directory announces"
        )
    return inflated
