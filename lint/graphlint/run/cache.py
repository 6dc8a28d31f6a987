"""Results of earlier checks: an artifact that has not changed is not linted again.

A cache is a folder with one file, which holds results by the artifacts' paths (relative to where the folder is, so that
all can move). A result holds as long as the artifact's stamp (size, times, inode, device), the settings and graphlint
itself are what they were, as in git's index: the kernel sets the change time of whatever is written, and nobody can set
it back. An artifact that was written less than :data:`RACY_NS` before a check gets no entry.

A cache never fails a run: whatever goes wrong with it means that there is none. That of another user counts for
nothing, as it could say of any file that it is clean. The file is replaced in one step, so that runs can share a cache;
of two that end at once, the results of one may be lost, and are found out again.
"""

# Importing pathlib, tempfile and shutil would cost more than some hundred lookups do.

import contextlib
import functools
import os
import stat
import sys
import time
from collections.abc import Iterator

import msgspec

from graphlint import __version__
from graphlint.artifact.digests import sha256
from graphlint.report.results import FileResult
from graphlint.rules.settings import Acceptance, Settings

TAG, RESULTS, TEMPORARY = "CACHEDIR.TAG", "graphlint-results", ".tmp"
MARKS = {
    TAG: b"Signature: 8a477f597d28d172789f06886806bc55\n"  # of https://bford.info/cachedir/
    b"# Results of graphlint. It is safe to remove this folder; `graphlint clean` does.\n",
    ".gitignore": b"# Made by graphlint\n*\n",
}
"""What tells backups and version control to leave a cache alone."""
RACY_NS = 2 * 10**9
"""The coarsest clock in use is that of FAT."""
DIGEST_SIZE = 16
LARGEST = 1 << 28
"""Bytes of the file. The result of a common artifact has a few hundred."""

Stamp = tuple[int, ...]
"""What tells that a file was not written to: size, times of modification and of change in ns, inode, device."""


class Kept(msgspec.Struct, array_like=True):
    """A result, and what it holds for."""

    stamp: Stamp
    held_for: bytes
    """The digest of the settings and of graphlint itself."""
    result: msgspec.Raw


_kept = msgspec.msgpack.Decoder(dict[bytes, Kept])
_result = msgspec.msgpack.Decoder(FileResult)


