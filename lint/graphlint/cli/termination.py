"""Ending a run from outside as tidily as by Ctrl-C."""

from __future__ import annotations

import signal

from graphlint.cli.console import Terminated


def raise_on_termination() -> None:
    """Let SIGTERM and SIGHUP raise :class:`Terminated`; what is ignored (``nohup``) stays ignored.

    Without that they would end the process on the spot, and a half-written temporary file would stay.
    """
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: object) -> None:
    # A second signal of the kind, as impatient process managers send it, must not stop the tidying up.
    signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)
