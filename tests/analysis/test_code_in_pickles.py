"""Real attacks: live with stock torch, found by GL003 wherever they hide, and run neither by check nor by --fix."""

from __future__ import annotations

import collections
import contextlib
import copyreg
import io
import json
import pickle
import random
import shutil
import struct
import time
import zipfile
from pathlib import Path

import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.limits import Limits
from graphlint.artifact.pickles import ALLOWED, Scan
from graphlint.artifact.rewrite import write_archive
from graphlint.artifact.source import BytesSource
from graphlint.rules.code import find_member_code
from graphlint.run.api import fix, lint

from .attacks import ATTACKS, MKDIR, made, name, saved, short, text

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that a payload makes: relative, so that it depends on nothing."""
    monkeypatch.chdir(tmp_path)
    return Path("ran")


def as_torch_loads(content):
    """What torch does with sample inputs, and with weights and constants of old files."""
    from torch._export.serde.serialize import deserialize_torch_artifact

    try:
        return deserialize_torch_artifact(content)
    except Exception as error:  # noqa: BLE001 - what a payload returns is no artifact; some are broken on purpose
        return error


def found_in(content):
    return Scan(Limits()).saved(BytesSource(content))


def found_in_bare(pickle):
    return Scan(Limits()).bare(BytesSource(pickle))


def check_found(found, expected):
    assert len(found) == len(expected), found
    for phrase, part in zip(found, expected, strict=True):
        assert part in phrase


@pytest.mark.parametrize(("attack", "expected"), ATTACKS.values(), ids=ATTACKS)
def test_attacks_are_found_and_live(folder, attack, expected):
    content = saved({"data.pkl": attack(folder.name)})
    check_found(found_in(content), expected)
    check_found(found_in_bare(attack(folder.name)), expected)
    assert not folder.exists()
    as_torch_loads(content)
    assert folder.is_dir(), "this is no attack: the test has to find one that is"


def test_attributes_of_functions_are_not_set(folder):
    """BUILD on a function that torch admits: it changes torch itself."""
    attack = b"\x80\x02" + name("torch._utils", "_rebuild_tensor") + b"N}" + text("changed") + b"Ns\x86b."
    assert found_in(saved({"data.pkl": attack})) == ["sets attributes of torch._utils._rebuild_tensor"]
    as_torch_loads(saved({"data.pkl": attack}))
    assert vars(torch._utils._rebuild_tensor).pop("changed", "not there") is None


def test_extension_codes(folder):
    attack = b"\x80\x02\x82\xf0" + text(folder.name) + b"\x85R."
    assert found_in(saved({"data.pkl": attack})) == ["calls copyreg extension 240"]
    as_torch_loads(saved({"data.pkl": attack}))
    assert not folder.exists(), "the code means nothing here"
    copyreg.add_extension(*MKDIR.split("."), 240)
    try:
        as_torch_loads(saved({"data.pkl": attack}))
    finally:
        copyreg.remove_extension(*MKDIR.split("."), 240)
    assert folder.is_dir()


def pickled(value):
    return pickle.dumps(value, 2)


MAGIC = pickled(torch.serialization.MAGIC_NUMBER)
VERSION = pickled(torch.serialization.PROTOCOL_VERSION)


def number(value):
    """A pickle of a number, in plain digits."""
    return f"I{value}\n.".encode()


# Other spellings of the two numbers, and other things that are equal to them.
SPELLINGS = {
    "in base 16": (f"L{torch.serialization.MAGIC_NUMBER:#x}\n.".encode(), VERSION),
    "with a space": (number(f" {torch.serialization.MAGIC_NUMBER}"), VERSION),
    "with underscores": (number("119_547037146038801333356"), VERSION),
    "with zeros behind": (b"\x8a\x40" + torch.serialization.MAGIC_NUMBER.to_bytes(64, "little") + b".", VERSION),
    "with a sign": (MAGIC, number("+1001")),
    "in base 8": (MAGIC, number("01751")),
    "a float": (MAGIC, pickled(1001.0)),
    "a complex number": (MAGIC, pickled(complex(1001))),
    "a tensor": (MAGIC, b"\x80\x02" + name("torch", "IntTensor") + b"]M\xe9\x03a\x85R."),
}
# What torch reads of what stands behind a pickle: name, content, whether it is read.
BEHIND = {
    **{
        f"behind the numbers, one of them {spelling}": (lambda code, first=first: b"".join(first) + code, True)
        for spelling, first in SPELLINGS.items()
    },
    "a second pickle in data.pkl": (lambda code: saved({"data.pkl": pickled({}) + code}), False),
    "a second pickle without an archive": (lambda code: pickled({}) + code, False),
    "the first pickle without an archive": (lambda code: code, True),
    "behind the magic number": (lambda code: MAGIC + code, True),
    "behind the version": (lambda code: MAGIC + VERSION + code, True),
    "behind another version": (lambda code: MAGIC + pickled(1002) + code, False),
    "in the object": (lambda code: MAGIC + VERSION + pickled({}) + code, True),
    "in the keys of storages": (lambda code: MAGIC + VERSION + pickled({}) * 2 + code, True),
    "behind the keys of storages": (lambda code: MAGIC + VERSION + pickled({}) * 2 + pickled([]) + code, False),
    "in another pickle of the archive": (lambda code: saved({"data.pkl": pickled({}), "other.pkl": code}), False),
    "in a folder of the archive": (lambda code: saved({"data.pkl": pickled({}), "x/data.pkl": code}), False),
    "in other letters": (lambda code: saved({"DATA.PKL": code}), True),
    "in a storage": (lambda code: saved({"data.pkl": pickled({}), "data/0": code}), False),
    "an archive in the archive": (lambda code: saved({"data.pkl": saved({"data.pkl": code})}), False),
}


@pytest.mark.parametrize(("content", "read"), BEHIND.values(), ids=BEHIND)
def test_what_stands_behind_is_found_if_torch_reads_it(folder, content, read):
    content = content(b"\x80\x02" + made(folder.name) + b".")
    found = [phrase for phrase in found_in(content) if "cannot be followed" not in phrase]
    assert found == ([f"calls {MKDIR}"] if read else [])
    as_torch_loads(content)
    assert folder.exists() is read


def test_what_stands_behind_a_frame_that_is_too_long(folder):
    """Python's C unpickler forgets what is left of a frame after STOP: torch goes on behind it."""
    code = b"\x80\x02" + made(folder.name) + b"."
    forgotten = VERSION + pickled({}) * 2 + pickled([])
    content = b"\x80\x04\x95" + struct.pack("<Q", len(MAGIC) - 2 + len(forgotten)) + MAGIC[2:] + forgotten + code
    (phrase,) = found_in(content)
    assert "it ends before its frame does" in phrase
    as_torch_loads(content)
    assert folder.is_dir()


