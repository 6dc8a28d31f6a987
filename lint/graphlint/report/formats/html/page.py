"""The format ``html``: one page that needs nothing else, neither files nor a network. What was found, by artifact.

Everything from outside is escaped: names from artifacts can hold anything. Besides, the page forbids the browser to
load anything and to run any script but its own. Without scripts all findings are there, and the filters are not.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from shlex import quote
from string import Template
from typing import Final

from graphlint.report.formats import phrasing
from graphlint.report.formats.escaping import ascii_markup, printable
from graphlint.report.results import FileResult, Picture, ReportOptions
from graphlint.rules.diagnostics import Diagnostic, Location
from graphlint.rules.documentation import REPOSITORY, link

_FEW_RULES: Final = 6
"""So many rules are shown right away; a longer table would hide the findings."""
_STATUSES: Final = ("left", "fixed", "accepted")
_Found = Sequence[tuple[str, Diagnostic]]
"""Findings, each with its status."""


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    script = _part("page.js")
    found = [(status, one) for result in results for status, some in _by_status(result).items() for one in some]
    artifacts = (line for number, result in enumerate(results) for line in _artifact(number, result, options))
    page = Template(_part("page.html")).substitute(
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        headline=escape(phrasing.headline(results)),
        style=_part("page.css"),
        header=_joined([*_numbers(results, options), *_by_rule(found, phrasing.fixed_word(results))]),
        filters=_filters(found, results) if found else "",
        artifacts=_joined(artifacts),
        clean=_joined(_clean(results)),
        repository=REPOSITORY,
        version=escape(options.version),
        script=script,
    )
    return ascii_markup(page)


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _by_status(result: FileResult) -> dict[str, tuple[Diagnostic, ...]]:
    return {"left": result.diagnostics, "fixed": result.fixed, "accepted": result.suppressed}


def _numbers(results: Sequence[FileResult], options: ReportOptions) -> Iterator[str]:
    counted = phrasing.totals(results, options)
    numbers = (
        ("error", counted["errors"], "error", "s"),
        ("warning", counted["warnings"], "warning", "s"),
        ("note", counted["notes"], "note", "s"),
        ("fixable", counted["fixable"], "fixable with --fix", ""),
        ("fixed", counted["fixed"], phrasing.fixed_word(results), ""),
        ("accepted", counted["suppressed"] + counted["baseline"], "accepted", ""),
        ("failed", counted["failed"], "not processed", ""),
        ("plain", counted["files"], "artifact", "s"),
    )
    yield '<ul class="numbers">'
    for kind, number, label, plural in numbers:
        if number or kind in ("error", "plain"):
            yield f'<li class="{kind}"><strong>{number}</strong> {label}{plural if number != 1 else ""}</li>'
    yield "</ul>"


def _by_rule(found: _Found, fixed: str) -> Iterator[str]:
    """How many findings of each rule there are, the most frequent first; ``fixed`` is what to call the fixed ones."""
    if not found:
        return
    names = {one.code: one.rule for _, one in found}
    totals = Counter(one.code for _, one in found)
    numbers = Counter((one.code, status) for status, one in found)
    is_short = " open" if len(names) <= _FEW_RULES else ""
    yield f'<details class="by-rule"{is_short}><summary>By rule: {phrasing.count(len(names), "rule")}</summary>'
    yield '<table class="rules">'
    yield '<thead><tr><th scope="col">Rule</th><th scope="col">Findings</th></tr></thead><tbody>'
    most = max(totals.values())
    for code, total in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        statuses = [(status, numbers[code, status]) for status in _STATUSES if numbers[code, status]]
        bars = "".join(
            f'<span class="bar {status}" style="width:{100 * number / most:.1f}%"></span>'
            for status, number in statuses
        )
        said = ", ".join(f"{number} {fixed if status == 'fixed' else status}" for status, number in statuses)
        yield (
            f'<tr><th scope="row"><a href="{link(names[code], code)}">{escape(code)}</a> {escape(names[code])}'
            f'<button type="button" class="only" data-only="{escape(code)}" hidden>only this</button></th>'
            f'<td><span class="bars" aria-hidden="true">{bars}</span><span class="amount">{total}</span> '
            f'<span class="quiet">{said if len({status for status, _ in found}) > 1 else ""}</span></td></tr>'
        )
    yield "</tbody></table></details>"


def _filters(found: _Found, results: Sequence[FileResult]) -> str:
    """The controls, which the page's script shows."""
    rules = sorted({(escape(one.code), escape(one.rule)) for _, one in found})
    artifacts = [(number, result.path) for number, result in enumerate(results) if any(_by_status(result).values())]
    severities = [name for name in phrasing.COLORS if any(one.severity == name for _, one in found)]
    statuses = [name for name in _STATUSES if any(status == name for status, _ in found)]
    choices = []
    for legend, name, values in (("Severity", "severity", severities), ("Status", "status", statuses)):
        if len(values) > 1:
            choices.append(f"<fieldset><legend>{legend}</legend>")
            for value in values:
                word = phrasing.fixed_word(results) if value == "fixed" else value
                box = f'<input type="checkbox" name="{name}" value="{value}" checked>'
                choices.append(f'<label class="chip {value}">{box} {word}</label>')
            choices.append("</fieldset>")
    return Template(_part("filters.html")).substitute(
        rules=_joined(f'<option value="{code}">{code} {rule}</option>' for code, rule in rules),
        artifacts=_joined(f'<option value="{number}">{_shown(path)}</option>' for number, path in artifacts),
        choices=_joined(choices),
    )


