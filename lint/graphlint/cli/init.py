"""``graphlint init``: the configuration of a project, and its hook for pre-commit, after asking."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from graphlint.artifact.errors import ConfigError
from graphlint.cli.commands import command
from graphlint.cli.console import Console, write_report
from graphlint.cli.options import UsageError
from graphlint.rules.selection import split_selectors
from graphlint.rules.settings import COMMAND_LINE, wrong
from graphlint.rules.targets.model import all_targets, profile_of
from graphlint.run.config import Configuration
from graphlint.run.resolution import Resolver
from graphlint.run.setup import EVERYWHERE, HOOKS, HOOKS_FILE, present_hook, with_hook, with_keys

_NONE: Final = "none"
_FILES: Final = (".graphlint.toml", "graphlint.toml")
_PROJECT: Final = "pyproject.toml"


@command()
def init(
    console: Console,
    /,
    target: Sequence[str],
    artifacts: Sequence[str],
    source_roots: Sequence[str],
    hook: str | None,
) -> int:
    """Set graphlint up in the current folder.

    That is what its artifacts are for, and a hook for pre-commit.

    At a terminal it asks for what no option says. It writes [tool.graphlint] into pyproject.toml (or graphlint.toml
    where there is no such file) and the hook into .pre-commit-config.yaml. What stands there stays; what it cannot
    merge it refuses, and writes nothing. Running it again changes nothing.
    """
    known = Resolver(Configuration()).run
    own, present = known.targets, ",".join(known.said.target or ())

    def targets(text: str) -> tuple[str, ...]:
        names = split_selectors([text])
        profile_of(names, own)
        for name in names:
            if name in own and elsewhere:
                raise ConfigError(f"the target {name} is one of {known.origin}: run init in that folder")
        return names

    elsewhere = bool(known.origin) and os.path.dirname(known.origin) != os.getcwd()
    asking = _Asking(console)
    if target:
        try:
            chosen = targets(",".join(target))
        except ConfigError as error:
            raise wrong(COMMAND_LINE, "target", str(error)) from None
    elif asking.possible:
        width = max(len(one.name) for one in all_targets(own))
        console.out("What are the artifacts for? No form suits all consumers.\n")
        console.out("".join(f"  {one.name:<{width}}  {one.title}\n" for one in all_targets(own)))
        chosen = asking.answer("Target (comma-separated)", present or "functional", targets)
    elif present:
        chosen = targets(present)
    else:
        names = ", ".join(one.name for one in all_targets(own))
        raise UsageError(f"not a terminal: pass --target, one of {names}.")
    globs = split_selectors(artifacts) or asking.answer("Artifacts", EVERYWHERE, lambda text: split_selectors([text]))
    roots = _folders(",".join(source_roots))
    if not source_roots:
        roots = asking.answer("Folders of the model's source", "src" if os.path.isdir("src") else "", _folders)
    there = present_hook(_read(HOOKS_FILE)) or HOOKS[0]
    chosen_hook = hook or asking.answer(f"Hook for pre-commit ({', '.join((*HOOKS, _NONE))})", there, _hook)
    path = next((name for name in _FILES if os.path.exists(name)), _PROJECT if os.path.exists(_PROJECT) else _FILES[1])
    values = {
        "target": chosen[0] if len(chosen) == 1 else list(chosen),
        **({"source-roots": list(roots)} if roots else {}),
    }
    changes = {path: with_keys(_read(path) or "", path, path == _PROJECT, values)}
    if chosen_hook != _NONE:
        changes[HOOKS_FILE] = with_hook(_read(HOOKS_FILE), chosen_hook, globs)
    if elsewhere:
        console.note(f"{known.origin} no longer applies in this folder, which has its own configuration now")
    for name, text in changes.items():
        changed = text != _read(name)
        if changed:
            write_report(name, text)
        console.out(f"{name}: {'written' if changed else 'already up to date'}\n")
    shown = " ".join(f"'{one}'" for one in globs if one != EVERYWHERE)
    console.out(f"Next: run `graphlint{f' {shown}' if shown else ''}`, then `graphlint --fix`.\n")
    if chosen_hook != _NONE:
        console.out("Run `pre-commit install` to run the hook on every commit.\n")
    return 0


class _Asking:
    """Questions at a terminal; without one, the answer is the default."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.possible = sys.stdin.isatty() and sys.stdout.isatty()

    def answer(self, question: str, default: str, understood: Callable[[str], Any]) -> Any:
        """What is answered, once it is understood."""
        import click

        while True:
            text = default
            if self.possible:
                try:
                    text = click.prompt(question, default=default, show_default=bool(default))
                except click.Abort:  # control-C, or the end of the input
                    raise KeyboardInterrupt from None
            try:
                return understood(text.strip())
            except ConfigError as error:
                if not self.possible:
                    raise
                self._console.error(str(error))


def _folders(text: str) -> tuple[str, ...]:
    names = split_selectors([text])
    for name in names:
        if not os.path.isdir(name):
            raise ConfigError(f"source-roots: there is no folder {name}")
    return names


def _hook(text: str) -> str:
    if text not in (*HOOKS, _NONE):
        raise ConfigError(f"there is no hook '{text}'; there are {', '.join((*HOOKS, _NONE))}")
    return text


def _read(path: str) -> str | None:
    """The text of a file, with its line ends; None where there is none."""
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            return stream.read()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
