"""Metadata checks: removed only where they cannot fire."""

import pytest
from tests.text_form import document_of, print_program

from graphlint.rules.fixing import fix_program

CHECK = "aten._assert_tensor_metadata.default"
INPUT_STRIDES = "strides may depend on those of the inputs, which the artifact does not promise"
OTHER_SIZES = "its sizes are not known to be those that the artifact records"
OTHER_STRIDES = "its strides are not known to be those that the artifact records"


def graph(body, head="%x: f32[3, 4]", result="%x", ranges=""):
    return f"program ATEN\n{ranges}graph({head}):\n{body}  return {result}\n"


def parameter(body):
    return graph(body, '%p: f32[3, 4] grad = parameter "p", %x: f32[3, 4]')


def dynamic(body):
    return graph(
        f"  $n: int[s0] = aten.sym_size.int(%x, 0)\n  $m: int[2*s0] = _operator.mul(2, $n)\n{body}",
        "%x: f32[s0, 4]",
        ranges="range s0 = [2, 64]\n",
    )


@pytest.fixture
def fix_text(settings_for):
    def fix(text):
        return fix_program(document_of(text), "model", "m.pt2", settings_for(enabled={"GL205"}))

    return fix


REMOVED = {
    "nothing-asserted": graph(f"  {CHECK}(%x)\n"),
    "nothing-asserted-in-so-many-words": graph(f"  {CHECK}(%x, None, None, None, device=None, layout=None)\n"),
    "dtype": graph(f"  {CHECK}(%x, dtype=torch.float32)\n"),
    "dtype-by-position": graph(f"  {CHECK}(%x, None, None, torch.float32)\n"),
    "device": graph(f'  {CHECK}(%x, device=device("cpu"))\n'),
    "device-with-index": graph(f'  {CHECK}(%x, device=device("cuda:1"))\n', "%x: f32[3, 4] @cuda:1"),
    "layout": graph(f"  {CHECK}(%x, layout=torch.strided)\n"),
    "sizes": graph(f"  {CHECK}(%x, [3, 4])\n"),
    "no-sizes": graph(f"  {CHECK}(%x, [])\n", "%x: f32[]"),
    "everything": graph(f'  {CHECK}(%x, [3, 4], dtype=torch.float32, device=device("cpu"), layout=torch.strided)\n'),
    "computed": graph(
        f"  %to: f16[3, 4] = aten.to.dtype(%x, torch.float16)\n  {CHECK}(%to, [3, 4], dtype=torch.float16)\n"
    ),
    "symbolic-size": dynamic(f"  {CHECK}(%x, [$n, 4])\n"),
    "symbolic-expression": dynamic(f"  %y: f32[2*s0, 4] = aten.cat.default([%x, %x])\n  {CHECK}(%y, [$m, 4])\n"),
    "strides-of-a-parameter": parameter(f"  {CHECK}(%p, None, [4, 1])\n"),
    "strides-of-a-view-of-a-parameter": parameter(
        f"  %t: f32[4, 3]{{1, 4}} = aten.t.default(%p)\n  {CHECK}(%t, [4, 3], [1, 4])\n"
    ),
    "strides-of-a-buffer": graph(f"  {CHECK}(%b, None, [1, 3])\n", '%b: f32[3, 4]{1, 3} = buffer "b", %x: f32[3, 4]'),
    "strides-of-a-constant": graph(
        f"  {CHECK}(%c, None, [4, 1])\n", '%c: f32[3, 4] = tensor_constant "c", %x: f32[3, 4]'
    ),
    "after-an-in-place-op": graph(
        f"  %add_: f32[3, 4] = aten.add_.Tensor(%x, 1)\n  {CHECK}(%add_, [3, 4], dtype=torch.float32)\n"
    ),
    "after-an-in-place-view-of-another-tensor": graph(
        f"  %y: f32[3, 4] = aten.clone.default(%x)\n  %t_: f32[4, 3]{{1, 4}} = aten.t_.default(%y)\n"
        f"  {CHECK}(%x, [3, 4])\n"
    ),
    "before-an-in-place-view": graph(f"  {CHECK}(%x, [3, 4])\n  %t_: f32[4, 3]{{1, 4}} = aten.t_.default(%x)\n"),
    "dtype-after-an-out-variant": graph(
        "  %o: f32[3, 4] = aten.empty.memory_format([3, 4])\n"
        f"  %add: f32[3, 4] = aten.add.out(%x, %x, out=%o)\n  {CHECK}(%add, dtype=torch.float32)\n"
    ),
}


