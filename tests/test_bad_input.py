"""Whatever is wrong with a file: a message that says which file and what, the right exit status, never a traceback,
never a changed file, and the other files of the run are still linted. By the real command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import graphlint
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import DAMAGED, FOREIGN, HALF_SAVED, INCOMPLETE, NEWER, REPACKED, ArtifactError

ARTIFACTS = Path(__file__).parent / "artifacts" / "2.13.0"
GOOD = ARTIFACTS / "async_assert.pt2"
TOKENS = ARTIFACTS.parents[1] / "tokens" / "async_assert.pt2"
MEMBER = "async_assert/models/model.json"
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("GRAPHLINT")}


def run(*arguments: str | bytes | Path, cwd: Path) -> tuple[int, str, str]:
    """The command line in a process of its own: exit status, stdout, stderr."""
    command = [sys.executable, "-m", "graphlint", "check", "--isolated", *arguments]
    result = subprocess.run(command, cwd=cwd, capture_output=True, timeout=120, env=ENVIRONMENT)
    output, errors = result.stdout.decode(), result.stderr.decode()
    assert "Traceback" not in output + errors
    return result.returncode, output, errors


def with_json(target: Path, change) -> Path:
    """A copy of the good artifact with its program's JSON changed: ``change`` takes and returns bytes."""
    with zipfile.ZipFile(GOOD) as old, zipfile.ZipFile(target, "w") as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, change(data) if info.filename == MEMBER else data)
    return target


def edited(change):
    def apply(data: bytes) -> bytes:
        tree = json.loads(data)
        change(tree)
        return json.dumps(tree).encode()

    return apply


def undefined(tree) -> None:
    tree["graph_module"]["graph"]["nodes"][1]["inputs"][0]["arg"]["as_tensor"]["name"] = "nowhere"


def misshapen(tree) -> None:
    tree["graph_module"]["graph"]["nodes"][1]["target"] = 3


def nested(data: bytes) -> bytes:
    """A subgraph in a subgraph, 2,000 levels deep; put together as text, since Python's json stops long before."""
    inner = '{"inputs": [], "outputs": [], "nodes": []}'
    opening = (
        '{"inputs": [], "outputs": [], "nodes": [{"target": "torch.ops.higher_order.wrap", "outputs": [],'
        ' "metadata": {}, "inputs": [{"name": "", "kind": 1, "arg": {"as_graph": {"name": "g", "graph": '
    )
    tree = json.loads(data)
    tree["graph_module"]["graph"] = "HERE"
    tree["graph_module"]["signature"] = {"input_specs": [], "output_specs": []}
    return json.dumps(tree).replace('"HERE"', opening * 2000 + inner + "}}}]}]}" * 2000).encode()


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("notes.txt", "no program")


