"""``graphlint restore`` as a user meets it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import graphlint

NEWEST = Path(__file__).parent / "artifacts" / "2.13.0"


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "graphlint", *arguments], cwd=folder, capture_output=True, text=True, timeout=120
    )


def restore(folder, *arguments):
    result = run(folder, "restore", "--isolated", *arguments)
    return result.returncode, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path):
    for name in ("two_async_asserts", "clean", "bare_async_assert"):
        shutil.copyfile(NEWEST / f"{name}.pt2", tmp_path / f"{name}.pt2")
    graphlint.fix(tmp_path / "two_async_asserts.pt2", isolated=True)
    return tmp_path


def test_nothing_to_show(folder):
    assert restore(folder, "--diff", "clean.pt2") == (0, "", "No functional checks: nothing to restore.\n")


def test_a_folder(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    status, out, err = restore(folder, "--diff", ".")
    assert (status, err) == (1, "Would restore 2 checks.\n")
    assert out.startswith("--- two_async_asserts.pt2:model (as it is)\n+++ two_async_asserts.pt2:model (restored)\n")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    said = (
        "Restored 2 checks in two_async_asserts.pt2\n"
        "Restored 2 checks.\n"
        "1 artifact was rewritten, hence exit status 1: review it and commit again.\n"
    )
    assert restore(folder, ".") == (1, said, "")
    assert {path.name for path in folder.iterdir() if path.read_bytes() != before[path.name]} == {
        "two_async_asserts.pt2"
    }
    assert restore(folder, ".") == (0, "No functional checks: nothing to restore.\n", "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-q"], (1, "", "")),
        (["-e", "-q"], (0, "", "")),
        (["-e"], (0, "Restored 2 checks in two_async_asserts.pt2\nRestored 2 checks.\n", "")),
        (["--exclude", "two*", "--force-exclude"], (0, "No functional checks: nothing to restore.\n", "warning: no")),
    ],
)
def test_options(folder, arguments, expected):
    status, out, err = restore(folder, *arguments, "two_async_asserts.pt2")
    assert (status, out) == expected[:2]
    assert err.startswith(expected[2])
    assert bool(err) == bool(expected[2])


def test_a_bare_check_takes_its_label_back(folder):
    graphlint.fix(folder / "bare_async_assert.pt2", isolated=True)
    status, _, err = restore(folder, "bare_async_assert.pt2")
    note = (
        "note: bare_async_assert.pt2: program 'model' is labelled TRAINING again: under ATEN, torch drops checks "
        "without a message (aten._assert_async.default) when it loads them\n"
    )
    assert (status, err) == (1, note)


def test_what_stays_is_said(folder):
    from graphlint.artifact.artifact import open_artifact
    from graphlint.artifact.rewrite import PendingReplacement

    path = str(folder / "two_async_asserts.pt2")
    with open_artifact(path) as artifact:
        (entry,) = artifact.programs
        tree = json.loads(artifact.read_program(entry))
        for node in tree["graph_module"]["graph"]["nodes"]:
            if node["target"] == "torch.ops.aten.cos.default":
                node["inputs"][0]["arg"]["as_tensor"]["name"] = "dep_token2"
        with PendingReplacement(path, artifact.container, {entry.member: json.dumps(tree).encode()}) as pending:
            pending.commit()
    before = Path(path).read_bytes()
    reason = "aten._functional_assert_async.msg stays: aten.cos.default (node %cos) reads the token %dep_token2\n"
    lines = "".join(f"two_async_asserts.pt2, node %dep_token{number}: {reason}" for number in (1, 2))
    summary = "Nothing was restored, 2 functional checks are left.\n"
    status, out, err = restore(folder, "two_async_asserts.pt2")
    assert (status, out) == (1, lines + summary)
    assert err.startswith("note: two_async_asserts.pt2: program 'model' was changed after graphlint ")
    assert restore(folder, "-q", "two_async_asserts.pt2") == (1, lines, "")
    assert restore(folder, "-q", "--diff", "two_async_asserts.pt2") == (1, "", lines)
    assert Path(path).read_bytes() == before


def test_bad_input(folder):
    (folder / "text.pt2").write_text("no zip")
    (folder / "lfs.pt2").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n")
    status, out, err = restore(folder, "text.pt2", "lfs.pt2")
    assert (status, out) == (1, "")
    assert err == (
        "error: text.pt2: GL001 not a zip archive but a text file\n"
        "error: lfs.pt2: GL002 the file is a Git LFS pointer: run `git lfs pull` to fetch the artifact\n"
    )
    assert restore(folder, "nope.pt2") == (2, "", "error: nope.pt2: No such file or directory\n")
    status, out, err = restore(folder)
    assert (status, out) == (2, "")
    assert err == "error: missing argument 'PATHS' (see `graphlint restore --help`)\n"
    for arguments in (["-q", "-v", "."], ["--verify", "--diff", "."], ["--trust", "."]):
        assert restore(folder, *arguments)[0] == 2


def test_a_read_only_file_is_left_alone(folder):
    path = folder / "two_async_asserts.pt2"
    path.chmod(0o444)
    before = path.read_bytes()
    status, _, err = restore(folder, path.name)
    assert (status, path.read_bytes()) == (2, before)
    assert "is read-only, and was not written" in err


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_it_can_be_verified(sink, folder):
    pytest.importorskip("torch")
    path = folder / "two_async_asserts.pt2"
    shutil.copyfile(NEWEST / path.name, path)
    graphlint.fix(path, isolated=True, token_sink=sink)
    result = graphlint.restore(path, isolated=True, verify=True)
    assert (result.changed, result.error) == (True, None)
    assert [one.plain for one in result.restored] == ["aten._assert_async.msg"] * 2


def test_it_needs_no_torch(folder):
    code = (
        "import sys; import graphlint; graphlint.restore('two_async_asserts.pt2', isolated=True); "
        "print([name for name in sys.modules if name.partition('.')[0] in ('torch', 'numpy')])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert result.stdout == "[]\n"
