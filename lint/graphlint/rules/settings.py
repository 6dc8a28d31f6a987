"""What a run is told to do, resolved and immutable: the seam between configuration and engine."""

import sys
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal

import msgspec

from graphlint.artifact.annotations import without_annotations
from graphlint.artifact.errors import ConfigError
from graphlint.artifact.limits import Limits
from graphlint.artifact.patterns import pattern
from graphlint.ops.declared import DeclaredOp, RequiredTorch
from graphlint.ops.info import Form
from graphlint.ops.table import packet_of
from graphlint.rules.diagnostics import Severity

TokenSink = Literal["buffer", "output"]
Checks = Literal["tokens", "plain", "strip"]
"""What becomes of runtime checks: functional ones, chained by ``tokens``; ``plain`` ones, as the model has them; none,
for they are removed on purpose (``strip``).
"""
State = Literal["module", "io"]
"""Where what a program keeps between calls is: in its module, or among its inputs and outputs (``io``)."""


Where = str
"""In which cases an op is refused, in a word (:mod:`graphlint.rules.refusal_conditions`); empty for all."""


class OpRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[ops."aten.to.dtype"]``: a functional op that a target refuses: an overload, all overloads of one,
    or what a pattern matches.
    """

    because: str
    advice: str = ""
    """What the model's author can do instead."""
    where: Where | tuple[Where, ...] = ""
    """In which cases: any of these."""
    form: Form = ""
    """What a fix puts in its place."""
    taken: bool = False
    """Whether it is taken, though a wider pattern refuses it."""

    @property
    def cases(self) -> tuple[Where, ...]:
        """In which cases it is refused."""
        return self.where if isinstance(self.where, tuple) else (self.where,)


_WILDCARD: Final = pattern(r"[*?]|\[[^]]*\]")


def covers(pattern: str, op: str) -> bool:
    """Whether a pattern is about an op: it matches the overload's name, or that of all its overloads."""
    return fnmatchcase(op, pattern) or fnmatchcase(packet_of(op), pattern)


OpRows = Mapping[str, tuple[OpRow, ...]]
"""What is said of ops, by pattern."""


def rows_about(rows: OpRows, op: str) -> list[OpRow]:
    """The rows that refuse an op: the first whose case is met decides, and where none is met, it is taken. Of several
    patterns the one that spells most of the name comes first, and of equals one that refuses, one without a form before
    others; rows for some cases go on to the next, and nothing comes after a row for all.
    """
    named = (op, packet_of(op))  # most rows are about one op: they are looked up
    about = [(name, row) for name in dict.fromkeys(named) for row in rows.get(name, ())]
    about += [
        (pattern, row)
        for pattern, several in rows.items()
        if _WILDCARD.search(pattern) and covers(pattern, op)
        for row in several
    ]
    about.sort(key=lambda one: (-len(_WILDCARD.sub("", one[0])), one[1].taken, bool(one[1].form)))
    found = [row for _, row in about]
    last = next((place for place, row in enumerate(found) if "" in row.cases), len(found))
    return found[:last] or [row for row in found[:1] if not row.taken]


class Refused(msgspec.Struct, frozen=True):
    """A functional op, or a kind of output, that targets refuse."""

    targets: tuple[str, ...]
    because: str
    advice: str = ""
    form: Form = ""
    """What a fix puts in its place; nothing where the targets disagree."""

    @classmethod
    def together(cls, rows: Iterable[tuple[str, OpRow]]) -> "Refused | None":
        """What targets say of it, each by its name: the first one's reason; None where none says anything."""
        said = list(rows)
        if not said:
            return None
        advice = next((row.advice for _, row in said if row.advice), "")
        targets = tuple(target for target, _ in said)
        forms = {row.form for _, row in said}
        form = forms.pop() if len(forms) == 1 else ""
        return cls(targets, said[0][1].because, advice, form)


class RefusedOp(msgspec.Struct, frozen=True):
    """An op that targets refuse, at least in some cases."""

    rows: tuple[tuple[str, list[OpRow]], ...]
    """What each of these targets says of it."""

    def at(self, is_met: Callable[[Where], bool]) -> Refused | None:
        """What is said of a node, by the cases that are met."""
        met = ((target, [row for row in rows if any(map(is_met, row.cases))]) for target, rows in self.rows)
        return Refused.together((target, rows[0]) for target, rows in met if rows)


DtypesOf = Literal["inputs", "stored", "state", "outputs"]
"""What the caller hands in; parameters, buffers and constants; those of them that the program writes; what it returns.
"""


class TakenDtypes(msgspec.Struct, frozen=True):
    """The only dtypes that a target takes, by the names that torch uses."""

    target: str
    dtypes: tuple[str, ...]
    because: str
    of: DtypesOf | None = None
    """What it is about; None for everything."""


