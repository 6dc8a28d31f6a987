"""The format ``junit``: an XML report in which every finding is a failed test and a clean artifact a passed one.

What somebody has accepted is a skipped test, what could not be processed an error. There are no times in it, so that
the same results give the same report.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape, quoteattr

from graphlint.report.formats import full
from graphlint.report.formats.escaping import ascii_markup, printable, printable_lines
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.places import node_of, spot_of
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic

ACCEPTED_BY = {"comment": "a comment in the source", "per-file-ignores": "per-file-ignores", "baseline": "the baseline"}


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The XML document, a test suite per artifact."""
    suites = [_Suite(result, options) for result in results]
    totals = _attributes(
        name="graphlint",
        tests=sum(suite.tests for suite in suites),
        failures=sum(suite.failures for suite in suites),
        errors=sum(suite.errors for suite in suites),
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites{totals}>"]
    for suite in suites:
        lines += suite.lines()
    lines.append("</testsuites>")
    return ascii_markup("".join(f"{line}\n" for line in lines))


class _Suite:
    """An artifact's tests."""

    def __init__(self, result: FileResult, options: ReportOptions) -> None:
        self._result = result
        self._options = options
        self._names: dict[tuple[str, str], int] = {}
        self.failures = len(result.diagnostics)
        self.skipped = len(result.suppressed)
        self.errors = int(bool(result.error))
        self.tests = max(self.failures + self.errors, 1) + self.skipped

    def lines(self) -> list[str]:
        """The element."""
        result = self._result
        counts = _attributes(
            name=result.path, tests=self.tests, failures=self.failures, errors=self.errors, skipped=self.skipped
        )
        lines = [f"  <testsuite{counts}>"]
        for diagnostic in result.diagnostics:
            lines += self._case(diagnostic, self._failure(diagnostic))
        for diagnostic in result.suppressed:
            lines += self._case(diagnostic, self._skipped(diagnostic))
        if result.error:
            error = f"<error{_attributes(type='error', message=result.error)}/>"
            lines += [f"    <testcase{self._identity('graphlint', result.path)}>", f"      {error}", "    </testcase>"]
        elif not result.diagnostics:
            lines.append(f"    <testcase{self._identity('graphlint', result.path)}/>")
        return [*lines, "  </testsuite>"]

    def _case(self, diagnostic: Diagnostic, outcome: str) -> list[str]:
        spot = spot_of(diagnostic, self._options)
        place = diagnostic.place
        where = node_of(diagnostic) or diagnostic.member or ""
        line = "" if place is None else f"{place.path}:{place.line}"
        name = ", ".join(filter(None, (f"{diagnostic.path}: {where}" if where else diagnostic.path, line)))
        identity = self._identity(f"graphlint.{diagnostic.code}", name)
        return [f"    <testcase{identity}{_attributes(file=spot.path)}>", f"      {outcome}", "    </testcase>"]

    def _identity(self, classname: str, name: str) -> str:
        """The attributes by which a test is known: no two may have the same."""
        number = self._names[(classname, name)] = self._names.get((classname, name), 0) + 1
        return _attributes(classname=classname, name=name if number == 1 else f"{name} ({number})")

    def _failure(self, diagnostic: Diagnostic) -> str:
        attributes = _attributes(type=diagnostic.rule, message=f"{diagnostic.code} {diagnostic.message}")
        alone = FileResult(diagnostic.path, (diagnostic,))
        body = full.render([alone], ReportOptions(folder=self._options.folder, hint_unsafe=self._options.hint_unsafe))
        return f"<failure{attributes}>{escape(printable_lines(body.strip()))}</failure>"

    def _skipped(self, diagnostic: Diagnostic) -> str:
        why = diagnostic.suppression
        reason = "" if why is None else f"accepted by {ACCEPTED_BY[why.by]}{f': {why.reason}' if why.reason else ''}"
        return f"<skipped{_attributes(message=f'{diagnostic.code} {diagnostic.message} ({reason})')}/>"


def _attributes(**attributes: str | int) -> str:
    return "".join(f" {name}={quoteattr(printable(str(value)))}" for name, value in attributes.items())
