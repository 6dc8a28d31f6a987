"""A progress bar on stderr, for people who wait longer than a second."""

import os
import sys
import time
from typing import Final

from graphlint.report.formats.escaping import printable

AFTER: Final = 1.0
"""Seconds without a bar: most runs are over by then."""
_CLEAR: Final = "\r\x1b[K"
_HIDE_CURSOR: Final = "\x1b[?25l"
_SHOW_CURSOR: Final = "\x1b[?25h"
_WIDEST: Final = 36
"""Columns of the bar itself."""
_LONGEST: Final = 40
_SHORTEST: Final = 12
"""Columns of a path; fewer tell nothing."""


def wanted(*, quiet: bool, verbose: bool) -> bool:
    """Whether there is somebody to see a bar: on a terminal, and not in CI. ``--verbose`` says what is done anyway."""
    if quiet or verbose or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty()


class Progress:
    """The bar of one run: how much is done, how long the rest may take, and what is next. It is drawn when something
    is done, on one line however narrow the terminal is, and leaves nothing behind.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._drawn = False

    def step(self, path: str) -> None:
        """One more is done, and ``path`` is next."""
        self._done += 1
        waited = time.monotonic() - self._start
        if not self._drawn and (waited < AFTER or self._done == self._total):
            return
        self._drawn = True
        left = int(waited / self._done * (self._total - self._done))
        facts = f"  {self._done}/{self._total}  {left // 3600:02}:{left // 60 % 60:02}:{left % 60:02}"
        free = _columns() - 1 - len(f"Linting  []{facts}")
        width = max(1, min(_WIDEST, free if free < 2 * _SHORTEST else free // 2))
        room = min(free - width - 2, _LONGEST)
        name = printable(path) if room >= _SHORTEST else ""
        if len(name) > max(room, 0):
            name = f"...{name[3 - room :]}"
        bar = "#" * (width * self._done // self._total)
        sys.stderr.write(f"{_CLEAR}{_HIDE_CURSOR}Linting  [{bar:-<{width}}]{facts}  {name}".rstrip())
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the bar away, for a message or for good; the next step draws it again."""
        if self._drawn:
            sys.stderr.write(_CLEAR + _SHOW_CURSOR)
            sys.stderr.flush()
            self._drawn = False


def _columns() -> int:
    """How wide the terminal is now; 80 where it does not say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
