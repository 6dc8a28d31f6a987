"""What a target's file says, read and checked; and several targets as one, which demands the strictest of each."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

from graphlint.artifact.errors import ConfigError, did_you_mean
from graphlint.ops.table import op_of
from graphlint.rules.base import Rule
from graphlint.rules.checks import TOKEN_RULES
from graphlint.rules.diagnostics import Severity
from graphlint.rules.registry import RULES
from graphlint.rules.settings import (
    Checks,
    DtypesOf,
    FixAction,
    Loss,
    Lost,
    Most,
    OpRow,
    Profile,
    Refused,
    TakenDtypes,
    TargetAction,
    parse_toml,
    rows_about,
)

SUFFIX: Final = ".toml"
"""Each target is a file ``<name>.toml`` beside this one."""
_STRICTER: Final[tuple[FixAction, ...]] = ("keep", "message", "functionalize", "strip", "refuse")
"""Each is done rather than those before it: what one target refuses in any form stays, whatever another makes of it."""

_SEVERER: Final[tuple[Severity, ...]] = ("error", "warning", "note")
"""Of several targets, the one that takes a finding most seriously counts."""

InputKind = Literal[
    "constant_input", "number", "empty", "symbolic", "unbounded", "channels_last", "permuted", "strided"
]
"""What the caller hands in that is no tensor: the same number, text or None each time, as the signature's input specs
spell it; a ``number``. A tensor without elements is ``empty``. One with a size that may be another one is
``symbolic``, and ``unbounded`` where that has no upper bound; one whose strides are in another order than its
dimensions is ``permuted``. ``channels_last`` is laid
out so, be it handed in or held; ``strided`` is neither that nor contiguous.
"""
OutputKind = Literal[
    "buffer_mutation",
    "parameter_mutation",
    "user_input_mutation",
    "namesake",
    "scalar_mutation",
    "state_made_last",
    "number",
    "none",
    "repeated",
]
"""As the signature's output specs spell them. A buffer that is written back, and is called as another value, is a
``namesake``; one that has no dimensions, and becomes what is computed of tensors that have some, a ``scalar_mutation``.
The last node's result becomes the state of a buffer other than the first: ``state_made_last``. Among what is returned,
a ``number``, ``none`` (None), and a tensor that is returned before (``repeated``).
"""


class RuleRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[rules.GL201]``: what a rule means for the target. Rules without a row are as for ``functional``."""

    fix: FixAction
    violation: bool
    """Whether the rule is on when nothing is selected."""
    because: str
    """What was seen, with whom."""
    severity: Severity | None = None
    """How much a finding matters for the target; None for the rule's own."""


class LossRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[losses.initial-values]``: what the target takes, and loses."""

    because: str
    advice: str
    """What the model's author can do about it, or who gives the target the artifact."""
    elements: int | None = None
    """It loses tensors of so many elements only."""
    rules: tuple[str, ...] = ()
    """It loses what these rules find only, by code."""


class ValuesRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[[values]]``: which values the target computes otherwise than torch."""

    dtypes: tuple[str, ...]
    """Of tensors of these dtypes, among an op's operands and results."""
    because: str
    ops: tuple[str, ...] = ()
    """By these ops, by pattern; empty for all."""


class SeveralRow(OpRow, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[several]]``: what holds for several ops alike."""

    ops: tuple[str, ...]


class DtypesRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[dtypes-of.inputs]``: the only dtypes that the target takes of some tensors."""

    dtypes: tuple[str, ...]
    because: str


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """One target: a file beside this one says it, or a configuration (:mod:`graphlint.rules.targets.own`)."""

    name: str
    consumer: str
    """In a word or two, for sentences."""
    title: str
    """The consumer, and how it is given the artifact."""
    summary: str
    measured: dict[str, str]
    """The versions that it was measured with, by package; empty for the default."""
    label: Literal["ATEN", "any"] = "any"
    """The dialect label that the consumer insists on."""
    order: int = 100
    """Where it stands in lists of targets."""
    references: tuple[str, ...] = ()
    rules: dict[str, RuleRow] = {}
    """By code, or by the beginning of codes (``GL1``); the longest that fits counts."""
    ops: dict[str, tuple[OpRow, ...]] = {}
    """By overload, by op for all overloads, or by pattern. A file gives an op one row, or several for several cases."""
    refuse_ops: tuple[str, ...] = ()
    """More of those that it refuses, for one reason."""
    because_ops: str = ""
    several: tuple[SeveralRow, ...] = ()
    """The same, for other reasons or in some cases only."""
    inputs: dict[InputKind, OpRow] = {}
    """Kinds of inputs that it refuses."""
    outputs: dict[OutputKind, OpRow] = {}
    """Kinds of outputs that it refuses."""
    losses: dict[Loss, LossRow] = {}
    """What it takes, but loses."""
    values: tuple[ValuesRow, ...] = ()
    """What it takes, but computes otherwise for some values."""
    dtypes: tuple[str, ...] = ()
    """The only dtypes that it takes, by the names that torch uses; none for all."""
    dtypes_of: dict[DtypesOf, DtypesRow] = {}
    """The only ones that it takes of some tensors."""
    max_nodes: int | None = None
    max_dimensions: int | None = None
    """Of a tensor; those that views alone make of one, and into one, of fewer do not count."""
    extends: str = ""
    """The target that it is like, but for what itself says."""
    because: str = ""
    """Why it takes some dtypes only, and so many nodes or dimensions."""

    @property
    def refused(self) -> list[str]:
        """The patterns of ops that it refuses."""
        return [pattern for pattern, rows in self.ops.items() if not all(row.taken for row in rows)]

    @property
    def allowed(self) -> list[str]:
        """The patterns of ops that it takes though a wider one refuses them."""
        return [pattern for pattern, rows in self.ops.items() if any(row.taken for row in rows)]


