"""``graphlint git``: let ``git diff``, ``git log -p`` and ``git show`` print graph changes of artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from graphlint.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable

    from graphlint.cli.git.driver import Scope

CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(
    context_settings=CONTEXT,
    epilog="""\b
Examples:
  graphlint git install              in a repository: its configuration and its .gitattributes
  graphlint git install --global     for all repositories of this user
  git diff model.pt2                 now shows what changed in the graph
  git diff --no-textconv model.pt2   as before""",
)
def command() -> None:
    """Let git show what changed in the graphs of artifacts.

    git then compares artifacts as text: their graphs, and the checksums of their weights.
    """


def _where(function: Callable[..., None]) -> Callable[..., None]:
    for decorator in (
        click.option("--local", "scope", flag_value="local", help="Only this repository (default)."),
        click.option("--global", "scope", flag_value="global", help="All repositories of this user."),
        click.option(
            "--attributes",
            metavar="FILE",
            type=click.UNPROCESSED,
            help="The file that names the driver, in place of .gitattributes (with --global: the user's own), "
            "for example .git/info/attributes, which is not committed.",
        ),
    ):
        function = decorator(function)
    return function


@command.command(context_settings=CONTEXT)
@_where
@click.pass_context
def install(ctx: click.Context, scope: Scope | None, attributes: str | None) -> None:
    """Set the driver up. Running it again changes nothing."""
    console = Console()
    with console.failures():
        from graphlint.cli.git import driver

        outcome = driver.install(scope or "local", attributes)
        console.out(f"git runs `{outcome.command}` to compare artifacts.\n")
        what = "now names" if outcome.changed else "already names"
        console.out(f"{outcome.attributes} {what} the driver for *.pt2.\n")
        if scope != "global" and outcome.changed and attributes is None:
            console.out("Commit that file; every clone then needs `graphlint git install` once.\n")
        if outcome.lfs:
            console.out(
                "Git LFS holds the artifacts: git hands over what `git lfs pull` has fetched; the others show as "
                "pointers.\n"
            )
        ctx.exit(0)


@command.command(context_settings=CONTEXT)
@_where
@click.pass_context
def uninstall(ctx: click.Context, scope: Scope | None, attributes: str | None) -> None:
    """Take away what install set up."""
    console = Console()
    with console.failures():
        from graphlint.cli.git import driver

        outcome = driver.uninstall(scope or "local", attributes)
        console.out("git compares artifacts as binary files again.\n")
        if outcome.changed:
            console.out(f"{outcome.attributes} does not name the driver any more.\n")
        ctx.exit(0)


@command.command(context_settings=CONTEXT)
@click.option("--text-version", type=int, hidden=True, help="Tells git which texts it may keep.")
@click.argument("file", type=click.UNPROCESSED)
@click.pass_context
def textconv(ctx: click.Context, text_version: int | None, file: str) -> None:
    """Print the text of an artifact that git compares.

    Any file has one, so that git can go on: what is no readable artifact becomes a line that says why.
    """
    console = Console()
    with console.failures():
        from graphlint.cli.git.text import artifact_text

        console.out(artifact_text(file))
        ctx.exit(0)
