"""``graphlint show`` and ``graphlint diff`` as commands: output, errors, exit statuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphlint.cli.clicked import app

ARTIFACTS = Path(__file__).parent / "artifacts" / "2.13.0"
CUT_SHORT = "the file is cut short: the zip directory at its end is missing (truncated download or copy?)"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("key_value_cache", "cond_mutation", "two_programs", "clean"):
        shutil.copy(ARTIFACTS / f"{name}.pt2", tmp_path / f"{name}.pt2")
        (tmp_path / f"{name}.pt2").chmod(0o644)
    (tmp_path / "graphlint.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(folder):
    def run(*arguments):
        result = CliRunner().invoke(app, arguments, prog_name="graphlint")
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.stdout, result.stderr, result.exit_code

    return run


def test_the_graph_with_its_finding_in_the_margin(run):
    assert run("show", "key_value_cache.pt2") == (
        """\
key_value_cache.pt2, program model: 8 nodes, 1 finding
loads in torch 2.9 to 2.15

        | program TRAINING
        | graph(
        |     %p_key_weight: f32[4, 4] grad = parameter "key.weight",
        |     %p_key_bias: f32[4] grad = parameter "key.bias",
        |     %b_cache: f32[1, 8, 4] = buffer "cache",
        |     %x: f32[1, 2, 4],
        |     %position: i64[2]):
        |   %linear: f32[1, 2, 4] = aten.linear.default(%x, %p_key_weight, %p_key_bias)
        |   %detach: f32[1, 2, 4] = aten.detach.default(%linear)
        |   %view: f32[2, 4] = aten.view.default(%detach, [2, 4])
GL103   |   %index_put_: f32[1, 8, 4] = aten.index_put_.default(%b_cache, [None, %position?], %view)
        |     ^ [*] writes buffer 'cache' (models.py:129 in forward)
        |   %transpose: f32[1, 4, 8]{32, 1, 4} = aten.transpose.int(%index_put_, 1, 2)
        |   %matmul: f32[1, 2, 8] = aten.matmul.default(%x, %transpose)
        |   %softmax: f32[1, 2, 8] = aten.softmax.int(%matmul, -1)
        |   %matmul_1: f32[1, 2, 4] = aten.matmul.default(%softmax, %index_put_)
        |   return %matmul_1
""",
        "",
        0,
    )


def test_a_node_in_a_branch_and_what_is_next_to_it(run):
    assert run("show", "cond_mutation.pt2", "--node", "%mul_") == (
        """\
cond_mutation.pt2, program model: 6 nodes, 1 finding
loads in torch 2.9 to 2.15

        | program TRAINING
        | graph(... 1 input):
        |   ... 2 nodes
        |   %getitem: f32[3, 4] = higher_order.cond(%gt, @true_graph_0, @false_graph_0, [%x])
        |     @true_graph_0(... 1 input):
        |       %add: f32[3, 4] = aten.add.Tensor(%x, 1)
GL101 > |       %mul_: f32[3, 4] = aten.mul_.Tensor(%add, 2)
        |         ^ [*] writes intermediate tensor %add (models.py:187 in forward)
        |       return %mul_
        |   ... 1 node
