"""Which rules are on: selectors and how they combine.

A selector is a rule's code (``GL103``), the beginning of one (``GL1``, ``GL``), a rule's name (``buffer-mutation``) or
``ALL``. Selectors come in layers (a configuration file, ``--config KEY=VALUE``, the command line's own options).
Within a layer the more specific selector wins, and ``ignore`` wins over ``select`` of the same specificity; a later
layer wins over an earlier one, whatever the specificity. That is how ruff does it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from graphlint.artifact.errors import ConfigError, did_you_mean
from graphlint.rules.base import Rule
from graphlint.rules.diagnostics import Severity
from graphlint.rules.files import UNREADABLE
from graphlint.rules.losses import LossRule
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Loss, wrong

NAMESPACE = "GL"
CODE_LENGTH = len("GL103")


class Layer(msgspec.Struct, frozen=True):
    """The selectors that one source (a file, the command line) gives."""

    select: tuple[str, ...] | None = None
    """Replaces what earlier layers selected; None leaves it as it is."""
    extend_select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    origin: str = ""
    """Where the selectors were written, for messages: ``pyproject.toml``, ``the command line``."""


def split_selectors(values: Iterable[str]) -> tuple[str, ...]:
    """The selectors in comma-separated ``values``; empty ones are dropped."""
    return tuple(item for value in values for item in (part.strip() for part in value.split(",")) if item)


def enabled_codes(layers: Iterable[Layer], defaults: Iterable[str] | None = None) -> frozenset[str]:
    """The codes that are on after all ``layers``, earliest first; before them those in ``defaults`` are (None: those
    that are on by default). A ``select`` leaves on what reports unreadable artifacts: an artifact that nobody could
    read must not pass because only ``GL103`` was asked for.

    Raises ConfigError for a selector that no rule matches.
    """
    enabled = {rule.code for rule in RULES if rule.enabled_by_default} if defaults is None else set(defaults)
    for layer in layers:
        if layer.select is not None:
            enabled = {rule.code for rule in RULES if rule.code in UNREADABLE}
        selecting = {"select": layer.select or (), "extend-select": layer.extend_select}
        chosen = _decided(selecting, {"ignore": layer.ignore}, layer.origin)
        enabled = {code for code in enabled | chosen.keys() if chosen.get(code, True)}
    return frozenset(enabled)


def chosen_codes(layers: Iterable[Layer]) -> frozenset[str]:
    """The codes that some layer selects, be it by a prefix."""
    chosen = ((one.select or (), one.extend_select, one.origin) for one in layers)
    return frozenset().union(*(matching_codes((*select, *more), "select", origin) for select, more, origin in chosen))


def severities(said: Mapping[str, Severity], origin: str) -> dict[str, Severity]:
    """Severities by code, of what selectors say: the most specific one counts. Raises ConfigError as above."""
    found: dict[str, Severity] = {}
    for selector in sorted(said, key=_specificity):
        found.update(dict.fromkeys(matching_codes([selector], "severity", origin), said[selector]))
    return found


def fixable_codes(fixable: Sequence[str] | None, unfixable: Sequence[str], origin: str) -> frozenset[str]:
    """The codes whose fixes may be applied: ``fixable`` (all, if None) without ``unfixable``."""
    allowing = {"fixable": ("ALL",) if fixable is None else fixable}
    decided = _decided(allowing, {"unfixable": unfixable}, origin)
    return frozenset(code for code, allowed in decided.items() if allowed)


def losing(losses: Iterable[Loss]) -> tuple[str, ...]:
    """The codes of the rules that tell of these losses."""
    return tuple(rule.code for rule in RULES if isinstance(rule, LossRule) and rule.loss in losses)


def matching_codes(selectors: Iterable[str], key: str, origin: str) -> frozenset[str]:
    return frozenset(code for _, codes in _expand(selectors, key, origin) for code in codes)


def find_rule(wanted: str) -> Rule:
    """The one rule with this code or name. Raises ConfigError with the nearest ones if there is none."""
    for rule in RULES:
        if wanted.upper() == rule.code or wanted.lower() == rule.name:
            return rule
    hint = did_you_mean(wanted, codes_and_names()) or "; `graphlint rules` lists them"
    raise ConfigError(f"no rule is called '{wanted}'{hint}")


def _decided(on: Mapping[str, Sequence[str]], off: Mapping[str, Sequence[str]], origin: str) -> dict[str, bool]:
    """Whether each code that a selector matches is on; ``on`` and ``off`` are the selectors by their keys."""
    matches = [
        (_specificity(selector), keys is off, codes)
        for keys in (on, off)
        for key, selectors in keys.items()
        for selector, codes in _expand(selectors, key, origin)
    ]
    # What is applied last is the most specific, and among equals what turns off.
    matches.sort(key=lambda match: match[:2])
    return {code: not turns_off for _, turns_off, codes in matches for code in codes}


def _expand(selectors: Iterable[str], key: str, origin: str) -> Iterator[tuple[str, frozenset[str]]]:
    for selector in selectors:
        begins = selector.startswith(NAMESPACE)
        codes = frozenset(
            one.code for one in RULES if selector in ("ALL", one.name) or (begins and one.code.startswith(selector))
        )
        if not codes:
            prefixes = ["ALL", *(one.code[:end] for one in RULES for end in range(len(NAMESPACE) + 1, CODE_LENGTH))]
            hint = did_you_mean(selector, codes_and_names()) or did_you_mean(selector, prefixes)
            raise wrong(origin, key, f"no rule is called '{selector}'{hint or '; `graphlint rules` lists them'}")
        yield selector, codes


def _specificity(selector: str) -> int:
    """0 for ``ALL``, more for longer prefixes; a rule's name counts as its whole code."""
    if selector == "ALL":
        return 0
    return len(selector) if selector.startswith(NAMESPACE) else CODE_LENGTH


def codes_and_names() -> list[str]:
    return [text for rule in RULES for text in (rule.code, rule.name)]
