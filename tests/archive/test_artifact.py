"""What an archive is: torch's layouts, other zip archives, and files that are no archives at all."""

import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ArtifactError, LfsPointerError

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
ALL = sorted(ARTIFACTS.glob("*/*.pt2"))


@pytest.fixture
def file(tmp_path):
    def create(content):
        path = tmp_path / "file.pt2"
        if isinstance(content, dict):
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w") as archive:
                for name, text in content.items():
                    archive.writestr(name, text)
            content = out.getvalue()
        path.write_bytes(content)
        return path

    return create


def layout_of(version):
    release = tuple(map(int, version.split(".")))
    return (
        "legacy" if release < (2, 3) else "flat" if release < (2, 8) else "pt2-pickled" if release < (2, 9) else "pt2"
    )


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_corpus(path):
    version = path.parent.name
    with open_artifact(path) as artifact, zipfile.ZipFile(path) as archive:
        assert artifact.path == str(path)
        assert artifact.note == ""
        assert [entry.name for entry in artifact.programs] == (
            ["encoder", "decoder"] if path.stem == "two_programs" else ["model"]
        )
        for entry in artifact.programs:
            assert artifact.read_program(entry) == archive.read(entry.member)
            payload = (entry.weights_pickle, entry.weights_config, entry.constants_pickle, entry.constants_config)
            present = [name is not None for name in payload]
            assert (
                present
                == {
                    "legacy": [True, False, False, False],
                    "flat": [True, False, True, False],
                    "pt2-pickled": [True, False, True, False],
                    "pt2": [False, True, False, True],
                }[layout_of(version)]
            )
            assert set(payload) - {None} <= set(archive.namelist())


def test_members_of_a_program():
    with open_artifact(ARTIFACTS / "2.13.0" / "two_programs.pt2") as artifact:
        assert artifact.root == "two_programs"
        encoder = artifact.programs[0]
    assert encoder.member == "two_programs/models/encoder.json"
    assert encoder.weights_config == "two_programs/data/weights/encoder_weights_config.json"
    assert encoder.constants_config == "two_programs/data/constants/encoder_constants_config.json"
    assert encoder.sample_inputs == "two_programs/data/sample_inputs/encoder.pt"


def test_root_is_the_members_not_the_files_name(tmp_path):
    path = tmp_path / "renamed.pt2"
    path.write_bytes((ARTIFACTS / "2.13.0" / "clean.pt2").read_bytes())
    with open_artifact(path) as artifact:
        assert artifact.root == "clean"
    with open_artifact(ARTIFACTS / "2.5.1" / "clean.pt2") as artifact:
        assert artifact.root == ""


def test_paths_of_all_kinds(tmp_path):
    name = os.fsencode(tmp_path) + b"/a b\n\xff.pt2"
    Path(os.fsdecode(name)).write_bytes((ARTIFACTS / "2.13.0" / "clean.pt2").read_bytes())
    for path in (name, os.fsdecode(name), Path(os.fsdecode(name))):
        with open_artifact(path) as artifact:
            assert artifact.path == os.fsdecode(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"hello, world\n", "not a zip archive but a text file"),
        ("Grüße ".encode() * 200, "not a zip archive but a text file"),
        (b"  <!DOCTYPE html><html>", "HTML page"),
        (b"\0" * 5000, "starts with zero bytes"),
        (b"\x80\x02}q\x00.", "a pickle"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "not a zip archive$"),
        (b"\x08\x07" + bytes(range(128, 256)) * 1000, "not a zip archive$"),
        (b"PK\x03\x04" + b"x" * 1000, "cut short"),
        (b"PK", "not a zip archive$"),
        ({}, "an empty zip archive"),
        ({"doc/x.xml": "<x/>"}, r'a zip archive, but not an exported program \(its first member is "doc/x.xml"\)'),
        ({"m/data.pkl": "", "m/version": "3"}, "a torch.save file"),
        ({"m/code/a.py": "", "m/data.pkl": "", "m/constants.pkl": ""}, "a TorchScript archive"),
        ({"m/.data/extern_modules": "", "m/model.py": ""}, "a torch.package archive"),
        ({"__MACOSX/x": "", "m/archive_format": "pt2", "m/models/model.json": "{}"}, "lies outside the folder"),
        ({"m/archive_format": "pt2", "M/x": ""}, 'member "M/x" lies outside the folder "m"'),
        ({"/archive_format": "pt2", "/models/model.json": "{}"}, "root folder has no name"),
        ({"m/archive_format": "pt3"}, 'says "pt3" instead of "pt2"'),
        ({"m/archive_format": "pt2", "m/archive_version": "1"}, 'version "1", and only version 0 is known'),
        ({"m/archive_format": "x" * 2000}, "too large"),
        ({"serialized_exported_program.json": "{}"}, "no torch writes such a file"),
    ],
)
def test_what_is_no_artifact(file, content, message):
    with pytest.raises(ArtifactError, match=message) as caught:
        open_artifact(file(content))
    text = str(caught.value)
    assert text[0].islower()
    assert "\n" not in text
    assert not text.endswith(".")
    assert not isinstance(caught.value, LfsPointerError)


