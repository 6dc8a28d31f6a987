"""The zip container: its central directory, and the members that are asked for.

Written for what artifacts need instead of using :mod:`zipfile`: a directory without duplicate names and without
contradictions that make two readers see two archives, bounded reads, and raw records that
:mod:`graphlint.artifact.rewrite` can copy byte for byte. Nothing is ever extracted. The records are those of PKWARE's
APPNOTE.TXT (sections 4.3 to 4.5).
"""

import itertools
import struct
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cached_property

import msgspec

from graphlint.artifact.errors import DAMAGED, FOREIGN, INCOMPLETE, REPACKED, ArtifactError
from graphlint.artifact.limits import Limits, raise_it
from graphlint.artifact.source import AnyPath, ByteSource, BytesSource, FileSource, SectionSource

LOCAL_SIGNATURE = b"PK\x03\x04"
CENTRAL_SIGNATURE = b"PK\x01\x02"
END_SIGNATURE = b"PK\x05\x06"
END64_SIGNATURE = b"PK\x06\x06"
LOCATOR_SIGNATURE = b"PK\x06\x07"

LOCAL = struct.Struct("<4s5H3I2H")
"""signature, version needed, flags, method, time, date, crc, compressed size, size, name length, extra length"""
CENTRAL = struct.Struct("<4s6H3I5H2I")
"""signature, version made by, version needed, flags, method, time, date, crc, compressed size, size, name length,
extra length, comment length, first disk, internal attributes, external attributes, offset of the local header"""
END = struct.Struct("<4s4H2IH")
"""signature, this disk, directory's disk, entries on this disk, entries, directory's size, its offset, comment size"""
END64 = struct.Struct("<4sQ2H2I4Q")
"""signature, size of the rest, version made by, version needed, this disk, directory's disk, entries on this disk,
entries, directory's size, its offset"""
LOCATOR = struct.Struct("<4sIQI")
"""signature, disk of the zip64 end record, its offset, number of disks"""

STORED = 0
DEFLATED = 8
FOLDER = 0x10
"""Among the external attributes: the member is a folder (of MS-DOS)."""
FLAG_ENCRYPTED = 0x1
FLAG_DESCRIPTOR = 0x8
"""CRC and sizes stand behind the data instead of in the local header (torch always writes so)."""
FLAG_UTF8 = 0x800
MAX16 = 0xFFFF
MAX32 = 0xFFFFFFFF
"""In a 32-bit field: the real value stands in the zip64 extra field or the zip64 end record."""
EXTRA_ZIP64 = 0x0001
EXTRA_UNICODE_PATH = 0x7075
"""The name in UTF-8, which Python's zipfile takes for the real one from 3.12 on, and torch's reader does not know."""

READ_LIMIT = 1 << 31
"""Largest member (in bytes, inflated) that is read into memory where no other limit is set."""
RATIO_COUNTS_FROM = 1 << 20
"""Bytes below which it does not matter how well a member is compressed."""
LARGE_RECORD = 1 << 12
"""Bytes of an entry of the directory, on average, above which the directory is taken for damaged."""
LARGE_DIRECTORY = 1 << 20
"""Bytes of a directory below which the average does not matter."""
DEFAULT = Limits()


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

    @property
    def least_end(self) -> int:
        """Where the member ends at the earliest: its local header may be longer than its directory entry tells."""
        return self.header_offset + LOCAL.size + len(encoded_name(self.name)) + self.compressed_size


class EndRecords(msgspec.Struct, frozen=True):
    """Where the directory is, and what follows it. Offsets are in bytes from the start of the file."""

    directory_offset: int
    directory_size: int
    entries: int
    end_offset: int
    """Of the end of central directory record."""
    end64_offset: int | None
    """Of the zip64 one, or None."""


