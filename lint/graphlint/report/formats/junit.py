"""The format ``junit``: an XML report in which every finding is a failed test and a clean artifact a passed one.

A note is a passed test that has something to say. What somebody has accepted is a skipped test, what could not be
processed an error. There are no times in it, so that the same results give the same report.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from markupsafe import Markup

from graphlint.report.formats import full, phrasing
from graphlint.report.formats.escaping import ascii_markup, printable, printable_lines
from graphlint.report.formats.phrasing import DEFAULT_PROGRAM, node_path
from graphlint.report.results import FileResult, ReportOptions
from graphlint.report.templates import rendered
from graphlint.rules.diagnostics import Diagnostic


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The XML document, a test suite per artifact."""
    alone = ReportOptions(folder=options.folder, hint_unsafe=options.hint_unsafe)

    def body(one: Diagnostic) -> Markup:
        text = full.render([FileResult(one.path, (one,))], alone).strip()
        return Markup(escape(printable_lines(text)))  # noqa: S704 - it is escaped

    document = rendered(
        "report/formats",
        "junit.xml",
        suites=[(result, _numbers(result), _tests(result)) for result in results],
        options=options,
        body=body,
        quoted=lambda text: Markup(quoteattr(printable(text))),  # noqa: S704 - as above
        phrasing=phrasing,
    )
    return ascii_markup(document)


def _numbers(result: FileResult) -> dict[str, int]:
    failures, errors, skipped = len(result.failing), int(bool(result.error)), len(result.suppressed)
    tests = max(len(result.diagnostics) + errors, 1) + skipped
    return {"tests": tests, "failures": failures, "errors": errors, "skipped": skipped}


def _tests(result: FileResult) -> Iterator[tuple[str, str, Diagnostic | None]]:
    """Class, name and finding of each test; no two have the same class and name. The last is of the file as such."""
    tests: list[tuple[str, str, Diagnostic | None]]
    tests = [(f"graphlint.{one.code}", _name(one), one) for one in (*result.diagnostics, *result.suppressed)]
    if result.error or not result.diagnostics:
        tests.append(("graphlint", result.path, None))
    seen = Counter[tuple[str, str]]()
    for kind, name, one in tests:
        seen[kind, name] += 1
        number = seen[kind, name]
        yield kind, name if number == 1 else f"{name} ({number})", one


def _name(diagnostic: Diagnostic) -> str:
    """``model.pt2: decoder: cond > true_graph_0 > %add_, models.py:84``."""
    program = diagnostic.program if diagnostic.program not in (None, DEFAULT_PROGRAM) else ""
    node = node_path(diagnostic) if diagnostic.node is not None else ""
    where = ": ".join(filter(None, (program, node))) or diagnostic.member
    place = diagnostic.place
    line = "" if place is None else f"{place.path}:{place.line}"
    return ", ".join(filter(None, (f"{diagnostic.path}: {where}" if where else diagnostic.path, line)))
