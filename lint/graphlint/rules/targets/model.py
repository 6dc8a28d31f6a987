"""What a target's file says, read and checked."""

from __future__ import annotations

import os.path
from typing import Final, Literal

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.rules.settings import FixAction
from graphlint.run.config import parse_toml

NAMES: Final = ("functional", "module", "inductor", "onnx", "executorch", "coreml")
"""The targets, each a file ``<name>.toml`` beside this one. A new one is its file and its name here."""

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
    references: tuple[str, ...] = ()
    rules: dict[str, RuleRow] = {}
    """By code, or by the beginning of codes (``GL1``); the longest that fits counts."""
    ops: dict[str, OpRow] = {}
    """By overload, or by op for all overloads."""
    outputs: dict[OutputKind, OpRow] = {}
    """Kinds of outputs that it refuses."""


def load_target(name: str) -> Target:
    """The target of that name. Raises ConfigError with the nearest ones if there is none."""
    if name not in NAMES:
        from graphlint.run.selection import did_you_mean

        hint = did_you_mean(name, NAMES) or "; known are " + ", ".join(NAMES)
        raise ConfigError(f"unknown target '{name}'{hint}")
    path = os.path.join(os.path.dirname(__file__), f"{name}.toml")
    with open(path, "rb") as stream:
        return msgspec.convert(parse_toml(stream.read(), path), Target)
