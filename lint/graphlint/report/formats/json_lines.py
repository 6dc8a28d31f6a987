"""The format ``json-lines``, for programs that read line by line: a JSON object on each line, told by its ``type``.

::

    {"type": "file", "version": 1, "path": "model.pt2", ...}
    {"type": "finding", "version": 1, "path": "model.pt2", "status": "found", "code": "GL103", ...}
    {"type": "summary", "version": 1, "tool": {"name": "graphlint", "version": "0.1.0"}, "files": 1, ...}

Each file comes before its findings, the summary last. Keys are those of the format ``json``. ``status`` says where
``json`` would have the finding: ``found`` is in ``diagnostics``, the others are in the lists of that name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from graphlint.report.formats.escaping import encode
from graphlint.report.formats.json_report import VERSION, described_file, finding, suppression, tool
from graphlint.report.formats.phrasing import totals
from graphlint.report.results import FileResult, ReportOptions


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One line per file and per finding, and one for the summary."""
    return "".join(encode(line, indent=None) for line in _lines(results, options))


def _lines(results: Sequence[FileResult], options: ReportOptions) -> Iterator[dict[str, Any]]:
    for result in results:
        said = {"error": result.error or None, "notes": result.notes}
        yield {"type": "file", "version": VERSION, **described_file(result), **said}
        lists = {"found": result.diagnostics, "suppressed": result.suppressed, "fixed": result.fixed}
        for status, diagnostics in lists.items():
            head = {"type": "finding", "version": VERSION, "path": result.path, "status": status}
            for one in diagnostics:
                yield {**head, **finding(one, options), "suppression": suppression(one)}
    yield {"type": "summary", "version": VERSION, **totals(results, options), "tool": tool(options)}
