"""Results of earlier checks: an artifact that has not changed is not linted again.

An artifact has one entry, a file whose name is a digest of the artifact's path (relative to the cache, so that both can
move). It holds the result and its *basis*: which bytes of the artifact were read for it, and a digest of them. In front
stands a seal: a digest of all that, of the artifact's stamp, of the settings and of graphlint itself. A result holds as
long as the seal is that of today, and the bytes are what they were: times alone do not tell, for they can be set back,
and some file systems have no change time. Only what no result depends on, the values of weights, may change unnoticed
where size, times and inode stay the same.

An artifact that was written less than :data:`RACY_NS` before a check gets no entry. A cache never fails a run: whatever
goes wrong with an entry means that there is none. Entries of other users count for nothing, as they could say of any
file that it is clean. Entries are replaced in one step, so that runs can share a cache.
"""

# Importing pathlib, tempfile and shutil would cost more than a lookup does.

import contextlib
import functools
import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterable, Iterator

import msgspec

from graphlint import __version__
from graphlint.artifact.source import READS
from graphlint.report.results import FileResult
from graphlint.rules.settings import Acceptance, Settings

TAG, SUFFIX = "CACHEDIR.TAG", ".entry"
MARKS = {
    TAG: b"Signature: 8a477f597d28d172789f06886806bc55\n"  # of https://bford.info/cachedir/
    b"# Results of graphlint. It is safe to remove this folder; `graphlint clean` does.\n",
    ".gitignore": b"# Made by graphlint\n*\n",
}
"""What tells backups and version control to leave a cache alone."""
RACY_NS = 2 * 10**9
"""The coarsest clock in use is that of FAT."""
SEAL_SIZE = DIGEST_SIZE = 16
LARGEST = 1 << 28
"""Bytes of an entry. Of thousands of findings one has a few millions."""


def stamp_of(path: str) -> tuple[int, ...] | None:
    """What tells that the file at ``path`` was not written to; None where it may be without another stamp."""
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        # On Windows the change time is the file's creation.
        changed_ns = 0 if sys.platform == "win32" else status.st_ctime_ns
        if max(status.st_mtime_ns, changed_ns) + RACY_NS <= time.time_ns():
            return status.st_size, status.st_mtime_ns, changed_ns, status.st_ino, status.st_dev
    return None


class Basis(contextlib.AbstractContextManager["Basis"]):
    """What a result is based on: what is read of an artifact while this is open, and its stamp before."""

    def __init__(self, path: str) -> None:
        self.stamp = stamp_of(path)
        self.reads: set[tuple[int, int]] = set()

    def __enter__(self) -> "Basis":  # noqa: PYI034 - it has no subclasses
        self._token = READS.set(self.reads)
        return self

    def __exit__(self, *_: object) -> None:
        READS.reset(self._token)


class Kept(msgspec.Struct, array_like=True):
    """An entry's content."""

    spans: list[tuple[int, int]]
    """Start and end of what was read, in order and apart."""
    digest: bytes
    result: FileResult