NONE: Final[Mapping[str, Target]] = MappingProxyType({})


def load_target(name: str, own: Mapping[str, Target] = NONE) -> Target:
    """The target of that name, one of a configuration's ``own`` or one of graphlint's. Raises ConfigError with the
    nearest ones if there is none.
    """
    if name in own:
        return own[name]
    path = os.path.join(os.path.dirname(__file__), name + SUFFIX)
    if not name.isidentifier() or not os.path.isfile(path):
        names = [target.name for target in all_targets(own)]
        hint = did_you_mean(name, names) or "; known are " + ", ".join(names)
        raise ConfigError(f"unknown target '{name}'{hint}")
    with open(path, "rb") as stream:
        said = parse_toml(stream.read(), path)
    said["ops"] = {op: rows if isinstance(rows, list) else [rows] for op, rows in said.get("ops", {}).items()}
    target = msgspec.convert(said, Target)
    ops = dict.fromkeys(target.refuse_ops, (OpRow(target.because_ops),))
    for row in target.several:
        one = OpRow(row.because, row.advice, row.where, row.form, row.taken)
        ops.update((op, (*ops.get(op, ()), one)) for op in row.ops)
    ops.update((op, (*ops.get(op, ()), *rows)) for op, rows in target.ops.items())
    target = msgspec.structs.replace(target, ops=ops)
    return extending(load_target(target.extends), target) if target.extends else target


def extending(base: Target, target: Target) -> Target:
    """The target with what ``base`` says and itself does not. What it says of rules goes before what ``base`` says of
    some of them.
    """
    rules = {
        one: row for one, row in base.rules.items() if not any(one.startswith(selector) for selector in target.rules)
    }
    return msgspec.structs.replace(
        target,
        label=base.label if target.label == "any" else target.label,
        references=(*base.references, *target.references),
        rules={**rules, **target.rules},
        ops={**base.ops, **target.ops},
        inputs={**base.inputs, **target.inputs},
        outputs={**base.outputs, **target.outputs},
        losses={**base.losses, **target.losses},
        values=(*base.values, *target.values),
        dtypes=target.dtypes or base.dtypes,
        dtypes_of={**base.dtypes_of, **target.dtypes_of},
        max_nodes=base.max_nodes if target.max_nodes is None else target.max_nodes,
        max_dimensions=base.max_dimensions if target.max_dimensions is None else target.max_dimensions,
        because=target.because or base.because,
    )


def beyond(target: Target, own: Mapping[str, Target]) -> Target:
    """The target with nothing but what the one that it extends does not say."""
    base = load_target(target.extends, own)
    return msgspec.structs.replace(
        target,
        rules={code: row for code, row in target.rules.items() if base.rules.get(code) != row},
        ops={op: rows for op, rows in target.ops.items() if base.ops.get(op) != rows},
        dtypes=() if target.dtypes == base.dtypes else target.dtypes,
        max_nodes=None if target.max_nodes == base.max_nodes else target.max_nodes,
        max_dimensions=None if target.max_dimensions == base.max_dimensions else target.max_dimensions,
        because="" if target.because == base.because else target.because,
    )


def all_targets(own: Mapping[str, Target] = NONE) -> list[Target]:
    """All of graphlint's, and then ``own``."""
    files = os.listdir(os.path.dirname(__file__))
    found = [load_target(file.removesuffix(SUFFIX)) for file in files if file.endswith(SUFFIX)]
    return sorted([*found, *own.values()], key=lambda target: (target.order, target.name))


