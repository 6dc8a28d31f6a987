"""Programs compared: what is a difference, and what is none."""

from __future__ import annotations

import itertools
import random
import re

import pytest
from tests.text_form import document_of

from graphlint.artifact.artifact import open_artifact
from graphlint.ir.decode import decode_program
from graphlint.report.comparison.alignment import aligned
from graphlint.report.comparison.changes import ArtifactDiff, Detail, render, summary
from graphlint.report.comparison.programs import compare_programs
from graphlint.report.results import ReportOptions
from graphlint.rules.fixing import fix_program

MODEL = """\
program ATEN
range s0 = [2, 64]
graph(%w: f32[4, 4] = parameter "linear.weight", %cache: f32[s0, 4] = buffer "cache", %x: f32[s0, 4], %flag: b8[]):
  %linear: f32[s0, 4] = aten.linear.default(%x, %w)
  %relu: f32[s0, 4] = aten.relu.default(%linear)
  %add: f32[s0, 4] = aten.add.Tensor(%relu, %cache, alpha=2)
  %out: f32[s0, 4] = higher_order.cond(%flag, @true_graph_0, @false_graph_0, [%add, %x])
    @true_graph_0(%a: f32[s0, 4], %b: f32[s0, 4]):
      %sin: f32[s0, 4] = aten.sin.default(%a)
      return %sin
    @false_graph_0(%a: f32[s0, 4], %b: f32[s0, 4]):
      %sub: f32[s0, 4] = aten.sub.Tensor(%a, %b)
      return %sub
  %mul: f32[s0, 4] = aten.mul.Tensor(%out, 0.5)
  return buffer "cache" <- %add, %mul
"""


@pytest.fixture
def compare(read_text):
    return lambda old, new, **options: compare_programs(read_text(old), read_text(new), **options)


def shown(diff):
    """Each difference in the interface and in the graph, in short."""
    interface = [(one.kind, one.what, one.name, one.old, one.new) for one in diff.interface]
    changes = [
        (
            one.kind,
            one.old.name if one.old else None,
            one.new.name if one.new else None,
            {detail.what: (detail.old, detail.new) for detail in one.details},
        )
        for one in diff.changes
    ]
    return interface, changes


NO_DIFFERENCE = {
    "itself": lambda text: text,
    "other names": lambda text: re.sub(r"%(\w+)", r"%renamed_\1", text),
    "other symbols": lambda text: text.replace("s0", "s77"),
    "a default that is spelled out": lambda text: text.replace("default(%x, %w)", "default(%x, %w, None)"),
    "names swapped": lambda text: text.replace("%relu", "%T").replace("%linear", "%relu").replace("%T", "%linear"),
}  # fmt: skip


@pytest.mark.parametrize("change", NO_DIFFERENCE.values(), ids=NO_DIFFERENCE.keys())
def test_no_difference(compare, change):
    diff = compare(MODEL, change(MODEL))
    assert shown(diff) == ([], [])
    assert diff.equal
    assert diff.unchanged == 7


INTERFACE = {
    "dialect": ("program ATEN", "program TRAINING", ("changed", "dialect", "", "ATEN", "TRAINING")),
    "range": ("[2, 64]", "[2, 32]", ("changed", "range", "s0", "[2, 64]", "[2, 32]")),
    "input added": (
        "%flag: b8[])", "%flag: b8[], %y: f32[2])", ("added", "input", "%y", None, "f32[2]")),
    "input of another type": (
        "%flag: b8[])", "%flag: i64[])", ("changed", "input", "%flag", "b8[]", "i64[]")),
    "buffer not persistent": (
        'buffer "cache",', 'buffer "cache" non-persistent,',
        ("changed", "input", 'buffer "cache"', 'f32[s0, 4] = buffer "cache"',
         'f32[s0, 4] = buffer "cache" non-persistent')),
    "inputs in another order": (
        "%x: f32[s0, 4], %flag: b8[])", "%flag: b8[], %x: f32[s0, 4])",
        ("moved", "input", "", "%x, %flag", "%flag, %x")),
    "no longer written back": (
        'return buffer "cache" <- %add, %mul', "return %mul",
        ("removed", "output", 'buffer "cache"', "f32[s0, 4]", None)),
    "one result more": ("<- %add, %mul", "<- %add, %mul, %x", ("added", "output", "result 1", None, "f32[s0, 4]")),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), INTERFACE.values(), ids=INTERFACE.keys())
