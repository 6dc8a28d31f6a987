"""The package's compiled modules in one file: that they are loaded from it, and that it is never in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "pread"), reason="no such file is made where there is no pread")
PROJECT = Path(__file__).parents[2]
ARTIFACT = PROJECT / "tests" / "artifacts" / "2.13.0" / "dropout_training.pt2"
CODE = """
import atexit, os, sys
from graphlint.cli import bundle
def tell():
    loaded = bundle._loaded()
    of_bundle = [name for name, spec in loaded.items() if isinstance(spec.loader, bundle._Loader)]
    others = loaded.keys() - of_bundle
    print("from the bundle:", len(of_bundle) > 50, sorted(others), file=sys.stderr)
sys.argv[1:] = ["check", "--isolated", "--no-cache", sys.argv[1]]
atexit.register(tell)
from graphlint.cli.main import main
main()
"""
BEFORE = "['graphlint', 'graphlint.cli', 'graphlint.cli.bundle', 'graphlint.cli.main']"
"""What is loaded before the bundle can be."""
ALL = f"from the bundle: True {BEFORE}\n"


class Copy:
    """A copy of the package, and what runs of it say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "graphlint"

    @property
    def bundles(self) -> list[Path]:
        return sorted((self.folder / "__pycache__").glob("graphlint.*"))

    def check(self, **environment: str) -> tuple[str, str]:
        """A check's report, and where the modules came from."""
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        done = subprocess.run(
            [sys.executable, "-c", CODE, ARTIFACT],
            env={**kept, "PYTHONPATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done.stderr
        return done.stdout, done.stderr


@pytest.fixture
def copy(tmp_path) -> Copy:
    source = PROJECT / "lint" / "graphlint"
    shutil.copytree(source, tmp_path / "graphlint", ignore=shutil.ignore_patterns("__pycache__"))
    return Copy(tmp_path)


def test_the_second_run_loads_all_modules_from_one_file(copy):
    report, origin = copy.check()
    assert "GL309" in report
    assert origin.startswith("from the bundle: False ['graphlint', 'graphlint.artifact', ")
    (made,) = copy.bundles
    assert made.name == f"graphlint.{sys.implementation.cache_tag}.bundle"
    assert copy.check() == (report, ALL)
    before = made.stat()
    copy.check()
    assert made.stat() == pytest.approx(before)  # it is not written again


def test_a_changed_module_is_read_anew(copy):
    copy.check()
    module = copy.package / "rules" / "train_mode.py"
    module.write_text(module.read_text().replace("GL309", "GL399"))
    report, origin = copy.check()
    assert "GL399" in report
    assert "'graphlint.rules.train_mode'" in origin
    assert copy.check() == (report, ALL)


def test_another_version_or_place_uses_no_code_of_the_old_one(copy, tmp_path):
    report, _ = copy.check()
    source = copy.package / "__init__.py"
    source.write_text(source.read_text().replace('__version__ = "', '__version__ = "1.'))
    assert copy.check()[1].startswith("from the bundle: False")
    assert copy.check() == (report, ALL)
    moved = tmp_path / "moved"
    moved.mkdir()
    copy.package.rename(moved / "graphlint")
    (copy.folder / "__pycache__").rename(moved / "__pycache__")
    assert Copy(moved).check()[1].startswith("from the bundle: False")
    assert Copy(moved).check() == (report, ALL)


@pytest.mark.parametrize("length", [0, 5, 8, 100, 20_000, -1, None])
def test_what_is_left_of_a_broken_file_is_not_used(copy, length):
    report, _ = copy.check()
    (made,) = copy.bundles
    made.write_bytes(made.read_bytes()[:length] if length is not None else b"\xff" * 30_000)
    again, origin = copy.check()
    assert (again, origin.partition(" [")[0]) == (report, "from the bundle: False")
    assert copy.check() == (report, ALL)


def test_nothing_is_written_where_python_writes_nothing(copy):
    report, _ = copy.check(PYTHONDONTWRITEBYTECODE="1")
    assert not copy.bundles
    copy.check(PYTHONPYCACHEPREFIX=str(copy.folder / "elsewhere"))
    assert not copy.bundles
    (copy.folder / "__pycache__").write_text("a file in its place")
    assert copy.check()[0] == report
    assert sorted(path.name for path in copy.folder.iterdir()) == ["__pycache__", "elsewhere", "graphlint"]


def test_runs_at_the_same_time_leave_one_whole_file(copy):
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", CODE, ARTIFACT]
    runs = [
        subprocess.Popen(
            command, env={**kept, "PYTHONPATH": str(copy.folder)}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for _ in range(4)
    ]
    reports = {run.communicate()[0] for run in runs}
    assert reports == {copy.check()[0].encode()}
    assert copy.check()[1] == ALL
    assert len(copy.bundles) == 1
