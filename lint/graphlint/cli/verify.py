"""``graphlint verify``: run two artifacts in torch, and compare them."""

from __future__ import annotations

import click

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.urls import is_url
from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand, option


@click.command(
    cls=SectionCommand,
    epilog="Exit status: 0 if both do the same, 2 if they differ or cannot be run.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("before", type=click.UNPROCESSED)
@click.argument("after", type=click.UNPROCESSED)
@option("Loading", "--trust", is_flag=True, help="Load artifacts whose code runs when they are loaded.")
@option(
    "Loading",
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    help="Import this first, since it registers custom ops or classes.",
)
@option("Output", "-q", "--quiet", is_flag=True, help="Say nothing unless they differ.")
@click.pass_context
def command(ctx: click.Context, before: str, after: str, trust: bool, imports: tuple[str, ...], quiet: bool) -> None:
    """Run the programs of two artifacts in torch, and compare what they do bit by bit.

    They are called with their sample inputs, with other values and, where sizes are symbolic, with other sizes.
    """
    console = Console(quiet=quiet)
    with console.failures():
        for path in (before, after):
            if is_url(path):
                raise ConfigError(f"{path}: torch loads files only: download it, and verify the copy")
        from graphlint.runtime.loading import require_torch

        require_torch()
        from graphlint.runtime.verification import describe, verify

        verified = verify(before, after, trust=trust, imports=imports)
        if not quiet:
            console.out(describe(verified) + "\n")
        ctx.exit(0)
