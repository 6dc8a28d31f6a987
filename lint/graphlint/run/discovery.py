"""Finding the artifacts that the paths on the command line stand for."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Protocol

import msgspec

from graphlint.artifact.urls import is_url

# pathlib would make a walk over many folders several times slower, and its import costs every run.

SUFFIX = ".pt2"
CACHE_FOLDER = ".graphlint_cache"

NO_MATCH = "nothing matches this pattern"

DEFAULT_EXCLUDE = (
    ".bzr",
    ".direnv",
    ".eggs",
    ".git",
    ".git-rewrite",
    ".graphlint_cache",
    ".hg",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pyenv",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    ".vscode",
    "__pycache__",
    "__pypackages__",
    "node_modules",
    "site-packages",
    "venv",
)
"""Folders that hold nobody's own artifacts. ``build`` and ``dist`` are not among them: exports are put there."""


class Exclusions(Protocol):
    """What is left out, as the configuration says."""

    def excludes(self, path: str) -> bool:
        """Whether a pattern matches the absolute ``path`` itself."""

    def excludes_with_parents(self, path: str) -> bool:
        """Whether a pattern matches the absolute ``path`` or a folder above it, up to the configuration's."""

    @property
    def force_exclude(self) -> bool:
        """Whether what is named explicitly can be excluded, too."""


class Candidate(msgspec.Struct, frozen=True):
    """A path to lint, or one that cannot be."""

    path: str
    error: str = ""
    """Why it cannot be linted: it does not exist, a folder cannot be listed."""


def discover(paths: Iterable[str], exclusions: Exclusions) -> Iterator[Candidate]:
    """The artifacts that ``paths`` stand for, each once, in the order of ``paths`` and sorted within a folder.

    A file is taken whatever its name is. Folders are searched for ``*.pt2``; symbolic links to folders below them
    are not followed. A path that is none, but has ``*``, ``?`` or ``[`` in it, is a pattern for files and folders.
    """
    seen: set[str] = set()
    for candidate in _candidates(paths, exclusions):
        identity = os.path.normcase(os.path.abspath(candidate.path))
        if identity not in seen:
            seen.add(identity)
            yield candidate


def _candidates(paths: Iterable[str], exclusions: Exclusions) -> Iterator[Candidate]:
    for path in paths:
        if is_url(path):
            from graphlint.run.remote import find

            yield from find(path, exclusions)
            continue
        try:
            os.stat(path)
        except OSError as error:
            if any(magic in path for magic in "*?["):
                yield from _matching(path, exclusions)
            else:
                yield Candidate(path, reason(error))
            continue
        if exclusions.force_exclude and exclusions.excludes_with_parents(os.path.abspath(path)):
            continue
        if os.path.isdir(path):
            yield from _search(os.path.normpath(path), exclusions)
        else:
            yield Candidate(path)


def _matching(pattern: str, exclusions: Exclusions) -> Iterator[Candidate]:
    """What a pattern stands for where no shell has said so already: ``**`` is any number of folders."""
    import glob

    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        yield Candidate(pattern, NO_MATCH)
    # A folder that matches "**" has its files among the matches.
    yield from _candidates((path for path in found if "**" not in pattern or not os.path.isdir(path)), exclusions)


def _search(folder: str, exclusions: Exclusions) -> Iterator[Candidate]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Candidate(folder, reason(error))
        return
    absolute = os.path.abspath(folder)
    for entry in entries:
        descends = entry.is_dir(follow_symlinks=False)
        if not descends and not (entry.name.endswith(SUFFIX) and _is_artifact(entry)):
            continue
        if exclusions.excludes(os.path.join(absolute, entry.name)):
            continue
        path = entry.name if folder == os.curdir else os.path.join(folder, entry.name)
        if descends:
            yield from _search(path, exclusions)
        else:
            yield Candidate(path)


def _is_artifact(entry: os.DirEntry[str]) -> bool:
    """Files and links to files; also links to nowhere (an annexed file that was not fetched), in a circle, or into a
    folder that may not be entered, which are errors to report rather than files to skip. No pipes and devices: reading
    them may never end.
    """
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def reason(error: OSError) -> str:
    """The system's words for ``error``, the same on every platform."""
    return os.strerror(error.errno) if error.errno else str(error)
