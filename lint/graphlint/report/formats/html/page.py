"""The page: what was found, by artifact, with filters.

Everything from outside is escaped: names from artifacts can hold anything. Besides, the page forbids the browser to
load anything and to run any script but its own. Without scripts all findings are there, and the filters are not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from graphlint.report.formats.escaping import ascii_markup, printable
from graphlint.report.formats.grouping import grouped
from graphlint.report.formats.headline import fixed_word, headline
from graphlint.report.formats.html import finding
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import count, tally
from graphlint.report.results import FileResult
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.documentation import REPOSITORY, link

FEW_RULES: Final = 6
"""So many rules are shown right away; a longer table would hide the findings."""
_STATUSES: Final = {"left": "Left", "fixed": "Fixed", "accepted": "Accepted"}


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The page."""
    style = _part("page.css")
    script = _part("page.js")
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src '{_hash(script)}'; img-src data:; base-uri 'none'"
    )
    title = f"graphlint: {headline(results)}"
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
        '<link rel="icon" href="data:,">',
        f"<title>{escape(title)}</title>",
        f"<style>\n{style}</style>",
        "</head>",
        "<body>",
        *_header(results, options),
        *_filters(results),
        "<main>",
        *(line for number, result in enumerate(results) for line in _artifact(number, result, options)),
        '<p class="nothing" id="nothing" hidden>No finding matches these filters.</p>',
        *_clean(results),
        "</main>",
        f'<footer>Written by <a href="{REPOSITORY}">graphlint</a> {escape(options.version)}.</footer>',
        f"<script>{script}</script>",
        "</body>",
        "</html>",
    ]
    return ascii_markup("".join(f"{line}\n" for line in lines))


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _header(results: Sequence[FileResult], options: ReportOptions) -> Iterator[str]:
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    severities = [diagnostic.severity for diagnostic in found]
    fixed = sum(len(result.fixed) for result in results)
    artifacts = [result for result in results if not result.is_source]
    numbers = [
        ("error", severities.count("error"), "error", "s"),
        ("warning", severities.count("warning"), "warning", "s"),
        ("note", severities.count("note"), "note", "s"),
        ("fixable", sum(options.applies(one) for one in found), "fixable with --fix", ""),
        ("fixed", fixed, fixed_word(results), ""),
        ("accepted", sum(len(result.suppressed) for result in results), "accepted", ""),
        ("failed", sum(bool(result.error) for result in results), "not processed", ""),
        ("plain", len(artifacts), "artifact", "s"),
    ]
    yield "<header>"
    yield f"<h1>graphlint <small>{escape(headline(results))}</small></h1>"
    yield '<ul class="numbers">'
    for kind, number, label, plural in numbers:
        if number or kind in ("error", "plain"):
            yield f'<li class="{kind}"><strong>{number}</strong> {label}{plural if number != 1 else ""}</li>'
    yield "</ul>"
    rows = _by_rule(results)
    if rows:
        is_short = " open" if len(rows) <= FEW_RULES else ""
        yield f'<details class="by-rule"{is_short}><summary>By rule: {count(len(rows), "rule")}</summary>'
        yield '<table class="rules">'
        yield '<thead><tr><th scope="col">Rule</th><th scope="col">Findings</th></tr></thead><tbody>'
        several = sum(any(numbers[status] for _, numbers in rows) for status in _STATUSES) > 1
        most = max(sum(numbers.values()) for _, numbers in rows)
        for first, by_status in rows:
            yield _rule_row(first, by_status, most, fixed_word(results), several=several)
        yield "</tbody></table></details>"
    yield "</header>"


def _by_rule(results: Sequence[FileResult]) -> list[tuple[Diagnostic, dict[str, int]]]:
    """The first finding of each rule and how many there are of each status, the most frequent first."""
    rows: dict[str, tuple[Diagnostic, dict[str, int]]] = {}
    for result in results:
        for status, diagnostics in _by_status(result).items():
            for one in diagnostics:
                _, numbers = rows.setdefault(one.code, (one, dict.fromkeys(_STATUSES, 0)))
                numbers[status] += 1
    return sorted(rows.values(), key=lambda row: (-sum(row[1].values()), row[0].code))


def _rule_row(first: Diagnostic, numbers: dict[str, int], most: int, fixed_word: str, *, several: bool) -> str:
    total = sum(numbers.values())
    words = {"fixed": fixed_word}
    said = ", ".join(f"{number} {words.get(name, name)}" for name, number in numbers.items() if number)
    if not several:
        said = ""
    bars = "".join(
        f'<span class="bar {status}" style="width:{100 * number / most:.1f}%"></span>'
        for status, number in numbers.items()
        if number
    )
    code = escape(first.code)
    return (
        f'<tr><th scope="row"><a href="{link(first.rule, first.code)}">{code}</a> {escape(first.rule)}'
        f'<button type="button" class="only" data-only="{code}" hidden>only this</button></th>'
        f'<td><span class="bars" aria-hidden="true">{bars}</span><span class="amount">{total}</span> '
        f'<span class="quiet">{said}</span></td></tr>'
    )


