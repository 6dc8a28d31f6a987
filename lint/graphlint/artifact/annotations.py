"""Modules are imported here without the annotations that they spell as text, where nobody asks for those."""

import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager


def unread(*_: object, **__: object) -> None:
    """What stands in for an annotation."""


@contextmanager
def without_annotations() -> Iterator[None]:
    """While modules are imported, ``typing`` makes nothing of annotations that are text: it would compile each, and
    Python loads all of its syntax trees before the first. That is a twentieth of a small check. Where there may be
    other threads, which may ask for annotations, nothing is done.
    """
    if "threading" in sys.modules:
        yield
        return
    forward_ref = typing.ForwardRef
    typing.ForwardRef = unread  # type: ignore[misc, assignment]
    try:
        yield
    finally:
        typing.ForwardRef = forward_ref  # type: ignore[misc]
