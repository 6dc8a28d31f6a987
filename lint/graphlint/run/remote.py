"""Finding remote artifacts: folders and patterns in object stores."""

from __future__ import annotations

from collections.abc import Iterator

from graphlint.artifact.errors import RemoteError
from graphlint.artifact.remote import HTTP, connect, failures, protocol_of
from graphlint.run.discovery import NO_MATCH, SUFFIX, Candidate, Exclusions


def find(url: str, exclusions: Exclusions) -> Iterator[Candidate]:
    """The artifacts that a URL stands for: one, those below a folder, or those that match a pattern, sorted.

    Nothing is asked of the server about what is named ``*.pt2``.
    """
    pattern = _is_pattern(url)
    try:
        if exclusions.force_exclude and exclusions.excludes(url):
            return
        if pattern:
            found = _matching(url)
        elif url.endswith(SUFFIX) or protocol_of(url) in HTTP:
            found = [url]  # on web servers, everything is a file
        else:
            found = _below(url)
    except RemoteError as error:
        yield Candidate(url, str(error))
        return
    if not found:
        yield Candidate(url, NO_MATCH if pattern else "there are no .pt2 files below it")
    for one in found:
        if one == url or not exclusions.excludes(one):
            yield Candidate(one)


def _is_pattern(url: str) -> bool:
    # In the addresses of the web, a question mark begins a query.
    return any(magic in url for magic in ("*[" if protocol_of(url) in HTTP else "*?["))


def _matching(pattern: str) -> list[str]:
    with failures(pattern):
        filesystem, path = connect(pattern)
        found = filesystem.glob(path, detail=True)
        return sorted(filesystem.unstrip_protocol(name) for name, one in found.items() if one.get("type") == "file")


def _below(url: str) -> list[str]:
    with failures(url):
        filesystem, path = connect(url)
        if not filesystem.isdir(path):
            filesystem.info(path)  # says so if there is no such thing
            return [url]
        return sorted(filesystem.unstrip_protocol(name) for name in filesystem.find(path) if name.endswith(SUFFIX))
