"""Targets as data, and how several combine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.text_form import document_of

import graphlint
from graphlint.artifact.errors import ConfigError
from graphlint.ops.table import op_table
from graphlint.rules.fixing import fix_program
from graphlint.rules.refusal_conditions import told
from graphlint.rules.registry import RULES
from graphlint.rules.settings import OpRow, Profile, RefusedOp, Settings, covers, rows_about
from graphlint.rules.target_refusals import RefusedByTarget
from graphlint.rules.targets import documentation
from graphlint.rules.targets.model import all_targets, load_target, profile_of, row_of

TARGETS = all_targets()
NAMES = [target.name for target in TARGETS]
PACKAGE = Path(graphlint.__file__).parent


def test_each_file_is_a_target_and_each_target_a_file():
    assert {path.stem for path in (PACKAGE / "rules" / "targets").glob("*.toml")} == set(NAMES)
    assert [load_target(name) for name in NAMES] == TARGETS


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_rows_name_rules_and_ops_that_exist(target):
    codes = [rule.code for rule in RULES]
    for selector in target.rules:
        assert [code for code in codes if code.startswith(selector)], selector
    for case in {case for rows in target.ops.values() for row in rows for case in row.cases}:
        assert told(case).startswith(" where ") or not case
    for op in target.ops:
        table = op_table()
        assert any(covers(op, name) for name in table.names()), op
    of_ops = (row for rows in target.ops.values() for row in rows)
    rows = (*of_ops, *target.inputs.values(), *target.outputs.values())
    for row in (*target.rules.values(), *rows, *target.losses.values()):
        assert row.because
    # What is said of a consumer was measured with some version of it.
    assert bool(target.measured) == bool(target.rules)


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_what_is_taken_by_overload_hides_no_row_for_some_cases(target):
    taken = {op for op, rows in target.ops.items() if any(row.taken for row in rows)}
    for op in (op for op in map(op_table().lookup, op_table().names()) if op.name in taken and not op.out_variant):
        about = [row for pattern, rows in target.ops.items() if covers(pattern, op.name) for row in rows]
        assert not [row for row in about if "" not in row.cases and row not in rows_about(target.ops, op.name)], op.name


@pytest.mark.parametrize("target", TARGETS, ids=NAMES)
def test_what_is_kept_is_no_violation_and_what_is_refused_is_one(target):
    for rule in RULES:
        row = row_of(target, rule)
        if row.fix == "keep":
            assert not row.violation, rule.code
        if row.fix in ("message", "strip", "refuse"):
            assert row.violation, rule.code


def test_functional_is_the_default():
    profile = profile_of(["functional"])
    assert profile.violations == {rule.code for rule in RULES if rule.enabled_by_default}
    assert profile == Profile(chosen=True, violations=profile.violations)


def test_the_strictest_of_several_counts():
    both = profile_of(["inductor", "coreml", "inductor"])
    alone = profile_of(["inductor"])
    assert both.targets == ("inductor", "coreml")
    assert {"GL101", "GL102", "GL501"} <= both.violations - alone.violations
    assert "GL101" not in both.actions
    assert both.codes("message") == {"GL202"}
    assert both.codes("strip") == {"GL301"}
    assert both.actions["GL102"].fix == "refuse"
    assert both.actions["GL102"].target == "coreml"
    assert [target for target, _ in both.refused_op("aten._make_dep_token.default").rows] == ["inductor", "coreml"]
    assert both.refused_op("aten.relu.default") is None
    assert both.aten_label
    assert [one.target for one in both.losses["checks"]] == ["coreml"]
    assert [one.target for one in both.losses["state"]] == ["inductor"]


@pytest.mark.parametrize("other", ["inductor", "onnx", "executorch", "coreml"])
def test_contradictions_are_errors(other):
    with pytest.raises(ConfigError, match=f"the targets functional and {other} contradict each other.*GL201"):
        profile_of([other, "functional"])


def test_module_contradicts_nobody():
    for name in NAMES:
        assert profile_of(["module", name]).targets == tuple(dict.fromkeys(["module", name]))


def test_unknown_targets_are_errors():
    with pytest.raises(ConfigError, match="unknown target 'onx'; did you mean 'onnx'"):
        profile_of(["onx"])
    with pytest.raises(ConfigError, match="unknown target 'zzzz'; known are functional, module"):
        profile_of(["zzzz"])


def test_the_reference_is_up_to_date():
    reference = (PACKAGE.parent / "TARGETS.md").read_text(encoding="utf-8")
    assert reference == documentation.reference(), "run python -m graphlint.rules.targets.documentation"


def test_described_is_json():
    for target in TARGETS:
        described = json.loads(json.dumps(documentation.described(target)))
        assert set(described["rules"]) == {rule.code for rule in RULES}


EXAMPLES = re.findall(r"```graph target=(\w+)\n(.*?)```", RefusedByTarget().documentation, re.DOTALL)


def test_the_rules_own_examples(lint_text):
    (bad_target, bad), (good_target, good) = EXAMPLES
    assert [one.code for one in lint_text(bad, profile=profile_of([bad_target])) if one.code == "GL601"]
    assert not [one.code for one in lint_text(good, profile=profile_of([good_target])) if one.code == "GL601"]
    assert not [one.code for one in lint_text(bad) if one.code == "GL601"]


def test_outputs_that_are_refused(lint_text):
    text = 'graph(%x: f32[3]):\n  %relu: f32[3] = aten.relu.default(%x)\n  return input "x" <- %relu, %relu\n'
    (found,) = [one for one in lint_text(text, profile=profile_of(["coreml"])) if one.code == "GL601"]
    assert found.message.startswith("an output of kind user_input_mutation is refused by coreml: ")
    assert found.node is None


def test_what_has_results_is_not_stripped(lint_text):
    text = 'graph(%x: f32[3]):\n  %shown: f32[3] = higher_order.print("x")\n  return %shown\n'
    (found,) = [one for one in lint_text(text, profile=profile_of(["onnx"])) if one.code == "GL301"]
    assert (found.fix.applicability, found.fix.message) == ("none", "its results are used")
    (without,) = [
        one
        for one in lint_text(text.replace("%shown: f32[3] = ", "").replace("return %shown", "return %x"),
                             profile=profile_of(["onnx"]))
        if one.code == "GL301"
    ]  # fmt: skip
    assert without.fix.applicability == "unsafe"


TWO_TOKENS = """
graph(%x: f32[3], %ok: b8[]):
  %dep_token0: f32[] = aten._make_dep_token.default()
  %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "must hold", dep_token=%dep_token0)
  %dep_token2: f32[] = aten._make_dep_token.default()
  return %x
"""


def test_tokens_that_no_check_takes_stay_and_are_said_to(lint_text):
    profile = profile_of(["inductor"])
    first, second = (one.fix for one in lint_text(TWO_TOKENS, profile=profile) if one.code == "GL601")
    assert first.applicability == "safe"
    assert (second.applicability, second.message) == ("none", "no functional check takes its token")


def test_a_fix_ends_where_a_token_stays():
    every = frozenset(rule.code for rule in RULES)
    settings = Settings(enabled=every, fixable=every, profile=profile_of(["inductor"]))
    fixed = fix_program(document_of(TWO_TOKENS), "model", "model.pt2", settings)
    assert [one.node for one in fixed.fixed if one.code == "GL601"] == ["dep_token0"]
    assert [one.node for one in fixed.remaining if one.code == "GL601"] == ["dep_token2"]


def test_no_fix_is_promised_for_what_is_written_together_with_what_stays(lint_text):
    """Core ML takes writes to inputs in no form, so that they stay, and with them what shares a node or memory."""
    text = """
graph(%x: f32[3], %z: f32[3]):
  %y: f32[3] = aten.mul.Tensor(%z, 2)
  aten._foreach_add_.Scalar([%x, %y], 1)
  %mul_: f32[3] = aten.mul_.Tensor(%y, 2)
  %w: f32[3] = aten.mul.Tensor(%z, 3)
  %neg_: f32[3] = aten.neg_.default(%w)
  return %mul_, %neg_
