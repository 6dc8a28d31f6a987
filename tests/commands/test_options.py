"""How the command line's options reach the engine, and the other ways to call graphlint."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from graphlint import __version__
from graphlint.report.results import FileResult


@pytest.fixture(autouse=True)
def artifact(engine):
    Path("model.pt2").touch()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "GL001 GL101 GL103 GL301"),
        (["--select", "GL103"], "GL001 GL103"),
        (["--select", "GL1,print"], "GL001 GL101 GL103 GL301"),
        (["--select", "GL1", "--select", "GL5"], "GL001 GL101 GL103 GL501"),
        (["--select", "ALL", "--ignore", "GL1,GL001"], "GL301 GL501"),
        (["--ignore", "buffer-mutation"], "GL001 GL101 GL301"),
        (["--extend-select", "GL501"], "GL001 GL101 GL103 GL301 GL501"),
        (["--config", "select = ['GL301']"], "GL001 GL301"),
        (["--config", "select = ['GL301']", "--select", "GL101"], "GL001 GL101"),
        (["--config", "select = ['GL301']", "--extend-select", "GL101"], "GL001 GL101 GL301"),
    ],
)
def test_selection(run, engine, arguments, expected):
    assert run(*arguments).exit_code == 0
    assert " ".join(sorted(engine.settings.enabled)) == expected


def test_fix_settings(run, engine):
    run("--fix", "--unsafe-fixes", "--token-sink", "output", "--no-provenance", "--config", 'unfixable = ["GL1"]')
    assert not engine.settings.provenance
    assert engine.settings.unsafe_fixes
    assert engine.settings.token_sink == "output"
    assert engine.settings.fixable == {"GL001", "GL301", "GL501"}


def test_unfixable_rules_are_not_marked_fixable(run, engine, finding):
    engine.results["model.pt2"] = FileResult("model.pt2", (finding(), finding(code="GL101")))
    result = run("--config", 'unfixable = ["GL103"]', "--output-format", "concise")
    assert result.stdout == (
        "models.py:84: GL103 writes (model.pt2)\n"
        "models.py:84: GL101 [*] writes (model.pt2)\n"
        "Found 2 errors.\n"
        "[*] 1 fixable with the --fix option.\n"
    )


def test_unsafe_fixes_are_marked_per_artifact(run, engine, finding):
    for name in ("a", "b"):
        Path(name).mkdir()
        path = str(Path(name, "x.pt2"))
        Path(path).touch()
        engine.results[path] = FileResult(path, (finding(path, "GL301", "unsafe"),))
    Path("a/graphlint.toml").write_text("unsafe-fixes = true")
    lines = run("a", "b", "--output-format", "concise").stdout.splitlines()
    assert lines[0].startswith("models.py:84: GL301 [*] writes (")
    assert lines[1].startswith("models.py:84: GL301 [!] writes (")
    assert lines[3:] == ["[*] 1 fixable with the --fix option.", "[!] 1 fixable with --fix --unsafe-fixes."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--select", "GL130"],
            "invalid value for '--select': no rule is called 'GL130'; did you mean 'GL103' or 'GL301'?",
        ),
        (["--ignore", "prnt"], "invalid value for '--ignore': no rule is called 'prnt'; did you mean 'print'?"),
        (
            ["--select", ""],
            "invalid value for '--select': expected the code or the name of a rule, or ALL, found nothing",
        ),
        (["--target", "onx"], "invalid value for '--target': unknown target 'onx'; did you mean 'onnx'?"),
        (["init", "--target", "onx"], "invalid value for '--target': unknown target 'onx'; did you mean 'onnx'?"),
        (["-j", "0"], "invalid value for '--jobs': expected a number of at least 1, found '0'"),
        (["-j", "x"], "invalid value for '--jobs': expected a number of at least 1, found 'x'"),
        (
            ["--color", "allways"],
            "invalid value for '--color': unknown value 'allways', expected one of auto, always, never; did you",
        ),
        (["completion", "ksh"], "invalid value for 'SHELL': unknown value 'ksh', expected one of bash, zsh, fish"),
        (["--format", "jso"], "invalid value for '--output-format': unknown value 'jso', expected one of full"),
        (
            ["--config", "nope.toml"],
            "invalid value for '--config': 'nope.toml' is neither a configuration file nor TOML like",
        ),
        (["--config", "a ="], "invalid value for '--config': not valid TOML: Invalid value"),
        (["--config", "selct = 1"], "invalid value for '--config': unknown key 'selct'; did you mean 'select'"),
        (["--config", "select = ['x']"], "invalid value for '--config': select: no rule is called 'x'"),
        (["--config", "target = 'x'"], "invalid value for '--config': target: unknown target 'x'"),
        (
            ["--config", "a.toml", "--config", "b.toml"],
            "invalid value for '--config': expected one configuration file, found 2: a.toml, b.toml",
        ),
        (["--config", "a.toml", "--isolated"], "--config a.toml and --isolated cannot be used together"),
        (["-o", "x", "--format", "json=y"], "-o/--output-file goes with exactly one format"),
        (["-q", "-v"], "--quiet and --verbose cannot be used together"),
        (["--fxi"], "no such option '--fxi'; did you mean '--fix'"),
        (["rule", "a", "b"], "got unexpected extra argument (b)"),
    ],
)
def test_errors_of_usage_look_alike(run, engine, arguments, message):
    """One line: which option, what is wrong with it, where to read more."""
    Path("a.toml").touch()
    Path("b.toml").touch()
    result = run(*arguments)
    [line] = result.stderr.splitlines()
    assert line.startswith(f"error: {message}")
    assert re.search(r" \(see `graphlint( \w+)? --help`\)$", line)
    assert (result.stdout, result.exit_code) == ("", 2)
    assert engine.calls == []


@pytest.mark.parametrize("command", [["check"], ["rule", "GL103"], ["rules"], ["target", "onnx"], ["targets"]])
@pytest.mark.parametrize("option", ["--format", "--output-format"])
def test_both_names_of_the_format_are_one_option(run, command, option):
    result = run(*command, option, "json")
    assert (json.loads(result.stdout) is not None, result.exit_code) == (True, 0)


def test_targets_are_listed_like_rules(run):
    assert run("targets").stdout == run("target").stdout
    assert run("targets").stdout.startswith("functional ")


def test_a_broken_configuration_is_met_before_anything_is_touched(run, engine):
    Path("z").mkdir()
    Path("z/x.pt2").touch()
    Path("z/graphlint.toml").write_text("selct = 1")
    result = run("--fix")
    assert result.stderr.startswith("error: ")
    assert result.stderr.endswith("graphlint.toml: unknown key 'selct'; did you mean 'select' or 'exact'?\n")
    assert result.exit_code == 2
    assert engine.calls == []


def test_exclude(run):
    for name in ("a", "b", "venv"):
        Path(name).mkdir()
        Path(name, "x.pt2").touch()

    def files(*arguments: str) -> list[str]:
        return run("--show-files", *arguments).stdout.replace("\\", "/").splitlines()

    assert files() == ["a/x.pt2", "b/x.pt2", "model.pt2"]
    assert files("--exclude", "a,b/*.pt2") == ["model.pt2", "venv/x.pt2"]
    assert files("--extend-exclude", "a") == ["b/x.pt2", "model.pt2"]
    assert files("venv/x.pt2", "model.pt2") == ["venv/x.pt2", "model.pt2"]
    assert files("venv/x.pt2", "model.pt2", "--force-exclude") == ["model.pt2"]
    Path("graphlint.toml").write_text("force-exclude = true")
    assert files("venv/x.pt2", "model.pt2") == ["model.pt2"]
    assert files("venv/x.pt2", "model.pt2", "--no-force-exclude") == ["venv/x.pt2", "model.pt2"]


def test_show_files_lints_nothing(run, engine):
    Path("a\nb.pt2").touch()
    result = run("--show-files", "nope", ".")
    assert (result.stdout, result.stderr) == ("a\\nb.pt2\nmodel.pt2\n", "error: nope: No such file or directory\n")
    assert result.exit_code == 2
    assert engine.calls == []


def test_show_settings(run, engine):
    Path("graphlint.toml").write_text(
        'select = ["GL103"]\nexclude = ["a\\"b"]\nper-file-ignores = { "m*.pt2" = ["GL1"] }\n'
        '[limits]\nnodes = 7\n[ops]\n"my.op_" = { writes = ["0"] }'
    )
    cache = str(Path(".graphlint_cache").absolute()).replace("\\", "\\\\")
    result = run("--show-settings")
    assert result.stdout == (
        "# Resolved settings for: model.pt2\n"
        f"# Configuration file: {Path('graphlint.toml').absolute()}\n"
        'select = ["GL001"]\n'
        'fixable = ["GL001", "GL101", "GL103", "GL301", "GL501"]\n'
        "unsafe-fixes = false\n"
        "exact = false\n"
        'fail-on = "warning"\n'
        'target = ["functional"]\n'
        'requires-torch = ""\n'
        'exclude = ["a\\"b"]\n'
        "force-exclude = false\n"
        "respect-gitignore = true\n"
        'output-format = "full"\n'
        "step-summary = true\n"
        "source-roots = []\n"
        'baseline = ""\n'
        f'cache-dir = "{cache}"\n'
        "\n"
        "[per-file-ignores]\n"
        '"m*.pt2" = ["GL101", "GL103"]\n'
        "\n"
        "[per-file-target]\n"
        "\n"
        "[severity]\n"
        "\n"
        "[fix]\n"
        'token-sink = "buffer"\n'
        'state = "module"\n'
        "provenance = true\n"
        "\n"
        "[limits]\n"
        "members = 200000\n"
        "program-bytes = 536870912\n"
        "config-bytes = 67108864\n"
        "pickle-bytes = 8388608\n"
        "ratio = 200\n"
        "nodes = 7\n"
        "nesting = 100\n"
        "\n"
        '[ops."my.op_"]\n'
        'writes = ["0"]\n'
        "aliases = []\n"
        "random = false\n"
        "effect = false\n"
        'schema = ""\n'
    )
    assert result.exit_code == 0
    assert engine.calls == []


def test_version(run):
    for option in ("--version", "-V"):
        assert run(option).stdout == f"graphlint {__version__}\n"


def test_help(run):
    text = run("--help").stdout
    assert text.startswith(
        "Usage: graphlint [check] [OPTIONS] [PATHS]...\n       graphlint init [OPTIONS]\n"
        "       graphlint restore [OPTIONS] PATHS...\n       graphlint baseline [OPTIONS] [PATHS]...\n"
    )
    assert run("-h").stdout == text
    sections = ["Examples:", "Commands:", "Fixing:", "Rule selection:", "File selection:", "Output:", "Exit status:"]
    assert [line for line in text.splitlines() if line in sections] == sections
    options = run("check", "--help").stdout
    assert options.startswith("Usage: graphlint check [OPTIONS] [PATHS]...\n")
    assert "--exit-non-zero-on-fix / --no-exit-non-zero-on-fix" in options
    assert run("model.pt2", "--help").stdout == options


def test_rule_list(run):
    assert run("rule").stdout == (
        "GL001  unreadable-artifact  on   [ ]  Summary.\n"
        "GL101  in-place-op          on   [*]  Summary.\n"
        "GL103  buffer-mutation      on   [*]  Summary.\n"
        "GL301  print                on   [!]  Summary.\n"
        "GL501  training-dialect     off  [ ]  Summary.\n"
        "\n"
        "on: enabled by default.  [*]: fixed by --fix, [!]: by --fix with one more option, [ ]: not fixable.\n"
    )
    assert [rule["code"] for rule in json.loads(run("rule", "--output-format", "json").stdout)] == [
        "GL001",
        "GL101",
        "GL103",
        "GL301",
        "GL501",
    ]


@pytest.mark.parametrize("wanted", ["GL101", "in-place-op", "gl101"])
def test_rule(run, wanted):
    result = run("rule", wanted)
    assert result.stdout == (
        "# in-place-op (GL101)\n\n"
        "Summary.\n\n"
        "Enabled by default. Severity: error. A fix is sometimes available.\n\n"
        "## What it does\nThis.\n"
    )
    assert result.exit_code == 0


def test_rule_that_is_off_and_fixes(run):
    assert "Off by default: enable it with --extend-select. Severity: note. There is no fix." in (
        run("rule", "GL501").stdout
    )
    assert "An unsafe fix is always available." in run("rule", "print").stdout


def test_rule_as_json(run):
    assert json.loads(run("rule", "GL103", "--output-format", "json").stdout) == {
        "url": "https://github.com/graphlint/graphlint/blob/main/lint/RULES.md#gl103-buffer-mutation",
        "code": "GL103",
        "name": "buffer-mutation",
        "severity": "error",
        "enabled_by_default": True,
        "fix": "safe",
        "fix_sometimes": False,
        "option": None,
        "summary": "Summary.",
        "documentation": "## What it does\nThis.",
    }


def test_unknown_rule(run):
    result = run("rule", "bufer-mutation")
    assert result.stderr == "error: no rule is called 'bufer-mutation'; did you mean 'buffer-mutation'?\n"
    assert (result.stdout, result.exit_code) == ("", 2)
