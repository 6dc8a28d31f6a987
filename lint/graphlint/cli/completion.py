"""``graphlint completion``: the script that makes a shell complete graphlint's commands, options and arguments."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand

EPILOG = """\b
Set it up once:
  bash  graphlint completion bash >> ~/.bashrc
  zsh   graphlint completion zsh >> ~/.zshrc
  fish  graphlint completion fish > ~/.config/fish/completions/graphlint.fish
"""


@click.command(cls=SectionCommand, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script for a shell."""
    chosen = get_completion_class(shell)
    if chosen is None or ctx.parent is None:
        raise click.UsageError(f"there is no completion for {shell}", ctx)
    console = Console()
    with console.failures():
        console.out(chosen(ctx.parent.command, {}, "graphlint", "_GRAPHLINT_COMPLETE").source())
    ctx.exit(0)
