"""One cause is told once, by the line that it comes from, and whatever else there is to know is counted."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result
from tests.text_form import document_of, print_program

from graphlint.cli.clicked import app
from graphlint.ir.source import SourceFrame
from graphlint.report.formats import concise, full, grouped, phrasing, summary
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.fixing import fix_program
from graphlint.rules.linting import lint_and_count
from graphlint.rules.view import ProgramView
from graphlint.run.api import program_settings

ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
PACKAGES = "/usr/lib/python3.11/site-packages"
CHECK = "aten._assert_tensor_metadata.default"


def found_in(text: str, path: str = "model.pt2", **options: object) -> FileResult:
    """What a check of a program in text form finds by the settings that hold where nothing is configured."""
    settings = program_settings(**options)
    found, idle = lint_and_count(ProgramView(document_of(text), settings), "model", path, settings)
    return FileResult(path, tuple(one.diagnostic for one in found), idle=idle)


def causes(*results: FileResult) -> list[tuple[str, list[str]]]:
    """The code of each cause, with those of the findings that follow from it."""
    groups = phrasing.by_cause(results, ReportOptions())
    return [(group.first.code, sorted(one.code for one in group.following)) for group in groups]


NORMS = """program TRAINING
graph(%m: f32[4] = buffer "bn.running_mean", %v: f32[4] = buffer "bn.running_var", \
%n: i64[] = buffer "bn.num_batches_tracked", %own: i64[] = buffer "steps", %x: f32[2, 4]):
  %add_: i64[] = aten.add_.Tensor(%n, 1)
  %y: f32[2, 4] = aten.batch_norm.default(%x, None, None, %m, %v, True, 0.1, 1e-05, True)
  %add__1: i64[] = aten.add_.Tensor(%own, 1)
  return %y
"""


def test_a_norm_in_train_mode_is_one_cause():
    assert causes(found_in(NORMS)) == [("GL309", ["GL103", "GL107"]), ("GL103", [])]


def test_its_statistics_lead_where_training_is_meant():
    assert causes(found_in(NORMS, ignore="GL309")) == [("GL107", ["GL103"]), ("GL103", [])]


def test_a_region_with_a_write_is_one_cause():
    region = """program TRAINING
graph(%p: f32[4] grad = parameter "weight", %x: f32[4]):
  %z: f32[4] = higher_order.wrap_with_set_grad_enabled(False, @region, %p)
    @region(%p: f32[4]):
      %mul_: f32[4] = aten.mul_.Tensor(%p, 2)
      return %mul_
  return %x
"""
    assert causes(found_in(region)) == [("GL104", ["GL401", "GL403"])]
    assert causes(found_in(region.replace("aten.mul_.Tensor(%p", "aten.mul.Tensor(%p"))) == [("GL401", [])]


def test_an_out_overload_is_one_cause_with_its_write():
    text = """program TRAINING
graph(%b: f32[4] = buffer "b", %x: f32[4]):
  %add: f32[4] = aten.add.out(%x, 1, out=%b)
  return %add
"""
    assert causes(found_in(text)) == [("GL103", ["GL106"])]


def test_what_follows_is_counted_and_listed_on_request():
    result = found_in(NORMS)
    text = full.render([result], ReportOptions())
    assert text.count("GL107") == 1
    assert " = note: 2 more findings have the same cause: GL103, GL107 (--verbose lists them)\n" in text
    everything = full.render([result], ReportOptions(everything=True))
    assert re.findall(r"^GL\d+", everything, re.MULTILINE) == ["GL309", "GL103", "GL107", "GL103"]
    assert summary.render([result], ReportOptions()).startswith("Found 4 errors, from 2 causes.\n")


def test_the_line_of_an_installed_package_is_shown_beside_that_of_the_model(buffer_mutation):
    model = SourceFrame("/home/me/net.py", 7, "forward", "x = self.model(x)")
    layer = SourceFrame(f"{PACKAGES}/transformers/cache.py", 63, "update", "self.count.add_(1)")
    torchs = SourceFrame(f"{PACKAGES}/torch/nn/modules/module.py", 1, "_call_impl", "return forward_call()")
    both = msgspec.structs.replace(buffer_mutation, source=model, stack=(model, layer, torchs))
    text = full.render([FileResult("model.pt2", (both,))], ReportOptions(folder="/home/me"))
    assert text.splitlines()[1:4] == [
        " --> net.py:7 in forward",
        "7 |     x = self.model(x)",
        " ... transformers/cache.py:63 in update: self.count.add_(1)",
    ]
    library = msgspec.structs.replace(buffer_mutation, source=None, stack=(layer, torchs))
    assert (library.location, library.place.line) == (None, 63)
    text = full.render([FileResult("model.pt2", (library,))], ReportOptions())
    assert text.splitlines()[1:3] == ["  --> transformers/cache.py:63 in update", "63 |     self.count.add_(1)"]
    # What calls the same line of the package from elsewhere has the same cause.
    other = msgspec.structs.replace(both, source=SourceFrame("/home/me/net.py", 9, "forward", "y = self.model(y)"))
    assert len(phrasing.by_cause([FileResult("model.pt2", (both, other))], ReportOptions())) == 1


def test_artifacts_of_one_model_are_told_once(buffer_mutation):
    paths = [f"m{number}.pt2" for number in range(30)]
    results = [FileResult(path, (msgspec.structs.replace(buffer_mutation, path=path),)) for path in paths]
    assert "::: in 30 artifacts: m0.pt2 … m29.pt2\n" in full.render(results, ReportOptions())
    assert concise.render(results, ReportOptions()).endswith(" (in 30 artifacts: m0.pt2 … m29.pt2)\n")
    assert grouped.render(results, ReportOptions()).startswith("m0.pt2 and 29 more artifacts:\n")
    twice = [FileResult(one.path, one.diagnostics * 2) for one in results]
    assert "in 30 artifacts, 60 places: m0" in concise.render(twice, ReportOptions())


def test_a_report_of_24_layers_fits_on_a_screen():
    layers = "".join(
        f"  %add_{n}: f32[4] = aten.add_.Tensor(%b{n}, %x)\n  {CHECK}(%x, dtype=torch.float32)\n" for n in range(24)
    )
    heads = ", ".join(f'%b{n}: f32[4] = buffer "layers.{n}.cache"' for n in range(24))
    result = found_in(f"program TRAINING\ngraph({heads}, %x: f32[4]):\n{layers}  return %x\n")
    text = full.render([result], ReportOptions()) + summary.render([result], ReportOptions())
    assert len(text.splitlines()) < 24
    assert "in 24 places: %add_0 … %add_23" in text
    assert "24 metadata checks that cannot fire; `--extend-select GL205` lists them.\n" in text


# -- what is idle

IDLE = f"""program TRAINING
graph(%b: f32[4] = buffer "b", %x: f32[4]):
  {CHECK}(%x, dtype=torch.float32)
  WRITE
  return %x
