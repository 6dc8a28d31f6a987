"""Checks become data flow: the graphs before and after, in text form, and what surrounds them in the JSON."""

import json

import pytest
from tests.text_form import document_of, parse_program, print_program, tree_of

from graphlint.artifact.errors import ProgramError
from graphlint.rules.fixing import fix_program


@pytest.fixture
def fix_text(settings_for):
    """Fixes a program in text form; the text of the result, and the result itself."""

    def fix(program, sink="buffer", **settings):
        document = document_of(program)
        given = print_program(document.program)
        result = fix_program(document, "model", "model.pt2", settings_for(sink, **settings))
        assert print_program(document.program) == given, "the program that it was given is not to be edited in place"
        return shown(result.document), result

    return fix


def shown(document):
    """The text of a document's program, which is the text of what is written."""
    text = print_program(document.program)
    assert print_program(document_of(tree_of(document)).program) == text
    return text


def graph(head, body, tail):
    return f"program ATEN\ngraph({head}):\n{body}  return {tail}\n"


def as_exported(text):
    """With what stock torch wants to know: the range of the symbol u0, and that nothing is dropped on loading.

    It takes bare checks, which it thinks dead, out of programs that are labelled ATEN.
    """
    return text.replace("program ATEN\n", "program TRAINING\nrange u0 = [-1000, 10000]\n", 1)


BUFFER = '%b_dep_token: f32[] = buffer "dep_token" non-persistent'

BARE = "Expected Tensor with single nonzero value, but got zero"

# What each check becomes: the check, and the same line afterwards.
TWINS = {
    "assert-async-msg": (
        'aten._assert_async.msg(%ok, "too \\"small\\"")',
        'aten._functional_assert_async.msg(%ok, "too \\"small\\"", dep_token=%dep_token0)',
    ),
    "assert-async": (
        "aten._assert_async.default(%ok)",
        f'aten._functional_assert_async.msg(%ok, assert_msg="{BARE}", dep_token=%dep_token0)',
    ),
    "assert-scalar": (
        'aten._assert_scalar.default($ge, "n must be positive")',
        'aten._functional_assert_scalar.default($ge, "n must be positive", dep_token=%dep_token0)',
    ),
    "constrain-range": (
        "aten.sym_constrain_range.default($n, min=2, max=10)",
        "aten._functional_sym_constrain_range.default($n, min=2, max=10, dep_token=%dep_token0)",
    ),
    "constrain-range-one-bound": (
        "aten.sym_constrain_range.default($n, max=10)",
        "aten._functional_sym_constrain_range.default($n, max=10, min=None, dep_token=%dep_token0)",
    ),
    "constrain-range-for-size": (
        "aten.sym_constrain_range_for_size.default($n)",
        "aten._functional_sym_constrain_range_for_size.default($n, min=None, max=None, dep_token=%dep_token0)",
    ),
    "constrain-range-for-size-bounds": (
        "aten.sym_constrain_range_for_size.default($n, min=0, max=64)",
        "aten._functional_sym_constrain_range_for_size.default($n, min=0, max=64, dep_token=%dep_token0)",
    ),
}
SCALARS = """\
  $n: int[u0] = aten.item.default(%x)
  $ge: bool[u0 >= 1] = _operator.ge($n, 1)
  %ok: b8[] = aten.gt.Scalar(%x, 0)
"""


@pytest.mark.parametrize(("check", "twin"), TWINS.values(), ids=TWINS)
def test_each_check_has_its_twin(check, twin, fix_text):
    after, result = fix_text(graph("%x: i64[]", f"{SCALARS}  {check}\n", "%x"))
    token = "  %dep_token0: f32[] = aten._make_dep_token.default()\n"
    assert after == graph(
        f"{BUFFER}, %x: i64[]",
        f"{SCALARS}{token}  %dep_token1: f32[] = {twin}\n",
        'buffer "dep_token" <- %dep_token1, %x',
    )
    assert result.new_buffers == ("dep_token",)
    assert result.remaining == ()


@pytest.mark.parametrize(("check", "twin"), TWINS.values(), ids=TWINS)
def test_stock_torch_runs_each_twin(check, twin, judge, write_pt2, fix_copy):
    path = write_pt2(as_exported(graph("%x: i64[]", f"{SCALARS}  {check}\n", "%x")))
    fixed, result = fix_copy(path)
    assert result.changed
    calls = [((judge.torch.tensor(value),), {}) for value in (5, 0, -3, 1000)]
    raised = judge.compare(judge.load(path), judge.load(fixed), calls)
    assert raised[0] == ""
    assert any(raised)
    judge.assert_survives_dead_code_elimination(judge.load(fixed), calls, raised)


