"""Adding constants: stock torch finds them, and all that was there before."""

import io
import json
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.constants import changed_constants, extend_saved_dict, reframed
from graphlint.artifact.errors import ArtifactError
from graphlint.artifact.pickles import follow_dict
from graphlint.artifact.rewrite import write_archive

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
ALL = sorted(ARTIFACTS.glob("*/*.pt2"))
VERSION = {path: tuple(map(int, path.parent.name.split("."))) for path in ALL}

TOKEN, MASK, OTHER = "dep_token", "block.mask", "nothing"


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def add_constants(artifact, entry, names, planned=None):
    return changed_constants(artifact, entry, planned or {}, added=names)


def without_gradients(artifact, entry, names, planned):
    return changed_constants(artifact, entry, planned, detached=names)


def written(artifact, changes):
    out = io.BytesIO()
    write_archive(artifact.container, changes, out)
    return out.getvalue()


def check_tensors(tensors):
    import torch

    for name in (TOKEN, MASK, OTHER):
        assert torch.equal(tensors[name], torch.tensor(0.0))
        assert tensors[name].dtype == torch.float32


def load_saved(data):
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(io.BytesIO(data), weights_only=True)


@pytest.mark.parametrize("path", [path for path in ALL if VERSION[path] >= (2, 9)], ids=name_of)
def test_raw_constants(path, monkeypatch, torch_programs):
    """torch 2.9 and later: read by torch's own loader of constants."""
    import torch
    from torch.export.pt2_archive import _package

    with open_artifact(path) as artifact:
        changes = {}
        for entry in artifact.programs:
            for constants in ([TOKEN], [MASK, OTHER]):  # one call after the other
                changes |= add_constants(artifact, entry, constants, changes)
        data = written(artifact, changes)
        names = [entry.name for entry in artifact.programs]
        new_members = [name for name in changes if name not in artifact.container.members]
    assert len(new_members) == 3 * len(names)
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            old = _package._load_constants(_package.PT2ArchiveReader(io.BytesIO(path.read_bytes())), name)
            new = _package._load_constants(_package.PT2ArchiveReader(io.BytesIO(data)), name)
        assert list(new) == [*old, "dep_token", "block.mask", "nothing"]
        assert all(torch.equal(value, new[key]) for key, value in old.items())
        check_tensors(new)
    if path.stem != "random":  # which torch 2.13 can't load in the first place
        for program in torch_programs(data).values():
            check_tensors(program.constants)
            program.validate()


@pytest.mark.parametrize("path", [path for path in ALL if (2, 3) <= VERSION[path] < (2, 9)], ids=name_of)
def test_pickled_constants(path):
    """torch 2.3 to 2.8: read by torch.load, in its safe mode."""
    import torch

    with open_artifact(path) as artifact:
        changes = {}
        for entry in artifact.programs:
            for constants in ([TOKEN], [MASK, OTHER]):
                changes |= add_constants(artifact, entry, constants, changes)
        assert set(changes) == {entry.constants_pickle for entry in artifact.programs}
        data = written(artifact, changes)
        members = list(changes)
    for member in members:
        old_data, new_data = zipfile.ZipFile(path).read(member), zipfile.ZipFile(io.BytesIO(data)).read(member)
        old, new = load_saved(old_data), load_saved(new_data)
        assert list(new) == [*old, "dep_token", "block.mask", "nothing"]
        assert all(torch.equal(value, new[key]) for key, value in old.items())
        check_tensors(new)
        check_nested_archive(old_data, new_data)


def check_nested_archive(old_data, new_data):
    old, new = zipfile.ZipFile(io.BytesIO(old_data)), zipfile.ZipFile(io.BytesIO(new_data))
    assert new.testzip() is None
    assert all(new.read(name) == old.read(name) for name in old.namelist() if not name.endswith("data.pkl"))
    storages = [name for name in new.namelist() if "/data/" in name]
    first = new.namelist().index(storages[0])
    assert new.namelist()[first : first + len(storages)] == storages, "torch.save writes them in a row"
    assert new.namelist()[first + len(storages)].endswith("/version")
    for info in new.infolist():
        name_length, extra_length = struct.unpack_from("<2H", new_data, info.header_offset + 26)
        assert (info.header_offset + 30 + name_length + extra_length) % 64 == 0
        assert info.flag_bits == 0x808