def test_real_torch_files_that_are_no_artifacts(tmp_path):
    torch = pytest.importorskip("torch")
    torch.save({"a": torch.ones(2)}, tmp_path / "saved.pt2")
    with pytest.raises(ArtifactError, match=r"a torch\.save file"):
        open_artifact(tmp_path / "saved.pt2")
    torch.save({"a": torch.ones(2)}, tmp_path / "old.pt2", _use_new_zipfile_serialization=False)
    with pytest.raises(ArtifactError, match="a pickle"):
        open_artifact(tmp_path / "old.pt2")


def test_git_lfs_pointer(file):
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    with pytest.raises(LfsPointerError, match="git lfs pull"):
        open_artifact(file(pointer))


@pytest.mark.parametrize(
    ("members", "note"),
    [
        ({"m/archive_format": "pt2", "m/data/aotinductor/model/x.so": "ELF"}, "AOTInductor"),
        ({"archive_format": "pt2", "data/aotinductor/model/x.so": "ELF"}, "AOTInductor"),
        ({"m/archive_format": "pt2", "m/data/executorch/x.pte": ""}, "ExecuTorch"),
        ({"m/archive_format": "pt2", "m/archive_version": "0", "m/extra/notes.txt": ""}, "without a program"),
    ],
)
def test_nothing_to_lint_is_said(file, members, note):
    with open_artifact(file(members)) as artifact:
        assert artifact.programs == ()
        assert note in artifact.note


def test_compiled_code_beside_a_program(file):
    members = {
        "m/archive_format": "pt2",
        "m/models/a/b.json": "{}",
        "m/models/": "",
        "m/data/aotinductor/model/x.so": "",
    }
    with open_artifact(file(members)) as artifact:
        assert artifact.note == ""
        assert [entry.name for entry in artifact.programs] == ["a/b"]


def test_torch_prefers_the_pickled_payload(file):
    """As torch does (``_load_constants``), where both kinds are there."""
    folder = "m/data/constants"
    members = {
        "m/archive_format": "pt2",
        "m/models/x.json": "{}",
        f"{folder}/x.pt": "",
        f"{folder}/x_constants_config.json": "",
    }
    with open_artifact(file(members)) as artifact:
        (entry,) = artifact.programs
    assert (entry.constants_pickle, entry.constants_config) == (f"{folder}/x.pt", None)


def test_names_that_differ_in_case_only(file):
    """torch's reader (miniz) ignores case: it would load one program for both."""
    members = {"m/archive_format": "pt2", "m/models/a.json": "{}", "m/EXTRA/x": "", "m/extra/X": ""}
    with open_artifact(file(members)) as artifact:
        assert len(artifact.programs) == 1, "no matter where no program is concerned"
    with pytest.raises(ArtifactError, match=r'A\.json" differs from "m/models/a\.json" in case only') as caught:
        open_artifact(file(members | {"m/models/A.json": "{}"}))
    assert caught.value.member == "m/models/A.json"


@pytest.mark.skipif(sys.platform == "win32", reason="other messages, and no named pipes")
def test_files_that_cannot_be_read(tmp_path):
    for path, message in (
        (tmp_path, "cannot be read: it is a folder"),
        (tmp_path / "none.pt2", "cannot be read: No such file or directory"),
        ("nul\0.pt2", "cannot be read: .*null"),
        ("x" * 300, "cannot be read: File name too long"),
    ):
        with pytest.raises(ArtifactError, match=message):
            open_artifact(path)
    os.mkfifo(tmp_path / "pipe.pt2")
    with pytest.raises(ArtifactError, match="not a regular file"):
        open_artifact(tmp_path / "pipe.pt2")


def test_permission_denied(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ArtifactError, match="cannot be read: Permission denied"):
        open_artifact(tmp_path / "x.pt2")


def test_failing_disk(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    with pytest.raises(ArtifactError, match="cannot be read: Input/output error"):
        open_artifact(ALL[0])
