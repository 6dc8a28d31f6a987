"""All rules, by code. A new rule is one class and its line here."""

from __future__ import annotations

from graphlint.rules.base import Rule
from graphlint.rules.checks import AsyncAssert, BareAsyncAssert, MetadataAssert, RangeConstraint, ScalarAssert
from graphlint.rules.effects import (
    EffectToken,
    InPlaceCollective,
    MutableCustomOp,
    Print,
    RandomOp,
    ScriptObjectCall,
    TrainingDropout,
    UnknownOp,
)
from graphlint.rules.files import LfsPointer, UnloadableSchema, UnreadableArtifact
from graphlint.rules.hidden_update import HiddenUpdate
from graphlint.rules.interface import AliasedOutput, MutationOutput, TrainingDialect
from graphlint.rules.mutation import (
    BufferMutation,
    ConstantMutation,
    InPlaceOp,
    InputMutation,
    OutVariant,
    ParameterMutation,
)
from graphlint.rules.regions import AutocastRegion, DeadEffect, GradModeRegion

RULES: tuple[Rule, ...] = (
    UnreadableArtifact(),
    LfsPointer(),
    UnloadableSchema(),
    InPlaceOp(),
    InputMutation(),
    BufferMutation(),
    ParameterMutation(),
    ConstantMutation(),
    OutVariant(),
    HiddenUpdate(),
    AsyncAssert(),
    BareAsyncAssert(),
    ScalarAssert(),
    RangeConstraint(),
    MetadataAssert(),
    Print(),
    RandomOp(),
    TrainingDropout(),
    MutableCustomOp(),
    UnknownOp(),
    InPlaceCollective(),
    ScriptObjectCall(),
    EffectToken(),
    GradModeRegion(),
    AutocastRegion(),
    DeadEffect(),
    TrainingDialect(),
    MutationOutput(),
    AliasedOutput(),
)