@pytest.mark.parametrize("version", ["2.6.0", "2.7.1", "2.8.0", "2.9.1", "2.13.0", "2.15.0"])
def test_a_buffer_that_the_signature_lists_has_the_value(version, torch_programs):
    """The whole way, by torch.export.load: a program that reads the added constant as a non-persistent buffer."""
    import torch

    with open_artifact(ARTIFACTS / version / "buffer_counter.pt2") as artifact:
        (entry,) = artifact.programs
        program = json.loads(artifact.read_program(entry))
        specs = program["graph_module"]["signature"]["input_specs"]
        inputs = program["graph_module"]["graph"]["inputs"]
        index = next(i for i, spec in enumerate(specs) if "user_input" in spec)
        values = program["graph_module"]["graph"]["tensor_values"]
        scalar = {**next(iter(values.values())), "sizes": [], "strides": [], "requires_grad": False}
        values["b_dep_token"] = scalar
        specs.insert(
            index,
            {"buffer": {"arg": {"name": "b_dep_token"}, "buffer_name": "dep_token", "persistent": False}},
        )
        inputs.insert(index, {"as_tensor": {"name": "b_dep_token"}})
        changes = {entry.member: json.dumps(program).encode()}
        changes |= add_constants(artifact, entry, [TOKEN], changes)
        loaded = torch_programs(written(artifact, changes))["model"]
    assert torch.equal(loaded.constants["dep_token"], torch.tensor(0.0))
    assert torch.equal(loaded.module().dep_token, torch.tensor(0.0))
    assert "dep_token" not in loaded.state_dict


def test_two_programs_of_one_archive_share_no_member():
    with open_artifact(ARTIFACTS / "2.13.0" / "two_programs.pt2") as artifact:
        first, second = artifact.programs
        changes = add_constants(artifact, first, [TOKEN])
        changes |= add_constants(artifact, second, [TOKEN], changes)
    folder = "two_programs/data/constants"
    assert set(changes) == {
        f"{folder}/tensor_0", f"{folder}/tensor_1",
        f"{folder}/encoder_constants_config.json", f"{folder}/decoder_constants_config.json",
    }  # fmt: skip


def test_new_members_take_no_name_that_torch_confuses():
    with open_artifact(ARTIFACTS / "2.13.0" / "clean.pt2") as artifact:
        planned = {"clean/data/constants/TENSOR_0": b"", "clean/data/constants/tensor_1": b""}
        changes = add_constants(artifact, artifact.programs[0], [TOKEN], planned)
    assert set(changes) == {"clean/data/constants/tensor_2", "clean/data/constants/model_constants_config.json"}


def test_config_is_as_torch_writes_it_and_keeps_what_it_does_not_know():
    with open_artifact(ARTIFACTS / "2.13.0" / "constant_mutation.pt2") as artifact:
        (entry,) = artifact.programs
        member = entry.constants_config
        written_by_torch = artifact.container.read(member)
        changes = add_constants(artifact, entry, ["twin"])
        entry_of_torch = written_by_torch[written_by_torch.index(b'"seen": ') + len(b'"seen": ') : -2]
        entry_of_torch = re.sub(rb'\[\{"as_int": \d\}\]', b"[]", entry_of_torch)  # of a vector, not a scalar
        expected = written_by_torch[:-2] + b', "twin": ' + entry_of_torch.replace(b"tensor_0", b"tensor_1") + b"}}"
        assert changes == {member: expected, "constant_mutation/data/constants/tensor_1": bytes(4)}

        document = {"new_key": [1.5, None], "config": {"x": {"later": True}}}
        changes = add_constants(artifact, entry, [TOKEN], {member: json.dumps(document).encode()})
        added = json.loads(changes[member])
        del added["config"]["dep_token"]
        assert added == document


