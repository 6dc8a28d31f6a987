"""Putting a rewritten artifact in the old one's place: completely, or not at all and without a trace."""

# What is tested are context managers (so several statements may raise), file names in bytes, and system calls:
# ruff: noqa: PT012, SIM117, PTH105, PTH108, PTH118, PTH208

import errno
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest

from graphlint.artifact import rewrite
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.container import Container
from graphlint.artifact.errors import ArtifactError, WriteError
from graphlint.artifact.rewrite import PendingReplacement

SAMPLE = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "buffer_counter.pt2"
MEMBER = "buffer_counter/models/model.json"
CHANGES = {MEMBER: b'{"changed": true}'}


@pytest.fixture
def path(tmp_path):
    return Path(shutil.copy(SAMPLE, tmp_path / "model.pt2"))


def replace(path):
    with Container(path) as container, PendingReplacement(path, container, CHANGES) as pending:
        pending.commit()


def is_changed(path):
    with zipfile.ZipFile(path) as archive:
        return archive.read(MEMBER) == CHANGES[MEMBER] and archive.testzip() is None


def assert_untouched(path):
    assert path.read_bytes() == SAMPLE.read_bytes()
    assert os.listdir(path.parent) == [path.name], "no temporary file is left"


def test_commit(path):
    with Container(path) as container, PendingReplacement(path, container, CHANGES) as pending:
        temporary = Path(pending.path)
        assert temporary.parent == path.parent
        assert temporary.suffix == ".tmp", "not to be taken for an artifact"
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600, "nobody else reads it before it has the right mode"
        with open_artifact(pending.path) as artifact:
            assert artifact.read_program(artifact.programs[0]) == CHANGES[MEMBER]
        assert path.read_bytes() == SAMPLE.read_bytes(), "not yet"
        pending.commit()
        assert is_changed(path)
    assert is_changed(path)
    assert os.listdir(path.parent) == [path.name]


def test_without_commit(path):
    with Container(path) as container, PendingReplacement(path, container, CHANGES):
        assert len(os.listdir(path.parent)) == 2
    assert_untouched(path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_interrupted_by_the_caller(path, error):
    with Container(path) as container, pytest.raises(error), PendingReplacement(path, container, CHANGES):
        raise error
    assert_untouched(path)


@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755, 0o664, 0o200, 0o620])
def test_mode_is_kept(path, mode):
    path.chmod(mode)
    if not os.access(path, os.R_OK):
        pytest.skip("only root may read it")
    replace(path)
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_owner_is_kept(path):
    os.chown(path, 1234, 2345)
    path.chmod(0o6755)
    replace(path)
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)
    assert stat.S_IMODE(path.stat().st_mode) == 0o6755, "giving a file away takes these bits from it"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_owner_that_may_not_be_kept(path, monkeypatch):
    def refuse(*args):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    os.chown(path, 1234, 2345)
    path.chmod(0o6775)
    monkeypatch.setattr(os, "fchown", refuse)
    replace(path)
    assert is_changed(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o0705, "the rights of the old group are not for the new one"


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="the platform has no extended attributes")
def test_extended_attributes_are_kept(path):
    try:
        os.setxattr(path, "user.origin", b"registry")
    except OSError as error:
        pytest.skip(f"the file system has no extended attributes: {error}")
    replace(path)
    assert os.getxattr(path, "user.origin") == b"registry"


def acl(user: int) -> bytes:
    """An access control list as Linux has it: everything to the owner, reading and writing to one more user."""
    entries = [(0x01, 7, -1), (0x02, 6, user), (0x04, 5, -1), (0x10, 7, -1), (0x20, 5, -1)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="the platform has no access control lists")
@pytest.mark.parametrize("own", [False, True])
def test_the_access_control_list_is_that_of_the_old_file(path, own):
    """Not what new files in the folder are given."""
    name = "system.posix_acl_access"
    try:
        if own:
            os.setxattr(path, name, acl(1234))
        os.setxattr(path.parent, "system.posix_acl_default", acl(4321))
    except OSError as error:
        pytest.skip(f"the file system has no access control lists: {error}")
    before = path.stat().st_mode
    replace(path)
    assert path.stat().st_mode == before
    assert (name in os.listxattr(path)) == own
    if own:
        assert os.getxattr(path, name) == acl(1234)


def test_times_are_new(path):
    """What is built of the file has to be built again."""
    os.utime(path, (1, 1))
    replace(path)
    assert path.stat().st_mtime > 1_700_000_000