def test_the_limit_between_two_pickles(folder):
    """What is not read for its size counts as code, even if what is read is whole."""
    content = MAGIC + VERSION + pickled({}) + b"\x80\x02" + made(folder.name) + b"."
    assert found_in(content) == [f"calls {MKDIR}"]
    read = len(MAGIC + VERSION + pickled({}))
    (phrase,) = Scan(Limits(pickle_bytes=read)).saved(BytesSource(content))
    assert "cannot be followed to its end" in phrase


def test_two_pickles_that_differ_in_case(folder):
    code = b"\x80\x02" + made(folder.name) + b"."
    for members in ({"data.pkl": pickled({}), "Data.pkl": code}, {"Data.pkl": code, "data.pkl": pickled({})}):
        assert found_in(saved(members)) == [f"calls {MKDIR}"]


def test_the_names_are_those_that_torch_admits():
    from torch._weights_only_unpickler import _get_allowed_globals

    python2 = {f"__builtin__.{name}" for name in ("bytearray", "complex", "set")}
    assert ALLOWED - python2 == set(_get_allowed_globals())


class Wrapped(torch.Tensor):
    pass


def with_attributes():
    parameter = torch.nn.Parameter(torch.ones(1))
    parameter.note = "x"
    return [parameter, torch.ones(4)[::2].neg(), torch.ones(2, dtype=torch.complex64).conj()]


