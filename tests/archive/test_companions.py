"""What stands beside an artifact that is rewritten, and holds for what it was."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphlint.artifact.companions import companions
from graphlint.cli.clicked import app
from graphlint.report.formats.registry import FORMATS
from graphlint.run.api import fix, lint

SAMPLE = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "key_value_cache.pt2"
SUM = "0" * 64


@pytest.fixture
def artifact(tmp_path):
    path = tmp_path / "model.pt2"
    shutil.copyfile(SAMPLE, path)
    return path


def bundle(*names: str) -> str:
    """A signature as OpenSSF model signing makes it: of a folder's files."""
    statement = {"predicate": {"resources": [{"name": name, "digest": SUM} for name in names]}}
    payload = base64.b64encode(json.dumps(statement).encode()).decode()
    return json.dumps({"dsseEnvelope": {"payload": payload, "signatures": []}})


STALE = {
    "model.pt2.sig": "x",
    "model.pt2.asc": "x",
    "model.pt2.sigstore.json": "{}",
    "model.pt2.SHA256": SUM,
    "model.pt2.sha512sum": SUM,
    "model.pt2.md5": SUM,
    "model.pt2.dvc": "outs:\n- md5: 0\n",
    "model.sha256": SUM,
    "model.sig": bundle("model.pt2", "config.json"),
    "model.sigstore.json": "{}",
    "release.sigstore.json": bundle("model.pt2"),
    "SHA256SUMS": f"{SUM}  other.pt2\n{SUM} *model.pt2\n",
    "checksums.txt": f"SHA256 (model.pt2) = {SUM}\n",
    "models_sha256sums.txt": f"{SUM}  model.pt2\n",
}
FRESH = {
    "other.pt2.sig": "x",
    "other.pt2.sha256": SUM,
    "other.sigstore.json": bundle("other.pt2"),
    "model.sig": bundle("other.pt2"),
    "model.sha256": f"{SUM}  model.onnx\n",
    "SHA256SUMS": f"{SUM}  other.pt2\n",
    "checksums.txt": f"SHA256 (other.pt2) = {SUM}\n",
    "model.py": "",
    "signature.json": "",
    "sha256.py": "",
}


@pytest.mark.parametrize(("name", "content"), STALE.items(), ids=STALE)
def test_what_holds_for_the_old_content_is_told(artifact, name, content):
    (artifact.parent / name).write_text(content)
    assert lint(artifact).diagnostics[0].code == "GL103"
    result = fix(artifact)
    assert result.changed
    [told] = result.diagnostics
    assert (told.code, told.severity) == ("GL006", "note")
    assert told.message == f"{name!r} beside it was made for the old file"
    assert (artifact.parent / name).read_text() == content


@pytest.mark.parametrize(("name", "content"), FRESH.items(), ids=FRESH)
def test_what_holds_for_other_files_is_not(artifact, name, content):
    (artifact.parent / name).write_text(content)
    assert fix(artifact).diagnostics == ()


def test_the_signature_of_another_format_of_the_model(artifact):
    """``model.onnx.sig`` is of ``model.onnx``, and so is ``model.sig`` where there is a file ``model``."""
    (artifact.parent / "model").write_text("")
    (artifact.parent / "model.sig").write_text("x")
    (artifact.parent / "model.onnx.sig").write_text("x")
    assert companions(str(artifact)) == []


def test_beside_a_link_and_beside_the_file(artifact, tmp_path):
    elsewhere = tmp_path / "links"
    elsewhere.mkdir()
    link = elsewhere / "latest.pt2"
    link.symlink_to(artifact)
    (elsewhere / "latest.pt2.sha256").write_text(SUM)
    (tmp_path / "model.pt2.sig").write_text("x")
    assert companions(str(link)) == ["latest.pt2.sha256", "model.pt2.sig"]


def test_folders_and_what_cannot_be_read(artifact):
    (artifact.parent / "SHA256SUMS").mkdir()
    (artifact.parent / "model.sig").symlink_to("nowhere")
    assert companions(str(artifact)) == ["model.sig"]


def test_hard_links(artifact, tmp_path):
    os.link(artifact, tmp_path / "same.pt2")
    os.link(artifact, tmp_path / "third.pt2")
    [told] = fix(artifact).diagnostics
    assert told.code == "GL006"
    assert told.message == "2 other names (hard links) of the file still have the old content"
    assert (tmp_path / "same.pt2").read_bytes() == SAMPLE.read_bytes()


def test_nothing_is_told_where_nothing_was_written(artifact):
    (artifact.parent / "model.pt2.sig").write_text("x")
    assert [one.code for one in lint(artifact).diagnostics] == ["GL103"]
    fix(artifact)
    assert fix(artifact).diagnostics == ()


@pytest.mark.parametrize("output_format", list(FORMATS))
def test_every_format_tells_it(artifact, output_format):
    (artifact.parent / "model.pt2.sig").write_text("x")
    report = artifact.parent / "report"
    arguments = ["check", "--isolated", "--fix", f"--output-format={output_format}={report}", str(artifact)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1  # the file was rewritten
    text = report.read_text()
    assert "GL006" in text
    assert "model.pt2.sig" in text


def test_restoring_says_it_too(artifact):
    fix(artifact, state="io")
    (artifact.parent / "model.pt2.sig").write_text("x")
    result = CliRunner().invoke(app, ["restore", str(artifact)])
    assert "'model.pt2.sig' beside it was made for the old file" in result.stderr