def _by_status(result: FileResult) -> dict[str, tuple[Diagnostic, ...]]:
    return {"left": result.diagnostics, "fixed": result.fixed, "accepted": result.suppressed}


def _filters(results: Sequence[FileResult]) -> Iterator[str]:
    """The controls, which the page's script shows."""
    everything = [
        (status, one) for result in results for status, diagnostics in _by_status(result).items() for one in diagnostics
    ]
    if not everything:
        return
    rules = sorted({(one.code, one.rule) for _, one in everything})
    severities = [name for name in ("error", "warning", "note") if any(one.severity == name for _, one in everything)]
    statuses = [name for name in _STATUSES if any(status == name for status, _ in everything)]
    artifacts = [(number, result.path) for number, result in enumerate(results) if any(_by_status(result).values())]
    yield '<form class="filters" id="filters" role="search" aria-label="Findings" hidden>'
    yield (
        '<label class="text">Search <input type="search" id="text" autocomplete="off" spellcheck="false" '
        'placeholder="op, module, line, buffer …" aria-keyshortcuts="/"></label>'
    )
    yield '<label>Rule <select id="rule"><option value="">all rules</option>'
    for code, rule in rules:
        yield f'<option value="{escape(code)}">{escape(code)} {escape(rule)}</option>'
    yield "</select></label>"
    yield '<label>Artifact <select id="artifact"><option value="">all artifacts</option>'
    for number, path in artifacts:
        yield f'<option value="{number}">{escape(printable(path))}</option>'
    yield "</select></label>"
    for legend, name, values in (("Severity", "severity", severities), ("Status", "status", statuses)):
        if len(values) > 1:
            yield f"<fieldset><legend>{legend}</legend>"
            for value in values:
                word = fixed_word(results) if value == "fixed" else value
                yield (
                    f'<label class="chip {value}"><input type="checkbox" name="{name}" value="{value}" checked> '
                    f"{word}</label>"
                )
            yield "</fieldset>"
    yield '<p class="shown"><output id="shown" aria-live="polite"></output>'
    yield '<button type="button" id="open">Open all</button> <button type="button" id="close">Close all</button>'
    yield '<button type="reset">Reset</button></p>'
    yield "</form>"


def _artifact(number: int, result: FileResult, options: ReportOptions) -> Iterator[str]:
    """The section of an artifact that there is something to say of."""
    if not any(_by_status(result).values()) and not result.error and not result.notes:
        return
    yield f'<section class="artifact" data-artifact="{number}" aria-labelledby="artifact-{number}">'
    yield f'<h2 id="artifact-{number}">{escape(printable(result.path))} <small>{_said(result)}</small></h2>'
    if result.error:
        yield f'<p class="failed"><strong>Not processed:</strong> {escape(printable(result.error))}</p>'
    for note in result.notes:
        yield f'<p class="remark">{escape(printable(note))}</p>'
    for status, diagnostics in _by_status(result).items():
        for index, group in enumerate(grouped(diagnostics)):
            yield from finding.render(f"f{number}-{status}-{index}", group, status, result, options)
    if result.diff:
        yield from _diff(result)
    yield "</section>"


def _said(result: FileResult) -> str:
    parts = [tally(result.diagnostics)] if result.diagnostics else []
    parts += [f"{len(result.fixed)} {'fixed' if result.changed else 'to be fixed'}"] if result.fixed else []
    parts += [f"{len(result.suppressed)} accepted"] if result.suppressed else []
    return escape(" · ".join(parts))


def _diff(result: FileResult) -> Iterator[str]:
    title = "What --fix changed in the graph" if result.changed else "What --fix would change in the graph"
    yield f'<details class="diff"><summary>{title}</summary>'
    yield '<pre tabindex="0">'
    kinds = {"+": "added", "-": "removed", "@": "hunk"}
    lines = []
    for line in result.diff.rstrip("\n").split("\n"):
        kind = kinds.get(line[:1])
        text = escape(printable(line))
        lines.append(f'<span class="{kind}">{text}</span>' if kind else f"<span>{text}</span>")
    yield "".join(lines) + "</pre>"
    yield "</details>"


def _clean(results: Sequence[FileResult]) -> Iterator[str]:
    """Names of the artifacts without findings."""
    clean = [
        result
        for result in results
        if not result.is_source and not result.error and not any(_by_status(result).values())
    ]
    if clean:
        yield f'<details class="clean"><summary>{count(len(clean), "artifact")} without findings</summary><ul>'
        for result in clean:
            yield f"<li>{escape(printable(result.path))}</li>"
        yield "</ul></details>"
