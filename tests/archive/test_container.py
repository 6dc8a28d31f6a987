"""Damaged, hostile and odd zip archives: a message that says what is wrong, never a wrong result."""

import io
import os
import random
import struct
import sys
import time
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import pytest
from tests.benchmarks.programs import write_artifact

import graphlint
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.container import Container
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.source import BytesSource

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
ALL = sorted(ARTIFACTS.glob("*/*.pt2"))
SAMPLE = ARTIFACTS / "2.13.0" / "buffer_counter.pt2"


def container(data):
    return Container(BytesSource(bytes(data)))


def zipped(contents, method=zipfile.ZIP_STORED, comment=b""):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
        archive.comment = comment
    return bytearray(out.getvalue())


def directory_at(data):
    return data.index(b"PK\x01\x02")


@pytest.mark.parametrize("path", ALL[::7], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_reads_what_zipfile_reads(path):
    with Container(path) as ours, zipfile.ZipFile(path) as theirs:
        assert list(ours.members) == theirs.namelist()
        assert all(ours.read(name) == theirs.read(name) for name in theirs.namelist())


def test_deflated_members_and_comment():
    data = zipped({"a": b"a" * 9999, "empty": b""}, zipfile.ZIP_DEFLATED, b"PK is fine in a comment")
    assert container(data).read("a") == b"a" * 9999
    assert container(data).read("empty") == b""


def test_names_are_only_names():
    names = ["../../etc/passwd", "/abs", "back\\slash", "C:\\x", "a//b", "ümlaut", "with\nnewline", ""]
    assert list(container(zipped(dict.fromkeys(names[:-1], b"x"))).members) == names[:-1]


def test_name_that_is_not_utf8_round_trips():
    data = zipped({"xx": b"1"}).replace(b"xx", b"\xff\xfe")
    archive = container(data)
    assert [name.encode("utf-8", "surrogateescape") for name in archive.members] == [b"\xff\xfe"]
    assert archive.read(next(iter(archive.members))) == b"1"
    with pytest.raises(ArtifactError, match=r'"a\\n\\udcff"'):
        archive.read("a\n\udcff")


@pytest.mark.parametrize("step", [997])
def test_truncated_anywhere(step):
    for path in (SAMPLE, ARTIFACTS / "2.5.1" / "buffer_counter.pt2"):
        data = path.read_bytes()
        for length in [*range(0, len(data), step), *range(len(data) - 120, len(data))]:
            with pytest.raises(ArtifactError):
                container(data[:length])


def test_holes_anywhere(tmp_path):
    """An interrupted download that was resumed elsewhere, bit rot: an error or the right bytes, and nothing else."""
    good = SAMPLE.read_bytes()
    with Container(SAMPLE) as archive:
        contents = {name: archive.read(name) for name in archive.members}
    rng = random.Random(0)
    errors = 0
    for _ in range(1500):
        data = bytearray(good)
        start = rng.randrange(len(data))
        for position in range(start, min(len(data), start + rng.choice([1, 2, 8, 300]))):
            data[position] = rng.choice([0, 0xFF, rng.randrange(256)])
        try:
            for name, content in contents.items():
                assert container(data).read(name) == content
        except ArtifactError:
            errors += 1
    assert 500 < errors < 1500, "paddings may be damaged, all else may not"


def test_foreign_bytes_before():
    data = SAMPLE.read_bytes()
    with pytest.raises(ArtifactError, match="100 foreign bytes stand before the zip archive"):
        container(b"\xff" * 100 + data)
    with pytest.raises(ArtifactError, match="foreign bytes"):
        container(b"\xff" * 5 + zipped({"a": b"1"}))


def test_foreign_bytes_behind_are_ignored_as_torch_does():
    assert container(SAMPLE.read_bytes() + b"\0" * 100).read("buffer_counter/archive_format") == b"pt2"


def test_duplicate_names():
    data = zipped({"ab": b"1", "ac": b"2"}).replace(b"ac", b"ab")
    with pytest.raises(ArtifactError, match='member "ab" is in the archive twice') as caught:
        container(data)
    assert caught.value.member == "ab"


def test_nul_in_name():
    with pytest.raises(ArtifactError, match=r'"a\\x00" has a NUL'):
        container(zipped({"ab": b"1"}).replace(b"ab", b"a\0"))


def damaged(change, contents=None, method=zipfile.ZIP_STORED):
    data = zipped(contents or {"a/b": b"0123456789" * 10, "a/c": b"2"}, method)
    change(data, directory_at(data))
    return data


def put(layout, offset, value):
    return lambda data, directory: struct.pack_into(layout, data, directory + offset, value)


def put_local(layout, offset, value):
    return lambda data, _: struct.pack_into(layout, data, offset, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("<H", 8, 1), '"a/b" is encrypted'),
        (put_local("<H", 6, 1), '"a/b" is encrypted'),
        (put("<H", 10, 14), '"a/b" is compressed by method 14'),
        (put("<H", 10, 8), "header contradicts"),
        (put("<I", 16, 7), "header contradicts"),
        (put("<I", 20, 99), "its two sizes differ"),
        (put("<Q", 20, 0), "header contradicts"),
        (put("<I", 42, 1), '"a/b" overlaps member "a/c"'),
        (put("<I", 42, 1 << 30), '"a/b" is damaged: it does not fit'),
        (put_local("<I", 0, 0), '"a/b" is damaged: there is no header'),
        (put_local("<B", 30, ord("x")), "header contradicts"),
        (put_local("<H", 26, 2), "header contradicts"),
        (put_local("<H", 28, 1000), "does not fit|ends in the middle"),
        (put_local("<B", 40, 0), "checksum"),
        (put("<I", 20, 0xFFFFFFFF), "zip64 sizes are missing"),
    ],
)
def test_damaged_member(change, message):
    with pytest.raises(ArtifactError, match=message) as caught:
        container(damaged(change)).read("a/b")
    assert caught.value.member == "a/b"


