"""Artifacts behind URLs: which bytes are fetched, and what is said when they cannot be."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import msgspec
import pytest

import graphlint
from graphlint.artifact.container import Container
from graphlint.artifact.errors import ConfigError, RemoteError
from graphlint.artifact.rewrite import write_archive

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("aiohttp")

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of connections that fsspec leaves to be collected


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        from web_server import WebServer
    finally:
        sys.path.pop(0)
    folder = tmp_path_factory.mktemp("web")
    for name in ("key_value_cache", "async_assert", "clean"):
        shutil.copyfile(ARTIFACTS / f"{name}.pt2", folder / f"{name}.pt2")
    (folder / "empty.pt2").write_bytes(b"")
    (folder / "page.pt2").write_bytes(b"<!DOCTYPE html><title>Sign in</title>")
    (folder / "large.pt2").write_bytes(b"PK\x03\x04" + bytes(300_000))
    with WebServer(folder).running() as server:
        yield server


@pytest.fixture
def bucket():
    """Objects in memory."""
    filesystem = fsspec.filesystem("memory")
    for name in ("key_value_cache", "async_assert", "clean"):
        filesystem.pipe_file(f"/bucket/models/{name}.pt2", (ARTIFACTS / f"{name}.pt2").read_bytes())
    filesystem.pipe_file("/bucket/notes.txt", b"no artifact")
    yield "memory://bucket"
    filesystem.rm("/bucket", recursive=True)


def at(result: graphlint.FileResult, path: str) -> graphlint.FileResult:
    """The result of the same artifact under another name, of which fingerprints are made, too."""
    found = tuple(msgspec.structs.replace(one, path=path, fingerprint="") for one in result.diagnostics)
    return msgspec.structs.replace(result, path=path, diagnostics=found)


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "graphlint", *arguments],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", ["key_value_cache", "async_assert", "clean"])
@pytest.mark.parametrize("how", ["plain", "moved", "whole", "denies-ranges"])
def test_the_result_is_that_of_the_file(web, name, how):
    url = f"{web.url}/{how}/{name}.pt2"
    local = graphlint.lint(ARTIFACTS / f"{name}.pt2", isolated=True)
    remote = graphlint.lint(url, isolated=True)
    assert at(remote, url) == at(local, url)
    assert all(one.fingerprint for one in remote.diagnostics)


def test_a_query_belongs_to_the_address(web):
    url = f"{web.url}/plain/clean.pt2?signature=a%2Fb*&expires=1"
    [result] = graphlint.lint_many(f"{web.url}/plain/clean.pt2?signature=x&expires=1", isolated=True)
    assert (result.error, result.programs) == (None, ("model",))
    assert url.count("?") == 1


GIB = 1 << 30


@pytest.mark.skipif(sys.platform == "win32", reason="needs sparse files")
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_gibibyte_of_weights_is_not_fetched(web, place):
    """Less than the program's JSON and 1 MiB, with the weights before or behind the program."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    try:
        from programs import write_artifact
    finally:
        sys.path.pop(0)
    small = write_artifact(web.folder / "small.pt2", 3000, 150)
    large = web.folder / f"large-{place}.pt2"
    json_size = with_sparse_weights(small, large, place)
    assert large.stat().st_size > GIB
    assert json_size > 1_000_000
    path = f"/plain/{large.name}"
    url = f"{web.url}{path}"
    try:
        result = graphlint.lint(url, isolated=True)
    finally:
        large.unlink()
    assert len(result.diagnostics) == len(graphlint.lint(small, isolated=True).diagnostics) > 100
    assert json_size < web.sent[path] < json_size + (1 << 20)
    # The size, the directory, the program with what stands around it; and small members apart from the directory, where
    # weights stand between the two, as torch does not write them.
    assert 0 < web.asked(large.name) <= {"first": 3, "last": 4}[place]


