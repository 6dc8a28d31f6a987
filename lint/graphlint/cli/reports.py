"""The reports of a check, each written where it belongs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

import msgspec

from graphlint.cli.console import Console, write_report
from graphlint.report.formats import summary
from graphlint.report.formats.registry import FORMATS, Output, renderer
from graphlint.report.results import FileResult, ReportOptions

# Importing pathlib costs every run.

SUMMARY_LIMIT: Final = 1 << 20
"""Bytes that GitHub takes from a step for the job summary; with more, it shows nothing at all."""


class Reports:
    """What a run reports, by the options of ``check``."""

    def __init__(
        self, outputs: Sequence[Output], given: Mapping[str, Any], options: ReportOptions, console: Console
    ) -> None:
        self._outputs = outputs
        self._given = given
        self._options = options
        self._console = console

    def write(self, results: Sequence[FileResult]) -> None:
        """Write all reports: files first, stdout last. Raises WriteError."""
        if self._given["fix_only"]:
            results = [msgspec.structs.replace(result, diagnostics=result.unreadable) for result in results]
        on_stdout = [output for output in self._outputs if not output.file]
        for output in self._outputs:
            if output.file:
                color = self._options.color and output.is_text
                plain = msgspec.structs.replace(self._options, color=color, hyperlinks=False)
                write_report(output.file, self._report(results, output, plain))
        for output in on_stdout:
            self._console.out(
                summary.render_diff(results, self._options)
                if self._given["diff"]
                else self._report(results, output, self._options)
            )
        if on_stdout:
            return
        if self._given["diff"]:
            self._console.out(summary.render_diff(results, self._options))
        # Nothing is said of the one file that -o names.
        elif self._given["output_file"] is None and not any(output.is_text for output in self._outputs):
            if not self._console.quiet:
                self._console.out(self._summary(results, self._options))
            for output in self._outputs:
                self._console.say(f"Wrote {output.file}.")

    def _report(self, results: Sequence[FileResult], output: Output, options: ReportOptions) -> str:
        if self._given["diff"] and output.is_text:
            return summary.render_diff(results, options)
        text = renderer(output.format, statistics=self._given["statistics"])(results, options)
        return text if self._console.quiet or not output.is_text else text + self._summary(results, options)

    def _summary(self, results: Sequence[FileResult], options: ReportOptions) -> str:
        fixes = summary.render_fixes if self._given["show_fixes"] else summary.render_fixed_files
        text = fixes(results)
        text += summary.render_fix_only(results) if self._given["fix_only"] else summary.render(results, options)
        text += summary.render_tokens(results, options)
        # Files that were rewritten may be all that makes the run fail.
        fails = self._given["exit_non_zero_on_fix"] and not self._given["exit_zero"]
        return text + summary.render_rewritten(results) if fails else text


def summary_file() -> str:
    """The job summary of GitHub Actions, a file to which a step appends Markdown; empty outside of it."""
    return os.environ.get("GITHUB_STEP_SUMMARY", "") if os.environ.get("GITHUB_ACTIONS") == "true" else ""


def append_summary(file: str, results: Sequence[FileResult], options: ReportOptions, console: Console) -> None:
    """Append the report to ``file``, as far as there is room. A run does not fail for the lack of a summary."""
    from graphlint.report.formats import markdown

    try:
        room = SUMMARY_LIMIT - (os.path.getsize(file) if os.path.exists(file) else 0)
        text = markdown.render(results, msgspec.structs.replace(options, color=False, size_limit=max(room - 1, 1)))
        content = text.encode("utf-8", "backslashreplace")
        if len(content) < room:
            with open(file, "ab") as stream:
                stream.write(content + b"\n")
        else:
            console.warning(f"the job summary is full ({SUMMARY_LIMIT} bytes): nothing was added to {file}")
    except OSError as error:
        console.warning(f"cannot write the job summary to {file}: {error.strerror}")


def report_root(outputs: Sequence[Output], folder: str, *, always: bool = False) -> str:
    """The folder that paths in reports for other systems are relative to; empty where there is no such report."""
    if not always and not any(FORMATS[output.format].rooted for output in outputs):
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
