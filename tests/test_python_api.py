"""The Python API cannot be misused: results, exceptions, sources of bytes, assertions, the pytest plugin, types."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import graphlint

NEWEST = Path(__file__).parent / "artifacts" / "2.13.0"
LINT = Path(graphlint.__file__).parents[1]


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graphlint.toml").write_text("")
    shutil.copyfile(NEWEST / "key_value_cache.pt2", tmp_path / "model.pt2")
    return tmp_path / "model.pt2"


class Counter(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(2))

    def forward(self, x):
        self.count.add_(1)
        return x + self.count


def exported():
    return torch.export.export(Counter(), (torch.ones(2),))


# -- results


def test_a_result_says_whether_it_is_ok(model):
    result = graphlint.lint(model)
    assert isinstance(result, graphlint.Result)
    assert (result.ok, result.error, result.findings) == (False, None, result.diagnostics)
    assert graphlint.lint(NEWEST / "clean.pt2").ok is True
    noted = (
        graphlint.lint(model, config="noted.toml") if Path("noted.toml").write_text('severity.GL = "note"') else None
    )
    assert (noted.ok, [one.severity for one in noted.findings]) == (True, ["note"])


def test_a_result_is_neither_true_nor_false(model):
    with pytest.raises(TypeError, match=r"^a result is neither true nor false: use result\.ok or result\.findings$"):
        bool(graphlint.lint(model))


def test_a_result_prints_as_the_terminal_shows_it(model):
    command = [sys.executable, "-m", "graphlint", "model.pt2"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60).stdout
    assert f"{graphlint.lint('model.pt2')}\n" == shown
    assert str(graphlint.lint(NEWEST / "clean.pt2")) == "All checks passed!"


def test_a_notebook_shows_the_report_in_a_frame(model):
    html = graphlint.lint(model)._repr_html_()
    assert re.match(r'<iframe srcdoc="[^"]*"', html)
    assert "GL103" in html
    assert "<script" not in html


class Writing(torch.nn.Module):
    def forward(self, x):
        y = x * 2
        y += 1
        y -= x + 1
        y.relu_()
        z = torch.zeros(2)
        z[0] = 1
        return torch.add(y, z, out=y)


def test_advice_is_python_that_the_author_can_write():
    found = graphlint.lint_program(torch.export.export(Writing(), (torch.ones(2),)))
    assert [(one.op, one.advice) for one in found if one.code in ("GL101", "GL106")] == [
        ("aten.add_.Tensor", "use `y = y + 1` instead of `y += 1`"),
        ("aten.sub_.Tensor", "use `y = y - (x + 1)` instead of `y -= x + 1`"),
        ("aten.relu_.default", "use `relu` instead of `relu_` (or of `inplace=True`)"),
        ("aten.copy_.default", "compute a new tensor instead of writing to this one"),
        ("aten.add.out", "use the tensor that the function returns instead of `out=`"),
    ]


# -- names and exceptions


def test_dir_has_all_that_there_is():
    assert set(graphlint.__all__) <= set(dir(graphlint))
    for name in graphlint.__all__:
        assert getattr(graphlint, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'lnit'"):
        _ = graphlint.lnit
    named = {name for name in dir(__import__("graphlint.artifact.errors", fromlist=["x"])) if name.endswith("Error")}
    assert named - {"FileNotFoundError"} <= set(graphlint.__all__)


@pytest.mark.parametrize("function", [graphlint.lint, graphlint.fix, graphlint.restore, graphlint.scan])
def test_a_missing_file_is_told_as_such(model, function):
    with pytest.raises(graphlint.MissingFileError, match=r"^nope\.pt2: there is no such file$") as caught:
        function("nope.pt2")
    assert isinstance(caught.value, (FileNotFoundError, graphlint.GraphlintError))


def test_a_broken_configuration_is_told_as_such(model):
    Path("graphlint.toml").write_text("selct = 1")
    with pytest.raises(graphlint.ConfigError, match="unknown key 'selct'"):
        graphlint.lint(model)


# -- what is no file


def test_bytes_and_file_objects_are_linted_as_files_are(model):
    found = [(one.code, one.message) for one in graphlint.lint(model).findings]
    data = model.read_bytes()
    with model.open("rb") as stream:
        stream.seek(3)
        results = [
            graphlint.lint(data),
            graphlint.lint(memoryview(data)),
            graphlint.lint(io.BytesIO(data)),
            graphlint.lint(stream),
        ]
        assert stream.tell() == 3
    assert [result.path for result in results] == ["<bytes>", "<bytes>", "<stream>", str(model)]
    for result in results:
        assert [(one.code, one.message) for one in result.findings] == found
    assert graphlint.lint(b"no zip").findings[0].code == "GL001"
    assert graphlint.scan(data) == graphlint.scan(model) == ()


def test_what_is_no_artifact_at_all_is_a_type_error():
    with pytest.raises(TypeError, match=r"^expected a path, bytes or a binary file object, found int$"):
        graphlint.lint(7)


# -- assertions


def test_assert_functional(model):
    with pytest.raises(AssertionError, match="the program is not functional:\n\nGL103") as caught:
        graphlint.assert_functional(model)
    assert "Found 1 error." in str(caught.value)
    graphlint.assert_functional(model, accept="GL103")
    graphlint.assert_functional(model, accept=["buffer-mutation"])
    graphlint.assert_functional(model.read_bytes(), accept="GL1")
    graphlint.assert_functional(NEWEST / "clean.pt2")


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of run_decompositions itself
def test_assert_functional_of_a_program_in_memory():
    program = exported()
    with pytest.raises(AssertionError, match=r"aten\.add_\.Tensor writes buffer 'count'"):
        graphlint.assert_functional(program)
    graphlint.assert_functional(program, accept="GL103")
    graphlint.assert_functional(program.run_decompositions({}))
    with pytest.raises(graphlint.ConfigError, match="unknown target"):
        graphlint.assert_functional(program, target="nowhere")


def test_export_clean_saves_what_is_functional(tmp_path):
    path = tmp_path / "counter.pt2"
    result = graphlint.export_clean(exported(), path)
    assert ([one.code for one in result.fixed], result.path, result.ok) == (["GL103"], str(path), True)
    assert list(tmp_path.iterdir()) == [path]
    graphlint.assert_functional(path)
    extra = {"graphlint.json": ""}
    loaded = torch.export.load(path, extra_files=extra).module()
    assert "GL103" in str(extra)
    assert [loaded(torch.zeros(2)).tolist() for _ in range(2)] == [[1, 1], [2, 2]]
    with pytest.raises(graphlint.WriteError, match="cannot write"):
        graphlint.export_clean(exported(), tmp_path / "nowhere" / "x.pt2")


# -- the plugin

TEST_MODULE = """
from pathlib import Path
import pytest