""",
        "",
        0,
    )


def test_further_around_there_is_more(run):
    less, more = (run("show", "key_value_cache.pt2", "--node", "view", "--around", n)[0] for n in ("0", "2"))
    assert [line for line in less.splitlines() if "%" in line] == [
        "      > |   %view: f32[2, 4] = aten.view.default(%detach, [2, 4])"
    ]
    assert "%linear" in more
    assert "%transpose" in more
    assert "%matmul:" not in more


def test_settings_decide_what_is_found(run, folder):
    (folder / "graphlint.toml").write_text('ignore = ["GL103"]\n')
    assert "GL103" not in run("show", "key_value_cache.pt2")[0]
    assert "GL103" in run("show", "key_value_cache.pt2", "--isolated")[0]
    assert "GL103" not in run("show", "key_value_cache.pt2", "--isolated", "--no-findings")[0]


def test_lines_fit_a_hundred_columns(run):
    for path in sorted(ARTIFACTS.glob("*.pt2")):
        text, _, status = run("show", str(path), "--isolated")
        assert status == 0
        assert max(len(line) for line in text.splitlines()[1:]) <= 100


def test_programs_one_after_the_other_or_one_of_them(run):
    text = run("show", "two_programs.pt2")[0]
    assert [line for line in text.splitlines() if line.startswith("two")] == [
        "two_programs.pt2, program encoder: 4 nodes, 1 finding",
        "two_programs.pt2, program decoder: 4 nodes",
    ]
    one = run("show", "two_programs.pt2", "--program", "decoder")[0]
    assert one in text
    assert "encoder" not in one
    # A node decides by itself which program it is in.
    assert run("show", "two_programs.pt2", "--node", "gelu")[0].startswith("two_programs.pt2, program decoder")


def test_colors_on_demand_only(run):
    assert "\x1b[" not in run("show", "key_value_cache.pt2")[0]
    assert "\x1b[31m\x1b[1mGL103\x1b[0m" in run("show", "key_value_cache.pt2", "--color", "always")[0]
    assert "\x1b[" not in run("show", "key_value_cache.pt2", "--color", "always", "--format", "json")[0]


def test_json_has_nodes_edges_writes_and_findings(run):
    document = json.loads(run("show", "cond_mutation.pt2", "--format", "json")[0])
    assert (document["version"], document["path"]) == (1, "cond_mutation.pt2")
    [program] = document["programs"]
    assert (program["name"], program["dialects"], program["torch_version"]) == ("model", ["TRAINING"], "2.13.0+cpu")
    nodes = program["nodes"]
    assert [node["id"] for node in nodes] == list(range(len(nodes)))
    ids = {node["text"]: node["id"] for node in nodes if node["kind"] == "node"}
    [written] = [node for node in nodes if node["op"] == "aten.mul_.Tensor"]
    assert written["graph"] == ["cond", "true_graph_0"]
    assert written["source"]["line"] == 187
    assert written["values"] == [
        {
            "name": "mul_",
            "dtype": "float32",
            "shape": [3, 4],
            "stride": [4, 1],
            "device": "cpu",
            "requires_grad": False,
        }
    ]
    add = ids["%add: f32[3, 4] = aten.add.Tensor(%x, 1)"]
    assert {"source": add, "target": written["id"], "value": "add", "kind": "value"} in program["edges"]
    assert {edge["kind"] for edge in program["edges"]} == {"value", "call", "return"}
    [write] = program["writes"]
    assert (write["node"], write["shown_by"], write["read_by"]) == (written["id"], [add, written["id"]], [])
    [finding] = program["findings"]
    assert (finding["code"], finding["position"]) == ("GL101", written["position"])


def test_json_of_a_part(run):
    document = json.loads(run("show", "cond_mutation.pt2", "--node", "sum_1", "--format", "json")[0])
    [program] = document["programs"]
    assert [node["name"] for node in program["nodes"]] == ["x", "sum_1", "gt"]
    assert len(program["edges"]) == 2
    assert (program["writes"], program["findings"]) == ([], [])


def test_pictures_to_a_file(run, folder):
    out = run("show", "key_value_cache.pt2", "--node", "aten.index_put_.default", "-o", "cache.svg")
    assert out == ("", "", 0)
    root = ET.fromstring((folder / "cache.svg").read_text())
    assert root.find("{http://www.w3.org/2000/svg}title").text == "What is around %index_put_ (aten.index_put_.default)"
    dot, _, status = run("show", "two_programs.pt2", "--format", "dot")
    assert status == 0
    assert [line for line in dot.splitlines() if line.startswith("digraph")] == [
        'digraph "encoder" {',
        'digraph "decoder" {',
    ]


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (["-o", "graph.svg"], "<svg "),
        (["-o", "graph.GV"], "digraph "),
        (["-o", "graph.dot"], "digraph "),
        (["-o", "graph.json"], "{"),
        (["-o", "graph.txt"], "key_value_cache.pt2, program model: "),
        (["-o", "graph"], "key_value_cache.pt2, program model: "),
        (["-o", "graph.svg", "--format", "text"], "key_value_cache.pt2, program model: "),
    ],
)
def test_a_file_is_what_its_name_says(run, folder, arguments, begins):
    assert run("show", "key_value_cache.pt2", *arguments) == ("", "", 0)
    assert (folder / arguments[1]).read_text().startswith(begins)


def truncated(folder):
    data = (folder / "clean.pt2").read_bytes()
    (folder / "broken.pt2").write_bytes(data[: len(data) // 2])
    return "broken.pt2"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope.pt2"], "error: nope.pt2: cannot be read: No such file or directory\n"),
        ([truncated], f"error: broken.pt2: {CUT_SHORT}\n"),
        (["clean.pt2", "--node", "linaer"],
         "error: clean.pt2: there is no node, value or op 'linaer'; did you mean 'linear'?\n"),
        (["two_programs.pt2", "--program", "decode"],
         "error: two_programs.pt2: there is no program 'decode'; did you mean 'decoder'?\n"),
        (["two_programs.pt2", "--program", "zzz"],
         "error: two_programs.pt2: there is no program 'zzz'; there are: encoder, decoder\n"),
        (["two_programs.pt2", "--format", "svg"],
         "error: two_programs.pt2: a picture shows one program: choose --program encoder or --program decoder\n"),
        (["clean.pt2", "-o", "no/such/folder"],
         "error: cannot write no/such/folder: No such file or directory\n"),
        (["clean.pt2", "--config", "nope.toml"],
         ("error: invalid value for '--config': 'nope.toml' is neither a configuration file nor TOML like "
          "'unsafe-fixes = true' (see `graphlint show --help`)\n")),
    ],
)  # fmt: skip
def test_what_cannot_be_shown(run, folder, arguments, message):
    words = [one(folder) if callable(one) else one for one in arguments]
    assert run("show", *words) == ("", message, 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean.pt2", "--around", "2"], "--around goes with --node"),
        (
            ["clean.pt2", "--isolated", "--config", "clean.pt2"],
            "--config clean.pt2 and --isolated cannot be used together",
        ),
        (
            ["clean.pt2", "--node", "x", "--around", "-1"],
            "invalid value for '--around': expected a number of at least 0, found '-1'",
        ),
    ],
)
def test_wrong_usage(run, arguments, message):
    _, errors, status = run("show", *arguments)
    assert message in errors
    assert status == 2


def test_a_graph_too_large_for_a_picture_says_what_to_do(run, folder):
    sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
    try:
        import programs
    finally:
        sys.path.pop(0)
    programs.write_artifact(folder / "large.pt2", 2500, 10)
    _, errors, status = run("show", "large.pt2", "--format", "svg")
    assert errors.endswith("choose a part with --node, or use --format dot\n")
    assert status == 2
    assert run("show", "large.pt2", "--node", "v1000", "--format", "svg")[2] == 0


def test_writes_that_reach_too_much_say_what_to_do(run, folder, monkeypatch):
    monkeypatch.setattr("graphlint.cli.show._MOST_REACHED", 1)
    for output_format in ("json", "dot", "svg"):
        out, err, status = run("show", "key_value_cache.pt2", f"--format={output_format}")
        assert (out, status) == ("", 2)
        assert err.startswith("error: key_value_cache.pt2: the writes reach 3 values, which are too many to show (")
        assert err.endswith("choose a part with --node, or use --format text\n")
        assert run("show", "key_value_cache.pt2", f"--format={output_format}", "--node=softmax", "--around=0")[2] == 0
    assert run("show", "key_value_cache.pt2")[2] == 0


def test_diff_of_what_fix_did(run, folder):
    shutil.copy("key_value_cache.pt2", "fixed.pt2")
    run("check", "--fix", "fixed.pt2")
    assert run("diff", "key_value_cache.pt2", "fixed.pt2") == (
        """\