def test_symbolic_link_stays(path, tmp_path):
    elsewhere = tmp_path / "links"
    elsewhere.mkdir()
    link, second = elsewhere / "latest.pt2", elsewhere / "chain.pt2"
    link.symlink_to(path)
    second.symlink_to("latest.pt2")
    with Container(second) as container, PendingReplacement(second, container, CHANGES) as pending:
        assert Path(pending.path).parent == path.parent
        pending.commit()
    assert link.is_symlink()
    assert second.is_symlink()
    assert not path.is_symlink()
    assert is_changed(path)
    assert sorted(os.listdir(elsewhere)) == ["chain.pt2", "latest.pt2"]


def test_other_hard_links_keep_the_old_content(path, tmp_path):
    other = tmp_path / "folder"
    other.mkdir()
    os.link(path, other / "same.pt2")
    replace(path)
    assert is_changed(path)
    assert_untouched(other / "same.pt2")


@pytest.mark.parametrize(
    "name", [b"a b.pt2", b"a\nb.pt2", b"\xff\xfe.pt2", "ü".encode() * 125 + b".pt2", b"x" * 255, b"-"]
)
def test_odd_names(tmp_path, name):
    target = os.path.join(os.fsencode(tmp_path), name)
    shutil.copy(SAMPLE, os.fsdecode(target))
    for path in (target, os.fsdecode(target)):
        with Container(path) as container, PendingReplacement(path, container, CHANGES) as pending:
            pending.commit()
    assert is_changed(os.fsdecode(target))
    assert os.listdir(os.fsencode(tmp_path)) == [name]


def test_relative_path(path, monkeypatch):
    monkeypatch.chdir(path.parent)
    replace(path.name)
    assert is_changed(path)
    assert os.listdir(path.parent) == [path.name]


def test_read_only_file_is_refused(path):
    path.chmod(0o444)
    with Container(path) as container, pytest.raises(WriteError, match="is read-only, and was not written"):
        PendingReplacement(path, container, CHANGES).__enter__()
    assert_untouched(path)


def test_file_made_read_only_meanwhile(path):
    with Container(path) as container, pytest.raises(WriteError, match="read-only"):
        with PendingReplacement(path, container, CHANGES) as pending:
            path.chmod(0o444)
            pending.commit()
    assert_untouched(path)


@pytest.mark.skipif(not hasattr(os, "setresuid") or os.geteuid() != 0, reason="needs root, to become another user")
@pytest.mark.parametrize(
    ("folder_mode", "file_mode", "message"),
    [(0o755, 0o666, "Permission denied .graphlint needs the right to create a file"), (0o777, 0o644, "is read-only")],
)
def test_another_user(folder_mode, file_mode, message):
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is for its owner only
        path = Path(shutil.copy(SAMPLE, Path(folder, "model.pt2")))
        replace(shutil.copy(SAMPLE, Path(folder, "first.pt2")))  # so that all is imported
        os.unlink(Path(folder, "first.pt2"))
        path.chmod(file_mode)
        path.parent.chmod(folder_mode)
        with Container(path) as container:
            os.setresuid(54321, 54321, 0)
            try:
                with pytest.raises(WriteError, match=message):
                    PendingReplacement(path, container, CHANGES).__enter__()
            finally:
                os.setresuid(0, 0, 0)
        assert_untouched(path)


def test_file_changed_meanwhile(path):
    with Container(path) as container:
        path.write_bytes(SAMPLE.read_bytes() + b"\0")
        with pytest.raises(WriteError, match="was changed by something else meanwhile"):
            PendingReplacement(path, container, CHANGES).__enter__()
    path.write_bytes(SAMPLE.read_bytes())
    assert_untouched(path)


def put_another_there(path):
    other = path.with_name("other")
    shutil.copy(SAMPLE, other)
    os.replace(other, path)


def touch(path):
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))


@pytest.mark.parametrize("change", [put_another_there, touch])
def test_file_changed_before_commit(path, change):
    with Container(path) as container, pytest.raises(WriteError, match="was changed by something else meanwhile"):
        with PendingReplacement(path, container, CHANGES) as pending:
            change(path)
            pending.commit()
    assert_untouched(path)


def test_file_that_is_gone(path):
    with Container(path) as container, pytest.raises(WriteError, match="No such file"):
        with PendingReplacement(path, container, CHANGES) as pending:
            path.unlink()
            pending.commit()
    assert os.listdir(path.parent) == []


