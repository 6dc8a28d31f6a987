"""State that becomes inputs, in the archive: lists of values, and sample inputs. torch reads what was written."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import msgspec
import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.rewrite import write_archive
from graphlint.artifact.state import Keyword, listed, unlisted, with_samples, without_samples

torch = pytest.importorskip("torch")

NEWEST = Path(__file__).parent.parent / "artifacts" / "2.13.0"
DTYPES = ["float32", "float64", "bfloat16", "float8_e4m3fn", "int64", "uint16", "bool", "complex128"]
KEYWORDS = [Keyword(f"state_{dtype}", dtype, [3, 200, 70000]) for dtype in DTYPES]


@pytest.fixture
def artifact(tmp_path):
    """An artifact with other sample inputs, opened."""

    def make(samples):
        path = tmp_path / "model.pt2"
        with open_artifact(str(NEWEST / "buffer_counter.pt2")) as artifact, path.open("wb") as file:
            write_archive(artifact.container, {artifact.programs[0].sample_inputs: samples}, file)
        return open_artifact(str(path))

    return make


def saved(value, **options):
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize(
    "samples",
    [
        ((), {}),
        ((torch.ones(2),), {"x": torch.ones(3)}),
        ((torch.ones(2), {"a": torch.ones(1), "b": [1, 2.5, None]}), {"x": (1, {"y": torch.ones(3)}), "z": True}),
        ((1, 2, 3, 4, 5), {"x": {}}),
    ],
    ids=["nothing", "one", "nested", "many"],
)
def test_sample_inputs_get_keywords_and_lose_them(samples, protocol, artifact):
    before = saved(samples, pickle_protocol=protocol)
    with artifact(before) as opened:
        (entry,) = opened.programs
        changed = with_samples(opened, entry, {}, KEYWORDS)[entry.sample_inputs]
    assert len(changed) < len(before) + 1000 * len(KEYWORDS)
    args, kwargs = torch.load(io.BytesIO(changed), weights_only=protocol == 2)
    torch.utils._pytree.tree_map(torch.testing.assert_close, (args, {key: kwargs[key] for key in samples[1]}), samples)
    assert list(kwargs) == [*samples[1], *(one.name for one in KEYWORDS)]
    for one in KEYWORDS:
        tensor = kwargs[one.name]
        assert (tensor.dtype, tensor.shape) == (getattr(torch, one.dtype), tuple(one.sizes))
        assert tensor.stride() == (0, 0, 0)
        assert not tensor.requires_grad
        assert tensor[0, 0, 0].item() == 0
    if protocol == 2:
        with artifact(changed) as opened:
            restored = without_samples(opened, entry, {}, {one.name for one in KEYWORDS})[entry.sample_inputs]
        with zipfile.ZipFile(io.BytesIO(before)) as old, zipfile.ZipFile(io.BytesIO(restored)) as new:
            assert old.namelist() == new.namelist()
            assert all(old.read(name) == new.read(name) for name in old.namelist())


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (saved({"x": 1}), "they are no pair of arguments and keywords as torch writes it"),
        (saved(((), {}, {})), "its pickle does not hold a dict"),
        (saved([(), {}]), "its pickle does not hold a dict"),
        (saved(((), {"state_bool": 1})), 'they already have a keyword "state_bool"'),
        (pickle.dumps(((), {})), "not a zip archive"),
    ],
    ids=["dict", "triple", "list", "taken", "no archive"],
)
def test_sample_inputs_that_are_something_else(samples, said, artifact):
    with artifact(samples) as opened, pytest.raises(ArtifactError, match=f"cannot be changed: .*{said}"):
        with_samples(opened, opened.programs[0], {}, KEYWORDS)


@pytest.mark.parametrize("device", ["", "cuda:x", "cpu\n"])
def test_a_device_that_torch_would_not_load_is_not_written(device, artifact):
    keyword = msgspec.structs.replace(KEYWORDS[0], device=device)
    with artifact(saved(((), {}))) as opened, pytest.raises(ArtifactError, match="there is no device"):
        with_samples(opened, opened.programs[0], {}, [keyword])


def test_no_sample_inputs_stay_none(artifact):
    with artifact(b"") as opened:
        assert with_samples(opened, opened.programs[0], {}, KEYWORDS) == {}


def test_values_leave_the_lists_and_come_back(tmp_path):
    with open_artifact(str(NEWEST / "buffer_counter.pt2")) as opened:
        (entry,) = opened.programs
        before = opened.container.read(entry.weights_config)
        changes, values = unlisted(opened, entry, {}, {"count"})
        assert list(changes) == [entry.weights_config]
        assert b"count" not in changes[entry.weights_config]
        assert values["count"].member in opened.container.members
        assert listed(opened, changes, values) == {entry.weights_config: before}
        with pytest.raises(ArtifactError, match='already has a value "count"'):
            listed(opened, {}, values)
        with pytest.raises(ArtifactError, match='the archive lists no value of "other"'):
            unlisted(opened, entry, {}, {"other"})
