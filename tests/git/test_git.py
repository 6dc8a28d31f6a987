"""``graphlint git`` with the real git: what ``git diff`` prints, and that nothing is left behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 12345\n"
CUT_SHORT = "the file is cut short: the zip directory at its end is missing (truncated download or copy?)"
NO_REPOSITORY = (
    "error: there is no git repository with a work tree here: run this in one, or use --global for all repositories\n"
)


class Repository:
    """A git repository with a home folder of its own around it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "repository"
        self.home = folder / "home"
        self.home.mkdir()
        bin_ = folder / "bin"
        bin_.mkdir()
        # git finds graphlint by its name, as after an installation.
        script = bin_ / "graphlint"
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m graphlint "$@"\n')
        script.chmod(0o755)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "XDG_"))}
        self.environment = {
            **kept,
            "HOME": str(self.home),
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CEILING_DIRECTORIES": str(folder),
        }
        self.path.mkdir()
        self.run("git", "init", "-q")
        for key, value in (("user.email", "a@example.com"), ("user.name", "A")):
            self.run("git", "config", key, value)

    def try_(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=cwd or self.path, env=self.environment, capture_output=True, text=True, timeout=60
        )

    def run(self, *command: str, statuses=(0,)) -> str:
        done = self.try_(*command)
        assert done.returncode in statuses, done.stderr
        return done.stdout

    def add(self, name: str) -> Path:
        shutil.copy(ARTIFACTS / name, self.path / name)
        (self.path / name).chmod(0o644)
        return self.path / name

    def commit(self, message: str) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path)


FIXED = """\
@@ -1,4 +1,4 @@
-program TRAINING
+program ATEN
 graph(
     %p_key_weight: f32[4, 4] grad = parameter "key.weight",
     %p_key_bias: f32[4] grad = parameter "key.bias",
@@ -9,12 +9,12 @@ graph(
   %linear: f32[1, 2, 4] = aten.linear.default(%x, %p_key_weight, %p_key_bias)
   %detach: f32[1, 2, 4] = aten.detach.default(%linear)
   %view: f32[2, 4] = aten.view.default(%detach, [2, 4])
-  %index_put_: f32[1, 8, 4] = aten.index_put_.default(%b_cache, [None, %position?], %view)
+  %index_put_: f32[1, 8, 4] = aten.index_put.default(%b_cache, [None, %position?], %view)
   %transpose: f32[1, 4, 8]{32, 1, 4} = aten.transpose.int(%index_put_, 1, 2)
   %matmul: f32[1, 2, 8] = aten.matmul.default(%x, %transpose)
   %softmax: f32[1, 2, 8] = aten.softmax.int(%matmul, -1)
   %matmul_1: f32[1, 2, 4] = aten.matmul.default(%softmax, %index_put_)
-  return %matmul_1
+  return buffer "cache" <- %index_put_, %matmul_1
 
"""  # noqa: W293 - git's context lines begin with a space


def test_git_shows_what_a_fix_changed(repository):
    repository.add("key_value_cache.pt2")
    repository.run("graphlint", "git", "install")
    repository.commit("first")
    repository.run("graphlint", "--fix", "--isolated", "key_value_cache.pt2", statuses=(1,))
    assert FIXED in repository.run("git", "diff")
    repository.commit("fixed")
    assert FIXED in repository.run("git", "show")
    assert repository.run("git", "log", "-p", "--format=%s").count("-program TRAINING") == 1
    # git keeps the texts, so the second time they are there already.
    assert repository.run("git", "notes", "--ref=textconv/graphlint", "list") != ""


def test_install_twice_is_install_once(repository):
    first = repository.run("graphlint", "git", "install")
    attributes = repository.path / ".gitattributes"
    command = "graphlint git textconv --text-version 1"
    assert first == (
        f"git runs `{command}` to compare artifacts.\n{attributes} now names the driver for *.pt2.\n"
        "Commit that file; every clone then needs `graphlint git install` once.\n"
    )
    config = (repository.path / ".git" / "config").read_bytes()
    assert attributes.read_text() == "*.pt2 diff=graphlint\n"
    assert repository.run("graphlint", "git", "install") == (
        f"git runs `{command}` to compare artifacts.\n{attributes} already names the driver for *.pt2.\n"
    )
    assert (repository.path / ".git" / "config").read_bytes() == config
    assert attributes.read_text() == "*.pt2 diff=graphlint\n"


