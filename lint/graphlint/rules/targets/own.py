"""Targets of one's own: what a configuration says of them, checked, as targets like those that graphlint ships."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from graphlint.artifact.errors import ConfigError, did_you_mean
from graphlint.ir.dtypes import DTYPES, SHORT_DTYPES
from graphlint.ops.table import op_table, packet_of
from graphlint.rules.base import Rule
from graphlint.rules.checks import PLAIN, BareAsyncAssert
from graphlint.rules.fixers import REMOVE
from graphlint.rules.registry import RULES
from graphlint.rules.selection import codes_and_names, severities
from graphlint.rules.settings import FixAction, OpRow, OwnTarget, covers
from graphlint.rules.targets.model import RuleRow, Target, all_targets, extending, load_target, row_of

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONG: Final = {short: name for name, short in SHORT_DTYPES.items()}
_LAST: Final = 1000
"""They are listed behind those of graphlint."""


def own_targets(said: Mapping[str, tuple[str, OwnTarget]]) -> dict[str, Target]:
    """The targets that a configuration adds, by name; each is said with where it is said, for messages.

    Raises ConfigError for what can be no target.
    """
    shipped = [target.name for target in all_targets()]
    for name, (where, _) in said.items():
        if name in shipped:
            raise ConfigError(
                f"{where}: graphlint has a target of that name; choose another name, with extends = '{name}' in it"
            )
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{where}: a target's name consists of letters, digits, _ and -")
    made: dict[str, Target] = {}
    for name in said:
        _make(name, said, made, ())
    return made


def _make(
    name: str, said: Mapping[str, tuple[str, OwnTarget]], made: dict[str, Target], above: tuple[str, ...]
) -> Target:
    """One target; those that it extends are made before. ``above`` are the names of those that extend it."""
    if name in made:
        return made[name]
    where, own = said[name]
    if own.extends in (*above, name):
        circle = " -> ".join([*above, name][[*above, name].index(own.extends) :])
        raise ConfigError(
            f"{where}.extends: a circle, {circle} -> {own.extends}: one of them has to extend another target"
        )
    if own.extends in said:
        base = _make(own.extends, said, made, (*above, name))
    else:
        try:
            known = {one: Target(one, one, "", "", {}) for one in said}  # for the hint only
            base = load_target(own.extends, known)
        except ConfigError as error:
            raise ConfigError(f"{where}.extends: {error}") from None
    rules = _rules(own, where)
    advice = "use another op, or allow this one (allow-ops)"
    ops: dict[str, tuple[OpRow, ...]] = {
        pattern: (OpRow(own.because or f"'{pattern}' is in its refuse-ops", advice),)
        for pattern in _patterns(own.refuse_ops, f"{where}.refuse-ops")
    }
    for pattern in _patterns(own.allow_ops, f"{where}.allow-ops"):
        if pattern in ops:
            raise ConfigError(f"{where}: '{pattern}' is in refuse-ops and in allow-ops")
        ops[pattern] = (OpRow(own.because, taken=True),)
    extended = extending(
        base,
        Target(
            name=name,
            consumer=name,
            title=f"as {base.name}{f': {own.because}' if own.because else ', but for what the configuration says'}",
            summary=f"As {base.name}, but for what the configuration says of it.",
            measured=base.measured,
            order=_LAST,
            rules=rules,
            ops=ops,
            dtypes=() if own.dtypes is None else _dtypes(own.dtypes, f"{where}.dtypes"),
            max_nodes=own.max_nodes,
            max_dimensions=own.max_dimensions,
            extends=base.name,
            because=own.because,
        ),
    )
    severe = severities(own.severity, where)
    rows = {
        rule.code: msgspec.structs.replace(row_of(extended, rule), severity=severe[rule.code])
        for rule in RULES
        if rule.code in severe
    }
    made[name] = msgspec.structs.replace(extended, rules={**extended.rules, **rows})
    return made[name]


def _rules(own: OwnTarget, where: str) -> dict[str, RuleRow]:
    """The decisions by codes or beginnings of codes."""
    found = {}
    for selector, row in own.rules.items():
        place = f'{where}.rules."{selector}"'
        named = next((rule.code for rule in RULES if rule.name == selector), selector)
        chosen = [rule for rule in RULES if named.startswith("GL") and rule.code.startswith(named)]
        if not chosen:
            raise ConfigError(f"{place}: there is no such rule{did_you_mean(selector, codes_and_names())}")
        for rule in chosen:
            if not _can(rule, row.fix):
                raise ConfigError(f"{place}.fix: '{row.fix}' is no fix of {rule.code} ({rule.name})")
        violation = row.fix != "keep" if row.violation is None else row.violation
        found[named] = RuleRow(row.fix, violation, row.because or own.because or "the configuration says so")
    return found


def _can(rule: Rule, fix: FixAction) -> bool:
    if fix == "message":
        return rule.code == BareAsyncAssert.code
    return fix != "strip" or rule.fixer is REMOVE or rule.code in PLAIN.values()


def _patterns(patterns: Iterable[str], where: str) -> Iterable[str]:
    """The patterns. Raises ConfigError for one that no op can match."""
    names = list(op_table().names())
    spaces = {name.partition(".")[0] for name in names}
    for pattern in patterns:
        space, dot, _ = pattern.partition(".")
        known = not dot or space in spaces
        if not pattern.strip():
            raise ConfigError(f"{where}: a pattern is empty")
        if any(sign in pattern for sign in "*?[") and space not in spaces:
            known = False
        if (known or "::" in pattern) and not any(covers(pattern, name) for name in names):
            likely = pattern.replace("::", ".")
            packets = {packet_of(name) for name in names}
            same = sorted(one for one in packets if one.partition(".")[2] == likely)
            hint = f"; did you mean '{same[0]}'?" if same else did_you_mean(likely, packets)
            raise ConfigError(f"{where}: no op that graphlint knows is called '{pattern}', as graphs are printed{hint}")
        yield pattern


def _dtypes(names: Iterable[str], where: str) -> tuple[str, ...]:
    """By the names that torch uses; the short ones of graphs mean the same."""
    found = []
    for name in names:
        full = _LONG.get(name.removeprefix("torch."), name.removeprefix("torch."))
        if full not in DTYPES.values():
            raise ConfigError(f"{where}: unknown dtype '{name}'{did_you_mean(name, DTYPES.values())}")
        found.append(full)
    if not found:
        raise ConfigError(
            f"{where}: the list is empty, so every dtype would be refused; remove the key to take all dtypes"
        )
    return tuple(dict.fromkeys(found))
