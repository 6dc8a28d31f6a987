"""What git tracks, by name, is what git itself says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from graphlint.run.sources.repository import Repository, read_index, tracked


def git(folder: Path, *arguments: str) -> str:
    words = ["git", "-c", "user.name=x", "-c", "user.email=x", "-c", "core.quotePath=false", *arguments]
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x = 1\n")


@pytest.fixture
def root(tmp_path):
    git(tmp_path, "init", "-q")
    return tmp_path


def found(root: Path, name: str) -> list[str]:
    index = read_index(str(root))
    assert index is not None
    return sorted(tracked(index, name))


LONG = "/".join(["folder" * 6] * 7)  # its length does not fit a byte
PATHS = ("net.py", "a/net.py", "p/n/net.py", "a/xnet.py", "a/net.pyi", "net.py.d/x.py", f"{LONG}/net.py", "ä/net.py")


@pytest.mark.parametrize("name", ["net.py", "x.py", "xnet.py", "none.py"])
def test_the_index_tells_what_git_tells(root, name):
    write(root, *PATHS, *(f"p{number:03}/q/{'p' * (number % 90)}/net.py" for number in range(300)))
    git(root, "add", "-A")
    listed = git(root, "ls-files", "-z").split("\0")
    assert found(root, name) == sorted(path for path in listed if path.split("/")[-1] == name)


def test_an_executable_file_counts_and_a_link_does_not(root):
    write(root, "a/net.py", "b/net.py")
    (root / "a" / "net.py").chmod(0o755)
    (root / "c").mkdir()
    (root / "c" / "net.py").symlink_to("../a/net.py")
    git(root, "add", "-A")
    assert found(root, "net.py") == ["a/net.py", "b/net.py"]


def test_both_sides_of_a_conflict_are_one_file(root):
    write(root, "a/net.py")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    git(root, "branch", "other")
    (root / "a/net.py").write_text("ours\n")
    git(root, "commit", "-qam", "ours")
    git(root, "checkout", "-q", "other")
    (root / "a/net.py").write_text("theirs\n")
    git(root, "commit", "-qam", "theirs")
    with pytest.raises(subprocess.CalledProcessError):
        git(root, "merge", "-q", "master" if (root / ".git/refs/heads/master").exists() else "main")
    assert set(found(root, "net.py")) == {"a/net.py"}
    assert Repository(str(root)).find("/elsewhere/net.py", lambda _: True) == str(root / "a" / "net.py")


def test_a_work_tree_beside_another_one_has_its_own(root, tmp_path_factory):
    write(root, "a/net.py")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")
    beside = tmp_path_factory.mktemp("beside") / "tree"
    git(root, "worktree", "add", "-q", str(beside))
    write(beside, "b/net.py")
    git(beside, "add", "-A")
    assert found(beside, "net.py") == ["a/net.py", "b/net.py"]
    assert found(root, "net.py") == ["a/net.py"]


def test_folders_are_searched_where_the_index_does_not_tell(root):
    write(root, "a/net.py")
    recorded = "/elsewhere/n/net.py", lambda _: True
    assert Repository(str(root)).find(*recorded) == str(root / "a" / "net.py")  # no index yet
    git(root, "add", "-A")
    git(root, "update-index", "--index-version", "4")
    assert read_index(str(root)) is None
    assert Repository(str(root)).find(*recorded) == str(root / "a" / "net.py")


def test_a_file_that_is_not_tracked_is_found_in_its_place_only(root):
    write(root, "a/net.py")
    git(root, "add", "-A")
    write(root, "b/net.py", "c/new.py")
    repository = Repository(str(root))
    assert repository.find("/elsewhere/b/net.py", lambda _: True) == str(root / "b" / "net.py")
    assert repository.find(str(root / "c" / "new.py"), lambda _: False) == str(root / "c" / "new.py")
    assert repository.find("/elsewhere/new.py", lambda _: True) is None


@pytest.mark.parametrize(
    "content", [b"", b"DIRC", b"DIRC\0\0\0\2", b"DIRC\0\0\0\2\0\0\0\1net.py\0", b"\0" * 100 + b"net.py\0"]
)
def test_a_broken_index_tells_nothing(root, content):
    write(root, "a/net.py")
    (root / ".git" / "index").write_bytes(content)
    index = read_index(str(root))
    assert index is None or list(tracked(index, "net.py")) == []


def test_a_repository_of_more_folders_than_are_listed_is_searched(root, monkeypatch):
    monkeypatch.setattr("graphlint.run.sources.repository.FOLDERS_IN_REPOSITORY", 5)
    write(root, *(f"folder{number}/net{number}.py" for number in range(30)))
    git(root, "add", "-A")
    assert Repository(str(root)).find("/elsewhere/net7.py", lambda _: True) == str(root / "folder7" / "net7.py")
