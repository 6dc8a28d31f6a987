"""A rewritten archive: some members changed, everything else copied byte for byte, put in the old one's place
completely or not at all.

Members are copied as whole spans of the file (local header, data, data descriptor, whatever follows up to the next
member), so what this module does not know is kept too. A member is only looked into when it moves: torch pads each
local header so that the data starts at a multiple of 64 bytes, because weights get mapped into memory, and that padding
depends on where the member stands. Archives without such padding (torch 2.7 and before) stay without.

A replaced member stays at its place, a removed one leaves no trace. A new one goes behind the last member of its own
folder, as torch would have written it, else behind all others: never to the front, since torch takes the first member's
folder as the root.

A temporary file is locked while its run lives, and removed by the next run when that was killed. The lock (``flock``)
goes with the process, however it ends, so a file that can be locked is nobody's any more. Where locks are not to be had
(some network file systems) the files stay. Windows needs none: it does not remove open files.
"""

# os instead of pathlib: file names are bytes here (their length in bytes counts), and loading pathlib takes time.

import contextlib
import errno
import itertools
import os
import re
import stat
import struct
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO

from graphlint.artifact.container import (
    CENTRAL,
    DEFLATED,
    END,
    END64,
    END64_SIGNATURE,
    EXTRA_ZIP64,
    FLAG_DESCRIPTOR,
    FLAG_UTF8,
    LOCAL,
    LOCATOR,
    LOCATOR_SIGNATURE,
    MAX16,
    MAX32,
    STORED,
    Container,
    EndRecords,
    Member,
    encoded_name,
    extra_field,
    extra_fields,
    in_file_order,
    quoted,
)
from graphlint.artifact.errors import ArtifactError, WriteError
from graphlint.artifact.source import AnyPath, ByteSource, FileSource, reason_of

Changes = Mapping[str, bytes | None]
"""Member name to new content, None for a member that is to go."""

DESCRIPTOR_SIGNATURE = b"PK\x07\x08"
EXTRA_PADDING = 0x4246
"""The bytes ``FB``: the filler by which torch aligns a member's data."""
ALIGNMENT = 64
"""torch's ``kFieldAlignment`` (caffe2/serialize/inline_container.h)."""
ZIP64_VERSION = 45
"""The version (4.5) that a reader must support to read zip64 records."""
CHUNK = 1 << 20
"""How many bytes are in memory at most while a member is copied."""
KERNEL_CHUNK = 1 << 30
NO_KERNEL_COPY = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY, errno.EBADF}
"""What ``copy_file_range`` says of file systems (or kernels) that it can't serve."""

TEMPORARY = re.compile(r"(?=\.).*\.graphlint-[0-9a-f]{8}\.tmp", re.DOTALL)
NAME_BUDGET = 100
"""How many bytes of the file's name its temporary file's name takes over; the shortest limit in use is 143 bytes."""
GRACE_SECONDS = 60.0
"""On Windows a file is closed for an instant before it is renamed: only older ones count as left behind."""
WHAT_NEXT = {
    errno.ENOSPC: "free some space on that disk and run graphlint again",
    errno.EDQUOT: "free some of your disk quota and run graphlint again",
    errno.EACCES: "graphlint needs the right to create a file in that folder",
    errno.EPERM: "graphlint needs the right to create and replace files in that folder",
    errno.EROFS: "copy the artifact to a disk that can be written to",
    errno.EFBIG: "the file system or a limit of the shell (ulimit -f) does not admit files of this size",
}