VALUES = {
    "containers": lambda: {"plain": [1, 2.5, "x", None, True, (3 + 4j), {1, 2}, b"raw", bytearray(b"raw"), -(1 << 70)]},
    "subclasses": lambda: collections.OrderedDict(a=collections.Counter("aab")),
    "state": lambda: torch.nn.BatchNorm1d(2).state_dict(),
    "dtypes": lambda: [torch.ones(2, dtype=dtype) for dtype in (torch.bool, torch.int8, torch.bfloat16, torch.cfloat)],
    "float8": lambda: [torch.ones(2).to(torch.float8_e4m3fn), torch.ones(2, dtype=torch.uint16), torch.float16],
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
    "sparse": lambda: [torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr(), torch.ones(2, device="meta")],
    "parts": lambda: [torch.nn.Parameter(torch.ones(2)), torch.Size([1, 2]), torch.device("cpu"), torch.strided],
    "attributes": with_attributes,
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old"])
def test_what_torch_takes_for_data_is_not_reported(value, protocol, zipped):
    out = io.BytesIO()
    torch.save(value(), out, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    if protocol == 2 and zipped:  # torch itself can't read back all of the old format
        torch.load(io.BytesIO(out.getvalue()), weights_only=True)
    assert found_in(out.getvalue()) == []


def test_a_class_of_ones_own_is_reported_even_if_it_is_a_tensor():
    out = io.BytesIO()
    torch.save(torch.ones(2).as_subclass(Wrapped), out)
    assert found_in(out.getvalue()) == [f"looks up {Wrapped.__module__}.Wrapped"]


def test_torchscript_archives_are_reported():
    out = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), out)
    found = found_in(out.getvalue())
    assert found[0] == "is a TorchScript archive, whose code torch loads"
    assert all("__torch__" in phrase for phrase in found[1:])


@pytest.mark.parametrize("content", [b"", saved({"data.pkl": b"}."}), saved({})], ids=["empty", "data", "no pickle"])
def test_nothing_to_run(content):
    assert found_in(content) == []


def test_archives_that_cannot_be_looked_into():
    content = bytearray(saved({"data.pkl": pickled({})}))
    content[-10] ^= 0xFF
    (phrase,) = found_in(bytes(content))
    assert phrase.startswith("cannot be inspected, so what it runs is unknown: the zip archive is damaged")


# --- in artifacts

CODE = b"\x80\x02" + made("ran") + b"."
SAVED = saved({"data.pkl": CODE})


def payload(kind, **entries):
    """A list of weights or constants with more entries, all of them pickled."""

    def change(artifact):
        entry = artifact.programs[0]
        member = entry.weights_config if kind == "weights" else entry.constants_config
        config = json.loads(artifact.container.read(member))
        for qualified, path in entries.items():
            config["config"][qualified] = {
                "path_name": path,
                "is_param": False,
                "use_pickle": True,
                "tensor_meta": None,
            }
        return {member: json.dumps(config).encode()}

    return change


def at(path, content=SAVED, also=None):
    """A member of that name, below the artifact's root if it has one."""

    def change(artifact):
        member = f"{artifact.root}/{path}" if artifact.root else path
        return {member: content, **(also(artifact) if also else {})}

    return change