@pytest.mark.parametrize("before", REMOVED.values(), ids=REMOVED)
def test_what_cannot_fire_is_removed(before, fix_text):
    result = fix_text(before)
    kept = [line for line in before.splitlines() if CHECK not in line]
    assert len(kept) == len(before.splitlines()) - 1
    assert print_program(result.document.program) == "\n".join(kept) + "\n"
    assert [one.code for one in result.fixed] == ["GL205"]
    assert (result.remaining, result.new_buffers) == ((), ())


T_ = "  %t_: f32[4, 3]{1, 4} = aten.t_.default(%x)\n"
KEPT = {
    "wrong-dtype": (
        graph(f"  {CHECK}(%x, dtype=torch.float16)\n"),
        "it asserts torch.float16, the artifact records torch.float32",
    ),
    "wrong-device": (
        graph(f'  {CHECK}(%x, device=device("cuda:0"))\n'),
        "it asserts device cuda:0, the artifact records cpu",
    ),
    "device-without-index": (
        graph(f'  {CHECK}(%x, device=device("cuda"))\n', "%x: f32[3, 4] @cuda:0"),
        "it asserts device cuda, the artifact records cuda:0",
    ),
    "wrong-layout": (
        graph(f"  {CHECK}(%x, layout=torch.sparse_coo)\n"),
        "it asserts another layout than the artifact records",
    ),
    "one-right-one-wrong": (
        graph(f"  {CHECK}(%x, [3, 4], dtype=torch.int64)\n"),
        "it asserts torch.int64, the artifact records torch.float32",
    ),
    "wrong-sizes": (graph(f"  {CHECK}(%x, [3, 5])\n"), OTHER_SIZES),
    "fewer-sizes": (graph(f"  {CHECK}(%x, [3])\n"), OTHER_SIZES),
    "one-of-the-sizes-that-are-possible": (dynamic(f"  {CHECK}(%x, [3, 4])\n"), OTHER_SIZES),
    "another-symbol": (dynamic(f"  {CHECK}(%x, [$m, 4])\n"), OTHER_SIZES),
    "strides-of-an-input": (graph(f"  {CHECK}(%x, None, [4, 1])\n"), INPUT_STRIDES),
    "strides-of-what-is-computed": (
        parameter(f"  %y: f32[3, 4] = aten.add.Tensor(%p, %x)\n  {CHECK}(%y, None, [4, 1])\n"),
        INPUT_STRIDES,
    ),
    "strides-of-what-may-be-a-copy": (
        parameter(f"  %y: f32[3, 4] = aten.to.dtype(%p, torch.float32)\n  {CHECK}(%y, None, [1, 3])\n"),
        OTHER_STRIDES,
    ),
    "wrong-strides-of-a-parameter": (parameter(f"  {CHECK}(%p, None, [1, 3])\n"), OTHER_STRIDES),
    "after-an-in-place-view": (graph(f"{T_}  {CHECK}(%x, [4, 3])\n"), "an in-place view changes the metadata of %x"),
    "sizes-from-before-an-in-place-view": (
        graph(f"{T_}  {CHECK}(%x, [3, 4])\n"),
        "an in-place view changes the metadata of %x",
    ),
    "result-of-an-in-place-view": (
        graph(f"{T_}  {CHECK}(%t_, [4, 3])\n"),
        "an in-place view changes the metadata of %t_",
    ),
    "write-after-an-in-place-view": (
        graph(f"{T_}  %add_: f32[4, 3]{{1, 4}} = aten.add_.Tensor(%t_, 1)\n  {CHECK}(%add_, dtype=torch.float32)\n"),
        "an in-place view changes the metadata of %t_",
    ),
    "in-a-region-after-an-in-place-view": (
        graph(
            f"{T_}  higher_order.wrap_with_set_grad_enabled(False, @submod_1, %x)\n"
            f"    @submod_1(%a: f32[3, 4]):\n      {CHECK}(%a, [3, 4])\n      return\n"
        ),
        "an in-place view changes the metadata of %a",
    ),
    "dtype-that-an-in-place-op-does-not-change": (
        graph(
            "  %y: i64[3] = aten.ones.default([3], dtype=torch.int64)\n"
            f"  %add_: f32[3] = aten.add_.Tensor(%y, 1)\n  {CHECK}(%add_, dtype=torch.float32)\n"
        ),
        "it asserts torch.float32, the artifact records torch.int64",
    ),
    "sizes-after-an-out-variant": (
        graph(
            "  %o: f32[0] = aten.empty.memory_format([0])\n"
            f"  %add: f32[3, 4] = aten.add.out(%x, %x, out=%o)\n  {CHECK}(%o, [0])\n"
        ),
        "an out= op may change the sizes of %o",
    ),
    "sizes-of-the-result-of-an-out-variant": (
        graph(
            "  %o: f32[0] = aten.empty.memory_format([0])\n"
            f"  %add: f32[3, 4] = aten.add.out(%x, %x, out=%o)\n  {CHECK}(%add, [0])\n"
        ),
        "an out= op may change the sizes of %o",
    ),
}


