"""The command line: ``graphlint [check] [OPTIONS] [PATHS...]`` and, by name, the commands in :data:`COMMANDS`."""

import atexit
import gc
import importlib
import os
import sys

import click
from click.shell_completion import CompletionItem

from graphlint import __version__

COMMANDS = (
    *("check", "restore", "baseline", "clean", "rule", "rules", "target", "show", "diff", "git", "verify"),
    "completion",
)
"""Each has a module of its name, which is loaded only when it runs."""

DEFAULT = "check"
OWN_OPTIONS = ("--version", "-V", "--help", "-h")


class DefaultGroup(click.Group):
    """A group whose command is ``check`` where none is named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = "rules" if cmd_name in ("rule", "target") else cmd_name
        command: click.Command = getattr(importlib.import_module(f"graphlint.cli.{module}"), cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``check`` in front of everything that does not begin with a command or a group option."""
        if ctx.resilient_parsing and not args:
            return super().parse_args(ctx, args)  # a shell asks what the first word could be
        if not args or (args[0] not in COMMANDS and args[0] not in OWN_OPTIONS):
            self._reject_misspelt_command(ctx, args[:1])
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def _reject_misspelt_command(self, ctx: click.Context, words: list[str]) -> None:
        """A first word that is no file and nearly a command was meant as one."""
        for word in words:
            if not ctx.resilient_parsing and word.isalpha() and not os.path.exists(word):
                import difflib

                for near in difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.7):
                    raise click.UsageError(f"No such file, folder or command '{word}'; did you mean '{near}'?", ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and what the default one takes."""
        from graphlint.cli.options import complete_artifacts

        check = self.get_command(ctx, DEFAULT)
        found = super().shell_complete(ctx, incomplete)
        if check is None:
            return found
        own = click.Context(check, parent=ctx, info_name=DEFAULT, resilient_parsing=True)
        paths = [] if found or incomplete.startswith("-") else complete_artifacts(own, check.params[0], incomplete)
        return [*found, *check.shell_complete(own, incomplete), *paths]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from graphlint.cli.options import text

        for index, usage in enumerate(text("usages.txt").splitlines()):
            formatter.write_usage(ctx.command_path, usage, prefix="       " if index else None)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, the commands, and the options of the one that can be left out."""
        from graphlint.cli.options import text

        with formatter.section("Examples"):
            formatter.write(text("examples.txt"))
        self.format_commands(ctx, formatter)
        check = self.get_command(ctx, DEFAULT)
        if check is not None:
            check.format_options(click.Context(check, parent=ctx, info_name=DEFAULT), formatter)
        with formatter.section("Version"):
            formatter.write_dl([("-V, --version", "Show the version and exit.")])


@click.group(cls=DefaultGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="graphlint", message="%(prog)s %(version)s")
def app() -> None:
    """A linter and fixer for exported PyTorch programs (.pt2): finds what keeps a graph from being functional."""


def main() -> None:
    """Run the command line and exit."""
    # A program is a large tree without cycles, which the collector would walk again and again while it grows. What
    # cycles there are around it (frames, closures) is little, and collected after a few programs of 50,000 nodes.
    gc.set_threshold(2_000_000, 20, 20)
    _open_closed_streams()
    try:
        app(prog_name="graphlint")
    except SystemExit as ended:
        _end(ended)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        # No command's, which say themselves what went wrong: click's own texts, --help and --version.
        from graphlint.cli.console import EXIT_FAILURE, Console

        Console().unwritten(error)
        sys.exit(EXIT_FAILURE)


def _end(ended: SystemExit) -> None:
    """End the process. What is left goes with it: to take every module and object apart first is a tenth of a small
    check. A process with other threads, or with torch in it, ends as Python has it.
    """
    threading = sys.modules.get("threading")
    if "torch" in sys.modules or (threading is not None and threading.active_count() > 1):
        raise ended
    atexit._run_exitfuncs()  # noqa: SLF001  # os._exit leaves out what is registered there
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        raise ended from None
    os._exit(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


def _open_closed_streams() -> None:
    """Let what nobody wants (``>&-``) go nowhere. Python has None for such a stream, and the next file or pipe that
    is opened would get its number: what is meant for the stream could end up in an artifact.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - open until the end
