"""GL301 to GL308: effects that are no data flow."""

from __future__ import annotations

import pytest

from graphlint.ops.declared import DeclaredOp


def call(op: str, result: str = "%y: f32[4] = ") -> str:
    inputs = "%x: f32[4], %w: f32[4], %q: f32[2, 3, 4, 8]"
    return f"graph({inputs}):\n  {result}{op}\n  return %x\n"


@pytest.fixture
def codes(lint_text, default_rules):
    """Codes of the rules that are on by default."""
    return lambda text, **settings: [
        one.code for one in lint_text(text, **settings) if one.code in default_rules.enabled
    ]


@pytest.mark.parametrize(
    ("op", "code"),
    [
        ("aten.rand_like.default(%x)", "GL302"),
        ("aten.bernoulli.default(%x)", "GL302"),
        ("aten.multinomial.default(%x, 2)", "GL302"),
        ("aten.rrelu.default(%x, 0.1, 0.3, False)", None),
        ("aten.scaled_dot_product_attention.default(%q, %q, %q)", None),
        ("aten.scaled_dot_product_attention.default(%q, %q, %q, None, 0.0, True)", None),
        ("aten.scaled_dot_product_attention.default(%q, %q, %q, dropout_p=0)", None),
        ("aten.scaled_dot_product_attention.default(%q, %q, %q, dropout_p=0.1)", "GL302"),
        ("aten.dropout.default(%x, 0.5, True)", "GL309"),
        ("aten.dropout.default(%x, 0.5, False)", None),
        ("aten.dropout.default(%x, 0.0, True)", None),
        ("aten.dropout.default(%x, 0, True)", None),
        ("aten.feature_dropout.default(%x, 0.5, True)", "GL309"),
        ("aten.alpha_dropout.default(%x, 0.5, True)", "GL309"),
        ("aten.alpha_dropout.default(%x, 0.5, False)", None),
        ("aten.relu.default(%x)", None),
    ],
)
def test_draws(codes, op, code):
    assert codes(call(op)) == ([code] if code else [])


def test_a_draw_of_training_mode_is_told_of_the_program_too(codes):
    assert codes(call("aten.rrelu.default(%x, 0.1, 0.3, True)")) == ["GL309", "GL302"]


def test_each_training_dropout_is_told_where_that_is_asked_for(lint_text):
    found = [one for one in lint_text(call("aten.dropout.default(%x, 0.5, True)")) if one.code == "GL303"]
    assert [(one.op, one.fix.applicability) for one in found] == [("aten.dropout.default", "none")]


def test_dropout_in_place_is_a_write_and_a_draw(codes):
    text = call("aten.dropout_.default(%x, 0.5, True)")
    assert codes(text) == ["GL309", "GL102"]
    assert codes(text.replace("True", "False")) == ["GL102"]


def test_random_values_in_place_are_a_write_and_a_draw(codes):
    assert codes(call("aten.uniform_.default(%x, 0.0, 1.0)")) == ["GL102", "GL302"]


def test_native_dropout(codes):
    results = "%y: f32[4], %m: b8[4] = "
    assert codes(call("aten.native_dropout.default(%x, 0.5, True)", results)) == ["GL309"]
    assert codes(call("aten.native_dropout.default(%x, 0.5, False)", results)) == []


@pytest.mark.parametrize("op", ['aten._print.default("step")', 'higher_order.print("step")'])
def test_prints(codes, op):
    assert codes(call(op, "")) == ["GL301"]


# -- custom ops

SCALE = call('mylib.scale_.default(%x, 2.0, %w, mode="up")')


def test_unknown_ops_say_how_to_declare_them(lint_text):
    named = SCALE.replace("(%x, 2.0, %w", "(x=%x, factor=2.0, into=%w")
    (found,) = [one for one in lint_text(named) if one.code == "GL305"]
    assert (found.op, found.message) == ("mylib.scale_.default", "unknown op mylib.scale_.default")
    assert found.fix.applicability == "none"
    assert found.advice == (
        'declare the op under [tool.graphlint.ops]: "mylib.scale_" = {} if it is functional, '
        '"mylib.scale_" = { writes = ["x"] } if it writes'
    )


