"""The format ``html``: one page that needs nothing else, neither files nor a network. What was found, by artifact.

Everything from outside is escaped: names from artifacts can hold anything. Besides, the page forbids the browser to
load anything and to run any script but its own. Without scripts all findings are there, and the filters are not.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib.resources import files
from shlex import quote
from typing import Final

from graphlint.report.formats import phrasing
from graphlint.report.formats.escaping import ascii_markup
from graphlint.report.results import FileResult, Illustration, ReportOptions
from graphlint.report.templates import rendered
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.documentation import REPOSITORY, link

_STATUSES: Final = ("left", "fixed", "accepted")


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    found = [(status, one) for result in results for status, some in _by_status(result).items() for one in some]
    by_rule = Counter((one.code, one.rule) for _, one in found)
    numbers = Counter((one.code, status) for status, one in found)
    page = rendered(
        "report/formats/html",
        "page.html",
        results=results,
        options=options,
        phrasing=phrasing,
        digest=base64.b64encode(hashlib.sha256(part("page.js").encode()).digest()).decode(),
        totals=phrasing.totals(results, options),
        rules=[
            (rule, total, [(status, numbers[rule[0], status]) for status in _STATUSES if numbers[rule[0], status]])
            for rule, total in sorted(by_rule.items(), key=lambda item: (-item[1], item[0]))
        ],
        severities=[name for name in phrasing.COLORS if any(one.severity == name for _, one in found)],
        statuses=[name for name in _STATUSES if any(status == name for status, _ in found)],
        clean=[one for one in results if not (one.is_source or one.error or any(_by_status(one).values()))],
        repository=REPOSITORY,
        link=link,
        quote=quote,
        word=lambda status, some: phrasing.fixed_word(some) if status == "fixed" else status,
        by_status=_by_status,
        illustration=_illustration,
    )
    return ascii_markup(page)


def part(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _by_status(result: FileResult) -> dict[str, tuple[Diagnostic, ...]]:
    return {"left": result.diagnostics, "fixed": result.fixed, "accepted": result.suppressed}


def _illustration(diagnostic: Diagnostic, result: FileResult, fixed: bool) -> Illustration | None:
    place = (diagnostic.program, diagnostic.subgraph, diagnostic.node, fixed)
    drawn = (one for one in result.illustrations if (one.program, one.subgraph, one.node, one.fixed) == place)
    return next((one for one in drawn if fixed or one.position == diagnostic.position), None)