@pytest.mark.parametrize("before", [None, "*.bin binary\n", "*.bin binary", "*.bin binary\r\n# end\r\n"])
def test_uninstall_leaves_things_as_they_were(repository, before):
    attributes = repository.path / ".gitattributes"
    if before is not None:
        attributes.write_bytes(before.encode())
    config = (repository.path / ".git" / "config").read_bytes()
    repository.add("clean.pt2")
    repository.commit("first")
    repository.run("graphlint", "git", "install")
    repository.run("git", "show")
    assert attributes.exists()
    repository.run("graphlint", "git", "uninstall")
    assert (repository.path / ".git" / "config").read_bytes() == config
    assert attributes.exists() == (before is not None)
    if before is not None:
        assert attributes.read_bytes() == before.encode()
    assert repository.run("git", "for-each-ref", "refs/notes") == ""
    assert repository.run("git", "status", "--short") == ""


def test_other_settings_of_the_driver_stay(repository):
    repository.run("git", "config", "diff.graphlint.wordRegex", ".")
    repository.run("graphlint", "git", "install")
    repository.run("graphlint", "git", "uninstall")
    assert repository.run("git", "config", "--get-regexp", "diff.graphlint") == "diff.graphlint.wordregex .\n"


def test_a_file_that_is_not_committed(repository):
    repository.add("clean.pt2")
    repository.commit("first")
    out = repository.run("graphlint", "git", "install", "--attributes", ".git/info/attributes")
    assert "Commit that file" not in out
    assert not (repository.path / ".gitattributes").exists()
    repository.run("git", "check-attr", "diff", "clean.pt2")
    assert "+program TRAINING" in repository.run("git", "show")


def test_global_is_for_all_repositories(repository):
    repository.add("clean.pt2")
    repository.commit("first")
    repository.run("graphlint", "git", "install", "--global")
    assert (repository.home / ".config" / "git" / "attributes").read_text() == "*.pt2 diff=graphlint\n"
    # A text that was made of an LFS pointer would be kept.
    assert repository.try_("git", "config", "diff.graphlint.cachetextconv").returncode == 1
    assert "+program TRAINING" in repository.run("git", "show")
    repository.run("graphlint", "git", "uninstall", "--global")
    assert "Binary files" in repository.run("git", "show")
    assert not (repository.home / ".config" / "git" / "attributes").exists()


def test_global_goes_to_the_file_that_the_user_has(repository):
    mine = repository.home / "attributes"
    mine.write_text("*.png binary\n")
    repository.run("git", "config", "--global", "core.attributesFile", "~/attributes")
    repository.run("graphlint", "git", "install", "--global")
    assert mine.read_text() == "*.png binary\n*.pt2 diff=graphlint\n"


def test_what_is_no_artifact_is_a_line(repository):
    repository.run("graphlint", "git", "install")
    path = repository.add("clean.pt2")
    (repository.path / "pointer.pt2").write_text(POINTER)
    (repository.path / "text.pt2").write_text("hello\n")
    (repository.path / "empty.pt2").write_text("x")
    repository.commit("first")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    (repository.path / "pointer.pt2").write_text("hello\n")
    (repository.path / "empty.pt2").write_text("")
    lines = [line for line in repository.run("git", "diff", "-U0").splitlines() if line.startswith(("+(", "-("))]
    assert lines == [
        f"+(not a readable artifact: {CUT_SHORT})",
        "-(not a readable artifact: not a zip archive but a text file)",
        "+(not a readable artifact: the file is empty)",
        "-(Git LFS pointer; `git lfs pull` fetches the artifact)",
        "+(not a readable artifact: not a zip archive but a text file)",
    ]