def test_unknown_ops_of_a_known_namespace_are_unknown_too(codes):
    assert codes(call("aten.of_a_newer_torch.default(%x)")) == ["GL305"]
    assert codes(call("higher_order.of_a_newer_torch(%x)")) == ["GL305"]


@pytest.mark.parametrize("key", ["mylib.scale_", "mylib.scale_.default", "mylib.*"])
def test_an_empty_declaration_is_functional(codes, key):
    assert codes(SCALE) == ["GL305"]
    assert codes(SCALE, ops={key: DeclaredOp()}) == []


@pytest.mark.parametrize("key", ["mylib.other", "mylib.scale_.other", "my.*"])
def test_declarations_of_other_ops_say_nothing(codes, key):
    assert codes(SCALE, ops={key: DeclaredOp()}) == ["GL305"]


@pytest.mark.parametrize("position", ["0", "x"])
def test_declared_writes(lint_text, codes, position):
    ops = {"mylib.scale_": DeclaredOp(writes=(position,))}
    text = SCALE.replace("scale_.default(%x", "scale_.default(x=%x")
    assert codes(text, ops=ops) == ["GL304"]
    (found,) = [one for one in lint_text(text, ops=ops) if one.code == "GL304"]
    assert found.message == "mylib.scale_.default writes user input 'x'"
    assert (found.storage.kind, found.storage.value) == ("user input", "x")


def test_declared_writes_at_a_position_of_operands_without_names(lint_text):
    (found,) = [one for one in lint_text(SCALE, ops={"mylib.scale_": DeclaredOp(writes=("2",))}) if one.code < "GL5"]
    assert (found.code, found.message) == ("GL304", "mylib.scale_.default writes user input 'w'")
    beyond = lint_text(SCALE, ops={"mylib.scale_": DeclaredOp(writes=("9",))})
    assert [one.message for one in beyond if one.code < "GL5"] == ["mylib.scale_.default writes its arguments"]


def test_declared_writes_through_views(lint_text):
    text = """\
graph(%b: f32[4, 4] = buffer "cache"):
  %s: f32[4] = aten.select.int(%b, 0, 1)
  mylib.scale_.default(%s)
  return %b
"""
    ops = {"mylib.scale_": DeclaredOp(writes=("0",))}
    (found,) = [one for one in lint_text(text, ops=ops) if one.code == "GL304"]
    assert found.message == "mylib.scale_.default writes buffer 'cache' through select"


def test_declared_aliases_are_followed(lint_text):
    text = """\
graph(%b: f32[4] = buffer "cache"):
  %v: f32[4] = mylib.view.default(%b)
  %w: f32[4] = aten.add_.Tensor(%v, 1)
  return %w
"""
    before = [one.code for one in lint_text(text, ops={"mylib.view": DeclaredOp()}) if one.code < "GL5"]
    assert before == ["GL101"]
    found = [one for one in lint_text(text, ops={"mylib.view": DeclaredOp(aliases=("0",))}) if one.code < "GL5"]
    assert [(one.code, one.message) for one in found] == [
        ("GL103", "aten.add_.Tensor may write buffer 'cache' through view")
    ]


def test_declared_draws(codes):
    assert codes(SCALE, ops={"mylib.*": DeclaredOp(random=True)}) == ["GL302"]


def test_declared_effects_are_no_dead_code_and_not_functional(lint_text):
    ops = {"mylib.*": DeclaredOp(effect=True)}
    found = {one.code for one in lint_text(SCALE, ops=ops)}
    assert "GL305" not in found
    assert "GL501" not in found
    assert "GL501" in {one.code for one in lint_text(SCALE, ops={"mylib.*": DeclaredOp()})}


def test_wrapped_custom_ops_are_functional(codes):
    # What export writes below the training dialect; the wrapper returns the new value of what the op writes.
    for wrapper in ("auto_functionalized", "auto_functionalized_v2"):
        text = call(f"higher_order.{wrapper}(op(mylib.scale_.default), x=%x)")
        assert codes(text) == []
    assert codes(call("higher_order.triton_kernel_wrapper_functional(kernel_idx=0)")) == []


