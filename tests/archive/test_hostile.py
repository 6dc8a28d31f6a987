"""Archives that are made to deceive or to overwhelm: refused, or read as stock torch and Python's zipfile read them."""

from __future__ import annotations

import io
import random
import stat
import struct
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.container import Container
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.limits import Limits
from graphlint.artifact.source import BytesSource

torch = pytest.importorskip("torch")

CONTENTS = {"archive_format": b"pt2", "version": b"3\n", "a": b"0123456789" * 3, "b": b"b" * 20}
ARTIFACTS = Path(__file__).parents[1] / "artifacts"


def container(data, **limits):
    return Container(BytesSource(bytes(data)), Limits(**limits))


def zipped(contents=CONTENTS, method=zipfile.ZIP_STORED, comment=b"", **changes):
    """An archive as zipfile writes it; ``changes`` are attributes of member ``a``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in contents.items():
            info = zipfile.ZipInfo(f"m/{name}")
            for key, value in changes.items() if name == "a" else ():
                setattr(info, key, value)
            archive.writestr(info, content, method)
        archive.comment = comment
    return bytearray(out.getvalue())


def by_torch():
    out = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(out)
    for name, content in CONTENTS.items():
        if name != "version":
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return bytearray(out.getvalue())


def zip64():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in CONTENTS.items():
            with archive.open(f"m/{name}", "w", force_zip64=True) as member:
                member.write(content)
    return bytearray(out.getvalue())


def readers(data):
    """What torch's reader and zipfile read: by member, None where they refuse it."""
    results = []
    try:
        reader = torch._C.PyTorchFileReader(io.BytesIO(data))
        results.append((set(reader.get_all_records()), reader.get_record))
    except Exception:  # noqa: BLE001 - whatever they say of broken archives
        results.append(None)
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        results.append((set(archive.namelist()), archive.read))
    except Exception:  # noqa: BLE001 - as above
        results.append(None)
    return results


def differences(data):
    """Members that graphlint reads otherwise than torch or zipfile; None if it refuses the archive."""
    try:
        ours = container(data)
    except ArtifactError:
        return None
    root = next(iter(ours.members), "").partition("/")[0]
    found = []
    by_miniz, by_zipfile = readers(bytes(data))
    if by_miniz is not None and {name.removeprefix(f"{root}/") for name in ours.members} != by_miniz[0]:
        found.append("other members")
    for name in ours.members:
        try:
            content = ours.read(name)
        except ArtifactError:
            continue
        for reader, called in ((by_miniz, name.removeprefix(f"{root}/")), (by_zipfile, name)):
            try:
                other = content if reader is None else reader[1](called)
            except Exception:  # noqa: BLE001 - as above
                continue
            if other != content:
                found.append(name)
    return found


@pytest.mark.parametrize("make", [zipped, by_torch, zip64])
def test_the_readers_agree_on_what_is_sound(make):
    assert differences(make()) == []
    assert readers(bytes(make())).count(None) == 0
    assert container(make()).read(f"{'archive' if make is by_torch else 'm'}/a") == CONTENTS["a"]


VALUES = [0, 1, 2, 0xFF, 0x7F, 0x80, 8, 16, 20, 22, 45]


def mutated(rng, data):
    """An archive with some bytes changed, most of them in its records."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        records = [
            at for at in range(len(result) - 4) if result[at : at + 2] == b"PK" and result[at + 2] in (1, 3, 5, 6)
        ]
        at = min(rng.choice(records or [0]) + rng.randrange(60), len(result) - 1)
        choice = rng.randrange(6)
        if choice == 0:
            result[at] = rng.choice(VALUES)
        elif choice == 1:
            result[at] = rng.randrange(256)
        elif choice == 2:
            del result[at : at + rng.choice([1, 4, 22])]
        elif choice == 3:
            result[at:at] = rng.randbytes(rng.choice([1, 4]))
        elif choice == 4:
            start = rng.choice(records or [0])
            result[at:at] = result[start : start + rng.choice([22, 46, 60, 100])]
        else:
            value = rng.choice([0, 1, len(result), 0xFFFF, 0xFFFFFFFF, rng.randrange(len(result))])
            result[at : at + 4] = struct.pack("<I", value)
    return result


def test_mutated_archives_are_read_as_the_others_read_them_or_refused():
    rng = random.Random(3)
    seeds = [zipped(), zipped(method=zipfile.ZIP_DEFLATED, comment=b"x"), by_torch(), zip64()]
    refused = 0
    for _ in range(2500):
        data = mutated(rng, rng.choice(seeds))
        found = differences(data)
        refused += found is None
        assert not found, (found, bytes(data))
    assert 1200 < refused < 2100


def put(data, layout, offset, *values):
    struct.pack_into(layout, data, offset, *values)
    return data


def central(data, name):
    """Where the directory's record of a member starts."""
    return data.index(b"PK\1\2", data.rindex(f"m/{name}".encode()) - 46)


