"""Which storage each value shows, on graphs that say one thing each."""

from __future__ import annotations

import pytest

from graphlint.artifact.errors import ProgramError
from graphlint.ops.table import op_table
from graphlint.semantics.memory import MOST_STORAGES, MOST_VIEWS
from graphlint.semantics.sites import walk


def lines(*nodes: str, inputs: str = '%b: f32[4, 6] = buffer "cache"', result: str = "") -> str:
    """A graph of those lines."""
    last = result or nodes[-1].partition(":")[0].strip(" [") if nodes else "%b"
    return "\n".join([f"graph({inputs}):", *(f"  {node}" for node in nodes), f"  return {last}", ""])


def test_inputs_are_bases_of_their_kind(shown):
    text = (
        'graph(%p: f32[4] = parameter "layers.0.weight", %b: f32[4] = buffer "cache" non-persistent, '
        '%c: f32[4] = tensor_constant "seen", %t: f32[] = token, %x: f32[4]):\n  return %x\n'
    )
    assert shown(text) == {
        "%p": "parameter layers.0.weight",
        "%b": "buffer cache",
        "%c": "constant seen",
        "%t": "intermediate t",
        "%x": "user input x",
    }


def test_constants_in_the_graph_itself_are_constants(writes):
    text = "graph(%x: f32[4]):\n  constant %c\n  %y: f32[4] = aten.add_.Tensor(%c, %x)\n  return %y\n"
    assert writes(text) == [("aten.add_.Tensor", "constant 'c'")]


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (["%y: f32[4, 6] = aten.clone.default(%b)"], "intermediate %y"),
        (["%y: f32[6] = aten.select.int(%b, 0, 1)"], "buffer cache > select"),
        (
            ["%t: f32[6, 4]{1, 6} = aten.t.default(%b)", "%y: f32[4]{6} = aten.select.int(%t, 0, 1)"],
            "buffer cache > t > select",
        ),
        (["%d: f32[4, 6] = aten.detach.default(%b)", "%y: f32[4, 6] = aten.alias.default(%d)"], "buffer cache"),
        (["%y: f32[4, 6] = aten.add_.Tensor(%b, 1)"], "buffer cache"),
        (
            ["%s: f32[6] = aten.select.int(%b, 0, 1)", "%y: f32[6] = aten.mul_.Tensor(%s, 2)"],
            "buffer cache > select",
        ),
        (["%y: f32[6, 4]{1, 6} = aten.t_.default(%b)"], "buffer cache > t_"),
        (["%y: f32[4, 6] = aten.to.dtype(%b, torch.float32)"], "buffer cache"),
        (["%y: f64[4, 6] = aten.to.dtype(%b, torch.float64)"], "intermediate %y"),
        (["%y: f32[24] = aten.reshape.default(%b, [24])"], "buffer cache > reshape"),
        (
            ["%t: f32[6, 4]{1, 6} = aten.t.default(%b)", "%y: f32[24] = aten.reshape.default(%t, [24])"],
            "intermediate %y",
        ),
        (
            ["%t: f32[6, 4]{1, 6} = aten.t.default(%b)", "%y: f32[6, 4] = aten.contiguous.default(%t)"],
            "intermediate %y",
        ),
        (["%y: f32[4, 6] = aten.dropout.default(%b, 0.5, False)"], "buffer cache"),
        (["%y: f32[4, 6] = aten.dropout.default(%b, 0.5, True)"], "intermediate %y"),
        (
            ["%e: f32[4, 6] = aten.empty_like.default(%b)", "%y: f32[4, 6] = aten.add.out(%b, 1, out=%e)"],
            "intermediate %e",
        ),
        (["%y: f32[4, 6] = aten.add.out(%b, 1, out=%b)"], "buffer cache"),
        (["%y: f32[4, 6] = aten.to_dense.default(%b)"], {"buffer cache > to_dense?", "intermediate %y?"}),
        (["%y: f32[4, 6] = mylib.unheard.default(%b)"], "intermediate %y"),
    ],
    ids=lambda value: value[-1].partition(" = ")[2] if isinstance(value, list) else "",
)
def test_one_value(shown, nodes, expected):
    assert shown(lines(*nodes, result="%y"))["%y"] == expected


