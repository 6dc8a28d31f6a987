"""Rewriting archives: what is not changed stays byte for byte, and stock torch and zipfile read the result."""

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.container import Container
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.rewrite import write_archive
from graphlint.artifact.source import BytesSource

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
ALL = sorted(ARTIFACTS.glob("*/*.pt2"))
LOADABLE = [path for path in ALL if tuple(map(int, path.parent.name.split("."))) >= (2, 6)]


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def rewritten(path, changes):
    with Container(path) as container:
        out = io.BytesIO()
        write_archive(container, changes, out)
    return out.getvalue()


def changed_programs(path):
    """Each program's JSON with blanks in front: another size, the same meaning."""
    with open_artifact(path) as artifact:
        return {entry.member: b" " * 37 + artifact.read_program(entry) for entry in artifact.programs}


def data_offsets(data):
    offsets = {}
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        name_length, extra_length = struct.unpack_from("<2H", data, info.header_offset + 26)
        offsets[info.filename] = info.header_offset + 30 + name_length + extra_length
    return offsets


def local_header(data, info):
    """Everything of a member's local header that must not depend on where it stands: all but the extra length."""
    return data[info.header_offset : info.header_offset + 28]


def described(info):
    return (
        info.filename, info.file_size, info.compress_size, info.CRC, info.compress_type, info.flag_bits, info.date_time,
        info.external_attr, info.internal_attr, info.create_version, info.extract_version, info.extra, info.comment,
    )  # fmt: skip


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_no_change_is_the_same_file(path):
    assert rewritten(path, {}) == path.read_bytes()


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_changed_program_leaves_everything_else_alone(path):
    changes = changed_programs(path)
    old_data, data = path.read_bytes(), rewritten(path, changes)
    old, new = zipfile.ZipFile(io.BytesIO(old_data)), zipfile.ZipFile(io.BytesIO(data))
    assert new.testzip() is None
    assert new.namelist() == old.namelist()
    for before, after in zip(old.infolist(), new.infolist(), strict=True):
        if before.filename in changes:
            assert new.read(after) == changes[before.filename]
            assert described(after)[4:] == described(before)[4:]
        else:
            assert new.read(after) == old.read(before)
            assert described(after) == described(before)
            assert local_header(data, after) == local_header(old_data, before)
    padded = b"FB" in old_data[: 30 + 200]
    if padded:
        assert {offset % 64 for offset in data_offsets(data).values()} == {0}
    else:
        assert len(data) - len(old_data) == 37 * len(changes)
    # Back to the old content: nothing may be left of the detour.
    with Container(BytesSource(data)) as container:
        out = io.BytesIO()
        write_archive(container, {name: content[37:] for name, content in changes.items()}, out)
    assert out.getvalue() == old_data


def test_corpus_has_both_styles():
    starts = {path.read_bytes()[:230].count(b"FB") > 0 for path in ALL}
    assert starts == {True, False}


# As torch wrote it, and yet torch 2.13 can't load it: a keyword argument called "from", and subgraphs of torch 2.6.
NOT_LOADABLE = {f"2.6.0/{name}" for name in ("autocast_region", "cond_assert", "cond_mutation", "no_grad_region")} | {
    name_of(path) for path in LOADABLE if path.stem == "random"
}


@pytest.mark.parametrize("path", [path for path in LOADABLE if name_of(path) not in NOT_LOADABLE], ids=name_of)
def test_torch_loads_the_rewritten_file(path, torch_graphs):
    graphs = torch_graphs(rewritten(path, changed_programs(path)))
    assert graphs == torch_graphs(path.read_bytes())
    assert len(graphs) == (2 if path.stem == "two_programs" else 1)


@pytest.mark.parametrize("change", [0, 1, 30, 63, 64, 65, 5000])
def test_alignment_for_every_shift(change):
    path = ARTIFACTS / "2.13.0" / "two_programs.pt2"
    with open_artifact(path) as artifact:
        member = artifact.programs[0].member
        data = rewritten(path, {member: artifact.read_program(artifact.programs[0]) + b" " * change})
    assert {offset % 64 for offset in data_offsets(data).values()} == {0}
    assert zipfile.ZipFile(io.BytesIO(data)).testzip() is None