# Where: torch's version, the change, the member, and whether stock torch loads this far (None: no torch at hand does).
PLACES = {
    "sample inputs": ("2.13.0", at("data/sample_inputs/model.pt"), "data/sample_inputs/model.pt", True),
    "sample inputs, a bare pickle": (
        "2.13.0",
        at("data/sample_inputs/model.pt", CODE),
        "data/sample_inputs/model.pt",
        True,
    ),
    "sample inputs of 2.8": ("2.8.0", at("data/sample_inputs/model.pt"), "data/sample_inputs/model.pt", True),
    "constants of 2.8": ("2.8.0", at("data/constants/model.pt"), "data/constants/model.pt", True),
    "weights of 2.8": ("2.8.0", at("data/weights/model.pt"), "data/weights/model.pt", True),
    "old constants in a new file": ("2.13.0", at("data/constants/model.pt"), "data/constants/model.pt", True),
    "a pickled weight": (
        "2.13.0",
        at("data/weights/weight_7", also=payload("weights", w="weight_7")),
        "data/weights/weight_7",
        True,
    ),
    "a pickled constant": (
        "2.13.0",
        at("data/constants/tensor_7", also=payload("constants", c="tensor_7")),
        "data/constants/tensor_7",
        True,
    ),
    "an opaque object": (
        "2.13.0",
        at("data/constants/opaque_obj_0", CODE, payload("constants", c="opaque_obj_0")),
        "data/constants/opaque_obj_0",
        True,
    ),
    "an opaque object in other letters": (
        "2.13.0",
        at("data/constants/OPAQUE_OBJ_0", CODE, payload("constants", c="opaque_obj_0")),
        "data/constants/OPAQUE_OBJ_0",
        True,
    ),
    "a pickled weight in the old format, called as an opaque object": (
        "2.13.0",
        at(
            "data/weights/opaque_obj_0",
            MAGIC + VERSION + pickled({}) + CODE + pickled([]),
            payload("weights", w="opaque_obj_0"),
        ),
        "data/weights/opaque_obj_0",
        True,
    ),
    "a pickled weight in an archive, called as an opaque object": (
        "2.13.0",
        at("data/weights/opaque_obj_0", SAVED, payload("weights", w="opaque_obj_0")),
        "data/weights/opaque_obj_0",
        True,
    ),
    "an opaque object with a slash in front": (
        "2.13.0",
        at("/weight_9", SAVED, payload("weights", w="/weight_9")),
        "/weight_9",
        True,
    ),
    "sample inputs of a program without .json": (
        "2.13.0",
        at("data/sample_inputs/evil.pt", also=at("models/evilxxxxx", b"{}")),
        "data/sample_inputs/evil.pt",
        False,
    ),
    "flat sample inputs": ("2.7.1", at("serialized_example_inputs.pt"), "serialized_example_inputs.pt", True),
    "flat constants": ("2.7.1", at("serialized_constants.pt"), "serialized_constants.pt", True),
    "flat weights": ("2.7.1", at("serialized_state_dict.pt"), "serialized_state_dict.pt", True),
    "weights of 2.2": ("2.2.2", at("serialized_state_dict.json"), "serialized_state_dict.json", None),
    "constants of 2.2": ("2.2.2", at("serialized_constants.json"), "serialized_constants.json", None),
}


@pytest.fixture
def evil(folder, artifacts):
    """Makes an artifact with changed members; it has something to fix, too."""

    def make(version, change, case="async_assert"):
        with open_artifact(artifacts / version / f"{case}.pt2") as artifact:
            with Path("model.pt2").open("wb") as file:
                write_archive(artifact.container, change(artifact), file)
            return artifact.root
        return None

    return make


HIDDEN = "is not one of the programs, but torch loads it as one"


