"""Edited graphs: new names are free, and the original stays as it is."""

from __future__ import annotations

from tests.text_form import document_of

from graphlint.ir.decode import decode_program
from graphlint.ir.edit import Dialect, GraphEdit, scalar_meta, with_graph

CHECKED = """\
graph(%p: b8[], %x: f32[4]):
  %gt: b8[4] = aten.gt.Scalar(%x, 0)
  %all: b8[] = aten.all.default(%gt)
  aten._assert_async.msg(%all, "negative")
  %out: f32[4] = higher_order.cond(%p, @yes, @no, [%x])
    @yes(%x: f32[4]):
      %any: b8[] = aten.any.default(%x)
      aten._assert_async.msg(%any, "zero")
      %sin: f32[4] = aten.sin.default(%x)
      return %sin
    @no(%x: f32[4]):
      %cos: f32[4] = aten.cos.default(%x)
      return %cos
  return %out
"""


def test_a_dialect_is_what_the_files_own_nodes_show(version, programs, artifacts):
    (data,) = programs(artifacts / version / "clean.pt2")
    number = tuple(map(int, version.split(".")))
    dialect = Dialect.of(decode_program(data).graph)
    assert dialect.kinds == (number >= (2, 7))
    assert dialect.names == (number >= (2, 11))
    assert dialect.single_return_flag == (number >= (2, 7))


def test_new_names_are_free_and_taken_from_then_on():
    document = document_of(CHECKED)
    edit = GraphEdit(document.program.graph)
    assert [edit.fresh("dep_token"), edit.fresh("dep_token")] == ["dep_token0", "dep_token1"]
    assert [edit.claim("x"), edit.claim("x"), edit.claim("y"), edit.claim("y")] == ["x_1", "x_2", "y", "y_1"]
    # subgraphs and nodes without results have names too
    assert [edit.claim("yes"), edit.claim("_assert_async")] == ["yes_1", "_assert_async_1"]


def test_an_edit_leaves_the_original_alone():
    document = document_of(CHECKED)
    before = document.to_bytes()
    edit = GraphEdit(document.program.graph)
    edit.inputs.clear()
    edit.outputs.clear()
    edit.record("new", scalar_meta())
    graph = edit.finish(is_single_tensor_return=True)
    assert (graph.inputs, graph.outputs, graph.nodes) == ([], [], [])
    assert graph.is_single_tensor_return is True
    assert graph.meta("new") == scalar_meta()
    program = with_graph(document.program, graph, calls=[])
    assert program.graph is graph
    assert program.graph_module.module_call_graph == []
    assert program.graph_module.signature is document.program.graph_module.signature
    assert program.verifiers is document.program.verifiers
    assert document.program.graph.meta("new") is None
    assert document.to_bytes() == before


def test_names_are_numbered_from_the_first_free_one():
    document = document_of("graph(%x: f32[2]):\n  %a: f32[2] = aten.sin.default(%x)\n  return %a\n")
    edit = GraphEdit(document.program.graph)
    assert [edit.claim("a") for _ in range(3)] == ["a_1", "a_2", "a_3"]
    assert [edit.claim("b") for _ in range(2)] == ["b", "b_1"]
    for name in ("a_2", "a_1"):
        edit.record(name, scalar_meta())
        edit.rename(name, f"{name}_elsewhere")
    assert [edit.claim("a") for _ in range(3)] == ["a_1", "a_2", "a_4"], "renamed ones are free again"
    assert edit.claim("a_1") == "a_1_1"