@pytest.mark.parametrize(("before", "reason"), KEPT.values(), ids=KEPT)
def test_what_may_fire_stays(before, reason, fix_text):
    result = fix_text(before)
    assert [(one.code, one.fix.applicability, one.fix.message) for one in result.remaining] == [
        ("GL205", "none", reason)
    ]
    assert result.fixed == ()
    assert print_program(result.document.program) == before


def test_checks_in_subgraphs_are_removed_too(fix_text):
    before = graph(
        f"""\
  %sum_1: f32[] = aten.sum.default(%x)
  %gt: b8[] = aten.gt.Scalar(%sum_1, 0)
  %y: f32[3, 4] = higher_order.cond(%gt, @yes, @no, [%x])
    @yes(%a: f32[3, 4]):
      {CHECK}(%a, dtype=torch.float32)
      %sin: f32[3, 4] = aten.sin.default(%a)
      return %sin
    @no(%a: f32[3, 4]):
      {CHECK}(%a, dtype=torch.float64)
      %r: f32[3, 4] = higher_order.wrap_with_set_grad_enabled(False, @submod_1, %a)
        @submod_1(%b: f32[3, 4]):
          {CHECK}(%b, [3, 4])
          %cos: f32[3, 4] = aten.cos.default(%b)
          return %cos
      return %r
""",
        result="%y",
    )
    result = fix_text(before)
    after = before.replace(f"      {CHECK}(%a, dtype=torch.float32)\n", "")
    after = after.replace(f"          {CHECK}(%b, [3, 4])\n", "")
    assert print_program(result.document.program) == after
    assert [one.subgraph for one in result.fixed] == [
        ("cond", "yes"),
        ("cond", "no", "wrap_with_set_grad_enabled", "submod_1"),
    ]
    assert [one.fix.message for one in result.remaining] == [
        "it asserts torch.float64, the artifact records torch.float32"
    ]


@pytest.mark.parametrize(
    ("body", "raised"),
    [
        (f"  {CHECK}(%x, dtype=torch.float16)\n", "RuntimeError: Tensor dtype mismatch!"),
        (f"  {CHECK}(%x, [3, 5])\n", "RuntimeError: Tensor sizes mismatch!"),
        (f"{T_}  {CHECK}(%x, [3, 4])\n", "RuntimeError: Tensor sizes mismatch!"),
        (f"{T_}  {CHECK}(%x, [4, 3])\n", ""),
    ],
)
def test_what_stays_says_in_stock_torch_what_it_said(body, raised, judge, write_pt2, fix_copy):
    # Another check is fixed, so that the file is written anew.
    path = write_pt2(
        graph(f'  %ok: b8[] = aten.all.default(%x)\n  aten._assert_async.msg(%ok, "zero")\n{body}').replace(
            "ATEN", "TRAINING"
        )
    )
    fixed, result = fix_copy(path)
    assert [one.code for one in result.fixed] == ["GL201"]
    torch = judge.torch
    calls = [((torch.ones(3, 4),), {}), ((torch.zeros(3, 4),), {})]
    said = judge.compare(judge.load(path), judge.load(fixed), calls)
    assert said[1] == "RuntimeError: zero"
    assert said[0].startswith(raised) if raised else not said[0]


def test_a_transposed_input_still_breaks_a_check_of_strides(judge, write_pt2, fix_copy):
    path = write_pt2(graph(f"  {CHECK}(%x, None, [4, 1])\n  {CHECK}(%x, [3, 4], None, torch.float32)\n"))
    fixed, result = fix_copy(path)
    assert [len(result.fixed), len(result.diagnostics)] == [1, 1]
    torch = judge.torch
    calls = [((torch.ones(3, 4),), {}), ((torch.ones(4, 3).t(),), {})]
    said = judge.compare(judge.load(path), judge.load(fixed), calls)
    assert said[0] == ""
    assert said[1].startswith("RuntimeError: Tensor strides mismatch!")
