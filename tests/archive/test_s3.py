"""Artifacts in S3: the real protocol, spoken by the real client, to a server on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "eu-central-1"}


class Store:
    """An S3 server, and what it was asked for."""

    def __init__(self) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        self.application = DomainDispatcherApplication(create_backend_app)
        self.ranges: list[str] = []
        self.sent = 0
        self.server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def _answer(self, environ, start_response):
        if "HTTP_RANGE" in environ:
            self.ranges.append(environ["HTTP_RANGE"])
        for chunk in self.application(environ, start_response):
            self.sent += len(chunk)
            yield chunk

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    pytest.importorskip("s3fs", reason="needs s3fs: pip install '.[test]'")
    pytest.importorskip("moto", reason="needs moto: pip install '.[test]'")
    import s3fs

    sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
    try:
        from programs import write_artifact
    finally:
        sys.path.pop(0)
    large = write_artifact(tmp_path_factory.mktemp("weights") / "large.pt2", 60, 6, weights=32 << 20)
    running = Store()
    client = s3fs.S3FileSystem(
        key="somebody", secret="secret", endpoint_url=running.url, client_kwargs={"region_name": "eu-central-1"}
    )
    client.mkdir("models")
    for name in ("key_value_cache", "async_assert", "clean"):
        client.pipe_file(f"models/team/{name}.pt2", (ARTIFACTS / f"{name}.pt2").read_bytes())
    client.pipe_file("models/team/notes.txt", b"no artifact")
    client.pipe_file("models/large.pt2", large.read_bytes())
    yield running
    running.close()


def run(store: Store, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # Without these, credentials are looked for in the user's files, and asked of the machine that runs in a cloud.
    offline = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(folder), "AWS_ENDPOINT_URL": store.url}
    return subprocess.run(
        [sys.executable, "-m", "graphlint", *arguments],
        cwd=folder,
        env={**clean, **offline, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("place", ["s3://models/team", "s3://models/team/*.pt2", "s3://models/*/*_*.pt2"])
def test_a_folder_and_patterns(store, tmp_path, place):
    result = run(store, tmp_path, "check", "--output-format", "concise", place, **CREDENTIALS)
    found = [line for line in result.stdout.splitlines() if ": GL" in line]
    assert [line.rpartition("(")[2] for line in found] == [
        "s3://models/team/async_assert.pt2)",
        "s3://models/team/key_value_cache.pt2)",
    ]
    assert (result.returncode, result.stderr) == (1, "")


def test_weights_are_not_fetched(store, tmp_path):
    before, asked = store.sent, len(store.ranges)
    result = run(store, tmp_path, "check", "--output-format", "concise", "s3://models/large.pt2", **CREDENTIALS)
    assert (result.returncode, result.stderr) == (1, "")
    assert "s3://models/large.pt2" in result.stdout
    assert 0 < len(store.ranges) - asked < 12
    assert store.sent - before < 1 << 20


@pytest.mark.parametrize("place", ["s3://models/team/none.pt2", "s3://models/none", "s3://nowhere/model.pt2"])
def test_what_is_not_there(store, tmp_path, place):
    result = run(store, tmp_path, "check", place, **CREDENTIALS)
    assert (result.returncode, result.stderr) == (2, f"error: {place}: not found\n")


def test_without_credentials(store, tmp_path):
    result = run(store, tmp_path, "check", "s3://models/team/clean.pt2")
    assert result.returncode == 2
    assert result.stderr.startswith("error: s3://models/team/clean.pt2: credentials are missing or wrong: ")
