"""Results of earlier checks: an artifact that has not changed is not linted again.

An entry is a file. Its name is a digest of the artifact's path (relative to the cache, so that both can move), of the
settings and of graphlint itself; its content is the result, the artifact's stamp, and a digest of all that was read of
the artifact (:mod:`graphlint.artifact.recording`). The stamp is size, modification and change time, inode and device. A
result is taken over

- when the stamp is the same and older than the entry by :data:`RACY_NS` or more: a file that was written after it was
  linted, but within the resolution of the file system's clock, would show the same stamp;
- otherwise when what was read then is, byte for byte, what stands there now. The entry then gets the new stamp.

Content that changes while size, times and inode stay the same is not noticed. On POSIX systems no program can do that,
as the change time is the system's; Windows has no change time there.

Whatever goes wrong with an entry means that there is none: a cache never fails a run. Entries are replaced in one step,
so that runs can share a cache; those that were not used for :data:`KEPT_NS` are dropped, and the oldest beyond
:data:`MOST_ENTRIES`.
"""

# Importing pathlib, tempfile and shutil would cost more than a lookup does.

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
import time
from collections.abc import Iterator

import msgspec

from graphlint import __version__
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.recording import RecordedFile, digest_of
from graphlint.artifact.source import FileSource
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic, SourceFrame
from graphlint.rules.settings import Settings

TAG = "CACHEDIR.TAG"
TAG_TEXT = (
    "Signature: 8a477f597d28d172789f06886806bc55\n"  # of https://bford.info/cachedir/
    "# Results of graphlint. It is safe to remove this folder; `graphlint clean` does.\n"
)
IGNORE_TEXT = "# Made by graphlint\n*\n"
SUFFIX = ".entry"
TEMPORARY = ".tmp"
PRUNED = "pruned"

