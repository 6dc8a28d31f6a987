"""``graphlint rule``: what a rule flags, why, and how it is fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from graphlint.cli import completing
from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand, option

if TYPE_CHECKING:
    from graphlint.rules.base import Rule


@click.command(cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("rule", metavar="[CODE|NAME]", required=False, shell_complete=completing.rules)
@option("Output", "--output-format", type=click.Choice(["text", "json"]), default="text", help="text by default.")
@click.pass_context
def command(ctx: click.Context, rule: str | None, output_format: str) -> None:
    """Explain a rule; list them all if none is given."""
    console = Console()
    with console.failures():
        from graphlint.rules import documentation
        from graphlint.rules.registry import RULES

        chosen = [found for found in RULES if rule is None or found.code == _code(RULES, rule)]
        if output_format == "json":
            console.out(_json(chosen, single=rule is not None))
        else:
            console.out(_list(chosen) if rule is None else documentation.explain(chosen[0]))
        ctx.exit(0)


def _code(rules: tuple[Rule, ...], wanted: str) -> str:
    from graphlint.run.selection import find_rule

    return find_rule(rules, wanted).code


def _list(rules: list[Rule]) -> str:
    width = max(len(rule.name) for rule in rules)
    lines = [f"{rule.code}  {rule.name:<{width}}  {_marks(rule)}  {rule.summary}" for rule in rules]
    legend = "on: enabled by default.  [*]: fixed by --fix, [!]: by --fix --unsafe-fixes, [ ]: not fixable."
    return "\n".join([*lines, "", legend]) + "\n"


def _marks(rule: Rule) -> str:
    return f"{'on ' if rule.enabled_by_default else 'off'}  [{ {'safe': '*', 'unsafe': '!', 'none': ' '}[rule.fix] }]"


def _json(rules: list[Rule], *, single: bool) -> str:
    from graphlint.report.formats.encoding import encode
    from graphlint.rules.documentation import link

    described = [
        {
            "code": rule.code,
            "name": rule.name,
            "severity": rule.severity,
            "enabled_by_default": rule.enabled_by_default,
            "fix": rule.fix,
            "fix_sometimes": rule.fix_sometimes,
            "summary": rule.summary,
            "documentation": rule.documentation,
            "url": link(rule.name, rule.code),
        }
        for rule in rules
    ]
    return encode(described[0] if single else described)