def write_archive(container: Container, changes: Changes, out: BinaryIO | int, *, before: str | None = None) -> None:
    """Writes the container's archive with ``changes`` to a file object or descriptor.

    No new content may have 4 GiB. ``before`` is the member that new ones are put in front of, instead of the default
    place. Without changes the result is the same file, byte for byte. Raises ArtifactError when a member that has to be
    moved is damaged, and OSError when ``out`` cannot be written.
    """
    members, ordered, end = container.members, in_file_order(container.members), container.end
    if ordered and ordered[-1].least_end > end.directory_offset:  # the container has seen to the others
        raise _overlapping(ordered[-1])
    starts = [*(member.header_offset for member in ordered), end.directory_offset]
    ends = dict(zip((member.name for member in ordered), starts[1:], strict=True))
    order, listed = _orders(container, ends, changes, before)
    # Whose style (flags, padding, dates, attributes) new members take on: that of a replaced one, else of the first.
    replaced = (members[name] for name, data in changes.items() if name in members and data is not None)
    files = (member for name, member in members.items() if not name.endswith("/"))
    template = next(itertools.chain(replaced, files))
    layout = _Layout(container)
    layout.copy(0, starts[0])
    records: dict[str, bytes] = {}
    for name in order:
        data = changes.get(name)
        if data is None:
            records[name] = layout.copy_member(members[name], ends[name])
        else:
            records[name] = layout.add_changed(name, data, members.get(name), template)
    offset = layout.position
    layout.add(b"".join(records[name] for name in listed))
    start = end.directory_offset + end.directory_size
    tail = container.source.read_at(start, container.source.size - start)
    layout.add(_end_records(end, tail, len(order), offset, layout.position - offset))
    for piece in layout.pieces:
        if isinstance(piece, bytes):
            _write(piece, out)
        else:
            _copy(container.source, *piece, out)


def _orders(
    container: Container, present: Iterable[str], changes: Changes, before: str | None
) -> tuple[list[str], list[str]]:
    """The members of the new archive as they stand in the file, given those of the old one, and in the directory. That
    keeps its order; new members follow the one that they follow in the file.
    """
    order, listed = (
        [name for name in names if changes.get(name, b"") is not None] for names in (present, container.members)
    )
    for name, data in changes.items():
        if name in container.members or data is None:
            continue
        folder = name.rpartition("/")[0]
        beside = [place for place, other in enumerate(order, 1) if other.rpartition("/")[0] == folder]
        place = order.index(before) if before in order else beside[-1] if beside else len(order)
        listed.insert(listed.index(order[place - 1]) + 1 if place else 0, name)
        order.insert(place, name)
    return order, listed


def _write(data: bytes, out: BinaryIO | int) -> None:
    if not isinstance(out, int):
        out.write(data)
        return
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(out, rest) :]


def _copy(source: ByteSource, offset: int, end: int, out: BinaryIO | int) -> None:
    """Copies a part of the old file, in the kernel (or by reference) where it can do that."""
    if sys.platform == "linux" and isinstance(source, FileSource) and isinstance(out, int):
        try:
            while offset < end:
                count = os.copy_file_range(source.descriptor, out, min(end - offset, KERNEL_CHUNK), offset)
                if not count:  # which the kernel says of a file that ends, and of some that it can't copy
                    break
                offset += count
        except OSError as error:
            if error.errno not in NO_KERNEL_COPY:
                raise
    while offset < end:
        chunk = source.read_at(offset, min(end - offset, CHUNK))
        if not chunk:
            raise ArtifactError("the file became shorter while it was copied: run graphlint again")
        _write(chunk, out)
        offset += len(chunk)