RACY_NS = 2 * 10**9
"""The coarsest clock in use is that of FAT."""
DAY_NS = 24 * 3600 * 10**9
KEPT_NS = 30 * DAY_NS
MOST_ENTRIES = 20_000
CHECKSUM_SIZE = 16


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """What tells that a file was not written to."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """The stamp in what the system says of a file."""
        # On Windows that time is the file's creation.
        changed_ns = 0 if sys.platform == "win32" else status.st_ctime_ns
        return cls(status.st_size, status.st_mtime_ns, changed_ns, status.st_ino, status.st_dev)

    def is_older_than(self, time_ns: int) -> bool:
        """Whether a file that was read at that time cannot have been written since without another stamp."""
        return max(self.modified_ns, self.changed_ns) + RACY_NS <= time_ns


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a check finds, without the path that each finding repeats."""

    diagnostics: tuple[Diagnostic, ...] = ()
    programs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    frames: tuple[SourceFrame, ...] = ()

    @classmethod
    def of(cls, result: FileResult) -> Kept | None:
        """What is to be kept of a result; None if it has more to say than a check has."""
        kept = cls(_with_path(result.diagnostics, ""), result.programs, result.notes, result.frames)
        return kept if kept.as_result(result.path) == result else None

    def as_result(self, path: str) -> FileResult:
        """The result for the artifact at ``path``."""
        diagnostics = _with_path(self.diagnostics, path)
        return FileResult(path, diagnostics, programs=self.programs, notes=self.notes, frames=self.frames)


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What is kept of a check, and when it holds."""

    key: bytes
    stamp: Stamp
    settled: bool
    """Whether the stamp alone is to be trusted."""
    reads: tuple[tuple[int, int], ...]
    digest: bytes
    kept: Kept


class ResultCache:
    """The results in one folder."""

    def __init__(self, folder: str) -> None:
        """``folder`` is made once there is something to keep."""
        self.folder = os.path.abspath(folder)
        self._entries = os.path.join(self.folder, __version__)
        self._prefixes: dict[int, tuple[Settings, hashlib.blake2b | None]] = {}
        self._made = False
        self._broken = False

    def key(self, path: str, settings: Settings) -> bytes:
        """What an artifact's result is kept under; empty where that cannot be told."""
        with contextlib.suppress(OSError, ValueError):
            if id(settings) not in self._prefixes:
                self._prefixes[id(settings)] = (settings, _prefix(settings))
            prefix = self._prefixes[id(settings)][1]
            if prefix is not None:
                absolute = os.path.abspath(path)
                with contextlib.suppress(ValueError):  # another drive of Windows
                    absolute = os.path.relpath(absolute, os.path.dirname(self.folder))
                digest = prefix.copy()
                digest.update(os.fsencode(absolute))
                return digest.digest()
        return b""

    def lookup(self, path: str, key: bytes) -> FileResult | None:
        """The result of checking the artifact at ``path``, if it is known."""
        try:
            stamp = Stamp.of(os.stat(path))
            entry = self._read(key)
            if entry is not None and not (entry.settled and entry.stamp == stamp):
                entry = self._confirmed(entry, path, stamp)
        except (OSError, ValueError, msgspec.MsgspecError, ArtifactError):
            return None
        return None if entry is None else entry.kept.as_result(path)

    def store(self, path: str, key: bytes, source: RecordedFile, result: FileResult) -> None:
        """Keep the result of a check of the artifact at ``path``, which read ``source``."""
        # What could not be read may be readable next time, for reasons that are not in the file.
        kept = None if result.error or result.unreadable else Kept.of(result)
        if kept is None or not source.complete or self._broken:
            return
        with contextlib.suppress(OSError, ValueError):
            stamp = Stamp.of(source.status)
            if Stamp.of(os.stat(path)) == stamp:
                settled = stamp.is_older_than(source.opened_ns)
                self._write(Entry(key, stamp, settled, tuple(source.reads), source.digest, kept))

    def _confirmed(self, entry: Entry, path: str, stamp: Stamp) -> Entry | None:
        """The entry with another stamp, if the file holds what was read then."""
        if entry.stamp.size != stamp.size:
            return None
        now = time.time_ns()
        source = FileSource(path)
        try:
            same = Stamp.of(os.fstat(source.descriptor)) == stamp and digest_of(source, entry.reads) == entry.digest
        finally:
            source.close()
        if not same:
            return None
        confirmed = msgspec.structs.replace(entry, stamp=stamp, settled=stamp.is_older_than(now))
        if confirmed != entry:
            self._write(confirmed)
        return confirmed

    def _path(self, key: bytes) -> str:
        return os.path.join(self._entries, key.hex()[:32] + SUFFIX)

    def _read(self, key: bytes) -> Entry | None:
        path = self._path(key)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
        try:
            status = os.fstat(descriptor)
            data = os.read(descriptor, status.st_size)
        finally:
            os.close(descriptor)
        checksum, body = data[:CHECKSUM_SIZE], data[CHECKSUM_SIZE:]
        if checksum != _checksum(body):
            return None
        entry = msgspec.msgpack.decode(body, type=Entry)
        if time.time_ns() - status.st_mtime_ns > DAY_NS:
            with contextlib.suppress(OSError):
                os.utime(path)  # what is used is not dropped
        return entry if entry.key == key else None

    def _write(self, entry: Entry) -> None:
        try:
            # Names that are no text (surrogates) cannot be encoded.
            body = msgspec.msgpack.encode(entry)
        except UnicodeEncodeError:
            return
        path = self._path(entry.key)
        temporary = f"{path}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY}"
        try:
            self._make()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            descriptor = os.open(temporary, flags, 0o666)
            try:
                rest = memoryview(_checksum(body) + body)
                while rest:
                    rest = rest[os.write(descriptor, rest) :]
            finally:
                os.close(descriptor)
            os.replace(temporary, path)
        except BaseException as error:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            if not isinstance(error, OSError):
                raise
            # A full disk or a read-only folder: not for each artifact anew. On Windows, somebody reads the entry.
            self._broken = sys.platform != "win32"

    def _make(self) -> None:
        """Make the folder, and tell backups and version control to leave it alone."""
        if self._made:
            return
        if not os.path.isdir(self._entries):
            # A folder that is in use for something else is not ours to tag.
            new = not os.path.isdir(self.folder) or not os.listdir(self.folder)
            os.makedirs(self._entries, exist_ok=True)
            if new:
                for name, text in ((TAG, TAG_TEXT), (".gitignore", IGNORE_TEXT)):
                    with open(os.path.join(self.folder, name), "w", encoding="utf-8", newline="\n") as stream:
                        stream.write(text)
        self._made = True
        self._prune()

    def _prune(self) -> None:
        """Once a day, drop what has not been used for long, and what dead runs left behind."""
        marker = os.path.join(self._entries, PRUNED)
        now = time.time_ns()
        with contextlib.suppress(OSError):
            if now - os.stat(marker).st_mtime_ns < DAY_NS:
                return
        with contextlib.suppress(OSError):
            with open(marker, "wb"):
                pass
            ages = sorted((now - status.st_mtime_ns, path) for path, status in _files(self.folder))
            kept = 0
            for age, path in ages:
                if path.endswith(SUFFIX):
                    kept += 1
                    too_old = age > KEPT_NS or kept > MOST_ENTRIES
                else:
                    too_old = path.endswith(TEMPORARY) and age > DAY_NS
                if too_old:
                    with contextlib.suppress(OSError):
                        os.unlink(path)


