"""Targets of one's own: what a configuration says of them, and what comes of it."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys

import msgspec
import pytest

import graphlint
from graphlint.artifact.errors import ConfigError
from graphlint.rules.registry import RULES
from graphlint.rules.settings import OwnRule, OwnTarget
from graphlint.rules.targets.documentation import described
from graphlint.rules.targets.model import load_target, profile_of, row_of
from graphlint.rules.targets.own import own_targets
from graphlint.run.cache import held_for
from graphlint.run.config import Configuration
from graphlint.run.resolution import Resolver

GATE = """
[tool.graphlint]
target = "phone"
[tool.graphlint.targets.phone]
extends = "executorch"
refuse-ops = ["aten.index_put*"]
dtypes = ["float32", "i64"]
max-nodes = 7
because = "the phone cannot"
"""


def profile(**own):
    return profile_of(["mine"], own_targets({"mine": ("targets.mine", OwnTarget(**own))}))


def resolver(**options):
    return Resolver(Configuration(target=("mine",), **options), isolated=True)


def findings(lint_text, text, **own):
    return [one for one in lint_text(text, profile=profile(**own)) if one.code in ("GL601", "GL608", "GL609")]


@pytest.fixture
def folder(tmp_path, artifacts):
    for name in ("key_value_cache", "clean"):
        shutil.copy(artifacts / "2.13.0" / f"{name}.pt2", tmp_path)
    (tmp_path / "pyproject.toml").write_text(GATE)
    return tmp_path


def run(folder, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "graphlint", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


OPS = """
graph(%x: f32[3], %i: i64[1]):
  %nonzero: i64[3, 1] = aten.nonzero.default(%x)
  %nonzero_numpy: i64[3] = aten.nonzero_numpy.default(%x)
  %add: f32[3] = aten.add.Tensor(%x, 1)
  %my: f32[3] = mylib.scale.default(%x)
  return %nonzero, %nonzero_numpy, %add, %my
"""


@pytest.mark.parametrize(
    ("refuse", "allow", "refused"),
    [
        (["aten.nonzero"], [], ["nonzero"]),
        (["aten.nonzero.default"], [], ["nonzero"]),
        (["aten.nonzero*"], [], ["nonzero", "nonzero_numpy"]),
        (["aten.*.default"], [], ["nonzero", "nonzero_numpy"]),
        (["mylib.*"], [], ["my"]),
        (["*"], ["aten.*"], ["my"]),
        (["*", "aten.nonzero"], ["aten.*"], ["nonzero", "my"]),
        (["aten.nonzero*"], ["aten.nonzero_numpy"], ["nonzero"]),
        ([], ["aten.*"], []),
    ],
)
def test_the_pattern_that_spells_most_of_an_op_decides(lint_text, refuse, allow, refused):
    rules = {"GL20": OwnRule("keep")}
    found = findings(lint_text, OPS, refuse_ops=tuple(refuse), allow_ops=tuple(allow), rules=rules)
    assert [one.node for one in found] == refused
    assert all(one.severity == "error" and one.fix.applicability == "none" for one in found)


def test_what_the_other_target_refuses_is_refused_unless_it_is_allowed_by_name():
    def refused(**own):
        said = profile(extends="onnx", **own).refused_op("aten.masked_select.default")
        return said and said.at(lambda case: case == "")

    assert refused().because == load_target("onnx").ops["aten.masked_select"][0].because
    assert refused(allow_ops=("aten.*",)) is not None
    assert refused(allow_ops=("aten.masked_select",)) is None
    assert refused(refuse_ops=("aten.masked_select",), because="so").because == "so"


def test_other_dtypes_are_named_with_the_node_that_makes_them(lint_text):
    text = """
graph(%b_wide: f64[3] = buffer "wide", %x: f32[3]):
  %to: f64[3] = aten.to.dtype(%x, torch.float64)
  %ge: b8[3] = aten.ge.Scalar(%to, 1)
  %sum: f32[3] = aten.add.Tensor(%x, 1)
  return %sum
