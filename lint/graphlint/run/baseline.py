"""Baseline files: findings that were there when graphlint was introduced, and are put up with.

A baseline is JSON with one finding a line, sorted, so that a review shows what was added and removed::

    {
      "version": 1,
      "findings": [
        {"artifact": "models/net.pt2", "program": "model", "rule": "GL103", "op": "aten.add_.Tensor",
         "module": "layers.*", "source": "self.count.add_(1)", "count": 24}
      ]
    }

(each finding on one line). ``artifact`` is relative to the baseline's folder; the other keys are what
``graphlint.run.fingerprints`` goes by; ``count`` is how many such findings are accepted.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.urls import is_url
from graphlint.run.fingerprints import Identity

VERSION: Final = 1
DEFAULT_NAME: Final = "graphlint-baseline.json"


class _Entry(Identity, frozen=True, forbid_unknown_fields=True):
    count: Annotated[int, msgspec.Meta(ge=1)]


class _Version(msgspec.Struct, frozen=True):
    version: int


class _File(_Version, frozen=True, forbid_unknown_fields=True):
    findings: tuple[_Entry, ...]


def load(path: str) -> Counter[Identity]:
    """How many findings of each identity the baseline at ``path`` accepts. Raises ConfigError."""
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except FileNotFoundError:
        raise ConfigError(f"there is no baseline {path}; `graphlint baseline` writes one") from None
    except OSError as error:
        raise ConfigError(f"cannot read the baseline {path}: {error.strerror}") from error
    try:
        version = msgspec.json.decode(content, type=_Version).version
        if version != VERSION:
            raise ConfigError(f"{path}: a baseline of version {version}, this graphlint reads version {VERSION}")
        file = msgspec.json.decode(content, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not a baseline that `graphlint baseline` wrote: {error}") from None
    counts: Counter[Identity] = Counter()
    for entry in file.findings:
        *identity, count = msgspec.structs.astuple(entry)
        counts[Identity(*identity)] += count
    return counts


def render(counts: Mapping[Identity, int]) -> str:
    """The text of a baseline that accepts ``counts``."""
    entries = [_Entry(*(*msgspec.structs.astuple(one), count)) for one, count in sorted(counts.items()) if count > 0]
    lines = ["    " + msgspec.json.format(msgspec.json.encode(entry), indent=0).decode() for entry in entries]
    findings = "[\n" + ",\n".join(lines) + "\n  ]" if lines else "[]"
    return f'{{\n  "version": {VERSION},\n  "findings": {findings}\n}}\n'


def artifact_name(artifact: str, baseline: str) -> str:
    """What the baseline at the path ``baseline`` calls the artifact: relative to its own folder, forward slashes.

    A URL is called what it is.
    """
    if is_url(artifact):
        return artifact
    path = os.path.abspath(artifact)
    with contextlib.suppress(ValueError):  # on another drive of Windows
        path = os.path.relpath(path, os.path.dirname(os.path.abspath(baseline)))
    return path.replace(os.sep, "/").encode("utf-8", "backslashreplace").decode()
