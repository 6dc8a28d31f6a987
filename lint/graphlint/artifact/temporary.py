"""The temporary files of rewrites: locked while their run lives, and removed by the next one when it was killed.

A run that is killed, or whose machine goes down, can't tidy up. The lock (``flock``) goes with the process, however it
ends, so a file that can be locked is nobody's any more. Where locks are not to be had (some network file systems) the
files stay. Windows needs none: it does not remove open files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import time

NAME_BUDGET = 100
"""How many bytes of the file's name its temporary file's name takes over; the shortest limit in use is 143 bytes."""

MARK = ".graphlint-"
SUFFIX = ".tmp"
RANDOM_DIGITS = 8
GRACE_SECONDS = 60.0
"""On Windows a file is closed for an instant before it is renamed: only older ones count as left behind."""


def create_temporary(target: str) -> tuple[str, int]:
    """A new, locked file beside ``target``, for its owner only: path and descriptor, with which the lock goes.

    Raises OSError.
    """
    folder, name = os.path.split(target)
    while len(os.fsencode(name)) > NAME_BUDGET:
        name = name[:-1]
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        digits = os.urandom(RANDOM_DIGITS // 2).hex()
        path = os.path.join(folder, f".{name}{MARK}{digits}{SUFFIX}")
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
            if _is_temporary(entry.name):
                with contextlib.suppress(OSError):
                    size = entry.stat(follow_symlinks=False).st_size
                    if _remove_if_left(entry.path) and size:
                        removed.append(entry.name)
    return sorted(removed)


def _is_temporary(name: str) -> bool:
    if not (name.startswith(".") and name.endswith(SUFFIX)):
        return False
    digits = name[: -len(SUFFIX)].rpartition(MARK)[2]
    return len(digits) == RANDOM_DIGITS and not digits.strip("0123456789abcdef")


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
