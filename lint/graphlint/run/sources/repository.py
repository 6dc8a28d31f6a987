r"""Which file of the repository a path of the exporting machine stands for.

``/build/worker/project/src/models/net.py`` (or ``C:\ci\project\src\models\net.py``) is the file whose path ends
like it, by the longest ending that only one file has; where nothing but the name agrees, the file has to read as the
artifact says, too. What ``source-roots`` names is looked at first, and settles what is ambiguous otherwise. Nothing
outside the repository's root is ever taken.

The files of a name are those that git tracks, by its index (``Documentation/gitformat-index.txt`` of git): to list the
folders of a large repository takes longer than a check. Entries of version 2 hold whole paths, each behind 62 bytes
that end with the flags, and in front of a NUL. Other versions are rare: a sparse work tree has 3, and 4 has to be asked
for.
"""

import contextlib
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Final

from graphlint.run.resolution import DEFAULT_EXCLUDE

SUFFIX = ".py"
FOLDERS_IN_REPOSITORY = 5000
"""How many folders of a repository are listed in search of a file, before it counts as not found."""
FOLDERS_ELSEWHERE = 200
"""The same where there is no repository: the current folder may be anybody's home."""


def root_of(folder: str) -> tuple[str, bool]:
    """The root of the repository that the absolute ``folder`` is in, and whether it is one: the nearest folder
    upwards with a ``.git``, or ``folder`` itself.
    """
    current = folder
    while not os.path.lexists(os.path.join(current, ".git")):
        if current == os.path.dirname(current):
            return folder, False
        current = os.path.dirname(current)
    return current, True


def components(path: str) -> tuple[str, ...]:
    """The folders and the file's name in a path of any system, without a drive: ``("src", "models", "net.py")``.

    Empty for what cannot be a file.
    """
    if "\0" in path:
        return ()
    slashed = path
    # Backslashes separate where there is a drive, or a share, or nothing else that does.
    if (path[:1].isalpha() and path[1:2] == ":") or path.startswith("\\\\") or ("\\" in path and "/" not in path):
        import ntpath  # elsewhere than on Windows, it takes its time to find out what is not there

        slashed = ntpath.splitdrive(path)[1].replace("\\", "/")
    return tuple(filter(None, posixpath.normpath(f"/{slashed}").split("/")))


class Repository:
    """Finds files below the root of the repository that a folder is in: those that git tracks, or all where there is no
    index to tell; its folders are listed once at most.
    """

    def __init__(self, folder: str, source_roots: Sequence[str] = ()) -> None:
        """``folder`` and ``source_roots`` are absolute."""
        self.root, is_repository = root_of(folder)
        self._below = os.path.join(self.root, "")
        self._real_root = os.path.realpath(self.root)
        self._source_roots = source_roots
        self._limit = FOLDERS_IN_REPOSITORY if is_repository else FOLDERS_ELSEWHERE

    def find(self, path: str, reads_as_recorded: Callable[[str], bool]) -> str | None:
        """The absolute path of the file that ``path``, as an artifact has it, stands for; None where there is none,
        or several that nothing tells apart.

        ``reads_as_recorded``, whether the file with a path reads as the artifact says, is asked where the place alone
        does not decide: many files are called ``utils.py``.
        """
        parts = components(path)
        if not parts:
            return None
        if os.path.isabs(path) and self._holds(path):
            return os.path.normpath(path)

        def fits(candidate: str) -> bool:
            return _common_ending(parts, components(candidate)) > 1 or reads_as_recorded(candidate)

        endings = [parts[start:] for start in range(len(parts))]
        candidates: list[tuple[str, Callable[[str], bool]]]
        candidates = [(os.path.join(base, *ending), fits) for base in self._source_roots for ending in endings]
        # A longer ending below the root that reads right says enough to spare a search.
        candidates += [(os.path.join(self.root, *ending), reads_as_recorded) for ending in endings[:-1]]
        chosen = (candidate for candidate, admits in candidates if self._holds(candidate) and admits(candidate))
        found = next(chosen, None) or self._search(parts)
        return found if found is not None and fits(found) else None

    def relative(self, file: str) -> str:
        """``file`` relative to the root, with forward slashes; absolute if it is on another drive."""
        below = os.path.normpath(file)
        if below.startswith(self._below):  # as most are: relpath takes ten times as long
            return below[len(self._below) :].replace(os.sep, "/")
        base, below = self._real_root, os.path.realpath(file)
        with contextlib.suppress(ValueError):
            below = os.path.relpath(below, base)
        return below.replace(os.sep, "/")

    def _search(self, parts: tuple[str, ...]) -> str | None:
        """The one file with the longest ending in common."""
        candidates = self._files.get(parts[-1], []) if self._index is None else self._tracked(self._index, parts[-1])
        longest = max((_common_ending(parts, one) for one in candidates), default=0)
        paths = [os.path.join(self.root, *one) for one in candidates if _common_ending(parts, one) == longest]
        # Links to one file are one file, whose own name is the one to show.
        if len({os.path.realpath(path) for path in paths}) != 1:
            return None
        found = next((path for path in paths if not os.path.islink(path)), paths[0])
        return found if self._holds(found) else None

    def _tracked(self, index: bytes, name: str) -> list[tuple[str, ...]]:
        """The files of that name that git tracks, as components."""
        found = dict.fromkeys(map(components, tracked(index, name)))
        return [one for one in found if not set(one[:-1]).intersection(DEFAULT_EXCLUDE)]

    @cached_property
    def _index(self) -> bytes | None:
        return read_index(self.root)

    @cached_property
    def _files(self) -> dict[str, list[tuple[str, ...]]]:
        """Python files below the root by their name, as components; none if there are too many folders to tell.

        Links to folders are not followed; what no one keeps own sources in is left out.
        """
        found: dict[str, list[tuple[str, ...]]] = {}
        for number, (folder, folders, names) in enumerate(os.walk(self.root)):
            if number == self._limit:
                return {}
            folders[:] = (name for name in folders if name not in DEFAULT_EXCLUDE)
            for name in names:
                if name.endswith(SUFFIX):
                    below = components(os.path.join(folder, name).removeprefix(self.root))
                    found.setdefault(name, []).append(below)
        return found

    def _holds(self, path: str) -> bool:
        """Whether it is a file, and below the root even when links are followed."""
        return os.path.isfile(path) and _is_below(os.path.realpath(path), self._real_root)


def _common_ending(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    return len(os.path.commonprefix([one[::-1], other[::-1]]))  # noqa: RUF071 - of tuples


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip(os.sep) + os.sep)


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
