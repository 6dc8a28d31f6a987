"""The records of the zip format, as laid down in PKWARE's APPNOTE.TXT (sections 4.3 to 4.5)."""

from __future__ import annotations

import struct

LOCAL_SIGNATURE = b"PK\x03\x04"
CENTRAL_SIGNATURE = b"PK\x01\x02"
END_SIGNATURE = b"PK\x05\x06"
END64_SIGNATURE = b"PK\x06\x06"
LOCATOR_SIGNATURE = b"PK\x06\x07"
DESCRIPTOR_SIGNATURE = b"PK\x07\x08"

LOCAL = struct.Struct("<4s5H3I2H")
"""signature, version needed, flags, method, time, date, crc, compressed size, size, name length, extra length"""
CENTRAL = struct.Struct("<4s6H3I5H2I")
"""signature, version made by, version needed, flags, method, time, date, crc, compressed size, size, name length,
extra length, comment length, first disk, internal attributes, external attributes, offset of the local header"""
EXTERNAL_ATTRIBUTES = 15
"""Their place among these fields."""
FOLDER = 0x10
"""Among the external attributes: the member is a folder (of MS-DOS)."""
END = struct.Struct("<4s4H2IH")
"""signature, this disk, directory's disk, entries on this disk, entries, directory's size, its offset,
comment length"""
END64 = struct.Struct("<4sQ2H2I4Q")
"""signature, size of the rest, version made by, version needed, this disk, directory's disk, entries on this disk,
entries, directory's size, its offset"""
LOCATOR = struct.Struct("<4sIQI")
"""signature, disk of the zip64 end record, its offset, number of disks"""

STORED = 0
DEFLATED = 8

FLAG_ENCRYPTED = 0x1
FLAG_DESCRIPTOR = 0x8
"""CRC and sizes stand behind the data instead of in the local header (torch always writes so)."""
FLAG_UTF8 = 0x800

MAX16 = 0xFFFF
MAX32 = 0xFFFFFFFF
"""In a 32-bit field: the real value stands in the zip64 extra field or the zip64 end record."""

EXTRA_ZIP64 = 0x0001
EXTRA_UNICODE_PATH = 0x7075
"""The name in UTF-8, which Python's zipfile takes for the real one from 3.12 on, and torch's reader does not know."""
EXTRA_PADDING = 0x4246
"""The bytes ``FB``: the filler by which torch aligns a member's data."""
ALIGNMENT = 64
"""torch's ``kFieldAlignment`` (caffe2/serialize/inline_container.h)."""


def extra_fields(extra: bytes) -> list[tuple[int, int, int]]:
    """The fields of an extra block as (id, start of the field's body, its length), up to where it is malformed."""
    fields = []
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, position)
        if position + 4 + length > len(extra):
            break
        fields.append((kind, position + 4, length))
        position += 4 + length
    return fields
