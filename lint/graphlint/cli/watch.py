"""``--watch``: check again whenever an artifact or a configuration changes."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Sequence

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.source import is_url
from graphlint.cli.console import EXIT_FAILURE, Console
from graphlint.run.config import FILE_NAMES
from graphlint.run.discovery import SUFFIX

NOTE = "watching for changes; Ctrl-C ends it"
LOOK = 100
"""Milliseconds between looks at what is not watched: configurations above the artifacts."""
CLEAR = "\x1b[2J\x1b[H"


def watching(paths: Sequence[str], configurations: Sequence[str], check: Callable[[], int], console: Console) -> int:
    """Run ``check``, and run it again after each change below ``paths`` or of a configuration for them, until the run
    is interrupted; the exit status of the last check. ``configurations`` are more files that count.

    Raises ConfigError where the library that watches is not installed, where there is nothing to watch, and for a
    configuration that is wrong from the beginning.
    """
    try:
        import watchfiles
    except ImportError:
        raise ConfigError("--watch needs watchfiles: pip install 'torch-graphlint[watch]'") from None
    searched, named = _roots(paths)
    # A file is watched by its folder: whoever replaces it in one step leaves a watch on the file itself behind.
    watched = {*searched, *map(os.path.dirname, named)}
    if not watched:
        raise ConfigError("--watch is for files and folders: there are none here to watch")
    folders = set(watched)
    for folder in folders.copy():
        while (folder := os.path.dirname(folder)) not in folders:
            folders.add(folder)
    files = [os.path.join(folder, name) for folder in folders for name in FILE_NAMES]
    files += map(os.path.abspath, configurations)

    def concerns(_: watchfiles.Change, path: str) -> bool:
        path = os.path.abspath(path)
        if path.endswith(SUFFIX) or path in named:
            return path in named or any(path.startswith(os.path.join(folder, "")) for folder in searched)
        return path.endswith(".py") or os.path.basename(path) in FILE_NAMES

    changes = watchfiles.watch(
        *watched, watch_filter=concerns, recursive=bool(searched), rust_timeout=LOOK, yield_on_timeout=True
    )
    # Watching begins with the first answer: what changes from now on, during the check too, is seen.
    next(changes)
    seen = _stamps(files)
    status = check()
    console.note(NOTE)
    with contextlib.suppress(KeyboardInterrupt):
        for change in changes:
            before, seen = seen, _stamps(files)
            if not change and seen == before:
                continue
            if sys.stdout.isatty():
                console.out(CLEAR)
            try:
                status = check()
            except ConfigError as error:
                # Somebody is about to write the configuration: it may be right after the next change.
                console.error(str(error))
                status = EXIT_FAILURE
            console.note(NOTE)
    return status


def _roots(paths: Iterable[str]) -> tuple[set[str], set[str]]:
    """The absolute folders that are searched, and the files that are named, which need not be there yet."""
    searched, named = set(), set()
    for path in paths:
        if is_url(path):
            continue
        folder = path
        while any(magic in folder for magic in "*?[") and not os.path.lexists(path):
            folder = os.path.dirname(folder)
        folder = os.path.abspath(folder)
        if os.path.isdir(folder):
            searched.add(folder)
        elif folder == os.path.abspath(path) and os.path.isdir(os.path.dirname(folder)):
            named.add(folder)
    return searched, named


def _stamps(files: Iterable[str]) -> dict[str, tuple[int, int, int]]:
    """What changes when a file does; nothing for a file that is not there."""
    stamps = {}
    for file in files:
        with contextlib.suppress(OSError):
            status = os.stat(file)
            stamps[file] = (status.st_mtime_ns, status.st_size, status.st_ino)
    return stamps
