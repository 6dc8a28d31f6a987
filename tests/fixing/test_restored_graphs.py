"""What restoring makes of graphs with tokens, in text form: other tools' chains, and what it leaves alone."""

from __future__ import annotations

import json

import pytest
from tests.text_form import document_of, parse_program, print_program, tree_of

from graphlint.artifact.errors import ProgramError
from graphlint.passes.restoring import restore_checks
from graphlint.rules.fixing import fix_program, restore_program

BARE = "Expected Tensor with single nonzero value, but got zero"
BUFFER = '%b_dep_token: f32[] = buffer "dep_token" non-persistent'
MADE = "  %dep_token0: f32[] = aten._make_dep_token.default()\n"
TWIN = '  %dep_token1: f32[] = aten._functional_assert_async.msg(%ok, "must hold", dep_token=%dep_token0)\n'
PLAIN = '  aten._assert_async.msg(%ok, "must hold")\n'


def graph(head, body, tail):
    return f"program ATEN\ngraph({head}):\n{body}  return {tail}\n"


def restored(program):
    """The text of the restored program, its document, and what the pass made; the program that it was given is left
    alone.
    """
    document = document_of(program)
    given = print_program(document.program)
    made = restore_checks(document)
    assert print_program(document.program) == given
    after = document.changed(made.program)
    text = print_program(made.program)
    assert print_program(document_of(tree_of(after)).program) == text
    return text, after, made


@pytest.fixture
def round_trip(settings_for):
    """Fixes a program in text form and restores it: both are documents."""

    def make(text, sink="buffer"):
        document = document_of(text)
        fixed = fix_program(document, "model", "model.pt2", settings_for(sink))
        assert fixed.fixed
        return document, restore_program(fixed.document, "model", settings_for(sink))

    return make


SCALARS = """\
  $n: int[u0] = aten.item.default(%x)
  $ge: bool[u0 >= 1] = _operator.ge($n, 1)
  %ok: b8[] = aten.gt.Scalar(%x, 0)
"""


@pytest.mark.parametrize("sink", ["buffer", "output"])
@pytest.mark.parametrize(
    "check",
    [
        'aten._assert_async.msg(%ok, "too \\"small\\"")',
        f'aten._assert_async.msg(%ok, "{BARE}")',
        "aten._assert_async.default(%ok)",
        'aten._assert_scalar.default($ge, "n must be positive")',
        "aten.sym_constrain_range.default($n, min=2, max=10)",
        "aten.sym_constrain_range.default($n, max=10)",
        "aten.sym_constrain_range_for_size.default($n)",
        "aten.sym_constrain_range_for_size.default($n, min=0, max=64)",
    ],
)
def test_each_check_comes_back(check, sink, round_trip):
    before, after = round_trip(graph("%x: i64[]", f"{SCALARS}  {check}\n  %y: i64[] = aten.add.Tensor(%x, 1)\n", "%y"))
    # A bare check is one that torch drops on loading from what is labelled ATEN.
    bare = "_assert_async.default" in check
    assert tree_of(after.document) == {**tree_of(before), "verifiers": ["TRAINING" if bare else "ATEN"]}
    assert bool(after.notes) == bare
    assert [one.node for one in after.restored] == ["dep_token1"]


def test_the_name_of_each_node_comes_back(round_trip):
    tree = parse_program(graph("%ok: b8[]", PLAIN * 3, "%ok"))
    names = ["_assert_async_2", "_assert_async", "custom_name"]
    for node, name in zip(tree["graph_module"]["graph"]["nodes"], names, strict=True):
        node["name"] = name
    before, after = round_trip(print_program(document_of(tree).program))
    assert tree_of(after.document) == tree_of(before)


