"""Writes in branches and loops to tensors from outside: stock torch runs the program before and after."""

import pytest

torch = pytest.importorskip("torch")

WRITES = frozenset({"GL101", "GL102", "GL103", "GL104", "GL105", "GL106", "GL107"})
BUFFER = '%b: f32[3] = buffer "count"'
POSITIVE = """\
  %sum: f32[] = aten.sum.default(%x)
  %gt: b8[] = aten.gt.Scalar(%sum, 0)
"""
COUNTER = "  %n: i64[] = aten.full.default([], 3, dtype=torch.int64)\n"
GOES_ON = """\
      %more: b8[] = aten.gt.Scalar(%i, 0)
      return! %more
"""
NEXT = "      %j: i64[] = aten.sub.Tensor(%i, 1)\n"


def graph(body, result, head=f"{BUFFER}, %x: f32[3]"):
    return f"program TRAINING\ngraph({head}):\n{body}  return {result}\n"


FIXED = {
    "one-branch-writes-a-buffer": graph(
        f"""\
{POSITIVE}\
  %y: f32[3] = higher_order.cond(%gt, @yes, @no, [%b, %x])
    @yes(%c: f32[3], %a: f32[3]):
      %add_: f32[3] = aten.add_.Tensor(%c, %a)
      %sin: f32[3] = aten.sin.default(%a)
      return %sin
    @no(%c: f32[3], %a: f32[3]):
      %cos: f32[3] = aten.cos.default(%c)
      return %cos
  %z: f32[3] = aten.mul.Tensor(%y, %b)
""",
        "%z",
    ),
    "both-branches-write-an-input-through-views": graph(
        f"""\
{POSITIVE}\
  %y: f32[] = higher_order.cond(%gt, @yes, @no, [%x])
    @yes(%a: f32[3]):
      %row: f32[] = aten.select.int(%a, 0, 1)
      %fill: f32[] = aten.fill_.Scalar(%row, 7.0)
      %total: f32[] = aten.sum.default(%a)
      return %total
    @no(%a: f32[3]):
      %part: f32[2] = aten.slice.Tensor(%a, 0, 1, 3)
      %mul: f32[2] = aten.mul_.Tensor(%part, -1)
      %most: f32[] = aten.max.default(%a)
      return %most
""",
        "%y, %x",
        "%x: f32[3]",
    ),
    "a-branch-writes-what-was-made-outside": graph(
        f"""\
{POSITIVE}\
  %made: f32[3] = aten.mul.Tensor(%x, 2)
  %seen: f32[3] = aten.view.default(%made, [3])
  %y: f32[3] = higher_order.cond(%gt, @yes, @no, [%made])
    @yes(%a: f32[3]):
      %neg: f32[3] = aten.neg_.default(%a)
      %sin: f32[3] = aten.sin.default(%a)
      return %sin
    @no(%a: f32[3]):
      %cos: f32[3] = aten.cos.default(%a)
      return %cos
""",
        "%y, %seen",
        "%x: f32[3]",
    ),
    "a-branch-of-a-branch-writes-a-buffer": graph(
        f"""\
{POSITIVE}\
  %y: f32[3] = higher_order.cond(%gt, @yes, @no, [%b, %x])
    @yes(%c: f32[3], %a: f32[3]):
      %most: f32[] = aten.max.default(%a)
      %high: b8[] = aten.gt.Scalar(%most, 2)
      %in: f32[3] = higher_order.cond(%high, @up, @down, [%c, %a])
        @up(%d: f32[3], %e: f32[3]):
          %copy: f32[3] = aten.copy_.default(%d, %e)
          %exp: f32[3] = aten.exp.default(%d)
          return %exp
        @down(%d: f32[3], %e: f32[3]):
          %zero: f32[3] = aten.sub.Tensor(%d, %e)
          return %zero
      %twice: f32[3] = aten.mul.Tensor(%in, %c)
      return %twice
    @no(%c: f32[3], %a: f32[3]):
      %cos: f32[3] = aten.cos.default(%c)
      return %cos
""",
        "%y",
    ),
    "a-loop-writes-a-captured-buffer": graph(
        f"""\
{COUNTER}\
  %k: i64[], %y: f32[3] = higher_order.while_loop(@more, @step, [%n, %x], [%b])
    @more(%i: i64[], %a: f32[3], %c: f32[3]):
{GOES_ON}\
    @step(%i: i64[], %a: f32[3], %c: f32[3]):
{NEXT}\
      %add_: f32[3] = aten.add_.Tensor(%c, %a)
      %mul: f32[3] = aten.mul.Tensor(%a, %c)
      return %j, %mul
  %z: f32[3] = aten.add.Tensor(%y, %b)
""",
        "%z",
    ),
    "a-loop-in-a-branch-writes-a-buffer": graph(
        f"""\
{POSITIVE}{COUNTER}\
  %y: f32[3] = higher_order.cond(%gt, @yes, @no, [%b, %x, %n])
    @yes(%c: f32[3], %a: f32[3], %m: i64[]):
      %k: i64[], %v: f32[3] = higher_order.while_loop(@more, @step, [%m, %a], [%c])
        @more(%i: i64[], %d: f32[3], %e: f32[3]):
          %go: b8[] = aten.gt.Scalar(%i, 0)
          return! %go
        @step(%i: i64[], %d: f32[3], %e: f32[3]):
          %j: i64[] = aten.sub.Tensor(%i, 1)
          %row: f32[] = aten.select.int(%e, 0, 0)
          %add_: f32[] = aten.add_.Tensor(%row, 1)
          %mul: f32[3] = aten.mul.Tensor(%d, %e)
          return %j, %mul
      return %v
    @no(%c: f32[3], %a: f32[3], %m: i64[]):
      %cos: f32[3] = aten.cos.default(%c)
      return %cos
""",
        "%y",
    ),
}
CALLS = [((torch.tensor(values),), {}) for values in ([1.0, 2.0, 3.0], [-1.0, -2.0, 0.5], [0.5, 0.25, 1.0])]


