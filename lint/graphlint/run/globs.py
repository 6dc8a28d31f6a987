"""Path patterns of ``exclude`` and ``per-file-ignores``.

As in ruff: ``*`` and ``?`` match any character, the folder separator too; ``**/`` matches any number of folders,
none included; ``[ab]`` and ``[!ab]`` match one character; ``{a,b}`` matches either. A pattern is tried against the
path below the configuration's folder and against the path's last name alone. Paths are compared with forward
slashes on every system.
"""

from __future__ import annotations

import functools
import os.path
import re

SEPARATOR = "/"


def matches(pattern: str, path: str, root: str) -> bool:
    """Whether ``pattern``, written in a configuration of the folder ``root``, matches the absolute ``path``."""
    compiled = _compile(pattern, root)
    slashed = _slashed(path)
    return bool(compiled.fullmatch(slashed) or compiled.fullmatch(slashed.rpartition(SEPARATOR)[2]))


@functools.cache
def _compile(pattern: str, root: str) -> re.Pattern[str]:
    """The regular expression for an absolute path or a bare name that ``pattern`` matches."""
    slashed = _slashed(pattern).rstrip(SEPARATOR)
    folder = _slashed(root)
    if os.path.isabs(pattern):
        return re.compile(_translate(slashed), re.DOTALL)
    name = _translate(slashed)
    while slashed.startswith(("./", "../")):
        if slashed.startswith("../"):
            folder = folder.rstrip(SEPARATOR).rpartition(SEPARATOR)[0]
        slashed = slashed.partition(SEPARATOR)[2]
    anchored = re.escape(folder.rstrip(SEPARATOR) + SEPARATOR) + _translate(slashed)
    return re.compile(f"{anchored}|{name}", re.DOTALL)


def _slashed(path: str) -> str:
    return path if os.sep == SEPARATOR else path.replace(os.sep, SEPARATOR)


def _translate(pattern: str) -> str:
    parts: list[str] = []
    position = 0
    open_braces = 0
    while position < len(pattern):
        rest = pattern[position:]
        character = rest[0]
        length = 1
        if rest.startswith("**/") and (position == 0 or pattern[position - 1] == SEPARATOR):
            parts.append("(?:.*/)?")
            length = 3
        elif character == "*":
            parts.append(".*")
            length = len(rest) - len(rest.lstrip("*"))
        elif character == "?":
            parts.append(".")
        elif character == "[" and (end := rest.find("]", 3 if rest[1:2] == "!" else 2)) > 0:
            members = rest[1:end].replace("\\", "\\\\").replace("[", "\\[").replace("&", "\\&").replace("~", "\\~")
            negated = members.startswith("!")
            parts.append(f"[{'^' if negated else ''}{members[negated:].replace('^', chr(92) + '^')}]")
            length = end + 1
        elif character == "{" and "}" in rest:
            parts.append("(?:")
            open_braces += 1
        elif character == "," and open_braces:
            parts.append("|")
        elif character == "}" and open_braces:
            parts.append(")")
            open_braces -= 1
        else:
            parts.append(re.escape(character))
        position += length
    # Braces that were never closed ("{a{b}") would leave the expression broken.
    return f"(?:{''.join(parts)}{')' * open_braces})"
