"""Baselines: written, matched, kept up to date."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import graphlint

NAME = "graphlint-baseline.json"
NET = """\
{
  "version": 1,
  "findings": [
    {"artifact": "net.pt2", "program": "model", "rule": "GL101", "op": "aten.clamp", "module": "", \
"source": "y = y.clamp_(", "count": 1},
    {"artifact": "net.pt2", "program": "model", "rule": "GL103", "op": "aten.add", "module": "layers.*", \
"source": "self.seen.add_(1)", "count": 3},
    {"artifact": "net.pt2", "program": "model", "rule": "GL302", "op": "aten.rand_like", "module": "", \
"source": "return y + torch.rand_like(y)", "count": 1}
  ]
}
"""


def counts(path: str = NAME) -> dict[tuple[str, str], int]:
    """How many findings of a rule the baseline holds, by artifact and rule."""
    entries = json.loads(Path(path).read_text())["findings"]
    return {(entry["artifact"], entry["rule"]): entry["count"] for entry in entries}


def test_write_and_use(repository):
    written = repository.run("baseline")
    assert written.stdout == (
        f'Wrote 5 findings to {NAME}.\nTo use it: baseline = "{NAME}" in the configuration, or --baseline {NAME}.\n'
    )
    assert (written.stderr, written.exit_code) == ("", 0)
    assert Path(NAME).read_text() == NET
    used = repository.run("--baseline", NAME)
    assert (used.stdout, used.stderr, used.exit_code) == ("All checks passed! (5 in the baseline)\n", "", 0)
    assert repository.run().exit_code == 1
    Path("graphlint.toml").write_text(f'baseline = "{NAME}"')
    assert repository.run().exit_code == 0
    assert repository.run("--baseline", "").exit_code == 1
    again = repository.run("baseline")
    assert again.stdout == f"{NAME} is up to date: 5 findings.\n"


def test_it_outlives_another_export(repository):
    repository.run("baseline")
    shutil.copy(repository.exported.later, repository.artifact)
    assert repository.run("--baseline", NAME).stdout == "All checks passed! (5 in the baseline)\n"
    shutil.copy(repository.exported.more, repository.artifact)
    result = repository.run("--baseline", NAME, "--output-format", "concise")
    [line, *summary] = result.stdout.splitlines()
    assert "GL103 [*] aten.add_.Tensor writes buffer 'layers.3.seen' (net.pt2)" in line
    assert summary == ["Found 1 error (5 in the baseline).", "[*] 1 fixable with the --fix option."]


@pytest.mark.parametrize(("written", "used"), [("2.6.0", "2.13.0"), ("2.13.0", "2.6.0"), ("2.12.1", "2.15.0")])
def test_it_outlives_another_version_of_torch(repository, artifacts, written, used):
    cases = ("batch_norm_training", "buffer_counter", "input_mutation", "intermediate", "key_value_cache", "nested")
    repository.artifact.unlink()
    for case in cases:
        shutil.copy(artifacts / written / f"{case}.pt2", f"{case}.pt2")
    assert repository.run("baseline").stdout.startswith(f"Wrote 14 findings to {NAME}.\n")
    for case in cases:
        Path(f"{case}.pt2").unlink()
        shutil.copy(artifacts / used / f"{case}.pt2", f"{case}.pt2")
    result = repository.run("--baseline", NAME)
    assert (result.stdout, result.stderr) == ("All checks passed! (14 in the baseline)\n", "")


def test_what_is_in_it_is_not_fixed(repository):
    repository.run("baseline")
    before = repository.artifact.read_bytes()
    assert repository.run("--fix", "--baseline", NAME).exit_code == 0
    assert repository.artifact.read_bytes() == before
    shutil.copy(repository.exported.more, repository.artifact)
    fixed = repository.run("--fix", "--baseline", NAME)
    assert fixed.stdout.splitlines()[:2] == [
        "Fixed 1 finding in net.pt2",
        "Found 1 error (1 fixed, 0 remaining, 5 in the baseline).",
    ]
    assert fixed.stderr == ""
    assert repository.run("--baseline", NAME).stdout == "All checks passed! (5 in the baseline)\n"


def test_entries_that_no_longer_occur_are_noted_and_pruned(repository):
    repository.run("baseline")
    repository.run("--fix", "--select", "GL1")
    result = repository.run("--baseline", NAME)
    assert result.stderr == (
        f"note: {NAME}: 4 findings in it no longer occur; `graphlint baseline --prune` removes what is gone\n"
    )
    assert (result.stdout, result.exit_code) == ("All checks passed! (1 in the baseline)\n", 0)
    assert repository.run("--baseline", NAME, "--quiet").stderr == ""
    # A rule that is off says nothing about its entries.
    assert repository.run("--baseline", NAME, "--select", "GL302").stderr == ""
    shutil.copy(repository.exported.net, repository.artifact)
    repository.run("--fix", "--select", "GL101")
    verbose = repository.run("--baseline", NAME, "--verbose").stderr.splitlines()
    assert verbose[-1] == "  1 x net.pt2: GL101 aten.clamp: y = y.clamp_("
    pruned = repository.run("baseline", "--prune")
    assert pruned.stdout == f"Wrote 4 findings to {NAME} (0 added, 1 removed).\n"
    assert counts() == {("net.pt2", "GL103"): 3, ("net.pt2", "GL302"): 1}


def test_pruning_adds_nothing(repository):
    repository.run("baseline", "--select", "GL103")
    shutil.copy(repository.exported.more, repository.artifact)
    assert repository.run("baseline", "--prune").stdout == f"{NAME} is up to date: 3 findings.\n"
    assert repository.run("baseline").stdout == f"Wrote 6 findings to {NAME} (3 added, 0 removed).\n"


def test_other_artifacts_and_other_rules_stay(repository):
    shutil.copy(repository.artifact, "other.pt2")
    shutil.copy(repository.artifact, "gone.pt2")
    repository.run("baseline")
    assert len(counts()) == 9
    Path("gone.pt2").unlink()
    repository.run("--fix", "--select", "GL1", "net.pt2", "other.pt2")
    repository.run("baseline", "--select", "GL103", "net.pt2")
    assert counts() == {
        ("net.pt2", "GL101"): 1,
        ("net.pt2", "GL302"): 1,
        ("other.pt2", "GL101"): 1,
        ("other.pt2", "GL103"): 3,
        ("other.pt2", "GL302"): 1,
    }


def test_comments_come_first(repository):
    repository.comment(11, "graphlint: ignore[GL103]")
    repository.run("baseline")
    assert ("net.pt2", "GL103") not in counts()


def test_artifacts_are_named_from_the_baselines_folder(repository, monkeypatch):
    Path("lint").mkdir()
    written = repository.run("baseline", "--baseline", "lint/known.json")
    assert written.stdout == "Wrote 5 findings to lint/known.json.\n"
    assert {artifact for artifact, _ in counts("lint/known.json")} == {"../net.pt2"}
    Path("graphlint.toml").write_text('baseline = "lint/known.json"')
    monkeypatch.chdir("models")
    assert repository.run("../net.pt2").exit_code == 0
    assert repository.run(str(repository.artifact)).exit_code == 0
    assert repository.run("baseline", "..").stdout.endswith("known.json is up to date: 5 findings.\n")


def test_python_takes_a_baseline(repository):
    repository.run("baseline", "--select", "GL1")
    result = graphlint.lint("net.pt2", baseline=NAME)
    assert [one.code for one in result.diagnostics] == ["GL302"]
    assert {one.suppression and one.suppression.by for one in result.suppressed} == {"baseline"}
    assert graphlint.fix("net.pt2", baseline=NAME).changed is False
    assert graphlint.fix("net.pt2", baseline="").changed is True


def test_the_json_report_tells_what_the_baseline_took(repository):
    repository.run("baseline", "--select", "GL103")
    document = json.loads(repository.run("--baseline", NAME, "--output-format", "json").stdout)
    assert [one["suppression"] for one in document["files"][0]["suppressed"]] == [
        {"by": "baseline", "reason": None}
    ] * 3
    summary = document["summary"]
    assert (summary["findings"], summary["suppressed"], summary["baseline"]) == (2, 0, 3)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not a baseline that `graphlint baseline` wrote: Input data was truncated"),
        ("<<<<<<< HEAD\n", "not a baseline that `graphlint baseline` wrote: JSON is malformed"),
        ("[]", "not a baseline that `graphlint baseline` wrote: Expected `object`, got `array`"),
        ('{"version": 2, "findings": []}', "a baseline of version 2, this graphlint reads version 1"),
        ('{"version": 1, "findings": [{"rule": "GL101"}]}', "Object missing required field `artifact`"),
        (NET.replace('"count": 3', '"count": 0'), "Expected `int` >= 1 - at `$.findings[1].count`"),
        (NET.replace('"op"', '"ops"', 1), "Object contains unknown field `ops` - at `$.findings[0]`"),
    ],
)
def test_a_broken_baseline_stops_the_run(repository, content, message):
    Path(NAME).write_text(content)
    for arguments in (("--baseline", NAME), ("baseline",)):
        result = repository.run(*arguments)
        assert result.exit_code == 2
        assert NAME in result.stderr
        assert message in result.stderr
        assert result.stdout == ""
    assert Path(NAME).read_text() == content


@pytest.mark.parametrize("arguments", [("--baseline", NAME), ("baseline", "--prune")])
def test_a_missing_baseline(repository, arguments):
    result = repository.run(*arguments)
    path = Path(NAME).absolute()
    assert result.stderr == f"error: there is no baseline {path}; `graphlint baseline` writes one\n"
    assert result.exit_code == 2


def test_entries_that_say_the_same_add_up(repository):
    repository.run("baseline", "--select", "GL103")
    document = json.loads(Path(NAME).read_text())
    [entry] = document["findings"]
    document["findings"] = [{**entry, "count": 1}, {**entry, "count": 2}]
    Path(NAME).write_text(json.dumps(document))
    assert repository.run("--baseline", NAME, "--select", "GL103").stdout == "All checks passed! (3 in the baseline)\n"


def test_what_cannot_be_read_keeps_its_entries(repository):
    repository.run("baseline")
    repository.artifact.write_bytes(b"PK\x03\x04")
    result = repository.run("baseline")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: net.pt2: GL001 ")
    assert result.stdout == f"{NAME} is up to date: 5 findings.\n"
    # And is reported, whatever a baseline holds.
    assert repository.run("--baseline", NAME).exit_code == 1


def test_no_artifacts(repository):
    repository.artifact.unlink()
    result = repository.run("baseline")
    assert (result.stdout, result.exit_code) == ("", 0)
    assert result.stderr == "warning: no .pt2 files in '.', apart from files that are excluded or that git ignores\n"
    assert not Path(NAME).exists()


def test_nothing_to_accept(repository):
    repository.run("--fix", "--select", "GL1")
    result = repository.run("baseline", "--select", "GL1")
    assert result.stdout.startswith(f"Wrote 0 findings to {NAME}.\n")
    assert Path(NAME).read_text() == '{\n  "version": 1,\n  "findings": []\n}\n'
    assert repository.run("--baseline", NAME, "--select", "GL1").stdout == "All checks passed!\n"


def test_quiet_and_verbose(repository):
    assert repository.run("baseline", "--quiet").stdout == ""
    shutil.copy(repository.exported.more, repository.artifact)
    result = repository.run("baseline", "--verbose")
    assert "+1 net.pt2: GL103 aten.add in layers.*: self.seen.add_(1)\n" in result.stderr
    assert repository.run("baseline", "-q", "-v").exit_code == 2


def test_a_folder_that_does_not_exist(repository):
    result = repository.run("baseline", "--baseline", "no/such/folder.json")
    assert result.exit_code == 2
    assert result.stderr.startswith("error: cannot write ")
