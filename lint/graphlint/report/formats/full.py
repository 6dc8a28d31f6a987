"""The format ``full``: each cause once, for people; with ``--verbose`` each finding.

::

    GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'layers.0.count'
      --> models.py:84:9 in forward
    84 |     self.count.add_(1)
       |     ^^^^^^^^^^^^^^^^^^
      ::: model.pt2, in 24 places: layers.0 … layers.23
       = help: pass the state in and return it; --fix: becomes aten.add.Tensor

What is wrong; where in the model, and where in the artifact; what can be done about it. The line is that of the source
file where it is at hand, and has a marker under the expression then; otherwise it is what the artifact stores. Where an
installed package does what the model's line asks for, a line of its own shows which line of the package that is.
"""

from collections.abc import Iterator, Sequence

from graphlint.report.formats import phrasing
from graphlint.report.formats.escaping import printable
from graphlint.report.results import UNSAFE, FileResult, ReportOptions
from graphlint.rules.diagnostics import Location


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    return "".join(_block(group, options) for group in phrasing.by_cause(results, options))


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
    if place is not None and (inner := phrasing.inner_line(diagnostic, options)):
        lines.append(f"{mark('...')} {inner}")
    if not diagnostic.about_source:
        lines.append(f"{mark('-->' if place is None else ':::')} {group.artifact()}")
    for label, text in _advice(group, options):
        lines.append(f"{mark(' =')} {phrasing.paint(label + ':', options, bold=True)} {text}")
    return "\n".join(lines) + "\n\n"


def _excerpt(place: Location, options: ReportOptions, bar: str) -> list[str]:
    """The line, and below it a marker where the file is at hand."""
    text = place.text.strip()
    if not text:
        return []
    numbered = phrasing.paint(f"{place.line} |", options, fg="blue", bold=True)
    lines = [f"{numbered}     {printable(text)}"]
    if place.column:
        # Before and under the expression, what is shown escaped is longer than it is in the file.
        before, expression, _ = phrasing.in_three(place)
        under = "^" * max(_width(printable(expression.rstrip())), 1)
        lines.append(
            f"{bar}     {' ' * _width(printable(before))}{phrasing.paint(under, options, fg='red', bold=True)}"
        )
    return lines


def _width(text: str) -> int:
    """How many columns a terminal takes for it."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


def _advice(group: phrasing.Group, options: ReportOptions) -> Iterator[tuple[str, str]]:
    """What to write in Python, what the fix does and what it takes to get it, or why there is none."""
    diagnostic = group.first
    if diagnostic.place is not None and diagnostic.place.state == "changed":
        yield "note", "the file has changed since the export and has no such line now"
    label, text = phrasing.advice(diagnostic, options)
    parts = [diagnostic.advice, text if label == "Help" else ""]
    if by := phrasing.fixed_by(diagnostic, options):
        caution = " (this may change what the program does)" if options.lacks(diagnostic) == UNSAFE else ""
        parts.append(f"{by}: {text}{caution}")
    if any(parts):
        yield "help", printable("; ".join(filter(None, parts)))
    if label == "Not fixable":
        yield "note", printable(f"not fixable: {text}")
    if more := phrasing.following(group):
        yield "note", f"{more} (--verbose lists them)"
