"""The Python in each rule's documentation: what leads to a finding of the rule, and what does not."""

from __future__ import annotations

import json
import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from graphlint.rules.base import Rule
from graphlint.rules.registry import RULES

WITHOUT = {
    "GL004": "torch 2.5 and before write such files only",
    "GL006": "a fix finds it, of files that no Python makes",
    "GL204": "what the op checks, torch 2.10 and later write as GL203",
    "GL005": "a compiled package takes a C++ compiler",
    "GL306": "takes a group of processes",
    "GL307": "takes a class that C++ registers",
}
"""Rules whose documentation has no Python, and why."""
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
    if rule.code in WITHOUT:
        assert found == [[], []]
        return
    (before,), (after,) = found
    assert before[0] == after[0]


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.code not in WITHOUT], ids=lambda rule: rule.code)
def test_the_rule_flags_what_is_before_and_not_what_is_after(rule, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    found = []
    for heading in HEADINGS:
        ((options, code),) = pythons(rule, heading)
        folder = tmp_path / heading
        folder.mkdir()
        monkeypatch.chdir(folder)
        with torch.library._scoped_library("mylib", "FRAGMENT"):
            found.append(findings(folder, code, rule.code, options))
    assert rule.code in found[0]
    assert rule.code not in found[1]
