"""Whether what is stored of a tensor is all zeros: exactly its elements count, and they are looked at in pieces."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphlint.artifact import zeros
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.container import Container
from graphlint.artifact.payloads import payloads
from graphlint.artifact.pickles import Storage, follow_dict
from graphlint.artifact.source import ByteSource, BytesSource

ARTIFACTS = Path(__file__).parents[1] / "artifacts"


def elements(offset, sizes, strides):
    """The indices of a tensor's elements in its storage."""
    steps = [
        range(0, size * stride, stride) if stride else [0] * size for size, stride in zip(sizes, strides, strict=True)
    ]
    return {offset + sum(way) for way in product(*steps)}


@st.composite
def tensors(draw):
    item_size = draw(st.sampled_from([1, 2, 4, 8]))
    sizes = draw(st.lists(st.integers(0, 4), max_size=3))
    strides = draw(st.lists(st.integers(0, 9), min_size=len(sizes), max_size=len(sizes)))
    offset = draw(st.integers(0, 5))
    length = max(elements(offset, sizes, strides), default=0) + 1 + draw(st.integers(0, 3))
    data = bytearray(length * item_size)
    for place in draw(st.lists(st.integers(0, len(data) - 1), max_size=3)):
        data[place] = 1
    return bytes(data), item_size, offset, sizes, strides


@given(tensors(), st.sampled_from([1, 7, 64, 1 << 20]))
def test_exactly_the_elements_count(tensor, piece):
    data, item_size, offset, sizes, strides = tensor
    shown = elements(offset, sizes, strides)
    expected = not any(any(data[one * item_size : (one + 1) * item_size]) for one in shown)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zeros, "PIECE", piece)
        found = zeros.is_zero(BytesSource(data), item_size, offset, sizes, strides)
    dims = [(size, stride) for size, stride in zip(sizes, strides, strict=True) if stride]
    extent = sum((size - 1) * stride for size, stride in dims if size) + 1
    overlapping = len(shown) < len(list(product(*(range(size) for size, _ in dims))))
    if overlapping and shown:  # of such, all that lies between counts
        between = any(data[offset * item_size : (offset + extent) * item_size])
        assert found in (expected, not between)
    else:
        assert found == expected


class Watched(ByteSource):
    """Zeros without end, as far as anybody looks."""

    def __init__(self, size):
        self.size = size
        self.lengths = []

    def read_at(self, offset, length):
        self.lengths.append(length)
        return bytes(max(0, min(length, self.size - offset)))


@pytest.mark.parametrize(("sizes", "strides"), [([1 << 24], [1]), ([1 << 12, 1 << 12], [1, 1 << 12]), ([1 << 22], [4])])
def test_little_is_in_memory_at_a_time(sizes, strides):
    source = Watched(1 << 26)
    assert zeros.is_zero(source, 4, 0, sizes, strides)
    assert max(source.lengths) <= zeros.PIECE
    assert len(source.lengths) <= 65


def test_what_is_not_there_is_no_zero():
    assert zeros.is_zero(BytesSource(bytes(8)), 4, 0, [3], [1]) is None
    assert zeros.is_zero(BytesSource(bytes(8)), 4, -1, [1], [1]) is None
    assert zeros.is_zero(BytesSource(bytes(8)), 4, 0, [1 << 40, 1 << 40], [1 << 40, 1]) is None


def test_metadata_that_names_elements_again_and_again_takes_no_time():
    source = Watched(1 << 13)
    assert zeros.is_zero(source, 1, 0, [1 << 12, 1 << 12], [1, 1])
    assert len(source.lengths) == 1


@pytest.mark.parametrize("version", ["2.1.2", "2.5.1", "2.7.1", "2.8.0", "2.9.1", "2.13.0"])
@pytest.mark.parametrize("name", ["key_value_cache", "batch_norm_training", "constant_mutation", "buffer_counter"])
def test_every_layout(version, name):
    torch = pytest.importorskip("torch")
    path = ARTIFACTS / version / f"{name}.pt2"
    if not path.is_file():
        pytest.skip("there is no such artifact")
    with open_artifact(path) as artifact:
        (entry,) = artifact.programs
        found = {name: one.is_zero(4) for name, one in payloads(artifact, entry).items() if "num_batches" not in name}
        held = {}
        for pickle in (entry.weights_pickle, entry.constants_pickle):
            if pickle and artifact.container.members[pickle].size:
                held |= torch.load(io.BytesIO(artifact.container.read(pickle)), weights_only=False)
    if entry.layout == "pt2":
        program = torch.export.load(path)
        held = {**program.state_dict, **program.constants}
    expected = {name: not one.any() for name, one in held.items() if "num_batches" not in name}
    assert found == expected != {}


def test_pickled_views():
    torch = pytest.importorskip("torch")
    base = torch.zeros(4, 6)
    base[:, 2] = 1
    views = {
        "whole": base,
        "zero column": base[:, 1],
        "ones": base[:, 2],
        "rows": base.t()[3:5],
        "parameter": torch.nn.Parameter(base[:, 3]),
        "half": torch.zeros(3, dtype=torch.float8_e5m2),
    }
    saved = io.BytesIO()
    torch.save(views, saved)
    container = Container(BytesSource(saved.getvalue()))
    root = next(iter(container.members)).partition("/")[0]
    _, held = follow_dict(container.read(f"{root}/data.pkl"))
    found = {}
    for name, one in held.items.items():
        assert isinstance(one, Storage)
        storage = container.source_of(f"{root}/data/{one.key}")
        found[name] = zeros.is_zero(storage, views[name].element_size(), *one.part)
    assert found == {
        "whole": False, "zero column": True, "ones": False, "rows": True, "parameter": True, "half": True,
    }  # fmt: skip
