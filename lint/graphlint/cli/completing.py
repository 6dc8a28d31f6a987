"""What a shell offers for the arguments of options, where ``graphlint completion`` is set up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def artifacts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files and folders, which the shell knows best."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


def selectors(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes of rules, the last of a comma-separated list."""
    from graphlint.rules.registry import RULES

    return _last_of_list(((rule.code, rule.name) for rule in RULES), incomplete)


def rules(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes and names of rules."""
    from click.shell_completion import CompletionItem

    from graphlint.rules.registry import RULES

    known = [pair for rule in RULES for pair in ((rule.code, rule.name), (rule.name, rule.summary))]
    return [CompletionItem(text, help=said) for text, said in known if text.lower().startswith(incomplete.lower())]


def targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of targets, the last of a comma-separated list."""
    from graphlint.rules.targets.model import NAMES, load_target

    return _last_of_list(((name, load_target(name).title) for name in NAMES), incomplete)


def _last_of_list(known: Iterable[tuple[str, str]], incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{text}", help=said)
        for text, said in known
        if text.lower().startswith(last.lower())
    ]
