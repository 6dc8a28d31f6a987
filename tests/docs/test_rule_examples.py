"""The Python in each rule's documentation: what leads to a finding of the rule, and what does not."""

from __future__ import annotations

import ast
import json
import logging
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from graphlint.rules.base import Rule
from graphlint.rules.registry import RULES

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
EARLIER = {
    "GL004": ("2.5.1", "clean", "Clean"),
    "GL204": ("2.9.1", "constrain_range_for_size", "ConstrainRangeForSize"),
}
"""Rules whose example an earlier torch exports: its version, the artifact that it wrote, and the class in
``artifacts/models.py`` that the artifact was made of, which is the example's.
"""
COMPILING = ("GL005", "GL307")
"""Rules whose example takes a C++ compiler."""
PYTHON = re.compile(r"^```python(.*)\n((?:.*\n)*?)^```$", re.MULTILINE)
HEADINGS = ("Example", "Use instead")


def pythons(rule: Rule, heading: str) -> list[tuple[list[str], str]]:
    """The Python under a heading, each with the options of the check."""
    parts = re.split(r"^## (.+)$", rule.documentation, flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True)).get(heading, "")
    return [(shlex.split(options), code) for options, code in PYTHON.findall(text)]


def findings(folder: Path, code: str, rule: str, options: list[str]) -> list[str]:
    """What a check finds in what the code exports: codes of rules."""
    code = f"import torch\n{code}"
    (folder / "model.py").write_text(code)
    module = sys.modules["model"] = ModuleType("model")  # where its classes are looked up
    exec(compile(code, str(folder / "model.py"), "exec"), vars(module))
    if not (folder / "model.pt2").exists():
        model = module.model if hasattr(module, "model") else module.Model()
        inputs = getattr(module, "inputs", (torch.randn(3, 4),))
        shapes = getattr(module, "dynamic_shapes", None)
        torch.export.save(torch.export.export(model, inputs, dynamic_shapes=shapes), "model.pt2")
    command = [sys.executable, "-m", "graphlint", "check", "--output-format", "json", "--extend-select", rule]
    result = subprocess.run([*command, *options, "model.pt2"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert result.returncode in (0, 1), result.stderr
    files = json.loads(result.stdout)["files"]
    assert all(file["error"] is None for file in files)
    return [one["code"] for file in files for one in file["diagnostics"]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_has_python_before_and_after(rule):
    """One of each, at the head of its section, found by the same check."""
    found = [pythons(rule, heading) for heading in HEADINGS]
    (before,), (after,) = found
    assert before[0] == after[0]


def class_of(code: str, name: str) -> str:
    """A class of a module, whatever it is called there, and ``torch.nn`` too."""
    found = next(one for one in ast.parse(code).body if isinstance(one, ast.ClassDef) and one.name == name)
    found.name = "Model"
    return ast.unparse(found).replace("torch.nn.", "nn.")


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_the_rule_flags_what_is_before_and_not_what_is_after(rule, tmp_path, monkeypatch):
    if rule.code in COMPILING and not (shutil.which("g++") and shutil.which("ninja")):
        pytest.skip("its example is compiled by g++, which is not here, or by ninja")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    found = []
    for heading in HEADINGS:
        ((options, code),) = pythons(rule, heading)
        folder = tmp_path / heading
        folder.mkdir()
        monkeypatch.chdir(folder)
        if heading == "Example" and rule.code in EARLIER:
            version, artifact, name = EARLIER[rule.code]
            assert class_of(code, "Model") == class_of((ARTIFACTS / "models.py").read_text(), name)
            shutil.copy(ARTIFACTS / version / f"{artifact}.pt2", "model.pt2")
            code = ""
        with torch.library._scoped_library("mylib", "FRAGMENT"):
            found.append(findings(folder, code, rule.code, options))
    assert rule.code in found[0]
    assert rule.code not in found[1]
