"""What a target's file says, read and checked."""

from __future__ import annotations

import os
from typing import Final, Literal

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.rules.selection import did_you_mean
from graphlint.rules.settings import FixAction, parse_toml

SUFFIX: Final = ".toml"
"""Each target is a file ``<name>.toml`` beside this one."""

OutputKind = Literal["buffer_mutation", "parameter_mutation", "user_input_mutation"]
"""As the signature's output specs spell them."""


class RuleRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[rules.GL201]``: what a rule means for the target. Rules without a row are as for ``functional``."""

    fix: FixAction
    violation: bool
    """Whether the rule is on when nothing is selected."""
    because: str
    """What was seen, with whom."""
    warning: str = ""
    """What becomes of it there, for the one line that is shown although it is no violation. ``{count}`` stands for
    how many there are.
    """


class OpRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[ops."aten.to.dtype"]``: an op (an overload, or all overloads of one) that is functional and refused."""

    because: str
    restore: bool = False
    """Whether ``graphlint restore`` turns it back into what it was made from: dependency tokens into plain checks."""
    advice: str = ""
    """What the model's author can do instead."""


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One target."""

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
    ops: dict[str, OpRow] = {}
    """By overload, or by op for all overloads."""
    outputs: dict[OutputKind, OpRow] = {}
    """Kinds of outputs that it refuses."""


def load_target(name: str) -> Target:
    """The target of that name. Raises ConfigError with the nearest ones if there is none."""
    path = os.path.join(os.path.dirname(__file__), name + SUFFIX)
    if not name.isidentifier() or not os.path.isfile(path):
        names = [target.name for target in all_targets()]
        hint = did_you_mean(name, names) or "; known are " + ", ".join(names)
        raise ConfigError(f"unknown target '{name}'{hint}")
    with open(path, "rb") as stream:
        return msgspec.convert(parse_toml(stream.read(), path), Target)


def all_targets() -> list[Target]:
    """Every target there is."""
    files = os.listdir(os.path.dirname(__file__))
    found = [load_target(file.removesuffix(SUFFIX)) for file in files if file.endswith(SUFFIX)]
    return sorted(found, key=lambda target: (target.order, target.name))
