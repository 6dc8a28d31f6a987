"""Results that are kept: the same output as without, never a stale one, and nothing that goes wrong with them."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import sys
import threading
import time
from functools import partial
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

import graphlint.run.cache
import graphlint.run.engine
import graphlint.run.pool
from graphlint import __version__
from graphlint.artifact.container import Container
from graphlint.artifact.rewrite import write_archive
from graphlint.artifact.source import FileSource
from graphlint.ops.declared import required
from graphlint.ops.table import covered
from graphlint.report.results import FileResult
from graphlint.run.cache import DIGEST_SIZE, RESULTS, TAG, Cache, Kept, clean, stamp_of
from graphlint.run.pool import Outcome, Task, attempt, is_clean, known_outcome, run, with_caches

ARTIFACTS = Path(__file__).parent / "artifacts"
NEWEST = ARTIFACTS / "2.13.0"
EVERY = sorted(ARTIFACTS.rglob("*.pt2"))
OLD_NS = 1_700_000_000 * 10**9
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX")


@pytest.fixture(autouse=True)
def every_size(monkeypatch):
    """The tests' artifacts are too small to be kept."""
    monkeypatch.setattr(graphlint.run.pool, "WORTH_KEEPING", 0)
    fresh()


@pytest.fixture
def folder(tmp_path) -> str:
    return str(tmp_path / "cache")


@pytest.fixture
def artifact(tmp_path) -> Path:
    """An artifact that was written long ago."""
    path = tmp_path / "model.pt2"
    shutil.copyfile(NEWEST / "key_value_cache.pt2", path)
    age(path)
    return path


def age(path: Path, time_ns: int = OLD_NS) -> None:
    os.utime(path, ns=(time_ns, time_ns))


def kept_in(folder: str | Path) -> dict[bytes, Kept]:
    """What the file of a cache holds."""
    file = Path(folder, RESULTS)
    return msgspec.msgpack.decode(file.read_bytes()[DIGEST_SIZE:], type=dict[bytes, Kept]) if file.exists() else {}


def kept(task: Task, folder: str) -> Task:
    """The task, its result to be kept in the folder."""
    [task] = with_caches([task], lambda _: folder)
    return task


def fresh() -> None:
    """What another run starts with."""
    graphlint.run.cache._make.cache_clear()


def known(task: Task) -> Outcome | None:
    fresh()
    return known_outcome(task, Cache(task.cache))


def linted(task: Task, process=None) -> FileResult:
    """What a run finds of an artifact; a result to keep is kept."""
    fresh()
    [outcome] = run([task], 1, process=process)
    return outcome.result


@pytest.fixture
def look_up(default_rules, folder, artifact):
    """What the next run finds of an artifact; None if it has to lint it."""

    def look_up(path: Path | None = None, settings=default_rules) -> FileResult | None:
        outcome = known(kept(Task(str(path or artifact), settings), folder))
        return None if outcome is None else outcome.result

    return look_up


@pytest.fixture
def check(default_rules, folder, artifact):
    """Lint as a run does that finds nothing: the result is kept."""

    def check(path: Path | None = None, settings=default_rules) -> FileResult:
        return linted(kept(Task(str(path or artifact), settings), folder))

    return check


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """The change time of a test's files is now, so nothing would ever be old enough: let that be half a day ago."""
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 12 * 3600 * 10**9)


def test_a_result_is_of_the_versions_that_are_required(check, look_up, default_rules):
    result = check()
    assert result.loads_in == {"model": covered()[covered().index("2.9") :]}
    assert look_up() == result
    assert look_up(settings=msgspec.structs.replace(default_rules, requires_torch=required(">=2.9", covered()))) is None


def test_a_result_is_found_again(check, look_up):
    assert look_up() is None
    result = check()
    assert [one.code for one in result.diagnostics] == ["GL103"]
    assert look_up() == result


def test_the_artifact_is_not_linted(check, look_up, artifact, monkeypatch):
    result = check()
    real = FileSource.__init__
    monkeypatch.setattr(
        FileSource,
        "__init__",
        lambda self, path: pytest.fail("the artifact is linted") if str(path) == str(artifact) else real(self, path),
    )
    assert look_up() == result


