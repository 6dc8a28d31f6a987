"""What the token pass notes in a node's metadata, so that restoring gives back exactly what was there.

Both are what a node says of itself and loses by the pass. Readers of a program ignore metadata that they do not know,
and torch does not save it again: restoring does without them then, with a name and a form that mean the same.
"""

from typing import Final

from graphlint.ir.edit import changed_node
from graphlint.ir.model import Node

NAME: Final = "graphlint.name"
"""A node's own name (files of torch 2.11 and later). A check that has a result is named after its token, and a calling
node that returned one bare tensor, whose name it had, can't be called that any more when it returns two."""
SINGLE: Final = "graphlint.single_return"
"""A calling node returned one bare tensor, no tuple of one."""


def noted(node: Node, key: str, value: str) -> Node:
    """The node with one more entry in its metadata."""
    return changed_node(node, metadata={**node.metadata, key: value})


def note(node: Node, key: str) -> str | None:
    """What is noted under ``key``."""
    return node.metadata.get(key)


def without_notes(node: Node) -> Node:
    """The node as it was before anything was noted."""
    if NAME not in node.metadata and SINGLE not in node.metadata:
        return node
    return changed_node(node, metadata={k: value for k, value in node.metadata.items() if k not in (NAME, SINGLE)})