@pytest.mark.parametrize(("version", "change", "member", "loads"), PLACES.values(), ids=PLACES)
def test_artifacts_are_found_and_never_run(folder, evil, version, change, member, loads):
    root = evil(version, change)
    member = f"{root}/{member}" if root else member
    found = [one for one in lint("model.pt2").diagnostics if one.code == "GL003"]
    hidden = [one.member for one in found if "/models/" in one.member]  # a program that is not called so, itself
    assert [one.message for one in found if one.member in hidden] == [HIDDEN] * len(hidden)
    (code,) = (one for one in found if one.member not in hidden)
    assert (code.member, code.message, code.severity) == (member, f"calls {MKDIR}", "error")
    fixed = fix("model.pt2", token_sink="output")  # the other sink would have to add to constants that are no dict
    assert (fixed.error, fixed.changed) == (None, True)
    assert [one.member for one in fixed.diagnostics if one.code == "GL003"] == [*hidden, member]
    fix("model.pt2", diff=True)
    assert not folder.exists(), "graphlint ran it"
    if loads is not None:
        with contextlib.suppress(Exception):  # what the payload returns is not what torch expects
            torch.export.load("model.pt2")
        assert folder.exists() or not loads, "this is no attack: the test has to find one that is"


def flat_beside(artifact):
    """The members of another artifact, in the layout of torch 2.7: torch falls back to them."""
    with open_artifact(Path(__file__).parents[1] / "artifacts" / "2.7.1" / "clean.pt2") as flat:
        members = {member: flat.container.read(member) for member in flat.container.members}
    return members | {"serialized_example_inputs.pt": SAVED}


def with_no_name_for_the_root(artifact):
    root, members = artifact.root, artifact.container.members
    moved = {member.removeprefix(root): artifact.container.read(member) for member in members}
    return dict.fromkeys(members) | moved | {"/data/sample_inputs/model.pt": SAVED}


@pytest.mark.parametrize("change", [flat_beside, with_no_name_for_the_root])
def test_layouts_that_torch_reads_otherwise_are_refused(folder, evil, change):
    evil("2.13.0", change)
    assert [one.code for one in lint("model.pt2").diagnostics] == ["GL001"]
    with contextlib.suppress(Exception):  # what the payload returns is not what torch expects
        torch.export.load("model.pt2")
    assert folder.exists(), "this is no attack: the test has to find one that is"


KELVIN = "\N{KELVIN SIGN}"
# Two spellings of a member, and whether the first is what torch takes for the second: ASCII letters only have a case.
TWINS = {
    "an opaque object": ("data/constants/opaque_obj_k", "data/constants/OPAQUE_OBJ_K", None),
    "an opaque object, of which one is called otherwise": (
        "data/constants/opaque_obj_k",
        f"data/constants/opaque_obj_{KELVIN}",
        True,
    ),
    "sample inputs of a program without .json": ("data/sample_inputs/k.pt", "data/sample_inputs/K.pt", None),
    "sample inputs that are called otherwise": ("data/sample_inputs/k.pt", f"data/sample_inputs/{KELVIN}.pt", True),
}


@pytest.mark.parametrize(("bad", "good", "always"), TWINS.values(), ids=TWINS)
def test_two_members_that_differ_in_case(folder, evil, bad, good, always):
    """torch takes one of two such members; which one depends on their order."""

    def second_program(artifact):
        """A program that torch calls "k"."""
        read, root = artifact.container.read, artifact.root
        entry = artifact.programs[0]
        return {
            f"{root}/models/kxxxxx": read(entry.member),
            f"{root}/data/weights/k_weights_config.json": read(entry.weights_config),
            f"{root}/data/constants/k_constants_config.json": read(entry.constants_config),
        }

    opaque = "opaque" in bad
    contents = {bad: CODE if opaque else SAVED, good: pickled(()) if opaque else saved({"data.pkl": pickled(())})}
    also = payload("constants", c="opaque_obj_k") if opaque else second_program
    ran = []
    for order in ((bad, good), (good, bad)):
        root = evil(
            "2.13.0",
            lambda artifact, order=order: {
                **also(artifact),
                **{f"{artifact.root}/{member}": contents[member] for member in order},
            },
        )
        found = [(one.member, one.message) for one in lint("model.pt2").diagnostics if one.code == "GL003"]
        hidden = [] if opaque else [(f"{root}/models/kxxxxx", HIDDEN)]
        assert found == [*hidden, (f"{root}/{bad}", f"calls {MKDIR}")]
        with contextlib.suppress(Exception):  # what the payload returns is not what torch expects
            torch.export.load("model.pt2")
        ran.append(folder.exists())
        shutil.rmtree(folder, ignore_errors=True)
    assert all(ran) if always else any(ran), "this is no attack: the test has to find one that is"


