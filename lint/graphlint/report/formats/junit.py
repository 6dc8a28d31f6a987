"""The format ``junit``: an XML report in which every finding is a failed test and a clean artifact a passed one.

What somebody has accepted is a skipped test, what could not be processed an error. There are no times in it, so that
the same results give the same report.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape, quoteattr

from graphlint.report.formats import full
from graphlint.report.formats.escaping import ascii_markup, printable, printable_lines
from graphlint.report.formats.phrasing import DEFAULT_PROGRAM, accepted_by, node_path, spot_of
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The XML document, a test suite per artifact."""
    numbers = [_numbers(result) for result in results]
    total = {key: sum(one[key] for one in numbers) for key in ("tests", "failures", "errors")}
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites{_attributes(name='graphlint', **total)}>"]
    lines += [line for result in results for line in _suite(result, options)]
    lines.append("</testsuites>")
    return ascii_markup("".join(f"{line}\n" for line in lines))


def _numbers(result: FileResult) -> dict[str, int]:
    failures, errors, skipped = len(result.diagnostics), int(bool(result.error)), len(result.suppressed)
    tests = max(failures + errors, 1) + skipped
    return {"tests": tests, "failures": failures, "errors": errors, "skipped": skipped}


def _suite(result: FileResult, options: ReportOptions) -> Iterator[str]:
    """The element of an artifact's tests."""
    seen = Counter[tuple[str, str]]()

    def case(kind: str, name: str, outcome: str = "", **more: str) -> Iterator[str]:
        """A test; no two may have the same class and name."""
        seen[kind, name] += 1
        number = seen[kind, name]
        known = _attributes(classname=kind, name=name if number == 1 else f"{name} ({number})", **more)
        if outcome:
            yield from (f"    <testcase{known}>", f"      {outcome}", "    </testcase>")
        else:
            yield f"    <testcase{known}/>"

    yield f"  <testsuite{_attributes(name=result.path, **_numbers(result))}>"
    outcomes = [(one, _failure(one, options)) for one in result.diagnostics]
    outcomes += [(one, _skipped(one)) for one in result.suppressed]
    for one, outcome in outcomes:
        yield from case(f"graphlint.{one.code}", _name(one), outcome, file=spot_of(one, options).path)
    if result.error:
        yield from case("graphlint", result.path, f"<error{_attributes(type='error', message=result.error)}/>")
    elif not result.diagnostics:
        yield from case("graphlint", result.path)
    yield "  </testsuite>"


def _name(diagnostic: Diagnostic) -> str:
    """``model.pt2: decoder: cond > true_graph_0 > %add_, models.py:84``."""
    program = diagnostic.program if diagnostic.program not in (None, DEFAULT_PROGRAM) else ""
    node = node_path(diagnostic) if diagnostic.node is not None else ""
    where = ": ".join(filter(None, (program, node))) or diagnostic.member
    place = diagnostic.place
    line = "" if place is None else f"{place.path}:{place.line}"
    return ", ".join(filter(None, (f"{diagnostic.path}: {where}" if where else diagnostic.path, line)))


def _failure(diagnostic: Diagnostic, options: ReportOptions) -> str:
    alone = FileResult(diagnostic.path, (diagnostic,))
    body = full.render([alone], ReportOptions(folder=options.folder, hint_unsafe=options.hint_unsafe))
    attributes = _attributes(type=diagnostic.rule, message=f"{diagnostic.code} {diagnostic.message}")
    return f"<failure{attributes}>{escape(printable_lines(body.strip()))}</failure>"


def _skipped(diagnostic: Diagnostic) -> str:
    why = diagnostic.suppression
    reason = "" if why is None else f"accepted by {accepted_by(why)}"
    return f"<skipped{_attributes(message=f'{diagnostic.code} {diagnostic.message} ({reason})')}/>"


def _attributes(**attributes: str | int) -> str:
    return "".join(f" {name}={quoteattr(printable(str(value)))}" for name, value in attributes.items())
