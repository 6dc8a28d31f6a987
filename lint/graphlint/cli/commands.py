"""Commands as they are declared: a function, its arguments, and the options that the table has for it. No command line
is parsed here: :mod:`graphlint.cli.quick` and :mod:`graphlint.cli.clicked` do that.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple

from graphlint.cli.console import Console, UsageError

COMMANDS: Final = (
    *("check", "restore", "baseline", "clean", "rule", "rules", "target", "targets", "show", "diff", "git", "verify"),
    "completion",
)
"""Each has a module of its name, which is loaded only when it runs."""
DEFAULT: Final = "check"
OWN_OPTIONS: Final = ("--version", "-V", "--help", "-h")
HEADING: Final = "Options"
"""Where there is no other."""


def module_of(command: str) -> str:
    """The module that a command is in."""
    return f"graphlint.cli.{'rules' if command in ('rule', 'target', 'targets') else command}"


def text(name: str) -> str:
    """A file of the folder ``help``."""
    with open(os.path.join(os.path.dirname(__file__), "help", name), encoding="utf-8") as file:
        return file.read()


class Completing(NamedTuple):
    """What a shell completes a word by."""

    known: Callable[[], Iterable[tuple[str, str | None]]]
    """The words, each with what it means."""
    separator: str = ""
    """Between several in one word, of which the last one is completed."""


ARTIFACTS: Final = Completing(tuple)
"""Files and folders, which the shell knows best."""


class Argument(NamedTuple):
    """An argument that is no option: a path or, where there are ``choices``, one of these words."""

    name: str
    metavar: str | None = None
    required: bool = True
    several: bool = False
    choices: tuple[str, ...] = ()
    complete: Completing | None = None


class Option(NamedTuple):
    """A row of ``help/options.tsv``, whose header tells what its kind can be."""

    heading: str
    names: tuple[str, ...]
    """All ways to write it, but for the ``--no-name`` of a switch."""
    parameter: str
    kind: Mapping[str, str]
    """What its kind says, and what that is where it says more."""
    help: str

    @property
    def default(self) -> Any:
        """What it is where it is not given."""
        if "several" in self.kind:
            return ()
        if "switch" in self.kind:
            return True if "default" in self.kind else None
        return False if "flag" in self.kind else self.kind.get("default")


class More(NamedTuple):
    """What the table does not say of an option."""

    help: Callable[[], str] | None = None
    check: Callable[[Any], object] | None = None
    """Raises ConfigError for a value that it cannot have."""
    complete: Completing | None = None


class Command(NamedTuple):
    """A command. Its function is given a console and returns the exit status."""

    function: Callable[..., int]
    arguments: tuple[Argument, ...]
    more: Mapping[str, More]
    """By the names of the option."""

    @property
    def options(self) -> list[Option]:
        """In the order of the table."""
        return [option for commands, option in _table() if self.function.__name__ in commands]

    def run(self, parameters: Mapping[str, Any]) -> int:
        """The exit status. What goes wrong is a message, never a traceback. Raises UsageError."""
        quiet, verbose = parameters.get("quiet", False), parameters.get("verbose", False)
        if quiet and verbose:
            raise UsageError("--quiet and --verbose cannot be used together.")
        console = Console(parameters.get("color", "auto"), quiet=quiet, verbose=verbose)
        return console.status_of(lambda: self.function(console, **parameters))


def command(*arguments: Argument, more: Mapping[str, More] = {}) -> Callable[[Callable[..., int]], Command]:
    """A command with these arguments, and with the options that the table has for the name of the function."""
    return lambda function: Command(function, arguments, more)


@cache
def _table() -> list[tuple[list[str], Option]]:
    lines = (line.split("\t") for line in text("options.tsv").splitlines() if not line.startswith("#"))
    return [(commands.split(","), _option(*row)) for commands, *row in lines]


def _option(heading: str, words: str, kind: str, said: str) -> Option:
    names = tuple(word for word in words.split() if word.startswith("-"))
    parameter = words.rsplit(maxsplit=1)[-1].lstrip("-").replace("-", "_")
    return Option(heading or HEADING, names, parameter, dict(one.partition("=")[::2] for one in kind.split(" ")), said)


def _codes() -> Iterable[tuple[str, str]]:
    from graphlint.rules.registry import RULES

    return ((rule.code, rule.name) for rule in RULES)


def _targets() -> Iterable[tuple[str, str]]:
    from graphlint.rules.targets.model import all_targets

    return ((target.name, target.title) for target in all_targets())


COMPLETIONS: Final = {"rules": Completing(_codes, ","), "targets": Completing(_targets, ",")}
"""What the table calls them."""
