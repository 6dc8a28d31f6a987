"""Constants that are taken away again, in every layout."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.constants import changed_constants, extend_saved_dict, without_items
from graphlint.artifact.container import Container
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.rewrite import write_archive
from graphlint.artifact.source import BytesSource

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
TOKEN = "dep_token"


def add_constants(artifact, entry, names):
    return changed_constants(artifact, entry, {}, added=names)


def remove_constants(artifact, entry, names):
    return changed_constants(artifact, entry, {}, removed=names)


def rewritten(path: Path, changes) -> bytes:
    with open_artifact(str(path)) as artifact:
        out = io.BytesIO()
        write_archive(artifact.container, changes(artifact), out)
        return out.getvalue()


@pytest.mark.parametrize(
    ("version", "case"),
    [
        (version, case)
        for version in ("2.3.1", "2.5.1", "2.7.1", "2.8.0", "2.9.1", "2.13.0", "2.15.0")
        for case in ("async_assert", "constant_mutation", "buffer_counter")
        if (ARTIFACTS / version / f"{case}.pt2").exists()
    ],
)
def test_what_was_added_goes_without_a_trace(version, case, tmp_path):
    original = ARTIFACTS / version / f"{case}.pt2"
    added = tmp_path / "added.pt2"
    added.write_bytes(rewritten(original, lambda one: add_constants(one, one.programs[0], [TOKEN])))
    assert added.read_bytes() != original.read_bytes()
    removed = rewritten(added, lambda one: remove_constants(one, one.programs[0], ["dep_token", "unheard of"]))
    assert removed == original.read_bytes()


def test_a_payload_stays_as_long_as_something_shows_it(tmp_path):
    path = tmp_path / "model.pt2"

    def share(artifact):
        (entry,) = artifact.programs
        changes = add_constants(artifact, entry, [TOKEN])
        config = json.loads(changes[entry.constants_config])
        config["config"]["other"] = config["config"]["dep_token"]
        return {**changes, entry.constants_config: json.dumps(config).encode()}

    path.write_bytes(rewritten(ARTIFACTS / "2.13.0" / "async_assert.pt2", share))
    with open_artifact(str(path)) as artifact:
        (entry,) = artifact.programs
        (member,) = remove_constants(artifact, entry, ["dep_token"])
        assert member == entry.constants_config
        changes = remove_constants(artifact, entry, ["dep_token", "other"])
        assert changes == {
            entry.constants_config: b'{"config": {}}',
            f"{entry.constants_config.rpartition('/')[0]}/tensor_0": None,
        }


def test_nothing_to_remove_is_no_change():
    with open_artifact(str(ARTIFACTS / "2.13.0" / "async_assert.pt2")) as artifact:
        assert remove_constants(artifact, artifact.programs[0], ["dep_token"]) == {}
        assert remove_constants(artifact, artifact.programs[0], []) == {}


def loaded(saved: bytes):
    torch = pytest.importorskip("torch")
    return torch.load(io.BytesIO(saved), weights_only=True)


def storages(saved: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(saved)) as archive:
        assert archive.testzip() is None
        return [name.rpartition("/")[2] for name in archive.namelist() if "/data/" in name]


def save(value, **options) -> bytes:
    torch = pytest.importorskip("torch")
    out = io.BytesIO()
    torch.save(value, out, **options)
    return out.getvalue()


@pytest.mark.parametrize("gone", [["a"], ["b"], ["c"], ["a", "b"], ["a", "c"], ["a", "b", "c"]])
def test_items_that_torch_saved(gone):
    """Classes and strings are named in the first item, and referred to in the others."""
    torch = pytest.importorskip("torch")
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2), "c": torch.tensor(7)}
    saved = without_items(save(tensors), gone)
    left = loaded(saved)
    assert list(left) == [name for name in tensors if name not in gone]
    assert all(torch.equal(left[name], tensors[name]) for name in left)
    assert storages(saved) == [str(number) for number, name in enumerate(tensors) if name not in gone]


def test_a_dict_of_one_becomes_empty():
    torch = pytest.importorskip("torch")
    saved = save({"dep_token": torch.tensor(0.0)})
    assert loaded(without_items(saved, ["dep_token"])) == {}
    assert storages(without_items(saved, ["dep_token"])) == []


def test_a_storage_that_another_item_shows_stays():
    torch = pytest.importorskip("torch")
    x = torch.arange(4.0)
    saved = without_items(save({"a": x, "b": x[1:]}), ["a"])
    assert torch.equal(loaded(saved)["b"], x[1:])
    assert storages(saved) == ["0"]


def test_items_of_inner_dicts_are_no_constants():
    torch = pytest.importorskip("torch")
    saved = save({"inner": {"dep_token": torch.tensor(1.0)}, "x": torch.tensor(2.0)})
    assert without_items(saved, ["dep_token"]) == saved


def test_what_another_item_refers_to_stays():
    torch = pytest.importorskip("torch")
    x = torch.tensor(1.0)
    with pytest.raises(ArtifactError, match="another item refers to a part of the one that is to go"):
        without_items(save({"a": x, "b": [x]}), ["a"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_added_items_go_from_every_protocol(protocol):
    torch = pytest.importorskip("torch")
    saved = save({"x": torch.arange(3)}, pickle_protocol=protocol)
    assert without_items(extend_saved_dict(saved, [TOKEN]), ["dep_token"]) == saved


def test_counted_references_are_refused():
    torch = pytest.importorskip("torch")
    saved = save({"x": torch.arange(3), "y": torch.arange(2)}, pickle_protocol=4)
    with pytest.raises(ArtifactError, match="its pickle counts its references"):
        without_items(saved, ["x"])


@pytest.mark.parametrize("content", [pickle.dumps([1], 2), b"\x80\x02}q\x00.trailing", b"garbage", b""])
def test_what_is_no_dict_is_refused(content):
    torch = pytest.importorskip("torch")
    saved = save({"x": torch.tensor(1)})
    with Container(BytesSource(saved)) as container:
        out = io.BytesIO()
        write_archive(container, {"archive/data.pkl": content}, out)
    with pytest.raises(ArtifactError):
        without_items(out.getvalue(), ["x"])
