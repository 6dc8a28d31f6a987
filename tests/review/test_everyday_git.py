"""What happens in a repository every day: conflicts, ignored files, shared configuration, comments that accept."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from graphlint.cli.clicked import app

NEWEST = Path(__file__).parents[1] / "artifacts" / "2.13.0"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 1\n"


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, arguments, prog_name="graphlint")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "x")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "x@example.org")
    return tmp_path


# -- conflicts


def test_a_conflict_that_git_left_in_a_pointer(folder):
    git("init", "-b", "main")
    for branch, oid in (("main", "0" * 64), ("theirs", "1" * 64), ("ours", "2" * 64)):
        if branch != "main":
            git("checkout", "-b", branch, "main")
        Path("model.pt2").write_text(POINTER.format(oid))
        git("add", "model.pt2")
        git("commit", "-m", branch)
    assert subprocess.run(["git", "merge", "theirs"], capture_output=True, timeout=60).returncode == 1
    assert "<<<<<<< " in Path("model.pt2").read_text()
    result = run("model.pt2")
    assert "GL001 unreadable-artifact: the Git LFS pointer has an unresolved merge conflict\n" in result.stdout
    assert "`git checkout --ours FILE` or `git checkout --theirs FILE`" in result.stdout
    assert result.exit_code == 1


def test_a_conflict_in_the_file_itself(folder):
    data = (NEWEST / "clean.pt2").read_bytes()
    Path("model.pt2").write_bytes(b"<<<<<<< HEAD\n" + data + b"\n=======\n" + data + b"\n>>>>>>> theirs\n")
    assert "GL001 unreadable-artifact: the file has an unresolved merge conflict\n" in run("model.pt2").stdout


def test_a_pointer_that_was_not_fetched_keeps_its_advice(folder):
    Path("model.pt2").write_text(POINTER.format("0" * 64))
    assert "run `git lfs pull`" in run("model.pt2").stdout


# -- what git ignores


@pytest.fixture
def ignoring(folder):
    git("init")
    Path(".gitignore").write_text("build/\n*.tmp.pt2\n!kept.tmp.pt2\n")
    for name in ("model.pt2", "build/model.pt2", "a.tmp.pt2", "kept.tmp.pt2", "sub/tracked.tmp.pt2", "sub/own.pt2"):
        Path(name).parent.mkdir(exist_ok=True)
        shutil.copyfile(NEWEST / "clean.pt2", name)
    Path("sub/.gitignore").write_text("own.pt2\n")
    git("add", "-f", "sub/tracked.tmp.pt2")
    return folder


def files(*arguments: str) -> list[str]:
    return run("--show-files", *arguments).stdout.replace("\\", "/").splitlines()


def test_ignored_files_are_not_found_in_folders(ignoring):
    assert files() == ["kept.tmp.pt2", "model.pt2", "sub/tracked.tmp.pt2"]
    assert files("sub") == ["sub/tracked.tmp.pt2"]


def test_a_named_file_is_linted_whatever_git_says(ignoring):
    assert files("build/model.pt2", "sub/own.pt2") == ["build/model.pt2", "sub/own.pt2"]


def test_who_wants_them_all_says_so(ignoring):
    everything = ["a.tmp.pt2", "build/model.pt2", "kept.tmp.pt2", "model.pt2", "sub/own.pt2", "sub/tracked.tmp.pt2"]
    assert files("--no-respect-gitignore") == everything
    Path("graphlint.toml").write_text("respect-gitignore = false")
    assert files() == everything
    assert len(files("--respect-gitignore")) == 3


def test_outside_of_a_repository_nothing_is_ignored(folder):
    Path(".gitignore").write_text("*\n")
    shutil.copyfile(NEWEST / "clean.pt2", "model.pt2")
    assert files() == ["model.pt2"]


# -- a configuration that extends another


def settings(*arguments: str) -> str:
    return run("--show-settings", *arguments).stdout


def test_a_configuration_inherits_what_it_does_not_say(folder):
    Path("graphlint.toml").write_text(
        'select = ["GL1"]\nunsafe-fixes = true\nextend-exclude = ["old"]\nrequires-torch = ">=2.9"'
    )
    Path("models").mkdir()
    shutil.copyfile(NEWEST / "clean.pt2", "models/model.pt2")
    Path("models/graphlint.toml").write_text(
        'extend = "../graphlint.toml"\nextend-select = ["GL301"]\nunsafe-fixes = false'
    )
    shown = settings("models")
    [selected] = [line for line in shown.splitlines() if line.startswith("select = ")]
    assert "unsafe-fixes = false\n" in shown
    assert 'requires-torch = ">=2.9"\n' in shown
    assert '"GL101"' in selected
    assert '"GL301"' in selected
    assert '"GL201"' not in selected
    assert '"old"' in shown


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ('extend = "other.toml"', 'extend = "graphlint.toml"', "leads back to this file"),
        ('extend = "nowhere.toml"', "", "cannot read the configuration"),
        ('extend = "other.toml"', "selct = 1", "other.toml: unknown key 'selct'"),
        ("extend = 1", "", "extend: expected a string"),
    ],
)
def test_what_cannot_be_extended(folder, first, second, message):
    Path("graphlint.toml").write_text(first)
    Path("other.toml").write_text(second)
    result = run(".")
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


# -- comments


def test_comments_accept_all_that_was_found(repository):
    before = repository.source.read_text()
    result = repository.run("--add-ignores")
    assert (result.exit_code, result.stdout) == (0, "Added 3 comments in 1 file.\n")
    after = repository.source.read_text()
    assert "self.seen.add_(1)  # graphlint: ignore[GL103]\n" in after
    assert [line.split("  # graphlint")[0] for line in after.splitlines()] == before.splitlines()
    assert repository.run().exit_code == 0
    assert repository.run("--add-ignores").stdout == "Added 0 comments in 0 files.\n"


def test_a_comment_that_is_there_gets_the_code(repository):
    there = "self.seen.add_(1)  # graphlint: ignore[GL101] ours"
    repository.source.write_text(repository.source.read_text().replace("self.seen.add_(1)", there))
    repository.run("--add-ignores", "--select", "GL103")
    assert "self.seen.add_(1)  # graphlint: ignore[GL101, GL103] ours\n" in repository.source.read_text()


@pytest.mark.parametrize("other", ["--fix", "--diff", "--watch"])
def test_comments_go_with_a_plain_check_only(folder, other):
    result = run("--add-ignores", other)
    assert (result.exit_code, result.stdout) == (2, "")


# -- reports


def test_the_picture_of_a_graph_marks_every_finding(folder):
    path = str(NEWEST / "batch_norm_training.pt2")
    picture = run("show", path, "--format", "svg").stdout
    found = json.loads(run(path, "--isolated", "--output-format", "json").stdout)["files"][0]["diagnostics"]
    codes = {one["code"] for one in found if one["node"] is not None}
    assert codes
    for code in codes:
        assert f">{code}" in picture or f", {code}" in picture


def test_the_page_of_a_diff_says_what_would_be_fixed(folder):
    shutil.copyfile(NEWEST / "key_value_cache.pt2", "model.pt2")
    run("--diff", "model.pt2", "--output-format", "html=report.html")
    page = Path("report.html").read_text()
    assert "<title>graphlint: 1 to be fixed</title>" in page
    assert "left" not in page[: page.index("</title>")]
