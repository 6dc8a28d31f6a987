"""What a run says besides its report: how many findings there are, what was fixed, restored or would be.

::

    Found 3 errors and 1 warning, and 1 more while fixing (2 fixed, 1 gone with them, 2 remaining).
    [*] 1 fixable with the --fix option.
    [!] 1 fixable with --fix --unsafe-fixes.
    model.pt2, node %dep_token1: aten._functional_assert_async.msg stays: aten.add.Tensor (node %y) reads the token …
    Restored 2 checks, 1 functional check is left.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from graphlint.report.formats.escaping import printable, printable_lines
from graphlint.report.formats.phrasing import (
    by_cause,
    count,
    enumerated,
    found_in,
    paint,
    place_in_artifact,
    tally,
    totals,
)
from graphlint.report.results import FileResult, ReportOptions
from graphlint.rules.checks import TOKEN_RULES, removed_checks
from graphlint.rules.diagnostics import Diagnostic

_NOTHING: Final = "No functional checks: nothing to restore."


def render(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The summary of a check or a fix."""
    found, fixed, brought, gone = (found_in(results, field) for field in ("diagnostics", "fixed", "brought", "gone"))
    numbers = totals(results, options)
    passed = not fixed and len(found) == numbers["notes"]
    parts = [count(numbers["notes"], "note")] if passed and found else []
    parts += [f"{len(fixed)} fixed"] if fixed else []
    parts += [f"{len(gone)} gone with {'it' if len(fixed) == 1 else 'them'}"] if gone else []
    parts += [f"{len(found)} remaining"] if fixed else []
    parts += [f"{count(numbers['failed'], 'path')} could not be processed"] if numbers["failed"] else []
    parts += [f"{numbers['baseline']} in the baseline"] if numbers["baseline"] else []
    said = ", ".join(parts)
    aside = f" ({said})" if said else ""
    if not passed:
        causes = 0 if fixed else len(by_cause(results, options))
        several = f", from {count(causes, 'cause')}" if 0 < causes < len(found) else ""
        more = f", and {len(brought)} more while fixing" if brought else ""
        text = f"Found {tally([*fixed, *found, *gone], brought)}{several}{more}{aside}.\n"
    elif numbers["failed"]:
        text = f"{said}.\n"  # begins with a number
    elif not results:
        text = "No artifacts: nothing was checked.\n"
    else:
        text = f"{paint('All checks passed!', options, fg='green', bold=True)}{aside}\n"
    if numbers["fixable"]:
        text += f"{paint('[*]', options, fg='cyan')} {numbers['fixable']} fixable with the --fix option.\n"
    for option, number in _lacking(found, options).items():
        text += f"{paint('[!]', options, fg='cyan')} {number} fixable with --fix {option}.\n"
    return text + _choice(found, options) + _idle(results)


def _lacking(found: Sequence[Diagnostic], options: ReportOptions) -> Counter[str]:
    """How many fixes each option would enable."""
    return Counter(option for one in found if (option := options.lacks(one)))


def _idle(results: Sequence[FileResult]) -> str:
    """``48 metadata checks that cannot fire; …``: what is counted and no finding."""
    from graphlint.rules.registry import RULES

    number = sum(result.idle for result in results)
    codes = ",".join(rule.code for rule in RULES if rule.idle)
    lists = f"`--extend-select {codes}` lists {'them' if number > 1 else 'it'}"
    return f"{count(number, 'metadata check')} that cannot fire; {lists}.\n" if number else ""


def _choice(found: Sequence[Diagnostic], options: ReportOptions) -> str:
    """That tokens are not for all, where --fix would make some and nobody has said what the artifacts are for."""
    number = sum(
        one.code in TOKEN_RULES and one.fix.applicability == "safe" and one.path not in options.targeted_paths
        for one in found
    )
    if not number:
        return ""
    become = "a dependency token" if number == 1 else "dependency tokens"
    return (
        f"--fix would turn {count(number, 'check')} into {become}, which most consumers refuse. Choose what the "
        "artifacts are for: --target NAME (`graphlint targets`), or --target functional.\n"
    )


def render_fix_only(results: Sequence[FileResult]) -> str:
    """The summary of ``--fix-only``, which says nothing of what is left."""
    fixed = found_in(results, "fixed")
    return f"Fixed {tally(fixed)}.\n" if fixed else ""


def render_fixed_files(results: Sequence[FileResult]) -> str:
    """Which files were rewritten, and how much was fixed in each."""
    changed = [result for result in results if result.changed]
    return "".join(f"Fixed {count(len(one.fixed), 'finding')} in {printable(one.path)}\n" for one in changed)


def render_rewritten(results: Sequence[FileResult]) -> str:
    """The line which says that the run fails because files were rewritten; empty if none was."""
    changed = sum(result.changed for result in results)
    verb, pronoun = ("was", "it") if changed == 1 else ("were", "them")
    text = f"{count(changed, 'artifact')} {verb} rewritten, hence exit status 1: review {pronoun} and commit again.\n"
    return text if changed else ""