def test_the_chain_follows_program_order(fix_text):
    body = f"""\
{SCALARS}\
  aten._assert_async.default(%ok)
  %y: i64[] = aten.add.Tensor(%x, 3)
  aten._assert_scalar.default($ge, "second")
  aten._assert_async.msg(%ok, "third")
"""
    after, _ = fix_text(graph("%x: i64[]", body, "%y, %x"), "output")
    assert after == graph(
        "%x: i64[]",
        f"""\
{SCALARS}\
  %dep_token0: f32[] = aten._make_dep_token.default()
  %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, assert_msg="{BARE}", dep_token=%dep_token0)
  %y: i64[] = aten.add.Tensor(%x, 3)
  %dep_token2: f32[] = aten._functional_assert_scalar.default($ge, "second", dep_token=%dep_token1)
  %dep_token3: f32[] = aten._functional_assert_async.msg(%ok, "third", dep_token=%dep_token2)
""",
        "%y, %x, %dep_token3",
    )


CHECKED = """\
      %lt: b8[3, 4] = aten.lt.Scalar(%a, 100)
      %ok: b8[] = aten.all.default(%lt)
      aten._assert_async.msg(%ok, "inside")
"""
TWINNED = CHECKED.replace(
    'aten._assert_async.msg(%ok, "inside")',
    '%dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "inside", dep_token=%dep_token0)',
)
MADE = "  %dep_token0: f32[] = aten._make_dep_token.default()\n"
PREDICATE = """\
  %sum_1: f32[] = aten.sum.default(%x)
  %gt: b8[] = aten.gt.Scalar(%sum_1, 0)
"""
# The body of the root graph before and after, and the last token.
THREADED = {
    "cond": (
        f"""\
{PREDICATE}\
  %y: f32[3, 4] = higher_order.cond(%gt, @yes, @no, [%x])
    @yes(%a: f32[3, 4]):
{CHECKED}\
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin
    @no(%a: f32[3, 4]):
      %cos: f32[3, 4] = aten.cos.default(%a)
      return %cos
""",
        f"""\
{PREDICATE}{MADE}\
  %y: f32[3, 4], %dep_token1: f32[] = higher_order.cond(%gt, @yes, @no, [%x, %dep_token0])
    @yes(%a: f32[3, 4], %dep_token0: f32[]):
{TWINNED}\
      %sin: f32[3, 4] = aten.sin.default(%a)
      %dep_token2: f32[] = aten.clone.default(%dep_token1)
      return %sin, %dep_token2
    @no(%a: f32[3, 4], %dep_token0: f32[]):
      %cos: f32[3, 4] = aten.cos.default(%a)
      %dep_token1: f32[] = aten.clone.default(%dep_token0)
      return %cos, %dep_token1
  %dep_token2: f32[] = aten.detach.default(%dep_token1)
""",
        "%dep_token2",
    ),
    "cond-without-operands-and-results": (
        f"""\
{PREDICATE}\
  higher_order.cond(%gt, @yes, @no, tensors[])
    @yes():
      %ok: b8[] = aten.full.default([], True, dtype=torch.bool)
      aten._assert_async.msg(%ok, "inside")
      return
    @no():
      return
  %y: f32[3, 4] = aten.sin.default(%x)
""",
        f"""\
{PREDICATE}{MADE}\
  %dep_token1: f32[] = higher_order.cond(%gt, @yes, @no, [%dep_token0])
    @yes(%dep_token0: f32[]):
      %ok: b8[] = aten.full.default([], True, dtype=torch.bool)
      %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "inside", dep_token=%dep_token0)
      %dep_token2: f32[] = aten.clone.default(%dep_token1)
      return %dep_token2
    @no(%dep_token0: f32[]):
      %dep_token1: f32[] = aten.clone.default(%dep_token0)
      return %dep_token1
  %dep_token2: f32[] = aten.detach.default(%dep_token1)
  %y: f32[3, 4] = aten.sin.default(%x)
""",
        "%dep_token2",
    ),
    "cond-with-symbols-only": (
        """\
  $n: int[s0] = aten.sym_size.int(%x, 0)
  $gt: bool[s0 > 2] = _operator.gt($n, 2)
  %y: f32[3, 4] = higher_order.cond($gt, @yes, @no, [$n])
    @yes($n: int[s0]):
      %a: f32[3, 4] = aten.full.default([3, 4], $n)
      %lt: b8[3, 4] = aten.lt.Scalar(%a, 100)
      %ok: b8[] = aten.all.default(%lt)
      aten._assert_async.msg(%ok, "inside")
      return %a
    @no($n: int[s0]):
      %zeros: f32[3, 4] = aten.zeros.default([3, 4])
      return %zeros
""",
        f"""\
  $n: int[s0] = aten.sym_size.int(%x, 0)
  $gt: bool[s0 > 2] = _operator.gt($n, 2)
{MADE}\
  %y: f32[3, 4], %dep_token1: f32[] = higher_order.cond($gt, @yes, @no, [%n, %dep_token0])
    @yes($n: int[s0], %dep_token0: f32[]):
      %a: f32[3, 4] = aten.full.default([3, 4], $n)
      %lt: b8[3, 4] = aten.lt.Scalar(%a, 100)
      %ok: b8[] = aten.all.default(%lt)
      %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "inside", dep_token=%dep_token0)
      %dep_token2: f32[] = aten.clone.default(%dep_token1)
      return %a, %dep_token2
    @no($n: int[s0], %dep_token0: f32[]):
      %zeros: f32[3, 4] = aten.zeros.default([3, 4])
      %dep_token1: f32[] = aten.clone.default(%dep_token0)
      return %zeros, %dep_token1
  %dep_token2: f32[] = aten.detach.default(%dep_token1)
""",
        "%dep_token2",
    ),
    # The loop's own values come before the values that it only reads: the token stands between them.
    "while-loop": (
        f"""\
{PREDICATE}\
  %y: f32[3, 4] = higher_order.while_loop(@going, @body, [%x], [%sum_1])
    @going(%a: f32[3, 4], %b: f32[]):
      %max_1: f32[] = aten.max.default(%a)
      %lt: b8[] = aten.lt.Scalar(%max_1, 10)
      return! %lt
    @body(%a: f32[3, 4], %b: f32[]):
{CHECKED}\
      %add: f32[3, 4] = aten.add.Tensor(%a, %b)
      return %add
""",
        f"""\
{PREDICATE}{MADE}\
  %y: f32[3, 4], %dep_token1: f32[] = higher_order.while_loop(@going, @body, [%x, %dep_token0], [%sum_1])
    @going(%a: f32[3, 4], %dep_token0: f32[], %b: f32[]):
      %max_1: f32[] = aten.max.default(%a)
      %lt: b8[] = aten.lt.Scalar(%max_1, 10)
      return! %lt
    @body(%a: f32[3, 4], %dep_token0: f32[], %b: f32[]):
{TWINNED}\
      %add: f32[3, 4] = aten.add.Tensor(%a, %b)
      %dep_token2: f32[] = aten.clone.default(%dep_token1)
      return %add, %dep_token2
  %dep_token2: f32[] = aten.detach.default(%dep_token1)
""",
        "%dep_token2",
    ),
    "no-grad-region": (
        f"""\
  %y: f32[3, 4] = higher_order.wrap_with_set_grad_enabled(False, @submod_1, %x)
    @submod_1(%a: f32[3, 4]):
{CHECKED}\
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin
""",
        f"""\
{MADE}\
  %y: f32[3, 4], %dep_token1: f32[] = higher_order.wrap_with_set_grad_enabled(False, @submod_1, %x, %dep_token0)
    @submod_1(%a: f32[3, 4], %dep_token0: f32[]):
{TWINNED}\
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin, %dep_token1
""",
        "%dep_token1",
    ),
    "autocast-region-then-a-check": (
        f"""\
  %y: f32[3, 4] = higher_order.wrap_with_autocast("cpu", torch.bfloat16, True, False, @submod_1, %x)
    @submod_1(%a: f32[3, 4]):
{CHECKED}\
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin
{PREDICATE}\
  aten._assert_async.msg(%gt, "after")
""",
        f"""\
{MADE}\
  %y: f32[3, 4], %dep_token1: f32[] = \
higher_order.wrap_with_autocast("cpu", torch.bfloat16, True, False, @submod_1, %x, %dep_token0)
    @submod_1(%a: f32[3, 4], %dep_token0: f32[]):
{TWINNED}\
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin, %dep_token1
{PREDICATE}\
  %dep_token2: f32[] = aten._functional_assert_async.msg(%gt, "after", dep_token=%dep_token1)
""",
        "%dep_token2",
    ),
    "region-in-a-branch": (
        f"""\
{PREDICATE}\
  %y: f32[3, 4] = higher_order.cond(%gt, @yes, @no, [%x])
    @yes(%x: f32[3, 4]):
      higher_order.wrap_with_set_grad_enabled(False, @submod_1, %x)
        @submod_1(%a: f32[3, 4]):
          %ok: b8[] = aten.any.default(%a)
          aten._assert_async.msg(%ok, "inside")
          return
      %sin: f32[3, 4] = aten.sin.default(%x)
      return %sin
    @no(%x: f32[3, 4]):
      %cos: f32[3, 4] = aten.cos.default(%x)
      return %cos
""",
        f"""\
{PREDICATE}{MADE}\
  %y: f32[3, 4], %dep_token1: f32[] = higher_order.cond(%gt, @yes, @no, [%x, %dep_token0])
    @yes(%x: f32[3, 4], %dep_token0: f32[]):
      %dep_token1: f32[] = higher_order.wrap_with_set_grad_enabled(False, @submod_1, %x, %dep_token0)
        @submod_1(%a: f32[3, 4], %dep_token0: f32[]):
          %ok: b8[] = aten.any.default(%a)
          %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "inside", dep_token=%dep_token0)
          return %dep_token1
      %sin: f32[3, 4] = aten.sin.default(%x)
      %dep_token2: f32[] = aten.clone.default(%dep_token1)
      return %sin, %dep_token2
    @no(%x: f32[3, 4], %dep_token0: f32[]):
      %cos: f32[3, 4] = aten.cos.default(%x)
      %dep_token1: f32[] = aten.clone.default(%dep_token0)
      return %cos, %dep_token1
  %dep_token2: f32[] = aten.detach.default(%dep_token1)
""",
        "%dep_token2",
    ),
}


