"""``graphlint check --add-ignores``: accept what is found, by comments in the model's source."""

from collections.abc import Sequence

from graphlint.cli import session
from graphlint.cli.console import EXIT_FAILURE, Console
from graphlint.report.formats.phrasing import count
from graphlint.report.results import FileResult
from graphlint.rules.files import UNREADABLE


def accept_all(results: Sequence[FileResult], console: Console) -> int:
    """Write a comment for each line that has findings; the exit status. Raises WriteError."""
    from graphlint.run.sources.adding import add_ignores

    wanted: dict[str, dict[int, set[str]]] = {}
    elsewhere = 0
    for one in (one for result in results if not result.is_source for one in result.diagnostics):
        place = one.location
        if place is not None and place.file and place.state in ("current", "moved"):
            wanted.setdefault(place.file, {}).setdefault(place.line, set()).add(one.code)
        elif one.code not in UNREADABLE:
            elsewhere += 1
    added = {file: add_ignores(file, lines) for file, lines in sorted(wanted.items())}
    console.say(f"Added {count(sum(added.values()), 'comment')} in {count(len(added), 'file')}.")
    if elsewhere:
        console.note(f"{count(elsewhere, 'finding')} without a line in this repository: use `graphlint baseline`")
    session.tell_unreadable(results, console)
    failed = any(result.error for result in results)
    return EXIT_FAILURE if failed else int(any(result.unreadable for result in results))
