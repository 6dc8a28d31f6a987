"""The format ``concise``: one line per finding.

::

    model.pt2: models.py:84: GL103 [*] aten.add_.Tensor writes buffer 'count'

The artifact comes first, then the line of the model's source; the place in the graph where there is no such line.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.diagnostics import Diagnostic
from graphlint.reporters.escaping import printable
from graphlint.reporters.options import ReportOptions
from graphlint.reporters.phrasing import code, message, paint, place_in_artifact, severity, source_line
from graphlint.results import FileResult


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One line per finding."""
    return "".join(_line(diagnostic, options) + "\n" for result in results for diagnostic in result.diagnostics)


def _line(diagnostic: Diagnostic, options: ReportOptions) -> str:
    place = place_in_artifact(diagnostic) if diagnostic.source is None else source_line(diagnostic.source, options)
    colon = paint(":", options, fg="cyan")
    artifact = paint(printable(diagnostic.path), options, bold=True)
    places = f"{artifact}{colon} {place}{colon} " if place else f"{artifact}{colon} "
    return f"{places}{code(diagnostic, options)}{severity(diagnostic)} {message(diagnostic)}"