FAILURES = [
    ("open", errno.EACCES, "right to create a file in that folder"),
    ("open", errno.EROFS, "copy the artifact to a disk"),
    ("copy_file_range", errno.ENOSPC, "free some space"),
    ("copy_file_range", errno.EIO, "Input/output error"),
    ("write", errno.ENOSPC, "free some space"),
    ("write", errno.EDQUOT, "quota"),
    ("write", errno.EFBIG, "ulimit"),
    ("fsync", errno.ENOSPC, "free some space"),
    ("fchmod", errno.EPERM, "right to create and replace"),
    ("replace", errno.EACCES, "right to create a file"),
    ("replace", errno.EBUSY, "busy"),
]


@pytest.mark.parametrize("kind", [None, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize(("function", "number", "message"), FAILURES)
def test_failure_at_each_stage(path, monkeypatch, function, number, message, kind):
    if not hasattr(os, function):
        pytest.skip(f"the platform has no os.{function}")
    called = []

    def fail(*args, **options):
        called.append(function)
        raise kind() if kind else OSError(number, os.strerror(number))

    with Container(path) as container:
        monkeypatch.setattr(os, function, fail)
        with pytest.raises(kind or WriteError) as caught:
            with PendingReplacement(path, container, CHANGES) as pending:
                pending.commit()
        monkeypatch.undo()
    assert called == [function], "and no second try"
    if kind is None:
        text = str(caught.value)
        assert message in text
        assert f'"{path}" cannot be rewritten and is unchanged' in text
        assert "\n" not in text
    assert_untouched(path)


@pytest.mark.parametrize("number", sorted(rewrite.NO_KERNEL_COPY))
def test_kernel_that_cannot_copy(path, monkeypatch, number):
    def refuse(*args):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "copy_file_range", refuse, raising=False)
    replace(path)
    assert is_changed(path)


@pytest.mark.parametrize("limit", [0, 1, 100])
def test_kernel_that_copies_little(path, monkeypatch, limit):
    """File systems may copy less than asked for, and some pretend to be at their end."""
    if not hasattr(os, "copy_file_range"):
        pytest.skip("the platform has no os.copy_file_range")
    real, calls = os.copy_file_range, []

    def little(source, target, count, offset):
        calls.append(count)
        return real(source, target, min(count, limit), offset) if len(calls) < 2000 and limit else 0

    monkeypatch.setattr(os, "copy_file_range", little)
    replace(path)
    assert is_changed(path)
    assert calls


def test_short_writes(path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:7]))
    monkeypatch.setattr(rewrite.sys, "platform", "other")  # no copying by the kernel
    replace(path)
    assert is_changed(path)


def test_file_that_shrinks_while_it_is_copied(path, monkeypatch):
    with zipfile.ZipFile(path, "a") as archive:  # so large that it is not kept in memory
        archive.writestr("buffer_counter/extra/large", os.urandom(1 << 20))
    with Container(path) as container:
        real = os.write

        def shrink(descriptor, data):
            os.truncate(path, 50)
            return real(descriptor, data)

        monkeypatch.setattr(os, "write", shrink)
        with pytest.raises((ArtifactError, WriteError)):
            PendingReplacement(path, container, CHANGES).__enter__()
        monkeypatch.undo()
    assert os.listdir(path.parent) == [path.name]


def test_damaged_member_in_the_way(path):
    data = bytearray(path.read_bytes())
    with Container(path) as container:
        data[container.members["buffer_counter/archive_format"].header_offset] ^= 1
    path.write_bytes(data)
    with Container(path) as container, pytest.raises(ArtifactError, match="archive_format"):
        PendingReplacement(path, container, CHANGES).__enter__()
    assert path.read_bytes() == data
    assert os.listdir(path.parent) == [path.name]


def test_temporary_names_that_are_taken(path, monkeypatch):
    numbers = iter([b"aaaa", b"aaaa", b"bbbb"])
    monkeypatch.setattr(os, "urandom", lambda count: next(numbers))
    with Container(path) as container, PendingReplacement(path, container, CHANGES) as first:
        with PendingReplacement(path, container, CHANGES) as second:
            assert first.path != second.path
        assert Path(first.path).exists()
    assert_untouched(path)


