"""What the commands share: how they end, their options, help texts under headings, completion."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from graphlint.cli.console import Console

HEADING: Final = "Options"
"""Where there is no other."""
CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def text(name: str) -> str:
    """A file of the folder ``help``."""
    with open(os.path.join(os.path.dirname(__file__), "help", name), encoding="utf-8") as file:
        return file.read()


class Option(click.Option):
    """An option, by its row in ``help/options.tsv``, whose header tells what its kind can be. ``help`` may be a
    function, which is called when it is asked for.
    """

    def __init__(self, heading: str, names: str, kind: str, help: str | Callable[[], str], **more: Any) -> None:  # noqa: A002
        said = dict(word.partition("=")[::2] for word in kind.split(" "))
        attributes: dict[str, Any] = {"multiple": "several" in said}
        if "flag" in said:
            attributes["is_flag"] = True
        if "switch" in said:
            names = f"{names}/--no-{names.removeprefix('--')}"
            attributes["default"] = "default" in said or None
        elif "default" in said:
            attributes["default"] = said["default"]
        if "choices" in said:
            attributes["type"] = click.Choice(said["choices"].split(","))
        if "path" in said:
            attributes |= {"type": click.UNPROCESSED, "metavar": "FILE"}
        if "least" in said:
            attributes |= {"type": click.IntRange(min=int(said["least"])), "metavar": "N"}
        if "metavar" in said:
            attributes["metavar"] = said["metavar"]
        if "env" in said:
            attributes |= {"envvar": said["env"], "show_envvar": True}
        if "complete" in said:
            attributes["shell_complete"] = COMPLETIONS[said["complete"]]
        super().__init__(names.split(), **attributes, **more)
        self.heading = heading
        self._said = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = self._said if isinstance(self._said, str) else self._said()
        return super().get_help_record(ctx)


class Command(click.Command):
    """A command whose function is given a console and returns the exit status. Its ``--help`` shows the options under
    headings, in the order of the table.
    """

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and exit. What goes wrong is a message, never a traceback."""
        quiet, verbose = ctx.params.get("quiet", False), ctx.params.get("verbose", False)
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose cannot be used together.", ctx)
        ctx.obj = Console(ctx.params.get("color", "auto"), quiet=quiet, verbose=verbose)
        with ctx.obj.failures():
            ctx.exit(super().invoke(ctx))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        heading, sections = HEADING, dict[str, list[tuple[str, str]]]()
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


def command(
    *parameters: click.Parameter, more: Mapping[str, Mapping[str, Any]] = {}, **attributes: Any
) -> Callable[[Callable[..., int]], Command]:
    """A command with these arguments, and with the options that the table has for the name of the function, which gets
    the console first. ``more`` is what the table does not say of an option, by its names.
    """

    def decorate(function: Callable[..., int]) -> Command:
        rows = (row[1:] for row in _table() if function.__name__ in row[0].split(","))
        options = [
            Option(heading or HEADING, names, kind, **{"help": said, **more.get(names, {})})
            for heading, names, kind, said in rows
        ]
        made = click.command(cls=Command, params=[*parameters, *options], context_settings=CONTEXT, **attributes)
        return made(click.pass_obj(function))

    return decorate


@cache
def _table() -> list[list[str]]:
    return [line.split("\t") for line in text("options.tsv").splitlines() if not line.startswith("#")]


def argument(name: str, **attributes: Any) -> click.Argument:
    """A path or, unless another type is given, any text."""
    return click.Argument([name], **{"type": click.UNPROCESSED, **attributes})


def completing(known: Callable[[], Iterable[tuple[str, str | None]]], separator: str = "") -> Completion:
    """Completes a word by those in ``known``, each with what it means; with a ``separator`` the last of several."""

    def complete(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before = incomplete[: incomplete.rfind(separator) + 1] if separator else ""
        begin = incomplete.removeprefix(before).lower()
        return [CompletionItem(before + word, help=said) for word, said in known() if word.lower().startswith(begin)]

    return complete


def complete_artifacts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, which the shell knows best."""
    return [CompletionItem(incomplete, type="file")]


def _codes() -> Iterable[tuple[str, str]]:
    from graphlint.rules.registry import RULES

    return ((rule.code, rule.name) for rule in RULES)


def _targets() -> Iterable[tuple[str, str]]:
    from graphlint.rules.targets.model import all_targets

    return ((target.name, target.title) for target in all_targets())


complete_targets = completing(_targets, ",")
COMPLETIONS: Final = {"rules": completing(_codes, ","), "targets": complete_targets}
