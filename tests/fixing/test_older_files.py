"""Files that torch 2.13 does not load any more: the fix is judged by its structure."""

import io
import itertools
import json
import re
import zipfile
from pathlib import Path

import pytest

import graphlint
from graphlint.run.engine import process, restore

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
STRAIGHT = (
    "async_assert",
    "two_async_asserts",
    "scalar_assert",
    "constrain_range",
    "constrain_range_for_size",
    "dynamic_batch",
    "nested",
)
"""Cases with checks, all of them in the root graph."""

CHECK = re.compile(
    r"^  aten\.(_assert_async\.msg|_assert_scalar\.default|sym_constrain_range(?:_for_size)?\.default)\((.*)\)$"
)
COND = """\
  %sum_1: f32[] = aten.sum.default(%{x})
  %gt: b8[] = aten.gt.Scalar(%sum_1, 0)
  %dep_token0: f32[] = aten._make_dep_token.default()
  %getitem: f32[3, 4], %dep_token1: f32[] = higher_order.cond(%gt, @true_graph_0, @false_graph_0, [%{x}, %dep_token0])
    @true_graph_0(%{inner}: f32[3, 4], %dep_token0: f32[]):
      %gt: b8[3, 4] = aten.gt.Scalar(%{inner}, -100)
      %all_1: b8[] = aten.all.default(%gt)
      %dep_token1: f32[] = aten._functional_assert_async.msg(%all_1, "in the true branch", %dep_token0)
      %sin: f32[3, 4] = aten.sin.default(%{inner})
      %dep_token2: f32[] = aten.clone.default(%dep_token1)
      return %sin, %dep_token2
    @false_graph_0(%{inner}: f32[3, 4], %dep_token0: f32[]):
      %cos: f32[3, 4] = aten.cos.default(%{inner})
      %dep_token1: f32[] = aten.clone.default(%dep_token0)
      return %cos, %dep_token1
  %dep_token2: f32[] = aten.detach.default(%dep_token1)
"""


def _chained(text, sink):
    """The text form of a program with checks in its root graph only, as it must be after the fix."""
    lines, count = [], 0
    for line in text.splitlines():
        match = CHECK.match(line)
        if not match:
            lines.append(line)
            continue
        if not count:
            lines.append("  %dep_token0: f32[] = aten._make_dep_token.default()")
        name, operands = match[1].lstrip("_"), match[2]
        if "constrain" in name:  # the twin takes the bounds by position
            value, *bounds = operands.split(", ")
            given = {key: bound for key, _, bound in (one.partition("=") for one in bounds)}
            operands = f"{value}, {given.get('min')}, {given.get('max')}"
        lines.append(f"  %dep_token{count + 1}: f32[] = aten._functional_{name}({operands}, %dep_token{count})")
        count += 1
    (head,) = (number for number, line in enumerate(lines) if line.startswith("graph("))
    last = f"%dep_token{count}"
    if sink == "output":
        lines[-1] += f", {last}"
    else:
        before, _, after = lines[head].partition(", %") if " = " not in lines[head] else lines[head].rpartition(", %")
        buffer = '%b_dep_token: f32[] = buffer "dep_token" non-persistent'
        if " = " in lines[head]:
            lines[head] = f"{before}, {buffer}, %{after}"
        else:
            lines[head] = lines[head].replace("graph(", f"graph({buffer}, ")
        lines[-1] = lines[-1].replace("return ", f'return buffer "dep_token" <- {last}, ')
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("version", "sink"),
    [("2.2.2", "output"), *itertools.product(("2.3.1", "2.4.1", "2.5.1"), ("buffer", "output"))],
)
@pytest.mark.parametrize("case", STRAIGHT)
def test_checks_are_chained_where_they_stand(version, case, sink, fix_copy, read_text):
    original = ARTIFACTS / version / f"{case}.pt2"
    path, result = fix_copy(original, sink)
    assert (result.error, result.changed, result.diagnostics) == (None, True, ())
    before = read_text(original)
    assert len(result.fixed) == sum(bool(CHECK.match(line)) for line in before.splitlines()) > 0
    assert read_text(path) == _chained(before, sink)


