"""Path patterns of ``exclude`` and ``per-file-ignores``.

As in ruff: ``*`` and ``?`` match any character, the folder separator too; ``**/`` matches any number of folders,
none included; ``[ab]`` and ``[!ab]`` match one character; ``{a,b}`` matches either. A pattern is tried against the
path below the configuration's folder and against the path's last name alone. Paths are compared with forward
slashes on every system.
"""

import fnmatch
import functools
import os.path
import re
from collections.abc import Iterator

from graphlint.rules.settings import Pattern

SEPARATOR = "/"


def matches(pattern: Pattern, path: str) -> bool:
    """Whether the absolute ``path``, or a URL, matches."""
    inverted = pattern.glob.startswith("!")
    compiled, slashed = _compile(pattern.glob[inverted:], pattern.root), _slashed(path)
    return bool(compiled.match(slashed) or compiled.match(slashed.rpartition(SEPARATOR)[2])) != inverted


@functools.cache
def _compile(pattern: str, root: str) -> re.Pattern[str]:
    """The regular expression for an absolute path or a bare name that ``pattern`` matches."""
    slashed = _slashed(pattern).rstrip(SEPARATOR)
    found = list(_alternatives(slashed))
    if not os.path.isabs(pattern):
        folder = _slashed(root)
        while slashed.startswith(("./", "../")):
            if slashed.startswith("../"):
                folder = folder.rstrip(SEPARATOR).rpartition(SEPARATOR)[0]
            slashed = slashed.partition(SEPARATOR)[2]
        literal = re.sub(r"[*?[]", r"[\g<0>]", folder.rstrip(SEPARATOR))
        found += (f"{literal}{SEPARATOR}{one}" for one in _alternatives(slashed))
    return re.compile("|".join(map(fnmatch.translate, found)))


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
