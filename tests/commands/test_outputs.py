"""Several reports of one run, and where each goes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphlint.cli.reports import report_root, source_address
from graphlint.report.formats.registry import FORMATS
from graphlint.report.results import FileResult

CONCISE = "models.py:84: GL103 [*] writes (model.pt2)\n"
FOUND = "Found 1 error.\n[*] 1 fixable with the --fix option.\n"
CI = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE", "CI_PROJECT_DIR", "CI", "GITHUB_REPOSITORY")


@pytest.fixture(autouse=True)
def artifact(engine, finding, monkeypatch):
    Path("model.pt2").touch()
    engine.results["model.pt2"] = FileResult("model.pt2", (finding(),), programs=("model",))
    for name in CI:
        monkeypatch.delenv(name, raising=False)


def test_files_and_stdout_at_once(run):
    result = run("--output-format", "json=a.json", "--output-format", "concise", "--output-format", "markdown=b.md")
    assert (result.stdout, result.stderr, result.exit_code) == (CONCISE + FOUND, "", 1)
    assert json.loads(Path("a.json").read_text())["summary"]["findings"] == 1
    assert Path("b.md").read_text().startswith("## graphlint: 1 error\n")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_the_same_in_a_file_and_on_stdout(run, name):
    stdout = run("--output-format", name).stdout
    assert run("--output-format", f"{name}=a=b.out").exit_code == 1
    assert Path("a=b.out").read_text(encoding="utf-8") == stdout
    run("--output-format", name, "-o", "c.out")
    assert Path("c.out").read_text(encoding="utf-8") == stdout


def test_what_goes_to_files_only_is_said(run):
    result = run("--output-format", "json=a.json", "--output-format", "sarif=b.sarif")
    assert result.stdout == FOUND + "Wrote a.json.\nWrote b.sarif.\n"
    assert run("-q", "--output-format", "json=a.json").stdout == ""


def test_the_file_option_is_for_the_format_without_a_file(run):
    result = run("--output-format", "concise", "--output-format", "json=a.json", "-o", "b.txt")
    assert (result.stdout, Path("b.txt").read_text()) == ("", CONCISE + FOUND)
    assert json.loads(Path("a.json").read_text())["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--output-format", "json", "--output-format", "github"],
            ("json and github cannot both go to stdout; give all but one a file: --output-format github=FILE"),
        ),
        (
            ["--output-format", "json=a", "-o", "b"],
            "-o/--output-file goes with exactly one format that has no file of its own, not with json=a",
        ),
        (
            ["--output-format", "json", "--output-format", "sarif", "-o", "b"],
            "-o/--output-file goes with exactly one format that has no file of its own, not with json, sarif",
        ),
        (
            ["--output-format", "json=a", "--output-format", "sarif=./a"],
            "two reports would be written to ./a; give each a file of its own",
        ),
        (
            ["--statistics", "--output-format", "sarif"],
            "--statistics goes with full, concise, grouped, json, not with sarif",
        ),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_linted(run, engine, arguments, message):
    result = run(*arguments, "--fix")
    assert (result.stdout, result.stderr, result.exit_code) == (
        "",
        f"error: {message} (see `graphlint check --help`)\n",
        2,
    )
    assert engine.calls == []


@pytest.mark.parametrize(("value", "message"), [("sarf", "did you mean 'sarif'?"), ("json=", "'json=' names no file")])
def test_unknown_formats(run, value, message):
    result = run("--output-format", value)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_list_in_the_configuration_and_in_the_environment(run):
    Path("ci").mkdir()
    Path("graphlint.toml").write_text('output-format = ["concise", "json=ci/a.json"]')
    assert run("-q").stdout == CONCISE
    assert json.loads(Path("ci/a.json").read_text())["version"] == 1
    assert run("-q", GRAPHLINT_OUTPUT_FORMAT="github sarif=b.sarif").stdout.startswith("::error ")
    assert json.loads(Path("b.sarif").read_text())["version"] == "2.1.0"
    shown = run("--show-settings").stdout
    assert 'output-format = ["concise", "json=ci/a.json"]\n' in shown


def test_files_in_a_configuration_are_relative_to_it(run, monkeypatch):
    Path("sub").mkdir()
    Path("graphlint.toml").write_text('output-format = ["concise", "json=a.json"]')
    monkeypatch.chdir("sub")
    assert run("-q", "../model.pt2").exit_code == 0
    assert Path("../a.json").exists()
    assert not Path("a.json").exists()


def test_a_report_that_cannot_be_written(run):
    result = run("--output-format", "json=no/where.json")
    assert (result.stdout, result.stderr, result.exit_code) == (
        "",
        "error: cannot write no/where.json: No such file or directory\n",
        2,
    )


def test_a_diff_goes_to_stdout_and_reports_to_files(run, engine, finding):
    engine.results["model.pt2"] = FileResult("model.pt2", fixed=(finding(),), diff="-a\n+b\n")
    result = run("--diff", "--output-format", "json=a.json")
    assert (result.stdout, result.exit_code) == ("-a\n+b\n", 1)
    assert json.loads(Path("a.json").read_text())["summary"]["fixed"] == 1
    assert run("--diff", "-q").stdout == "-a\n+b\n"
    assert run("--diff", "-q", "--output-format", "json").stdout == "-a\n+b\n", "whatever the format"


def test_only_reports_with_pictures_pay_for_them(run, engine):
    run("--output-format", "json")
    run("--output-format", "html=a.html")
    assert [settings.illustrate for _, settings, _ in engine.calls] == [False, True]


def test_paths_are_relative_to_the_repository_or_the_project(monkeypatch, tmp_path):
    project = tmp_path / "project"
    inner = project / "sub" / "inner"
    inner.mkdir(parents=True)
    assert report_root(str(inner)) == str(inner)
    monkeypatch.setenv("GITHUB_WORKSPACE", str(project))
    assert report_root(str(inner)) == str(project)
    assert report_root(str(tmp_path)) == str(tmp_path), "outside of the workspace"
    (project / "sub" / ".git").mkdir()
    assert report_root(str(inner)) == str(project / "sub"), "annotations are of the repository that is checked out"
    monkeypatch.setenv("CI_PROJECT_DIR", f"{project}/")
    assert report_root(str(inner)) == str(project), "a submodule is a part of GitLab's project"
    assert report_root(f"{project}-other") == f"{project}-other"


def test_a_run_with_text_only_looks_for_no_repository(run, engine, monkeypatch):
    looked = []
    monkeypatch.setattr("graphlint.cli.reports.report_root", lambda folder: looked.append(folder) or folder)
    run("--output-format", "full", "--output-format", "concise=a.txt")
    assert looked == []
    run("--output-format", "full", "--output-format", "sarif=a.sarif")
    assert len(looked) == 1


def test_links_to_source_on_the_runners_of_github_and_gitlab(monkeypatch):
    for name in ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA", "CI_PROJECT_URL", "CI_COMMIT_SHA"):
        monkeypatch.delenv(name, raising=False)
    assert source_address() == ""
    monkeypatch.setenv("CI_PROJECT_URL", "https://gitlab.com/group/project")
    monkeypatch.setenv("CI_COMMIT_SHA", "abc")
    assert source_address() == "https://gitlab.com/group/project/-/blob/abc/"
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "owner/name")
    monkeypatch.setenv("GITHUB_SHA", "def")
    assert source_address() == "https://github.com/owner/name/blob/def/"
