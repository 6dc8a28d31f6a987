"""GL201 to GL205, GL401 to GL403, GL501 to GL503 and GL004, at their edges."""

from __future__ import annotations

import json

import pytest
from tests.text_form import parse_program

from graphlint.ir.document import Document
from graphlint.rules.linting import lint_view
from graphlint.rules.view import ProgramView


@pytest.fixture
def of(lint_text):
    """The findings of one rule."""
    return lambda code, text, **settings: [one for one in lint_text(text, **settings) if one.code == code]


# -- checks

CHECK = """\
graph(%ok: b8[], %n: i64[], %x: f32[4]):
  $item: int[u0] = aten.item.default(%n)
  $ge: bool[u0 >= 2] = _operator.ge($item, 2)
  aten._assert_async.msg(%ok, "said")
  aten._assert_async.default(%ok)
  aten._assert_scalar.default($ge, "at least 2")
  aten.sym_constrain_range.default($item, min=2)
  aten.sym_constrain_range_for_size.default($item)
  aten._assert_tensor_metadata.default(%x, dtype=torch.float32)
  aten._assert_tensor_metadata.default(%x, dtype=torch.float64)
  return %x
"""


def test_each_check_has_its_code_message_and_twin(lint_text):
    found = [(one.code, one.message, one.fix.applicability, one.fix.message) for one in lint_text(CHECK)]
    token = "chained by a dependency token"
    msg, bare = "aten._assert_async.msg", "aten._assert_async.default"
    rest = "may be removed by dead-code elimination"
    metadata = "aten._assert_tensor_metadata.default checks the metadata of %x at run time"
    assert found[:-2] == [
        (
            "GL201",
            f"{msg}: runtime check ('said') {rest}",
            "safe",
            f"becomes aten._functional_assert_async.msg, {token}",
        ),
        ("GL202", f"{bare}: runtime check {rest}", "safe", f"becomes aten._functional_assert_async.msg, {token}"),
        (
            *("GL203", f"aten._assert_scalar.default: runtime check ('at least 2') {rest}", "safe"),
            f"becomes aten._functional_assert_scalar.default, {token}",
        ),
        (
            *("GL204", f"aten.sym_constrain_range.default: runtime check {rest}", "safe"),
            f"becomes aten._functional_sym_constrain_range.default, {token}",
        ),
        (
            *("GL204", f"aten.sym_constrain_range_for_size.default: runtime check {rest}", "safe"),
            f"becomes aten._functional_sym_constrain_range_for_size.default, {token}",
        ),
        ("GL205", metadata, "safe", "is removed: it cannot fire"),
    ]
    assert found[-2][:3] == ("GL205", metadata, "none")
    assert found[-1][0] == "GL503"


@pytest.mark.parametrize(
    ("check", "code", "fixed"),
    [
        ("sym_constrain_range.default(5, min=2)", "GL204", False),
        ("sym_constrain_range_for_size.default(True, min=2)", "GL204", False),
        ('_assert_scalar.default(1.5, "low")', "GL203", False),
        ('_assert_scalar.default(3, "low")', "GL203", False),
        ('_assert_scalar.default(True, "low")', "GL203", True),
    ],
)
def test_a_check_of_a_number_is_not_fixed(lint_text, check, code, fixed):
    """torch loads no such check, and there would be no way back from what it loads."""
    text = f"graph(%x: f32[]):\n  aten.{check}\n  return %x\n"
    (found,) = (one for one in lint_text(text) if one.code != "GL503")
    assert (found.code, found.fix.applicability) == (code, "safe" if fixed else "none")
    assert fixed or found.fix.message == "it checks a number, not a symbol, which torch does not load"


MAP = """\
graph(%xs: f32[3, 4]):
  %ys: f32[3, 4] = higher_order.map(@body, [%xs], [])
    @body(%x: f32[4]):
      %any: b8[] = aten.any.default(%x)
      aten._assert_async.msg(%any, "zero")
      %y: f32[4] = aten.sin.default(%x)
      return %y
  return %ys
"""


def test_a_check_without_a_way_out_says_so(of):
    (found,) = of("GL201", MAP.replace("[])", "tensors[])"))
    assert (found.fix.applicability, found.fix.message) == ("none", "map has no place to carry the token in and out")
    assert found.subgraph == ("map", "body")


# -- regions


def test_regions(of):
    text = """\
graph(%x: f32[4]):
  %y: f32[4] = higher_order.wrap_with_set_grad_enabled(ENABLED, @body, %x)
    @body(%a: f32[4]):
      %s: f32[4] = aten.sin.default(%a)
      return %s
  %z: f32[4] = higher_order.wrap_with_autocast("cpu", torch.bfloat16, True, None, @cast, %y)
    @cast(%a: f32[4]):
      %c: f32[4] = aten.cos.default(%a)
      return %c
  return %z
"""
    for enabled, said in (("False", "off"), ("True", "on")):
        (found,) = of("GL401", text.replace("ENABLED", enabled))
        assert found.message == f"higher_order.wrap_with_set_grad_enabled turns gradients {said}"
        assert len(of("GL402", text.replace("ENABLED", enabled))) == 1
        assert of("GL403", text.replace("ENABLED", enabled)) == []