LFS = """\
#!/usr/bin/env python3
\"\"\"As much of Git LFS as a filter is: content goes to a store, a pointer to git.\"\"\"
import hashlib, pathlib, sys
store = pathlib.Path(sys.argv[2])
data = sys.stdin.buffer.read()
if sys.argv[1] == "clean" and not data.startswith(b"version https://git-lfs"):
    oid = hashlib.sha256(data).hexdigest()
    (store / oid).write_bytes(data)
    data = f"version https://git-lfs.github.com/spec/v1\\noid sha256:{oid}\\nsize {len(data)}\\n".encode()
elif sys.argv[1] == "smudge":
    held = store / data.split(b"sha256:")[1].split()[0].decode()
    data = held.read_bytes() if held.exists() else data
sys.stdout.buffer.write(data)
"""


def test_with_lfs_git_hands_over_the_artifact(repository, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    (tmp_path / "lfs.py").write_text(LFS)
    for step in ("clean", "smudge"):
        repository.run(
            "git", "config", f"filter.lfs.{step}", f'"{sys.executable}" "{tmp_path / "lfs.py"}" {step} "{store}"'
        )
    line = "*.pt2 filter=lfs diff=lfs merge=lfs -text\n"
    attributes = repository.path / ".gitattributes"
    attributes.write_text(line)
    repository.add("key_value_cache.pt2")
    out = repository.run("graphlint", "git", "install")
    assert "Git LFS holds the artifacts" in out
    assert attributes.read_text() == f"{line}*.pt2 diff=graphlint\n"
    assert repository.try_("git", "config", "diff.graphlint.cachetextconv").returncode == 1
    repository.commit("first")
    assert repository.run("git", "show", "HEAD:key_value_cache.pt2").startswith("version https://git-lfs")
    repository.run("graphlint", "--fix", "--isolated", "key_value_cache.pt2", statuses=(1,))
    assert FIXED in repository.run("git", "diff")
    repository.commit("fixed")
    assert FIXED in repository.run("git", "show")
    # What was not fetched shows as a pointer, and as the artifact once it is there.
    (store / "away").mkdir()
    held = [path for path in store.iterdir() if path.is_file()]
    for path in held:
        path.rename(store / "away" / path.name)
    shown = repository.run("git", "show")
    assert "@@" not in shown
    for path in held:
        (store / "away" / path.name).rename(path)
    assert FIXED in repository.run("git", "show")
    repository.run("graphlint", "git", "uninstall")
    assert attributes.read_text() == line


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_outside_of_a_repository(repository, tmp_path, command):
    done = repository.try_("graphlint", "git", command, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("", NO_REPOSITORY, 2)


def test_without_git(repository, tmp_path):
    repository.environment["PATH"] = str(tmp_path / "bin")
    done = repository.try_(sys.executable, "-m", "graphlint", "git", "install")
    assert (done.stderr, done.returncode) == ("error: git was not found on the PATH\n", 2)


def test_what_cannot_be_written(repository):
    (repository.path / ".gitattributes").mkdir()
    done = repository.try_("graphlint", "git", "install")
    assert done.stderr.startswith("error: cannot change the attributes in ")
    assert done.returncode == 2


def test_the_interpreter_stands_in_where_graphlint_is_not_on_the_path(repository, tmp_path):
    (tmp_path / "bin" / "graphlint").unlink()
    git = Path(shutil.which("git")).parent
    (tmp_path / "bin" / "git").symlink_to(git / "git")
    repository.environment["PATH"] = f"{tmp_path / 'bin'}{os.pathsep}{os.defpath}"
    if shutil.which("graphlint", path=repository.environment["PATH"]):
        pytest.skip("graphlint is installed system-wide")
    repository.add("clean.pt2")
    repository.commit("first")
    repository.run(sys.executable, "-m", "graphlint", "git", "install")
    assert repository.run("git", "config", "diff.graphlint.textconv").startswith(sys.executable.replace(os.sep, "/"))
    assert "+program TRAINING" in repository.run("git", "show")