def local(data):
    """Where the local header of member a starts."""
    return data.index(b"m/a" + CONTENTS["a"]) - 30


def second_directory():
    """A directory where the end record says, and another one right before it, where zipfile looks."""
    data, other = zipped(), zipped({**CONTENTS, "a": b"9" * 30})
    start = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    body, directory = data[:start], data[start:end]
    start = other.index(b"PK\1\2")
    return body + directory + other[start : other.index(b"PK\5\6")] + data[end:]


def fake_end(data, offset):
    """An end record in the comment, which tells of a directory at ``offset``."""
    size = data.index(b"PK\5\6") - data.index(b"PK\1\2")
    comment = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(CONTENTS), len(CONTENTS), size, offset, 0)
    return put(data, "<H", len(data) - 2, len(comment)) + comment


def overlapping():
    """Member b is the content of member a."""
    inner = zipped({"b": b"b" * 20})[: 30 + 3 + 20]
    data = zipped({**CONTENTS, "a": bytes(inner)})
    return put(data, "<I", central(data, "b") + 42, data.index(b"m/b") - 30)


def same_place():
    """Two members of different names at one place; zipfile minds the name, torch does not."""
    data = zipped()
    return put(data, "<I", central(data, "b") + 42, struct.unpack_from("<I", data, central(data, "a") + 42)[0])


def two_zip64_ends():
    """The zip64 end record that the locator points at, and another one right before the locator, where zipfile looks.

    The first counts what stands behind it as its own.
    """
    data = by_torch()
    end64, locator = data.index(b"PK\6\6"), data.index(b"PK\6\7")
    between = data[data.index(b"PK\1\2") : locator]
    put(data, "<Q", end64 + 4, 44 + len(between))
    return data[:locator] + between + data[locator:]


def renamed(name):
    """Member a has another name in an extra field, as Info-ZIP writes it."""
    body = b"\1" + struct.pack("<I", zlib.crc32(b"m/a")) + name
    return zipped(extra=struct.pack("<2H", 0x7075, len(body)) + body)


HOSTILE = {
    "overlapping": (overlapping, r'member "m/a" overlaps member "m/b"'),
    "two members at one place": (same_place, r"overlaps"),
    "a name twice": (lambda: zipped({"a": b"1", "c": b"2"}).replace(b"m/c", b"m/a"), r'"m/a" is in the archive twice'),
    "NUL": (lambda: zipped({"a": b"1", "cd": b"2"}).replace(b"m/cd", b"m/a\0"), "has a NUL in its name"),
    "two directories": (second_directory, "something stands between its directory and the end record"),
    "bytes in front": (lambda: b"xxxx" + zipped(), "4 foreign bytes stand before the zip archive"),
    "an end in the comment": (
        lambda: fake_end(zipped(), zipped().index(b"PK\1\2")),
        "something stands between its directory and the end record",
    ),
    "a false end in the comment": (lambda: fake_end(zipped(), 0), "there is no directory where its end record says"),
    "more members than it has": (
        lambda: put(data := zipped(), "<2H", len(data) - 14, 9, 9),
        "lists 4 members instead of 9",
    ),
    "fewer members than it has": (
        lambda: put(data := zipped(), "<2H", len(data) - 14, 2, 2),
        "lists 3 members instead of 2",
    ),
    "a zip64 end that contradicts": (
        lambda: put(data := by_torch(), "<H", len(data) - 14, 3),
        "its two end records contradict each other",
    ),
    "two zip64 ends": (two_zip64_ends, "something stands between its zip64 end record and the locator"),
    "a second name": (lambda: renamed(b"m/x"), 'member "m/a" has a second name in an extra field'),
    "a zip64 locator to nowhere": (
        lambda: put(data := by_torch(), "<Q", len(data) - 22 - 12, len(data)),
        "of its bytes are missing",
    ),
}


@pytest.mark.parametrize(("make", "message"), HOSTILE.values(), ids=HOSTILE)
def test_ambiguous_archives_are_refused(make, message):
    with pytest.raises(ArtifactError, match=message):
        container(make())


MEMBERS = {
    "encrypted": (lambda data: put(data, "<H", central(data, "a") + 8, 1), "is encrypted"),
    "compressed by bzip2": (lambda data: put(data, "<H", central(data, "a") + 10, 12), "is compressed by method 12"),
    "marked as a folder": (lambda data: put(data, "<I", central(data, "a") + 38, 0x10), "is marked as a folder"),
    "another name in its header": (lambda data: put(data, "<B", local(data) + 32, 99), "header contradicts"),
    "other sizes in its header": (lambda data: put(data, "<2I", local(data) + 18, 9, 9), "header contradicts"),
    "another checksum in its header": (lambda data: put(data, "<I", local(data) + 14, 9), "header contradicts"),
    "zip64 sizes that are missing": (
        lambda data: put(data, "<I", central(data, "a") + 24, 0xFFFFFFFF),
        "zip64 sizes are missing",
    ),
}


