"""The files that git tracks, by name, from its index: to list the folders of a large repository takes longer than a
check.

The format: ``Documentation/gitformat-index.txt`` of git. Entries of version 2 hold whole paths, each behind 62 bytes
that end with the flags, and in front of a NUL. Other versions are rare: a sparse work tree has 3, and 4 has to be asked
for.
"""

import os
from collections.abc import Iterator
from typing import Final

_HEAD: Final = b"DIRC"
_VERSION: Final = 2
_FIXED: Final = 62
_MODE: Final = slice(24, 28)
"""Where in an entry the kind and the permissions of the file stand, four bytes."""
_FILES: Final = (0o100644, 0o100755)
_LENGTH: Final = 0xFFF
"""The bits of the flags that hold the length of the path; all set for longer ones."""
_LINK: Final = b"link"
"""The extension of an index that leaves most of its entries to another file."""


def read_index(root: str) -> bytes | None:
    """The index of the repository whose work tree is at ``root``; None where it has none that can be read here."""
    folder = os.path.join(root, ".git")
    try:
        if os.path.isfile(folder):  # a work tree beside another one, or a submodule
            with open(folder, encoding="utf-8") as file:
                folder = os.path.join(root, file.read().removeprefix("gitdir:").strip())
        with open(os.path.join(folder, "index"), "rb") as stream:
            data = stream.read()
    except (OSError, ValueError):
        return None
    known = data[:4] == _HEAD and int.from_bytes(data[4:8], "big") == _VERSION
    return data if known and _LINK not in data[-4096:] else None


def tracked(index: bytes, name: str) -> Iterator[str]:
    """The paths of the files of that name, below the root, with forward slashes."""
    ending = os.fsencode(name) + b"\0"
    at = index.find(ending)
    while at >= 0:
        end = at + len(ending) - 1
        path = _path(index, end, len(ending) - 1)
        if path is not None and (path == ending[:-1] or path.endswith(b"/" + ending[:-1])):
            yield os.fsdecode(path)
        at = index.find(ending, end)


def _path(index: bytes, end: int, least: int) -> bytes | None:
    """The path that ends there: what stands in front of it has to be an entry for a file with a path of that length."""
    for length in range(least, min(end - _FIXED, _LENGTH)):
        start = end - length
        if index[start - 1] == length & 0xFF:  # most places are ruled out by this
            entry = index[start - _FIXED : start]
            flags, mode = int.from_bytes(entry[-2:], "big"), int.from_bytes(entry[_MODE], "big")
            if flags & _LENGTH == length and mode in _FILES:
                return index[start:end]
    return None
