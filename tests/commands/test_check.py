"""``graphlint check`` with a fake engine: exact output and exit statuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from graphlint.artifact.errors import FixValidationError
from graphlint.report.results import FileResult

CONCISE = "models.py:84: GL103 [*] writes (model.pt2)\n"
FOUND = "Found 1 error.\n[*] 1 fixable with the --fix option.\n"
REWRITTEN = "1 artifact was rewritten, hence exit status 1: review it and commit again.\n"


@pytest.fixture(autouse=True)
def artifact(engine):
    Path("model.pt2").touch()


@pytest.fixture
def violation(engine, finding):
    engine.results["model.pt2"] = FileResult("model.pt2", (finding(),), programs=("model",))


@pytest.fixture
def fixed(engine, finding):
    """A file that had two findings; one is left after the fix."""
    engine.results["model.pt2"] = FileResult(
        "model.pt2", (finding(code="GL301", applicability="unsafe"),), fixed=(finding(),), changed=True
    )


def outcome(result):
    return result.stdout, result.stderr, result.exit_code


def test_clean(run):
    assert outcome(run("model.pt2")) == ("All checks passed!\n", "", 0)


@pytest.mark.parametrize(
    "arguments", [(), ("check",), (".",), ("check", "model.pt2"), ("model.pt2",), ("./model.pt2",)]
)
def test_check_is_the_default_command(run, engine, arguments):
    assert run(*arguments).exit_code == 0
    assert [action for _, _, action in engine.calls] == ["check"]


def test_files_called_like_commands(run, engine):
    Path("check").mkdir()
    Path("check/a.pt2").touch()
    Path("rule").touch()
    run("./check", "./rule")
    run("check", "check", "rule")
    assert [path.replace("\\", "/") for path, _, _ in engine.calls] == ["check/a.pt2", "./rule", "check/a.pt2", "rule"]


def test_full(run, violation):
    assert outcome(run("model.pt2")) == (
        "GL103 [*] buffer-mutation: writes\n"
        "  --> models.py:84 in forward\n"
        "84 |     self.count.add_(1)\n"
        "  ::: model.pt2, node %add_\n"
        "   = help: --fix: becomes aten.add.Tensor\n"
        "\n" + FOUND,
        "",
        1,
    )


@pytest.mark.parametrize(
    ("arguments", "stdout", "status"),
    [
        pytest.param([], CONCISE + FOUND, 1, id="plain"),
        pytest.param(["--exit-zero"], CONCISE + FOUND, 0, id="exit-zero"),
        pytest.param(["--quiet"], CONCISE, 1, id="quiet"),
        pytest.param(["--statistics"], "1\tGL103\t[*] buffer-mutation\n" + FOUND, 1, id="statistics"),
        pytest.param(["--statistics", "-q"], "1\tGL103\t[*] buffer-mutation\n", 1, id="quiet-statistics"),
        pytest.param(["--fix-only"], "", 0, id="fix-only"),
        pytest.param(["--diff"], "", 0, id="diff"),
    ],
)
def test_exit_statuses_of_findings(run, violation, arguments, stdout, status):
    result = run("model.pt2", "--output-format", "concise", *arguments)
    assert (result.stdout, result.exit_code) == (stdout, status)


LEFT = "models.py:84: GL301 [!] writes (model.pt2)\n"
FIXED = "Fixed 1 finding in model.pt2\n"
COUNTS = "Found 2 errors (1 fixed, 1 remaining).\n[!] 1 fixable with --fix --unsafe-fixes.\n"


@pytest.mark.parametrize(
    ("arguments", "stdout", "status"),
    [
        pytest.param(["--fix"], LEFT + FIXED + COUNTS + REWRITTEN, 1, id="fix"),
        pytest.param(["--fix", "--no-exit-non-zero-on-fix"], LEFT + FIXED + COUNTS, 1, id="findings-still-fail"),
        pytest.param(["--fix-only"], FIXED + "Fixed 1 error.\n" + REWRITTEN, 1, id="fix-only"),
        pytest.param(["--fix-only", "--no-exit-non-zero-on-fix"], FIXED + "Fixed 1 error.\n", 0, id="fix-only-zero"),
        pytest.param(["--fix", "--exit-zero"], LEFT + FIXED + COUNTS, 0, id="exit-zero"),
        pytest.param(["--fix", "--quiet"], LEFT, 1, id="quiet"),
        pytest.param(
            ["--fix", "--show-fixes"],
            LEFT + "Fixed 1 error:\n- model.pt2:\n    1 x GL103 (buffer-mutation)\n\n" + COUNTS + REWRITTEN,
            1,
            id="show-fixes",
        ),
        pytest.param(
            ["--fix", "--no-unsafe-fixes"],
            LEFT.replace("[!] ", "") + FIXED + "Found 2 errors (1 fixed, 1 remaining).\n" + REWRITTEN,
            1,
            id="no-hint",
        ),
    ],
)
def test_fixing(run, engine, fixed, arguments, stdout, status):
    result = run("model.pt2", "--output-format", "concise", *arguments)
    assert outcome(result) == (stdout, "", status)
    assert [action for _, _, action in engine.calls] == ["fix"]


def test_a_changed_file_fails_even_with_nothing_left(run, engine, finding):
    engine.results["model.pt2"] = FileResult("model.pt2", fixed=(finding(),), changed=True)
    expected = FIXED + "Found 1 error (1 fixed, 0 remaining).\n"
    assert outcome(run("--fix", "model.pt2")) == (expected + REWRITTEN, "", 1)
    assert outcome(run("--fix", "--no-exit-non-zero-on-fix", "model.pt2")) == (expected, "", 0)


def test_diff(run, engine, finding):
    unsafe = finding(code="GL301", applicability="unsafe")
    engine.results["model.pt2"] = FileResult("model.pt2", (unsafe,), fixed=(finding(),), diff="-a\n+b\n")
    assert outcome(run("--diff", "--fix", "model.pt2")) == (
        "-a\n+b\n",
        "Would fix 1 finding (1 more with --unsafe-fixes).\n",
        1,
    )
    assert outcome(run("--diff", "-q", "model.pt2")) == ("-a\n+b\n", "", 1)
    assert run("--diff", "--exit-zero", "model.pt2").exit_code == 0
    assert {action for _, _, action in engine.calls} == {"diff"}


def test_a_missing_path_does_not_stop_the_others(run, violation):
    result = run("nope.pt2", "model.pt2", "--output-format", "concise")
    assert outcome(result) == (
        CONCISE + "Found 1 error (1 path could not be processed).\n[*] 1 fixable with the --fix option.\n",
        "error: nope.pt2: No such file or directory\n",
        2,
    )
    assert run("nope.pt2", "--exit-zero").exit_code == 2


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (FileResult("a.pt2", error="no space left"), "error: a.pt2: no space left\n"),
        (PermissionError(13, "Permission denied"), "error: a.pt2: Permission denied\n"),
        (FixValidationError("node %x is lost"), "error: a.pt2: node %x is lost\n"),
        (MemoryError(), "error: a.pt2: there is not enough memory to lint it\n"),
        (
            ZeroDivisionError("a\nb"),
            (
                "graphlint: internal error while linting a.pt2: ZeroDivisionError: a\\nb; "
                "this is a bug in graphlint, please report it\n"
            ),
        ),
        (
            RecursionError(),
            (
                "graphlint: internal error while linting a.pt2: RecursionError; "
                "this is a bug in graphlint, please report it\n"
            ),
        ),
    ],
    ids=["error", "os", "graphlint", "memory", "bug", "recursion"],
)
def test_a_failure_does_not_stop_the_others(run, engine, violation, problem, message):
    Path("a.pt2").touch()
    engine.results["a.pt2"] = problem
    result = run("--output-format", "concise")
    assert outcome(result)[1:] == (message, 2)
    assert result.stdout.startswith(CONCISE)
    assert "All checks passed" not in run("a.pt2").stdout


def test_verbose_shows_where_a_bug_is(run, engine):
    engine.results["model.pt2"] = ZeroDivisionError("x")
    assert "Traceback (most recent call last)" in run("-v", "model.pt2").stderr
    assert "Traceback" not in run("model.pt2").stderr


def test_an_interrupt_ends_the_run_quietly(run, engine):
    engine.results["model.pt2"] = KeyboardInterrupt()
    assert outcome(run("model.pt2")) == ("", "graphlint: interrupted\n", 130)


def test_a_bug_outside_of_linting_shows_no_traceback(run, monkeypatch):
    monkeypatch.setattr("graphlint.run.pool.discover", lambda *_: 1 / 0)
    assert outcome(run("model.pt2")) == (
        "",
        (
            "graphlint: internal error: ZeroDivisionError: division by zero; "
            "this is a bug in graphlint, please report it\n"
        ),
        2,
    )


def test_no_artifacts(run, engine):
    Path("empty").mkdir()
    warning = "warning: no .pt2 files in 'empty', apart from files that are excluded or that git ignores\n"
    assert outcome(run("empty")) == ("No artifacts: nothing was checked.\n", warning, 0)
    assert outcome(run("empty", "-q")) == ("", "", 0)
    assert engine.calls == []


def test_notes(run, engine):
    engine.results["model.pt2"] = FileResult("model.pt2", notes=("nothing to lint: compiled code only",))
    note = "note: model.pt2: nothing to lint: compiled code only\n"
    assert outcome(run("model.pt2")) == ("All checks passed!\n", note, 0)
    assert outcome(run("model.pt2", "-q")) == ("", "", 0)


def test_verbose(run, engine, violation):
    Path("z.pt2").touch()
    engine.results["z.pt2"] = FileResult("z.pt2", programs=("a", "b"))
    assert run("-v").stderr == (
        "model.pt2: linted 1 program (model): 1 finding left\nz.pt2: linted 2 programs (a, b): 0 findings left\n"
    )


def test_json(run, violation):
    result = run("nope.pt2", "model.pt2", "--output-format", "json")
    document = json.loads(result.stdout)
    assert [entry["path"] for entry in document["files"]] == ["nope.pt2", "model.pt2"]
    assert document["files"][0]["error"] == "No such file or directory"
    assert document["summary"]["findings"] == 1
    assert result.exit_code == 2
    assert json.loads(run("--statistics", "--output-format", "json").stdout)[0]["code"] == "GL103"
    assert json.loads(run("--fix-only", "--output-format", "json").stdout)["summary"]["findings"] == 0


def test_output_format_from_the_environment_and_the_configuration(run, violation):
    Path("graphlint.toml").write_text('output-format = "concise"')
    assert run("-q").stdout == CONCISE
    assert run("-q", GRAPHLINT_OUTPUT_FORMAT="grouped").stdout.startswith("model.pt2:\n")
    assert run("-q", "--output-format", "concise", GRAPHLINT_OUTPUT_FORMAT="grouped").stdout == CONCISE
    assert run("-q", "--isolated").stdout.startswith("GL103 [*] buffer-mutation")
    result = run(GRAPHLINT_OUTPUT_FORMAT="xml")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: invalid value for 'GRAPHLINT_OUTPUT_FORMAT': unknown value 'xml'")


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges")
def test_output_file(run, violation):
    Path("report.txt").write_text("old")
    Path("link.txt").symlink_to("report.txt")
    result = run("--output-format", "concise", "-o", "link.txt", "model.pt2")
    assert outcome(result) == ("", "", 1)
    assert Path("report.txt").read_text() == CONCISE + FOUND
    assert Path("link.txt").is_symlink()
    assert sorted(path.name for path in Path().iterdir()) == ["link.txt", "model.pt2", "report.txt"]


def test_an_output_file_that_cannot_be_written(run, violation):
    result = run("-o", "no/where.txt", "model.pt2")
    assert outcome(result) == ("", "error: cannot write no/where.txt: No such file or directory\n", 2)


@pytest.mark.parametrize(
    ("arguments", "colored"),
    [
        (["--color", "always"], True),
        (["--color", "never"], False),
        (["--color", "auto"], False),
        ([], False),
    ],
)
def test_color(run, violation, arguments, colored):
    assert ("\x1b[" in run("model.pt2", *arguments).stdout) is colored


def test_color_environment(run, violation):
    assert "\x1b[" in run("model.pt2", FORCE_COLOR="1").stdout
    assert "\x1b[" in run("nope", FORCE_COLOR="1").stderr
    assert "\x1b[" not in run("model.pt2", FORCE_COLOR="1", NO_COLOR="1").stdout
    assert "\x1b[" not in run("model.pt2", "--color", "never", FORCE_COLOR="1").stdout
    assert "\x1b[" in run("model.pt2", "--color", "always", NO_COLOR="1").stdout
    run("model.pt2", "-o", "report.txt", FORCE_COLOR="1")
    assert "\x1b[" not in Path("report.txt").read_text()
    assert "\x1b[" not in run("model.pt2", "--color", "always", "--output-format", "json").stdout
