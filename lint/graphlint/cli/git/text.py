"""The text that git compares in an artifact's place.

It holds what matters of a program and one thing to a line: each input of a graph on its own, no line numbers, no
versions, no paths. Weights and constants are there by size and checksum, as the archive's directory has them, so that
a change of weights alone shows as one; sample inputs, which are new with each export, are not. What is no readable
artifact becomes one line that says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from graphlint.artifact.artifact import Artifact, ProgramEntry, open_artifact
from graphlint.artifact.errors import ArtifactError, LfsPointerError
from graphlint.ir.decode import decode_program
from graphlint.ir.text import Line, program_lines
from graphlint.report.formats.escaping import printable

_VALUES: Final = ("data/weights", "data/constants")
_HANGING: Final = 4


def artifact_text(path: str) -> str:
    """The text of the artifact at ``path``, whatever it is; ends in a newline."""
    try:
        with open_artifact(path) as artifact:
            return "".join(f"{printable(line)}\n" for line in _artifact(artifact))
    except LfsPointerError:
        return "(Git LFS pointer; `git lfs pull` fetches the artifact)\n"
    except ArtifactError as error:
        return f"(not a readable artifact: {printable(str(error))})\n"


def _artifact(artifact: Artifact) -> Iterator[str]:
    if artifact.note:
        yield f"({artifact.note})"
    for entry in artifact.programs:
        if len(artifact.programs) > 1:
            yield f'program "{entry.name}":'
        yield from _program(artifact, entry)
        yield ""
    yield from _members(artifact)


def _program(artifact: Artifact, entry: ProgramEntry) -> Iterator[str]:
    try:
        program = decode_program(artifact.read_program(entry), entry.member)
    except ArtifactError as error:
        yield f"(not a readable program: {error})"
        return
    for line in program_lines(program):
        yield from _line(line)


def _line(line: Line) -> Iterator[str]:
    """The line; a graph's inputs, of which there may be hundreds, one to a line."""
    if line.kind != "inputs" or not line.parts:
        yield line.text
        return
    yield " " * line.indent + line.head
    for part in line.parts:
        yield f"{' ' * (line.indent + _HANGING)}{part},"
    yield " " * line.indent + line.tail


def _members(artifact: Artifact) -> Iterator[str]:
    values = {
        name
        for entry in artifact.programs
        for name in (entry.weights_pickle, entry.constants_pickle)
        if name is not None
    }
    for member in sorted(artifact.container.members.values(), key=lambda one: one.name):
        # The root folder is named after the file that was written first.
        name = member.name.removeprefix(f"{artifact.root}/") if artifact.root else member.name
        folder, _, last = name.rpartition("/")
        if member.name in values or (folder in _VALUES and not last.endswith(".json")):
            yield f"{name}: {member.size} bytes, crc32 {member.crc:08x}"
