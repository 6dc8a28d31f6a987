"""The pre-commit hooks, with the real pre-commit in a real git repository, installed from this project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
ARTIFACTS = PROJECT / "tests" / "artifacts" / "2.13.0"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 7538\n"
# What the hooks are installed from: what a clone of the project would hold.
SHIPPED = ("lint", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")


class Repository:
    """A git repository with pre-commit hooks."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        folder.mkdir(exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=500
        )

    def git(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        result = self.run("git", *arguments)
        assert result.returncode == 0, result.stderr
        return result

    def commit(self) -> tuple[int, str]:
        """Try to commit what is staged; the exit status and what was printed."""
        result = self.run("git", "commit", "--message", "models")
        return result.returncode, result.stdout + result.stderr


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """An environment of its own: no configuration and no cache of the user's, and this Python's pre-commit."""
    home = tmp_path_factory.mktemp("home")
    identity = {f"GIT_{role}_{part}": part.lower() for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PRE_COMMIT"))}
    return {
        **kept,
        **identity,
        "HOME": str(home),
        "PRE_COMMIT_HOME": str(home / "pre-commit"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


@pytest.fixture(scope="module")
def project(tmp_path_factory, environment) -> Path:
    """The project as a git repository of its own, so that the test does not depend on what is committed here."""
    source = tmp_path_factory.mktemp("graphlint")
    for name in SHIPPED:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, source / name)
    repository = Repository(source, environment)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "graphlint")
    return source


@pytest.fixture
def repository(tmp_path, environment, project):
    """A repository whose commits run the hook that ``configure`` names."""
    made = Repository(tmp_path / "models", environment)
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True)

    def configure(hook: str, *arguments: str) -> Repository:
        text = (
            f"repos:\n- repo: {project.as_posix()}\n  rev: {revision.stdout.strip()}\n"
            f"  hooks:\n  - id: {hook}\n    args: [{', '.join(arguments)}]\n"
        )
        (made.folder / ".pre-commit-config.yaml").write_text(text)
        assert made.run(sys.executable, "-m", "pre_commit", "install").returncode == 0
        made.git("add", ".pre-commit-config.yaml")
        return made

    return configure


def test_the_hooks_are_valid(environment):
    command = [sys.executable, "-m", "pre_commit", "validate-manifest", PROJECT / ".pre-commit-hooks.yaml"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout


def test_check_then_fix_then_pass(repository):
    models = repository("graphlint")
    artifact = models.folder / "a model.pt2"
    shutil.copy(ARTIFACTS / "async_assert.pt2", artifact)
    before = artifact.read_bytes()
    models.git("add", "--all")

    status, output = models.commit()
    assert status == 1
    assert "GL201" in output
    assert "models.py:27" in output
    assert artifact.read_bytes() == before

    repository("graphlint-fix")
    status, output = models.commit()
    assert status == 1
    assert "Fixed 1 finding in a model.pt2" in output
    fixed = artifact.read_bytes()
    assert fixed != before

    models.git("add", "--all")
    status, output = models.commit()
    assert status == 0, output
    assert artifact.read_bytes() == fixed
    assert models.git("status", "--porcelain").stdout == ""

    repository("graphlint")
    assert models.commit()[0] == 0


def test_a_pointer_fails_and_a_clean_artifact_passes(repository):
    models = repository("graphlint")
    shutil.copy(ARTIFACTS / "clean.pt2", models.folder / "clean.pt2")
    models.git("add", "--all")
    assert models.commit()[0] == 0

    (models.folder / "pointer.pt2").write_text(POINTER)
    models.git("add", "--all")
    status, output = models.commit()
    assert status == 1
    assert "GL002" in output
    assert "git lfs pull" in output


def test_arguments_and_exclusion(repository):
    models = repository("graphlint", "--ignore=GL201", "--extend-exclude=third_party")
    shutil.copy(ARTIFACTS / "async_assert.pt2", models.folder / "checks.pt2")
    excluded = models.folder / "third_party"
    excluded.mkdir()
    shutil.copy(ARTIFACTS / "buffer_counter.pt2", excluded / "model.pt2")
    models.git("add", "--all")
    status, output = models.commit()
    assert status == 0, output


def test_the_system_hook_takes_the_installed_graphlint(repository):
    models = repository("graphlint-system")
    shutil.copy(ARTIFACTS / "buffer_counter.pt2", models.folder / "model.pt2")
    models.git("add", "--all")
    status, output = models.commit()
    assert status == 1
    assert "GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'count'" in output


def test_a_comment_at_the_models_line_silences_the_hook(repository):
    models = repository("graphlint", "--output-format=github")
    source = models.folder / "src" / "models.py"
    source.parent.mkdir()
    lines = (ARTIFACTS.parent / "models.py").read_text().splitlines()
    source.write_text("\n".join(lines) + "\n")
    shutil.copy(ARTIFACTS / "buffer_counter.pt2", models.folder / "model.pt2")
    models.git("add", "--all")
    status, output = models.commit()
    assert status == 1
    assert "::error title=GL103 buffer-mutation,file=src/models.py,line=84," in output

    lines[83] += "  # graphlint: ignore[GL103] counts its calls"
    source.write_text("\n".join(lines) + "\n")
    models.git("add", "--all")
    status, output = models.commit()
    assert status == 0, output


def test_git_shows_what_the_hook_changed(repository):
    models = repository("graphlint-fix")
    shutil.copy(ARTIFACTS / "buffer_counter.pt2", models.folder / "model.pt2")
    models.git("add", "--all")
    models.git("commit", "--no-verify", "--quiet", "--message", "as exported")
    assert models.run("graphlint", "git", "install").returncode == 0
    hook = models.run(sys.executable, "-m", "pre_commit", "run", "--all-files")
    assert hook.returncode == 1
    diff = models.git("diff", "model.pt2").stdout
    assert any(line.startswith("-") and "aten.add_.Tensor(" in line for line in diff.splitlines())
    assert any(line.startswith("+") and "aten.add.Tensor(" in line for line in diff.splitlines())


def test_what_init_writes_runs(tmp_path, environment, project):
    models = Repository(tmp_path / "models", environment)
    words = [sys.executable, "-m", "graphlint", "init", "--target", "onnx", "--artifacts", "exported/**/*.pt2"]
    made = models.run(*words)
    assert made.returncode == 0, made.stderr
    path = models.folder / ".pre-commit-config.yaml"
    revision = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, capture_output=True, text=True, check=True)
    text = path.read_text().replace("https://github.com/graphlint/graphlint", project.as_posix())
    path.write_text(re.sub(r"rev: v.*", f"rev: {revision.stdout.strip()}", text))
    assert models.run(sys.executable, "-m", "pre_commit", "install").returncode == 0
    (models.folder / "exported" / "deep").mkdir(parents=True)
    # Checks are no violation for ONNX; prints are one, where the hook is given the artifact.
    shutil.copy(ARTIFACTS / "async_assert.pt2", models.folder / "exported" / "deep")
    shutil.copy(ARTIFACTS / "print.pt2", models.folder)
    models.git("add", "--all")
    status, output = models.commit()
    assert status == 0, output
    shutil.move(models.folder / "print.pt2", models.folder / "exported")
    models.git("add", "--all")
    status, output = models.commit()
    assert status == 1
    assert "GL301" in output
    assert "async_assert" not in output