def _artifact(number: int, result: FileResult, options: ReportOptions) -> Iterator[str]:
    """The section of an artifact that there is something to say of."""
    if not any(_by_status(result).values()) and not result.error and not result.notes:
        return
    yield f'<section class="artifact" data-artifact="{number}" aria-labelledby="artifact-{number}">'
    said = [phrasing.tally(result.diagnostics)] if result.diagnostics else []
    said += [f"{len(result.fixed)} {phrasing.fixed_word([result])}"] if result.fixed else []
    said += [f"{len(result.suppressed)} accepted"] if result.suppressed else []
    yield f'<h2 id="artifact-{number}">{_shown(result.path)} <small>{" · ".join(said)}</small></h2>'
    if result.error:
        yield f'<p class="failed"><strong>Not processed:</strong> {_shown(result.error)}</p>'
    for note in result.notes:
        yield f'<p class="remark">{_shown(note)}</p>'
    for status, diagnostics in _by_status(result).items():
        for index, group in enumerate(phrasing.grouped(diagnostics)):
            yield from _finding(f"f{number}-{status}-{index}", group, status, result, options)
    if result.diff:
        title = f"What --fix {'changed' if result.changed else 'would change'} in the graph"
        yield f'<details class="diff"><summary>{title}</summary>'
        yield '<pre tabindex="0">'
        kinds = {"+": ' class="added"', "-": ' class="removed"', "@": ' class="hunk"'}
        lines = result.diff.rstrip("\n").split("\n")
        yield "".join(f"<span{kinds.get(line[:1], '')}>{_shown(line)}</span>" for line in lines) + "</pre>"
        yield "</details>"
    yield "</section>"


def _clean(results: Sequence[FileResult]) -> Iterator[str]:
    """Names of the artifacts without findings."""
    clean = [one for one in results if not one.is_source and not one.error and not any(_by_status(one).values())]
    if clean:
        yield f'<details class="clean"><summary>{phrasing.count(len(clean), "artifact")} without findings</summary><ul>'
        yield from (f"<li>{_shown(result.path)}</li>" for result in clean)
        yield "</ul></details>"


def _finding(key: str, group: phrasing.Group, status: str, result: FileResult, options: ReportOptions) -> Iterator[str]:
    """A group of findings: a line that opens, and below it source, place, fix and picture. ``key`` is unique in the
    page; ``status`` is ``left``, ``fixed`` or ``accepted``.
    """
    first = group.first
    number = len(group.diagnostics)
    yield (
        f'<details class="finding" id="{key}" data-code="{escape(first.code)}" data-severity="{first.severity}" '
        f'data-status="{status}" data-number="{number}">'
    )
    yield "<summary>"
    yield f'<span class="badge {first.severity}">{first.severity}</span>'
    if status != "left":
        yield f'<span class="badge {status}">{phrasing.fixed_word([result]) if status == "fixed" else status}</span>'
    elif options.applies(first):
        yield '<span class="badge fixable" title="--fix takes care of it">fixable</span>'
    yield f'<span class="code">{escape(first.code)}</span> <span class="message">{_shown(first.message)}</span>'
    if number > 1:
        yield f'<span class="times">{number} times</span>'
    if first.place is not None:
        yield f'<span class="at">{escape(phrasing.source_line(first.place, options))}</span>'
    yield "</summary>"
    yield '<div class="body">'
    if first.place is not None:
        yield from _source(first, first.place, options)
    yield '<dl class="facts">'
    for name, content in _facts(group, status, options):
        yield f"<div><dt>{name}</dt><dd>{content}</dd></div>"
    yield "</dl>"
    if first.node is not None and status != "accepted":
        yield from _pictures(key, first, result, fixed=status == "fixed")
    yield "</div>"
    yield "</details>"


