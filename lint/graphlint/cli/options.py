"""What the commands share: how they end, help texts by section, options that several of them have, completion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import click

from graphlint.cli.console import Console

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

CONTEXT: Final = {"help_option_names": ["-h", "--help"]}
Decorator = Callable[[Any], Any]


class Option(click.Option):
    """An option that belongs under a heading."""

    def __init__(self, *args: Any, section: str, help: str | Callable[[], str], **attributes: Any) -> None:  # noqa: A002
        """A ``help`` that is a function is called when it is asked for."""
        super().__init__(*args, **attributes)
        self.section = section
        self._said = help

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        self.help = self._said if isinstance(self._said, str) else self._said()
        return super().get_help_record(ctx)


class Command(click.Command):
    """A command whose function is given a console and returns the exit status. Its ``--help`` shows the options by
    section, in the order in which they were declared.
    """

    examples = ""

    def invoke(self, ctx: click.Context) -> None:
        """Run the command and exit. What goes wrong is a message, never a traceback."""
        quiet, verbose = ctx.params.get("quiet", False), ctx.params.get("verbose", False)
        if quiet and verbose:
            raise click.UsageError("--quiet and --verbose cannot be used together.", ctx)
        ctx.obj = Console(ctx.params.get("color", "auto"), quiet=quiet, verbose=verbose)
        with ctx.obj.failures():
            ctx.exit(super().invoke(ctx))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        if self.examples:
            write_examples(self.examples, formatter)
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            # Arguments are in the usage line already; click's own --help has no section and goes with the last one.
            if record is not None and isinstance(parameter, click.Option):
                section = getattr(parameter, "section", None) or next(reversed(sections), "Options")
                sections.setdefault(section, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


def write_examples(examples: str, formatter: click.HelpFormatter) -> None:
    with formatter.section("Examples"):
        for line in examples.splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def command(*parameters: Decorator, **attributes: Any) -> Callable[[Callable[..., int]], Command]:
    """A command with these options and arguments. Its function gets the console first."""

    def decorate(function: Callable[..., int]) -> Command:
        function = click.pass_obj(function)
        for one in reversed(parameters):
            function = one(function)
        return click.command(cls=Command, context_settings=CONTEXT, **attributes)(function)

    return decorate


def option(section: str, names: str, text: str | Callable[[], str], **attributes: Any) -> Decorator:
    """An option under the heading ``section``; ``names`` may end in that of the parameter."""
    return click.option(*names.split(), cls=Option, section=section, help=text, **attributes)


flag = partial(option, is_flag=True)
path = partial(option, metavar="FILE", type=click.UNPROCESSED)
argument = partial(click.argument, type=click.UNPROCESSED)
"""For a path, or several."""


def switch(section: str, name: str, text: str, *, default: bool | None = None) -> Decorator:
    """``--name`` and ``--no-name``; None stands for neither."""
    return option(section, f"--{name}/--no-{name}", text, default=default)


def choice(section: str, names: str, choices: str, text: str, **attributes: Any) -> Decorator:
    """An option that takes one of the words in ``choices``."""
    return option(section, names, text, type=click.Choice(choices.split()), **attributes)


_REQUIRES_TORCH: Final = "The versions of torch to run in, such as '>=2.9': flag ops that one of them lacks (GL602)."


def rules(target: str | Callable[[], str]) -> tuple[Decorator, ...]:
    """Which rules are on; ``target`` is the help of ``--target``."""
    section, codes = "Rule selection", {"multiple": True, "metavar": "RULES", "shell_complete": complete_selectors}
    return (
        option(section, "--select", "Enable only these rules (comma-separated, or ALL).", **codes),
        option(section, "--ignore", "Disable these rules.", **codes),
        option(section, "--extend-select", "Enable these rules, too.", **codes),
        option(section, "--target", target, multiple=True, metavar="NAME", shell_complete=complete_targets),
        option(section, "--requires-torch", _REQUIRES_TORCH, metavar="SPECIFIER"),
    )


_patterns = partial(option, "File selection", multiple=True, metavar="PATTERNS")
FILES: Final = (
    _patterns("--exclude", "Leave out what matches, in place of the defaults."),
    _patterns("--extend-exclude", "Leave out what matches, too."),
)
FORCE_EXCLUDE: Final = switch(
    "File selection", "force-exclude", "Leave out what is excluded even when it is named on the command line."
)
COLOR: Final = choice(
    "Output",
    "--color",
    "auto always never",
    "When to use colours; auto: on a terminal, unless NO_COLOR or FORCE_COLOR say otherwise.",
    default="auto",
)
JSON: Final = choice("Output", "--output-format", "text json", "text by default.", default="text")


def configuration(section: str) -> tuple[Decorator, ...]:
    text = "Use this configuration file, or override one setting with TOML."
    return (
        path(section, "--config", text, metavar="FILE|KEY=VALUE", multiple=True),
        flag(section, "--isolated", "Ignore all configuration files."),
    )


def quiet(text: str, section: str = "Output") -> Decorator:
    return flag(section, "-q --quiet", text)


def verbose(text: str, section: str = "Output") -> Decorator:
    return flag(section, "-v --verbose", text)


def provenance(section: str, done: str) -> Decorator:
    """``--provenance``; ``done`` says what is recorded."""
    text = f"Record in the artifact, as its extra file graphlint.json, what was {done} (the default); or do not."
    return switch(section, "provenance", text)


def loading(section: str, before: str = "With --verify: ") -> tuple[Decorator, ...]:
    """What is needed for torch to load an artifact; ``before`` begins the help."""

    def said(words: str) -> str:
        return before + words if before else words.capitalize()

    trust = flag(section, "--trust", said("load artifacts whose code runs when they are loaded."))
    text = said("import this first, since it registers custom ops or classes.")
    return trust, option(section, "--import imports", text, multiple=True, metavar="MODULE")


def cache_folder(section: str, text: str) -> Decorator:
    return path(section, "--cache-dir", text, metavar="FOLDER", envvar="GRAPHLINT_CACHE_DIR", show_envvar=True)


def known_outputs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Check what ``--output-format`` is given, each ``FORMAT`` or ``FORMAT=FILE``; the values stay as spelled."""
    from graphlint.artifact.errors import ConfigError
    from graphlint.report.formats.registry import parse

    try:
        for value in values:
            parse(value)
    except ConfigError as error:
        raise click.BadParameter(str(error), ctx, parameter) from None
    return values


def complete_outputs(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from graphlint.report.formats.registry import FORMATS

    return _matching(((name, None) for name in FORMATS), incomplete)


def complete_artifacts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, which the shell knows best."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def complete_selectors(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes of rules, the last of a comma-separated list."""
    from graphlint.rules.registry import RULES

    return _matching(((rule.code, rule.name) for rule in RULES), incomplete, ",")


def complete_rules(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from graphlint.rules.registry import RULES

    known = (pair for rule in RULES for pair in ((rule.code, rule.name), (rule.name, rule.summary)))
    return _matching(known, incomplete)


def complete_targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of targets, the last of a comma-separated list."""
    from graphlint.rules.targets.model import all_targets

    return _matching(((target.name, target.title) for target in all_targets()), incomplete, ",")


def _matching(known: Iterable[tuple[str, str | None]], begin: str, separator: str = "") -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    before = begin[: begin.rfind(separator) + 1] if separator else ""
    begin = begin.removeprefix(before)
    return [CompletionItem(before + text, help=said) for text, said in known if text.lower().startswith(begin.lower())]