@pytest.mark.parametrize(("before", "after", "last"), THREADED.values(), ids=THREADED)
def test_subgraphs_carry_the_token(before, after, last, fix_text):
    text, result = fix_text(graph("%x: f32[3, 4]", before, "%y"))
    assert text == graph(f"{BUFFER}, %x: f32[3, 4]", after, f'buffer "dep_token" <- {last}, %y')
    assert result.remaining == ()
    again, _ = fix_text(tree_of(result.document))
    assert again == text
    text, _ = fix_text(graph("%x: f32[3, 4]", before, "%y"), "output")
    assert text == graph("%x: f32[3, 4]", after, f"%y, {last}")


def test_only_graphs_on_the_way_to_a_check_are_touched(fix_text):
    other = """\
  %z: f32[3, 4] = higher_order.cond(%gt, @yes, @no, [%x])
    @yes(%a: f32[3, 4]):
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin
    @no(%a: f32[3, 4]):
      %cos: f32[3, 4] = aten.cos.default(%a)
      return %cos
"""
    before = graph("%x: f32[3, 4]", f'{PREDICATE}  aten._assert_async.msg(%gt, "first")\n{other}', "%z")
    tree = parse_program(before)
    _, result = fix_text(tree)
    nodes = tree["graph_module"]["graph"]["nodes"]
    fixed = tree_of(result.document)["graph_module"]["graph"]["nodes"]
    assert fixed[:2] == nodes[:2]
    assert fixed[4] == nodes[3]


