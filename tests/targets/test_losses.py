"""What targets take and lose is found, with a code of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import graphlint
from graphlint.rules.targets.model import profile_of

BUFFER = """
graph(%b_state: f32[2] = buffer "state", %x: f32[2]):
  %add: f32[2] = aten.add.Tensor(%b_state, %x)
  return buffer "state" <- %add, %add
"""


def saved(folder, model, *args):
    torch = pytest.importorskip("torch")
    path = folder / "model.pt2"
    program = torch.export.export(model, args)
    torch.export.save(program, path)
    return path, program


def stateful(state, *, kind="buffer"):
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            if kind == "buffer":
                self.register_buffer("state", state)
            else:
                self.state = state

        def forward(self, x):
            return self.state.add_(x) * 2

    return Model()


def initial(diagnostics):
    return [one for one in diagnostics if one.code == "GL604"]


@pytest.mark.parametrize("target", ["executorch", "coreml"])
@pytest.mark.parametrize("kind", ["buffer", "constant"])
def test_state_has_to_begin_with_zeros(tmp_path, target, kind):
    import torch

    path, program = saved(tmp_path, stateful(torch.tensor([0.0, 3.0]), kind=kind), torch.ones(2))
    (found,) = initial(graphlint.lint(path, target=target, isolated=True).diagnostics)
    assert found.message.startswith(f"{kind} 'state' begins with other values than zeros ({target}: ")
    assert (found.op, found.severity, found.fix.applicability) == ("aten.add_.Tensor", "error", "safe")
    assert found.fix.option == "--lift-state"
    assert found.source is not None
    (again,) = initial(graphlint.lint_program(program, target=target))
    assert (again.message, again.node) == (found.message, found.node)
    # Written back by the signature, it is the node that makes the value.
    graphlint.fix(path, isolated=True)
    (fixed,) = initial(graphlint.lint(path, target=target, isolated=True).diagnostics)
    assert (fixed.op, fixed.source) == ("aten.add.Tensor", found.source)
    assert not initial(graphlint.lint(path, target="inductor", select="ALL", isolated=True).diagnostics)


@pytest.mark.filterwarnings("ignore:No complete tensor found")
def test_zeros_lose_nothing_and_neither_does_what_is_only_read(tmp_path):
    import torch

    base = torch.ones(3, 2)
    base[:, 1] = 0
    for state in (torch.zeros(3), base[:, 1]):
        path, program = saved(tmp_path, stateful(state), torch.ones(3))
        assert not initial(graphlint.lint(path, target="executorch", isolated=True).diagnostics)
        assert not initial(graphlint.lint_program(program, target="executorch"))
    path, _ = saved(tmp_path, torch.nn.BatchNorm1d(3).eval(), torch.ones(2, 3))
    assert not initial(graphlint.lint(path, target="executorch", isolated=True).diagnostics)


def test_what_cannot_be_read_is_told(lint_text):
    (found,) = initial(lint_text(BUFFER, profile=profile_of(["executorch", "coreml"])))
    assert found.message.startswith("buffer 'state' may begin with other values than zeros (executorch, coreml: ")
    assert found.node == "add"
    assert not initial(lint_text(BUFFER))


# ------------------------------------------------------------------------------------------------ each loss

LOSING = {
    "GL603": """
graph(%b_count: f32[4] = buffer "count", %x: f32[4]):
  %add_: f32[4] = aten.add_.Tensor(%b_count, %x)
  %mul_: f32[4] = aten.mul_.Tensor(%b_count, 2)
  return %x
""",
    "GL605": """
graph(%x: f32[4]):
  %t: f32[4] = aten.view.default(%x, [4])
  %relu_: f32[4] = aten.relu_.default(%t)
  return %relu_
""",
    "GL606": """
graph(%x: f32[4]):
  %dropout: f32[4] = aten.dropout.default(%x, 0.5, True)
  return %dropout
""",
    "GL607": """
graph(%ok: b8[], %x: f32[4]):
  aten._assert_tensor_metadata.default(%x, dtype=torch.float32)
  aten._assert_async.msg(%ok, "must hold")
  return %ok
""",
    "GL610": """
graph(%i: i64[4], %x: f32[4]):
  %mul: i64[4] = aten.mul.Tensor(%i, 3)
  %add: i64[4] = aten.add.Tensor(%mul, 1)
  %relu: f32[4] = aten.relu.default(%x)
  %neg: f32[4] = aten.neg.default(%x)
  return %add, %relu, %neg