def profile_of(names: Sequence[str], own: Mapping[str, Target] = NONE, checks: Checks | None = None) -> Profile:
    """What the targets of these names demand together. Raises ConfigError for unknown ones and contradictions, also for
    those with what the configuration says of ``checks``.
    """
    targets = [load_target(name, own) for name in dict.fromkeys(names)]
    rows = {rule.code: [(target.name, row_of(target, rule)) for target in targets] for rule in RULES}
    strictest = {code: max(said, key=lambda one: _STRICTER.index(one[1].fix)) for code, said in rows.items()}
    _reject_contradictions(targets, checks)
    return Profile(
        chosen=True,
        targets=tuple(target.name for target in targets),
        violations=frozenset(code for code, said in rows.items() if any(row.violation for _, row in said)),
        actions={
            code: TargetAction(row.fix, name, row.because)
            for code, (name, row) in strictest.items()
            if row.fix != "functionalize"
        },
        ops={target.name: target.ops for target in targets if target.ops},
        severities={
            code: min(severe, key=_SEVERER.index)
            for code, said in rows.items()
            if (severe := [row.severity for _, row in said if row.severity is not None])
        },
        refused_inputs=_refused([(one.name, one.inputs) for one in targets]),
        refused_outputs=_refused([(one.name, one.outputs) for one in targets]),
        losses=_losses(targets),
        dtypes=tuple(taken for one in targets for taken in _taken_dtypes(one)),
        most_nodes=_least((one, one.max_nodes) for one in targets),
        most_dimensions=_least((one, one.max_dimensions) for one in targets),
        aten_label=any(target.label == "ATEN" for target in targets),
    )


def _least(said: Iterable[tuple[Target, int | None]]) -> Most | None:
    """The least number that a target takes at most, if any says one."""
    found = (Most(target.name, number, target.because) for target, number in said if number is not None)
    return min(found, key=lambda most: most.number, default=None)


def _losses(targets: Iterable[Target]) -> dict[Loss, tuple[Lost, ...]]:
    """What is lost, and who says what of it."""
    losses: dict[Loss, tuple[Lost, ...]] = {}
    for target in targets:
        for loss, row in target.losses.items():
            said = Lost(target.name, row.because, row.advice, row.elements, row.rules)
            losses[loss] = (*losses.get(loss, ()), said)
        for one in target.values:
            said = Lost(target.name, one.because, "", ops=one.ops, dtypes=one.dtypes)
            losses["values"] = (*losses.get("values", ()), said)
    return losses


def _taken_dtypes(target: Target) -> Iterator[TakenDtypes]:
    if target.dtypes:
        yield TakenDtypes(target.name, target.dtypes, target.because)
    for of, row in target.dtypes_of.items():
        yield TakenDtypes(target.name, row.dtypes, row.because, of)


def _refused(targets: Sequence[tuple[str, Mapping[Any, OpRow]]]) -> dict[str, Refused]:
    """By kind of input or output; the targets are given by name."""
    kinds = dict.fromkeys(kind for _, rows in targets for kind in rows)
    said = {kind: [(name, rows[kind]) for name, rows in targets if kind in rows] for kind in kinds}
    return {kind: refused for kind, rows in said.items() if (refused := Refused.together(rows)) is not None}


def refusing_tokens() -> list[Target]:
    """The targets that do not take the dependency tokens which checks become."""
    return [target for target in all_targets() if _refuses_tokens(target)]


def _refuses_tokens(target: Target) -> bool:
    """Whether it refuses what dependency tokens begin with."""
    return bool(rows_about(target.ops, op_of("make-token").name))


def row_of(target: Target, rule: Rule) -> RuleRow:
    """What the rule means for the target: its row, or what holds for ``functional``."""
    fitting = [selector for selector in target.rules if rule.code.startswith(selector)]
    if fitting:
        return target.rules[max(fitting, key=len)]
    return RuleRow("functionalize", rule.enabled_by_default, "")


def _reject_contradictions(targets: Sequence[Target], checks: Checks | None) -> None:
    """A fix for one target must not make what another refuses."""
    refusing = next(filter(_refuses_tokens, targets), None)
    if refusing is None or checks in ("plain", "strip"):
        return
    if checks == "tokens":
        raise ConfigError(f'{refusing.name} refuses dependency tokens, which checks are to become (checks = "tokens")')
    for rule in RULES:
        for target in targets:
            row = row_of(target, rule)
            if rule.code in TOKEN_RULES and row.violation and row.fix == "functionalize":
                if target is refusing:
                    raise ConfigError(
                        f"{target.name} refuses {op_of('make-token').name}, with which the dependency tokens begin "
                        f"that its checks ({rule.code}) become: allow the op, or keep checks as they are, by "
                        "--checks plain"
                    )
                raise ConfigError(
                    f"the targets {target.name} and {refusing.name} contradict each other: for {target.name} checks "
                    f"({rule.code}) become dependency tokens, which {refusing.name} refuses; give them to different "
                    "artifacts with per-file-target, or keep checks as they are, by --checks plain"
                )