def small_zip(**options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as archive:
        for name in ("m/models/a.json", "m/data/x", "m/data/y", "m/end"):
            archive.writestr(name, name.encode() * 40)
        archive.comment = b"a comment"
    return out.getvalue()


def edited(data, changes, **options):
    with Container(BytesSource(data)) as container:
        out = io.BytesIO()
        write_archive(container, changes, out, **options)
    return out.getvalue()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_plain_zip_files_keep_their_style(compression):
    data = small_zip(compression=compression)
    archive = zipfile.ZipFile(io.BytesIO(edited(data, {"m/data/x": b"new" * 500, "m/data/z": b"brand new"})))
    assert archive.testzip() is None
    assert archive.namelist() == ["m/models/a.json", "m/data/x", "m/data/y", "m/data/z", "m/end"]
    assert archive.comment == b"a comment"
    assert archive.read("m/data/x") == b"new" * 500
    assert archive.getinfo("m/data/x").compress_type == compression
    assert archive.getinfo("m/data/z").compress_type == zipfile.ZIP_STORED, "torch maps tensors, so they are stored"
    assert not archive.getinfo("m/data/z").flag_bits & 8
    assert archive.getinfo("m/data/z").external_attr == archive.getinfo("m/data/x").external_attr


def test_new_members_in_a_torch_archive_are_written_as_torch_does():
    path = ARTIFACTS / "2.13.0" / "constant_mutation.pt2"
    data = rewritten(path, {"constant_mutation/data/constants/tensor_1": b"1234"})
    archive = zipfile.ZipFile(io.BytesIO(data))
    info = archive.getinfo("constant_mutation/data/constants/tensor_1")
    assert described(info)[4:6] == (zipfile.ZIP_STORED, 0x808)
    assert archive.read(info) == b"1234"
    offset = data_offsets(data)[info.filename]
    assert offset % 64 == 0
    assert data[offset + 4 : offset + 20] == b"PK\x07\x08" + struct.pack("<3I", info.CRC, 4, 4)


def test_new_member_elsewhere():
    names = zipfile.ZipFile(io.BytesIO(edited(small_zip(), {"m/other/é": b"1"}))).namelist()
    assert names[-1] == "m/other/é"
    names = zipfile.ZipFile(io.BytesIO(edited(small_zip(), {"m/other": b"1"}, before="m/data/y"))).namelist()
    assert names.index("m/other") == names.index("m/data/y") - 1


def test_bytes_around_the_archive_are_kept():
    data = small_zip()
    behind = edited(data + b"\0" * 9, {"m/end": b"changed"})
    assert behind.endswith(b"a comment" + b"\0" * 9)
    assert edited(data + b"\0" * 9, {}) == data + b"\0" * 9
    assert Container(BytesSource(behind)).read("m/end") == b"changed"


def test_forced_zip64_members():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("a", "b", "c"):
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(name.encode() * 100)
    data = out.getvalue()
    assert edited(data, {}) == data
    archive = zipfile.ZipFile(io.BytesIO(edited(data, {"a": b"longer" * 99})))
    assert archive.testzip() is None
    assert [archive.read(name) for name in archive.namelist()] == [b"longer" * 99, b"b" * 100, b"c" * 100]


def unseekable_zip():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def tell(self):
            raise OSError

        def seek(self, *_):
            raise OSError

    out = Pipe()
    with zipfile.ZipFile(out, "w") as archive:
        for name in ("a", "b"):
            with archive.open(name, "w", force_zip64=True) as member:  # data descriptors of 24 bytes
                member.write(name.encode() * 100)
    return out.getvalue()


def test_wide_data_descriptors_are_copied():
    data = unseekable_zip()
    descriptor = struct.pack("<4sI2Q", b"PK\x07\x08", zipfile.ZipFile(io.BytesIO(data)).getinfo("b").CRC, 100, 100)
    assert descriptor in data
    assert edited(data, {}) == data
    new = edited(data, {"a": b"x"})
    assert descriptor in new
    archive = zipfile.ZipFile(io.BytesIO(new))
    assert (archive.read("a"), archive.read("b")) == (b"x", b"b" * 100)


def test_more_members_than_16_bits_can_count():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for number in range(0xFFFE):
            archive.writestr(zipfile.ZipInfo(str(number)), b"")
    data = out.getvalue()
    assert b"PK\x06\x06" not in data
    new = edited(data, {"last": b"1", "very last": b"2"})
    assert b"PK\x06\x06" in new
    archive = zipfile.ZipFile(io.BytesIO(new))
    assert len(archive.namelist()) == 0x10000
    assert archive.read("very last") == b"2"
    with Container(BytesSource(new)) as container:
        assert len(container.members) == 0x10000
    assert edited(new, {}) == new


GIANT = (1 << 32) + 4096


@pytest.fixture
def giant(tmp_path):
    """An archive as torch writes it, with a (sparse) member of more than 4 GiB in front of the program."""
    path = tmp_path / "giant.pt2"
    central = b""
    entries = [("g/data/weights/weight_0", None), ("g/archive_format", b"pt2"), ("g/models/model.json", b'{"a": 1}')]
    with path.open("wb") as file:
        for name, content in entries:
            encoded = name.encode()
            offset = file.tell()
            crc = zipfile.crc32(content) if content else 0x12345678  # nobody may read that much to find out
            size = len(content) if content else GIANT
            # torch's miniz puts what is too large for its field into the local header's zip64 field, the offset too.
            wide = (struct.pack("<2Q", size, size) if content is None else b"") + (
                struct.pack("<Q", offset) if offset >= 0xFFFFFFFF else b""
            )
            zip64 = struct.pack("<2H", 1, len(wide)) + wide if wide else b""
            start = offset + 30 + len(encoded) + len(zip64) + 4
            padding = -start % 64
            extra = zip64 + struct.pack("<2H", 0x4246, padding) + b"Z" * padding
            file.write(struct.pack("<4s5H3I2H", b"PK\3\4", 0, 0x808, 0, 0, 0, 0, 0, 0, len(encoded), len(extra)))
            file.write(encoded + extra)
            if content is None:
                file.seek(GIANT, 1)
            else:
                file.write(content)
            file.write(struct.pack("<4sI2Q" if wide else "<4s3I", b"PK\7\x08", crc, size, size))
            narrow = min(size, 0xFFFFFFFF)
            central += struct.pack(
                "<4s6H3I5H2I", b"PK\1\2", 0, 0, 0x808, 0, 0, 0, crc, narrow, narrow, len(encoded), len(zip64),
                0, 0, 0, 0, min(offset, 0xFFFFFFFF),
            ) + encoded + zip64  # fmt: skip
        offset = file.tell()
        file.write(central)
        end = file.tell()
        file.write(struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 0, 0, 0, 0, 3, 3, len(central), offset))
        file.write(struct.pack("<4sIQI", b"PK\6\7", 0, end, 1))
        file.write(struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 3, 3, len(central), 0xFFFFFFFF, 0))
    if path.stat().st_blocks * 512 > 1 << 24:
        path.unlink()
        pytest.skip("the file system has no sparse files")
    yield path
    path.unlink()


