"""The format ``markdown``: a table of findings for each artifact, for job summaries and merge requests.

Names from artifacts can hold anything, so everything but the words of graphlint itself is code or escaped. With a limit
on the size, what no longer fits is counted.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from graphlint.report.formats import phrasing
from graphlint.report.formats.phrasing import count, grouped
from graphlint.report.results import FileResult, ReportOptions
from graphlint.report.templates import macros
from graphlint.rules.documentation import link

_SPECIAL: Final = re.compile(r"[\\`*_\[\]#!|<>&~$@]|:(?=[A-Za-z/])")
"""What makes Markdown, HTML, mathematics, mentions, emoji and addresses of text."""
_ROOM_FOR_THE_REST: Final = 200


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    form = macros(
        "report/formats",
        "markdown.md",
        _escaped,
        results=results,
        options=options,
        numbers=phrasing.totals(results, options),
        phrasing=phrasing,
        link=link,
    )
    head = str(form)
    room = (options.size_limit or float("inf")) - len(head.encode()) - _ROOM_FOR_THE_REST
    parts = [head]
    left_out = 0
    for number, part in (section for result in results for section in _sections(result, form)):
        size = len(part.encode("utf-8", "replace"))
        if left_out or size > room:
            left_out += number
        else:
            parts.append(part)
            room -= size
    if left_out:
        parts.append(f"\n… and {count(left_out, 'more finding')}: the report would be too large.\n")
    return "".join(parts)


def _sections(result: FileResult, form: Any) -> Iterator[tuple[int, str]]:
    """The parts of a file's section, each with the number of findings in it."""
    groups = grouped(result.diagnostics)
    if groups or result.error or result.fixed:
        yield 0, form.heading(result.path)
    if result.error:
        yield 0, form.failed(result.error)
    if groups:
        yield 0, form.header()
    yield from ((len(group.diagnostics), form.row(group)) for group in groups)
    if result.fixed:
        heading = "Fixed" if result.changed else "To be fixed"
        yield 0, ("\n" if groups else "") + f"{heading}:\n\n"
        yield from ((len(group.diagnostics), form.fixed(group)) for group in grouped(result.fixed))


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", text)
