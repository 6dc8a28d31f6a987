"""The command line as click parses it: help, completion, and what is said of arguments that do not fit."""

import importlib
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from graphlint import __version__
from graphlint.artifact.errors import ConfigError, did_you_mean
from graphlint.cli.commands import ARTIFACTS, COMPLETIONS, Argument, Command, Completing, More
from graphlint.cli.console import EXIT_FAILURE, EXIT_INTERRUPTED, Console
from graphlint.cli.options import COMMANDS, DEFAULT, OWN_OPTIONS, Option, UsageError, text

CONTEXT: Final = {"help_option_names": ["-h", "--help"]}


class _Choice(click.Choice[str]):
    """One of several words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.choices:
            expected = f"unknown value {value!r}, expected one of {', '.join(self.choices)}"
            self.fail(expected + did_you_mean(value, self.choices), param, ctx)
        return str(value)


class _AtLeast(click.IntRange):
    """A number that is not too small."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"expected a number of at least {self.min}, found {value!r}", param, ctx)


class _Argument(click.Argument):
    """An argument, which messages call by its name."""

    def __init__(self, argument: Argument) -> None:
        super().__init__(
            [argument.name],
            metavar=argument.metavar,
            required=argument.required,
            nargs=-1 if argument.several else 1,
            type=_Choice(argument.choices) if argument.choices else click.UNPROCESSED,
            shell_complete=_completing(argument.complete) if argument.complete is not None else None,
        )

    def get_error_hint(self, ctx: click.Context | None) -> str:
        return f"'{str(self.name).upper()}'"


class _Option(click.Option):
    """An option with its heading; its help may be worked out when it is asked for."""

    def __init__(self, option: Option, more: More) -> None:
        kind, names = option.kind, " ".join(option.names)
        attributes: dict[str, Any] = {
            "multiple": "several" in kind,
            "default": option.default or None,
            "hidden": "hidden" in kind,
        }
        if "flag" in kind:
            attributes |= {"is_flag": True, "default": False}
        if option.off is not None:
            names = f"{names}/{option.off}"
        if "choices" in kind:
            attributes["type"] = _Choice(kind["choices"].split(","))
        if "path" in kind:
            attributes |= {"type": click.UNPROCESSED, "metavar": "FILE"}
        if "least" in kind:
            attributes |= {"type": _AtLeast(min=int(kind["least"])), "metavar": "N"}
        if "metavar" in kind:
            attributes["metavar"] = kind["metavar"]
        if "env" in kind:
            attributes |= {"envvar": kind["env"], "show_envvar": True}
        complete = more.complete or (COMPLETIONS[kind["complete"]] if "complete" in kind else None)
        if complete is not None:
            attributes["shell_complete"] = _completing(complete)
        if more.check is not None:
            attributes["callback"] = _checking(more.check)
        super().__init__([*names.split(), option.parameter], **attributes)
        self.heading = option.heading
        self._said = more.help or (lambda: option.help)

    def get_error_hint(self, ctx: click.Context | None) -> str:
        source = None if ctx is None or self.name is None else ctx.get_parameter_source(self.name)
        said = self.envvar if source is ParameterSource.ENVIRONMENT else max(self.opts, key=len)
        return f"'{said}'"

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = self._said()
        return super().get_help_record(ctx)


class Clicked(click.Command):
    """A command whose ``--help`` shows the options under headings, in the order of the table."""

    def __init__(self, command: Command) -> None:
        options = [_Option(one, command.more.get(" ".join(one.names), More())) for one in command.options]
        super().__init__(
            command.function.__name__,
            params=[*map(_Argument, command.arguments), *options],
            context_settings=CONTEXT,
            help=command.function.__doc__,
        )
        self._command = command

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and exit."""
        try:
            ctx.exit(self._command.run(ctx.params))
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from None

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        heading = ""
        for parameter in self.get_params(ctx):
            heading = getattr(parameter, "heading", heading)
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):  # arguments are in the usage line already
                sections.setdefault(heading, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        parts = re.split(r"^\[(\w+)\]\n", text("epilogs.txt").replace("\\b", "\b"), flags=re.MULTILINE)
        self.epilog = dict(pairwise(parts)).get(str(self.name))
        super().format_epilog(ctx, formatter)


def _checking(check: Callable[[Any], object]) -> Callable[[click.Context, click.Parameter, Any], Any]:
    def callback(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            check(value)
        except ConfigError as error:
            raise click.BadParameter(str(error), ctx, parameter) from None
        return value

    return callback


def _completing(by: Completing) -> Callable[[click.Context, click.Parameter, str], list[CompletionItem]]:
    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        if by is ARTIFACTS:
            return [CompletionItem(incomplete, type="file")]
        before = incomplete[: incomplete.rfind(by.separator) + 1] if by.separator else ""
        begin = incomplete.removeprefix(before).lower()
        known = by.known()
        return [CompletionItem(before + word, help=said) for word, said in known if word.lower().startswith(begin)]

    return complete


class DefaultGroup(click.Group):
    """A group whose command is ``check`` where none is named."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and exit. An error of usage is one line, like all other errors."""
        try:
            status = super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context is not None else "graphlint"
            text = error.format_message()
            if isinstance(error, click.NoSuchOption) and context is not None:
                options = context.command.get_params(context)
                known = [name for one in options for name in (*one.opts, *one.secondary_opts)]
                text = f"No such option '{error.option_name}'" + did_you_mean(error.option_name, known)
            Console().error(UsageError(text, command).told)
            status = EXIT_FAILURE
        except click.Abort:
            status = EXIT_INTERRUPTED
        sys.exit(status or 0)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = "rules" if cmd_name in ("rule", "target", "targets") else cmd_name
        found = getattr(importlib.import_module(f"graphlint.cli.{module}"), cmd_name)
        return Clicked(found) if isinstance(found, Command) else found  # git's is a group

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``check`` in front of everything that does not begin with a command or a group option."""
        if ctx.resilient_parsing and not args:
            return super().parse_args(ctx, args)  # a shell asks what the first word could be
        if not args or (args[0] not in COMMANDS and args[0] not in OWN_OPTIONS):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands, and what the default one takes."""
        check = self.get_command(ctx, DEFAULT)
        found = super().shell_complete(ctx, incomplete)
        if check is None:
            return found
        own = click.Context(check, parent=ctx, info_name=DEFAULT, resilient_parsing=True)
        paths = [] if found or incomplete.startswith("-") else _completing(ARTIFACTS)(own, check.params[0], incomplete)
        return [*found, *check.shell_complete(own, incomplete), *paths]

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for index, usage in enumerate(text("usages.txt").splitlines()):
            formatter.write_usage(ctx.command_path, usage, prefix="       " if index else None)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write examples, the commands, and the options of the one that can be left out."""
        with formatter.section("Examples"):
            formatter.write(text("examples.txt"))
        self.format_commands(ctx, formatter)
        check = self.get_command(ctx, DEFAULT)
        if check is not None:
            check.format_options(click.Context(check, parent=ctx, info_name=DEFAULT), formatter)
        with formatter.section("Version"):
            formatter.write_dl([("-V, --version", "Show the version and exit.")])


@click.group(cls=DefaultGroup, context_settings=CONTEXT)
@click.version_option(__version__, "-V", "--version", prog_name="graphlint", message="%(prog)s %(version)s")
def app() -> None:
    """A linter and fixer for exported PyTorch programs (.pt2): finds what keeps a graph from being functional."""
