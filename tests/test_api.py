"""``graphlint.lint`` and ``graphlint.fix``: what the command line prints, as values."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import graphlint
from graphlint.artifact.errors import ConfigError
from graphlint.report.results import FileResult

NEWEST = Path(__file__).parent / "artifacts" / "2.13.0"


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graphlint.toml").write_text("")
    shutil.copyfile(NEWEST / "key_value_cache.pt2", tmp_path / "model.pt2")
    return tmp_path / "model.pt2"


def reported(*arguments):
    result = subprocess.run(
        [sys.executable, "-m", "graphlint", "--output-format", "json", *arguments], capture_output=True, timeout=60
    )
    [file] = json.loads(result.stdout)["files"]
    return file


def test_lint_gives_what_the_command_line_prints(model):
    result = graphlint.lint("model.pt2")
    assert isinstance(result, FileResult)
    assert result.diagnostics != ()
    assert result == graphlint.lint(Path("model.pt2"))
    shown = [(one["code"], one["message"]) for one in reported("model.pt2")["diagnostics"]]
    assert [(one.code, one.message) for one in result.diagnostics] == shown
    assert all(isinstance(one, graphlint.Diagnostic) for one in result.diagnostics)


def test_fix_writes_the_file_and_diff_does_not(model):
    before = model.read_bytes()
    shown = graphlint.fix(model, diff=True)
    assert shown.diff.startswith(f"--- {model}:model (as it is)\n")
    assert (shown.changed, model.read_bytes()) == (False, before)
    result = graphlint.fix(model)
    assert (result.changed, result.error) == (True, None)
    assert result.fixed == shown.fixed != ()
    assert model.read_bytes() != before
    assert graphlint.fix(model).changed is False


def test_options_go_before_the_configuration(model):
    everything = {one.code for one in graphlint.lint(model).diagnostics}
    Path("graphlint.toml").write_text(f'ignore = ["{min(everything)}"]\n')
    Path("other.toml").write_text(f'select = ["{max(everything)}"]\n')
    assert {one.code for one in graphlint.lint(model).diagnostics} == everything - {min(everything)}
    assert {one.code for one in graphlint.lint(model, isolated=True).diagnostics} == everything
    assert {one.code for one in graphlint.lint(model, config="other.toml").diagnostics} == {max(everything)}
    assert {one.code for one in graphlint.lint(model, select=[min(everything)]).diagnostics} == {min(everything)}
    unfixable = graphlint.lint(model, isolated=True, unfixable="GL")
    assert not any(one.fixable for one in unfixable.diagnostics)
    assert graphlint.fix(model, isolated=True, unfixable="GL").changed is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"select": "GL999"}, "select: no rule is called 'GL999'; did you mean "),
        ({"target": "onx"}, "^target: unknown target 'onx'; did you mean 'onnx'"),
        ({"token_sink": "drain"}, "^token_sink: unknown value 'drain', expected one of buffer, output$"),
        ({"config": "nowhere.toml"}, "nowhere.toml"),
        ({"ops": {"x.y": {"write": []}}}, "^ops: "),
    ],
)
def test_options_that_are_not_understood(model, options, message):
    with pytest.raises(ConfigError, match=message):
        graphlint.lint(model, **options)


def test_options_that_there_are_not(model):
    for function in (graphlint.lint, graphlint.fix, graphlint.restore, graphlint.lint_many):
        with pytest.raises(TypeError, match="selct"):
            function(model, selct="GL1")


def test_what_cannot_be_read_is_in_the_result(tmp_path):
    (tmp_path / "broken.pt2").write_bytes(b"no zip")
    assert [one.code for one in graphlint.lint(tmp_path / "broken.pt2").diagnostics] == ["GL001"]


def test_a_fix_can_be_verified(model):
    pytest.importorskip("torch")
    result = graphlint.fix(model, verify=True)
    assert (result.changed, result.error) == (True, None)


def test_the_result_can_be_stored(model):
    assert msgspec.json.decode(msgspec.json.encode(graphlint.lint(model)), type=FileResult) == graphlint.lint(model)


def test_importing_graphlint_imports_next_to_nothing():
    code = "import sys, graphlint; print(*(name for name in sys.modules if name.startswith(('graphlint', 'torch'))))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "graphlint\n"


def test_names():
    for name in graphlint.__all__:
        if name != "lint_program":
            assert getattr(graphlint, name) is not None
    with pytest.raises(AttributeError, match=r"^module 'graphlint' has no attribute 'lnt'$"):
        _ = graphlint.lnt


def test_without_torch(monkeypatch):
    import graphlint.runtime

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "graphlint.runtime.programs", raising=False)
    with pytest.raises(
        ImportError, match=r"^graphlint.runtime.lint_program needs torch: pip install 'torch-graphlint\[torch\]'$"
    ):
        _ = graphlint.lint_program