def behind_a_pickle(archive):
    """The archive with something in front that can be followed, all offsets right: an archive to torch's reader."""
    front = pickled(1)
    moved = bytearray(front + archive)
    with zipfile.ZipFile(io.BytesIO(archive)) as inner:
        start = end = inner.start_dir
        for info in inner.infolist():
            end = archive.index(b"PK\1\2", end)
            struct.pack_into("<I", moved, len(front) + end + 42, info.header_offset + len(front))
            end += 46
    last = moved.rindex(b"PK\5\6")
    struct.pack_into("<I", moved, last + 16, start + len(front))
    if moved[last - 20 : last - 16] == b"PK\6\7":
        struct.pack_into("<Q", moved, last - 12, struct.unpack_from("<Q", moved, last - 12)[0] + len(front))
        struct.pack_into("<Q", moved, last - 20 - 8, start + len(front))
    return bytes(moved)


@pytest.mark.parametrize("change", [bytes, behind_a_pickle])
def test_script_objects(evil, change):
    packed = torch.ops.quantized.linear_prepack(torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8), None)
    content = change(torch._C._pickle_save(packed))
    assert isinstance(torch._C._pickle_load_obj(content), torch.ScriptObject)
    evil("2.13.0", at("data/constants/custom_obj_0", content, payload("constants", c="custom_obj_0")))
    (found,) = (one for one in lint("model.pt2").diagnostics if one.code == "GL003")
    assert found.message == "calls __torch__.torch.classes.quantized.LinearPackedParamsBase"


def test_compiled_code_beside_a_program(evil):
    evil("2.13.0", lambda artifact: {f"{artifact.root}/data/aotinductor/m/{name}.so": b"" for name in "ab"})
    (found,) = (one for one in lint("model.pt2").diagnostics if one.code == "GL003")
    assert found.member == "async_assert/data/aotinductor/m/a.so"
    assert found.message == "belongs to compiled code (AOTInductor), which torch loads with the program"


def test_compiled_code_beside_what_torch_takes_for_a_program(evil):
    """A program whose name does not end with .json: graphlint does not lint it, but torch loads it."""

    def change(artifact):
        entry = artifact.programs[0]
        content = artifact.container.read(entry.member)
        return {
            entry.member: None,
            f"{artifact.root}/models/modelxxxxx": content,
            f"{artifact.root}/data/aotinductor/m/a.so": b"",
        }

    evil("2.13.0", change)
    package, *found = lint("model.pt2").diagnostics
    assert package.code == "GL005"
    members = "async_assert/models/modelxxxxx", "async_assert/data/aotinductor/m/a.so"
    assert [(one.code, one.member) for one in found] == [("GL003", member) for member in members]


def test_one_finding_for_each_member_and_name(evil):
    both = b"\x80\x02" + made("ran") * 2 + name("builtins", "eval") + b"."
    evil("2.13.0", at("data/sample_inputs/model.pt", saved({"data.pkl": both})))
    found = [one.message for one in lint("model.pt2").diagnostics if one.code == "GL003"]
    assert found == [f"calls {MKDIR}", "looks up builtins.eval"]


def test_the_rule_can_be_switched_off(evil):
    evil("2.13.0", at("data/sample_inputs/model.pt"))
    assert "GL003" not in {one.code for one in lint("model.pt2", ignore="GL003").diagnostics}


def test_real_artifacts_run_nothing(artifacts):
    paths = sorted(artifacts.glob("*/*.pt2"))
    assert len(paths) > 100
    for path in paths:
        with open_artifact(path) as artifact:
            assert [one.describe() for one in find_member_code(artifact)] == [], path