def with_sparse_weights(artifact: Path, target: Path, place: str) -> int:
    """A copy of an artifact with a stored member of 1 GiB of zeros at its beginning or behind the other members, which
    takes no room on disk. Returns the size of the program's JSON.
    """
    import struct
    import zlib

    from graphlint.artifact.container import CENTRAL, CENTRAL_SIGNATURE, LOCAL, LOCAL_SIGNATURE

    data = artifact.read_bytes()
    with Container(artifact) as container:
        end = container.end
        root = next(iter(container.members)).partition("/")[0]
        [program] = [one for name, one in container.members.items() if name.endswith("models/model.json")]
    name = f"{root}/data/weights/weight_9".encode()
    checksum = 0
    for _ in range(GIB >> 24):
        checksum = zlib.crc32(bytes(1 << 24), checksum)
    local = LOCAL.pack(LOCAL_SIGNATURE, 20, 0, 0, 0, 0x21, checksum, GIB, GIB, len(name), 0) + name
    shift = len(local) + GIB if place == "first" else 0
    directory = bytearray(data[end.directory_offset : end.directory_offset + end.directory_size])
    position = 0
    while position < len(directory):
        fields = CENTRAL.unpack_from(directory, position)
        struct.pack_into("<I", directory, position + 42, fields[16] + shift)
        position += CENTRAL.size + fields[10] + fields[11] + fields[12]
    own = CENTRAL.pack(
        CENTRAL_SIGNATURE, 20, 20, 0, 0, 0, 0x21, checksum, GIB, GIB, len(name), 0, 0, 0, 0, 0,
        0 if place == "first" else end.directory_offset,
    )  # fmt: skip
    # The root folder is that of the first member.
    directory = bytearray(own + name + directory) if place == "first" else directory + own + name
    tail = bytearray(data[-22:])
    start = end.directory_offset + len(local) + GIB
    struct.pack_into("<HHII", tail, 8, end.entries + 1, end.entries + 1, len(directory), start)
    with target.open("wb") as out:
        if place == "first":
            out.write(local)
            out.seek(GIB, os.SEEK_CUR)
            out.write(data[: end.directory_offset])
        else:
            out.write(data[: end.directory_offset] + local)
            out.seek(GIB, os.SEEK_CUR)
        out.write(directory + tail)
    return program.size


def test_a_source_reads_like_a_file(web, tmp_path, monkeypatch):
    from graphlint.artifact import remote
    from graphlint.artifact import source as sources
    from graphlint.artifact.remote import RemoteSource

    for module in (remote, sources):
        monkeypatch.setattr(module, "BLOCK", 100)
    data = (ARTIFACTS / "clean.pt2").read_bytes()
    source = RemoteSource(f"{web.url}/plain/clean.pt2")
    assert source.size == len(data)
    places = [(0, 10), (5, 200), (99, 2), (100, 100), (250, 1000), (0, 0), (len(data) - 5, 50), (len(data) + 1, 5)]
    for offset, length in [*places, *reversed(places), (0, len(data) + 100)]:
        assert source.read_at(offset, length) == data[offset : offset + length]
        source.expect(offset, length)
        assert source.read_at(offset, length) == data[offset : offset + length]
    source.close()


NO_SERVER = "no connection: Connection refused"
PROBLEMS = {
    "plain/nowhere.pt2": "not found",
    "404/model.pt2": "not found",
    "403/model.pt2": (
        "access is denied (403 Forbidden): are credentials missing, expired, or without the right to read it?"
    ),
    "401/model.pt2": (
        "access is denied (401 Unauthorized): are credentials missing, expired, or without the right to read it?"
    ),
    "500/model.pt2": "the server answers 500 Internal Server Error",
    "whole/large.pt2": "the server does not answer range requests: download it, and lint the copy",
    "denies-ranges/large.pt2": (
        "the server does not answer range requests, so all 0.3 MiB would have to be fetched: "
        "download it, and lint the copy"
    ),
    "sizeless/clean.pt2": "the server does not tell the size: download it, and lint the copy",
    "silent/clean.pt2": "the server did not answer within 0.5 s (GRAPHLINT_REMOTE_TIMEOUT sets another limit)",
    "slow-to-begin/clean.pt2": ("the server did not answer within 0.5 s (GRAPHLINT_REMOTE_TIMEOUT sets another limit)"),
    "slow/large.pt2": (
        "the server sends less than 1 KiB/s for more than 2 s (GRAPHLINT_REMOTE_TIMEOUT sets another limit)"
    ),
    "cut/clean.pt2": "the answer is cut short: the connection was closed too early",
    "gone/clean.pt2": "the server closed the connection without an answer",
}


