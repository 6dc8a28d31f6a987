"""What leads to what, through subgraphs; how far writes reach."""

from __future__ import annotations

import pytest
from tests.text_form import document_of

from graphlint.report.graphs.flow import Flow
from graphlint.rules.settings import Settings
from graphlint.rules.view import ProgramView

CHAIN = """\
program TRAINING
graph(%x: f32[4], %y: f32[4]):
  %a: f32[4] = aten.sin.default(%x)
  %b: f32[4] = aten.add.Tensor(%a, %y)
  %c: f32[4] = aten.cos.default(%b)
  %d: f32[4] = aten.mul.Tensor(%c, %a)
  return %d
"""

BRANCHES = """\
program TRAINING
graph(%cache: f32[4, 8] = buffer "cache", %x: f32[4, 8], %flag: b8[]):
  %row: f32[8] = aten.select.int(%cache, 0, 1)
  %early: f32[4, 8] = aten.sin.default(%cache)
  %out: f32[4, 8] = higher_order.cond(%flag, @true_graph_0, @false_graph_0, [%cache, %x])
    @true_graph_0(%c: f32[4, 8], %y: f32[4, 8]):
      %inner: f32[8] = aten.select.int(%c, 0, 0)
      %fill_: f32[8] = aten.fill_.Scalar(%inner, 1)
      %cos: f32[4, 8] = aten.cos.default(%c)
      return %cos
    @false_graph_0(%c: f32[4, 8], %y: f32[4, 8]):
      %other: f32[4, 8] = aten.neg.default(%c)
      return %other
  %later: f32[8] = aten.mul.Tensor(%row, 2)
  %sum: f32[4, 8] = aten.add.Tensor(%out, %early)
  return %sum, %later
"""


@pytest.fixture
def flow_of():
    return lambda text: Flow(ProgramView(document_of(text), Settings(frozenset(), frozenset())))


def around(flow, name, hops):
    numbers = flow.around(flow.named(name), hops)
    return {flow.vertices[number].label for number in numbers}


@pytest.mark.parametrize(
    ("hops", "expected"),
    [
        (0, {"b"}),
        (1, {"a", "y", "b", "c"}),  # not %d, which takes %a: a sibling, no consumer
        (2, {"x", "a", "y", "b", "c", "d"}),
        (3, {"x", "a", "y", "b", "c", "d", "return"}),
    ],
)
def test_producers_and_consumers_up_to_that_many_hops(flow_of, hops, expected):
    assert around(flow_of(CHAIN), "b", hops) == expected


def test_a_neighbourhood_reaches_into_and_out_of_subgraphs(flow_of):
    flow = flow_of(BRANCHES)
    # %cos returns to the cond; what the cond was handed is one hop away, as if there were no call.
    assert around(flow, "cos", 1) == {"cos", "c", "cache", "return", "cond"}
    assert {"c", "inner", "cos", "other", "row", "early", "cond"} <= around(flow, "cache", 1)
    assert "fill_" not in around(flow, "cache", 1)


def test_what_a_subgraph_is_not_known_to_take_may_be_any_operand(flow_of):
    flow = flow_of("""\
program ATEN
graph(%x: f32[4], %y: f32[4]):
  %r: f32[4] = higher_order.mystery(@body, %x, %y)
    @body(%a: f32[4]):
      return %a
  return %r
""")
    [inner] = flow.named("a")
    assert {edge.value for edge in flow.incoming[inner.number]} == {"x", "y"}


@pytest.mark.parametrize(
    ("name", "labels"),
    [("fill_", ["fill_"]), ("%fill_", ["fill_"]), ("aten.select.int", ["row", "inner"]), ("c", ["c", "c"]), ("z", [])],
)
def test_finding_vertices_by_node_value_and_op(flow_of, name, labels):
    assert [vertex.label for vertex in flow_of(BRANCHES).named(name)] == labels


def test_the_reach_of_a_write_in_a_branch(flow_of):
    flow = flow_of(BRANCHES)
    [reach] = flow.reaches()
    assert flow.vertices[reach.writer].label == "fill_"
    shown = [flow.vertices[number].label for number in reach.shown_by]
    # The %c of both branches is the buffer; the write is in one of them.
    assert shown == ["cache", "row", "c", "inner", "fill_", "c"]
    # %early reads before the write, %other in the branch that does not run then, %row and %inner are views.
    assert [flow.vertices[number].label for number in reach.read_by] == ["cos", "later"]
    assert list(flow.reaches([flow.named("early")[0].number])) == []


def test_later_writes_and_the_return_read_what_was_written(flow_of):
    text = """\
program TRAINING
graph(%x: f32[4]):
  %add_: f32[4] = aten.add_.Tensor(%x, 1)
  %mul_: f32[4] = aten.mul_.Tensor(%add_, 2)
  return %x
"""
    flow = flow_of(text)
    first, second = flow.reaches()
    assert [flow.vertices[number].label for number in first.read_by] == ["mul_", "return"]
    assert [flow.vertices[number].label for number in second.read_by] == ["return"]