def _shown(text: str) -> str:
    """Text from outside, to be shown as it is."""
    return escape(printable(text))


def _source(diagnostic: Diagnostic, place: Location, options: ReportOptions) -> Iterator[str]:
    """The line of the model's source, the expression marked."""
    shown = _shown(phrasing.source_line(place, options) + phrasing.in_function(place))
    target = phrasing.address(diagnostic, options)
    if target:
        shown = f'<a href="{escape(target)}">{shown}</a>'
    yield '<figure class="source">'
    yield f"<figcaption>{shown}</figcaption>"
    if place.text.strip():
        yield f'<pre tabindex="0"><span class="line">{place.line}</span>{_marked(place)}</pre>'
    yield "</figure>"
    if place.state == "changed":
        yield '<p class="remark">The file has changed since the export and has no such line now.</p>'


def _marked(place: Location) -> str:
    if not place.column:
        return _shown(place.text.strip())
    before, expression, after = map(_shown, phrasing.in_three(place))
    return f"{before}<mark>{expression}</mark>{after}"


def _facts(group: phrasing.Group, status: str, options: ReportOptions) -> Iterator[tuple[str, str]]:
    """Name and content, as HTML, of what there is to say."""
    first = group.first
    yield "Rule", f'<a href="{link(first.rule, first.code)}">{escape(first.code)} {escape(first.rule)}</a>'
    found = (
        ()
        if first.about_source
        else [(phrasing.place_in_artifact(one), phrasing.module(one)) for one in group.diagnostics]
    )
    places = [f"<code>{_shown(place)}</code>{_shown(inside)}" for place, inside in found if place]
    if len(places) > 1:
        items = "".join(f"<li>{place}</li>" for place in places)
        places = [f"<details><summary>{_shown(group.several())}</summary><ul>{items}</ul></details>"]
    if places:
        yield "In the artifact", places[0]
    label, text = phrasing.advice(first)
    if label:
        unsafe = first.fix.applicability == "unsafe" and not options.applies(first) and status == "left"
        more = " (unsafe: it can change what the program does; enable with <code>--unsafe-fixes</code>)"
        yield label, _shown(text) + (more if unsafe else "")
    why = first.suppression
    if why is not None:
        yield "Accepted by", phrasing.ACCEPTED_BY[why.by] + (f": {_shown(why.reason)}" if why.reason else "")
    if first.fingerprint:
        yield "Fingerprint", f"<code>{escape(first.fingerprint)}</code>"


def _pictures(key: str, diagnostic: Diagnostic, result: FileResult, *, fixed: bool) -> Iterator[str]:
    place = (diagnostic.program, diagnostic.subgraph, diagnostic.node, fixed)
    found = next(
        (one for one in result.illustrations if (one.program, one.subgraph, one.node, one.fixed) == place), None
    )
    command = _shown(f"graphlint show {quote(result.path)} --node {quote(str(diagnostic.node))}")
    if found is None:
        if result.illustrations:
            yield f'<p class="remark">Not drawn, since there are many: <code>{command}</code></p>'
    elif fixed:
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
            yield f'<p class="quiet">More of it: <code>{command}</code></p>'


def _figure(key: str, title: str, picture: Picture, kind: str = "graph") -> Iterator[str]:
    yield f'<figure class="{kind}">'
    yield f"<figcaption>{title}</figcaption>"
    svg = picture.svg(key)
    yield f'<div class="canvas" tabindex="0" role="region" aria-label="{escape(title)}">{svg}</div>'
    yield f'<p class="words">{_shown(picture.description)}</p>'
    yield "</figure>"
