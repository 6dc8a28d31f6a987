"""The format ``markdown``: a table of findings for each artifact, for job summaries and merge requests.

Names from artifacts can hold anything, so everything but the words of graphlint itself is code or escaped. With a limit
on the size, what no longer fits is counted.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.phrasing import Group, address, count, grouped, headline, source_line, totals
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.documentation import link

_MARKS: Final = {"error": "🔴 error", "warning": "🟡 warning", "note": "🔵 note"}
_SPECIAL: Final = re.compile(r"[\\`*_\[\]#!|<>&~$@]|:(?=[A-Za-z/])")
"""What makes Markdown, HTML, mathematics, mentions, emoji and addresses of text."""
_HEADER: Final = "| | rule | source line | where in the artifact | finding | fix |\n|---|---|---|---|---|---|\n"
_ROOM_FOR_THE_REST: Final = 200


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    head = f"## graphlint: {headline(results)}\n\n{_counts(results, options)}\n"
    room = (options.size_limit or float("inf")) - len(head.encode()) - _ROOM_FOR_THE_REST
    parts = [head]
    left_out = 0
    for number, part in (section for result in results for section in _sections(result, options)):
        size = len(part.encode("utf-8", "replace"))
        if left_out or size > room:
            left_out += number
        else:
            parts.append(part)
            room -= size
    if left_out:
        parts.append(f"\n… and {count(left_out, 'more finding')}: the report would be too large.\n")
    return "".join(parts)


def _counts(results: Sequence[FileResult], options: ReportOptions) -> str:
    """One line with everything that there is to count."""
    numbers = totals(results, options)
    said = (
        ("files", "artifact", ""),
        ("fixable", "finding", " fixable with `--fix`"),
        ("fixed", "finding", " fixed" if numbers["changed"] else " that `--fix` would fix"),
        ("changed", "artifact", " rewritten"),
        ("suppressed", "finding", " suppressed"),
        ("baseline", "finding", " in the baseline"),
    )
    parts = [f"{count(numbers[key], noun)}{what}" for key, noun, what in said if numbers[key]]
    return " · ".join(parts) or "no artifacts"


def _sections(result: FileResult, options: ReportOptions) -> Iterator[tuple[int, str]]:
    """The parts of a file's section, each with the number of findings in it."""
    groups = grouped(result.diagnostics)
    if groups or result.error or result.fixed:
        yield 0, f"\n### {_code(result.path)}\n\n"
    if result.error:
        yield 0, f"**Not processed:** {_text(result.error)}\n\n"
    if groups:
        yield 0, _HEADER
    for group in groups:
        yield len(group.diagnostics), _row(group, options)
    if result.fixed:
        heading = "Fixed" if result.changed else "To be fixed"
        yield 0, ("\n" if groups else "") + f"{heading}:\n\n"
        for group in grouped(result.fixed):
            yield len(group.diagnostics), _fixed(group, options)


def _row(group: Group, options: ReportOptions) -> str:
    diagnostic = group.first
    fix = _text(diagnostic.fix.message)
    if diagnostic.fixable:
        fix = f"`{'--fix' if options.applies(diagnostic) else '--unsafe-fixes'}`: {fix}"
    cells = (
        _MARKS[diagnostic.severity],
        _rule(diagnostic),
        _source(diagnostic, options),
        "" if diagnostic.about_source else _text(group.places()),
        _text(diagnostic.message),
        fix,
    )
    return f"| {' | '.join(cells)} |\n"


def _fixed(group: Group, options: ReportOptions) -> str:
    diagnostic = group.first
    several = group.several()
    source = _source(diagnostic, options)
    said = f"{_rule(diagnostic)} {_text(diagnostic.message)}{f' at {source}' if source else ''}"
    return f"- {said}{f', {_text(several)}' if several else ''}\n"


def _rule(diagnostic: Diagnostic) -> str:
    return f"[{diagnostic.code}]({link(diagnostic.rule, diagnostic.code)}) {diagnostic.rule}"


def _source(diagnostic: Diagnostic, options: ReportOptions) -> str:
    """The line, as a link where there is an address, and its code below."""
    place = diagnostic.place
    if place is None:
        return ""
    target = address(diagnostic, options)
    shown = _code(source_line(place, options))
    shown = f"[{shown}]({target})" if target else shown
    return f"{shown}<br>{_code(place.text.strip())}" if place.text.strip() else shown


def _text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", printable(text))


def _code(text: str) -> str:
    """Text as code. As an HTML element: a backtick or a bar in it would end the code or the cell."""
    return f"<code>{_text(text)}</code>"