def test_other_members_stay_readable():
    assert container(damaged(put_local("<I", 0, 0))).read("a/c") == b"2"


def test_missing_member():
    with pytest.raises(ArtifactError, match='member "x" is missing') as caught:
        container(zipped({"a": b""})).read("x")
    assert caught.value.member == "x"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("<I", 0, 0), "no directory where its end record says"),
        (put("<H", 28, 5000), "ends in the middle of an entry"),
        (put("<H", 32, 3), "ends in the middle of an entry"),
        (lambda data, _: struct.pack_into("<2H", data, len(data) - 14, 1, 1), "lists 2 members instead of 1"),
        (lambda data, _: struct.pack_into("<2H", data, len(data) - 14, 1, 2), "split over several files"),
        (lambda data, _: struct.pack_into("<H", data, len(data) - 18, 1), "split over several files"),
        (lambda data, _: struct.pack_into("<I", data, len(data) - 10, 1 << 30), "directory does not fit"),
        (lambda data, _: struct.pack_into("<I", data, len(data) - 6, 1 << 30), "directory does not fit"),
    ],
)
def test_damaged_directory(change, message):
    with pytest.raises(ArtifactError, match=message):
        container(damaged(change))


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (-22 - 20 + 8, "1 of its bytes are missing"),
        (-22 - 20 - 56, "zip64 end record is not where"),
        (-22 + 12, "contradict"),
    ],
)
def test_damaged_zip64_end(offset, message):
    data = bytearray(SAMPLE.read_bytes())
    data[offset] ^= 1
    with pytest.raises(ArtifactError, match=message):
        container(data)


@pytest.mark.parametrize("announced", [1, 5000, 9_999, 1 << 25])
def test_lies_about_the_inflated_size(announced):
    def lie(data, directory):
        struct.pack_into("<I", data, directory + 24, announced)
        struct.pack_into("<I", data, 22, announced)

    data = damaged(lie, {"a": b"x" * 10_000}, zipfile.ZIP_DEFLATED)
    message = f"does not inflate to the {announced} bytes" if announced < 1 << 20 else "is a zip bomb, or close to one"
    with pytest.raises(ArtifactError, match=message):
        container(data).read("a")


