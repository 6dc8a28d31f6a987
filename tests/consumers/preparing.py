"""What graphlint makes of an artifact for a target, and what it says of the result."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

import graphlint


class Prepared(msgspec.Struct, frozen=True):
    """``graphlint check --fix --target T``, and what ``graphlint check --target T`` says afterwards."""

    changed: bool
    fixed: tuple[str, ...]
    """Codes of what was fixed."""
    left: tuple[str, ...]
    """Codes of what makes a check of the result fail; empty when graphlint calls it clean."""
    notes: tuple[str, ...]
    """Codes of the notes on it."""

    @property
    def clean(self) -> bool:
        """Whether graphlint says that the consumer takes it."""
        return not self.left


def prepare(artifact: Path, program: str, target: str) -> Prepared:
    """Fix an artifact in place. Raises RuntimeError where graphlint fails."""
    fix = _run(artifact, "--fix", "--target", target)
    check = _run(artifact, "--target", target)
    if check["changed"]:
        raise RuntimeError(f"{artifact}: a check without --fix changed the file")
    notes = [one for one in check["diagnostics"] if one["severity"] == "note"]
    left = [one for one in check["diagnostics"] if one["severity"] != "note"]
    return Prepared(fix["changed"], *(_codes(found, program) for found in (fix["fixed"], left, notes)))


def prepare_here(artifact: Path, program: str, target: str) -> Prepared:
    """The same in this process, for many small programs: starting one takes longer than they do."""
    fix = graphlint.fix(artifact, target=target, isolated=True)
    check = graphlint.lint(artifact, target=target, isolated=True)
    if fix.error or check.error:
        raise RuntimeError(f"{artifact.name}: {fix.error or check.error}")
    found = [msgspec.to_builtins(one) for one in check.diagnostics]
    notes, left = (
        [one for one in found if one["severity"] == "note"],
        [one for one in found if one["severity"] != "note"],
    )
    fixed = [msgspec.to_builtins(one) for one in fix.fixed]
    return Prepared(fix.changed, *(_codes(some, program) for some in (fixed, left, notes)))


def _run(artifact: Path, *options: str) -> dict[str, Any]:
    words = [sys.executable, "-m", "graphlint", "check", "--isolated", "--output-format", "json", *options]
    result = subprocess.run([*words, str(artifact)], capture_output=True, text=True, timeout=120)
    if result.returncode not in (0, 1):
        raise RuntimeError(f"{' '.join(words[1:])} {artifact.name} failed:\n{result.stderr}")
    (file,) = json.loads(result.stdout)["files"]
    if file["error"]:
        raise RuntimeError(f"{artifact.name}: {file['error']}")
    clean = not (file["changed"] or any(one["severity"] != "note" for one in file["diagnostics"]))
    if clean != (result.returncode == 0):
        raise RuntimeError(f"{artifact.name}: exit status {result.returncode} is not what the report says")
    return file


def _codes(diagnostics: list[dict[str, Any]], program: str) -> tuple[str, ...]:
    return tuple(sorted({one["code"] for one in diagnostics if one["program"] == program}))
