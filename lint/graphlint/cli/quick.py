"""A plain ``check`` without click, which takes a tenth of the time of a small one to load.

What is not plain is left to click: other commands, help, whatever does not fit. So there is one place that says what is
wrong with arguments.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

from graphlint.artifact.errors import ConfigError
from graphlint.cli.commands import COMMANDS, DEFAULT, OWN_OPTIONS, Command, Option
from graphlint.cli.console import UsageError


def status_of(arguments: Sequence[str]) -> int | None:
    """Run what the arguments of the command line ask for; the exit status, None where click has to look at them."""
    if sys.platform == "win32" or "_GRAPHLINT_COMPLETE" in os.environ:  # patterns are click's there; a shell asks
        return None
    word = arguments[0] if arguments else DEFAULT
    if word != DEFAULT and (word in (*COMMANDS, *OWN_OPTIONS) or (word.isalpha() and not os.path.exists(word))):
        return None
    from graphlint.cli.check import check

    parameters = parsed(check, arguments[1:] if arguments[:1] == [DEFAULT] else arguments)
    try:
        return None if parameters is None else check.run(parameters)
    except UsageError:
        return None


def parsed(command: Command, words: Sequence[str]) -> dict[str, Any] | None:
    """The parameters of a command that takes paths, as click gives them; None where it has to look at the words."""
    options = command.options
    found = {one.parameter: one.default for one in options}
    for one in options:
        said = os.environ.get(one.kind["env"]) if "env" in one.kind else None
        if said and ("several" in one.kind or ("flag" in one.kind and said != "1")):
            return None
        if said:
            found[one.parameter] = True if "flag" in one.kind else _value(one, said)
    by_name = {name: one for one in options for name in one.names}
    left = list(reversed(words))
    paths: list[str] = []
    while left:
        word = left.pop()
        if word == "--":
            paths += reversed(left)
            break
        if word == "-" or not word.startswith("-"):
            paths.append(word)
            continue
        name, equals, given = word.partition("=")
        turned_off = name.startswith("--no-") and "switch" in _kind(by_name.get(f"--{name.removeprefix('--no-')}"))
        option = by_name.get(f"--{name.removeprefix('--no-')}" if turned_off else name)
        if option is None or (equals and not name.startswith("--")):
            return None
        if not option.kind.keys().isdisjoint(("flag", "switch")):
            if equals:
                return None
            found[option.parameter] = not turned_off
            continue
        if not equals and (not left or left[-1].startswith("-")):
            return None
        value = _value(option, given if equals else left.pop())
        if value is None:
            return None
        found[option.parameter] = (*found[option.parameter], value) if "several" in option.kind else value
    try:
        for one in options:
            more = command.more.get(" ".join(one.names))
            if more is not None and more.check is not None:
                more.check(found[one.parameter])
    except ConfigError:
        return None
    return {command.arguments[0].name: tuple(paths), **found}


def _kind(option: Option | None) -> Any:
    return {} if option is None else option.kind


def _value(option: Option, given: str) -> Any:
    """What a word stands for; None where it cannot stand there."""
    if "choices" in option.kind:
        return given if given in option.kind["choices"].split(",") else None
    if "least" in option.kind:
        return int(given) if given.isascii() and given.isdecimal() and int(given) >= int(option.kind["least"]) else None
    return given