def test_a_fresh_stamp_is_not_trusted(check, artifact, look_up, folder, monkeypatch):
    """As with git's index: what is written within the clock's resolution after it was read has the same stamp."""
    written = artifact.stat().st_ctime_ns
    monkeypatch.setattr(time, "time_ns", lambda: written + 10**9)
    check()
    assert kept_in(folder) == {}
    data = bytearray(artifact.read_bytes())
    position = data.index(b"index_put_")
    status = artifact.stat()
    data[position] ^= 1
    artifact.write_bytes(data)
    os.utime(artifact, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert look_up() is None


@POSIX
def test_other_content_of_the_same_size_and_modification_time(check, artifact, look_up):
    check()
    status = artifact.stat()
    data = artifact.read_bytes()
    while artifact.stat().st_ctime_ns == status.st_ctime_ns:  # until the kernel's clock goes on
        artifact.write_bytes(data.replace(b"index_put_", b"index_pus_"))
        os.utime(artifact, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert (artifact.stat().st_size, artifact.stat().st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert look_up() is None
    assert check().unreadable  # the checksum is wrong


def test_a_new_time_or_place_is_linted_again(check, artifact, look_up, folder):
    result = check()
    age(artifact, OLD_NS + 5 * 10**9)
    assert look_up() is None
    assert check() == look_up() == result
    data = artifact.read_bytes()
    artifact.rename(artifact.with_name("old.pt2"))
    artifact.write_bytes(data)
    age(artifact, OLD_NS + 5 * 10**9)
    assert look_up() is None
    assert check() == look_up() == result
    assert len(kept_in(folder)) == 1


def test_what_is_appended_is_noticed(check, artifact, look_up):
    check()
    with artifact.open("ab") as stream:
        stream.write(b"more")
    assert look_up() is None


def test_a_checkout_can_move(check, artifact, tmp_path, folder, default_rules):
    check()
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(moved)
    found = known(kept(Task(str(moved / "model.pt2"), default_rules), str(moved / "cache")))
    assert found is not None
    assert {one.path for one in found.result.diagnostics} == {str(moved / "model.pt2")}
    shutil.rmtree(moved)


def rewritten(path: Path, member_end: str, change) -> None:
    """The artifact with another content of one member."""
    with Container(path) as container:
        name = next(name for name in container.members if name.endswith(member_end))
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as out:
            write_archive(container, {name: change(container.read(name))}, out)
    temporary.replace(path)


def test_another_program_is_linted(check, artifact, look_up):
    check()
    rewritten(artifact, "models/model.json", lambda data: data.replace(b"index_put_.default", b"index_put.default"))
    assert look_up() is None
    assert check().diagnostics == ()
    assert look_up() is not None


def test_other_weights_are_noticed(check, artifact, look_up):
    check()
    rewritten(artifact, "data/weights/weight_0", lambda data: bytes(len(data)))
    assert look_up() is None


def test_settings_and_version_are_part_of_the_key(check, look_up, default_rules, all_rules, monkeypatch):
    check()
    assert look_up(settings=all_rules) is None
    fewer = msgspec.structs.replace(default_rules, enabled=default_rules.enabled - {"GL103"})
    sink = msgspec.structs.replace(default_rules, token_sink="output")
    assert look_up(settings=fewer) is None
    assert look_up(settings=sink) is None
    same = msgspec.json.decode(msgspec.json.encode(default_rules), type=type(default_rules))
    assert look_up(settings=same) is not None
    monkeypatch.setattr("graphlint.run.cache.__version__", "0.0.1")
    monkeypatch.setattr("graphlint.run.cache._code", lambda: "0.0.1")
    assert look_up() is None


def test_a_changed_rule_is_another_graphlint(check, look_up, monkeypatch):
    """In a checkout the version stays while the code changes."""
    check()
    assert f"{__version__}\n" in graphlint.run.cache._code()
    real = os.stat
    monkeypatch.setattr(graphlint.run.cache, "_code", graphlint.run.cache._code.__wrapped__)

    class Later:
        def __init__(self, status: os.stat_result) -> None:
            self.st_size, self.st_mtime_ns = status.st_size, status.st_mtime_ns + 1

    before = graphlint.run.cache._code()
    monkeypatch.setattr(
        os, "stat", lambda path, **k: Later(real(path, **k)) if str(path).endswith("prints.py") else real(path, **k)
    )
    assert graphlint.run.cache._code() != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:10],
        lambda data: data[:-1],
        lambda data: b"PK\x03\x04" + data,
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: b"\x00" * len(data),
    ],
    ids=["empty", "short", "cut", "foreign", "flipped", "zeros"],
)
def test_damaged_entries_are_made_anew(check, look_up, folder, damage):
    result = check()
    file = Path(folder, RESULTS)
    file.write_bytes(damage(file.read_bytes()))
    assert look_up() is None
    assert check() == result
    assert look_up() == result


