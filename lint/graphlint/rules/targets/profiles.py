"""Several targets as one: the strictest of each, or an error where they contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from graphlint.artifact.errors import ConfigError
from graphlint.rules.settings import FixAction, Profile, Refused, TargetAction, Warned
from graphlint.rules.targets.model import NAMES, OpRow, OutputKind, RuleRow, Target, load_target
from graphlint.run.selection import RuleInfo

_STRICTER: Final[tuple[FixAction, ...]] = ("keep", "message", "functionalize", "strip", "refuse")
"""Each is done rather than those before it: what one target refuses in any form stays, whatever another makes of it."""

TOKEN_RULES: Final = ("GL201", "GL202", "GL203", "GL204")
"""Rules whose fix makes dependency tokens, which begin with this op:"""
TOKEN_OP: Final = "aten._make_dep_token"


def profile_of(names: Sequence[str], rules: Sequence[RuleInfo]) -> Profile:
    """What the targets of these names demand together. Raises ConfigError for unknown ones and contradictions."""
    targets = [load_target(name) for name in dict.fromkeys(names)]
    violations: set[str] = set()
    actions: dict[str, TargetAction] = {}
    for rule in rules:
        for target in targets:
            row = row_of(target, rule)
            if row.violation:
                violations.add(rule.code)
            known = actions.get(rule.code)
            if known is None or _STRICTER.index(row.fix) > _STRICTER.index(known.fix):
                actions[rule.code] = TargetAction(row.fix, target.name, row.because)
    _reject_contradictions(targets, rules)
    return Profile(
        chosen=True,
        targets=tuple(target.name for target in targets),
        violations=frozenset(violations),
        actions={code: action for code, action in actions.items() if action.fix != "functionalize"},
        refused_ops=_refused(targets, lambda target: target.ops),
        refused_outputs=_refused(targets, lambda target: target.outputs),
        warnings={
            rule.code: warned
            for rule in rules
            if (warned := tuple(Warned(t.name, text) for t in targets if (text := row_of(t, rule).warning)))
        },
        aten_label=any(target.label == "ATEN" for target in targets),
    )


def _refused(
    targets: Sequence[Target], rows_of: Callable[[Target], Mapping[OutputKind, OpRow] | Mapping[str, OpRow]]
) -> dict[str, Refused]:
    """What each is refused by, and why; of several targets, the first one's words."""
    refused: dict[str, Refused] = {}
    for target in targets:
        for what, row in rows_of(target).items():
            known = refused.get(what)
            if known is None:
                refused[what] = Refused((target.name,), row.because, row.advice, row.restore)
            else:
                refused[what] = Refused(
                    (*known.targets, target.name),
                    known.because,
                    known.advice or row.advice,
                    known.restore or row.restore,
                )
    return refused


def refusing_tokens() -> list[Target]:
    """The targets that do not take the dependency tokens which checks become."""
    return [target for target in map(load_target, NAMES) if TOKEN_OP in target.ops]


def row_of(target: Target, rule: RuleInfo) -> RuleRow:
    """What the rule means for the target: its row, or what holds for ``functional``."""
    fitting = [selector for selector in target.rules if rule.code.startswith(selector)]
    if fitting:
        return target.rules[max(fitting, key=len)]
    return RuleRow("functionalize", rule.enabled_by_default, "")


def _reject_contradictions(targets: Sequence[Target], rules: Sequence[RuleInfo]) -> None:
    """A fix for one target must not make what another refuses."""
    refusing = next((target for target in targets if TOKEN_OP in target.ops), None)
    if refusing is None:
        return
    for rule in rules:
        for target in targets:
            row = row_of(target, rule)
            if rule.code in TOKEN_RULES and row.violation and row.fix == "functionalize":
                raise ConfigError(
                    f"the targets {target.name} and {refusing.name} contradict each other: for {target.name} checks "
                    f"({rule.code}) become dependency tokens, which {refusing.name} refuses; give them to different "
                    "artifacts with per-file-target"
                )