def test_a_difference_in_the_interface(compare, old, new, expected):
    assert old in MODEL
    assert shown(compare(MODEL, MODEL.replace(old, new))) == ([expected], [])


def test_a_constant_that_became_a_buffer_is_the_same_input(compare):
    old = (
        'program ATEN\ngraph(%c: f32[4] = tensor_constant "seen"):\n  %a: f32[4] = aten.sin.default(%c)\n  return %a\n'
    )
    new = old.replace('tensor_constant "seen"', 'buffer "seen" non-persistent')
    diff = compare(old, new)
    assert [(one.kind, one.what, one.name) for one in diff.interface] == [("changed", "input", 'buffer "seen"')]
    assert diff.changes == ()


ADD = "  %add: f32[s0, 4] = aten.add.Tensor(%relu, %cache, alpha=2)\n"
GRAPH = {
    "constant": ("alpha=2", "alpha=3", [("changed", "add", "add", {"argument alpha": ("2", "3")})]),
    "constant to its default": (
        ", alpha=2", "", [("changed", "add", "add", {"argument alpha": ("2", "the default")})]),
    "op": (
        "%relu: f32[s0, 4] = aten.relu.default(", "%relu: f32[s0, 4] = aten.gelu.default(",
        [("changed", "relu", "relu", {"op": ("aten.relu.default", "aten.gelu.default")})]),
    "op under another name": (
        "%relu: f32[s0, 4] = aten.relu.default(%linear)\n  %add: f32[s0, 4] = aten.add.Tensor(%relu",
        "%abs: f32[s0, 4] = aten.abs.default(%linear)\n  %add: f32[s0, 4] = aten.add.Tensor(%abs",
        [("changed", "relu", "abs", {"op": ("aten.relu.default", "aten.abs.default")})]),
    "operand": (
        "aten.add.Tensor(%relu, ", "aten.add.Tensor(%linear, ",
        [("changed", "add", "add", {"argument self": ("%relu", "%linear")})]),
    "op added": (
        ADD, f"  %neg: f32[s0, 4] = aten.neg.default(%relu)\n{ADD.replace('%relu', '%neg')}",
        [("added", None, "neg", {}), ("changed", "add", "add", {"argument self": ("%relu", "%neg (added)")})]),
    "in a branch": (
        "%sin: f32[s0, 4] = aten.sin.default(%a)", "%sin: f32[s0, 4] = aten.cos.default(%a)",
        [("changed", "sin", "sin", {"op": ("aten.sin.default", "aten.cos.default")})]),
    "what a branch returns": (
        "      return %sub\n", "      return %a\n", [("changed", None, None, {"result 0": ("%sub", "%a")})]),
    "what is returned": (
        "<- %add, %mul", "<- %add, %out", [("changed", None, None, {"result 0": ("%mul", "%out")})]),
    "stride of a result": (
        "%mul: f32[s0, 4] =", "%mul: f32[s0, 4]{1, s0} =",
        [("changed", "mul", "mul", {"result": ("f32[s0, 4]", "f32[s0, 4]{1, s0}")})]),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), GRAPH.values(), ids=GRAPH.keys())
@pytest.mark.parametrize("renamed", [False, True], ids=["names kept", "names changed"])
def test_a_difference_in_the_graph(compare, old, new, expected, renamed):
    assert old in MODEL
    changed = MODEL.replace(old, new)
    if not renamed:
        diff = compare(MODEL, changed)
        assert shown(diff)[1] == expected
        return
    diff = compare(MODEL, re.sub(r"%(\w+)", r"%v_\1", changed))
    assert [one.kind for one in diff.changes] == [kind for kind, *_ in expected]


def test_a_change_in_a_branch_says_in_which(compare):
    [change] = compare(MODEL, MODEL.replace("aten.sin", "aten.cos")).changes
    assert change.graph == ("cond", "true_graph_0")


def test_ops_that_changed_places(compare):
    old = """\
program TRAINING
graph(%x: f32[4], %y: f32[4]):
  %a: f32[4] = aten.add_.Tensor(%x, 1)
  %b: f32[4] = aten.mul_.Tensor(%y, 2)
  %c: f32[4] = aten.sin.default(%x)
  return %c, %y
"""
    lines = old.splitlines(keepends=True)
    swapped = "".join([*lines[:2], lines[3], lines[2], *lines[4:]])
    diff = compare(old, swapped)
    assert shown(diff) == ([], [("moved", "b", "b", {"after": ("%a", "the inputs")})])
    assert not diff.equal


