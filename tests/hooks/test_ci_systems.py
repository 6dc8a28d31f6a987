"""What plugs graphlint into CI systems, run with the variables that they set, in real git repositories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

HOOKS = Path(__file__).parents[2] / "hooks"
ARTIFACTS = Path(__file__).parents[1] / "artifacts" / "2.13.0"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 7538\n"
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="the scripts are for bash")
pytestmark = needs_bash


class Checkout:
    """A repository as a CI system checks it out, and the variables that are set in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # The graphlint of this environment, and none of the variables of a CI that these tests run in.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "CI_", "GIT_"))}
        identity = {
            f"GIT_{role}_{part}": part.lower() for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")
        }
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"
        self.environment = {**kept, **identity, "PATH": path, "HOME": str(folder)}
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        result = subprocess.run(
            ["git", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True
        )
        return result.stdout.strip()

    def commit(self, **artifacts: str) -> str:
        """Commit these artifacts of torch 2.13 under these names; the commit."""
        for name, case in artifacts.items():
            shutil.copy(ARTIFACTS / f"{case}.pt2", self.folder / f"{name}.pt2")
            (self.folder / f"{name}.pt2").chmod(0o644)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "models")
        return self.git("rev-parse", "HEAD")

    def run(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def checkout(tmp_path) -> Checkout:
    folder = tmp_path / "repository"
    folder.mkdir()
    return Checkout(folder)


def action() -> dict[str, Any]:
    return yaml.safe_load((HOOKS / "github" / "action.yml").read_text())


def on_github(checkout: Checkout, event: str, payload: dict[str, Any], **inputs: str):
    """Run the action's script as a step of a job on GitHub; the result, and what it put out and summed up."""
    folder = checkout.folder.parent
    for name in ("event", "output", "summary"):
        (folder / name).write_text(json.dumps(payload) if name == "event" else "")
    step = next(one for one in action()["runs"]["steps"] if one.get("id") == "check")
    defaults = {name: one["default"] for name, one in action()["inputs"].items()}
    given = {**defaults, **{name.replace("_", "-"): value for name, value in inputs.items()}}
    variables = {
        name: given[value.removeprefix("${{ inputs.").removesuffix(" }}")] for name, value in step["env"].items()
    }
    result = checkout.run(
        step["run"],
        CI="true",
        GITHUB_ACTIONS="true",
        GITHUB_ACTION_PATH=str(HOOKS / "github"),
        GITHUB_WORKSPACE=str(checkout.folder),
        GITHUB_EVENT_NAME=event,
        GITHUB_EVENT_PATH=str(folder / "event"),
        GITHUB_OUTPUT=str(folder / "output"),
        GITHUB_STEP_SUMMARY=str(folder / "summary"),
        **({"GITHUB_BASE_REF": "main"} if event == "pull_request" else {}),
        **variables,
    )
    return result, (folder / "output").read_text(), (folder / "summary").read_text()


def linted(checkout: Checkout) -> set[str]:
    """The artifacts with findings in the SARIF file."""
    report = json.loads((checkout.folder / "graphlint.sarif").read_text())
    return {
        Path(location["physicalLocation"]["artifactLocation"]["uri"]).stem
        for result in report["runs"][0]["results"]
        for location in (*result["locations"], *result.get("relatedLocations", ()))
        if location["physicalLocation"]["artifactLocation"]["uri"].endswith(".pt2")
    }


def test_the_action_is_well_formed():
    described = action()
    assert described["runs"]["using"] == "composite"
    for step in described["runs"]["steps"]:
        assert step.get("uses") or step["shell"] == "bash", step
    uploading = described["runs"]["steps"][-1]
    assert uploading["with"]["sarif_file"] == described["outputs"]["sarif-file"]["value"]


def test_the_action_installs_the_graphlint_that_it_came_with():
    (install, *_) = action()["runs"]["steps"]
    assert (HOOKS / "github" / ".." / ".." / "pyproject.toml").is_file()
    assert '"$GITHUB_ACTION_PATH/../.."' in install["run"]


def test_all_artifacts_are_linted_and_reported(checkout):
    checkout.commit(counter="buffer_counter", fine="clean")
    result, output, summary = on_github(checkout, "push", {"before": "0" * 40})
    assert result.returncode == 1
    assert "::error " in result.stdout
    assert "GL103" in result.stdout
    assert output == "sarif-file=graphlint.sarif\n"
    assert "GL103" in summary
    assert linted(checkout) == {"counter"}


def test_only_what_a_pull_request_changes(checkout):
    checkout.commit(old="buffer_counter")
    checkout.git("switch", "--quiet", "--create", "feature")
    checkout.commit(**{"new one": "async_assert"})
    checkout.git("update-ref", "refs/remotes/origin/main", "main")
    result, _, _ = on_github(checkout, "pull_request", {}, changed_only="true")
    assert result.returncode == 1
    assert linted(checkout) == {"new%20one"} or linted(checkout) == {"new one"}


def test_only_what_a_push_changes(checkout):
    before = checkout.commit(old="buffer_counter")
    checkout.commit(new="clean")
    result, _, _ = on_github(checkout, "push", {"before": before}, changed_only="true")
    assert (result.returncode, linted(checkout)) == (0, set())
    nothing, output, _ = on_github(checkout, "push", {"before": checkout.git("rev-parse", "HEAD")}, changed_only="true")
    assert (nothing.returncode, nothing.stdout, output) == (0, "graphlint: no artifact was changed\n", "")


def test_all_artifacts_where_the_change_is_not_known(checkout):
    checkout.commit(old="buffer_counter")
    result, _, _ = on_github(checkout, "workflow_dispatch", {}, changed_only="true")
    assert result.stdout.startswith("::notice::graphlint: what was changed is not known here")
    assert linted(checkout) == {"old"}
    result, _, _ = on_github(checkout, "push", {"before": "0" * 40}, changed_only="true")
    assert linted(checkout) == {"old"}


def test_a_shallow_checkout_is_told_what_it_lacks(checkout):
    checkout.commit(old="buffer_counter")
    result, _, _ = on_github(checkout, "pull_request", {}, changed_only="true")
    assert result.returncode != 0  # there is no remote to fetch the base branch from
    assert "Traceback" not in result.stderr


def test_options_and_target_are_handed_on(checkout):
    checkout.commit(checked="async_assert")
    result, _, _ = on_github(checkout, "push", {}, target="onnx", args="--ignore GL302 --no-force-exclude")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_checkout_without_lfs_fails_with_the_remedy(checkout):
    (checkout.folder / "model.pt2").write_text(POINTER)
    checkout.commit()
    result, _, _ = on_github(checkout, "push", {})
    assert result.returncode == 1
    assert "GL002" in result.stdout
    assert "git lfs pull" in result.stdout
    assert "lfs: true" in result.stdout


def gitlab_script() -> str:
    job = yaml.safe_load((HOOKS / "gitlab" / "graphlint.gitlab-ci.yml").read_text())[".graphlint"]
    return "set -eo pipefail\n" + "\n".join([*job["before_script"], *job["script"]])


def test_the_gitlab_job(checkout):
    checkout.commit(counter="buffer_counter", fine="clean")
    job = yaml.safe_load((HOOKS / "gitlab" / "graphlint.gitlab-ci.yml").read_text())[".graphlint"]
    result = checkout.run(
        gitlab_script(), CI="true", GITLAB_CI="true", CI_PROJECT_DIR=str(checkout.folder), **job["variables"]
    )
    assert result.returncode == 1, result.stderr
    assert "GL103" in result.stdout
    reports = job["artifacts"]["reports"]
    quality = json.loads((checkout.folder / reports["codequality"]).read_text())
    assert [one["check_name"] for one in quality] == ["GL103"]
    suites = ET.parse(checkout.folder / reports["junit"]).getroot()
    cases = list(suites.iter("testcase"))
    assert len(cases) == 2
    assert sum(case.find("failure") is not None for case in cases) == 1


def blocks(language: str) -> list[str]:
    text = (HOOKS / "README.md").read_text()
    return [part.split("```")[0] for part in text.split(f"```{language}\n")[1:]]


def test_the_examples_of_the_documentation(checkout):
    checkout.commit(counter="buffer_counter")
    (checkout.folder / "artifacts").mkdir()
    shutil.move(checkout.folder / "counter.pt2", checkout.folder / "artifacts" / "counter.pt2")
    (shell,) = blocks("sh")
    assert checkout.run(shell).returncode == 1
    assert (checkout.folder / "graphlint.html").read_text().startswith("<!doctype html>")
    (jenkins,) = blocks("groovy")
    (command,) = [line.split("'")[1] for line in jenkins.splitlines() if "graphlint check" in line]
    assert checkout.run(command).returncode == 1
    assert (checkout.folder / "graphlint.junit.xml").is_file()
    workflow, gitlab = map(yaml.safe_load, blocks("yaml"))
    uses = next(step for step in workflow["jobs"]["graphlint"]["steps"] if "graphlint" in step["uses"])
    assert set(uses["with"]) <= set(action()["inputs"])
    assert gitlab["graphlint"]["extends"] == ".graphlint"