def render_tokens(results: Sequence[FileResult], options: ReportOptions) -> str:
    """Who cannot take the tokens that checks became, and what to do; empty if none did, or targets were chosen."""
    fixed = found_in([one for one in results if one.changed and one.path not in options.targeted_paths], "fixed")
    if not any(one.code in TOKEN_RULES and one.fix.applicability == "safe" for one in fixed):
        return ""
    from graphlint.rules.targets.model import refusing_tokens

    refusing = refusing_tokens()
    consumers = enumerated([target.consumer for target in refusing])
    names = ", ".join(target.name for target in refusing)
    return (
        f"Checks became dependency tokens, which {consumers} refuse: --target ({names}) keeps plain checks for them, "
        "`graphlint restore` brings them back.\n"
    )


def render_removed(results: Sequence[FileResult]) -> str:
    """How many checks that could fire were removed; empty if none was."""
    number = removed_checks(found_in([one for one in results if one.changed], "fixed"))
    verb = "was" if number == 1 else "were"
    return f"{count(number, 'check')} {verb} removed: values that made one raise pass silently.\n" if number else ""


def render_fixes(results: Sequence[FileResult]) -> str:
    """``--show-fixes``: what was fixed, by file and rule."""
    fixed = [result for result in results if result.fixed]
    if not fixed:
        return ""
    lines = [f"Fixed {tally(found_in(fixed, 'fixed'))}:"]
    for result in fixed:
        lines.append(f"- {printable(result.path)}:")
        for found, how in ((result.fixed, ""), (result.gone, ", gone with the others")):
            numbers = Counter((one.code, one.rule) for one in found)
            lines += [f"    {number} x {code} ({rule}){how}" for (code, rule), number in numbers.items()]
    return "".join(f"{line}\n" for line in lines) + "\n"


def render_would_fix(results: Sequence[FileResult], options: ReportOptions) -> str:
    """The summary of ``--diff``."""
    fixes = len(found_in(results, "fixed"))
    lacking = [f"{number} more with {option}" for option, number in _lacking(found_in(results), options).items()]
    more = f" ({', '.join(lacking)})" if lacking else ""
    return f"Would fix {count(fixes, 'finding')}{more}.\n" if fixes else f"No findings would be fixed{more}.\n"


def render_diff(results: Sequence[FileResult], options: ReportOptions) -> str:
    """``--diff``: what would change, as unified diffs of the graphs' text, one after the other."""
    colors = {"+": "green", "-": "red", "@": "cyan"}
    diffs = (printable_lines(result.diff.rstrip("\n")) for result in results if result.diff)
    lines = (line for diff in diffs for line in diff.split("\n"))
    return "".join(f"{paint(line, options, fg=colors[line[0]]) if line[:1] in colors else line}\n" for line in lines)


def render_restored(results: Sequence[FileResult], options: ReportOptions, *, exit_zero: bool = False) -> str:
    """What ``graphlint restore`` restored, file by file, and its summary."""
    changed = [result for result in results if result.changed]
    text = "".join(f"Restored {_restored([one])} in {printable(one.path)}\n" for one in changed)
    kept = sum(len(result.kept) for result in results)
    left = f"{count(kept, 'functional check')} {'is' if kept == 1 else 'are'} left" if kept else ""
    if changed:
        text += f"Restored {_restored(changed)}{', ' if left else ''}{left}.\n"
    elif left:
        text += f"Nothing was restored, {left}.\n"
    elif not _failed(results):
        text += paint(_NOTHING, options, fg="green", bold=True) + "\n"
    return text + ("" if exit_zero else render_rewritten(results))


def _restored(results: Sequence[FileResult]) -> str:
    """How much is as it was again: checks, and tensors of the state, if there are any."""
    checks, tensors = (sum(len(getattr(one, field)) for one in results) for field in ("restored", "state"))
    state = count(tensors, "state tensor") if tensors else ""
    return " and ".join(filter(None, [count(checks, "check") if checks or not state else "", state]))


def render_kept(results: Sequence[FileResult], options: ReportOptions) -> str:
    """What stays functional, one line each."""
    return "".join(
        f"{paint(printable(result.path), options, bold=True)}, {place_in_artifact(check)}: "
        f"{printable(f'{check.op} stays: {check.reason}')}\n"
        for result in results
        for check in result.kept
    )


def render_would_restore(results: Sequence[FileResult]) -> str:
    """The summary of ``restore --diff``."""
    found = any(result.restored or result.state for result in results)
    if not found and not _failed(results) and not any(result.kept for result in results):
        return f"{_NOTHING}\n"
    return f"Would restore {_restored(results)}.\n"


def _failed(results: Sequence[FileResult]) -> bool:
    return any(result.error or result.unreadable for result in results)
