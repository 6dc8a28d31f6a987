"""Finding the artifacts that the paths on the command line stand for."""

import os
from collections.abc import Iterable, Iterator

import msgspec

from graphlint.artifact.source import is_url, reason_of
from graphlint.run.resolution import Resolver

# pathlib would make a walk over many folders several times slower.

SUFFIX = ".pt2"
NO_MATCH = "nothing matches this pattern"


class Candidate(msgspec.Struct, frozen=True):
    """A path to lint, or one that cannot be."""

    path: str
    error: str = ""
    """Why it cannot be linted: it does not exist, a folder cannot be listed."""
    absolute: str = ""
    """Its absolute path, where that was needed to find it."""


def discover(paths: Iterable[str], resolver: Resolver) -> Iterator[Candidate]:
    """The artifacts that ``paths`` stand for, each once, in the order of ``paths`` and sorted within a folder.

    A file is taken whatever its name is. Folders are searched for ``*.pt2``; symbolic links to folders below them
    are not followed. A path that is none, but has ``*``, ``?`` or ``[`` in it, is a pattern for files and folders.
    """
    seen: set[str] = set()
    for candidate in _candidates(paths, resolver):
        identity = os.path.normcase(candidate.absolute or os.path.abspath(candidate.path))
        if identity not in seen:
            seen.add(identity)
            yield candidate


def _candidates(paths: Iterable[str], resolver: Resolver) -> Iterator[Candidate]:
    for path in paths:
        if is_url(path):
            yield from _remote(path, resolver)
            continue
        try:
            os.stat(path)
        except OSError as error:
            if any(magic in path for magic in "*?["):
                yield from _matching(path, resolver)
            else:
                yield Candidate(path, reason_of(error))
            continue
        if resolver.force_exclude and resolver.excludes_with_parents(os.path.abspath(path)):
            continue
        yield from _found_in(os.path.normpath(path), resolver) if os.path.isdir(path) else (Candidate(path),)


def _matching(pattern: str, resolver: Resolver) -> Iterator[Candidate]:
    """What a pattern stands for where no shell has said so already: ``**`` is any number of folders."""
    import glob

    found = sorted(glob.glob(pattern, recursive=True))
    if not found:
        yield Candidate(pattern, NO_MATCH)
    # A folder that matches "**" has its files among the matches.
    yield from _candidates((path for path in found if "**" not in pattern or not os.path.isdir(path)), resolver)


def _found_in(folder: str, resolver: Resolver) -> Iterator[Candidate]:
    """The artifacts in a folder, without those that git ignores."""
    found = list(_search(folder, resolver))
    if not found or not resolver.respects_gitignore(folder):
        return iter(found)
    from graphlint.run.gitignore import ignored_by_git

    ignored = ignored_by_git(folder, [one.path for one in found if not one.error])
    return (one for one in found if one.path not in ignored)


def _search(folder: str, resolver: Resolver) -> Iterator[Candidate]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Candidate(folder, reason_of(error))
        return
    absolute = os.path.abspath(folder)
    for entry in entries:
        descends = entry.is_dir(follow_symlinks=False)
        if descends or (entry.name.endswith(SUFFIX) and _is_artifact(entry)):
            path = entry.name if folder == os.curdir else os.path.join(folder, entry.name)
            place = os.path.join(absolute, entry.name)
            if not resolver.excludes(place):
                yield from _search(path, resolver) if descends else (Candidate(path, absolute=place),)


def _is_artifact(entry: os.DirEntry[str]) -> bool:
    """Files and links to files; also links to nowhere (an annexed file that was not fetched), in a circle, or into a
    folder that may not be entered, which are errors to report rather than files to skip. No pipes and devices: reading
    them may never end.
    """
    try:
        return entry.is_file() or (entry.is_symlink() and not os.path.exists(entry.path))
    except OSError:
        return True


def _remote(url: str, resolver: Resolver) -> Iterator[Candidate]:
    from graphlint.artifact.errors import RemoteError
    from graphlint.artifact.remote import artifacts_at, is_pattern

    if resolver.force_exclude and resolver.excludes(url):
        return
    try:
        found = artifacts_at(url, SUFFIX)
    except RemoteError as error:
        yield Candidate(url, str(error))
        return
    if not found:
        yield Candidate(url, NO_MATCH if is_pattern(url) else f"there are no {SUFFIX} files below it")
    yield from (Candidate(one) for one in found if one == url or not resolver.excludes(one))