""",
}
LOSERS = {
    "GL603": ["onnx", "openvino"],
    "GL605": ["onnx", "executorch", "openvino"],
    "GL606": ["onnx", "executorch", "coreml"],
    "GL607": ["onnx", "coreml", "openvino"],
    "GL610": ["openvino"],
}
MESSAGES = {
    "GL603": "the next call does not see what is written to buffer 'count' ({}: ",
    "GL605": "the caller does not see what is written to input 'x' ({}: ",
    "GL606": "aten.dropout.default is not applied ({}: ",
    "GL607": "aten._assert_async.msg: runtime check ('must hold') is lost, invalid values raise no error ({}: ",
    "GL610": "some values come out otherwise ({}: integers beyond 32 bits become others, NaN becomes a number)",
}
NOTES = ("GL607", "GL610")
TARGETS = ["functional", "module", "inductor", "onnx", "executorch", "coreml", "openvino"]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("code", LOSING)
def test_each_loss_is_told_once_where_a_target_loses_it(lint_text, code, target):
    found = [one for one in lint_text(LOSING[code], profile=profile_of([target])) if one.code == code]
    assert [one.message.startswith(MESSAGES[code].format(target)) for one in found] == [True] * (target in LOSERS[code])
    assert all(one.severity == ("note" if code in NOTES else "error") for one in found)
    assert all((one.node is None) == (code == "GL610") for one in found)


@pytest.mark.parametrize("target", ["onnx", "executorch", "inductor"])
def test_what_is_said_of_lifting_the_state_is_what_it_does(artifacts, tmp_path, target):
    """A loss that names ``--lift-state`` is gone after it; one that gives a reason is not."""
    written = {"GL603", "GL604", "GL605"}
    named = []
    for artifact in [*sorted((artifacts / "2.13.0").glob("*.pt2")), artifacts / "2.6.0" / "buffer_counter.pt2"]:
        path = tmp_path / artifact.name
        shutil.copy(artifact, path)
        before = [one for one in graphlint.lint(path, target=target, isolated=True).diagnostics if one.code in written]
        fixed = graphlint.fix(path, target=target, state="io", isolated=True)
        after = [one for one in fixed.diagnostics if one.code in written]
        assert {one.fix.option for one in before} <= {"--lift-state", ""}
        assert [one.message for one in before if not one.fix.option] == [one.message for one in after], artifact.stem
        named += [one for one in before if one.fix.option]
    assert named


@pytest.mark.parametrize(
    ("nodes", "found"),
    [("%y: i64[4] = aten.view.default(%i, [4])", False), ("%y: i32[4] = aten.neg.default(%j)", False),
     ("%y: i32[4] = aten.floor.default(%j)", True), ("%y: b8[4] = aten.gt.Scalar(%x, 0)", True)],
)  # fmt: skip
def test_values_differ_by_some_ops_on_some_dtypes(lint_text, nodes, found):
    text = f"graph(%i: i64[4], %j: i32[4], %x: f32[4]):\n  {nodes}\n  return %y\n"
    codes = {one.code for one in lint_text(text, profile=profile_of(["openvino"]))}
    assert ("GL610" in codes) == found


def test_several_targets_lose_it_together(lint_text):
    profile = profile_of(["onnx", "executorch"])
    (found,) = [one for one in lint_text(LOSING["GL605"], profile=profile) if one.code == "GL605"]
    assert found.message.startswith("the caller does not see what is written to input 'x' (onnx, executorch: ")


@pytest.mark.parametrize(("shape", "lost"), [("f32[]", True), ("i64[1]", True), ("f32[1, 1]", True), ("f32[2]", False)])
def test_a_target_may_lose_what_is_of_one_element(lint_text, shape, lost):
    text = f'graph(%b: {shape} = buffer "b"):\n  %add_: {shape} = aten.add_.Tensor(%b, 1)\n  return %b\n'
    assert [one.code for one in lint_text(text, profile=profile_of(["inductor"])) if one.code == "GL603"] == (
        ["GL603"] if lost else []
    )


def test_what_the_signature_writes_back_is_written(lint_text):
    for output, code in (('buffer "b"', "GL603"), ('input "x"', "GL605")):
        text = f"""
graph(%b: f32[3] = buffer "b", %x: f32[3]):
  %add: f32[3] = aten.add.Tensor(%b, %x)
  return {output} <- %add, %add