PATIENCE = {"silent/clean.pt2": "0.5", "slow-to-begin/clean.pt2": "0.5", "slow/large.pt2": "2"}
"""How long to wait for whom; the others are to answer, however long a busy machine takes."""


@pytest.mark.parametrize("where", PROBLEMS)
def test_what_a_server_may_do(web, where, monkeypatch):
    if where in PATIENCE:
        monkeypatch.setenv("GRAPHLINT_REMOTE_TIMEOUT", PATIENCE[where])
    fsspec.get_filesystem_class("http").clear_instance_cache()
    with pytest.raises(RemoteError) as caught:
        graphlint.lint(f"{web.url}/{where}", isolated=True)
    assert str(caught.value) == PROBLEMS[where]


def test_an_answer_that_is_too_short(web):
    with pytest.raises(RemoteError, match=r"^the answer is cut short: \d+ of \d+ bytes arrived$"):
        graphlint.lint(f"{web.url}/short/clean.pt2", isolated=True)


def test_an_answer_that_is_too_long(web):
    """Nothing is read behind what was asked for."""
    tracemalloc.start()
    with pytest.raises(RemoteError, match=r"^the answer is longer than the \d+ bytes that were asked for$"):
        graphlint.lint(f"{web.url}/endless/clean.pt2", isolated=True)
    own = 64 << 20  # what the server sends is in memory here, too
    assert tracemalloc.get_traced_memory()[1] < own * 1.5
    tracemalloc.stop()


INTERRUPTED = """
import asyncio, sys, threading
from fsspec.asyn import get_loop, sync
from graphlint.artifact.remote import Fetching

late = sys.argv[1] == "late"
loop = get_loop()
real = loop.call_soon_threadsafe
asked, cancelled = threading.Event(), threading.Event()

def watched(callback, *arguments, **options):
    ours = callback.__module__ == Fetching.__module__
    if ours and not late:
        asked.wait()
    handle = real(callback, *arguments, **options)
    if not ours:
        asked.set()
    elif late:
        real(cancelled.set)
    else:
        cancelled.set()
    return handle

def ask():
    if late:
        cancelled.wait()
    sync(loop, asyncio.sleep, 600)

loop.call_soon_threadsafe = watched
if not late:
    real(cancelled.wait)  # the loop meets the request and its end in one go
try:
    with Fetching(1) as threads:
        threads.submit(ask)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("when", ["late", "not yet begun"])
def test_an_interrupt_ends_what_is_asked_only_then(when):
    """By a thread that comes to it after the others were told to stop, or before fsspec's loop has looked at it."""
    command = [sys.executable, "-c", INTERRUPTED, when]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (result.stdout, result.returncode) == ("interrupted\n", 0), result.stderr


def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/model.pt2"
        with pytest.raises(RemoteError, match=f"^{NO_SERVER}$"):
            graphlint.lint(url, isolated=True)


def test_protocols_may_have_capitals(web):
    url = f"{web.url}/plain/clean.pt2".replace("http:", "HTTP:")
    assert graphlint.lint(url, isolated=True).diagnostics == ()


def test_a_host_that_does_not_exist():
    with pytest.raises(RemoteError, match=r"^no connection: [^\[]"):
        graphlint.lint("http://nowhere.invalid/model.pt2", isolated=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [("empty.pt2", "the file is empty"), ("page.pt2", "not a zip archive but an HTML page (a failed download?)")],
)
def test_what_is_no_artifact_is_a_finding(web, name, message):
    [finding] = graphlint.lint(f"{web.url}/plain/{name}", isolated=True).diagnostics
    assert (finding.code, finding.message) == ("GL001", message)


def test_a_timeout_that_is_no_number(web, monkeypatch):
    monkeypatch.setenv("GRAPHLINT_REMOTE_TIMEOUT", "soon")
    with pytest.raises(RemoteError, match=r"^GRAPHLINT_REMOTE_TIMEOUT=soon: expected a number of seconds$"):
        graphlint.lint(f"{web.url}/plain/clean.pt2", isolated=True)