class Container(AbstractContextManager["Container"]):
    """A zip archive, open for reading.

    Raises ArtifactError when the file is not a zip archive or its directory is damaged or ambiguous. ``members`` is in
    the order of the central directory.
    """

    def __init__(self, source: ByteSource | AnyPath, limits: Limits = DEFAULT) -> None:
        self.source = source if isinstance(source, ByteSource) else FileSource(source)
        self.limits = limits
        try:
            self.end = self._find_end()
            self.members = self._read_directory()
        except BaseException:
            if self.source is not source:  # what was handed in is its owner's to close
                self.close()
            raise

    @cached_property
    def by_folded_name(self) -> dict[bytes, "Member"]:
        """The members by their names as torch's reader compares them, the last one where several are the same."""
        return {folded(name): member for name, member in self.members.items()}

    def twins(self) -> Iterator[tuple[str, str]]:
        """The names that differ from an earlier one in case only, each with that one."""
        spellings: dict[bytes, str] = {}
        for name in self.members:
            twin = spellings.setdefault(folded(name), name)
            if twin != name:
                yield name, twin

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.source.close()

    def read(self, name: str, limit: int = READ_LIMIT, key: str = "", *, as_torch: bool = False) -> bytes:
        """The inflated content of a member.

        ``as_torch`` asks for what torch reads of it, which goes by the directory alone and checks no checksum.

        ``key`` is that of the limit in the configuration. Raises ArtifactError (with ``member``) when there is no such
        member, when it is damaged, encrypted, compressed in another way than by deflate, larger than ``limit`` bytes,
        or inflated by more than ``limits.ratio``.
        """
        member = self._member(name)
        if member.size > limit:
            advice = f": {raise_it(key)}" if key else ""
            error = _refused(name, f"is too large to be read ({member.size} bytes; the limit is {limit}{advice})")
            raise error.of_limits() if key else error
        most = self.limits.ratio * member.compressed_size
        if member.method == DEFLATED and member.size > max(most, RATIO_COUNTS_FROM):
            raise _refused(
                name,
                f"is a zip bomb, or close to one: {member.compressed_size} bytes are to become {member.size}, and the "
                f"limit is {self.limits.ratio} times as many ({raise_it('ratio')})",
            ).of_limits()
        self.source.expect(member.header_offset, member.least_end - member.header_offset)
        data = self.source.read_at(self._start(member, as_torch=as_torch), member.compressed_size)
        if len(data) != member.compressed_size:
            raise ArtifactError(
                f"the file ends in the middle of member {quoted(name)} (truncated?)", member=name, advice=DAMAGED
            )
        if member.method == DEFLATED:
            data = _inflate(member, data)
        if zlib.crc32(data) != member.crc and not as_torch:
            raise _damaged(name, "its checksum does not match its content")
        return data

    def source_of(self, name: str, limit: int = READ_LIMIT, key: str = "") -> ByteSource:
        """A member as a source of its own. A stored one is not read but referred to, so that it may be of any size; the
        checksum of its whole then goes unchecked. Raises ArtifactError as :meth:`read` does.
        """
        member = self._member(name)
        if member.method != STORED:
            return BytesSource(self.read(name, limit, key))
        return SectionSource(self.source, self._start(member), member.size)

    def data_offset(self, member: Member, *, as_torch: bool = False) -> int:
        """Where the member's data starts, by its local header, which must agree with the directory."""
        header = self.source.read_at(member.header_offset, LOCAL.size)
        if len(header) < LOCAL.size or not header.startswith(LOCAL_SIGNATURE):
            raise _damaged(member.name, "there is no header where the archive's directory says")
        name_length: int
        extra_length: int
        _, _, flags, method, _, _, crc, compressed_size, size, name_length, extra_length = LOCAL.unpack(header)
        name = self.source.read_at(member.header_offset + LOCAL.size, name_length)
        agrees = name == encoded_name(member.name) and method == member.method
        if not flags & FLAG_DESCRIPTOR:
            agrees &= crc == member.crc
            agrees &= compressed_size in {member.compressed_size, MAX32} and size in {member.size, MAX32}
        if not agrees and not as_torch:
            raise _damaged(member.name, "its header contradicts the archive's directory")
        if flags & FLAG_ENCRYPTED and not as_torch:
            raise _refused(member.name, "is encrypted by its header, and not by the archive's directory")
        return member.header_offset + LOCAL.size + name_length + extra_length

    def _member(self, name: str) -> Member:
        member = self.members.get(name)
        if member is None:
            raise ArtifactError(f"member {quoted(name)} is missing", member=name, advice=INCOMPLETE)
        return member

    def _start(self, member: Member, *, as_torch: bool = False) -> int:
        """Where the data of a member starts that can be read, and fits into the archive."""
        if member.flags & FLAG_ENCRYPTED:
            raise _refused(member.name, "is encrypted")
        if member.method not in {STORED, DEFLATED}:
            what = f"is compressed by method {member.method}; only stored and deflated ones can be read"
            raise _refused(member.name, what)
        if member.method == STORED and member.compressed_size != member.size:
            raise _damaged(member.name, "it is stored, but its two sizes differ")
        if CENTRAL.unpack_from(member.record)[15] & FOLDER:
            # torch's reader then leaves the memory for its content as it found it.
            raise _refused(member.name, "is marked as a folder, and torch reads no content of those")
        start = self.data_offset(member, as_torch=as_torch)
        if start + member.compressed_size > self.end.directory_offset:
            raise _damaged(member.name, "it does not fit into the archive (truncated?)")
        return start

    def _find_end(self) -> EndRecords:
        """The end records that torch's reader (miniz) takes: the last signature that leaves room for the record."""
        tail_offset = max(0, self.source.size - END.size - LOCATOR.size - END64.size - MAX16)
        tail = self.source.read_at(tail_offset, self.source.size - tail_offset)
        position = tail.rfind(END_SIGNATURE, 0, max(0, len(tail) - END.size + len(END_SIGNATURE)))
        if position < 0:
            raise (
                ArtifactError(_CUT_SHORT, advice=DAMAGED)
                if self._begins_well()
                else ArtifactError("not a zip archive", advice=FOREIGN)
            )
        _, disk, first_disk, entries_here, entries, size, offset, _ = END.unpack_from(tail, position)
        end_offset = limit = tail_offset + position
        end64_offset = None
        locator = position - LOCATOR.size
        if locator >= 0 and tail.startswith(LOCATOR_SIGNATURE, locator):
            _, _, end64_offset, disks = LOCATOR.unpack_from(tail, locator)
            limit = end64_offset
            narrow = ((entries_here, MAX16), (entries, MAX16), (size, MAX32), (offset, MAX32))
            disk, first_disk, *wide = self._wide_end(end64_offset, tail_offset + locator)
            # Readers differ in which of the two records they believe, so they must say the same.
            if any(value not in {top, real} for (value, top), real in zip(narrow, wide, strict=True)):
                raise _broken("its two end records contradict each other").of_readers()
            entries_here, entries, size, offset = wide
            disk = max(disk, disks - 1)
        if disk > 0 or first_disk or entries_here != entries:
            raise ArtifactError("the zip archive is split over several files, which no torch reads")
        if offset + size > limit:
            raise _broken("its directory does not fit into the file (truncated?)")
        return EndRecords(offset, size, entries, end_offset, end64_offset)

    def _wide_end(self, offset: int, locator_offset: int) -> tuple[int, ...]:
        """The zip64 end record, from the field that tells its disk on."""
        record = self.source.read_at(offset, END64.size) if offset + END64.size <= locator_offset else b""
        if not record.startswith(END64_SIGNATURE):
            raise self._misplaced(
                END64_SIGNATURE, locator_offset - END64.size, offset, "its zip64 end record is not where it should be"
            )
        if offset + END64.size != locator_offset:
            # torch goes by the offset that the locator tells, zipfile (in the flat layout) takes it to stand before it.
            raise _broken(
                "something stands between its zip64 end record and the locator that points to it, so that readers "
                "disagree on where it is"
            ).of_readers()
        return END64.unpack(record)[4:]

    def _read_directory(self) -> dict[str, Member]:
        end, limits = self.end, self.limits
        if end.entries > limits.members:
            raise ArtifactError(
                f"the zip archive has {end.entries} members, and the limit is {limits.members}: {raise_it('members')}"
            ).of_limits()
        if end.directory_size > max(end.entries * LARGE_RECORD, LARGE_DIRECTORY):
            raise _broken(f"its directory of {end.directory_size} bytes lists {end.entries} members")
        directory = self.source.read_at(end.directory_offset, end.directory_size)
        following = end.end_offset if end.end64_offset is None else end.end64_offset
        if directory and not directory.startswith(CENTRAL_SIGNATURE):
            raise self._misplaced(
                CENTRAL_SIGNATURE,
                following - end.directory_size,
                end.directory_offset,
                "there is no directory where its end record says",
            )
        if end.directory_offset + end.directory_size != following:
            # torch goes by the offset that the end record tells, others take the directory to stand right before it.
            raise _broken(
                "something stands between its directory and the end record, so that readers disagree on where it is"
            ).of_readers()
        members: dict[str, Member] = {}
        position = 0
        while position < len(directory) and len(members) <= end.entries:
            member = _central_member(directory, position)
            if member.name in members:
                what = "is in the archive twice: which one is meant depends on the reader"
                raise _refused(member.name, what).of_readers()
            if member.header_offset + LOCAL.size > end.directory_offset:
                raise _damaged(member.name, "it does not fit into the archive (truncated?)")
            members[member.name] = member
            position += len(member.record)
        if len(members) != end.entries:
            raise _broken(f"its directory lists {len(members)} members instead of {end.entries}")
        # No writer makes members that share bytes; they make little out to be much.
        for member, other in itertools.pairwise(in_file_order(members)):
            if member.least_end > other.header_offset:
                raise _refused(member.name, f"overlaps member {quoted(other.name)} in the archive").of_readers()
        return members

    def _begins_well(self) -> bool:
        return self.source.read_at(0, len(LOCAL_SIGNATURE)) == LOCAL_SIGNATURE

    def _misplaced(self, signature: bytes, found: int, told: int, what: str) -> ArtifactError:
        """The error for a record that is not at the offset that is told; it may be where it would end well."""
        surplus = found - told
        if self.source.read_at(found, len(signature)) != signature:
            return _broken(what)
        if surplus > 0 and self._begins_well():  # then the end that was found is that of an archive inside it
            return ArtifactError(_CUT_SHORT, advice=DAMAGED)
        if surplus > 0:
            return ArtifactError(
                f"{surplus} foreign bytes stand before the zip archive, which torch does not read either",
                advice=REPACKED,
            )
        return _broken(f"{-surplus} of its bytes are missing")