def test_nothing_to_add_is_no_change():
    with open_artifact(ARTIFACTS / "2.1.2" / "clean.pt2") as artifact:
        assert add_constants(artifact, artifact.programs[0], []) == {}


@pytest.mark.parametrize("version", ["2.1.2", "2.2.2"])
def test_oldest_layouts_are_refused(version):
    with (
        open_artifact(ARTIFACTS / version / "clean.pt2") as artifact,
        pytest.raises(ArtifactError, match=r"of torch 2\.1 or 2\.2"),
    ):
        add_constants(artifact, artifact.programs[0], [TOKEN])


@pytest.mark.parametrize("version", ["2.7.1", "2.8.0", "2.13.0"])
def test_a_name_can_be_taken_once_only(version):
    with open_artifact(ARTIFACTS / version / "constant_mutation.pt2") as artifact:
        (entry,) = artifact.programs
        with pytest.raises(ArtifactError, match='already has a constant "seen"'):
            add_constants(artifact, entry, ["seen"])
        changes = add_constants(artifact, entry, [TOKEN])
        with pytest.raises(ArtifactError, match='already has a constant "dep_token"'):
            add_constants(artifact, entry, [TOKEN], changes)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"config": []}', b"{", b'{"config": ' + b"[" * 100_000])
def test_broken_config_is_refused(content):
    with open_artifact(ARTIFACTS / "2.13.0" / "clean.pt2") as artifact:
        (entry,) = artifact.programs
        with pytest.raises(ArtifactError) as caught:
            add_constants(artifact, entry, [TOKEN], {entry.constants_config: content})
        assert caught.value.member == entry.constants_config


@pytest.mark.parametrize("meta", [7, None, "text", [], {"requires_grad": False}])
def test_what_says_nothing_of_gradients_needs_none(meta, artifacts):
    with open_artifact(artifacts / "2.13.0" / "constant_mutation.pt2") as artifact:
        (entry,) = artifact.programs
        config = {"config": {"seen": {"path_name": "tensor_0", "tensor_meta": meta}}}
        planned = {entry.constants_config: json.dumps(config).encode()}
        assert without_gradients(artifact, entry, ["seen"], planned) == {}
        config["config"]["seen"]["tensor_meta"] = {"requires_grad": True}
        planned = {entry.constants_config: json.dumps(config).encode()}
        (changed,) = without_gradients(artifact, entry, ["seen"], planned).values()
        assert json.loads(changed)["config"]["seen"]["tensor_meta"] == {"requires_grad": False}


@pytest.mark.parametrize("content", [b"", b"no zip"])
def test_broken_saved_dict_is_refused(content):
    with open_artifact(ARTIFACTS / "2.8.0" / "clean.pt2") as artifact:
        (entry,) = artifact.programs
        with pytest.raises(ArtifactError, match="constants cannot be added to") as caught:
            add_constants(artifact, entry, [TOKEN], {entry.constants_pickle: content})
        assert caught.value.member == entry.constants_pickle


def saved(value, **options):
    import torch

    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.save(value, out, **options)
    return out.getvalue()


def test_ordered_dict_with_attributes_and_unrelated_objects():
    import torch

    state = torch.nn.BatchNorm1d(2).state_dict()
    assert isinstance(state, OrderedDict)
    assert hasattr(state, "_metadata")
    loaded = load_saved(extend_saved_dict(saved(state), [TOKEN, MASK, OTHER]))
    check_tensors(loaded)
    assert list(loaded)[:-3] == list(state)
    # Not to be unpickled: it would print.
    odd = saved({"hook": print, "f": {"g": [1, (2, {"h": "i"})]}, "t": torch.ones(2)})
    result = zipfile.ZipFile(io.BytesIO(extend_saved_dict(odd, [TOKEN])))
    assert keys_of(result.read("archive/data.pkl")) == {"hook", "f", "t", "dep_token"}


def test_new_tensors_get_the_next_storage():
    import torch

    value = {str(number): torch.full((2,), number) for number in range(12)}
    data = extend_saved_dict(saved(value), [TOKEN, MASK, OTHER])
    assert {"archive/data/12", "archive/data/13", "archive/data/14"} <= set(
        zipfile.ZipFile(io.BytesIO(data)).namelist()
    )
    loaded = load_saved(data)
    check_tensors(loaded)
    assert all(torch.equal(loaded[key], value[key]) for key in value)


def test_larger_alignment_is_kept():
    import torch
    from torch.utils.serialization import config

    old = config.save.storage_alignment
    config.save.storage_alignment = 4096
    try:
        data = saved({"a": torch.ones(3)})
    finally:
        config.save.storage_alignment = old
    data = extend_saved_dict(data, [TOKEN, MASK, OTHER])
    check_tensors(load_saved(data))
    for info in zipfile.ZipFile(io.BytesIO(data)).infolist():
        if "/data/" in info.filename:
            name_length, extra_length = struct.unpack_from("<2H", data, info.header_offset + 26)
            assert (info.header_offset + 30 + name_length + extra_length) % 4096 == 0


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(protocol):
    import torch

    value = {"a": torch.ones(2), "text": "x" * 70_000, "b": OrderedDict(c=1)}
    data = extend_saved_dict(saved(value, pickle_protocol=protocol), [TOKEN, MASK, OTHER])
    loaded = torch.load(io.BytesIO(data), weights_only=False)
    check_tensors(loaded)
    assert loaded["text"] == value["text"]
    assert loaded["b"] == value["b"]


def test_frames_stay_right():
    """The frame has to reach to the end, though today's unpicklers would forgive if it were one opcode short."""
    framed = pickle.dumps({"a": list(range(100))}, 4)
    assert framed[2:3] == b"\x95"
    more = reframed(framed[:-1] + b"X\1\0\0\0bK\x07s.", follow_dict(framed)[0].frame)
    assert struct.unpack_from("<Q", more, 3) == (len(more) - 11,)
    assert pickle._loads(more) == {"a": list(range(100)), "b": 7}


def keys_of(saved):
    _, held = follow_dict(saved)
    return set(held.items)


class Reduced:
    def __reduce__(self):
        return dict, ((),)


def doubled():
    shared = {"a": 1}
    return [shared, shared]


@pytest.mark.parametrize(
    "value",
    [[], [{"a": 1}], ({"a": 1},), "text", None, Reduced(), doubled(), 5, {1, 2}],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_what_is_not_one_dict_is_refused(value, protocol):
    with pytest.raises(ArtifactError, match="does not hold a dict"):
        follow_dict(pickle.dumps(value, protocol))


def test_pickle_that_is_damaged():
    good = pickle.dumps({"a": [1, 2, (3,)], "b": {"c": 4}}, 2)
    assert keys_of(good) == {"a", "b"}
    for length in range(len(good)):
        with pytest.raises(ArtifactError):
            follow_dict(good[:length])
    with pytest.raises(ArtifactError, match="followed by something else"):
        follow_dict(good + b"x")
    for program in (b"\x80\x02s.", b"t.", b"h\x05.", b"}}0}."):
        with pytest.raises(ArtifactError):
            follow_dict(program)


def test_recursive_and_popped_dicts_are_told_apart():
    """Only the dict that is left at the end counts, whatever is built and thrown away before."""
    popped = b"\x80\x02}(X\x01\0\0\0aK\x01u0}X\x01\0\0\0bK\x02s."
    assert pickle.loads(popped) == {"b": 2}
    assert keys_of(popped) == {"b"}
    pickletools.dis(popped, io.StringIO())


def test_big_endian_tensors_are_refused():
    import torch

    data = saved({"a": torch.ones(1)})
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"big" if name.endswith("byteorder") else old.read(name))
    with pytest.raises(ArtifactError, match="big-endian"):
        extend_saved_dict(out.getvalue(), [TOKEN])