"""
    refusal = "coreml: Core ML inputs are immutable, in either form of the write"
    together = "it is written together with a tensor that cannot be: "
    found = lint_text(text, profile=profile_of(["coreml"]))
    assert [(one.code, one.fix.message) for one in found if one.code.startswith("GL1")] == [
        ("GL101", together + refusal),
        ("GL102", refusal),
        ("GL101", "another write to the same tensor is not selected for fixing"),
        ("GL101", "becomes aten.neg.default"),
    ]


@pytest.mark.parametrize(
    ("indices", "refused"),
    [("[None, %i?]", True), ("[%i?, None]", True), ("[%i?]", False), ("[%i?, %i?]", False)],
)
def test_what_is_refused_where_something_is_left_out(lint_text, indices, refused):
    text = f"""
graph(%c: f32[8, 8], %i: i64[2], %v: f32[]):
  %index_put: f32[8, 8] = aten.index_put.default(%c, {indices}, %v)
  return %index_put
"""
    found = [one.message for one in lint_text(text, profile=profile_of(["coreml"])) if one.code == "GL601"]
    assert [one.startswith("aten.index_put.default is refused by coreml: ") for one in found] == [True] * refused
    assert not [one for one in lint_text(text, profile=profile_of(["onnx"])) if one.code == "GL601"]


def test_each_target_refuses_an_op_in_its_own_cases():
    gaps, always = OpRow("gaps", where="gaps"), OpRow("always")
    refused = RefusedOp((("a", [gaps]), ("b", [always])))
    said = [refused.at({"", *met}.__contains__) for met in ((), ("gaps",))]
    assert [(one.targets, one.because) for one in said] == [(("b",), "always"), (("a", "b"), "gaps")]
    assert RefusedOp((("a", [gaps]),)).at("".__eq__) is None


def test_rows_for_some_cases_go_on_to_the_next():
    rows = {
        "*": (OpRow("unknown"),),
        "aten.pool": (OpRow("stride", where="unstrided", form="spelled"), OpRow("dilation", where="dilated")),
        "aten.known": (OpRow("", taken=True),),
        "aten.known.out": (OpRow("out"),),
    }
    said = {op: [row.because for row in rows_about(rows, op)] for op in ("aten.pool.default", "aten.known.default")}
    assert said == {"aten.pool.default": ["dilation", "stride"], "aten.known.default": []}
    assert [row.because for row in rows_about(rows, "aten.known.out")] == ["out"]
    assert [row.because for row in rows_about(rows, "mylib.other.default")] == ["unknown"]


NUMBERS = """
program TRAINING
range u0 = [0, None]
graph(%x: f32[8, 4], %n: i64[]):
  $item: int[u0] = aten.item.default(%n)
  NODE
  return %y
