"""The record of what was done, in the artifact's extra file ``graphlint.json``."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import graphlint
from graphlint import __version__
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import write_archive
from graphlint.run import provenance

ARTIFACTS = Path(__file__).parent / "artifacts"
VERSIONS = ("2.2.2", "2.3.1", "2.6.0", "2.7.1", "2.8.0", "2.9.1", "2.13.0", "2.15.0")


@pytest.fixture
def model(tmp_path):
    def make(case="two_async_asserts", version="2.13.0") -> Path:
        path = tmp_path / f"{version}-{case}.pt2"
        shutil.copyfile(ARTIFACTS / version / f"{case}.pt2", path)
        return path

    return make


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def change(path: Path, changes) -> None:
    with open_artifact(str(path)) as artifact:
        out = io.BytesIO()
        write_archive(artifact.container, changes(artifact), out)
    path.write_bytes(out.getvalue())


def programs(path: Path) -> dict[str, str]:
    """Program to the digest of its JSON."""
    with open_artifact(str(path)) as artifact:
        return {
            entry.name: f"sha256:{hashlib.sha256(artifact.read_program(entry)).hexdigest()}"
            for entry in artifact.programs
        }


def extra(path: Path) -> str:
    with open_artifact(str(path)) as artifact:
        return artifact.extra_member("graphlint.json")


@pytest.mark.parametrize("version", VERSIONS)
def test_fix_and_restore_are_recorded(version, model):
    path = model(version=version)
    first = programs(path)
    sink = "output" if version == "2.2.2" else "buffer"
    assert graphlint.fix(path, select="GL2", token_sink=sink, isolated=True).changed
    second = programs(path)
    assert graphlint.restore(path, isolated=True).changed
    third = programs(path)

    def entry(action, before, after):
        done = {"rules": {"GL201": 2}, "before": before["model"], "after": after["model"]}
        return {"tool": __version__, "action": action, "targets": ["functional"], "programs": {"model": done}}

    record = members(path)[extra(path)]
    assert json.loads(record) == {
        "version": 1,
        "entries": [entry("fix", first, second), entry("restore", second, third)],
    }
    assert record.endswith(b"}\n")
    assert graphlint.lint(path, isolated=True).notes == ()


def test_the_record_is_the_only_difference(model):
    for version in VERSIONS[1:]:
        recorded = model(version=version)
        unrecorded = recorded.with_suffix(".plain.pt2")
        shutil.copyfile(recorded, unrecorded)
        original = members(recorded)
        graphlint.fix(recorded, select="GL2", isolated=True)
        graphlint.fix(unrecorded, select="GL2", isolated=True, provenance=False)
        for _ in range(2):
            with_record, without = members(recorded), members(unrecorded)
            assert extra(recorded) not in without
            assert with_record.pop(extra(recorded))
            assert list(with_record.items()) == list(without.items())
            graphlint.restore(recorded, isolated=True)
            graphlint.restore(unrecorded, isolated=True, provenance=False)
        program = next(name for name in original if name.endswith(("model.json", "program.json")))
        assert list(without) == list(original)
        assert {name for name in original if without[name] != original[name]} <= {program}


def test_the_same_input_gives_the_same_bytes(model):
    left, right = model(), model().with_suffix(".right.pt2")
    shutil.copyfile(left, right)
    graphlint.fix(left, isolated=True)
    graphlint.fix(right, isolated=True)
    assert left.read_bytes() == right.read_bytes()


def test_only_programs_that_changed_are_named(model):
    path = model("two_programs")
    graphlint.fix(path, isolated=True)
    (entry,) = json.loads(members(path)[extra(path)])["entries"]
    assert list(entry["programs"]) == ["encoder"]


def test_targets_are_named(model):
    path = model("key_value_cache")
    graphlint.fix(path, target="inductor,coreml", isolated=True)
    (entry,) = json.loads(members(path)[extra(path)])["entries"]
    assert entry["targets"] == ["inductor", "coreml"]


@pytest.mark.parametrize("version", ["2.6.0", "2.13.0"])
def test_stock_torch_hands_it_out_with_the_other_extra_files(version, model):
    torch = pytest.importorskip("torch")
    path = model(version=version)
    program = torch.export.load(path)
    folder = "extra_files" if version == "2.6.0" else None
    change(path, lambda one: {f"{folder or one.root + '/extra'}/mine.txt": b"kept"})
    graphlint.fix(path, isolated=True)
    files = {"graphlint.json": "", "mine.txt": ""}
    loaded = torch.export.load(path, extra_files=files)
    assert files["mine.txt"] == "kept"
    assert json.loads(files["graphlint.json"])["version"] == 1
    assert loaded.graph_signature.user_outputs == program.graph_signature.user_outputs


def relabelled(artifact):
    (entry,) = artifact.programs
    tree = json.loads(artifact.read_program(entry))
    return {entry.member: json.dumps({**tree, "verifiers": ["TRAINING"]}).encode()}


def test_a_check_notes_what_was_changed_since(model):
    path = model()
    graphlint.fix(path, isolated=True)
    change(path, relabelled)
    note = (
        f"program 'model' was changed after graphlint {__version__} recorded its fix in the extra file graphlint.json"
    )
    result = graphlint.lint(path, isolated=True)
    assert (result.notes, result.diagnostics) == ((note,), ())
    run = subprocess.run(
        [sys.executable, "-m", "graphlint", "--isolated", "model.pt2"],
        cwd=path.rename(path.with_name("model.pt2")).parent,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "All checks passed!\n", f"note: model.pt2: {note}\n")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"\xff\xfe",
        b"[]",
        b'{"version": 2, "entries": []}',
        b'{"version": 1}',
        b'{"version": 1, "entries": [{"tool": "0.1.0"}]}',
        b'{"mine": true}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_record_is_left_alone(content, model):
    path = model()
    change(path, lambda one: {one.extra_member("graphlint.json"): content})
    assert graphlint.lint(path, isolated=True).notes == (provenance.FOREIGN,)
    result = graphlint.fix(path, isolated=True)
    assert (result.changed, result.error, result.notes) == (True, None, (provenance.FOREIGN,))
    assert members(path)[extra(path)] == content
    result = graphlint.restore(path, isolated=True)
    assert (result.changed, result.error, result.notes) == (True, None, (provenance.FOREIGN,))
    assert members(path)[extra(path)] == content


def test_a_damaged_record_is_no_crash(model):
    path = model()
    change(path, lambda one: {one.extra_member("graphlint.json"): b"damage me: 0123456789"})
    path.write_bytes(path.read_bytes().replace(b"damage me", b"damaged!!"))
    assert graphlint.lint(path, isolated=True).notes == (provenance.FOREIGN,)
    assert graphlint.fix(path, isolated=True).notes == (provenance.FOREIGN,)


def test_what_it_does_not_know_is_kept():
    old = {"version": 1, "entries": [{"tool": "9", "action": "fix", "targets": [], "programs": {}, "more": 1}], "x": 2}
    entry = provenance.Entry("0.1.0", "fix", ("functional",), {})
    new = json.loads(provenance.appended(json.dumps(old).encode(), entry))
    added = {"tool": "0.1.0", "action": "fix", "targets": ["functional"], "programs": {}}
    assert new == {**old, "entries": [*old["entries"], added]}
    assert provenance.appended(b"{}", entry) is None


def test_the_configuration_can_turn_it_off(model, monkeypatch):
    path = model()
    monkeypatch.chdir(path.parent)
    Path("graphlint.toml").write_text("[fix]\nprovenance = false\n")
    assert graphlint.fix(path).changed
    assert extra(path) not in members(path)
    assert graphlint.restore(path, provenance=True).changed
    assert extra(path) in members(path)
