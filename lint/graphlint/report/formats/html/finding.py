"""A group of findings on the page: a line that opens, and below it source, place, fix and picture."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from shlex import quote as shell_quote
from urllib.parse import quote

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.grouping import Group
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import advice, in_function, module, place_in_artifact, source_line
from graphlint.report.formats.places import is_absolute, spot_of
from graphlint.report.graphs.picture import Picture
from graphlint.report.graphs.svg import render_svg
from graphlint.report.results import FileResult, Illustration
from graphlint.rules.diagnostics import Diagnostic, Location
from graphlint.rules.documentation import link

ACCEPTED_BY = {"comment": "a comment in the source", "per-file-ignores": "per-file-ignores", "baseline": "the baseline"}


def render(key: str, group: Group, status: str, result: FileResult, options: ReportOptions) -> Iterator[str]:
    """The element. ``key`` is unique in the page; ``status`` is ``left``, ``fixed`` or ``accepted``."""
    first = group.first
    number = len(group.diagnostics)
    shown = shown_text(first.message)
    place = source_line(first.place, ReportOptions(folder=options.folder)) if first.place is not None else ""
    yield (
        f'<details class="finding" id="{key}" data-code="{escape(first.code)}" data-severity="{first.severity}" '
        f'data-status="{status}" data-number="{number}">'
    )
    yield "<summary>"
    yield f'<span class="badge {first.severity}">{first.severity}</span>'
    if status != "left":
        word = "accepted" if status == "accepted" else "fixed" if result.changed else "to be fixed"
        yield f'<span class="badge {status}">{word}</span>'
    elif options.applies(first):
        yield '<span class="badge fixable" title="--fix takes care of it">fixable</span>'
    yield f'<span class="code">{escape(first.code)}</span> <span class="message">{shown}</span>'
    if number > 1:
        yield f'<span class="times">{number} times</span>'
    if place:
        yield f'<span class="at">{escape(place)}</span>'
    yield "</summary>"
    yield '<div class="body">'
    if first.place is not None:
        yield from _source(first, first.place, options)
    yield '<dl class="facts">'
    for name, content in _facts(group, status, options):
        yield f"<div><dt>{name}</dt><dd>{content}</dd></div>"
    yield "</dl>"
    yield from _pictures(key, group, status, result)
    yield "</div>"
    yield "</details>"


def shown_text(text: str) -> str:
    """Text from outside, to be shown as it is."""
    return escape(printable(text))


def _source(diagnostic: Diagnostic, place: Location, options: ReportOptions) -> Iterator[str]:
    """The line of the model's source, the expression marked."""
    spot = spot_of(diagnostic, options)
    shown = shown_text(source_line(place, ReportOptions(folder=options.folder)) + in_function(place))
    if options.source_url and spot.is_source and not is_absolute(spot.path):
        address = f"{options.source_url}{quote(spot.path.encode('utf-8', 'surrogateescape'))}#L{spot.line}"
        shown = f'<a href="{escape(address)}">{shown}</a>'
    yield '<figure class="source">'
    yield f"<figcaption>{shown}</figcaption>"
    if place.text.strip():
        yield f'<pre tabindex="0"><span class="line">{place.line}</span>{_marked(place)}</pre>'
    yield "</figure>"
    if place.state == "changed":
        yield '<p class="remark">The file has changed since the export and has no such line now.</p>'


def _marked(place: Location) -> str:
    text = place.text.rstrip()
    start = len(text) - len(text.lstrip())
    if not place.column:
        return shown_text(text[start:])
    begin = place.column - 1
    end = place.end_column - 1 if place.end_column else begin + 1
    return f"{shown_text(text[start:begin])}<mark>{shown_text(text[begin:end])}</mark>{shown_text(text[end:])}"


def _facts(group: Group, status: str, options: ReportOptions) -> Iterator[tuple[str, str]]:
    """Name and content, as HTML, of what there is to say."""
    first = group.first
    yield "Rule", f'<a href="{link(first.rule, first.code)}">{escape(first.code)} {escape(first.rule)}</a>'
    if not first.about_source:
        places = [
            f"<code>{shown_text(place)}</code>{shown_text(module(one))}"
            for one in group.diagnostics
            if (place := place_in_artifact(one))
        ]
        if len(places) == 1:
            yield "In the artifact", places[0]
        elif places:
            items = "".join(f"<li>{place}</li>" for place in places)
            yield (
                "In the artifact",
                f"<details><summary>{shown_text(group.several())}</summary><ul>{items}</ul></details>",
            )
    label, text = advice(first)
    if label:
        unsafe = first.fix.applicability == "unsafe" and not options.applies(first)
        more = " (unsafe: it can change what the program does; enable with <code>--unsafe-fixes</code>)"
        yield label, shown_text(text) + (more if unsafe and status == "left" else "")
    why = first.suppression
    if why is not None:
        yield "Accepted by", ACCEPTED_BY[why.by] + (f": {shown_text(why.reason)}" if why.reason else "")
    if first.fingerprint:
        yield "Fingerprint", f"<code>{escape(first.fingerprint)}</code>"


def _pictures(key: str, group: Group, status: str, result: FileResult) -> Iterator[str]:
    if group.first.node is None or status == "accepted":
        return
    found = _illustration(group.first, result.illustrations, fixed=status == "fixed")
    command = f"graphlint show {shell_quote(result.path)} --node {shell_quote(str(group.first.node))}"
    if found is None:
        if result.illustrations:
            yield f'<p class="remark">Not drawn, since there are many: <code>{shown_text(command)}</code></p>'
        return
    if status == "fixed":
        yield '<div class="pictures">'
        yield from _figure(f"{key}-before", "Before the fix", found.picture)
        if found.after is not None:
            yield from _figure(f"{key}-after", "After the fix", found.after, "graph after")
        else:
            yield '<p class="remark">After the fix, the node is gone and nothing stands in its place.</p>'
        yield "</div>"
    else:
        yield from _figure(key, "In the graph", found.picture)
        if not result.changed:
            yield f'<p class="quiet">More of it: <code>{shown_text(command)}</code></p>'


def _illustration(
    diagnostic: Diagnostic, illustrations: tuple[Illustration, ...], *, fixed: bool
) -> Illustration | None:
    for one in illustrations:
        same = (one.program, one.subgraph, one.node) == (diagnostic.program, diagnostic.subgraph, diagnostic.node)
        if same and one.fixed == fixed:
            return one
    return None


def _figure(key: str, title: str, picture: Picture, kind: str = "graph") -> Iterator[str]:
    yield f'<figure class="{kind}">'
    yield f"<figcaption>{title}</figcaption>"
    svg = render_svg(picture, key)
    yield f'<div class="canvas" tabindex="0" role="region" aria-label="{escape(title)}">{svg}</div>'
    yield f'<p class="words">{shown_text(picture.description)}</p>'
    yield "</figure>"
