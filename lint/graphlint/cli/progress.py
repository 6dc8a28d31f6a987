"""A progress bar on stderr, for people who wait longer than a second."""

import os
import sys
import time
from typing import Any, Final

import click

AFTER: Final = 1.0
"""Seconds without a bar: most runs are over by then."""
_CLEAR: Final = "\r\x1b[K"
_SHOW_CURSOR: Final = "\x1b[?25h"
_LABEL: Final = "Linting"
_WIDEST: Final = 36
"""Columns of the bar itself."""
_LONGEST: Final = 40
_SHORTEST: Final = 12
"""Columns of a path; fewer tell nothing."""
_TIME: Final = len("  00:00:00")


def wanted(*, quiet: bool, verbose: bool) -> bool:
    """Whether there is somebody to see a bar: on a terminal, and not in CI. ``--verbose`` says what is done anyway."""
    if quiet or verbose or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty()


class Progress:
    """The bar of one run. It is drawn when something is done, and leaves nothing behind."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._bar: Any = None
        self._room = 0
        """Columns for the path."""

    def step(self, path: str) -> None:
        """One more is done, and ``path`` is next."""
        self._done += 1
        if self._bar is None:
            if time.monotonic() - self._start < AFTER or self._done >= self._total:
                return
            shown: Any = lambda item: _short(item, self._room) if item and self._room else None  # noqa: E731
            self._bar = click.progressbar(
                length=self._total, label=_LABEL, file=sys.stderr, show_pos=True, item_show_func=shown
            )
        self._fit()
        self._bar.update(self._done - self._bar.pos, path)

    def _fit(self) -> None:
        """Keep the bar on one line: what wraps is not taken away, neither by the next one nor in the end."""
        columns = _columns()
        position = len(f"  {self._total}/{self._total}")
        free = columns - 1 - len(f"{_LABEL}  []") - position - _TIME
        self._bar.width = max(1, min(_WIDEST, free if free < 2 * _SHORTEST else free // 2))
        room = free - self._bar.width - 2
        self._room = min(room, _LONGEST) if room >= _SHORTEST else 0
        if self._bar.max_width is not None:  # blanks over the longest line so far
            self._bar.max_width = min(self._bar.max_width, columns - 1)

    def clear(self) -> None:
        """Take the bar away, for a message or for good; the next step draws it again."""
        if self._bar is not None:
            # Not the bar's own ending, which leaves it there.
            sys.stderr.write(_CLEAR + _SHOW_CURSOR)
            sys.stderr.flush()


def _columns() -> int:
    """How wide the terminal is now; 80 where it does not say."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def _short(path: str, room: int) -> str:
    from graphlint.report.formats.escaping import printable

    text = printable(path)
    return text if len(text) <= room else f"...{text[3 - room :]}"
