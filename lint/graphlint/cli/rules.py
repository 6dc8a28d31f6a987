"""``graphlint rule``, ``rules``, ``target`` and ``targets``: what a rule flags, what a consumer takes; all of them."""

from collections.abc import Sequence
from typing import Any

from graphlint.cli import session
from graphlint.cli.commands import COMPLETIONS, Argument, Completing, command
from graphlint.cli.console import Console
from graphlint.report.formats.escaping import encode
from graphlint.rules import documentation
from graphlint.rules.base import Rule
from graphlint.rules.registry import RULES
from graphlint.rules.selection import find_rule
from graphlint.rules.targets.documentation import described, explain
from graphlint.rules.targets.model import Target, all_targets, load_target

_RULES = Completing(lambda: (pair for one in RULES for pair in ((one.code, one.name), (one.name, one.summary))))


@command(Argument("rule", "[CODE|NAME]", required=False, complete=_RULES))
def rule(console: Console, /, rule: str | None, output_format: str) -> int:
    """Explain a rule; list them all if none is given."""
    as_json = output_format == "json"
    if rule is None:
        console.out(encode([documentation.described(one) for one in RULES]) if as_json else _list(RULES))
    else:
        chosen = find_rule(rule)
        console.out(encode(documentation.described(chosen)) if as_json else documentation.explain(chosen))
    return 0


@command()
def rules(console: Console, /, output_format: str) -> int:
    """List all rules; `graphlint rule CODE` explains one."""
    return rule.function(console, rule=None, output_format=output_format)


@command(Argument("target", "[NAME]", required=False, complete=COMPLETIONS["targets"]))
def target(console: Console, /, target: str | None, output_format: str, **options: Any) -> int:
    """Explain a target; list them all if none is given.

    Targets are those that graphlint ships, and those of the configuration.
    """
    own, as_json = session.resolver_for(options).run.targets, output_format == "json"
    if target is None:
        known = all_targets(own)
        console.out(encode([described(one) for one in known]) if as_json else _titles(known))
    else:
        chosen = load_target(target, own)
        console.out(encode(described(chosen)) if as_json else explain(chosen))
    return 0


@command()
def targets(console: Console, /, **options: Any) -> int:
    """List all targets; `graphlint target NAME` explains one."""
    return target.function(console, target=None, **options)


def _list(rules: Sequence[Rule]) -> str:
    width = max(len(rule.name) for rule in rules)
    lines = [f"{rule.code}  {rule.name:<{width}}  {_marks(rule)}  {rule.summary}" for rule in rules]
    legend = "on: enabled by default.  [*]: fixed by --fix, [!]: by --fix with one more option, [ ]: not fixable."
    return "\n".join([*lines, "", legend]) + "\n"


def _marks(rule: Rule) -> str:
    mark = "!" if rule.option else {"safe": "*", "unsafe": "!", "none": " "}[rule.fix]
    return f"{'on ' if rule.enabled_by_default else 'off'}  [{mark}]"


def _titles(targets: Sequence[Target]) -> str:
    width = max(len(one.name) for one in targets)
    return "".join(f"{one.name:<{width}}  {one.title}\n" for one in targets)
