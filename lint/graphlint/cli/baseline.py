"""``graphlint baseline``: accept the findings that are there now."""

from __future__ import annotations

from typing import Any

import click

from graphlint.cli.console import Console
from graphlint.cli.sections import SectionCommand, option

FILE = "Baseline"
RULES = "Rule selection"
FILES = "File selection"
GENERAL = "Configuration and output"


class BaselineCommand(SectionCommand):
    """The command with its examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the options."""
        with formatter.section("Examples"):
            for line in EXAMPLES.splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
        super().format_options(ctx, formatter)


EXAMPLES = """\
graphlint baseline                                  accept every finding below the current folder
graphlint baseline models/net.pt2                   the same for one artifact; what is known of others stays
graphlint baseline --prune                          forget what no longer occurs, accept nothing new
graphlint --baseline graphlint-baseline.json        report only what is not in it
"""


@click.command(
    cls=BaselineCommand,
    epilog="Exit status: 0 if the baseline is up to date or was written, 1 if an artifact could not be read, 2 if "
    "something went wrong.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("paths", nargs=-1, type=click.UNPROCESSED)
@option(
    FILE,
    "-b",
    "--baseline",
    metavar="FILE",
    type=click.UNPROCESSED,
    help="The file to write; by default what the configuration names, or graphlint-baseline.json.",
)
@option(FILE, "--prune", is_flag=True, help="Only remove what no longer occurs; add nothing.")
@option(RULES, "--select", multiple=True, metavar="RULES", help="Enable only these rules (comma-separated, or ALL).")
@option(RULES, "--ignore", multiple=True, metavar="RULES", help="Disable these rules.")
@option(RULES, "--extend-select", multiple=True, metavar="RULES", help="Enable these rules, too.")
@option(RULES, "--target", multiple=True, metavar="NAME", help="What the artifacts are for, as for `graphlint check`.")
@option(FILES, "--exclude", multiple=True, metavar="PATTERNS", help="Leave out what matches, in place of the defaults.")
@option(FILES, "--extend-exclude", multiple=True, metavar="PATTERNS", help="Leave out what matches, too.")
@option(
    GENERAL,
    "--config",
    multiple=True,
    metavar="FILE|KEY=VALUE",
    type=click.UNPROCESSED,
    help="Use this configuration file, or override one setting with TOML.",
)
@option(GENERAL, "--isolated", is_flag=True, help="Ignore all configuration files.")
@option(GENERAL, "-q", "--quiet", is_flag=True, help="Say nothing unless something is wrong.")
@option(GENERAL, "-v", "--verbose", is_flag=True, help="Say what was linted, and what was added and removed.")
@click.pass_context
def command(ctx: click.Context, /, **parameters: Any) -> None:
    """Write the current findings to a baseline, a JSON file to be committed.

    `graphlint check` does not report what its baseline holds, and `--fix` leaves it alone. Findings are recognized by
    rule, op, module and source line, so that the baseline outlives another export of the model. PATHS are as for
    `graphlint check`; what the baseline holds of other artifacts and other rules stays, unless the artifact is gone.
    """
    if parameters["quiet"] and parameters["verbose"]:
        raise click.UsageError("--quiet and --verbose cannot be used together.", ctx)
    console = Console(quiet=parameters["quiet"], verbose=parameters["verbose"])
    with console.failures():
        from graphlint.cli.baselining import write
        from graphlint.cli.checking import CheckOptions

        prune = parameters.pop("prune")
        ctx.exit(write(CheckOptions(**parameters), console, prune=prune))
