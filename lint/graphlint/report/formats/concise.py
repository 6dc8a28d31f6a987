"""The format ``concise``: one line per finding, or per line of source that a rule finds something on.

::

    models.py:84:9: GL103 [*] aten.add_.Tensor writes buffer 'count' (model.pt2)
    model.pt2: node %rand: GL302 (warning) aten.rand.default draws from the global generator

The line of the model's source comes first, in the form that editors make a link of; the artifact and the place in it
where there is no such line.
"""

from collections.abc import Sequence

from graphlint.report.formats import phrasing
from graphlint.report.formats.escaping import printable
from graphlint.report.results import FileResult, ReportOptions


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    return "".join(_line(group, options) + "\n" for group in phrasing.by_cause(results, options))


def _line(group: phrasing.Group, options: ReportOptions) -> str:
    diagnostic = group.first
    colon = phrasing.paint(":", options, fg="cyan")
    said = phrasing.statement(diagnostic, options)
    more = f", {phrasing.following(group)}" if group.following else ""
    several = group.several()
    if diagnostic.place is None and len(group.artifacts) == 1:
        place = several or phrasing.place_in_artifact(diagnostic)
        artifact = phrasing.paint(printable(diagnostic.path), options, bold=True)
        return f"{artifact}{colon} {f'{place}{colon} ' if place else ''}{said}{more}"
    if diagnostic.place is None:
        return f"{phrasing.paint(several, options, bold=True)}{colon} {said}{more}"
    line = f"{phrasing.painted_line(diagnostic.place, options)}{colon} {said}"
    artifact = several if len(group.artifacts) > 1 else ", ".join(filter(None, (printable(diagnostic.path), several)))
    return line if diagnostic.about_source else f"{line} ({artifact}{more})"
