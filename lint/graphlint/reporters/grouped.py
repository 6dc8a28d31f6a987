"""The format ``grouped``: findings by artifact, then by line of the model's source.

::

    model.pt2:
      models.py:84: self.count.add_(1) (2 findings)
        GL103 [*] aten.add_.Tensor writes buffer 'count'
        GL201 [*] aten._assert_async.msg returns nothing
"""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.diagnostics import Diagnostic
from graphlint.reporters.escaping import printable
from graphlint.reporters.options import ReportOptions
from graphlint.reporters.phrasing import code, message, paint, place_in_artifact, severity, source_line
from graphlint.results import FileResult

NOWHERE = ""


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """A paragraph per artifact that has findings."""
    return "".join(_paragraph(result, options) for result in results if result.diagnostics)


def _paragraph(result: FileResult, options: ReportOptions) -> str:
    groups: dict[str, list[Diagnostic]] = {}
    for diagnostic in result.diagnostics:
        place = NOWHERE if diagnostic.source is None else source_line(diagnostic.source, options)
        groups.setdefault(place, []).append(diagnostic)
    lines = [f"{paint(printable(result.path), options, bold=True, underline=True)}:"]
    for place, diagnostics in groups.items():
        if place == NOWHERE:
            lines += [f"  {_finding(diagnostic, options, place_in_artifact(diagnostic))}" for diagnostic in diagnostics]
            continue
        source = diagnostics[0].source
        text = f": {printable(source.text)}" if source is not None and source.text else ""
        number = f" ({len(diagnostics)} findings)" if len(diagnostics) > 1 else ""
        lines.append(f"  {paint(place, options, bold=True)}{text}{number}")
        lines += [f"    {_finding(diagnostic, options)}" for diagnostic in diagnostics]
    return "\n".join(lines) + "\n\n"


def _finding(diagnostic: Diagnostic, options: ReportOptions, place: str = "") -> str:
    where = f"{place}: " if place else ""
    return f"{where}{code(diagnostic, options)}{severity(diagnostic)} {message(diagnostic)}"
