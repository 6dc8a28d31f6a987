"""``graphlint target``: what a consumer takes, and what ``--fix`` does for it."""

from __future__ import annotations

import click

from graphlint.cli import completing
from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand, option


@click.command(cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("target", metavar="[NAME]", required=False, shell_complete=completing.targets)
@option("Output", "--output-format", type=click.Choice(["text", "json"]), default="text", help="text by default.")
@click.pass_context
def command(ctx: click.Context, target: str | None, output_format: str) -> None:
    """Explain a target; list them all if none is given."""
    console = Console()
    with console.failures():
        from graphlint.rules.registry import RULES
        from graphlint.rules.targets import documentation
        from graphlint.rules.targets.model import NAMES, load_target

        chosen = [load_target(name) for name in (NAMES if target is None else (target,))]
        if output_format == "json":
            from graphlint.report.formats.encoding import encode

            described = [documentation.described(one, RULES) for one in chosen]
            console.out(encode(described if target is None else described[0]))
        elif target is None:
            width = max(len(one.name) for one in chosen)
            console.out("".join(f"{one.name:<{width}}  {one.title}\n" for one in chosen))
        else:
            console.out(documentation.explain(chosen[0], RULES))
        ctx.exit(0)