def test_lists_of_views(shown):
    found = shown(
        lines(
            "[%a: f32[4, 3]{6, 1}, %z: f32[4, 3]{6, 1}] = aten.split.Tensor(%b, 3, 1)",
            "[%r: f32[3], %s: f32[3], %t: f32[3], %u: f32[3]] = aten.unbind.int(%z)",
            "%w: f32[3] = aten.add_.Tensor(%s, 1)",
            "[%q: f32[2, 6], %o: f32[2, 6]] = aten.chunk.default(%b, 2)",
            result="%w",
        )
    )
    assert found["%a"] == found["%z"] == "buffer cache > split"
    assert {found[name] for name in ("%r", "%s", "%t", "%u", "%w")} == {"buffer cache > split > unbind"}
    assert found["%q"] == found["%o"] == "buffer cache > chunk"


def test_ops_from_a_list_to_a_list_go_one_by_one(shown):
    inputs = "%x: f32[4], %y: f32[4]"
    found = shown(
        lines("[%a: f32[4], %z: f32[4]] = aten.broadcast_tensors.default([%x, %y])", inputs=inputs, result="%a")
    )
    assert (found["%a"], found["%z"]) == ("user input x > broadcast_tensors", "user input y > broadcast_tensors")


def test_one_result_may_be_any_of_a_list(shown):
    inputs = "%x: f32[4], %y: f32[4]"
    found = shown(lines("%z: f32[4] = aten._cast_any.default([%x, %y])", inputs=inputs))
    assert found["%z"] == "intermediate %z"  # an op that nobody knows
    found = shown(lines("%z: f32[8] = aten.flatten_dense_tensors.default([%x, %y])", inputs=inputs))
    assert found["%z"] == {
        "user input x > flatten_dense_tensors?",
        "user input y > flatten_dense_tensors?",
        "intermediate %z?",
    }


def test_foreach_writes_all_tensors_of_its_list(writes):
    inputs = '%a: f32[4] = buffer "a", %c: f32[4] = buffer "c", %x: f32[4]'
    text = lines("aten._foreach_add_.Scalar([%a, %c, %x], 1)", inputs=inputs, result="%x")
    op = "aten._foreach_add_.Scalar"
    assert writes(text) == [(op, "buffer 'a'"), (op, "buffer 'c'"), (op, "user input 'x'")]


def test_several_outputs_alias_by_their_position(shown, writes):
    inputs = '%v: f32[4] = buffer "values", %i: i64[4] = buffer "indices", %x: f32[4, 6]'
    text = lines("%a: f32[4], %z: i64[4] = aten.max.dim_max(%x, 1, max=%v, max_values=%i)", inputs=inputs, result="%a")
    assert (shown(text)["%a"], shown(text)["%z"]) == ("buffer values", "buffer indices")
    assert [storage for _, storage in writes(text)] == ["buffer 'values'", "buffer 'indices'"]


COND = """\
graph(%p: b8[], %b: f32[4] = buffer "b", %x: f32[4]):
  %y: f32[4] = higher_order.cond(%p, @yes, @no, [%b, %x])
    @yes(%l: f32[4], %r: f32[4]):
      YES
    @no(%l: f32[4], %r: f32[4]):
      NO
  %w: f32[4] = aten.add_.Tensor(%y, 1)
  return %w
"""


@pytest.mark.parametrize(
    ("yes", "no", "expected"),
    [
        ("return %l", "return %l", "buffer b?"),
        ("return %l", "return %r", {"buffer b?", "user input x?"}),
        ("%s: f32[4] = aten.sin.default(%l)\n      return %s", "return %r", {"user input x?", "intermediate %y?"}),
        (
            "%s: f32[4] = aten.sin.default(%l)\n      return %s",
            "%c: f32[4] = aten.cos.default(%l)\n      return %c",
            "intermediate %y",
        ),
    ],
    ids=["the same", "either", "one fresh", "both fresh"],
)
def test_cond_returns_what_either_branch_returns(shown, yes, no, expected):
    found = shown(COND.replace("YES", yes).replace("NO", no))
    assert (found["@yes %l"], found["@no %r"]) == ("buffer b", "user input x")
    # one and the same storage may be found twice
    assert found["%y"] == found["%w"] == expected


def test_a_write_to_what_cond_returns_may_reach_the_outside(writes):
    yes = "%s: f32[4] = aten.sin.default(%l)\n      return %s"
    assert writes(COND.replace("YES", yes).replace("NO", "return %l")) == [("aten.add_.Tensor", "buffer 'b'?")]
    cos = "%c: f32[4] = aten.cos.default(%l)\n      return %c"
    assert writes(COND.replace("YES", yes).replace("NO", cos)) == [("aten.add_.Tensor", "intermediate tensor %y")]


