"""Effect tokens go: stock torch runs the program before and after, and what cannot be promised stays with a reason."""

from __future__ import annotations

import pytest
from tests.text_form import parse_program

torch = pytest.importorskip("torch")

ROW = torch.tensor([[1.0, -2.0, 3.0], [0.5, 4.0, -1.0], [2.0, 2.0, 8.0]])


class Prints(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x, more):
        torch.ops.aten._print("first")
        self.count.add_(1)
        y = x * self.count
        torch.ops.aten._print("second")
        more.mul_(2)
        return {"sum": y + more, "count": self.count * 1}


class Checks(torch.nn.Module):
    """Raises where the matrix is singular; then nothing is printed."""

    def forward(self, x):
        inverse, info = torch.linalg.inv_ex(x)
        torch._linalg_check_errors(info, "inv", is_matrix=True)
        torch.ops.aten._print("regular")
        return inverse


class PrintsValues(torch.nn.Module):
    def forward(self, x):
        torch._higher_order_ops.print("{a} of {b}", a=x, b=3)
        return x + 1


class PrintsByPosition(torch.nn.Module):
    def forward(self, x):
        torch._higher_order_ops.print("it is {}", x)
        return x + 1


class InRegion(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            torch.ops.aten._print("inside")
            y = x.sin()
        return y.clone()


CASES = {
    "writes-and-prints": (Prints(), [(ROW, ROW + 1), (ROW, ROW), (-ROW, ROW * 3)]),
    "raises": (Checks(), [(ROW,), (torch.zeros(3, 3),), (ROW * 2,)]),
    "prints-values": (PrintsValues(), [(ROW,), (ROW * 2,)]),
    "region": (InRegion(), [(ROW,)]),
}


@pytest.fixture
def fix_tokens(fix_copy, settings_for):
    """Fixes a copy of an artifact with the rules on effects on; its path and the result."""
    return lambda path: fix_copy(path, settings=settings_for(enabled={"GL301", "GL305", "GL308"}))


@pytest.fixture
def exported(tmp_path, judge):
    """Exports a module as stock torch does below the training dialect; the artifact's path."""

    def export(module, args, **options):
        program = judge.decomposed(judge.quiet(torch.export.export, module, args, **options))
        path = tmp_path / "exported.pt2"
        judge.save(program, path)
        return path

    return export


@pytest.mark.parametrize(("module", "calls"), CASES.values(), ids=CASES)
def test_the_fixed_program_does_the_same(exported, fix_tokens, judge, read_text, module, calls):
    original = exported(module, calls[0])
    assert "token" in read_text(original)
    path, result = fix_tokens(original)
    assert {one.code for one in result.fixed} == {"GL308"}
    assert {one.code for one in result.diagnostics} <= {"GL301"}
    text = read_text(path)
    assert text.startswith("program TRAINING")
    assert "token" not in text
    before, after = (judge.load(one) for one in (original, path))
    witnesses = [judge.Witness(before), judge.Witness(after)]
    for args in calls:
        assert judge.difference(*(one.see(args) for one in witnesses)) is None
    unflattened = [judge.Witness(one, judge.unflattened(one)) for one in (before, after)]
    assert judge.difference(*(one.see(calls[0]) for one in unflattened)) is None
    # torch gives it the same tokens again.
    assert judge.decomposed(after).graph_signature.input_specs == judge.load(original).graph_signature.input_specs


def test_dynamic_sizes(exported, fix_tokens, judge):
    original = exported(PrintsValues(), (ROW,), dynamic_shapes=({0: torch.export.Dim("rows")},))
    path, _ = fix_tokens(original)
    before, after = (judge.Witness(judge.load(one)) for one in (original, path))
    for rows in (2, 7):
        assert judge.difference(before.see((torch.ones(rows, 3),)), after.see((torch.ones(rows, 3),))) is None


def test_what_stock_torch_cannot_run_runs_once_it_is_fixed(exported, fix_tokens, judge):
    original = exported(PrintsByPosition(), (ROW,))
    with pytest.raises(RuntimeError, match="instead got value of type Node"):
        judge.module(judge.load(original))
    path, result = fix_tokens(original)
    assert [one.code for one in result.fixed] == ["GL308"]
    eager = judge.quiet(torch.export.export, PrintsByPosition(), (ROW,))
    seen, other = (judge.Witness(one).see((ROW,)) for one in (eager, judge.load(path)))
    assert "it is" in seen.outcome.printed
    assert judge.difference(seen, other) is None


def test_a_custom_op_keeps_its_token(exported, fix_tokens, judge, read_text):
    class Logs(torch.nn.Module):
        def forward(self, x):
            torch.ops.aten._print("before")
            return torch.ops.graphlint_tests.log(x) + 1

    effects = torch._higher_order_ops.effects
    with torch.library._scoped_library("graphlint_tests", "DEF") as library:
        library.define("log(Tensor x) -> Tensor")
        library.impl("log", lambda x: x.sin(), "CompositeExplicitAutograd")
        effects._register_effectful_op("graphlint_tests::log", effects._EffectType.ORDERED)
        original = exported(Logs(), (ROW,))
        path, result = fix_tokens(original)
        assert [one.code for one in result.fixed] == ["GL308"]
        (kept,) = [one for one in result.diagnostics if one.code == "GL308"]
        assert kept.fix.message == "graphlint does not know how graphlint_tests.log.default is called"
        assert "aten._print.default(" in read_text(path)
        assert read_text(path).startswith("program ATEN")  # no torch runs tokens under the other label
        before, after = (judge.Witness(judge.load(one)) for one in (original, path))
        assert judge.difference(before.see((ROW,)), after.see((ROW,))) is None


def test_a_file_of_an_earlier_torch_is_left_alone(artifacts, fix_tokens):
    """torch 2.5 loads it and runs it neither so nor otherwise: without its token it would drop the print."""
    _, result = fix_tokens(artifacts / "2.5.1" / "print.pt2")
    (found,) = result.diagnostics
    assert (found.code, found.fix.applicability, result.changed) == ("GL308", "none", False)
    assert found.fix.message.endswith("export the model again with torch 2.6 or later")


PRINT = "higher_order.with_effects(%t, op(aten._print.default), "
KNOWN = "it is recorded in a way that is not known"
UNFIT = "the recorded arguments or results of aten._print.default are not those of its schema"
REFUSED = {
    "no-op": ("%u: f32[0] = higher_order.with_effects(%t)", KNOWN),
    "no-results": ('higher_order.with_effects(%t, op(aten._print.default), "a")', KNOWN),
    "an-argument-too-many": (f'%u: f32[0] = {PRINT}"a", "b")', UNFIT),
    "an-argument-too-few": ("%u: f32[0] = higher_order.with_effects(%t, op(aten._print.default))", UNFIT),
    "an-argument-of-another-name": (f'%u: f32[0] = {PRINT}t="a")', UNFIT),
    "a-result-too-many": (f'%u: f32[0], %y: f32[3] = {PRINT}"a")', UNFIT),
    "an-op-that-nobody-knows": (
        "%u: f32[0], %y: f32[3] = higher_order.with_effects(%t, op(mylib.log.default), %x)",
        "graphlint does not know how mylib.log.default is called",
    ),
    "an-object's-method": (
        '%u: f32[0], %y: f32[3] = higher_order.with_effects(%t, op(higher_order.call_torchbind), %x, "push")',
        "graphlint does not know how higher_order.call_torchbind is called",
    ),
    "results-of-a-higher-order-op": (
        '%u: f32[0], %y: f32[3] = higher_order.with_effects(%t, op(higher_order.print), "a")',
        "how higher_order.print returns its results is not recorded",
    ),
}


@pytest.mark.parametrize(("node", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_is_recorded_otherwise_stays(fix_tokens, write_pt2, node, reason):
    returned = "%u" if "%u" in node else "%t"
    text = f"program ATEN\ngraph(%t: f32[0] = token, %x: f32[3]):\n  {node}\n  return token <- {returned}, %x\n"
    _, result = fix_tokens(write_pt2(text))
    assert not result.error
    assert ([one.fix.message for one in result.diagnostics if one.code == "GL308"], result.changed) == ([reason], False)


OTHERS = {
    "a-reader": ("%u", "  %y: f32[0] = aten.sin.default(%u)\n", "aten.sin.default (node %y) reads the token %u"),
    "a-reader-of-the-input": (
        "%u",
        "  %y: f32[0] = aten.sin.default(%t)\n",
        "aten.sin.default (node %y) reads the token %t",
    ),
    "a-result": ("%u, %u", "", "the program returns the token %u as a result"),
    "another-output": ("%x", "", "%x is no token"),
}


@pytest.mark.parametrize(("returned", "more", "reason"), OTHERS.values(), ids=OTHERS)
def test_tokens_that_something_else_reads_stay(fix_tokens, write_pt2, returned, more, reason):
    node = f'%u: f32[0] = {PRINT}"a")'
    text = f"program ATEN\ngraph(%t: f32[0] = token, %x: f32[3]):\n  {node}\n{more}  return token <- {returned}, %x\n"
    _, result = fix_tokens(write_pt2(text))
    assert ([one.fix.message for one in result.diagnostics if one.code == "GL308"], result.changed) == ([reason], False)


def test_what_is_no_token_is_not_taken_for_one(fix_tokens, write_pt2):
    text = f"""\
program ATEN
graph(%t: f32[3]):
  %u: f32[0] = {PRINT}"a")
  return token <- %u, %t
"""
    _, result = fix_tokens(write_pt2(text))
    (found,) = [one for one in result.diagnostics if one.code == "GL308"]
    assert (found.fix.message, result.changed) == (
        "higher_order.with_effects (node %with_effects) takes what is no token",
        False,
    )


def test_a_token_in_a_called_graph_stays(fix_tokens, write_pt2):
    text = """\
program ATEN
graph(%t: f32[0] = token, %x: f32[3]):
  %v: f32[0], %y: f32[3] = higher_order.invoke_subgraph(@sub, "sub", %t, %x)
    @sub(%a: f32[0], %b: f32[3]):
      %c: f32[0] = higher_order.with_effects(%a, op(aten._print.default), "a")
      return %c, %b
  return token <- %v, %y
"""
    _, result = fix_tokens(write_pt2(text))
    (found,) = [one for one in result.diagnostics if one.code == "GL308"]
    assert (found.fix.applicability, result.changed) == ("none", False)


def test_a_token_that_the_signature_of_a_module_names_stays(fix_tokens, write_pt2):
    tree = parse_program(
        f'program ATEN\ngraph(%t: f32[0] = token, %x: f32[3]):\n  %u: f32[0] = {PRINT}"a")\n  return token <- %u, %x\n'
    )
    leaf = '[1, {"type": null, "context": null, "children_spec": []}]'
    signature = {"inputs": [{"as_tensor": {"name": "t"}}], "outputs": [], "in_spec": leaf, "out_spec": leaf}
    tree["graph_module"]["module_call_graph"].append({"fqn": "inner", "signature": signature})
    _, result = fix_tokens(write_pt2(tree))
    (found,) = [one for one in result.diagnostics if one.code == "GL308"]
    assert (found.fix.message, result.changed) == ("the signature of a module names the token %t", False)


@pytest.mark.parametrize("returned", ["token <- %t, %y", "%y"], ids=["returned", "taken-only"])
def test_tokens_that_no_op_takes_go(fix_tokens, write_pt2, judge, read_text, returned):
    text = f"""\
program ATEN
graph(%t: f32[0] = token, %x: f32[3]):
  %y: f32[3] = aten.sin.default(%x)
  return {returned}
"""
    path, result = fix_tokens(write_pt2(text))
    assert ([one.code for one in result.fixed], result.diagnostics) == (["GL308"], ())
    assert "token" not in read_text(path)
    x = torch.tensor([1.0, 2.0, 3.0])
    assert judge.difference(*(judge.Witness(one).see((x,)) for one in (judge.load(path), Sine.exported(x)))) is None


class Sine(torch.nn.Module):
    def forward(self, x):
        return x.sin()

    @classmethod
    def exported(cls, x):
        return torch.export.export(cls(), (x,))