class Cleaned(msgspec.Struct, frozen=True):
    """What :func:`clean` removed."""

    entries: int
    size: int
    """In bytes."""
    left: bool
    """Whether the folder is still there, since it holds other things too."""


def clean(folder: str) -> Cleaned | None:
    """Remove the cache in ``folder``, and the folder with it unless it holds something else; None if there is none.

    Raises OSError.
    """
    if not os.path.isdir(folder):
        return None
    entries = size = 0
    versions = set()
    for path, status in list(_files(folder)):
        entries += path.endswith(SUFFIX)
        size += status.st_size
        versions.add(os.path.dirname(path))
        os.unlink(path)
    for name, text in ((TAG, TAG_TEXT), (".gitignore", IGNORE_TEXT)):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.path.getsize(path) == len(text):
            with open(path, encoding="utf-8", errors="replace") as stream:
                ours = stream.read() == text
            if ours:
                os.unlink(path)
                versions.add(folder)
    if not versions:
        return None
    for version in sorted(versions, key=len, reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(version)
    return Cleaned(entries, size, os.path.isdir(folder))


def _files(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """The files of a cache, those of other versions too; nothing that is not its own."""
    with os.scandir(folder) as versions:
        for version in sorted(versions, key=lambda entry: entry.name):
            if not version.is_dir(follow_symlinks=False) or not version.name[:1].isdigit():
                continue
            with os.scandir(version.path) as files:
                for file in files:
                    own = file.name == PRUNED or SUFFIX in file.name
                    if own and file.is_file(follow_symlinks=False):
                        with contextlib.suppress(FileNotFoundError):
                            yield file.path, file.stat(follow_symlinks=False)


def _prefix(settings: Settings) -> hashlib.blake2b | None:
    """The digest of graphlint and the settings, to which a path is to be added."""
    try:
        encoded = msgspec.json.encode(settings, order="deterministic")
    except (TypeError, UnicodeEncodeError):  # what has no value of its own, a name that is no text
        return None
    digest = hashlib.blake2b(_code(), digest_size=32)
    digest.update(len(encoded).to_bytes(8, "little"))
    digest.update(encoded)
    return digest


@functools.cache
def _code() -> bytes:
    """What tells one graphlint from another: the version, in a checkout also size and time of each source file."""
    package = os.path.dirname(os.path.abspath(__file__))
    if os.path.isdir(os.path.join(os.path.dirname(package), f"graphlint-{__version__}.dist-info")):
        return __version__.encode()
    found = [__version__]
    for folder, folders, files in os.walk(package):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            status = os.stat(os.path.join(folder, name))
            found.append(f"{name} {status.st_size} {status.st_mtime_ns}")
    return "\n".join(found).encode("utf-8", "surrogateescape")


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=CHECKSUM_SIZE).digest()


def _with_path(diagnostics: tuple[Diagnostic, ...], path: str) -> tuple[Diagnostic, ...]:
    return tuple(msgspec.structs.replace(one, path=path) for one in diagnostics)
