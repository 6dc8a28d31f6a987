"""What a run is told to do, resolved and immutable: the seam between configuration and engine."""

import sys
from typing import Any, Literal

import msgspec

from graphlint.artifact.errors import ConfigError
from graphlint.artifact.limits import Limits
from graphlint.ops.declared import DeclaredOp
from graphlint.ops.specifiers import RequiredTorch
from graphlint.rules.diagnostics import Severity

TokenSink = Literal["buffer", "output"]
State = Literal["module", "io"]
"""Where what a program keeps between calls is: in its module, or among its inputs and outputs (``io``)."""


class Refused(msgspec.Struct, frozen=True):
    """A functional op, or a kind of output, that targets refuse."""

    targets: tuple[str, ...]
    because: str
    advice: str = ""
    restore: bool = False
    """Whether `graphlint restore` turns it back into what it was made from."""
    gaps: bool = False
    """Whether it is refused only where a list of tensors that it is given leaves some out."""


Loss = Literal["state", "initial-values", "inputs", "draws", "checks"]
"""What a target takes and loses: what is written to ``state`` once the call is over; the ``initial-values`` of state,
which begins with zeros there; what is written to ``inputs``; the ``draws`` of dropout; ``checks``.
"""


class Lost(msgspec.Struct, frozen=True):
    """What is said of something that a target loses."""

    target: str
    because: str
    advice: str
    elements: int | None = None
    """Of what it is lost: tensors of so many elements; None for all."""


FixAction = Literal["functionalize", "keep", "message", "strip", "refuse"]
"""What ``--fix`` does for a target with what a rule finds: what the rule's own fix does (``functionalize``); nothing,
for the consumer takes it as it is (``keep``); give a bare assert the message that it raises (``message``); remove the
op, which the consumer would not run anyway (``strip``, an unsafe fix); nothing, for no form of it is taken
(``refuse``).
"""


class TargetAction(msgspec.Struct, frozen=True):
    """What is done with what a rule finds."""

    fix: FixAction
    target: str
    """The target that wants it so."""
    because: str


class Profile(msgspec.Struct, frozen=True):
    """What an artifact's targets demand together. The default is that of ``functional``, for which no file is read."""

    targets: tuple[str, ...] = ("functional",)
    chosen: bool = False
    """Whether the targets were set rather than left at the default."""
    violations: frozenset[str] | None = None
    """Codes of the rules that are on when nothing is selected; None for those that are so by default."""
    actions: dict[str, TargetAction] = {}
    """By code, where it is another than the rule's own fix."""
    severities: dict[str, Severity] = {}
    """By code, where it is another than the rule's own."""
    refused_ops: dict[str, Refused] = {}
    """By overload (``aten.to.dtype``), or by op for all overloads."""
    refused_outputs: dict[str, Refused] = {}
    """By kind: ``user_input_mutation`` and so on."""
    losses: dict[Loss, tuple[Lost, ...]] = {}
    """What is lost, and what the targets that lose it say."""
    aten_label: bool = False
    """Whether the label has to be ATEN wherever the graph admits it: checks are no obstacle then, writes are."""

    def codes(self, fix: FixAction) -> frozenset[str]:
        """The codes whose findings are treated so."""
        return frozenset(code for code, action in self.actions.items() if action.fix == fix)

    def refused_op(self, name: str) -> Refused | None:
        """What is said of the overload of that name, or of its op."""
        return self.refused_ops.get(name) or self.refused_ops.get(name.rpartition(".")[0])


class Pattern(msgspec.Struct, frozen=True):
    """A path pattern and the absolute folder that it is relative to."""

    glob: str
    """With ``!`` in front, the pattern matches what the rest does not."""
    root: str


class Acceptance(msgspec.Struct, frozen=True):
    """Where to look for what somebody has accepted. It says nothing of what there is to find."""

    root: str = ""
    """The configuration's absolute folder."""
    source_roots: tuple[str, ...] = ()
    """Absolute folders in which to look for the model's source first."""
    baseline: str = ""
    """Absolute path of the baseline; empty if there is none."""
    ignores: tuple[tuple[Pattern, frozenset[str]], ...] = ()
    """Codes that are ignored in what matches."""


class Settings(msgspec.Struct, frozen=True):
    """Everything that decides what the engine does with one artifact."""

    enabled: frozenset[str]
    """Codes of the rules to report, after selection and per-file ignores."""
    fixable: frozenset[str]
    """Codes of the rules whose fixes may be applied."""
    unlisted: frozenset[str] = frozenset()
    """Codes of the enabled rules that nobody asked for: their idle findings are counted only."""
    severities: dict[str, Severity] = {}
    """By code, where it is another than the rule's own."""
    unsafe_fixes: bool = False
    exact: bool = False
    """Whether what rounds otherwise once it is functional stays as it is."""
    token_sink: TokenSink = "buffer"
    state: State = "module"
    ops: dict[str, DeclaredOp] = {}
    profile: Profile = Profile()
    requires_torch: RequiredTorch | None = None
    """The versions of torch that programs are to run in; None where nobody says."""
    provenance: bool = True
    """Whether what was done is recorded in the artifact."""
    illustrate: bool = False
    """Whether results come with pictures of what is around each finding. It takes time, and only some reports show
    them."""
    limits: Limits = Limits()
    allow_globals: tuple[str, ...] = ()
    """What may be looked up when an artifact is loaded, beside what graphlint knows to be harmless."""
    acceptance: Acceptance = Acceptance()


def parse_toml(content: bytes, name: str) -> dict[str, Any]:
    """``content`` as TOML; ``name`` is for messages. Raises ConfigError."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        table: dict[str, Any] = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None
    return table
