"""Reading is on the way of every check, which has about 50 ms: it must not load what it does not need."""

import subprocess
import sys
from pathlib import Path

SAMPLE = Path(__file__).parents[1] / "artifacts" / "2.13.0" / "two_programs.pt2"

READ = f"""
import sys
before = set(sys.modules)
import msgspec, graphlint.artifact.errors
loaded_with_msgspec = set(sys.modules)
from graphlint.artifact.artifact import open_artifact
with open_artifact({str(SAMPLE)!r}) as artifact:
    for entry in artifact.programs:
        artifact.read_program(entry)
print(*sorted(set(sys.modules) - loaded_with_msgspec))
"""


def test_modules_loaded_by_reading():
    result = subprocess.run([sys.executable, "-I", "-c", READ], capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    assert loaded <= {
        "graphlint.artifact",
        "graphlint.artifact.artifact",
        "graphlint.artifact.container",
        "graphlint.artifact.source",
        "graphlint.artifact.limits",
        "graphlint.artifact.patterns",
        "_contextvars",
        "_struct",
        "contextvars",
        "struct",
        "zlib",
    }


def test_rewriting_needs_no_torch():
    program = "import sys, graphlint.artifact.rewrite, graphlint.artifact.constants\n"
    program += "print('torch' in sys.modules, 'zipfile' in sys.modules)"
    result = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
