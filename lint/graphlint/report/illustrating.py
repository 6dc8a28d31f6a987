"""Pictures of what is around findings, for reports that show them. Pure: no files, no output."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from graphlint.report.formats.grouping import grouped
from graphlint.report.graphs.drawing import Scene, around, neighbourhood
from graphlint.report.graphs.flow import Flow, Vertex
from graphlint.report.results import Illustration
from graphlint.rules.diagnostics import Diagnostic
from graphlint.semantics.sites import Site
from graphlint.semantics.view import ProgramView

MOST: Final = 50
"""How many pictures of a program are drawn: a report with thousands of them opens in no browser."""
MOST_SUCCESSORS: Final = 3

_Place = tuple[tuple[str, ...], str]
"""A node: the path of its graph, and its name."""


def illustrate(view: ProgramView, diagnostics: Iterable[Diagnostic]) -> list[Illustration]:
    """A picture for the first finding of each group, each node once; ``diagnostics`` are those of the program."""
    scene: Scene | None = None
    sites = _sites(view)
    made: dict[_Place, Illustration] = {}
    for diagnostic in _shown(diagnostics):
        place = (diagnostic.subgraph, str(diagnostic.node))
        if place not in made and place in sites and len(made) < MOST:
            scene = scene if scene is not None else Scene(view)
            picture = neighbourhood(view, sites[place], scene=scene)
            made[place] = Illustration(diagnostic.program or "", *place, picture)
    return list(made.values())


def illustrate_fix(before: ProgramView, after: ProgramView, fixed: Iterable[Diagnostic]) -> list[Illustration]:
    """The same for what was fixed, with what takes its place."""
    made = illustrate(before, fixed)
    if not made:
        return []
    scene = Scene(after)
    successors = _Successors(before, scene.flow)
    sites = _sites(before)
    illustrations = []
    for one in made:
        centers = successors.of(sites[(one.subgraph, one.node)])
        picture = around(scene, centers, 1) if centers else None
        illustrations.append(Illustration(one.program, one.subgraph, one.node, one.picture, fixed=True, after=picture))
    return illustrations


class _Successors:
    """Which nodes of a fixed program stand for those of the original: what defines the same values, or is new and from
    the same line of the source.
    """

    def __init__(self, before: ProgramView, flow: Flow) -> None:
        old = {vertex.label for vertex in Flow(before.program, before.ops).vertices}
        self._defining: dict[str, Vertex] = {}
        self._new: dict[str, list[Vertex]] = {}
        for vertex in flow.vertices:
            if vertex.site is None:
                continue
            for name in vertex.defines:
                self._defining[name] = vertex
            trace = _trace(vertex.site)
            if vertex.label not in old and trace:
                self._new.setdefault(trace, []).append(vertex)

    def of(self, site: Site) -> list[Vertex]:
        """The vertices that stand for a node, a few at most; none where it was taken out."""
        found = [self._defining[name] for name in site.node.results() if name in self._defining]
        found += self._new.get(_trace(site), [])
        return list({vertex.number: vertex for vertex in found}.values())[:MOST_SUCCESSORS]


def _trace(site: Site) -> str:
    return site.node.metadata.get("stack_trace", "")


def _shown(diagnostics: Iterable[Diagnostic]) -> list[Diagnostic]:
    """What reports show in full: the first finding of each group that is about a node."""
    return [group.first for group in grouped(diagnostics) if group.first.node is not None]


def _sites(view: ProgramView) -> dict[_Place, Site]:
    return {(site.scope.path, site.node.label): site for site in view.sites}