def test_folder_that_cannot_be_synced(path, monkeypatch):
    """The new archive is in its place by then: nothing to complain about."""
    real = os.fsync

    def fail(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    replace(path)
    assert is_changed(path)


def test_data_is_synced_before_and_the_folder_after(path, monkeypatch):
    events = []
    fsync, rename = os.fsync, os.replace

    def record_sync(descriptor):
        events.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def record_replace(*args):
        events.append("replace")
        rename(*args)

    monkeypatch.setattr(os, "fsync", record_sync)
    monkeypatch.setattr(os, "replace", record_replace)
    replace(path)
    assert events == (["file", "replace"] if sys.platform == "win32" else ["file", "replace", "folder"])


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small file system of its own; gives a function that mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(*options):
        return subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)

    if shutil.which("mount") is None or mount("-t", "tmpfs", "-o", "size=64k", "tmpfs").returncode:
        pytest.skip("file systems can't be mounted here (needs root)")
    yield folder, lambda options: mount("-o", f"remount,{options}").check_returncode()
    subprocess.run(["umount", str(folder)], check=True)


def test_disk_that_is_really_full(mounted):
    folder, _ = mounted
    path = Path(shutil.copy(SAMPLE, folder / "model.pt2"))
    filler = folder / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb") as file:
        while True:
            file.write(bytes(4096))
            file.flush()
    with Container(path) as container, pytest.raises(WriteError, match="free some space on that disk"):
        PendingReplacement(path, container, CHANGES).__enter__()
    assert path.read_bytes() == SAMPLE.read_bytes()
    assert sorted(os.listdir(folder)) == ["filler", "model.pt2"]
    filler.unlink()
    replace(path)
    assert is_changed(path)


def test_disk_that_is_really_read_only(mounted):
    folder, remount = mounted
    path = Path(shutil.copy(SAMPLE, folder / "model.pt2"))
    remount("ro")
    with Container(path) as container, pytest.raises(WriteError, match="read-only"):
        PendingReplacement(path, container, CHANGES).__enter__()
    assert_untouched(path)


def test_descriptors_are_closed(path):
    if not Path("/dev/fd").exists():
        pytest.skip("the platform does not list open descriptors")
    before = len(os.listdir("/dev/fd"))
    for _ in range(5):
        with Container(path) as container, PendingReplacement(path, container, CHANGES):
            pass
        replace(path)
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="the platform has no os.copy_file_range")
def test_what_stands_together_is_copied_in_one_go(path, monkeypatch):
    """Up to the changed member: file systems share whole blocks, and members seldom begin at one."""
    real, calls = os.copy_file_range, []

    def record(source, target, count, offset):
        calls.append((offset, count))
        return real(source, target, count, offset)

    monkeypatch.setattr(os, "copy_file_range", record)
    replace(path)
    with zipfile.ZipFile(SAMPLE) as archive:
        members = archive.infolist()
        changed = archive.getinfo(MEMBER).header_offset
    before = [member for member in members if member.header_offset < changed]
    assert len(before) == 5
    assert calls[0] == (0, changed)
    assert len(calls) == 1 + len(members) - len(before) - 1, "those behind it move, each with a header of its own"
    assert is_changed(path)


@pytest.fixture(params=["xfs", "btrfs"])
def shares_blocks(tmp_path, request):
    """A folder on a small file system that can share blocks between files."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    image.touch()
    os.truncate(image, 400 << 20)  # no file of that size: XFS takes no smaller disk
    options = ["-m", "reflink=1"] if request.param == "xfs" else []
    if shutil.which(f"mkfs.{request.param}") is None:
        pytest.skip(f"there is no mkfs.{request.param}")
    subprocess.run([f"mkfs.{request.param}", "-q", *options, str(image)], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True).returncode:
        pytest.skip("file systems can't be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_weights_are_shared_where_the_file_system_can(shares_blocks):
    """The new file takes no more room than what is new in it."""
    path = shares_blocks / "model.pt2"
    with zipfile.ZipFile(SAMPLE) as sample, zipfile.ZipFile(path, "w") as archive:
        archive.writestr("buffer_counter/data/weights/weight_0", os.urandom(16 << 20))
        for member in sample.infolist():
            if not member.filename.endswith("weights/weight_0"):
                archive.writestr(member, sample.read(member))

    def used():
        os.sync()
        status = os.statvfs(shares_blocks)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    weights = path.read_bytes()[: 16 << 20]
    kept = shares_blocks / "kept.pt2"
    before = used()
    os.link(path, kept)  # so that the old file stays
    replace(path)
    assert is_changed(path)
    assert path.read_bytes()[: 16 << 20] == weights == kept.read_bytes()[: 16 << 20]
    assert path.stat().st_ino != kept.stat().st_ino
    assert used() - before < 4 << 20
