"""The job summary of GitHub Actions: a file to which a step appends Markdown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final

import msgspec

from graphlint.cli.console import Console
from graphlint.report.formats.options import ReportOptions
from graphlint.report.results import FileResult

# Importing pathlib costs every run.

LIMIT: Final = 1 << 20
"""Bytes that GitHub takes from a step; with more, it shows nothing at all."""


def summary_file() -> str:
    """The file; empty outside of GitHub Actions."""
    return os.environ.get("GITHUB_STEP_SUMMARY", "") if os.environ.get("GITHUB_ACTIONS") == "true" else ""


def append(file: str, results: Sequence[FileResult], options: ReportOptions, console: Console) -> None:
    """Append the report to ``file``, as far as there is room. A run does not fail for the lack of a summary."""
    from graphlint.report.formats import markdown

    try:
        room = LIMIT - (os.path.getsize(file) if os.path.exists(file) else 0)
        text = markdown.render(results, msgspec.structs.replace(options, color=False, size_limit=max(room - 1, 1)))
        content = text.encode("utf-8", "backslashreplace")
        if len(content) < room:
            with open(file, "ab") as stream:
                stream.write(content + b"\n")
        else:
            console.warning(f"the job summary is full ({LIMIT} bytes): nothing was added to {file}")
    except OSError as error:
        console.warning(f"cannot write the job summary to {file}: {error.strerror}")
