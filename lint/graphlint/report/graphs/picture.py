"""A finished picture of a graph, to stand in a page."""

from __future__ import annotations

from typing import Final

import msgspec

KEY: Final = "\0"
"""What stands in a drawing for the key that tells its ids from those of others: no text in an SVG can hold it."""


class Picture(msgspec.Struct, frozen=True):
    """A drawing, and what there is to see on it."""

    description: str
    """In words: for who cannot see it."""
    drawing: str
    """The ``<svg>`` element, with :data:`KEY` in its ids."""

    def svg(self, key: str) -> str:
        """The element. ``key`` is unique in a page, in which a picture may stand several times."""
        return self.drawing.replace(KEY, key)
