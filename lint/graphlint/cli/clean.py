"""``graphlint clean``: remove what earlier checks left."""

from __future__ import annotations

import os

import click

from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand, option


@click.command(cls=SectionCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folders", nargs=-1, type=click.UNPROCESSED)
@option(
    "Which cache",
    "--cache-dir",
    metavar="FOLDER",
    type=click.UNPROCESSED,
    envvar="GRAPHLINT_CACHE_DIR",
    show_envvar=True,
    help="The cache to remove, in place of the one that the configuration says.",
)
@option("Output", "-q", "--quiet", is_flag=True, help="Say nothing of what was removed.")
@click.pass_context
def command(ctx: click.Context, folders: tuple[str, ...], cache_dir: str | None, quiet: bool) -> None:
    """Remove the caches of FOLDERS and of all folders below them; of the current folder if there are none.

    Only what graphlint has put there is removed.
    """
    console = Console(quiet=quiet)
    with console.failures():
        from graphlint.artifact.errors import WriteError
        from graphlint.cli.cleaning import caches
        from graphlint.report.formats.phrasing import count
        from graphlint.run.cache import clean

        found = False
        for folder in caches(folders or (os.curdir,), cache_dir):
            try:
                removed = clean(folder)
            except OSError as error:
                raise WriteError(f"cannot remove the cache {folder}: {error.strerror}") from error
            if removed is not None and not quiet:
                left = "; other files are left in it" if removed.left else ""
                results = count(removed.entries, "result")
                console.out(f"Removed {folder} ({results}, {removed.size / 1024:.0f} KiB){left}\n")
            found = found or removed is not None
        if not found and not quiet:
            console.out("No cache found\n")
        ctx.exit(0)