def test_giant_archive_is_read_with_little_memory(giant):
    assert zipfile.ZipFile(giant).read("g/models/model.json") == b'{"a": 1}', "the fixture is a good zip archive"
    tracemalloc.start()
    with open_artifact(giant) as artifact:
        assert artifact.read_program(artifact.programs[0]) == b'{"a": 1}'
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20
    with Container(giant) as container:
        assert container.members["g/data/weights/weight_0"].size == GIANT
        with pytest.raises(ArtifactError, match="too large to be read"):
            container.read("g/data/weights/weight_0")


class Skipping(io.RawIOBase):
    """A file object that keeps what is written but for long runs of zeros, of which it keeps the length."""

    def __init__(self):
        self.pieces = []
        self.position = 0
        self.largest = 0

    def write(self, data):
        self.largest = max(self.largest, len(data))
        self.pieces.append((self.position, bytes(data) if len(data) < 1 << 19 else None, len(data)))
        self.position += len(data)
        return len(data)


class SparseSource:
    """The giant file, whose hole costs nothing to read."""

    ZEROS = bytes(1 << 24)

    def __init__(self, container):
        self.inner = container.source
        self.size = container.source.size

    def read_at(self, offset, length):
        if 1 << 16 < offset < GIANT - (1 << 25):
            return self.ZEROS[:length]
        return self.inner.read_at(offset, length)

    def close(self):
        self.inner.close()


