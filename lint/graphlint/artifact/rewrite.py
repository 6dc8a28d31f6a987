"""Puts a rewritten archive in an old one's place: completely, or not at all."""

# os instead of pathlib: file names are bytes here (their length in bytes counts), and loading pathlib takes time.

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING

from graphlint.artifact.container import Container, quoted
from graphlint.artifact.errors import WriteError
from graphlint.artifact.source import FileSource, FileStamp, reason_of
from graphlint.artifact.temporary import create_temporary, remove_leftovers
from graphlint.artifact.writer import Changes, write_archive

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PendingReplacement", "replace_file", "write_archive"]

WHAT_NEXT = {
    errno.ENOSPC: "free some space on that disk and run graphlint again",
    errno.EDQUOT: "free some of your disk quota and run graphlint again",
    errno.EACCES: "graphlint needs the right to create a file in that folder",
    errno.EPERM: "graphlint needs the right to create and replace files in that folder",
    errno.EROFS: "copy the artifact to a disk that can be written to",
    errno.EFBIG: "the file system or a limit of the shell (ulimit -f) does not admit files of this size",
}


def replace_file(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes], container: Container, changes: Changes
) -> PendingReplacement:
    """Prepares to rewrite the artifact at ``path`` (which ``container`` was opened on) with ``changes``.

    ::

        with replace_file(path, container, changes) as pending:
            ...  # look at pending.path: the new archive, complete
            pending.commit()

    Without ``commit`` the artifact stays as it is, and the temporary file is removed.
    """
    return PendingReplacement(os.fsdecode(path), container, changes)


class PendingReplacement:
    """A rewritten archive beside the one that it may replace.

    Raises WriteError when it cannot be written, and ArtifactError when the old archive turns out to be damaged; the old
    one is untouched in both cases.
    """

    path: str
    """The temporary file, in the folder of the file that it may replace."""

    def __init__(self, path: str, container: Container, changes: Changes) -> None:
        self._given = path
        self._container = container
        self._changes = changes
        self._descriptor = -1
        self.path = ""
        self.target = path
        """The file itself, where ``path`` is a symbolic link."""

    def __enter__(self) -> Self:
        try:
            with self._writing():
                # A symbolic link stays what it is: the file that it points to is replaced.
                self.target = os.path.realpath(self._given, strict=True)
                status = os.stat(self.target)
                source = self._container.source
                self._stamp = source.stamp if isinstance(source, FileSource) else FileStamp.of(status)
                self._check_target(status)
                # What a killed run left may be what the disk has no room for.
                remove_leftovers(os.path.dirname(self.target))
                self.path, self._descriptor = create_temporary(self.target)
                write_archive(self._container, self._changes, self._descriptor)
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def commit(self) -> None:
        """Replaces the artifact by the new archive, with the same mode, owner (where permitted) and attributes.

        Other hard links to the old file keep the old content: the name gets a new file, since writing into the shared
        one could tear it. On Windows the container is closed first, as open files cannot be replaced there.
        """
        with self._writing():
            status = os.stat(self.target)
            self._check_target(status)
            _take_over_attributes(self.target, status, self._descriptor, self.path)
            os.fsync(self._descriptor)
            if sys.platform == "win32":
                self._close()
                self._container.close()
            # As late as can be. A writer in the instant that is left would win or lose, but nothing would be torn.
            self._check_target(os.stat(self.target))
            os.replace(self.path, self.target)
            self.path = ""
        self._close()
        _sync_folder(os.path.dirname(self.target))

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return _as_write_error(self)

    def _check_target(self, status: os.stat_result) -> None:
        if FileStamp.of(status) != self._stamp:
            raise WriteError(
                f"{quoted(self._given)} was changed by something else meanwhile and is left alone: run graphlint again"
            )
        # Replacing a file needs no right to write it, only its folder. But who made it read-only wants it to stay, and
        # root, who may do everything, is told by the mode bits alone.
        if not status.st_mode & 0o222 or not os.access(self.target, os.W_OK):
            raise WriteError(f"{quoted(self._given)} is read-only and is left alone: make it writable to have it fixed")

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


@contextlib.contextmanager
def _as_write_error(pending: PendingReplacement) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = WHAT_NEXT.get(error.errno or 0)
        raise WriteError(
            f"{quoted(pending.target)} cannot be rewritten and is unchanged: {reason_of(error)}"
            + (f" ({advice})" if advice else "")
        ) from error


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
            for name in os.listxattr(target):
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(target, name))
    os.fchmod(descriptor, mode)


def _sync_folder(folder: str) -> None:
    """Makes the replacement survive a crash of the machine, on file systems that offer that.

    Failing is no error: the new archive already stands in its place.
    """
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
