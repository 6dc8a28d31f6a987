"""``graphlint rule``, ``rules`` and ``target``: what a rule flags, what a consumer takes; all of them, a line each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from graphlint.cli.console import Console
from graphlint.cli.options import JSON, command, complete_rules, complete_targets

if TYPE_CHECKING:
    from graphlint.rules.base import Rule


@command(click.argument("rule", metavar="[CODE|NAME]", required=False, shell_complete=complete_rules), JSON)
def rule(console: Console, /, rule: str | None, output_format: str) -> int:
    """Explain a rule; list them all if none is given."""
    from graphlint.report.formats.escaping import encode
    from graphlint.rules.documentation import described, explain
    from graphlint.rules.registry import RULES
    from graphlint.rules.selection import find_rule

    chosen = None if rule is None else find_rule(rule)
    if output_format == "json":
        console.out(encode([described(one) for one in RULES] if chosen is None else described(chosen)))
    else:
        console.out(_list(RULES) if chosen is None else explain(chosen))
    return 0


@command(JSON)
def rules(console: Console, /, output_format: str) -> int:
    """List all rules; `graphlint rule CODE` explains one."""
    return click.get_current_context().invoke(rule, rule=None, output_format=output_format)  # type: ignore[no-any-return]


@command(click.argument("target", metavar="[NAME]", required=False, shell_complete=complete_targets), JSON)
def target(console: Console, /, target: str | None, output_format: str) -> int:
    """Explain a target; list them all if none is given."""
    from graphlint.report.formats.escaping import encode
    from graphlint.rules.targets.documentation import described, explain
    from graphlint.rules.targets.model import all_targets, load_target

    chosen = None if target is None else load_target(target)
    if output_format == "json":
        console.out(encode([described(one) for one in all_targets()] if chosen is None else described(chosen)))
    else:
        console.out(_titles(all_targets()) if chosen is None else explain(chosen))
    return 0


def _list(rules: Sequence[Rule]) -> str:
    width = max(len(rule.name) for rule in rules)
    lines = [f"{rule.code}  {rule.name:<{width}}  {_marks(rule)}  {rule.summary}" for rule in rules]
    legend = "on: enabled by default.  [*]: fixed by --fix, [!]: by --fix --unsafe-fixes, [ ]: not fixable."
    return "\n".join([*lines, "", legend]) + "\n"


def _marks(rule: Rule) -> str:
    return f"{'on ' if rule.enabled_by_default else 'off'}  [{ {'safe': '*', 'unsafe': '!', 'none': ' '}[rule.fix] }]"


def _titles(targets: Sequence[Any]) -> str:
    width = max(len(one.name) for one in targets)
    return "".join(f"{one.name:<{width}}  {one.title}\n" for one in targets)