def test_other_tools_names_and_bounds():
    """Bounds are positional in the twin's schema, and keyword-only in the check's."""
    body = MADE + (
        "  $n: int[u0] = aten.item.default(%x)\n"
        "  %dep_token1: f32[] = aten._functional_sym_constrain_range.default($n, 2, None, %dep_token0)\n"
    )
    text, _, made = restored(graph("%x: i64[]", body, "%x"))
    check = "  aten.sym_constrain_range.default($n, min=2)\n"
    assert text == graph("%x: i64[]", "  $n: int[u0] = aten.item.default(%x)\n" + check, "%x")
    assert made.program.graph.nodes[-1].name == "sym_constrain_range_default"


def with_out_spec(text, spec):
    """A program whose result has the recorded structure ``spec``: a leaf is None, a tuple a tuple."""

    def described(one):
        if one is None:
            return {"type": None, "context": None, "children_spec": []}
        kind = "builtins.tuple" if isinstance(one, tuple) else "builtins.dict"
        keys = "null" if isinstance(one, tuple) else json.dumps(list(one))
        children = one if isinstance(one, tuple) else one.values()
        return {"type": kind, "context": keys, "children_spec": [described(child) for child in children]}

    tree = parse_program(text)
    (entry,) = tree["graph_module"]["module_call_graph"]
    entry["signature"] = {"inputs": [], "outputs": [], "in_spec": "", "out_spec": json.dumps([1, described(spec)])}
    return tree


def out_spec(tree):
    def shape(spec):
        return None if spec["type"] is None else tuple(shape(child) for child in spec["children_spec"])

    return shape(json.loads(tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"])[1])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((None, None), None),  # graphlint's own: (result, token)
        (((None,), None), (None,)),
        ((None,), (None,)),  # torch's own pass: one more output, without a place in the structure
        (None, None),
    ],
    ids=["pair", "nested", "torch-tuple", "torch-bare"],
)
def test_a_token_that_is_one_more_result(before, after):
    text = graph("%ok: b8[]", MADE + TWIN, "%ok, %dep_token1")
    shown, document, made = restored(with_out_spec(text, before))
    assert shown == graph("%ok: b8[]", PLAIN, "%ok")
    assert out_spec(tree_of(document)) == after
    assert made.buffers == ()


def test_a_token_among_several_results():
    tree = with_out_spec(graph("%ok: b8[]", MADE + TWIN, "%ok, %dep_token1, %ok"), (None, None, None))
    shown, document, _ = restored(tree)
    assert shown == graph("%ok: b8[]", PLAIN, "%ok, %ok")
    assert out_spec(tree_of(document)) == (None, None)


@pytest.mark.parametrize(
    ("body", "tail"),
    [
        (MADE + TWIN, "%ok"),  # a chain that nobody consumes
        (MADE + TWIN + "  %t: f32[] = aten.clone.default(%dep_token1)\n", "%ok"),
        # a chain that begins in a value of the program
        ("  %dep_token0: f32[] = aten.sum.default(%ok)\n" + TWIN, "%ok"),
    ],
)
def test_chains_of_other_tools(body, tail):
    text, _, made = restored(graph("%ok: b8[]", body, tail))
    own = "  %dep_token0: f32[] = aten.sum.default(%ok)\n" if "sum" in body else ""
    assert text == graph("%ok: b8[]", own + PLAIN, tail)
    assert made.kept == ()


def test_several_chains():
    second = (
        (TWIN + MADE).replace("dep_token0", "dep_token2").replace("dep_token1", "dep_token3").splitlines(True)[::-1]
    )
    text, _, made = restored(
        graph(
            f"{BUFFER}, %ok: b8[]", MADE + TWIN + "".join(second), 'buffer "dep_token" <- %dep_token1, %ok, %dep_token3'
        )
    )
    assert text == graph("%ok: b8[]", PLAIN * 2, "%ok")
    assert made.buffers == ("dep_token",)


def test_a_chain_that_begins_in_its_buffer():
    twin = TWIN.replace("%dep_token0", "%b_dep_token")
    text, _, made = restored(graph(f"{BUFFER}, %ok: b8[]", twin, 'buffer "dep_token" <- %dep_token1, %ok'))
    assert text == graph("%ok: b8[]", PLAIN, "%ok")
    assert made.buffers == ("dep_token",)