@pytest.mark.parametrize("wrapper", ["auto_functionalized", "auto_functionalized_v2"])
def test_wrapped_custom_ops_draw_and_have_effects_as_they_do(lint_text, codes, wrapper):
    text = call(f"higher_order.{wrapper}(op(mylib.scale_.default), x=%x)")
    assert codes(text, ops={"mylib.scale_": DeclaredOp(writes=("x",), random=True)}) == ["GL302"]
    found = {one.code for one in lint_text(text, ops={"mylib.scale_": DeclaredOp(writes=("x",), effect=True)})}
    assert "GL501" not in found
    assert "GL501" in {one.code for one in lint_text(text, ops={"mylib.scale_": DeclaredOp(writes=("x",))})}
    drawing = call(f"higher_order.{wrapper}(op(aten.bernoulli.default), self=%x)")
    assert codes(drawing) == ["GL302"]
    assert codes(call(f"higher_order.{wrapper}(%x)")) == []


def test_triton_kernels_that_write(lint_text, codes):
    text = call("higher_order.triton_kernel_wrapper_mutation(kernel_idx=0)", "")
    assert codes(text) == ["GL304"]
    (found,) = [one for one in lint_text(text) if one.code == "GL304"]
    assert found.message == "higher_order.triton_kernel_wrapper_mutation writes its arguments"


# -- collectives, objects, tokens


def test_in_place_collectives(lint_text, codes):
    text = call('c10d.allreduce_.default([%x], object("group", "c10d.ProcessGroup"), object("op", "ReduceOp"))', "")
    assert codes(text) == ["GL306"]
    (found,) = [one for one in lint_text(text) if one.code == "GL306"]
    assert found.message == "c10d.allreduce_.default communicates in place"


def test_functional_collectives_are_not_flagged(codes):
    text = """\
graph(%x: f32[4]):
  %r: f32[4] = _c10d_functional.all_reduce.default(%x, "sum", "0")
  %w: f32[4] = _c10d_functional.wait_tensor.default(%r)
  return %w
"""
    assert codes(text) == []


def test_calls_of_script_objects(lint_text, codes):
    text = """\
graph(object("obj", "__torch__.Stack") = custom_obj "stack", %x: f32[4]):
  %y: f32[4] = higher_order.call_torchbind(object("obj", "__torch__.Stack"), "push", %x)
  return %y
"""
    assert codes(text) == ["GL307"]
    (found,) = [one for one in lint_text(text) if one.code == "GL307"]
    assert found.message == "higher_order.call_torchbind calls 'push' of a script object"


def test_with_effects_is_one_finding_for_each(lint_text, codes):
    text = """\
graph(%t: f32[0] = token, %x: f32[4]):
  %u: f32[0] = higher_order.with_effects(%t, op(aten._print.default), "one")
  %v: f32[0] = higher_order.with_effects(%u, op(aten._print.default), "two")
  return token <- %v, %x
"""
    assert codes(text) == ["GL308", "GL308"]
    found = [one for one in lint_text(text) if one.code == "GL308"]
    message = "higher_order.with_effects around aten._print.default takes an effect token"
    assert [(one.message, one.position) for one in found] == [(message, 0), (message, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "graph(%t: f32[0] = token, %x: f32[4]):\n  return %x\n",
        "graph(%t: f32[0], %x: f32[4]):\n  return token <- %t, %x\n",
        "graph(%t: f32[0] = token, %x: f32[4]):\n  return token <- %t, %x\n",
    ],
    ids=["input", "output", "both"],
)
def test_token_specs_alone_are_one_finding(lint_text, codes, text):
    assert codes(text) == ["GL308"]
    (found,) = [one for one in lint_text(text) if one.code == "GL308"]
    assert found.message == "the signature has effect tokens"
    assert (found.node, found.op, found.source) == (None, None, None)


def test_dependency_tokens_are_functional(codes):
    text = """\
graph(%t: f32[] = buffer "dep_token" non-persistent, %ok: b8[], %n: i64[]):
  $item: int[u0] = aten.item.default(%n)
  %a: f32[] = aten._make_dep_token.default()
  %b: f32[] = aten._functional_assert_async.msg(%ok, "no", %a)
  %c: f32[] = aten._functional_sym_constrain_range.default($item, 2, 10, %b)
  %d: f32[] = aten._functional_sym_constrain_range_for_size.default($item, 2, 10, %c)
  return buffer "dep_token" <- %d, %n
"""
    assert codes(text) == []
