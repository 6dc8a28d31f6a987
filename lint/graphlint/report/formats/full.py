"""The format ``full``: everything about each finding, for people.

::

    GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'layers.0.count'
      --> models.py:84:9 in forward
       |
    84 |     self.count.add_(1)
       |     ^^^^^^^^^^^^^^^^^^
       |
      ::: model.pt2, in 24 places: layers.0 … layers.23
       = help: becomes aten.add.Tensor; the new value is returned as a buffer mutation

What is wrong; where in the model; where in the artifact; what can be done about it. The line is that of the source file
where it is at hand, and has a marker under the expression then; otherwise it is what the artifact stores.
"""

from collections.abc import Iterator, Sequence

from graphlint.report.formats import phrasing
from graphlint.report.formats.escaping import printable
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic, Location


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    return "".join(_block(group, options) for result in results for group in phrasing.grouped(result.diagnostics))


def _block(group: phrasing.Group, options: ReportOptions) -> str:
    diagnostic = group.first
    place = diagnostic.place
    margin = " " * max(len(str(place.line)) if place is not None else 0, 1)

    def mark(text: str) -> str:
        return phrasing.paint(f"{margin}{text}", options, fg="blue", bold=True)

    rule = phrasing.paint(diagnostic.rule, options, bold=True)
    lines = [
        f"{phrasing.code(diagnostic, options)} {rule}{phrasing.severity(diagnostic)}: {printable(diagnostic.message)}"
    ]
    if place is not None:
        lines.append(f"{mark('-->')} {phrasing.painted_line(place, options)}{phrasing.in_function(place)}")
        lines += _excerpt(place, options, mark(" |"))
    if not diagnostic.about_source:
        artifact = phrasing.paint(printable(diagnostic.path), options, bold=place is None)
        places = group.places()
        lines.append(f"{mark('-->' if place is None else ':::')} {artifact}{', ' if places else ''}{places}")
    for label, text in _advice(diagnostic, options):
        lines.append(f"{mark(' =')} {phrasing.paint(label + ':', options, bold=True)} {text}")
    return "\n".join(lines) + "\n\n"


def _excerpt(place: Location, options: ReportOptions, bar: str) -> list[str]:
    """The line, and below it a marker where the file is at hand."""
    text = place.text.strip()
    if not text:
        return []
    numbered = phrasing.paint(f"{place.line} |", options, fg="blue", bold=True)
    lines = [bar, f"{numbered}     {printable(text)}"]
    if place.column:
        # Before and under the expression, what is shown escaped is longer than it is in the file.
        before, expression, _ = phrasing.in_three(place)
        under = "^" * max(_width(printable(expression.rstrip())), 1)
        lines.append(
            f"{bar}     {' ' * _width(printable(before))}{phrasing.paint(under, options, fg='red', bold=True)}"
        )
    return [*lines, bar]


def _width(text: str) -> int:
    """How many columns a terminal takes for it."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def _advice(diagnostic: Diagnostic, options: ReportOptions) -> Iterator[tuple[str, str]]:
    """What the fix does and what it takes to get it, or why there is none."""
    if diagnostic.place is not None and diagnostic.place.state == "changed":
        yield "note", "the file has changed since the export and has no such line now"
    label, text = phrasing.advice(diagnostic)
    if label:
        yield ("note", f"not fixable: {printable(text)}") if label == "Not fixable" else ("help", printable(text))
    if options.hides(diagnostic):
        yield "note", "this fix is unsafe: it can change what the program does; enable with --unsafe-fixes"
