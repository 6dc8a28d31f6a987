"""Finding artifacts."""

# Links, pipes and names that are no text are told to the system as they are.
# ruff: noqa: PTH101, PTH103, PTH117, PTH119, PTH120, PTH123, PTH206, PTH211

from __future__ import annotations

import os
import sys

import pytest

from graphlint.run.discovery import Candidate, discover
from graphlint.run.resolution import DEFAULT_EXCLUDE


class Patterns:
    """Excludes files and folders by their last name."""

    def respects_gitignore(self, folder):
        return False

    def __init__(self, *names: str, force_exclude: bool = False) -> None:
        self.names = names
        self.force_exclude = force_exclude

    def excludes(self, path: str) -> bool:
        assert os.path.isabs(path)
        return os.path.basename(path) in self.names

    def excludes_with_parents(self, path: str) -> bool:
        assert os.path.isabs(path)
        return any(part in self.names for part in path.split(os.sep))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w"):
            pass


def found(*paths: str, exclusions: Patterns | None = None) -> list[str]:
    candidates = list(discover(paths, exclusions or Patterns()))
    assert [candidate.error for candidate in candidates] == [""] * len(candidates)
    return [candidate.path.replace(os.sep, "/") for candidate in candidates]


def test_folders_are_searched_in_order():
    touch("b.pt2", "a.pt2", "a/z.pt2", "a/b/y.pt2", "c/x.pt2", "a/notes.txt", "pt2", "model.pt")
    assert found(".") == ["a/b/y.pt2", "a/z.pt2", "a.pt2", "b.pt2", "c/x.pt2"]
    assert found("c", "a") == ["c/x.pt2", "a/b/y.pt2", "a/z.pt2"]
    assert found("./a/") == ["a/b/y.pt2", "a/z.pt2"]


def test_absolute_stays_absolute(folder):
    touch("a/x.pt2")
    assert found(str(folder / "a")) == [(folder / "a" / "x.pt2").as_posix()]


def test_a_named_file_is_taken_whatever_its_name():
    touch("model.bin", "dir/x.pt2")
    assert found("model.bin", "./dir/x.pt2") == ["model.bin", "./dir/x.pt2"]


def test_each_file_once():
    touch("a/x.pt2", "y.pt2")
    assert found("a/x.pt2", "a", "./a/x.pt2", ".", "y.pt2") == ["a/x.pt2", "y.pt2"]


def test_patterns_that_no_shell_has_replaced():
    touch("a/x.pt2", "a/b/y.pt2", "a/notes.txt", "c/z.pt2", "odd[1].pt2")
    assert found("a/*.pt2") == ["a/x.pt2"]
    assert found("*/*.pt2", "**/*.pt2") == ["a/x.pt2", "c/z.pt2", "a/b/y.pt2", "odd[1].pt2"]
    assert found("[ac]") == ["a/b/y.pt2", "a/x.pt2", "c/z.pt2"]
    assert found("odd[1].pt2") == ["odd[1].pt2"]
    assert found("**", exclusions=Patterns("b")) == ["a/b/y.pt2", "a/notes.txt", "a/x.pt2", "c/z.pt2", "odd[1].pt2"]
    assert list(discover(["*.onnx"], Patterns())) == [Candidate("*.onnx", "nothing matches this pattern")]


def test_a_folder_may_be_called_like_an_artifact():
    touch("model.pt2/data.pt2")
    assert found(".") == ["model.pt2/data.pt2"]


def test_excluded_folders_and_files_are_skipped():
    touch("venv/x.pt2", "a/venv/x.pt2", "a/y.pt2", "a/z.pt2")
    assert found(".", exclusions=Patterns("venv", "z.pt2")) == ["a/y.pt2"]


def test_what_is_named_is_taken_in_spite_of_exclude():
    touch("venv/x.pt2")
    assert found("venv/x.pt2", exclusions=Patterns("venv", "x.pt2")) == ["venv/x.pt2"]
    assert found("venv", exclusions=Patterns("venv")) == ["venv/x.pt2"]


def test_unless_exclusion_is_forced():
    touch("venv/a/x.pt2", "y.pt2")
    exclusions = Patterns("venv", force_exclude=True)
    assert found("venv/a/x.pt2", "venv/a", "venv", "y.pt2", exclusions=exclusions) == ["y.pt2"]


def test_missing_paths_are_candidates_with_an_error():
    touch("a.pt2")
    candidates = list(discover(["nope.pt2", "a.pt2", "", "no/pe"], Patterns()))
    missing = "No such file or directory"
    assert candidates == [
        Candidate("nope.pt2", missing),
        Candidate("a.pt2"),
        Candidate("", missing),
        Candidate("no/pe", missing),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges")
def test_links(folder):
    touch("real/x.pt2", "elsewhere.bin")
    os.symlink("real", "linked")
    os.symlink(".", "real/loop")
    os.symlink("../elsewhere.bin", "real/file.pt2")
    os.symlink("/nowhere/at/all", "real/dangling.pt2")
    assert found(".") == ["real/dangling.pt2", "real/file.pt2", "real/x.pt2"]
    assert found("linked") == ["linked/dangling.pt2", "linked/file.pt2", "linked/x.pt2"]
    assert list(discover(["real/dangling.pt2"], Patterns())) == [
        Candidate("real/dangling.pt2", "No such file or directory")
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="links need privileges")
def test_links_that_cannot_be_followed_are_errors_of_their_own():
    touch("z.pt2")
    os.symlink("circle.pt2", "circle.pt2")
    os.symlink("x" * 300, "long.pt2")
    assert found(".") == ["circle.pt2", "long.pt2", "z.pt2"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_link_into_a_locked_folder_is_an_error_of_its_own():
    touch("secret/x.pt2", "open/y.pt2")
    os.symlink("../secret/x.pt2", "open/x.pt2")
    os.chmod("secret", 0)
    try:
        assert found("open") == ["open/x.pt2", "open/y.pt2"]
    finally:
        os.chmod("secret", 0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
def test_pipes_are_not_artifacts():
    os.mkfifo("pipe.pt2")
    assert found(".") == []


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="permissions do not bind root")
def test_a_folder_that_cannot_be_listed_is_an_error():
    touch("secret/x.pt2", "y.pt2")
    os.chmod("secret", 0)
    try:
        assert list(discover(["."], Patterns())) == [Candidate("secret", "Permission denied"), Candidate("y.pt2")]
    finally:
        os.chmod("secret", 0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not allow such names")
def test_names_that_are_no_text():
    with open(b"caf\xe9.pt2", "w"), open(b"a\nb.pt2", "w"):
        pass
    assert found(".") == ["a\nb.pt2", "caf\udce9.pt2"]


def test_artifacts_live_in_dist_and_build():
    assert not {"dist", "build"} & set(DEFAULT_EXCLUDE)
    assert list(DEFAULT_EXCLUDE) == sorted(DEFAULT_EXCLUDE)