class _Layout:
    """An archive to be, front to back; ``position`` is the number of bytes so far."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.position = 0
        self.pieces: list[bytes | tuple[int, int]] = []
        """What is new, or start and end of what is copied from the old file. What stands together is copied in one go:
        a file system that can share blocks between files (btrfs, XFS) does so for whole blocks only, and members seldom
        begin at one. torch puts the weights first."""
        self.alignment = ALIGNMENT
        """What padded members are aligned to (bytes): torch.save notes it when it is not the default."""
        name = f"{next(iter(container.members), '').partition('/')[0]}/.storage_alignment"
        if name in container.members:
            text = container.read(name, limit=1 << 10)
            if text.isdigit() and 1 <= int(text) <= 1 << 15:
                self.alignment = int(text)

    def add(self, data: bytes) -> None:
        self.pieces.append(data)
        self.position += len(data)

    def copy(self, start: int, end: int) -> None:
        self.position += end - start
        last = self.pieces[-1] if self.pieces else b""
        if isinstance(last, tuple) and last[1] == start:
            start = last[0]
            del self.pieces[-1]
        self.pieces.append((start, end))

    def copy_member(self, member: Member, span_end: int) -> bytes:
        """Copies a member's span and returns its central record."""
        offset = self.position
        if offset == member.header_offset:
            self.copy(offset, span_end)
            return member.record
        header = self._header(member)
        start = self.container.data_offset(member)
        if start + member.compressed_size > span_end:  # by its local header, which may be longer than least_end knows
            raise _overlapping(member)
        # torch also puts the offset of members beyond 4 GiB into the zip64 field of their *local* header; nobody reads
        # it there, but it should not lie.
        old, new = struct.pack("<Q", member.header_offset), struct.pack("<Q", offset)
        for kind, at, length in extra_fields(header.extra):
            if kind == EXTRA_ZIP64 and length in {8, 24} and header.extra[at : at + length].endswith(old):
                header.extra = header.extra[: at + length - 8] + new + header.extra[at + length :]
        if header.is_padded:
            header.pad(offset, self.alignment)
        self.add(header.packed())
        self.copy(start, span_end)
        return moved_central_record(member.record, offset)

    def add_changed(self, name: str, data: bytes, old: Member | None, template: Member) -> bytes:
        """Adds a replaced or new member in the style of the old one or ``template``, and returns its central record.

        Versions, flags, time, date and attributes are taken on. A replaced member keeps its extra fields, but for sizes
        and padding, and its comment too.
        """
        offset, model = self.position, old or template
        local, central = self._header(model), Header(CENTRAL, model.record)
        padded = local.is_padded
        if old is None:
            local.extra = central.extra = central.comment = b""
        method = DEFLATED if old is not None and old.method == DEFLATED else STORED
        content = data
        if method == DEFLATED:
            compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
            content = compressor.compress(data) + compressor.flush()
        sizes = (zlib.crc32(data), len(content), len(data))
        flags = local.fields[2] & (FLAG_DESCRIPTOR | FLAG_UTF8) | (0 if name.isascii() else FLAG_UTF8)
        for header in (local, central):
            header.name, header.extra = encoded_name(name), without_field(header.extra, EXTRA_ZIP64)
            header.set(2, flags, method)
            header.set(6, *sizes)
        if flags & FLAG_DESCRIPTOR:
            local.set(6, 0, 0, 0)
        if padded:
            local.pad(offset, self.alignment)
        self.add(local.packed())
        self.add(content)
        if flags & FLAG_DESCRIPTOR:
            self.add(struct.pack("<4s3I", DESCRIPTOR_SIGNATURE, *sizes))
        central.fields[13] = central.fields[16] = 0  # no other disk, and no offset in a zip64 field
        return moved_central_record(central.packed(), offset)

    def _header(self, member: Member) -> "Header":
        length = self.container.data_offset(member) - member.header_offset
        return Header(LOCAL, self.container.source.read_at(member.header_offset, length))


class Header:
    """A member's local header or central record, taken apart."""

    def __init__(self, layout: struct.Struct, record: bytes) -> None:
        self._layout = layout
        self._shift = 0 if layout is LOCAL else 1
        """A central record is a local header with one more field in front, and more behind its lengths."""
        self.fields = list(layout.unpack_from(record))
        extra_at = layout.size + self.fields[9 + self._shift]
        comment_at = extra_at + self.fields[10 + self._shift]
        self.name, self.extra = record[layout.size : extra_at], record[extra_at:comment_at]
        self.comment = record[comment_at:]

    @property
    def is_padded(self) -> bool:
        return any(kind == EXTRA_PADDING for kind, _, _ in extra_fields(self.extra))

    def set(self, place: int, *values: int) -> None:
        """Sets fields, counted as in a local header."""
        self.fields[place + self._shift : place + self._shift + len(values)] = values

    def widen(self, wide: bytes) -> None:
        """Gives it a zip64 field, and raises the version needed to that of zip64; torch writes 0 and means to say
        nothing by that.
        """
        self.extra = struct.pack("<2H", EXTRA_ZIP64, len(wide)) + wide + without_field(self.extra, EXTRA_ZIP64)
        version = self.fields[1 + self._shift]
        self.set(1, max(version, ZIP64_VERSION) if version else 0)

    def pad(self, offset: int, alignment: int) -> None:
        """Gives it a filler field, so that what follows starts at a multiple where the header stands at ``offset``."""
        self.extra = without_field(self.extra, EXTRA_PADDING)
        length = -(offset + self._layout.size + len(self.name) + len(self.extra) + 4) % alignment
        self.extra += struct.pack("<2H", EXTRA_PADDING, length) + b"Z" * length

    def packed(self) -> bytes:
        self.set(9, *[len(self.name), len(self.extra), len(self.comment)][: 2 + self._shift])
        return self._layout.pack(*self.fields) + self.name + self.extra + self.comment


