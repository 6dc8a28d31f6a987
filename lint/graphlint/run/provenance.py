"""The record of what graphlint did to an artifact: its extra file ``graphlint.json``. Pure: bytes in, bytes out.

::

    {
      "version": 1,
      "entries": [
        {
          "tool": "0.1.0",
          "action": "fix",
          "targets": ["functional"],
          "programs": {"model": {"rules": {"GL201": 2}, "before": "sha256:…", "after": "sha256:…"}}
        }
      ]
    }

Entries are in the order in which they came about. ``before`` and ``after`` are digests of the program's JSON, the
archive's member. There are no times in it: the same input gives the same bytes.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

NAME: Final = "graphlint.json"
VERSION: Final = 1
FOREIGN: Final = (
    f"the extra file {NAME} is no record that this version of graphlint reads: it is kept, and this change is not "
    "recorded"
)


class ProgramRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was done to one program."""

    rules: dict[str, int]
    """How many findings, by rule: those that were fixed, or those that restoring brought back."""
    before: str
    after: str
    removed_checks: int = 0
    """How many of the findings were checks that are gone, and could have fired."""


class Entry(msgspec.Struct, frozen=True):
    """What one run did."""

    tool: str
    """graphlint's version."""
    action: Literal["fix", "restore"]
    targets: tuple[str, ...]
    programs: dict[str, ProgramRecord]


class Record(msgspec.Struct, frozen=True):
    """All of it."""

    version: Literal[1]
    entries: tuple[Entry, ...]


def digest(data: bytes) -> str:
    """The digest of a program's JSON."""
    import hashlib

    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read(data: bytes) -> Record | None:
    """The record, or None for what is none that this version understands."""
    try:
        return msgspec.json.decode(data, type=Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def appended(data: bytes | None, entry: Entry) -> bytes | None:
    """The record with one more entry, or None where the old one is not understood. Unknown keys are kept."""
    if data is not None and read(data) is None:
        return None
    tree: dict[str, Any] = {"version": VERSION, "entries": []} if data is None else msgspec.json.decode(data)
    tree["entries"].append(entry)
    return msgspec.json.format(msgspec.json.encode(tree), indent=2) + b"\n"


def key(name: str) -> str:
    """What the record calls the program of that name, which need be no text: JSON is."""
    return name.encode("utf-8", "backslashreplace").decode()


def outdated(record: Record, name: str, data: Callable[[], bytes]) -> list[str]:
    """What to say of a program that is no longer what its record says; its JSON, ``data``, is made if there is one."""
    entry = next((entry for entry in reversed(record.entries) if key(name) in entry.programs), None)
    if entry is None or entry.programs[key(name)].after == digest(data()):
        return []
    recorded = f"graphlint {entry.tool} recorded its {entry.action}"
    return [f"program {name!r} was changed after {recorded} in the extra file {NAME}"]
