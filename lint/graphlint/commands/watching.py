"""``--watch``: check again whenever an artifact or a configuration changes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from graphlint.commands.console import Console
from graphlint.config import FILE_NAMES
from graphlint.errors import ConfigError

WATCHING = "watching for changes; Ctrl-C ends it"
CLEAR = "\x1b[2J\x1b[H"


def watch(paths: Sequence[str], check: Callable[[], int], console: Console) -> int:
    """Run ``check``, and run it again after each change below ``paths``, until the run is interrupted; the exit status
    of the last check. Raises ConfigError where the library that watches is not installed.
    """
    try:
        import watchfiles
    except ImportError:
        raise ConfigError("--watch needs watchfiles: pip install 'graphlint[watch]'") from None

    def concerns(_: watchfiles.Change, path: str) -> bool:
        return path.endswith((".pt2", ".py")) or os.path.basename(path) in FILE_NAMES

    watched = [path for path in paths if os.path.exists(path)]
    status = check()
    console.note(WATCHING)
    for _ in watchfiles.watch(*watched, watch_filter=concerns, raise_interrupt=False):
        if sys.stdout.isatty():
            console.out(CLEAR)
        status = check()
        console.note(WATCHING)
    return status
