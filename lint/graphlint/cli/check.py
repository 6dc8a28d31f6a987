"""``graphlint check``: find side effects, and with ``--fix`` take them away."""

from __future__ import annotations

import os
from typing import Any

import click

from graphlint.cli import completing
from graphlint.cli.console import Console
from graphlint.cli.output_type import OutputType
from graphlint.cli.sections import SectionCommand, option

FIXING = "Fixing"
RULES = "Rule selection"
FILES = "File selection"
RUNNING = "Many artifacts"
OUTPUT = "Output"
EXIT = "Exit status"
GENERAL = "Configuration and information"


@click.command(
    cls=SectionCommand,
    epilog="Exit status: 0 if there is nothing to report and nothing changed, 1 if findings are left or an artifact "
    "was changed, 2 if something went wrong.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("paths", nargs=-1, type=click.UNPROCESSED, shell_complete=completing.artifacts)
@option(FIXING, "--fix", is_flag=True, help="Apply fixes and write the artifacts back.")
@option(
    FIXING,
    "--unsafe-fixes/--no-unsafe-fixes",
    default=None,
    help="Include fixes that may change what the program does; or neither apply nor mention them.",
)
@option(FIXING, "--fix-only", is_flag=True, help="Apply fixes, and say nothing of what is left. Implies --fix.")
@option(FIXING, "--diff", is_flag=True, help="Show what --fix would change, and write nothing.")
@option(FIXING, "--show-fixes", is_flag=True, help="List what was fixed, by artifact and rule.")
@option(
    FIXING,
    "--token-sink",
    type=click.Choice(["buffer", "output"]),
    help="Where the tokens of fixed checks end: in a buffer (default), or as an output of the program.",
)
@option(
    FIXING,
    "--provenance/--no-provenance",
    default=None,
    help="Record in the artifact, as its extra file graphlint.json, what was fixed (the default); or do not.",
)
@option(
    FIXING, "--verify", is_flag=True, help="Run each artifact before and after its fix in torch; write it if alike."
)
@option(FIXING, "--trust", is_flag=True, help="With --verify: load artifacts whose code runs when they are loaded.")
@option(
    FIXING,
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    help="With --verify: import this first, since it registers custom ops or classes.",
)
@option(
    RULES,
    "--select",
    multiple=True,
    metavar="RULES",
    shell_complete=completing.selectors,
    help="Enable only these rules (comma-separated, or ALL).",
)
@option(
    RULES,
    "--ignore",
    multiple=True,
    metavar="RULES",
    shell_complete=completing.selectors,
    help="Disable these rules.",
)
@option(
    RULES,
    "--extend-select",
    multiple=True,
    metavar="RULES",
    shell_complete=completing.selectors,
    help="Enable these rules, too.",
)
@option(
    RULES,
    "--target",
    multiple=True,
    metavar="NAME",
    shell_complete=completing.targets,
    help="What the artifacts are for: functional (default), module, inductor, onnx, executorch or coreml. "
    "`graphlint target` explains them.",
)
@option(
    RULES,
    "--baseline",
    metavar="FILE",
    type=click.UNPROCESSED,
    help="Leave out the findings in this file, which `graphlint baseline` writes.",
)
@option(
    RULES,
    "--warn-unused-ignores/--no-warn-unused-ignores",
    default=None,
    help="Report `# graphlint: ignore[...]` comments in the model's source that accept nothing (GL901).",
)
@option(FILES, "--exclude", multiple=True, metavar="PATTERNS", help="Leave out what matches, in place of the defaults.")
@option(FILES, "--extend-exclude", multiple=True, metavar="PATTERNS", help="Leave out what matches, too.")
@option(
    FILES,
    "--force-exclude/--no-force-exclude",
    default=None,
    help="Leave out what is excluded even when it is named on the command line.",
)
@option(
    RUNNING,
    "-j",
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many processes may lint at once; by default as many as there are cores. Few small artifacts take one, "
    "and so does --verify.",
)
@option(
    RUNNING, "--no-cache", is_flag=True, envvar="GRAPHLINT_NO_CACHE", show_envvar=True, help="Lint everything anew."
)
@option(
    RUNNING,
    "--cache-dir",
    metavar="FOLDER",
    type=click.UNPROCESSED,
    envvar="GRAPHLINT_CACHE_DIR",
    show_envvar=True,
    help="Where results are kept; by default .graphlint_cache beside the configuration. `graphlint clean` removes it.",
)
@option(
    OUTPUT,
    "--output-format",
    multiple=True,
    type=OutputType(),
    metavar="FORMAT[=FILE]",
    envvar="GRAPHLINT_OUTPUT_FORMAT",
    show_envvar=True,
    help="How to show findings: full (default), concise or grouped for people; json, json-lines, sarif, github, "
    "gitlab, junit, markdown or html. Can be given several times, all but one with a file.",
)
@option(
    OUTPUT,
    "-o",
    "--output-file",
    metavar="FILE",
    type=click.UNPROCESSED,
    help="Write the report that has no file of its own to this one.",
)
@option(
    OUTPUT,
    "--step-summary/--no-step-summary",
    default=None,
    help="Whether to add to the job summary in GitHub Actions (on by default).",
)
@option(OUTPUT, "--statistics", is_flag=True, help="Show only how often each rule was violated.")
@option(OUTPUT, "-q", "--quiet", is_flag=True, help="Show findings, but nothing else.")
@option(OUTPUT, "-v", "--verbose", is_flag=True, help="Say what was linted, and show tracebacks of internal errors.")
@option(
    OUTPUT,
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    help="When to use colours; auto: on a terminal, unless NO_COLOR or FORCE_COLOR say otherwise.",
)
@option(EXIT, "-e", "--exit-zero", is_flag=True, help="Exit with 0 even if there are findings or changes.")
@option(
    EXIT,
    "--exit-non-zero-on-fix/--no-exit-non-zero-on-fix",
    default=True,
    help="Exit with 1 if an artifact was changed, even if no findings are left (on by default).",
)
@option(
    GENERAL,
    "--config",
    multiple=True,
    metavar="FILE|KEY=VALUE",
    type=click.UNPROCESSED,
    help="Use this configuration file, or override one setting with TOML.",
)
@option(GENERAL, "--isolated", is_flag=True, help="Ignore all configuration files.")
@option(GENERAL, "--watch", is_flag=True, help="Lint again whenever an artifact or a configuration changes.")
@option(GENERAL, "--show-settings", is_flag=True, help="Show the settings for the first artifact, and lint nothing.")
@option(GENERAL, "--show-files", is_flag=True, help="List the artifacts that would be linted, and lint nothing.")
@click.pass_context
def command(ctx: click.Context, /, **parameters: Any) -> None:
    """Lint exported PyTorch programs.

    PATHS are artifacts, folders to search for *.pt2 files, patterns (**/*.pt2), or URLs of any of these
    (s3://bucket/model.pt2); the current folder if there are none.
    """
    if parameters["quiet"] and parameters["verbose"]:
        raise click.UsageError("--quiet and --verbose cannot be used together.", ctx)
    if parameters["verify"] and (parameters["diff"] or not (parameters["fix"] or parameters["fix_only"])):
        raise click.UsageError("--verify goes with --fix.", ctx)
    if not parameters["verify"] and (parameters["trust"] or parameters["imports"]):
        raise click.UsageError("--trust and --import go with --verify.", ctx)
    watching = parameters.pop("watch")
    if watching and (parameters["fix"] or parameters["fix_only"] or parameters["diff"]):
        raise click.UsageError("--watch only looks: it cannot be used with --fix, --fix-only or --diff.", ctx)
    console = Console(parameters["color"], quiet=parameters["quiet"], verbose=parameters["verbose"])
    with console.failures():
        from graphlint.cli.checking import CheckOptions, check

        options = CheckOptions(**parameters)
        if watching:
            from graphlint.cli.watching import watch

            named = [given for given in options.config if os.path.isfile(given)]
            ctx.exit(watch(options.paths or (os.curdir,), named, lambda: check(options, console), console))
        ctx.exit(check(options, console))