def test_writes_in_nested_regions_reach_the_outer_buffer(writes, lint_text):
    text = """\
graph(%b: f32[4, 6] = buffer "cache", %x: f32[4, 6]):
  %row: f32[6] = aten.select.int(%b, 0, 1)
  %out: f32[3] = higher_order.wrap_with_set_grad_enabled(False, @outer, %x, %row)
    @outer(%a: f32[4, 6], %r: f32[6]):
      %i: f32[3] = higher_order.wrap_with_autocast("cpu", None, True, None, @inner, %r)
        @inner(%q: f32[6]):
          %h: f32[3] = aten.slice.Tensor(%q, 0, 0, 3)
          %w: f32[3] = aten.add_.Tensor(%h, 1)
          return %w
      return %i
  %last: f32[3] = aten.mul_.Tensor(%out, 2)
  return %last
"""
    through = "buffer 'cache' through select, slice"
    assert writes(text) == [("aten.add_.Tensor", through), ("aten.mul_.Tensor", through)]
    inner, outer = [one for one in lint_text(text) if one.code == "GL103"]
    assert inner.subgraph == ("wrap_with_set_grad_enabled", "outer", "wrap_with_autocast", "inner")
    assert (inner.storage.name, outer.subgraph) == ("cache", ())


def test_values_born_inside_a_region_are_fresh_outside(shown):
    text = """\
graph(%x: f32[4]):
  %a: f32[4], %z: f32[4] = higher_order.wrap_with_set_grad_enabled(False, @body, %x)
    @body(%q: f32[4]):
      %s: f32[4] = aten.sin.default(%q)
      return %s, %q
  %w: f32[4] = aten.add_.Tensor(%a, 1)
  return %w
"""
    found = shown(text)
    assert (found["%a"], found["%w"], found["%z"]) == ("intermediate %a", "intermediate %a", "user input x")
    assert found["@body %s"] == "intermediate %s"


def test_while_loop_carries_what_it_was_given_or_what_an_iteration_made(shown, writes):
    text = """\
graph(%n: i64[], %x: f32[4], %k: f32[4] = buffer "k"):
  %m: i64[], %y: f32[4] = higher_order.while_loop(@more, @step, [%n, %x], [%k])
    @more(%i: i64[], %c: f32[4], %o: f32[4]):
      %lt: b8[] = aten.lt.Scalar(%i, 3)
      return %lt
    @step(%i: i64[], %c: f32[4], %o: f32[4]):
      %j: i64[] = aten.add.Tensor(%i, 1)
      %w: f32[4] = aten.add_.Tensor(%o, 1)
      %v: f32[4] = aten.mul_.Tensor(%c, 2)
      return %j, %v
  return %y
"""
    found = shown(text)
    # What is not carried is the same tensor in every iteration.
    assert found["@step %o"] == "buffer k"
    # An iteration may get what the one before it made: no write to %x is certain.
    assert found["@step %c"] == "user input x?"
    assert found["%y"] == "user input x?"
    assert found["%m"] == "intermediate %m"
    assert writes(text) == [("aten.add_.Tensor", "buffer 'k'"), ("aten.mul_.Tensor", "user input 'x'?")]


def test_map_hands_in_slices(shown, writes):
    text = """\
graph(%xs: f32[3, 4], %b: f32[4] = buffer "b"):
  %ys: f32[3, 4] = higher_order.map(@body, [%xs], [%b])
    @body(%x: f32[4], %k: f32[4]):
      %w: f32[4] = aten.add_.Tensor(%x, 1)
      %v: f32[4] = aten.add_.Tensor(%k, 1)
      return %w
  return %ys
"""
    assert writes(text) == [("aten.add_.Tensor", "user input 'xs'?"), ("aten.add_.Tensor", "buffer 'b'?")]


def test_symbols_among_the_operands_keep_the_places(shown):
    text = """\
graph(%n: i64[], %x: f32[4], %b: f32[4] = buffer "b"):
  $item: int[u0] = aten.item.default(%n)
  %y: f32[4] = higher_order.wrap(@body, %x, $item, 3, None, %b)
    @body(%a: f32[4], $i: int[u0], 3, None, %c: f32[4]):
      %w: f32[4] = aten.add_.Tensor(%c, $i)
      return %w
  return %y
"""
    found = shown(text)
    assert (found["@body %a"], found["@body %c"], found["%y"]) == ("user input x", "buffer b", "buffer b")