def test_metadata_is_compared_on_request(artifacts):
    with open_artifact(artifacts / "2.13.0" / "key_value_cache.pt2") as artifact:
        data = artifact.read_program(artifact.programs[0])
    old, new = decode_program(data), decode_program(data.replace(b'models.py\\", line 129', b'models.py\\", line 131'))
    assert compare_programs(old, new).equal
    changes = compare_programs(old, new, metadata=True).changes
    assert [change.new.name for change in changes] == ["linear", "detach", "view", "index_put_"]
    assert {change.details for change in changes} == {(Detail("source", "models.py:129", "models.py:131"),)}


def test_another_nesting_of_the_same_arguments(artifacts):
    with open_artifact(artifacts / "2.13.0" / "nested.pt2") as artifact:
        data = artifact.read_program(artifact.programs[0])
    old, new = decode_program(data), decode_program(data)
    [root] = [entry for entry in new.graph_module.module_call_graph if not entry.fqn]
    root.signature.in_spec = root.signature.in_spec.replace("builtins.list", "builtins.tuple")
    assert shown(compare_programs(old, new)) == (
        [("changed", "arguments", "", "(({a: *, b: [*, *]}), {})", "(({a: *, b: (*, *)}), {})")],
        [],
    )


@pytest.mark.parametrize(
    ("old", "new"), [("2.6.0", "2.7.1"), ("2.9.1", "2.10.0"), ("2.11.0", "2.12.1"), ("2.12.1", "2.13.0")]
)
def test_the_same_model_exported_by_neighbouring_versions_is_the_same(artifacts, old, new):
    names = [path.name for path in sorted((artifacts / old).glob("*.pt2")) if (artifacts / new / path.name).exists()]
    assert len(names) > 20
    for name in names:
        with open_artifact(artifacts / old / name) as before, open_artifact(artifacts / new / name) as after:
            for mine, theirs in zip(before.programs, after.programs, strict=True):
                programs = [decode_program(one.read_program(entry)) for one, entry in ((before, mine), (after, theirs))]
                assert shown(compare_programs(*programs)) == ([], []), name


def test_every_artifact_is_the_same_as_itself(artifacts):
    paths = sorted(artifacts.glob("*/*.pt2"))
    assert len(paths) > 300
    for path in paths:
        with open_artifact(path) as artifact:
            for entry in artifact.programs:
                data = artifact.read_program(entry)
                diff = compare_programs(decode_program(data), decode_program(data), metadata=True)
                assert shown(diff) == ([], []), path


def test_other_layouts_and_models_differ(artifacts):
    programs = {}
    for version, name in (
        ("2.10.0", "clean"),
        ("2.11.0", "clean"),
        ("2.13.0", "intermediate"),
        ("2.15.0", "intermediate"),
    ):
        with open_artifact(artifacts / version / f"{name}.pt2") as artifact:
            programs[version, name] = decode_program(artifact.read_program(artifact.programs[0]))
    diff = compare_programs(programs["2.10.0", "clean"], programs["2.11.0", "clean"])
    assert shown(diff) == (
        [],
        [("changed", "layer_norm", "layer_norm", {"argument cudnn_enable": ("the default", "False")})],
    )
    diff = compare_programs(programs["2.13.0", "intermediate"], programs["2.15.0", "intermediate"])
    assert [(one.kind, one.what) for one in diff.interface] == [("removed", "input")]
    assert [one.kind for one in diff.changes] == ["removed", "changed"]


def chain(length: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(("sin", "cos", "relu")) for _ in range(length)]


def program(ops: list[str], prefix: str) -> str:
    lines = ["program ATEN", "graph(%x: f32[4]):"]
    value = "x"
    for index, op in enumerate(ops):
        lines.append(f"  %{prefix}{index}: f32[4] = aten.{op}.default(%{value})")
        value = f"{prefix}{index}"
    return "\n".join([*lines, f"  return %{value}", ""])