"""
    found = findings(lint_text, text, dtypes=("torch.float32", "b8"), because="no doubles")
    said = "float64; mine takes float32, bool only: no doubles"
    assert [(one.code, one.node, one.message) for one in found] == [
        ("GL608", "to", f"aten.to.dtype makes {said}"),
        ("GL608", None, f"buffer 'wide' is {said}"),
    ]
    assert not findings(lint_text, text, dtypes=("float32", "float64", "bool"))


def test_so_many_nodes_are_too_many(lint_text):
    assert not findings(lint_text, OPS, max_nodes=4)
    (found,) = findings(lint_text, OPS, max_nodes=3)
    assert (found.code, found.message) == ("GL609", "there are 4 nodes; mine takes 3 at most")


WIDE = "%w: f32[2, 1, 3, 1] = aten.view.default(%x, [2, 1, 3, 1])"
ROWS = "%y: f32[1, 6] = aten.reshape.default({}, [1, 6])"
VIEWED = "aten.view.default makes a tensor of 4 dimensions; mine takes 3 at most: so"


@pytest.mark.parametrize(
    ("nodes", "messages"),
    [
        (["%y: f32[1, 2, 3] = aten.mul.Tensor(%x, 2)"], []),
        ([WIDE, "%y: f32[1, 3, 1] = aten.sum.dim_IntList(%w, [0])"], [VIEWED]),
        ([WIDE, "%v: f32[1, 2, 3, 1] = aten.permute.default(%w, [1, 0, 2, 3])", ROWS.format("%v")], []),
        ([WIDE, ROWS.format("%w"), "%v: f32[2, 3] = aten.reshape.default(%w, [2, 3])"], [VIEWED]),
        ([WIDE.replace("%w", "%y")], [VIEWED]),
        (
            ["%y: f32[1, 1, 1] = aten.sum.dim_IntList(%z, [0])"],
            ["input 'z' has 4 dimensions; mine takes 3 at most: so"],
        ),
    ],
)
def test_more_dimensions_than_a_target_takes(lint_text, nodes, messages):
    body = "".join(f"  {node}\n" for node in nodes)
    text = f"graph(%x: f32[1, 2, 3]{', %z: f32[1, 1, 1, 1]' * ('%z' in body)}):\n{body}  return %y\n"
    found = lint_text(text, profile=profile(max_dimensions=3, because="so"))
    assert [one.message for one in found if one.code == "GL611"] == messages


def test_decisions_on_rules_go_before_those_of_the_other_target():
    made = own_targets(
        {"mine": ("", OwnTarget("onnx", rules={"GL1": OwnRule("keep"), "random-op": OwnRule("refuse", None, "never")}))}
    )["mine"]
    both = profile_of(["mine"], {"mine": made})
    assert {code for code in both.violations if code.startswith("GL1")} == set()
    assert both.actions["GL107"].fix == "keep"
    assert (both.actions["GL302"].fix, both.actions["GL302"].because) == ("refuse", "never")
    assert both.actions["GL301"] == profile_of(["onnx"]).actions["GL301"].__class__(
        "strip", "mine", profile_of(["onnx"]).actions["GL301"].because
    )
    assert both.losses.keys() == profile_of(["onnx"]).losses.keys()


def test_one_may_extend_another_and_the_smallest_of_several_counts():
    said = {
        "small": ("", OwnTarget("large", max_nodes=5)),
        "large": ("", OwnTarget("inductor", max_nodes=9, dtypes=("float32",), because="so")),
    }
    own = own_targets(said)
    assert own["small"].dtypes == ("float32",)
    assert own["small"].measured == load_target("inductor").measured
    both = profile_of(["large", "small", "coreml"], own)
    assert both.targets == ("large", "small", "coreml")
    assert (both.most_nodes.target, both.most_nodes.number) == ("small", 5)
    assert [one.target for one in both.dtypes] == ["large", "small", "coreml", "coreml"]
    assert json.loads(json.dumps(described(own["small"])))["extends"] == "large"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ('extends = "onx"', "targets.mine.extends: unknown target 'onx'; did you mean 'onnx'?"),
        ('extends = "mine"', "targets.mine.extends: a circle, mine -> mine: one of them has to extend another target"),
        ('extends = "other"', "targets.other.extends: a circle, mine -> other -> mine: one of them has to extend"),
        ('refuse-ops = ["aten.nonzer"]', "targets.mine.refuse-ops: no op that graphlint knows is called 'aten.nonzer'"),
        ('refuse-ops = ["nonzero"]', "is called 'nonzero', as graphs are printed; did you mean 'aten.nonzero'?"),
        ('allow-ops = ["aten::nonzero"]', "targets.mine.allow-ops: no op that graphlint knows is called"),
        ('refuse-ops = [" "]', "targets.mine.refuse-ops: a pattern is empty"),
        ('refuse-ops = "aten.nonzero"', 'targets."mine".refuse-ops: expected a list of strings, found the string'),
        ('refuse-ops = ["aten.abs"]\nallow-ops = ["aten.abs"]', "'aten.abs' is in refuse-ops and in allow-ops"),
        ('dtypes = ["flot32"]', "targets.mine.dtypes: unknown dtype 'flot32'; did you mean 'float32'"),
        ("dtypes = []", "targets.mine.dtypes: the list is empty"),
        ('max-nodes = "3"', "targets.\"mine\".max-nodes: expected an integer, found the string '3'"),
        ("max-nodes = -1", 'targets."mine".max-nodes: expected an integer of at least 0, found -1'),
        ('rules = { GL999 = { fix = "keep" } }', 'targets.mine.rules."GL999": there is no such rule; did you mean'),
        ('rules = { GL = { fix = "strip" } }', "'strip' is no fix of GL001 (unreadable-artifact)"),
        ('rules = { GL201 = { fix = "message" } }', "'message' is no fix of GL201 (async-assert)"),
        ('rules = { GL101 = { fix = "kep" } }', "unknown value 'kep', expected one of functionalize, keep, message"),
        ("rules = { GL101 = {} }", 'targets."mine".rules."GL101": there is no \'fix\' in it'),
        ('refuse-op = ["aten.abs"]', "unknown key 'targets.\"mine\".refuse-op'; did you mean 'refuse-ops'"),
        ('refuse-ops = ["*"]', "target: mine refuses aten._make_dep_token.default, with which the dependency tokens"),
    ],
)
def test_mistakes_are_named(folder, said, message):
    other = '\n[targets.other]\nextends = "mine"\n' if "other" in said else ""
    (folder / "graphlint.toml").write_text(f'target = "mine"\n[targets.mine]\n{said}\n{other}')
    result = run(folder, "clean.pt2")
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("error: ")
    assert "graphlint.toml: " in result.stderr
    assert message in result.stderr


def test_names_that_are_taken_or_no_names_are_refused(folder):
    for name, message in (
        (
            "onnx",
            "targets.onnx: graphlint has a target of that name; choose another name, with extends = 'onnx' in it",
        ),
        ("a,b", "targets.a,b: a target's name consists of letters, digits, _ and -"),
    ):
        (folder / "graphlint.toml").write_text(f'[targets."{name}"]\n')
        assert message in run(folder, "clean.pt2").stderr


def test_a_gate_in_a_few_lines(folder):
    found = run(folder, "--output-format", "concise", "key_value_cache.pt2")
    assert found.returncode == 1
    assert "GL601 aten.index_put_.default is refused by phone: the phone cannot" in found.stdout
    assert "GL609 there are 8 nodes; phone takes 7 at most: the phone cannot" in found.stdout
    assert run(folder, "clean.pt2").returncode == 0
    several = json.loads(run(folder, "--output-format", "json", ".").stdout)
    assert [[one["code"] for one in file["diagnostics"]] for file in several["files"]] == [[], ["GL601", "GL609"]]
    # The command line, a pattern of files and the call say it as well.
    assert run(folder, "--target", "onnx", "--output-format", "concise", "clean.pt2").returncode == 0
    (folder / "graphlint.toml").write_text(
        GATE.replace('target = "phone"', 'per-file-target = { "key*" = "phone" }')
        .replace("tool.graphlint.", "")
        .replace("[tool.graphlint]", "")
    )
    assert "GL609" in run(folder, "key_value_cache.pt2").stdout
    with pytest.raises(ConfigError, match=r"^targets.mine.dtypes: unknown dtype 'x'"):
        graphlint.lint(folder / "clean.pt2", isolated=True, target="mine", targets={"mine": {"dtypes": ["x"]}})
    with pytest.raises(ConfigError, match=r'unknown key \'targets."mine".max\''):
        graphlint.lint(folder / "clean.pt2", isolated=True, target="mine", targets={"mine": {"max": 2}})
    said = {"mine": {"max-nodes": 2}}
    result = graphlint.lint(folder / "key_value_cache.pt2", isolated=True, target="mine", targets=said, select="GL6")
    assert [one.code for one in result.diagnostics] == ["GL609"]


def test_kept_results_are_of_the_target_as_it_was_and_workers_get_it():
    settings = [
        resolver(targets={"mine": OwnTarget(**own)}).settings_for("model.pt2")
        for own in ({"max_nodes": 1}, {"max_nodes": 2}, {"because": "so"}, {"dtypes": ("bool",)}, {"max_nodes": 1})
    ]
    seals = [held_for(one) for one in settings]
    assert seals[0] == seals[4]
    assert len(set(seals)) == 4
    assert [pickle.loads(pickle.dumps(one)) for one in settings] == settings


def test_the_commands_know_it(folder):
    assert run(folder, "target", "phone").stdout.startswith("# phone: as executorch: the phone cannot\n")
    assert "Nodes: 7 at most (GL609): the phone cannot.\n" in run(folder, "target", "phone").stdout
    assert "- `aten.index_put*`: the phone cannot; " in run(folder, "target", "phone").stdout
    listed = run(folder, "targets").stdout
    assert listed == run(folder, "target").stdout
    assert "phone       as executorch: the phone cannot\n" in listed
    assert json.loads(run(folder, "target", "phone", "--output-format", "json").stdout)["max_nodes"] == 7
    unknown = run(folder, "target", "phon")
    assert (unknown.stderr, unknown.returncode) == ("error: unknown target 'phon'; did you mean 'phone'?\n", 2)
    assert run(folder, "target", "phone", "--isolated").returncode == 2
    shown = run(folder, "--show-settings").stdout
    assert shown.partition('[targets."phone"]\n')[2].startswith(
        'extends = "executorch"\nrefuse-ops = ["aten.index_put*"]\nallow-ops = []\n'
    )
    words = {"COMP_WORDS": "graphlint --target pho", "COMP_CWORD": "2", "_GRAPHLINT_COMPLETE": "bash_complete"}
    assert run(folder, **words).stdout == "plain,phone\n"


def test_severities_are_as_in_the_configuration():
    """The most specific selector counts, names are codes, and the decisions on the rule stay."""
    own = own_targets({
        "mine": ("", OwnTarget("coreml", severity={"ALL": "warning", "GL1": "error", "print": "note"})),
        "more": ("", OwnTarget("mine", severity={"GL104": "note"})),
    })  # fmt: skip
    mine, more, base = own["mine"], own["more"], load_target("coreml")
    severities = {rule.code: row_of(mine, rule).severity for rule in RULES}
    assert (severities["GL101"], severities["GL301"], severities["GL607"]) == ("error", "note", "warning")
    for rule in RULES:
        for target in (mine, more):
            assert msgspec.structs.replace(row_of(target, rule), severity=None) == row_of(base, rule)
    assert profile_of(["more"], own).severities == {**severities, "GL104": "note"}
    with pytest.raises(ConfigError, match=r"targets\.mine: severity: no rule is called 'GLX'"):
        own_targets({"mine": ("targets.mine", OwnTarget("coreml", severity={"GLX": "note"}))})