PERSISTENT = '%b_dep_token: f32[] = buffer "dep_token"'
USED = "  %y: f32[] = aten.add.Tensor(%{}, 1)\n"


@pytest.mark.parametrize(
    ("head", "body", "tail", "reason"),
    [
        (
            "%ok: b8[]",
            MADE + TWIN + USED.format("dep_token1"),
            "%y",
            "aten.add.Tensor (node %y) reads the token %dep_token1",
        ),
        (
            "%ok: b8[]",
            MADE + USED.format("dep_token0") + TWIN,
            "%y",
            "aten.add.Tensor (node %y) reads the token %dep_token0",
        ),
        (
            f"{PERSISTENT}, %ok: b8[]",
            MADE + TWIN,
            'buffer "dep_token" <- %dep_token1, %ok',
            "the token %dep_token1 is written to the persistent buffer 'dep_token', which is part of the state",
        ),
        (
            f"{BUFFER}, %ok: b8[]",
            MADE + TWIN + USED.format("b_dep_token"),
            'buffer "dep_token" <- %dep_token1, %y',
            "aten.add.Tensor (node %y) reads buffer 'dep_token', which the token is written to",
        ),
        (
            f"{BUFFER}, %ok: b8[]",
            MADE + TWIN,
            'buffer "dep_token" <- %dep_token1, %b_dep_token',
            "the program returns buffer 'dep_token', which the token is written to",
        ),
        (
            "%ok: b8[], %x: f32[]",
            MADE + TWIN,
            'input "x" <- %dep_token1, %ok',
            "the program returns the token %dep_token1 as a user_input_mutation",
        ),
        (
            f"{BUFFER}, %ok: b8[]",
            f"{MADE}  %dep_token1: f32[] = aten._functional_sym_constrain_range.default(5, None, None, %dep_token0)\n",
            'buffer "dep_token" <- %dep_token1, %ok',
            "aten._functional_sym_constrain_range.default (node %dep_token1) checks a number, not a symbol",
        ),
    ],
)
def test_what_cannot_be_undone_is_left_alone(head, body, tail, reason):
    text = graph(head, body, tail)
    after, _, made = restored(text)
    assert after == text
    assert (made.restored, made.buffers) == ((), ())
    assert [one.reason for one in made.kept] == [reason]


@pytest.mark.parametrize(
    ("noted", "name"), [("_assert_async_7", "_assert_async_7"), ("\t", "_assert_async"), ("a'b", "_assert_async")]
)
def test_a_noted_name_that_is_none_is_not_written(noted, name):
    tree = parse_program(graph(f"{BUFFER}, %ok: b8[]", MADE + TWIN, 'buffer "dep_token" <- %dep_token1, %ok'))
    nodes = tree["graph_module"]["graph"]["nodes"]
    nodes[1]["metadata"]["graphlint.name"] = noted
    for number, node in enumerate(nodes):
        node["name"] = f"n{number}"
    _, document, made = restored(tree)
    assert [one.node for one in made.restored] == ["n1"]
    (check,) = document.program.graph.nodes
    assert check.name == name


def test_what_is_checked_by_keyword_is_checked_by_position():
    twin = "  %dep_token1: f32[] = aten._functional_sym_constrain_range.default(size=$n, min=1, max=9"
    scalar = '  %dep_token2: f32[] = aten._functional_assert_scalar.default(self=$ge, assert_msg="m"'
    body = f"{SCALARS}{MADE}{twin}, dep_token=%dep_token0)\n{scalar}, dep_token=%dep_token1)\n"
    after, _, _ = restored(graph(f"{BUFFER}, %x: i64[]", body, 'buffer "dep_token" <- %dep_token2, %ok'))
    assert "  aten.sym_constrain_range.default($n, min=1, max=9)\n" in after
    assert '  aten._assert_scalar.default($ge, assert_msg="m")\n' in after