@pytest.mark.parametrize(
    ("url", "modules", "message"),
    [
        ("s3://bucket/model.pt2", ["fsspec"], "remote artifacts need fsspec: pip install 'torch-graphlint[remote]'"),
        ("s3://bucket/model.pt2", ["s3fs"], "s3:// needs a package that is not installed: pip install s3fs"),
        ("gs://bucket/model.pt2", ["gcsfs"], "gs:// needs a package that is not installed: pip install gcsfs"),
        (
            "hf://org/model/model.pt2",
            ["huggingface_hub"],
            "hf:// needs a package that is not installed: pip install huggingface_hub",
        ),
        (
            "https://example.org/model.pt2",
            ["aiohttp"],
            "https:// needs a package that is not installed: pip install aiohttp",
        ),
        ("gopher://hole/model.pt2", [], "the protocol gopher:// is not known to fsspec"),
    ],
    ids=["fsspec", "s3", "gs", "hf", "https", "gopher"],
)
def test_packages_that_are_missing(tmp_path, url, modules, message):
    code = (
        f"import sys\nfor name in {modules!r}:\n    sys.modules[name] = None\n"
        "from graphlint.cli.main import main\nmain()\n"
    )
    result = subprocess.run([sys.executable, "-c", code, url], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert result.stderr == f"error: {url}: {message}\n"
    assert result.returncode == 2


class TestFinding:
    def test_folders_and_patterns(self, bucket):
        def found(*paths: str) -> list[str]:
            results = list(graphlint.lint_many(paths, isolated=True, jobs=2))
            assert [result.error for result in results] == [None] * len(results)
            return [result.path.replace("memory:///", "memory://") for result in results]

        everything = [f"{bucket}/models/{name}.pt2" for name in ("async_assert", "clean", "key_value_cache")]
        assert found(bucket) == everything
        assert found(f"{bucket}/models/") == everything
        assert found(f"{bucket}/**/*.pt2") == everything
        assert found(f"{bucket}/models/c*.pt2", f"{bucket}/models/[ck]*.pt2") == everything[1:]

    def test_links_of_a_web_page(self, web):
        results = graphlint.lint_many(f"{web.url}/list/*.pt2", isolated=True)
        assert {result.path.rpartition("/")[2] for result in results} >= {"clean.pt2", "async_assert.pt2"}

    def test_nothing_there(self, bucket):
        results = list(graphlint.lint_many([f"{bucket}/x*.pt2", f"{bucket}/no.pt2", f"{bucket}/no"], isolated=True))
        assert [result.error for result in results] == ["nothing matches this pattern", "not found", "not found"]

    def test_a_folder_without_artifacts(self):
        filesystem = fsspec.filesystem("memory")
        filesystem.pipe_file("/bare/notes.txt", b"")
        [result] = graphlint.lint_many("memory://bare", isolated=True)
        assert result.error == "there are no .pt2 files below it"
        filesystem.rm("/bare", recursive=True)

    def test_exclusions_and_ignores(self, bucket, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("graphlint.toml").write_text('exclude = ["clean.pt2"]\nper-file-ignores = {"*/key_*.pt2" = ["GL103"]}\n')
        results = list(graphlint.lint_many(bucket))
        names = [result.path.rpartition("/")[2] for result in results]
        assert names == ["async_assert.pt2", "key_value_cache.pt2"]
        assert [len(result.diagnostics) for result in results] == [1, 0]


class TestCommandLine:
    def test_check(self, web, tmp_path):
        url = f"{web.url}/plain/async_assert.pt2"
        result = run("--output-format", "concise", url, "nope.pt2", cwd=tmp_path)
        assert result.stdout.startswith("models.py:27: GL201 [*] ")
        assert result.stdout.splitlines()[0].endswith(f"({url})")
        assert (result.stderr, result.returncode) == ("error: nope.pt2: No such file or directory\n", 2)
        assert run(url, cwd=tmp_path).returncode == 1
        assert run(f"{web.url}/plain/clean.pt2", cwd=tmp_path).returncode == 0
        assert list(tmp_path.iterdir()) == []  # and nothing of it is kept

    def test_what_cannot_be_had_does_not_stop_the_others(self, web, tmp_path):
        urls = [
            f"{web.url}/{where}" for where in ("404/a.pt2", "plain/clean.pt2", "403/b.pt2", "plain/clean.pt2?again")
        ]
        result = run("-v", *urls, cwd=tmp_path)
        assert result.stderr.splitlines() == [
            f"error: {urls[0]}: not found",
            f"{urls[1]}: linted 1 program (model): 0 findings left",
            f"error: {urls[2]}: {PROBLEMS['403/model.pt2']}",
            f"{urls[3]}: linted 1 program (model): 0 findings left",
        ]
        assert result.returncode == 2

    @pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
    @pytest.mark.parametrize("number", [1, 4])
    def test_an_interrupt_does_not_wait_for_servers(self, web, tmp_path, number):
        names = [f"{number}-{index}.pt2" for index in range(number)]
        process = subprocess.Popen(
            [sys.executable, "-m", "graphlint", *(f"{web.url}/silent/{name}" for name in names)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 60
        while not any(map(web.asked, names)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        # The server keeps silent until all tests of this file are over.
        stdout, stderr = process.communicate(timeout=60)
        assert (stdout, stderr, process.returncode) == (b"", b"graphlint: interrupted\n", 130)

    def test_diff(self, web, tmp_path):
        url = f"{web.url}/plain/async_assert.pt2"
        result = run("--diff", url, cwd=tmp_path)
        assert result.stdout.startswith(f"--- {url}:model (as it is)\n+++ {url}:model (fixed)\n")
        assert (result.stderr, result.returncode) == ("Would fix 1 finding.\n", 1)

    @pytest.mark.parametrize("arguments", [["--fix"], ["--fix-only"], ["--fix", "--verify"], ["restore"]])
    def test_a_fix_is_refused_before_anything_is_read(self, web, tmp_path, arguments):
        shutil.copyfile(ARTIFACTS / "async_assert.pt2", tmp_path / "local.pt2")
        url = f"{web.url}/plain/not-fixed.pt2"
        what = "restore" if arguments == ["restore"] else "--fix"
        result = run(*arguments, "local.pt2", url, cwd=tmp_path)
        assert (result.stdout, result.returncode) == ("", 2)
        assert result.stderr == (
            f"error: {what} cannot write to {url}: copy it first, or use --diff to see what would change\n"
        )
        assert web.asked("not-fixed.pt2") == 0
        assert (tmp_path / "local.pt2").read_bytes() == (ARTIFACTS / "async_assert.pt2").read_bytes()

    def test_verify_is_refused(self, web, tmp_path):
        url = f"{web.url}/plain/not-verified.pt2"
        result = run("verify", str(ARTIFACTS / "clean.pt2"), url, cwd=tmp_path)
        message = f"error: {url}: torch loads files only: download it, and verify the copy\n"
        assert (result.stdout, result.stderr, result.returncode) == ("", message, 2)
        assert web.asked("not-verified.pt2") == 0

    def test_a_local_check_does_not_import_fsspec(self, tmp_path):
        shutil.copyfile(ARTIFACTS / "clean.pt2", tmp_path / "model.pt2")
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: print({'fsspec', 'aiohttp', 'asyncio'} & set(sys.modules)))\n"
            "from graphlint.cli.main import main\n"
            "main()\n"
        )
        result = subprocess.run([sys.executable, "-c", code, "-q"], cwd=tmp_path, capture_output=True, text=True)
        assert result.stdout == "set()\n"


def test_a_fix_by_function_is_refused(web):
    with pytest.raises(ConfigError, match="cannot be written to: copy it first"):
        graphlint.fix(f"{web.url}/plain/clean.pt2", isolated=True)
    shown = graphlint.fix(f"{web.url}/plain/async_assert.pt2", diff=True, isolated=True)
    assert shown.diff.startswith(f"--- {web.url}/plain/async_assert.pt2:model (as it is)\n")


def test_other_content_of_a_member_that_is_read_twice(tmp_path):
    """What is fetched is kept by place, so that two reads of one place agree."""
    from graphlint.artifact.remote import RemoteSource

    filesystem = fsspec.filesystem("memory")
    artifact = tmp_path / "changed.pt2"
    with Container(ARTIFACTS / "clean.pt2") as container, artifact.open("wb") as out:
        write_archive(container, {}, out)
    filesystem.pipe_file("/twice.pt2", artifact.read_bytes())
    source = RemoteSource("memory://twice.pt2")
    first = source.read_at(0, 64)
    assert source.read_at(0, 64) == first == artifact.read_bytes()[:64]
    filesystem.rm("/twice.pt2")
