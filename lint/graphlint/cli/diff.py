"""``graphlint diff``: what differs between the programs of two artifacts."""

import os
import sys
from typing import Any

from graphlint.artifact.artifact import Artifact, ProgramEntry, opened
from graphlint.artifact.errors import ArtifactError, ConfigError, did_you_mean
from graphlint.cli.commands import Argument, command
from graphlint.cli.console import Console
from graphlint.ir.decode import decode_program
from graphlint.ir.model import Program
from graphlint.report.comparison import changes
from graphlint.report.comparison.changes import ArtifactDiff
from graphlint.report.comparison.programs import compare_programs
from graphlint.report.results import ReportOptions
from graphlint.run.config import Configuration
from graphlint.run.resolution import Resolver


@command(Argument("old"), Argument("new"))
def diff(console: Console, /, old: str, new: str, **options: Any) -> int:
    """Compare the programs of two artifacts by structure.

    First how they are called (inputs, outputs, what is written back, label, ranges of sizes), then their ops. Names of
    values and the version of torch that wrote the file make no difference.
    """
    compared = _compared(old, new, options["program"], metadata=options["metadata"])
    if not console.quiet and options["output_format"] == "json":
        console.out(changes.render_json(compared))
    elif not console.quiet:
        console.out(changes.render(compared, ReportOptions(color=console.colors(sys.stdout), folder=os.getcwd())))
        console.err(changes.summary(compared))
    return 0 if compared.equal else 1


def _compared(old: str, new: str, wanted: str | None, *, metadata: bool) -> ArtifactDiff:
    """Compare two artifacts, program by program. Raises GraphlintError."""
    resolver = Resolver(Configuration())
    limits = [resolver.settings_for(path).limits for path in (old, new)]
    with opened(old, limits[0]) as before, opened(new, limits[1]) as after:
        for path, artifact in ((old, before), (new, after)):
            if artifact.note:
                raise ArtifactError(f"{path}: {artifact.note}")
        mine = {entry.name: entry for entry in before.programs if wanted in (None, entry.name)}
        theirs = {entry.name: entry for entry in after.programs if wanted in (None, entry.name)}
        if wanted is not None and not (mine or theirs):
            known = [entry.name for artifact in (before, after) for entry in artifact.programs]
            raise ConfigError(f"neither artifact has a program '{wanted}'{did_you_mean(wanted, known)}")
        pairs = [(name, name) for name in theirs if name in mine]
        if not pairs and len(mine) == len(theirs) == 1:  # one program each: its name says nothing
            pairs = [(next(iter(mine)), next(iter(theirs)))]
        compared = {name for pair in pairs for name in pair}
        programs = (
            compare_programs(_read(before, mine[was]), _read(after, theirs[now]), now, old_name=was, metadata=metadata)
            for was, now in pairs
        )
        added, removed = (tuple(name for name in side if name not in compared) for side in (theirs, mine))
        return ArtifactDiff(old, new, tuple(programs), added, removed)


def _read(artifact: Artifact, entry: ProgramEntry) -> Program:
    try:
        return decode_program(artifact.read_program(entry), entry.member, artifact.limits)
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}, program {entry.name}: {error}", member=error.member) from None
