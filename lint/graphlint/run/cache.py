"""Results of earlier checks: an artifact that has not changed is not linted again.

An artifact has one entry, a file whose name is a digest of the artifact's path (relative to the cache, so that both can
move). In front of the result stands its seal: a digest of the result, of the artifact's stamp, of the settings and of
graphlint itself. A result holds as long as the seal is that of today. A file that was written less than
:data:`RACY_NS` before a check gets no entry: what is written to it within the resolution of the file system's clock
would leave the stamp as it is.

Content that changes while size, times and inode stay the same is not noticed. On POSIX systems no program can do that,
as the change time is the system's; Windows has no change time there. A cache never fails a run: whatever goes wrong
with an entry means that there is none. Entries are replaced in one step, so that runs can share a cache.
"""

# Importing pathlib, tempfile and shutil would cost more than a lookup does.

import contextlib
import functools
import os
import sys
import time
from collections.abc import Iterator

import msgspec

from graphlint import __version__
from graphlint.artifact.digests import blake2b
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
SEAL_SIZE = 16


def stamp_of(path: str) -> tuple[int, ...] | None:
    """What tells that the file at ``path`` was not written to; None where it may be without another stamp."""
    with contextlib.suppress(OSError, ValueError):
        status = os.stat(path)
        # On Windows the change time is the file's creation.
        changed_ns = 0 if sys.platform == "win32" else status.st_ctime_ns
        if max(status.st_mtime_ns, changed_ns) + RACY_NS <= time.time_ns():
            return status.st_size, status.st_mtime_ns, changed_ns, status.st_ino, status.st_dev
    return None


def lookup(folder: str, path: str, settings: Settings) -> FileResult | None:
    """The result of checking the artifact at ``path``, if it is known."""
    with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
        data, stamp = _content(_entry(folder, path)), stamp_of(path)
        if stamp is not None and data[:SEAL_SIZE] == seal(settings, stamp, data[SEAL_SIZE:]):
            return _with_path(msgspec.msgpack.decode(data[SEAL_SIZE:], type=FileResult), path)
    return None


def store(folder: str, path: str, settings: Settings, stamp: tuple[int, ...] | None, result: FileResult) -> None:
    """Keep the result of a check of the artifact at ``path``, which had the stamp before the check, in ``folder``."""
    # What could not be read may be readable next time, for reasons that are not in the file.
    if result.unreadable or stamp is None or stamp_of(path) != stamp:
        return
    with contextlib.suppress(OSError, ValueError):  # a full disk, a read-only folder; names that are no text
        body = msgspec.msgpack.encode(_with_path(result, ""))  # a path need be no text
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
    return blake2b(held_for + body, digest_size=SEAL_SIZE).digest()


def _entry(folder: str, path: str) -> str:
    """The entry's path. Raises ValueError across drives of Windows."""
    place = os.fsencode(os.path.relpath(os.path.abspath(path), os.path.dirname(folder)))
    return os.path.join(folder, blake2b(place, digest_size=20).hexdigest() + SUFFIX)


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