@pytest.mark.parametrize(
    ("version", "x", "inner", "sink"),
    [
        ("2.2.2", "l_x_", "arg0_1", "output"),
        ("2.3.1", "arg0_1", "arg0_1", "buffer"),
        ("2.3.1", "arg0_1", "arg0_1", "output"),
        ("2.4.1", "x", "x", "buffer"),
        ("2.4.1", "x", "x", "output"),
        ("2.5.1", "x", "x", "buffer"),
        ("2.5.1", "x", "x", "output"),
        ("2.6.0", "x", "x", "buffer"),
        ("2.6.0", "x", "x", "output"),
    ],
)
def test_branches_carry_the_token(version, x, inner, sink, fix_copy, read_text):
    path, result = fix_copy(ARTIFACTS / version / "cond_assert.pt2", sink)
    assert (result.error, result.changed, result.diagnostics) == (None, True, ())
    body = COND.format(x=x, inner=inner)
    head, tail = f"graph(%{x}: f32[3, 4]):", "  return %getitem, %dep_token2"
    if sink == "buffer":
        head = head.replace("graph(", 'graph(%b_dep_token: f32[] = buffer "dep_token" non-persistent, ')
        tail = '  return buffer "dep_token" <- %dep_token2, %getitem'
    assert read_text(path).partition("\n")[2] == f"{head}\n{body}{tail}\n"