OUTSIDE = '  aten._assert_async.msg(%gt, "outside")\n'
# The body of the root graph, with a check that cannot be fixed, and the reason.
OBSTACLES = {
    "map": (
        f"""\
  %y: f32[3, 4] = higher_order.map_impl(@body, [%x], tensors[])
    @body(%a: f32[4]):
      %ok: b8[] = aten.any.default(%a)
      aten._assert_async.msg(%ok, "inside")
      %sin: f32[4] = aten.sin.default(%a)
      return %sin
{PREDICATE}{OUTSIDE}""",
        "map_impl has no place to carry the token in and out",
    ),
    "condition-of-while-loop": (
        f"""\
  %y: f32[3, 4] = higher_order.while_loop(@going, @body, [%x], tensors[])
    @going(%a: f32[3, 4]):
{CHECKED}\
      %max_1: f32[] = aten.max.default(%a)
      %lt_1: b8[] = aten.lt.Scalar(%max_1, 10)
      return! %lt_1
    @body(%a: f32[3, 4]):
      %add: f32[3, 4] = aten.add.Tensor(%a, 1)
      return %add
{PREDICATE}{OUTSIDE}""",
        "the condition of while_loop has no result to hand the token on in",
    ),
    "operands-are-numbers": (
        f"""\
{PREDICATE}\
  %y: f32[3, 4] = higher_order.cond(%gt, @yes, @no, [1, 2])
    @yes(1, 2):
      %ok: b8[] = aten.full.default([], True, dtype=torch.bool)
      aten._assert_async.msg(%ok, "inside")
      %ones: f32[3, 4] = aten.ones.default([3, 4])
      return %ones
    @no(1, 2):
      %zeros: f32[3, 4] = aten.zeros.default([3, 4])
      return %zeros
{OUTSIDE}""",
        "the operands of cond are constants, which a token cannot stand among",
    ),
    "unknown-higher-order-op": (
        f"""\
  %y: f32[3, 4] = higher_order.from_the_future(@body, %x)
    @body(%a: f32[3, 4]):
{CHECKED}\
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin
{PREDICATE}{OUTSIDE}""",
        "from_the_future has no place to carry the token in and out",
    ),
    "region-in-a-map": (
        f"""\
  %y: f32[3, 4] = higher_order.map_impl(@body, [%x], tensors[])
    @body(%x: f32[4]):
      higher_order.wrap_with_set_grad_enabled(False, @submod_1, %x)
        @submod_1(%a: f32[4]):
          %ok: b8[] = aten.any.default(%a)
          aten._assert_async.msg(%ok, "inside")
          return
      %sin: f32[4] = aten.sin.default(%x)
      return %sin
{PREDICATE}{OUTSIDE}""",
        "map_impl has no place to carry the token in and out",
    ),
}


