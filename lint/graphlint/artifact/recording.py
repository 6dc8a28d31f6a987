"""A file that remembers what was read of it: all that a result can depend on."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable

from graphlint.artifact.source import ByteSource, FileSource

DIGEST_SIZE = 32
LIMIT = 1 << 28
"""How many bytes are recorded at most. More than that is a copy of weights rather than the reading of programs."""


class RecordedFile(FileSource):
    """A regular file, open for reading, that keeps a digest of everything that is read from it, in order.

    Reading is deterministic: which bytes are asked for next depends on those before, and on the file's size. A file of
    the same size with the same bytes in these places is therefore read in the same way, to the same result, whatever it
    holds elsewhere. So the digest covers the directory of the archive and the members that were looked at, and no byte
    of the weights.
    """

    def __init__(self, path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> None:
        self.opened_ns = time.time_ns()
        super().__init__(path)
        self.status = os.fstat(self.descriptor)
        self.reads: list[tuple[int, int]] = []
        """Offset and length (in bytes) of each read, as they were asked for."""
        self._digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
        self._recorded = 0

    @property
    def complete(self) -> bool:
        """Whether everything that was read, and anything at all, is in the digest."""
        return 0 < self._recorded <= LIMIT

    @property
    def digest(self) -> bytes:
        """Of what was read so far."""
        return self._digest.digest()

    def read_at(self, offset: int, length: int) -> bytes:
        data = super().read_at(offset, length)
        self._recorded += len(data)
        if self._recorded <= LIMIT:
            self.reads.append((offset, length))
            self._digest.update(data)
        return data


def digest_of(source: ByteSource, reads: Iterable[tuple[int, int]]) -> bytes:
    """The digest that a :class:`RecordedFile` of the same content has after these reads."""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    for offset, length in reads:
        digest.update(source.read_at(offset, length))
    return digest.digest()