@pytest.mark.parametrize("text", FIXED.values(), ids=FIXED)
def test_a_write_in_a_called_graph_is_handed_out(text, judge, write_pt2, fix_copy, settings_for, read_text):
    weights = {"count": torch.tensor([0.5, -1.0, 2.0])} if "buffer" in text else {}
    path = write_pt2(text, weights=weights)
    fixed, result = fix_copy(path, settings=settings_for(enabled=WRITES))
    assert result.error is None
    assert (result.diagnostics, {one.fix.applicability for one in result.fixed}) == ((), {"safe"})
    assert "_." not in read_text(fixed).replace("_operator.", "")
    before, after = judge.load(path), judge.load(fixed)
    assert judge.compare(before, after, CALLS, written_back=True) == [""] * len(CALLS)


REFUSED = {
    "a-carried-tensor-is-written-in-place": graph(
        f"""\
{COUNTER}\
  %k: i64[], %y: f32[3] = higher_order.while_loop(@more, @step, [%n, %x], tensors[])
    @more(%i: i64[], %a: f32[3]):
{GOES_ON}\
    @step(%i: i64[], %a: f32[3]):
{NEXT}\
      %add_: f32[3] = aten.add_.Tensor(%a, 1)
      %mul: f32[3] = aten.mul.Tensor(%add_, 2)
      return %j, %mul
""",
        "%y",
        "%x: f32[3]",
    ),
    "the-condition-of-a-loop-writes": graph(
        f"""\
{COUNTER}\
  %k: i64[], %y: f32[3] = higher_order.while_loop(@more, @step, [%n, %x], [%b])
    @more(%i: i64[], %a: f32[3], %c: f32[3]):
      %add_: f32[3] = aten.add_.Tensor(%c, 1)
{GOES_ON}\
    @step(%i: i64[], %a: f32[3], %c: f32[3]):
{NEXT}\
      %mul: f32[3] = aten.mul.Tensor(%a, %c)
      return %j, %mul
""",
        "%y",
    ),
    "map": graph(
        """\
  %rows: f32[1, 3] = aten.unsqueeze.default(%x, 0)
  %y: f32[1, 3] = higher_order.map_impl(@body, [%rows], [%b])
    @body(%a: f32[3], %c: f32[3]):
      %add_: f32[3] = aten.add_.Tensor(%c, %a)
      %sin: f32[3] = aten.sin.default(%a)
      return %sin
""",
        "%y",
    ),
    "scan": graph(
        """\
  %rows: f32[1, 3] = aten.unsqueeze.default(%x, 0)
  %k: f32[3], %y: f32[1, 3] = higher_order.scan(@body, [%x], [%rows], [%b])
    @body(%i: f32[3], %a: f32[3], %c: f32[3]):
      %add_: f32[3] = aten.add_.Tensor(%c, %a)
      %sin: f32[3] = aten.sin.default(%i)
      %cos: f32[3] = aten.cos.default(%a)
      return %sin, %cos
""",
        "%y",
    ),
}
REASONS = {
    "a-carried-tensor-is-written-in-place": "the written tensor cannot be determined from the artifact",
    "the-condition-of-a-loop-writes": "it is written inside while_loop, which has no way to hand the change out",
    "map": "the written tensor cannot be determined from the artifact",
    "scan": "the written tensor cannot be determined from the artifact",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_write_that_cannot_be_handed_out_stays(name, write_pt2, fix_copy, settings_for, read_text):
    path = write_pt2(REFUSED[name], weights={"count": torch.zeros(3)} if "buffer" in REFUSED[name] else {})
    fixed, result = fix_copy(path, settings=settings_for(enabled=WRITES))
    assert [(one.op, one.fix.message) for one in result.diagnostics] == [("aten.add_.Tensor", REASONS[name])]
    assert (result.changed, result.fixed) == (False, ())
    assert read_text(fixed) == REFUSED[name]
