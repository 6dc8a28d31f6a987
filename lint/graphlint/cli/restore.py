"""``graphlint restore``: plain checks in the place of functional ones."""

from __future__ import annotations

from typing import Any

import click

from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand, option

RESTORING = "Restoring"
FILES = "File selection"
OUTPUT = "Output"
EXIT = "Exit status"
CONFIGURATION = "Configuration"


@click.command(
    cls=SectionCommand,
    epilog="Exit status: 0 if there is nothing to restore, 1 if an artifact was changed or functional checks are left, "
    "2 if something went wrong.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("paths", nargs=-1, required=True, type=click.UNPROCESSED)
@option(RESTORING, "--diff", is_flag=True, help="Show what would change, and write nothing.")
@option(
    RESTORING,
    "--provenance/--no-provenance",
    default=None,
    help="Record in the artifact, as its extra file graphlint.json, what was done (the default); or do not.",
)
@option(RESTORING, "--verify", is_flag=True, help="Run each artifact before and after in torch; write it if alike.")
@option(RESTORING, "--trust", is_flag=True, help="With --verify: load artifacts whose code runs when they are loaded.")
@option(
    RESTORING,
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    help="With --verify: import this first, since it registers custom ops or classes.",
)
@option(FILES, "--exclude", multiple=True, metavar="PATTERNS", help="Leave out what matches, in place of the defaults.")
@option(FILES, "--extend-exclude", multiple=True, metavar="PATTERNS", help="Leave out what matches, too.")
@option(
    FILES,
    "--force-exclude/--no-force-exclude",
    default=None,
    help="Leave out what is excluded even when it is named on the command line.",
)
@option(OUTPUT, "-q", "--quiet", is_flag=True, help="Say only what could not be restored.")
@option(OUTPUT, "-v", "--verbose", is_flag=True, help="Say what was read, and show tracebacks of internal errors.")
@option(
    OUTPUT,
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to use colours; auto: on a terminal, unless NO_COLOR or FORCE_COLOR say otherwise.",
)
@option(EXIT, "-e", "--exit-zero", is_flag=True, help="Exit with 0 even if there are changes.")
@option(
    CONFIGURATION,
    "--config",
    multiple=True,
    metavar="FILE|KEY=VALUE",
    type=click.UNPROCESSED,
    help="Use this configuration file, or override one setting with TOML.",
)
@option(CONFIGURATION, "--isolated", is_flag=True, help="Ignore all configuration files.")
@click.pass_context
def command(ctx: click.Context, /, **parameters: Any) -> None:
    """Turn functional checks back into plain ones, and take their dependency tokens away.

    The inverse of what --fix does to runtime checks, also for artifacts that other tools made functional. PATHS are
    artifacts, or folders to search for *.pt2 files. The label of a program stays.

    \b
    graphlint restore model.pt2          write the artifact back with plain checks
    graphlint restore --diff artifacts/  show what would change in a folder
    """  # noqa: D301 - click takes the backspace for "leave these lines as they are"
    if parameters["quiet"] and parameters["verbose"]:
        raise click.UsageError("--quiet and --verbose cannot be used together.", ctx)
    if parameters["verify"] and parameters["diff"]:
        raise click.UsageError("--verify and --diff cannot be used together.", ctx)
    if not parameters["verify"] and (parameters["trust"] or parameters["imports"]):
        raise click.UsageError("--trust and --import go with --verify.", ctx)
    console = Console(parameters["color"], quiet=parameters["quiet"], verbose=parameters["verbose"])
    with console.failures():
        from graphlint.cli.checking import CheckOptions
        from graphlint.cli.restoring import restore

        ctx.exit(restore(CheckOptions(fix=True, **parameters), console))