def test_an_entry_of_another_shape_or_stamp(check, look_up, folder, artifact):
    result = check()
    file = Path(folder, RESULTS)
    [(place, good)] = kept_in(folder).items()
    others = [
        msgspec.structs.replace(good, held_for=b""),
        msgspec.structs.replace(good, stamp=(*good.stamp[:-1], 1)),
        msgspec.structs.replace(good, result=msgspec.Raw(msgspec.msgpack.encode({"diagnostics": 1}))),
    ]
    whole = [{place: one} for one in (good, *others, [1, 2], 7)]
    for content in (*whole, {b"elsewhere": good}, [good], 7):
        body = msgspec.msgpack.encode(content)
        file.write_bytes(sha256(body).digest()[:DIGEST_SIZE] + body)
        assert look_up() == (result if content == {place: good} else None)


def test_what_others_have_kept_meanwhile_stays(check, look_up, folder, artifact, tmp_path, default_rules):
    """And what is kept of artifacts that are gone goes."""
    other, gone = tmp_path / "other.pt2", tmp_path / "gone.pt2"
    for path in (other, gone):
        shutil.copyfile(artifact, path)
    check(gone)
    ours = Cache(folder)
    assert check(other) == look_up(other)
    gone.unlink()
    stamp = stamp_of(str(artifact))
    task = Task(str(artifact), default_rules)
    ours.store(task.path, task.settings, stamp, attempt(task).result)
    ours.save()
    assert set(kept_in(folder)) == {b"model.pt2", b"other.pt2"}
    assert look_up() == check()


def test_what_could_not_be_read_is_not_kept(check, tmp_path, folder, default_rules):
    broken = tmp_path / "broken.pt2"
    broken.write_bytes(b"no zip at all")
    assert [one.code for one in check(broken).diagnostics] == ["GL001"]
    assert [one.code for one in check(tmp_path).diagnostics] == ["GL001"]
    assert check(tmp_path / "nowhere.pt2").unreadable
    assert kept_in(folder) == {}


def test_a_file_that_changes_meanwhile_is_not_kept(artifact, folder, default_rules):
    def process(path, settings, action):
        result = graphlint.run.engine.process(path, settings, action)
        artifact.write_bytes((NEWEST / "clean.pt2").read_bytes())
        return result

    linted(kept(Task(str(artifact), default_rules), folder), process)
    assert kept_in(folder) == {}


@POSIX
def test_names_that_are_no_text(check, artifact, look_up, default_rules):
    odd = artifact.with_name(os.fsdecode(b"caf\xe9.pt2"))
    shutil.copyfile(artifact, odd)
    assert look_up(odd) is None
    assert check(odd) == look_up(odd)
    assert {one.path for one in check(odd).diagnostics} == {str(odd)}


