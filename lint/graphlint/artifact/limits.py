"""How much of a file is read before it is refused: the seam between configuration and archive."""

from typing import Annotated

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """``[tool.graphlint.limits]``. The defaults are far above what ``torch.export.save`` writes of real models."""

    members: Positive = 200_000
    """Members of an archive. torch 2.9 and later write one for each weight."""
    program_bytes: Positive = 1 << 29
    """A program's JSON, inflated."""
    config_bytes: Positive = 1 << 26
    """A list of weights or constants (``model_weights_config.json``), inflated."""
    pickle_bytes: Positive = 1 << 23
    """A pickle without its tensors (``data.pkl``): some 200 bytes for each tensor. All those of an artifact may have
    four times as many together."""
    ratio: Positive = 200
    """How many times its compressed size a member of more than a MiB may have when it is inflated."""
    nodes: Positive = 250_000
    """Nodes of a program, those of its subgraphs included. Of JSON values it may have 64 times as many."""
    nesting: Annotated[int, msgspec.Meta(ge=1, le=100)] = 100
    """Levels of subgraphs. torch's own reader gives up at about 100, and so do the JSON parsers that graphlint uses."""


def raise_it(key: str) -> str:
    """What to do where a limit is in the way."""
    return f"raise limits.{key} in graphlint's configuration if you trust the file"


_NONE = 1 << 62
UNLIMITED = Limits(members=_NONE, program_bytes=_NONE, config_bytes=_NONE, pickle_bytes=_NONE, ratio=_NONE, nodes=_NONE)
"""For what graphlint has written itself: a fix may add some nodes to a program that was just within the limits."""