"""
        (found,) = [one for one in lint_text(text, profile=profile_of(["onnx"])) if one.code in ("GL603", "GL605")]
        assert (found.code, found.node) == (code, "add")


def test_a_check_that_the_target_refuses_is_no_loss(lint_text):
    codes = [one.code for one in lint_text(LOSING["GL607"], profile=profile_of(["executorch"]))]
    assert "GL201" in codes
    assert "GL607" not in codes


# ------------------------------------------------------------------------------------------------ notes


@pytest.fixture
def checked(tmp_path, artifacts):
    """An artifact with a check, given to ``graphlint check`` for ONNX, which drops it."""
    path = tmp_path / "model.pt2"
    shutil.copy(artifacts / "2.13.0" / "async_assert.pt2", path)

    def check(*words):
        words = (sys.executable, "-m", "graphlint", "check", "--target", "onnx", *words, "model.pt2")
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    return check


def test_a_note_fails_nothing(checked):
    run = checked()
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("GL607 lost-check (note): aten._assert_async.msg: runtime check (")
    assert run.stdout.endswith("All checks passed! (1 note)\n")
    assert checked("--fix").returncode == 0
    assert checked("--extend-select", "GL201").returncode == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("concise", "GL607 (note) aten._assert_async.msg: runtime check"),
        ("grouped", "GL607 (note) aten._assert_async.msg: runtime check"),
        ("json", '"severity": "note"'),
        ("json-lines", '"severity":"note"'),
        ("sarif", '"level": "note"'),
        ("github", "::notice title=GL607 lost-check"),
        ("gitlab", '"severity": "info"'),
        ("markdown", "🔵 note"),
        ("html", '<span class="badge note">note</span>'),
    ],
)
def test_every_format_has_it(checked, name, said):
    run = checked("--output-format", name)
    assert run.returncode == 0
    assert said in run.stdout


def test_junit_has_it_in_a_test_that_passes(checked):
    run = checked("--output-format", "junit")
    suite = ElementTree.fromstring(run.stdout)[0]
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
    (case,) = suite
    assert [one.tag for one in case] == ["system-out"]
    assert "GL607" in (case[0].text or "")


def test_the_counts_have_it(checked):
    run = checked("--output-format", "json")
    summary = json.loads(run.stdout)["summary"]
    assert {name: summary[name] for name in ("findings", "errors", "warnings", "notes")} == {
        "findings": 1, "errors": 0, "warnings": 0, "notes": 1,
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------ accepting


def test_a_project_accepts_a_loss(checked, tmp_path):
    (tmp_path / "graphlint.toml").write_text('accept-losses = ["checks"]\n')
    assert checked().stdout == "All checks passed!\n"
    assert "GL607" in checked("--extend-select", "GL607").stdout  # the command line comes later
    (tmp_path / "graphlint.toml").write_text('accept-losses = ["state"]\n')
    assert "GL607" in checked().stdout


def test_a_loss_that_fails_is_accepted_like_any_finding(tmp_path, artifacts):
    path = tmp_path / "model.pt2"
    shutil.copy(artifacts / "2.13.0" / "key_value_cache.pt2", path)

    def codes(**options):
        return [one.code for one in graphlint.lint(path, target="onnx", **options).diagnostics]

    assert codes() == ["GL603"]
    assert codes(ignore="lost-state") == []
    (tmp_path / "graphlint.toml").write_text('accept-losses = ["state"]\n')
    assert codes() == []
    (tmp_path / "graphlint.toml").write_text('per-file-ignores = { "model.pt2" = ["GL603"] }\n')
    assert codes() == []


@pytest.mark.parametrize(
    ("value", "said"),
    [('["prints"]', "accept-losses[0]: unknown value 'prints', expected one of state, "), ("1", "expected a list")],
)
def test_mistakes_are_named(checked, tmp_path, value, said):
    (tmp_path / "graphlint.toml").write_text(f"accept-losses = {value}\n")
    run = checked()
    assert run.returncode == 2
    assert said in run.stderr


@pytest.mark.parametrize("target", ["inductor", "onnx", "executorch"])
def test_nothing_is_lost_of_state_that_became_inputs_and_outputs(tmp_path, target):
    import torch

    path, _ = saved(tmp_path, stateful(torch.tensor([3.0])), torch.ones(1))
    assert {one.code for one in graphlint.lint(path, target=target, isolated=True).diagnostics} <= {"GL603", "GL604"}
    fixed = graphlint.fix(path, target=target, state="io", isolated=True)
    assert [one.code for one in fixed.fixed] == ["GL103", "GL502"]
    assert not graphlint.lint(path, target=target, isolated=True).diagnostics
    result, state = torch.export.load(path).module()(torch.ones(1), state=torch.tensor([3.0]))
    assert (result.tolist(), [one.tolist() for one in state.values()]) == ([8.0], [[4.0]])