def test_clean(assert_functional):
    assert_functional(Path({clean!r}))


def test_counter(assert_functional):
    assert_functional(Path({counter!r}))
"""


@pytest.mark.parametrize(
    ("options", "ini", "failed"),
    [([], "", 1), (["--graphlint-target", "module"], "", 0), ([], "graphlint_target = module", 0)],
)
def test_the_plugin_asserts_for_the_targets_of_the_run(tmp_path, options, ini, failed):
    module = TEST_MODULE.format(clean=str(NEWEST / "clean.pt2"), counter=str(NEWEST / "async_assert.pt2"))
    (tmp_path / "test_models.py").write_text(module)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "graphlint.runtime.plugin", *options, "test_models.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert f"{2 - failed} passed" in result.stdout
    assert ("GL201 [*] async-assert" in result.stdout, result.returncode) == (bool(failed), failed)


def test_the_plugin_loads_nothing_of_graphlint_until_it_is_used():
    script = (
        "import sys, graphlint.runtime.plugin; print([name for name in sys.modules if name.startswith('graphlint.')])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60).stdout
    assert eval(out) == ["graphlint.runtime", "graphlint.runtime.plugin"]


# -- types

SCRIPT = """
from pathlib import Path

import graphlint

result = graphlint.lint("model.pt2", select=["GL1"], target="onnx")
passed: bool = result.ok
codes: list[str] = [one.code for one in result.findings]
why: str | None = result.error
html: str = result._repr_html_()
graphlint.lint(Path("model.pt2").read_bytes())
with open("model.pt2", "rb") as stream:
    graphlint.lint(stream)
try:
    fixed: graphlint.Result = graphlint.fix(Path("model.pt2"), verify=True)
except graphlint.MissingFileError as error:
    print(error)
for one in graphlint.lint_many(["models"], jobs=2):
    print(one)


def test_model() -> None:
    graphlint.assert_functional("model.pt2", target=["onnx", "inductor"], accept="GL302")
"""
PLUGIN_USER = """
from collections.abc import Callable


def test_model(assert_functional: Callable[..., None]) -> None:
    assert_functional("model.pt2")
"""


@pytest.fixture(scope="module")
def types(tmp_path_factory):
    return tmp_path_factory.mktemp("types")  # where mypy keeps what it knows of graphlint


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (SCRIPT, ""),
        (PLUGIN_USER, ""),
        (SCRIPT.replace("passed: bool = result.ok", "passed: str = result.ok"), "Incompatible types in assignment"),
        (SCRIPT.replace('target="onnx"', "targt=1"), 'Unexpected keyword argument "targt"'),
    ],
    ids=["script", "plugin", "wrong-type", "wrong-option"],
)
def test_types_of_a_users_script(types, script, error):
    (types / "script.py").write_text(script)
    result = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--ignore-missing-imports", "script.py"],
        cwd=types,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "MYPYPATH": str(LINT)},
    )
    assert error in result.stdout
    assert (result.returncode == 0) is (error == ""), result.stdout
