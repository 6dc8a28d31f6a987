"""Path patterns of ``exclude`` and ``per-file-ignores``.

As in ruff: ``*`` and ``?`` match any character, the folder separator too; ``**/`` matches any number of folders,
none included; ``[ab]`` and ``[!ab]`` match one character; ``{a,b}`` matches either. A pattern is tried against the
path below the configuration's folder and against the path's last name alone. Paths are compared with forward
slashes on every system.
"""

import functools
import os.path
import re
from collections.abc import Iterator, Sequence

from graphlint.rules.settings import Pattern

SEPARATOR = "/"


def matches(pattern: Pattern, path: str) -> bool:
    """Whether the absolute ``path``, or a URL, matches."""
    return matches_any((pattern,), path)


def matches_any(patterns: tuple[Pattern, ...], path: str) -> bool:
    """Whether it matches one of the patterns, which are tried at once: every file of a folder asks."""
    slashed = _slashed(path)
    name = slashed.rpartition(SEPARATOR)[2]
    return any(
        bool(compiled.match(slashed) or compiled.match(name)) != inverted for compiled, inverted in _compiled(patterns)
    )


@functools.cache
def _compiled(patterns: tuple[Pattern, ...]) -> Sequence[tuple[re.Pattern[str], bool]]:
    """Regular expressions for absolute paths and bare names, each with whether what it does not match is meant."""
    import fnmatch

    plain = [one for pattern in patterns if not pattern.glob.startswith("!") for one in _globs(pattern)]
    inverted = [(_globs(pattern), True) for pattern in patterns if pattern.glob.startswith("!")]
    together = [(plain, False)] if plain else []
    return [(re.compile("|".join(map(fnmatch.translate, globs))), inverts) for globs, inverts in together + inverted]


def _globs(pattern: Pattern) -> list[str]:
    """The patterns of :mod:`fnmatch` for an absolute path or a bare name that a pattern matches, or does not."""
    glob, root = pattern.glob.removeprefix("!"), pattern.root
    slashed = _slashed(glob).rstrip(SEPARATOR)
    found = list(_alternatives(slashed))
    if not os.path.isabs(glob):
        folder = _slashed(root)
        while slashed.startswith(("./", "../")):
            if slashed.startswith("../"):
                folder = folder.rstrip(SEPARATOR).rpartition(SEPARATOR)[0]
            slashed = slashed.partition(SEPARATOR)[2]
        literal = re.sub(r"[*?[]", r"[\g<0>]", folder.rstrip(SEPARATOR))
        found += (f"{literal}{SEPARATOR}{one}" for one in _alternatives(slashed))
    return found


def _slashed(path: str) -> str:
    return path if os.sep == SEPARATOR else path.replace(os.sep, SEPARATOR)


def _alternatives(pattern: str) -> Iterator[str]:
    """The patterns of :mod:`fnmatch` that together match the same: without ``{a,b}`` and ``**/``."""
    if found := re.search(r"\{([^{}]*)\}", pattern):
        options = found[1].split(",")
    elif found := re.search(r"(?<![^/])\*\*/", pattern):
        options = ["", "*/"]
    else:
        yield pattern
        return
    for option in options:
        yield from _alternatives(pattern[: found.start()] + option + pattern[found.end() :])
