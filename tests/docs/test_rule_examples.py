"""The Python of each rule's page: what leads to a finding of the rule, and what does not."""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from graphlint.rules.registry import RULES

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
WITHOUT = {
    "GL004": "torch 2.5 and before write such files only",
    "GL006": "a fix finds it, of files that no Python makes",
    "GL204": "what the op checks, torch 2.10 and later write as GL203",
    "GL005": "a compiled package takes a C++ compiler",
    "GL306": "takes a group of processes",
    "GL307": "takes a class that C++ registers",
}
"""Rules whose pages have no Python, and why."""


def parts(path: Path) -> tuple[list[str], str, str]:
    """Options of the check, and the code before and after."""
    head, _, rest = path.read_text().partition("# before\n")
    before, _, after = rest.partition("# after\n")
    return shlex.split(head.removeprefix("# graphlint")), before, after


def findings(folder: Path, code: str, rule: str, options: list[str]) -> list[str]:
    """What a check finds in what the code exports: codes of rules."""
    (folder / "model.py").write_text(code)
    module = sys.modules["model"] = ModuleType("model")  # where its classes are looked up
    exec(compile(code, str(folder / "model.py"), "exec"), vars(module))
    if not (folder / "model.pt2").exists():
        shapes = getattr(module, "dynamic_shapes", None)
        torch.export.save(torch.export.export(module.model, module.inputs, dynamic_shapes=shapes), "model.pt2")
    command = [sys.executable, "-m", "graphlint", "check", "--output-format", "json", "--extend-select", rule]
    result = subprocess.run([*command, *options, "model.pt2"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert result.returncode in (0, 1), result.stderr
    files = json.loads(result.stdout)["files"]
    assert all(file["error"] is None for file in files)
    return [one["code"] for file in files for one in file["diagnostics"]]


def test_every_rule_has_python_before_and_after():
    assert {path.stem.upper() for path in EXAMPLES.glob("gl*.py")} == {rule.code for rule in RULES} - WITHOUT.keys()


@pytest.mark.filterwarnings("ignore")  # torch's own
@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("gl*.py")), ids=lambda path: path.stem)
def test_the_rule_flags_what_is_before_and_not_what_is_after(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logging.getLogger("torch.export").setLevel(logging.ERROR)
    rule = path.stem.upper()
    options, *codes = parts(path)
    found = []
    for name, code in zip(("before", "after"), codes, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        monkeypatch.chdir(folder)
        with torch.library._scoped_library("mylib", "FRAGMENT"):
            found.append(findings(folder, code, rule, options))
    assert rule in found[0]
    assert rule not in found[1]