def test_bomb_is_not_inflated():
    def lie(data, directory):
        struct.pack_into("<I", data, directory + 24, 100)
        struct.pack_into("<I", data, 22, 100)

    data = damaged(lie, {"a": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    archive = container(data)
    tracemalloc.start()
    with pytest.raises(ArtifactError, match="does not inflate"):
        archive.read("a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_broken_deflate_stream():
    data = zipped({"a": b"hello" * 100}, zipfile.ZIP_DEFLATED)
    data[31] = 0xFF
    with pytest.raises(ArtifactError, match="cannot be inflated"):
        container(data).read("a")


def test_limit():
    archive = container(zipped({"a": b"12345"}))
    assert archive.read("a", limit=5) == b"12345"
    with pytest.raises(ArtifactError, match=r"too large to be read \(5 bytes; the limit is 4\)"):
        archive.read("a", limit=4)


def test_zip64_directory_values():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, archive.open("a", "w", force_zip64=True) as member:
        member.write(b"1234")
    assert container(out.getvalue()).read("a") == b"1234"


def test_zip64_sizes_in_the_directory():
    content, MAX = b"1234", 0xFFFFFFFF  # noqa: N806
    extra = struct.pack("<2H3Q", 1, 24, 4, 4, 0)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 0, zlib.crc32(content), 4, 4, 1, 0) + b"a" + content
    record = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 45, 45, 0, 0, 0, 0, zlib.crc32(content), *[MAX] * 2, 1, 28, 0, 0, 0, 0, MAX
    )  # fmt: skip
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, 75, len(local))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + 75, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    data = local + record + b"a" + extra + end64 + locator + end
    assert zipfile.ZipFile(io.BytesIO(data)).read("a") == content, "zipfile agrees that this is right"
    assert container(data).read("a") == content


def test_only_what_is_asked_for_is_read():
    class Recording(BytesSource):
        def __init__(self, data):
            super().__init__(data)
            self.ranges = []

        def read_at(self, offset, length):
            self.ranges.append((offset, length))
            return super().read_at(offset, length)

    weight = bytes(300_000)
    source = Recording(bytes(zipped({"m/models/m.json": b"{}", "m/weight": weight, "m/x": b"1"})))
    archive = Container(source)
    assert archive.read("m/models/m.json") == b"{}"
    assert sum(length for _, length in source.ranges) < 70_000


@pytest.mark.skipif(sys.platform == "win32", reason="needs sparse files")
@pytest.mark.parametrize(("nodes", "weights", "most"), [(10, 0, 1), (10, 1 << 30, 3), (20_000, 1 << 30, 4)])
def test_a_check_reads_a_file_in_few_pieces(tmp_path, monkeypatch, nodes, weights, most):
    path = write_artifact(tmp_path / "model.pt2", nodes, nodes // 20, weights=weights)
    pieces = []

    def read(descriptor, length):
        piece = os.pread(descriptor, length, os.lseek(descriptor, 0, os.SEEK_CUR))
        os.lseek(descriptor, len(piece), os.SEEK_CUR)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            pieces.append(len(piece))
        return piece

    monkeypatch.setattr(os, "read", read)
    graphlint.lint(path, isolated=True)
    assert 0 < len(pieces) <= most


def test_container_closes_its_file_on_errors(tmp_path):
    import gc

    path = tmp_path / "x.pt2"
    path.write_bytes(b"PK\x03\x04 no zip")
    before = len(list(Path("/dev/fd").iterdir())) if Path("/dev/fd").exists() else 0
    for _ in range(20):
        with pytest.raises(ArtifactError):
            Container(path)
        with pytest.raises(ArtifactError):
            open_artifact(path)
    gc.collect()
    after = len(list(Path("/dev/fd").iterdir())) if Path("/dev/fd").exists() else 0
    assert after <= before


def test_large_directories_are_fast():
    data = zipped({f"m/{number}": b"" for number in range(20_000)})
    start = time.process_time()
    assert len(container(data).members) == 20_000
    assert time.process_time() - start < 2
