"""What ``graphlint show`` does with its options."""

from __future__ import annotations

import os
import sys
from typing import Final, Literal

import msgspec

from graphlint.artifact.artifact import Artifact, ProgramEntry
from graphlint.artifact.errors import ArtifactError, ConfigError
from graphlint.artifact.opening import opened
from graphlint.cli.console import Console, When, write_report
from graphlint.cli.reviewing import reviewed_settings
from graphlint.report.formats.options import ReportOptions
from graphlint.report.formats.phrasing import count
from graphlint.report.graphs.flow import Flow, Vertex
from graphlint.report.listings.shown import ShownProgram
from graphlint.rules.linting import lint_view, view_of
from graphlint.rules.registry import RULES
from graphlint.rules.settings import Settings
from graphlint.run.config import Configuration
from graphlint.run.engine import read_document
from graphlint.run.resolution import Resolver
from graphlint.run.review import Reviewer
from graphlint.run.selection import did_you_mean

Format = Literal["text", "json", "dot", "svg"]

_SUFFIXES: Final[dict[str, Format]] = {".json": "json", ".dot": "dot", ".gv": "dot", ".svg": "svg"}
"""What a file's name says that it is to hold."""

_MOST_DRAWN: Final = 2000
"""Nodes of the largest graph that is drawn as a whole: beyond, browsers give up before people do."""


_MOST_REACHED: Final = 500_000
"""Values that the shown writes may reach, all together: they take a few seconds then, and tens of MiB as JSON."""


class ShowOptions(msgspec.Struct, frozen=True):
    """The command line of ``show``; None and empty mean that an option was not given."""

    artifact: str
    program: str | None = None
    nodes: tuple[str, ...] = ()
    around: int | None = None
    findings: bool = True
    output_format: Format | None = None
    output_file: str | None = None
    color: When = "auto"
    config: str | None = None
    isolated: bool = False

    @property
    def format(self) -> Format:
        """The format that was given, or that of the file that was."""
        named = _SUFFIXES.get(os.path.splitext(self.output_file or "")[1].lower(), "text")
        return self.output_format or named


def show(options: ShowOptions, console: Console) -> None:
    """Write what was asked for. Raises GraphlintError."""
    resolver = Resolver(RULES, Configuration(), (), options.config, isolated=options.isolated)
    settings = reviewed_settings(options.artifact, resolver, Reviewer(RULES))
    with opened(options.artifact, settings.limits) as artifact:
        if artifact.note:
            raise ArtifactError(f"{options.artifact}: {artifact.note}")
        programs = [_shown(artifact, entry, settings, options) for entry in _entries(artifact, options.program)]
    if options.nodes:
        programs = _centered(programs, options)
    stdout = None if options.output_file is not None else sys.stdout
    report = ReportOptions(
        color=options.format == "text" and console.colors(stdout),
        folder=os.getcwd(),
        unsafe_paths=frozenset({options.artifact} if settings.unsafe_fixes else ()),
    )
    text = _rendered(programs, options, report)
    if options.output_file is None:
        console.out(text)
    else:
        write_report(options.output_file, text)


def _entries(artifact: Artifact, wanted: str | None) -> list[ProgramEntry]:
    names = [entry.name for entry in artifact.programs]
    if wanted is not None and wanted not in names:
        hint = did_you_mean(wanted, names) or f"; there are: {', '.join(names)}"
        raise ConfigError(f"{artifact.path}: there is no program '{wanted}'{hint}")
    return [entry for entry in artifact.programs if wanted in (None, entry.name)]


def _shown(artifact: Artifact, entry: ProgramEntry, settings: Settings, options: ShowOptions) -> ShownProgram:
    try:
        document = read_document(artifact, entry)
        view = view_of(document, settings)
        found = lint_view(view, entry.name, options.artifact, settings) if options.findings else []
    except ArtifactError as error:
        raise ArtifactError(f"{options.artifact}, program {entry.name}: {error}", member=error.member) from None
    reported = tuple(one.diagnostic for one in found if one.diagnostic.suppression is None)
    return ShownProgram(entry.name, view, Flow(view.program, view.ops), reported)


def _centered(programs: list[ShownProgram], options: ShowOptions) -> list[ShownProgram]:
    """The programs that have the nodes that were asked for, each with those in the middle."""
    centers: list[list[Vertex]] = [[] for _ in programs]
    for name in options.nodes:
        found = [program.flow.named(name) for program in programs]
        if not any(found):
            known = {one for program in programs for one in program.flow.names()}
            hint = did_you_mean(name.lstrip("%$"), known)
            raise ConfigError(f"{options.artifact}: there is no node, value or op '{name}'{hint}")
        for here, more in zip(centers, found, strict=True):
            here += [vertex for vertex in more if vertex not in here]
    hops = 1 if options.around is None else options.around
    return [
        msgspec.structs.replace(program, centers=tuple(here), hops=hops)
        for program, here in zip(programs, centers, strict=True)
        if here
    ]


def _rendered(programs: list[ShownProgram], options: ShowOptions, report: ReportOptions) -> str:
    if options.format == "text":
        from graphlint.report.listings import listing

        return listing.render(options.artifact, programs, report)
    _check_reach(programs, options)
    if options.format == "json":
        from graphlint.report.listings import graph_json

        return graph_json.render(options.artifact, programs, report)
    from graphlint.report.graphs.drawing import Scene, around, whole_program

    if options.format == "svg":
        _check_drawable(programs, options)
    pictures = [
        around(Scene(program.view, program.flow), list(program.centers), program.hops)
        if program.centers
        else whole_program(Scene(program.view, program.flow))
        for program in programs
    ]
    if options.format == "svg":
        from graphlint.report.graphs.svg import render_svg

        return render_svg(pictures[0])
    from graphlint.report.graphs.dot import render_dot

    return "".join(
        render_dot(picture, program.name) for picture, program in zip(pictures, programs, strict=True)
    )  # fmt: skip


def _check_reach(programs: list[ShownProgram], options: ShowOptions) -> None:
    from graphlint.report.graphs.reach import Reaches

    reached = sum(Reaches(program.view, program.flow).extent(program.chosen()) for program in programs)
    if reached > _MOST_REACHED:
        raise ConfigError(
            f"{options.artifact}: the writes reach {reached} values, which are too many to be told (the most is "
            f"{_MOST_REACHED}): choose a part with --node, or use --format text"
        )


def _check_drawable(programs: list[ShownProgram], options: ShowOptions) -> None:
    if len(programs) > 1:
        names = " or ".join(f"--program {program.name}" for program in programs)
        raise ConfigError(f"{options.artifact}: a picture shows one program: choose {names}")
    [program] = programs
    if not program.centers and program.nodes > _MOST_DRAWN:
        raise ConfigError(
            f"{options.artifact}: {count(program.nodes, 'node')} are too many for a picture (the most is "
            f"{_MOST_DRAWN}): choose a part with --node, or use --format dot"
        )
