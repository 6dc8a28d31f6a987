"""The options of the commands, as the table in ``help/options.tsv`` has them, and what a plain command line says.

Whoever mistypes an option is told so by what is here and Python: nothing else is loaded before.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing takes longer to load than what is here
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

COMMANDS = (
    *("init", "check", "restore", "baseline", "clean", "rule", "rules", "target", "targets", "show", "diff", "git"),
    *("verify", "completion"),
)
"""Each has a module of its name, which is loaded only when it runs."""
DEFAULT = "check"
OWN_OPTIONS = ("--version", "-V", "--help", "-h")
HEADING = "Options"
"""Where there is no other."""


class UsageError(Exception):
    """Options or arguments that do not fit, or do not go together. ``command`` is the one whose help tells more."""

    def __init__(self, text: str, command: str = f"graphlint {DEFAULT}") -> None:
        super().__init__(text)
        self.command = command

    @property
    def told(self) -> str:
        """What is said of it, in one line."""
        text = str(self).rstrip(".")
        return f"{text[:1].lower()}{text[1:]} (see `{self.command} --help`)"


class Option:
    """A row of ``help/options.tsv``, whose header tells what its kind can be."""

    def __init__(self, heading: str, words: str, kind: str, said: str) -> None:
        self.heading = heading or HEADING
        self.names = tuple(word for word in words.split() if word.startswith("-"))
        """All ways to write it, but for the ``--no-name`` of a switch."""
        self.parameter = words.rsplit(maxsplit=1)[-1].lstrip("-").replace("-", "_")
        self.kind: Mapping[str, str] = dict(one.partition("=")[::2] for one in kind.split(" "))
        """What its kind says, and what that is where it says more."""
        self.off = f"--no-{self.names[0].removeprefix('--')}" if "switch" in self.kind else None
        """What turns a switch off."""
        self.help = said

    @property
    def default(self) -> Any:
        """What it is where it is not given."""
        if "several" in self.kind:
            return ()
        if "switch" in self.kind:
            return True if "default" in self.kind else None
        return False if "flag" in self.kind else self.kind.get("default")

    @property
    def is_bare(self) -> bool:
        """Whether it takes no value."""
        return "flag" in self.kind or "switch" in self.kind

    def value(self, given: str) -> Any:
        """What a word stands for. Raises UsageError where it cannot stand there."""
        from graphlint.artifact.errors import did_you_mean

        if "choices" in self.kind and given not in (choices := self.kind["choices"].split(",")):
            hint = did_you_mean(given, choices)
            raise self.wrong(f"unknown value {given!r}, expected one of {', '.join(choices)}{hint}")
        if "least" not in self.kind:
            return given
        least = int(self.kind["least"])
        try:
            number = int(given)
        except ValueError:
            number = least - 1
        if number < least:
            raise self.wrong(f"expected a number of at least {least}, found {given!r}")
        return number

    def wrong(self, problem: str) -> UsageError:
        """What is said of its value."""
        return UsageError(f"invalid value for '{max(self.names, key=len)}': {problem}")


_OPTIONS: dict[str, list[Option]] = {}


def options_of(command: str) -> list[Option]:
    """The options of a command, in the order of the table."""
    if not _OPTIONS:
        for line in text("options.tsv").splitlines():
            if not line.startswith("#"):
                commands, *row = line.split("\t")
                option = Option(*row)
                for name in commands.split(","):
                    _OPTIONS.setdefault(name, []).append(option)
    return _OPTIONS.get(command, [])


def text(name: str) -> str:
    """A file of the folder ``help``."""
    with open(os.path.join(os.path.dirname(__file__), "help", name), encoding="utf-8") as file:
        return file.read()


def read(words: Sequence[str]) -> tuple[list[str], dict[str, Any]] | None:
    """The paths and the options of a ``check``; None where click has to look at the words: of another command, for
    help, or where they are not plain.

    Raises UsageError, of other commands for options that they do not have.
    """
    word = words[0] if words else DEFAULT
    if word in OWN_OPTIONS or "_GRAPHLINT_COMPLETE" in os.environ:  # a shell asks
        return None
    if word in COMMANDS and word != DEFAULT:
        _check_names(word, words[1:])
        return None
    _check_command(word)
    found = read_check(words[1:] if words[:1] == [DEFAULT] else words)
    return None if sys.platform == "win32" else found  # where click takes patterns apart, which no shell does


def read_check(words: Sequence[str]) -> tuple[list[str], dict[str, Any]] | None:
    """The same of a ``check`` whose name is left out."""
    options = options_of(DEFAULT)
    found = {one.parameter: one.default for one in options}
    for one in options:
        said = os.environ.get(one.kind["env"]) if "env" in one.kind else None
        if said and ("several" in one.kind or ("flag" in one.kind and said != "1")):
            return None
        if said:
            try:
                found[one.parameter] = True if "flag" in one.kind else one.value(said)
            except UsageError:  # which is about the variable
                return None
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
        option, turned_off = _named(name, options)
        if name in OWN_OPTIONS or not (option or name.startswith("--")) or (equals and not name.startswith("--")):
            return None
        if option is None:
            raise _unknown(name, DEFAULT)
        if option.is_bare:
            if equals:
                raise UsageError(f"option '{name}' does not take a value")
            found[option.parameter] = not turned_off
            continue
        if not equals and not left:
            raise UsageError(f"option '{name}' requires an argument")
        if not equals and left[-1].startswith("-"):
            return None
        value = option.value(given if equals else left.pop())
        found[option.parameter] = (*found[option.parameter], value) if "several" in option.kind else value
    return paths, found


def _named(name: str, options: Sequence[Option]) -> tuple[Option | None, bool]:
    """The option of that name, and whether it is a switch that is turned off."""
    for one in options:
        if name in one.names:
            return one, False
        if name == one.off:
            return one, True
    return None, False


def _unknown(name: str, command: str) -> UsageError:
    from graphlint.artifact.errors import did_you_mean

    spelled = (name for one in options_of(command) for name in (*one.names, one.off) if name is not None)
    known = [*OWN_OPTIONS, *spelled]
    return UsageError(f"no such option '{name}'{did_you_mean(name, known)}", f"graphlint {command}")


def _check_names(command: str, words: Sequence[str]) -> None:
    """Raises UsageError for an option that the command does not have."""
    options = options_of(command)
    left = list(reversed(words)) if options else []
    while left and (word := left.pop()) not in ("--", *OWN_OPTIONS):
        name, equals, _ = word.partition("=")
        option, _ = _named(name, options)
        if option is None and name.startswith("--"):
            raise _unknown(name, command)
        if option is not None and not option.is_bare and not equals and left:
            left.pop()


def _check_command(word: str) -> None:
    """A first word that is no file and nearly a command was meant as one."""
    if word not in COMMANDS and word.isalpha() and not os.path.exists(word):
        import difflib

        # `graphlint fix model.pt2`, as other tools have it
        flags = {one.names[0] for one in options_of(DEFAULT) if "flag" in one.kind}
        near = [f"--{word}"] if f"--{word}" in flags else difflib.get_close_matches(word, COMMANDS, n=1, cutoff=0.7)
        if near:
            raise UsageError(f"no file, folder or command '{word}'; did you mean '{near[0]}'?", "graphlint")
