"""A progress bar on stderr, for people who wait longer than a second."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

import click

AFTER: Final = 1.0
"""Seconds without a bar: most runs are over by then."""
_CLEAR: Final = "\r\x1b[K"
_SHOW_CURSOR: Final = "\x1b[?25h"
_LONGEST: Final = 40


def wanted(*, quiet: bool, verbose: bool) -> bool:
    """Whether there is somebody to see a bar: on a terminal, and not in CI. ``--verbose`` says what is done anyway."""
    if quiet or verbose or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty()


class Progress:
    """The bar of one run. It is drawn when something is done, and leaves nothing behind."""

    def __init__(self, total: int) -> None:
        """``total`` is how many artifacts there are."""
        self._total = total
        self._done = 0
        self._start = time.monotonic()
        self._bar: Any = None

    def step(self, path: str) -> None:
        """One more is done, and ``path`` is next."""
        self._done += 1
        if self._bar is None:
            if time.monotonic() - self._start < AFTER or self._done >= self._total:
                return
            self._bar = click.progressbar(
                length=self._total,
                label="Linting",
                file=sys.stderr,
                show_pos=True,
                item_show_func=lambda item: None if item is None else _short(item),
            )
            self._bar.update(self._done, path)
        else:
            self._bar.update(1, path)

    def clear(self) -> None:
        """Take the bar away, for a message or for good; the next step draws it again."""
        if self._bar is not None:
            # Not the bar's own ending, which leaves it there.
            sys.stderr.write(_CLEAR + _SHOW_CURSOR)
            sys.stderr.flush()


def _short(path: str) -> str:
    from graphlint.reporters.escaping import printable

    text = printable(path)
    return text if len(text) <= _LONGEST else f"...{text[3 - _LONGEST :]}"
