"""GL101 to GL107: which writes are whose."""

from __future__ import annotations

import pytest
from tests.text_form import document_of, parse_program

from graphlint.rules.settings import Settings
from graphlint.rules.view import ProgramView

INPUTS = {
    "GL102": "%t: f32[4]",
    "GL103": '%t: f32[4] = buffer "a.t"',
    "GL104": '%t: f32[4] = parameter "a.t"',
    "GL105": '%t: f32[4] = tensor_constant "a.t"',
}
MUTATIONS = {"GL101", "GL102", "GL103", "GL104", "GL105", "GL106", "GL107"}


@pytest.fixture
def mutations(lint_text):
    """(code, op, storage, message) of the findings on writes."""

    def lint(text, **settings):
        return [
            (one.code, one.op, one.storage.describe() if one.storage else None, one.message)
            for one in lint_text(text, **settings)
            if one.code in MUTATIONS | {"GL304"}
        ]

    return lint


@pytest.mark.parametrize("code", INPUTS)
def test_each_kind_of_storage_has_its_rule(mutations, code):
    text = f"graph({INPUTS[code]}):\n  %w: f32[4] = aten.add_.Tensor(%t, 1)\n  return %w\n"
    (found,) = mutations(text)
    kind = {"GL102": "user input 't'", "GL103": "buffer 'a.t'", "GL104": "parameter 'a.t'", "GL105": "constant 'a.t'"}
    assert found == (code, "aten.add_.Tensor", kind[code], f"aten.add_.Tensor writes {kind[code]}")


@pytest.mark.parametrize("code", INPUTS)
def test_out_into_a_storage_is_two_findings(mutations, code):
    text = f"graph({INPUTS[code]}, %x: f32[4]):\n  %w: f32[4] = aten.add.out(%x, 1, out=%t)\n  return %w\n"
    assert [(one, op) for one, op, *_ in mutations(text)] == [(code, "aten.add.out"), ("GL106", "aten.add.out")]


def test_out_into_an_intermediate_is_one_finding(mutations):
    text = """\
graph(%x: f32[4]):
  %o: f32[4] = aten.empty_like.default(%x)
  %w: f32[4] = aten.add.out(%x, 1, out=%o)
  return %w
"""
    assert mutations(text) == [
        ("GL106", "aten.add.out", "intermediate tensor %o", "aten.add.out writes intermediate tensor %o")
    ]


def test_a_write_to_several_buffers_is_a_finding_for_each(mutations):
    text = """\
graph(%a: f32[4] = buffer "a", %b: f32[4] = buffer "b", %x: f32[4]):
  %y: f32[4] = aten.sin.default(%x)
  %z: f32[4] = aten.cos.default(%x)
  %v: f32[4] = aten.view.default(%y, [4])
  aten._foreach_add_.Scalar([%a, %y, %b, %z, %a, %v], 1)
  return %y
"""
    op = "aten._foreach_add_.Scalar"
    assert mutations(text) == [
        ("GL101", op, "intermediate tensor %y", f"{op} writes intermediate tensor %y and 1 more of its kind"),
        ("GL103", op, "buffer 'a'", f"{op} writes buffer 'a'"),
        ("GL103", op, "buffer 'b'", f"{op} writes buffer 'b'"),
    ]


def test_views_are_named_and_uncertain_writes_are_said_to_be(mutations):
    text = """\
graph(%b: f32[4, 4] = buffer "b", %x: f32[4, 4]):
  %s: f32[4] = aten.select.int(%b, 0, 1)
  %w: f32[4] = aten.add_.Tensor(%s, 1)
  %d: f32[4, 4] = aten.to_dense.default(%x)
  %v: f32[4, 4] = aten.add_.Tensor(%d, 1)
  return %v
"""
    op = "aten.add_.Tensor"
    assert mutations(text) == [
        ("GL103", op, "buffer 'b' through select", f"{op} writes buffer 'b' through select"),
        ("GL102", op, "user input 'x' through to_dense", f"{op} may write user input 'x' through to_dense"),
    ]


@pytest.mark.parametrize("op", ["t_.default(%y)", "squeeze_.default(%y)", "transpose_.default(%y, 0, 1)"])
def test_in_place_views_are_writes(mutations, op):
    text = f"graph(%x: f32[4, 4]):\n  %y: f32[4, 4] = aten.sin.default(%x)\n  %w: f32[4, 4] = aten.{op}\n  return %w\n"
    assert [code for code, *_ in mutations(text)] == ["GL101"]


def test_functional_twins_are_not_flagged(lint_text):
    text = """\
graph(%b: f32[4] = buffer "b", %x: f32[4]):
  %a: f32[4] = aten.add.Tensor(%b, %x)
  %c: f32[4] = aten.copy.default(%b, %x)
  %f: f32[4] = aten.fill.Scalar(%c, 1)
  return buffer "b" <- %a, %f
"""
    assert [one.code for one in lint_text(text)] == ["GL501", "GL502"]


