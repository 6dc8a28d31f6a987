"""What becomes of runtime checks: tokens, plain checks, or nothing, on purpose."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile

import pytest
from tests.text_form import document_of

import graphlint
from graphlint.artifact.errors import ConfigError
from graphlint.rules.fixing import fix_program
from graphlint.run.api import program_settings

torch = pytest.importorskip("torch")

CHECKED = [
    "async_assert",
    "bare_async_assert",
    "scalar_assert",
    "constrain_range",
    "constrain_range_for_size",
    "nested",
]
CHECKED += ["two_async_asserts", "cond_assert", "dynamic_batch", "nested"]


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "graphlint", "check", "--isolated", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def ops(path):
    """The checks in an artifact, by name."""
    program = torch.export.load(path)
    targets = [str(node.target) for one in graphs(program.graph_module) for node in one.graph.nodes]
    return [one for one in targets if "assert" in one or "constrain" in one or "dep_token" in one]


def graphs(module):
    return [one for one in module.modules() if isinstance(one, torch.fx.GraphModule)]


@pytest.fixture
def artifact(tmp_path, artifacts):
    def copy(name):
        return shutil.copy(artifacts / "2.13.0" / f"{name}.pt2", tmp_path / "model.pt2")

    return copy


@pytest.mark.parametrize("name", CHECKED)
@pytest.mark.parametrize("functional", [False, True], ids=["plain", "tokens"])
def test_checks_are_removed_on_purpose(artifact, name, functional):
    path = artifact(name)
    if functional:
        assert graphlint.fix(path, isolated=True).changed
        assert any("dep_token" in one for one in ops(path))
    result = graphlint.fix(path, checks="strip", isolated=True, verify=True)
    assert (result.error, result.changed) == (None, True)
    removed = [one for one in result.fixed if one.fix.applicability == "unsafe"]
    assert removed
    assert {one.code for one in removed} <= {"GL201", "GL202", "GL203", "GL204"}
    assert all(one.fix.message == 'is removed: checks = "strip" removes checks on purpose' for one in removed)
    assert ops(path) == []
    assert not graphlint.lint(path, checks="strip", isolated=True).diagnostics


def test_what_raised_goes_through_and_the_rest_is_the_same(tmp_path, artifact):
    class Guarded(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(3))

        def forward(self, x, n):
            size = n.item()
            torch._check(size > 2)
            torch.ops.aten._assert_async.msg((x > 0).all(), "x must be positive")
            self.seen.add_(x)
            return x * size + self.seen.to(torch.float64)

    model, bad = Guarded(), (-torch.ones(3), torch.tensor(4))
    path, original = tmp_path / "guarded.pt2", tmp_path / "original.pt2"
    # The sample inputs trip the check: verification has to know that this is no difference.
    program = torch.export.export(model, bad)
    torch.export.save(program, path)
    shutil.copy(path, original)
    assert "--fix" in run(tmp_path, "guarded.pt2").stdout
    fixed = run(tmp_path, "--fix", "--strip-checks", "--verify", "guarded.pt2")
    assert fixed.returncode == 1, fixed.stderr
    assert "checks were removed: values that made one raise pass silently.\n" in fixed.stdout
    assert "tokens" not in fixed.stdout
    assert run(tmp_path, "--strip-checks", "guarded.pt2").returncode == 0
    before, after = torch.export.load(original).module(), torch.export.load(path).module()
    with pytest.raises(RuntimeError):
        before(*bad)
    before = torch.export.load(original).module()
    for _ in range(3):
        good = (torch.rand(3) + 1, torch.tensor(5))
        assert torch.equal(before(*good), after(*good))
        assert torch.equal(before.seen, after.seen)
    after(*bad)
    with zipfile.ZipFile(path) as archive:
        (record,) = [name for name in archive.namelist() if name.endswith("graphlint.json")]
        (entry,) = json.loads(archive.read(record))["entries"]
    assert entry["programs"]["model"]["removed_checks"] >= 2


def test_a_check_that_cannot_fire_goes_safely_and_one_that_may_only_on_purpose(artifact):
    result = graphlint.fix(artifact("metadata_assert"), checks="strip", isolated=True)
    assert {(one.code, one.fix.applicability) for one in result.fixed} == {("GL205", "safe")}
    text = """