key_value_cache.pt2 -> fixed.pt2

Interface
  ~ dialect: TRAINING -> ATEN
  + output buffer "cache": f32[1, 8, 4]

Graph: 1 changed, 7 unchanged
  ~ %index_put_ = aten.index_put.default    models.py:129
      op: aten.index_put_.default -> aten.index_put.default
""",
        "Found 2 differences in the interface, 1 difference in the graph.\n",
        1,
    )
    assert run("diff", "-q", "key_value_cache.pt2", "fixed.pt2") == ("", "", 1)
    assert run("diff", "fixed.pt2", "fixed.pt2") == ("", "1 program compared: no difference.\n", 0)
    assert run("diff", "-q", "fixed.pt2", "fixed.pt2") == ("", "", 0)


def test_diff_as_json(run, folder):
    shutil.copy("cond_mutation.pt2", "fixed.pt2")
    run("check", "--fix", "fixed.pt2")
    text, errors, status = run("diff", "--format", "json", "cond_mutation.pt2", "fixed.pt2")
    document = json.loads(text)
    assert (document["version"], document["equal"], errors, status) == (1, False, "", 1)
    [program] = document["programs"]
    assert program["interface"] == [
        {"kind": "changed", "what": "dialect", "name": "", "old": "TRAINING", "new": "ATEN"}
    ]
    [change] = program["changes"]
    assert change["graph"] == ["cond", "true_graph_0"]
    assert change["details"] == [{"what": "op", "old": "aten.mul_.Tensor", "new": "aten.mul.Tensor"}]
    assert (change["new"]["text"], change["new"]["source"]["line"]) == (
        "%mul_: f32[3, 4] = aten.mul.Tensor(%add, 2)",
        187,
    )


def test_diff_of_artifacts_with_several_programs(run, folder):
    shutil.copy("two_programs.pt2", "fixed.pt2")
    run("check", "--fix", "fixed.pt2")
    text, errors, status = run("diff", "two_programs.pt2", "fixed.pt2")
    assert status == 1
    assert "\nProgram encoder\n" in text
    assert text.endswith("\nEqual: decoder\n")
    assert errors == "Found 3 differences in the interface, 3 differences in the graph.\n"
    assert run("diff", "two_programs.pt2", "fixed.pt2", "--program", "decoder")[2] == 0
    text, _, status = run("diff", "two_programs.pt2", "clean.pt2")
    assert (text, status) == (
        "two_programs.pt2 -> clean.pt2\n+ program model\n- program encoder\n- program decoder\n",
        1,
    )


def test_one_program_each_is_compared_whatever_the_name(run):
    text, _, status = run("diff", "two_programs.pt2", "clean.pt2", "--program", "decoder")
    assert (text, status) == ("two_programs.pt2 -> clean.pt2\n- program decoder\n", 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean.pt2", "nope.pt2"], "error: nope.pt2: cannot be read: No such file or directory\n"),
        ([truncated, "clean.pt2"], f"error: broken.pt2: {CUT_SHORT}\n"),
        (["clean.pt2", "clean.pt2", "--program", "modell"],
         "error: neither artifact has a program 'modell'; did you mean 'model'?\n"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared(run, folder, arguments, message):
    words = [one(folder) if callable(one) else one for one in arguments]
    assert run("diff", *words) == ("", message, 2)


@pytest.mark.parametrize("command", ["show", "diff", "git"])
def test_help_has_examples(run, command):
    text, _, status = run(command, "--help")
    assert f"  graphlint {command} " in text.partition("Examples:")[2]
    assert status == 0


DRAWING = {"report.graphs.drawing", "report.graphs.svg"}
"""What draws; results can hold a picture, so that its type is always there."""


@pytest.mark.parametrize(
    ("arguments", "unused"),
    [
        (["clean.pt2"], {*DRAWING, "report.graphs.listing", "report.comparison", "cli.show", "cli.diff", "cli.git"}),
        (["show", "clean.pt2"], {*DRAWING, "report.comparison", "cli.git"}),
        (["diff", "clean.pt2", "clean.pt2"], {*DRAWING, "report.graphs.listing", "cli.git", "rules.linting"}),
        (["git", "textconv", "clean.pt2"], {*DRAWING, "report.graphs.listing", "report.comparison", "rules.linting"}),
    ],
)
def test_only_what_is_needed_is_loaded(folder, arguments, unused):
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
        "from graphlint.cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, capture_output=True, text=True, timeout=60
    )
    loaded = set(done.stderr.splitlines()[-1].split())
    assert "graphlint.cli.main" in loaded
    assert not loaded & {f"graphlint.{name}" for name in unused}
    assert not loaded & {"torch", "subprocess", "pathlib"}


@pytest.mark.parametrize("arguments", [["show", "clean.pt2"], ["diff", "clean.pt2", "clean.pt2"]])
def test_configured_limits_hold(folder, arguments):
    (folder / "graphlint.toml").write_text("[limits]\nnodes = 2\n")
    done = subprocess.run([sys.executable, "-m", "graphlint", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert "the program has 4 nodes, and the limit is 2: raise limits.nodes" in done.stderr