def test_members_beyond_4_gib_are_moved(giant):
    """The program grows and moves, its offset standing in zip64 fields; and a new member is put behind it."""
    container = Container(giant)
    container.source = SparseSource(container)
    out = Skipping()
    new = {"g/archive_format": b"pt2" + b" " * 100, "g/models/new.json": b"[]"}
    write_archive(container, new, out)
    assert out.largest <= 1 << 20, "copied in chunks"
    with giant.open("r+b") as file:
        for position, data, _ in out.pieces:
            if data is not None and position > 1 << 20:
                file.seek(position)
                file.write(data)
        file.truncate(out.position)
    container.close()
    archive = zipfile.ZipFile(giant)
    assert archive.read("g/archive_format") == new["g/archive_format"]
    assert archive.read("g/models/model.json") == b'{"a": 1}'
    assert archive.read("g/models/new.json") == b"[]"
    with Container(giant) as again:
        for name in ("g/archive_format", "g/models/model.json", "g/models/new.json"):
            assert again.data_offset(again.members[name]) % 64 == 0
            assert again.members[name].header_offset > 1 << 32
        model = again.members["g/models/model.json"]
        header = again.source.read_at(model.header_offset, 30 + len(model.name) + 12)
        assert struct.unpack("<Q", header[-8:]) == (model.header_offset,), "the local zip64 field does not lie"


def test_offset_that_grows_beyond_4_gib_gets_a_zip64_field():
    from graphlint.artifact.rewrite import moved_central_record

    with Container(BytesSource(small_zip())) as container:
        record = container.members["m/end"].record
    data = small_zip()
    far = (1 << 32) + 5
    moved = moved_central_record(record, far)
    assert moved != record
    # Let zipfile say what it means.
    directory = data.index(b"PK\1\2")
    entry = moved + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(moved), directory, 0)
    (info,) = zipfile.ZipFile(io.BytesIO(data[:directory] + entry)).infolist()
    assert (info.filename, info.header_offset) == ("m/end", far)
    # And back: the field stays where it is.
    back = moved_central_record(moved, 7)
    entry = back + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(back), directory, 0)
    (info,) = zipfile.ZipFile(io.BytesIO(data[:directory] + entry)).infolist()
    assert (info.filename, info.header_offset) == ("m/end", 7)


def test_offset_joins_the_sizes_in_a_zip64_field():
    from graphlint.artifact.rewrite import moved_central_record

    def record(offset, wide):
        extra = b"".join(struct.pack("<2H", kind, len(body)) + body for kind, body in ((1, wide), (9, b"other")))
        fields = (0, 0, 0x808, 0, 0, 0, 7, 0xFFFFFFFF, 0xFFFFFFFF, 4, len(extra), 3, 0, 0, 0, offset)
        return struct.pack("<4s6H3I5H2I", b"PK\1\2", *fields) + b"name" + extra + b"hi!"

    far = (1 << 32) + 5
    near_one = record(128, struct.pack("<2Q", GIANT, GIANT))
    far_one = record(0xFFFFFFFF, struct.pack("<3Q", GIANT, GIANT, far))
    assert moved_central_record(near_one, far) == far_one
    assert moved_central_record(near_one, 192) == record(192, struct.pack("<2Q", GIANT, GIANT))
    assert moved_central_record(far_one, far + 64) == record(0xFFFFFFFF, struct.pack("<3Q", GIANT, GIANT, far + 64))


def test_overlapping_members_are_refused():
    data = bytearray(small_zip())
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    struct.pack_into("<I", data, second + 42, 10)
    with pytest.raises(ArtifactError, match="overlaps"):
        edited(bytes(data), {})


def test_moving_a_member_without_header_is_refused():
    data = bytearray(small_zip())
    with Container(BytesSource(bytes(data))) as container:
        data[container.members["m/data/y"].header_offset] ^= 0xFF
    with pytest.raises(ArtifactError, match='"m/data/y" is damaged') as caught:
        edited(bytes(data), {"m/data/x": b"1"})
    assert caught.value.member == "m/data/y"
