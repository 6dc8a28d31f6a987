"""The format ``full``: everything about each finding, for people.

::

    GL103 [*] buffer-mutation: aten.add_.Tensor writes buffer 'count'
      --> model.pt2, node %add_
      --> models.py:84 in forward, module layers.0 (Counter)
       |
    84 |     self.count.add_(1)
       |
       = help: becomes aten.add.Tensor; the new value is returned as a buffer mutation

What is wrong; where in the artifact; where in the model; what can be done about it.
"""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.diagnostics import Diagnostic
from graphlint.reporters.escaping import printable
from graphlint.reporters.options import ReportOptions
from graphlint.reporters.phrasing import code, message, module, paint, place_in_artifact, place_in_model, severity
from graphlint.results import FileResult

FILE_RULES = "GL0"
"""What is wrong with the file itself is put right elsewhere (``git lfs pull``): what the fix says is advice."""


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One block per finding, with an empty line after each."""
    return "".join(_block(diagnostic, options) for result in results for diagnostic in result.diagnostics)


def _block(diagnostic: Diagnostic, options: ReportOptions) -> str:
    frame = diagnostic.source
    number = str(frame.line) if frame is not None else ""
    margin = " " * max(len(number), 1)
    arrow = paint(f"{margin}-->", options, fg="blue", bold=True)
    rule = paint(diagnostic.rule, options, bold=True)
    place = place_in_artifact(diagnostic)
    if frame is None:
        place += module(diagnostic) if place else ""
    artifact = paint(printable(diagnostic.path), options, bold=True)
    lines = [
        f"{code(diagnostic, options)} {rule}{severity(diagnostic)}: {message(diagnostic)}",
        f"{arrow} {artifact}{', ' if place else ''}{place}",
    ]
    advice = _advice(diagnostic, options)
    if frame is not None:
        lines.append(f"{arrow} {place_in_model(diagnostic, frame, options)}")
    if frame is not None and frame.text:
        bar = paint(f"{margin} |", options, fg="blue", bold=True)
        numbered = paint(f"{number} |", options, fg="blue", bold=True)
        lines += [bar, f"{numbered}     {printable(frame.text)}", *([bar] if advice else [])]
    equals = paint(f"{margin} =", options, fg="blue", bold=True)
    lines += [f"{equals} {paint(label + ':', options, bold=True)} {text}" for label, text in advice]
    return "\n".join(lines) + "\n\n"


def _advice(diagnostic: Diagnostic, options: ReportOptions) -> list[tuple[str, str]]:
    """What the fix does and what it takes to get it, or why there is none."""
    explanation = printable(diagnostic.fix.message)
    if diagnostic.code.startswith(FILE_RULES):
        return [("help", explanation)] if explanation else []
    if not diagnostic.fixable:
        return [("note", f"not fixable: {explanation}")] if explanation else []
    advice = [("help", explanation)] if explanation else []
    if options.hides(diagnostic):
        advice.append(("note", "this fix is unsafe: it can change what the program does; enable with --unsafe-fixes"))
    return advice
