"""Real artifacts of every torch version: what is reported is what the manifest says is in them, where it is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from graphlint.rules.diagnostics import Diagnostic
from graphlint.run.engine import process

ARTIFACTS = Path(__file__).parent / "artifacts"
VERSIONS = sorted((p.name for p in ARTIFACTS.glob("2.*")), key=lambda name: tuple(map(int, name.split("."))))
MODELS = [line.strip() for line in (ARTIFACTS / "models.py").read_text().splitlines()]
MANIFESTS = {version: json.loads((ARTIFACTS / version / "manifest.json").read_text()) for version in VERSIONS}
CASES = [
    (version, case)
    for version, manifest in MANIFESTS.items()
    for case, targets in manifest.items()
    if isinstance(targets, list)
]

# The catalogue's ops, by the names that the manifests use. In-place ops have a rule per storage; which one it is
# follows from the model (see EXPECTED below).
CATALOGUE: dict[str, set[str]] = {
    "aten._assert_async.msg": {"GL201"},
    "aten._assert_async.default": {"GL202"},
    "aten._assert_scalar.default": {"GL203"},
    "aten.sym_constrain_range.default": {"GL204"},
    "aten.sym_constrain_range_for_size.default": {"GL204"},
    "aten._assert_tensor_metadata.default": {"GL205"},
    "aten._print.default": {"GL301"},
    "aten.rand_like.default": {"GL302"},
    "aten.randn.default": {"GL302"},
    "aten.uniform.default": {"GL302"},
    "aten.uniform_.default": {"GL101", "GL302"},
    "aten.dropout.default": {"GL309"},
    "aten.native_dropout.default": {"GL309"},
    "sample.scale_.default": {"GL305"},
    "with_effects": {"GL308"},
    "wrap_with_set_grad_enabled": {"GL401"},
    "wrap_with_autocast": {"GL402"},
    "aten.batch_norm.default": {"GL107", "GL309"},
    "aten.add.out": {"GL106"},
    "aten.clamp_.default": {"GL101"},
    "aten.fill_.Scalar": {"GL101"},
    "aten.fill_.Tensor": {"GL101"},
    "aten.index_put_.default": {"GL103"},
    "aten.mul_.Tensor": {"GL101"},
    "aten.relu_.default": {"GL101"},
    "aten.sub_.Tensor": {"GL101"},
    "aten.add_.Tensor": {"GL101"},
}
BY_CASE: dict[tuple[str, str], set[str]] = {
    ("buffer_counter", "aten.add_.Tensor"): {"GL103"},
    ("batch_norm_training", "aten.add_.Tensor"): {"GL103"},  # num_batches_tracked
    ("constant_mutation", "aten.add_.Tensor"): {"GL105"},
    ("input_mutation", "aten.relu_.default"): {"GL102"},
}
UNLOADABLE = {"aten.uniform.default", "aten.uniform_.default"}
"""What no torch since 2.6 loads: the artifacts' models give the bounds that the schema has anyway."""
FUNCTIONAL = {
    *("<built-in function ge>", "<built-in function getitem>", "<built-in function le>", "<built-in function mul>"),
    *("auto_functionalized", "cond"),
}
"""Targets that are no aten op and none of the catalogue's."""


def short(op: str | None) -> str:
    """An op as the manifests name it."""
    return str(op).removeprefix("higher_order.")


def at_least(version: str, *wanted: int) -> bool:
    return tuple(map(int, version.split("."))) >= wanted


@pytest.fixture(scope="session")
def check(default_rules):
    def run(version: str, case: str) -> tuple[Diagnostic, ...]:
        result = process(str(ARTIFACTS / version / f"{case}.pt2"), default_rules, "check")
        assert (result.error, result.notes, result.changed) == (None, (), False)
        return result.diagnostics

    return run


def test_every_artifact_is_in_a_manifest_or_has_a_test_of_its_own():
    files = {(path.parent.name, path.stem) for path in ARTIFACTS.glob("*/*.pt2")}
    assert files - set(CASES) == {(version, "two_programs") for version in VERSIONS if at_least(version, 2, 8)}
    assert set(CASES) <= files
    assert len(CASES) > 300


def test_the_catalogue_here_names_every_op_of_the_manifests_that_is_no_plain_function():
    named = {target for version, case in CASES for target in MANIFESTS[version][case]}
    plain = named - set(CATALOGUE) - FUNCTIONAL
    assert set(CATALOGUE) <= named
    assert all(target.startswith("aten.") and not target.split(".")[1].endswith("_") for target in plain)
    assert not [target for target in plain if target.endswith(("out", "_assert_async", "_print"))]


