"""The lines after the findings: how many there are, what was fixed, what could be."""

from __future__ import annotations

from collections.abc import Sequence

from graphlint.report.formats.escaping import printable
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import count, paint, tally
from graphlint.report.results import FileResult, in_baseline


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The summary of a check or a fix."""
    found = [diagnostic for result in results for diagnostic in result.diagnostics]
    fixed = [diagnostic for result in results for diagnostic in result.fixed]
    failed = sum(bool(result.error) for result in results)
    lines = []
    rest = [_unchecked(failed)] if failed else []
    accepted = in_baseline(results)
    if accepted:
        rest.append(f"{accepted} in the baseline")
    if fixed:
        parts = [f"{len(fixed)} fixed", f"{len(found)} remaining", *rest]
        lines.append(f"Found {tally([*fixed, *found])} ({', '.join(parts)}).")
    elif found:
        also = f" ({', '.join(rest)})" if rest else ""
        lines.append(f"Found {tally(found)}{also}.")
    elif failed:
        text = ", ".join(rest)
        lines.append(f"{text[0].upper()}{text[1:]}.")
    else:
        passed = paint("All checks passed!", options, fg="green", bold=True)
        lines.append(f"{passed} ({rest[0]})" if rest else passed)
    applying = sum(options.applies(diagnostic) for diagnostic in found)
    hidden = sum(options.hides(diagnostic) for diagnostic in found)
    more = f"{hidden} hidden {'fix' if hidden == 1 else 'fixes'} can be enabled with --unsafe-fixes"
    if applying:
        marker = paint("[*]", options, fg="cyan")
        lines.append(f"{marker} {applying} fixable with the --fix option{f' ({more})' if hidden else ''}.")
    elif hidden:
        lines.append(f"No fixes available ({more}).")
    return "".join(f"{line}\n" for line in lines)


def render_fix_only(results: Sequence[FileResult]) -> str:
    """The summary of ``--fix-only``, which says nothing of what is left."""
    fixed = [diagnostic for result in results for diagnostic in result.fixed]
    return f"Fixed {tally(fixed)}.\n" if fixed else ""


def render_fixed_files(results: Sequence[FileResult]) -> str:
    """Which files were rewritten, and how much was fixed in each."""
    return "".join(
        f"Fixed {count(len(result.fixed), 'finding')} in {printable(result.path)}\n"
        for result in results
        if result.changed
    )


def render_rewritten(results: Sequence[FileResult]) -> str:
    """The line which says that the run fails because files were rewritten; empty if none was."""
    changed = sum(result.changed for result in results)
    if not changed:
        return ""
    verb, pronoun = ("was", "it") if changed == 1 else ("were", "them")
    return f"{count(changed, 'artifact')} {verb} rewritten, hence exit status 1: review {pronoun} and commit again.\n"


TOKEN_CODES = frozenset({"GL201", "GL202", "GL203", "GL204"})
"""Rules whose fix makes a check take and return a dependency token."""


def render_tokens(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The lines which say who cannot take the tokens that checks became, and what to do; empty if none did, or
    targets were chosen.
    """
    became = (
        one.code in TOKEN_CODES
        for result in results
        if result.changed and result.path not in options.targeted_paths
        for one in result.fixed
    )
    if not any(became):
        return ""
    from graphlint.rules.targets.profiles import refusing_tokens

    refusing = refusing_tokens()
    consumers = ", ".join(target.consumer for target in refusing[:-1]) + f" and {refusing[-1].consumer}"
    names = ", ".join(target.name for target in refusing)
    return (
        f"Checks became dependency tokens, which {consumers} refuse: --target ({names}) keeps plain checks for them, "
        "`graphlint restore` brings them back.\n"
    )


def render_fixes(results: Sequence[FileResult]) -> str:
    """``--show-fixes``: what was fixed, by file and rule."""
    fixed = [result for result in results if result.fixed]
    if not fixed:
        return ""
    lines = [f"Fixed {tally([diagnostic for result in fixed for diagnostic in result.fixed])}:"]
    for result in fixed:
        lines.append(f"- {printable(result.path)}:")
        numbers: dict[tuple[str, str], int] = {}
        for diagnostic in result.fixed:
            key = (diagnostic.code, diagnostic.rule)
            numbers[key] = numbers.get(key, 0) + 1
        lines += [f"    {number} x {code} ({rule})" for (code, rule), number in numbers.items()]
    return "".join(f"{line}\n" for line in lines) + "\n"


def render_would_fix(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The summary of ``--diff``."""
    fixes = sum(len(result.fixed) for result in results)
    hidden = sum(options.hides(diagnostic) for result in results for diagnostic in result.diagnostics)
    more = f" ({hidden} more with --unsafe-fixes)" if hidden else ""
    return f"Would fix {count(fixes, 'finding')}{more}.\n" if fixes else f"No findings would be fixed{more}.\n"


def _unchecked(failed: int) -> str:
    return f"{count(failed, 'path')} could not be processed"