def test_tensors_are_not_read(folder, tmp_path):
    """Of a torch.save member with a large tensor, only the directory and the pickle."""
    out = io.BytesIO()
    torch.save({"w": torch.zeros(3_000_000)}, out)
    shutil.copy(Path(__file__).parents[1] / "artifacts" / "2.8.0" / "clean.pt2", "old.pt2")
    with open_artifact("old.pt2") as artifact, Path("model.pt2").open("wb") as file:
        write_archive(artifact.container, {artifact.programs[0].weights_pickle: out.getvalue()}, file)
    read = []
    with open_artifact("model.pt2") as artifact:
        source = artifact.container.source
        original = source.read_at
        source.read_at = lambda offset, length: read.append(length) or original(offset, length)
        assert list(find_member_code(artifact)) == []
    assert sum(read) < 300_000


def test_large_pickles_are_refused_and_the_key_is_named(evil):
    evil("2.13.0", at("data/sample_inputs/model.pt", saved({"data.pkl": pickled(["x" * 5000])})))
    Path("graphlint.toml").write_text("[limits]\npickle-bytes = 4000\n")
    (found,) = (one for one in lint("model.pt2").diagnostics if one.code == "GL003")
    assert found.message == (
        'cannot be inspected, so what it runs is unknown: member "archive/data.pkl" is too large to be read '
        "(5014 bytes; the limit is 4000: raise limits.pickle-bytes in graphlint's configuration if you trust "
        "the file)"
    )
    assert zipfile.is_zipfile("model.pt2")


def many_opcodes():
    """A pickle that takes long to follow for its size, and cannot be compressed so well that it would be refused."""
    return (
        b"\x80\x02B" + struct.pack("<I", 20_000) + random.Random(1).randbytes(20_000) + b"0" + b"N0" * 900_000 + b")."
    )


def many_members():
    """An archive of little but a directory."""
    return saved(
        {
            "data.pkl": b"\x80\x02).",
            "x": random.Random(1).randbytes(30_000),
            **dict.fromkeys(map(str, range(50_000)), b""),
        }
    )


@pytest.mark.parametrize("make", [many_opcodes, many_members])
def test_many_pickles_take_no_time(evil, make):
    """Each is within its limit."""
    content = make()
    evil("2.13.0", at("data/weights/model.pt"))
    with zipfile.ZipFile("model.pt2", "a", zipfile.ZIP_DEFLATED) as archive:
        for number in range(16):
            archive.writestr(f"async_assert/data/sample_inputs/{number}.pt", content)
    start = time.process_time()
    found = [one for one in lint("model.pt2").diagnostics if one.code == "GL003"]
    assert time.process_time() - start < 10
    assert found[0].message == f"calls {MKDIR}"
    assert "the pickles are larger than 4 times 8388608 bytes together: raise limits.pickle-bytes" in found[-1].message


def test_not_every_name_is_told():
    names = b"".join(name("os", f"x{number}") for number in range(100_000))
    found = found_in_bare(names + name("os", "x" * 1_000_000) + b"N.")
    assert found[0] == "looks up os.x0"
    assert found[20:] == ["looks up 99981 more names"]
    (found,) = found_in_bare(name("os", "x" * 1_000_000) + b"N.")
    assert found == f"looks up os.{'x' * 197}… (1000003 characters)"


def test_not_every_finding_is_told(evil):
    evil("2.13.0", at("x", b"", payload("weights", **{f"w{number}": f"weight_{number}x" for number in range(30_000)})))
    found = [one.message for one in lint("model.pt2").diagnostics if one.code == "GL003"]
    assert len(found) == 1001
    assert found[-1] == "runs more: 1000 findings are reported for one file at most"


def test_names_behind_short_strings():
    """Both strings of STACK_GLOBAL may be of any of the kinds of strings there are."""
    assert found_in_bare(b"\x80\x04" + short("os") + b"Vsystem\n\x93.") == ["looks up os.system"]
