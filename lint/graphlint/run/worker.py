"""The other side of :mod:`graphlint.run.workers`: what runs in a worker process. Imports next to nothing."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
from types import FrameType
from typing import Any, BinaryIO

LENGTH = 8
"""How many bytes tell a message's length."""


class _Interrupted(BaseException):
    """The worker is told to stop."""


def serve() -> None:
    """The worker's side: do the calls that come in on standard input, one after the other, until it ends."""
    import gc

    gc.set_threshold(2_000_000, 20, 20)  # as the command line has it
    # What anybody prints goes to stderr, so that the answers stay legible.
    answers = os.fdopen(os.dup(1), "wb")
    with contextlib.suppress(OSError):  # there is no stderr: then it goes nowhere
        os.dup2(2, 1)
    calls = sys.stdin.buffer
    try:
        if sys.platform != "win32":
            signal.signal(signal.SIGTERM, _interrupt)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True:
            try:
                function, args, kwargs = receive(calls)
            except EOFError:
                break
            try:
                answer = (True, function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - it is the caller's
                answer = (False, error)
            send(answers, answer)
    except (_Interrupted, BrokenPipeError):
        pass
    # Nothing is left to be written, and taking down the interpreter would only take time.
    os._exit(0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough: what it sets off is to be left in peace
    raise _Interrupted


def send(stream: BinaryIO, what: Any) -> None:
    """Write a message."""
    data = pickle.dumps(what, pickle.HIGHEST_PROTOCOL)
    stream.write(len(data).to_bytes(LENGTH, "little") + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read a message. Raises EOFError when the other side is gone."""
    length = int.from_bytes(_exactly(stream, LENGTH), "little")
    return pickle.loads(_exactly(stream, length))  # noqa: S301 - from a process of our own


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data
