"""Writing JSON that every reader takes: ASCII only, keys in the order of the fields, indented by two."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from graphlint.report.formats.escaping import FIRST_BYTE_SURROGATE, LAST_BYTE_SURROGATE

_UNENCODABLE = re.compile("[\ud800-\udfff]")
_NOT_ASCII = re.compile("[^\x00-\x7f]")
BASIC_PLANE = 0xFFFF


def encode(value: Any) -> str:
    """``value``, built of plain dicts, lists and strings, as JSON text with a final newline.

    Independent of the terminal's encoding: what is not ASCII is escaped as JSON does it. Bytes of a file name that
    are not UTF-8 cannot be said in JSON and become the four characters of an escape (a backslash, x, two digits).
    """
    return _ascii(msgspec.json.format(msgspec.json.encode(_clean(value)), indent=2))


def encode_line(value: Any) -> str:
    """The same on one line."""
    return _ascii(msgspec.json.encode(_clean(value)))


def _ascii(encoded: bytes) -> str:
    return _NOT_ASCII.sub(lambda match: _json_escape(match[0]), encoded.decode()) + "\n"


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _UNENCODABLE.sub(lambda match: _byte_escape(ord(match[0])), value)
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def _byte_escape(point: int) -> str:
    if FIRST_BYTE_SURROGATE <= point <= LAST_BYTE_SURROGATE:
        return f"\\x{point - FIRST_BYTE_SURROGATE + 0x80:02x}"
    return f"\\u{point:04x}"


def _json_escape(character: str) -> str:
    if ord(character) <= BASIC_PLANE:
        return f"\\u{ord(character):04x}"
    pair = character.encode("utf-16-be")
    return f"\\u{pair[0]:02x}{pair[1]:02x}\\u{pair[2]:02x}{pair[3]:02x}"