def test_a_region_that_is_called_with_too_little_stays(of):
    text = """\
graph(%x: f32[4]):
  %y: f32[4] = higher_order.wrap_with_set_grad_enabled(False, @body, %x)
    @body(%a: f32[4], %b: f32[4]):
      %s: f32[4] = aten.sin.default(%a)
      return %s
  return %y
"""
    (found,) = of("GL401", text)
    assert (found.fix.applicability, found.fix.message) == ("none", "of 2 operands it is given 1")


@pytest.mark.parametrize("other", ["f16[4, 4]", "f32[4, 2]", "f32[4, 4]{1, 4}", "f32[16]"])
def test_a_region_that_records_what_it_is_given_otherwise_stays(of, other):
    text = """\
graph(%x: f32[4, 4]):
  %y: f32[4, 4] = higher_order.wrap_with_set_grad_enabled(False, @body, %x)
    @body(%a: OTHER):
      %s: f32[4, 4] = aten.contiguous.default(%a)
      return %s
  return %y
"""
    (found,) = of("GL401", text.replace("OTHER", other))
    reason = "its graph records %a otherwise than it records %x, which it is given"
    assert (found.fix.applicability, found.fix.message) == ("none", reason)


DEAD = """\
graph(%p: b8[], %x: f32[4]):
  %r: f32[4], %s: f32[4] = higher_order.cond(%p, @yes, @no, [%x])
    @yes(%a: f32[4]):
      EFFECT
      %y: f32[4] = aten.sin.default(%a)
      return %y, %y
    @no(%a: f32[4]):
      %z: f32[4] = aten.cos.default(%a)
      return %z, %z
  %t: f32[4] = aten.neg.default(USED)
  return %t
"""


@pytest.mark.parametrize(
    ("effect", "name"),
    [
        ('aten._print.default("here")', "aten._print.default"),
        ("%w: f32[4] = aten.add_.Tensor(%a, 1)", "aten.add_.Tensor"),
        ("%q: b8[] = aten.any.default(%a)\n      aten._assert_async.default(%q)", "aten._assert_async.default"),
    ],
)
def test_an_effect_in_a_call_that_nobody_uses(of, effect, name):
    (found,) = of("GL403", DEAD.replace("EFFECT", effect).replace("USED", "%x"))
    assert found.message == (
        f"the results of higher_order.cond are unused: dead-code elimination may remove {name} inside it"
    )
    assert (found.op, found.subgraph) == ("higher_order.cond", ())
    for used in ("%r", "%s"):
        assert of("GL403", DEAD.replace("EFFECT", effect).replace("USED", used)) == []


@pytest.mark.parametrize(
    ("reader", "found"),
    [
        ("%u: f32[4] = aten.sin.default(%r)", 1),
        ("%u: f32[4] = higher_order.wrap(@pure, %r)\n    @pure(%b: f32[4]):\n      return %b", 1),
        ("%u: f32[4] = aten.bernoulli.default(%r)", 0),
        ("%u: f32[4] = aten.add_.Tensor(%x, %r)", 0),
        ("%u: b8[] = aten.any.default(%r)\n  aten._assert_async.default(%u)", 0),
    ],
)
def test_a_reader_that_is_dead_itself_keeps_no_call_alive(of, reader, found):
    text = DEAD.replace("EFFECT", 'aten._print.default("here")').replace("USED", "%x")
    assert len(of("GL403", text.replace("  return %t\n", f"  {reader}\n  return %t\n"))) == found


def test_a_dead_call_without_effects_is_nobodys_business(of):
    assert of("GL403", DEAD.replace("EFFECT", "%q: f32[4] = aten.neg.default(%a)").replace("USED", "%x")) == []


def test_of_nested_dead_calls_the_outermost_is_reported(of):
    text = """\
graph(%p: b8[], %x: f32[4]):
  %r: f32[4] = higher_order.wrap(@outer, %x)
    @outer(%a: f32[4]):
      %s: f32[4] = higher_order.wrap(@inner, %a)
        @inner(%b: f32[4]):
          aten._print.default("here")
          return %b
      return %a
  return RESULT
"""
    (found,) = of("GL403", text.replace("RESULT", "%x"))
    assert (found.node, found.position) == ("wrap", 0)
    (found,) = of("GL403", text.replace("RESULT", "%r"))
    assert (found.subgraph, found.position) == (("wrap", "outer"), 1)


# -- interface