class Cache:
    """The results in one folder, read once, and written once by :meth:`save`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._base = os.path.dirname(os.path.abspath(folder))
        self._places: dict[str, str] = {}
        """Of the folders that hold artifacts, each with a separator at its end: all that is inside begins so."""
        self._file = os.path.join(folder, RESULTS)
        self._known = _read(self._file)
        self._new: dict[bytes, Kept] = {}
        self._digests: dict[int, tuple[Settings, bytes]] = {}
        """Of settings, by their identity: artifacts share them."""

    def lookup(self, path: str, settings: Settings) -> FileResult | None:
        """The result of checking the artifact at ``path``, if it is known."""
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError, RecursionError):
            kept = self._known.get(self._place(path))
            if kept is not None and kept.held_for == self._held_for(settings) and kept.stamp == _stamp(os.stat(path)):
                return _with_path(_result.decode(kept.result), path)
        return None

    def store(self, path: str, settings: Settings, stamp: Stamp, result: FileResult) -> None:
        """Keep the result of a check of the artifact at ``path``, which had that stamp."""
        with contextlib.suppress(ValueError):
            plain = msgspec.Raw(msgspec.msgpack.encode(_with_path(result, "")))  # a path need be no text
            self._new[self._place(path)] = Kept(stamp, self._held_for(settings), plain)

    def save(self) -> None:
        """Write what is new, beside what others have kept meanwhile of artifacts that are still there."""
        if not self._new:
            return
        with contextlib.suppress(OSError, ValueError):  # a full disk, a read-only folder
            kept = {**_read(self._file), **self._new}
            base = os.fsencode(self._base)
            body = msgspec.msgpack.encode(
                {place: one for place, one in kept.items() if os.path.lexists(os.path.join(base, place))}
            )
            _make(self._folder)
            temporary = f"{self._file}.{os.getpid()}-{os.urandom(4).hex()}{TEMPORARY}"
            try:
                with open(temporary, "xb") as stream:
                    stream.write(_digest(body) + body)
                os.replace(temporary, self._file)
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)

    def _place(self, path: str) -> bytes:
        """The key of an artifact. Raises ValueError across drives of Windows."""
        folder, name = os.path.split(path)
        place = self._places.get(folder)
        if place is None:
            absolute, base = os.path.join(os.path.abspath(folder), ""), os.path.join(self._base, "")
            inside = absolute.startswith(base)
            place = absolute[len(base) :] if inside else os.path.join(os.path.relpath(absolute, self._base), "")
            self._places[folder] = place
        return os.fsencode(place + name)

    def _held_for(self, settings: Settings) -> bytes:
        known = self._digests.get(id(settings))
        if known is None:
            known = self._digests[id(settings)] = settings, held_for(settings)
        return known[1]


def stamp_of(path: str) -> Stamp | None:
    """The stamp of the file at ``path``; None where it may be written to without getting another one."""
    with contextlib.suppress(OSError, ValueError):
        stamp = _stamp(os.stat(path))
        if max(stamp[1:3]) + RACY_NS <= time.time_ns():
            return stamp
    return None


def _stamp(status: os.stat_result) -> Stamp:
    # On Windows the change time is the file's creation.
    changed_ns = 0 if sys.platform == "win32" else status.st_ctime_ns
    return status.st_size, status.st_mtime_ns, changed_ns, status.st_ino, status.st_dev


def held_for(settings: Settings) -> bytes:
    """The digest of the settings and of graphlint itself."""
    plain = msgspec.structs.replace(settings, acceptance=Acceptance())  # what is accepted comes after a check
    return _digest(msgspec.json.encode((_code(), plain), order="deterministic"))


def _digest(data: bytes | memoryview) -> bytes:
    return sha256(data).digest()[:DIGEST_SIZE]


def clean(folder: str) -> tuple[int, int] | None:
    """Remove the cache in ``folder``, and the folder with it unless it holds something else.

    Returns how many results that were, and their bytes; None if there was no cache. Raises OSError.
    """
    if not os.path.isdir(folder):
        return None
    files = list(_files(folder))
    results = len(_read(os.path.join(folder, RESULTS)))
    for path, _ in files:
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
    size = sum(status.st_size for path, status in files if os.path.basename(path) == RESULTS)
    return (results, size) if files else None


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
            with contextlib.suppress(OSError, ValueError):
                is_left = file.name.startswith(f"{RESULTS}.") and file.name.endswith(TEMPORARY)
                is_mark = file.name in MARKS and _content(file.path) == MARKS[file.name]
                if file.is_file(follow_symlinks=False) and (is_mark or is_left or file.name == RESULTS):
                    yield file.path, file.stat(follow_symlinks=False)


def _read(path: str) -> dict[bytes, Kept]:
    """What the file of a cache holds; nothing where it is none that is to be trusted."""
    with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError, RecursionError):
        data = memoryview(_content(path))
        if _digest(data[DIGEST_SIZE:]) == data[:DIGEST_SIZE]:
            return _kept.decode(data[DIGEST_SIZE:])
    return {}


def _content(path: str) -> bytes:
    """The content of a regular file of this user's, or of the superuser's. Raises OSError, ValueError."""
    # Opening a named pipe would wait for a writer, and a link may lead to anything.
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(path, flags), "rb") as stream:
        status = os.fstat(stream.fileno())
        others = sys.platform != "win32" and status.st_uid not in (0, os.geteuid())
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST or others:
            raise ValueError("it is no file that is to be trusted")
        return stream.read()


@functools.cache
def _code() -> str:
    """What tells one graphlint from another: the version, in a checkout also size and time of each source file."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.isdir(os.path.join(os.path.dirname(package), f"torch_graphlint-{__version__}.dist-info")):
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