_CUT_SHORT = "the file is cut short: the zip directory at its end is missing (truncated download or copy?)"


def _broken(what: str) -> ArtifactError:
    return ArtifactError(f"the zip archive is damaged: {what}", advice=DAMAGED)


def _damaged(member: str, what: str) -> ArtifactError:
    return ArtifactError(f"member {quoted(member)} is damaged: {what}", member=member, advice=DAMAGED)


def _refused(member: str, what: str) -> ArtifactError:
    return ArtifactError(f"member {quoted(member)} {what}", member=member)


def in_file_order(members: dict[str, Member]) -> list[Member]:
    """The members by where they stand in the file."""
    return sorted(members.values(), key=lambda member: member.header_offset)


def _inflate(member: Member, data: bytes) -> bytes:
    # One byte more than announced is asked for, so that a bomb is noticed without being inflated.
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, member.size + 1)
    except zlib.error as error:
        raise _damaged(member.name, "it cannot be inflated") from error
    if len(inflated) != member.size or not inflater.eof:
        what = f"it does not inflate to the {member.size} bytes that the directory announces"
        raise _damaged(member.name, what)
    return inflated


def _central_member(directory: bytes, position: int) -> Member:
    ended = "its directory ends in the middle of an entry"
    if position + CENTRAL.size > len(directory) or not directory.startswith(CENTRAL_SIGNATURE, position):
        raise _broken(ended)
    fields = CENTRAL.unpack_from(directory, position)
    _, _, _, flags, method, _, _, crc, compressed_size, size, name_length, extra_length, comment_length, *_ = fields
    offset = fields[-1]
    record = directory[position : position + CENTRAL.size + name_length + extra_length + comment_length]
    if len(record) < CENTRAL.size + name_length + extra_length + comment_length:
        raise _broken(ended)
    # torch's reader goes by the raw bytes and its writer writes UTF-8: code page 437, the format's old default, is out.
    name = record[CENTRAL.size : CENTRAL.size + name_length].decode("utf-8", "surrogateescape")
    if "\0" in name:
        raise _refused(name, "has a NUL in its name: readers disagree on what it is called").of_readers()
    extra = record[CENTRAL.size + name_length : CENTRAL.size + name_length + extra_length]
    if extra and any(kind == EXTRA_UNICODE_PATH for kind, _, _ in extra_fields(extra)):
        raise _refused(name, "has a second name in an extra field: readers disagree on what it is called").of_readers()
    places = [size, compressed_size, offset]
    if MAX32 in places:
        # What says "see zip64" stands in its extra field, in this order.
        wide = extra_field(extra, EXTRA_ZIP64)
        for index in (index for index, value in enumerate(places) if value == MAX32):
            if len(wide) < 8:
                raise _damaged(name, "its zip64 sizes are missing")
            places[index], wide = int.from_bytes(wide[:8], "little"), wide[8:]
    size, compressed_size, offset = places
    return Member(name, method, flags, crc, compressed_size, size, offset, record)


def extra_fields(extra: bytes) -> list[tuple[int, int, int]]:
    """The fields of an extra block as (id, start of the field's body, its length), up to where it is malformed."""
    fields = []
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if position + 4 + length > len(extra):
            break
        fields.append((kind, position + 4, length))
        position += 4 + length
    return fields


def extra_field(extra: bytes, kind: int) -> bytes:
    """The body of the first extra field of a kind; empty where there is none."""
    found = (extra[start : start + length] for other, start, length in extra_fields(extra) if other == kind)
    return next(found, b"")


def encoded_name(name: str) -> bytes:
    """A member's name as it stands in the archive."""
    return name.encode("utf-8", "surrogateescape")


def folded(name: str) -> bytes:
    """What torch's reader (miniz) compares of a member's name: it ignores the case of ASCII letters only."""
    return encoded_name(name).lower()


def quoted(name: str) -> str:
    """A name as messages show it: in double quotes, with what can't be printed on one line escaped."""
    return '"' + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name) + '"'
