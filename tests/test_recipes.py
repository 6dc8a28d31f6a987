"""The recipes of CONTRIBUTING, carried out in a copy of the package: each is as few files as it says, and works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGE = PROJECT / "lint" / "graphlint"
ARTIFACTS = PROJECT / "tests" / "artifacts" / "2.13.0"
STEP = re.compile(r"^`([\w./]+)`(, new)?:\n\n```\w+\n(.*?)^```$", re.DOTALL | re.MULTILINE)
"""A file, whether it is new, and its text, or lines to add."""
Graphlint = Callable[..., "subprocess.CompletedProcess[str]"]


def carry_out(recipe: str, package: Path) -> set[str]:
    """Change a package as a recipe says; the files that were touched."""
    text = (PROJECT / "CONTRIBUTING.md").read_text()
    section = text.split(f"\n### {recipe}\n")[1]
    section = re.split(r"^##+ ", section, flags=re.MULTILINE)[0]
    touched: set[str] = set()
    for name, is_new, content in STEP.findall(section):
        path = package / name
        assert path.exists() is not bool(is_new), name
        if is_new:
            path.write_text(content)
        else:
            lines = content.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] == " ")
            after = "".join(line[1:] for line in lines)
            assert path.read_text().count(before) == 1, before
            path.write_text(path.read_text().replace(before, after))
        touched.add(name)
    return touched


@pytest.fixture
def package(tmp_path) -> Path:
    """A copy of the package."""
    return Path(shutil.copytree(PACKAGE, tmp_path / "graphlint", ignore=shutil.ignore_patterns("__pycache__")))


@pytest.fixture
def graphlint(package) -> Graphlint:
    """Runs a module with the copy, the command line unless told otherwise, and holds its exit status."""

    def run(*arguments: str | Path, status: int = 0, module: str = "graphlint") -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=package.parent,
            env={**os.environ, "PYTHONPATH": f"{package.parent}{os.pathsep}{PROJECT}"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert result.returncode == status, result.stdout + result.stderr
        return result

    return run


def test_a_rule_with_a_fix_is_three_files_and_what_they_ask_of_ops(package, graphlint, tmp_path):
    pytest.importorskip("torch")
    original, path = ARTIFACTS / "out_variant.pt2", tmp_path / "model.pt2"
    shutil.copy(original, path)
    assert "no rule is called" in graphlint("rule", "GL310", status=2).stderr

    facts = {"ops/info.py", "ops/reviewed.tsv"}
    assert len(carry_out("A rule", package) - facts) == 3
    graphlint("--registered", module="tests.facts.generate")
    assert graphlint("rule", "GL310").stdout.startswith("# uninitialized-memory (GL310)\n")
    assert "| [GL310](#gl310-uninitialized-memory) |" in graphlint(module="graphlint.rules.documentation").stdout
    found = graphlint("check", path, "--isolated", "--select", "GL310", "--output-format", "json", status=1).stdout
    assert '"aten.empty_like.default sets no element"' in found
    graphlint("check", path, "--isolated", "--select", "GL310", "--fix", status=1)
    graphlint("check", path, "--isolated", "--select", "GL310")
    shown = graphlint("show", path, "--isolated").stdout
    assert ("aten.zeros_like.default(%x" in shown, "empty_like.default" in shown) == (True, False)
    # Beside the other rules it stands in nobody's way.
    shutil.copy(original, path)
    graphlint("check", path, "--isolated", "--fix", status=1)
    graphlint("check", path, "--isolated")


def test_a_view_op_is_one_row(package, graphlint, tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pt2"

    class Cache(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("cache", torch.zeros(4, 3))

        def forward(self, x):
            torch.ops.prims.transpose(self.cache, [1, 0])[0].add_(x)
            return self.cache.sum(0)

    torch.export.save(torch.export.export(Cache(), (torch.ones(4),)), path)
    check = ("check", path, "--isolated", "--output-format", "json")
    # When the table comes to know the op, the recipe needs another one.
    assert "prims.transpose.default has no inverse" in graphlint(*check, status=1).stdout

    assert carry_out("A view op", package) == {"ops/reviewed.tsv"}
    before = set((package / "ops" / "table.tsv").read_text().splitlines())
    graphlint("--registered", module="tests.facts.generate")
    after = set((package / "ops" / "table.tsv").read_text().splitlines())
    (row,) = after - before
    assert row.endswith("\tview=permute dims=permutation")
    fixed = graphlint("check", path, "--isolated", "--fix", "--verify", status=1)
    assert ("Fixed 1 finding" in fixed.stdout, "1 program did the same" in fixed.stderr) == (True, True)
    graphlint("check", path, "--isolated")


def test_a_target_is_one_file(package, graphlint):
    buffer, checks = ARTIFACTS / "key_value_cache.pt2", ARTIFACTS / "async_assert.pt2"
    assert "unknown target 'example'" in graphlint("target", "example", status=2).stderr

    assert carry_out("A target", package) == {"rules/targets/example.toml"}
    assert graphlint("target", "example").stdout.startswith("# example: an example of a consumer\n")
    assert "\nexample " in graphlint("target").stdout
    assert "\n## example: " in graphlint(module="graphlint.rules.targets.documentation").stdout
    refused = graphlint("check", buffer, "--isolated", "--target", "example", status=1).stdout
    assert "example: its programs hold no state" in refused
    taken = graphlint("check", checks, "--isolated", "--target", "example")
    assert "is lost, invalid values raise no error (example: Example drops it silently)" in taken.stdout


def test_a_reporter_is_two_files(package, graphlint):
    path = ARTIFACTS / "key_value_cache.pt2"
    chosen = ("check", path, ARTIFACTS / "clean.pt2", "--isolated", "--output-format", "codes")
    assert "unknown value 'codes'" in graphlint(*chosen, status=2).stderr

    assert carry_out("A reporter", package) == {"report/formats/codes.py", "report/formats/registry.py"}
    lines = graphlint(*chosen, status=1).stdout.splitlines()
    assert [line.rpartition("/")[2] for line in lines] == ["key_value_cache.pt2: GL103", "clean.pt2: -"]
