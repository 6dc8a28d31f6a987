"""The job summary of GitHub Actions."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphlint.cli.reports import SUMMARY_LIMIT as LIMIT
from graphlint.report.results import FileResult

HEADLINE = "## graphlint: 1 error\n"


@pytest.fixture(autouse=True)
def artifact(engine, finding, monkeypatch):
    Path("model.pt2").touch()
    engine.results["model.pt2"] = FileResult("model.pt2", (finding(),), programs=("model",))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


def in_actions(run, *arguments, file="summary.md"):
    return run(*arguments, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=file)


@pytest.mark.parametrize("arguments", [[], ["--output-format", "github"], ["-q"], ["--diff"], ["--exit-zero"]])
def test_it_is_written_whatever_else_is(run, arguments):
    expected = run(*arguments)
    result = in_actions(run, *arguments)
    assert (result.stdout, result.stderr, result.exit_code) == (expected.stdout, expected.stderr, expected.exit_code)
    assert Path("summary.md").read_text().startswith(HEADLINE)


def test_it_is_appended(run):
    Path("summary.md").write_text("# Mine\n")
    in_actions(run)
    in_actions(run)
    text = Path("summary.md").read_text()
    assert text.startswith(f"# Mine\n{HEADLINE}")
    assert text.count(HEADLINE) == 2


@pytest.mark.parametrize("arguments", [["--no-step-summary"], ["--config", "step-summary = false"], ["--show-files"]])
def test_it_can_be_switched_off(run, arguments):
    in_actions(run, *arguments)
    assert not Path("summary.md").exists()


def test_the_option_overrides_the_configuration(run):
    in_actions(run, "--config", "step-summary = false", "--step-summary")
    assert Path("summary.md").exists()


def test_elsewhere_there_is_none(run):
    run(GITHUB_STEP_SUMMARY="summary.md")
    run(GITHUB_ACTIONS="true")
    assert sorted(path.name for path in Path().iterdir()) == ["model.pt2"]


def test_it_never_grows_over_the_limit(run, engine, finding):
    found = [finding(node=f"add_{n}", source=None, message="writes " + "x" * 500) for n in range(3000)]
    engine.results["model.pt2"] = FileResult("model.pt2", tuple(found))
    Path("summary.md").write_text("x" * 100_000)
    in_actions(run)
    text = Path("summary.md").read_text()
    assert 900_000 < len(text.encode()) <= LIMIT
    assert " more findings: the report would be too large." in text
    in_actions(run)
    assert len(Path("summary.md").read_bytes()) <= LIMIT


def test_a_full_summary_stays_as_it_is(run):
    Path("summary.md").write_text("x" * (LIMIT - 10))
    result = in_actions(run)
    assert (Path("summary.md").stat().st_size, result.exit_code) == (LIMIT - 10, 1)
    assert result.stderr == "warning: the job summary is full (1048576 bytes): nothing was added to summary.md\n"


def test_a_summary_that_cannot_be_written_is_no_failure(run, engine):
    engine.results["model.pt2"] = FileResult("model.pt2")
    result = in_actions(run, file="no/where.md")
    assert result.exit_code == 0
    assert result.stderr == "warning: cannot write the job summary to no/where.md: No such file or directory\n"
