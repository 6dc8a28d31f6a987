"""``graphlint rules``: all rules, a line each."""

from __future__ import annotations

import click

from graphlint.cli import rule
from graphlint.cli.sections import SectionCommand, option


@click.command(cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"]})
@option("Output", "--output-format", type=click.Choice(["text", "json"]), default="text", help="text by default.")
@click.pass_context
def command(ctx: click.Context, output_format: str) -> None:
    """List all rules; `graphlint rule CODE` explains one."""
    ctx.invoke(rule.command, rule=None, output_format=output_format)
