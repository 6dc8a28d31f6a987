r"""Making foreign text safe to print and to encode.

File names and what is read from an artifact can hold anything: line breaks, which would tear a one-line finding
apart, terminal control sequences, bytes that are no text. All of that is shown escaped: a byte that is not UTF-8 as
``\xe9``, a line break as ``\n``, other characters that do not print as ``\x1b`` or ``\u202e``.
"""

from __future__ import annotations

from graphlint.artifact.patterns import pattern

TYPE_CHECKING = False  # typing takes longer to load than what is here
if TYPE_CHECKING:
    import re
    from typing import Any, Final

_NOT_ASCII: Final = pattern("[^\x00-\x7f]")


def printable(text: str) -> str:
    """``text`` on one line, with everything that does not print escaped."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def printable_lines(text: str) -> str:
    """Like ``printable``, but line breaks and tabs stay."""
    return "\n".join("\t".join(printable(cell) for cell in line.split("\t")) for line in text.split("\n"))


def ascii_markup(text: str) -> str:
    """XML or HTML as ASCII, so that it is what it says whatever encoding stdout has."""
    return text.encode("ascii", "xmlcharrefreplace").decode("ascii")


def encode(value: Any, *, indent: int | None = 2) -> str:
    """``value``, of structs, dicts, lists and strings, as JSON text that every reader takes: ASCII only, all fields of
    a struct in their order; without ``indent`` on one line.

    Bytes of a file name that are not UTF-8 cannot be said in JSON and become the four characters of an escape (a
    backslash, x, two digits).
    """
    import json

    import msgspec

    separators = (",", ":" if indent is None else ": ")
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=separators, default=msgspec.structs.asdict)
    return _NOT_ASCII.sub(_json_escaped, text) + "\n"


def _json_escaped(match: re.Match[str]) -> str:
    import json

    return f"\\{_escaped(match[0])}" if "\ud800" <= match[0] <= "\udfff" else json.dumps(match[0])[1:-1]


def _escaped(character: str) -> str:
    # os.fsdecode turns the byte 0xE9 of a name that is not UTF-8 into the lone surrogate U+DCE9.
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:
        return f"\\x{point - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


_CODES: Final = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36, "white": 37}
"""Of colours in terminals (ECMA-48, SGR)."""


def styled(text: str, *, fg: str | None = None, bold: bool = False, dim: bool = False, underline: bool = False) -> str:
    """``text`` in a colour or another style, for terminals."""
    codes = [*([_CODES[fg]] if fg else ()), *([1] if bold else ()), *([2] if dim else ()), *([4] if underline else ())]
    return "".join(f"\x1b[{code}m" for code in codes) + f"{text}\x1b[0m" if codes else text
