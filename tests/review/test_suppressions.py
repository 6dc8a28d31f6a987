"""Comments in the source, and globs of source files, that accept findings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

NET = str(Path("models", "net.py"))


def codes(repository, *arguments: str) -> list[str]:
    document = json.loads(repository.run("--output-format", "json", *arguments).stdout)
    return [one["code"] for file in document["files"] for one in file["diagnostics"]]


def test_a_comment_on_the_line(repository):
    repository.comment(11, "graphlint: ignore[GL103]")
    assert codes(repository) == ["GL101", "GL302"]


@pytest.mark.parametrize("line", [22, 23, 25], ids=["first", "inner", "last"])
def test_a_comment_on_any_line_of_the_statement(repository, line):
    repository.comment(line, "graphlint: ignore[in-place-op] y is ours")
    assert codes(repository) == ["GL103"] * 3 + ["GL302"]


@pytest.mark.parametrize("line", [21, 26, 1])
def test_not_on_another_line(repository, line):
    repository.comment(line, "graphlint: ignore[GL101, GL103]")
    assert codes(repository, "--select", "GL1") == ["GL103"] * 3 + ["GL101"]


def test_the_line_counts_even_after_it_moved(repository):
    repository.comment(11, "graphlint: ignore[GL103]")
    repository.source.write_text("# one\n# two\n" + repository.source.read_text())
    assert codes(repository) == ["GL101", "GL302"]


def test_a_line_that_changed_since_the_export_accepts_nothing(repository):
    repository.source.write_text(repository.source.read_text().replace("seen.add_(1)", "seen.add_(2)"))
    repository.comment(11, "graphlint: ignore[GL103]")
    assert codes(repository, "--select", "GL103") == ["GL103"] * 3


def test_what_is_suppressed_counts_nowhere_but_is_in_the_json(repository):
    repository.comment(11, "graphlint: ignore[GL103] reset on load")
    result = repository.run("--select", "GL103")
    assert (result.stdout, result.stderr, result.exit_code) == ("All checks passed!\n", "", 0)
    document = json.loads(repository.run("--select", "GL103", "--output-format", "json").stdout)
    assert [one["suppression"] for one in document["files"][0]["suppressed"]] == [
        {"by": "comment", "reason": "reset on load"}
    ] * 3
    assert (document["summary"]["findings"], document["summary"]["suppressed"], document["summary"]["baseline"]) == (
        0,
        3,
        0,
    )
    assert repository.run("--select", "GL103", "--verbose").stderr.splitlines() == [
        "net.pt2: linted 1 program (model): 0 findings left, 3 accepted",
        *(
            f"net.pt2: models/net.py:11: GL103 aten.add_.Tensor writes buffer 'layers.{number}.seen' "
            "(accepted by a comment in the source: reset on load)"
            for number in range(3)
        ),
    ]


def test_what_is_suppressed_is_not_fixed(repository):
    before = repository.artifact.read_bytes()
    repository.comment(11, "graphlint: ignore[GL103]")
    repository.comment(22, "graphlint: ignore[GL101]")
    assert repository.run("--fix", "--select", "GL1").exit_code == 0
    assert repository.artifact.read_bytes() == before
    repository.source.write_text(repository.source.read_text().replace("# graphlint: ignore[GL101]", ""))
    fixed = repository.run("--fix", "--select", "GL1")
    assert fixed.stdout.splitlines()[:2] == ["Fixed 1 finding in net.pt2", "Found 1 error (1 fixed, 0 remaining)."]
    assert fixed.exit_code == 1
    repository.source.write_text(repository.source.read_text().replace("# graphlint: ignore[GL103]", ""))
    assert codes(repository, "--select", "GL1") == ["GL103"] * 3


def test_show_leaves_out_what_check_leaves_out(repository):
    assert repository.run("show", "net.pt2").stdout.count("GL103") == 3
    repository.comment(11, "graphlint: ignore[GL103]")
    text = repository.run("show", "net.pt2").stdout
    assert "GL103" not in text
    assert f"({NET}:22:13 in forward)" in " ".join(text.split())


def test_python_hears_comments_too(repository):
    import graphlint

    repository.comment(11, "graphlint: ignore[GL103] why")
    result = graphlint.lint("net.pt2", select="GL103")
    assert result.diagnostics == ()
    assert {one.suppression and one.suppression.reason for one in result.suppressed} == {"why"}


def test_a_comment_that_names_no_rule_accepts_nothing_and_is_reported(repository):
    repository.comment(11, "graphlint: ignore")
    assert repository.run("--select", "GL103,GL902", "--quiet").stdout.split("\n\n")[1] == (
        "GL902 broad-ignore (warning): this comment names no rule, so it accepts nothing\n"
        f"  --> {NET}:11:28\n"
        "11 |     self.seen.add_(1)  # graphlint: ignore\n"
        "   |                        ^^^^^^^^^^^^^^^^^^^\n"
        "   = help: name the rules to accept: `# graphlint: ignore[GL103] reason`"
    )


def test_unknown_rules_in_a_comment_are_reported(repository):
    repository.comment(11, "graphlint: ignore[GL130, GL103] why")
    result = repository.run("--ignore", "GL1,GL3", "--output-format", "concise", "--quiet")
    # GL1 is off: there is nothing that leads to the file.
    assert (result.stdout, result.exit_code) == ("", 0)
    result = repository.run("--ignore", "GL101,GL302", "--output-format", "concise", "--quiet")
    assert (
        result.stdout == f"{NET}:11:28: GL903 (warning) no rule is called 'GL130'; did you mean 'GL103' or 'GL301'?\n"
    )
    assert result.exit_code == 1


def test_an_open_bracket_is_reported(repository):
    repository.comment(11, "graphlint: ignore[GL103 why")
    assert repository.lines("--select", "GL103,GL9")[1:] == [
        f"{NET}:11:28: GL903 (warning) the bracket of this comment is not closed, so it accepts nothing"
    ]


def test_unused_comments_are_reported_on_request(repository):
    repository.comment(11, "graphlint: ignore[GL103, GL302] one of them")
    repository.comment(26, "graphlint: ignore[GL302]")
    repository.comment(12, "graphlint: ignore[GL101]")
    assert [line for line in repository.lines() if "GL9" in line] == []
    assert [line for line in repository.lines("--warn-unused-ignores") if "GL9" in line] == [
        f"{NET}:11:28: GL901 (warning) nothing on this line for this comment to accept: GL302",
        f"{NET}:12:31: GL901 (warning) nothing on this line for this comment to accept: GL101",
    ]
    Path("graphlint.toml").write_text("warn-unused-ignores = true")
    assert len([line for line in repository.lines() if "GL901" in line]) == 2
    assert [line for line in repository.lines("--no-warn-unused-ignores") if "GL901" in line] == []
    # A rule that is off finds nothing, which says nothing of the comment.
    assert [line for line in repository.lines("--ignore", "GL302") if "GL901" in line] == [
        f"{NET}:12:31: GL901 (warning) nothing on this line for this comment to accept: GL101"
    ]


def test_a_comment_where_the_file_accepts_all_anyway_is_unused(repository):
    repository.comment(11, "graphlint: ignore[GL103]")
    Path("graphlint.toml").write_text('per-file-ignores = { "models/*.py" = ["GL103"] }')
    for options in ([], ["--fix"]):
        lines = [line for line in repository.lines("--warn-unused-ignores", *options) if "GL9" in line]
        assert lines == [f"{NET}:11:28: GL901 (warning) nothing on this line for this comment to accept: GL103"]


def test_a_program_without_findings_leads_to_unused_comments_too(repository):
    repository.run("--fix", "--select", "GL1")
    repository.comment(11, "graphlint: ignore[GL103]")
    lines = repository.lines("--select", "GL1", "--warn-unused-ignores")
    assert lines == [f"{NET}:11:28: GL901 (warning) nothing on this line for this comment to accept: GL103"]


def test_a_comment_is_used_if_any_artifact_needs_it(repository):
    shutil.copy(repository.artifact, "other.pt2")
    repository.comment(11, "graphlint: ignore[GL103]")
    repository.run("--fix", "--select", "GL1", "--config", "exclude = ['other.pt2']", "--isolated", "net.pt2")
    assert [line for line in repository.lines("--warn-unused-ignores") if "GL9" in line] == []


def test_reports_on_comments_can_be_turned_off_like_others(repository):
    repository.comment(11, "graphlint: ignore")
    assert "GL902" in codes(repository)
    assert "GL902" not in codes(repository, "--ignore", "GL902")
    Path("graphlint.toml").write_text('per-file-ignores = { "models/*.py" = ["GL9"] }')
    assert "GL902" not in codes(repository)


def test_source_files_are_no_artifacts_in_the_json(repository):
    repository.comment(11, "graphlint: ignore")
    document = json.loads(repository.run("--output-format", "json").stdout)
    assert [(file["path"], file["kind"]) for file in document["files"]] == [("net.pt2", "artifact"), (NET, "source")]
    assert document["summary"]["files"] == 1


@pytest.mark.parametrize("pattern", ["models/*.py", "net.py", "models/net.py", "models/"])
def test_per_file_ignores_take_source_globs(repository, pattern):
    Path("graphlint.toml").write_text(f'per-file-ignores = {{ "{pattern}" = ["GL1"] }}')
    expected = ["GL302"] if pattern != "models/" else ["GL103"] * 3 + ["GL101", "GL302"]
    assert codes(repository) == expected


def test_per_file_ignores_hold_for_sources_that_are_elsewhere(repository):
    repository.source.unlink()
    Path("graphlint.toml").write_text(
        'per-file-ignores = { "**/first/models/*.py" = ["GL103"], "net.pt2" = ["GL302"] }'
    )
    assert codes(repository) == ["GL101"]
    document = json.loads(repository.run("--output-format", "json").stdout)
    assert {one["suppression"]["by"] for one in document["files"][0]["suppressed"]} == {"per-file-ignores"}
