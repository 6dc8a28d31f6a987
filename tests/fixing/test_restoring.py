"""``restore`` after ``--fix``: the identity, on real artifacts."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest

from graphlint.artifact.artifact import open_artifact
from graphlint.artifact.rewrite import PendingReplacement
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.run.engine import process, restore

ARTIFACTS = Path(__file__).parent.parent / "artifacts"
CHECKS = frozenset({"GL201", "GL202", "GL203", "GL204"})
ALL = frozenset(rule.code for rule in RULES if rule.enabled_by_default)
VERSIONS = sorted(path.name for path in ARTIFACTS.iterdir() if path.is_dir())
LAYOUTS = ("2.2.2", "2.3.1", "2.6.0", "2.8.0", "2.9.1", "2.13.0", "2.15.0")

settings = Settings(enabled=CHECKS, fixable=CHECKS, provenance=False)


def copy_of(original: Path, folder: Path) -> Path:
    path = folder / original.name
    shutil.copyfile(original, path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def programs(path: Path) -> list[str]:
    with open_artifact(str(path)) as artifact:
        return [entry.member for entry in artifact.programs]


def apart_from_the_label(program: bytes) -> dict:
    tree = json.loads(program)
    return {key: value for key, value in tree.items() if key not in ("verifiers", "dialect")}


def assert_same_but_for_the_label(left: Path, right: Path) -> None:
    """The same members in the same order, byte for byte, but for the programs' labels."""
    before, after = members(left), members(right)
    assert list(before) == list(after)
    for name in before:
        if name in programs(left):
            assert apart_from_the_label(before[name]) == apart_from_the_label(after[name])
        else:
            assert before[name] == after[name], name


def fixed_and_restored(original: Path, path: Path, sink: str) -> bool:
    """Whether there was anything to fix; the identity is asserted."""
    chosen = msgspec.structs.replace(settings, token_sink=sink)
    fixed = process(str(path), chosen, "fix")
    assert fixed.error is None
    result = restore(str(path), chosen, "fix")
    assert (result.error, result.kept, result.diagnostics) == (None, (), ())
    assert result.changed == fixed.changed == bool(result.restored)
    assert len(result.restored) == len(fixed.fixed)
    assert_same_but_for_the_label(original, path)
    once = path.read_bytes()
    assert restore(str(path), chosen, "fix").restored == ()
    assert path.read_bytes() == once
    return fixed.changed


@pytest.mark.parametrize("sink", ["buffer", "output"])
@pytest.mark.parametrize("version", VERSIONS)
def test_restore_is_the_inverse_of_the_fix(version, sink, tmp_path):
    originals = sorted((ARTIFACTS / version).glob("*.pt2"))
    assert len(originals) >= 18
    changed = sum(fixed_and_restored(one, copy_of(one, tmp_path), sink) for one in originals)
    if version == "2.1.2" or (version == "2.2.2" and sink == "buffer"):
        assert changed == 0
    else:
        assert changed >= 6


@pytest.mark.parametrize("version", LAYOUTS)
def test_restored_after_all_fixes_is_what_a_fix_without_checks_gives(version, tmp_path):
    everything = Settings(enabled=ALL, fixable=ALL, provenance=False)
    without = msgspec.structs.replace(everything, fixable=ALL - CHECKS)
    (tmp_path / "restored").mkdir()
    (tmp_path / "kept").mkdir()
    for original in sorted((ARTIFACTS / version).glob("*.pt2")):
        restored, kept = copy_of(original, tmp_path / "restored"), copy_of(original, tmp_path / "kept")
        process(str(restored), everything, "fix")
        assert restore(str(restored), everything, "fix").error is None
        assert process(str(kept), without, "fix").error is None
        assert_same_but_for_the_label(kept, restored)


JUDGED = [
    (version, case)
    for version in ("2.6.0", "2.8.0", "2.13.0")
    for case in ("async_assert", "bare_async_assert", "scalar_assert", "cond_assert", "two_async_asserts")
    if (version, case) != ("2.6.0", "cond_assert")  # which torch 2.13 does not load
]


