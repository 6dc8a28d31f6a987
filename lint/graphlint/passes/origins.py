"""What the token pass notes in a node's metadata, so that restoring gives back exactly what was there.

Both are what a node says of itself and loses by the pass. Readers of a program ignore metadata that they do not know,
and torch does not save it again: restoring does without them then, with a name and a form that mean the same.
"""

from __future__ import annotations

from typing import Final

from graphlint.ir.arguments import Json

NAME: Final = "graphlint.name"
"""A node's own name (files of torch 2.11 and later). A check that has a result is named after its token, and a calling
node that returned one bare tensor, whose name it had, can't be called that any more when it returns two."""
SINGLE: Final = "graphlint.single_return"
"""A calling node returned one bare tensor, no tuple of one."""


def noted(node: Json, key: str, value: str) -> Json:
    """The node with one more entry in its metadata."""
    return {**node, "metadata": {**(node.get("metadata") or {}), key: value}}


def note(node: Json, key: str) -> str | None:
    """What is noted under ``key``."""
    value = (node.get("metadata") or {}).get(key)
    return value if isinstance(value, str) else None


def without_notes(node: Json) -> Json:
    """The node as it was before anything was noted."""
    metadata = node.get("metadata") or {}
    if NAME not in metadata and SINGLE not in metadata:
        return node
    return {**node, "metadata": {key: value for key, value in metadata.items() if key not in (NAME, SINGLE)}}
