"""Digests of little text, by the modules behind hashlib, which loads OpenSSL: that takes longer than to digest it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256
    except ImportError:
        try:
            from _sha256 import sha256  # Python 3.11 and before
        except ImportError:  # Pythons that are built without them
            from hashlib import sha256

__all__ = ["sha256"]