class Most(msgspec.Struct, frozen=True):
    """How many of something a target takes at most."""

    target: str
    number: int
    because: str


Loss = Literal["state", "initial-values", "inputs", "draws", "checks", "values"]
"""What a target takes and loses: what is written to ``state`` once the call is over; the ``initial-values`` of state,
which begins with zeros there; what is written to ``inputs``; the ``draws`` of dropout; ``checks``; ``values`` that it
computes otherwise than torch.
"""


class Lost(msgspec.Struct, frozen=True):
    """What is said of something that a target loses."""

    target: str
    because: str
    advice: str
    elements: int | None = None
    """Of what it is lost: tensors of so many elements; None for all."""
    rules: tuple[str, ...] = ()
    """It loses what these rules find, by code; empty for all."""
    ops: tuple[str, ...] = ()
    """It loses what these ops compute, by pattern; empty for all."""
    dtypes: tuple[str, ...] = ()
    """It loses tensors of these dtypes, by the names that torch uses; empty for all."""


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
    """The target that wants it so; empty where the configuration says it of all targets."""
    because: str


class OwnRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``[targets.mine.rules.GL302]``: what a rule means for a target of one's own."""

    fix: FixAction
    violation: bool | None = None
    """Whether the rule is on when nothing is selected; None: unless the consumer takes it as it is."""
    because: str = ""


class OwnTarget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """``[targets.mine]``: what a configuration says of a target, which is as another one but for that."""

    extends: str = "functional"
    """The target that it is as, but for what it says."""
    refuse_ops: tuple[str, ...] = ()
    """Patterns of ops as they are printed; one without an overload is about all of them."""
    allow_ops: tuple[str, ...] = ()
    """What is taken though a wider pattern, or the other target, refuses it."""
    dtypes: tuple[str, ...] | None = None
    """The only dtypes that it takes."""
    max_nodes: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Nodes that a program may have, those of its subgraphs included."""
    max_dimensions: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Dimensions that a tensor may have."""
    rules: dict[str, OwnRule] = {}
    """By code, by the beginning of codes, or by name."""
    severity: dict[str, Severity] = {}
    """By code, by the beginning of codes, or by name: how much findings matter for the target."""
    because: str = ""
    """Why, where nothing else says so."""


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
    ops: dict[str, OpRows] = {}
    """What each target says of ops."""
    refused_inputs: dict[str, Refused] = {}
    """By kind: ``constant_input`` and so on."""
    refused_outputs: dict[str, Refused] = {}
    """By kind: ``user_input_mutation`` and so on."""
    losses: dict[Loss, tuple[Lost, ...]] = {}
    """What is lost, and what the targets that lose it say."""
    dtypes: tuple[TakenDtypes, ...] = ()
    """Of the targets that take some dtypes only."""
    most_nodes: Most | None = None
    most_dimensions: Most | None = None
    """Of the target that takes the smallest programs."""
    aten_label: bool = False
    """Whether the label has to be ATEN wherever the graph admits it: checks are no obstacle then, writes are."""

    def codes(self, fix: FixAction) -> frozenset[str]:
        """The codes whose findings are treated so."""
        return frozenset(code for code, action in self.actions.items() if action.fix == fix)

    def refused_op(self, name: str) -> RefusedOp | None:
        """What is said of the overload of that name; None where all targets take it."""
        said = tuple((target, found) for target, rows in self.ops.items() if (found := rows_about(rows, name)))
        return RefusedOp(said) if said else None


class Pattern(msgspec.Struct, frozen=True, cache_hash=True):
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
    checks: Checks | None = None
    """None where the targets decide."""
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


COMMAND_LINE: Final = "the command line"
INLINE: Final = "--config"
"""Where keys are said that stand in no file."""


def wrong(origin: str, key: str, what: str) -> ConfigError:
    """The error that ``what`` is wrong with a key, or with all of what a source says where ``key`` is empty. ``origin``
    is the source: a file, ``COMMAND_LINE``, ``INLINE``, or nothing.
    """
    said = ": ".join(filter(None, (key, what)))
    if origin not in (COMMAND_LINE, INLINE):
        return ConfigError(f"{origin}: {said}" if origin else said)
    option, problem = (f"--{key}", what) if origin == COMMAND_LINE else (INLINE, said)
    error = ConfigError(f"invalid value for '{option}': {problem}")
    error.of_option = True
    return error


def parse_toml(content: bytes, name: str) -> dict[str, Any]:
    """``content`` as TOML; ``name`` is that of its source. Raises ConfigError."""
    if sys.version_info >= (3, 11):
        with without_annotations():
            import tomllib
    else:
        import tomli as tomllib
    try:
        table: dict[str, Any] = tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise wrong(name, "", f"not UTF-8 at byte {error.start}") from None
    except tomllib.TOMLDecodeError as error:
        raise wrong(name, "", f"not valid TOML: {error}") from None
    return table