def moved_central_record(record: bytes, offset: int) -> bytes:
    """A central record with another offset; the offset stays in the zip64 field where it stands in one."""
    header = Header(CENTRAL, record)
    compressed_size, size, old_offset = header.fields[8], header.fields[9], header.fields[16]
    header.fields[16] = min(offset, MAX32)
    if old_offset == MAX32 or offset >= MAX32:
        # The field holds what is marked by all ones, in this order: size, compressed size, offset, disk.
        wide = extra_field(header.extra, EXTRA_ZIP64)
        position = 8 * (size == MAX32) + 8 * (compressed_size == MAX32)
        rest = wide[position + 8 :] if old_offset == MAX32 else wide[position:]
        header.widen(wide[:position] + struct.pack("<Q", offset) + rest)
        header.fields[16] = MAX32
    return header.packed()


def _end_records(old: EndRecords, tail: bytes, entries: int, offset: int, size: int) -> bytes:
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
        place = (0, 0, entries, entries, size, offset)
        end64 = END64.pack(END64_SIGNATURE, END64.size - 12, ZIP64_VERSION, ZIP64_VERSION, *place)
        result[end_at:end_at] = end64 + LOCATOR.pack(LOCATOR_SIGNATURE, 0, offset + size + end_at, 1)
    return bytes(result)


def _overlapping(member: Member) -> ArtifactError:
    return ArtifactError(f"member {quoted(member.name)} overlaps what follows it in the archive", member=member.name)


def without_field(extra: bytes, kind: int) -> bytes:
    """An extra block without the fields of one kind; what is malformed at its end is kept."""
    for found, start, length in reversed(extra_fields(extra)):
        if found == kind:
            extra = extra[: start - 4] + extra[start + length :]
    return extra


class PendingReplacement:
    """A rewritten archive beside the one at ``path``, which ``container`` was opened on.

    ::

        with PendingReplacement(path, container, changes) as pending:
            ...  # look at pending.path: the new archive, complete
            pending.commit()

    Without ``commit`` the artifact stays as it is, and the temporary file is removed. Raises WriteError when it cannot
    be written, and ArtifactError when the old archive turns out to be damaged; the old one is untouched in both cases.
    """

    def __init__(self, path: AnyPath, container: Container, changes: Changes) -> None:
        self._given = self.target = os.fsdecode(path)
        """``target``: the file itself, where the given path is a symbolic link."""
        self._container = container
        self._changes = changes
        self._descriptor = -1
        self.path = ""
        """The temporary file, in the folder of the file that it may replace."""
        self.other_names = 0
        """How many hard links the old file has besides, once it is replaced: they keep the old content."""

    def __enter__(self) -> "PendingReplacement":  # noqa: PYI034 - it has no subclasses
        try:
            with self._writing():
                # A symbolic link stays what it is: the file that it points to is replaced.
                self.target = os.path.realpath(self._given, strict=True)
                self._status()
                # What a killed run left may be what the disk has no room for.
                remove_leftovers(os.path.dirname(self.target))
                self.path, self._descriptor = create_temporary(self.target)
                write_archive(self._container, self._changes, self._descriptor)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._discard()

    def commit(self) -> None:
        """Replaces the artifact by the new archive, with the same mode, owner (where permitted), access control list
        and attributes. Its times are new: what is built of it has to be built again.

        Other hard links to the old file keep the old content: the name gets a new file, since writing into the shared
        one could tear it. On Windows the container is closed first, as open files cannot be replaced there.
        """
        with self._writing():
            _take_over_attributes(self.target, self._status(), self._descriptor, self.path)
            os.fsync(self._descriptor)
            if sys.platform == "win32":
                self._close()
                self._container.close()
            # As late as can be. A writer in the instant that is left would win or lose, but nothing would be torn.
            self.other_names = max(self._status().st_nlink - 1, 0)
            os.replace(self.path, self.target)
            self.path = ""
        if sys.platform != "win32":
            # The replacement is to survive a crash of the machine, on file systems that offer that. Failing is no
            # error: the new archive already stands in its place.
            with contextlib.suppress(OSError):
                folder = os.open(os.path.dirname(self.target), os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = WHAT_NEXT.get(error.errno or 0)
            raise WriteError(
                f"{quoted(self.target)} cannot be rewritten and is unchanged: {reason_of(error)}"
                + (f" ({advice})" if advice else "")
            ) from error

    def _status(self) -> os.stat_result:
        """The file's. Refuses one that is not the one that was read any more, and one that is read-only."""
        status, source = os.stat(self.target), self._container.source
        if isinstance(source, FileSource) and _content_stamp(status) != _content_stamp(source.status):
            raise WriteError(
                f"{quoted(self._given)} was changed by something else meanwhile, and was not written: run graphlint "
                "again"
            )
        # Replacing a file needs no right to write it, only its folder. But who made it read-only wants it to stay, and
        # root, who may do everything, is told by the mode bits alone.
        if not status.st_mode & 0o222 or not os.access(self.target, os.W_OK):
            raise WriteError(f"{quoted(self._given)} is read-only, and was not written: make it writable")
        return status

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # what can fail was found out by fsync
                os.close(descriptor)

    def _discard(self) -> None:
        if sys.platform == "win32":
            self._close()  # open files can't be removed there
        path, self.path = self.path, ""
        if path:
            with contextlib.suppress(OSError):
                os.unlink(path)
        self._close()  # only now: with its lock gone, the file would look like a dead run's


def _content_stamp(status: os.stat_result) -> tuple[int, ...]:
    """What tells that a file is still the one that was opened, and with the same content."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _take_over_attributes(target: str, status: os.stat_result, descriptor: int, path: str) -> None:
    """Gives the new file the old one's owner, extended attributes (with them its access control list) and mode."""
    if sys.platform == "win32":
        os.chmod(path, stat.S_IMODE(status.st_mode))
        return
    mode = stat.S_IMODE(status.st_mode)
    new = os.fstat(descriptor)
    # Each by itself: who may not give a file away may still put it into another of their groups.
    if new.st_gid != status.st_gid:
        try:
            os.fchown(descriptor, -1, status.st_gid)
        except OSError:
            mode &= ~0o2070  # what the old group might do is not for the new one, as with vim and rsync
    if new.st_uid != status.st_uid:
        try:
            os.fchown(descriptor, status.st_uid, -1)
        except OSError:
            mode &= ~stat.S_ISUID
    if sys.platform == "linux":
        # The attributes of some classes (security.*, trusted.*) need privileges; not having them is no reason to fail.
        with contextlib.suppress(OSError):
            names = os.listxattr(target)
            # The folder may have given the new file an access control list that the old one does not have.
            for name in set(os.listxattr(descriptor)) - set(names):
                with contextlib.suppress(OSError):
                    os.removexattr(descriptor, name)
            for name in names:
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(target, name))
    os.fchmod(descriptor, mode)


