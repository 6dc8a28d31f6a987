"""What a rule finds: plain, immutable data that every reporter reads."""

from typing import Literal

import msgspec

from graphlint.ir.source import SourceFrame, installed_path, outer_frame
from graphlint.ops.info import packet_name
from graphlint.semantics.analysis import Write
from graphlint.semantics.memory import LEFT_OUT, StorageKind

Severity = Literal["error", "warning", "note"]
SourceState = Literal["current", "moved", "changed", "absent"]


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where in the repository a line of the model's source is: the place that reports point at."""

    path: str
    """With forward slashes, relative to the repository's root; as the artifact has it where there is no such file."""
    line: int
    """From 1: where the line is now, which is not where it was if lines were added above it."""
    function: str = ""
    text: str = ""
    """The whole line of the file; where there is none or it reads otherwise now, what the artifact stores of it."""
    file: str = ""
    """Absolute path of the file; empty where it is not at hand."""
    column: int = 0
    """Where in ``text`` the expression at fault begins, in characters from 1; 0 where the file is not at hand."""
    end_column: int = 0
    """The column after the expression's last character on this line; 0 where the expression cannot be told."""
    state: SourceState = "absent"
    """``current``: the file has the line where the export saw it; ``moved``: elsewhere; ``changed``: the file is
    there, but has that line no more, and ``line`` is where it was; ``absent``: there is no such file.
    """


class Suppression(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a finding is not reported: someone has said that it may stay."""

    by: Literal["comment", "per-file-ignores", "baseline"]
    reason: str = ""
    """What the comment gives as a reason."""


class WrittenStorage(msgspec.Struct, frozen=True, omit_defaults=True):
    """The storage that an op writes to."""

    kind: StorageKind
    value: str
    """The graph value that is the storage's base (``b_count``), in the graph that owns it."""
    name: str | None = None
    """Qualified name of a buffer, parameter or constant (``layers.0.cache``), or the input's name."""
    views: tuple[str, ...] = ()
    """The view ops that lead from the base to the written value, outermost last
    (``("aten.select.int", "aten.slice.Tensor")``), or :data:`LEFT_OUT`."""

    @classmethod
    def of(cls, write: Write) -> "WrittenStorage":
        """The storage that a write reaches."""
        if write.made is not None:
            return cls(write.kind, write.made.name)
        storage = write.target.storage
        return cls(storage.kind, storage.value, storage.name, write.target.views)

    def describe(self) -> str:
        """``buffer 'cache' through select, slice`` and the like, for messages."""
        if self.kind in ("intermediate", "unknown"):
            text = f"{self.kind} tensor %{self.value}"
        else:
            text = f"{self.kind} '{self.name or self.value}'"
        if self.views:
            text += " through " + ", ".join(view if view == LEFT_OUT else packet_name(view) for view in self.views)
        return text


class Fix(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a diagnostic can be fixed, and how, or why not."""

    applicability: Literal["safe", "unsafe", "none"]
    message: str
    """What the fix does (``becomes aten._functional_assert_async.msg``), or the reason why there is none."""
    exact: bool = True
    """Whether the fixed program computes the same to the last bit."""
    asked: bool = False
    """Whether it is unsafe and was asked for by its own name (``--strip-checks``), which leaves nothing to enable."""
    option: str = ""
    """An option of its own that ``--fix`` lacks to apply it: ``--lift-state``."""

    def applies(self, *, unsafe: bool) -> bool:
        """Whether ``--fix`` would apply it, where ``unsafe`` fixes are enabled or not."""
        if self.option:
            return False
        return self.applicability == "safe" or (self.applicability == "unsafe" and (unsafe or self.asked))


class Diagnostic(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finding. ``path``, ``program``, ``subgraph`` and ``node`` say where in the artifact it is,
    ``source`` and ``module_path`` where in the model.
    """

    code: str
    rule: str
    """The rule's name, ``in-place-op``."""
    severity: Severity
    message: str
    fix: Fix
    path: str = ""
    """The artifact, as it was named on the command line or found in a folder."""
    member: str | None = None
    """The archive member at fault, for what is wrong with the file rather than with a graph."""
    program: str | None = None
    """The program's name in the archive (``model``)."""
    subgraph: tuple[str, ...] = ()
    """Path into nested graphs, caller and graph in turn: ``("cond", "true_graph_0")``."""
    node: str | None = None
    """The node's name."""
    op: str | None = None
    """The node's op without ``torch.ops.``: ``aten.add_.Tensor``."""
    position: int = 0
    """The node's ordinal in program order, subgraphs included, from 0."""
    storage: WrittenStorage | None = None
    source: SourceFrame | None = None
    """The innermost frame of the model's own code, as the artifact records it."""
    location: Location | None = None
    """Where ``source`` is in the repository; None where it is not known, or was not looked for."""
    stack: tuple[SourceFrame, ...] = ()
    """All frames that the artifact records, outermost first."""
    module_path: str | None = None
    """Qualified name of the module that the op belongs to (``layers.0.attention``); empty for the root."""
    module_type: str | None = None
    """Class of that module (``torch.nn.modules.linear.Linear``)."""
    fingerprint: str = ""
    """The same for the same finding in another export of the model; different for every finding of an artifact."""
    suppression: Suppression | None = None
    """Why it is not reported, if it is not."""
    advice: str = ""
    """What the model's author can write in Python, so that the next export has no such finding."""
    idle: bool = False
    """Whether it changes nothing whatever happens: a check that cannot fire."""

    @property
    def place(self) -> Location | None:
        """The line of the model's source to point at: ``location``, or the line as the artifact records it; that of an
        installed package where the model's own code has none.
        """
        if self.location is not None:
            return self.location
        return self.origin if self.source is None else _recorded(self.source)

    @property
    def origin(self) -> Location | None:
        """The innermost line outside of torch, as the artifact records it: what the finding comes from. It may lie in
        an installed package, while ``place`` is the line of the model that calls it.
        """
        frame = outer_frame(self.stack) or self.source
        return None if frame is None else _recorded(frame)

    @property
    def about_source(self) -> bool:
        """Whether it is about the source file at ``path`` itself, not about an artifact made from it."""
        return self.location is not None and self.source is None

    @property
    def fixable(self) -> bool:
        """Whether there is a fix at all, safe or not."""
        return self.fix.applicability != "none"


def _recorded(frame: SourceFrame) -> Location:
    return Location(installed_path(frame.path), frame.line, frame.function, frame.text)
