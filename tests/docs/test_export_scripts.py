"""The export scripts of the guide do what they say, where their consumers are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest
from tests.docs import blocks

PAGE = blocks.SITE / "guide" / "export-scripts.md"
SCRIPTS = {title: code for _, title, code in blocks.BLOCK.findall(PAGE.read_text())}
NEEDS = {
    "export_llama.py": ("transformers", None),
    "compile_counter.py": ("torch", "g++"),
    "lower_counter.py": ("executorch", None),
}


def test_each_script_is_run():
    assert SCRIPTS.keys() == NEEDS.keys()


@pytest.mark.parametrize("name", NEEDS)
def test_a_script_does_what_it_says(name, tmp_path):
    module, program = NEEDS[name]
    if importlib.util.find_spec(module) is None or (program is not None and shutil.which(program) is None):
        pytest.skip(f"needs {module}{f' and {program}' if program else ''}")
    (tmp_path / name).write_text(SCRIPTS[name])
    path = os.pathsep.join([str(blocks.PROJECT / "lint"), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-W", "ignore", name],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
