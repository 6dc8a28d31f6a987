"""``graphlint rule`` and ``graphlint rules``: what a rule flags, why, and how it is fixed; all rules, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from graphlint.cli.console import Console
from graphlint.cli.options import JSON, command, complete_rules

if TYPE_CHECKING:
    from graphlint.rules.base import Rule


@command(click.argument("rule", metavar="[CODE|NAME]", required=False, shell_complete=complete_rules), JSON)
def rule(console: Console, /, rule: str | None, output_format: str) -> int:
    """Explain a rule; list them all if none is given."""
    from graphlint.rules import documentation
    from graphlint.rules.registry import RULES
    from graphlint.rules.selection import find_rule

    chosen = RULES if rule is None else (find_rule(RULES, rule),)
    if output_format == "json":
        from graphlint.report.formats.escaping import encode

        described = [documentation.described(one) for one in chosen]
        console.out(encode(described if rule is None else described[0]))
    else:
        console.out(_list(chosen) if rule is None else documentation.explain(chosen[0]))
    return 0


@command(JSON)
def rules(console: Console, /, output_format: str) -> int:
    """List all rules; `graphlint rule CODE` explains one."""
    return click.get_current_context().invoke(rule, rule=None, output_format=output_format)  # type: ignore[no-any-return]


def _list(rules: tuple[Rule, ...]) -> str:
    width = max(len(rule.name) for rule in rules)
    lines = [f"{rule.code}  {rule.name:<{width}}  {_marks(rule)}  {rule.summary}" for rule in rules]
    legend = "on: enabled by default.  [*]: fixed by --fix, [!]: by --fix --unsafe-fixes, [ ]: not fixable."
    return "\n".join([*lines, "", legend]) + "\n"


def _marks(rule: Rule) -> str:
    return f"{'on ' if rule.enabled_by_default else 'off'}  [{ {'safe': '*', 'unsafe': '!', 'none': ' '}[rule.fix] }]"
