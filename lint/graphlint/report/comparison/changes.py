"""What a comparison finds: plain, immutable data, whose fields are the keys of the JSON."""

from typing import Literal

import msgspec

from graphlint.ir.source import SourceFrame

Kind = Literal["added", "removed", "changed", "moved"]
What = Literal["dialect", "input", "output", "range", "arguments", "result"]
"""``arguments`` and ``result`` are the nesting in which the caller passes inputs and gets outputs."""


class InterfaceChange(msgspec.Struct, frozen=True):
    """A difference in how the program is called, or in what it is."""

    kind: Kind
    what: What
    name: str
    """``buffer "cache"``, ``%x``, ``s77``; empty for what there is one of."""
    old: str | None = None
    new: str | None = None


class NodeFacts(msgspec.Struct, frozen=True):
    """A node, as far as it is shown."""

    name: str
    op: str
    position: int
    """Its ordinal in its own graph."""
    text: str
    """Its line in text form."""
    source: SourceFrame | None = None
    module_path: str | None = None


class Detail(msgspec.Struct, frozen=True):
    """What of a node changed."""

    what: str
    """``op``, ``argument other``, ``result``, ``result 0`` or an output's name (of what a graph returns), ``graphs``,
    ``graph inputs``, ``after`` (the node before it); with metadata ``module`` and ``source``."""
    old: str
    new: str


class Change(msgspec.Struct, frozen=True):
    """A difference in the ops of a graph."""

    kind: Kind
    graph: tuple[str, ...]
    """Path to the graph: caller and graph in turn; empty for the program's own."""
    old: NodeFacts | None = None
    new: NodeFacts | None = None
    """Neither is given for a change of what a graph returns."""
    details: tuple[Detail, ...] = ()


class ProgramDiff(msgspec.Struct, frozen=True):
    """The differences between two programs."""

    name: str
    old_name: str | None = None
    """The name in the old artifact, where it is another."""
    unchanged: int = 0
    """How many nodes are in both as they are, those in subgraphs included."""
    interface: tuple[InterfaceChange, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def equal(self) -> bool:
        return not self.interface and not self.changes


class ArtifactDiff(msgspec.Struct, frozen=True):
    """The differences between two artifacts."""

    old: str
    new: str
    programs: tuple[ProgramDiff, ...]
    added: tuple[str, ...] = ()
    """Names of programs that only the new one has."""
    removed: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return not self.added and not self.removed and all(program.equal for program in self.programs)