@pytest.mark.parametrize(("body", "reason"), OBSTACLES.values(), ids=OBSTACLES)
def test_what_cannot_be_fixed_stays_and_the_rest_is_fixed(body, reason, fix_text):
    before = graph("%x: f32[3, 4]", body, "%y")
    after, result = fix_text(before)
    assert [(one.code, one.fix.applicability, one.fix.message) for one in result.remaining] == [
        ("GL201", "none", reason)
    ]
    assert [one.op for one in result.fixed] == ["aten._assert_async.msg"]
    twin = f"{MADE}" + OUTSIDE.replace("aten._", "%dep_token1: f32[] = aten._functional_").replace(
        '"outside"', '"outside", dep_token=%dep_token0'
    )
    assert after == graph(
        f"{BUFFER}, %x: f32[3, 4]", body.replace(OUTSIDE, twin), 'buffer "dep_token" <- %dep_token1, %y'
    )


@pytest.mark.parametrize(("body", "reason"), OBSTACLES.values(), ids=OBSTACLES)
def test_where_nothing_can_be_fixed_nothing_is_touched(body, reason, fix_text):
    before = graph("%x: f32[3, 4]", body.replace(OUTSIDE, ""), "%y")
    tree = parse_program(before)
    after, result = fix_text(tree)
    assert (result.fixed, result.new_buffers) == ((), ())
    assert tree_of(result.document) == tree
    assert after == before
    assert [one.fix.message for one in result.remaining] == [reason]


# -- names

CHECK_X = '  %ok: b8[] = aten.any.default(%x)\n  aten._assert_async.msg(%ok, "zero")\n'


def test_names_of_values_are_not_taken_twice(fix_text):
    body = f"""\
  %dep_token0: f32[3] = aten.sin.default(%x)
  %dep_token2: f32[3] = aten.sin.default(%dep_token0)
{CHECK_X}\
  aten._assert_async.msg(%ok, "again")
"""
    after, _ = fix_text(graph("%b_dep_token: f32[3], %x: f32[3]", body, "%dep_token2"))
    assert after == graph(
        '%b_dep_token_1: f32[] = buffer "dep_token" non-persistent, %b_dep_token: f32[3], %x: f32[3]',
        """\
  %dep_token0: f32[3] = aten.sin.default(%x)
  %dep_token2: f32[3] = aten.sin.default(%dep_token0)
  %ok: b8[] = aten.any.default(%x)
  %dep_token1: f32[] = aten._make_dep_token.default()
  %dep_token3: f32[] = aten._functional_assert_async.msg(%ok, "zero", dep_token=%dep_token1)
  %dep_token4: f32[] = aten._functional_assert_async.msg(%ok, "again", dep_token=%dep_token3)
""",
        'buffer "dep_token" <- %dep_token4, %dep_token2',
    )