"""
FIRING = IDLE.replace("float32", "float64")


def test_a_check_that_cannot_fire_is_counted():
    result = found_in(IDLE.replace("  WRITE\n", ""))
    assert (result.diagnostics, result.idle) == ((), 1)
    said = summary.render([result], ReportOptions())
    assert said == "All checks passed!\n1 metadata check that cannot fire; `--extend-select GL205` lists it.\n"


def test_a_check_that_can_fire_is_a_finding():
    result = found_in(FIRING.replace("  WRITE\n", ""))
    assert ([one.code for one in result.diagnostics], result.idle) == (["GL205"], 0)


@pytest.mark.parametrize(
    ("options", "listed", "idle"),
    [
        ({"extend_select": "GL205"}, 1, 0),
        ({"select": "ALL"}, 1, 0),
        ({"select": "GL2"}, 1, 0),
        ({"ignore": "GL205"}, 0, 0),
        ({"select": "GL1"}, 0, 0),
        ({"target": "onnx"}, 0, 0),
    ],
)
def test_who_asks_for_the_rule_gets_its_findings(options, listed, idle):
    result = found_in(IDLE.replace("  WRITE\n", ""), **options)
    assert (sum(one.code == "GL205" for one in result.diagnostics), result.idle) == (listed, idle)


def fixed(text: str, **options: object):
    return fix_program(document_of(text), "model", "model.pt2", program_settings(**options))


def test_a_fix_takes_idle_checks_along():
    result = fixed(IDLE.replace("WRITE", "%add_: f32[4] = aten.add_.Tensor(%b, %x)"))
    assert CHECK not in print_program(result.document.program)
    assert ([one.code for one in result.fixed], result.remaining, result.idle) == (["GL103"], (), 0)
    assert result.notes == ("program 'model': a check that cannot fire was removed, too",)
    assert dict(result.rules) == {"GL103": 1, "GL205": 1}


def test_a_fix_leaves_a_program_alone_that_has_idle_checks_only():
    result = fixed(IDLE.replace("  WRITE\n", ""))
    assert CHECK in print_program(result.document.program)
    assert (result.fixed, result.idle, result.rules) == ((), 1, {})


def test_a_fix_leaves_idle_checks_that_must_not_be_fixed():
    result = fixed(IDLE.replace("WRITE", "%add_: f32[4] = aten.add_.Tensor(%b, %x)"), unfixable="GL205")
    assert CHECK in print_program(result.document.program)
    assert ([one.code for one in result.fixed], result.idle) == (["GL103"], 1)


# -- on the command line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("metadata_assert", "random", "buffer_counter"):
        shutil.copy(ARTIFACTS / f"{name}.pt2", tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="graphlint")


def test_severities_decide_what_fails(folder):
    assert run("random.pt2", "--select", "GL302").exit_code == 1
    assert run("random.pt2", "--select", "GL302", "--fail-on", "error").exit_code == 0
    assert run("buffer_counter.pt2", "--fail-on", "error").exit_code == 1
    (folder / "graphlint.toml").write_text('severity = { GL = "error", GL302 = "note" }')
    noted = run("random.pt2", "--select", "GL302")
    assert (noted.exit_code, "(note)" in noted.stdout) == (0, True)
    (folder / "graphlint.toml").write_text('severity = { random-op = "error" }\nfail-on = "error"')
    assert run("random.pt2", "--select", "GL302").exit_code == 1
    assert run("--config", 'severity = { GL302 = "warning" }', "random.pt2", "--select", "GL302").exit_code == 0
    (folder / "graphlint.toml").write_text('severity = { GL302 = "fatal" }')
    wrong = run("random.pt2", "--select", "GL302")
    assert (wrong.exit_code, "unknown value 'fatal', expected one of error, warning, note" in wrong.stderr) == (2, True)


@pytest.mark.usefixtures("folder")
def test_idle_checks_are_told_by_the_command():
    result = run("metadata_assert.pt2")
    assert (result.exit_code, re.findall(r"^\d+ metadata.*", result.stdout, re.MULTILINE)) == (
        0,
        ["3 metadata checks that cannot fire; `--extend-select GL205` lists them."],
    )
    listed = json.loads(run("metadata_assert.pt2", "--extend-select", "GL205", "--output-format", "json").stdout)
    assert [one["code"] for one in listed["files"][0]["diagnostics"]] == ["GL205"] * 3