class TestFolder:
    def test_what_is_in_it(self, check, folder):
        check()
        content = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}
        assert content == {".gitignore", TAG, RESULTS}
        assert Path(folder, TAG).read_text().startswith("Signature: 8a477f597d28d172789f06886806bc55\n")
        assert Path(folder, ".gitignore").read_text().splitlines()[-1] == "*"

    def test_a_folder_with_other_things_is_not_tagged(self, check, folder):
        Path(folder).mkdir()
        Path(folder, "thesis.txt").write_text("mine")
        check()
        assert {path.name for path in Path(folder).iterdir()} == {RESULTS, "thesis.txt"}

    def test_nothing_is_made_for_nothing(self, look_up, folder):
        assert look_up() is None
        assert not Path(folder).exists()

    @pytest.mark.parametrize("obstacle", ["file", "parent"])
    def test_a_folder_that_cannot_be_made_is_no_error(self, check, folder, artifact, default_rules, obstacle):
        where = Path(folder) / "below" if obstacle == "parent" else Path(folder)
        Path(folder).write_text("in the way")
        result = linted(kept(Task(str(artifact), default_rules), str(where)))
        assert [one.code for one in result.diagnostics] == ["GL103"]
        assert result.error is None
        assert Path(folder).read_text() == "in the way"

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full or the like")
    def test_a_full_disk_is_no_error(self, check, folder, look_up, monkeypatch):
        class Full(io.FileIO):
            def write(self, data):
                raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            opened = {"xb": Full}
            real = open
            patch.setattr(
                "graphlint.run.cache.open",
                lambda path, mode, **rest: opened.get(mode, partial(real, **rest))(path, mode),
                raising=False,
            )
            result = check()
        assert [one.code for one in result.diagnostics] == ["GL103"]
        assert {path.name for path in Path(folder).iterdir()} == {".gitignore", TAG}

    def test_an_artifact_has_one_entry(self, check, look_up, folder, default_rules):
        """So that there are never more of them than artifacts, whatever they are linted for."""
        check()
        other = msgspec.structs.replace(default_rules, token_sink="output")
        check(settings=other)
        assert len(kept_in(folder)) == 1
        assert look_up(settings=other) is not None
        assert look_up() is None

    def test_many_runs_at_once(self, folder, default_rules, artifact):
        expected = attempt(Task(str(artifact), default_rules)).result
        stamp = stamp_of(str(artifact))
        found: list[FileResult | None] = []

        def work() -> None:
            for _ in range(30):
                cache = Cache(folder)
                cache.store(str(artifact), default_rules, stamp, expected)
                cache.save()
                found.append(Cache(folder).lookup(str(artifact), default_rules))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected] * 120
        assert len(kept_in(folder)) == 1
        assert not list(Path(folder).rglob("*.tmp"))

    @POSIX
    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
    def test_entries_of_another_user(self, check, look_up, folder, monkeypatch):
        """Whoever can write into the folder could say that anything is clean."""
        result = check()
        entry = Path(folder, RESULTS)
        os.chown(entry, 4321, 4321)
        assert look_up() is None
        monkeypatch.setattr(os, "geteuid", lambda: 4321)
        assert look_up() == result
        os.chown(entry, 0, 0)
        assert look_up() == result, "the superuser could do anything"

    @POSIX
    @pytest.mark.parametrize("kind", ["pipe", "link", "folder", "endless"])
    def test_what_is_no_file_of_its_own(self, check, look_up, folder, tmp_path, kind):
        result = check()
        entry = Path(folder, RESULTS)
        entry.rename(tmp_path / "moved")
        if kind == "pipe":
            os.mkfifo(entry)
        elif kind == "folder":
            entry.mkdir()
        elif kind == "link":
            entry.symlink_to(tmp_path / "moved")
        else:
            entry.touch()
            os.truncate(entry, 1 << 40)
        assert look_up() is None
        assert check() == result
        assert (look_up() is None) == (kind == "folder")

    @POSIX
    def test_a_disk_that_is_really_full(self, tmp_path, artifact):
        with small_disk(tmp_path) as disk:
            (disk / "filler").write_bytes(bytes(1 << 14))
            with contextlib.suppress(OSError), (disk / "filler").open("ab") as stream:
                while True:
                    stream.write(bytes(1 << 12))
                    stream.flush()
            for _ in range(2):
                ran = command(artifact.parent, "--cache-dir", str(disk / "cache"), str(artifact))
                assert (ran.returncode, ran.stderr) == (1, b"")
                assert b"GL103" in ran.stdout

    @POSIX
    def test_a_disk_that_is_really_read_only(self, tmp_path, artifact):
        with small_disk(tmp_path) as disk:
            shutil.copyfile(artifact, disk / "model.pt2")
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            for _ in range(2):
                ran = command(disk, "model.pt2")
                assert (ran.returncode, ran.stderr) == (1, b"")
                assert b"GL103" in ran.stdout

    def test_two_processes_at_once(self, tmp_path):
        """In one folder, each with workers, and of two versions: each says what there is."""
        for number in range(12):
            shutil.copyfile(NEWEST / ("clean.pt2" if number % 2 else "key_value_cache.pt2"), tmp_path / f"{number}.pt2")
        code = "import graphlint.run.cache as one; one._code = lambda: {!r}\n" + RUN
        commands = [[sys.executable, "-c", code.format(version), "-q", "--isolated", "--jobs=1"] for version in "ab"]
        for _ in range(2):
            running = [
                subprocess.Popen(command, cwd=tmp_path, env=WITH_CACHE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for command in commands * 2
            ]
            said = {one.communicate(timeout=120) for one in running}
            assert len(said) == 1
            assert said.pop()[1] == b""
            assert {one.returncode for one in running} == {1}
        assert len(kept_in(tmp_path / ".graphlint_cache")) == 12


@contextlib.contextmanager
def small_disk(folder: Path):
    """A file system of 64 KiB."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems can't be mounted here (needs root)")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


class TestClean:
    def test_all_of_it(self, check, folder):
        check()
        size = Path(folder, RESULTS).stat().st_size
        assert clean(folder) == (1, size)
        assert not Path(folder).exists()
        assert clean(folder) is None

    def test_nothing_else(self, check, folder, tmp_path):
        Path(folder).mkdir()
        Path(folder, "1").mkdir()
        Path(folder, "1", "thesis.txt").write_text("mine")
        Path(folder, ".gitignore").write_text("mine too")
        check()
        assert clean(folder) is not None
        left = {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}
        assert left == {"1/thesis.txt", ".gitignore"}
        assert clean(folder) is None

    @POSIX
    def test_links_are_not_followed(self, check, folder, tmp_path):
        check()
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "mine").write_text("mine")
        Path(folder, f"{RESULTS}.1.tmp").symlink_to(elsewhere)
        Path(folder, RESULTS).unlink()
        Path(folder, RESULTS).symlink_to(elsewhere / "mine")
        clean(folder)
        assert (elsewhere / "mine").read_text() == "mine"
        assert Path(folder, RESULTS).is_symlink()


def test_every_artifact_of_the_corpus(folder, default_rules, all_rules):
    """What comes out of the cache is what went in, and what is clean for a check is so for a fix and a diff."""
    for settings in (default_rules, all_rules):
        fresh()
        tasks = [kept(Task(str(path), settings), folder) for path in EVERY]
        readable = [one.result for one in run(tasks, 1) if not one.result.unreadable]
        cache = Cache(folder)
        found = [known_outcome(task, cache) for task in tasks]
        assert [one.result for one in found if one is not None] == readable
        assert len(readable) > 300


def test_a_fix_takes_over_what_is_clean(folder, default_rules, tmp_path):
    clean_ones = 0
    for path in EVERY:
        check = attempt(Task(str(path), default_rules)).result
        if is_clean(check):
            clean_ones += 1
            copy = tmp_path / "copy.pt2"
            shutil.copyfile(path, copy)
            expected = msgspec.structs.replace(check, path=str(copy))
            assert attempt(Task(str(copy), default_rules, "fix")).result == expected
            assert attempt(Task(str(copy), default_rules, "diff")).result == expected
    assert clean_ones > 20


def test_a_fix_keeps_what_is_clean_and_nothing_else(folder, default_rules, artifact, tmp_path):
    tidy = tmp_path / "tidy.pt2"
    shutil.copyfile(NEWEST / "clean.pt2", tidy)
    for path in (artifact, tidy):
        linted(kept(Task(str(path), default_rules, "fix"), folder))
    assert len(kept_in(folder)) == 1
    assert known(kept(Task(str(tidy), default_rules, "check"), folder)) is not None
    assert known(kept(Task(str(artifact), default_rules, "check"), folder)) is None


def test_a_fix_does_not_take_over_findings(folder, default_rules, artifact):
    linted(kept(Task(str(artifact), default_rules), folder))
    assert known(kept(Task(str(artifact), default_rules), folder)) is not None
    assert known(kept(Task(str(artifact), default_rules, "fix"), folder)) is None
    assert known(kept(Task(str(artifact), default_rules, "diff"), folder)) is None


WITH_CACHE = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHLINT_")}
RUN = """
import time
import graphlint.run.pool
graphlint.run.pool.WORTH_KEEPING = 0
now = time.time_ns
time.time_ns = lambda: now() + 3600 * 10**9
from graphlint.cli.main import main
main()
"""


def command(cwd: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        cwd=cwd,
        env=WITH_CACHE | environment,
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("output_format", ["full", "concise", "grouped", "json"])
def test_the_output_is_the_same(tmp_path, output_format):
    arguments = ["--isolated", "-v", "--output-format", output_format, str(ARTIFACTS)]
    plain, first, second = (
        command(tmp_path, "--no-cache", *arguments),
        command(tmp_path, *arguments),
        command(tmp_path, *arguments),
    )
    assert len(kept_in(tmp_path / ".graphlint_cache")) > 300
    for one in (first, second):
        assert (one.stdout, one.stderr, one.returncode) == (plain.stdout, plain.stderr, plain.returncode)
    assert plain.returncode == 1


def test_where_it_is(tmp_path):
    project = tmp_path / "project"
    (project / "models").mkdir(parents=True)
    shutil.copyfile(NEWEST / "clean.pt2", project / "models" / "m.pt2")
    (project / "graphlint.toml").write_text("")
    command(project / "models")
    assert len(kept_in(project / ".graphlint_cache")) == 1
    (project / "graphlint.toml").write_text('cache-dir = "kept"\n')
    command(project / "models")
    assert len(kept_in(project / "kept")) == 1
    command(project / "models", GRAPHLINT_CACHE_DIR="by-variable")
    assert len(kept_in(project / "models" / "by-variable")) == 1
    command(project / "models", "--cache-dir", str(tmp_path / "by-option"), GRAPHLINT_CACHE_DIR="unused")
    assert len(kept_in(tmp_path / "by-option")) == 1
    assert not (project / "models" / "unused").exists()
    for arguments, environment in ((["--no-cache"], {}), ([], {"GRAPHLINT_NO_CACHE": "1"})):
        command(tmp_path / "project", "--cache-dir", "never", *arguments, **environment)
    assert not (project / "never").exists()


def test_the_command_clean(tmp_path):
    shutil.copyfile(NEWEST / "clean.pt2", tmp_path / "m.pt2")
    below = tmp_path / "below"
    below.mkdir()
    (below / "graphlint.toml").write_text("")
    shutil.copyfile(NEWEST / "clean.pt2", below / "n.pt2")
    (tmp_path / "graphlint.toml").write_text('cache-dir = "kept"\n')
    command(tmp_path)
    assert command(tmp_path, "clean", "kept").stdout.startswith(b"Removed kept (1 result")
    command(tmp_path)
    result = command(tmp_path, "clean")
    assert result.stderr == b""
    kinds = [line.rpartition(",")[0] for line in result.stdout.decode().splitlines()]
    nested = Path("below", ".graphlint_cache")
    assert kinds == ["Removed kept (1 result", f"Removed {nested} (1 result"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["below", "graphlint.toml", "m.pt2"]
    assert command(tmp_path, "clean").stdout == b"No cache found\n"
    missing = command(tmp_path, "clean", "nowhere")
    assert (missing.stderr, missing.returncode) == (b"error: nowhere: no such folder\n", 2)


def test_a_few_small_artifacts_are_not_kept(tmp_path):
    shutil.copyfile(NEWEST / "clean.pt2", tmp_path / "m.pt2")
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('hashlib' in sys.modules, 'graphlint.run.cache' in sys.modules))\n"
        "from graphlint.cli.main import main\n"
        "main()\n"
    )
    words = [sys.executable, "-c", code, "-q"]
    result = subprocess.run(words, cwd=tmp_path, env=WITH_CACHE, capture_output=True, text=True)
    assert (result.stdout, result.stderr) == ("False False\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pt2"]


def test_many_small_artifacts_are_kept(tmp_path):
    """A second run opens none of them."""
    for number in range(30):
        shutil.copyfile(NEWEST / ("key_value_cache.pt2" if number % 3 else "clean.pt2"), tmp_path / f"{number:02}.pt2")
    code = (
        "import sys, time\n"
        "opened = set()\n"
        "sys.addaudithook(lambda event, values: opened.add(values[0]) if event == 'open' else None)\n"
        "now = time.time_ns\n"
        "time.time_ns = lambda: now() + 3600 * 10**9\n"
        "import atexit\n"
        "count = lambda: sum(str(one).endswith('.pt2') for one in opened)\n"
        "atexit.register(lambda: print(count(), file=sys.stderr))\n"
        "from graphlint.cli.main import main\n"
        "main()\n"
    )
    words = [sys.executable, "-c", code, "--jobs", "1", "--output-format", "concise"]
    first, second = (
        subprocess.run(words, cwd=tmp_path, env=WITH_CACHE, capture_output=True, text=True) for _ in range(2)
    )
    assert (first.stderr, second.stderr) == ("30\n", "0\n")
    assert first.stdout == second.stdout
    assert "in 20 artifacts" in first.stdout