@pytest.mark.parametrize("seed", range(5))
def test_few_changes_in_a_long_chain_without_names_are_found_as_few(compare, seed):
    rng = random.Random(seed)
    old = chain(600, seed)
    new = list(old)
    for _ in range(3):
        new.insert(rng.randrange(100, 500), "exp")
    diff = compare(program(old, "a"), program(new, "b"))
    kinds = [change.kind for change in diff.changes]
    assert kinds.count("added") == 3
    assert "removed" not in kinds
    # What takes an added op's result takes something else than before.
    assert kinds.count("changed") <= 3
    assert diff.unchanged >= 597


def test_a_fix_of_a_large_program_is_a_change_for_each_write(all_rules):
    lines = ["program TRAINING", "graph(%x: f32[4, 4]):", "  %v0: f32[4, 4] = aten.mul.Tensor(%x, 0.5)"]
    for index in range(1, 2000):
        op = "add_" if index % 20 == 0 else "add"
        lines.append(f"  %v{index}: f32[4, 4] = aten.{op}.Tensor(%v{index - 1}, 0.001)")
    document = document_of("\n".join([*lines, "  return %v1999", ""]))
    fixed = fix_program(document, "model", "", all_rules).document.program
    diff = compare_programs(document.program, fixed)
    assert len(diff.changes) == 99
    assert {change.details for change in diff.changes} == {(Detail("op", "aten.add_.Tensor", "aten.add.Tensor"),)}
    assert diff.unchanged == 1901


@pytest.mark.parametrize(
    ("old", "new", "pairs"),
    [
        ("", "abc", []),
        ("abc", "abc", [(0, 0), (1, 1), (2, 2)]),
        ("abcabba", "cbabac", [(0, 2), (1, 3), (3, 4)]),
        ("xaby", "abz", [(1, 0), (2, 1)]),
        ("abc", "xyz", []),
    ],
)
def test_alignment(old, new, pairs):
    found = aligned(old, new, 64)
    assert all(old[left] == new[right] for left, right in found)
    assert found == sorted(found)
    assert len({left for left, _ in found}) == len({right for _, right in found}) == len(found)
    assert len(found) >= len(pairs)


@pytest.mark.parametrize("ahead", [1, 2, 8, 64])
@pytest.mark.parametrize("seed", range(20))
def test_alignment_is_in_order_and_of_equals_however_far_it_looks(seed, ahead):
    rng = random.Random(seed)
    old = [rng.choice("abc") for _ in range(rng.randrange(60))]
    new = [rng.choice("abc") for _ in range(rng.randrange(60))]
    found = aligned(old, new, ahead)
    assert all(old[left] == new[right] for left, right in found)
    assert all(one[0] < other[0] and one[1] < other[1] for one, other in itertools.pairwise(found))
    if ahead == 64:
        # The longest common subsequence, counted the plain way.
        best = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
        for left, item in enumerate(old):
            for right, other in enumerate(new):
                best[left + 1][right + 1] = (
                    best[left][right] + 1 if item == other else max(best[left][right + 1], best[left + 1][right])
                )
        if len(old) + len(new) - 2 * best[-1][-1] <= ahead:
            assert len(found) == best[-1][-1]


def test_the_report_reads_from_the_interface_down(compare):
    diff = compare(
        MODEL,
        MODEL.replace("program ATEN", "program TRAINING").replace("aten.sin", "aten.cos").replace("alpha=2", "alpha=3"),
    )
    whole = ArtifactDiff("a.pt2", "b.pt2", (diff,))
    assert (
        render(whole, ReportOptions())
        == """\
a.pt2 -> b.pt2

Interface
  ~ dialect: ATEN -> TRAINING

Graph: 2 changed, 5 unchanged
  ~ %add = aten.add.Tensor
      argument alpha: 2 -> 3
  in cond > true_graph_0:
  ~ %sin = aten.cos.default
      op: aten.sin.default -> aten.cos.default
"""
    )
    assert summary(whole) == "Found 1 difference in the interface, 2 differences in the graph.\n"
    assert "\x1b[32m" not in render(whole, ReportOptions(color=True))
    assert "\x1b[33m" in render(whole, ReportOptions(color=True))
    same = ArtifactDiff("a.pt2", "b.pt2", (compare(MODEL, MODEL),))
    assert (render(same, ReportOptions()), summary(same)) == ("", "1 program compared: no difference.\n")
