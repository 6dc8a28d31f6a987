"""Which file a path of the exporting machine stands for."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from graphlint.run.sources.repository import Repository, components, root_of

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths and links")


def always(path: str) -> bool:
    return True


def never(path: str) -> bool:
    return False


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Makes files below a root, and tells which of them a recorded path stands for."""

    def make(*names: str, source_roots: tuple[str, ...] = (), limit: int = 100):
        root = tmp_path / "repository"
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("")
        root.mkdir(exist_ok=True)
        monkeypatch.setattr("graphlint.run.sources.repository.FOLDERS_ELSEWHERE", limit)
        repository = Repository(str(root), [str(root / name) for name in source_roots])

        def find(path: str, check=never) -> str | None:
            found = repository.find(path, check)
            return None if found is None else Path(found).relative_to(root).as_posix()

        return find

    return make


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/build/worker/src/models/net.py", ("build", "worker", "src", "models", "net.py")),
        ("src/models/net.py", ("src", "models", "net.py")),
        ("./src/../models/net.py", ("models", "net.py")),
        ("../../models/net.py", ("models", "net.py")),
        ("C:\\ci\\project\\models\\net.py", ("ci", "project", "models", "net.py")),
        ("c:/ci/project/models/net.py", ("ci", "project", "models", "net.py")),
        ("\\\\server\\share\\project\\net.py", ("project", "net.py")),
        ("models\\net.py", ("models", "net.py")),
        ("/build/odd\\name.py", ("build", "odd\\name.py")),
        ("net.py", ("net.py",)),
        ("", ()),
        ("/", ()),
        ("a\0b.py", ()),
    ],
)
def test_components_of_paths_of_any_system(path, expected):
    assert components(path) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/build/worker/project/src/models/net.py",
        "C:\\ci\\project\\src\\models\\net.py",
        "src/models/net.py",
        "src\\models\\net.py",
        "/elsewhere/models/net.py",
    ],
)
def test_the_only_file_that_ends_like_the_path(tree, path):
    find = tree("src/models/net.py", "src/models/other.py", "src/network/other.py")
    assert find(path) == "src/models/net.py"


@pytest.mark.parametrize("path", ["net.py", "/elsewhere/lib/net.py", "C:\\net.py"])
def test_a_name_alone_is_not_enough(tree, path):
    find = tree("src/models/net.py")
    assert find(path, never) is None
    assert find(path, always) == "src/models/net.py"
    assert tree("src/models/net.py", source_roots=("src/models",))(path, never) is None


def test_the_folder_of_the_repository_counts(tree):
    assert tree("net.py")("/build/repository/net.py", never) == "net.py"


def test_the_longest_ending_wins(tree):
    find = tree("a/models/net.py", "b/models/net.py", "net.py")
    assert find("/build/b/models/net.py") == "b/models/net.py"
    assert find("/build/a/models/net.py") == "a/models/net.py"


@pytest.mark.parametrize("check", [always, never], ids=["reads alike", "reads otherwise"])
def test_what_nothing_tells_apart_is_not_found(tree, check):
    find = tree("a/models/net.py", "b/models/net.py")
    assert find("/build/models/net.py", check) is None
    assert find("/build/c/models/net.py", check) is None
    assert find("net.py", check) is None


def test_source_roots_settle_it(tree):
    files = ("a/models/net.py", "b/models/net.py", "b/net.py")
    assert tree(*files, source_roots=("b",))("/build/models/net.py") == "b/models/net.py"
    assert tree(*files, source_roots=("a", "b"))("/build/models/net.py") == "a/models/net.py"
    assert tree(*files, source_roots=("a", "b"))("/build/net.py", always) == "b/net.py"


def test_a_file_at_the_root_is_taken_without_a_search_where_it_reads_right(tree):
    find = tree("models/net.py", "copy/models/net.py", limit=0)
    assert find("/build/models/net.py", always) == "models/net.py"


def test_a_file_at_the_root_that_reads_otherwise_has_to_have_the_longest_ending(tree):
    assert tree("models/net.py")("/build/models/net.py") == "models/net.py"
    assert tree("copy/models/net.py")("/build/models/net.py") is None
    assert tree("copy/build/models/net.py")("/build/models/net.py") == "copy/build/models/net.py"


def test_too_many_folders_to_tell(tree):
    files = [f"folder{number}/other.py" for number in range(10)]
    assert tree(*files, "x/net.py", limit=5)("/build/x/net.py") is None
    assert tree(*files, "x/net.py", limit=50)("/build/x/net.py") == "x/net.py"


@pytest.mark.parametrize("folder", [".venv/lib", "node_modules/x", ".git/hooks", "env/lib/site-packages"])
def test_nobodys_own_sources_do_not_count(tree, folder):
    assert tree(f"{folder}/net.py")("/build/net.py", always) is None
    assert tree(f"{folder}/net.py", "src/net.py")("/build/net.py", always) == "src/net.py"


def test_a_file_where_it_was_is_taken_as_it_is(tree, tmp_path):
    find = tree("a/net.py", "b/net.py")
    assert find(str(tmp_path / "repository" / "b" / "net.py")) == "b/net.py"


def test_a_file_outside_of_the_root_is_not_taken(tree, tmp_path):
    (tmp_path / "net.py").write_text("")
    assert tree()(str(tmp_path / "net.py"), always) is None
    assert tree()("../net.py", always) is None


@POSIX
def test_links_out_of_the_root_are_not_followed(tree, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "net.py").write_text("")
    find = tree("models/other.py")
    (tmp_path / "repository" / "net.py").symlink_to(tmp_path / "outside" / "net.py")
    (tmp_path / "repository" / "linked").symlink_to(tmp_path / "outside")
    assert find("/build/net.py", always) is None
    assert find("/build/linked/net.py", always) is None


@POSIX
def test_a_link_to_a_file_is_that_file(tree, tmp_path):
    find = tree("models/net.py", "deploy/other.py")
    (tmp_path / "repository" / "deploy" / "net.py").symlink_to("../models/net.py")
    assert find("/build/net.py", always) == "models/net.py"


@POSIX
def test_circular_links_end(tree, tmp_path):
    find = tree("models/net.py")
    (tmp_path / "repository" / "models" / "again").symlink_to("..")
    assert find("/build/net.py", always) == "models/net.py"


def test_generated_code_is_no_file(tree):
    find = tree("models/net.py")
    assert find("<ipython-input-3-0a1b>") is None
    assert find("/tmp/ipykernel_17/123.py") is None


def test_the_root_is_the_nearest_repository(tmp_path):
    inner = tmp_path / "outer" / "inner" / "folder"
    inner.mkdir(parents=True)
    assert root_of(str(inner)) == (str(inner), False)
    (tmp_path / "outer" / ".git").mkdir()
    assert root_of(str(inner)) == (str(tmp_path / "outer"), True)
    (tmp_path / "outer" / "inner" / ".git").write_text("gitdir: elsewhere")  # a worktree or a submodule
    assert root_of(str(inner)) == (str(tmp_path / "outer" / "inner"), True)
