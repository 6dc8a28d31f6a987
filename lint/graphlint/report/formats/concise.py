"""The format ``concise``: one line per finding, or per line of source that a rule finds something on.

::

    models.py:84:9: GL103 [*] aten.add_.Tensor writes buffer 'count' (model.pt2)
    models.py:91:9: GL103 [*] aten.add_.Tensor writes buffer 'layers.0.count' (model.pt2, in 24 places: layers.0 … \
layers.23)
    model.pt2: node %rand: GL302 (warning) aten.rand.default draws from the global generator

The line of the model's source comes first, in the form that editors make a link of; the artifact and the place in it
where there is no such line.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.grouping import Group, grouped
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import (
    code,
    linked_place,
    message,
    paint,
    place_in_artifact,
    severity,
    source_line,
)
from graphlint.report.results import FileResult


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One line per finding, or per group of them."""
    return "".join(_line(group, options) + "\n" for result in results for group in grouped(result.diagnostics))


def _line(group: Group, options: ReportOptions) -> str:
    diagnostic = group.first
    colon = paint(":", options, fg="cyan")
    artifact = paint(printable(diagnostic.path), options, bold=True)
    said = f"{code(diagnostic, options)}{severity(diagnostic)} {message(diagnostic)}"
    if diagnostic.place is None:
        place = place_in_artifact(diagnostic)
        return f"{artifact}{colon} {f'{place}{colon} ' if place else ''}{said}"
    line = source_line(diagnostic.place, options)
    places = linked_place(paint(line, options, bold=True), diagnostic.place, options)
    if diagnostic.about_source:
        return f"{places}{colon} {said}"
    several = group.several()
    return f"{places}{colon} {said} ({printable(diagnostic.path)}{', ' if several else ''}{several})"
