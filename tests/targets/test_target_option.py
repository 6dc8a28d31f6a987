"""``--target`` and ``graphlint target``, on real artifacts."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import graphlint


@pytest.fixture
def folder(tmp_path, artifacts):
    for name in ("async_assert", "bare_async_assert", "key_value_cache", "cond_assert"):
        shutil.copy(artifacts / "2.13.0" / f"{name}.pt2", tmp_path)
    return tmp_path


def io_copy(folder: Path, content: bytes) -> Path:
    (folder / "original.pt2").write_bytes(content)
    return folder / "original.pt2"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "graphlint", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_checks_are_kept_where_tokens_are_refused(folder):
    checked = run(folder, "--target", "onnx", "async_assert.pt2")
    assert (checked.stdout.splitlines()[-1], checked.returncode) == ("All checks passed! (1 note)", 0)
    before = (folder / "async_assert.pt2").read_bytes()
    assert run(folder, "--target", "onnx", "--fix", "async_assert.pt2").returncode == 0
    assert (folder / "async_assert.pt2").read_bytes() == before


def test_tokens_are_refused(folder):
    run(folder, "--fix", "-q", "async_assert.pt2")
    assert run(folder, "async_assert.pt2").returncode == 0
    for target in ("inductor", "onnx", "executorch", "coreml"):
        checked = run(folder, "--target", target, "--output-format", "concise", "async_assert.pt2")
        assert f"aten._make_dep_token.default is refused by {target}: " in checked.stdout
        assert checked.returncode == 1
    assert run(folder, "--target", "module", "async_assert.pt2").returncode == 0


def test_tokens_become_plain_checks_again(folder):
    original = (folder / "cond_assert.pt2").read_bytes()
    run(folder, "--fix", "-q", "--no-provenance", "cond_assert.pt2")
    refused = run(folder, "--target", "onnx", "cond_assert.pt2")
    assert "--fix: becomes plain checks again" in refused.stdout
    fixed = run(folder, "--target", "onnx", "--fix", "--no-provenance", "cond_assert.pt2")
    assert "Fixed 1 finding in cond_assert.pt2\n" in fixed.stdout
    assert run(folder, "--target", "onnx", "cond_assert.pt2").returncode == 0
    before = graphlint.lint(io_copy(folder, original), isolated=True)
    after = graphlint.lint(folder / "cond_assert.pt2", isolated=True)
    assert [one.message for one in before.diagnostics] == [one.message for one in after.diagnostics] != []
    with zipfile.ZipFile(folder / "original.pt2") as old, zipfile.ZipFile(folder / "cond_assert.pt2") as new:
        assert [name.partition("/")[2] for name in old.namelist()] == [
            name.partition("/")[2] for name in new.namelist()
        ]


def test_the_label_is_changed_where_only_the_target_wants_it(folder):
    fixed = run(folder, "--target", "coreml", "--fix", "async_assert.pt2")
    assert "Fixed 1 finding in async_assert.pt2\n" in fixed.stdout
    assert "dependency tokens" not in fixed.stdout
    again = run(folder, "--target", "coreml", "async_assert.pt2")
    assert (again.stdout.splitlines()[-1], again.returncode) == ("All checks passed! (1 note)", 0)
    result = graphlint.lint(folder / "async_assert.pt2", target="functional", isolated=True)
    assert [one.code for one in result.diagnostics] == ["GL201"]  # the check is still there


def test_bare_checks_are_given_the_message_that_they_raise(folder):
    fixed = run(folder, "--target", "inductor", "--fix", "bare_async_assert.pt2")
    assert fixed.stdout.startswith("Fixed 1 finding in bare_async_assert.pt2\n")
    (found,) = graphlint.lint(folder / "bare_async_assert.pt2", isolated=True).diagnostics
    assert found.code == "GL201"
    assert "'Expected Tensor with single nonzero value, but got zero'" in found.message
    assert run(folder, "--target", "inductor,coreml", "--ignore", "GL501", "bare_async_assert.pt2").returncode == 0


def test_what_is_stripped_takes_unsafe_fixes(folder, artifacts):
    shutil.copy(artifacts / "2.13.0" / "print.pt2", folder)
    left = run(folder, "--target", "onnx", "--fix", "print.pt2")
    assert "GL301" in left.stdout
    assert "[!] 1 fixable with --fix --unsafe-fixes.\n" in left.stdout
    assert run(folder, "--target", "onnx", "--fix", "--unsafe-fixes", "-q", "print.pt2").returncode == 1
    assert run(folder, "--target", "onnx", "print.pt2").returncode == 0


def test_the_configuration_sets_targets_per_file(folder):
    (folder / "graphlint.toml").write_text('target = "onnx"\nper-file-target = { "cond_*.pt2" = ["coreml"] }\n')
    found = json.loads(run(folder, "--output-format", "json", ".").stdout)
    codes = {one["path"]: {each["code"] for each in one["diagnostics"]} for one in found["files"]}
    assert codes["async_assert.pt2"] == {"GL607"}
    assert codes["cond_assert.pt2"] == {"GL501", "GL601", "GL607"}
    # The command line's target is for all.
    found = json.loads(run(folder, "--target", "functional", "--output-format", "json", ".").stdout)
    codes = {one["path"]: {each["code"] for each in one["diagnostics"]} for one in found["files"]}
    assert codes["cond_assert.pt2"] == {"GL201"}


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ('target = "onx"', "graphlint.toml: target: unknown target 'onx'; did you mean 'onnx'?"),
        ('target = ["functional", "onnx"]', "graphlint.toml: target: the targets functional and onnx contradict each"),
        ('per-file-target = { "a.pt2" = "onx" }', "graphlint.toml: per-file-target.\"a.pt2\": unknown target 'onx'"),
        ("target = 3", "graphlint.toml: target: expected"),
        ('per-file-target = { "a.pt2" = 3 }', 'graphlint.toml: per-file-target."a.pt2": expected'),
    ],
)
def test_mistakes_are_named(folder, configuration, message):
    (folder / "graphlint.toml").write_text(configuration)
    result = run(folder, ".")
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_mistake_on_the_command_line_is_named(folder):
    result = run(folder, "--target", "onx", ".")
    assert result.stderr.startswith("error: invalid value for '--target': unknown target 'onx'; did you mean 'onnx'? (")


def test_selection_goes_on_top(folder):
    found = run(folder, "--target", "onnx", "--extend-select", "GL201", "async_assert.pt2")
    assert "not fixable: onnx takes it as it is" in found.stdout


def test_the_command(tmp_path):
    listed = run(tmp_path, "target").stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        "functional",
        "module",
        "inductor",
        "onnx",
        "executorch",
        "xnnpack",
        "coreml",
        "openvino",
        "iree",
        "litert",
        "tvm",
    ]
    assert run(tmp_path, "target", "coreml").stdout.startswith("# coreml: Core ML: ")
    assert json.loads(run(tmp_path, "target", "onnx", "--output-format", "json").stdout)["name"] == "onnx"
    unknown = run(tmp_path, "target", "corml")
    assert (unknown.stderr, unknown.returncode) == ("error: unknown target 'corml'; did you mean 'coreml'?\n", 2)


def test_a_check_with_its_message_raises_what_the_bare_one_raised(folder):
    import torch
    from tests import judge

    before = torch.export.load(folder / "bare_async_assert.pt2")
    run(folder, "--target", "inductor", "--fix", "-q", "bare_async_assert.pt2")
    after = torch.export.load(folder / "bare_async_assert.pt2")
    assert [str(node.target) for node in after.graph.nodes if "assert" in str(node.target)] == [
        "aten._assert_async.msg"
    ]
    good = before.example_inputs[0]
    bad = tuple(torch.full_like(one, -1000) for one in good)
    said = "RuntimeError: Expected Tensor with single nonzero value, but got zero"
    assert judge.compare(before, after, [(good, {}), (bad, {})]) == ["", said]


def test_a_bare_assert_that_is_given_its_message_may_be_reported_as_a_plain_one(folder):
    """The finding that takes the place of another one is no new one."""
    result = graphlint.fix(folder / "bare_async_assert.pt2", target="inductor", select="ALL", isolated=True)
    assert (result.error, result.changed) == (None, True)
    assert [one.code for one in result.fixed] == ["GL202"]
    assert [one.code for one in result.diagnostics] == ["GL201"]
