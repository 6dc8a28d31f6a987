"""How far a write reaches: which values show the storage that it writes, and what reads that storage afterwards."""

from __future__ import annotations

from collections.abc import Container, Iterable

import msgspec

from graphlint.report.graphs.flow import Edge, Flow, Vertex
from graphlint.semantics.aliasing import Storage
from graphlint.semantics.calls import convention
from graphlint.semantics.sites import Site
from graphlint.semantics.view import ProgramView, Write


class Reach(msgspec.Struct, frozen=True, eq=False):
    """What one node writes. Vertices are given by their numbers in the flow, in ascending order."""

    writer: int
    shown_by: tuple[int, ...]
    """What defines a value that may show the written storage."""
    values: frozenset[tuple[int, str]]
    """Those values: the vertex that defines it, and its name."""
    read_by: tuple[int, ...]
    """What reads the storage after the write: takes a value that shows it, and does more than to make a view of it.
    The ``return`` of the program is among them. Within a loop, what reads it in the next turn is not."""


class Reaches:
    """The reach of every write of a program. The storages of all values are looked up once."""

    def __init__(self, view: ProgramView, flow: Flow) -> None:
        self._flow = flow
        self._shown: dict[Storage, list[tuple[int, str]]] = {}
        self._writes: dict[int, list[Write]] = {}
        for write in view.writes:
            self._writes.setdefault(flow.vertex(write.site).number, []).append(write)
        if not self._writes:
            return
        for vertex in flow.vertices:
            for name in vertex.defines:
                for storage in {alias.storage for alias in view.aliasing.aliases(vertex.scope, name)}:
                    self._shown.setdefault(storage, []).append((vertex.number, name))

    @property
    def writers(self) -> list[int]:
        """The vertices that write."""
        return list(self._writes)

    def writes(self, writer: int) -> list[Write]:
        """The writes of a vertex; none, where it writes nothing."""
        return self._writes.get(writer, [])

    def extent(self, chosen: Container[int] | None = None) -> int:
        """How many values all the writes reach, or those of the ``chosen`` vertices: in a chain of writes to one
        storage the square of its length. To work the reaches out takes time with that.
        """
        return sum(
            len(self._shown.get(storage, ()))
            for writer, writes in self._writes.items()
            if chosen is None or writer in chosen
            for storage in {alias.storage for write in writes for alias in write.aliases}
        )

    def of(self, writer: int) -> Reach | None:
        """The reach of a vertex's writes; None where it writes nothing."""
        writes = self._writes.get(writer)
        if writes is None:
            return None
        storages = {alias.storage for write in writes for alias in write.aliases}
        values = frozenset(value for storage in storages for value in self._shown.get(storage, ()))
        shown_by = sorted({number for number, _ in values})
        read_by = {edge.target for edge in self._uses(values) if self._reads(edge, writer, values)}
        return Reach(writer, tuple(shown_by), values, tuple(sorted(read_by)))

    def _uses(self, values: Iterable[tuple[int, str]]) -> Iterable[Edge]:
        for number, name in values:
            for edge in self._flow.outgoing.get(number, ()):
                if edge.value == name:
                    yield edge

    def _reads(self, edge: Edge, writer: int, values: frozenset[tuple[int, str]]) -> bool:
        vertices = self._flow.vertices
        vertex = vertices[edge.target]
        if edge.kind != "value" or edge.target <= writer or _exclusive(vertices[writer], vertex):
            return False
        if vertex.site is None:
            return vertex.scope.caller is None
        if vertex.site.node.subgraphs() and convention(vertex.site.node) is not None:
            return False  # what is inside reads it
        views = vertex.defines
        only_shows = bool(views) and all((edge.target, name) in values for name in views)
        return not only_shows or edge.target in self._writes


def _exclusive(one: Vertex, other: Vertex) -> bool:
    """Whether the two lie in different branches of a ``cond``, so that only one of them runs."""
    branches = {
        caller.position: path
        for caller, path in _branches(one)
        if caller.node.caller_label == "cond"
    }  # fmt: skip
    return any(branches.get(caller.position, path) != path for caller, path in _branches(other))


def _branches(vertex: Vertex) -> Iterable[tuple[Site, str]]:
    scope = vertex.scope
    while scope.caller is not None:
        yield scope.caller, scope.path[-1]
        scope = scope.caller.scope
