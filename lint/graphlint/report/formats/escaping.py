r"""Making foreign text safe to print.

File names and what is read from an artifact can hold anything: line breaks, which would tear a one-line finding
apart, terminal control sequences, bytes that are no text. All of that is shown escaped: a byte that is not UTF-8 as
``\xe9``, a line break as ``\n``, other characters that do not print as ``\x1b`` or ``\u202e``.
"""

from __future__ import annotations

FIRST_BYTE_SURROGATE = 0xDC80
LAST_BYTE_SURROGATE = 0xDCFF


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


def _escaped(character: str) -> str:
    point = ord(character)
    # os.fsdecode turns the byte 0xE9 of a name that is not UTF-8 into the lone surrogate U+DCE9.
    if FIRST_BYTE_SURROGATE <= point <= LAST_BYTE_SURROGATE:
        return f"\\x{point - FIRST_BYTE_SURROGATE + 0x80:02x}"
    return character.encode("unicode_escape").decode("ascii")
