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
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from graphlint import __version__
from graphlint.ir.source import SourceFrame
from graphlint.report.formats.escaping import encode, printable
from graphlint.report.formats.phrasing import count, paint, source_line
from graphlint.report.results import ReportOptions

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


_MARKS: Final[dict[Kind, tuple[str, str]]] = {
    "added": ("+", "green"),
    "removed": ("-", "red"),
    "changed": ("~", "yellow"),
    "moved": (">", "cyan"),
}
"""Sign and colour."""


def render(diff: ArtifactDiff, options: ReportOptions) -> str:
    """The text, empty where there is no difference."""
    if diff.equal:
        return ""
    lines = [paint(printable(f"{diff.old} -> {diff.new}"), options, bold=True)]
    lines += [_marked("added", f"program {name}", options) for name in diff.added]
    lines += [_marked("removed", f"program {name}", options) for name in diff.removed]
    several = len(diff.programs) + len(diff.added) + len(diff.removed) > 1
    for program in (one for one in diff.programs if not one.equal):
        if several or program.old_name is not None:
            was = f" (was {program.old_name})" if program.old_name is not None else ""
            lines += ["", paint(printable(f"Program {program.name}{was}"), options, bold=True)]
        lines += _program(program, options)
    same = [program.name for program in diff.programs if program.equal]
    if several and same:
        lines += ["", printable(f"Equal: {', '.join(same)}")]
    return "\n".join(lines) + "\n"


def _marked(kind: Kind, text: str, options: ReportOptions, indent: str = "") -> str:
    sign, color = _MARKS[kind]
    return paint(f"{indent}{sign} {printable(text)}", options, fg=color)


def _program(program: ProgramDiff, options: ReportOptions) -> Iterator[str]:
    if program.interface:
        yield ""
        yield paint("Interface", options, bold=True)
        yield from (_marked(one.kind, _interface(one), options, "  ") for one in program.interface)
    yield ""
    numbers = Counter(one.kind for one in program.changes if one.old is not None or one.new is not None)
    parts = [f"{numbers[kind]} {kind}" for kind in _MARKS if numbers[kind]]
    yield paint("Graph", options, bold=True) + f": {', '.join([*parts, f'{program.unchanged} unchanged'])}"
    graph: tuple[str, ...] = ()
    for change in program.changes:
        if change.graph != graph:
            graph = change.graph
            yield f"  in {printable(' > '.join(graph) or 'the program')}:"
        yield from _change(change, options)


def _interface(change: InterfaceChange) -> str:
    if change.kind == "moved":
        return f"order of inputs: {change.old} -> {change.new}"
    what = f"range of {change.name}" if change.what == "range" else f"{change.what} {change.name}".rstrip()
    return f"{what}: {' -> '.join(value for value in (change.old, change.new) if value is not None)}"


def _change(change: Change, options: ReportOptions) -> Iterator[str]:
    facts = change.new or change.old
    if facts is None:
        headline = "what it returns"
    elif change.kind in ("added", "removed"):
        headline = facts.text
    else:
        headline = f"%{facts.name} = {facts.op}"
        if change.old is not None and change.old.name != facts.name:
            headline += f" (was %{change.old.name})"
    source = facts.source if facts is not None else None
    place = "    " + paint(source_line(source, options), options, dim=True) if source is not None else ""
    yield _marked(change.kind, headline, options, "  ") + place
    for detail in change.details:
        text = f"{detail.what}: {detail.old} -> {detail.new}"
        if detail.what == "after":
            text = f"comes after {detail.new}, came after {detail.old}"
        yield f"      {printable(text)}"


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
