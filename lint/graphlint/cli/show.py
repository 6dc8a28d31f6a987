"""``graphlint show``: an artifact's graphs, with the findings where they are."""

from __future__ import annotations

from typing import Any

import click

from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand, option

WHAT = "What to show"
OUTPUT = "Output"
GENERAL = "Configuration"


@click.command(
    cls=SectionCommand,
    epilog="""\b
Examples:
  graphlint show model.pt2                           the graphs, findings in the margin
  graphlint show model.pt2 --node add_               a node, and what is next to it
  graphlint show model.pt2 --node add_ --around 3    ... up to three steps away
  graphlint show model.pt2 --node add_ -o add.svg
  graphlint show model.pt2 --format dot | dot -Tpng -o model.png

Exit status: 0, or 2 if something went wrong.""",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("artifact", type=click.UNPROCESSED)
@option(WHAT, "--program", metavar="NAME", help="Only the program of that name; all by default.")
@option(
    WHAT,
    "--node",
    "nodes",
    multiple=True,
    metavar="NAME",
    help="Only this node and what is around it: a node, a value or an op. Can be given several times.",
)
@option(
    WHAT,
    "--around",
    type=click.IntRange(min=0),
    metavar="N",
    help="With --node: up to N steps up and down from it; 1 by default.",
)
@option(WHAT, "--findings/--no-findings", default=True, help="Whether to lint and show findings (on by default).")
@option(
    OUTPUT,
    "--format",
    "output_format",
    type=click.Choice(["text", "json", "dot", "svg"]),
    help="By default what -o FILE is called, else text; dot is for Graphviz, svg a picture.",
)
@option(OUTPUT, "-o", "--output-file", metavar="FILE", type=click.UNPROCESSED, help="Write to this file.")
@option(
    OUTPUT,
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to use colours; auto: on a terminal, unless NO_COLOR or FORCE_COLOR say otherwise.",
)
@option(GENERAL, "--config", metavar="FILE", type=click.UNPROCESSED, help="Use this configuration file.")
@option(GENERAL, "--isolated", is_flag=True, help="Ignore all configuration files.")
@click.pass_context
def command(ctx: click.Context, /, **parameters: Any) -> None:
    """Show the graphs of an artifact, with findings in the margin.

    Pictures mark what writes, every value that may show the written memory, and what reads it afterwards.
    """
    if parameters["around"] is not None and not parameters["nodes"]:
        raise click.UsageError("--around goes with --node.", ctx)
    if parameters["config"] is not None and parameters["isolated"]:
        raise click.UsageError("--config cannot be used with --isolated.", ctx)
    console = Console(parameters["color"])
    with console.failures():
        from graphlint.cli.looking import ShowOptions, show

        show(ShowOptions(**parameters), console)
        ctx.exit(0)
