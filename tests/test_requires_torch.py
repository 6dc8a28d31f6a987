"""``requires-torch`` from end to end, on programs that the installed torch exports, and which versions load a file."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from tests.facts.loading import ARTIFACTS, LOADS
from tests.text_form import encoded, parse_program

import graphlint
from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.errors import ConfigError
from graphlint.artifact.rewrite import write_archive
from graphlint.cli.clicked import app
from graphlint.ops.table import covered

WRITERS = sorted(path.name for path in ARTIFACTS.iterdir() if path.is_dir())
MEASURED = json.loads(LOADS.read_text())


class Decomposed(torch.nn.Module):
    """What torch 2.14 dropped, and what torch 2.8 has with other arguments, and torch 2.6 not at all."""

    def forward(self, x):
        lower = torch.cholesky(x)
        q, r = torch.qr(x)
        return lower + q + r, torch.ops.aten._fused_rms_norm(x, [3], None, 1e-5)


def program():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # what is gone was deprecated
        return torch.export.export(Decomposed(), (torch.eye(3),))


LINES = Path(__file__).read_text().splitlines()
CHOLESKY, QR = (
    next(number for number, line in enumerate(LINES, 1) if op in line) for op in ("torch.cholesky(", "torch.qr(")
)
GONE = [
    "aten.cholesky.default is not in torch 2.14 (gone since 2.14)",
    "aten.qr.default is not in torch 2.14 (gone since 2.14)",
]


NORM = "aten._fused_rms_norm.default"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    torch.export.save(program(), path)
    return path.read_bytes()


@pytest.fixture
def model(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "graphlint.toml").write_text("")
    (tmp_path / "model.pt2").write_bytes(exported)
    return tmp_path / "model.pt2"


def run(*arguments):
    result = CliRunner().invoke(app, arguments, prog_name="graphlint")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.stdout, result.stderr, result.exit_code


def messages(path, **options):
    return [one.message for one in graphlint.lint(path, **options).diagnostics if one.code == "GL602"]


def test_the_model_s_line_says_what_is_missing(model):
    text, _, status = run("check", "--requires-torch", ">=2.9", "--output-format", "concise")
    assert text.splitlines() == [
        f"{Path(__file__)}:{CHOLESKY}: GL602 {GONE[0]} (model.pt2)",
        f"{Path(__file__)}:{QR}: GL602 {GONE[1]} (model.pt2)",
        "Found 2 errors.",
    ]
    assert status == 1
    assert run("check")[2] == 0


@pytest.mark.parametrize(
    ("specifier", "expected"),
    [
        (">=2.9", GONE),
        (">=2.9,<2.14", []),
        ("==2.13.*", []),
        ("==2.8.*", [f"{NORM} takes no argument 'normalized_shape' in torch 2.8 (only since 2.9)"]),
        ("~=2.6", [*GONE, f"{NORM} is not in torch 2.6 (only since 2.8)"]),
        ("", []),
    ],
)
def test_from_python(model, specifier, expected):
    assert messages(model, requires_torch=specifier) == expected
    shown = graphlint.fix(model, requires_torch=specifier, diff=True)
    assert [one.message for one in shown.diagnostics if one.code == "GL602"] == expected


def test_in_the_configuration(model):
    Path("graphlint.toml").write_text('requires-torch = ">=2.14"')
    assert messages(model) == GONE
    assert messages(model, isolated=True) == messages(model, requires_torch="") == []
    assert messages(model, requires_torch=">=2.9,<2.14") == []
    assert messages(model, ignore="GL602") == messages(model, select="GL1") == []
    assert run("check", "--requires-torch", "")[2] == 0
    assert 'requires-torch = ">=2.14"\n' in run("check", "--show-settings")[0]
    Path("graphlint.toml").unlink()
    Path("pyproject.toml").write_text('[tool.graphlint]\nrequires-torch = "==2.15.*"')
    assert messages(model) == [one.replace("in torch 2.14", "in torch 2.15") for one in GONE]
    assert run("check", "--config", 'requires-torch = "<2.10"')[2] == 1


NONE = (
    "admits none of the versions of torch whose ops are known, 2.6 to 2.15: "
    "admit one of them, or take a newer graphlint"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("requires-torch = 2.9", "requires-torch: expected a string, found the number 2.9"),
        (
            'requires-torch = "2.9"',
            "requires-torch: '2.9' is no version specifier; did you mean '==2.9.*' or '>=2.9'?",
        ),
        ('requires-torch = ">=2.16"', f"requires-torch: '>=2.16' {NONE}"),
        ('require-torch = ">=2.9"', "unknown key 'require-torch'; did you mean 'requires-torch'?"),
    ],
)
def test_what_is_wrong_with_it(model, text, message):
    Path("graphlint.toml").write_text(text)
    assert run("check", "--no-cache") == ("", f"error: {Path('graphlint.toml').absolute()}: {message}\n", 2)
    with pytest.raises(ConfigError) as caught:
        graphlint.lint(model)
    assert str(caught.value) == f"{Path('graphlint.toml').absolute()}: {message}"


def test_what_is_wrong_with_the_option(model):
    error = (
        "'new' is no version specifier; write comparisons with releases, such as '>=2.9', '==2.9.*' or '>=2.9,<2.13'"
    )
    assert run("check", "--requires-torch", "new") == (
        "",
        f"error: invalid value for '--requires-torch': {error} (see `graphlint check --help`)\n",
        2,
    )
    with pytest.raises(ConfigError) as caught:
        graphlint.lint(model, requires_torch="new")
    assert str(caught.value) == f"requires-torch: {error}"
    with pytest.raises(ConfigError, match=r"^requires_torch: expected a string, found the number 2\.9$"):
        graphlint.lint(model, requires_torch=2.9)


READING = "torch {} cannot read the file, although requires-torch admits it"
UNKNOWN = "requires-torch '>=2.4' admits other versions than 2.6 to 2.15, whose ops are not known"


@pytest.mark.parametrize(
    ("specifier", "options", "notes"),
    [
        (">=2.9", {}, []),
        (">=2.4,!=2.6.*,!=2.7.*", {}, [UNKNOWN.replace("2.4", "2.4,!=2.6.*,!=2.7.*"), READING.format("2.8")]),
        (">=2.4", {}, [UNKNOWN, READING.format("2.6, 2.7, 2.8")]),
        (">=2.4", {"ignore": "GL602"}, []),
        ("==2.7.*", {}, [READING.format("2.7")]),
    ],
)
def test_what_is_no_matter_of_ops_is_a_note(model, specifier, options, notes):
    assert list(graphlint.lint(model, requires_torch=specifier, **options).notes) == notes
    assert list(graphlint.fix(model, requires_torch=specifier, diff=True, **options).notes) == notes


def test_a_baseline_accepts_it(model):
    assert run("baseline", "--requires-torch", ">=2.9")[2] == 0
    accepted = ("check", "--requires-torch", ">=2.9", "--baseline", "graphlint-baseline.json")
    assert run(*accepted)[2] == 0


def test_a_program_in_memory():
    found = graphlint.lint_program(program(), requires_torch="==2.15.*")
    assert [one.message for one in found] == [one.replace("in torch 2.14", "in torch 2.15") for one in GONE]


NEW = """
graph(%x: f32[3, 3]):
  %u: f32[3, 3], %h: f32[3, 3] = aten.linalg_polar.default(%x)
  %y: f32[3, 3] = aten._scaled_addmm.default(%u, %x, %x, [%x], [1], [1], [%x], [1], [1])
  return %y
