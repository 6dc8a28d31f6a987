"""The reports of a check, each written where it belongs."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

import msgspec

from graphlint.cli.console import Console, write_report
from graphlint.report.formats import summary
from graphlint.report.formats.registry import Output, renderer
from graphlint.report.results import FileResult, ReportOptions

SUMMARY_LIMIT: Final = 1 << 20
"""Bytes that GitHub takes from a step for the job summary; with more, it shows nothing at all."""


def write_reports(
    results: Sequence[FileResult],
    outputs: Sequence[Output],
    given: Mapping[str, Any],
    options: ReportOptions,
    console: Console,
) -> None:
    """Write all reports of a run by the options of ``check``: files first, stdout last. Raises WriteError."""
    if given["fix_only"]:
        results = [msgspec.structs.replace(result, diagnostics=result.unreadable) for result in results]

    def report(output: Output, options: ReportOptions) -> str:
        if given["diff"] and (output.is_text or not output.file):
            return summary.render_diff(results, options)
        text = renderer(output.format, statistics=given["statistics"])(results, options)
        return text if console.quiet or not output.is_text else text + _summary(results, given, options)

    for output in outputs:
        if output.file:
            color = options.color and output.is_text
            write_report(output.file, report(output, msgspec.structs.replace(options, color=color, hyperlinks=False)))
    on_stdout = [output for output in outputs if not output.file]
    if on_stdout:
        console.out(report(on_stdout[0], options))
    elif given["diff"]:
        console.out(summary.render_diff(results, options))
    # Nothing is said of the one file that -o names.
    elif given["output_file"] is None and not any(output.is_text for output in outputs):
        if not console.quiet:
            console.out(_summary(results, given, options))
        for output in outputs:
            console.say(f"Wrote {output.file}.")


def _summary(results: Sequence[FileResult], given: Mapping[str, Any], options: ReportOptions) -> str:
    text = (summary.render_fixes if given["show_fixes"] else summary.render_fixed_files)(results)
    text += summary.render_fix_only(results) if given["fix_only"] else summary.render(results, options)
    text += summary.render_tokens(results, options)
    text += summary.render_removed(results)
    # Files that were rewritten may be all that makes the run fail.
    fails = given["exit_non_zero_on_fix"] and not given["exit_zero"]
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


def report_root(folder: str) -> str:
    """The folder that paths in reports for other systems are relative to."""
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
