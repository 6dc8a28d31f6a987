"""A program as it is shown: what a listing, its JSON and its picture start from."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from graphlint.report.graphs.flow import Flow, Vertex
from graphlint.rules.diagnostics import Diagnostic
from graphlint.semantics.view import ProgramView


class ShownProgram(msgspec.Struct, frozen=True, eq=False):
    """One program of an artifact, with what is to be seen of it."""

    name: str
    view: ProgramView
    flow: Flow
    diagnostics: tuple[Diagnostic, ...] = ()
    centers: tuple[Vertex, ...] = ()
    """What was asked for; empty for the whole program."""
    hops: int = 0

    def chosen(self) -> set[int] | None:
        """Numbers of the vertices around the centers; None for all."""
        return self.flow.around(self.centers, self.hops) if self.centers else None

    def findings(self) -> Mapping[int, list[Diagnostic]]:
        """The diagnostics by the number of their vertex; -1 holds those of the program as a whole."""
        numbers = {
            vertex.site.position: vertex.number for vertex in self.flow.vertices if vertex.site is not None
        }  # fmt: skip
        found: dict[int, list[Diagnostic]] = {}
        for diagnostic in self.diagnostics:
            number = -1 if diagnostic.node is None else numbers[diagnostic.position]
            found.setdefault(number, []).append(diagnostic)
        return found

    @property
    def nodes(self) -> int:
        """How many nodes the program has."""
        return sum(vertex.site is not None for vertex in self.flow.vertices)
