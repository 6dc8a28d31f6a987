"""Commands as they are declared: a function, its arguments, and the options that the table has for it. No command line
is parsed here: :mod:`graphlint.cli.options` and :mod:`graphlint.cli.clicked` do that.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from graphlint.cli.console import Console
from graphlint.cli.options import Option, UsageError, options_of


class Completing(msgspec.Struct, frozen=True):
    """What a shell completes a word by."""

    known: Callable[[], Iterable[tuple[str, str | None]]]
    """The words, each with what it means."""
    separator: str = ""
    """Between several in one word, of which the last one is completed."""


ARTIFACTS: Final = Completing(tuple)
"""Files and folders, which the shell knows best."""


class Argument(msgspec.Struct, frozen=True):
    """An argument that is no option: a path or, where there are ``choices``, one of these words."""

    name: str
    metavar: str | None = None
    required: bool = True
    several: bool = False
    choices: tuple[str, ...] = ()
    complete: Completing | None = None


class More(msgspec.Struct, frozen=True):
    """What the table does not say of an option."""

    help: Callable[[], str] | None = None
    check: Callable[[Any], object] | None = None
    """Raises ConfigError for a value that it cannot have."""
    complete: Completing | None = None


class Command(msgspec.Struct, frozen=True):
    """A command. Its function is given a console and returns the exit status."""

    function: Callable[..., int]
    arguments: tuple[Argument, ...]
    more: Mapping[str, More]
    """By the names of the option."""

    @property
    def options(self) -> list[Option]:
        """In the order of the table."""
        return options_of(self.function.__name__)

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


def _codes() -> Iterable[tuple[str, str]]:
    from graphlint.rules.registry import RULES

    return ((rule.code, rule.name) for rule in RULES)


def _targets() -> Iterable[tuple[str, str]]:
    from graphlint.artifact.errors import ConfigError
    from graphlint.rules.targets.model import all_targets
    from graphlint.run.config import Configuration
    from graphlint.run.resolution import Resolver

    try:
        own = Resolver(Configuration()).run.targets
    except ConfigError:  # which is told when the command runs
        own = {}
    return ((target.name, target.title) for target in all_targets(own))


COMPLETIONS: Final = {"rules": Completing(_codes, ","), "targets": Completing(_targets, ",")}
"""What the table calls them."""
