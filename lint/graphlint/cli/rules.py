"""``graphlint rule``, ``rules``, ``target`` and ``targets``: what a rule flags, what a consumer takes."""

from collections.abc import Sequence

from graphlint.cli.commands import COMPLETIONS, Argument, Completing, command
from graphlint.cli.console import Console
from graphlint.report.formats.escaping import encode
from graphlint.rules import documentation
from graphlint.rules.base import Rule
from graphlint.rules.registry import RULES
from graphlint.rules.selection import find_rule
from graphlint.rules.targets import documentation as about_targets
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
def target(console: Console, /, target: str | None, output_format: str) -> int:
    """Explain a target; list them all if none is given."""
    as_json = output_format == "json"
    if target is None:
        console.out(
            encode([about_targets.described(one) for one in all_targets()]) if as_json else _titles(all_targets())
        )
    else:
        chosen = load_target(target)
        console.out(encode(about_targets.described(chosen)) if as_json else about_targets.explain(chosen))
    return 0


@command()
def targets(console: Console, /, output_format: str) -> int:
    """List all targets; `graphlint target NAME` explains one."""
    return target.function(console, target=None, output_format=output_format)


def _list(rules: Sequence[Rule]) -> str:
    width = max(len(rule.name) for rule in rules)
    lines = [f"{rule.code}  {rule.name:<{width}}  {_marks(rule)}  {rule.summary}" for rule in rules]
    legend = "on: enabled by default.  [*]: fixed by --fix, [!]: by --fix --unsafe-fixes, [ ]: not fixable."
    return "\n".join([*lines, "", legend]) + "\n"


def _marks(rule: Rule) -> str:
    return f"{'on ' if rule.enabled_by_default else 'off'}  [{ {'safe': '*', 'unsafe': '!', 'none': ' '}[rule.fix] }]"


def _titles(targets: Sequence[Target]) -> str:
    width = max(len(one.name) for one in targets)
    return "".join(f"{one.name:<{width}}  {one.title}\n" for one in targets)