@pytest.mark.parametrize("sink", ["buffer", "output"])
@pytest.mark.parametrize(("version", "case"), JUDGED)
def test_stock_torch_finds_no_difference(version, sink, case, judge, tmp_path):
    original = ARTIFACTS / version / f"{case}.pt2"
    path = copy_of(original, tmp_path)
    process(str(path), msgspec.structs.replace(settings, token_sink=sink), "fix")
    assert restore(str(path), settings, "fix").changed
    before, after = judge.load(original), judge.load(path)
    args, kwargs = before.example_inputs

    def one_below(x):
        mixed = x * 0 + 500
        mixed.view(-1)[:1] = -1000
        return mixed

    calls = [(args, kwargs)] + [
        (tuple(change(x) for x in args), kwargs) for change in (lambda x: x * 0 - 1000, lambda x: x * 0, one_below)
    ]
    assert any(judge.compare(before, after, calls))
    # torch drops bare checks from what is labelled ATEN when it loads it.
    assert judge.checks(judge.module(after)) == judge.checks(judge.module(before))


def test_torch_may_have_saved_it_in_between(judge, tmp_path):
    """What the fix noted is lost then: a name is made up, and everything else is as it was."""
    original = ARTIFACTS / "2.13.0" / "two_async_asserts.pt2"
    path = copy_of(original, tmp_path)
    process(str(path), settings, "fix")
    again = tmp_path / "again.pt2"
    judge.torch.export.save(judge.load(path), again)
    result = restore(str(again), settings, "fix")
    assert [(one.op, one.plain) for one in result.restored] == [
        ("aten._functional_assert_async.msg", "aten._assert_async.msg")
    ] * 2
    assert "b_dep_token" not in str(members(again))
    before, after = judge.load(original), judge.load(again)
    assert [node.name for node in after.graph.nodes] == [node.name for node in before.graph.nodes]
    assert set(after.constants) == set(before.constants) == set()
    args, kwargs = before.example_inputs
    bad = [one * 0 - 1000 for one in args]
    assert judge.compare(before, after, [(args, kwargs), (tuple(bad), kwargs)])[1] != ""


def test_the_artifact_in_the_readme_is_what_a_fix_makes(tmp_path):
    path = copy_of(ARTIFACTS / "2.13.0" / "async_assert.pt2", tmp_path)
    everything = Settings(enabled=ALL, fixable=ALL, provenance=False)
    assert process(str(path), everything, "fix").changed
    assert path.read_bytes() == (ARTIFACTS.parent / "tokens" / path.name).read_bytes()


def test_a_region_that_returns_a_bare_tensor(judge, tmp_path):
    """torch's exporter gives regions tuples; its format has a flag for those that return a tensor."""
    torch = judge.torch

    class Region(torch.nn.Module):
        def forward(self, x):
            with torch.no_grad():
                torch.ops.aten._assert_async.msg((x > -100).all(), "too low")
                return x + 1

    path = tmp_path / "region.pt2"
    torch.export.save(torch.export.export(Region(), (torch.ones(3),)), path)
    with open_artifact(str(path)) as artifact:
        (entry,) = artifact.programs
        tree = json.loads(artifact.read_program(entry))
        (region,) = tree["graph_module"]["graph"]["nodes"]
        region["name"] = region["outputs"][0]["as_tensor"]["name"]
        region["is_hop_single_tensor_return"] = True
        region["inputs"][1]["arg"]["as_graph"]["graph"]["is_single_tensor_return"] = True
        with PendingReplacement(str(path), artifact.container, {entry.member: json.dumps(tree).encode()}) as pending:
            pending.commit()
    original = tmp_path / "original.pt2"
    shutil.copyfile(path, original)
    calls = [((torch.ones(3),), {}), ((torch.full((3,), -200.0),), {})]
    assert process(str(path), settings, "fix").changed
    assert judge.compare(judge.load(original), judge.load(path), calls) == ["", "RuntimeError: too low"]
    assert restore(str(path), settings, "fix").changed
    assert_same_but_for_the_label(original, path)
