"""Where a rewritten archive goes: a file or a buffer, written front to back."""

from __future__ import annotations

import errno
import os
import sys
from typing import BinaryIO

from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.source import ByteSource, FileSource

CHUNK = 1 << 20
"""How many bytes are in memory at most while a member is copied."""
KERNEL_CHUNK = 1 << 30
NO_KERNEL_COPY = {errno.EXDEV, errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP, errno.EPERM, errno.ETXTBSY, errno.EBADF}
"""What ``copy_file_range`` says of file systems (or kernels) that it can't serve."""


class Output:
    """Counts what is written; ``position`` is the number of bytes so far.

    What is copied piece by piece, but stands together in the source, is copied in one go: a file system that can share
    blocks between files (btrfs, XFS) does so for whole blocks only, and members seldom begin at one. torch puts the
    weights first, so that they are one piece up to the program.
    """

    def __init__(self, out: BinaryIO | int) -> None:
        self.position = 0
        self._descriptor = out if isinstance(out, int) else None
        self._stream = None if isinstance(out, int) else out
        self._kernel_copies = self._descriptor is not None and sys.platform == "linux"
        self._pending: tuple[ByteSource, int, int] | None = None
        """Source, offset and length of what is still to be copied."""

    def write(self, data: bytes) -> None:
        self._copy_pending()
        self._write(data)
        self.position += len(data)

    def copy(self, source: ByteSource, offset: int, length: int) -> None:
        """Copies ``length`` bytes at ``offset`` of the source, in the kernel (or by reference) where it can do that.

        Errors may come up as late as in :meth:`flush`.
        """
        if self._pending is not None:
            pending, start, so_far = self._pending
            if pending is source and start + so_far == offset:
                self._pending = (source, start, so_far + length)
                self.position += length
                return
            self._copy_pending()
        self._pending = (source, offset, length)
        self.position += length

    def flush(self) -> None:
        self._copy_pending()
        if self._stream is not None:
            self._stream.flush()

    def _write(self, data: bytes) -> None:
        if self._stream is not None:
            self._stream.write(data)
        elif self._descriptor is not None:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def _copy_pending(self) -> None:
        if self._pending is None:
            return
        (source, offset, length), self._pending = self._pending, None
        if self._kernel_copies and isinstance(source, FileSource):
            copied = self._copy_in_kernel(source, offset, length)
            offset += copied
            length -= copied
        while length > 0:
            chunk = source.read_at(offset, min(length, CHUNK))
            if not chunk:
                raise ArtifactError("the file became shorter while it was copied: run graphlint again")
            self._write(chunk)
            offset += len(chunk)
            length -= len(chunk)

    def _copy_in_kernel(self, source: FileSource, offset: int, length: int) -> int:
        """How many bytes were copied: fewer than asked for where the kernel can't go on."""
        copied = 0
        if sys.platform == "linux" and self._descriptor is not None:
            while copied < length:
                try:
                    count = os.copy_file_range(
                        source.descriptor, self._descriptor, min(length - copied, KERNEL_CHUNK), offset + copied
                    )
                except OSError as error:
                    if error.errno not in NO_KERNEL_COPY:
                        raise
                    self._kernel_copies = False
                    break
                if count == 0:  # the end of the file, or a file system that pretends so
                    break
                copied += count
        return copied
