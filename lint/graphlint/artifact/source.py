"""Where an archive's bytes come from: the seam between the zip container and files (or anything else)."""

import os
import stat
import sys
from typing import BinaryIO

from graphlint.artifact.errors import UnavailableError

AnyPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
SEPARATOR = "://"
_OTHERS = str.maketrans(dict.fromkeys("+-.:", "x"))
"""What a protocol may hold beside letters and digits; a colon where protocols are chained (``zip::https``)."""


class ByteSource:
    """Something of known size that can be read at any offset (in bytes)."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes at ``offset``: ``length`` of them, or fewer where the source ends."""
        raise NotImplementedError

    def expect(self, offset: int, length: int) -> None:
        """Be told that these bytes are read next, and perhaps a few behind them."""

    def close(self) -> None:
        """Lets go of what is open, if anything is."""


BLOCK = 1 << 17
"""Bytes that are fetched and kept at once: the directory of most artifacts, small members, or the whole of a small one.
"""
WINDOWS = 4
"""So many of them are kept."""


class BlockSource(ByteSource):
    """What is slow to ask: small pieces are read from larger ones that are kept for a while."""

    def __init__(self) -> None:
        self._windows: list[tuple[int, bytes]] = []
        """Where each begins; the last one is the newest."""

    def read_at(self, offset: int, length: int) -> bytes:
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        for start, data in self._windows:
            if start <= offset and offset + length <= start + len(data):
                return data[offset - start : offset - start + length]
        if length > BLOCK:
            return self._fetch(offset, length)
        start = max(min(offset, self.size - BLOCK), 0)
        data = self._keep(start, min(BLOCK, self.size - start))
        return data[offset - start : offset - start + length]

    def _keep(self, offset: int, length: int) -> bytes:
        """Fetch a window."""
        data = self._fetch(offset, length)
        self._windows = [*self._windows[1 - WINDOWS :], (offset, data)]
        return data

    def _fetch(self, offset: int, length: int) -> bytes:
        """The bytes themselves: ``length`` of them, or fewer where the source ends before it should."""
        raise NotImplementedError

    def close(self) -> None:
        self._windows = []


class FileSource(BlockSource):
    """A regular file, open for reading."""

    def __init__(self, path: AnyPath) -> None:
        super().__init__()
        # O_NONBLOCK: opening a named pipe would otherwise wait for a writer.
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            self.descriptor = os.open(path, flags)
        except OSError as error:
            # Windows can't open a folder at all and calls that "permission denied".
            reason = "it is a folder" if sys.platform == "win32" and os.path.isdir(path) else reason_of(error)
            raise UnavailableError(f"cannot be read: {reason}") from error
        except ValueError as error:  # a NUL in the name
            raise UnavailableError(f"cannot be read: {error}") from error
        self.status = os.fstat(self.descriptor)
        if not stat.S_ISREG(self.status.st_mode):
            self.close()
            what = "it is a folder" if stat.S_ISDIR(self.status.st_mode) else "not a regular file"
            raise UnavailableError(f"cannot be read: {what}")
        self.size = self.status.st_size

    def _fetch(self, offset: int, length: int) -> bytes:
        pieces: list[bytes] = []
        try:
            os.lseek(self.descriptor, offset, os.SEEK_SET)
            while length > 0 and (piece := os.read(self.descriptor, min(length, 1 << 30))):
                pieces.append(piece)
                length -= len(piece)
        except OSError as error:
            raise UnavailableError(f"cannot be read: {reason_of(error)}") from error
        return b"".join(pieces)

    def close(self) -> None:
        super().close()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class BytesSource(ByteSource):
    """Bytes in memory: an archive inside an archive."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        return self.data[offset : offset + length]


class StreamSource(ByteSource):
    """A binary file object that can seek. It is left open, at the position that it had."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._position = stream.tell()
        self.size = stream.seek(0, os.SEEK_END)

    def read_at(self, offset: int, length: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(length)

    def close(self) -> None:
        self._stream.seek(self._position)


class SectionSource(ByteSource):
    """A part of another source: a stored member of an archive. Closing it leaves the other one open."""

    def __init__(self, source: ByteSource, offset: int, size: int) -> None:
        self.size = size
        self._source = source
        self._offset = offset

    def read_at(self, offset: int, length: int) -> bytes:
        return self._source.read_at(self._offset + offset, max(min(length, self.size - offset), 0))


def is_url(path: str) -> bool:
    """Whether ``path`` begins with a protocol (``s3://``): letters, digits, ``+``, ``-`` and ``.``, then ``://``."""
    protocol, separator, _ = path.partition(SEPARATOR)
    # One letter is a drive of Windows.
    return bool(separator) and len(protocol) > 1 and protocol.isascii() and protocol.translate(_OTHERS).isalnum()


def reason_of(error: OSError) -> str:
    """The system's words for an error, without number and path, the same on every platform."""
    return os.strerror(error.errno) if error.errno else str(error) or type(error).__name__