@pytest.mark.parametrize(("version", "case"), CASES)
def test_exactly_the_ops_that_the_catalogue_names_are_reported(check, version, case):
    expected = {
        (code, target if code != "GL309" else "None")  # which is about the program
        for target in MANIFESTS[version][case]
        for code in BY_CASE.get((case, target), CATALOGUE.get(target, set()))
    }
    if at_least(version, 2, 6):
        expected |= {("GL612", target) for target in UNLOADABLE.intersection(MANIFESTS[version][case])}
    assert {(one.code, short(one.op)) for one in check(version, case)} == expected


class Place(NamedTuple):
    """A finding: its rule, its op, the line of models.py that calls it, and the storage it writes."""

    code: str
    op: str
    line: int | None
    storage: str | None = None
    module: str = ""
    subgraph: tuple[str, ...] = ()
    fix: str = "none"


def line_of(text: str, model: str = "") -> int:
    """The number of the only line of models.py, or of one class in it, that holds the text."""
    first = MODELS.index(f"class {model}(nn.Module):") if model else 0
    ends = [number for number, line in enumerate(MODELS) if line.startswith("class ") and number > first]
    last = ends[0] if model and ends else len(MODELS)
    found = [number for number, line in enumerate(MODELS, 1) if text in line and first < number <= last]
    assert len(found) == 1, text
    return found[0]


def checks(*wanted: tuple[str, str, str], subgraph: tuple[str, ...] = ()) -> list[Place]:
    return [Place(code, op, line_of(text), subgraph=subgraph, fix="safe") for code, op, text in wanted]


NORM = line_of("self.norm(self.conv(x))")
MUL = "intermediate tensor %mul"
TRAIN_MODE = Place("GL309", "None", None, None, "None", fix="unsafe")
FINDINGS_26: dict[str, list[Place]] = {
    "async_assert": checks(("GL201", "aten._assert_async.msg", '"x must be above -100"')),
    "two_async_asserts": checks(
        ("GL201", "aten._assert_async.msg", '"x too small"'), ("GL201", "aten._assert_async.msg", '"y too small"')
    ),
    "bare_async_assert": checks(("GL202", "aten._assert_async.default", "aten._assert_async.default(")),
    "buffer_counter": [Place("GL103", "aten.add_.Tensor", line_of("self.count.add_(1)"), "buffer 'count'", fix="safe")],
    "input_mutation": [Place("GL102", "aten.relu_.default", line_of("x.relu_()"), "user input 'x'", fix="safe")],
    "constant_mutation": [
        Place("GL105", "aten.add_.Tensor", line_of("self.seen.add_("), "constant 'seen'", fix="safe")
    ],
    "out_variant": [Place("GL106", "aten.add.out", line_of("out=out)"), "intermediate tensor %empty_like", fix="safe")],
    "batch_norm_training": [
        TRAIN_MODE,
        Place("GL103", "aten.add_.Tensor", NORM, "buffer 'norm.num_batches_tracked'", "norm", fix="safe"),
        Place("GL107", "aten.batch_norm.default", NORM, "buffer 'norm.running_mean'", "norm", fix="safe"),
        Place("GL101", "aten.relu_.default", NORM, "intermediate tensor %batch_norm", fix="safe"),
    ],
    "dropout_training": [TRAIN_MODE],
    "random": [
        Place("GL101", "aten.uniform_.default", line_of(".uniform_(0, 1)"), "intermediate tensor %empty", fix="safe"),
        Place("GL302", "aten.uniform_.default", line_of(".uniform_(0, 1)")),
        Place("GL612", "aten.uniform_.default", line_of(".uniform_(0, 1)"), fix="safe"),
        Place("GL302", "aten.rand_like.default", line_of("torch.rand_like(x)")),
        Place("GL302", "aten.randn.default", line_of("torch.rand_like(x)")),
    ],
    "print": [Place("GL301", "aten._print.default", line_of("aten._print.default("), fix="unsafe")],
    "dynamic_batch": [
        Place(
            "GL101", "aten.mul_.Tensor", line_of("y.mul_(2)", "DynamicBatch"), "intermediate tensor %linear", fix="safe"
        ),
        Place("GL201", "aten._assert_async.msg", line_of('"overflow"'), fix="safe"),
    ],
    "clean": [],
    "nested": [
        Place("GL201", "aten._assert_async.msg", line_of('"a too small"'), fix="safe"),
        Place("GL101", "aten.sub_.Tensor", line_of("total.sub_("), "intermediate tensor %add", fix="safe"),
    ],
    "mutable_custom_op": [Place("GL305", "sample.scale_.default", line_of("torch.ops.sample.scale_("))],
    "no_grad_region": [
        Place("GL401", "wrap_with_set_grad_enabled", line_of("z = y * 2"), fix="safe"),
        Place(
            *("GL101", "aten.add_.Tensor", line_of("z.add_(1)"), MUL),
            subgraph=("wrap_with_set_grad_enabled", "submod_1"),
            fix="safe",
        ),
    ],
}
"""What torch 2.6 and later export alike."""


