"""The matrix as the documentation shows it, made of what was measured."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from .cases import PROJECT
from .outcomes import CRASHED, DIFFERENT, NOT_LOADED, REFUSED, TAKEN, TIMED_OUT, Judgement
from .results import COMMAND, Results
from .verdict import Cell, Known

PAGE = PROJECT / "docs" / "site" / "guide" / "targets.md"
BEGIN, END = "<!-- consumers: begin -->", "<!-- consumers: end -->"
SYMBOLS = {TAKEN: "✓", REFUSED: "✗", DIFFERENT: "≠", CRASHED: "✗", TIMED_OUT: "✗"}
LEGEND = """\
✓ taken, and where it can run here it does the same as eager torch did with the original (outputs, written inputs, \
state over several calls, checks raise); ✓ with letters: taken, but loses the **c**hecks, **w**rites to inputs or \
state, **d**raws of random numbers, **p**rints; ≠ taken, but computes something else; ✗ refused. "a → b" is before \
and after the fix, one sign means both. *Italic*: graphlint still reports a finding after the fix, so the exit status \
says that it is not ready for that consumer. Every other cell is what graphlint calls clean, and a letter in it is \
told by a note (GL607). Core ML is converted only: it runs on macOS."""


def matrix(results: Results, exceptions: Sequence[Known]) -> str:
    """The table, the legend, what it was measured with. Cases that fare alike share a row."""
    listed = {(one.case, one.consumer): one for one in exceptions}
    numbers: dict[str, int] = {}
    titles = [one.title for one in results.consumers.values()]
    rows: dict[tuple[str, ...], list[str]] = {}
    unseen = []
    for case, row in results.cases.items():
        if all(cell.after.outcome == NOT_LOADED for cell in row.values()):
            unseen.append(f"`{case}`")
            continue
        shown = []
        for consumer in results.consumers:
            known = listed.get((case, consumer))
            number = numbers.setdefault(known.reason, len(numbers) + 1) if known is not None else ""
            shown.append(_cell(row[consumer]) + (f"<sup>{number}</sup>" if number else ""))
        rows.setdefault(tuple(shown), []).append(f"`{case}`")
    titles = [one.title for one in results.consumers.values()]
    lines = [f"| artifact | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    lines += [f"| {', '.join(cases)} | {' | '.join(shown)} |" for shown, cases in rows.items()]
    notes = [f"<sup>{number}</sup> {reason}." for reason, number in numbers.items()]
    versions = {name: version for one in results.consumers.values() for name, version in one.versions.items()}
    measured = (
        f"Measured by `{COMMAND}` with {', '.join(f'{name} {versions[name]}' for name in versions)}; {results.machine}."
    )
    left_out = f" Left out, for stock torch itself does not load it: {', '.join(unseen)}." if unseen else ""
    return "\n\n".join(["\n".join(lines), LEGEND, *notes, measured + left_out])


def _cell(cell: Cell) -> str:
    assert cell.before is not None
    before, after = _sign(cell.before), _sign(cell.after)
    text = before if before == after else f"{before} → {after}"
    return text if cell.fix.clean else f"*{text}*"


def _sign(judgement: Judgement) -> str:
    letters = "".join(what[0] for what in judgement.lost)
    return f"{SYMBOLS[judgement.outcome]}{f' {letters}' if letters else ''}"


def shown(page: Path = PAGE) -> str:
    """The matrix as it stands on the page. Raises ValueError where the comments are missing."""
    found = re.search(f"{re.escape(BEGIN)}\n(.*?)\n?{re.escape(END)}", page.read_text("utf-8"), re.DOTALL)
    if found is None:
        raise ValueError(f"{page.name} has no {BEGIN} … {END}")
    return found[1]


def replace(text: str, page: Path = PAGE) -> None:
    """Put the matrix between the page's comments."""
    before, _, rest = page.read_text("utf-8").partition(f"{BEGIN}\n")
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"{page.name} has no {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", "utf-8")
