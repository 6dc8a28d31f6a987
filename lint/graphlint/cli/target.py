"""``graphlint target``: what a consumer takes, and what ``--fix`` does for it."""

from __future__ import annotations

import click

from graphlint.cli.console import Console
from graphlint.cli.options import JSON, command, complete_targets


@command(click.argument("target", metavar="[NAME]", required=False, shell_complete=complete_targets), JSON)
def target(console: Console, /, target: str | None, output_format: str) -> int:
    """Explain a target; list them all if none is given."""
    from graphlint.rules.registry import RULES
    from graphlint.rules.targets import documentation
    from graphlint.rules.targets.model import all_targets, load_target

    chosen = all_targets() if target is None else [load_target(target)]
    if output_format == "json":
        from graphlint.report.formats.escaping import encode

        described = [documentation.described(one, RULES) for one in chosen]
        console.out(encode(described if target is None else described[0]))
    elif target is None:
        width = max(len(one.name) for one in chosen)
        console.out("".join(f"{one.name:<{width}}  {one.title}\n" for one in chosen))
    else:
        console.out(documentation.explain(chosen[0], RULES))
    return 0
