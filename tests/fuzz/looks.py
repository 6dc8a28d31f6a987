"""What else the command line makes of an artifact: reports, pictures, comparisons, restoring, baselines.

Each look is a function of a :class:`Case` that raises FailedError. ``verify`` is left out: it loads artifacts with
torch, whose own crashes on damaged files would end the fuzzer.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fuzz import consumers
from tests.fuzz.running import Ran, expect, run

from graphlint.report.formats.registry import FORMATS

TEXT_FORMATS = [name for name, one in FORMATS.items() if one.text]

NAMES = [
    *["model.pt2"] * 4,
    "a b.pt2",
    "é'\"<forged a='>&;|`$[forged](forged).pt2",
    "\n::error::forged\nforgedline\x1b[31m\udce9%0A\u202e.pt2",
]
"""Names of files hold anything, too."""
CHECKS = "GL201,GL202,GL203,GL204"
RUNNERS = [
    {},
    {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "a/b", "GITHUB_SHA": "0" * 40},
    {"CI_PROJECT_URL": "https://gitlab.com/a/b", "CI_COMMIT_SHA": "0" * 40},
]


class Case:
    """An artifact to be looked at, in a folder of its own."""

    def __init__(self, folder: Path, mutated: bytes, original: bytes, options: list[str], rng: random.Random) -> None:
        self.folder = folder
        self.mutated = mutated
        self.options = options
        self.rng = rng
        self.path = folder / "one" / rng.choice(NAMES)
        self.original = folder / "original.pt2"
        self.path.parent.mkdir()
        self.path.write_bytes(mutated)
        self.original.write_bytes(original)

    def check(self, *arguments: str, environment: dict[str, str] | None = None) -> Ran:
        """``graphlint check`` of the artifact."""
        options = ["--isolated", "--no-cache", "--jobs=1", *self.options]
        return run("check", *options, *arguments, str(self.path), environment=environment)

    def expect_same(self, what: str) -> None:
        """The artifact is as it was, and alone."""
        expect(self.path.read_bytes() == self.mutated, f"{what} changed the file")
        self.expect_alone(what)

    def expect_alone(self, what: str) -> None:
        """Nothing was left beside the artifact."""
        names = [one.name for one in self.path.parent.iterdir()]
        expect(names == [self.path.name], f"{what} left {names} behind")


# --- reports


def _reports(case: Case, action: list[str]) -> None:
    """All reports of one run, and that they agree."""
    files = {name: case.folder / f"report.{name}" for name in FORMATS}
    summary = case.folder / "summary.md"
    environment = {**case.rng.choice(RUNNERS), "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    arguments = [f"--output-format={name}={file}" for name, file in files.items()]
    ran = case.check(*action, *arguments, environment=environment)
    consumers.terminal(ran.out, "stdout")
    texts = {name: file.read_bytes().decode() for name, file in files.items()}
    for name in TEXT_FORMATS:
        consumers.terminal(texts[name], name)
    [file] = consumers.report(texts["json"]).files
    left, fixed, accepted = len(file.diagnostics), len(file.fixed), len(file.suppressed)
    lines = consumers.json_lines(texts["json-lines"])
    page = consumers.html(texts["html"])
    counted = {
        "json-lines": (lines["found"], lines["fixed"], lines["suppressed"]),
        "html": (page["left"], page["fixed"], page["accepted"]),
        "sarif": (consumers.sarif(texts["sarif"]), fixed, accepted),
        "gitlab": (consumers.gitlab(texts["gitlab"]), fixed, accepted),
        "junit": (consumers.junit(texts["junit"]), fixed, accepted),
    }
    for name, numbers in counted.items():
        expect(numbers == (left, fixed, accepted), f"{name} has {numbers} findings, json {(left, fixed, accepted)}")
    consumers.github(texts["github"])
    consumers.markdown(texts["markdown"])
    consumers.markdown(summary.read_text("utf-8"))


def reports(case: Case) -> None:
    """Of a check."""
    _reports(case, [])
    case.expect_same("a check")


def reports_of_diff(case: Case) -> None:
    """Of what a fix would change."""
    _reports(case, ["--diff"])
    case.expect_same("--diff")


def reports_of_fix(case: Case) -> None:
    """Of a fix."""
    _reports(case, ["--fix", case.rng.choice(["--show-fixes", "--fix-only", "--no-provenance"])])
    case.expect_alone("--fix")


def at_a_terminal(case: Case) -> None:
    """Colours and links change nothing else."""
    options = case.rng.choice(
        [
            *[[f"--output-format={name}"] for name in TEXT_FORMATS],
            ["--statistics"],
            ["--diff", "--show-fixes"],
            ["--verbose"],
        ]
    )
    plain = case.check(*options, "--color=never")
    shown = case.check(*options, "--color=always", environment={"FORCE_HYPERLINK": "1"})
    consumers.terminal(plain.out, " ".join(options))
    consumers.colored(shown.out, plain.out, " ".join(options))
    consumers.colored(shown.err, plain.err, " ".join(options))
    case.expect_same("a check")


def on_stdout(case: Case) -> None:
    """Reports for other programs have stdout for themselves."""
    name = case.rng.choice([name for name in FORMATS if name not in TEXT_FORMATS])
    ran = case.check(f"--output-format={name}")
    judge: dict[str, Callable[[str], object]] = {"json-lines": consumers.json_lines, "json": consumers.report}
    judge.get(name, getattr(consumers, name.replace("-", "_"), consumers.report))(ran.out)
    counts = case.check("--statistics", "--output-format=json")
    consumers.strict_json(counts.out, "--statistics")
    case.expect_same("a check")


def baseline(case: Case) -> None:
    """What a baseline has taken in is not reported, and it has nothing to add."""
    file = case.folder / "baseline.json"
    selection = [one for one in case.options if one.startswith(("--select", "--ignore", "--target"))]
    arguments = ["baseline", "--isolated", f"--baseline={file}", *selection]
    ran = run(*arguments, "--verbose", str(case.path))
    consumers.terminal(ran.out, "baseline")
    written = file.read_bytes()
    entries = json.loads(written)["findings"]
    consumers.strict_json(json.dumps(entries), "baseline")
    again = run(*arguments, str(case.path))
    expect((again.status, file.read_bytes()) == (ran.status, written), f"a second baseline: {again}")
    pruned = run(*arguments, "--prune", str(case.path))
    expect((pruned.status, file.read_bytes()) == (ran.status, written), f"--prune: {pruned}")
    checked = case.check(f"--baseline={file}", "--output-format=json")
    [report] = consumers.report(checked.out).files
    left = [one for one in report.diagnostics if not one.code.startswith("GL0")]
    # What is unreadable in part has its findings reported until it is put right.
    unreadable = any(one.code in ("GL001", "GL002") for one in report.diagnostics)
    # That state is lifted is an option of the check: a baseline does not know of the findings that it asks for.
    lifted = "--lift-state" in case.options
    expect(unreadable or lifted or not left, f"in spite of the baseline: {left}")
    expect(checked.status == (1 if report.diagnostics else 0), f"exit status {checked.status} with the baseline")
    case.expect_same("baseline")


# --- graphs


def show(case: Case) -> None:
    """As text, JSON, Graphviz text and picture, whole and in part."""
    path = str(case.path)
    text = run("show", "--isolated", path)
    consumers.terminal(text.out, "show")
    data = run("show", "--isolated", "--format=json", path)
    too_much = text.status == 0 and "too many to show" in data.err
    expect(text.status in (0, 2), f"show: {text}")
    expect(data.status == (2 if too_much else text.status), f"show --format=json: {data.err}")
    if data.status == 0:
        programs = consumers.strict_json(data.out, "show")["programs"]
        for program in programs:
            known = {node["id"] for node in program["nodes"]}
            used = {edge[end] for edge in program["edges"] for end in ("source", "target")}
            expect(used <= known, f"edges to {used - known}")
        _part(case, programs)
    graph = run("show", "--isolated", "--format=dot", path)
    consumers.dot(graph.out)
    expect(graph.status == data.status, f"show --format=dot: {graph.err}")
    picture = run("show", "--isolated", "--format=svg", path)
    if picture.status == 0:
        consumers.svg(picture.out)
    case.expect_same("show")


def _part(case: Case, programs: list[dict[str, Any]]) -> None:
    nodes = [(program["name"], node["name"]) for program in programs for node in program["nodes"]]
    if not nodes:
        return
    program, node = case.rng.choice(nodes)
    kind = case.rng.choice(["text", "json", "dot", "svg"])
    around = f"--around={case.rng.randrange(4)}"
    ran = run(
        "show", "--isolated", f"--program={program}", f"--node={node}", around, f"--format={kind}", str(case.path)
    )
    if ran.status == 0:
        judge: dict[str, Callable[[str], object]] = {"dot": consumers.dot, "svg": consumers.svg}
        judge.get(kind, lambda text: consumers.terminal(text, "show --node"))(ran.out)


def diff(case: Case) -> None:
    """With what it was made from, both ways round, and with itself."""
    mutated, original = str(case.path), str(case.original)
    metadata = case.rng.choice([[], ["--metadata"]])
    there, back = (
        run("diff", "--format=json", *metadata, *pair) for pair in ((original, mutated), (mutated, original))
    )
    text, same = run("diff", *metadata, original, mutated), run("diff", *metadata, mutated, mutated)
    quiet = run("diff", "--quiet", *metadata, mutated, original)
    consumers.terminal(text.out, "diff")
    expect(there.status == back.status == text.status == quiet.status, f"diff: {there}\n{back}\n{text}\n{quiet}")
    expect(not quiet.out, "diff --quiet says something")
    if there.status == 2:
        return
    # A program that only one of them has is not read.
    expect((same.status, same.out) in ((0, ""), (2, "")), f"differs from itself: {same}")
    one, other = (consumers.strict_json(ran.out, "diff") for ran in (there, back))
    expect(one["equal"] == other["equal"] == (there.status == 0), f"diff: exit status {there.status} with {one}")
    expect(one["programs_added"] == other["programs_removed"], f"{one}\n{other}")
    expect(bool(text.out) == (there.status == 1), f"diff: {text}")
    case.expect_same("diff")


def textconv(case: Case) -> None:
    """Any file has a text."""
    ran = run("git", "textconv", str(case.path))
    consumers.terminal(ran.out, "git textconv")
    expect(ran.status == 0 and ran.out.endswith("\n"), f"git textconv: {ran}")
    case.expect_same("git textconv")


# --- restoring


def restore(case: Case) -> None:
    """It does what it says with --diff, once, and leaves what it does not change alone."""
    before = _unreadable(case)
    would = run("restore", "--isolated", "--diff", str(case.path))
    consumers.terminal(would.out, "restore --diff")
    case.expect_same("restore --diff")
    done = run("restore", "--isolated", "--verbose", str(case.path))
    consumers.terminal(done.out, "restore")
    case.expect_alone("restore")
    changed = case.path.read_bytes() != case.mutated
    expect(changed == ("was rewritten" in done.out), f"restore: changed: {changed}; {done}")
    expect(changed == bool(would.out) or done.status == 2, f"restore --diff: {would}; restore: {done}")
    expect(not changed or done.status == 1, f"restore: {done}")
    after = case.path.read_bytes()
    again = run("restore", "--isolated", str(case.path))
    expect(case.path.read_bytes() == after, f"a second restore changes it again: {again}")
    expect(
        set(_unreadable(case)) <= set(before), f"unreadable before restore: {before}, and after: {_unreadable(case)}"
    )


def _unreadable(case: Case) -> list[str]:
    """What cannot be read of the artifact."""
    [file] = consumers.report(
        run("check", "--isolated", "--no-cache", "--output-format=json", str(case.path)).out
    ).files
    return [one.message for one in file.diagnostics if one.code == "GL001"]


def fix_and_restore(case: Case) -> None:
    """Checks made functional and restored are what they were; the label alone is another."""
    if "nothing to restore" not in run("restore", "--isolated", "--diff", str(case.path)).err or _unreadable(case):
        return  # what others made functional is restored, too
    sink = case.rng.choice([[], ["--token-sink=output"]])
    run("check", "--isolated", "--no-cache", "--fix", f"--select={CHECKS}", *sink, str(case.path))
    if case.path.read_bytes() == case.mutated:
        return
    restored = run("restore", "--isolated", str(case.path))
    before = case.folder / "before.pt2"
    before.write_bytes(case.mutated)
    ran = run("diff", "--format=json", str(before), str(case.path))
    for program in consumers.strict_json(ran.out, "diff")["programs"]:
        others = [one for one in program["interface"] if one["what"] != "dialect"]
        expect(not program["changes"] and not others, f"restored: {program}\n{restored}")


LOOKS: list[Callable[[Case], None]] = [
    reports,
    reports_of_diff,
    reports_of_fix,
    at_a_terminal,
    on_stdout,
    baseline,
    show,
    diff,
    textconv,
    restore,
    fix_and_restore,
]
EACH = 2
"""Looks at a case of the fuzzer: all of them would take several times as long."""


def look(folder: Path, mutated: bytes, original: bytes, options: list[str], number: int, *, every: bool) -> None:
    """Some looks, chosen by the number, or ``every`` one."""
    rng = random.Random(number)
    for one in LOOKS if every else rng.sample(LOOKS, EACH):
        own = folder / one.__name__
        own.mkdir()
        one(Case(own, mutated, original, options, rng))
        shutil.rmtree(own)