def graph(*nodes: str, dialect: str = "TRAINING", result: str = "%y") -> str:
    body = "".join(f"  {node}\n" for node in nodes)
    return f'program {dialect}\ngraph(%b: f32[4] = buffer "b", %x: f32[4]):\n{body}  return {result}\n'


SIN = "%y: f32[4] = aten.sin.default(%x)"


def test_the_training_label_on_a_functional_graph(of):
    assert len(of("GL501", graph(SIN))) == 1
    assert of("GL501", graph(SIN, dialect="ATEN")) == []
    assert of("GL501", graph(SIN, dialect="EDGE")) == []


@pytest.mark.parametrize(
    "effect",
    [
        "%w: f32[4] = aten.add_.Tensor(%x, 1)",
        'aten._print.default("here")',
        "%w: f32[4] = mylib.unheard.default(%x)",
        "aten._assert_tensor_metadata.default(%x)",
        "%w: f32[4] = aten.batch_norm.default(%x, None, None, %b, %b, True, 0.1, 1e-05, True)",
    ],
)
def test_the_training_label_on_a_graph_with_effects_is_right(of, effect):
    assert of("GL501", graph(SIN, effect)) == []


@pytest.mark.parametrize(("minor", "labelled"), [(2, 0), (13, 0), (14, 1)])
def test_the_training_label_stays_where_torch_would_drop_a_draw_with_it(all_rules, minor, labelled):
    """Before torch 2.9 a draw whose result nobody uses is dead code to it."""
    tree = parse_program(graph(SIN, "%r: f32[4] = aten.rand_like.default(%x)"))
    document = Document.from_bytes(json.dumps({**tree, "schema_version": {"major": 8, "minor": minor}}).encode())
    found = lint_view(ProgramView(document, all_rules), "model", "model.pt2", all_rules)
    assert [one.diagnostic.code for one in found].count("GL501") == labelled


@pytest.mark.parametrize("version", ["2.5.1", "2.13.0"])
def test_mutation_outputs(of, version):
    text = """\
program ATEN
graph(%p: f32[4] = parameter "w", %b: f32[4] = buffer "layers.0.b", %x: f32[4]):
  %y: f32[4] = aten.sin.default(%x)
  return parameter "w" <- %y, buffer "layers.0.b" <- %y, input "x" <- %y, %y
"""
    assert [one.message for one in of("GL502", text)] == [
        "parameter 'w' is written back by the caller",
        "buffer 'layers.0.b' is written back by the caller",
        "user input 'x' is written back by the caller",
    ]


@pytest.mark.parametrize(
    ("nodes", "result", "expected"),
    [
        ([SIN], "%y", []),
        ([SIN], "%x", ["output %x shares storage with user input 'x'"]),
        ([SIN], "%b, %y", ["output %b shares storage with buffer 'b'"]),
        ([SIN], "%y, %y", ["output %y shares storage with output %y"]),
        (
            [SIN, "%v: f32[2, 2] = aten.view.default(%y, [2, 2])"],
            "%y, %v",
            ["output %v shares storage with output %y"],
        ),
        ([SIN, "%v: f32[4] = aten.clone.default(%y)"], "%y, %v", []),
        (["%d: f32[4] = aten.to_dense.default(%x)"], "%d", ["output %d may share storage with user input 'x'"]),
        # a mutation output is no result that the caller gets
        ([SIN], 'buffer "b" <- %y, %y', []),
    ],
)
def test_outputs_that_share_storage(of, nodes, result, expected):
    assert [one.message for one in of("GL503", graph(*nodes, result=result))] == expected


def test_schemas_that_current_torch_refuses(all_rules):
    tree = parse_program(graph(SIN, dialect="ATEN"))

    def codes(version):
        document = Document.from_bytes(json.dumps({**tree, "schema_version": version}).encode())
        return [
            (found.diagnostic.code, found.diagnostic.message)
            for found in lint_view(ProgramView(document, all_rules), "model", "model.pt2", all_rules)
        ]

    assert codes({"major": 8, "minor": 0}) == []
    assert codes({"major": 8, "minor": 99}) == []
    message = "schema {} is refused by torch 2.6 and later, which load schema 8 only"
    assert codes({"major": 7, "minor": 3}) == [("GL004", message.format("7.3"))]
    assert codes({"major": 9, "minor": 0}) == [("GL004", message.format("9.0"))]
    assert codes(1) == [("GL004", message.format("1.0"))]


def test_only_enabled_rules_are_run(lint_text):
    assert lint_text(CHECK, enabled=frozenset()) == []
    assert {one.code for one in lint_text(CHECK, enabled=frozenset({"GL202", "GL503"}))} == {"GL202", "GL503"}


def test_findings_about_the_program_come_last(lint_text):
    found = [one.code for one in lint_text(graph(SIN, 'aten._print.default("x")', result="%x"))]
    assert found == ["GL301", "GL503"]
