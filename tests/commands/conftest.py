"""The command line with an engine that answers what a test told it to."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from graphlint.cli.clicked import app
from graphlint.ir.source import SourceFrame
from graphlint.report.results import Action, FileResult
from graphlint.rules.diagnostics import Diagnostic, Fix
from graphlint.rules.settings import Settings

# They take the engine when they are imported, which must not happen while it is another one, for that would stay.
for name in ("graphlint.cli.show", "graphlint.cli.restore"):
    importlib.import_module(name)


class FakeRule(NamedTuple):
    code: str
    name: str
    enabled_by_default: bool = True
    severity: str = "error"
    fix: str = "none"
    fix_sometimes: bool = False
    option: str = ""
    summary: str = "Summary."
    documentation: str = "## What it does\nThis."


RULES = (
    FakeRule("GL001", "unreadable-artifact"),
    FakeRule("GL101", "in-place-op", fix="safe", fix_sometimes=True),
    FakeRule("GL103", "buffer-mutation", fix="safe"),
    FakeRule("GL301", "print", fix="unsafe"),
    FakeRule("GL501", "training-dialect", enabled_by_default=False, severity="note"),
)


class FakeEngine:
    """``results`` maps a path to what processing it returns or raises; everything else is clean."""

    def __init__(self) -> None:
        self.results: dict[str, FileResult | BaseException] = {}
        self.calls: list[tuple[str, Settings, Action]] = []

    def process(self, path: str, settings: Settings, action: Action, **_: object) -> FileResult:
        self.calls.append((path, settings, action))
        result = self.results.get(path, FileResult(path, programs=("model",)))
        if isinstance(result, BaseException):
            raise result
        return result

    @property
    def settings(self) -> Settings:
        """What the only call was given."""
        [(_, settings, _)] = self.calls
        return settings


@pytest.fixture
def engine(monkeypatch, tmp_path) -> FakeEngine:
    fake = FakeEngine()
    engine_module = ModuleType("graphlint.run.engine")
    engine_module.process = fake.process  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "graphlint.run.engine", engine_module)
    for name in ("cli.rules", "rules.selection", "rules.targets.model", "run.review"):
        monkeypatch.setattr(f"graphlint.{name}.RULES", RULES)
    for name in ("NO_COLOR", "FORCE_COLOR", "GRAPHLINT_OUTPUT_FORMAT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def run(engine):
    def run(*arguments: str, **environment: str) -> Result:
        result = CliRunner().invoke(app, arguments, prog_name="graphlint", env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def finding():
    def finding(
        path: str = "model.pt2", code: str = "GL103", applicability: str = "safe", **rest: object
    ) -> Diagnostic:
        name = next(rule.name for rule in RULES if rule.code == code)
        frame = SourceFrame("models.py", 84, "forward", "self.count.add_(1)")
        fix = Fix(applicability, "becomes aten.add.Tensor")  # type: ignore[arg-type]
        fields = {"severity": "error", "message": "writes", "node": "add_", "source": frame, **rest}
        return Diagnostic(code=code, rule=name, fix=fix, path=path, **fields)  # type: ignore[arg-type]

    return finding