def test_a_token_deep_in_the_structure_stays():
    tree = with_out_spec(graph("%ok: b8[]", MADE + TWIN, "%ok, %dep_token1"), {"result": None, "token": None})
    _, document, made = restored(tree)
    assert [one.reason for one in made.kept] == [
        "the token is part of the result's structure, and not as a member of a tuple or list"
    ]
    assert tree_of(document) == tree


@pytest.mark.parametrize("broken", ["", "[1]", "null", '[1, {"type": "builtins.tuple"}]', "[" * 100_000])
def test_a_structure_that_is_not_understood(broken, settings_for):
    tree = with_out_spec(graph("%ok: b8[]", MADE + TWIN, "%ok, %dep_token1"), (None, None))
    tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = broken
    _, _, made = restored(tree)
    assert [one.reason for one in made.kept] == ["the structure of the program's result is not understood"]
    tree = with_out_spec(graph("%ok: b8[]", PLAIN, "%ok"), None)
    tree["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = broken
    with pytest.raises(ProgramError, match="the structure of the program's result is not understood"):
        fix_program(document_of(tree), "model", "model.pt2", settings_for("output"))


def test_a_structure_that_contradicts_the_outputs(settings_for):
    tree = with_out_spec(graph("%ok: b8[]", PLAIN, "%ok"), (None, None))
    with pytest.raises(ProgramError, match="the structure of the program's result has 2 leaves for 1 outputs"):
        fix_program(document_of(tree), "model", "model.pt2", settings_for("output"))


def test_a_chain_that_stays_does_not_keep_another():
    other = '  %dep_token3: f32[] = aten._functional_assert_async.msg(%ok, "other", dep_token=%dep_token2)\n'
    made2 = MADE.replace("dep_token0", "dep_token2")
    text, _, made = restored(graph("%ok: b8[]", MADE + TWIN + made2 + other + USED.format("dep_token3"), "%y"))
    assert text == graph("%ok: b8[]", PLAIN + made2 + other + USED.format("dep_token3"), "%y")
    assert [one.node for one in made.restored] == ["dep_token1"]
    assert [one.node for one in made.kept] == ["dep_token3"]


COND = """\
  %dep_token0: f32[] = aten._make_dep_token.default()
  %y: f32[], %dep_token2: f32[] = higher_order.cond(%ok, @yes, @no, [%x, %dep_token0])
    @yes(%a: f32[], %dep_token0: f32[]):
      %b: b8[] = aten.gt.Scalar(%a, 0)
      %dep_token1: f32[] = aten._functional_assert_async.msg(%b, "inside", dep_token=%dep_token0)
      %t: f32[] = aten.clone.default(%dep_token1)
      return %a, {yes}
    @no(%a: f32[], %dep_token0: f32[]):
      %t: f32[] = aten.clone.default(%dep_token0)
      return %a, {no}
"""


def test_a_branch_that_returns_something_else_keeps_its_chain():
    body = COND.format(yes="%t", no="%a")
    text = graph("%ok: b8[], %x: f32[]", body, "%y")
    after, _, made = restored(text)
    assert after == text
    assert [(one.subgraph, one.reason) for one in made.kept] == [
        (("cond", "yes"), "not every branch of cond returns a token there")
    ]
    after, _, made = restored(graph("%ok: b8[], %x: f32[]", COND.format(yes="%t", no="%t"), "%y"))
    assert after == graph(
        "%ok: b8[], %x: f32[]",
        """\
  %y: f32[] = higher_order.cond(%ok, @yes, @no, [%x])
    @yes(%a: f32[]):
      %b: b8[] = aten.gt.Scalar(%a, 0)
      aten._assert_async.msg(%b, "inside")
      return %a
    @no(%a: f32[]):
      return %a
""",
        "%y",
    )


def test_a_program_without_functional_checks_is_the_very_same():
    for text in (graph("%ok: b8[]", PLAIN, "%ok"), graph("%ok: b8[]", MADE, "%ok, %dep_token0")):
        document = document_of(text)
        made = restore_checks(document)
        assert made.program is document.program
        assert (made.restored, made.kept, made.buffers) == ((), (), ())
