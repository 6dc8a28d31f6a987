"""Whatever leaves a marker when stock torch loads it is flagged: each kind of text and of object that becomes code."""

from __future__ import annotations

import collections
import json

import pytest
from tests.fuzz.loading import Loader

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import write_archive
from graphlint.run.api import fix, lint

from .attacks import (
    CALL,
    MAGIC,
    VERSION,
    global_storage,
    in_module,
    name,
    sample,
    tensor,
    text,
)

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")


class TakesAString(torch.nn.Module):
    def forward(self, x, mode):
        return x + 1


class TakesADict(torch.nn.Module):
    def forward(self, inputs):
        return inputs["x"] + 1


@pytest.fixture(scope="module")
def loader():
    with Loader() as one:
        yield one


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Honest artifacts: one with a string among its inputs, one with a dict."""
    folder = tmp_path_factory.mktemp("plain")
    exported = {
        "string": (TakesAString(), (torch.ones(3, 4), "plain")),
        "dict": (TakesADict(), ({"x": torch.ones(3, 4)},)),
    }
    for called, (module, inputs) in exported.items():
        torch.export.save(torch.export.export(module, inputs), folder / f"{called}.pt2")
    return folder


def test_honest_files_leave_nothing(plain, loader):
    for path in plain.iterdir():
        assert loader.load(path) == ([], True)
        assert lint(path).diagnostics == ()


def changed(original, path, change):
    """The artifact with other members, or with the program that ``change`` makes of the tree."""
    with open_artifact(original) as artifact:
        (entry,) = artifact.programs
        tree = json.loads(artifact.read_program(entry))
        members = change(tree, entry) or {entry.member: json.dumps(tree).encode()}
        with path.open("wb") as file:
            write_archive(artifact.container, members, file)
    return path


def replaced(tree, old, new):
    """The tree with a string in the place of another one."""
    if isinstance(tree, dict):
        return {key: replaced(value, old, new) for key, value in tree.items()}
    if isinstance(tree, list):
        return [replaced(value, old, new) for value in tree]
    return new if tree == old else tree


def an_input_with_escapes(tree, _):
    """The literal that it is put in ends at the escape."""
    tree["graph_module"] = replaced(tree["graph_module"], "plain", f"\\x22+str({CALL})+\\x22")


def sample_inputs(pickle):
    """A member with these sample inputs, in the format that they are in."""

    def change(_, entry):
        return {entry.sample_inputs: pickle}

    return change


QUALIFIED = f"a(dtype=1)], 'x\"+str({CALL})+\"'] #"
"""What closes the storage's own text, and then the message that a guard is told in."""
SHOWN = global_storage("1", 1) + b"}" + text("__qualname__") + text(QUALIFIED) + b"sb"
PATCHES = (
    in_module(name("torch.storage", "TypedStorage"), None)
    + b"N}"
    + text("dump_patches")
    + b"\x88s\x86b0"
    + in_module(name("torch.storage", "TypedStorage"), "other source\n")
)

# What is called what: the artifact that is changed, the change, what GL003 says.
KINDS = {
    "a string among the inputs, with escapes": ("string", an_input_with_escapes, "has the string "),
    "a storage as a key, which says of itself what it likes": (
        "dict",
        sample_inputs(sample(b"}" + SHOWN + tensor() + b"s")),
        "sets the state of what is no OrderedDict",
    ),
    "a class from a persistent id, whose patches torch writes": (
        "dict",
        sample_inputs(MAGIC + VERSION + b"\x80\x02}.\x80\x02" + PATCHES + b"0}.\x80\x02]."),
        "refers to something outside that is no storage",
    ),
}


@pytest.mark.parametrize(("original", "change", "expected"), KINDS.values(), ids=KINDS)
def test_what_leaves_a_marker_is_flagged(plain, loader, tmp_path, original, change, expected):
    path = changed(plain / f"{original}.pt2", tmp_path / "model.pt2", change)
    assert loader.load(path).markers, "this is no attack: the test has to find one that is"
    for result in (lint(path), fix(path)):
        (found,) = [one for one in result.diagnostics if one.code == "GL003"]
        assert found.message.startswith(expected)


HARMLESS_INPUTS = {
    "keys of all kinds": {"x": 1, "a\\d": 2, "b c": 3, 4: 4, 2.5: 5, None: 6, (1, "y"): 7},
    "containers": [(1, 2.5), {"a": {1, 2}}, collections.OrderedDict(b=b"\\x22"), collections.Counter("ab")],
}


@pytest.mark.parametrize("value", HARMLESS_INPUTS.values(), ids=HARMLESS_INPUTS)
def test_plain_values_are_not_flagged(plain, tmp_path, value):
    saved_inputs = tmp_path / "inputs"
    torch.save((({"x": torch.ones(3, 4)}, value), {}), saved_inputs)
    path = changed(plain / "dict.pt2", tmp_path / "model.pt2", sample_inputs(saved_inputs.read_bytes()))
    assert [one for one in lint(path).diagnostics if one.code == "GL003"] == []


def a_guard(tree, _):
    tree["guards_code"] = [CALL]


def encrypted(data, header):
    data[header + 6] |= 1


def of_another_name(data, header):
    data[header + 30] ^= 1


def of_another_checksum(data, header):
    spare = data.index(b" ", header + data[header:].index(b"{"))
    data[spare] = ord("\n")  # in JSON, one is as good as the other


DAMAGES = {
    encrypted: "is encrypted by its header, and not by the archive's directory",
    of_another_name: "is damaged: its header contradicts the archive's directory",
    of_another_checksum: "is damaged: its checksum does not match its content",
}


@pytest.mark.parametrize(("damage", "expected"), DAMAGES.items(), ids=lambda one: getattr(one, "__name__", ""))
def test_damage_that_torch_reads_over_hides_nothing(plain, loader, tmp_path, damage, expected):
    path = changed(plain / "dict.pt2", tmp_path / "model.pt2", a_guard)
    with open_artifact(path) as artifact:
        (entry,) = artifact.programs
        header = artifact.container.members[entry.member].header_offset
    data = bytearray(path.read_bytes())
    damage(data, header)
    path.write_bytes(data)
    assert loader.load(path).markers, "this is no attack: the test has to find one that is"
    for result in (lint(path), fix(path)):
        unreadable, runs = result.diagnostics
        assert (unreadable.code, unreadable.message) == ("GL001", f'member "{entry.member}" {expected}')
        assert (runs.code, runs.message) == ("GL003", f'executes the guard "{CALL[:77]}..."')


def test_contradictions_hide_nothing(plain, loader, tmp_path):
    """What torch looks at later than it evaluates sizes."""

    def change(tree, _):
        graph = tree["graph_module"]["graph"]
        [value] = [one for one in graph["tensor_values"].values() if one["sizes"]][:1]
        value["sizes"][0] = {"as_expr": {"expr_str": "__import__('os').mkdir('ran')", "hint": None}}
        tree["graph_module"]["signature"]["output_specs"] = []

    path = changed(plain / "dict.pt2", tmp_path / "model.pt2", change)
    assert loader.load(path).markers, "this is no attack: the test has to find one that is"
    unreadable, runs = lint(path).diagnostics
    assert (unreadable.code, unreadable.message) == ("GL001", "the signature describes 0 outputs, the graph has 1")
    assert (runs.code, runs.message) == ("GL003", "evaluates \"__import__('os').mkdir('ran')\"")