def place(one: Diagnostic) -> Place:
    storage = one.storage.describe() if one.storage is not None else None
    line = one.source.line if one.source is not None else None
    return Place(one.code, short(one.op), line, storage, str(one.module_path), one.subgraph, one.fix.applicability)


@pytest.mark.parametrize("version", [version for version in VERSIONS if at_least(version, 2, 6)])
@pytest.mark.parametrize("case", sorted(FINDINGS_26))
def test_findings_since_torch_2_6_in_order_with_line_storage_module_and_fix(check, version, case):
    assert [place(one) for one in check(version, case)] == FINDINGS_26[case]


@pytest.mark.parametrize("version", [version for version in VERSIONS if at_least(version, 2, 6)])
def test_writes_to_an_intermediate_name_the_views_on_the_way(check, version):
    # torch 2.9 stopped recording full slices; torch 2.15 fills with a number instead of a lifted constant.
    first = ("aten.slice.Tensor", "aten.select.int") if not at_least(version, 2, 9) else ("aten.select.int",)
    fill = "aten.fill_.Scalar" if at_least(version, 2, 15) else "aten.fill_.Tensor"
    found = check(version, "intermediate")
    assert [(one.code, one.op, one.source.line) for one in found] == [
        ("GL101", "aten.add_.Tensor", line_of("y.add_(1)")),
        ("GL101", "aten.clamp_.default", line_of("y.clamp_(min=0)")),
        ("GL101", "aten.mul_.Tensor", line_of("y[:, 0].mul_(2)")),
        ("GL101", "aten.add_.Tensor", line_of("y.t().add_(x.t())")),
        ("GL101", fill, line_of("y[1:3, ::2] = 7")),
    ]
    assert {(one.storage.kind, one.storage.value) for one in found} == {("intermediate", "mul")}
    slices = ("aten.slice.Tensor", "aten.slice.Tensor")
    assert [one.storage.views for one in found] == [(), (), first, ("aten.t.default",), slices]


@pytest.mark.parametrize("version", [version for version in VERSIONS if at_least(version, 2, 6)])
def test_a_key_value_cache_is_a_write_to_its_buffer(check, version):
    (found,) = check(version, "key_value_cache")
    views = () if at_least(version, 2, 9) else ("aten.slice.Tensor",)
    assert (found.code, found.op, found.source.line) == ("GL103", "aten.index_put_.default", line_of("self.cache[:,"))
    storage = found.storage
    assert (storage.kind, storage.name, storage.value, storage.views) == ("buffer", "cache", "b_cache", views)


@pytest.mark.parametrize("version", [version for version in VERSIONS if at_least(version, 2, 2)])
def test_effects_in_branches_are_reported_with_their_path(check, version):
    # torch 2.5 to 2.7 record the lines inside the branch, the others only the call of cond.
    inside = at_least(version, 2, 5) and not at_least(version, 2, 8)
    path = ("cond", "true_graph_0")
    (found,) = check(version, "cond_assert")
    line = line_of('"in the true branch"') if inside else line_of("torch.cond(", "CondAssert")
    fix = "safe" if at_least(version, 2, 3) else "none"
    assert place(found) == Place("GL201", "aten._assert_async.msg", line, subgraph=path, fix=fix)

    line = line_of("y.mul_(2)" if inside else "torch.cond(", "CondMutation")
    expected = [Place("GL101", "aten.mul_.Tensor", line, "intermediate tensor %add", subgraph=path, fix="safe")]
    assert [place(one) for one in check(version, "cond_mutation")] == (expected if at_least(version, 2, 6) else [])


@pytest.mark.parametrize("version", [version for version in VERSIONS if at_least(version, 2, 5)])
def test_scalar_asserts_are_at_the_line_that_makes_the_scalar(check, version):
    # Up to torch 2.10 export adds a range constraint of its own, whose only frame is inside torch.
    added = "aten.sym_constrain_range_for_size.default"
    sized = [] if at_least(version, 2, 11) else [Place("GL204", added, None, fix="safe")]
    for case, model, extra in (
        ("scalar_assert", "ScalarAssert", sized),
        ("constrain_range", "ConstrainRange", []),
        ("constrain_range_for_size", "ConstrainRangeForSize", sized),
    ):
        asserts = [Place("GL203", "aten._assert_scalar.default", line_of("n.item()", model), fix="safe")] * 2
        assert [place(one) for one in check(version, case)] == extra + asserts