def create_temporary(target: str) -> tuple[str, int]:
    """A new, locked file beside ``target``, for its owner only: path and descriptor, with which the lock goes.

    Raises OSError.
    """
    folder, name = os.path.split(target)
    while len(os.fsencode(name)) > NAME_BUDGET:
        name = name[:-1]
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        path = os.path.join(folder, f".{name}.graphlint-{os.urandom(4).hex()}.tmp")
        descriptor = -1
        try:
            descriptor = os.open(path, flags, 0o600)
            # Between these two steps another run may have taken the file for one that was left behind.
            if _locked(descriptor) is not False and os.fstat(descriptor).st_nlink:
                return path, descriptor
            os.close(descriptor)
        except FileExistsError:
            continue
        except BaseException:  # an interrupt, for one
            if descriptor >= 0:
                os.close(descriptor)
            with contextlib.suppress(OSError):
                os.unlink(path)
            raise


def remove_leftovers(folder: str) -> list[str]:
    """Removes the temporary files in a folder whose runs are dead. What fails is left alone.

    Gives the names of those with content: an empty one may be that of a living run which was just about to lock it, and
    makes another one then.
    """
    removed: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder or os.curdir) as listing:
        for entry in listing:
            if TEMPORARY.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    size = entry.stat(follow_symlinks=False).st_size
                    if _remove_if_left(entry.path) and size:
                        removed.append(entry.name)
    return sorted(removed)


def _remove_if_left(path: str) -> bool:
    if sys.platform == "win32":
        if time.time() - os.stat(path).st_mtime < GRACE_SECONDS:
            return False
        os.unlink(path)
        return True
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)  # a lock on NFS takes the right to write
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _locked(descriptor):
            return False
        # Its run may have put it in its artifact's place, or removed it, while it was opened here.
        if not os.path.samestat(status, os.lstat(path)):
            return False
        os.unlink(path)
        return True
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool | None:
    """Locks the file: True; False where another process holds the lock, None where there are no locks."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in {errno.EWOULDBLOCK, errno.EACCES} else None
    return True