"""


@pytest.fixture
def newer(tmp_path):
    """An artifact with an op of torch 2.14 and one of torch 2.15, as torch 2.15 labels it."""
    tree = {**parse_program(NEW), "torch_version": "2.15.0+cpu"}
    path = tmp_path / "newer.pt2"
    with open_artifact(ARTIFACTS / "2.15.0" / "clean.pt2") as artifact, path.open("wb") as file:
        write_archive(artifact.container, {artifact.programs[0].member: encoded(tree)}, file)
    return path


def test_ops_of_newer_versions(newer):
    polar, addmm = "aten.linalg_polar.default is not in torch", "aten._scaled_addmm.default is not in torch"
    assert messages(newer, requires_torch=">=2.15") == []
    assert messages(newer, requires_torch="==2.14.*") == [f"{addmm} 2.14 (only since 2.15)"]
    assert messages(newer, requires_torch=">=2.13") == [
        f"{polar} 2.13 (only since 2.14)",
        f"{addmm} 2.13 (only since 2.15)",
    ]
    found = [one for one in graphlint.lint(newer, requires_torch=">=2.13").diagnostics if one.code == "GL602"]
    assert [one.advice for one in found] == ["export the model again in torch 2.13, or use another op in the model"] * 2


def loads_in(path: Path) -> dict[str, list[str]]:
    """By program, what the JSON report says, and what else says it."""
    text = run("check", "--isolated", "--exit-zero", "--output-format", "json", str(path))[0]
    [file] = json.loads(text)["files"]
    shown = json.loads(run("show", "--isolated", "--format", "json", str(path))[0])["programs"]
    assert {one["name"]: one["loads_in"] for one in shown} == file["loads_in"]
    told: dict[str, list[str]] = file["loads_in"]
    versions = next(iter(told.values()))
    last = f"{versions[0]} to {versions[-1]}" if len(versions) > 1 else "".join(versions)
    line = f"loads in torch {last}" if versions else f"loads in none of torch {covered()[0]} to {covered()[-1]}"
    assert run("show", "--isolated", str(path))[0].splitlines()[1] == line
    return told


def test_which_versions_load_it(model, newer):
    since = covered().index
    assert loads_in(model) == {"model": list(covered()[since("2.9") : since("2.14")])}
    assert loads_in(newer) == {"model": ["2.15"]}
    assert loads_in(ARTIFACTS / "2.5.1" / "clean.pt2") == {"model": []}
    both = list(covered()[since("2.8") :])
    assert loads_in(ARTIFACTS / "2.8.0" / "two_programs.pt2") == {"encoder": both, "decoder": both}


@pytest.mark.parametrize("writer", WRITERS)
def test_artifacts_load_in_what_is_said(writer):
    """``tests/facts/loads.json`` says what each version refused."""
    for path in sorted((ARTIFACTS / writer).glob("*.pt2")):
        names = {f"{writer}/{path.stem}", f"{writer}/*"}
        expected = tuple(version for version in covered() if names.isdisjoint(MEASURED[version]))
        result = graphlint.lint(path, isolated=True)
        assert result.loads_in == dict.fromkeys(result.programs, expected), path.name


def test_what_was_measured_is_what_the_installed_version_does():
    done = subprocess.run([sys.executable, "-m", "tests.facts.loading", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run python -m tests.facts.loading\n{done.stderr}"


def test_the_installed_version_refuses_what_is_said(model, newer):
    version = ".".join(torch.__version__.split(".")[:2])
    assert version in graphlint.lint(model).loads_in["model"]
    torch.export.load(model)
    assert version not in graphlint.lint(newer).loads_in["model"]
    with pytest.raises(RuntimeError):
        torch.export.load(newer)


def test_after_a_fix_it_is_that_of_the_fixed_program(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes((ARTIFACTS / "2.13.0" / "key_value_cache.pt2").read_bytes())
    result = graphlint.fix(path, isolated=True)
    assert result.changed
    assert result.loads_in == graphlint.lint(path, isolated=True).loads_in == {"model": covered()[3:]}


def test_a_program_that_cannot_be_read_is_in_none(tmp_path):
    path = tmp_path / "broken.pt2"
    with open_artifact(ARTIFACTS / "2.13.0" / "two_programs.pt2") as artifact, path.open("wb") as file:
        write_archive(artifact.container, {artifact.programs[0].member: b"{}"}, file)
        names = [entry.name for entry in artifact.programs]
    result = graphlint.lint(path, isolated=True)
    assert (list(result.programs), list(result.loads_in)) == (names, names[1:])