@pytest.mark.parametrize("version", [version for version in VERSIONS if not at_least(version, 2, 5)])
@pytest.mark.parametrize("case", ["constrain_range", "constrain_range_for_size"])
def test_old_torch_keeps_the_range_constraint_and_adds_asserts_of_its_own(check, version, case):
    found = check(version, case)
    (constraint,) = [one for one in found if one.code == "GL204"]
    if at_least(version, 2, 2):
        assert constraint.source.line == line_of(constraint.op.replace("aten.", "torch.ops.aten."))
    others = Counter(one.code for one in found if one is not constraint)
    assert others == {"GL201": 4 if version == "2.1.2" and case.endswith("size") else 2}
    assert {one.source for one in found if one is not constraint} == {None}


@pytest.mark.parametrize("version", [version for version in VERSIONS if at_least(version, 2, 8)])
def test_metadata_asserts_one_for_each_conversion(check, version):
    found = check(version, "metadata_assert")
    line = line_of(".to(torch.float64)")
    assert [(one.code, one.source.line, one.fix.applicability) for one in found] == [("GL205", line, "safe")] * 3
    # torch 2.8 files the first under the module whose result is converted, and the second under none at all.
    modules = ["linear", None, ""] if version == "2.8.0" else ["", "", ""]
    assert [one.module_path for one in found] == modules
    region, check_ = check(version, "autocast_region")
    assert (region.code, region.source.line, region.fix.applicability) == ("GL402", line_of("y = x @ x.t()"), "safe")
    assert (check_.code, check_.source.line, check_.fix.applicability) == ("GL205", line_of("y.float() + 1"), "safe")


@pytest.mark.parametrize("version", [version for version in VERSIONS if at_least(version, 2, 8)])
def test_all_programs_of_an_artifact_are_linted(check, version, default_rules):
    (found,) = check(version, "two_programs")
    assert (found.program, place(found)) == ("encoder", FINDINGS_26["async_assert"][0])
    result = process(str(ARTIFACTS / version / "two_programs.pt2"), default_rules, "check")
    assert sorted(result.programs) == ["decoder", "encoder"]


@pytest.mark.parametrize("version", VERSIONS)
def test_clean_reports_nothing(check, version):
    assert check(version, "clean") == ()


@pytest.mark.parametrize("version", VERSIONS)
def test_checks_of_torch_2_2_and_before_say_why_they_are_not_fixable(check, version):
    (found,) = check(version, "async_assert")
    if at_least(version, 2, 3):
        assert found.fix.applicability == "safe"
        assert found.fix.message == "becomes aten._functional_assert_async.msg, chained by a dependency token"
    else:
        assert found.fix.applicability == "none"
        assert ("torch 2.2" if at_least(version, 2, 2) else "torch 2.1") in found.fix.message


@pytest.mark.parametrize("version", VERSIONS)
def test_source_lines_are_lines_of_the_models(check, version):
    sources = 0
    for case in (case for of, case in CASES if of == version):
        for one in check(version, case):
            if one.source is not None:
                sources += 1
                assert Path(one.source.path).name == "models.py"
                assert one.source.text == MODELS[one.source.line - 1]
                assert one.source in one.stack
            # Whatever torch records about a module names a class of the models or one of torch.nn.
            assert one.module_type is None or one.module_type.startswith(("__main__.", "torch.nn.modules."))
            assert (one.module_path is None) == (one.module_type is None)
    assert (sources == 0) == (version == "2.1.2")  # which records no source lines


@pytest.mark.parametrize("version", VERSIONS)
def test_the_same_result_twice(version, all_rules):
    for case in (case for of, case in CASES if of == version):
        path = str(ARTIFACTS / version / f"{case}.pt2")
        assert process(path, all_rules, "check") == process(path, all_rules, "check")


@pytest.mark.parametrize(("version", "case"), CASES)
def test_rules_that_are_off_by_default_only_add_findings(check, all_rules, version, case):
    found = process(str(ARTIFACTS / version / f"{case}.pt2"), all_rules, "check").diagnostics
    extra = [one for one in found if one not in check(version, case)]
    assert {one.code for one in extra} <= {"GL004", "GL303", "GL501", "GL502", "GL503"}
    assert [one for one in found if one not in extra] == list(check(version, case))
    # Loadable or not is the schema's major, and torch 2.6 is the first to write the one that torch still reads.
    assert ("GL004" in {one.code for one in extra}) == (not at_least(version, 2, 6))