@pytest.mark.parametrize(
    ("taken", "expected"),
    [
        (("buffer", "dep_token"), "dep_token_1"),
        (("parameter", "dep_token"), "dep_token_1"),
        (("tensor_constant", "dep_token"), "dep_token_1"),
        (("buffer", "dep_token.inner"), "dep_token_1"),
        (("buffer", "dep_token_1"), "dep_token"),
        (("buffer", "encoder.dep_token"), "dep_token"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else value,
)
def test_the_buffers_name_is_free(taken, expected, fix_text):
    kind, name = taken
    after, result = fix_text(graph(f'%w: f32[3] = {kind} "{name}", %x: f32[3]', CHECK_X, "%x"))
    assert result.new_buffers == (expected,)
    assert after.splitlines()[1] == (
        f'graph(%w: f32[3] = {kind} "{name}", %b_dep_token: f32[] = buffer "{expected}" non-persistent, %x: f32[3]):'
    )
    assert after.splitlines()[-1] == f'  return buffer "{expected}" <- %dep_token1, %x'


def test_a_submodules_name_is_not_taken(fix_text):
    tree = parse_program(graph("%x: f32[3]", CHECK_X, "%x"))
    tree["graph_module"]["module_call_graph"].append({"fqn": "dep_token.layer", "signature": None})
    _, result = fix_text(tree)
    assert result.new_buffers == ("dep_token_1",)


def test_names_of_nodes_are_not_taken_twice(fix_text):
    tree = parse_program(graph("%x: f32[3]", CHECK_X, "%x"))
    tree["graph_module"]["graph"]["nodes"][0]["name"] = "dep_token0"
    _, result = fix_text(tree)
    nodes = tree_of(result.document)["graph_module"]["graph"]["nodes"]
    assert [node["name"] for node in nodes] == ["dep_token0", "dep_token1", "dep_token2"]
    assert [node["outputs"] for node in nodes[1:]] == [
        [{"as_tensor": {"name": "dep_token1"}}],
        [{"as_tensor": {"name": "dep_token2"}}],
    ]


# -- what surrounds the graph


def test_inputs_and_outputs_keep_torchs_order(fix_text):
    head = (
        '%p: f32[3] = parameter "p", %b: f32[3] = buffer "b", %c: f32[3] = tensor_constant "c", %x: f32[3], %z: f32[3]'
    )
    body = f"{CHECK_X}  %add_: f32[3] = aten.add.Tensor(%b, 1)\n"
    after, _ = fix_text(graph(head, body, 'buffer "b" <- %add_, input "x" <- %add_, %p, %c'))
    lines = after.splitlines()
    assert lines[1] == f"graph({head.replace('%x', BUFFER + ', %x')}):"
    assert lines[-1] == '  return buffer "b" <- %add_, input "x" <- %add_, buffer "dep_token" <- %dep_token1, %p, %c'


def test_a_program_without_inputs_and_results(fix_text):
    body = '  %ok: b8[] = aten.ones.default([], dtype=torch.bool)\n  aten._assert_async.msg(%ok, "never")\n'
    after, _ = fix_text(graph("", body, "").replace("  return \n", "  return\n"))
    assert after.splitlines()[1] == f"graph({BUFFER}):"
    assert after.splitlines()[-1] == '  return buffer "dep_token" <- %dep_token1'


def test_a_twin_keeps_its_checks_metadata_and_the_rest_of_its_node(fix_text):
    tree = parse_program(graph("%x: f32[3]", CHECK_X, "%x"))
    check = tree["graph_module"]["graph"]["nodes"][1]
    check["metadata"] = {
        "stack_trace": '  File "model.py", line 7, in forward\n    check(x)\n',
        "nn_module_stack": "L__self__,,model.Model",
        "torch_fn": "_assert_async.msg_1;OpOverload._assert_async.msg",
    }
    check["from_the_future"] = {"kept": True}
    _, result = fix_text(tree)
    made, twin = tree_of(result.document)["graph_module"]["graph"]["nodes"][1:]
    assert twin == {
        **check,
        "target": "torch.ops.aten._functional_assert_async.msg",
        "inputs": [
            *check["inputs"],
            {"name": "dep_token", "arg": {"as_tensor": {"name": "dep_token0"}}, "kind": 2},
        ],
        "outputs": [{"as_tensor": {"name": "dep_token1"}}],
        # Named after its token; what it was called is noted for the day when it is restored.
        "metadata": {**check["metadata"], "graphlint.name": check["name"]},
        "name": "dep_token1",
    }
    assert made == {
        "target": "torch.ops.aten._make_dep_token.default",
        "inputs": [],
        "outputs": [{"as_tensor": {"name": "dep_token0"}}],
        # The token is made in the module of the first check, which is not to be torn in two.
        "metadata": {"nn_module_stack": "L__self__,,model.Model"},
        "is_hop_single_tensor_return": None,
        "name": "dep_token0",
    }


def test_everything_else_in_the_json_stays(fix_text):
    tree = parse_program(graph("%x: f32[3]", CHECK_X, "%x"))
    tree["from_the_future"] = [1]
    tree["graph_module"]["metadata"] = {"kept": "too"}
    tree["graph_module"]["graph"]["more"] = 2
    tree["graph_module"]["signature"]["still_more"] = 3
    _, result = fix_text(tree)
    after = tree_of(result.document)
    assert list(after) == list(tree)
    assert {key: value for key, value in after.items() if key != "graph_module"} == {
        key: value for key, value in tree.items() if key != "graph_module"
    }
    module, before = after["graph_module"], tree["graph_module"]
    for key in ("metadata", "module_call_graph", "treespec_namedtuple_fields"):
        assert module[key] == before[key]
    assert module["graph"]["more"] == 2
    assert module["signature"]["still_more"] == 3
    values = module["graph"]["tensor_values"]
    assert {name: values[name] for name in before["graph"]["tensor_values"]} == before["graph"]["tensor_values"]
    token = {
        "dtype": 7,
        "sizes": [],
        "requires_grad": False,
        "device": {"type": "cpu", "index": None},
        "strides": [],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }
    assert {name: value for name, value in values.items() if "dep_token" in name} == {
        "dep_token0": token,
        "dep_token1": token,
        "b_dep_token": token,
    }


LEAF = {"type": None, "context": None, "children_spec": []}


def container(kind, context, *children):
    return {"type": f"builtins.{kind}", "context": context, "children_spec": list(children)}


@pytest.mark.parametrize(
    ("spec", "outputs"),
    [
        (LEAF, "%x"),
        (container("tuple", "null", LEAF, LEAF), "%x, %x"),
        (container("dict", '["out", "pair"]', LEAF, container("tuple", "null", LEAF)), "%x, %x"),
        (container("list", "null"), ""),
    ],
    ids=["leaf", "tuple", "nested", "empty"],
)
@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_the_calling_convention(spec, outputs, sink, fix_text):
    tree = parse_program(graph("%x: f32[3]", CHECK_X, outputs))
    calls = tree["graph_module"]["module_call_graph"]
    calls[0]["signature"]["out_spec"] = json.dumps([1, spec])
    calls.append({"fqn": "inner", "signature": {**calls[0]["signature"], "out_spec": json.dumps([1, LEAF])}})
    _, result = fix_text(tree, sink)
    root, inner = tree_of(result.document)["graph_module"]["module_call_graph"]
    assert inner == calls[1]
    expected = spec if sink == "buffer" else container("tuple", "null", spec, LEAF)
    assert json.loads(root["signature"]["out_spec"]) == [1, expected]
    assert {**root["signature"], "out_spec": ""} == {**calls[0]["signature"], "out_spec": ""}


def test_recorded_results_of_the_call_get_the_token_too(fix_text):
    tree = parse_program(graph("%x: f32[3]", CHECK_X, "%x"))
    signature = tree["graph_module"]["module_call_graph"][0]["signature"]
    signature["outputs"] = [{"as_tensor": {"name": "x"}}]
    _, result = fix_text(tree, "output")
    (root,) = tree_of(result.document)["graph_module"]["module_call_graph"]
    assert root["signature"]["outputs"] == [{"as_tensor": {"name": "x"}}, {"as_tensor": {"name": "dep_token1"}}]
    _, result = fix_text(tree, "buffer")
    (root,) = tree_of(result.document)["graph_module"]["module_call_graph"]
    assert root["signature"]["outputs"] == [{"as_tensor": {"name": "x"}}]


def test_the_oldest_files_have_no_place_for_a_token(fix_text):
    tree = parse_program(graph("%x: f32[3]", CHECK_X, "%x"))
    for version, sink, fixed in ((1, "output", 0), (1, "buffer", 0), (2, "buffer", 0), (2, "output", 1)):
        tree["schema_version"] = version
        _, result = fix_text(tree, sink)
        assert len(result.fixed) == fixed
        assert len(result.remaining) == 1 - fixed


# -- which fixes are applied

MIXED = graph(
    "%x: i64[]",
    f"""\
{SCALARS}\
  aten._assert_async.msg(%ok, "GL201")
  aten._assert_scalar.default($ge, "GL203")
  aten._assert_async.default(%ok)
  aten._assert_tensor_metadata.default(%x, dtype=torch.int64)
""",
    "%x",
)


@pytest.mark.parametrize(
    ("enabled", "fixable", "fixed", "remaining"),
    [
        ({"GL201"}, {"GL201"}, ["GL201"], []),
        ({"GL203"}, {"GL201", "GL203"}, ["GL203"], []),
        ({"GL201", "GL203"}, {"GL203"}, ["GL203"], ["GL201"]),
        ({"GL201", "GL202", "GL203", "GL205"}, set(), [], ["GL201", "GL203", "GL202", "GL205"]),
        ({"GL201", "GL205"}, {"GL205"}, ["GL205"], ["GL201"]),
        ({"GL201", "GL202", "GL205"}, {"GL201", "GL202", "GL205"}, ["GL205", "GL201", "GL202"], []),
        (set(), {"GL201"}, [], []),
    ],
)
def test_only_what_is_enabled_and_fixable_is_fixed(enabled, fixable, fixed, remaining, fix_text):
    after, result = fix_text(MIXED, enabled=enabled, fixable=fixable)
    assert [one.code for one in result.fixed] == fixed
    assert [one.code for one in result.remaining] == remaining
    for code, op in {
        "GL201": '  aten._assert_async.msg(%ok, "GL201")\n',
        "GL202": "  aten._assert_async.default(%ok)\n",
        "GL203": '  aten._assert_scalar.default($ge, "GL203")\n',
        "GL205": "  aten._assert_tensor_metadata.default(%x, dtype=torch.int64)\n",
    }.items():
        assert (op in after) == (code not in fixed)
    if not fixed:
        assert after == MIXED


@pytest.mark.parametrize("sink", ["buffer", "output"])
def test_fixing_in_two_steps(sink, judge, write_pt2, fix_copy, settings_for, read_text):
    path = write_pt2(as_exported(MIXED))
    once, result = fix_copy(path, settings=settings_for(sink, enabled={"GL201"}))
    assert [one.code for one in result.fixed] == ["GL201"]
    # A program has one token to return: a second one would be a result within the result.
    second = sink if sink == "buffer" else "buffer"
    twice, result = fix_copy(once, settings=settings_for(second))
    assert sorted(one.code for one in result.fixed) == ["GL202", "GL203", "GL205"]
    text = read_text(twice)
    assert "aten._assert" not in text
    names = ["dep_token", "dep_token_1"] if sink == "buffer" else ["dep_token"]
    assert [name for name in ("dep_token", "dep_token_1") if f'buffer "{name}" <- ' in text] == names
    calls = [((judge.torch.tensor(value),), {}) for value in (5, 0, -3)]
    raised = judge.compare(judge.load(path), judge.load(twice), calls, token=sink == "output")
    assert raised == ["", "RuntimeError: GL201", "RuntimeError: GL201"]
    judge.assert_survives_dead_code_elimination(judge.load(twice), calls, raised)


def test_a_program_without_checks_is_returned_as_it_is(fix_text):
    tree = parse_program(graph("%x: f32[3]", "  %sin: f32[3] = aten.sin.default(%x)\n", "%sin"))
    _, result = fix_text(tree)
    assert tree_of(result.document) == tree
    assert (result.fixed, result.remaining, result.new_buffers) == ((), (), ())


def test_contradictions_are_refused_before_anything_is_fixed():
    tree = parse_program(graph("%x: f32[3]", CHECK_X, "%x"))
    tree["graph_module"]["graph"]["nodes"].reverse()
    with pytest.raises(ProgramError, match="reads %ok, which nothing before it defines"):
        document_of(tree)
