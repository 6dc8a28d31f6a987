"""What stands beside an artifact and is about its bytes: signatures and checksums.

They are found by their names: nothing is verified. Where a list of files is readable as text, it counts if it has the
artifact's name in it.
"""

import base64
import binascii
import contextlib
import os
import re
import stat
from collections.abc import Iterator
from typing import Final

SIGNED: Final = re.compile(
    r"\.(sig|asc|sign|signature|minisig|p7s|sigstore(\.json)?|(cosign\.)?bundle|intoto\.jsonl|att)", re.IGNORECASE
)
"""What follows the name of the file that a signature or an attestation is of."""
SUMMED: Final = re.compile(
    r"\.((md5|sha\d+|sha3-\d+|b2|b3|blake2[bs]?|blake3|crc32|xxh\d+)(sums?)?|checksums?|sums?|dvc)(\.txt)?",
    re.IGNORECASE,
)
"""The same of a checksum."""
LISTED: Final = re.compile(r"(.+[-_.])?(md5|sha\d+|b2|b3|blake2b?|blake3|check)[-_]?sums?(\.txt)?", re.IGNORECASE)
"""The name of a list of checksums: ``SHA256SUMS``, ``checksums.txt``, ``model_sha256sums.txt``."""
OF_FOLDER: Final = re.compile(r"model\.sig|(.+\.)?sigstore(\.json)?", re.IGNORECASE)
"""The name of a signature of a folder, such as OpenSSF model signing makes (``model.sig``)."""
_MOST_BYTES: Final = 1 << 24


def companions(path: str) -> list[str]:
    """Names of the files beside an artifact, and beside what it is a link to, that hold for its content; in order."""
    found: set[str] = set()
    for place in dict.fromkeys((os.path.abspath(path), os.path.realpath(path))):
        with contextlib.suppress(OSError):
            found.update(_beside(*os.path.split(place)))
    return sorted(found)


def _beside(folder: str, own: str) -> Iterator[str]:
    names = set(os.listdir(folder or os.curdir)) - {own}
    stem = os.path.splitext(own)[0]
    for name in names:
        of_own = name[len(own) :] if name.startswith(own) else ""
        of_stem = name[len(stem) :] if name.startswith(stem) else ""
        if SIGNED.fullmatch(of_own) or SUMMED.fullmatch(of_own):
            yield name
        # The signature of model.onnx is not that of model.pt2, and model.sig may be that of the whole folder.
        elif SUMMED.fullmatch(of_stem) or LISTED.fullmatch(name):
            if _mentions(os.path.join(folder, name), own) is not False:
                yield name
        elif SIGNED.fullmatch(of_stem) or OF_FOLDER.fullmatch(name):
            signed = re.sub(f"{SIGNED.pattern}$", "", name, flags=re.IGNORECASE)
            if signed not in names and _mentions(os.path.join(folder, name), own) is not False:
                yield name


def _mentions(path: str, own: str) -> bool | None:
    """Whether a list of files has a name in it; None where it is no text, or has no names at all."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as stream:
            text = stream.read(_MOST_BYTES)
    except OSError:
        return None
    sought = os.fsencode(own)
    parts = [text]
    # What is signed stands in such a bundle in base64.
    for encoded in re.findall(rb'"payload"\s*:\s*"([A-Za-z0-9+/=]+)"', text):
        with contextlib.suppress(binascii.Error):
            parts.append(base64.b64decode(encoded))
    if any(sought in part for part in parts):
        return True
    named = any(
        re.search(rb'"name"\s*:|^[0-9A-Fa-f]{32,128} [ *]\S|^\w+ \(.+\) = ', part, re.MULTILINE) for part in parts
    )
    return False if named else None
