"""Half files are not clean: what lacks a program, its values or what torch looks for beside it, is told."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import HALF_SAVED
from graphlint.artifact.rewrite import write_archive
from graphlint.cli.clicked import app
from graphlint.run.api import fix, lint
from graphlint.run.engine import read_document

ARTIFACT = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "constant_mutation.pt2"
HALF = (
    "a PT2 archive without a program: torch.export.save leaves such a file where it fails half-way, as it does at an "
    "op that cannot be serialized"
)


def archive(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for name, content in {"m/archive_format": "pt2", "m/archive_version": "0", **members}.items():
            file.writestr(name, content)
    return path


@pytest.mark.parametrize("members", [{}, {"m/data/weights/model_weights_config.json": '{"config": {}}'}])
def test_an_archive_without_a_program(tmp_path, members):
    path = archive(tmp_path / "half.pt2", members)
    for result in (lint(path), fix(path)):
        assert [(one.code, one.message, one.fix.message) for one in result.diagnostics] == [("GL001", HALF, HALF_SAVED)]


def test_what_torch_leaves_when_it_fails(tmp_path):
    torch = pytest.importorskip("torch")

    class Takes(torch.nn.Module):
        def forward(self, x):
            return x + 1

    program = torch.export.export(Takes(), (torch.ones(2),))
    next(node for node in program.graph.nodes if node.op == "call_function").target = print
    with pytest.raises(Exception, match="print"):
        torch.export.save(program, tmp_path / "half.pt2")
    assert [one.message for one in lint(tmp_path / "half.pt2").diagnostics] == [HALF]


NATIVE = (
    "nothing to lint: it is a package of compiled code (AOTInductor) without exported programs, and holds native code: "
)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (["m/data/aotinductor/model/a.so"], f"{NATIVE}1 shared library"),
        (["m/data/aotinductor/model/a.so", "m/data/aotinductor/b/b.so"], f"{NATIVE}2 shared libraries"),
        (["m/data/aotinductor/model/a.cpp"], NATIVE.partition(", and")[0]),
        (
            ["m/data/executorch/a.pte"],
            "nothing to lint: it is a package of ExecuTorch programs without exported programs",
        ),
    ],
)
def test_a_package_of_compiled_code(tmp_path, members, message):
    path = archive(tmp_path / "package.pt2", dict.fromkeys(members, ""))
    (found,) = lint(path).diagnostics
    assert (found.code, found.severity, found.message) == ("GL005", "warning", message)
    assert lint(path, ignore="GL005").diagnostics == ()


FORMATS = ["full", "concise", "grouped", "json", "json-lines", "sarif", "github", "gitlab", "junit", "markdown", "html"]


@pytest.mark.parametrize("output_format", FORMATS)
@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_every_format_says_so(tmp_path, output_format, quiet):
    path = archive(tmp_path / "package.pt2", {"m/data/aotinductor/model/a.so": ""})
    result = CliRunner().invoke(app, ["check", "--isolated", *quiet, f"--output-format={output_format}", str(path)])
    assert result.exit_code == 1
    assert "GL005" in result.stdout
    assert "1 shared library" in result.stdout


def changed(path, change):
    with open_artifact(ARTIFACT) as artifact:
        (entry,) = artifact.programs
        with path.open("wb") as file:
            write_archive(artifact.container, change(artifact, entry), file)
    return path


def config(kind, change):
    def changes(artifact, entry):
        member = getattr(entry, f"{kind}_config")
        tree = json.loads(artifact.container.read(member))
        change(tree["config"])
        return {member: json.dumps(tree).encode()}

    return changes


def first(change):
    def changes(values):
        change(next(iter(values.values())))

    return changes


def payload(artifact, entry):
    """The member of the first constant."""
    tree = json.loads(artifact.container.read(entry.constants_config))
    return f"{artifact.root}/data/constants/{next(iter(tree['config'].values()))['path_name']}"


FAULTS = {
    "no sample inputs": (lambda _, entry: {entry.sample_inputs: None}, "sample_inputs/model.pt"),
    "no list of weights": (lambda _, entry: {entry.weights_config: None}, "it lists the program's weights"),
    "no list of constants": (lambda _, entry: {entry.constants_config: None}, "it lists the program's constants"),
    "no value": (config("constants", lambda values: values.clear()), "which the program has"),
    "no member": (lambda artifact, entry: {payload(artifact, entry): None}, "the archive lacks the members for "),
    "a short member": (lambda artifact, entry: {payload(artifact, entry): b"\0" * 4}, "have another size than "),
    "a member of half an element": (
        lambda artifact, entry: {payload(artifact, entry): b"\0" * 4095},
        "have another size than ",
    ),
    "a larger tensor": (
        config(
            "constants",
            first(lambda one: one["tensor_meta"].update(sizes=[{"as_int": 1 << 20}], strides=[{"as_int": 1}])),
        ),
        "have another size than ",
    ),
    "no JSON": (lambda _, entry: {entry.constants_config: b"{"}, "not a list of payloads"),
}


@pytest.mark.parametrize(("change", "message"), FAULTS.values(), ids=FAULTS)
def test_what_is_missing_is_told(tmp_path, change, message):
    torch = pytest.importorskip("torch")
    assert [one for one in lint(ARTIFACT).diagnostics if one.code == "GL001"] == []
    path = changed(tmp_path / "model.pt2", change)
    (found,) = (one for one in lint(path).diagnostics if one.code == "GL001")
    assert message in found.message
    with pytest.raises(Exception):  # noqa: B017, PT011 - torch says it in many ways
        torch.export.load(io.BytesIO(path.read_bytes()))


def pickled(keep, *, drop=""):
    """Weights as torch 2.8 and before write them, of those names only, and without the members of that name."""
    torch = pytest.importorskip("torch")
    out, packed = io.BytesIO(), io.BytesIO()
    torch.save({name: torch.ones(4, 4) for name in keep}, out)
    with zipfile.ZipFile(out) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            if not drop or not name.endswith(drop):
                new.writestr(name, old.read(name))
    return packed.getvalue()


@pytest.mark.parametrize("version", ["2.5.1", "2.7.1", "2.8.0"])
@pytest.mark.parametrize(
    ("drop", "message"), [("", "it has no value of "), ("data/1", "it lacks the members for ")], ids=["value", "member"]
)
def test_pickled_weights_that_are_missing(tmp_path, version, drop, message):
    original = ARTIFACT.parents[1] / version / "key_value_cache.pt2"
    assert [one for one in lint(original).diagnostics if one.code == "GL001"] == []
    path = tmp_path / "model.pt2"
    with open_artifact(original) as artifact, path.open("wb") as file:
        (entry,) = artifact.programs
        signature = read_document(artifact, entry).program.graph_module.signature
        names = [one.target for one in signature.input_specs if one.parameter or one.buffer]
        content = pickled(names if drop else names[:-1], drop=drop)
        write_archive(artifact.container, {entry.weights_pickle: content}, file)
    (found,) = (one for one in lint(path).diagnostics if one.code == "GL001")
    assert found.message.startswith(message)
    assert found.member == entry.weights_pickle