def test_an_op_that_calls_graphs_in_an_unknown_way(shown, writes):
    text = """\
graph(%b: f32[4] = buffer "b"):
  %y: f32[4] = higher_order.of_a_newer_torch(@body, %b)
    @body(%a: f32[4]):
      %w: f32[4] = aten.add_.Tensor(%a, 1)
      return %w
  %v: f32[4] = aten.add_.Tensor(%y, 1)
  return %v
"""
    assert shown(text)["%y"] == "unknown %y?"
    assert writes(text) == [
        ("aten.add_.Tensor", "unknown tensor %a?"),
        ("aten.add_.Tensor", "unknown tensor %y?"),
    ]


def test_a_known_op_with_its_graphs_in_unknown_places_is_unknown(shown):
    text = """\
graph(%p: b8[], %b: f32[4] = buffer "b"):
  %y: f32[4] = higher_order.cond(%p, [%b], @body)
    @body(%a: f32[4]):
      return %a
  return %y
"""
    assert shown(text)["@body %a"] == "unknown %a?"
    assert shown(text)["%y"] == "unknown %y?"


def test_hidden_updates_write_the_statistics(writes):
    call = "aten.batch_norm.default(%x, None, None, %m, %v, {}, 0.1, 1e-05, True)"
    inputs = '%m: f32[4] = buffer "mean", %v: f32[4] = buffer "var", %x: f32[2, 4]'
    train = lines(f"%y: f32[2, 4] = {call.format(True)}", inputs=inputs, result="%y")
    op = "aten.batch_norm.default"
    assert writes(train) == [(op, "buffer 'mean'"), (op, "buffer 'var'")]
    assert writes(train.replace("True, 0.1", "False, 0.1")) == []


def test_sites_are_in_program_order_with_their_paths(read_text):
    program = read_text(
        COND.replace("YES", "return %l").replace("NO", "%n: f32[4] = aten.neg.default(%r)\n      return %n")
    )
    sites = list(walk(program, op_table(), leave_out=lambda op: False))
    assert [(site.position, site.index, site.name, site.scope.path) for site in sites] == [
        (0, 0, "higher_order.cond", ()),
        (1, 0, "aten.neg.default", ("cond", "no")),
        (2, 1, "aten.add_.Tensor", ()),
    ]
    assert list(sites[1].scope.callers()) == [sites[0]]


def test_calling_conventions_are_consistent():
    infos = [op_table().lookup(name) for name in op_table().names()]
    conventions = {info.name: info.calls for info in infos if info is not None and info.calls is not None}
    assert {"higher_order.cond", "higher_order.while_loop", "higher_order.scan"} <= conventions.keys()
    for name, rule in conventions.items():
        assert rule.graphs, name
        assert all(position < len(rule.graphs) for position in rule.results_of), name
        assert bool(rule.lists) != (rule.rest is not None), name
        assert max(rule.graphs) < min([*rule.lists, *([rule.rest] if rule.rest is not None else [])]), name


def test_of_a_long_chain_of_views_the_first_and_the_last_are_told(lint_text):
    views = [f"%v{number}: f32[4] = aten.view.default(%v{number - 1}, [4])" for number in range(1, 200)]
    ends = ["%v200: f32[1, 4] = aten.unsqueeze.default(%v199, 0)", "%w: f32[1, 4] = aten.add_.Tensor(%v200, 1)"]
    text = lines("%v0: f32[4] = aten.slice.Tensor(%x)", *views, *ends, inputs="%x: f32[4]")
    (found,) = [one for one in lint_text(text) if one.code == "GL102"]
    told = found.storage.views
    assert len(told) == MOST_VIEWS
    assert (told[0], told[30:33], told[-1]) == (
        "aten.slice.Tensor",
        ("aten.view.default", "...", "aten.view.default"),
        "aten.unsqueeze.default",
    )
    assert found.message.startswith("aten.add_.Tensor writes user input 'x' through slice, view, ")
    assert ", view, ..., view, " in found.message


def test_what_may_show_too_much_is_refused(lint_text):
    def chain(length: int) -> str:
        lines = [f"  %v{n}: f32[s0]{{s{n}}} = aten.contiguous.default(%v{n - 1})" for n in range(1, length)]
        first = "  %v0: f32[s0]{s1} = aten.contiguous.default(%x)"
        return "\n".join(["graph(%x: f32[s0]{s1}):", first, *lines, f"  return %v{length - 1}"])

    assert lint_text(chain(MOST_STORAGES - 1)) is not None
    with pytest.raises(ProgramError, match="%v101 may show the memory of more than 100 values"):
        lint_text(chain(200))
