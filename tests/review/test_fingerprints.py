"""What stays the same when a model is exported again."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

import graphlint
from graphlint.ir.source import SourceFrame
from graphlint.rules.diagnostics import Diagnostic, Fix
from graphlint.run.fingerprints import Identity, fingerprints, identity

ARTIFACTS = Path(__file__).parents[1] / "artifacts"
# From 2.6 on, export keeps in-place ops: before, it made other graphs of the same models.
VERSIONS = ("2.6.0", "2.7.1", "2.8.0", "2.9.1", "2.10.0", "2.11.0", "2.12.1", "2.13.0", "2.15.0")
CASES = sorted({path.stem for version in VERSIONS for path in (ARTIFACTS / version).glob("*.pt2")})
# What another version of torch exports otherwise, by case: the versions from which on findings differ.
CHANGES = {
    "autocast_region": {"2.8.0"},  # a metadata check more
    "cond_assert": {"2.8.0"},  # the line in the branch is not recorded any more
    "cond_mutation": {"2.8.0"},
    "constrain_range_for_size": {"2.11.0"},  # a range constraint less
    "metadata_assert": {"2.8.0", "2.9.1"},  # three checks more, with another module
    "scalar_assert": {"2.11.0"},
}


def finding(**changes: object) -> Diagnostic:
    made = Diagnostic(
        code="GL103",
        rule="buffer-mutation",
        severity="error",
        message="aten.add_.Tensor writes buffer 'layers.3.count'",
        fix=Fix("safe", "becomes aten.add.Tensor"),
        path="model.pt2",
        program="model",
        node="add_",
        op="aten.add_.Tensor",
        position=12,
        source=SourceFrame("/build/net.py", 7, "forward", "self.count.add_(1)"),
        module_path="layers.3.norm",
    )
    return msgspec.structs.replace(made, **changes)


@pytest.mark.parametrize("case", CASES)
def test_the_same_findings_in_every_version_of_torch(case):
    found = {
        version: Counter(
            identity(one, case)
            for one in graphlint.lint(
                ARTIFACTS / version / f"{case}.pt2", isolated=True, extend_select="GL205"
            ).diagnostics
        )
        for version in VERSIONS
        if (ARTIFACTS / version / f"{case}.pt2").exists()
    }
    versions = list(found)
    changed = {after for before, after in pairwise(versions) if found[before] != found[after]}
    assert changed == CHANGES.get(case, set())


def test_a_layer_put_in_front_changes_nothing(repository):
    def prints() -> list[str]:
        return [one.fingerprint for one in graphlint.lint("net.pt2").diagnostics]

    before = prints()
    shutil.copy(repository.exported.later, repository.artifact)
    assert graphlint.lint("net.pt2").diagnostics[0].module_path == "layers.1"
    assert prints() == before
    # One more layer of the kind that has findings: its own fingerprint is all that is new.
    shutil.copy(repository.exported.more, repository.artifact)
    after = prints()
    assert len(after) == len(set(after)) == 6
    assert set(before) < set(after)


def test_a_program_of_the_artifact_does_not_change_those_of_another(artifacts):
    result = graphlint.lint(artifacts / "2.13.0" / "two_programs.pt2", isolated=True)
    assert {(one.program, one.fingerprint) for one in result.diagnostics} == {
        (one.program, fingerprint)
        for one, fingerprint in zip(
            result.diagnostics,
            fingerprints(result.diagnostics, "tests/artifacts/2.13.0/two_programs.pt2"),
            strict=True,
        )
    }


@pytest.mark.parametrize(
    "change",
    [
        {"node": "add__7", "position": 99, "message": "otherwise"},
        {"source": SourceFrame("C:\\src\\net.py", 70, "call", "self.count.add_(1)  # graphlint: ignore[GL999]")},
        {"source": SourceFrame("/build/net.py", 7, "forward", "  self.count.add_(1)\t")},
        {"module_path": "layers.17.norm"},
        {"op": "aten.add_.Scalar"},
        {"op": "aten.add.Tensor"},
        {"fix": Fix("none", "no")},
    ],
)
def test_what_a_fingerprint_does_not_depend_on(change):
    assert fingerprints([finding(**change)], "model.pt2") == fingerprints([finding()], "model.pt2")


@pytest.mark.parametrize(
    "change",
    [
        {"code": "GL101"},
        {"op": "aten.sub_.Tensor"},
        {"module_path": "head.norm"},
        {"module_path": "layers.3"},
        {"program": "decoder"},
        {"source": SourceFrame("/build/net.py", 7, "forward", "self.total.add_(1)")},
        {"source": None},
    ],
)
def test_what_a_fingerprint_depends_on(change):
    assert fingerprints([finding(**change)], "model.pt2") != fingerprints([finding()], "model.pt2")
    assert fingerprints([finding()], "other.pt2") != fingerprints([finding()], "model.pt2")


def test_equal_findings_are_numbered_in_order():
    first, second, other, third = fingerprints(
        [finding(), finding(module_path="layers.4.norm"), finding(code="GL101"), finding(module_path="layers.5.norm")],
        "model.pt2",
    )
    assert len({first, second, third, other}) == 4
    assert fingerprints([finding(module_path="layers.4.norm")] * 2, "model.pt2") == [first, second]


def test_the_parts_of_an_identity():
    assert identity(finding(), "a/model.pt2") == Identity(
        "a/model.pt2", "model", "GL103", "aten.add", "layers.*.norm", "self.count.add_(1)"
    )
    bare = finding(program=None, op=None, module_path=None, source=None)
    assert identity(bare, "m") == Identity("m", "", "GL103", "", "", "")
    assert identity(finding(op="higher_order.cond"), "m").op == "higher_order.cond"
    assert identity(finding(op="aten.__ior__.Tensor"), "m").op == "aten.__ior__"
    assert identity(finding(op="sample.scale_.default"), "m").op == "sample.scale"
    assert identity(finding(module_path="layer1.conv2d.0"), "m").module == "layer1.conv2d.*"


def test_any_text_has_a_fingerprint():
    [made] = fingerprints([finding(source=SourceFrame("n", 1, "f", "x = '\udce9'"))], "caf\udce9.pt2")
    assert len(made) == 32
    assert int(made, 16)
