"""What is on a picture of a graph, before it is laid out."""

from __future__ import annotations

from typing import Literal

import msgspec


class Box(msgspec.Struct, frozen=True):
    """A node, an input of a graph, or the end of one."""

    key: int
    """Unique within the picture."""
    kind: Literal["input", "node", "return"]
    heading: str
    lines: tuple[str, ...]
    text: str
    """All of it on one line, for who asks (a tooltip)."""
    focus: bool = False
    """Whether the picture is about this node."""
    writes: str = ""
    """What it writes (``buffer 'cache'``); empty where it writes nothing that the picture is about."""
    shows: bool = False
    """Whether it defines a value that may show the written storage."""
    reads: bool = False
    """Whether it reads the written storage after the write."""
    again: bool = False
    """Whether it writes the written storage again."""
    more_above: int = 0
    """How many of the values that it takes come from what is not on the picture."""
    more_below: int = 0
    """How often what it defines is taken by what is not on the picture."""
    sheets: tuple[Sheet, ...] = ()
    """The graphs that it calls, as far as they are on the picture."""


class Wire(msgspec.Struct, frozen=True):
    """A line from one box to another of the same sheet."""

    source: int
    target: int
    value: str
    kind: Literal["value", "storage", "order"] = "value"
    """``storage``: the value may show the written storage. ``order``: no value, but the memory that the one writes
    and the other reads afterwards."""


class Sheet(msgspec.Struct, frozen=True):
    """One graph, or what of it is on the picture."""

    name: str
    """``@true_graph_0``; empty for the program's graph."""
    boxes: tuple[Box, ...]
    """In program order; wires lead from earlier to later ones."""
    wires: tuple[Wire, ...]


class Picture(msgspec.Struct, frozen=True):
    """A graph or a part of it."""

    title: str
    """What it shows, in one line."""
    description: str
    """What there is to see, in words: for who cannot see it."""
    sheet: Sheet
    left_out: int = 0
    """How many nodes of the program are not on it."""