@pytest.mark.parametrize(("change", "message"), MEMBERS.values(), ids=MEMBERS)
def test_ambiguous_members_are_refused(change, message):
    with pytest.raises(ArtifactError, match=message) as caught:
        container(change(zipped())).read("m/a")
    assert caught.value.member == "m/a"


def test_a_folder_with_content_is_no_content_to_torch():
    """The memory that torch returns for it was never written to."""
    data = put(
        zipped({**CONTENTS, "a": b"x" * 4096}), "<I", central(zipped({**CONTENTS, "a": b"x" * 4096}), "a") + 38, 0x10
    )
    reader = torch._C.PyTorchFileReader(io.BytesIO(bytes(data)))
    assert len(reader.get_record("a")) == 4096
    assert reader.get_record("a") != b"x" * 4096


def test_symbolic_links_are_only_members():
    data = zipped(external_attr=(stat.S_IFLNK | 0o777) << 16, create_system=3)
    assert differences(data) == []
    assert container(data).read("m/a") == CONTENTS["a"]


@pytest.mark.parametrize("name", ["../../../x", "/x", "C:\\x", "..\\x", "x//y", "."])
def test_names_that_lead_elsewhere_are_only_names(name):
    data = zipped({**CONTENTS, name: b"1"})
    assert differences(data) == []
    assert container(data).read(f"m/{name}") == b"1"


def test_trailing_bytes_are_ignored_by_all():
    data = zipped() + bytes(500)
    assert differences(data) == []
    assert container(data).read("m/a") == CONTENTS["a"]


def test_truncated_at_every_boundary():
    """Behind every record, name, extra field and content; and one byte to either side."""
    for make in (zipped, by_torch, zip64):
        data = make()
        bounds = {len(data)}
        for signature, sizes in (
            (b"PK\3\4", (4, 30)),
            (b"PK\1\2", (4, 46)),
            (b"PK\5\6", (4,)),
            (b"PK\6\6", (4, 56)),
            (b"PK\6\7", (4, 20)),
        ):
            at = data.find(signature)
            while at >= 0:
                bounds |= {at, *(at + size for size in sizes)}
                at = data.find(signature, at + 1)
        for cut in sorted({cut + by for cut in bounds for by in (-1, 0, 1)}):
            if 0 <= cut < len(data):
                with pytest.raises(ArtifactError):
                    container(data[:cut])


# --- limits


def test_a_zip_bomb_is_refused_unless_it_is_asked_for():
    data = zipped({"a": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    archive = container(data)
    tracemalloc.start()
    with pytest.raises(ArtifactError) as caught:
        archive.read("m/a")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()
    assert caught.value.member == "m/a"
    assert "are to become 50000000, and the limit is 200 times as many" in str(caught.value)
    assert "raise limits.ratio in graphlint's configuration if you trust the file" in str(caught.value)
    assert container(data, ratio=2000).read("m/a") == bytes(50_000_000)


def test_small_members_may_be_compressed_well():
    assert container(zipped({"a": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)).read("m/a") == bytes(1_000_000)


def test_many_members():
    data = zipped({str(number): b"" for number in range(30)})
    assert len(container(data, members=30).members) == 30
    with pytest.raises(
        ArtifactError, match=r"has 30 members, and the limit is 29: raise limits\.members in graphlint's"
    ):
        container(data, members=29)


def test_a_directory_of_false_size_is_not_read():
    """A directory of a GiB that lists three members: nothing of it is read."""
    data = zipped()

    class Huge(BytesSource):
        size = 1 << 40

        def read_at(self, offset, length):
            assert length < 1 << 20, "the directory was read"
            tail = self.size - len(data)
            return bytes(max(0, min(length, tail - offset))) + bytes(
                data[max(0, offset - tail) :][: length - max(0, tail - offset)]
            )

    source = Huge(bytes(data))
    source.size = 1 << 40
    put(data, "<2I", len(data) - 10, 1 << 30, 1 << 31)
    with pytest.raises(ArtifactError, match="its directory of 1073741824 bytes lists 4 members"):
        Container(source)


def test_a_program_beyond_the_limit(tmp_path):
    path = ARTIFACTS / "2.13.0" / "clean.pt2"
    with open_artifact(path, Limits(program_bytes=100)) as artifact, pytest.raises(ArtifactError) as caught:
        artifact.read_program(artifact.programs[0])
    assert "bytes; the limit is 100: raise limits.program-bytes in graphlint's configuration" in str(caught.value)
    assert caught.value.member == "clean/models/model.json"


def test_large_directories_are_still_fast():
    data = zipped({str(number): b"" for number in range(20_000)})
    start = time.process_time()
    assert len(container(data).members) == 20_000
    assert time.process_time() - start < 2
