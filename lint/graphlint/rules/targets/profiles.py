"""Several targets as one: the strictest of each, or an error where they contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from graphlint.artifact.errors import ConfigError
from graphlint.rules.base import Rule
from graphlint.rules.checks import TOKEN_RULES
from graphlint.rules.settings import FixAction, Profile, Refused, TargetAction, Warned
from graphlint.rules.targets.model import OpRow, OutputKind, RuleRow, Target, all_targets, load_target

_STRICTER: Final[tuple[FixAction, ...]] = ("keep", "message", "functionalize", "strip", "refuse")
"""Each is done rather than those before it: what one target refuses in any form stays, whatever another makes of it."""

TOKEN_OP: Final = "aten._make_dep_token"
"""What dependency tokens begin with."""


def profile_of(names: Sequence[str], rules: Sequence[Rule]) -> Profile:
    """What the targets of these names demand together. Raises ConfigError for unknown ones and contradictions."""
    targets = [load_target(name) for name in dict.fromkeys(names)]
    rows = {rule.code: [(target.name, row_of(target, rule)) for target in targets] for rule in rules}
    strictest = {code: max(said, key=lambda one: _STRICTER.index(one[1].fix)) for code, said in rows.items()}
    _reject_contradictions(targets, rules)
    return Profile(
        chosen=True,
        targets=tuple(target.name for target in targets),
        violations=frozenset(code for code, said in rows.items() if any(row.violation for _, row in said)),
        actions={
            code: TargetAction(row.fix, name, row.because)
            for code, (name, row) in strictest.items()
            if row.fix != "functionalize"
        },
        refused_ops=_refused(targets, lambda target: target.ops),
        refused_outputs=_refused(targets, lambda target: target.outputs),
        warnings={
            code: warned
            for code, said in rows.items()
            if (warned := tuple(Warned(name, row.warning) for name, row in said if row.warning))
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
            known = refused.get(what, Refused((), row.because))
            refused[what] = Refused(
                (*known.targets, target.name), known.because, known.advice or row.advice, known.restore or row.restore
            )
    return refused


def refusing_tokens() -> list[Target]:
    """The targets that do not take the dependency tokens which checks become."""
    return [target for target in all_targets() if TOKEN_OP in target.ops]


def row_of(target: Target, rule: Rule) -> RuleRow:
    """What the rule means for the target: its row, or what holds for ``functional``."""
    fitting = [selector for selector in target.rules if rule.code.startswith(selector)]
    if fitting:
        return target.rules[max(fitting, key=len)]
    return RuleRow("functionalize", rule.enabled_by_default, "")


def _reject_contradictions(targets: Sequence[Target], rules: Sequence[Rule]) -> None:
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