# What the file is, how it is made, and what its message says.
BAD = {
    "empty": (lambda path: path.write_bytes(b""), "the file is empty"),
    "text": (lambda path: path.write_text("no artifact\n" * 9), "not a zip archive but a text file"),
    "zip": (zipped, "a zip archive, but not an exported program"),
    "broken JSON": (lambda path: with_json(path, lambda data: data[:200] + b"}" + data[200:]), "broken JSON"),
    "wrong shape": (lambda path: with_json(path, edited(misshapen)), "$.graph_module.graph.nodes[1].target"),
    "no object": (lambda path: with_json(path, lambda data: b"[]"), "Expected `object`, got `array`"),
    "undefined": (
        lambda path: with_json(path, edited(undefined)),
        "node 1 (aten.all.default) reads %nowhere, which nothing before it defines",
    ),
    "nested": (lambda path: with_json(path, nested), "subgraphs are nested more than 100 levels deep"),
}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with every bad file, and a good one that comes last."""
    for name, (make, _) in BAD.items():
        make(tmp_path / f"{name}.pt2")
    shutil.copy(GOOD, tmp_path / "zz good.pt2")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", [(), ("--fix", "--ignore=GL201"), ("--diff", "--ignore=GL201")])
def test_each_bad_file_is_named_with_what_is_wrong_and_the_others_are_linted(folder, options):
    before = contents(folder)
    status, output, errors = run("--output-format=json", *options, ".", cwd=folder)
    assert status == 1
    assert contents(folder) == before
    if "--diff" in options:
        assert output == ""
        lines = errors.splitlines()
        for name, (_, message) in BAD.items():
            assert any(f"{name}.pt2: GL001" in line and message in line for line in lines)
        return
    assert errors == ""
    files = {Path(one["path"]).stem: one for one in json.loads(output)["files"]}
    assert files.keys() == BAD.keys() | {"zz good"}
    for name, (_, message) in BAD.items():
        (found,) = files[name]["diagnostics"]
        assert found["code"] == "GL001"
        assert message in found["message"]
        inside = name in ("broken JSON", "wrong shape", "no object", "undefined", "nested")
        assert found.get("member") == (MEMBER if inside else None)
    assert [one["code"] for one in files["zz good"]["diagnostics"]] == ([] if options else ["GL201"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX systems")
def test_what_to_do_depends_on_what_is_wrong(tmp_path):
    pipe, text = tmp_path / "pipe.pt2", tmp_path / "text.pt2"
    os.mkfifo(pipe)
    text.write_text("no artifact")
    few = tmp_path / "graphlint.toml"
    few.write_text("limits = { nodes = 1 }")
    advice = {}
    for path, config in ((pipe, None), (text, None), (GOOD, few)):
        (found,) = graphlint.lint(path, config=config, isolated=config is None).diagnostics
        assert found.code == "GL001"
        advice[path] = found.fix.message
    assert advice == {
        pipe: "make the file readable, or exclude it (`extend-exclude`)",
        text: FOREIGN,
        GOOD: "if you do not trust the file, do not load it in torch either",
    }


def members(path: Path, change) -> None:
    """A copy of the good artifact with other members: ``change`` is given them by name."""
    with zipfile.ZipFile(GOOD) as old, zipfile.ZipFile(path, "w") as new:
        for name, data in change({name: old.read(name) for name in old.namelist()}).items():
            new.writestr(name, data)


ROOT = MEMBER.partition("/")[0]
CAUSES = {
    "empty": (lambda path: path.write_bytes(b""), DAMAGED),
    "truncated": (lambda path: path.write_bytes(GOOD.read_bytes()[:900]), DAMAGED),
    "a page": (lambda path: path.write_text("<!DOCTYPE html><html></html>"), DAMAGED),
    "zeros": (lambda path: path.write_bytes(bytes(4096)), DAMAGED),
    "flipped": (
        lambda path: path.write_bytes(
            GOOD.read_bytes().replace(b'"aten', b'"bten').replace(b"ops.aten", b"ops.bten", 1)
        ),
        DAMAGED,
    ),
    "text": (lambda path: path.write_text("no artifact"), FOREIGN),
    "another zip": (zipped, FOREIGN),
    "no zip": (lambda path: path.write_bytes(b"\x93NUMPY" + bytes(range(256))), FOREIGN),
    "no program": (lambda path: members(path, lambda held: {k: v for k, v in held.items() if k != MEMBER}), HALF_SAVED),
    "no inputs": (
        lambda path: members(path, lambda held: {k: v for k, v in held.items() if "sample_inputs" not in k}),
        INCOMPLETE,
    ),
    "no weights": (
        lambda path: members(path, lambda held: {k: v for k, v in held.items() if "/weights/" not in k}),
        INCOMPLETE,
    ),
    "packed again": (lambda path: members(path, lambda held: {**held, "notes.txt": b"x"}), REPACKED),
    "newer": (lambda path: members(path, lambda held: {**held, f"{ROOT}/archive_version": b"1"}), NEWER),
    "broken JSON": (BAD["broken JSON"][0], ArtifactError.advice),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_its_own_help(tmp_path, cause):
    make, advice = CAUSES[cause]
    make(tmp_path / "model.pt2")
    found = graphlint.lint(tmp_path / "model.pt2", isolated=True).diagnostics
    assert {one.fix.message for one in found if one.code == "GL001"} == {advice}


def test_a_file_that_was_cut_short_anywhere(tmp_path):
    data = GOOD.read_bytes()
    cuts = [*range(0, len(data), 1000), len(data) - 40, len(data) - 1]
    for cut in cuts:
        (tmp_path / f"{cut:06}.pt2").write_bytes(data[:cut])
    before = contents(tmp_path)
    for options in ((), ("--fix",)):
        status, output, errors = run("--output-format=json", *options, ".", cwd=tmp_path)
        assert (status, errors) == (1, "")
        files = json.loads(output)["files"]
        assert len(files) == len(cuts)
        assert [[one["code"] for one in file["diagnostics"]] for file in files] == [["GL001"]] * len(cuts)
        # the first is empty; from one of the last cuts on, the end of an archive inside the file is still whole
        assert all("the file is cut short" in file["diagnostics"][0]["message"] for file in files[1:])
        assert contents(tmp_path) == before


def test_flipped_bytes_in_the_json(tmp_path):
    data = GOOD.read_bytes()
    with zipfile.ZipFile(GOOD) as archive:
        program = archive.read(MEMBER)
    start = data.index(program)
    for position in range(start, start + len(program), 97):
        flipped = bytearray(data)
        flipped[position] ^= 0x10
        (tmp_path / f"{position:06}.pt2").write_bytes(flipped)
    before = contents(tmp_path)
    status, output, errors = run("--output-format=json", "--fix", ".", cwd=tmp_path)
    assert (status, errors) == (1, "")
    for file in json.loads(output)["files"]:
        found, *others = file["diagnostics"]
        assert (found["code"], found["member"]) == ("GL001", MEMBER)
        assert "checksum" in found["message"]
        assert {one["code"] for one in others} <= {"GL003"}  # torch checks no checksum, and may run what it finds
    assert contents(tmp_path) == before


def test_a_missing_path_is_an_error_of_usage_and_the_others_are_linted(tmp_path):
    shutil.copy(GOOD, tmp_path / "good.pt2")
    status, output, errors = run("nothere.pt2", "good.pt2", cwd=tmp_path)
    assert status == 2
    assert "nothere.pt2: No such file or directory" in errors
    assert "GL201" in output


@pytest.mark.parametrize("name", [b"a model.pt2", b"new\nline.pt2", b"\xff\xfe.pt2", b"-rf.pt2", "模型.pt2".encode()])
def test_names_of_all_kinds(tmp_path, name):
    path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118  # pathlib takes no bytes
    shutil.copy(GOOD, path)
    status, output, _ = run("--output-format=concise", "--fix", ".", cwd=tmp_path)
    assert status == 1
    assert "rewritten" in output
    status, output, errors = run(".", cwd=tmp_path)
    assert (status, output, errors) == (0, "All checks passed!\n", "")
    assert os.listdir(os.fsencode(tmp_path)) == [name]  # noqa: PTH208  # as above


@pytest.mark.parametrize(("artifact", "made"), [(GOOD, graphlint.fix), (TOKENS, graphlint.restore)])
def test_line_breaks_in_names_begin_no_line_of_a_diff(tmp_path, artifact, made):
    path = tmp_path / "new\nforged.pt2"
    with zipfile.ZipFile(artifact) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            tree = json.loads(old.read(name)) if "/models/" in name else None
            for value in tree["graph_module"]["graph"]["tensor_values"].values() if tree else ():
                value["device"]["type"] = "\nforged\u2028forged"
            content = json.dumps(tree).encode() if tree else old.read(name)
            new.writestr(name.replace("model.json", "a\nforged.json"), content)
    diff = made(path, diff=True, isolated=True).diff
    assert r"new\nforged.pt2:a\nforged (as it is)" in diff
    assert r"@\nforged\u2028forged" in diff
    assert not [line for line in diff.splitlines() if line.lstrip(" +-").startswith("forged")]


def test_a_program_whose_name_is_no_text(tmp_path):
    path = tmp_path / "model.pt2"
    with zipfile.ZipFile(GOOD) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            new.writestr(re.sub(r"/model(?=[._])", "/m~", name), old.read(name))
    path.write_bytes(path.read_bytes().replace(b"/m~", b"/m\xe9"))  # as an archive of another time may have it

    def run(*arguments: str) -> tuple[int, str, str]:
        result = subprocess.run(
            [sys.executable, "-m", "graphlint", *arguments, "--isolated", path.name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
        )
        return result.returncode, result.stdout, result.stderr

    assert run("baseline", "-q") == (0, "", "")
    entries = json.loads((tmp_path / "graphlint-baseline.json").read_text())["findings"]
    assert [(one["program"], one["rule"]) for one in entries] == [(r"m\udce9", "GL201")]
    status, output, _ = run("--baseline=graphlint-baseline.json", "--no-cache")
    assert (status, output) == (0, "All checks passed! (1 in the baseline)\n")
    status, output, errors = run("--fix", "--no-cache")
    assert (status, errors) == (1, "")
    assert output.startswith("Fixed 1 finding in model.pt2\n")
    with open_artifact(path) as artifact:
        [entry] = json.loads(artifact.container.read(artifact.extra_member("graphlint.json")))["entries"]
    assert list(entry["programs"]) == [r"m\udce9"]
    assert run("--no-cache") == (0, "All checks passed!\n", "")  # and the record is that of the program
    status, output, errors = run("restore")
    assert (status, errors) == (1, "")
    assert b"m\xe9.json" in path.read_bytes()


def test_a_size_that_is_neither_a_number_nor_an_expression(tmp_path):
    def change(tree):
        tree["graph_module"]["graph"]["tensor_values"]["gt"]["sizes"][0] = {}

    with_json(tmp_path / "model.pt2", edited(change))
    for arguments in (["--diff"], ["--output-format=html"], ["--fix"]):
        status, output, errors = run(*arguments, "model.pt2", cwd=tmp_path)
        assert (status, errors) == (1, "Would fix 1 finding.\n" if arguments == ["--diff"] else ""), output
        assert arguments != ["--diff"] or "  %gt: b8[?, 4]{4, 1} = aten.gt.Scalar(%x, -100)" in output
    command = [sys.executable, "-m", "graphlint", "show", "model.pt2"]
    for made in ("text", "json", "dot", "svg"):
        shown = subprocess.run([*command, f"--format={made}"], cwd=tmp_path, capture_output=True, text=True)
        assert shown.returncode == 0
        assert made == "json" or "b8[?, 4]" in shown.stdout


def test_a_member_that_ends_behind_what_follows_it_is_not_moved(tmp_path):
    path = tmp_path / "model.pt2"
    shutil.copy(GOOD, path)
    with zipfile.ZipFile(path) as archive:
        header = archive.getinfo("async_assert/byteorder").header_offset
    data = bytearray(path.read_bytes())
    data[header + 29] |= 0x20  # the length of its extra fields
    path.write_bytes(data)
    status, _, errors = run("--fix", "model.pt2", cwd=tmp_path)
    assert (status, path.read_bytes()) == (2, bytes(data))
    assert errors == 'error: model.pt2: member "async_assert/byteorder" overlaps what follows it in the archive\n'
    assert list(tmp_path.iterdir()) == [path]


def test_code_that_a_fix_takes_away_is_not_left(tmp_path):
    with zipfile.ZipFile(ARTIFACTS / "metadata_assert.pt2") as old, zipfile.ZipFile(tmp_path / "model.pt2", "w") as new:
        for name in old.namelist():
            tree = json.loads(old.read(name)) if "/models/" in name else None
            for node in tree["graph_module"]["graph"]["nodes"] if tree else ():
                if node["target"] == "torch.ops.aten._assert_tensor_metadata.default":
                    node["inputs"][1]["name"] = " dtype"
            new.writestr(name, json.dumps(tree) if tree else old.read(name))
    listed = ("--extend-select", "GL205")
    status, output, _ = run("model.pt2", *listed, cwd=tmp_path)
    assert (status, "GL003" in output, "GL205" in output) == (1, True, True)
    status, output, _ = run("--fix", "model.pt2", *listed, cwd=tmp_path)
    assert status == 1
    assert "GL003" not in output
    assert run("model.pt2", cwd=tmp_path)[:2] == (0, "All checks passed!\n")


def test_a_read_only_file_is_not_fixed(tmp_path):
    shutil.copy(GOOD, tmp_path / "locked.pt2")
    shutil.copy(GOOD, tmp_path / "open.pt2")
    (tmp_path / "locked.pt2").chmod(0o444)
    status, output, errors = run("--fix", ".", cwd=tmp_path)
    assert status == 2
    assert "locked.pt2" in errors
    assert "Fixed 1 finding in open.pt2" in output
    assert (tmp_path / "locked.pt2").read_bytes() == GOOD.read_bytes()
    assert stat.S_IMODE((tmp_path / "locked.pt2").stat().st_mode) == 0o444
    assert sorted(contents(tmp_path)) == ["locked.pt2", "open.pt2"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 KiB, or of whatever size ``mount`` is told with ``-o remount``."""
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", where], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system here: {mounted.stderr.decode().strip()}")
    yield where
    subprocess.run(["umount", where], check=True)


def test_a_full_disk(small_disk):
    shutil.copy(GOOD, small_disk / "model.pt2")
    (small_disk / "rest").write_bytes(b"\0" * 4096)
    status, _, errors = run("--fix", "model.pt2", cwd=small_disk)
    assert status == 2
    assert "No space left on device" in errors
    assert (small_disk / "model.pt2").read_bytes() == GOOD.read_bytes()
    assert sorted(contents(small_disk)) == ["model.pt2", "rest"]


def test_a_read_only_folder(small_disk):
    shutil.copy(GOOD, small_disk / "model.pt2")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    status, _, errors = run("--fix", "model.pt2", cwd=small_disk)
    assert status == 2
    assert "read-only" in errors
    assert (small_disk / "model.pt2").read_bytes() == GOOD.read_bytes()
    status, output, _ = run("model.pt2", cwd=small_disk)
    assert status == 1
    assert "GL201" in output
