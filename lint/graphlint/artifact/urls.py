"""Telling remote artifacts (``s3://bucket/model.pt2``) from paths."""

from __future__ import annotations

SEPARATOR = "://"


def is_url(path: str) -> bool:
    """Whether ``path`` begins with a protocol: letters, digits, ``+``, ``-`` and ``.``, then ``://``."""
    protocol, separator, _ = path.partition(SEPARATOR)
    # One letter is a drive of Windows.
    return bool(separator) and len(protocol) > 1 and protocol.isascii() and protocol.translate(_OTHERS).isalnum()


_OTHERS = str.maketrans(dict.fromkeys("+-.:", "x"))
"""What a protocol may hold beside letters and digits; a colon where protocols are chained (``zip::https``)."""