def spans_of(reads: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of a file that were read, put together."""
    found: list[tuple[int, int]] = []
    for start, length in sorted(reads):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(start + length, found[-1][1])
        else:
            found.append((start, start + length))
    return found


def digest_of(path: str, spans: Iterable[tuple[int, int]]) -> bytes:
    """The digest of these parts of a file. Raises OSError."""
    digest = hashlib.blake2b(digest_size=DIGEST_SIZE)
    with open(path, "rb", buffering=0) as stream:
        for start, end in spans:
            stream.seek(start)
            left = end - start
            while left and (piece := stream.read(min(left, 1 << 20))):
                digest.update(piece)
                left -= len(piece)
    return digest.digest()


def lookup(folder: str, path: str, settings: Settings) -> FileResult | None:
    """The result of checking the artifact at ``path``, if it is known."""
    with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError, RecursionError):
        data, stamp = _own_content(_entry(folder, path)), stamp_of(path)
        if stamp is not None and data[:SEAL_SIZE] == seal(settings, stamp, data[SEAL_SIZE:]):
            kept = msgspec.msgpack.decode(data[SEAL_SIZE:], type=Kept)
            if digest_of(path, kept.spans) == kept.digest:
                return _with_path(kept.result, path)
    return None


def store(folder: str, path: str, settings: Settings, basis: Basis, result: FileResult) -> None:
    """Keep the result of a check of the artifact at ``path`` in ``folder``, and what it is based on."""
    # What could not be read may be readable next time, for reasons that are not in the file.
    stamp = basis.stamp
    if result.unreadable or stamp is None or stamp_of(path) != stamp:
        return
    with contextlib.suppress(OSError, ValueError):  # a full disk, a read-only folder; names that are no text
        spans = spans_of(basis.reads)
        kept = Kept(spans, digest_of(path, spans), _with_path(result, ""))  # a path need be no text
        if stamp_of(path) != stamp:
            return
        body = msgspec.msgpack.encode(kept)
        entry = _entry(folder, path)
        _make(folder)
        temporary = f"{entry}.{os.getpid()}-{os.urandom(4).hex()}.tmp"
        try:
            with open(temporary, "xb") as stream:
                stream.write(seal(settings, stamp, body) + body)
            os.replace(temporary, entry)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def seal(settings: Settings, stamp: tuple[int, ...], body: bytes) -> bytes:
    """The digest of a result and of what it holds for."""
    # What is accepted comes after a check.
    plain = msgspec.structs.replace(settings, acceptance=Acceptance())
    held_for = msgspec.json.encode((_code(), stamp, plain), order="deterministic")
    return hashlib.blake2b(held_for + body, digest_size=SEAL_SIZE).digest()


def _entry(folder: str, path: str) -> str:
    """The entry's path. Raises ValueError across drives of Windows."""
    place = os.fsencode(os.path.relpath(os.path.abspath(path), os.path.dirname(folder)))
    return os.path.join(folder, hashlib.blake2b(place, digest_size=20).hexdigest() + SUFFIX)


def clean(folder: str) -> tuple[int, int] | None:
    """Remove the cache in ``folder``, and the folder with it unless it holds something else.

    Returns how many results that were, and their bytes; None if there was no cache. Raises OSError.
    """
    if not os.path.isdir(folder):
        return None
    files = list(_files(folder))
    for path, _ in files:
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    sizes = [status.st_size for path, status in files if path.endswith(SUFFIX)]
    return (len(sizes), sum(sizes)) if files else None


@functools.cache
def _make(folder: str) -> None:
    # A folder that is in use for something else is not ours to tag.
    if not os.path.isdir(folder) or not os.listdir(folder):
        os.makedirs(folder, exist_ok=True)
        for name, text in MARKS.items():
            with open(os.path.join(folder, name), "wb") as stream:
                stream.write(text)


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files of a cache; nothing that is not its own, and no links."""
    with os.scandir(folder) as files:
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                is_mark = file.name in MARKS and file.is_file() and _content(file.path) == MARKS[file.name]
                if file.is_file(follow_symlinks=False) and (is_mark or SUFFIX in file.name):
                    yield file.path, file.stat(follow_symlinks=False)


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _own_content(path: str) -> bytes:
    """The content of a regular file of this user's, or of the superuser's. Raises OSError, ValueError."""
    # Opening a named pipe would wait for a writer, and a link may lead to anything.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags), "rb") as stream:
        status = os.fstat(stream.fileno())
        others = sys.platform != "win32" and status.st_uid not in (0, os.geteuid())
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST or others:
            raise ValueError("it is no entry that is to be trusted")
        return stream.read()


@functools.cache
def _code() -> str:
    """What tells one graphlint from another: the version, in a checkout also size and time of each source file."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.isdir(os.path.join(os.path.dirname(package), f"graphlint-{__version__}.dist-info")):
        return __version__
    found = [__version__]
    for folder, folders, files in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            status = os.stat(os.path.join(folder, name))
            found.append(f"{name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(found)


def _with_path(result: FileResult, path: str) -> FileResult:
    diagnostics = tuple(msgspec.structs.replace(one, path=path) for one in result.diagnostics)
    return msgspec.structs.replace(result, path=path, diagnostics=diagnostics)
