"""Pictures of what is around findings, for reports that show them. Pure: no files, no output."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from graphlint.report.formats.phrasing import grouped
from graphlint.report.graphs.drawing import Drawing
from graphlint.report.graphs.flow import Flow, Vertex
from graphlint.report.graphs.svg import draw
from graphlint.report.results import Illustration
from graphlint.rules.diagnostics import Diagnostic
from graphlint.rules.view import ProgramView
from graphlint.semantics.sites import Site

MOST: Final = 50
"""How many pictures of a program are drawn: a report with thousands of them opens in no browser."""
_MOST_SUCCESSORS: Final = 3


def illustrate(view: ProgramView, diagnostics: Iterable[Diagnostic]) -> dict[Site, Illustration]:
    """A picture for the first finding of each group, each node once; ``diagnostics`` are those of the program."""
    flow: Flow | None = None
    sites = {(site.scope.path, site.node.label): site for site in view.sites}
    made: dict[Site, Illustration] = {}
    for first in (group.first for group in grouped(diagnostics)):
        site = sites.get((first.subgraph, str(first.node))) if first.node is not None else None
        if site is not None and site not in made and len(made) < MOST:
            flow = flow or Flow(view)
            picture = draw(Drawing(flow, [flow.vertex(site.position)], 1))
            made[site] = Illustration(first.program or "", first.subgraph, site.node.label, picture)
    return made


def illustrate_fix(before: ProgramView, after: ProgramView, fixed: Iterable[Diagnostic]) -> list[Illustration]:
    """The same for what was fixed, with what takes its place."""
    made = illustrate(before, fixed)
    if not made:
        return []
    flow = Flow(after)
    illustrations = []
    for one, centers in zip(made.values(), _successors(before, flow, made), strict=True):
        picture = draw(Drawing(flow, centers, 1)) if centers else None
        illustrations.append(msgspec.structs.replace(one, fixed=True, after=picture))
    return illustrations


def _successors(before: ProgramView, flow: Flow, sites: Iterable[Site]) -> Iterator[list[Vertex]]:
    """Which nodes of a fixed program stand for those of the original, a few at most: what defines the same values, or
    is new and from the same line of the source. None where a node was taken out.
    """
    old = {vertex.label for vertex in Flow(before).vertices}
    defining = {name: vertex for vertex in flow.nodes for name in vertex.defines}
    new: defaultdict[str, list[Vertex]] = defaultdict(list)
    for vertex in flow.nodes:
        if vertex.label not in old and vertex.site is not None:
            new[_trace(vertex.site)].append(vertex)
    for site in sites:
        found = [defining[name] for name in site.node.results() if name in defining]
        found += new[_trace(site)] if _trace(site) else []
        yield list({vertex.number: vertex for vertex in found}.values())[:_MOST_SUCCESSORS]


def _trace(site: Site) -> str:
    return site.node.metadata.get("stack_trace", "")
