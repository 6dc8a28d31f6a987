"""``graphlint show``: an artifact's graphs, with the findings where they are."""

import importlib
import os
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry, opened
from graphlint.artifact.errors import ArtifactError, ConfigError, did_you_mean
from graphlint.cli import session
from graphlint.cli.commands import Argument, command
from graphlint.cli.console import Console, write_report
from graphlint.cli.options import UsageError
from graphlint.report.formats.phrasing import count
from graphlint.report.graphs.flow import Flow, ShownProgram
from graphlint.report.results import ReportOptions
from graphlint.rules.linting import lint_view
from graphlint.rules.view import ProgramView
from graphlint.run.engine import read_document
from graphlint.run.review import Reviewer
from graphlint.semantics.versions import loads_in

_FORMATS: Final = {"text": "listing", "json": "graph_json", "dot": "dot", "svg": "svg"}
"""The module of each format, with a function ``render(path, programs, options)``."""
_SUFFIXES: Final = {".json": "json", ".dot": "dot", ".gv": "dot", ".svg": "svg"}
"""What a file's name says that it is to hold."""
_MOST_DRAWN: Final = 2000
"""Nodes of the largest graph that is drawn as a whole: beyond, browsers give up before people do."""
_MOST_REACHED: Final = 500_000
"""Values that the shown writes may reach, all together: they take a few seconds then, and tens of MiB as JSON."""


@command(Argument("artifact"))
def show(console: Console, /, artifact: str, nodes: tuple[str, ...], around: int | None, **options: Any) -> int:
    """Show the graphs of an artifact, with findings in the margin.

    Pictures mark what writes, every value that may show the written memory, and what reads it afterwards.
    """
    if around is not None and not nodes:
        raise UsageError("--around goes with --node.")
    output_file = options["output_file"]
    settings = session.resolver_for({key: options[key] for key in ("config", "isolated")}).settings_for(artifact)
    reviewer = Reviewer()
    reviewer.baseline(settings.acceptance.baseline)
    review = partial(reviewer.accept, artifact, settings.acceptance)
    with opened(artifact, settings.limits) as archive:
        if archive.note:
            raise ArtifactError(f"{artifact}: {archive.note}")
        shown = partial(_shown, archive, settings=settings, review=review, findings=options["findings"])
        programs = [shown(entry) for entry in _entries(archive, options["program"])]
    if nodes:
        programs = _centered(programs, artifact, nodes, 1 if around is None else around)
    chosen = options["output_format"] or _SUFFIXES.get(os.path.splitext(output_file or "")[1].lower(), "text")
    report = ReportOptions(
        color=chosen == "text" and console.colors(None if output_file is not None else sys.stdout),
        folder=os.getcwd(),
        unsafe_paths=frozenset({artifact} if settings.unsafe_fixes else ()),
    )
    if chosen != "text":
        _check_size(programs, artifact, drawing=chosen == "svg")
    module = importlib.import_module(f"graphlint.report.graphs.{_FORMATS[chosen]}")
    text: str = module.render(artifact, programs, report)
    if output_file is None:
        console.out(text)
    else:
        write_report(output_file, text)
    return 0


def _entries(artifact: Artifact, wanted: str | None) -> list[ProgramEntry]:
    names = [entry.name for entry in artifact.programs]
    if wanted is not None and wanted not in names:
        hint = did_you_mean(wanted, names) or f"; there are: {', '.join(names)}"
        raise ConfigError(f"{artifact.path}: there is no program '{wanted}'{hint}")
    return [entry for entry in artifact.programs if wanted in (None, entry.name)]


def _shown(artifact: Artifact, entry: ProgramEntry, *, settings: Any, review: Any, findings: bool) -> ShownProgram:
    try:
        view = ProgramView(read_document(artifact, entry), settings)
        found = lint_view(view, entry.name, str(artifact.path), settings, review) if findings else []
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}, program {entry.name}: {error}", member=error.member) from None
    reported = tuple(one.diagnostic for one in found if one.diagnostic.suppression is None)
    return ShownProgram(entry.name, Flow(view), loads_in(view.program, view.misfits, entry.layout), reported)


def _centered(programs: Sequence[ShownProgram], path: str, nodes: Sequence[str], hops: int) -> list[ShownProgram]:
    """The programs that have the nodes that were asked for, each with those in the middle."""
    for name in nodes:
        if not any(program.flow.named(name) for program in programs):
            known = {one for program in programs for one in program.flow.names()}
            hint = did_you_mean(name.lstrip("%$"), known)
            raise ConfigError(f"{path}: there is no node, value or op '{name}'{hint}")
    found = ((program, [vertex for name in nodes for vertex in program.flow.named(name)]) for program in programs)
    centered = ((program, tuple(dict.fromkeys(vertices))) for program, vertices in found if vertices)
    return [msgspec.structs.replace(program, centers=centers, hops=hops) for program, centers in centered]


def _check_size(programs: Sequence[ShownProgram], path: str, *, drawing: bool) -> None:
    """Raise ConfigError for what is too much to be told or drawn."""
    reached = sum(program.flow.extent(program.chosen()) for program in programs)
    if reached > _MOST_REACHED:
        raise ConfigError(
            f"{path}: the writes reach {reached} values, which are too many to show (the limit is "
            f"{_MOST_REACHED}): choose a part with --node, or use --format text"
        )
    if drawing and len(programs) > 1:
        names = " or ".join(f"--program {program.name}" for program in programs)
        raise ConfigError(f"{path}: a picture shows one program: choose {names}")
    if drawing and not programs[0].centers and len(programs[0].flow.nodes) > _MOST_DRAWN:
        raise ConfigError(
            f"{path}: {count(len(programs[0].flow.nodes), 'node')} are too many for a picture (the limit is "
            f"{_MOST_DRAWN}): choose a part with --node, or use --format dot"
        )
