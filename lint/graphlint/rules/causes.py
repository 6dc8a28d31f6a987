"""Which findings go back to which others: who does something about one cause wants to hear of it once."""

from collections.abc import Callable, Sequence
from typing import Final

from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.effects import TrainingDropout
from graphlint.rules.mutation import HiddenUpdate, MutationRule, OutVariant
from graphlint.rules.regions import DeadEffect, GradModeRegion
from graphlint.rules.registry import RULES
from graphlint.rules.train_mode import TrainMode
from graphlint.semantics.training import COUNTER

_WRITES: Final = frozenset(rule.code for rule in RULES if isinstance(rule, MutationRule))
_REGIONS: Final = frozenset((GradModeRegion.code, DeadEffect.code))
_TRAINING: Final = frozenset((HiddenUpdate.code, TrainingDropout.code))


def leaders(diagnostics: Sequence[Diagnostic]) -> list[Diagnostic]:
    """For each finding of an artifact the one that it goes back to, itself where there is none.

    1. A program in train mode is the cause of the statistics that it updates, and of its dropouts.
    2. A normalization that updates statistics is the cause of what its node writes besides, and of its counter.
    3. A write to the operand of ``out=`` is the cause of the finding about the overload.
    4. The first write in a region is the cause of the findings about the region.
    """
    if len(diagnostics) == 1:  # as of most artifacts of a second run
        return [*diagnostics]
    found = [one for one in diagnostics if one.program is not None]
    training = {one.program: one for one in found if one.code == TrainMode.code}
    updates: dict[object, Diagnostic] = {}
    written: dict[object, Diagnostic] = {}
    within: dict[object, Diagnostic] = {}
    for one in found:
        if one.code == HiddenUpdate.code:
            updates.setdefault(_node(one), one)
            updates.setdefault(_counter(one), one)
        elif one.code in _WRITES:
            if one.code != OutVariant.code:
                written.setdefault(_node(one), one)
            for depth in range(0, len(one.subgraph), 2):
                within.setdefault((one.program, one.subgraph[:depth], one.subgraph[depth]), one)

    def leader(one: Diagnostic) -> Diagnostic:
        if one.code in _TRAINING:
            return training.get(one.program, one)
        if one.code in _REGIONS:
            return within.get(_node(one), one)
        if one.code not in _WRITES:
            return one
        name = one.storage.name if one.storage is not None else None
        update = updates.get(_node(one)) or (updates.get((one.program, name)) if name is not None else None)
        return update or (written.get(_node(one), one) if one.code == OutVariant.code else one)

    return [_last(one, leader) for one in diagnostics]


def _last(one: Diagnostic, leader: Callable[[Diagnostic], Diagnostic]) -> Diagnostic:
    """What a finding goes back to in the end."""
    while (before := leader(one)) is not one:
        one = before
    return one


def _node(one: Diagnostic) -> object:
    return one.program, one.subgraph, one.node


def _counter(update: Diagnostic) -> object:
    """The program, and the name of the buffer that counts the batches beside the statistics that are updated."""
    statistics = update.storage.name if update.storage is not None else None
    module = (statistics or "").rpartition(".")[0]
    return update.program, f"{module}.{COUNTER}" if module else COUNTER