"""


@pytest.mark.parametrize(
    ("target", "node", "refused"),
    [
        ("coreml", "%y: f32[2, 4] = aten.narrow.default(%x, 0, $item, 2)", True),
        ("coreml", "%y: f32[2, 4] = aten.narrow.default(%x, 0, 1, 2)", False),
        ("executorch", "%y: f32[Min(8, u0), 4] = aten.slice.Tensor(%x, 0, None, $item)", True),
        ("executorch", "%y: f32[u0, 4] = aten.slice.Tensor(%x, 0, None, $item)", False),
        ("executorch", "%y: f32[2, 4] = aten.slice.Tensor(%x, 0, None, 2)", False),
        ("onnx", "%y: f32[Min(8, u0), 4] = aten.slice.Tensor(%x, 0, None, $item)", False),
    ],
)
def test_what_is_refused_for_numbers_that_data_tell(lint_text, target, node, refused):
    found = lint_text(NUMBERS.replace("NODE", node), profile=profile_of([target]))
    assert [one.node for one in found if one.code == "GL601"] == ["y"] * refused


@pytest.mark.parametrize(
    ("node", "refused"),
    [
        ("%y: i64[4] = aten.floor_divide.default(%n, 2)", True),
        ("%y: f32[4] = aten.floor_divide.default(%x, 2)", False),
        ("%y: f32[] = aten.var.correction(%x)", True),
        ("%y: f32[] = aten.var.correction(%x, [0])", False),
    ],
)
def test_what_is_refused_of_integers_and_of_all_dimensions(lint_text, node, refused):
    text = f"graph(%x: f32[4], %n: i64[4]):\n  {node}\n  return %y\n"
    found = lint_text(text, profile=profile_of(["openvino"]))
    assert [one.node for one in found if one.code == "GL601"] == ["y"] * refused


@pytest.mark.parametrize(
    ("nodes", "refused"),
    [
        ("%y: i64[4] = aten.abs.default(%n)", True),
        ("%y: f32[4] = aten.abs.default(%x)", False),
        ("%y: i64[] = aten.argmax.default(%n)", True),
        ("%y: i64[] = aten.argmax.default(%x)", False),
        ("%y: f32[4] = aten.index_put.default(%x, [%n], %x)", False),
        ("%y: f32[4] = aten.index_put.default(%x, [%n], %x, True)", True),
        ("%y: f32[4] = aten.index_put.default(%x, [%m], %x)", True),
        ("%y: f32[1, 2, 3, 4] = aten.scaled_dot_product_attention.default(%q, %q, %q)", False),
        ("%y: f32[1, 2, 3, 4] = aten.scaled_dot_product_attention.default(%q, %q, %q, %m)", True),
        ("%y: f32[1, 2, 5, 6] = aten.conv_transpose2d.input(%q, %w)", False),
        ("%y: f32[1, 2, 3, 4] = aten.conv_transpose2d.input(%q, %w, None, [1, 1], [1, 1])", True),
        (
            "%y: f32[1, 2, 3, 4] = aten.convolution.default(%q, %w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)",
            False,
        ),
        ("%y: f32[1, 2, 3, 4] = aten.convolution.default(%q, %w, None, [1, 1], [1, 1], [1, 1], True, [0, 0], 1)", True),
        ("%y: f32[1, 2, 4] = aten.conv1d.default(%r, %e)", False),
        ("%y: f32[2, 4] = aten.conv1d.default(%h, %e)", True),
        ('%y: f32[1, 2, 4] = aten.conv1d.padding(%r, %e, None, [1], "same")', True),
        ('%y: f32[1, 2, 4] = aten.conv1d.padding(%r, %e, None, [1], "valid")', False),
        ("%y: f32[1, 2, 3, 4, 5] = aten.conv3d.default(%v, %k)", False),
        ("%y: f32[1, 2, 3, 4, 5] = aten.conv3d.default(%v, %g, groups=2)", True),
        ('%y: f32[1, 2, 3, 4, 5] = aten.conv3d.padding(%v, %k, None, [1, 1, 1], "same")', False),
        ('%y: f32[1, 2, 3, 4, 5] = aten.conv3d.padding(%v, %u, None, [1, 1, 1], "same")', True),
        ("%y: f32[1, 2, 3, 4] = aten.flip.default(%q, [1, 2])", False),
        ("%y: f32[1, 2, 3, 4] = aten.flip.default(%q, [-1, 1])", True),
        ('%y: f32[1, 2, 5, 6] = aten.pad.default(%q, [1, 1, 1, 1], "reflect")', False),
        ('%y: f32[1, 2, 3, 4] = aten.pad.default(%q, [1, -1, 1, -1], "reflect")', True),
        ("%y: f32[1, 2, 3, 4] = aten.pad.default(%q, [1, -1, 1, -1])", False),
        ('%y: f32[1, 4, 6] = aten.pad.default(%r, [1, 1, 1, 1], "replicate")', True),
        ("%y: f32[1, 2, 6, 8] = aten.upsample_bilinear2d.vec(%q, None, False, [2.0, 2.0])", False),
        ("%y: f32[1, 2, 5, 6] = aten.upsample_bilinear2d.vec(%q, None, False, [1.7, 1.7])", True),
        ("%y: f32[1, 2, 5, 6] = aten.upsample_bilinear2d.vec(%q, None, True, [1.7, 1.7])", False),
        ("%y: f32[1, 2, 5, 6] = aten.upsample_bilinear2d.vec(%q, [5, 6], False, None)", False),
        ("%y: f32[1, 2, 3, 4] = aten.avg_pool2d.default(%q, [3, 3], [1, 1], [1, 1])", False),
        ("%y: f32[1, 2, 3, 4] = aten.avg_pool2d.default(%q, [3, 3], [1, 1], [1])", True),
        ("%y: f32[1, 2, 1, 2] = aten.max_pool2d.default(%q, [3, 3], [2, 2], [0, 0], [1, 1], True)", True),
        ("%y: f32[1, 2, 2, 2] = aten.max_pool2d.default(%q, [2, 2], [2, 2], [0, 0], [1, 1], True)", False),
        ("%y: f32[1, 2, 1, 1] = aten.max_pool2d.default(%q, [3, 3], [2, 2])", False),
        ("[%y: f32[1, 1, 3, 4], %z: f32[1, 1, 3, 4]] = aten.split.Tensor(%q, 1, 1)", False),
        ("[%y: f32[1, 2, 3, 4]] = aten.split.Tensor(%q, 2, 1)", True),
        ("%y: f32[1, 2, 2, 2] = aten.unfold.default(%r, 2, 2, 2)", False),
        ("%y: f32[1, 2, 3, 2, 2] = aten.unfold.default(%q, 3, 2, 2)", True),
    ],
)
def test_where_litert_refuses_an_op(lint_text, nodes, refused):
    inputs = (
        "%x: f32[4], %n: i64[4], %m: b8[4], %q: f32[1, 2, 3, 4], %w: f32[2, 2, 3, 3], %r: f32[1, 2, 4], %h: f32[2, 4], "
        "%e: f32[2, 2, 3], %v: f32[1, 2, 3, 4, 5], %k: f32[2, 2, 3, 3, 3], %g: f32[2, 1, 3, 3, 3], "
        "%u: f32[2, 2, 2, 2, 2]"
    )
    found = lint_text(f"graph({inputs}):\n  {nodes}\n  return %y\n", profile=profile_of(["litert"]))
    assert [one.node for one in found if one.code == "GL601"] == ["y"] * refused


@pytest.mark.parametrize(
    ("nodes", "refused"),
    [
        ("%y: i64[4] = aten.neg.default(%a)", True),
        ("%y: f32[4] = aten.mul.Tensor(%x, %a)", False),
        ("%b: i64[4] = aten.neg.default(%a)\n  %y: f32[4] = aten.mul.Tensor(%x, %b)", False),
        ("%c: i64[8] = aten.cat.default([%n, %a])\n  %y: f32[8] = aten.div.Tensor(%c, 2)", True),
        ("%y: f32[4] = aten.index.Tensor(%x, [%a])", False),
    ],
)
def test_integers_that_come_to_be_among_the_outputs(lint_text, nodes, refused):
    made = "%a: i64[4] = aten.arange.start_step(0, 4)"
    text = f"graph(%x: f32[4], %n: i64[4]):\n  {made}\n  {nodes}\n  return %y\n"
    found = lint_text(text, profile=profile_of(["litert"]))
    assert [one.node for one in found if one.code == "GL601"] == ["a"] * refused


@pytest.mark.parametrize(
    ("nodes", "refused"),
    [
        ("%y: f32[4] = aten.add.Tensor(%x, %x)", False),
        ("%y: f32[4] = aten.add.Tensor(%x, %x, alpha=2)", True),
        ("%y: f32[4] = aten.add.Tensor(%x, 2.5)", False),
        ("%y: f32[4] = aten.add.Tensor(%n, 2.5)", True),
        ("%y: i64[4] = aten.add.Tensor(%n, 2)", False),
        ("%y: f32[4] = aten.add.Tensor(%x, %n)", True),
        ("%y: i64[4] = aten.add.Tensor(%m, 1)", True),
        ("%y: f32[4] = aten.where.self(%m, %x, %x)", False),
        ("%y: f32[4] = aten.where.self(%m, %x, %n)", True),
        ("%y: f32[4] = aten.div.Tensor(%n, %n)", True),
        ("%y: f32[4] = aten.cumsum.default(%x, 0)", False),
        ("%y: f32[] = aten.cumsum.default(%z, 0)", True),
        ("%y: f32[] = aten.select.int(%x, 0, 1)", False),
        ("%y: f32[] = aten.select.int(%x, 0, -1)", True),
        ("%y: f32[] = aten.linalg_vector_norm.default(%x, 1.0)", False),
        ("%y: f32[] = aten.linalg_vector_norm.default(%x, 0)", True),
        ("%y: f32[1, 2, 2, 2] = aten.avg_pool2d.default(%q, [2, 2])", False),
        ("%y: f32[1, 2, 2, 2] = aten.avg_pool2d.default(%q, [2, 2], divisor_override=3)", True),
        ("%y: f32[1, 2, 3, 4] = aten.group_norm.default(%q, 1, %w)", False),
        ("%y: f32[1, 2, 3, 4] = aten.group_norm.default(%q, 1)", True),
        ("%y: f32[4] = aten.randn_like.default(%x)", True),
        ("%y: f32[4] = mylib.gelu.default(%x)", True),
        ("%y: f32[4] = aten.of_a_later_torch.default(%x)", True),
        ("%y: f32[4] = higher_order.while_loop(%x)", True),
    ],
)
def test_where_tvm_refuses_an_op(lint_text, nodes, refused):
    inputs = "%x: f32[4], %n: i64[4], %m: b8[4], %z: f32[], %q: f32[1, 2, 3, 4], %w: f32[2]"
    found = lint_text(f"graph({inputs}):\n  {nodes}\n  return %y\n", profile=profile_of(["tvm"]))
    assert [one.code for one in found if one.code == "GL601"] == ["GL601"] * refused


@pytest.mark.parametrize(
    ("nodes", "refused"),
    [
        ("%y: f32[4] = aten.relu.default(%x)", False),
        ("%y: f32[4] = aten.where.ScalarOther(%m, %x, 0.0)", True),
        ("%y: f32[4] = mylib.gelu.default(%x)", True),
        ("%y: f32[4] = aten.of_a_later_torch.default(%x)", True),
        ("%y: f32[4] = aten.relu_.default(%x)", False),
        ("%y: f32[4] = aten.roll.default(%x, [1])", True),
        ("%y: f32[4] = aten.roll.default(%x, [1], [0])", False),
        ("%y: f32[3] = aten.matmul.default(%u, %x)", True),
        ("%y: f32[4] = aten.matmul.default(%v, %u)", False),
        ("[%y: f32[4]] = aten.meshgrid.indexing([%x])", True),
        ('[%y: f32[4, 4], %w: f32[4, 4]] = aten.meshgrid.indexing([%x, %x], indexing="ij")', False),
        ("%y: f32[3, 4] = aten.layer_norm.default(%u, [4], %b_w)", False),
        ("%y: f32[3, 4] = aten.layer_norm.default(%u, [4], %x)", True),
        ("%h: f32[4] = aten.mul.Tensor(%b_w, 2)\n  %y: f32[3, 4] = aten.layer_norm.default(%u, [4], %h)", False),
        ("%h: f32[4] = aten.mul.Tensor(%b_w, %x)\n  %y: f32[3, 4] = aten.layer_norm.default(%u, [4], %h)", True),
        ("%y: f32[6] = aten.pad.default(%x, [1, 1])", False),
        ("%y: f32[4] = aten.pad.default(%x, [1, -1])", True),
        ('%y: f32[3, 6] = aten.pad.default(%u, [1, 1], "circular")', True),
        ('%y: f32[3, 6] = aten.pad.default(%u, [1, 1], "reflect")', False),
        ("%y: f32[1, 2, 2, 2] = aten.max_pool2d.default(%q, [2, 2])", True),
        ("%y: f32[1, 2, 2, 2] = aten.max_pool2d.default(%q, [2, 2], [2, 2])", False),
        ("%y: f32[1, 2, 2, 2] = aten.max_pool2d.default(%q, [2, 2], [2, 2], [0, 0], [2, 2])", True),
        ("%y: f32[1, 1, 4, 4] = aten.col2im.default(%s, [4, 4], [2, 2], [1, 1], [0, 0], [2, 2])", False),
        ("%y: f32[1, 1, 4, 4] = aten.col2im.default(%s, [4, 4], [2, 2], [1, 1], [0, 0], [1, 1])", True),
        ("%y: f32[1, 2, 5, 6] = aten.conv2d.default(%q, %k)", False),
        ("%y: f32[2, 5, 6] = aten.conv2d.default(%c, %k)", True),
        ("%y: f32[1, 2, 5, 6] = aten.conv2d.default(%q, %k, None, [1, 1], [0, 0], [2, 2])", True),
        ("%y: f32[1, 2, 5, 6] = aten.conv_transpose2d.input(%q, %k, None, [2, 2], [1, 1], [1, 1])", False),
        ("%y: f32[1, 2, 5, 6] = aten.conv_transpose2d.input(%q, %k, None, [2, 2], [0, 0], [1, 1])", True),
        ("%y: f32[1, 2, 3, 4] = aten.scaled_dot_product_attention.default(%q, %q, %q)", False),
        ("%y: f32[1, 2, 3, 4] = aten.scaled_dot_product_attention.default(%q, %q, %q, enable_gqa=True)", True),
        ("[%y: f32[1, 2, 1, 1], %i: i64[1, 2, 1, 1]] = aten.adaptive_max_pool2d.default(%q, [1, 1])", True),
        ("%y: f32[2, 1, 2] = aten.avg_pool2d.default(%c, [2, 2], [2, 2])", True),
        ("%y: f32[2, 1, 2] = aten.max_pool2d.default(%c, [2, 2], [2, 2])", True),
        ("%y: f32[2, 3, 2] = aten.avg_pool1d.default(%c, [2], [2])", False),
        ("%y: f32[4] = aten.clamp.Tensor(%x, %b_w)", True),
        ("%y: f32[4] = aten.clamp.Tensor(%x, %b_w, %x)", False),
        ("%y: f32[4] = aten.clamp.Tensor(%x, %x)", False),
        ('%y: f32[] = aten.einsum.default("i->", [%x])', True),
        ('%y: f32[] = aten.einsum.default("i,i->", [%x, %x])', False),
        ('%y: f32[] = aten.einsum.default("i,i", [%x, %x])', True),
        ('%y: f32[3] = aten.einsum.default("...j,j->...", [%u, %x])', True),
        ('%y: f32[3] = aten.einsum.default("ij,j->i", [%u, %x])', False),
        ("%y: i64[3, 4] = aten.searchsorted.Tensor(%b_w, %u)", True),
        ("%y: i64[4] = aten.searchsorted.Tensor(%b_w, %x)", False),
        ("%y: f32[1, 2, 5, 6] = aten.conv_transpose2d.input(%q, %k, %x)", True),
        ("%y: f32[1, 2, 5, 6] = aten.conv_transpose2d.input(%q, %k, %b_w)", False),
        ("%y: f32[2, 5, 6] = aten.conv_transpose2d.input(%c, %k)", True),
        ("%y: f32[3, 4] = aten.flip.default(%u, [])", True),
        ("%y: f32[3, 4] = aten.flip.default(%u, [0])", False),
        ("[%y: f32[4], %w: f32[4]] = aten.meshgrid.indexing([%x, %n])", True),
        ("%y: f32[1, 1, 2] = aten.avg_pool3d.default(%o, [2, 2, 2], [2, 2, 2], [0, 0, 0], True)", True),
        ("%y: f32[1, 1, 2] = aten.avg_pool3d.default(%o, [2, 2, 2], [2, 2, 2], [0, 0, 0], True, False)", False),
        ("%y: f32[1, 2, 2, 2] = aten.max_pool2d.default(%q, [2], [2])", True),
        ("%y: f32[2, 3, 6] = aten.upsample_linear1d.vec(%c, None, False, [1.7])", True),
        ("%y: f32[2, 3, 6] = aten.upsample_linear1d.vec(%c, None, True, [1.7])", False),
        ("%y: f32[2, 3, 8] = aten.upsample_linear1d.vec(%c, None, False, [2.0])", False),
        ("%y: f32[1, 2, 3, 4] = aten.scaled_dot_product_attention.default(%c, %q, %q)", True),
        ("%y: f32[4] = aten.prelu.default(%x, %b_w)", True),
        ("%y: f32[3, 4] = aten.prelu.default(%u, %b_w)", False),
        ("%y: f32[1, 2, 1, 1] = aten.grid_sampler.default(%q, %g, 2, 0, False)", True),
        ("%y: f32[1, 2, 1, 1] = aten.grid_sampler.default(%q, %g, 0, 2, False)", False),
        ("%y: f32[] = aten.nll_loss_nd.default(%u, %r, None, 1, -100)", False),
        ("%y: f32[] = aten.nll_loss_nd.default(%u, %r, %x, 1, -100)", True),
        ("%y: f32[] = aten.nll_loss_nd.default(%u, %r, None, 1, 2)", True),
        ("%y: f32[] = aten.nll_loss_nd.default(%x, %t, None, 1, -100)", True),
        ("%y: f32[1, 3] = aten.gather.default(%u, 0, %j)", True),
        ("%y: f32[1, 3] = aten.gather.default(%v2, 0, %j)", False),
        ("%y: f32[3, 4] = aten.scatter.value(%u, 0, %j, 1)", True),
        ("%y: f32[2, 3] = aten.scatter.src(%v2, 0, %j, %v2)", True),
        ("%y: f32[2, 3] = aten.scatter.value(%v2, 0, %j, 1)", False),
        ("[%y: f32[4], %w: i64[4]] = aten.sort.stable(%x, stable=True)", True),
        ("[%y: f32[4], %w: i64[4]] = aten.sort.default(%x)", False),
        ("%y: f32[0, 4] = aten.repeat.default(%u, [0, 1])", True),
        ("%y: f32[2, 3, 4] = aten.tile.default(%u, [2, 1, 1])", True),
        ("%y: f32[3, 8] = aten.tile.default(%u, [2])", False),
        ("%y: f32[4] = aten.hardtanh.default(%x, 0.0, 0.0)", True),
        ("%y: f32[] = aten.linalg_vector_norm.default(%x, 0)", True),
        ('%y: f32[] = aten.linalg_norm.ord_str(%u, "nuc")', True),
        ("%y: f32[] = aten.linalg_norm.default(%u, 2)", True),
        ("%y: f32[] = aten.linalg_norm.default(%x, 2)", False),
        ("%y: f32[] = aten.linalg_norm.default(%u, inf)", False),
    ],
)
def test_where_coreml_refuses_an_op(lint_text, nodes, refused):
    inputs = (
        '%b_w: f32[4] = buffer "w", %x: f32[4], %m: b8[4], %u: f32[3, 4], %v: f32[3], %q: f32[1, 2, 3, 4], '
        "%c: f32[2, 3, 4], %k: f32[2, 2, 3, 3], %s: f32[1, 4, 4], %n: f32[], %o: f32[1, 1, 2, 2, 3], "
        "%g: f32[1, 1, 1, 2], %r: i64[3], %t: i64[], %j: i64[1, 3], %v2: f32[2, 3]"
    )
    found = lint_text(f"graph({inputs}):\n  {nodes}\n  return %y\n", profile=profile_of(["coreml"]))
    assert [one.code for one in found if one.code == "GL601"] == ["GL601"] * refused


@pytest.mark.parametrize(
    ("target", "nodes", "refused"),
    [
        ("onnx", "%y: f32[2] = aten.index.Tensor(%x, [%i])", True),
        ("onnx", "%y: f32[2] = aten.index.Tensor(%x, [%l])", False),
        ("onnx", "%y: f32[2] = aten.index.Tensor(%x, [%m])", False),
        ("onnx", "%y: f32[4] = aten.index_put.default(%x, [%i], %x)", True),
        ("iree", "%y: f32[2] = aten.index.Tensor(%x, [%i])", True),
        ("iree", "%y: f32[4] = aten.index_put.default(%x, [%i], %x)", True),
        ("iree", "%y: f32[4] = aten.index_put.default(%x, [%l], %x)", False),
        ("openvino", "%y: f32[1, 1, 1] = aten.conv1d.default(%z, %z)", True),
        ("openvino", "%y: f32[1, 1, 1] = aten.conv1d.default(%z, %b_k)", False),
        ("openvino", "%y: i64[2] = aten.bitwise_or.Scalar(%l, 1)", True),
        ("openvino", "%y: i64[2] = aten.bitwise_or.Tensor(%l, %l)", False),
        ("openvino", '%y: f32[] = aten.einsum.default("i,i->", [%x, %x])', True),
        ("openvino", '%y: f32[] = aten.einsum.default("i,j->", [%x, %x])', False),
        ("openvino", '%y: f32[] = aten.einsum.default("i->", [%x])', False),
        ("openvino", '%y: f32[4] = aten.einsum.default("i, i -> i", [%x, %x])', False),
        ("openvino", '%y: f32[4] = aten.einsum.default("...ii->...i", [%d])', True),
        ("openvino", "%y: f32[] = aten.linalg_vector_norm.default(%x)", True),
        ("openvino", "%y: f32[] = aten.linalg_vector_norm.default(%x, 2, [0])", False),
        ("openvino", "%y: f32[] = aten.linalg_vector_norm.default(%x, 0, [0])", True),
        ("openvino", "%y: f32[4, 4] = aten.group_norm.default(%d, 2)", True),
        ("openvino", "%y: f32[1, 1, 3] = aten.group_norm.default(%z, 1)", False),
        ("iree", "%y: f32[1, 1, 1, 1] = aten.avg_pool2d.default(%g, [1, 2], [1, 2], divisor_override=-2)", True),
        ("iree", "%y: f32[1, 1, 1, 1] = aten.avg_pool2d.default(%g, [1, 2], [1, 2], divisor_override=2)", False),
        ("openvino", "%y: f32[4] = aten.var.correction(%d, [0], correction=2)", True),
        ("openvino", "%y: f32[4] = aten.var.correction(%d, [0], correction=0)", False),
        ("openvino", "%y: f32[4] = aten.var.correction(%d, [0])", False),
        ("openvino", "%y: f32[] = aten.var.correction(%d, correction=0)", True),
        ("openvino", "%y: f32[1, 1, 2] = aten.avg_pool1d.default(%z, [2], [2], [1], True)", True),
        ("openvino", "%y: f32[1, 1, 2] = aten.avg_pool1d.default(%z, [2], [2], [1], True, False)", False),
        ("openvino", "%y: f32[1, 1, 2] = aten.avg_pool1d.default(%z, [2], [2], [0], True)", False),
        ("openvino", "%y: f32[1, 1, 2] = aten.avg_pool1d.default(%z, [2], [2], [1])", False),
        ("openvino", "%y: f32[1, 3] = aten.squeeze.dims(%z, [0, 2])", True),
        ("openvino", "%y: f32[3] = aten.squeeze.dims(%z, [0, 1])", False),
        ("openvino", "%y: f32[3] = aten.squeeze.default(%z)", True),
        ("openvino", "%y: f32[1, 1, 3] = aten.squeeze.dim(%z, -1)", True),
        ("openvino", "%y: f32[6] = aten.arange.start_step(0, 3, 0.5)", True),
        ("openvino", "%y: f32[6] = aten.arange.start_step(0, 3, 0.5, dtype=torch.float32)", False),
        ("openvino", "%y: i64[2] = aten.arange.start_step(0, 4, 2)", False),
        ("openvino", "%y: f32[4, 4] = aten.scaled_dot_product_attention.default(%d, %d, %d)", True),
        ("openvino", "%y: f32[4] = aten.empty_like.default(%x)", True),
        (
            "openvino",
            """%h: f32[4] = aten.slice_scatter.default(%x, %l, 0, 0, 2)
  %y: f32[4] = aten.slice_scatter.default(%h, %l, 0, 2, 4)""",
            True,
        ),
        ("openvino", "%y: f32[4] = aten.slice_scatter.default(%x, %l, 0, 2, 4)", False),
        ("openvino", "%y: i64[2] = aten.__or__.Scalar(%l, 1)", True),
        ("openvino", "%y: i64[2] = aten.__and__.Scalar(%l, 1)", False),
        ("executorch", "%y: f32[4] = aten.empty_like.default(%x)", True),
        ("executorch", "%y: f32[4] = aten.empty.memory_format([4])", False),
        ("tvm", "%y: i64[2] = aten.clamp.default(%l, 1)", True),
        ("tvm", "%y: i64[2] = aten.clamp.default(%l, None, 5)", True),
        ("tvm", "%y: i64[2] = aten.clamp.default(%l, 1, 5)", False),
        ("tvm", "%y: f32[4] = aten.clamp.default(%x, 1.0)", False),
        ("iree", '%y: f32[4] = aten.einsum.default("ij->i", [%d])', True),
        ("iree", '%y: f32[4] = aten.einsum.default("ij,j->i", [%d, %x])', False),
        ("iree", "%y: f32[] = aten.mean.default(%l, dtype=torch.float32)", True),
        ("iree", "%y: i64[2] = aten.pow.Tensor_Scalar(%l, 2)", True),
        ("iree", "%y: f32[4] = aten.pow.Tensor_Scalar(%x, 2)", False),
        ("iree", "%y: f32[4, 2] = aten.max_pool1d.default(%d, [2], [2])", True),
        ("iree", "%y: f32[1, 1, 1] = aten.max_pool1d.default(%z, [3], [3])", False),
        ("iree", "%y: f32[4, 3] = aten.conv1d.default(%d, %b_k)", True),
        ("iree", '%y: f32[1, 1, 3] = aten.conv1d.padding(%z, %b_k, None, [1], "same")', False),
        ("iree", '%y: f32[1, 1, 3] = aten.conv1d.padding(%z, %e, None, [1], "same")', True),
        ("iree", '%y: f32[1, 1, 2] = aten.conv1d.padding(%z, %e, None, [1], "valid")', False),
        ("iree", '%y: f32[1, 1, 3, 9] = aten.pad.default(%q, [2, 2, 1, 1], "reflect")', True),
        ("iree", '%y: f32[1, 1, 5, 7] = aten.pad.default(%q, [1, 1, 1, 1], "reflect")', False),
        ("iree", '%y: f32[1, 1, 6] = aten.pad.default(%z, [2, 1], "reflect")', False),
        ("iree", "%y: f32[1, 1, 2] = aten.pad.default(%z, [0, -1])", True),
        ("iree", "%y: f32[4, 4] = aten.select_scatter.default(%d, %x, 1, -1)", True),
        ("iree", "%y: f32[4, 4] = aten.select_scatter.default(%d, %x, 1, 1)", False),
        ("iree", "%y: f32[1, 1, 3] = aten.instance_norm.default(%z)", True),
        ("iree", "%y: f32[] = aten.cross_entropy_loss.default(%d, %l)", True),
        ("litert", "%y: f32[4] = aten.add.Tensor(%x, %x, alpha=2)", True),
        ("litert", "%y: f32[4] = aten.add.Tensor(%x, %x)", False),
        ("litert", "%y: f32[6] = aten.cat.default([%x, %l])", True),
        ("litert", "%y: f32[8] = aten.cat.default([%x, %x])", False),
        ("litert", "%y: f32[4, 4] = aten.stack.default([%x, %x, %x, %x])", False),
        ("litert", '%y: f32[] = aten.einsum.default("ii->", [%d])', True),
        ("litert", '%y: f32[4] = aten.einsum.default("ij,j->i", [%d, %x])', False),
        ("litert", "%y: f32[4] = aten.mean.dim(%d, [1], dtype=torch.float32)", True),
        ("litert", "%y: f32[4] = aten.mean.dim(%d, [1])", False),
        ("litert", "%y: b8[2] = aten.ge.Scalar(%l, 0.5)", True),
        ("litert", "%y: b8[2] = aten.ge.Scalar(%l, 1)", False),
        ("litert", "%y: f32[1, 1, 6, 10] = aten.upsample_nearest2d.vec(%q, [6, 10], None)", False),
        ("litert", "%y: f32[1, 1, 4, 10] = aten.upsample_nearest2d.vec(%q, [4, 10], None)", True),
        ("litert", "%y: f32[1, 1, 1, 1] = aten.grid_sampler.default(%q, %g, 0, 2, False)", True),
        ("litert", "%y: f32[1, 1, 1, 1] = aten.grid_sampler.default(%q, %g, 0, 1, False)", False),
        ("onnx", "%y: f32[] = aten.mean.dim(%l, [0], dtype=torch.float32)", True),
        ("onnx", "%y: f32[] = aten.mean.dim(%x, [0])", False),
        ("openvino", "%y: f32[2, 2] = aten.unfold.default(%x, -1, 2, 2)", True),
        ("openvino", "%y: f32[2, 2] = aten.unfold.default(%x, 0, 2, 2)", False),
        ("onnx", "%y: f32[] = aten.cross_entropy_loss.default(%d, %l, None, 1, -100, 0.1)", True),
        ("onnx", "%y: f32[] = aten.cross_entropy_loss.default(%d, %l)", False),
        ("onnx", "%y: f32[] = aten.cross_entropy_loss.default(%d, %d)", True),
        ("xnnpack", '%y: f32[4] = aten.gelu.default(%x, approximate="tanh")', True),
        ("xnnpack", '%y: f32[4] = aten.gelu.default(%x, approximate="none")', False),
        ("xnnpack", "%y: f32[4] = aten.gelu.default(%x)", False),
        ("executorch", '%y: f32[4] = aten.gelu.default(%x, approximate="tanh")', False),
        ("iree", '%y: f32[4] = aten.gelu.default(%x, approximate="tanh")', True),
        ("iree", "%y: f32[4] = aten.softshrink.default(%x)", True),
        ("iree", "%y: f32[4] = aten.roll.default(%x, [1])", True),
        ("iree", "%y: f32[4] = aten.roll.default(%x, [1], [0])", False),
        ("iree", "%y: f32[1, 1] = aten.matmul.default(%z, %v)", True),
        ("iree", "%y: f32[1, 1, 2] = aten.matmul.default(%e, %g)", False),
        ("iree", "%y: f32[4] = aten.matmul.default(%d, %x)", False),
        ("iree", "%y: b8[4] = aten.isfinite.default(%x)", True),
        ("iree", "%y: f32[1, 1, 3, 5] = aten.scaled_dot_product_attention.default(%q, %q, %q)", False),
        ("iree", "%y: f32[1, 1, 3, 5] = aten.scaled_dot_product_attention.default(%q, %q, %q, %s)", True),
        ("iree", "%y: f32[1, 3, 5] = aten.scaled_dot_product_attention.default(%k, %q, %q)", True),
        ("iree", "%y: f32[1, 1, 1] = aten.max_pool1d.default(%z, [2], [2])", True),
        ("iree", "%y: f32[1, 1, 1] = aten.max_pool1d.default(%z, [3], [2])", False),
        ("iree", "%y: f32[1, 1, 1] = aten.max_pool1d.default(%z, [3], [2], [0], [1], True)", True),
        ("iree", "%y: f32[1, 1, 2] = aten.max_pool1d.default(%z, [2], [1])", False),
        ("iree", "%y: f32[1, 1, 1] = aten.conv1d.default(%z, %e, None, [2])", True),
        ("iree", "%y: f32[1, 1, 1] = aten.conv1d.default(%z, %b_k)", False),
        ("iree", "%y: f32[] = aten.binary_cross_entropy_with_logits.default(%x, %x, %x)", True),
        ("iree", "%y: f32[] = aten.binary_cross_entropy_with_logits.default(%x, %x)", False),
        ("onnx", "%y: i64[4] = aten.argsort.stable(%x, stable=True)", True),
        ("onnx", "%y: i64[4] = aten.argsort.default(%x)", False),
        ("iree", "%y: f32[4, 4] = aten.addcmul.default(%d, %x, %x)", True),
        ("iree", "%y: f32[4, 4] = aten.addcmul.default(%x, %d, %x)", False),
        ("iree", "%y: f32[4, 4] = aten.clamp_max.Tensor(%d, %x)", True),
        ("iree", "%y: f32[4, 4] = aten.clamp_max.default(%d, 1)", False),
        ("tvm", "%y: f32[4, 4] = aten.clamp_max.Tensor(%x, %d)", True),
        ("tvm", "%y: f32[4, 4] = aten.clamp_max.Tensor(%d, %x)", False),
        ("tvm", "%y: f32[4] = aten.dropout.default(%x, 1.0, True)", True),
        ("tvm", "%y: b8[4] = aten.any.dim(%d, 1)", True),
        ("xnnpack", "%y: f32[4, 4] = aten.prelu.default(%d, %x)", True),
        ("xnnpack", "%y: f32[4, 4] = aten.addmm.default(%x, %d, %d, alpha=2)", False),
        ("executorch", "%y: i64[4] = aten.remainder.Scalar(%l, 3)", True),
        ("iree", "%y: f32[4] = aten.gelu.default(%x)", False),
        ("onnx", "%y: f32[9] = aten.histc.default(%x, 9)", True),
        ("onnx", "%y: f32[9] = aten.histc.default(%x, 9, 0, 1)", False),
        ("executorch", "%y: f32[3] = aten.pad.default(%x, [0, -1])", True),
        ("executorch", "%y: f32[5] = aten.constant_pad_nd.default(%x, [0, 1])", False),
        ("executorch", "%y: i64[2] = aten.__lshift__.Scalar(%l, 1)", True),
        ("executorch", "%y: f32[4] = aten.remainder.Scalar_Tensor(3, %x)", True),
        ("executorch", "%y: f32[4] = aten.remainder.Scalar(%x, 3)", False),
        ("executorch", "%y: f64[4] = aten._to_copy.default(%x, dtype=torch.float64, non_blocking=True)", True),
        ("executorch", "%y: f64[4] = aten.to.dtype(%x, torch.float64, True)", True),
        ("executorch", "%y: f32[4] = aten.to.dtype(%x, torch.float32, True)", False),
        ("executorch", '%y: f32[4] = aten.scatter.reduce(%x, 0, %l, %x, reduce="add")', True),
        ("executorch", "%y: f32[] = aten.linalg_matrix_norm.default(%d, 2)", True),
        ("executorch", "%y: f32[] = aten.linalg_matrix_norm.default(%d, 1)", False),
        ("executorch", "%y: f32[2] = aten.gather.default(%x, 0, %i)", True),
        ("onnx", "%y: f32[1, 1, 5] = aten.conv_transpose1d.default(%z, %b_k, None, [1], [0], [1], 1, [2])", True),
        ("onnx", "%y: f32[1, 1, 5] = aten.conv_transpose1d.default(%z, %b_k, None, [2], [0], [1])", False),
        ("onnx", '%y: f32[4] = aten.pad.default(%x, [1, -1], "reflect")', True),
        ("onnx", "%y: f32[4] = aten.pad.default(%x, [1, -1])", False),
        ("onnx", "[%y: f32[1, 1, 2, 2], %w: i64[1, 1, 2, 2]] = aten.adaptive_max_pool3d.default(%q, [1, 2, 2])", True),
        ("onnx", "[%y: f32[1, 1, 1, 1], %w: i64[1, 1, 1, 1]] = aten.adaptive_max_pool3d.default(%q, [1, 1, 1])", False),
        ("onnx", "%y: f32[] = aten.cross_entropy_loss.default(%x, %t)", True),
        ("onnx", "%y: f32[4] = aten.rrelu.default(%x)", True),
        ("onnx", "%y: f32[4] = aten.dropout.default(%x, 1.0, True)", True),
        ("onnx", '%y: f32[4] = aten.einsum.default("...i,...i->...", [%x, %d])', True),
        ("onnx", '%y: f32[4] = aten.einsum.default("...i,i->...", [%d, %x])', False),
        ("onnx", "%y: f32[2] = aten.gather.default(%d, 0, %l)", True),
        ("openvino", "%y: f32[] = aten.trace.default(%d)", True),
        ("openvino", "%y: f32[4] = aten.index_put.default(%x, [%m], %t)", False),
        ("openvino", "%y: f32[4, 4] = aten.index_put.default(%d, [%m], %t)", True),
        ("openvino", "%y: f32[4, 4] = aten.index_put.default(%d, [%m], %d)", False),
        ("openvino", "%y: f32[4, 4] = aten.index_put.default(%d, [%l], %t)", False),
        ("iree", "%y: f32[4] = aten.index_put.default(%x, [%m], %v)", True),
        ("iree", "%y: f32[4] = aten.index_put.default(%x, [%m], %t)", False),
        ("openvino", "%y: f32[4] = aten.dropout.default(%x, 1.0, True)", True),
        ("openvino", "%y: f32[4] = aten.slice.Tensor(%x)", True),
        ("openvino", "%y: f32[2] = aten.slice.Tensor(%x, 0, 2)", False),
        ("openvino", "%y: f32[1, 1] = aten.tensordot.default(%z, %z, [0, 2], [0, 2])", True),
        ("openvino", "%y: f32[2] = aten.gather.default(%d, 0, %l)", True),
        (
            "openvino",
            "[%y: f32[2, 4], %a: i64[2], %b: i64[2], %c: i64[2]] = aten.embedding_bag.default(%d, %l, %l)",
            False,
        ),
        (
            "openvino",
            "[%y: f32[2, 4], %a: i64[2], %b: i64[2], %c: i64[2]] = aten.embedding_bag.default(%d, %l, %l, False, 2)",
            True,
        ),
        ("litert", "%y: i64[1, 1] = aten.argmax.default(%z, 1)", True),
        ("litert", "%y: i64[1, 1] = aten.argmax.default(%z, 2)", False),
        ("litert", "%y: i64[] = aten.argmax.default(%x)", False),
    ],
)
def test_where_other_targets_refuse_an_op(lint_text, target, nodes, refused):
    inputs = (
        '%b_k: f32[1, 1, 3] = buffer "k", %x: f32[4], %m: b8[4], %i: i32[2], %l: i64[2], %z: f32[1, 1, 3], '
        "%d: f32[4, 4], %e: f32[1, 1, 2], %q: f32[1, 1, 3, 5], %g: f32[1, 1, 1, 2], %v: f32[3], "
        "%s: f32[3, 3], %k: f32[1, 3, 5], %t: i64[]"
    )
    found = lint_text(f"graph({inputs}):\n  {nodes}\n  return %y\n", profile=profile_of([target]))
    assert [one.code for one in found if one.code == "GL601"] == ["GL601"] * refused


def _model(body):
    import torch

    return type("Model", (torch.nn.Module,), {"forward": lambda self, *args: body(*args)})()


@pytest.mark.parametrize(
    ("body", "more", "messages"),
    [
        (lambda x: x * 2, (), {}),
        (lambda x: (x * 2, x * 3), (), {}),
        (
            lambda x, number: x * number,
            (3,),
            {"an input of kind constant_input": {"coreml", "openvino", "litert", "tvm"}},
        ),
        (
            lambda x, nothing: x * 2,
            (None,),
            {"an input of kind constant_input": {"coreml", "openvino", "litert", "tvm"}},
        ),
        (lambda x: (x * 2, 5), (), {"an output of kind number": {"onnx", "coreml", "openvino", "litert", "tvm"}}),
        (lambda x: (x * 2, None), (), {"an output of kind none": {"coreml", "litert"}}),
        (lambda x: (x * 2,) * 2, (), {"an output of kind repeated": {"openvino"}}),
    ],
    ids=["a tensor", "two", "a number", "None", "returned number", "returned None", "returned twice"],
)
def test_inputs_and_outputs_that_are_no_tensors_of_their_own(tmp_path, body, more, messages):
    torch = pytest.importorskip("torch")
    torch.export.save(torch.export.export(_model(body), (torch.ones(2), *more)), tmp_path / "model.pt2")
    found = {}
    for target in ("onnx", "coreml", "openvino", "litert", "tvm"):
        for one in graphlint.lint(tmp_path / "model.pt2", target=target, select="GL601", isolated=True).diagnostics:
            found.setdefault(one.message.partition(" is refused by ")[0], set()).add(target)
    assert found == messages


@pytest.mark.parametrize(
    ("size", "bounds", "refused"),
    [
        ("s0", "[2, 64]", False),
        ("2*s0", "[2, 64]", False),
        ("s0", "[2, None]", True),
        ("s0", "[2, 9223372036854775806]", True),
    ],
)
@pytest.mark.parametrize("target", ["executorch", "xnnpack", "onnx"])
def test_sizes_without_an_upper_bound(lint_text, target, size, bounds, refused):
    text = (
        f"range s0 = {bounds}\ngraph(%x: f32[{size}, 4]):\n  %y: f32[{size}, 4] = aten.neg.default(%x)\n  return %y\n"
    )
    found = [one.message for one in lint_text(text, profile=profile_of([target])) if one.code == "GL601"]
    said = [one.partition(" is refused by ")[0] for one in found]
    assert said == ["a size without an upper bound, of input 'x',"] * (refused and target != "onnx")


@pytest.mark.parametrize(("size", "refused"), [("3", False), ("s0", True), ("2*s0", True)])
def test_symbolic_sizes(lint_text, size, refused):
    text = f"graph(%x: f32[{size}, 4]):\n  %y: f32[{size}, 4] = aten.neg.default(%x)\n  return %y\n"
    found = [one.message for one in lint_text(text, profile=profile_of(["litert"])) if one.code == "GL601"]
    said = [one.partition(" is refused by ")[0] for one in found]
    assert said == ["a symbolic size, of input 'x',"] * refused


LAYOUTS = {
    "rows": ("f32[2, 3, 4, 5]", ()),
    "channels-last": ("f32[2, 3, 4, 5]{60, 1, 15, 3}", ("executorch", "xnnpack", "coreml")),
    "channels-last-of-one": ("f32[1, 3, 1, 1]{3, 1, 3, 3}", ("executorch", "xnnpack", "coreml")),
    "volumes": ("f32[2, 3, 4, 4, 4]{192, 1, 48, 12, 3}", ("executorch", "xnnpack", "coreml")),
    "transposed": ("f32[3, 4]{1, 3}", ("executorch", "xnnpack", "coreml")),
    "expanded": ("f32[3, 4]{1, 0}", ("executorch", "xnnpack")),
    "columns-left-out": ("f32[3, 4]{8, 2}", ("executorch", "xnnpack")),
    "further-back": ("f32[3, 4] +8", ()),
    "one-row": ("f32[1, 3]{1, 1}", ()),
    "one-row-in-front": ("f32[1, 2, 4]{4, 4, 1}", ()),
    "one-column-of-many": ("f32[3, 1]{8, 1}", ("executorch", "xnnpack")),
}
"""Inputs, and the targets whose consumers were seen to refuse them."""


@pytest.mark.parametrize("target", ["executorch", "xnnpack", "coreml", "onnx", "openvino", "iree"])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_of_inputs(lint_text, name, target):
    record, refusing = LAYOUTS[name]
    text = f"graph(%x: {record}):\n  %y: {record.partition('{')[0]} = aten.neg.default(%x)\n  return %y\n"
    found = [one.message for one in lint_text(text, profile=profile_of([target])) if one.code == "GL601"]
    said = [one.partition(" is refused by ")[0] for one in found]
    assert said == ["the layout of input 'x'"] * (target in refusing)


@pytest.mark.parametrize(
    ("kind", "layout", "refused"),
    [
        ('parameter "p"', "{60, 1, 15, 3}", True),
        ('buffer "p"', "{60, 1, 15, 3}", True),
        ('buffer "p"', "{60, 20, 1, 4}", False),
        ('buffer "p"', "", False),
    ],
)
def test_layouts_of_what_is_held(lint_text, kind, layout, refused):
    """The runtime was seen to take what is stored transposed, and to fail on what is stored channels-last."""
    held = f"%p: f32[2, 3, 4, 5]{layout} = {kind}"
    text = f"graph({held}, %x: f32[5]):\n  %y: f32[2, 3, 4, 5] = aten.add.Tensor(%x, %p)\n  return %y\n"
    found = [one.message for one in lint_text(text, profile=profile_of(["executorch"])) if one.code == "GL601"]
    said = [one.partition(" is refused by ")[0] for one in found]
    assert said == [f"the layout of {kind.partition(' ')[0]} 'p'"] * refused


@pytest.mark.parametrize(
    ("form", "refused"), [("torch.channels_last", True), ("torch.contiguous_format", False), ("", False)]
)
def test_an_op_that_lays_out_its_result_channels_last(lint_text, form, refused):
    given = f", memory_format={form}" if form else ""
    text = f"graph(%x: f32[2, 3, 4, 5]):\n  %y: f32[2, 3, 4, 5] = aten.clone.default(%x{given})\n  return %y\n"
    found = [one.op for one in lint_text(text, profile=profile_of(["executorch"])) if one.code == "GL601"]
    assert found == ["aten.clone.default"] * refused


@pytest.mark.parametrize(
    ("target", "of", "dtype", "said"),
    [
        ("coreml", "input", "i8", "input 'b' is int8"),
        ("coreml", "buffer", "i8", ""),
        ("coreml", "input", "i32", ""),
        ("iree", "input", "bf16", ""),
        ("iree", "buffer", "bf16", "buffer 'b' is bfloat16"),
        ("iree", "buffer", "b8", ""),
        ("iree", "state", "b8", "buffer 'b' is bool"),
    ],
)
def test_a_dtype_that_is_refused_of_some_tensors_only(lint_text, target, of, dtype, said):
    kind, written = ("" if of == "input" else ' = buffer "b"'), ('buffer "b" <- %y, ' if of == "state" else "")
    text = f"graph(%b: {dtype}[4]{kind}):\n  %y: {dtype}[4] = aten.neg.default(%b)\n  return {written}%y\n"
    found = [one.message for one in lint_text(text, profile=profile_of([target])) if one.code == "GL608"]
    assert [one.partition(";")[0] for one in found] == [said] * bool(said)


@pytest.mark.parametrize(
    ("target", "node", "refused"),
    [
        ("openvino", "%y: i64[4] = aten.cumsum.default(%b, 0)", True),
        ("openvino", "%y: i64[4] = aten.cumsum.default(%i, 0)", False),
        ("openvino", "%y: b8[4] = aten.isnan.default(%i)", True),
        ("openvino", "%y: b8[4] = aten.isnan.default(%x)", False),
        ("openvino", "%y: f32[4] = aten.index_add.default(%x, 0, %i, %x, alpha=1)", True),
        ("onnx", "%y: f32[4] = aten.erfinv.default(%x)", True),
        ("onnx", "%y: f32[4] = aten.divide.Scalar(%i, 2.5)", True),
        ("onnx", "%y: f32[4] = aten.divide.Scalar(%x, 2.5)", False),
        ("onnx", "%y: f32[4] = aten.subtract.Tensor(%x, %i)", True),
        ("onnx", "%y: f32[4] = aten.sub.Tensor(%x, %i)", False),
        ("onnx", "%y: f32[8] = aten.hstack.default([%x, %i])", True),
        ("onnx", "%y: f32[8] = aten.hstack.default([%x, %x])", False),
        ("onnx", "%y: i64[4] = aten.relu.default(%i)", True),
        ("onnx", "%y: f32[4] = aten.relu.default(%x)", False),
        ("onnx", "%y: f32[] = aten.amax.default(%x)", True),
        ("onnx", "%y: f32[] = aten.amax.default(%x, [0])", False),
        ("onnx", "%y: f32[2, 2, 5] = aten.adaptive_max_pool1d.default(%p, [5])", True),
        ("onnx", "%y: f32[2, 2, 1] = aten.adaptive_max_pool1d.default(%p, [1])", False),
        ("onnx", "%y: f32[2, 2, 9] = aten.scaled_dot_product_attention.default(%p, %p, %p)", True),
        ("executorch", "%y: f32[4] = aten.erfinv.default(%x)", True),
        ("executorch", "%y: f32[4] = aten.erfinv_.default(%x)", True),
        ("executorch", "%y: f32[4] = aten.relu_.default(%x)", False),
        ("executorch", "%y: f32[4] = aten.log_softmax.int(%x, 0)", False),
        ("executorch", "%y: f64[4] = aten.log_softmax.int(%x, 0, torch.float64)", True),
        ("executorch", "%y: f32[4] = aten.pairwise_distance.default(%x, %x)", False),
        ("xnnpack", "%y: f32[4] = aten.erfinv.default(%x)", True),
    ],
)
def test_where_a_target_refuses_an_op(lint_text, target, node, refused):
    """Also in place, where the consumer is left to make the functional op of it."""
    inputs = "%b: b8[4], %i: i64[4], %a: f32[4], %p: f32[2, 2, 9]"
    text = f"graph({inputs}):\n  %x: f32[4] = aten.neg.default(%a)\n  {node}\n  return %y\n"
    found = lint_text(text, profile=profile_of([target]))
    assert [one.node for one in found if one.code == "GL601"] == ["y"] * refused


def test_complex_numbers_are_refused_as_outputs_only(lint_text):
    text = "graph(%x: f32[4]):\n  %y: c64[3] = aten.fft_rfft.default(%x)\n  %z: f32[4] = aten.fft_irfft.default(%y)\n"
    for output, said in (("z", []), ("y", ["output %y is complex64"])):
        found = lint_text(f"{text}  return %{output}\n", profile=profile_of(["onnx"]))
        assert [one.message.partition(";")[0] for one in found if one.code == "GL608"] == said


@pytest.mark.parametrize(
    ("node", "fix"),
    [
        ("%y: f32[2, 12] = aten.flatten.using_ints(%x, 1)", "becomes aten.reshape.default"),
        ("%y: f32[24] = aten.ravel.default(%x)", "becomes aten.reshape.default"),
        ("%y: f32[s0, 12] = aten.flatten.using_ints(%x, 1)", "becomes aten.reshape.default"),
        ("%y: f32[s0, s1] = aten.flatten.using_ints(%x, 1)", "the artifact does not record the sizes of its operands"),
        ("[%y: f32[1, 3, 4], %z: f32[1, 3, 4]] = aten.chunk.default(%x, 2)", "becomes aten.split.Tensor"),
        ("[%y: f32[2, 2, 4], %z: f32[2, 1, 4]] = aten.chunk.default(%x, 2, -2)", "becomes aten.split.Tensor"),
        (
            "[%y: f32[2, s0, 4]] = aten.chunk.default(%x, 2, 1)",
            "the artifact does not record the sizes of its operands",
        ),
        ("%y: f32[2, 3, 4] = aten.lerp.Scalar(%x, %x, 0.5)", "no other form of it is known"),
    ],
)
def test_what_core_ml_refuses_is_reshaped_where_that_says_the_same(lint_text, node, fix):
    found = lint_text(f"graph(%x: f32[2, 3, 4]):\n  {node}\n  return %y\n", profile=profile_of(["coreml"]))
    assert [one.fix.message for one in found if one.code == "GL601"] == [fix]


MASKED = "graph(%x: f32[4], %m: DTYPE[4]):\n  %y: f32[u0] = aten.index.Tensor(%x, [%m])\n  return %y\n"


@pytest.mark.parametrize(("dtype", "refused"), [("b8", True), ("i64", False)])
def test_what_is_refused_of_masks(lint_text, dtype, refused):
    found = lint_text(MASKED.replace("DTYPE", dtype), profile=profile_of(["iree"]))
    assert [one.node for one in found if one.code == "GL601"] == ["y"] * refused


def test_a_target_may_lose_the_checks_of_some_rules(lint_text):
    text = """
    graph(%x: f32[3], %ok: b8[]):
      aten._assert_async.msg(%ok, "must hold")
      $item: int[u0] = aten.item.default(%x)
      $le: bool = _operator.le($item, 9)
      aten._assert_scalar.default($le, "must be small")
      return %x
    """
    for target, nodes in (("onnx", 2), ("iree", 1)):
        found = [one.op for one in lint_text(text, profile=profile_of([target])) if one.code == "GL607"]
        assert found == ["aten._assert_async.msg", "aten._assert_scalar.default"][:nodes]
