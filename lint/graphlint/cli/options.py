"""What the commands share: how they end, help texts under headings, options that several of them have, completion."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from graphlint.cli.console import Console

CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class Option(click.Option):
    """An option whose ``help`` may be a function, which is called when it is asked for."""

    def __init__(self, *args: Any, help: str | Callable[[], str], **attributes: Any) -> None:  # noqa: A002
        super().__init__(*args, **attributes)
        self._said = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = self._said if isinstance(self._said, str) else self._said()
        return super().get_help_record(ctx)


class Command(click.Command):
    """A command whose function is given a console and returns the exit status. Its ``--help`` shows the options under
    headings, in the order in which they were declared.
    """

    headings: Mapping[str | None, str] = {}
    """Each by the name of the first option under it."""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and exit. What goes wrong is a message, never a traceback."""
        quiet, verbose = ctx.params.get("quiet", False), ctx.params.get("verbose", False)
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose cannot be used together.", ctx)
        ctx.obj = Console(ctx.params.get("color", "auto"), quiet=quiet, verbose=verbose)
        with ctx.obj.failures():
            ctx.exit(super().invoke(ctx))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        heading, sections = "Options", dict[str, list[tuple[str, str]]]()
        for parameter in self.get_params(ctx):
            heading = self.headings.get(parameter.name, heading)
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):  # arguments are in the usage line already
                sections.setdefault(heading, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def command(*parameters: str | click.Parameter, **attributes: Any) -> Callable[[Callable[..., int]], Command]:
    """A command with these arguments and options; a text among them is the heading of what follows. The function gets
    the console first.
    """

    def decorate(function: Callable[..., int]) -> Command:
        params = [one for one in parameters if not isinstance(one, str)]
        made = click.command(cls=Command, params=params, context_settings=CONTEXT, **attributes)(
            click.pass_obj(function)
        )
        pairs = pairwise(parameters)
        made.headings = {one.name: said for said, one in pairs if isinstance(said, str) and not isinstance(one, str)}
        return made

    return decorate


def option(names: str, text: str | Callable[[], str], **attributes: Any) -> Option:
    """An option; ``names`` may end in that of the parameter."""
    return Option(names.split(), help=text, **attributes)


def argument(name: str, **attributes: Any) -> click.Argument:
    """A path or, unless another type is given, any text."""
    return click.Argument([name], **{"type": click.UNPROCESSED, **attributes})


def switch(name: str, text: str, *, default: bool | None = None) -> Option:
    """``--name`` and ``--no-name``; None stands for neither."""
    return option(f"--{name}/--no-{name}", text, default=default)


def choice(names: str, choices: str, text: str, **attributes: Any) -> Option:
    """An option that takes one of the words in ``choices``."""
    return option(names, text, type=click.Choice(choices.split()), **attributes)


flag = partial(option, is_flag=True)
path = partial(option, metavar="FILE", type=click.UNPROCESSED)
quiet = partial(flag, "-q --quiet")
verbose = partial(flag, "-v --verbose")


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


def rules(target: str | Callable[[], str]) -> tuple[str | Option, ...]:
    """Which rules are on; ``target`` is the help of ``--target``."""
    codes = partial(option, multiple=True, metavar="RULES", shell_complete=completing(_codes, ","))
    return (
        "Rule selection",
        codes("--select", "Enable only these rules (comma-separated, or ALL)."),
        codes("--ignore", "Disable these rules."),
        codes("--extend-select", "Enable these rules, too."),
        option("--target", target, multiple=True, metavar="NAME", shell_complete=complete_targets),
    )


_patterns = partial(option, multiple=True, metavar="PATTERNS")
FILES: Final = (
    "File selection",
    _patterns("--exclude", "Leave out what matches, in place of the defaults."),
    _patterns("--extend-exclude", "Leave out what matches, too."),
)
FORCE_EXCLUDE: Final = switch("force-exclude", "Leave out what is excluded even when it is named on the command line.")
COLOR: Final = choice(
    "--color",
    "auto always never",
    "When to use colours; auto: on a terminal, unless NO_COLOR or FORCE_COLOR say otherwise.",
    default="auto",
)
JSON: Final = ("Output", choice("--output-format", "text json", "text by default.", default="text"))
CONFIGURATION: Final = (
    path(
        "--config",
        "Use this configuration file, or override one setting with TOML.",
        metavar="FILE|KEY=VALUE",
        multiple=True,
    ),
    flag("--isolated", "Ignore all configuration files."),
)


def provenance(done: str) -> Option:
    """``--provenance``; ``done`` says what is recorded."""
    text = f"Record in the artifact, as its extra file graphlint.json, what was {done} (the default); or do not."
    return switch("provenance", text)


def loading(before: str = "With --verify: ") -> tuple[Option, ...]:
    """What is needed for torch to load an artifact; ``before`` begins the help."""
    trust = f"{before}{'l' if before else 'L'}oad artifacts whose code runs when they are loaded."
    first = f"{before}{'i' if before else 'I'}mport this first, since it registers custom ops or classes."
    return flag("--trust", trust), option("--import imports", first, multiple=True, metavar="MODULE")


def cache_folder(text: str) -> Option:
    return path("--cache-dir", text, metavar="FOLDER", envvar="GRAPHLINT_CACHE_DIR", show_envvar=True)