graph(%x: f32[3]):
  aten._assert_tensor_metadata.default(%x, dtype=torch.float64)
  return %x
"""
    made = {}
    for checks in ("strip", "tokens", None):
        fixed = fix_program(document_of(text), "model", "model.pt2", program_settings(checks=checks))
        made[checks] = (len(fixed.document.program.graph.nodes), fixed.removed_checks)
    assert made == {"strip": (0, 1), "tokens": (1, 0), None: (1, 0)}


def test_effect_tokens_around_checks_go_with_them():
    text = """
graph(%token: f32[0] = token, %ok: b8[], %x: f32[3]):
  %next: f32[0] = higher_order.with_effects(%token, op(aten._assert_async.msg), %ok, "must hold")
  return token <- %next, %x
"""
    fixed = fix_program(document_of(text), "model", "model.pt2", program_settings(checks="strip"))
    assert [one.code for one in fixed.fixed] == ["GL308", "GL201"]
    assert fixed.document.program.graph.nodes == []
    assert fixed.remaining == ()


@pytest.mark.parametrize("name", CHECKED)
def test_checks_stay_plain_while_writes_become_data_flow(artifact, name):
    path = artifact(name)
    before = ops(path)
    assert not graphlint.lint(path, checks="plain", select="GL2", isolated=True).fixed
    graphlint.fix(path, checks="plain", isolated=True)
    assert ops(path) == before
    assert not graphlint.lint(path, checks="plain", isolated=True).diagnostics
    # What has become tokens becomes plain again.
    assert graphlint.fix(path, isolated=True).changed
    (found,) = {one.code: one for one in graphlint.lint(path, checks="plain", isolated=True).diagnostics}.values()
    assert found.message.startswith('aten._make_dep_token.default is refused by checks = "plain": ')
    assert graphlint.fix(path, checks="plain", isolated=True).changed
    assert [one.replace(".msg", ".default") for one in ops(path)] == [one.replace(".msg", ".default") for one in before]


def test_several_targets_can_be_had_with_plain_checks(artifact):
    path = artifact("async_assert")
    with pytest.raises(ConfigError, match=r"contradict each other.* or keep checks as they are, by --checks plain"):
        graphlint.lint(path, target="functional,onnx", isolated=True)
    result = graphlint.lint(path, target="functional,onnx", checks="plain", isolated=True)
    assert [one.code for one in result.diagnostics] == ["GL607"]
    result = graphlint.lint(path, target="module", checks="tokens", isolated=True)
    assert [(one.code, one.fix.applicability) for one in result.diagnostics] == [("GL201", "safe")]
    with pytest.raises(ConfigError, match="onnx refuses dependency tokens, which checks are to become"):
        graphlint.lint(path, target="onnx", checks="tokens", isolated=True)


def test_what_a_target_wants_of_plain_checks_holds(artifact):
    path = artifact("bare_async_assert")
    result = graphlint.fix(path, target="inductor", checks="plain", isolated=True)
    assert [(one.code, one.fix.message) for one in result.fixed] == [("GL202", "is given the message that it raises")]


def test_the_options(artifact, tmp_path):
    artifact("async_assert")
    for words, said in (
        (("--strip-checks", "--checks", "plain"), "--strip-checks and --checks plain cannot be used together"),
        (("--strip-checks", "--no-unsafe-fixes"), "--strip-checks and --no-unsafe-fixes cannot be used together"),
        (("--checks", "none"), "unknown value 'none', expected one of tokens, plain, strip"),
    ):
        result = run(tmp_path, *words, "model.pt2")
        assert (result.returncode, said in result.stderr) == (2, True), result.stderr
    checked = run(tmp_path, "--strip-checks", "model.pt2")
    assert "GL201 [*] async-assert" in checked.stdout
    assert "1 fixable with the --fix option" in checked.stdout
    (tmp_path / "graphlint.toml").write_text('[fix]\nchecks = "strip"\n')
    words = [sys.executable, "-m", "graphlint", "--show-settings", "model.pt2"]
    shown = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert '\nchecks = "strip"\n' in shown
    found = json.loads(run(tmp_path, "--strip-checks", "--output-format", "json", "model.pt2").stdout)
    (one,) = found["files"][0]["diagnostics"]
    assert (one["fix"]["applicability"], one["fix"]["enabled"]) == ("unsafe", True)
