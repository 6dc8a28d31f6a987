"""Every format's output for one fixed run: real artifacts, checked, with findings that are accepted and a failure; and
what ``--fix`` would do.

python tests/reporters/test_snapshots.py    writes the snapshots anew; look at what changed before you commit it.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

import msgspec
import pytest

from graphlint.report.formats import summary
from graphlint.report.formats.registry import FORMATS, STATISTICS, renderer
from graphlint.report.results import Action, FileResult, ReportOptions
from graphlint.run.config import Configuration
from graphlint.run.engine import process
from graphlint.run.resolution import Resolver
from graphlint.run.review import Reviewer

PROJECT = Path(__file__).parents[2]
SNAPSHOTS = Path(__file__).parent / "snapshots"
SUFFIXES = {
    "json": "json",
    "json-lines": "jsonl",
    "sarif": "sarif",
    "gitlab": "json",
    "junit": "xml",
    "markdown": "md",
    "html": "html",
}
CHECKED = ("key_value_cache", "random", "two_async_asserts", "two_programs", "clean")
FIXED = ("intermediate", "cond_mutation")
ACCEPTED = {"**/two_async_asserts.pt2": ("GL2",), "tests/artifacts/models.py": ("GL101",)}
"""Per-file ignores, of which the one on the source makes findings that are accepted."""


@functools.cache
def run(action: Action, names: tuple[str, ...]) -> tuple[FileResult, ...]:
    """The results, as in a run of the command line in the project's folder."""
    before = Path.cwd()
    os.chdir(PROJECT)
    try:
        ignores = ACCEPTED if action == "check" else {}
        resolver = Resolver(Configuration(per_file_ignores=ignores), isolated=True)
        reviewer = Reviewer()
        results = []
        for name in names:
            path = f"tests/artifacts/2.13.0/{name}.pt2"
            settings = msgspec.structs.replace(resolver.settings_for(path), illustrate=True)
            review = functools.partial(reviewer.accept, path, settings.acceptance)
            results.append(reviewer.note(process(path, settings, action, review=review), settings))
        return tuple(results)
    finally:
        os.chdir(before)


def checked() -> tuple[FileResult, ...]:
    return (*run("check", CHECKED), FileResult("missing.pt2", error="No such file or directory"))


def options() -> ReportOptions:
    return ReportOptions(
        folder=str(PROJECT),
        root=str(PROJECT),
        source_url="https://github.com/example/models/blob/0123abc/",
        version="0.0.0",
    )


def snapshots() -> dict[str, str]:
    """All texts, by the name of the file that holds them."""
    made = {f"check-{name}.{SUFFIXES.get(name, 'txt')}": renderer(name)(checked(), options()) for name in FORMATS}
    for name in STATISTICS:
        made[f"statistics-{name}.{SUFFIXES.get(name, 'txt')}"] = renderer(name, statistics=True)(checked(), options())
    would_fix = run("diff", FIXED)
    for name in ("json", "json-lines", "markdown", "html"):
        made[f"diff-{name}.{SUFFIXES[name]}"] = renderer(name)(would_fix, options())
    made["diff.txt"] = summary.render_diff(would_fix, options())
    made["check-full-colors.txt"] = renderer("full")(checked(), msgspec.structs.replace(options(), color=True)).replace(
        "\x1b", "<ESC>"
    )
    return made


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return snapshots()


def test_every_snapshot_is_of_something(texts):
    assert {path.name for path in SNAPSHOTS.iterdir()} == set(texts)


def test_every_format_says_what_it_said(texts):
    other = [name for name, text in texts.items() if (SNAPSHOTS / name).read_bytes().decode() != text]
    assert other == [], f"see git diff after python {Path(__file__).relative_to(PROJECT)}"


def test_no_path_of_this_machine_is_in_a_report(texts):
    assert [name for name, text in texts.items() if str(PROJECT) in text] == []


def test_the_run_has_all_there_is():
    results = checked()
    assert any(result.diagnostics for result in results)
    assert any(result.suppressed for result in results)
    assert any(result.error for result in results)
    assert any(not result.diagnostics and not result.suppressed and not result.error for result in results)
    assert any(result.fixed and result.diff for result in run("diff", FIXED))


if __name__ == "__main__":
    SNAPSHOTS.mkdir(exist_ok=True)
    for stale in SNAPSHOTS.iterdir():
        stale.unlink()
    for name, text in snapshots().items():
        (SNAPSHOTS / name).write_bytes(text.encode())
    sys.stdout.write(f"wrote {len(snapshots())} snapshots\n")