@pytest.mark.parametrize("version", ["2.3.1", "2.4.1", "2.5.1", "2.6.0", "2.7.1", "2.8.0"])
@pytest.mark.parametrize("case", ["async_assert", "dynamic_batch", "cond_assert"])
def test_the_buffer_is_among_the_pickled_constants(version, case, fix_copy, judge):
    torch = judge.torch
    original = ARTIFACTS / version / f"{case}.pt2"

    def constants(path):
        with zipfile.ZipFile(path) as archive:
            (member,) = (
                name
                for name in archive.namelist()
                if re.search(r"(data/constants/model|^serialized_constants)\.pt", name)
            )
            return torch.load(io.BytesIO(archive.read(member)), weights_only=True)

    path, _ = fix_copy(original)
    before, after = constants(original), constants(path)
    assert list(after) == [*before, "dep_token"]
    token = after["dep_token"]
    assert (token.shape, token.dtype, token.item(), token.requires_grad) == ((), torch.float32, 0.0, False)
    assert all(torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("version", ["2.3.1", "2.5.1", "2.6.0"])
def test_the_signature_names_the_buffer(version, fix_copy, read_tree):
    original = ARTIFACTS / version / "dynamic_batch.pt2"
    path, _ = fix_copy(original)
    before = read_tree(original)["graph_module"]["signature"]
    after = read_tree(path)["graph_module"]["signature"]
    inputs, outputs = before["input_specs"], before["output_specs"]
    buffer = {"arg": {"name": "b_dep_token"}, "buffer_name": "dep_token", "persistent": False}
    assert after["input_specs"] == [*inputs[:2], {"buffer": buffer}, *inputs[2:]]
    mutation = {"arg": {"name": "dep_token1"}, "buffer_name": "dep_token"}
    assert after["output_specs"] == [{"buffer_mutation": mutation}, *outputs]


@pytest.mark.parametrize("version", ["2.2.2", "2.3.1", "2.4.1", "2.5.1", "2.13.0"])
def test_the_output_sink_wraps_the_recorded_result(version, fix_copy, read_tree):
    original = ARTIFACTS / version / "nested.pt2"
    path, _ = fix_copy(original, "output")
    before, after = read_tree(original)["graph_module"], read_tree(path)["graph_module"]
    (entry_before,) = before["module_call_graph"]
    (entry,) = after["module_call_graph"]
    version_number, spec = json.loads(entry_before["signature"]["out_spec"])
    leaf = {"type": None, "context": None, "children_spec": []}
    pair = {"type": "builtins.tuple", "context": "null", "children_spec": [spec, leaf]}
    assert json.loads(entry["signature"]["out_spec"]) == [version_number, pair]
    unchanged = {key: value for key, value in entry["signature"].items() if key != "out_spec"}
    assert unchanged == {key: value for key, value in entry_before["signature"].items() if key != "out_spec"}
    token = {"user_output": {"arg": {"as_tensor": {"name": "dep_token1"}}}}
    assert after["signature"]["output_specs"] == [*before["signature"]["output_specs"], token]
    assert after["signature"]["input_specs"] == before["signature"]["input_specs"]


NO_FORMAT = "torch 2.1 wrote this file, and its format has no place for a token"
NO_BUFFER = 'files of torch 2.2 have no place for the token\'s buffer: use token-sink = "output"'
IN_2_1 = {
    "async_assert": ["GL201"],
    "two_async_asserts": ["GL201", "GL201"],
    "constrain_range": ["GL201", "GL201", "GL204"],
    "constrain_range_for_size": ["GL201", "GL201", "GL204", "GL201", "GL201"],
    "nested": ["GL201"],
}
IN_2_2 = {
    "async_assert": ["GL201"],
    "two_async_asserts": ["GL201", "GL201"],
    "scalar_assert": ["GL201", "GL201", "GL201"],
    "constrain_range": ["GL201", "GL201", "GL204"],
    "constrain_range_for_size": ["GL201", "GL201", "GL204"],
    "dynamic_batch": ["GL201"],
    "nested": ["GL201"],
    "cond_assert": ["GL201"],
}


@pytest.mark.parametrize(
    ("version", "case", "sink", "reason", "codes"),
    [
        *(("2.1.2", case, "buffer", NO_FORMAT, codes) for case, codes in IN_2_1.items()),
        *(("2.1.2", case, "output", NO_FORMAT, codes) for case, codes in IN_2_1.items()),
        *(("2.2.2", case, "buffer", NO_BUFFER, codes) for case, codes in IN_2_2.items()),
    ],
)
def test_without_a_place_for_a_token_the_file_is_left_alone(version, case, sink, reason, codes, tmp_path, settings_for):
    original = ARTIFACTS / version / f"{case}.pt2"
    path = tmp_path / "model.pt2"
    path.write_bytes(original.read_bytes())
    result = process(str(path), settings_for(sink), "fix")
    assert (result.changed, result.fixed, result.error) == (False, (), None)
    assert [(one.code, one.fix.applicability, one.fix.message) for one in result.diagnostics] == [
        (code, "none", reason) for code in codes
    ]
    assert result == process(str(path), settings_for(sink), "check")
    assert path.read_bytes() == original.read_bytes()


def test_a_fix_says_which_versions_load_the_program_no_more(tmp_path):
    """With one result, torch 2.6 writes a list of it, which torch reads up to 2.7; with a token, two in a row."""
    path = tmp_path / "model.pt2"
    path.write_bytes((ARTIFACTS / "2.6.0" / "cond_assert.pt2").read_bytes())
    tokens = graphlint.fix(path, target="functional", isolated=True)
    assert (tokens.changed, tokens.notes, tokens.loads_in["model"][-1]) == (True, (), "2.15")
    plain = graphlint.fix(path, target="inductor", select="ALL", isolated=True)
    assert (plain.changed, plain.loads_in["model"][-1]) == (True, "2.7")
    assert [one for one in plain.notes if "load" in one] == [
        "program 'model' does not load in torch 2.8 to 2.15 any more"
    ]


def test_so_does_restoring(tmp_path, settings_for):
    path = tmp_path / "model.pt2"
    path.write_bytes((ARTIFACTS / "2.6.0" / "cond_assert.pt2").read_bytes())
    assert process(str(path), settings_for(), "fix").notes == ()
    restored = restore(str(path), settings_for(), "fix")
    assert "program 'model' does not load in torch 2.8 to 2.15 any more" in restored.notes
