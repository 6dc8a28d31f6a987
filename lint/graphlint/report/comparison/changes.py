"""What a comparison finds, as plain, immutable data, as text, for people, and as JSON.

::

    key_value_cache.pt2 -> fixed.pt2

    Interface
      ~ dialect: TRAINING -> ATEN
      + output buffer "cache": f32[1, 8, 4]

    Graph: 1 changed, 7 unchanged
      ~ %index_put_ = aten.index_put.default    models.py:129
          op: aten.index_put_.default -> aten.index_put.default

``+`` is only in the new artifact, ``-`` only in the old one, ``~`` in both but different, ``>`` at another place.

As JSON, for programs, a comparison has the keys ``version`` (1), ``tool``, ``old``, ``new``, ``equal``,
``programs_added``, ``programs_removed`` and ``programs``, which are what :class:`ProgramDiff` says,
field by field. The text is ASCII. Within one version keys are only ever added.
"""

from collections import Counter
from typing import Final, Literal, get_args

import msgspec
from markupsafe import Markup

from graphlint import __version__
from graphlint.ir.source import SourceFrame
from graphlint.report.formats.escaping import encode, printable
from graphlint.report.formats.phrasing import count, paint, source_line
from graphlint.report.results import ReportOptions
from graphlint.report.templates import rendered

VERSION: Final = 1

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

    @property
    def counted(self) -> str:
        """``1 changed, 7 unchanged``: how many nodes."""
        numbers = Counter(one.kind for one in self.changes if one.old is not None or one.new is not None)
        parts = [f"{numbers[kind]} {kind}" for kind in get_args(Kind) if numbers[kind]]
        return ", ".join([*parts, f"{self.unchanged} unchanged"])


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


def render(diff: ArtifactDiff, options: ReportOptions) -> str:
    """The text, empty where there is no difference."""
    if diff.equal:
        return ""
    return rendered(
        "report/comparison",
        "changes.txt",
        str,
        diff=diff,
        options=options,
        several=len(diff.programs) + len(diff.added) + len(diff.removed) > 1,
        same=[program.name for program in diff.programs if program.equal],
        source_line=source_line,
        paint=lambda text, **style: Markup(paint(printable(text), options, **style)),  # noqa: S704 - no markup
    )


def summary(diff: ArtifactDiff) -> str:
    if diff.equal:
        return f"{count(len(diff.programs), 'program')} compared: no difference.\n"
    programs = len(diff.added) + len(diff.removed)
    interface = sum(len(program.interface) for program in diff.programs)
    graph = sum(len(program.changes) for program in diff.programs)
    parts = [f"{count(programs, 'program')} added or removed"] if programs else []
    parts += [f"{count(interface, 'difference')} in the interface"] if interface else []
    parts += [f"{count(graph, 'difference')} in the graph"] if graph else []
    return f"Found {', '.join(parts)}.\n"


def render_json(diff: ArtifactDiff) -> str:
    return encode(
        {
            "version": VERSION,
            "tool": {"name": "graphlint", "version": __version__},
            "old": diff.old,
            "new": diff.new,
            "equal": diff.equal,
            "programs_added": diff.added,
            "programs_removed": diff.removed,
            "programs": [
                {"name": one.name, "old_name": one.old_name, "equal": one.equal, **msgspec.structs.asdict(one)}
                for one in diff.programs
            ],
        }
    )