BATCH_NORM = """\
graph(%m: f32[4] = buffer "mean", %v: f32[4] = buffer "var", %x: f32[2, 4]):
  %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, STATISTICS, TRAINING, 0.1, 1e-05, True)
  return %y
"""


@pytest.mark.parametrize(
    ("statistics", "training", "flagged"),
    [
        ("%m, %v", "True", True),
        ("%m, %v", "False", False),
        ("None, None", "True", False),
        ("None, None", "False", False),
    ],
)
def test_batch_norm(mutations, statistics, training, flagged):
    text = BATCH_NORM.replace("STATISTICS", statistics).replace("TRAINING", training)
    message = "aten.batch_norm.default writes buffer 'mean' and buffer 'var', which its schema does not say"
    expected = [("GL107", "aten.batch_norm.default", "buffer 'mean'", message)]
    assert mutations(text) == (expected if flagged else [])


@pytest.mark.parametrize(("statistics", "own", "flagged"), [("%m, %v", "True", True), ("%m, %v", "False", False)])
def test_instance_norm(mutations, statistics, own, flagged):
    text = BATCH_NORM.replace("batch_norm", "instance_norm").replace("STATISTICS", statistics).replace("TRAINING", own)
    assert [code for code, *_ in mutations(text)] == (["GL107"] if flagged else [])


def test_functional_batch_norm_is_not_flagged(lint_text):
    text = """\
graph(%m: f32[4] = buffer "m", %v: f32[4] = buffer "v", %x: f32[2, 4]):
  %y: f32[2, 4], %a: f32[4], %b: f32[4], %c: f32[4], %d: f32[4] = \
aten._native_batch_norm_legit_functional.default(%x, None, None, %m, %v, True, 0.1, 1e-05)
  return buffer "m" <- %c, buffer "v" <- %d, %y
"""
    assert {one.code for one in lint_text(text)} == {"GL501", "GL502"}


def test_positions_are_in_program_order(lint_text):
    text = """\
graph(%p: b8[], %x: f32[4]):
  %y: f32[4] = aten.sin.default(%x)
  %c: f32[4] = higher_order.cond(%p, @yes, @no, [%y])
    @yes(%a: f32[4]):
      %w: f32[4] = aten.add_.Tensor(%a, 1)
      %s: f32[4] = aten.sin.default(%w)
      return %s
    @no(%a: f32[4]):
      %r: f32[4] = aten.rand_like.default(%a)
      return %r
  %z: f32[4] = aten.mul_.Tensor(%c, 2)
  return %z
"""
    found = [(one.position, one.code, one.subgraph, one.node) for one in lint_text(text)]
    assert found == [
        (2, "GL101", ("cond", "yes"), "w"),
        (4, "GL302", ("cond", "no"), "r"),
        (5, "GL101", (), "z"),
    ]


@pytest.mark.parametrize("key", ["sizes", "strides", "device", "layout", "dtype"])
def test_tensors_of_which_too_little_is_recorded_are_left_alone(key):
    tree = parse_program('graph(%b: f32[] = buffer "b"):\n  %w: f32[] = aten.add_.Tensor(%b, 1)\n  return %w\n')
    del tree["graph_module"]["graph"]["tensor_values"]["b"][key]
    document = document_of(tree)
    view = ProgramView(document, Settings(frozenset(), frozenset()))
    assert view.write_plan.blocked == {0: "the artifact records too little of %b"}


def test_a_write_that_is_said_to_return_a_number_is_left_alone():
    text = """
graph(%x: i64[]):
  $item: int[u0] = aten.item.default(%x)
  $ge: bool[u0 >= 2] = _operator.ge($item, 2)
  return %x
"""
    tree = parse_program(text)
    tree["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.zero_.default"
    view = ProgramView(document_of(tree), Settings(frozenset(), frozenset()))
    assert view.write_plan.blocked == {0: "the artifact records that aten.zero_.default returns a number"}


def test_statistics_of_different_ranks_are_left_alone(lint_text):
    text = """
graph(%b_m: f32[3] = buffer "m", %b_v: f32[1, 3] = buffer "v", %x: f32[2, 3]):
  %y: f32[2, 3] = aten.batch_norm.default(%x, None, None, %b_m, %b_v, True, 0.1, 1e-05, False)
  return %y
"""
    found = [one for one in lint_text(text) if one.code == "GL107"]
    assert {one.fix.message for one in found} == {"the artifact contradicts itself on the shape of %b_v"}
    assert not any(one.fixable for one in found)
