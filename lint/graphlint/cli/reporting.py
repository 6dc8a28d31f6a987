"""Writing the reports of a run, each where it belongs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TextIO

import msgspec

from graphlint.cli.console import Console, write_report
from graphlint.report.formats import summary
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.registry import renderer
from graphlint.report.outputs import Output
from graphlint.report.results import FileResult

# Importing pathlib costs every run.


class Wanted(msgspec.Struct, frozen=True):
    """What the command line says of the reports."""

    outputs: tuple[Output, ...]
    diff: bool = False
    fix_only: bool = False
    show_fixes: bool = False
    statistics: bool = False
    quiet: bool = False
    mention_rewritten: bool = True
    """Whether files that were rewritten make the run fail, so that it has to be said."""
    file_option: bool = False
    """Whether the one report goes to a file by ``-o``: nothing is said of that."""


def write_reports(results: Sequence[FileResult], wanted: Wanted, options: ReportOptions, console: Console) -> None:
    """Write all reports: files first, stdout last. Raises WriteError."""
    shown = results
    if wanted.fix_only:
        shown = [msgspec.structs.replace(result, diagnostics=result.unreadable) for result in results]
    on_stdout = [output for output in wanted.outputs if not output.file]
    for output in wanted.outputs:
        if output.file:
            plain = msgspec.structs.replace(options, color=options.color and output.is_text, hyperlinks=False)
            write_report(output.file, _report(shown, output, wanted, plain))
    for output in on_stdout:
        console.out(_diff(shown, options) if wanted.diff else _report(shown, output, wanted, options))
    if not on_stdout and wanted.diff:
        console.out(_diff(shown, options))
    elif not on_stdout and not wanted.quiet and not any(output.is_text for output in wanted.outputs):
        if not wanted.file_option:
            console.out(_summary(shown, wanted, options))
        for output in wanted.outputs if not wanted.file_option else ():
            console.say(f"Wrote {output.file}.")


def _report(results: Sequence[FileResult], output: Output, wanted: Wanted, options: ReportOptions) -> str:
    if wanted.diff and output.is_text:
        return _diff(results, options)
    text = renderer(output.format, statistics=wanted.statistics)(results, options)
    return text if wanted.quiet or not output.is_text else text + _summary(results, wanted, options)


def _diff(results: Sequence[FileResult], options: ReportOptions) -> str:
    from graphlint.report.formats import diff

    return diff.render(results, options)


def _summary(results: Sequence[FileResult], wanted: Wanted, options: ReportOptions) -> str:
    text = summary.render_fixes(results) if wanted.show_fixes else summary.render_fixed_files(results)
    text += summary.render_fix_only(results) if wanted.fix_only else summary.render(results, options)
    text += summary.render_tokens(results, options)
    return text + summary.render_rewritten(results) if wanted.mention_rewritten else text


def report_root(outputs: Sequence[Output], folder: str, *, always: bool = False) -> str:
    """The folder that paths in reports for other systems are relative to; empty where there is no such report."""
    if not always and all(output.is_text or output.format.startswith("json") for output in outputs):
        return ""
    from graphlint.run.sources.repository import root_of

    project = os.environ.get("CI_PROJECT_DIR", "")
    if project and _is_below(folder, project):
        return os.path.normpath(project)
    root, is_repository = root_of(folder)
    workspace = os.environ.get("GITHUB_WORKSPACE", "")
    if not is_repository and workspace and _is_below(folder, workspace):
        return os.path.normpath(workspace)
    return root


def source_address() -> str:
    """The address in front of a file's path in the repository at this commit, on GitHub's and GitLab's runners."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_SHA")
    server, repository, commit = (os.environ.get(name, "") for name in names)
    if server and repository and commit:
        return f"{server}/{repository}/blob/{commit}/"
    project, commit = os.environ.get("CI_PROJECT_URL", ""), os.environ.get("CI_COMMIT_SHA", "")
    return f"{project}/-/blob/{commit}/" if project and commit else ""


def _is_below(folder: str, root: str) -> bool:
    return (os.path.normpath(folder) + os.sep).startswith(os.path.normpath(root).rstrip(os.sep) + os.sep)


def stdout_of(outputs: Sequence[Output]) -> TextIO | None:
    """The stream that colours and links depend on: stdout, unless all that is text goes to a file."""
    text = [output for output in outputs if output.is_text]
    return None if text and all(output.file for output in text) else sys.stdout
